//! Files that nobody needs any more go (rules G).
//!
//! - I1: only what lies in the table's own `data` and `metadata` folders and has a name of ours is ever deleted, and only
//!   if no retained snapshot names it and nobody can publish it any more (G2).
//! - I2: the listing comes before the look at what is named (G2); where a snapshot cannot be read whole, nothing goes.
//! - I3: a file goes a day after it was first found to be needed by nobody, not a day after it was written: whoever reads
//!   a snapshot that was just forgotten has that long (G3). What was found is noted beside the definitions; where the
//!   note is lost, the day begins anew.
//! - I4: what killed compactions staged is decided by an empty commit once it has lain for a day; what a job staged that feeds the table is decided
//!   by that job's next one.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::TableMetadata;
use serde::{Deserialize, Serialize};
use tableflow_catalog::LoadedTable;
use tableflow_lake::reach::{Reach, reach};
use tableflow_model::protocol::{
    Epoch, FileName, Ledger, Listed, Reachable, Rules, Seen, Sweep, SweepEvent, SweepStep, Verdict, judge_metadata,
};
use tableflow_model::{Error, ErrorKind, JobName, Millis, Result, TableName};
use tableflow_store::paths::ObjectKind;
use tableflow_store::{ObjectInfo, Store};
use tokio::time::Instant;
use uuid::Uuid;

use super::run::run;
use super::step::Task;
use crate::home::Home;

/// Set to false by whoever shares a table's files with another one.
const MAY_COLLECT: &str = "gc.enabled";

const LEDGERS: &str = "tableflow.ledger.";

const DELETES_AT_ONCE: usize = 16;

/// What a collection did, or would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub table: String,
    pub files_listed: u64,
    /// That nothing needs, and that went.
    pub files_deleted: u64,
    pub bytes_deleted: u64,
    /// That nothing needs, and that somebody may still read: they go when their day is over.
    pub files_waiting: u64,
    /// That a job may still publish.
    pub files_undecided: u64,
    /// With names that are not ours: they are left alone.
    pub files_foreign: u64,
    pub requests: u64,
    pub seconds: f64,
}

/// What earlier collections found, by the path below the table (I3).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    /// When the last collection was.
    swept_at: Millis,
    objects: BTreeMap<String, Seen>,
}

/// Deletes what nobody needs; with `dry_run` it is counted alone.
pub async fn vacuum(home: &Home, table: &TableName, age_ms: i64, dry_run: bool) -> Result<Report> {
    let started = Instant::now();
    let requests = home.store.meter().requests();
    let loaded = home.catalog.load_table(table).await?;
    check_allowed(table, &loaded.metadata)?;
    let collection = Collection { home, table, uuid: loaded.metadata.uuid(), age_ms, dry_run };
    let mut report = collection.run(loaded.metadata.location()).await?;
    report.requests = home.store.meter().requests() - requests;
    report.seconds = started.elapsed().as_millis() as f64 / 1000.0;
    Ok(report)
}

/// When files of a table were collected last; long ago where nobody knows.
pub async fn swept_at(home: &Home, table: Uuid) -> Result<Millis> {
    Ok(found(home, table).await?.swept_at)
}

fn check_allowed(table: &TableName, metadata: &TableMetadata) -> Result<()> {
    match metadata.properties().get(MAY_COLLECT).is_some_and(|word| word == "false") {
        false => Ok(()),
        true => Err(Error::usage(format!("{table} shares its files: its property {MAY_COLLECT} is false"))
            .with_hint("vacuum the table that its files belong to")),
    }
}

struct Collection<'a> {
    home: &'a Home,
    table: &'a TableName,
    uuid: Uuid,
    age_ms: i64,
    dry_run: bool,
}

/// The objects of a table, by what is to be asked of them.
#[derive(Default)]
struct Objects {
    /// By the name that decides about them.
    data: BTreeMap<String, ObjectInfo>,
    metadata: Vec<ObjectInfo>,
    foreign: u64,
}

/// Objects that nothing names, by what becomes of them.
struct Sorted<'o> {
    garbage: Vec<&'o ObjectInfo>,
    noted: Found,
    /// Names of data files; they are noted too.
    undecided: Vec<String>,
}

