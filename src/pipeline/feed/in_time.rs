//! A topic's records in the order of their times, over all of its partitions.
//!
//! Owns [`InTime`], a [`Source`] around another one, for tables with one row a key. Where a key's records lie in several
//! partitions (a topic that got more of them, a producer that spreads keys otherwise), the one that is read last is to be the
//! last one by time, in whatever commit each of them is (rule U2).
//! - I1: whenever a poll has answered, every record is handed out that is not younger than the youngest one that was, of those
//!   that lay in the topic when its ranges were asked for last; within a partition an earlier record always comes first. So an epoch may end
//!   behind any poll.
//! - I2: where a partition's records do not come, those of others that are younger than what it has handed out wait for
//!   them: an order that cannot be known is not guessed.
//! - I3: what came after the ranges were asked for waits for nothing: a table that follows its topic is as fresh as any.
//! - I4: a record that stops its partition is handed out alone, once all that is not younger was: whatever becomes of it, nothing
//!   that is younger is before it.
//! - I5: what is kept back is at most four polls, and 16 KiB and one record of each partition, whichever of them come first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use async_trait::async_trait;
use tableflow_model::source::Range;
use tableflow_model::{Offset, Partition, Records, Result, Source, TopicId};

/// I5.
const POLLS_KEPT: usize = 4;
const POLL_BYTES_MIN: usize = 16 * 1024;

/// A source, in the order of time.
pub struct InTime {
    inner: Box<dyn Source>,
    partitions: BTreeMap<Partition, KeptBack>,
    /// Where each ended when it was asked last.
    ends: BTreeMap<Partition, Offset>,
    expected_epochs: BTreeMap<Partition, i32>,
}

/// What was read of a partition and is kept back.
#[derive(Debug, Default)]
struct KeptBack {
    /// What was handed out ends there.
    from: Offset,
    /// What was read ends there.
    next: Offset,
    kept: VecDeque<Records>,
    /// The youngest of those that are kept.
    youngest: Option<i64>,
    /// I4.
    stop: Option<Offset>,
}

impl KeptBack {
    fn keep(&mut self, records: Records) {
        self.next = records.next_offset;
        self.youngest = self.youngest.max(records.timestamps.iter().copied().max());
        self.kept.push_back(records);
    }

    /// What it holds in memory: of a buffer that is handed out in part, all.
    fn bytes(&self) -> usize {
        self.kept.iter().map(|records| records.buffer.len()).sum()
    }

    /// The records at its front that are not younger, as they came.
    fn take_until(&mut self, time: Option<i64>, taken: &mut Vec<Records>) {
        while let Some(records) = self.kept.pop_front() {
            let older = |at: i64| time.is_none_or(|time| at <= time);
            let before = |offset: i64| self.stop.is_none_or(|stop| offset < stop.0);
            let rows = records.timestamps.iter().zip(&records.offsets);
            let count = rows.take_while(|(at, offset)| older(**at) && before(**offset)).count();
            if count == records.len() {
                self.from = records.next_offset;
                taken.push(records);
                continue;
            }
            let (before, after) = records.split_at(count);
            if !before.is_empty() {
                self.from = before.next_offset;
                taken.push(before);
            }
            self.kept.push_front(after);
            break;
        }
        let left = self.kept.iter().flat_map(|records| records.timestamps.iter().copied());
        self.youngest = left.max();
    }

    /// The time of the record that stops it, where it is here.
    fn stops_at(&self) -> Option<i64> {
        let stop = self.stop?;
        let rows = self.kept.iter().flat_map(|records| records.offsets.iter().zip(&records.timestamps));
        rows.filter(|(offset, _)| **offset >= stop.0).map(|(_, at)| *at).next()
    }

    /// That record, where it is the next one (I4).
    fn take_stop(&mut self) -> Option<Records> {
        let stop = self.stop?;
        let records = self.kept.pop_front()?;
        if records.offsets.first().is_none_or(|first| *first < stop.0) {
            self.kept.push_front(records);
            return None;
        }
        let (stopping, after) = records.split_at(1);
        if !after.is_empty() {
            self.kept.push_front(after);
        }
        (self.stop, self.from) = (None, stopping.next_offset);
        Some(stopping)
    }
}

impl InTime {
    pub fn new(inner: Box<dyn Source>) -> Self {
        let (partitions, ends, expected_epochs) = Default::default();
        InTime { inner, partitions, ends, expected_epochs }
    }

    /// Until when all records have been read; none where all that there were have (I1, I3).
    fn horizon(&self) -> Horizon {
        let mut horizon = Horizon::Open;
        for (partition, lane) in &self.partitions {
            let is_at_its_end = self.ends.get(partition).is_none_or(|end| lane.next >= *end);
            let until = match (lane.stops_at(), lane.youngest) {
                (Some(stop), _) => stop,
                (None, _) if is_at_its_end => continue,
                (None, Some(youngest)) => youngest,
                (None, None) => return Horizon::Waits,
            };
            horizon = match horizon {
                Horizon::Until(time) => Horizon::Until(time.min(until)),
                _ => Horizon::Until(until),
            };
        }
        horizon
    }

