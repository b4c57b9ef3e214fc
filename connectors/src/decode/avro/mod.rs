//! Avro records straight into Arrow columns.
//!
//! Owns [`AvroDecoder`]. Each schema is compiled once into a program over the table's columns; a record runs through its
//! program in one pass, with no value built in between.
//!
//! ```text
//!  schema            a schema's text, names resolved
//!  scalar            which scalars and logical types there are, and the columns that take them
//!  bind    program   a schema and the columns into a program; the columns that it adds
//!  cursor  read      a record's bytes, and the run of a program over them
//! ```
//!
//! - I1: every column is nullable and keeps its place: schemas of any age may follow each other from record to record.
//! - I2: a schema that is refused, and a record that fails, leave no trace.
//! - I3: a default is not applied: where a schema has no such field, the column is null.
//!
//! Aliases and unions are known from the schemas that were added: give those of older versions before decoding, the latest
//! last, and a field that was renamed finds its column whichever version a record has.
//!
//! arrow-avro was looked at: `docs/decisions/0011-avro-decoder.md`.

mod bind;
mod cursor;
mod program;
mod read;
mod scalar;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{self, SchemaRef};
use tableflow_model::types::flink_column;
use tableflow_model::{Error, Records, Result};

use self::bind::{Known, bind};
use self::program::Program;
use self::schema::Schema;
pub(super) use self::schema::record_name;
use super::columns::fields::Fields;
use super::columns::names::{TakenNames, clash, is_reserved};
use super::pass::{Pass, Stop};
use super::{BadRecords, Decoded, Decoder, Framing, Learned, Reason, RecordError};
use crate::registry::{ResolvedSchema, SchemaKey};

/// Decodes the Avro records of one topic.
pub struct AvroDecoder<F> {
    framing: F,
    columns: Fields,
    programs: HashMap<SchemaKey, Program>,
    known: Known,
    taken: TakenNames,
    schema: SchemaRef,
    schema_version: u64,
}

impl<F> fmt::Debug for AvroDecoder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AvroDecoder").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl<F: Framing> AvroDecoder<F> {
    /// A decoder for a table with these columns; the metadata columns are passed over.
    pub fn new(framing: F, table: &datatypes::Schema) -> Result<Self> {
        let value_columns = table.fields().iter().filter(|field| !is_reserved(field.name()));
        let columns = Fields::of(value_columns, false).map_err(|field| {
            Error::usage(format!("Avro cannot fill the column {}", flink_column(field)))
                .with_hint("keys of maps are text, whole numbers or booleans; timestamps have microseconds")
        })?;
        let schema = Arc::new(datatypes::Schema::new(columns.schema_fields()));
        let (programs, known, taken) = Default::default();
        Ok(AvroDecoder { framing, columns, programs, known, taken, schema, schema_version: 0 })
    }

    /// Keeps new columns from having one of these names: a table's partition fields.
    #[must_use]
    pub fn keep_clear_of(mut self, names: impl IntoIterator<Item = String>, table: &datatypes::Schema) -> Self {
        self.taken = TakenNames::new(names, table);
        self
    }
}

/// One pass over records.
struct Run<'a, F> {
    framing: &'a F,
    programs: &'a HashMap<SchemaKey, Program>,
    columns: &'a mut Fields,
    /// The last record's: mostly the next one's too.
    program: Option<(SchemaKey, &'a Program)>,
}

impl<F: Framing> Run<'_, F> {
    /// Appends one record as row `row`, or leaves everything as it was.
    fn record(&mut self, records: &Records, index: usize, row: usize) -> Result<(), Stop> {
        if records.value(index).is_none() {
            return Err(Stop::Failed(Box::new(RecordError::tombstone(index))));
        }
        let opened = self.framing.open(records, index).map_err(|error| Stop::Failed(Box::new(error)))?;
        let key = opened.schema;
        let program = match self.program {
            Some((last, program)) if last == key => program,
            _ => self.programs.get(&key).ok_or(Stop::Needs(key))?,
        };
        self.program = Some((key, program));
        read::record(program, self.columns, opened.payload, row).map_err(|fault| {
            self.columns.roll_back(row);
            Stop::Failed(Box::new(fault.explain(index, Reason::NotAvro)))
        })
    }
}

impl<F: Framing> Decoder for AvroDecoder<F> {
    fn decode_from(&mut self, records: &Records, first_row: usize, bad: BadRecords) -> Decoded {
        let Self { framing, programs, columns, .. } = self;
        let mut run = Run { framing, programs, columns, program: None };
        let pass = Pass::over(records, first_row, bad, |index, row| run.record(records, index, row));
        let batch = self.columns.finish_batch(&self.schema, pass.rows());
        pass.with(batch)
    }

    fn add_schema(&mut self, key: SchemaKey, text: &ResolvedSchema) -> Result<Learned> {
        let placed = |error: Error| error.with_context("schema", key);
        let avro = Schema::parse(text).map_err(placed)?;
        // Bound to columns of its own, so that a schema that is refused changes nothing.
        let mut columns = self.columns.copy();
        let mut known = self.known.clone();
        let (program, learned) = bind(&avro, &mut columns, &mut known).map_err(placed)?;
        let fields = columns.schema_fields();
        if let Some(clash) = clash(&fields, &self.taken) {
            return Err(placed(Error::data(clash.message()).with_hint("rename the field in the schema")));
        }
        (self.columns, self.known) = (columns, known);
        self.programs.insert(key, program);
        let schema = Arc::new(datatypes::Schema::new(fields));
        if schema != self.schema {
            self.schema = schema;
            self.schema_version += 1;
        }
        Ok(learned)
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn schema_version(&self) -> u64 {
        self.schema_version
    }
}
