//! One data file while it is written.
//!
//! - I1: a file is invisible until it is finished: it is encoded in memory and put create-only as a whole.
//! - I2: its metrics come from the Parquet footer; bounds are exact or absent.
//! - I3: with a sort order, the rows of a file are sorted by it.
//! - I4: the keys of its rows stand in the file's order.
//! - I5: [`OpenFile::memory`] is what the file holds, its columns' encoders too; [`OpenFile::file_bytes`] about what it
//!   will be.
//!
//! Encoding is iceberg's own `ParquetWriter` over its memory storage: it computes the metrics that manifests
//! need. The finished bytes go through our store, which alone knows about create-only puts, fsync and metering.
//!
//! iceberg takes a file's bound from the row groups that have an exact one and passes over the others, so a long
//! text in one group would lie outside of the file's bounds: such bounds are removed here (I2).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{SortColumn, SortOptions, concat, interleave_record_batch, lexsort_to_indices};
use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use bytes::Bytes;
use iceberg::io::{MemoryStorage, OutputFile, Storage};
use iceberg::spec::{DataFile, DataFileBuilder, Datum, NullOrder, SchemaRef, SortDirection, SortOrder, Struct};
use iceberg::writer::CurrentFileStatus;
use iceberg::writer::file_writer::{FileWriter, FileWriterBuilder, ParquetWriter, ParquetWriterBuilder};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::statistics::Statistics;
use tableflow_model::{Error, Result};

use super::encoding::writer_properties;
use crate::keys::{Hash, KeyHasher};
use crate::{arrow_error, iceberg_error, parquet_error};

/// The name inside the memory storage; the real one is known when the file is finished.
const IN_MEMORY: &str = "memory:/file.parquet";

/// Rows held back for sorting take about this many times the room of their file.
const HELD_COMPRESSION: usize = 4;

/// What the encoder of a column takes before its values do: 500 columns are 8 MiB in each file under way.
const COLUMN_MEMORY: usize = 16 * 1024;

/// What a manifest says of a column of a file, as it is held until the commit: counts, sizes, bounds.
const COLUMN_DESCRIBED: usize = 2 * 1024;

/// Sorted rows are encoded so many at a time: they are not held twice.
const SORTED_ROWS_AT_ONCE: usize = 32 * 1024;

/// What every file of a table has in common.
#[derive(Debug)]
pub struct FileLayout {
    pub schema: SchemaRef,
    pub arrow_schema: ArrowSchemaRef,
    pub spec_id: i32,
    pub sort_order: SortOrder,
    /// Rows come in that order: none is held back.
    pub rows_come_sorted: bool,
    pub keys: Option<FileKeys>,
}

/// Which columns are the keys of rows.
#[derive(Debug)]
pub struct FileKeys {
    pub columns: Vec<i32>,
    pub hasher: Arc<KeyHasher>,
}

impl FileLayout {
    /// What a file takes as soon as it is begun (I5): rows that are to be sorted are encoded at its end.
    pub fn encoders_memory(&self) -> usize {
        if self.holds_rows() { 0 } else { self.columns() * COLUMN_MEMORY }
    }

    /// Whether rows are encoded at the file's end alone (I3).
    fn holds_rows(&self) -> bool {
        !self.sort_order.is_unsorted() && !self.rows_come_sorted
    }

    /// What a file takes that is done and not yet committed.
    pub fn described_memory(&self) -> usize {
        self.columns() * COLUMN_DESCRIBED
    }

    /// The keys of these rows, where they have some.
    fn keys_of(&self, rows: &RecordBatch) -> Result<Vec<Hash>> {
        let Some(keys) = &self.keys else { return Ok(Vec::new()) };
        let column = |id: &i32| {
            let name = self.schema.name_by_field_id(*id)?;
            rows.column_by_name(name).cloned()
        };
        let columns: Option<Vec<ArrayRef>> = keys.columns.iter().map(column).collect();
        keys.hasher.hashes(&columns.ok_or_else(|| Error::internal("a column of the key is gone"))?)
    }

    /// With those that are within others.
    fn columns(&self) -> usize {
        self.arrow_schema.flattened_fields().len()
    }
}

/// A file under way: rows of one partition.
pub struct OpenFile {
    partition: Struct,
    rows: usize,
    keys: Vec<Hash>,
    content: Content,
}

