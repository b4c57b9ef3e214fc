//! Rows that lack values, as a file of them.
//!
//! Owns [`PartialFile`]. No snapshot ever names such a file: an epoch manifest does, so that whoever finishes the epoch
//! knows what rows keep of those before them.
//! - I1: columns are told by their ids, those that a row keeps too: somebody may rename one meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use bytes::Bytes;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, NestedFieldRef, Schema, SchemaRef, Struct,
    TableMetadata,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use crate::layout::{arrow_schema, conform};
use crate::read::{ColumnReader, FileRows};
use crate::upsert::{Keeps, nullable};
use crate::{arrow_error, iceberg_error, parquet_error};

/// Behind the table's columns, without ids; no name of a column has a zero in it.
const IS_MARK: &str = "mark\0";
/// The ids of the columns that a row keeps or, of a mark, of those that it has.
const COLUMNS: &str = "columns\0";

/// A file of rows that lack values, but for its place.
#[derive(Debug)]
pub struct PartialFile {
    pub bytes: Bytes,
    rows: u64,
}

impl PartialFile {
    /// Of these rows, which have the columns of `schema`; none where there are none.
    pub fn encode(rows: &RecordBatch, keeps: &[Keeps], schema: &Schema) -> Result<Option<Self>> {
        if keeps.is_empty() {
            return Ok(None);
        }
        let rows = conform(rows, &nullable(&arrow_schema(schema)?))?;
        let extra = [(IS_MARK, DataType::Boolean), (COLUMNS, DataType::Utf8)];
        let extra = extra.map(|(name, of)| Arc::new(Field::new(name, of, false)));
        let fields: Vec<_> = rows.schema_ref().fields().iter().cloned().chain(extra).collect();
        let marks: BooleanArray = keeps.iter().map(|keeps| Some(keeps.is_mark())).collect();
        let texts: StringArray = keeps.iter().map(|keeps| Some(ids_of(keeps, schema))).collect();
        let own: [ArrayRef; 2] = [Arc::new(marks), Arc::new(texts)];
        let columns = rows.columns().iter().cloned().chain(own).collect();
        let batch = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns);
        let batch = batch.map_err(arrow_error("rows that lack values"))?;
        let failed = parquet_error("encoding rows that lack values");
        let level = ZstdLevel::try_new(1).map_err(&failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by(super::CREATED_BY.to_owned())
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).map_err(&failed)?;
        writer.write(&batch).map_err(&failed)?;
        writer.close().map_err(&failed)?;
        Ok(Some(PartialFile { bytes: bytes.into(), rows: keeps.len() as u64 }))
    }

    /// As a manifest names it, now that it has a place: what its rows stand in for is found by position.
    pub fn describe(self, uri: &str, table: &TableMetadata) -> Result<DataFile> {
        let no_partition = table.default_partition_spec().fields().iter().map(|_| None);
        DataFileBuilder::default()
            .content(DataContentType::PositionDeletes)
            .file_format(DataFileFormat::Parquet)
            .file_path(uri.to_owned())
            .file_size_in_bytes(self.bytes.len() as u64)
            .record_count(self.rows)
            .partition_spec_id(table.default_partition_spec_id())
            .partition(Struct::from_iter(no_partition))
            .build()
            .map_err(|error| Error::internal("a file of rows that lack values lacks a field").with_source(error))
    }

    /// The rows of one that was staged, with the columns that the table has now (I1).
    pub async fn read(store: &Store, table: &TableMetadata, file: &DataFile) -> Result<(RecordBatch, Vec<Keeps>)> {
        let schema = table.current_schema();
        let optional = |field: &NestedFieldRef| {
            let mut field = field.as_ref().clone();
            field.required = false;
            Arc::new(field)
        };
        let fields = schema.as_struct().fields().iter().map(optional);
        let columns = Schema::builder().with_fields(fields).build().map(SchemaRef::new);
        let reader =
            ColumnReader::new(table, &columns.map_err(iceberg_error("the columns of rows that lack values"))?)?;
        let mut batches = reader.open(store, file).await?;
        let mut rows = Vec::new();
        while let Some(batch) = batches.next().await? {
            rows.push(batch);
        }
        let mut keeps = Vec::new();
        for batch in FileRows::of(store.get(file.file_path()).await?)? {
            keeps.extend(keeps_of(&batch?, schema).ok_or_else(|| damaged(file))?);
        }
        let rows = concat_batches(reader.schema(), &rows).map_err(arrow_error("rows that lack values"))?;
        if rows.num_rows() == keeps.len() { Ok((rows, keeps)) } else { Err(damaged(file)) }
    }
}

fn damaged(file: &DataFile) -> Error {
    Error::data("a file of rows that lack values cannot be read").with_detail(file.file_path())
}

fn ids_of(keeps: &Keeps, schema: &Schema) -> String {
    let names = match keeps {
        Keeps::Nothing => return String::new(),
        Keeps::Columns(names) | Keeps::AllBut(names) => names,
    };
    let ids = names.iter().filter_map(|name| schema.field_id_by_name(name));
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

/// Of a column that was dropped nothing is kept.
fn keeps_of(batch: &RecordBatch, schema: &Schema) -> Option<Vec<Keeps>> {
    let marks = batch.column_by_name(IS_MARK)?.as_boolean_opt()?;
    let texts = batch.column_by_name(COLUMNS)?.as_string_opt::<i32>()?;
    let name = |id: &str| Some(schema.name_by_field_id(id.parse().ok()?)?.to_owned());
    let keeps = (0..batch.num_rows()).map(|row| {
        let names: Arc<BTreeSet<String>> = Arc::new(texts.value(row).split(',').filter_map(name).collect());
        if marks.value(row) { Keeps::AllBut(names) } else { Keeps::Columns(names) }
    });
    (marks.null_count() + texts.null_count() == 0).then(|| keeps.collect())
}
