//! A job's table: what was last seen of it, and the commit last sent to it.
//!
//! Owns [`Target`], through which every driver commits, and [`table_facts`], a table as the protocol sees it.
//! - I1: a commit is built on exactly the base that the machine decided with (rules C1, S1).
//! - I2: what is sent again is sent unchanged (C4).
//! - I3: a table whose columns mirror its schemas is written to only as what reads its records knows it, and so is one
//!   whose columns somebody made NOT NULL, or whose mode was changed.
//! - I4: what a commit deletes is found on its base, with every try anew: what was staged says which keys (U1).
//! - I5: rows that lack values are made whole on that base as well, with every try anew.
//! - I6: a reply is "applied" or "rejected" only where the catalog said so; whatever else came back is "unknown".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use iceberg::spec::{DataContentType, DataFile, TableMetadata};
use tableflow_catalog::{CommitOutcome, LoadedTable};
use tableflow_lake::commit::{Prepared, RowDelta, last_change, prepare_columns, prepare_row_delta};
use tableflow_lake::keys::{KeyHasher, KeyMemory};
use tableflow_lake::layout::{Evolution, key_ids, latest_by};
use tableflow_lake::upsert::{Emptied, KeyedTable, Resolved, StagedKeys};
use tableflow_lake::write::{EpochName, FileNames};
use tableflow_model::protocol::{Assertion, CommitReply, Guard, History, Ledger, SnapshotFacts, TableFacts};
use tableflow_model::{Error, ErrorKind, JobName, Millis, Result, TableName};
use tokio::time::Instant;

use super::identity;
use super::job::Patience;
use super::left_out;
use super::mirror::{self, Step};
use super::mode;
use super::progress::{Content, Extent, Progress};
use super::staging::StagedChanges;
use crate::definition::Definition;
use crate::home::Home;
use crate::turns::Turn;

/// What a job's table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    Rows,
    /// Records that are no rows: they count as such, not as rows.
    DeadLetters,
}

/// A table that a job commits to.
#[derive(Debug)]
pub struct Target {
    home: Home,
    pub table: TableName,
    pub holds: Holds,
    job: JobName,
    progress: Arc<Progress>,
    decoded: Option<Decoded>,
    /// Where the table has one row a key.
    keyed: Option<KeyedTable>,
    base: Option<LoadedTable>,
    sent: Option<Sent>,
}

/// A commit as it was sent (I2).
#[derive(Debug)]
struct Sent {
    base: LoadedTable,
    prepared: Prepared,
    content: Content,
    changed: Option<Changed>,
}

/// What a commit changes by keys.
#[derive(Debug)]
struct Changed {
    files: Vec<DataFile>,
    spec_id: i32,
    keys: Arc<StagedKeys>,
    /// Values that nobody had.
    lost: u64,
    /// Changes that were older than the rows of their keys.
    left_out: u64,
    resolved: Resolved,
}

/// What a decoder knows of the table that it was made for.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// What the table remembered of the schemas that it mirrors.
    mirror: Option<String>,
    /// The ids of the columns that took no null.
    required: BTreeSet<i32>,
    /// Those that identify rows, and what they are called: records name them.
    keys: Vec<(i32, String)>,
    /// By which column the latest row of a key is told.
    latest_by: Option<String>,
    /// How many changes of the table's mode were declared.
    mode_changes: u32,
}

impl Decoded {
    /// By this definition of it.
    pub fn of(table: &TableMetadata, definition: &Definition) -> Self {
        let mirror = table.properties().get(mirror::PROPERTY).cloned();
        let mode_changes = definition.mode_change.as_ref().map_or(0, |change| change.number);
        let (required, keys) = (required(table).collect(), keys(table));
        Decoded { mirror, required, keys, latest_by: latest_by(table).ok().flatten(), mode_changes }
    }

    /// Whether it still is the right one.
    fn fits(&self, table: &TableMetadata) -> bool {
        table.properties().get(mirror::PROPERTY) == self.mirror.as_ref()
            && required(table).all(|id| self.required.contains(&id))
            && keys(table) == self.keys
            && latest_by(table).ok().flatten() == self.latest_by
            && mode::made(table) == self.mode_changes
    }
}

