//! A job's epoch manifests in the store.
//!
//! Owns [`Manifests`]: they are put, read by their exact names, and deleted when nobody can need them any more.
//! - I1: what a collection deletes is decided by [`Collection`] (rule M6), on what the job knows of its tables, however
//!   old.
//! - I2: a listing says only which names may be deleted; whether a name is there, is asked of the name.
//! - I3: a collection that fails ends nothing: what it left, the next one finds.
//!
//! A manifest whose writer was killed before it was on disk, read by the next process, is on disk before anything is
//! built on it: that process puts its claim into the same directory first, and a put syncs the directory.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{SnapshotRef, TableMetadata};
use tableflow_catalog::LoadedTable;
use tableflow_model::protocol::{
    Collection, Epoch, EpochManifest, Intent, Ledger, PutReply, Rules, SinkName, SinkWork, unbroken,
};
use tableflow_model::{ErrorKind, JobName, Result};
use tableflow_store::PutOutcome;

use super::letters_topic::is_topic;
use super::replay::job_of;
use crate::definition::Definition;
use crate::home::Home;

/// A process collects after its first commit, and then each time that it has committed so many epochs: a listing costs
/// more than a manifest.
const COLLECT_EVERY: u64 = 64;

/// So many go at once: a table that was never collected must not stand still meanwhile.
const DELETED_AT_ONCE_MAX: usize = 1_000;

/// How many manifests are asked for at a time.
const READ_AT_ONCE: usize = 16;

/// Where a job's manifests lie, and when they were last collected.
#[derive(Debug)]
pub struct Manifests {
    home: Home,
    job: JobName,
    committed: u64,
}

/// A table of the job as it was last seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub table: &'a LoadedTable,
    /// A person may roll it back to any snapshot that it retains.
    pub rolls_back: bool,
}

impl Manifests {
    pub fn new(home: Home, job: JobName) -> Self {
        Manifests { home, job, committed: 0 }
    }

    /// Those of a table with dead letters: those of another table that had its name are none of its own.
    pub fn of_topic(home: Home, definition: &Definition) -> Result<Self> {
        Ok(Self::new(home, format!("ingest-{}", definition.table_uuid).parse()?))
    }

    /// The manifest of that epoch, if there is one.
    pub async fn read(&self, epoch: Epoch) -> Result<Option<EpochManifest>> {
        let uri = self.home.state.epoch(&self.job, epoch.0);
        let bytes = match self.home.store.get(&uri).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let manifest = EpochManifest::from_text(&String::from_utf8_lossy(&bytes));
        manifest.map(Some).map_err(|error| error.with_context("object", uri))
    }

    /// Only a first, answered put is "created"; what was put before its answer got lost is read back.
    pub async fn put(&self, manifest: &EpochManifest) -> Result<PutReply> {
        let uri = self.home.state.epoch(&self.job, manifest.epoch.0);
        Ok(match self.home.store.put_new(&uri, Bytes::from(manifest.to_text()?)).await? {
            PutOutcome::Created => PutReply::Created,
            PutOutcome::Taken => PutReply::Exists,
            PutOutcome::Identical => PutReply::Unknown,
        })
    }

    /// The newest epoch that is decided above a ledger, and not in every table yet.
    pub async fn decided_above(&self, ledger: Ledger) -> Result<Ledger> {
        let mut newest = ledger;
        let mut next = newest.epoch.next();
        while let Some(manifest) = self.read(next).await? {
            next = next.next();
            // A rollback went back behind those of an earlier generation; the job brings them forward when it runs
            // again.
            if let Intent::Work { positions, .. } = manifest.intent
                && manifest.generation >= newest.generation
            {
                newest = Ledger { epoch: manifest.epoch, positions, ..newest };
            }
        }
        Ok(newest)
    }

    /// The last epoch that every table has (a topic of dead letters has it earlier): the one that was decided last or,
    /// where that is still on its way, the one before. What the tables' own ledgers say is given.
    pub async fn in_all_tables(&self, decided: Ledger, ledgers: &BTreeMap<SinkName, Ledger>) -> Result<Option<Ledger>> {
        let stands_at = |sink: &SinkName| ledgers.get(sink).map(|ledger| ledger.epoch);
        let is_in = |sink: &SinkName, work: &SinkWork| {
            let last = if work.files.is_empty() { work.follows } else { decided.epoch };
            stands_at(sink).unwrap_or_default() >= last
        };
        match self.read(decided.epoch).await?.map(|manifest| manifest.intent) {
            Some(Intent::Work { sinks, .. })
                if !sinks.iter().all(|(sink, work)| is_topic(sink) || is_in(sink, work)) => {}
            _ => return Ok(Some(decided)),
        }
        let mut epoch = decided.epoch;
        while let Some(before) = epoch.0.checked_sub(1).map(Epoch) {
            epoch = before;
            match self.read(epoch).await?.map(|manifest| manifest.intent) {
                Some(Intent::Work { positions, .. }) => return Ok(Some(Ledger { epoch, positions, ..decided })),
                Some(Intent::Claim) => {}
                None => break,
            }
        }
        // The first one by a manifest: before it the table with the rows wrote its ledger by itself.
        let behind = ledgers.values().filter(|ledger| ledger.epoch < decided.epoch);
        Ok(behind.max_by_key(|ledger| (ledger.generation, ledger.epoch)).cloned())
    }

