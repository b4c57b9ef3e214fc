//! Avro records straight into Arrow columns.
//!
//! Owns [`AvroDecoder`]. Each schema is compiled once into a program over the table's columns; a record runs through
//! its program in one pass, with no value built in between.
//!
//! ```text
//!  schema            a schema's text, names resolved
//!  scalar            which scalars and logical types there are, and the columns that take them
//!  bind    program   a schema and the columns into a program; the columns that it adds
//!  union   telling   the branches of unions; types that say nothing
//!  change            envelopes around rows that changed
//!  cursor  read      a record's bytes, and the run of a program over them
//! ```
//!
//! - I1: every column is nullable and keeps its place: schemas of any age may follow each other from record to record.
//! - I2: a schema that is refused, and a record that fails, leave no trace.
//! - I3: a default is not applied: where a schema has no such field, the column is null.
//!
//! Aliases and unions are known from the schemas that were added: give those of older versions before decoding, the
//! latest last, and a field that was renamed finds its column whichever version a record has.
//!
//! arrow-avro was looked at: `docs/decisions/0011-avro-decoder.md`.

mod bind;
mod change;
mod cursor;
mod program;
mod read;
mod scalar;
mod schema;
mod telling;
#[cfg(test)]
mod tests;
mod union;

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use arrow::datatypes::{self, SchemaRef};
use tableflow_model::{Records, Result};

use self::bind::{Known, Rows, bind};
use self::program::Program;
pub(super) use self::read::branch_of;
use self::schema::Schema;
pub use self::schema::in_a_record;
pub(super) use self::schema::{NoRecord, RecordNames, record_names};
use super::columns::fields::Fields;
use super::pass::{Pass, Stop};
use super::value_columns::ValueColumns;
use super::{BadRecords, ColumnRules, Decoded, Decoder, Framing, Learned, Origins, Passing, Reason, RecordError};
use crate::registry::{ResolvedSchema, SchemaKey};

/// Decodes the Avro records of one topic.
pub struct AvroDecoder<F> {
    framing: F,
    columns: ValueColumns,
    programs: HashMap<SchemaKey, Program>,
    known: Known,
    rows: Rows,
}

impl<F> fmt::Debug for AvroDecoder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AvroDecoder").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl<F: Framing> AvroDecoder<F> {
    /// A decoder for a table with these columns; the metadata columns are passed over.
    pub fn new(framing: F, table: &datatypes::Schema) -> Result<Self> {
        let columns = ValueColumns::of_table(table, "Avro")?;
        let (programs, known, rows) = Default::default();
        Ok(AvroDecoder { framing, columns, programs, known, rows })
    }

    /// For a table of one type of record, by its full name: of a schema that is a union of records, that one is taken.
    #[must_use]
    pub fn of_record(mut self, name: Option<&str>) -> Self {
        self.rows = name.map_or(Rows::Records, |name| Rows::OfType(name.to_owned()));
        self
    }

    /// For records that are changes of rows, in Debezium's envelope: the row behind each change is taken.
    #[must_use]
    pub fn of_changes(mut self) -> Self {
        self.rows = Rows::Changed { tells: false };
        self
    }

    /// The same, and of each change it is told what it was, and when.
    #[must_use]
    pub fn telling_origins(mut self) -> Self {
        self.rows = Rows::Changed { tells: true };
        self
    }

    /// Holds its columns to what the table allows.
    #[must_use]
    pub fn keep_to(mut self, rules: &ColumnRules, table: &datatypes::Schema) -> Self {
        self.columns.keep_to(rules, table);
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
    origins: Origins,
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
        let payload = match program {
            Program::Change(change) => change.row_of(opened.payload, index, &mut self.origins).map_err(Stop::failed)?,
            _ => opened.payload,
        };
        read::record(program, self.columns, payload, row).map_err(|fault| {
            self.columns.roll_back(row);
            Stop::Failed(Box::new(fault.explain(index, Reason::NotAvro)))
        })
    }
}

impl<F: Framing> Decoder for AvroDecoder<F> {
    fn decode_from(&mut self, records: &Records, first_row: usize, bad: BadRecords) -> Decoded {
        let Self { framing, programs, columns, .. } = self;
        let (program, origins) = Default::default();
        let mut run = Run { framing, programs, columns: &mut columns.fields, program, origins };
        let pass = Pass::over(records, first_row, bad, |index, row| run.record(records, index, row));
        let origins = run.origins;
        let batch = columns.finish(pass.rows());
        pass.with(batch, origins)
    }

    fn add_schema_but(&mut self, key: SchemaKey, text: &ResolvedSchema, passing: Option<&Passing>) -> Result<Learned> {
        let mut known = self.known.clone();
        let rows = &self.rows;
        let bound = self.columns.learn(key, |columns| bind(&Schema::parse(text)?, rows, passing, columns, &mut known));
        let (program, learned) = bound?;
        self.known = known;
        self.programs.insert(key, program);
        Ok(learned)
    }

    fn columns_of(&self, key: SchemaKey, text: &ResolvedSchema, passing: &Passing) -> Result<BTreeSet<String>> {
        let mut known = self.known.clone();
        let bind = |columns: &mut Fields| bind(&Schema::parse(text)?, &self.rows, Some(passing), columns, &mut known);
        let (_, (_, learned)) = self.columns.bound(key, bind)?;
        Ok(learned.filled)
    }

    fn leave_to_keys(&mut self, names: &[String]) {
        self.columns.taken.leave_to_keys(names);
    }

    fn schema(&self) -> SchemaRef {
        self.columns.schema()
    }

    fn schema_version(&self) -> u64 {
        self.columns.version()
    }
}
