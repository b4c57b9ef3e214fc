//! What a topic records of the epochs that are in it (rule T2).
//!
//! Owns the reading of [`KafkaEpochs`]: the offset of its group, and the headers of its newest records.
//! - I1: it is read as a reader of what is committed sees it, and never while a transaction that is open hides records.
//! - I2: records of others are passed over, and none is looked for before the place where the sink began.
//! - I3: where records were deleted and none of the sink's is left, it is said that there may have been newer ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset as ListOffset, TopicPartitionList};
use tableflow_model::protocol::{Epoch, Recorded};
use tableflow_model::{Error, Partition, Result};

use super::client::{ANSWER_WITHIN, Consumer};
use super::epochs::KafkaEpochs;
use super::failure::{Failure, failure_of};
use super::native::{Edge, Failed, FetchQueue, Fetched, describe_topics, group_offset, list_offsets};

/// The group's offset of this partition is the epoch.
pub(super) const RECORDED_ON: i32 = 0;

/// Headers that tell whose a record is, and of which epoch.
pub const JOB_HEADER: &str = "tableflow.job";
pub const EPOCH_HEADER: &str = "tableflow.epoch";

/// So many offsets are looked through at first, from the end on; then more.
const LOOK_BACK: i64 = 1_000;
const LOOK_BACK_TIMES: i64 = 8;
const TAKEN_AT_ONCE: usize = 1_000;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Transactions that were open when it was asked end within this time, as a rule.
const ENDED_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Records that are there come within this time.
const COME_WITHIN: Duration = Duration::from_secs(30);

impl KafkaEpochs {
    pub(super) fn read_recorded(&self, consumer: &Arc<Consumer>) -> Result<Recorded> {
        let offset = self.group_offset(consumer)?;
        if offset.is_some() {
            return Ok(Recorded { offset, ..Recorded::default() });
        }
        let (rows, forgotten) = self.newest_records(consumer)?;
        Ok(Recorded { offset, rows, forgotten })
    }

    /// Whether all of it can be read.
    pub(super) fn look_at(&self, consumer: &Arc<Consumer>) -> Result<()> {
        self.group_offset(consumer)?;
        let described = describe_topics(consumer, &[self.sink.topic.as_str()], ANSWER_WITHIN);
        let described = described.map_err(|failed| self.unread(&failed.into()))?;
        described.into_iter().try_for_each(|(_, topic)| topic.map(drop).map_err(|failed| self.unread(&failed.into())))
    }

    /// Who may not see its group, or its records, is told so.
    pub(super) fn unread(&self, failure: &Failure) -> Error {
        match failure.0 {
            Code::TopicAuthorizationFailed => {
                self.cluster.error_about(&self.sink.topic, "READ", (failure.0, &failure.1))
            }
            _ => self.failed(failure),
        }
    }

    fn group_offset(&self, consumer: &Consumer) -> Result<Option<Epoch>> {
        let place = (self.sink.topic.as_str(), RECORDED_ON);
        let told = group_offset(consumer, &self.sink.id, place, ANSWER_WITHIN);
        let offset = told.map_err(|failed| self.unread(&failed.into()))?;
        Ok(offset.and_then(|offset| u64::try_from(offset).ok()).map(Epoch))
    }

