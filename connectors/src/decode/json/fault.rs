//! What is wrong with a record, in words.
//!
//! Owns [`Fault`]: reason, message and cure, and the words for each kind of trouble.
//! - I1: a fault about a type names the declaration that would take the value.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, TimeUnit};
use tableflow_model::types::{UTC, flink_field_type};

use super::DEPTH_MAX;
use super::node::Node;
use super::shape::Shapeless;
use crate::decode::Reason;
use crate::decode::columns::decimal::Digits;
use crate::decode::columns::leaf::{Misfit, Store, is_fraction};
use crate::decode::columns::map::Map;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
pub(super) const LEVELS: &str = "send objects and arrays of fewer levels";
const WHOLE: &str = "send a whole JSON object in each record";

#[derive(Debug)]
pub(super) struct Fault {
    pub reason: Reason,
    /// What is the matter; the path goes before it.
    pub message: String,
    pub cure: Cure,
}

/// What would help at the place where it was found.
#[derive(Debug)]
pub(super) enum Cure {
    Produce(String),
    /// Let the table have another column.
    Evolve,
    /// Declare the place, or the one so many levels up, as this field.
    Declare {
        up: usize,
        column: Field,
    },
    /// The producer's words, or this column instead of the one whose name differs by case.
    Respell {
        column: Field,
        words: String,
    },
}

impl Fault {
    pub fn new(reason: Reason, message: impl Into<String>, produce: impl Into<String>) -> Self {
        Fault { reason, message: message.into(), cure: Cure::Produce(produce.into()) }
    }

    /// A fault about a name that this column, called as the record has it, would not have.
    pub fn respelt(self, column: Field) -> Self {
        let cure = match self.cure {
            Cure::Produce(words) => Cure::Respell { column, words },
            other => other,
        };
        Fault { cure, ..self }
    }

    /// A value that its column cannot take.
    pub fn misfit(misfit: Misfit, found: &Node<'_>, column: &Field) -> Self {
        let (reason, why) = match misfit {
            Misfit::Type => (Reason::TypeMismatch, None),
            Misfit::Form(why) => (Reason::TypeMismatch, Some(why)),
            Misfit::Range(why) => (Reason::OutOfRange, Some(why)),
            Misfit::Zone => (Reason::TypeMismatch, Some("it has a time zone, the column has none")),
        };
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let message = format!("is {found}, its column is {}{why}", flink_field_type(column));
        let column = Field::new("", fitting(misfit, found, column), column.is_nullable());
        Fault { reason, message, cure: Cure::Declare { up: 0, column } }
    }

    /// A field that has no column, in a table whose columns stay as they are.
    pub fn new_column() -> Self {
        let message = "has no column, and the table's evolution is strict".to_owned();
        Fault { reason: Reason::NewColumn, message, cure: Cure::Evolve }
    }

    /// Null, or nothing at all, where a value must be.
    pub fn missing(found: &str, column: &Field) -> Self {
        let message = format!("is {found}, its column is {} NOT NULL", flink_field_type(column));
        let column = column.clone().with_nullable(true);
        Fault { reason: Reason::MissingValue, message, cure: Cure::Declare { up: 0, column } }
    }

    /// A key that the keys of its map cannot take.
    pub fn misfit_key(misfit: Misfit, map: &Map) -> Self {
        let why = match misfit {
            Misfit::Range(why) => why,
            _ => "it is no text",
        };
        let column = Field::new("", map.data_type(), true);
        let message = format!("is no key of its map: {why}");
        Fault { reason: Reason::OutOfRange, message, cure: Cure::Declare { up: 1, column } }
    }

    pub fn not_unicode(error: &serde_json::Error) -> Self {
        let message = format!("has a text that is no Unicode: {error}");
        Fault::new(Reason::InvalidUtf8, message, "send text that is Unicode")
    }

    pub fn too_deep() -> Self {
        let message = format!("is nested more than {DEPTH_MAX} levels deep");
        Fault::new(Reason::TooDeep, message, LEVELS)
    }

    pub fn shapeless(shapeless: &Shapeless) -> Self {
        match shapeless {
            Shapeless::TooDeep => Fault::too_deep(),
            Shapeless::NotUnicode(error) => Fault::not_unicode(error),
        }
    }

