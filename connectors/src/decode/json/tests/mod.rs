//! What the decoder must do, by rule: each file holds one kind.

mod bad_input;
mod evolution;
mod keys;
mod oracle;
mod schema;
mod types;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use tableflow_model::types::{flink_column, parse_columns};

use super::*;
use crate::decode::shown::{records, shown};
use crate::decode::{Evolution, Reason, Remedy};

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

/// What one value fails with.
fn failure<V: AsRef<[u8]>>(decoder: &mut JsonDecoder, value: V) -> RecordError {
    let decoded = decoder.decode(&records(&[Some(value)]));
    assert_eq!(decoded.batch.num_rows(), 0);
    decoded.failure.expect("must fail")
}
