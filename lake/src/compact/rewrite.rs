//! A group of files becomes others.
//!
//! Owns [`Rewriter`] and [`Rewritten`].
//! - I1: every row of the group that is not deleted in the plan's snapshot is in exactly one of the new files.
//! - I2: rows keep their partition, its spec and their ids; they get the columns that the table has now, and its order.
//! - I3: at any time one new file is in memory, and a batch of one old one; rows that are sorted together are on disk
//!   where they are many.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, UInt64Array};
use arrow::compute::{BatchCoalescer, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef, UInt64Type};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use futures::TryStreamExt;
use iceberg::spec::{DataFile, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};
use tableflow_store::Store;
use tokio::sync::Mutex;

use super::lineage::Lineage;
use super::moved::{Moved, Place};
use super::plan::{Group, Input, Plan};
use super::sort::{failed, sorted};
use crate::arrow_error;
use crate::commit::LiveFile;
use crate::layout::{arrow_schema, conform};
use crate::read::{ColumnReader, DeletedRows, deleted_rows};
use crate::write::{FileLayout, FileNames, OpenFile};

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

/// How rows are put into files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// In the order in which they came; where the table has one, each file in that.
    BinPack,
    /// All rows of a group in the table's order, with so much memory.
    Sort { memory_bytes: usize },
}

/// Rewrites the groups of one plan.
#[derive(Debug)]
pub struct Rewriter {
    strategy: Strategy,
    store: Store,
    table: Arc<TableMetadata>,
    plan: Arc<Plan>,
    lineage: Lineage,
    reader: ColumnReader,
    names: Mutex<FileNames>,
}

impl Rewriter {
    /// `table` is what was planned on.
    pub fn new(
        store: Store,
        table: Arc<TableMetadata>,
        (plan, strategy): (Arc<Plan>, Strategy),
        names: FileNames,
    ) -> Result<Self> {
        let lineage = Lineage::of(&table)?;
        let reader = ColumnReader::new(&table, &lineage.schema)?;
        let names = Mutex::new(names);
        Ok(Rewriter { strategy, store, table, plan, lineage, reader, names })
    }

    /// For further files of the same epoch.
    pub async fn names(&self) -> FileNames {
        self.names.lock().await.clone()
    }

    /// A group of the plan.
    pub async fn rewrite(self: Arc<Self>, group: Group) -> Result<Rewritten> {
        let live: Vec<&LiveFile> = group.files.iter().map(|input| &input.live).collect();
        let deleted = deleted_rows(&self.store, &self.table, &self.plan.deletes, &live).await?;
        self.without(group, deleted).await
    }

    /// A file without these rows; nothing where it has no others.
    pub(crate) async fn copy(self: &Arc<Self>, live: &LiveFile, deleted: RoaringTreemap) -> Result<Vec<DataFile>> {
        let deleted = HashMap::from([(live.file.file_path().to_owned(), deleted)]);
        Ok(self.without(Group::of_one(live.clone()), deleted).await?.files)
    }

    /// The group's files without these rows, by their paths.
    async fn without(self: &Arc<Self>, group: Group, mut deleted: DeletedRows) -> Result<Rewritten> {
        let schema = self.lineage.schema.clone();
        let sort_order = self.table.default_sort_order().as_ref().clone();
        let memory_bytes = match self.strategy {
            Strategy::Sort { memory_bytes } if !sort_order.is_unsorted() => Some(memory_bytes),
            _ => None,
        };
        let layout = FileLayout {
            arrow_schema: arrow_schema(&schema)?,
            spec_id: group.spec_id,
            sort_order,
            rows_come_sorted: memory_bytes.is_some(),
            schema,
            keys: None,
        };
        let inputs: Vec<(LiveFile, RoaringTreemap)> = group
            .files
            .iter()
            .map(|input| (input.live.clone(), deleted.remove(input.live.file.file_path()).unwrap_or_default()))
            .collect();
        let mut outputs = Outputs::new(self, &group, &layout);
        match memory_bytes {
            None => {
                for (live, deleted) in inputs {
                    outputs.take(&live, deleted).await?;
                }
            }
            Some(memory_bytes) => outputs.take_sorted(inputs, memory_bytes).await?,
        }
        let (files, moved) = outputs.finish().await?;
        Ok(Rewritten { group, files, moved })
    }

    /// The rows of these files, but for those that are deleted, each with the number that it comes with; so many at
    /// once.
    fn numbered(
        self: &Arc<Self>,
        inputs: Vec<(LiveFile, RoaringTreemap)>,
        (schema, rows_at_once): (&ArrowSchemaRef, usize),
    ) -> SendableRecordBatchStream {
        let with_number = numbered_schema(schema);
        let mut stream = RecordBatchReceiverStream::builder(with_number.clone(), BATCHES_AHEAD);
        let (rewriter, schema, send) = (self.clone(), schema.clone(), stream.tx());
        stream.spawn(async move {
            let mut next = 0_u64;
            let mut together = BatchCoalescer::new(with_number.clone(), rows_at_once);
            for (live, deleted) in inputs {
                let mut batches = rewriter.reader.open(&rewriter.store, &live.file).await.map_err(external)?;
                let mut first = 0;
                while let Some(batch) = batches.next().await.map_err(external)? {
                    let rows = batch.num_rows() as u64;
                    let rows_of = rewriter.lineage.inherited(batch, &live, first);
                    let kept = rows_of.and_then(|batch| without(batch, first, &deleted));
                    let kept = kept.and_then(|kept| conform(&kept, &schema));
                    together.push_batch(number(kept.map_err(external)?, &with_number, &mut next)?)?;
                    first += rows;
                    while let Some(batch) = together.next_completed_batch() {
                        if send.send(Ok(batch)).await.is_err() {
                            return Ok(());
                        }
                    }
                }
            }
            together.finish_buffered_batch()?;
            if let Some(batch) = together.next_completed_batch() {
                // Whoever does not want it has ended.
                let _ = send.send(Ok(batch)).await;
            }
            Ok(())
        });
        stream.build()
    }
}