    /// A value that is no JSON at all.
    pub fn syntax(value: &[u8], error: &serde_json::Error) -> Self {
        if let Err(error) = std::str::from_utf8(value) {
            let message = format!("is not UTF-8 from byte {} on", error.valid_up_to());
            return Fault::new(Reason::InvalidUtf8, message, foreign_format(value));
        }
        if value.trim_ascii().is_empty() {
            return Fault::new(Reason::EmptyValue, "is empty", WHOLE);
        }
        if value.starts_with(BYTE_ORDER_MARK) {
            let hint = "remove the byte order mark (EF BB BF) before the value: JSON has none";
            return Fault::new(Reason::NotJson, "starts with a byte order mark", hint);
        }
        if error.is_eof() {
            return Fault::new(Reason::Truncated, format!("ends in the middle: {error}"), WHOLE);
        }
        if error.to_string().starts_with("trailing characters") {
            let hint = "a record holds one JSON object: send the others as records of their own";
            return Fault::new(Reason::TrailingData, format!("has more than one value: {error}"), hint);
        }
        let hint = if names_no_number(value, error) {
            "NaN and Infinity are not JSON: send null or text".to_owned()
        } else {
            foreign_format(value)
        };
        Fault::new(Reason::NotJson, format!("is not JSON: {error}"), hint)
    }

    /// The fault of a field inside the value that is looked at.
    pub fn about(mut self, name: &str) -> Self {
        self.message = format!("has a field {name:?} inside that {}", self.message);
        self
    }

    pub fn not_an_object(found: &Node<'_>) -> Self {
        let hint = "a row comes from a JSON object: send one in each record";
        Fault::new(Reason::NotAnObject, format!("is {found}, not an object"), hint)
    }
}

/// What to say of bytes that may be of another format.
fn foreign_format(value: &[u8]) -> String {
    match value.first() {
        Some(0) => "byte 0 at the start marks a schema registry's record: enable the topic with --format avro, protobuf or json-schema",
        _ => "send a JSON object in each record",
    }
    .to_owned()
}

/// Whether the text at an error is one of the words that some writers use for numbers that are none.
fn names_no_number(value: &[u8], error: &serde_json::Error) -> bool {
    let line = value.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    // The column counts from one, and stands at or right after the sign.
    let at = |back: usize| line.get(error.column().saturating_sub(back)..).unwrap_or_default();
    [1, 2].iter().any(|back| {
        let text = at(*back).trim_ascii_start();
        ["NaN", "Infinity", "-Infinity", "-NaN"].iter().any(|word| text.starts_with(word.as_bytes()))
    })
}

/// The narrowest type that holds what the column holds and this value too.
fn fitting(misfit: Misfit, found: &Node<'_>, column: &Field) -> DataType {
    match (found, column.data_type()) {
        (Node::Number(text), DataType::Int32 | DataType::Int64) if is_fraction(text) => DataType::Float64,
        (Node::Number(text), DataType::Int32) if text.parse::<i32>().is_ok() => DataType::Int32,
        (Node::Text(_), DataType::Binary) if matches!(misfit, Misfit::Range(_)) => DataType::Binary,
        (Node::Number(text), DataType::Int32) if text.parse::<i64>().is_ok() => DataType::Int64,
        (Node::Number(text), DataType::Int32 | DataType::Int64) => wider_decimal(text, 19, 0),
        (Node::Number(text), DataType::Float32) if text.parse().is_ok_and(f64::is_finite) => DataType::Float64,
        (Node::Number(text), DataType::Decimal128(precision, scale)) => {
            wider_decimal(text, i64::from(*precision) - i64::from(*scale), i64::from(*scale))
        }
        (Node::Text(text), DataType::Decimal128(precision, scale)) if matches!(misfit, Misfit::Range(_)) => {
            wider_decimal(text, i64::from(*precision) - i64::from(*scale), i64::from(*scale))
        }
        (_, DataType::Timestamp(..)) if misfit == Misfit::Zone => {
            DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
        }
        _ => DataType::Utf8,
    }
}

/// A DECIMAL for these digits and this number too, or STRING if there is none so wide.
fn wider_decimal(text: &str, integer: i64, fraction: i64) -> DataType {
    let Some(digits) = Digits::of(text) else { return DataType::Utf8 };
    let (needed_integer, needed_fraction) = digits.needed();
    let (integer, fraction) = (integer.max(needed_integer), fraction.max(needed_fraction));
    match (u8::try_from(integer + fraction), i8::try_from(fraction)) {
        (Ok(precision), Ok(scale)) if precision <= DECIMAL128_MAX_PRECISION => DataType::Decimal128(precision, scale),
        _ => DataType::Utf8,
    }
}
