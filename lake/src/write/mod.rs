//! Batches become data files.
//!
//! In flow order:
//!
//! ```text
//!  names     what an epoch's files are called
//!  split     a batch -> its rows by partition
//!  encoding  a file's first batch -> which columns get a dictionary, and the writer's other settings
//!  file      one data file while it is written: sorted, encoded in memory, with exact metrics
//!  positions files of deleted positions
//!  vectors   deletion vectors
//!  deletes   the delete files of a commit, in the form that the table has
//!  keys      files of the keys that an epoch deletes
//!  partial   files of the rows that lack values
//!  text      a finished file as text, for epoch manifests, and back
//! ```
//!
//! Owns [`Stager`]: what one epoch of one job writes to one table before the commit.
//! - I1: until a commit names a staged file no reader sees it.
//! - I2: memory is bounded: at most `OPEN_FILES_MAX` files are open, fewer where the encoders of their columns alone would
//!   take more than the stager may have, the largest is finished first, and a file is finished when it reaches its target
//!   size.
//! - I3: every row given to `write` is in exactly one of the files that `finish` returns, or `finish` fails.
//! - I4: where rows have keys, those of a file's rows stand in the file's order.
//! - I5: partitioning by nearly every row is done, and said: it makes a table that nobody can read quickly.
//!
//! Neighbours: `layout` gives batches the table's shape, `commit` publishes what `finish` returns.

mod deletes;
mod encoding;
mod file;
mod keys;
mod names;
mod partial;
mod positions;
mod split;
mod text;
mod vectors;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::row::OwnedRow;
use iceberg::spec::{DataFile, PartitionSpec, SchemaRef, TableMetadata};
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use crate::arrow_error;
use crate::keys::{Hash, KeyHasher};
use crate::layout::{arrow_schema, conform};
use file::FileKeys;
use split::Splitter;

pub use deletes::DeleteWriter;
pub(crate) use deletes::RowsOf;
pub(crate) use file::{FileLayout, OpenFile};
pub use keys::KeyFile;
pub use names::{EpochName, FileNames};
pub use partial::{PartialContent, PartialFile};
pub use text::{file_from_text, file_to_text};

/// Who wrote a file, as files say it.
pub(crate) const CREATED_BY: &str = concat!("tableflow ", env!("CARGO_PKG_VERSION"));

/// More open files than this and the largest is finished: each holds encoder buffers for every column.
const OPEN_FILES_MAX: usize = 64;

/// A file is finished at about this size. Ingest files are compacted later; this bounds memory and puts.
pub const FILE_BYTES_TARGET: usize = 64 * 1024 * 1024;

/// Fewer files than this in an epoch need no word, however few rows they have.
const FILES_NOTICED_MIN: usize = 1000;

/// A day of a busy topic has more rows in each partition than this; an id as partition has fewer.
const ROWS_PER_FILE_FEW: u64 = 10;

/// The files of one epoch under way.
#[derive(Debug)]
pub struct Stager {
    names: FileNames,
    layout: FileLayout,
    splitter: Splitter,
    /// The columns that the splitter reads.
    partitioned_by: Vec<i32>,
    open: HashMap<Option<OwnedRow>, OpenFile>,
    /// What the encoders of the open files may take.
    encoders_bytes_max: usize,
    done: Vec<DataFile>,
    keys: Vec<Vec<Hash>>,
    rows: u64,
}

/// What an epoch's commit adds to the table.
#[derive(Debug)]
pub struct Staged {
    pub files: Vec<DataFile>,
    /// Of each file's rows, where they have some (I4).
    pub keys: Vec<Vec<Hash>>,
    /// For further files of the same epoch.
    pub names: FileNames,
}

impl Stager {
    /// Files for `table` with the columns of `schema` (the table's own, or the evolved one that this epoch's
    /// commit publishes).
    pub fn new(store: Store, table: &TableMetadata, schema: SchemaRef, name: EpochName) -> Result<Self> {
        let names = FileNames::new(store, table.location(), name);
        Self::under(names, table, schema, table.default_partition_spec())
    }

    /// Further files of an epoch, parted by this spec of the table.
    pub fn under(names: FileNames, table: &TableMetadata, schema: SchemaRef, spec: &PartitionSpec) -> Result<Self> {
        let layout = FileLayout {
            arrow_schema: arrow_schema(&schema)?,
            spec_id: spec.spec_id(),
            sort_order: table.default_sort_order().as_ref().clone(),
            rows_come_sorted: false,
            schema,
            keys: None,
        };
        let splitter = Splitter::new(spec, &layout.schema)?;
        let partitioned_by = spec.fields().iter().map(|field| field.source_id).collect();
        let (open, done, keys) = (HashMap::new(), Vec::new(), Vec::new());
        let (encoders_bytes_max, rows) = (usize::MAX, 0);
        Ok(Stager { names, layout, splitter, partitioned_by, open, encoders_bytes_max, done, keys, rows })
    }

    /// Keeps the keys of the rows, which are in the columns with these ids (I4).
    #[must_use]
    pub fn with_keys(mut self, columns: Vec<i32>, hasher: Arc<KeyHasher>) -> Self {
        self.layout.keys = Some(FileKeys { columns, hasher });
        self
    }

    /// From now on the encoders of the open files take at most so much, but for those of one file (I2).
    pub fn limit_encoders(&mut self, bytes_max: usize) {
        self.encoders_bytes_max = bytes_max;
    }

