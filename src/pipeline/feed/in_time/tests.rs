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
    /// Of a record. Where it has any, one partition by lot takes all the room of a poll.
    record_bytes: usize,
}

impl Log {
    /// As much as there is room for: as readers share a poll where the others have nothing at hand.
    fn all_of_one(&mut self, random: &mut fastrand::Rng, bytes_max: usize) -> Option<Records> {
        let has_some = |at: &usize| self.places[*at] < self.times[*at].len() && self.stuck != Some(*at);
        let of_all: Vec<usize> = (0..self.times.len()).filter(has_some).collect();
        let wanted: Vec<usize> = of_all.into_iter().filter(|at| !self.held.contains(&Partition(*at as i32))).collect();
        let at = wanted.get(random.usize(..wanted.len().max(1)))?;
        let place = self.places[*at];
        let count = bytes_max.div_ceil(self.record_bytes).min(self.times[*at].len() - place);
        self.places[*at] += count;
        let polled = records(*at, &self.times[*at][place..place + count], place);
        Some(Records { buffer: vec![0; count * self.record_bytes].into(), ..polled })
    }
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

    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Records>> {
        let mut log = self.log.lock().unwrap();
        if log.record_bytes > 0 {
            return Ok(log.all_of_one(&mut self.random, bytes_max).into_iter().collect());
        }
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
        self.poll_some(1 << 20)
    }

    fn poll_some(&mut self, bytes_max: usize) -> bool {
        let polled = self.source.poll(bytes_max).unwrap();
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
async fn i4_a_record_that_stops_its_partition_comes_alone_behind_all_that_is_older() {
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

#[tokio::test]
async fn i5_what_is_kept_back_has_a_bound_whichever_partition_comes_first() {
    for (partitions, poll_bytes, record_bytes) in [(8, 1 << 20, 1_000), (64, 1 << 16, 1_000), (5, 1 << 16, 100_000)] {
        let times: Vec<Vec<i64>> = vec![(0..4_000_000 / record_bytes as i64).collect(); partitions];
        let mut reading = Reading::of(times.clone(), 1).await;
        {
            let mut log = reading.log.lock().unwrap();
            (log.stuck, log.record_bytes) = (Some(0), record_bytes);
        }
        for _ in 0..1_000 {
            assert_eq!(reading.source.poll(poll_bytes).unwrap().len(), 0, "nothing is known of partition 0");
        }
        let kept = |reading: &Reading| reading.log.lock().unwrap().places.iter().sum::<usize>() * record_bytes;
        let bound = 4 * poll_bytes + partitions * (16 * 1024 + record_bytes);
        assert!(kept(&reading) <= bound, "{} bytes of {partitions} partitions", kept(&reading));
        assert!(kept(&reading) > 2 * poll_bytes, "it was filled");
        reading.log.lock().unwrap().stuck = None;
        while reading.taken != times {
            assert!(reading.poll_some(poll_bytes), "what comes in time moves on");
            let (read, out) = (kept(&reading), reading.taken.iter().map(Vec::len).sum::<usize>() * record_bytes);
            assert!(read - out <= bound, "{} bytes of {partitions} partitions", read - out);
        }
    }
}
