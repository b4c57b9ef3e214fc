//! One epoch: records in, staged files out, nothing visible yet.
//!
//! Owns [`Reader`], which turns a topic into rows, and [`EpochFiles`], which turns the rows of one epoch into files.
//! - I1: `positions` are exactly behind the rows written: a crash at any moment repeats or drops whole epochs.
//! - I2: rows before a record that stops its partition, and those of other partitions already read, belong to the
//!   epoch.
//! - I3: a column that appears gets its field id once; the epoch's commit publishes it with the first rows.
//! - I4: of a table with one row a key the epoch's changes are held until it ends: the last one of each key is staged, or
//!   each where the table keeps the versions of its rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use iceberg::spec::{DataFile, SchemaRef, TableMetadata};
use tableflow_connectors::decode::Reason;
use tableflow_lake::keys::{Hash, KeyHasher};
use tableflow_lake::layout::{DeleteEncoding, Evolution, arrow_schema, evolve, latest_by};
use tableflow_lake::upsert::{Collapse, Emptied, PartialRows, StagedKeys};
use tableflow_lake::write::{EpochName, FileNames, Staged, Stager};
use tableflow_model::protocol::feed::Registration;
use tableflow_model::protocol::{Epoch, Tally};
use tableflow_model::{Error, Millis, Offset, Partition, Result, Source, TableName, TopicName};
use tableflow_store::Store;

use super::account::Counts;
use super::decoding::{Changes, Truncation};
use super::dispatch::{Dispatch, LeaderEpoch, ROWS, Rows, Volume};
use crate::definition::{Definition, ErrorHandling};

/// One poll reads about this much: large enough for whole batches, small enough to notice a stop at once.
const POLL_BYTES: usize = 1024 * 1024;

/// Topic to rows.
pub struct Reader {
    table: TableName,
    topic: TopicName,
    source: Box<dyn Source>,
    dispatch: Box<dyn Dispatch>,
    error_handling: ErrorHandling,
    /// What the next rows belong to.
    epoch: Epoch,
    /// Older records were there before the table was: how long they took says nothing.
    fresh_from: Millis,
}

impl Reader {
    pub fn new(definition: &Definition, source: Box<dyn Source>, dispatch: Box<dyn Dispatch>) -> Self {
        Reader {
            table: definition.table.clone(),
            topic: definition.topic.clone(),
            source,
            dispatch,
            error_handling: definition.error_handling,
            epoch: Epoch::default(),
            fresh_from: definition.created_at,
        }
    }

    pub fn table(&self) -> &TableName {
        &self.table
    }

    pub fn begin(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    pub fn source(&mut self) -> &mut dyn Source {
        self.source.as_mut()
    }

    pub fn keeps_back(&self, partition: Partition) -> bool {
        self.source.keeps_back(partition)
    }

    /// Records are here that wait for older ones of other partitions.
    pub fn keeps_some_back(&self) -> bool {
        self.source.keeps_some_back()
    }

    /// What is there now, as rows.
    pub async fn poll(&mut self) -> Result<Vec<Rows>> {
        let mut rows = Vec::new();
        for records in self.source.poll(POLL_BYTES)? {
            let mut from = 0;
            for mut rows_of in self.dispatch.rows(&records, self.epoch).await? {
                self.tell(&rows_of);
                let end = records.offsets.partition_point(|offset| *offset < rows_of.next_offset.0);
                rows_of.volume = Volume::of(&records, from..end, self.fresh_from);
                from = end;
                rows.push(rows_of);
            }
        }
        Ok(rows)
    }
}

impl Reader {
    /// Says once a batch which records become no rows.
    fn tell(&self, rows: &Rows) {
        // Notices are no news.
        let bad = || rows.passed_over.iter().filter(|it| it.reason != Reason::Notice);
        if let Some(first) = bad().next() {
            let (partition, offset, count) = (rows.partition, first.offset, bad().count());
            let (table, topic) = (&self.table, &self.topic);
            let reason = &first.reason;
            match self.error_handling {
                ErrorHandling::Log => {
                    tracing::warn!(%table, %topic, %partition, %offset, %reason, count, "records become dead letters");
                }
                _ => tracing::warn!(%table, %topic, %partition, %offset, %reason, count, "records are left out"),
            }
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("dispatch", &self.dispatch).finish_non_exhaustive()
    }
}

/// The files of one epoch, table by table, and how far it has come.
#[derive(Debug)]
pub struct EpochFiles {
    tables: Vec<TableFiles>,
    pub positions: BTreeMap<Partition, Offset>,
    /// Of the last records before the positions, where this epoch has read some.
    pub leader_epochs: BTreeMap<Partition, Option<i32>>,
    /// The records before the positions that are rows of no table, or of that of dead letters.
    pub tally: Tally,
    /// Why they are none.
    reasons: BTreeMap<&'static str, u64>,
    volume: Volume,
    pub moved: bool,
}

impl EpochFiles {
    pub fn new(tables: Vec<TableFiles>, positions: BTreeMap<Partition, Offset>) -> Self {
        let (leader_epochs, tally, moved) = (BTreeMap::new(), Tally::default(), false);
        let (reasons, volume) = Default::default();
        EpochFiles { tables, positions, leader_epochs, tally, reasons, volume, moved }
    }

