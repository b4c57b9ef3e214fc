//! The rows of a result, in any format.
//!
//! csv is arrow-csv's, over columns made flat first: it refuses nested columns and prints bytes as hex, so lists,
//! maps and structs become their JSON text and bytes base64. As in every CSV, null and the empty text look alike.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use tableflow_model::{Error, Result};

use super::table::TableRows;
use super::{Format, json, printed};

/// A writer of record batches. [`Rows::finish`] must be called at the end.
pub struct Rows<'w>(Printer<'w>);

enum Printer<'w> {
    Table(TableRows<'w>),
    Json(json::Document<&'w mut dyn Write>),
    Ndjson(json::Lines<&'w mut dyn Write>),
    Csv { writer: Box<arrow_csv::Writer<&'w mut dyn Write>>, schema: SchemaRef, started: bool },
}

impl std::fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rows")
    }
}

impl<'w> Rows<'w> {
    pub fn new(format: Format, schema: &SchemaRef, out: &'w mut dyn Write) -> Result<Rows<'w>> {
        let printer = match format {
            Format::Table => Printer::Table(TableRows::new(schema, out)),
            Format::Json => {
                check_names(schema)?;
                Printer::Json(json::document(out))
            }
            Format::Ndjson => {
                check_names(schema)?;
                Printer::Ndjson(json::lines(out))
            }
            Format::Csv => {
                Printer::Csv { writer: Box::new(arrow_csv::Writer::new(out)), schema: schema.clone(), started: false }
            }
            Format::Yaml => {
                return Err(Error::usage("rows are not printed as yaml").with_hint("use -o json, ndjson, csv or table"));
            }
        };
        Ok(Rows(printer))
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = &with_typed_nulls(batch)?;
        match &mut self.0 {
            Printer::Table(table) => table.write(batch),
            Printer::Json(writer) => printed(writer.write(batch)),
            Printer::Ndjson(writer) => printed(writer.write(batch)),
            Printer::Csv { writer, started, .. } => {
                *started = true;
                printed(writer.write(&flat(batch)?))
            }
        }
    }

    pub fn finish(self) -> Result<()> {
        match self.0 {
            Printer::Table(table) => table.finish(),
            Printer::Json(mut writer) => {
                printed(writer.finish())?;
                printed(writer.into_inner().flush())
            }
            Printer::Ndjson(mut writer) => {
                printed(writer.finish())?;
                printed(writer.into_inner().flush())
            }
            Printer::Csv { mut writer, schema, started } => {
                if !started {
                    printed(writer.write(&RecordBatch::new_empty(schema)))?;
                }
                printed(writer.into_inner().flush())
            }
        }
    }
}

/// A column that is nothing but `NULL` has a type that no printer knows: as a text it is null all the same.
fn with_typed_nulls(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema();
    let fields: Vec<_> = schema.fields().iter().map(with_typed_null).collect();
    if fields.iter().zip(schema.fields()).all(|(typed, field)| typed.data_type() == field.data_type()) {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().zip(&fields).map(|(column, field)| cast(column, field.data_type()));
    let columns = printed(columns.collect::<std::result::Result<_, _>>())?;
    printed(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns))
}

fn with_typed_null(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Null => DataType::Utf8,
        DataType::List(element) => DataType::List(with_typed_null(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(with_typed_null).collect()),
        _ => return field.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

/// An object cannot hold two fields of one name without losing one.
fn check_names(schema: &Schema) -> Result<()> {
    let mut seen = HashSet::new();
    match schema.fields().iter().find(|field| !seen.insert(field.name())) {
        None => Ok(()),
        Some(field) => Err(Error::usage(format!("two columns of the result are called {}", field.name()))
            .with_hint("name them apart with AS, or print -o csv")),
    }
}

fn flat(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if is_plain(column.data_type()) {
            fields.push(field.clone());
            columns.push(column.clone());
        } else {
            let texts: StringArray = printed(json::texts(field, column))?.into_iter().collect();
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(Arc::new(texts));
        }
    }
    printed(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns))
}

/// What arrow-csv prints as `output` promises.
fn is_plain(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => json::is_utc(zone),
        DataType::Dictionary(_, values) => is_plain(values),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => false,
        other => !other.is_nested(),
    }
}