enum Content {
    /// Encoded as the rows come.
    Encoded { storage: Arc<MemoryStorage>, writer: Box<ParquetWriter>, encoders: usize },
    /// Held back until the end, to be sorted (I3).
    Held { batches: Vec<RecordBatch>, bytes: usize },
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile").field("rows", &self.rows).field("memory", &self.memory()).finish()
    }
}

/// A file's bytes and what a manifest says about it, but for its place.
pub struct FinishedFile {
    pub bytes: Bytes,
    pub keys: Vec<Hash>,
    /// Its rows as they came, in the order in which they stand, where that is another one (I3).
    pub order: Option<Vec<u32>>,
    partition: Struct,
    metrics: DataFileBuilder,
    /// Columns whose smallest and whose largest value is not known in every row group (I2).
    no_lower: HashSet<i32>,
    no_upper: HashSet<i32>,
}

impl std::fmt::Debug for FinishedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FinishedFile").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl OpenFile {
    /// A file that begins with the rows of `first`.
    pub async fn begin(partition: Struct, first: RecordBatch, layout: &FileLayout) -> Result<Self> {
        let content = if layout.holds_rows() {
            Content::Held { batches: Vec::new(), bytes: 0 }
        } else {
            let (storage, writer) = encoder(&first, layout).await?;
            Content::Encoded { storage, writer, encoders: layout.encoders_memory() }
        };
        let mut file = OpenFile { partition, rows: 0, keys: Vec::new(), content };
        file.write(first, layout).await?;
        Ok(file)
    }

    pub async fn write(&mut self, rows: RecordBatch, layout: &FileLayout) -> Result<()> {
        self.rows += rows.num_rows();
        match &mut self.content {
            Content::Encoded { writer, .. } => {
                self.keys.extend(layout.keys_of(&rows)?);
                writer.write(&rows).await.map_err(iceberg_error("encoding rows"))
            }
            Content::Held { batches, bytes } => {
                *bytes += rows.get_array_memory_size();
                batches.push(rows);
                Ok(())
            }
        }
    }

    /// What it holds in memory (I5).
    pub fn memory(&self) -> usize {
        match &self.content {
            Content::Encoded { writer, encoders, .. } => writer.current_written_size() + encoders,
            Content::Held { bytes, .. } => *bytes,
        }
    }

    /// About how large the file has become (I5).
    pub fn file_bytes(&self) -> usize {
        match &self.content {
            Content::Encoded { writer, .. } => writer.current_written_size(),
            Content::Held { bytes, .. } => *bytes / HELD_COMPRESSION,
        }
    }

    pub async fn finish(self, layout: &FileLayout) -> Result<FinishedFile> {
        let (storage, writer, keys, order) = match self.content {
            Content::Encoded { storage, writer, .. } => (storage, writer, self.keys, None),
            Content::Held { batches, .. } => {
                let order = order_of(&batches, layout)?;
                let (storage, writer, keys) = encode_sorted(batches, &order, layout).await?;
                (storage, writer, keys, Some(order))
            }
        };
        let metrics = writer.close().await.map_err(iceberg_error("finishing a file"))?;
        let Some(metrics) = metrics.into_iter().next() else {
            return Err(Error::internal("a file without rows was begun"));
        };
        let bytes = storage.read(IN_MEMORY).await.map_err(iceberg_error("taking a finished file"))?;
        let footer = ParquetMetaDataReader::new().parse_and_finish(&bytes).map_err(parquet_error("a finished file"))?;
        let (no_lower, no_upper) = unknown_bounds(&footer);
        Ok(FinishedFile { bytes, keys, order, partition: self.partition, metrics, no_lower, no_upper })
    }
}

/// I2. The columns, by field id, with a row group whose smallest (largest) value its statistics do not say exactly.
fn unknown_bounds(footer: &ParquetMetaData) -> (HashSet<i32>, HashSet<i32>) {
    let (mut no_lower, mut no_upper) = (HashSet::new(), HashSet::new());
    for column in footer.row_groups().iter().flat_map(|group| group.columns()) {
        let info = column.column_descr().self_type().get_basic_info();
        let nulls = column.statistics().and_then(|statistics| statistics.null_count_opt());
        if !info.has_id() || nulls == u64::try_from(column.num_values()).ok() {
            continue;
        }
        let statistics = column.statistics();
        let exact = |is_exact: fn(&Statistics) -> bool| statistics.is_some_and(is_exact);
        if !exact(|known| known.min_bytes_opt().is_some() && known.min_is_exact()) {
            no_lower.insert(info.id());
        }
        if !exact(|known| known.max_bytes_opt().is_some() && known.max_is_exact()) {
            no_upper.insert(info.id());
        }
    }
    (no_lower, no_upper)
}