    /// I5: one partition may take all of it. Each is polled of which nothing is kept, so that the horizon moves.
    fn room(&self, bytes_max: usize) -> usize {
        let kept: usize = self.partitions.values().map(KeptBack::bytes).sum();
        bytes_max.min((bytes_max * POLLS_KEPT).saturating_sub(kept).max(POLL_BYTES_MIN))
    }

    fn keep(&mut self, polled: Vec<Records>) {
        for records in polled {
            self.partitions.entry(records.partition).or_default().keep(records);
        }
    }

    fn take(&mut self) -> Vec<Records> {
        let time = match self.horizon() {
            Horizon::Waits => return Vec::new(),
            Horizon::Until(time) => Some(time),
            Horizon::Open => None,
        };
        let mut taken = Vec::new();
        self.partitions.values_mut().for_each(|lane| lane.take_until(time, &mut taken));
        if taken.is_empty() {
            let stopped = self.partitions.values_mut().filter(|lane| lane.stops_at() == time);
            taken.extend(stopped.filter(|lane| lane.stop.is_some()).find_map(KeptBack::take_stop));
        }
        taken
    }
}

enum Horizon {
    /// Of some partition nothing is known yet (I2).
    Waits,
    Until(i64),
    Open,
}

#[async_trait]
impl Source for InTime {
    async fn topic_id(&mut self) -> Result<TopicId> {
        self.inner.topic_id().await
    }

    async fn ranges(&mut self) -> Result<BTreeMap<Partition, Range>> {
        let ranges = self.inner.ranges().await?;
        self.ends = ranges.iter().map(|(partition, range)| (*partition, range.end)).collect();
        Ok(ranges)
    }

    async fn records_behind(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<u64> {
        self.inner.records_behind(positions).await
    }

    async fn uncommitted_ends(&mut self, partitions: &[Partition]) -> Result<BTreeMap<Partition, Offset>> {
        self.inner.uncommitted_ends(partitions).await
    }

    fn expect_leader_epochs(&mut self, epochs: &BTreeMap<Partition, i32>) {
        self.expected_epochs.clone_from(epochs);
    }

    /// What is kept back stays where it goes on from there.
    async fn seek(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<()> {
        let stops: BTreeMap<Partition, Offset> =
            self.partitions.iter().filter_map(|(partition, lane)| Some((*partition, lane.stop?))).collect();
        self.partitions.retain(|partition, lane| positions.get(partition) == Some(&lane.from));
        let mut epochs = std::mem::take(&mut self.expected_epochs);
        for (partition, place) in positions {
            let lane = self.partitions.entry(*partition).or_insert_with(|| KeptBack {
                from: *place,
                next: *place,
                ..KeptBack::default()
            });
            lane.stop = stops.get(partition).copied().filter(|stop| *stop >= *place);
            let last = lane.kept.back().and_then(|records| Some((records, records.len().checked_sub(1)?)));
            if let Some((records, last)) = last {
                match records.appendings.of(last).leader_epoch {
                    Some(epoch) => epochs.insert(*partition, epoch),
                    None => epochs.remove(partition),
                };
            }
        }
        self.inner.expect_leader_epochs(&epochs);
        self.inner.seek(&self.partitions.iter().map(|(partition, lane)| (*partition, lane.next)).collect()).await
    }

    fn stop_before(&mut self, partition: Partition, offset: Offset) {
        self.partitions.entry(partition).or_default().stop = Some(offset);
    }

    fn keeps_back(&self, partition: Partition) -> bool {
        self.partitions.get(&partition).is_some_and(|lane| lane.youngest.is_some())
    }

    fn keeps_some_back(&self) -> bool {
        self.partitions.keys().any(|partition| self.keeps_back(*partition))
    }

    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Records>> {
        loop {
            let held: BTreeSet<Partition> =
                self.partitions.keys().copied().filter(|partition| self.keeps_back(*partition)).collect();
            self.inner.hold(&held);
            let polled = self.inner.poll(self.room(bytes_max))?;
            let came = !polled.is_empty();
            self.keep(polled);
            let taken = self.take();
            if !taken.is_empty() || !came {
                return Ok(taken);
            }
        }
    }

    fn queued_bytes_max(&self) -> u64 {
        self.inner.queued_bytes_max()
    }

    fn rest(&mut self) -> Result<()> {
        self.partitions.clear();
        self.inner.rest()
    }

    fn look_again(&mut self) {
        self.inner.look_again();
    }

    fn note_committed(&mut self, positions: &BTreeMap<Partition, Offset>) {
        self.inner.note_committed(positions);
    }

    async fn confirm(&mut self) -> Result<()> {
        self.inner.confirm().await
    }
}

#[cfg(test)]
mod tests;
