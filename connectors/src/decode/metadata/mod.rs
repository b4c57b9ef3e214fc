//! Where each row came from.
//!
//! Owns the metadata columns: which there can be ([`MetadataColumns`]), their names, and whose names those are.
//!
//! ```text
//!  portable    ours, whose names every engine can query
//!  confluent   those of Confluent's tables, under either of its two names
//! ```
//!
//! - I1: names that begin as those of a table's metadata columns do are never value columns of that table; ours never
//!   are.
//! - I2: no record fails for its metadata: a timestamp outside the years 1 to 9999 is null, a header name that
//!   is not UTF-8 is kept with replacement characters.
//!
//! All columns are nullable, so that they can be added to a table that already has rows.

mod confluent;
mod portable;

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use serde::{Deserialize, Serialize};
use tableflow_model::types::UTC;
use tableflow_model::{Records, TopicName};

pub(super) use self::portable::origin;
use super::Taken;

/// How the names of our own metadata columns begin.
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
    /// `cflt_metadata_topic`, `_partition`, `_headers`, `_leader_epoch`, `_offset`, `_timestamp`, `_timestamp_type`,
    /// `_raw_key`, `_raw_value`.
    Cflt,
    /// The same, as `$$topic`, `$$leader-epoch` and so on.
    Confluent,
}

impl MetadataColumns {
    const ALL: [MetadataColumns; 4] =
        [MetadataColumns::Portable, MetadataColumns::None, MetadataColumns::Cflt, MetadataColumns::Confluent];

    /// As it is typed.
    pub fn word(self) -> &'static str {
        match self {
            MetadataColumns::Portable => "portable",
            MetadataColumns::None => "none",
            MetadataColumns::Cflt => "cflt",
            MetadataColumns::Confluent => "confluent",
        }
    }

    /// How its columns' names begin.
    fn prefix(self) -> Option<&'static str> {
        match self {
            MetadataColumns::Portable => Some(RESERVED_PREFIX),
            MetadataColumns::None => None,
            MetadataColumns::Cflt => Some("cflt_metadata_"),
            MetadataColumns::Confluent => Some("$$"),
        }
    }

    /// The beginning of this name, if it keeps value columns of a table with these columns from having it (I1).
    pub fn reserves(self, name: &str) -> Option<&'static str> {
        let name = name.to_lowercase();
        [Some(RESERVED_PREFIX), self.prefix()].into_iter().flatten().find(|prefix| name.starts_with(prefix))
    }

    /// The column of a record's key, as it is.
    pub fn key_column(self) -> Option<String> {
        let short = match self {
            MetadataColumns::None => return None,
            MetadataColumns::Portable => "key",
            MetadataColumns::Cflt => "raw_key",
            MetadataColumns::Confluent => "raw-key",
        };
        self.prefix().map(|prefix| format!("{prefix}{short}"))
    }

    /// The column of a record's time.
    pub fn timestamp_column(self) -> Option<String> {
        self.prefix().map(|prefix| format!("{prefix}timestamp"))
    }

    /// The columns of topic, partition, offset and time.
    pub fn origin_columns(self) -> Option<[String; 4]> {
        let prefix = self.prefix()?;
        Some(["topic", "partition", "offset", "timestamp"].map(|short| format!("{prefix}{short}")))
    }

    /// The columns' names and types.
    pub fn fields(self) -> Vec<FieldRef> {
        let columns = match self {
            MetadataColumns::None => Vec::new(),
            MetadataColumns::Portable => portable::columns(),
            MetadataColumns::Cflt | MetadataColumns::Confluent => confluent::columns(),
        };
        let name = |name: &str| match self {
            MetadataColumns::Cflt => name.replace('-', "_"),
            _ => name.to_owned(),
        };
        let prefix = self.prefix().unwrap_or_default();
        let field = |(short, data_type)| Arc::new(Field::new(format!("{prefix}{}", name(short)), data_type, true));
        columns.into_iter().map(field).collect()
    }

    /// The columns' values for some of a batch's records.
    pub fn columns(self, topic: &TopicName, records: &Records, taken: &Taken) -> Vec<ArrayRef> {
        match self {
            MetadataColumns::None => Vec::new(),
            MetadataColumns::Portable => origin(topic, records, taken),
            MetadataColumns::Cflt | MetadataColumns::Confluent => confluent::values(topic, records, taken),
        }
    }

    /// Those that a table has.
    pub fn of_table(table: &Schema) -> Self {
        let has = |columns: &MetadataColumns| {
            let fields = columns.fields();
            !fields.is_empty() && fields.iter().all(|field| table.field_with_name(field.name()).is_ok())
        };
        MetadataColumns::ALL.into_iter().find(has).unwrap_or(MetadataColumns::None)
    }

    /// A table without these columns.
    pub fn left_out_of(self, table: &Schema) -> Schema {
        let own = self.fields();
        let is_value = |field: &&FieldRef| !own.iter().any(|column| column.name() == field.name());
        Schema::new(table.fields().iter().filter(is_value).cloned().collect::<Vec<_>>())
    }
}

