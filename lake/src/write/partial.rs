//! Rows that lack values, as a file of them.
//!
//! Owns [`PartialFile`]. No snapshot ever names such a file: an epoch manifest does, so that whoever finishes the epoch
//! knows what rows keep of those before them.
//! - I1: columns are told by their ids, those that a row keeps too: somebody may rename one meanwhile.
//! - I2: what becomes of all rows of a table that was emptied is its last row.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
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
use crate::upsert::{Emptied, Keeps, Mark, PartialRows, nullable};
use crate::{arrow_error, iceberg_error, parquet_error};

/// Behind the table's columns, without ids; no name of a column has a zero in it.
const IS_MARK: &str = "mark\0";
/// The ids of the columns that a row keeps or, of a mark, of those that it has.
const COLUMNS: &str = "columns\0";
/// Before those of a row that all rows become (I2): the first one tells the rows that are marked. Without columns they go.
const ALL: char = '*';

/// A file of rows that lack values, but for its place.
#[derive(Debug)]
pub struct PartialFile {
    pub bytes: Bytes,
    rows: u64,
}

/// What is in such a file.
#[derive(Debug)]
pub struct PartialContent {
    pub rows: RecordBatch,
    pub keeps: Vec<Keeps>,
    pub emptied: Option<Emptied>,
}

impl PartialFile {
    /// Of these rows, which have the columns of `schema`; none where there are none.
    pub fn encode(partial: &PartialRows, schema: &Schema) -> Result<Option<Self>> {
        if partial.is_empty() {
            return Ok(None);
        }
        let PartialRows { rows, keeps, emptied, .. } = partial;
        let columns = nullable(&arrow_schema(schema)?);
        let rows = conform(rows, &columns)?;
        let last = emptied.as_ref().map(|emptied| row_of_all(emptied, &columns)).transpose()?;
        let rows = concat_batches(&columns, [&rows].into_iter().chain(&last));
        let rows = rows.map_err(arrow_error("rows that lack values"))?;
        let extra = [(IS_MARK, DataType::Boolean), (COLUMNS, DataType::Utf8)];
        let extra = extra.map(|(name, of)| Arc::new(Field::new(name, of, false)));
        let fields: Vec<_> = rows.schema_ref().fields().iter().cloned().chain(extra).collect();
        let of_all = emptied.iter().map(|emptied| (true, ids_of_all(emptied, schema)));
        let told = keeps.iter().map(|keeps| (keeps.is_mark(), ids_of(keeps, schema))).chain(of_all);
        let (marks, texts): (Vec<bool>, Vec<String>) = told.unzip();
        let (marks, texts) = (BooleanArray::from(marks), StringArray::from(texts));
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
        Ok(Some(PartialFile { bytes: bytes.into(), rows: rows.num_rows() as u64 }))
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
    pub async fn read(store: &Store, table: &TableMetadata, file: &DataFile) -> Result<PartialContent> {
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
        let mut told = Vec::new();
        for batch in FileRows::of(store.get(file.file_path()).await?)? {
            told.extend(told_of(&batch?).ok_or_else(|| damaged(file))?);
        }
        let rows = concat_batches(reader.schema(), &rows).map_err(arrow_error("rows that lack values"))?;
        if rows.num_rows() != told.len() {
            return Err(damaged(file));
        }
        let mut content = PartialContent { rows, keeps: Vec::new(), emptied: None };
        if let Some(of_all) = told.last().and_then(|(_, ids)| ids.strip_prefix(ALL)) {
            let at = told.len() - 1;
            content.emptied =
                Some(emptied_of(&content.rows.slice(at, 1), of_all, schema).ok_or_else(|| damaged(file))?);
            content.rows = content.rows.slice(0, at);
        }
        let some = told.iter().take(content.rows.num_rows());
        content.keeps = some.map(|(is_mark, ids)| keeps_of(*is_mark, ids, schema)).collect();
        Ok(content)
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

fn told_of(batch: &RecordBatch) -> Option<Vec<(bool, String)>> {
    let marks = batch.column_by_name(IS_MARK)?.as_boolean_opt()?;
    let texts = batch.column_by_name(COLUMNS)?.as_string_opt::<i32>()?;
    let told = (0..batch.num_rows()).map(|row| (marks.value(row), texts.value(row).to_owned()));
    (marks.null_count() + texts.null_count() == 0).then(|| told.collect())
}

fn names_of(ids: &str, schema: &Schema) -> impl Iterator<Item = String> {
    ids.split(',').filter_map(|id| Some(schema.name_by_field_id(id.parse().ok()?)?.to_owned()))
}

/// Of a column that was dropped nothing is kept.
fn keeps_of(is_mark: bool, ids: &str, schema: &Schema) -> Keeps {
    let names: Arc<BTreeSet<String>> = Arc::new(names_of(ids, schema).collect());
    if is_mark { Keeps::AllBut(names) } else { Keeps::Columns(names) }
}

/// I2.
fn row_of_all(emptied: &Emptied, columns: &ArrowSchemaRef) -> Result<RecordBatch> {
    match emptied {
        Emptied::Deleted => {
            let nulls = columns.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect();
            RecordBatch::try_new(columns.clone(), nulls).map_err(arrow_error("a row of nothing"))
        }
        Emptied::Marked(mark) => conform(&mark.row, columns),
    }
}

fn ids_of_all(emptied: &Emptied, schema: &Schema) -> String {
    let Emptied::Marked(mark) = emptied else { return ALL.to_string() };
    let names = mark.row.schema_ref().fields().iter().map(|field| field.name().as_str());
    let ids = [mark.by.as_str()].into_iter().chain(names).filter_map(|name| schema.field_id_by_name(name));
    format!("{ALL}{}", ids.map(|id| id.to_string()).collect::<Vec<_>>().join(","))
}

fn emptied_of(row: &RecordBatch, ids: &str, schema: &Schema) -> Option<Emptied> {
    if ids.is_empty() {
        return Some(Emptied::Deleted);
    }
    let by = schema.name_by_field_id(ids.split(',').next()?.parse().ok()?)?.to_owned();
    let names: BTreeSet<String> = names_of(ids, schema).collect();
    let places: Vec<usize> = names.iter().filter_map(|name| row.schema_ref().index_of(name).ok()).collect();
    Some(Emptied::Marked(Mark { row: row.project(&places).ok()?, by }))
}
