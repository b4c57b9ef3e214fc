//! Which schema a record was written with, and what a schema brings.
//!
//! Owns the words between a decoder, which is pure, and those who fetch schemas for it.
//! - I1: a decoder never waits: it names the schema that it needs, and goes on when it was given.
//!
//! Neighbours: whoever reads a registry gives a [`ResolvedSchema`](crate::registry::resolve::ResolvedSchema).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use arrow::datatypes::DataType;
use tableflow_model::Records;

use super::{Reason, RecordError, Remedy};
use crate::registry::framing::{FramingFault, PrefixLength, frame};
use crate::registry::{RecordPart, SchemaId, SchemaKey, SchemaType};

const WIDE_IDS: &str =
    "if the producers write ids of eight bytes, as Apicurio's did before version 3, set id_bytes = 8 in [registry]";

/// Where a record says which schema it was written with.
pub trait Framing: fmt::Debug + Send {
    /// The schema of a record's value, and the bytes that were written with it.
    fn open<'a>(&self, records: &'a Records, row: usize) -> Result<Opened<'a>, RecordError>;
}

/// The framing of serializers that use a schema registry: an id before the bytes, or in a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistryFraming {
    pub prefix: PrefixLength,
    /// Whose header it is. A decoder finds the bytes of keys where it looks for values (`Records::of_keys`).
    pub part: RecordPart,
}

impl RegistryFraming {
    /// What a record says of the schema of its part, if it does.
    pub fn schema_of(&self, records: &Records, row: usize) -> Option<SchemaKey> {
        let bytes = self.part.bytes(records, row)?;
        frame(bytes, records.headers(row), self.part, self.prefix).ok().map(|framed| framed.schema)
    }
}

impl Framing for RegistryFraming {
    fn open<'a>(&self, records: &'a Records, row: usize) -> Result<Opened<'a>, RecordError> {
        let value = records.value(row).ok_or_else(|| RecordError::tombstone(row))?;
        let framed = frame(value, records.headers(row), self.part, self.prefix);
        let framed = framed.map_err(|fault| unframed(row, fault))?;
        let payload = value.get(framed.payload).unwrap_or_default();
        Ok(Opened { schema: framed.schema, payload, header_rest: framed.header_rest })
    }
}

fn unframed(row: usize, fault: FramingFault) -> RecordError {
    RecordError {
        row,
        reason: if fault == FramingFault::Empty { Reason::EmptyValue } else { Reason::NoSchemaId },
        path: "$".to_owned(),
        message: format!("the value has no schema id: {fault}"),
        remedy: Remedy::Produce("use a serializer of a schema registry".to_owned()),
    }
}

impl RecordError {
    /// The schema that it names is of another kind than the table takes.
    pub fn another_format(row: usize, key: SchemaKey, found: SchemaType, wanted: SchemaType) -> Self {
        RecordError {
            row,
            reason: Reason::AnotherFormat,
            path: "$".to_owned(),
            message: format!("the schema of {key} is {found}, and the table takes {wanted}"),
            remedy: Remedy::Produce(format!("write the records of one topic with {wanted} schemas")),
        }
    }

    /// The registry knows no such schema.
    pub fn unknown_schema(row: usize, key: SchemaKey) -> Self {
        RecordError {
            row,
            reason: Reason::UnknownSchema,
            path: "$".to_owned(),
            message: format!("the schema registry knows no schema of {key}"),
            remedy: Remedy::Produce(match key {
                // What four bytes say of an id that has eight.
                SchemaKey::Id(SchemaId(0)) => WIDE_IDS.to_owned(),
                _ => "register the schema that the record was written with".to_owned(),
            }),
        }
    }
}

/// A record's value out of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    pub schema: SchemaKey,
    pub payload: &'a [u8],
    /// What follows the id in its header: of Protobuf, the message index. Where it is empty, that is the payload's
    /// start.
    pub header_rest: &'a [u8],
}

/// What a schema brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learned {
    /// What a table does not keep of it.
    pub notes: Vec<Note>,
    /// Columns that the table has to widen before it takes batches.
    pub widenings: Vec<Widening>,
    /// Fields that go into a column of another name, by an alias.
    pub renames: Vec<Rename>,
    /// Columns that were NOT NULL, and whose field may be null, or left out.
    pub relaxed: Vec<String>,
    /// The same of those that stay NOT NULL: such a record is a bad one.
    pub may_lack: Vec<String>,
    /// The whole names of the columns that its fields go into, where they were asked for.
    pub filled: BTreeSet<String>,
    /// Of those, by the whole names of fields that are called otherwise.
    pub called: BTreeMap<String, String>,
}

/// One thing that a person should know before a table is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The column, nested names joined by points.
    pub path: String,
    pub words: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Widening {
    pub path: String,
    pub from: DataType,
    pub to: DataType,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The column, which keeps its name.
    pub path: String,
    /// What the schema calls it.
    pub field: String,
}
