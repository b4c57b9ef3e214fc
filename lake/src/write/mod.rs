//! Batches become data files.
//!
//! In flow order:
//!
//! ```text
//!  split     a batch -> its rows by partition
//!  encoding  a file's first batch -> which columns get a dictionary, and the writer's other settings
//!  file      one data file while it is written: sorted, encoded in memory, with exact metrics
//!  text      a finished file as text, for epoch manifests, and back
//! ```
//!
//! Owns [`Stager`]: what one epoch of one job writes to one table before the commit.
//! - I1: a staged file is named by job, generation, epoch and number (rule G1) and put create-only: a name that
//!   somebody else took is left to them. Until a commit names the file no reader sees it.
//! - I2: memory is bounded: at most `OPEN_FILES_MAX` files are open, fewer where the encoders of their columns alone would
//!   take more than the stager may have, the largest is finished first, and a file is finished when it reaches its target
//!   size.
//! - I3: every row given to `write` is in exactly one of the files that `finish` returns, or `finish` fails.
//! - I4: partitioning by nearly every row is done, and said: it makes a table that nobody can read quickly.
//!
//! Neighbours: `layout` gives batches the table's shape, `commit` publishes what `finish` returns.

mod encoding;
mod file;
mod split;
mod text;

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::row::OwnedRow;
use bytes::Bytes;
use iceberg::spec::{DataFile, SchemaRef, TableMetadata};
use tableflow_model::protocol::{Epoch, FileName, Generation};
use tableflow_model::{Error, JobName, Result};
use tableflow_store::paths::TablePaths;
use tableflow_store::{PutOutcome, Store};

use crate::layout::{arrow_schema, conform};
use file::{FileLayout, OpenFile};
use split::Splitter;

pub use text::{file_from_text, file_to_text};

/// More open files than this and the largest is finished: each holds encoder buffers for every column.
const OPEN_FILES_MAX: usize = 64;

/// A file is finished at about this size. Ingest files are compacted later; this bounds memory and puts.
pub const FILE_BYTES_TARGET: usize = 64 * 1024 * 1024;

/// A dead process of the same generation may have left a few files behind; more than this is a live one.
const NAMES_TRIED_MAX: u32 = 1000;

/// Fewer files than this in an epoch need no word, however few rows they have.
const FILES_NOTICED_MIN: usize = 1000;

/// A day of a busy topic has more rows in each partition than this; an id as partition has fewer.
const ROWS_PER_FILE_FEW: u64 = 10;

/// The part of a file's name that says who wrote it and for what.
#[derive(Clone, Debug)]
pub struct EpochName {
    pub job: JobName,
    pub generation: Generation,
    pub epoch: Epoch,
}

/// The files of one epoch under way.
#[derive(Debug)]
pub struct Stager {
    store: Store,
    paths: TablePaths,
    name: EpochName,
    layout: FileLayout,
    splitter: Splitter,
    /// The columns that the splitter reads.
    partitioned_by: Vec<i32>,
    open: HashMap<Option<OwnedRow>, OpenFile>,
    /// What the encoders of the open files may take.
    encoders_bytes_max: usize,
    done: Vec<DataFile>,
    next_number: u32,
    rows: u64,
}

impl Stager {
    /// Files for `table` with the columns of `schema` (the table's own, or the evolved one that this epoch's
    /// commit publishes).
    pub fn new(store: Store, table: &TableMetadata, schema: SchemaRef, name: EpochName) -> Result<Self> {
        let spec = table.default_partition_spec();
        let layout = FileLayout {
            arrow_schema: arrow_schema(&schema)?,
            spec_id: spec.spec_id(),
            sort_order: table.default_sort_order().as_ref().clone(),
            schema,
        };
        let splitter = Splitter::new(spec, &layout.schema)?;
        let paths = TablePaths::at(table.location());
        let (open, done) = (HashMap::new(), Vec::new());
        let partitioned_by = spec.fields().iter().map(|field| field.source_id).collect();
        let (encoders_bytes_max, next_number, rows) = (usize::MAX, 0, 0);
        Ok(Stager {
            store,
            paths,
            name,
            layout,
            splitter,
            partitioned_by,
            open,
            encoders_bytes_max,
            done,
            next_number,
            rows,
        })
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

    async fn write_part(&mut self, part: split::Part) -> Result<()> {
        if let Some(file) = self.open.get_mut(&part.key) {
            file.write(part.rows).await?;
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
        let finished = file.finish(&self.layout).await?;
        let uri = self.put(&finished.bytes).await?;
        self.done.push(finished.describe(&uri, &self.layout)?);
        Ok(())
    }

    /// I1: under the next name that nobody has taken.
    async fn put(&mut self, bytes: &Bytes) -> Result<String> {
        for _ in 0..NAMES_TRIED_MAX {
            let number = self.next_number;
            self.next_number += 1;
            let EpochName { job, generation, epoch } = &self.name;
            let uri = self.paths.data_file(&FileName::new(job, *generation, *epoch, number.into()));
            if self.store.put_new(&uri, bytes.clone()).await? != PutOutcome::Taken {
                return Ok(uri);
            }
        }
        Err(Error::conflict(format!("{NAMES_TRIED_MAX} file names in a row are taken by another process"))
            .with_hint("another process writes the same epoch of this table: stop one of them"))
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
    pub async fn finish(mut self) -> Result<Vec<DataFile>> {
        self.finish_open().await?;
        if are_splinters(self.done.len(), self.rows) {
            tracing::warn!(
                job = %self.name.job,
                files = self.done.len(),
                rows = self.rows,
                hint = "partition by fewer values: bucket(N, column), truncate(N, column) or day(column)",
                "the partition columns have nearly as many values as there are rows"
            );
        }
        Ok(self.done)
    }
}

/// I4.
fn are_splinters(files: usize, rows: u64) -> bool {
    files >= FILES_NOTICED_MIN && rows < files as u64 * ROWS_PER_FILE_FEW
}

#[cfg(test)]
mod tests {
    use super::are_splinters;

    #[test]
    fn i4_many_files_of_few_rows_are_noticed() {
        assert!(are_splinters(1000, 1000));
        assert!(are_splinters(60_000, 599_999));
        assert!(!are_splinters(1000, 10_000));
        assert!(!are_splinters(999, 999));
    }
}
