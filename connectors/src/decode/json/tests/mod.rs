//! What the decoder must do, by rule: each file holds one kind.

mod bad_input;
mod evolution;
mod oracle;
mod types;

use std::fmt::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int32Type, Int64Type, Schema,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use tableflow_model::Span;
use tableflow_model::types::{flink_column, parse_columns};

use super::*;

/// Records with these values.
fn records<V: AsRef<[u8]>>(values: &[Option<V>]) -> Records {
    let mut buffer = Vec::new();
    let mut spans = Vec::new();
    for value in values {
        spans.push(match value {
            Some(value) => {
                let start = buffer.len() as u32;
                buffer.extend_from_slice(value.as_ref());
                Span::new(start, value.as_ref().len() as u32)
            }
            None => Span::NULL,
        });
    }
    let count = values.len();
    Records {
        buffer: buffer.into(),
        offsets: (0..count as i64).collect(),
        timestamps: vec![0; count],
        keys: vec![Span::NULL; count],
        header_ends: vec![0; count],
        values: spans,
        ..Records::default()
    }
}

fn lines(text: &str) -> Records {
    records(&text.lines().map(Some).collect::<Vec<_>>())
}

/// A decoder for a table that does not exist yet.
fn decoder(declared: &str) -> JsonDecoder {
    let declared = if declared.is_empty() { Vec::new() } else { parse_columns(declared).unwrap() };
    JsonDecoder::new(&declared, &Schema::empty()).unwrap()
}

/// A decoder for a table that has these columns, none of them declared.
fn table(columns: &str) -> JsonDecoder {
    JsonDecoder::new(&[], &Schema::new(parse_columns(columns).unwrap())).unwrap()
}

fn columns(decoder: &JsonDecoder) -> String {
    decoder.schema().fields().iter().map(|field| flink_column(field)).collect::<Vec<_>>().join(", ")
}

/// All rows must decode; their cells as text.
fn rows(decoder: &mut JsonDecoder, text: &str) -> Vec<String> {
    let decoded = decoder.decode(&lines(text));
    assert_eq!(decoded.failure, None);
    shown(&decoded.batch)
}

fn shown(batch: &RecordBatch) -> Vec<String> {
    let row = |row| batch.columns().iter().map(|column| cell(column.as_ref(), row)).collect::<Vec<_>>().join(" | ");
    (0..batch.num_rows()).map(row).collect()
}

/// A cell as text, unlike any printer that the decoder uses.
fn cell(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "-".to_owned();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float32 => format!("{:?}", array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            format!("{}e-{scale}", array.as_primitive::<Decimal128Type>().value(row))
        }
        DataType::Utf8 => format!("{:?}", array.as_string::<i32>().value(row)),
        DataType::Binary => format!("{:?}", array.as_binary::<i32>().value(row)),
        DataType::Date32 => format!("day {}", array.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(_) => format!("{}us", array.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Timestamp(..) => format!("{}us", array.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            let elements: Vec<_> = (0..elements.len()).map(|index| cell(elements.as_ref(), index)).collect();
            format!("[{}]", elements.join(", "))
        }
        DataType::Struct(fields) => {
            let children = array.as_struct().columns().iter().zip(fields);
            let children: Vec<_> = children.map(|(c, f)| format!("{}: {}", f.name(), cell(c.as_ref(), row))).collect();
            format!("{{{}}}", children.join(", "))
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let mut text = String::new();
            for index in 0..entries.len() {
                let (key, value) = (cell(entries.column(0), index), cell(entries.column(1), index));
                write!(text, "{key} => {value}; ").unwrap();
            }
            format!("({text})")
        }
        other => panic!("{other}"),
    }
}

/// What one value fails with.
fn failure<V: AsRef<[u8]>>(decoder: &mut JsonDecoder, value: V) -> RecordError {
    let decoded = decoder.decode(&records(&[Some(value)]));
    assert_eq!(decoded.batch.num_rows(), 0);
    decoded.failure.expect("must fail")
}
