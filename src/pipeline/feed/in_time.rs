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
//! - I5: a record that stops its partition is handed out alone, once all that is not younger was: whatever becomes of it, nothing
//!   that is younger is before it.
//! - I4: what is kept back is at most four polls, or 16 KiB a partition and one record of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use async_trait::async_trait;
use tableflow_model::source::Range;
use tableflow_model::{Offset, Partition, Records, Result, Source, TopicId};

/// I4.
const POLLS_KEPT: usize = 4;
const KEPT_BYTES_MIN: usize = 16 * 1024;

/// A source, in the order of time.
pub struct InTime {
    inner: Box<dyn Source>,
    partitions: BTreeMap<Partition, Lane>,
    /// Where each ended when it was asked last.
    ends: BTreeMap<Partition, Offset>,
    expected_epochs: BTreeMap<Partition, i32>,
}

/// What was read of a partition and is kept back.
#[derive(Debug, Default)]
struct Lane {
    /// What was handed out ends there.
    from: Offset,
    /// What was read ends there.
    next: Offset,
    kept: VecDeque<Records>,
    /// The youngest of those that are kept.
    youngest: Option<i64>,
    /// I5.
    stop: Option<Offset>,
}

impl Lane {
    fn keep(&mut self, records: Records) {
        self.next = records.next_offset;
        self.youngest = self.youngest.max(records.timestamps.iter().copied().max());
        self.kept.push_back(records);
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

    /// That record, where it is the next one (I5).
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

    /// I4.
    fn room(&self, bytes_max: usize, held: usize) -> usize {
        let of_one = (bytes_max * POLLS_KEPT / self.partitions.len().max(1)).max(KEPT_BYTES_MIN);
        bytes_max.min(of_one * (self.partitions.len() - held).max(1))
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
            taken.extend(stopped.filter(|lane| lane.stop.is_some()).find_map(Lane::take_stop));
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
            let lane = self.partitions.entry(*partition).or_insert_with(|| Lane {
                from: *place,
                next: *place,
                ..Lane::default()
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
            let polled = self.inner.poll(self.room(bytes_max, held.len()))?;
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
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Partitions of times; what is there of each comes in pieces of any length, or not yet.
    #[derive(Debug, Default)]
    struct Log {
        times: Vec<Vec<i64>>,
        places: Vec<usize>,
        held: BTreeSet<Partition>,
        /// One that does not come at all.
        stuck: Option<usize>,
    }

    struct Pieces {
        log: Arc<Mutex<Log>>,
        random: fastrand::Rng,
        heeds: bool,
    }

    fn records(partition: usize, times: &[i64], from: usize) -> Records {
        let count = times.len();
        Records {
            partition: Partition(partition as i32),
            offsets: (from..from + count).map(|offset| offset as i64).collect(),
            timestamps: times.to_vec(),
            next_offset: Offset((from + count) as i64),
            ..Records::default()
        }
    }

    #[async_trait]
    impl Source for Pieces {
        async fn topic_id(&mut self) -> Result<TopicId> {
            Ok(TopicId(uuid::Uuid::nil()))
        }

        async fn ranges(&mut self) -> Result<BTreeMap<Partition, Range>> {
            let log = self.log.lock().unwrap();
            let range = |times: &Vec<i64>| Range { start: Offset(0), end: Offset(times.len() as i64) };
            Ok((0..).map(Partition).zip(log.times.iter().map(range)).collect())
        }

        async fn records_behind(&mut self, _: &BTreeMap<Partition, Offset>) -> Result<u64> {
            Ok(0)
        }

        async fn seek(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<()> {
            self.log.lock().unwrap().places = positions.values().map(|offset| offset.0 as usize).collect();
            Ok(())
        }

        fn hold(&mut self, partitions: &BTreeSet<Partition>) {
            if self.heeds {
                self.log.lock().unwrap().held.clone_from(partitions);
            }
        }

        fn poll(&mut self, _: usize) -> Result<Vec<Records>> {
            let mut log = self.log.lock().unwrap();
            let mut polled = Vec::new();
            for partition in 0..log.times.len() {
                let (place, end) = (log.places[partition], log.times[partition].len());
                let comes = place < end && log.stuck != Some(partition) && self.random.u8(..4) > 0;
                if comes && !log.held.contains(&Partition(partition as i32)) {
                    let next = self.random.usize(place + 1..=end.min(place + 9));
                    polled.push(records(partition, &log.times[partition][place..next], place));
                    log.places[partition] = next;
                }
            }
            Ok(polled)
        }

        fn queued_bytes_max(&self) -> u64 {
            0
        }

        fn rest(&mut self) -> Result<()> {
            Ok(())
        }

        async fn confirm(&mut self) -> Result<()> {
            Ok(())
        }
    }

    /// A source in the order of time over these partitions, what was handed out of it, and when.
    struct Reading {
        log: Arc<Mutex<Log>>,
        source: InTime,
        taken: Vec<Vec<i64>>,
    }

    impl Reading {
        async fn of(times: Vec<Vec<i64>>, seed: u64) -> Self {
            let taken = vec![Vec::new(); times.len()];
            let log = Arc::new(Mutex::new(Log { places: vec![0; times.len()], times, ..Log::default() }));
            let random = fastrand::Rng::with_seed(seed);
            let pieces = Pieces { log: log.clone(), random, heeds: !seed.is_multiple_of(5) };
            let mut reading = Reading { log, source: InTime::new(Box::new(pieces)), taken };
            reading.begin().await;
            reading
        }

        /// An epoch begins where the last one ended.
        async fn begin(&mut self) {
            self.source.ranges().await.unwrap();
            let place = |taken: &Vec<i64>| Offset(taken.len() as i64);
            let positions = (0..).map(Partition).zip(self.taken.iter().map(place)).collect();
            self.source.seek(&positions).await.unwrap();
        }

        fn poll(&mut self) -> bool {
            let polled = self.source.poll(1 << 20).unwrap();
            for records in &polled {
                let taken = &mut self.taken[records.partition.0 as usize];
                let offsets: Vec<i64> = (taken.len() as i64..).take(records.len()).collect();
                assert_eq!(records.offsets, offsets, "each once, and in its order");
                taken.extend(&records.timestamps);
                assert_eq!(records.next_offset, Offset(taken.len() as i64));
            }
            !polled.is_empty()
        }

        fn read_all(&mut self) {
            for _ in 0..100_000 {
                self.poll();
                if self.taken == self.log.lock().unwrap().times {
                    return;
                }
            }
            panic!("it does not come to an end: {:?}", self.taken);
        }

        fn is_in_time(&self) -> bool {
            let log = self.log.lock().unwrap();
            let youngest = self.taken.iter().flatten().max();
            let left = log.times.iter().zip(&self.taken).flat_map(|(times, taken)| &times[taken.len()..]);
            left.min().is_none_or(|left| Some(left) >= youngest)
        }
    }

    fn rising(random: &mut fastrand::Rng, count: usize) -> Vec<i64> {
        let mut time = random.i64(0..200);
        let step = *random.choice(&[0, 1, 3, 50]).unwrap_or(&1);
        let times = (0..count).map(|_| {
            time += random.i64(0..=step);
            time
        });
        times.collect()
    }

    #[tokio::test]
    async fn i1_behind_every_poll_an_epoch_may_end() {
        let mut handed_out_early = 0;
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let partitions = random.usize(1..6);
            let times = (0..partitions).map(|_| {
                let count = random.usize(..60);
                rising(&mut random, count)
            });
            let mut reading = Reading::of(times.collect(), seed).await;
            while reading.taken != reading.log.lock().unwrap().times {
                let some = reading.poll();
                assert!(reading.is_in_time(), "seed {seed}: {:?}", reading.taken);
                handed_out_early += u32::from(some);
                match random.u8(..10) {
                    0 => reading.begin().await,
                    // A try that came to nothing is read again.
                    1 if random.bool() => {
                        for taken in &mut reading.taken {
                            taken.truncate(random.usize(..=taken.len()));
                        }
                        reading.begin().await;
                        reading.read_all();
                    }
                    _ => {}
                }
            }
        }
        assert!(handed_out_early > 2_000, "{handed_out_early} polls answered before the end");
    }

    #[tokio::test]
    async fn i5_a_record_that_stops_its_partition_comes_alone_behind_all_that_is_older() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let times: Vec<Vec<i64>> = (0..3).map(|_| rising(&mut random, 30)).collect();
            let mut reading = Reading::of(times.clone(), seed).await;
            for _ in 0..random.u8(..6) {
                reading.poll();
            }
            // What was polled with it is not taken.
            let stopped = random.usize(..3);
            let at = random.usize(reading.taken[stopped].len().min(29)..30);
            reading.source.stop_before(Partition(stopped as i32), Offset(at as i64));
            reading.begin().await;
            while reading.taken[stopped].len() <= at {
                let before = reading.taken.clone();
                reading.poll();
                assert!(reading.is_in_time(), "seed {seed}");
                if reading.taken[stopped].len() > at {
                    let came: usize =
                        reading.taken.iter().map(Vec::len).sum::<usize>() - before.iter().map(Vec::len).sum::<usize>();
                    assert_eq!((reading.taken[stopped].len(), came), (at + 1, 1), "seed {seed}: alone");
                }
            }
            reading.read_all();
        }
    }

    #[tokio::test]
    async fn i2_a_partition_that_does_not_come_is_waited_for_and_it_alone_is_missing() {
        let mut reading = Reading::of(vec![vec![10, 20, 30], vec![15], vec![1, 2, 3]], 1).await;
        reading.log.lock().unwrap().stuck = Some(1);
        assert!((0..50).all(|_| !reading.poll()), "nothing is known of partition 1");
        let kept = [0, 1, 2].map(|partition| reading.source.keeps_back(Partition(partition)));
        assert_eq!(kept, [true, false, true]);
        reading.log.lock().unwrap().stuck = None;
        reading.read_all();
    }

    #[tokio::test]
    async fn i3_what_came_since_the_ranges_were_asked_for_waits_for_nothing() {
        let mut reading = Reading::of(vec![vec![10], vec![20]], 2).await;
        reading.read_all();
        {
            let mut log = reading.log.lock().unwrap();
            (log.times[0], log.times[1], log.stuck) = (vec![10, 1000], vec![20, 30], Some(1));
        }
        assert!((0..50).any(|_| reading.poll()));
        assert_eq!(reading.taken, [vec![10, 1000], vec![20]]);
        reading.log.lock().unwrap().stuck = None;
        reading.read_all();
    }

    #[tokio::test]
    async fn i1_times_that_fall_lose_nothing_and_hold_nobody_up_for_good() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let times = (0..4).map(|_| (0..40).map(|_| random.i64(-1..60)).collect()).collect();
            let mut reading = Reading::of(times, seed).await;
            reading.read_all();
        }
    }

    #[tokio::test]
    async fn holes_and_what_has_no_record_hold_nobody_up() {
        let mut reading = Reading::of(vec![vec![10, 20], vec![15]], 3).await;
        let hole = Records { partition: Partition(1), next_offset: Offset(0), ..Records::default() };
        reading.source.keep(vec![hole]);
        assert!(!reading.source.keeps_back(Partition(1)), "it is polled on");
        reading.read_all();
    }
}