    fn open_files_max(&self) -> usize {
        let of_one = self.layout.encoders_memory().max(1);
        (self.encoders_bytes_max / of_one).clamp(1, OPEN_FILES_MAX)
    }

    /// Rows taken so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What waits in memory: open files, and what the manifest will say of those that are done.
    pub fn memory(&self) -> usize {
        self.open.values().map(OpenFile::memory).sum::<usize>() + self.done.len() * self.layout.described_memory()
    }

    /// About how large the files that are not done will be.
    pub fn file_bytes(&self) -> usize {
        self.open.values().map(OpenFile::file_bytes).sum()
    }

    /// Files already put; a commit should come when they become many.
    pub fn files_done(&self) -> usize {
        self.done.len()
    }

    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        let batch = conform(batch, &self.layout.arrow_schema)?;
        for part in self.splitter.split(batch)? {
            self.write_part(part).await?;
        }
        Ok(())
    }

    /// Many batches, of which each may have rows of every partition: one after another would be a few rows for each file.
    pub async fn write_together(&mut self, batches: Vec<RecordBatch>) -> Result<()> {
        let (mut some, mut bytes) = (Vec::new(), 0);
        let mut batches = batches.into_iter().peekable();
        while let Some(batch) = batches.next() {
            let batch = conform(&batch, &self.layout.arrow_schema)?;
            bytes += batch.get_array_memory_size();
            some.push(batch);
            if bytes >= FILE_BYTES_TARGET || batches.peek().is_none() {
                let together = concat_batches(&self.layout.arrow_schema, &some);
                some.clear();
                bytes = 0;
                self.write(&together.map_err(arrow_error("the rows of an epoch do not fit together"))?).await?;
            }
        }
        Ok(())
    }

    async fn write_part(&mut self, part: split::Part) -> Result<()> {
        if let Some(file) = self.open.get_mut(&part.key) {
            file.write(part.rows, &self.layout).await?;
        } else {
            if self.open.len() >= self.open_files_max() {
                self.finish_largest().await?;
            }
            let file = OpenFile::begin(part.partition, part.rows, &self.layout).await?;
            self.open.insert(part.key.clone(), file);
        }
        let is_full = self.open.get(&part.key).is_some_and(|file| file.file_bytes() >= FILE_BYTES_TARGET);
        if is_full { self.finish_file(&part.key).await } else { Ok(()) }
    }

    async fn finish_largest(&mut self) -> Result<()> {
        let largest = self.open.iter().max_by_key(|(_, file)| file.memory()).map(|(key, _)| key.clone());
        match largest {
            Some(key) => self.finish_file(&key).await,
            None => Ok(()),
        }
    }

    async fn finish_file(&mut self, key: &Option<OwnedRow>) -> Result<()> {
        let Some(file) = self.open.remove(key) else { return Ok(()) };
        let mut finished = file.finish(&self.layout).await?;
        let uri = self.names.put(&finished.bytes).await?;
        self.keys.push(std::mem::take(&mut finished.keys));
        self.done.push(finished.describe(&uri, &self.layout)?);
        Ok(())
    }

    /// Goes on with the columns of `schema`: rows so far stay in files without the new ones.
    /// A column that partitions the table keeps its type.
    pub async fn evolve(&mut self, schema: SchemaRef) -> Result<()> {
        let type_in = |schema: &SchemaRef, id: i32| schema.field_by_id(id).map(|field| field.field_type.clone());
        if let Some(id) =
            self.partitioned_by.iter().find(|id| type_in(&self.layout.schema, **id) != type_in(&schema, **id))
        {
            let name = schema.name_by_field_id(*id).unwrap_or_default();
            return Err(Error::data(format!("column {name} would become wider, and the table is partitioned by it"))
                .with_hint("keep the field's type, or enable the topic into another table with --table"));
        }
        self.finish_open().await?;
        self.layout.arrow_schema = arrow_schema(&schema)?;
        self.layout.schema = schema;
        Ok(())
    }

    async fn finish_open(&mut self) -> Result<()> {
        let mut keys: Vec<_> = self.open.keys().cloned().collect();
        keys.sort();
        for key in keys {
            self.finish_file(&key).await?;
        }
        Ok(())
    }

    /// Finishes every open file (I3). The files are in no snapshot yet.
    pub async fn finish(mut self) -> Result<Staged> {
        self.finish_open().await?;
        if are_splinters(self.done.len(), self.rows) {
            tracing::warn!(
                job = %self.names.job(),
                files = self.done.len(),
                rows = self.rows,
                hint = "partition by fewer values: bucket(N, column), truncate(N, column) or day(column)",
                "the partition columns have nearly as many values as there are rows"
            );
        }
        Ok(Staged { files: self.done, keys: self.keys, names: self.names })
    }
}

/// I5.
fn are_splinters(files: usize, rows: u64) -> bool {
    files >= FILES_NOTICED_MIN && rows < files as u64 * ROWS_PER_FILE_FEW
}

#[cfg(test)]
mod tests {
    use super::are_splinters;

    #[test]
    fn i5_many_files_of_few_rows_are_noticed() {
        assert!(are_splinters(1000, 1000));
        assert!(are_splinters(60_000, 599_999));
        assert!(!are_splinters(1000, 10_000));
        assert!(!are_splinters(999, 999));
    }
}
