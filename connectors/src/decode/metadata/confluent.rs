//! The columns that Confluent's tables have.
//!
//! Owns their types and values; the two ways to spell their names are `MetadataColumns`' matter.
//! - I1: headers are a map, as there: of a name that repeats the last value is kept.
//! - I2: what is not known of a record is null.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int64Array, MapArray, StringArray, StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Fields};
use tableflow_model::types::{map_entries, map_of, map_pair};
use tableflow_model::{Records, TimestampType, TopicName};

use super::{some_of, timestamp_column, utc};
use crate::decode::Taken;

/// Names behind the prefix, and types.
pub(super) fn columns() -> Vec<(&'static str, DataType)> {
    vec![
        ("topic", DataType::Utf8),
        ("partition", DataType::Int32),
        ("headers", map_of(DataType::Utf8, DataType::Binary, true)),
        ("leader-epoch", DataType::Int32),
        ("offset", DataType::Int64),
        ("timestamp", utc()),
        ("timestamp-type", DataType::Utf8),
        ("raw-key", DataType::Binary),
        ("raw-value", DataType::Binary),
    ]
}

pub(super) fn values(topic: &TopicName, records: &Records, taken: &Taken) -> Vec<ArrayRef> {
    let length = taken.len();
    let appended = || taken.rows().map(|row| records.appendings.of(row));
    let kinds = appended().map(|appended| appended.timestamp_type.map(TimestampType::name));
    vec![
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(topic.as_str(), length))),
        Arc::new(Int32Array::from_value(records.partition.0, length)),
        Arc::new(headers_column(records, taken)),
        Arc::new(appended().map(|appended| appended.leader_epoch).collect::<Int32Array>()),
        Arc::new(Int64Array::from(some_of(&records.offsets, taken))),
        Arc::new(timestamp_column(&some_of(&records.timestamps, taken))),
        Arc::new(kinds.collect::<StringArray>()),
        Arc::new(taken.rows().map(|row| records.key(row)).collect::<BinaryArray>()),
        Arc::new(taken.rows().map(|row| records.value(row)).collect::<BinaryArray>()),
    ]
}

fn pair() -> Fields {
    map_pair(DataType::Utf8, DataType::Binary, true)
}

fn headers_column(records: &Records, taken: &Taken) -> MapArray {
    let mut names = StringBuilder::new();
    let mut values = BinaryBuilder::new();
    let mut lengths = Vec::with_capacity(taken.len());
    let mut headers: Vec<(Cow<'_, str>, Option<&[u8]>)> = Vec::new();
    for row in taken.rows() {
        headers.clear();
        headers.extend(records.headers(row).map(|(name, value)| (String::from_utf8_lossy(name), value)));
        keep_last(&mut headers);
        for (name, value) in &headers {
            names.append_value(name);
            values.append_option(*value);
        }
        lengths.push(headers.len());
    }
    let entries = StructArray::new(pair(), vec![Arc::new(names.finish()), Arc::new(values.finish())], None);
    MapArray::new(map_entries(pair()), OffsetBuffer::from_lengths(lengths), entries, None, false)
}

/// Of headers with one name, keeps the last (I1).
fn keep_last(headers: &mut Vec<(Cow<'_, str>, Option<&[u8]>)>) {
    if headers.len() < 2 {
        return;
    }
    let mut seen = HashSet::with_capacity(headers.len());
    let mut stays: Vec<bool> = headers.iter().rev().map(|(name, _)| seen.insert(name.as_ref())).collect();
    drop(seen);
    headers.retain(|_| stays.pop().unwrap_or(true));
}
