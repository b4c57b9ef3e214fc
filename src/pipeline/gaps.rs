//! Records that were gone before their table read them, and the leave to go on without them: `resume --past-gap`.
//!
//! Owns [`Gap`] and [`Places`].
//! - I1: a table goes on behind a gap only from the place that somebody was told of; a gap at another place asks again.

use std::collections::BTreeMap;

use tableflow_model::source::Range;
use tableflow_model::{Error, Offset, Partition, Result, TableName, TopicName};

use super::filled::Filled;
use super::gone::check_end;
use crate::definition::Definition;
use crate::home::Home;

/// What is gone of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub partition: Partition,
    /// The table's place, and what is there now: everything between is gone.
    pub from: Offset,
    pub to: Offset,
}

impl Gap {
    fn of(partition: Partition, place: Offset, range: Range) -> Option<Self> {
        (place < range.start).then_some(Gap { partition, from: place, to: range.start })
    }

    /// As a sentence begins.
    pub fn words(&self, topic: &TopicName) -> String {
        let Gap { partition, from, to } = self;
        format!("records {from} to {} of partition {partition} of topic {topic}", to.0 - 1)
    }
}

/// Those that the table stands before.
pub async fn gaps_of(home: &Home, definition: &Definition) -> Result<Vec<Gap>> {
    let ledger = Filled::load(home, definition).await?.ledger(home, definition).await?;
    let committed = ledger.and_then(|mut ledger| ledger.positions.0.remove(&definition.topic));
    let known = committed.map(|committed| committed.offsets).or_else(|| definition.from_offsets.clone());
    let Some(known) = known else { return Ok(Vec::new()) };
    let mut source = home.source_of(definition).await?;
    if source.topic_id().await? != definition.topic_id {
        return Err(Error::conflict(format!("topic {} was deleted and made again", definition.topic))
            .with_hint(format!("`tableflow status {}` says what to do", definition.table)));
    }
    let ranges = source.ranges().await?;
    // A partition that came later is read from its first offset on.
    let place = |partition| known.get(&partition).copied().unwrap_or(Offset(0));
    Ok(ranges.into_iter().filter_map(|(partition, range)| Gap::of(partition, place(partition), range)).collect())
}

/// Where a table may be read on.
#[derive(Debug)]
pub struct Places {
    topic: TopicName,
    table: TableName,
    past_gaps: BTreeMap<Partition, Offset>,
}

impl Places {
    pub fn of(definition: &Definition) -> Self {
        Places {
            topic: definition.topic.clone(),
            table: definition.table.clone(),
            past_gaps: definition.past_gaps.clone().unwrap_or_default(),
        }
    }

    /// Where a partition is read on: at its place, or behind a gap that may be left behind (I1).
    pub fn go_on(&self, partition: Partition, range: Range, place: Offset) -> Result<Offset> {
        let Some(gap) = Gap::of(partition, place, range) else {
            return check_end(&self.topic, partition, range, place).map(|()| place);
        };
        let gone = gap.words(&self.topic);
        if self.past_gaps.get(&partition) == Some(&place) {
            tracing::warn!(table = %self.table, "{gone} are gone, and the table goes on without them");
            return Ok(range.start);
        }
        Err(Error::data(format!("{gone} are gone before they were read")).with_hint(format!(
            "the topic keeps records for less than the table was late; `tableflow resume {} --past-gap` goes on without them",
            self.table.to_plain_string()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_a_gap_is_left_behind_at_the_place_that_was_told_and_at_no_other() {
        let places = Places {
            topic: "orders".parse().unwrap(),
            table: TableName::new("bronze", "orders").unwrap(),
            past_gaps: BTreeMap::from([(Partition(0), Offset(5))]),
        };
        let range = |start| Range { start: Offset(start), end: Offset(20) };
        let go_on = |partition, start, place| places.go_on(Partition(partition), range(start), Offset(place)).ok();
        assert_eq!(go_on(0, 9, 5), Some(Offset(9)));
        assert_eq!(go_on(0, 12, 5), Some(Offset(12)), "more went meanwhile");
        assert_eq!((go_on(0, 9, 6), go_on(1, 9, 5)), (None, None));
        assert_eq!((go_on(1, 9, 9), go_on(1, 9, 21)), (Some(Offset(9)), None));
    }
}
