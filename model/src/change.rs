//! What became of rows: the words that a table's feed and whoever reads it share.
//!
//! Owns [`ChangeKind`] and [`ChangeBatch`].
//! - I1: the codes are fixed, and bit 0 is the sign: rows with it went, the others came.
//! - I2: the kinds, the times and the rows of a batch are equally many.

use std::fmt;

use arrow::array::{RecordBatch, TimestampMicrosecondArray, UInt8Array};

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ChangeKind {
    /// It came.
    Insert = 0,
    /// It is what a row was before the change that follows.
    UpdateBefore = 1,
    /// It is what that row became.
    UpdateAfter = 2,
    /// It went.
    Delete = 3,
}

impl ChangeKind {
    pub const ALL: [ChangeKind; 4] =
        [ChangeKind::Insert, ChangeKind::UpdateBefore, ChangeKind::UpdateAfter, ChangeKind::Delete];

    /// I1.
    pub fn code(self) -> u8 {
        self as u8
    }

    pub fn of_code(code: u8) -> Option<Self> {
        ChangeKind::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether there is one row more after it.
    pub fn adds(self) -> bool {
        matches!(self, ChangeKind::Insert | ChangeKind::UpdateAfter)
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChangeKind::Insert => "+I",
            ChangeKind::UpdateBefore => "-U",
            ChangeKind::UpdateAfter => "+U",
            ChangeKind::Delete => "-D",
        })
    }
}

/// Changes in the order in which they are told.
#[derive(Clone, Debug)]
pub struct ChangeBatch {
    /// By their codes.
    pub kinds: UInt8Array,
    /// The time of the record that brought the change; null where the feed does not know it.
    pub rowtimes: TimestampMicrosecondArray,
    /// In the table's columns.
    pub rows: RecordBatch,
}

impl ChangeBatch {
    /// Rows that all came, or all went, at times that nobody knows.
    pub fn alike(kind: ChangeKind, rows: RecordBatch) -> Self {
        let count = rows.num_rows();
        let kinds = UInt8Array::from_value(kind.code(), count);
        ChangeBatch { kinds, rowtimes: TimestampMicrosecondArray::new_null(count).with_timezone("+00:00"), rows }
    }

    /// In order.
    pub fn kinds(&self) -> impl Iterator<Item = Option<ChangeKind>> + '_ {
        self.kinds.values().iter().map(|code| ChangeKind::of_code(*code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_the_codes_are_those_of_the_changelog() {
        for (code, sign) in [(0, "+I"), (1, "-U"), (2, "+U"), (3, "-D")] {
            let kind = ChangeKind::of_code(code).unwrap();
            assert_eq!((kind.code(), kind.to_string().as_str()), (code, sign));
            assert_eq!(kind.adds(), code & 1 == 0);
        }
        assert_eq!(ChangeKind::of_code(4), None);
    }
}
