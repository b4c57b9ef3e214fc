//! What Debezium's envelope around a row says of it, whatever it is written in.
//!
//! Owns [`row_of`], [`is_notice`], and the names of the fields that count.
//! - I1: what a record says of its row is the row after the change; where that is deleted the value is null.
//! - I2: the op alone decides: nothing of the row is looked at before.
//! - I3: however long an op is, what is said of it is short.
//! - I4: what a connector says of itself (where transactions begin and end, how a table was altered, that it lives) is
//!   told by the fields that it has, and changes no row.
//!
//! Neighbours: `json`, `avro` and `protobuf` find the two fields, each in its own bytes.

use super::{Reason, RecordError, Remedy};

/// What was done to the row: a letter.
pub(super) const OP: &str = "op";
/// The row behind the change.
pub(super) const AFTER: &str = "after";

/// The fields of what has no op and is none of a row's changes all the same: a transaction's begin or end, a statement
/// that altered the source, a sign of life.
const NOTICES: [&[&str]; 3] = [&["status", "id", "event_count"], &["databaseName", "ddl"], &["ts_ms"]];
/// A sign of life has no other field.
const NOTICE_ALONE: &str = "ts_ms";

/// An op is one letter; of a longer one so many bytes are shown.
const OP_SHOWN_MAX: usize = 20;

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
            Err(no_change(row, &format!("op {} has no row behind the change (after)", shown(op))))
        }
        (Some(b"m"), _) => Err(notice(row)),
        (Some(op), _) => Err(no_change(row, &format!("op {} changes no row", shown(op)))),
        (None, _) => Err(no_change(row, "it has no op, as an envelope of Debezium has")),
    }
}

/// Whether a record or a schema with these fields, and no op, is about the connector or its source (I4).
pub(super) fn is_notice<'n>(fields: impl Iterator<Item = &'n str> + Clone) -> bool {
    let has = |name: &str| fields.clone().any(|field| field == name);
    NOTICES.iter().any(|names| match *names {
        [NOTICE_ALONE] => fields.clone().eq([NOTICE_ALONE]),
        names => names.iter().all(|name| has(name)) && !has(AFTER),
    })
}

/// What is said of such a record.
pub(super) fn notice(row: usize) -> RecordError {
    RecordError {
        row,
        reason: Reason::Notice,
        path: "$".to_owned(),
        message: "the value is a notice of the connector, of no row".to_owned(),
        remedy: Remedy::Produce("nothing has to be done: notices are left out".to_owned()),
    }
}

/// I3.
fn shown(op: &[u8]) -> String {
    match op.get(..OP_SHOWN_MAX) {
        Some(start) => format!("{}..", start.escape_ascii()),
        None => op.escape_ascii().to_string(),
    }
}

/// A value that is no change of a row.
pub(super) fn no_change(row: usize, what: &str) -> RecordError {
    RecordError {
        row,
        reason: Reason::NotAChange,
        path: "$".to_owned(),
        message: format!("the value is no change of a row: {what}"),
        remedy: Remedy::Produce("let Debezium's connector send changes of rows alone to this topic; flattened ones are read without --format debezium, with --key".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(op: Option<&[u8]>) -> (Reason, String) {
        let error = row_of::<()>(op, None, 3).unwrap_err();
        assert_eq!((error.row, error.path.as_str()), (3, "$"));
        (error.reason, error.message)
    }

    #[test]
    fn i1_an_op_puts_a_row_deletes_it_or_is_no_change() {
        for op in [b"c", b"r", b"u"] {
            assert_eq!(row_of(Some(op), Some(7), 0), Ok(7));
            assert_eq!(said(Some(op)).0, Reason::NotAChange);
        }
        for after in [None, Some(7)] {
            assert_eq!(row_of(Some(b"d"), after, 1), Err(RecordError::tombstone(1)));
        }
        assert_eq!(said(Some(b"t")).0, Reason::Truncation);
        for op in [None, Some(&b""[..]), Some(b"M"), Some(b"C"), Some(b"cc")] {
            assert_eq!(said(op).0, Reason::NotAChange, "{op:?}");
        }
        assert_eq!(said(Some(b"m")).0, Reason::Notice);
    }

    #[test]
    fn i4_notices_are_told_by_their_fields() {
        let is_notice = |fields: &[&str]| is_notice(fields.iter().copied());
        for fields in [
            &["status", "id", "event_count", "data_collections", "ts_ms"][..],
            &["source", "ts_ms", "databaseName", "schemaName", "ddl", "tableChanges"],
            &["ts_ms"],
        ] {
            assert!(is_notice(fields), "{fields:?}");
        }
        for fields in [&[][..], &["id"], &["status", "id"], &["ts_ms", "id"], &["after", "databaseName", "ddl"]] {
            assert!(!is_notice(fields), "{fields:?}");
        }
    }

    #[test]
    fn i3_what_is_said_of_a_long_op_is_short() {
        let long = [1; 100_000];
        assert_eq!(said(Some(b"m\xff")).1, r"the value is no change of a row: op m\xff changes no row");
        assert!(said(Some(&long)).1.len() < 200);
    }
}