fn keys(table: &TableMetadata) -> Vec<(i32, String)> {
    let schema = table.current_schema();
    let name = |id| Some((id, schema.name_by_field_id(id)?.to_owned()));
    key_ids(schema).into_iter().filter_map(name).collect()
}

fn required(table: &TableMetadata) -> impl Iterator<Item = i32> {
    let schema = table.current_schema();
    let ids = schema.field_id_to_name_map().keys();
    ids.copied().filter(|id| schema.field_by_id(*id).is_some_and(|field| field.required))
}

/// What a look at the table gave.
#[derive(Debug)]
pub enum Look {
    Facts(Box<TableFacts>),
    /// The catalog does not answer; the pause is over.
    Failed,
}

impl Target {
    pub fn new(home: Home, (table, holds): (TableName, Holds), job: JobName, progress: Arc<Progress>) -> Self {
        let (decoded, keyed, base, sent) = (None, None, None, None);
        Target { home, table, holds, job, progress, decoded, keyed, base, sent }
    }

    /// For rows of a decoder that was made for the table as it is here.
    #[must_use]
    pub fn decoded_for(mut self, decoded: Option<Decoded>) -> Self {
        self.decoded = decoded;
        self
    }

    /// Keeps one row a key, as the table's schema says what that is.
    pub async fn keep_keys(&mut self, table: &TableMetadata, memory: &Arc<KeyMemory>) -> Result<()> {
        identity::check(&self.table, &self.job, table)?;
        let (store, ids) = (self.home.store.clone(), key_ids(table.current_schema()));
        let keyed = KeyedTable::new(store, table, ids, self.home.ids.uuid().as_u64_pair().0)?;
        let folder = (self.home.key_index(table.uuid()), self.home.ids.uuid());
        self.keyed = Some(keyed.kept_in(memory, folder, table.uuid()).await?);
        Ok(())
    }

    /// Nothing is committed any more.
    pub async fn end(&mut self) {
        if let Some(keyed) = &mut self.keyed {
            keyed.end().await;
        }
    }

    /// What work that a manifest names changes by keys: rows, and files of keys that are deleted. Nothing where every
    /// record is a row.
    pub async fn changes_of(
        &self,
        (files, deleted): (&[DataFile], &[DataFile]),
        name: EpochName,
    ) -> Result<Option<StagedChanges>> {
        let Some(keyed) = &self.keyed else { return Ok(None) };
        let table = &self.base()?.metadata;
        let (partial, deleted): (Vec<_>, Vec<_>) =
            deleted.iter().cloned().partition(|file| file.content_type() == DataContentType::PositionDeletes);
        let mut keys = keyed.staged(table, files, &deleted).await?;
        let partial = keyed.partial(table, &partial).await?;
        keys.empties = matches!(partial.emptied, Some(Emptied::Deleted));
        let names = FileNames::new(self.home.store.clone(), table.location(), name);
        let records = (keys.put.iter().map(Vec::len).sum::<usize>() + keys.deleted.len() + partial.keys.len()) as u64;
        let (keys, partial) = (Arc::new(keys), Arc::new(partial));
        Ok(Some(StagedChanges { records, keys, partial, lost: 0, deleted: Vec::new(), told: None, names }))
    }

    /// The columns of its keys, and what they are hashed by.
    pub fn keys(&self) -> Option<(Vec<i32>, Arc<KeyHasher>)> {
        self.keyed.as_ref().map(|keyed| (keyed.columns().to_vec(), keyed.hasher().clone()))
    }

    /// Whether its decoder still is the right one (I3).
    pub fn is_as_decoded(&self) -> Result<bool> {
        let base = self.base()?;
        Ok(self.decoded.as_ref().is_none_or(|decoded| decoded.fits(&base.metadata)))
    }

    /// The table as it was last loaded or left by an own commit.
    pub fn base(&self) -> Result<&LoadedTable> {
        self.base.as_ref().ok_or_else(|| Error::internal("a commit was decided before the table was loaded"))
    }