    /// What the encoders of the tables' open files may take, all together.
    pub fn limit_encoders(&mut self, bytes_max: u64) {
        let each = usize::try_from(bytes_max).unwrap_or(usize::MAX) / self.tables.len().max(1);
        self.tables.iter_mut().for_each(|table| table.stager.limit_encoders(each));
    }

    /// What the epoch holds so far.
    pub fn counts(&self) -> Counts {
        let Tally { skipped, dead_lettered } = self.tally;
        let rows = self.tables.iter().map(TableFiles::records).sum::<u64>() - dead_lettered;
        Counts { rows, skipped, dead_lettered, bytes: self.volume.bytes, reasons: self.reasons.clone() }
    }

    /// The time of the oldest record that came since the table is there.
    pub fn oldest(&self) -> Option<Millis> {
        self.volume.oldest
    }

    /// What waits in memory.
    pub fn memory(&self) -> usize {
        self.tables.iter().map(TableFiles::memory).sum()
    }

    /// About how large the files that are not done will be.
    pub fn file_bytes(&self) -> usize {
        self.tables.iter().map(|table| table.stager.file_bytes()).sum()
    }

    pub fn files_done(&self) -> usize {
        self.tables.iter().map(|table| table.stager.files_done()).sum()
    }

    /// Takes rows and moves the position behind them (I1).
    pub async fn write(&mut self, rows: &Rows) -> Result<()> {
        for (place, part) in &rows.parts {
            let table = self.tables.get_mut(*place);
            let table = table.ok_or_else(|| Error::internal("rows are for a table that the job does not have"))?;
            match rows.changes.as_ref().filter(|_| *place == ROWS) {
                None => table.write(part).await?,
                Some(changes) => table.change(part, changes).await?,
            }
        }
        self.tally += rows.tally;
        self.volume += rows.volume;
        for passed_over in &rows.passed_over {
            *self.reasons.entry(passed_over.reason.code()).or_default() += 1;
        }
        match rows.leader_epoch {
            LeaderEpoch::AsBefore => {}
            LeaderEpoch::Known(epoch) => drop(self.leader_epochs.insert(rows.partition, Some(epoch))),
            LeaderEpoch::Unknown => drop(self.leader_epochs.insert(rows.partition, None)),
        }
        let before = self.positions.insert(rows.partition, rows.next_offset);
        self.moved |= before != Some(rows.next_offset);
        Ok(())
    }

    /// What each table's commit takes, in the order of the job's tables.
    pub async fn finish(self) -> Result<Vec<StagedFiles>> {
        let mut staged = Vec::with_capacity(self.tables.len());
        for table in self.tables {
            staged.push(table.finish().await?);
        }
        Ok(staged)
    }
}

/// The files of one epoch for one table.
#[derive(Debug)]
pub struct TableFiles {
    stager: Stager,
    /// The table's columns, and those that this epoch adds (I3).
    schema: SchemaRef,
    last_column_id: i32,
    evolved: bool,
    /// Somebody follows what changes (rule F1).
    is_followed: bool,
    /// The column that tells which row of a key is the latest.
    latest_by: Option<String>,
    /// Where the table has one row a key.
    upserts: Option<Upserts>,
}

/// The changes of one epoch (I4).
#[derive(Debug)]
struct Upserts {
    hasher: Arc<KeyHasher>,
    /// The columns of keys.
    columns: Vec<String>,
    collapse: Collapse,
    records: u64,
}

impl Upserts {
    fn keys_of(&self, batch: &RecordBatch) -> Result<Vec<Hash>> {
        let column = |name: &String| {
            let column = batch.column_by_name(name).cloned();
            column.ok_or_else(|| Error::internal("rows have no column of those that identify them").with_detail(name))
        };
        self.hasher.hashes(&self.columns.iter().map(column).collect::<Result<Vec<_>>>()?)
    }
}

/// What an epoch hands to a table's commit.
#[derive(Debug)]
pub struct StagedFiles {
    pub files: Vec<DataFile>,
    pub schema: Option<Evolution>,
    /// Where the table has one row a key.
    pub changes: Option<StagedChanges>,
}

/// What an epoch changes by keys.
#[derive(Debug)]
pub struct StagedChanges {
    /// How many changes there were.
    pub records: u64,
    pub keys: Arc<StagedKeys>,
    /// Rows that lack values, which the table has, and what becomes of all its rows.
    pub partial: Arc<PartialRows>,
    /// Values that were not sent again, of rows that were deleted before.
    pub lost: u64,
    /// The columns of the keys that are deleted.
    pub deleted: Vec<RecordBatch>,
    /// How a snapshot names the file of all versions, where the table is followed.
    pub told: Option<String>,
    /// For the files of what the commit deletes.
    pub names: FileNames,
}

impl TableFiles {
    pub fn new(store: Store, table: &TableMetadata, name: EpochName) -> Result<Self> {
        let schema = table.current_schema().clone();
        let stager = Stager::new(store, table, schema.clone(), name)?;
        let (last_column_id, evolved, upserts) = (table.last_column_id(), false, None);
        // A commit that copies data files is read as a difference: its change file would say nothing of rows that stay.
        let copies = DeleteEncoding::of(table) == DeleteEncoding::Copy;
        let is_followed = !copies && Registration::is_any(table.properties().keys());
        let latest_by = latest_by(table)?;
        Ok(TableFiles { stager, schema, last_column_id, evolved, is_followed, latest_by, upserts })
    }