impl FinishedFile {
    /// What the manifest says, now that the file has a place.
    pub fn describe(mut self, uri: &str, layout: &FileLayout) -> Result<DataFile> {
        self.metrics.file_path(uri.to_owned()).partition(self.partition.clone()).partition_spec_id(layout.spec_id);
        if !layout.sort_order.is_unsorted() {
            self.metrics.sort_order_id(i32::try_from(layout.sort_order.order_id).unwrap_or(0));
        }
        let file = self.build()?;
        if self.no_lower.is_empty() && self.no_upper.is_empty() {
            return Ok(file);
        }
        self.metrics.lower_bounds(without(file.lower_bounds(), &self.no_lower));
        self.metrics.upper_bounds(without(file.upper_bounds(), &self.no_upper));
        self.build()
    }

    fn build(&self) -> Result<DataFile> {
        self.metrics.build().map_err(|error| Error::internal("a data file lacks a field").with_source(error))
    }
}

fn without(bounds: &HashMap<i32, Datum>, unknown: &HashSet<i32>) -> HashMap<i32, Datum> {
    bounds.iter().filter(|(id, _)| !unknown.contains(id)).map(|(id, bound)| (*id, bound.clone())).collect()
}

type Encoder = (Arc<MemoryStorage>, Box<ParquetWriter>);

async fn encoder(sample: &RecordBatch, layout: &FileLayout) -> Result<Encoder> {
    let storage = Arc::new(MemoryStorage::new());
    let builder = ParquetWriterBuilder::new(writer_properties(sample)?, layout.schema.clone());
    let output = OutputFile::new(storage.clone(), IN_MEMORY.to_owned());
    let writer = builder.build(output).await.map_err(iceberg_error("beginning a file"))?;
    Ok((storage, Box::new(writer)))
}

/// I3, I4: all rows in this order, a chunk at a time.
async fn encode_sorted(
    batches: Vec<RecordBatch>,
    order: &[u32],
    layout: &FileLayout,
) -> Result<(Arc<MemoryStorage>, Box<ParquetWriter>, Vec<Hash>)> {
    let counted = batches.iter().map(RecordBatch::num_rows).enumerate();
    let places: Vec<(usize, usize)> =
        counted.flat_map(|(batch, rows)| (0..rows).map(move |row| (batch, row))).collect();
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let chunk = |order: &[u32]| {
        let places: Vec<_> = order.iter().filter_map(|came| places.get(*came as usize).copied()).collect();
        interleave_record_batch(&batches, &places).map_err(arrow_error("sorting the rows of a file"))
    };
    let mut chunks = order.chunks(SORTED_ROWS_AT_ONCE);
    let mut rows = chunk(chunks.next().unwrap_or_default())?;
    let (storage, mut writer) = encoder(&rows, layout).await?;
    let mut keys = Vec::new();
    loop {
        keys.extend(layout.keys_of(&rows)?);
        writer.write(&rows).await.map_err(iceberg_error("encoding rows"))?;
        match chunks.next() {
            Some(order) => rows = chunk(order)?,
            None => return Ok((storage, writer, keys)),
        }
    }
}

/// Every row as it came, in the order of the table.
fn order_of(batches: &[RecordBatch], layout: &FileLayout) -> Result<Vec<u32>> {
    let failed = arrow_error("sorting the rows of a file");
    let mut columns = Vec::with_capacity(layout.sort_order.fields.len());
    for field in &layout.sort_order.fields {
        let name = layout.schema.name_by_field_id(field.source_id).unwrap_or_default();
        let parts: Option<Vec<&dyn Array>> =
            batches.iter().map(|batch| batch.column_by_name(name).map(AsRef::as_ref)).collect();
        let parts = parts.ok_or_else(|| Error::internal("a sort column is gone"))?;
        let options = SortOptions {
            descending: field.direction == SortDirection::Descending,
            nulls_first: field.null_order == NullOrder::First,
        };
        columns.push(SortColumn { values: concat(&parts).map_err(failed)?, options: Some(options) });
    }
    Ok(lexsort_to_indices(&columns, None).map_err(failed)?.values().to_vec())
}
