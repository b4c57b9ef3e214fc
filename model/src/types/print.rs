//! Arrow types back into Flink's words.
//!
//! Owns what `describe` and every hint with a type in it shows.
//! - I1: a name is quoted unless it reads back bare.

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

use super::Width;

/// An Arrow type as Flink writes it. A type that Flink has no word for is shown as Arrow does.
pub fn flink_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".to_owned(),
        DataType::FixedSizeBinary(length) => format!("BINARY({length})"),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", fraction_digits(*unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", fraction_digits(*unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", fraction_digits(*unit)),
        DataType::List(element) | DataType::LargeList(element) => format!("ARRAY<{}>", part(element)),
        DataType::Map(entries, _) => map(entries, data_type),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|field| flink_column(field)).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// A column as it is declared: name, type, and `NOT NULL` where it holds.
pub fn flink_column(field: &Field) -> String {
    let nullability = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("{} {}{nullability}", flink_name(field.name()), flink_field_type(field))
}

/// The type of a field as it is declared: with the width that it may have.
pub fn flink_field_type(field: &Field) -> String {
    Width::of(field).map_or_else(|| flink_type(field.data_type()), |width| width.to_string())
}

/// A name as it is declared: in backticks unless it reads back without them.
pub fn flink_name(name: &str) -> String {
    let first = name.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_');
    if first && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$') {
        return name.to_owned();
    }
    format!("`{}`", name.replace('`', "``"))
}

/// An element or a value: its type, and `NOT NULL` where it holds.
fn part(field: &FieldRef) -> String {
    let nullability = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("{}{nullability}", flink_field_type(field))
}

fn map(entries: &FieldRef, whole: &DataType) -> String {
    match entries.data_type() {
        DataType::Struct(fields) => match fields.as_ref() {
            [key, value] => format!("MAP<{}, {}>", flink_field_type(key), part(value)),
            _ => whole.to_string(),
        },
        _ => whole.to_string(),
    }
}

fn fraction_digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}