    /// Loads the table. An error is one that a person has to mend.
    pub async fn look(&mut self, patience: &mut Patience) -> Result<Look> {
        match load(&self.home, &self.table).await {
            Ok(table) => {
                if let Some(snapshot) = last_change(&table.metadata) {
                    self.progress.found_commit_of(Millis(snapshot.timestamp_ms()));
                }
                let facts = table_facts(&table, self.home.catalog.guard(), &self.job);
                self.saw(&table.metadata);
                self.base = Some(table);
                Ok(Look::Facts(Box::new(facts)))
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                patience.pause_after(error).await?;
                Ok(Look::Failed)
            }
            Err(error) => Err(error),
        }
    }

    /// The ledger as a table has it: property and summary alike.
    pub fn ledger_properties(&self, ledger: &Ledger) -> Result<BTreeMap<String, String>> {
        Ok(BTreeMap::from([(Ledger::property(&self.job), ledger.to_text()?)]))
    }

    /// Adds columns ahead of the files that have them. False when the table's columns are others by now: the files do
    /// not fit.
    pub async fn add_columns(&mut self, evolution: &Evolution, patience: &mut Patience) -> Result<bool> {
        let base = self.base()?.clone();
        let (requirements, updates) = prepare_columns(&base.metadata, evolution);
        match self.home.catalog.commit(&self.table, &base, requirements, updates).await {
            Ok(CommitOutcome::Applied(table)) => self.base = Some(table),
            Ok(CommitOutcome::Conflict { reason }) => {
                tracing::info!(table = %self.table, reason, "somebody else changed the table first");
                self.progress.conflicts.fetch_add(1, Ordering::Relaxed);
            }
            Ok(CommitOutcome::Unknown { error }) | Err(error) => patience.pause_after(error).await?,
        }
        if base.metadata_location == self.base()?.metadata_location {
            // What became of the change is in the table.
            while matches!(self.look(patience).await?, Look::Failed) {}
        }
        let current = self.base()?.metadata.current_schema();
        let fields = evolution.schema.as_struct().fields();
        Ok(fields.iter().all(|field| current.as_struct().fields().contains(field)))
    }

    /// Takes a step of a table that mirrors its schemas, unless it is another one by now: somebody else may have taken
    /// it. An error is one that a person has to mend, or that came too often. Whether it is taken is seen by whoever
    /// begins again.
    pub async fn follow(&mut self, step: &Step, patience: &mut Patience) -> Result<()> {
        let mut tried_on = None;
        loop {
            while matches!(self.look(patience).await?, Look::Failed) {}
            let base = self.base()?.clone();
            let is_another = tried_on.as_ref().is_some_and(|tried_on| *tried_on != base.metadata_location);
            if is_another || !self.is_as_decoded()? {
                return Ok(());
            }
            let change = mirror::change(&base.metadata, step);
            let (requirements, updates) = change.map_err(|error| mirror::refused(error, step, &self.table))?;
            match self.home.catalog.commit(&self.table, &base, requirements, updates).await {
                Ok(CommitOutcome::Applied(table)) => {
                    self.base = Some(table);
                    let dropped = step.drops.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                    tracing::info!(table = %self.table, version = %step.to.followed, dropped, "the table follows a schema");
                    return Ok(());
                }
                Ok(CommitOutcome::Conflict { reason }) => {
                    tracing::info!(table = %self.table, reason, "somebody else changed the table first");
                    self.progress.conflicts.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Conflict) => {
                    return Err(error);
                }
                Ok(CommitOutcome::Unknown { error }) | Err(error) => patience.pause_after(error).await?,
            }
            tried_on = Some(base.metadata_location);
        }
    }