    /// Keeps one row a key, which is in these columns.
    #[must_use]
    pub fn with_keys(mut self, ids: Vec<i32>, hasher: Arc<KeyHasher>) -> Self {
        let name = |id: &i32| self.schema.name_by_field_id(*id).map(str::to_owned);
        let mut columns: Vec<String> = ids.iter().filter_map(name).collect();
        if hasher.is_of_versions() {
            // The last one says which rows are in force.
            columns.pop();
        }
        self.stager = self.stager.with_keys(ids, hasher.clone());
        let collapse = match (hasher.is_of_versions(), &self.latest_by, self.is_followed) {
            // What is told of them is the difference.
            (true, ..) => Collapse::of_versions(columns.clone()),
            (false, Some(column), _) => Collapse::latest_by(columns.clone(), column.clone()),
            (false, None, true) => Collapse::telling(),
            (false, None, false) => Collapse::default(),
        };
        self.upserts = Some(Upserts { hasher, columns, collapse, records: 0 });
        self
    }

    /// Records that became rows or deletes so far.
    fn records(&self) -> u64 {
        self.upserts.as_ref().map_or_else(|| self.stager.rows(), |upserts| upserts.records)
    }

    fn memory(&self) -> usize {
        self.stager.memory() + self.upserts.as_ref().map_or(0, |upserts| upserts.collapse.memory())
    }

    async fn change(&mut self, rows: &RecordBatch, changes: &Changes) -> Result<()> {
        self.grow(rows).await?;
        let Some(upserts) = &mut self.upserts else {
            return Err(Error::internal("changes are for a table that every record is a row of"));
        };
        upserts.records += changes.records() as u64;
        if let Some(Truncation { order, emptied, .. }) = &changes.truncation {
            upserts.collapse.empty(emptied.clone(), &upserts.columns, *order)?;
        }
        match (rows.num_rows() > 0, changes.deleted.num_rows() > 0) {
            (false, false) => {}
            (true, false) => {
                let keys = upserts.keys_of(rows)?;
                upserts.collapse.put_partly(rows.clone(), (&keys, &changes.keeps), &changes.orders);
            }
            (false, true) => {
                let keys = upserts.keys_of(&changes.deleted)?;
                upserts.collapse.delete(changes.deleted.clone(), &keys, &changes.deleted_orders);
            }
            (true, true) => {
                let (put, deleted) = (upserts.keys_of(rows)?, upserts.keys_of(&changes.deleted)?);
                upserts.collapse.put_and_delete(
                    (rows.clone(), &put, &changes.keeps, &changes.orders),
                    (changes.deleted.clone(), &deleted, &changes.deleted_orders),
                );
            }
        }
        if let Some(marks) = &changes.marks {
            let keys = upserts.keys_of(&marks.rows)?;
            let keeps = vec![marks.keeps(); keys.len()];
            upserts.collapse.put_partly(marks.rows.clone(), (&keys, &keeps), &marks.orders);
        }
        Ok(())
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.grow(batch).await?;
        self.stager.write(batch).await
    }

    /// Adds the columns that the batch brings (I3).
    async fn grow(&mut self, batch: &RecordBatch) -> Result<()> {
        if let Some(evolution) = evolve(&self.schema, self.last_column_id, batch.schema_ref().fields())? {
            self.last_column_id = evolution.last_column_id;
            self.schema = Arc::new(evolution.schema);
            self.evolved = true;
            self.stager.evolve(self.schema.clone()).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<StagedFiles> {
        let mut changed = None;
        if let Some(upserts) = self.upserts.take() {
            let mut collapsed = upserts.collapse.finish(&arrow_schema(&self.schema)?)?;
            self.stager.write_together(std::mem::take(&mut collapsed.rows)).await?;
            changed = Some((upserts.records, collapsed));
        }
        let schema = self
            .evolved
            .then(|| Evolution { schema: self.schema.as_ref().clone(), last_column_id: self.last_column_id });
        let Staged { files, keys, mut names } = self.stager.finish().await?;
        let mut changes = None;
        if let Some((records, collapsed)) = changed {
            let told = match collapsed.versions {
                Some(versions) => versions.put(&self.schema, &mut names).await?,
                None => None,
            };
            let empties = matches!(collapsed.partial.emptied, Some(Emptied::Deleted));
            let keys = Arc::new(StagedKeys { put: keys, deleted: collapsed.deleted, empties });
            let (partial, lost) = (Arc::new(collapsed.partial), collapsed.lost);
            changes =
                Some(StagedChanges { records, keys, partial, lost, deleted: collapsed.deleted_keys, told, names });
        }
        Ok(StagedFiles { files, schema, changes })
    }
}
