//! Protobuf messages straight into Arrow columns.
//!
//! Owns [`ProtobufDecoder`]. Each message type is compiled once into a program over the table's columns; a record runs
//! through its program in one pass, with no value built in between.
//!
//! ```text
//!  schema                a schema's text, its imports and types resolved
//!  scalar                which scalars there are, and the columns that take them
//!  bind, default         a message type and the columns into a program; the columns that it adds
//!  program
//!  change                envelopes around rows that changed
//!  wire                  tags, and what is passed over
//!  index                 which message of its schema a record has
//!  read, seal            the run of a program over a record's bytes, and its end
//!  time, json            messages that everyone knows
//! ```
//!
//! - I1: every column is nullable and keeps its place: schemas of any age may follow each other from record to record.
//! - I2: a schema that is refused, and a record that fails, leave no trace.
//! - I3: a field without presence is never null: where a record leaves it out, it has the value that its schema says.
//!
//! prost-reflect's dynamic messages were looked at: `docs/decisions/0013-protobuf-decoder.md`.

mod bind;
mod change;
mod default;
mod index;
mod json;
mod program;
mod read;
mod scalar;
mod schema;
mod seal;
#[cfg(test)]
mod tests;
mod time;
mod wire;

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use arrow::datatypes::{self, SchemaRef};
use prost_reflect::MessageDescriptor;
use tableflow_model::{Records, Result};

use self::bind::{Known, bind};
use self::change::Change;
pub(super) use self::index::read as message_of;
use self::program::Message;
pub(super) use self::schema::Schema;
pub(crate) use self::schema::compile;
use super::columns::fields::Fields;
use super::pass::{Pass, Stop};
use super::value_columns::ValueColumns;
use super::{BadRecords, ColumnRules, Decoded, Decoder, Framing, Learned, Origins, Passing, Reason, RecordError};
use crate::registry::{ResolvedSchema, SchemaKey};

/// The first message of a schema.
pub(super) const FIRST: &[u32] = &[0];

/// Decodes the Protobuf records of one topic.
pub struct ProtobufDecoder<F> {
    framing: F,
    columns: ValueColumns,
    programs: HashMap<SchemaKey, Programs>,
    /// What a record had that no program knows: it is bound when its schema is added.
    wanted: Option<(SchemaKey, Vec<u32>)>,
    known: Known,
    rows: Rows,
}

/// The message types of one schema that are bound, by their indexes.
type Programs = Vec<(Vec<u32>, Program)>;

/// What of a message is a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rows {
    /// All of it.
    #[default]
    Messages,
    /// What is behind a change, in an envelope, which may be asked what it says of the change.
    Changed { tells: bool },
}

#[derive(Debug)]
enum Program {
    Row(Message),
    Change(Change),
}

impl<F> fmt::Debug for ProtobufDecoder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtobufDecoder").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl<F: Framing> ProtobufDecoder<F> {
    /// A decoder for a table with these columns; the metadata columns are passed over.
    pub fn new(framing: F, table: &datatypes::Schema) -> Result<Self> {
        let columns = ValueColumns::of_table(table, "Protobuf")?;
        let (programs, known, rows) = Default::default();
        Ok(ProtobufDecoder { framing, columns, programs, wanted: None, known, rows })
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

impl Rows {
    /// The program of a message type.
    fn bind(
        self,
        message: &MessageDescriptor,
        passing: Option<&Passing>,
        columns: &mut Fields,
        known: &mut Known,
    ) -> Result<(Program, Learned)> {
        Ok(match self {
            Rows::Messages => {
                let (message, learned) = bind(message, passing, columns, known)?;
                (Program::Row(message), learned)
            }
            Rows::Changed { tells } => {
                let (change, learned) = Change::bind(message, passing, (columns, known), tells)?;
                (Program::Change(change), learned)
            }
        })
    }
}

/// One pass over records.
struct Run<'a, F> {
    framing: &'a F,
    programs: &'a HashMap<SchemaKey, Programs>,
    columns: &'a mut Fields,
    /// The index of the record that is read.
    index: Vec<u32>,
    /// The last record's: mostly the next one's too.
    program: Option<(SchemaKey, &'a (Vec<u32>, Program))>,
    origins: Origins,
}

impl<'a, F: Framing> Run<'a, F> {
    /// Appends one record as row `row`, or leaves everything as it was.
    fn record(&mut self, records: &Records, place: usize, row: usize) -> Result<(), Stop> {
        if records.value(place).is_none() {
            return Err(Stop::Failed(Box::new(RecordError::tombstone(place))));
        }
        let opened = self.framing.open(records, place).map_err(|error| Stop::Failed(Box::new(error)))?;
        let payload = index::read(&opened, &mut self.index)
            .map_err(|fault| Stop::Failed(Box::new(fault.explain(place, Reason::NotProtobuf))))?;
        let program = self.program(opened.schema).ok_or(Stop::Needs(opened.schema))?;
        let read = match program {
            Program::Row(program) => read::record(program, self.columns, payload, row),
            Program::Change(change) => {
                change.check(payload, place, &mut self.origins).map_err(Stop::failed)?;
                change.record(self.columns, payload, row)
            }
        };
        read.map_err(|fault| {
            self.columns.roll_back(row);
            Stop::Failed(Box::new(fault.explain(place, Reason::NotProtobuf)))
        })
    }

    fn program(&mut self, key: SchemaKey) -> Option<&'a Program> {
        match self.program {
            Some((last, (index, program))) if last == key && *index == self.index => return Some(program),
            _ => {}
        }
        let bound = self.programs.get(&key)?.iter().find(|(index, _)| *index == self.index)?;
        self.program = Some((key, bound));
        Some(&bound.1)
    }
}

