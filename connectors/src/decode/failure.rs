//! The first record that could not be decoded, and why.
//!
//! Owns [`RecordError`], the stable codes of [`Reason`], which status and errors show, and [`Remedy`].
//! - I1: a code, once published, keeps its name.
//! - I2: a remedy is a fact about the record; what to type is for those who know the table.

use std::fmt;

use arrow::datatypes::FieldRef;

/// Where a path begins, in a value and in a key.
const ROOT: char = '$';
const KEY: &str = "key";

/// Why a record could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A null value where a row is needed.
    Tombstone,
    EmptyValue,
    /// Nothing says which schema the record was written with.
    NoSchemaId,
    /// The registry does not know the schema.
    UnknownSchema,
    /// Its schema is of another kind than those of the table's other records.
    AnotherFormat,
    NotJson,
    /// The bytes are none that a writer with the record's Avro schema makes.
    NotAvro,
    /// The bytes are none that a writer with the record's Protobuf schema makes.
    NotProtobuf,
    /// The value ends in the middle.
    Truncated,
    /// More follows the value.
    TrailingData,
    InvalidUtf8,
    TooDeep,
    NotAnObject,
    /// The column holds another type.
    TypeMismatch,
    /// The type fits, the value is beyond what the column can hold exactly.
    OutOfRange,
    /// A column that must have a value has none.
    MissingValue,
    /// A new field has a name that no column can have.
    BadName,
    /// A new field has a name that belongs to the metadata columns.
    ReservedName,
    /// A new field differs only by case from a column.
    CaseCollision,
    TooManyColumns,
    /// A new field, in a table whose columns stay as they are.
    NewColumn,
    /// A new field has the name of a column that records' keys fill.
    KeyColumn,
    /// A map has a key twice.
    RepeatedKey,
    /// It does not say which of several tables it belongs to.
    NoTable,
    /// No envelope around a row that changed.
    NotAChange,
    /// All rows of the source were deleted at once.
    Truncation,
    /// What a connector says of itself and its source, among the changes of rows: no bad record.
    Notice,
}

impl Reason {
    /// The code that people and scripts see.
    pub fn code(self) -> &'static str {
        match self {
            Reason::Tombstone => "tombstone",
            Reason::EmptyValue => "empty-value",
            Reason::NoSchemaId => "no-schema-id",
            Reason::UnknownSchema => "schema-id-unknown",
            Reason::AnotherFormat => "another-format",
            Reason::NotJson => "not-json",
            Reason::NotAvro => "not-avro",
            Reason::NotProtobuf => "not-protobuf",
            Reason::Truncated => "truncated",
            Reason::TrailingData => "trailing-data",
            Reason::InvalidUtf8 => "invalid-utf8",
            Reason::TooDeep => "too-deep",
            Reason::NotAnObject => "not-an-object",
            Reason::TypeMismatch => "type-mismatch",
            Reason::OutOfRange => "out-of-range",
            Reason::MissingValue => "missing-value",
            Reason::BadName => "bad-name",
            Reason::ReservedName => "reserved-name",
            Reason::CaseCollision => "case-collision",
            Reason::TooManyColumns => "too-many-columns",
            Reason::NewColumn => "new-column",
            Reason::KeyColumn => "key-column",
            Reason::RepeatedKey => "repeated-key",
            Reason::NoTable => "no-table",
            Reason::NotAChange => "not-a-change",
            Reason::Truncation => "truncation",
            Reason::Notice => "notice",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Which record of the batch: an index into the `Records` that were decoded.
    pub row: usize,
    pub reason: Reason,
    /// Where in the record: `$.customer.address[3].zip`, and `key.id` in its key.
    pub path: String,
    /// One line that says what was found, and where.
    pub message: String,
    pub remedy: Remedy,
}

impl RecordError {
    /// A null value, at this place of the batch.
    pub fn tombstone(row: usize) -> Self {
        RecordError {
            row,
            reason: Reason::Tombstone,
            path: "$".to_owned(),
            message: "the value is null: a tombstone, which deletes a key".to_owned(),
            remedy: Remedy::Produce("an append table has no keys to delete: send no tombstones, let it keep one row a key (`tableflow update TABLE --mode upsert`), or enable the topic with --mode upsert into another table".to_owned()),
        }
    }

    /// What was said of a value that is a record's key: path and message say that it is.
    #[must_use]
    pub fn of_key(self, row: usize) -> Self {
        let in_key = |text: &str| text.strip_prefix(ROOT).map(|rest| format!("{KEY}{rest}"));
        let message = match (in_key(&self.message), self.message.strip_prefix("the value")) {
            (Some(message), _) => message,
            (None, Some(rest)) => format!("the {KEY}{rest}"),
            (None, None) => format!("the {KEY}: {}", self.message),
        };
        let remedy = match self.remedy {
            Remedy::Declare(column) => Remedy::DeclareOfKey(column),
            Remedy::Respell { words, .. } => Remedy::Produce(words),
            remedy => remedy,
        };
        RecordError { row, reason: self.reason, path: in_key(&self.path).unwrap_or(self.path), message, remedy }
    }
}

/// What would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A table with this column instead takes the record.
    Declare(FieldRef),
    /// The same, of keys.
    DeclareOfKey(FieldRef),
    /// A column whose name differs by case is in the way: what the producer has to do, or, if no record has the
    /// column's spelling, the column that takes its place.
    Respell { column: FieldRef, words: String },
    /// The table takes the record if its columns may follow the records.
    Evolve,
    /// No table takes the record: what its producer has to do.
    Produce(String),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn what_is_said_of_a_key_says_that_it_is_one() {
        let column: FieldRef = Arc::new(Field::new("id", DataType::Utf8, true));
        let respelt = Remedy::Respell { column: column.clone(), words: "use one".to_owned() };
        for (path, message, remedy, expected) in [
            (
                "$.id",
                "$.id is text",
                Remedy::Declare(column.clone()),
                ("key.id", "key.id is text", Remedy::DeclareOfKey(column)),
            ),
            ("$", "the value is not JSON", Remedy::Evolve, ("key", "the key is not JSON", Remedy::Evolve)),
            (
                "$[\"a b\"]",
                "$[\"a b\"] is",
                respelt,
                ("key[\"a b\"]", "key[\"a b\"] is", Remedy::Produce("use one".to_owned())),
            ),
            (
                "$",
                "the registry knows no $",
                Remedy::Evolve,
                ("key", "the key: the registry knows no $", Remedy::Evolve),
            ),
        ] {
            let of_value = RecordError {
                row: 1,
                reason: Reason::NotAvro,
                path: path.to_owned(),
                message: message.to_owned(),
                remedy,
            };
            let (path, message, remedy) = expected;
            let (path, message) = (path.to_owned(), message.to_owned());
            assert_eq!(of_value.of_key(7), RecordError { row: 7, reason: Reason::NotAvro, path, message, remedy });
        }
    }
}
