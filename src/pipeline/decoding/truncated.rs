//! Records that say that the source emptied its table.
//!
//! Owns [`Truncation`], [`Truncations`], which says whether one can be followed, and [`cut`].
//! - I1: what is before such a record in its topic goes, what is behind it stays: so it stands at the beginning of a part.
//! - I2: it stands in one partition, and says nothing of what is before it in others: only where the topic has no other
//!   one it is followed. One that the topic gets later has later records alone.

use tableflow_connectors::decode::{Reason, RecordError, Remedy, Taken};
use tableflow_lake::upsert::{Emptied, Order};
use tableflow_model::{Result, TopicName};

use super::Part;
use crate::definition::Definition;
use crate::home::Home;

/// The source emptied its table.
#[derive(Clone, Debug)]
pub struct Truncation {
    /// That says so.
    pub record: usize,
    pub order: Order,
    pub emptied: Emptied,
}

/// Whether truncations are followed, in one topic.
#[derive(Debug)]
pub(super) struct Truncations {
    home: Home,
    topic: TopicName,
}

impl Truncations {
    pub fn of(home: &Home, definition: &Definition) -> Self {
        Truncations { home: home.clone(), topic: definition.topic.clone() }
    }

    /// The truncation that a part begins with, or why it cannot be followed (I2).
    pub async fn take(&self, part: &mut Part) -> Result<Option<Result<usize, RecordError>>> {
        let is_truncation = |failure: &RecordError| failure.reason == Reason::Truncation;
        let Some(place) = part.passed_over.iter().position(is_truncation) else { return Ok(None) };
        let said = part.passed_over.remove(place);
        let partitions = self.home.topics.describe(&self.topic).await?.partitions;
        Ok(Some(match partitions {
            1 => Ok(said.row),
            many => Err(RecordError {
                message: format!(
                    "the source emptied its whole table (op t): which rows came before that is not known, for topic {} has \
                     {many} partitions",
                    self.topic
                ),
                remedy: Remedy::Produce("let the connector write to a topic of one partition".to_owned()),
                ..said
            }),
        }))
    }
}

/// The same part in several, each of which has a truncation at its beginning, or none (I1).
pub fn cut(part: Part) -> Vec<Part> {
    let truncations = part.passed_over.iter().filter(|failure| failure.reason == Reason::Truncation);
    let mut ends: Vec<usize> = truncations.map(|failure| failure.row).collect();
    if ends.is_empty() {
        return vec![part];
    }
    ends.push(part.next);
    let records: Vec<usize> = part.taken.rows().collect();
    let Part { batch, mut passed_over, mut origins, mut stopped, .. } = part;
    let (mut parts, mut first) = (Vec::with_capacity(ends.len()), 0);
    for (nth, next) in ends.iter().copied().enumerate() {
        let end = records.partition_point(|record| *record < next).max(first);
        let taken = Taken::these(records.get(first..end).unwrap_or_default());
        let behind = passed_over.split_off(passed_over.partition_point(|failure| failure.row < next));
        let passed_over = std::mem::replace(&mut passed_over, behind);
        let behind = origins.split_off(next);
        let origins = std::mem::replace(&mut origins, behind);
        let stopped = if nth + 1 == ends.len() { stopped.take() } else { None };
        if end > first || !passed_over.is_empty() || stopped.is_some() {
            let batch = batch.slice(first, end - first);
            parts.push(Part { batch, taken, passed_over, origins, stopped, next });
        }
        first = end;
    }
    parts
}
