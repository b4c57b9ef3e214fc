//! The changes of an epoch, each of them, as a file beside its data.
//!
//! Owns [`Versions`], and how a snapshot names its change file.
//! - I1: every change that was the last one of its key when it came stands in it, in that order: the last one of each key
//!   is what the epoch's data has. One that came late, after a later change of its key, changed nothing.
//! - I2: a put is told as the row that it brings (`+U`), a delete by the columns of its key (`-D`): which row it replaces
//!   follows from the base of the commit, and is not known when the file is written.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt8Array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{
    DataType, Field, Schema, SchemaRef as ArrowSchemaRef, TimeUnit, TimestampMicrosecondType, UInt8Type,
};
use bytes::Bytes;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, SchemaRef, Snapshot, Struct};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use tableflow_model::{ChangeKind, Error, Result};

use super::ROWS_AT_ONCE;
use crate::layout::{arrow_schema, conform};
use crate::write::{CREATED_BY, FileNames};
use crate::{arrow_error, parquet_error};

/// In a snapshot's summary: its change file.
pub const CHANGES: &str = "tableflow.changes";

/// Column 0 of a change file; the rows' columns follow the second one.
const KIND: &str = "_change_kind";
const ROWTIME: &str = "_change_rowtime";

/// A change file, as a snapshot's summary and a manifest name it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    path: String,
    bytes: u64,
    changes: u64,
}

/// How a snapshot names its change file, where it has one.
pub fn changes_of(snapshot: &Snapshot) -> Option<&str> {
    snapshot.summary().additional_properties.get(CHANGES).map(String::as_str)
}

fn named(text: &str) -> Result<Named> {
    serde_json::from_str(text).map_err(|error| {
        Error::data("a snapshot's change file has no name that can be read").with_detail(text).with_source(error)
    })
}

/// Where it is.
pub fn path_of(text: &str) -> Result<String> {
    named(text).map(|named| named.path)
}

/// It, as a file of the table's columns.
pub(super) fn file_of(text: &str) -> Result<DataFile> {
    let named = named(text)?;
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_format(DataFileFormat::Parquet)
        .file_path(named.path)
        .file_size_in_bytes(named.bytes)
        .record_count(named.changes)
        .partition_spec_id(0)
        .partition(Struct::empty())
        .build()
        .map_err(|error| Error::internal("a change file lacks a field").with_source(error))
}

/// One change: what it does, when its record was, and the batch and row that say to what.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    pub kind: ChangeKind,
    pub timestamp_ms: i64,
    pub batch: usize,
    pub row: usize,
}

/// The changes of an epoch (I1).
#[derive(Clone, Debug, Default)]
pub struct Versions {
    pub batches: Vec<RecordBatch>,
    pub order: Vec<Version>,
}

impl Versions {
    /// Puts them under the epoch's next name; answers how the snapshot is to name the file. Nothing where nothing
    /// changed.
    pub async fn put(self, schema: &SchemaRef, names: &mut FileNames) -> Result<Option<String>> {
        if self.order.is_empty() {
            return Ok(None);
        }
        let changes = self.order.len() as u64;
        let bytes = self.encode(&arrow_schema(schema)?)?;
        let path = names.put(&bytes).await?;
        let text = serde_json::to_string(&Named { path, bytes: bytes.len() as u64, changes });
        let failed = |error| Error::internal("a change file's name could not be written").with_source(error);
        text.map(Some).map_err(failed)
    }

    fn encode(self, columns: &ArrowSchemaRef) -> Result<Bytes> {
        let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
        let columns: ArrowSchemaRef = Arc::new(Schema::new(columns.fields().iter().map(nullable).collect::<Vec<_>>()));
        let batches = self.batches.iter().map(|batch| conform(batch, &columns)).collect::<Result<Vec<_>>>()?;
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        let added = [Field::new(KIND, DataType::UInt8, false), Field::new(ROWTIME, time, false)].map(Arc::new);
        let fields: Vec<_> = added.into_iter().chain(columns.fields().iter().cloned()).collect();
        let schema = Arc::new(Schema::new(fields));

        let failed = parquet_error("encoding a change file");
        let level = ZstdLevel::try_new(1).map_err(&failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by(CREATED_BY.to_owned())
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties)).map_err(&failed)?;
        for some in self.order.chunks(ROWS_AT_ONCE) {
            let places: Vec<_> = some.iter().map(|version| (version.batch, version.row)).collect();
            let together = arrow_error("putting changes in order");
            let rows = interleave_record_batch(&batches, &places).map_err(together)?;
            let kinds = UInt8Array::from_iter_values(some.iter().map(|version| version.kind.code()));
            let times = some.iter().map(|version| version.timestamp_ms.saturating_mul(1000));
            let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("+00:00");
            let told: [ArrayRef; 2] = [Arc::new(kinds), Arc::new(times)];
            let columns = told.into_iter().chain(rows.columns().iter().cloned()).collect();
            let batch = RecordBatch::try_new(schema.clone(), columns).map_err(together)?;
            writer.write(&batch).map_err(&failed)?;
        }
        writer.close().map_err(&failed)?;
        Ok(bytes.into())
    }
}

/// The kinds and the times of a change file's rows, in its order.
pub(super) struct KindsAndTimes {
    pub kinds: Vec<ChangeKind>,
    pub times: Vec<i64>,
}

impl KindsAndTimes {
    pub fn of(bytes: Bytes, path: &str) -> Result<Self> {
        let damaged = || Error::data("a change file cannot be read").with_detail(path);
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| damaged().with_source(error))?;
        let mask = ProjectionMask::roots(reader.parquet_schema(), [0, 1]);
        let reader = reader.with_projection(mask).build().map_err(|error| damaged().with_source(error))?;
        let mut read = KindsAndTimes { kinds: Vec::new(), times: Vec::new() };
        for batch in reader {
            let batch = batch.map_err(|error| damaged().with_source(error))?;
            let [kinds, times] = batch.columns() else { return Err(damaged()) };
            let kinds = kinds.as_primitive_opt::<UInt8Type>().ok_or_else(damaged)?;
            let times = times.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(damaged)?;
            for code in kinds.values() {
                read.kinds.push(ChangeKind::of_code(*code).ok_or_else(damaged)?);
            }
            read.times.extend(times.values());
        }
        Ok(read)
    }
}
