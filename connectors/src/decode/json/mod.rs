//! JSON objects straight into Arrow columns.
//!
//! Owns [`JsonDecoder`]. Two readers share one set of growing columns:
//!
//! ```text
//!  stream   the fast one: a pass over the bytes, by a `cursor`, for records that fit the columns
//!  careful  the other one: adds columns, or says what is wrong and where
//!  ------
//!  node, shape           a value level by level, and the type that it tells
//!  names, declare        which columns there can be, and which there are at first
//!  schema                the columns that a JSON Schema declares
//!  passed                what its records may have and belongs to no column
//!  bare                  values that are no objects, as keys often are
//!  debezium              rows inside of the changes that they are part of
//!  fault                 what is wrong, and the declaration that helps
//! ```
//!
//! - I1: every field of every record taken is in a column; only null, `{}` and `[]` may have none yet.
//! - I2: a column never changes its type; a value that does not fit exactly stops at its record, but for times, which
//!   are cut to the microsecond.
//! - I3: the rows do not depend on where the batches were cut, save that whole numbers become DOUBLE if
//!   a fraction follows within the batch that first shows them.
//! - I4: a record that fails changes neither rows nor schema; a JSON Schema that is refused changes nothing.
//! - I5: a record that names a JSON Schema waits until it was added.
//!
//! serde_json does the reading of the text. arrow-json was looked at as a whole: it reads a stream, so that two
//! halves in two records become one value; it cuts the fraction off a number for an integer column and reads
//! text as numbers; it takes epoch numbers in the column's own unit; unknown keys are dropped or fail without
//! a record number. serde_json's `float_roundtrip` is needed: without it some doubles are off by one bit.

mod bare;
mod careful;
mod cursor;
mod debezium;
mod declare;
mod fault;
mod names;
mod node;
mod passed;
mod schema;
mod shape;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde_json::value::RawValue;
use tableflow_model::{Records, Result};

use self::bare::Bare;
pub use self::debezium::Envelope;
use self::passed::Passed;
use self::shape::Shape;
use super::columns::fields::Fields;
use super::pass::{Pass, Stop};
use super::value_columns::ValueColumns;
use super::{BadRecords, ColumnRules, Decoded, Decoder, Framing, Learned, Note, Origin, Origins, Passing, RecordError};
use crate::registry::{ResolvedSchema, SchemaKey};

/// Objects and arrays inside of each other: serde_json reads so many before it gives up.
const DEPTH_MAX: usize = 127;
/// How many fields the look ahead keeps in mind; beyond it, whole numbers stay whole.
const FORESEEN_FIELDS_MAX: usize = 10_000;

/// Decodes the JSON objects of one topic.
pub struct JsonDecoder {
    /// None: records are JSON from their first byte on.
    framing: Option<Box<dyn Framing>>,
    /// None: a record is what its row is made of.
    envelope: Option<Envelope>,
    /// None: a record is an object.
    bare: Option<Bare>,
    known: HashMap<SchemaKey, Passed>,
    columns: ValueColumns,
    /// What envelopes say of the changes of a batch, where that is asked.
    origins: Option<Origins>,
    /// Room for texts with escapes.
    unescaped: String,
}

