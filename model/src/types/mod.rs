//! Flink's type words and the Arrow types they mean.
//!
//! Owns the one table of types that the product speaks: `--columns`, SQL and `describe` all go through here.
//!
//! ```text
//!  lex     text into tokens that know where they stand
//!  parse   tokens into Arrow types and fields
//!  width   what TINYINT, SMALLINT and lengths say, beside the Arrow type
//!  print   Arrow types back into Flink's words
//! ```
//!
//! - I1: every type that parses can be held by an Iceberg v2 table; one that cannot is refused with a hint.
//! - I2: what [`flink_type`] prints for a parsed type parses back to the same type.
//! - I3: the names of one column list, and of one row, differ by more than case.
//! - I4: an error shows the text with a caret under the token that is wrong.
//!
//! TINYINT and SMALLINT become 32-bit integers, and CHAR, VARCHAR, BINARY and VARBINARY texts and bytes: Iceberg has
//! no widths. A declared field keeps its [`Width`] in its metadata. sqlparser was looked at: it has no TIMESTAMP_LTZ
//! and no ROW, and its errors carry no span for types.

mod lex;
mod parse;
mod print;
#[cfg(test)]
mod tests;
mod width;

pub use lex::caret;
pub use parse::{parse_columns, parse_type};
pub use print::{flink_column, flink_field_type, flink_name, flink_type};
pub use width::Width;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};

/// The zone that Arrow timestamps with a time zone carry: Iceberg's `timestamptz` is always UTC.
pub const UTC: &str = "+00:00";

/// What Iceberg calls the parts of lists and maps; Arrow leaves the names open, Parquet files show them.
const ELEMENT: &str = "element";
const ENTRIES: &str = "key_value";
const KEY: &str = "key";
const VALUE: &str = "value";

/// The element of a list, with the name that Iceberg uses.
pub fn list_element(element: DataType, nullable: bool) -> FieldRef {
    Arc::new(Field::new(ELEMENT, element, nullable))
}

/// A list with the field name that Iceberg uses.
pub fn list_of(element: DataType, nullable: bool) -> DataType {
    DataType::List(list_element(element, nullable))
}

/// A list of elements like this field, with the field name that Iceberg uses.
pub fn list_of_field(element: Field) -> DataType {
    DataType::List(Arc::new(element.with_name(ELEMENT)))
}

/// A map of keys and values like these fields, with the field names that Iceberg uses; keys are never null.
pub fn map_of_fields(key: Field, value: Field) -> DataType {
    let pair = vec![key.with_name(KEY).with_nullable(false), value.with_name(VALUE)];
    DataType::Map(map_entries(pair.into()), false)
}

/// Key and value of a map, with the names that Iceberg uses; keys are never null.
pub fn map_pair(key: DataType, value: DataType, value_nullable: bool) -> Fields {
    vec![Field::new(KEY, key, false), Field::new(VALUE, value, value_nullable)].into()
}

/// The entries of a map of such pairs.
pub fn map_entries(pair: Fields) -> FieldRef {
    Arc::new(Field::new(ENTRIES, DataType::Struct(pair), false))
}

/// A map with the field names that Iceberg uses.
pub fn map_of(key: DataType, value: DataType, value_nullable: bool) -> DataType {
    DataType::Map(map_entries(map_pair(key, value, value_nullable)), false)
}
