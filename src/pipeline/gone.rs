//! Records and topics that are not there any more, in words.
//!
//! Owns the errors that a table stops with when its topic has lost what the table needs, or is lost itself.

use tableflow_model::source::Range;
use tableflow_model::{Error, ErrorKind, Offset, Partition, Result, TopicName};

/// Can a partition be read from here?
pub fn check_within(topic: &TopicName, partition: Partition, range: Range, offset: Offset) -> Result<()> {
    if offset < range.start {
        return Err(Error::data(format!(
            "records {offset} to {} of partition {partition} of topic {topic} are gone before they were read",
            range.start.0 - 1
        ))
        .with_hint(format!(
            "the topic keeps records for less than the table was late; a table of what is there: `tableflow enable \
             {topic} --table NAME`"
        )));
    }
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
pub fn deleted(topic: &TopicName) -> Error {
    Error::data(format!("topic {topic} was deleted"))
        .with_hint("`tableflow disable` the table; its rows stay. A topic made again fills another table")
}

/// Does a source say so of its topic?
pub fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict)
}