impl<F: Framing> Decoder for ProtobufDecoder<F> {
    fn decode_from(&mut self, records: &Records, first_row: usize, bad: BadRecords) -> Decoded {
        let Self { framing, programs, columns, .. } = self;
        let (index, program, origins) = Default::default();
        let mut run = Run { framing, programs, columns: &mut columns.fields, index, program, origins };
        let pass = Pass::over(records, first_row, bad, |place, row| run.record(records, place, row));
        let Run { index, origins, .. } = run;
        let batch = columns.finish(pass.rows());
        let decoded = pass.with(batch, origins);
        self.wanted = decoded.needs.map(|key| (key, index));
        decoded
    }

    /// Binds the message type that the last record needed, or else the schema's first.
    fn add_schema_but(&mut self, key: SchemaKey, text: &ResolvedSchema, passing: Option<&Passing>) -> Result<Learned> {
        let index = match &self.wanted {
            Some((wanted, index)) if *wanted == key => index.clone(),
            _ => FIRST.to_vec(),
        };
        let mut known = self.known.clone();
        let rows = self.rows;
        let bound = self
            .columns
            .learn(key, |columns| rows.bind(&Schema::parse(text)?.message(&index)?, passing, columns, &mut known));
        let (program, learned) = bound?;
        self.known = known;
        let programs = self.programs.entry(key).or_default();
        programs.retain(|(bound, _)| *bound != index);
        programs.push((index, program));
        Ok(learned)
    }

    /// Of all message types that the schema has, whichever of them records have: those that this process has not seen
    /// yet may fill the table too.
    fn columns_of(&self, key: SchemaKey, text: &ResolvedSchema, passing: &Passing) -> Result<BTreeSet<String>> {
        let schema = Schema::parse(text)?;
        let wanted = self.wanted.iter().filter(|(wanted, _)| *wanted == key).map(|(_, index)| index.as_slice());
        let had = self.programs.values().flatten().map(|(index, _)| index.as_slice());
        let known: BTreeSet<&[u32]> = had.chain(wanted).chain([FIRST]).collect();
        let top_level: Vec<[u32; 1]> = (0..).map(|place| [place]).take_while(|it| schema.message(it).is_ok()).collect();
        let mut filled = BTreeSet::new();
        for index in known.iter().copied().chain(top_level.iter().map(<[u32; 1]>::as_slice)) {
            let Ok(message) = schema.message(index) else { continue };
            let mut numbers = self.known.clone();
            let bind = |columns: &mut Fields| self.rows.bind(&message, Some(passing), columns, &mut numbers);
            match self.columns.bound(key, bind) {
                Ok((_, (_, learned))) => filled.extend(learned.filled),
                Err(error) if known.contains(index) => return Err(error),
                // No record has had it, and perhaps none can.
                Err(_) => {}
            }
        }
        Ok(filled)
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
