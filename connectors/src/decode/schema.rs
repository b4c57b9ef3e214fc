//! Which schema a record was written with, and what a schema brings.
//!
//! Owns the words between a decoder, which is pure, and those who fetch schemas for it.
//! - I1: a decoder never waits: it names the schema that it needs, and goes on when it was given.
//!
//! Neighbours: whoever reads a registry implements [`Framing`] and gives [`SchemaText`].

use std::fmt;

use arrow::datatypes::DataType;
use tableflow_model::Records;

use super::RecordError;

/// Names a schema, as the registry that it comes from numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaKey(pub u64);

impl fmt::Display for SchemaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A schema as it is written, and those that it refers to, directly or not, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaText {
    pub text: String,
    pub references: Vec<Reference>,
}

/// A schema that another one refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// As the one that refers to it names it: of Protobuf, the path to import; Avro's names are in the text.
    pub name: String,
    pub text: String,
}

/// Where a record says which schema it was written with.
pub trait Framing: fmt::Debug + Send {
    /// The schema of a record's value, and the bytes that were written with it.
    fn open<'a>(&self, records: &'a Records, row: usize) -> Result<Opened<'a>, RecordError>;
}

/// A record's value out of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    pub schema: SchemaKey,
    pub payload: &'a [u8],
    /// What follows the id in its header: of Protobuf, the message index. Where it is empty, that is the payload's start.
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