    /// The newest epoch among the records, and whether one may have been deleted (I3).
    fn newest_records(&self, consumer: &Arc<Consumer>) -> Result<(Option<Epoch>, bool)> {
        let topic = self.sink.topic.as_str();
        let unread = |failed: Failed| self.unread(&failed.into());
        let described = describe_topics(consumer, &[topic], ANSWER_WITHIN).map_err(unread)?;
        let Some((_, description)) = described.into_iter().next() else { return Ok((None, false)) };
        let description = description.map_err(unread)?;
        // One that was made again has none of the records that the other one had.
        let same = description.id == self.sink.topic_id;
        let places: Vec<(&str, i32)> = description.partitions.iter().map(|partition| (topic, *partition)).collect();
        let edges = |edge| -> Result<Vec<i64>> {
            let listed = list_offsets(consumer, &places, edge, ANSWER_WITHIN).map_err(unread)?;
            listed.into_iter().map(|offset| offset.map_err(unread)).collect()
        };
        let (starts, all) = (edges(Edge::Beginning)?, edges(Edge::UncommittedEnd)?);
        // Of tables that share a topic, one has a transaction open nearly always: those that are open now have to end
        // (I1).
        let asked_at = Instant::now();
        let ends = loop {
            let ends = edges(Edge::End)?;
            let Some(hidden) = ends.iter().zip(&all).position(|(end, all)| end < all) else { break all };
            if asked_at.elapsed() > ENDED_WITHIN {
                let partition = places.get(hidden).map_or(RECORDED_ON, |(_, partition)| *partition);
                return Err(Error::unavailable(format!(
                    "a transaction is open in partition {partition} of topic {topic}"
                ))
                .with_detail("which letters are behind it cannot be seen yet")
                .with_hint("it ends within minutes; of a producer that is gone: `kafka-transactions find-hanging`"));
            }
            std::thread::sleep(LOOK_AGAIN);
        };
        let (mut newest, mut forgotten) = (None, false);
        for (((_, partition), start), end) in places.iter().zip(starts).zip(ends) {
            let from = self.sink.from.get(&Partition(*partition)).map_or(0, |offset| offset.0);
            let from = if same { from } else { 0 };
            let found = self.newest_of(consumer, *partition, (start.max(from), end))?;
            forgotten |= found.is_none() && start > from;
            newest = newest.max(found);
        }
        Ok((newest, forgotten))
    }

    /// Looks through a partition from its end on, until there is a record of the job.
    fn newest_of(&self, consumer: &Arc<Consumer>, partition: i32, (start, end): (i64, i64)) -> Result<Option<Epoch>> {
        let (mut end, mut count) = (end, LOOK_BACK);
        while start < end {
            let begin = (end - count).max(start);
            let found = self.newest_between(consumer, partition, (begin, end))?;
            if found.is_some() {
                return Ok(found);
            }
            (end, count) = (begin, count.saturating_mul(LOOK_BACK_TIMES));
        }
        Ok(None)
    }

    fn newest_between(
        &self,
        consumer: &Arc<Consumer>,
        partition: i32,
        (begin, end): (i64, i64),
    ) -> Result<Option<Epoch>> {
        let topic = self.sink.topic.as_str();
        let unread = |error: KafkaError| self.unread(&failure_of(&error));
        let Some(mut queue) = FetchQueue::of(consumer, topic, partition) else {
            return Err(Error::internal(format!("topic {topic} has no queue")));
        };
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(topic, partition, ListOffset::Offset(begin)).map_err(unread)?;
        consumer.assign(&place).map_err(unread)?;
        let (mut newest, mut next, mut failure, mut moved_at) = (None, begin, None, Instant::now());
        while next < end && failure.is_none() && moved_at.elapsed() < COME_WITHIN {
            let before = next;
            queue.take(TAKEN_AT_ONCE, |fetched| {
                match fetched {
                    Fetched::Record(record) => {
                        if record.offset < end {
                            newest = newest.max(self.epoch_of(|visit| record.headers(visit)));
                        }
                        next = next.max(record.offset + 1);
                    }
                    Fetched::End(offset) => next = next.max(offset),
                    Fetched::Failed(failed) => failure = Some(failed),
                }
                true
            });
            if next == before {
                std::thread::sleep(LOOK_EVERY);
            } else {
                moved_at = Instant::now();
            }
        }
        consumer.unassign().map_err(unread)?;
        match failure {
            Some(failed) => Err(self.unread(&failed.into())),
            None if next < end => Err(Error::unavailable(format!("the records of topic {topic} do not come"))
                .with_hint(
                    "its partitions' leaders have to be reached from here, at the addresses that they advertise",
                )),
            None => Ok(newest),
        }
    }

    /// Of a record of this sink.
    fn epoch_of(&self, headers: impl FnOnce(&mut dyn FnMut(&[u8], Option<&[u8]>))) -> Option<Epoch> {
        let (mut ours, mut epoch) = (false, None);
        // A record may have had headers of these names before: ours are the last ones.
        headers(&mut |name, value| {
            if name == JOB_HEADER.as_bytes() {
                ours = value == Some(self.sink.id.as_bytes());
            } else if name == EPOCH_HEADER.as_bytes() {
                epoch = value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
            }
        });
        epoch.filter(|_| ours).map(Epoch)
    }
}
