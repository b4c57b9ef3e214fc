//! Tables that keep each version of their rows: which columns say what.
//!
//! Owns [`VersionIds`], and the names of the columns.
//! - I1: a row is identified by its key and by when it began; the row of a key that has no end is in force.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use iceberg::spec::{PrimitiveType, Schema, Type};

/// What made the version: `c` where its key had none in force, `u` where it had one.
pub const VERSION_OP: &str = "__op";
/// Since when it is.
pub const VALID_FROM: &str = "__valid_from";
/// Until when it was; null for the one in force.
pub const VALID_TO: &str = "__valid_to";

/// The ids of these columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionIds {
    pub op: i32,
    pub valid_from: i32,
    pub valid_to: i32,
}

impl VersionIds {
    /// Of a table that keeps each version (I1).
    pub fn of(schema: &Schema) -> Option<Self> {
        let id = |name: &str, of: PrimitiveType| {
            let field = schema.as_struct().fields().iter().find(|field| field.name == name)?;
            (*field.field_type == Type::Primitive(of)).then_some(field.id)
        };
        let ids = VersionIds {
            op: id(VERSION_OP, PrimitiveType::String)?,
            valid_from: id(VALID_FROM, PrimitiveType::Timestamptz)?,
            valid_to: id(VALID_TO, PrimitiveType::Timestamptz)?,
        };
        schema.identifier_field_ids().any(|id| id == ids.valid_from).then_some(ids)
    }
}

/// The columns, as rows have them.
pub fn version_columns() -> [FieldRef; 3] {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    [
        Arc::new(Field::new(VERSION_OP, DataType::Utf8, true)),
        Arc::new(Field::new(VALID_FROM, time(), false)),
        Arc::new(Field::new(VALID_TO, time(), true)),
    ]
}
