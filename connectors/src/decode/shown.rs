//! Records for tests, the rows of a batch as tests write them, and schemas that are damaged.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use proptest::prelude::*;
use proptest::sample::Index;
use tableflow_model::{Records, Span};

/// Records with these values.
pub(super) fn records<V: AsRef<[u8]>>(values: &[Option<V>]) -> Records {
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

pub(super) fn shown(batch: &RecordBatch) -> Vec<String> {
    let row = |row| batch.columns().iter().map(|column| cell(column.as_ref(), row)).collect::<Vec<_>>().join(" | ");
    (0..batch.num_rows()).map(row).collect()
}

/// A cell as text, unlike any printer that the decoder uses; a map by its keys.
pub(super) fn cell(array: &dyn Array, row: usize) -> String {
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
            let entry = |index| format!("{} => {}; ", cell(entries.column(0), index), cell(entries.column(1), index));
            let mut entries: Vec<_> = (0..entries.len()).map(entry).collect();
            entries.sort();
            format!("({})", entries.concat())
        }
        other => panic!("{other}"),
    }
}

/// Any text that differs from this one in a few places.
pub(super) fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    let pieces = prop_oneof![Just(String::new()), "[\\[\\]{}:,;\"#=<>a-z0-9]{1,3}", Just(text.to_owned()), ".{1,2}"];
    let damage = (any::<Index>(), any::<Index>(), pieces);
    prop::collection::vec(damage, 1..4).prop_map(move |damages| {
        let mut chars: Vec<char> = text.chars().collect();
        for (start, length, piece) in damages {
            let start = start.index(chars.len() + 1);
            let end = (start + length.index(8)).min(chars.len());
            chars.splice(start..end, piece.chars());
        }
        chars.into_iter().collect()
    })
}
