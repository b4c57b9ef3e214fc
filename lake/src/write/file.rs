//! One data file while it is written.
//!
//! - I1: a file is invisible until it is finished: it is encoded in memory and put create-only as a whole.
//! - I2: its metrics come from the Parquet footer; bounds are exact or absent.
//! - I3: with a sort order, the rows of a file are sorted by it.
//!
//! Encoding is iceberg's own `ParquetWriter` over its memory storage: it computes the metrics that manifests
//! need. The finished bytes go through our store, which alone knows about create-only puts, fsync and metering.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use bytes::Bytes;
use iceberg::io::{MemoryStorage, OutputFile, Storage};
use iceberg::spec::{DataFile, DataFileBuilder, NullOrder, SchemaRef, SortDirection, SortOrder, Struct};
use iceberg::writer::CurrentFileStatus;
use iceberg::writer::file_writer::{FileWriter, FileWriterBuilder, ParquetWriter, ParquetWriterBuilder};
use tableflow_model::{Error, Result};

use super::encoding::writer_properties;
use crate::{arrow_error, iceberg_error};

/// The name inside the memory storage; the real one is known when the file is finished.
const IN_MEMORY: &str = "memory:/file.parquet";

/// Rows held back for sorting take about this many times the room of their file.
const HELD_COMPRESSION: usize = 4;

/// What every file of a table has in common.
#[derive(Debug)]
pub struct FileLayout {
    pub schema: SchemaRef,
    pub arrow_schema: ArrowSchemaRef,
    pub spec_id: i32,
    pub sort_order: SortOrder,
}

/// A file under way: rows of one partition.
pub struct OpenFile {
    partition: Struct,
    rows: usize,
    content: Content,
}

enum Content {
    /// Encoded as the rows come.
    Encoded { storage: Arc<MemoryStorage>, writer: Box<ParquetWriter> },
    /// Held back until the end, to be sorted (I3).
    Held { batches: Vec<RecordBatch>, bytes: usize },
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile").field("rows", &self.rows).field("bytes", &self.bytes()).finish()
    }
}

/// A file's bytes and what a manifest says about it, but for its place.
pub struct FinishedFile {
    pub bytes: Bytes,
    partition: Struct,
    metrics: DataFileBuilder,
}

impl std::fmt::Debug for FinishedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FinishedFile").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl OpenFile {
    /// A file that begins with the rows of `first`.
    pub async fn begin(partition: Struct, first: RecordBatch, layout: &FileLayout) -> Result<Self> {
        let content = if layout.sort_order.is_unsorted() {
            encoder(&first, layout).await?
        } else {
            Content::Held { batches: Vec::new(), bytes: 0 }
        };
        let mut file = OpenFile { partition, rows: 0, content };
        file.write(first).await?;
        Ok(file)
    }

    pub async fn write(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows += rows.num_rows();
        match &mut self.content {
            Content::Encoded { writer, .. } => writer.write(&rows).await.map_err(iceberg_error("encoding rows")),
            Content::Held { batches, bytes } => {
                *bytes += rows.get_array_memory_size();
                batches.push(rows);
                Ok(())
            }
        }
    }

    /// About how large the file has become.
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Encoded { writer, .. } => writer.current_written_size(),
            Content::Held { bytes, .. } => *bytes / HELD_COMPRESSION,
        }
    }

    pub async fn finish(self, layout: &FileLayout) -> Result<FinishedFile> {
        let (storage, writer) = match self.content {
            Content::Encoded { storage, writer } => (storage, writer),
            Content::Held { batches, .. } => {
                let sorted = sort(&batches, layout)?;
                match encoder(&sorted, layout).await? {
                    Content::Encoded { storage, mut writer } => {
                        writer.write(&sorted).await.map_err(iceberg_error("encoding rows"))?;
                        (storage, writer)
                    }
                    Content::Held { .. } => return Err(Error::internal("an encoder holds rows back")),
                }
            }
        };
        let metrics = writer.close().await.map_err(iceberg_error("finishing a file"))?;
        let Some(metrics) = metrics.into_iter().next() else {
            return Err(Error::internal("a file without rows was begun"));
        };
        let bytes = storage.read(IN_MEMORY).await.map_err(iceberg_error("taking a finished file"))?;
        Ok(FinishedFile { bytes, partition: self.partition, metrics })
    }
}

impl FinishedFile {
    /// What the manifest says, now that the file has a place.
    pub fn describe(mut self, uri: &str, layout: &FileLayout) -> Result<DataFile> {
        self.metrics.file_path(uri.to_owned()).partition(self.partition).partition_spec_id(layout.spec_id);
        if !layout.sort_order.is_unsorted() {
            self.metrics.sort_order_id(i32::try_from(layout.sort_order.order_id).unwrap_or(0));
        }
        self.metrics.build().map_err(|error| Error::internal("a data file lacks a field").with_source(error))
    }
}

async fn encoder(sample: &RecordBatch, layout: &FileLayout) -> Result<Content> {
    let storage = Arc::new(MemoryStorage::new());
    let builder = ParquetWriterBuilder::new(writer_properties(sample)?, layout.schema.clone());
    let output = OutputFile::new(storage.clone(), IN_MEMORY.to_owned());
    let writer = builder.build(output).await.map_err(iceberg_error("beginning a file"))?;
    Ok(Content::Encoded { storage, writer: Box::new(writer) })
}

/// I3: one batch, sorted.
fn sort(batches: &[RecordBatch], layout: &FileLayout) -> Result<RecordBatch> {
    let failed = arrow_error("sorting the rows of a file");
    let batch = concat_batches(&layout.arrow_schema, batches).map_err(failed)?;
    let mut columns = Vec::with_capacity(layout.sort_order.fields.len());
    for field in &layout.sort_order.fields {
        let name = layout.schema.name_by_field_id(field.source_id).unwrap_or_default();
        let values = batch.column_by_name(name).ok_or_else(|| Error::internal("a sort column is gone"))?.clone();
        let options = SortOptions {
            descending: field.direction == SortDirection::Descending,
            nulls_first: field.null_order == NullOrder::First,
        };
        columns.push(SortColumn { values, options: Some(options) });
    }
    let order = lexsort_to_indices(&columns, None).map_err(failed)?;
    take_record_batch(&batch, &order).map_err(failed)
}
