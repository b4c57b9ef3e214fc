//! The rows of a result, in any format.
//!
//! csv is arrow-csv's, over columns made flat first: it refuses nested columns and prints bytes as hex, so lists,
//! maps and structs become their JSON text and bytes base64. As in every CSV, null and the empty text look alike.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
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
