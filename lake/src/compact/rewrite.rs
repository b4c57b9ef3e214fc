//! A group of files becomes others.
//!
//! Owns [`Rewriter`] and [`Rewritten`].
//! - I1: every row of the group that is not deleted in the plan's snapshot is in exactly one of the new files.
//! - I2: rows keep their partition and its spec; they get the columns that the table has now, and its order.
//! - I3: at any time one new file is in memory, and a batch of one old one.

use std::sync::Arc;

use arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::compute::filter_record_batch;
use iceberg::spec::{DataFile, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::Result;
use tableflow_store::Store;
use tokio::sync::Mutex;

use super::moved::{Moved, Place};
use super::plan::{Group, Plan};
use crate::arrow_error;
use crate::commit::LiveFile;
use crate::layout::{arrow_schema, conform};
use crate::read::{ColumnReader, deleted_rows};
use crate::write::{EpochName, FileLayout, FileNames, OpenFile};

/// New files in place of those of a group, staged.
#[derive(Debug)]
pub struct Rewritten {
    pub group: Group,
    pub files: Vec<DataFile>,
    pub(super) moved: Moved,
}

impl Rewritten {
    /// Of the new files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(DataFile::file_size_in_bytes).sum()
    }

    pub fn rows(&self) -> u64 {
        self.files.iter().map(DataFile::record_count).sum()
    }
}

/// Rewrites the groups of one plan.
#[derive(Debug)]
pub struct Rewriter {
    store: Store,
    table: Arc<TableMetadata>,
    plan: Arc<Plan>,
    reader: ColumnReader,
    names: Mutex<FileNames>,
}

impl Rewriter {
    /// `table` is what was planned on; new files get the names of this epoch.
    pub fn new(store: Store, table: Arc<TableMetadata>, plan: Arc<Plan>, name: EpochName) -> Result<Self> {
        let reader = ColumnReader::new(&table, table.current_schema())?;
        let names = Mutex::new(FileNames::new(store.clone(), table.location(), name));
        Ok(Rewriter { store, table, plan, reader, names })
    }

    /// For further files of the same epoch.
    pub async fn names(&self) -> FileNames {
        self.names.lock().await.clone()
    }

    pub async fn rewrite(&self, group: Group) -> Result<Rewritten> {
        let live: Vec<&LiveFile> = group.files.iter().map(|input| &input.live).collect();
        let mut deleted = deleted_rows(&self.store, &self.table, &self.plan.deletes, &live).await?;
        let schema = self.table.current_schema().clone();
        let layout = FileLayout {
            arrow_schema: arrow_schema(&schema)?,
            spec_id: group.spec_id,
            sort_order: self.table.default_sort_order().as_ref().clone(),
            schema,
            keys: None,
        };
        let mut outputs = Outputs::new(self, &group, &layout);
        for input in &group.files {
            let deleted = deleted.remove(input.live.file.file_path()).unwrap_or_default();
            outputs.take(&input.live.file, deleted).await?;
        }
        let (files, moved) = outputs.finish().await?;
        Ok(Rewritten { group, files, moved })
    }
}

/// The new files of a group under way.
struct Outputs<'a> {
    rewriter: &'a Rewriter,
    group: &'a Group,
    layout: &'a FileLayout,
    /// With its rows so far.
    open: Option<(OpenFile, u64)>,
    done: Vec<DataFile>,
    moved: Moved,
}

impl<'a> Outputs<'a> {
    fn new(rewriter: &'a Rewriter, group: &'a Group, layout: &'a FileLayout) -> Self {
        Outputs { rewriter, group, layout, open: None, done: Vec::new(), moved: Moved::default() }
    }

    /// The rows of a file, but for those that are deleted.
    async fn take(&mut self, file: &DataFile, deleted: RoaringTreemap) -> Result<()> {
        let all = deleted.len() >= file.record_count();
        let of_file = deleted.clone();
        self.moved.source(deleted);
        if all {
            return Ok(());
        }
        let (mut batches, mut first, mut begins) =
            (self.rewriter.reader.open(&self.rewriter.store, file).await?, 0, true);
        while let Some(batch) = batches.next().await? {
            let rows = batch.num_rows() as u64;
            let kept = without(batch, first, &of_file)?;
            if kept.num_rows() > 0 {
                let output = self.done.len();
                let row = self.open.as_ref().map_or(0, |(_, rows)| *rows);
                if begins || row == 0 {
                    self.moved.run(first, Place { output, row });
                    begins = false;
                }
                self.write(&kept).await?;
            }
            first += rows;
            // Encoding takes its time: others come in between.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = conform(batch, &self.layout.arrow_schema)?;
        let rows = batch.num_rows() as u64;
        let (file, written) = match self.open.take() {
            Some((mut file, written)) => {
                file.write(batch, self.layout).await?;
                (file, written)
            }
            None => (OpenFile::begin(self.group.partition.clone(), batch, self.layout).await?, 0),
        };
        let is_full = file.file_bytes() as u64 >= self.group.file_bytes;
        let is_last = self.done.len() as u64 + 1 >= self.group.outputs;
        self.open = Some((file, written + rows));
        if is_full && !is_last { self.finish_file().await } else { Ok(()) }
    }

    async fn finish_file(&mut self) -> Result<()> {
        let Some((file, _)) = self.open.take() else { return Ok(()) };
        let mut finished = file.finish(self.layout).await?;
        let uri = self.rewriter.names.lock().await.put(&finished.bytes).await?;
        self.moved.output(finished.order.take());
        self.done.push(finished.describe(&uri, self.layout)?);
        Ok(())
    }

    async fn finish(mut self) -> Result<(Vec<DataFile>, Moved)> {
        self.finish_file().await?;
        Ok((self.done, self.moved))
    }
}

/// Rows of a file, `first` being the place of the first of them in it, without those that are deleted.
fn without(batch: RecordBatch, first: u64, deleted: &RoaringTreemap) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let end = first + rows as u64;
    if deleted.range_cardinality(first..end) == 0 {
        return Ok(batch);
    }
    let mut keep = BooleanBufferBuilder::new(rows);
    keep.append_n(rows, true);
    let mut gone = deleted.iter();
    gone.advance_to(first);
    for row in gone.take_while(|row| *row < end) {
        keep.set_bit(usize::try_from(row - first).unwrap_or(usize::MAX), false);
    }
    let keep = BooleanArray::new(keep.finish(), None);
    filter_record_batch(&batch, &keep).map_err(arrow_error("leaving out deleted rows"))
}
