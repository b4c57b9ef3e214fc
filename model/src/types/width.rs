//! Widths that a declaration has and a table does not keep.
//!
//! Owns [`Width`]: Iceberg knows INT and STRING, so TINYINT, SMALLINT and the lengths of texts and bytes travel in the
//! metadata of the declared Arrow field, for the decoder to hold values to.
//! - I1: a width changes neither the Arrow type nor the table: only which values are taken.

use std::fmt;

use arrow::datatypes::{DataType, Field};

/// Where a field's metadata says the width, in Flink's words.
const WIDTH_KEY: &str = "tableflow.width";

/// What a value of a declared column may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Tinyint,
    Smallint,
    /// Characters.
    Char(u32),
    Varchar(u32),
    /// Bytes.
    Binary(u32),
    Varbinary(u32),
}

impl Width {
    /// The width that a field was declared with.
    pub fn of(field: &Field) -> Option<Width> {
        let text = field.metadata().get(WIDTH_KEY)?;
        let (word, length) = match text.split_once('(') {
            Some((word, length)) => (word, length.trim_end_matches(')').parse().ok()?),
            None => (text.as_str(), 0),
        };
        Some(match (word, field.data_type()) {
            ("TINYINT", DataType::Int32) => Width::Tinyint,
            ("SMALLINT", DataType::Int32) => Width::Smallint,
            ("CHAR", DataType::Utf8) => Width::Char(length),
            ("VARCHAR", DataType::Utf8) => Width::Varchar(length),
            ("BINARY", DataType::Binary) => Width::Binary(length),
            ("VARBINARY", DataType::Binary) => Width::Varbinary(length),
            _ => return None,
        })
    }

    /// The field with this width.
    #[must_use]
    pub fn on(self, field: Field) -> Field {
        field.with_metadata([(WIDTH_KEY.to_owned(), self.to_string())].into())
    }

    pub fn takes_number(self, value: i64) -> bool {
        match self {
            Width::Tinyint => i8::try_from(value).is_ok(),
            Width::Smallint => i16::try_from(value).is_ok(),
            _ => true,
        }
    }

    pub fn takes_text(self, value: &str) -> bool {
        match self {
            // A text has no more characters than bytes.
            Width::Char(most) | Width::Varchar(most) => {
                value.len() <= most as usize || value.chars().count() <= most as usize
            }
            _ => true,
        }
    }

    pub fn takes_bytes(self, length: usize) -> bool {
        match self {
            Width::Binary(most) | Width::Varbinary(most) => length <= most as usize,
            _ => true,
        }
    }
}

/// As Flink writes the type.
impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Width::Tinyint => f.write_str("TINYINT"),
            Width::Smallint => f.write_str("SMALLINT"),
            Width::Char(length) => write!(f, "CHAR({length})"),
            Width::Varchar(length) => write!(f, "VARCHAR({length})"),
            Width::Binary(length) => write!(f, "BINARY({length})"),
            Width::Varbinary(length) => write!(f, "VARBINARY({length})"),
        }
    }
}
