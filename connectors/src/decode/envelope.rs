//! What Debezium's envelope around a row says of it, whatever it is written in.
//!
//! Owns [`row_of`], and the names of the fields that count.
//! - I1: what a record says of its row is the row after the change; where that is deleted the value is null.
//! - I2: the op alone decides: nothing of the row is looked at before.
//!
//! Neighbours: `json`, `avro` and `protobuf` find the two fields, each in its own bytes.

use super::{Reason, RecordError, Remedy};

/// What was done to the row: a letter.
pub(super) const OP: &str = "op";
/// The row behind the change.
pub(super) const AFTER: &str = "after";

/// The row behind a change, or why the record at `row` has none (I1).
pub(super) fn row_of<T>(op: Option<&[u8]>, after: Option<T>, row: usize) -> Result<T, RecordError> {
    match (op, after) {
        (Some(b"c" | b"r" | b"u"), Some(after)) => Ok(after),
        (Some(b"d"), _) => Err(RecordError::tombstone(row)),
        (Some(b"t"), _) => Err(RecordError {
            reason: Reason::Truncation,
            ..no_change(
                row,
                "the source emptied its whole table (op t): rows here would have to go that no record names",
            )
        }),
        (Some(op @ (b"c" | b"r" | b"u")), None) => {
            Err(no_change(row, &format!("op {} has no row behind the change (after)", op.escape_ascii())))
        }
        (Some(op), _) => Err(no_change(row, &format!("op {} changes no row", op.escape_ascii()))),
        (None, _) => Err(no_change(row, "it has no op, as an envelope of Debezium has")),
    }
}

/// A value that is no change of a row.
pub(super) fn no_change(row: usize, what: &str) -> RecordError {
    RecordError {
        row,
        reason: Reason::NotAChange,
        path: "$".to_owned(),
        message: format!("the value is no change of a row: {what}"),
        remedy: Remedy::Produce("let Debezium's connector send changes of rows alone to this topic".to_owned()),
    }
}
