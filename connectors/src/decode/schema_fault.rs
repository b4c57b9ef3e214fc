//! Why no table, or not this one, can hold what a schema describes.
//!
//! Owns [`SchemaFault`], the word that scripts know a refusal by. Where Confluent's checkers have a word for it, it is
//! theirs.
//! - I1: a refusal of a schema says its word as `reason`, and where there is one the place in the schema as `path`.

use std::fmt;

use tableflow_model::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaFault {
    /// The column has a type that does not take the field's.
    TypeMismatch,
    /// The column would become wider, and partitions the table.
    UnsupportedTypeChange,
    MapKeyTypeMismatch,
    /// The column must have a value, or the table is made by it and mirrors; and the schema has no such field.
    FieldDeleted,
    FieldNameCaseCollision,
    /// The name, written whole, is another column's.
    NameCollision,
    /// The name is one of the metadata columns.
    ReservedName,
    BadName,
    CyclicType,
    EmptyStruct,
    NotARecord,
    PrecisionOutOfRange,
    UnresolvedTypeRef,
    InvalidSchema,
    TooLarge,
    /// Under `strict`.
    ColumnAdded,
    /// Under `strict`.
    ColumnWidened,
    /// What has no word of its own.
    UnrepresentableType,
}

impl SchemaFault {
    /// As `reason` of an error.
    pub const CONTEXT: &'static str = "reason";
    /// The key of the place.
    pub const PLACE: &'static str = "path";

    pub fn word(self) -> &'static str {
        match self {
            SchemaFault::TypeMismatch => "TYPE_MISMATCH",
            SchemaFault::UnsupportedTypeChange => "UNSUPPORTED_TYPE_CHANGE",
            SchemaFault::MapKeyTypeMismatch => "MAP_KEY_TYPE_MISMATCH",
            SchemaFault::FieldDeleted => "FIELD_DELETED",
            SchemaFault::FieldNameCaseCollision => "FIELD_NAME_CASE_COLLISION",
            SchemaFault::NameCollision => "NAME_COLLISION",
            SchemaFault::ReservedName => "RESERVED_NAME",
            SchemaFault::BadName => "BAD_NAME",
            SchemaFault::CyclicType => "CYCLIC_TYPE",
            SchemaFault::EmptyStruct => "EMPTY_STRUCT",
            SchemaFault::NotARecord => "NOT_A_RECORD",
            SchemaFault::PrecisionOutOfRange => "PRECISION_OUT_OF_RANGE",
            SchemaFault::UnresolvedTypeRef => "UNRESOLVED_TYPE_REF",
            SchemaFault::InvalidSchema => "INVALID_SCHEMA",
            SchemaFault::TooLarge => "TOO_LARGE",
            SchemaFault::ColumnAdded => "COLUMN_ADDED",
            SchemaFault::ColumnWidened => "COLUMN_WIDENED",
            SchemaFault::UnrepresentableType => "UNREPRESENTABLE_TYPE",
        }
    }

    /// The error with its word (I1).
    #[must_use]
    pub fn of(self, error: Error) -> Error {
        error.with_context(Self::CONTEXT, self)
    }

    /// The same of a place in the schema, if there is one.
    #[must_use]
    pub fn at(self, path: &str, error: Error) -> Error {
        let error = self.of(error);
        if path.is_empty() { error } else { error.with_context(Self::PLACE, path) }
    }
}

impl fmt::Display for SchemaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
