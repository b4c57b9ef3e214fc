//! How the bytes of one writer schema go into the columns.
//!
//! Owns the words of a program: made by `bind`, run by `read`.
//! - I1: a program names columns by their index, and columns are only ever added at the end: it stays true.
//! - I2: every item of an array or map takes a byte at least: what takes none has no column, and no step.

use super::change::Change;
use super::scalar::Scalar;

/// A whole record.
#[derive(Debug)]
pub(super) enum Program {
    Row(Row),
    /// A record or null, which is no row.
    Optional(Null, Row),
    /// Records of several types: a column for each.
    Union(Union),
    /// One of several types, for a table of its own.
    Chosen(Chosen, Row),
    /// An envelope around a row.
    Change(Change),
}

/// Which branch of a union a table's records are of, of how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub tag: i64,
    pub branches: i64,
}

#[derive(Debug)]
pub(super) enum Step {
    Scalar(Scalar),
    List(Box<Step>),
    Map(Box<Entry>),
    Row(Row),
    Optional(Null, Box<Step>),
    Union(Union),
    /// A value that is not a union for a column that is.
    Branch(Box<Field>),
    /// A value that has no column (`NO_COLUMN`).
    Past(Past),
}

/// The column of a field that is read past.
pub(super) const NO_COLUMN: usize = usize::MAX;

/// How many bytes a value takes that nobody keeps.
#[derive(Debug)]
pub(super) enum Past {
    Fixed(usize),
    /// A number of as many bytes as it needs.
    Number,
    /// A length, and so many bytes.
    Run,
    List(Box<Past>),
    /// Entries, whose keys are runs.
    Map(Box<Past>),
    Row(Vec<Past>),
    Union(Vec<Past>),
}

/// A key, and its value behind it.
#[derive(Debug)]
pub(super) struct Entry {
    pub key: Scalar,
    pub value: Step,
}

/// Which branch of a union is null, of how many; one behind the last is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Null {
    pub tag: i64,
    pub branches: i64,
}

/// The fields that have columns, in the order of the schema.
#[derive(Debug)]
pub(super) struct Row {
    pub fields: Vec<Field>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: Box<str>,
    pub column: usize,
    pub step: Step,
}

#[derive(Debug)]
pub(super) struct Union {
    pub branches: Vec<Branch>,
}

#[derive(Debug)]
pub(super) enum Branch {
    Null,
    /// A record without fields: only that it is there.
    Empty,
    Field(Field),
}