    /// Those of one epoch and all that follow, as far down as they really do, and the epoch of the newest one. The
    /// newest is looked for from a table's ledger on: from there on no name is free.
    pub async fn since(&self, first: Epoch, ledger: Epoch) -> Result<(Vec<EpochManifest>, Epoch)> {
        let mut newest = ledger;
        while self.read(newest.next()).await?.is_some() {
            newest = newest.next();
        }
        let reads = futures::stream::iter((first.0..=newest.0).map(|epoch| self.read(Epoch(epoch))));
        let found: Vec<Option<EpochManifest>> = reads.buffered(READ_AT_ONCE).try_collect().await?;
        let last_gap = found.iter().rposition(Option::is_none).map_or(0, |gap| gap + 1);
        let found: Vec<EpochManifest> = found.into_iter().skip(last_gap).flatten().collect();
        Ok((unbroken(&found, Rules::law()).to_vec(), newest))
    }

    /// This epoch is in every sink that it has rows for: now and then what is not needed any more goes (I1, I3). Of
    /// topics the epochs that are in them are given.
    pub async fn committed(&mut self, epoch: Epoch, sinks: (&[Seen<'_>], &[Epoch]), ledger_of: &JobName) {
        let due = self.committed.is_multiple_of(COLLECT_EVERY);
        self.committed += 1;
        if !due {
            return;
        }
        match self.collect(epoch, sinks, ledger_of).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(job = %self.job, count, "epoch manifests were collected"),
            Err(error) => tracing::warn!(job = %self.job, %error, "epoch manifests are not collected for now"),
        }
    }

    async fn collect(
        &self,
        newest_work: Epoch,
        (tables, topics): (&[Seen<'_>], &[Epoch]),
        ledger_of: &JobName,
    ) -> Result<usize> {
        let property = Ledger::property(ledger_of);
        let (mut ledgers, mut retained) = (topics.to_vec(), Vec::new());
        for seen in tables {
            let metadata = &seen.table.metadata;
            let Some(text) = metadata.properties().get(&property) else { return Ok(0) };
            ledgers.push(Ledger::from_text(text)?.epoch);
            if seen.rolls_back {
                let summaries =
                    branch(metadata, metadata.current_snapshot()).map(|it| &it.summary().additional_properties);
                for text in summaries.filter_map(|summary| summary.get(&property)) {
                    retained.push(Ledger::from_text(text)?.epoch);
                }
            }
        }
        let collection = Collection::decide(newest_work, newest_work, &ledgers, &retained, Rules::law());
        self.delete_below(collection.manifests_below).await
    }

    /// The oldest first: what is left when the process dies follows each other.
    async fn delete_below(&self, epoch: Epoch) -> Result<usize> {
        let kept = self.home.state.epoch(&self.job, epoch.0);
        let objects = self.home.store.list_all(&self.home.state.epochs(&self.job)).await?;
        let old = objects.iter().map(|object| object.uri.as_str()).filter(|uri| *uri < kept.as_str());
        let mut deleted = 0;
        for uri in old.take(DELETED_AT_ONCE_MAX) {
            self.home.store.delete(uri).await?;
            deleted += 1;
        }
        Ok(deleted)
    }

    async fn delete_all(&self) -> Result<()> {
        for object in self.home.store.list_all(&self.home.state.epochs(&self.job)).await? {
            self.home.store.delete(&object.uri).await?;
        }
        Ok(())
    }
}

/// A snapshot and those before it, as far as they are retained. One that only a tag keeps is none of them: manifests
/// are not kept for a year because somebody tagged last year's table.
pub fn branch<'a>(
    table: &'a TableMetadata,
    tip: Option<&'a SnapshotRef>,
) -> impl Iterator<Item = &'a SnapshotRef> + use<'a> {
    std::iter::successors(tip, |it| it.parent_snapshot_id().and_then(|parent| table.snapshot_by_id(parent)))
}

/// What decided the epochs of a table with dead letters, and of its replays.
pub async fn drop_manifests(home: &Home, definition: &Definition) -> Result<()> {
    Manifests::of_topic(home.clone(), definition)?.delete_all().await?;
    Manifests::new(home.clone(), job_of(definition)?).delete_all().await
}
