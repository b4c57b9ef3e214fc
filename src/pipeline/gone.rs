//! Records and topics that are not there any more, in words.
//!
//! Owns the errors that a table stops with when its topic has lost what the table needs, or is lost itself.

use tableflow_model::source::Range;
use tableflow_model::{Error, ErrorKind, Offset, Partition, Result, TableName, TopicName};

/// Refuses a place behind a partition's end: what the table has of it is gone there.
pub fn check_end(topic: &TopicName, partition: Partition, range: Range, offset: Offset) -> Result<()> {
    if offset > range.end {
        return Err(Error::data(format!(
            "partition {partition} of topic {topic} ends at {}, before offset {offset} that the table has read",
            range.end
        ))
        .with_hint(format!(
            "the topic lost records that the table has; restore it, or fill another table from what is there: \
             `tableflow enable {topic} --table NAME`"
        )));
    }
    Ok(())
}

/// What a table whose topic is gone says. To make the topic again is no way on: it would be another one.
pub fn deleted(topic: &TopicName, table: &TableName) -> Error {
    Error::data(format!("topic {topic} was deleted"))
        .with_hint(format!("`tableflow disable {table}`; its rows stay. A topic made again fills another table"))
}

/// Does a source say so of its topic?
pub fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict)
}