impl fmt::Debug for JsonDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonDecoder").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl JsonDecoder {
    /// A decoder for a table with these columns; `declared` ones (`--columns`) that it has not are added to
    /// it. A declared STRING takes any JSON value.
    pub fn new(declared: &[Field], table: &Schema) -> Result<Self> {
        let columns = ValueColumns::new(declare::columns(declared, table)?);
        let (framing, envelope, bare, known, origins, unescaped) = Default::default();
        Ok(JsonDecoder { framing, envelope, bare, known, columns, origins, unescaped })
    }

    /// What its columns do not keep of what may be written for them.
    pub fn notes(&self) -> Vec<Note> {
        declare::notes(self.columns.schema().fields())
    }

    /// Takes records that name a JSON Schema.
    #[must_use]
    pub fn framed(mut self, framing: impl Framing + 'static) -> Self {
        self.framing = Some(Box::new(framing));
        self
    }

    /// Takes what a row is made of out of what is around it.
    #[must_use]
    pub fn inside(mut self, envelope: Envelope) -> Self {
        self.envelope = Some(envelope);
        self
    }

    /// Tells of each change what it was, and when.
    #[must_use]
    pub fn telling_origins(mut self) -> Self {
        self.origins = Some(Origins::default());
        self
    }

    /// Takes what is no object for one with this field.
    #[must_use]
    pub fn bare_as(mut self, field: &str) -> Self {
        self.bare = Some(Bare::new(field));
        self
    }

    /// Holds its columns to what the table allows.
    pub fn keep_to(mut self, rules: &ColumnRules, table: &Schema) -> Result<Self> {
        self.columns.keep_to(rules, table);
        declare::check_names(&self.columns.fields, &self.columns.taken)?;
        Ok(self)
    }

    /// Appends one record as row `row`, or leaves everything as it was.
    fn record(
        &mut self,
        records: &Records,
        index: usize,
        row: usize,
        foreseen: &mut Option<Shape>,
    ) -> std::result::Result<(), Stop> {
        let mut origin = self.origins.as_ref().map(|_| Origin::default());
        let opened = self.open(records, index, origin.as_mut());
        if let (Some(origins), Some(origin)) = (&mut self.origins, origin) {
            origins.push(index, origin);
        }
        let (payload, key) = opened?;
        let bare_field = self.bare.as_ref().map(|bare| bare.field.clone());
        let needs_care = match key {
            None => false,
            Some(key) => self.known.get_mut(&key).ok_or(Stop::Needs(key))?.needs_care(&self.columns),
        };
        let value = match &mut self.bare {
            Some(bare) => bare.around(payload),
            None => payload,
        };
        let ValueColumns { fields, taken, evolution, .. } = &mut self.columns;
        if !needs_care && stream::read(fields, value, row, &mut self.unescaped).is_some() {
            return Ok(());
        }
        fields.roll_back(row);
        let nothing = BTreeSet::new();
        let passed = key.and_then(|key| self.known.get(&key)).map_or(&nothing, Passed::names);
        let limits = careful::Limits { taken, evolution: *evolution, passed };
        let mut read = careful::read(fields, limits, value, row, foreseen.as_ref());
        if foreseen.is_none() && matches!(read, Ok(true)) {
            // Only for a record that is good anyway: bad ones must not make every record look ahead.
            fields.roll_back(row);
            let ahead = foreseen.insert(foresee(
                records,
                index,
                (self.framing.as_deref(), self.envelope),
                bare_field.as_deref(),
            ));
            read = careful::read(fields, limits, value, row, Some(ahead));
        }
        match read {
            Ok(true) => self.columns.settle(),
            Ok(false) => {}
            Err(failure) => {
                fields.roll_back(row);
                return Err(Stop::failed(RecordError { row: index, ..*failure }));
            }
        }
        Ok(())
    }

    /// The JSON of a record, and the schema that it names.
    fn open<'r>(
        &self,
        records: &'r Records,
        index: usize,
        origin: Option<&mut Origin>,
    ) -> std::result::Result<(&'r [u8], Option<SchemaKey>), Stop> {
        let value = records.value(index).ok_or_else(|| Stop::failed(RecordError::tombstone(index)))?;
        let (value, schema) = match &self.framing {
            None => (value, None),
            Some(framing) => {
                let opened = framing.open(records, index).map_err(Stop::failed)?;
                (opened.payload, Some(opened.schema))
            }
        };
        match self.envelope {
            None => Ok((value, schema)),
            Some(envelope) => Ok((envelope.open(value, index, origin).map_err(Stop::failed)?, schema)),
        }
    }
}

impl Decoder for JsonDecoder {
    fn decode_from(&mut self, records: &Records, first_row: usize, bad: BadRecords) -> Decoded {
        let mut foreseen = None;
        let pass = Pass::over(records, first_row, bad, |index, row| self.record(records, index, row, &mut foreseen));
        let batch = self.columns.finish(pass.rows());
        let origins = self.origins.as_mut().map(std::mem::take).unwrap_or_default();
        pass.with(batch, origins)
    }

    fn add_schema_but(&mut self, key: SchemaKey, text: &ResolvedSchema, passing: Option<&Passing>) -> Result<Learned> {
        let within = (self.envelope, self.bare.as_ref().map(|bare| &*bare.field));
        let bind = |columns: &mut Fields| Ok(((), schema::bind(text, within, passing, columns)?));
        let ((), learned) = self.columns.learn(key, bind)?;
        let passed = passing.map(|passing| passing.in_records(&learned.filled)).unwrap_or_default();
        self.known.insert(key, Passed::new(passed));
        Ok(learned)
    }

    fn columns_of(&self, key: SchemaKey, text: &ResolvedSchema, passing: &Passing) -> Result<BTreeSet<String>> {
        let within = (self.envelope, self.bare.as_ref().map(|bare| &*bare.field));
        let bind = |columns: &mut Fields| Ok(((), schema::bind(text, within, Some(passing), columns)?));
        let (_, ((), learned)) = self.columns.bound(key, bind)?;
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

/// What the records from `first` on tell, taken together; those that are no JSON tell nothing.
fn foresee(
    records: &Records,
    first: usize,
    (framing, envelope): (Option<&dyn Framing>, Option<Envelope>),
    bare_field: Option<&str>,
) -> Shape {
    let mut budget = FORESEEN_FIELDS_MAX;
    let mut together = Shape::Object(Default::default());
    let json = |index: usize| {
        let value = match framing {
            Some(framing) if records.value(index).is_some() => framing.open(records, index).ok()?.payload,
            _ => records.value(index)?,
        };
        envelope.map_or(Some(value), |envelope| envelope.open(value, index, None).ok())
    };
    for value in (first..records.len()).filter_map(json) {
        let raw = serde_json::from_slice::<&RawValue>(value).ok();
        if let Some(shape) = raw.and_then(|raw| Shape::of(raw, 0).ok()) {
            let shape = match bare_field {
                Some(field) => bare::around_shape(field, shape),
                None => shape,
            };
            together.merge(shape, &mut budget);
        }
    }
    together
}