    /// Builds the commit on the base that the machine decided with (I1), and sends it.
    pub async fn publish(
        &mut self,
        assertion: &Assertion,
        (delta, changes): (&RowDelta, Option<&mut StagedChanges>),
        patience: &mut Patience,
    ) -> Result<CommitReply> {
        if self.base()?.metadata_location != assertion.metadata_location {
            return Err(Error::internal("a commit was decided on another base than the loaded one"));
        }
        self.sent = None;
        let mut turn = self.home.turns.of(&self.table).await;
        if turn.is_past(&assertion.metadata_location) {
            tracing::debug!(table = %self.table, "another job of this process committed first");
            return Ok(CommitReply::Rejected);
        }
        match self.prepare(delta, changes).await {
            Ok(sent) => self.sent = Some(sent),
            // A file that is gone was replaced by somebody: the next look knows the new one.
            Err(error) if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NotFound) => return Err(error),
            Err(error) => {
                // Nothing was sent: the table is as it was, and the same files can go onto it again.
                drop(turn);
                patience.pause_after(error).await?;
                return Ok(CommitReply::Rejected);
            }
        }
        self.send(turn, patience).await
    }

    /// The commit, with what it deletes and keeps of its base (I4, I5).
    async fn prepare(&mut self, delta: &RowDelta, changes: Option<&mut StagedChanges>) -> Result<Sent> {
        let base = self.base()?.clone();
        let mut content = self.content_of(&delta.files, changes.as_deref());
        let (mut delta, mut changed) = (delta.clone(), None);
        if self.keyed.is_some() {
            identity::check(&self.table, &self.job, &base.metadata)?;
            delta.properties.extend([identity::property(base.metadata.current_schema())]);
        }
        if let (Some(keyed), Some(changes)) = (&mut self.keyed, changes) {
            keyed.catch_up(&base.metadata).await?;
            self.progress.indexes(keyed.extent());
            let (mut keys, mut lost, mut left_out) = (changes.keys.clone(), changes.lost, 0);
            if !changes.partial.is_empty() {
                let schema = delta.schema.as_ref().map(|evolution| Arc::new(evolution.schema.clone()));
                let schema = schema.unwrap_or_else(|| base.metadata.current_schema().clone());
                let of = (&schema, delta.spec_id);
                let partial = (changes.partial.as_ref(), keys.as_ref());
                let whole = keyed.complete(&base.metadata, partial, of, &mut changes.names).await?;
                content.bytes.extend(whole.files.iter().map(DataFile::file_size_in_bytes));
                delta.files.extend(whole.files);
                let all = Arc::make_mut(&mut keys);
                all.put.extend(whole.keys);
                all.deleted.extend(whole.deleted);
                lost += whole.lost;
                left_out = whole.left_out;
                delta.properties.extend(left_out::counted(&base.metadata, left_out));
            }
            let resolved = keyed.resolve(&base.metadata, &keys, &mut changes.names).await?;
            delta.deletes = resolved.deletes.clone();
            let (files, spec_id) = (delta.files.clone(), delta.spec_id);
            changed = Some(Changed { files, spec_id, keys, lost, left_out, resolved });
        }
        let prepared = prepare_row_delta(self.home.commit_context(), &base.metadata, &delta).await?;
        Ok(Sent { base, prepared, content, changed })
    }

    fn content_of(&self, files: &[DataFile], changes: Option<&StagedChanges>) -> Content {
        let rows = match (self.holds, changes) {
            (Holds::DeadLetters, _) => 0,
            (Holds::Rows, None) => files.iter().map(DataFile::record_count).sum(),
            (Holds::Rows, Some(changes)) => changes.records,
        };
        Content { rows, bytes: files.iter().map(DataFile::file_size_in_bytes).collect() }
    }

    /// Sends the last commit, unchanged (I2).
    pub async fn publish_again(&mut self, patience: &mut Patience) -> Result<CommitReply> {
        let turn = self.home.turns.of(&self.table).await;
        self.send(turn, patience).await
    }

    fn saw(&self, metadata: &TableMetadata) {
        let extent = extent_of(metadata);
        self.progress.saw(&self.table, extent);
        self.home.growth.saw(&self.table, extent.files());
    }

    /// Sends what was prepared (I6).
    async fn send(&mut self, mut turn: Turn, patience: &mut Patience) -> Result<CommitReply> {
        let Some(Sent { base, prepared, content, .. }) = &self.sent else {
            return Err(Error::internal("there is no commit to send again"));
        };
        let started = Instant::now();
        let (requirements, updates) = (prepared.requirements.clone(), prepared.updates.clone());
        let outcome = self.home.catalog.commit(&self.table, base, requirements, updates).await;
        if let Ok(CommitOutcome::Applied(table)) = &outcome {
            turn.left_at(&table.metadata_location);
        }
        drop(turn);
        match outcome {
            Ok(CommitOutcome::Applied(table)) => {
                let facts = table_facts(&table, self.home.catalog.guard(), &self.job);
                self.saw(&table.metadata);
                self.base = Some(table);
                let (rows, files, took_ms) = (content.rows, content.bytes.len(), started.elapsed().as_millis());
                tracing::debug!(table = %self.table, rows, files, took_ms, "committed");
                self.progress.committed(content, started.elapsed(), self.home.clock.now());
                self.note_changed()?;
                Ok(CommitReply::Applied(Box::new(facts)))
            }
            Ok(CommitOutcome::Conflict { reason }) => {
                tracing::info!(table = %self.table, reason, "somebody else committed first");
                self.progress.conflicts.fetch_add(1, Ordering::Relaxed);
                Ok(CommitReply::Rejected)
            }
            Ok(CommitOutcome::Unknown { error }) | Err(error) => {
                patience.pause_after(error).await?;
                Ok(CommitReply::Unknown)
            }
        }
    }
}

