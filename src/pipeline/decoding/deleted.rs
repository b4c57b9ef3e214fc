//! Records that bring a row and say that it is gone.
//!
//! Owns [`SaysDeleted`], by columns, [`says_deleted`], of one row, and [`says_deleted_by_header`].

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use tableflow_model::Records;

/// The columns by which a row may say that it is deleted.
pub const MARKS: [&str; 2] = ["__deleted", "__op"];

/// Whether a row of a batch says so.
pub fn says_deleted(batch: &RecordBatch, row: usize) -> bool {
    SaysDeleted::of(batch).row(row)
}

/// The columns of a flattened change that say that its row is gone.
pub(super) struct SaysDeleted<'a> {
    /// `__deleted`: `true`, as a boolean or a text.
    booleans: Option<&'a BooleanArray>,
    texts: Option<&'a StringArray>,
    /// `__op`: `d`.
    ops: Option<&'a StringArray>,
}

impl<'a> SaysDeleted<'a> {
    pub fn of(batch: &'a RecordBatch) -> Self {
        let [deleted, op] = MARKS.map(|name| batch.column_by_name(name));
        SaysDeleted {
            booleans: deleted.and_then(|column| column.as_boolean_opt()),
            texts: deleted.and_then(|column| column.as_string_opt::<i32>()),
            ops: op.and_then(|column| column.as_string_opt::<i32>()),
        }
    }

    pub fn row(&self, row: usize) -> bool {
        let is = |texts: Option<&StringArray>, word: &str| {
            texts.is_some_and(|texts| !texts.is_null(row) && texts.value(row) == word)
        };
        let is_true = self.booleans.is_some_and(|deleted| !deleted.is_null(row) && deleted.value(row));
        is_true || is(self.texts, "true") || is(self.ops, "d")
    }
}

/// The header `op` of a changelog: 1 and 3 take a row back. That of a database's change, `__op` where Debezium adds it:
/// `d` does, as it is or as the JSON that Kafka Connect makes of texts.
pub(super) fn says_deleted_by_header(records: &Records, row: usize) -> bool {
    let takes_back = |value: Option<&[u8]>| matches!(value, Some([1 | 3 | b'1' | b'3']));
    let is_d = |value: Option<&[u8]>| matches!(value, Some(b"d" | b"\"d\""));
    records.headers(row).any(|(name, value)| match name {
        b"op" => takes_back(value) || is_d(value),
        b"__op" => is_d(value),
        _ => false,
    })
}
