//! The columns that every engine can query by their names.
//!
//! Owns `_tableflow_topic` and its like, which rows of dead letters have too.
//! - I1: headers are a list, in their order: names may repeat.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int64Array, ListArray, StringArray, StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use tableflow_model::types::{list_element, list_of};
use tableflow_model::{Records, TopicName};

use super::{some_of, timestamp_column, utc};
use crate::decode::Taken;

/// Names behind the prefix, and types.
pub(super) fn columns() -> Vec<(&'static str, DataType)> {
    vec![
        ("topic", DataType::Utf8),
        ("partition", DataType::Int32),
        ("offset", DataType::Int64),
        ("timestamp", utc()),
        ("key", DataType::Binary),
        ("headers", list_of(DataType::Struct(header_fields()), true)),
    ]
}

/// Topic, partition, offset, timestamp, key and headers of some of a batch's records.
pub(in crate::decode) fn origin(topic: &TopicName, records: &Records, taken: &Taken) -> Vec<ArrayRef> {
    let length = taken.len();
    vec![
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(topic.as_str(), length))),
        Arc::new(Int32Array::from_value(records.partition.0, length)),
        Arc::new(Int64Array::from(some_of(&records.offsets, taken))),
        Arc::new(timestamp_column(&some_of(&records.timestamps, taken))),
        Arc::new(taken.rows().map(|row| records.key(row)).collect::<BinaryArray>()),
        Arc::new(headers_column(records, taken)),
    ]
}

fn header_fields() -> Fields {
    vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)].into()
}

fn headers_column(records: &Records, taken: &Taken) -> ListArray {
    let mut names = StringBuilder::new();
    let mut values = BinaryBuilder::new();
    let mut lengths = Vec::with_capacity(taken.len());
    for row in taken.rows() {
        let mut length = 0;
        for (name, value) in records.headers(row) {
            names.append_value(String::from_utf8_lossy(name));
            values.append_option(value);
            length += 1;
        }
        lengths.push(length);
    }
    let pairs = StructArray::new(header_fields(), vec![Arc::new(names.finish()), Arc::new(values.finish())], None);
    let element = list_element(DataType::Struct(header_fields()), true);
    ListArray::new(element, OffsetBuffer::from_lengths(lengths), Arc::new(pairs), None)
}