impl Target {
    /// The commit that was sent is in: so are its keys.
    fn note_changed(&mut self) -> Result<()> {
        let (Some(keyed), Some(table), Some(sent)) = (&mut self.keyed, &self.base, self.sent.take()) else {
            return Ok(());
        };
        match sent.changed {
            None => Ok(()),
            Some(Changed { files, spec_id, keys, lost, left_out, resolved }) => {
                let table_name = &self.table;
                if left_out > 0 {
                    tracing::warn!(table = %table_name, count = left_out, "changes that are older than the rows of their keys are left out");
                    self.progress.changes_left_out.fetch_add(left_out, Ordering::Relaxed);
                }
                if lost > 0 {
                    let table = table_name;
                    tracing::warn!(%table, lost, "values that their source did not send again are not known, and null");
                    self.progress.values_lost.fetch_add(lost, Ordering::Relaxed);
                }
                keyed.committed(&table.metadata, &sent.prepared, (&files, spec_id), &keys, resolved)?;
                self.progress.indexes(keyed.extent());
                Ok(())
            }
        }
    }
}

/// A count of a table's newest snapshot.
pub fn total_of(metadata: &TableMetadata, name: &str) -> u64 {
    let text = metadata.current_snapshot().and_then(|snapshot| snapshot.summary().additional_properties.get(name));
    text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
}

/// How large a table is.
pub fn extent_of(metadata: &TableMetadata) -> Extent {
    Extent {
        snapshots: metadata.snapshots().len() as u64,
        data_files: total_of(metadata, "total-data-files"),
        delete_files: total_of(metadata, "total-delete-files"),
        bytes: total_of(metadata, "total-files-size"),
    }
}

/// A job's table; that it is gone is for a person to decide about.
pub async fn load(home: &Home, table: &TableName) -> Result<LoadedTable> {
    match home.catalog.load_table(table).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::data(format!("table {table} was dropped"))
            .with_hint("`tableflow disable` it, then enable the topic again to make a new table")),
        loaded => loaded,
    }
}

/// What the decisions of the exactly-once protocol need to know about a table.
pub fn table_facts(table: &LoadedTable, guard: Guard, job: &JobName) -> TableFacts {
    let metadata = &table.metadata;
    let property = Ledger::property(job);
    let ledger = metadata.properties().get(&property).cloned();
    let history = History::trace(ledger.as_deref(), metadata.current_snapshot_id(), |id| {
        metadata.snapshot_by_id(id).map(|snapshot| SnapshotFacts {
            parent: snapshot.parent_snapshot_id(),
            ledger: snapshot.summary().additional_properties.get(&property).map(String::as_str),
        })
    });
    TableFacts {
        uuid: metadata.uuid(),
        guard,
        snapshot_id: metadata.current_snapshot_id(),
        last_sequence_number: metadata.last_sequence_number(),
        metadata_location: table.metadata_location.clone(),
        ledger,
        history,
    }
}
