//! One partition of a topic, as it is fetched.
//!
//! Owns [`PartitionReader`]: where it stands, and what it hands out; and [`Check`], which tells a log that was cut
//! short.
//! - I1: what was fetched behind a failure lies behind a gap, and is handed out by nobody: it is read again from the
//!   failure on.
//! - I2: the last record before the place that was sought has the leader epoch that it had, or an earlier one where
//!   compaction took it; a later one was written in its place.

use rdkafka::error::RDKafkaErrorCode as Code;
use tableflow_model::{Offset, Partition, Records, Result};

use super::batch::BatchOfRecords;
use super::failure::Failure;
use super::native::{FetchQueue, Fetched};

/// The size of a record before any was seen.
const RECORD_BYTES_GUESS: usize = 256;

/// Records taken from a partition in one call.
const RECORDS_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct PartitionReader {
    pub partition: i32,
    queue: FetchQueue,
    pub next: i64,
    /// What is read before it, to be compared (I2).
    check: Option<Check>,
    /// librdkafka reads no further: it has to be assigned anew.
    pub broken: bool,
    /// Of the records it brought, on average.
    record_bytes: usize,
}

/// The log's last record before the place that was sought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    expected_epoch: i32,
    found_epoch: Option<i32>,
}

impl Check {
    pub fn new(expected_epoch: i32) -> Self {
        Check { expected_epoch, found_epoch: None }
    }

    /// A record stays under the leader that it was written under, as long as it stays: what is written in its place has
    /// a later one. One of an earlier leader stood before it, and compaction has taken it (I2).
    fn failed(self) -> bool {
        self.found_epoch.is_some_and(|found| found > self.expected_epoch)
    }
}

impl PartitionReader {
    pub fn new(partition: i32, queue: FetchQueue, next: i64, check: Option<Check>) -> Self {
        PartitionReader { partition, queue, next, check, broken: false, record_bytes: RECORD_BYTES_GUESS }
    }

    /// The leader epoch that the last record before the place has to have; none where that was seen.
    pub fn unchecked_epoch(&self) -> Option<i32> {
        self.check.map(|check| check.expected_epoch)
    }

    /// So many bytes of what was fetched, and the rest of the last record; and a failure that came after it.
    pub fn read(&mut self, bytes: usize) -> Result<(Option<Records>, Option<Failure>)> {
        let count_max = (bytes / self.record_bytes.max(1)).clamp(1, RECORDS_MAX);
        let mut taking = Taking::from(self.partition, self.next, self.check, (bytes, count_max));
        self.queue.take(count_max, |fetched| taking.take(fetched));
        let Taking { next, check, batch, failure, too_large, .. } = taking;
        self.check = check;
        // What was taken from the queue and not handed out has to be fetched again.
        self.broken |= too_large.is_err();
        too_large?;
        if batch.len() > 0 {
            self.record_bytes = (batch.bytes() / batch.len()).max(1);
        }
        let moved = next > self.next;
        if moved {
            self.check = None;
        }
        self.next = next;
        self.broken |= failure.is_some();
        let records = moved.then(|| batch.finish(Partition(self.partition), Offset(next)));
        Ok((records, failure))
    }
}

/// What is taken out of the queue in one call.
#[derive(Debug)]
struct Taking {
    partition: i32,
    next: i64,
    check: Option<Check>,
    /// Bytes and records that it may have.
    room: (usize, usize),
    batch: BatchOfRecords,
    failure: Option<Failure>,
    too_large: Result<()>,
}

impl Taking {
    fn from(partition: i32, next: i64, check: Option<Check>, room: (usize, usize)) -> Self {
        let (batch, failure, too_large) = (BatchOfRecords::default(), None, Ok(()));
        Taking { partition, next, check, room, batch, failure, too_large }
    }

    /// Is there room for another one?
    fn take(&mut self, fetched: Fetched<'_>) -> bool {
        match fetched {
            // I1.
            _ if self.failure.is_some() => {}
            Fetched::Record(record) if record.offset < self.next => {
                if let Some(check) = &mut self.check {
                    check.found_epoch = record.appended.leader_epoch;
                }
            }
            Fetched::Record(_) | Fetched::End(_) if self.check.is_some_and(Check::failed) => {
                let place = format!("partition {}, offset {}", self.partition, self.next);
                self.failure = Some((Code::LogTruncation, place));
            }
            Fetched::Record(record) => {
                if self.batch.len() == 0 {
                    self.batch = BatchOfRecords::with_capacity(self.room.0, self.room.1);
                }
                let pushed = self.batch.push(&record);
                self.next = record.offset + 1;
                if self.too_large.is_ok() {
                    self.too_large = pushed;
                }
            }
            Fetched::End(offset) => self.next = self.next.max(offset),
            Fetched::Failed(failed) => self.failure = Some((failed.code(), failed.words)),
        }
        self.batch.bytes() < self.room.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::native::{Failed, Record};

    /// Offsets and leader epochs of records, as they lie in the queue of a reader that stands at an offset.
    fn taken(next: i64, check: Option<Check>, fetched: Vec<Fetched<'_>>) -> (Vec<i64>, i64, Option<Code>) {
        let mut taking = Taking::from(0, next, check, (1024, 16));
        fetched.into_iter().for_each(|fetched| assert!(taking.take(fetched)));
        taking.too_large.unwrap();
        let records = taking.batch.finish(Partition(0), Offset(taking.next));
        (records.offsets, taking.next, taking.failure.map(|(code, _)| code))
    }

    fn record(offset: i64, epoch: i32) -> Fetched<'static> {
        Fetched::Record(Record::plain(offset, epoch))
    }

    #[test]
    fn i1_nothing_behind_a_failure_is_handed_out() {
        let code = rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG;
        let failed = Fetched::Failed(Failed { code, words: "offset 5".to_owned() });
        // A batch of offset 5 is damaged; those behind it were fetched with it.
        let fetched = vec![record(3, 0), record(4, 0), failed, record(7, 0), record(8, 0), Fetched::End(9)];
        assert_eq!(taken(3, None, fetched), (vec![3, 4], 5, Some(Code::BadMessage)));
        assert_eq!(taken(3, None, vec![record(3, 0), record(7, 0), Fetched::End(9)]), (vec![3, 7], 9, None));
    }

    #[test]
    fn no_more_is_taken_than_there_is_room_for() {
        let mut taking = Taking::from(0, 3, None, (2, 16));
        let wanted = [3, 4, 5].map(|offset| taking.take(record(offset, 0)));
        assert_eq!(wanted, [true, false, false]);
    }

    #[test]
    fn i2_a_log_that_was_cut_short_is_told_and_one_that_was_compacted_is_read() {
        let log = |epochs: [i32; 2]| vec![record(8, epochs[0]), record(9, epochs[1]), record(10, 7), Fetched::End(11)];
        let check = Some(Check::new(5));
        assert_eq!(taken(10, check, log([5, 5])), (vec![10], 11, None));
        assert_eq!(taken(10, check, log([5, 6])), (vec![], 10, Some(Code::LogTruncation)));
        // The last one before the place went, and the one before it is of an earlier leader.
        assert_eq!(taken(10, check, vec![record(8, 4), record(10, 7)]), (vec![10], 11, None));
        // None of them is left.
        assert_eq!(taken(10, check, vec![record(10, 7)]), (vec![10], 11, None));
        // Nothing follows yet: the end says it as well.
        assert_eq!(taken(10, check, vec![record(9, 6), Fetched::End(10)]), (vec![], 10, Some(Code::LogTruncation)));
    }
}