/// Batches that are read while others are sorted.
const BATCHES_AHEAD: usize = 2;

/// Rows that are sorted by themselves before they are merged with others: the more, the fewer are merged. One part of
/// the memory in so many, within limits.
const BATCH_SHARE: usize = 64;
const BATCH_ROWS_MIN: u64 = 8 * 1024;
const BATCH_ROWS_MAX: u64 = 128 * 1024;

/// About so many of these rows, which take some times as much in memory as in their files.
fn rows_at_once(group: &Group, memory_bytes: usize) -> usize {
    let rows: u64 = group.files.iter().map(Input::rows).sum();
    let in_memory = group.bytes().saturating_mul(MEMORY_PER_BYTE).max(1);
    let room = (memory_bytes / BATCH_SHARE) as u64;
    let fit = u128::from(rows) * u128::from(room) / u128::from(in_memory);
    usize::try_from(fit.clamp(BATCH_ROWS_MIN.into(), BATCH_ROWS_MAX.into())).unwrap_or(usize::MAX)
}

/// Of compressed columns.
const MEMORY_PER_BYTE: u64 = 8;

/// Behind the table's columns; no name of a column has a zero in it.
const CAME: &str = "came\0";

fn numbered_schema(schema: &ArrowSchemaRef) -> ArrowSchemaRef {
    let came = Arc::new(Field::new(CAME, DataType::UInt64, false));
    Arc::new(ArrowSchema::new(schema.fields().iter().cloned().chain([came]).collect::<Vec<_>>()))
}

fn number(batch: RecordBatch, schema: &ArrowSchemaRef, next: &mut u64) -> Result<RecordBatch, DataFusionError> {
    let end = *next + batch.num_rows() as u64;
    let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(*next..end));
    *next = end;
    let columns = batch.columns().iter().cloned().chain([numbers]).collect();
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The new files of a group under way.
struct Outputs<'a> {
    rewriter: &'a Arc<Rewriter>,
    group: &'a Group,
    layout: &'a FileLayout,
    /// With its rows so far.
    open: Option<(OpenFile, u64)>,
    done: Vec<DataFile>,
    moved: Moved,
}

impl<'a> Outputs<'a> {
    fn new(rewriter: &'a Arc<Rewriter>, group: &'a Group, layout: &'a FileLayout) -> Self {
        Outputs { rewriter, group, layout, open: None, done: Vec::new(), moved: Moved::default() }
    }

    /// The rows of a file, but for those that are deleted.
    async fn take(&mut self, live: &LiveFile, deleted: RoaringTreemap) -> Result<()> {
        let all = deleted.len() >= live.file.record_count();
        let of_file = deleted.clone();
        self.moved.source(deleted);
        if all {
            return Ok(());
        }
        let (mut batches, mut first, mut begins) =
            (self.rewriter.reader.open(&self.rewriter.store, &live.file).await?, 0, true);
        while let Some(batch) = batches.next().await? {
            let rows = batch.num_rows() as u64;
            let kept = without(self.rewriter.lineage.inherited(batch, live, first)?, first, &of_file)?;
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

    /// The rows of all files, sorted together.
    async fn take_sorted(&mut self, inputs: Vec<(LiveFile, RoaringTreemap)>, memory_bytes: usize) -> Result<()> {
        let mut came = 0;
        for (live, deleted) in &inputs {
            self.moved.source(deleted.clone());
            self.moved.run(0, Place { output: 0, row: came });
            came += live.file.record_count() - deleted.len();
        }
        let mut places = vec![(u32::MAX, u32::MAX); usize::try_from(came).unwrap_or(0)];
        let rows_at_once = rows_at_once(self.group, memory_bytes);
        let rows = self.rewriter.numbered(inputs, (&self.layout.arrow_schema, rows_at_once));
        let mut sorted = sorted(rows, (&self.layout.sort_order, &self.layout.schema), memory_bytes)?;
        while let Some(batch) = sorted.try_next().await.map_err(failed)? {
            let (output, first) = (self.done.len(), self.open.as_ref().map_or(0, |(_, rows)| *rows));
            let columns: Vec<usize> = (0..self.layout.arrow_schema.fields().len()).collect();
            let numbers = batch.columns().last().and_then(|numbers| numbers.as_primitive_opt::<UInt64Type>());
            let numbers = numbers.ok_or_else(|| Error::internal("sorted rows lost their numbers"))?;
            for (row, came) in (first..).zip(numbers.values()) {
                if let Some(place) = places.get_mut(usize::try_from(*came).unwrap_or(usize::MAX)) {
                    *place = (output as u32, row as u32);
                }
            }
            self.write(&batch.project(&columns).map_err(arrow_error("taking the numbers of rows away"))?).await?;
            tokio::task::yield_now().await;
        }
        self.moved.placed(places);
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