impl Collection<'_> {
    async fn run(&self, location: &str) -> Result<Report> {
        let objects = self.list(location).await?;
        let found = found(self.home, self.uuid).await?;
        // What is named is read after the listing (I2).
        let (loaded, reach) = self.reach().await?;
        let now = self.home.clock.now();
        let sorted = self.sort_out(&objects, &found, (&loaded.metadata, &reach), now)?;
        let report = Report {
            table: self.table.to_plain_string(),
            files_listed: objects.data.len() as u64 + objects.metadata.len() as u64 + objects.foreign,
            files_foreign: objects.foreign,
            files_undecided: sorted.undecided.len() as u64,
            files_waiting: (sorted.noted.objects.len() - sorted.undecided.len()) as u64,
            files_deleted: sorted.garbage.len() as u64,
            bytes_deleted: sorted.garbage.iter().map(|object| object.size).sum(),
            ..Report::default()
        };
        if self.dry_run {
            return Ok(report);
        }
        delete(&self.home.store, sorted.garbage.iter().map(|object| object.uri.clone()).collect()).await?;
        self.note(&sorted.noted).await?;
        if self.left_by_compactions(&objects, &found, &sorted.undecided, now)? {
            run(self.home, self.table, [Task::Decide]).await?;
        }
        Ok(report)
    }

    /// What goes, what is noted for later, and what somebody may still publish.
    fn sort_out<'o>(
        &self,
        objects: &'o Objects,
        found: &Found,
        (metadata, reach): (&TableMetadata, &Reach),
        now: Millis,
    ) -> Result<Sorted<'o>> {
        let seen_now = Seen { at: now, sequence: metadata.last_sequence_number() };
        let (deleted, undecided) = self.judge_data(objects, found, (metadata, reach), now)?;
        let garbage = deleted.iter().filter_map(|name| objects.data.get(name)).collect();
        let mut sorted = Sorted { garbage, noted: Found { swept_at: now, ..Found::default() }, undecided };
        for (name, object) in &objects.data {
            let path = self.path(&object.uri)?;
            if !deleted.contains(name) && !reach.files.contains(&path) {
                let seen = found.objects.get(&path).copied().unwrap_or(seen_now);
                sorted.noted.objects.insert(path, seen);
            }
        }
        for object in &objects.metadata {
            let path = self.path(&object.uri)?;
            let seen = found.objects.get(&path).copied();
            match judge_metadata(seen, seen_now.sequence, now, self.age_ms, Rules::law()) {
                _ if reach.metadata.contains(&path) => {}
                Verdict::Garbage => sorted.garbage.push(object),
                _ => drop(sorted.noted.objects.insert(path, seen.unwrap_or(seen_now))),
            }
        }
        Ok(sorted)
    }

    /// Whether compactions staged some of these files that are dead by now: one that runs is not disturbed (I4).
    fn left_by_compactions(&self, objects: &Objects, found: &Found, undecided: &[String], now: Millis) -> Result<bool> {
        for name in undecided {
            let is_theirs = FileName::of_file(name).is_ok_and(|name| name.is_of(&JobName::compaction()));
            if let Some(object) = objects.data.get(name).filter(|_| is_theirs)
                && let Some(seen) = found.objects.get(&self.path(&object.uri)?)
                && now.0 - seen.at.0 >= self.age_ms
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The names of data files that are garbage, and of those that may still be published.
    fn judge_data(
        &self,
        objects: &Objects,
        found: &Found,
        (metadata, reach): (&TableMetadata, &Reach),
        now: Millis,
    ) -> Result<(BTreeSet<String>, Vec<String>)> {
        let mut sweep = Sweep::new(self.age_ms, Rules::law())?;
        let mut event = SweepEvent::Start;
        let mut garbage = BTreeSet::new();
        loop {
            event = match sweep.next(event) {
                SweepStep::List => SweepEvent::Listed { files: self.listed(objects, found, now)?, now },
                SweepStep::ReadReachable => SweepEvent::Read(self.reachable(objects, metadata, reach)?),
                SweepStep::Delete(names) => {
                    garbage.extend(names);
                    SweepEvent::Deleted
                }
                SweepStep::Done { undecided } => return Ok((garbage, undecided)),
            };
        }
    }

    /// As old as they have been needed by nobody (I3).
    fn listed(&self, objects: &Objects, found: &Found, now: Millis) -> Result<Vec<Listed>> {
        let listed = |(name, object): (&String, &ObjectInfo)| {
            let seen = found.objects.get(&self.path(&object.uri)?).map_or(now, |seen| seen.at);
            Ok(Listed { name: name.clone(), modified: seen.max(object.modified) })
        };
        objects.data.iter().map(listed).collect()
    }

    fn reachable(&self, objects: &Objects, metadata: &TableMetadata, reach: &Reach) -> Result<Reachable> {
        let mut reachable = Reachable::default();
        for (name, object) in &objects.data {
            if reach.files.contains(&self.path(&object.uri)?) {
                reachable.names.insert(name.clone());
            }
        }
        for (property, text) in metadata.properties() {
            if let Some(job) = property.strip_prefix(LEDGERS) {
                let epoch: Epoch = Ledger::from_text(text)?.epoch;
                reachable.ledgers.insert(job.parse()?, epoch);
            }
        }
        Ok(reachable)
    }

    async fn list(&self, location: &str) -> Result<Objects> {
        let mut objects = Objects::default();
        let mut listing = self.home.store.list(location)?;
        let folder = |name: &str| Ok::<_, Error>(format!("{}/", self.path(&format!("{location}/{name}"))?));
        let (data, metadata) = (folder("data")?, folder("metadata")?);
        while let Some(object) = listing.try_next().await? {
            let path = self.path(&object.uri)?;
            let in_folder = |folder: &str| path.strip_prefix(folder).filter(|rest| !rest.contains('/'));
            let has_form = |name: &&str| name.ends_with(".parquet") || name.ends_with(".puffin");
            let data_file = in_folder(&data).filter(has_form);
            if let Some(name) = data_file.filter(|name| FileName::of_file(name).is_ok()) {
                objects.data.insert(name.to_owned(), object);
            } else if in_folder(&metadata).is_some() && ObjectKind::of(&object.uri) != ObjectKind::Other {
                objects.metadata.push(object);
            } else {
                objects.foreign += 1;
            }
        }
        Ok(objects)
    }

    /// What the table names now (I2), by paths in the store.
    async fn reach(&self) -> Result<(LoadedTable, Reach)> {
        let loaded = self.home.catalog.load_table(self.table).await?;
        if loaded.metadata.uuid() != self.uuid {
            return Err(Error::conflict(format!("{} was made anew meanwhile", self.table)).with_hint("run it again"));
        }
        let uris = reach(&self.home.store, &loaded.metadata, &loaded.metadata_location).await?;
        let paths = |uris: HashSet<String>| uris.iter().map(|uri| self.path(uri)).collect::<Result<HashSet<_>>>();
        let reach = Reach { files: paths(uris.files)?, metadata: paths(uris.metadata)? };
        Ok((loaded, reach))
    }

    fn path(&self, uri: &str) -> Result<String> {
        self.home.store.path(uri).map(|path| path.to_string())
    }

    async fn note(&self, found: &Found) -> Result<()> {
        let text = serde_json::to_vec(found)
            .map_err(|error| Error::internal("the note of files that nobody needs has no text").with_source(error))?;
        self.home.store.put_overwrite(&self.home.state.unneeded(self.uuid), Bytes::from(text)).await
    }
}

async fn delete(store: &Store, uris: Vec<String>) -> Result<()> {
    let deleting = stream::iter(uris).map(|uri| async move { store.delete(&uri).await });
    deleting.buffer_unordered(DELETES_AT_ONCE).try_collect().await
}

async fn found(home: &Home, table: Uuid) -> Result<Found> {
    match home.store.get(&home.state.unneeded(table)).await {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(%table, %error, "the note of files that nobody needs is damaged: it begins anew");
            Found::default()
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::default()),
        Err(error) => Err(error),
    }
}
