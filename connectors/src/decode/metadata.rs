//! Where each row came from.
//!
//! Owns the metadata columns: their names, types and values.
//! - I1: names that begin with [`RESERVED_PREFIX`] are never value columns.
//! - I2: no record fails for its metadata: a timestamp outside the years 1 to 9999 is null, a header name that
//!   is not UTF-8 is kept with replacement characters.
//!
//! All columns are nullable, so that they can be added to a table that already has rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int64Array, ListArray, StringArray, StringBuilder, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use serde::{Deserialize, Serialize};
use tableflow_model::types::{UTC, list_element, list_of};
use tableflow_model::{Records, TopicName};

use super::Taken;

/// How the names of metadata columns begin.
pub const RESERVED_PREFIX: &str = "_tableflow_";

/// 0001-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z.
const TIMESTAMP_MIN_MS: i64 = -62_135_596_800_000;
const TIMESTAMP_MAX_MS: i64 = 253_402_300_799_999;

/// Which metadata columns a table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetadataColumns {
    /// `_tableflow_topic`, `_partition`, `_offset`, `_timestamp`, `_key`, `_headers`.
    #[default]
    Portable,
    None,
}

impl MetadataColumns {
    /// The columns' names and types.
    pub fn fields(self) -> Vec<FieldRef> {
        match self {
            MetadataColumns::None => Vec::new(),
            MetadataColumns::Portable => [
                ("topic", DataType::Utf8),
                ("partition", DataType::Int32),
                ("offset", DataType::Int64),
                ("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))),
                ("key", DataType::Binary),
                ("headers", list_of(DataType::Struct(header_fields()), true)),
            ]
            .into_iter()
            .map(|(name, data_type)| Arc::new(Field::new(format!("{RESERVED_PREFIX}{name}"), data_type, true)))
            .collect(),
        }
    }

    /// The columns' values for some of a batch's records.
    pub fn columns(self, topic: &TopicName, records: &Records, taken: &Taken) -> Vec<ArrayRef> {
        match self {
            MetadataColumns::None => Vec::new(),
            MetadataColumns::Portable => origin(topic, records, taken),
        }
    }
}

/// Topic, partition, offset, timestamp, key and headers of some of a batch's records.
pub(super) fn origin(topic: &TopicName, records: &Records, taken: &Taken) -> Vec<ArrayRef> {
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

fn some_of(values: &[i64], taken: &Taken) -> Vec<i64> {
    match taken.whole().and_then(|range| values.get(range)) {
        Some(values) => values.to_vec(),
        None => taken.rows().filter_map(|row| values.get(row).copied()).collect(),
    }
}

fn header_fields() -> Fields {
    vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)].into()
}

fn timestamp_column(timestamps: &[i64]) -> TimestampMicrosecondArray {
    let micros = |millis: &i64| (TIMESTAMP_MIN_MS..=TIMESTAMP_MAX_MS).contains(millis).then(|| millis * 1000);
    timestamps.iter().map(micros).collect::<TimestampMicrosecondArray>().with_timezone(UTC)
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

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
    use tableflow_model::types::flink_column;
    use tableflow_model::{Partition, Span};

    use super::*;

    /// Three records: a key and two headers of one name; nothing; a year that is too late and an odd header.
    fn records() -> Records {
        Records {
            partition: Partition(7),
            buffer: b"keyhone\xfftwo".to_vec().into(),
            offsets: vec![10, 12, 13],
            timestamps: vec![-1, 1_700_000_000_000, 253_402_300_800_000],
            keys: vec![Span::new(0, 3), Span::NULL, Span::new(0, 0)],
            values: vec![Span::NULL; 3],
            headers: vec![
                (Span::new(3, 1), Span::new(4, 3)),
                (Span::new(3, 1), Span::NULL),
                (Span::new(7, 1), Span::new(8, 3)),
            ],
            header_ends: vec![2, 2, 3],
            ..Records::default()
        }
    }

    #[test]
    fn the_columns_say_where_rows_came_from() {
        let columns = MetadataColumns::Portable.columns(&"orders".parse().unwrap(), &records(), &Taken::from(0..2));
        let types: Vec<_> = MetadataColumns::Portable.fields().iter().map(|field| flink_column(field)).collect();
        assert_eq!(
            types,
            [
                "_tableflow_topic STRING",
                "_tableflow_partition INT",
                "_tableflow_offset BIGINT",
                "_tableflow_timestamp TIMESTAMP_LTZ(6)",
                "_tableflow_key BYTES",
                "_tableflow_headers ARRAY<ROW<key STRING, value BYTES>>",
            ]
        );
        for (column, field) in columns.iter().zip(MetadataColumns::Portable.fields()) {
            assert_eq!((column.len(), column.data_type()), (2, field.data_type()));
        }
        assert_eq!(columns[0].as_string::<i32>().value(1), "orders");
        assert_eq!(columns[1].as_primitive::<Int32Type>().values().to_vec(), [7, 7]);
        assert_eq!(columns[2].as_primitive::<Int64Type>().values().to_vec(), [10, 12]);
        let micros = columns[3].as_primitive::<TimestampMicrosecondType>();
        assert_eq!(micros.values().to_vec(), [-1000, 1_700_000_000_000_000]);
        assert_eq!(columns[4].as_binary::<i32>().iter().collect::<Vec<_>>(), [Some(&b"key"[..]), None]);
        let headers = columns[5].as_list::<i32>();
        assert_eq!((headers.value_length(0), headers.value_length(1)), (2, 0));
        let pairs = headers.value(0);
        let pairs = pairs.as_struct();
        assert_eq!(pairs.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("h"), Some("h")]);
        assert_eq!(pairs.column(1).as_binary::<i32>().iter().collect::<Vec<_>>(), [Some(&b"one"[..]), None]);
    }

    #[test]
    fn i2_odd_timestamps_and_header_names_fail_nothing() {
        let columns = MetadataColumns::Portable.columns(&"orders".parse().unwrap(), &records(), &Taken::from(2..3));
        assert!(columns.iter().all(|column| column.len() == 1));
        assert!(columns[3].is_null(0));
        assert_eq!(columns[4].as_binary::<i32>().value(0), b"");
        let pairs = columns[5].as_list::<i32>().value(0);
        assert_eq!(pairs.as_struct().column(0).as_string::<i32>().value(0), "\u{fffd}");
        assert!(MetadataColumns::None.columns(&"orders".parse().unwrap(), &records(), &Taken::from(0..2)).is_empty());
        let extremes =
            timestamp_column(&[i64::MIN, i64::MAX, TIMESTAMP_MIN_MS - 1, TIMESTAMP_MIN_MS, TIMESTAMP_MAX_MS]);
        assert_eq!(extremes.iter().map(|time| time.is_some()).collect::<Vec<_>>(), [false, false, false, true, true]);
    }
}