fn some_of(values: &[i64], taken: &Taken) -> Vec<i64> {
    match taken.whole().and_then(|range| values.get(range)) {
        Some(values) => values.to_vec(),
        None => taken.rows().filter_map(|row| values.get(row).copied()).collect(),
    }
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

fn timestamp_column(timestamps: &[i64]) -> TimestampMicrosecondArray {
    let micros = |millis: &i64| (TIMESTAMP_MIN_MS..=TIMESTAMP_MAX_MS).contains(millis).then(|| millis * 1000);
    timestamps.iter().map(micros).collect::<TimestampMicrosecondArray>().with_timezone(UTC)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, RecordBatch};
    use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
    use tableflow_model::types::{flink_column, flink_name, flink_type};
    use tableflow_model::{Appended, Partition, Span, TimestampType};

    use super::*;
    use crate::decode::shown::shown;

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
    fn the_columns_of_confluent_hold_the_whole_record_and_what_is_known_of_it() {
        let mut records = records();
        records.values = vec![Span::new(4, 3), Span::NULL, Span::new(0, 0)];
        let appended = |leader_epoch, timestamp_type| Appended { leader_epoch, timestamp_type };
        records.appendings.push(1, appended(Some(4), Some(TimestampType::CreateTime)));
        records.appendings.push(2, appended(Some(5), Some(TimestampType::LogAppendTime)));
        for (scheme, names) in [
            (MetadataColumns::Confluent, "`$$topic`, `$$leader-epoch`, `$$timestamp-type`, `$$raw-value`"),
            (
                MetadataColumns::Cflt,
                "cflt_metadata_topic, cflt_metadata_leader_epoch, cflt_metadata_timestamp_type, cflt_metadata_raw_value",
            ),
        ] {
            let fields = scheme.fields();
            let named = [0, 3, 6, 8].map(|index: usize| flink_name(fields[index].name()));
            assert_eq!(named.join(", "), names);
            let types: Vec<_> = fields.iter().map(|field| flink_type(field.data_type())).collect();
            let expected = [
                "STRING",
                "INT",
                "MAP<STRING, BYTES>",
                "INT",
                "BIGINT",
                "TIMESTAMP_LTZ(6)",
                "STRING",
                "BYTES",
                "BYTES",
            ];
            assert_eq!(types, expected);
            let columns = scheme.columns(&"orders".parse().unwrap(), &records, &Taken::from(0..3));
            let schema = Arc::new(Schema::new(fields));
            let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
            assert_eq!(
                shown(&batch),
                [
                    r#""orders" | 7 | ("h" => -; ) | 4 | 10 | -1000us | "CreateTime" | [107, 101, 121] | [111, 110, 101]"#,
                    r#""orders" | 7 | () | 5 | 12 | 1700000000000000us | "LogAppendTime" | - | -"#,
                    "\"orders\" | 7 | (\"\u{fffd}\" => [116, 119, 111]; ) | - | 13 | - | - | [] | []",
                ]
            );
            assert_eq!((MetadataColumns::of_table(&schema), scheme.left_out_of(&schema)), (scheme, Schema::empty()));
        }
    }

    #[test]
    fn i1_names_belong_to_the_metadata_columns_of_their_table() {
        for (scheme, reserved, free) in [
            (MetadataColumns::None, "_Tableflow_x", "$$topic"),
            (MetadataColumns::Cflt, "CFLT_metadata_x", "$$topic"),
            (MetadataColumns::Cflt, "_tableflow_topic", "cflt_topic"),
            (MetadataColumns::Confluent, "$$x", "$topic"),
        ] {
            assert!(scheme.reserves(reserved).is_some() && scheme.reserves(free).is_none(), "{scheme:?}");
        }
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
