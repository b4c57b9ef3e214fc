//! One memory budget for all tables.
//!
//! Owns [`TableMemory`], the sum, and [`Share`], what one job holds of it. A part of the budget is the lane's, where
//! tables that are far behind fetch ([`Lane`]); another one may be taken by the indexes of keys ([`KeyMemory`]), which go on
//! on disk beyond it; what is staged has the rest, and what upkeep writes meanwhile ([`Upkeeping`]) is of it.
//! - I1: when what all jobs hold exceeds the budget, every job that holds its fair share or more commits early;
//!   so memory falls without any job waiting for another.
//! - I2: a job says what it holds after every poll, and gives all of it back when it ends, however it ends.
//! - I3: whatever indexes and upkeep take, an eighth of the budget is there for what is staged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;

use tableflow_lake::keys::KeyMemory;

use super::lanes::Lane;

/// The lane gets one part in so many.
const LANE_SHARE: u64 = 4;

/// Eighths of the budget that all indexes of keys may take: 50 million keys have room in 2 GiB.
const KEY_EIGHTHS: u64 = 5;

/// I3: one part in so many.
const STAGED_SHARE_MIN: u64 = 8;

/// What rows are sorted in, to go on on disk, may take of the budget, one part in so many.
const SORT_SHARE: u64 = 4;

/// What the encoders of one job's files may take of the budget, one part in so many: one poll may begin them all, before it
/// can be seen what they hold.
const ENCODERS_SHARE: u64 = 8;

/// Tables that catch up at the same time, for each core: while one waits for a broker or a disk another one decodes.
const PLACES_PER_CORE: usize = 2;

/// What rows may be sorted in, of a budget of so many bytes.
pub fn sorting_bytes(bytes_max: u64) -> usize {
    usize::try_from(bytes_max / SORT_SHARE).unwrap_or(usize::MAX)
}

/// What all jobs of a process may hold, and do.
#[derive(Debug)]
pub struct TableMemory {
    bytes_max: u64,
    staged_bytes_max: u64,
    bytes_held: AtomicU64,
    jobs: AtomicUsize,
    jobs_begun: AtomicU32,
    lane: Arc<Lane>,
    keys: Arc<KeyMemory>,
    upkeep_bytes: AtomicU64,
}

impl TableMemory {
    pub fn new(bytes_max: u64) -> Arc<Self> {
        let lane_bytes = bytes_max / LANE_SHARE;
        let lane = Lane::new(lane_bytes, available_parallelism().map_or(1, usize::from) * PLACES_PER_CORE);
        let staged_bytes_max = bytes_max - lane_bytes;
        let (bytes_held, jobs, jobs_begun, upkeep_bytes) = Default::default();
        let keys = KeyMemory::new(bytes_max / 8 * KEY_EIGHTHS);
        Arc::new(TableMemory { bytes_max, staged_bytes_max, bytes_held, jobs, jobs_begun, lane, keys, upkeep_bytes })
    }

    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// What indexes of keys take.
    pub fn keys(&self) -> &Arc<KeyMemory> {
        &self.keys
    }

    /// What all jobs may have staged (I3).
    fn staged_bytes_max(&self) -> u64 {
        let others = self.keys.bytes() + self.upkeep_bytes.load(Ordering::Relaxed);
        self.staged_bytes_max.saturating_sub(others).max(self.bytes_max / STAGED_SHARE_MIN)
    }

    /// So much is taken by files that are rewritten, until it is dropped.
    pub fn upkeeping(self: &Arc<Self>, bytes: u64) -> Upkeeping {
        self.upkeep_bytes.fetch_add(bytes, Ordering::Relaxed);
        Upkeeping { memory: self.clone(), bytes }
    }

    /// A further job's part, of nothing as yet.
    pub fn share(self: &Arc<Self>) -> Share {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        let jobs_before = self.jobs_begun.fetch_add(1, Ordering::Relaxed);
        Share { memory: self.clone(), bytes: 0, jobs_before }
    }
}

/// What upkeep takes of the budget.
#[derive(Debug)]
pub struct Upkeeping {
    memory: Arc<TableMemory>,
    bytes: u64,
}

impl Drop for Upkeeping {
    fn drop(&mut self) {
        self.memory.upkeep_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What one job holds (I2).
#[derive(Debug)]
pub struct Share {
    memory: Arc<TableMemory>,
    bytes: u64,
    jobs_before: u32,
}

impl Share {
    pub fn hold(&mut self, bytes: u64) {
        self.memory.bytes_held.fetch_add(bytes, Ordering::Relaxed);
        self.memory.bytes_held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// Must this job commit now (I1)?
    pub fn must_flush(&self) -> bool {
        let memory = &self.memory;
        let bytes_max = memory.staged_bytes_max();
        let fair = bytes_max / memory.jobs.load(Ordering::Relaxed).max(1) as u64;
        let all = memory.bytes_held.load(Ordering::Relaxed);
        self.bytes >= bytes_max || (all > bytes_max && self.bytes >= fair)
    }

    /// Of the files that the job has under way.
    pub fn encoders_bytes_max(&self) -> u64 {
        self.memory.bytes_max / ENCODERS_SHARE
    }

    pub fn lane(&self) -> &Arc<Lane> {
        &self.memory.lane
    }

    /// How many jobs of the process began before this one.
    pub fn jobs_before(&self) -> u32 {
        self.jobs_before
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.hold(0);
        self.memory.jobs.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One in which so much may be staged.
    fn with_staged(bytes: u64) -> Arc<TableMemory> {
        let memory = TableMemory::new(bytes * LANE_SHARE / (LANE_SHARE - 1));
        assert_eq!(memory.staged_bytes_max(), bytes);
        memory
    }

    #[test]
    fn i1_over_budget_those_with_a_fair_share_or_more_commit() {
        let memory = with_staged(1000);
        let mut shares: Vec<Share> = (0..4).map(|_| memory.share()).collect();
        let mut hold = |bytes: [u64; 4]| {
            shares.iter_mut().zip(bytes).for_each(|(share, bytes)| share.hold(bytes));
            shares.iter().map(Share::must_flush).collect::<Vec<_>>()
        };
        assert_eq!(hold([600, 100, 100, 200]), [false; 4], "within the budget nobody must");
        assert_eq!(hold([600, 249, 250, 2]), [true, false, true, false]);
        assert_eq!(hold([1000, 0, 0, 0]), [true, false, false, false], "one job never exceeds the budget");
    }

    #[test]
    fn i3_indexes_and_upkeep_leave_less_to_what_is_staged_and_never_nothing() {
        let memory = with_staged(6000);
        let (mut staged, mut index) = (memory.share(), memory.keys().share());
        staged.hold(5000);
        assert!(!staged.must_flush());
        index.hold(1001);
        assert!(staged.must_flush());
        index.hold(0);
        let files = [memory.upkeeping(1000), memory.upkeeping(1)];
        assert!(staged.must_flush());
        drop(files);
        assert!(!staged.must_flush());
        staged.hold(999);
        index.hold(100_000);
        assert!(!staged.must_flush());
        staged.hold(1000);
        assert!(staged.must_flush());
    }

    #[test]
    fn i2_a_job_that_ends_gives_everything_back() {
        let memory = with_staged(1000);
        let (mut first, mut second) = (memory.share(), memory.share());
        first.hold(900);
        second.hold(500);
        assert!(second.must_flush());
        drop(first);
        assert!(!second.must_flush());
        drop(second);
        assert_eq!(memory.bytes_held.load(Ordering::Relaxed), 0);
        assert_eq!(memory.jobs.load(Ordering::Relaxed), 0);
    }
}
