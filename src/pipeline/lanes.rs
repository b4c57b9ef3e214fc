//! The lane of those who are far behind.
//!
//! A table that follows its topic holds few records that were fetched and not yet written. One with a backlog has every
//! partition's queue full, all the time; of a thousand such tables only some may fetch at once.
//!
//! Owns [`Lane`], the room there is for them, and [`Turn`], what one of them holds of it.
//! - I1: what all turns may hold fetched is at most the lane's bytes. A table that needs more than all of them gets
//!   them all, and is alone.
//! - I2: there are at most so many turns as places, whatever they hold.
//! - I3: who waits longest is next: a small table does not pass a large one.
//! - I4: a turn that is dropped, however its job ended, is the next one's at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Permits are counted in these: there are fewer of them than there may be bytes.
const UNIT_BYTES: u64 = 1024;

/// Room to catch up in, shared by all tables of a process.
#[derive(Debug)]
pub struct Lane {
    places: Arc<Semaphore>,
    units: Arc<Semaphore>,
    units_max: u32,
    waiting: AtomicUsize,
    turns: AtomicUsize,
}

/// A place in the lane, and the bytes that a table may hold fetched.
#[derive(Debug)]
pub struct Turn {
    lane: Arc<Lane>,
    units: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Lane {
    pub fn new(bytes_max: u64, places_max: usize) -> Arc<Self> {
        let units_max = u32::try_from(bytes_max / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        let (places, units) = (Arc::new(Semaphore::new(places_max)), Arc::new(Semaphore::new(units_max as usize)));
        let (waiting, turns) = Default::default();
        Arc::new(Lane { places, units, units_max, waiting, turns })
    }

    /// Waits for a turn with so many bytes; who does not wait any more has left the line. `None` never comes: the lane
    /// is not closed.
    pub async fn turn(self: &Arc<Self>, bytes: u64) -> Option<Turn> {
        let _waiting = Waiting::new(self);
        self.take(self.units_of(bytes)).await.ok()
    }

    async fn take(self: &Arc<Self>, units: u32) -> Result<Turn, AcquireError> {
        let place = self.places.clone().acquire_owned().await?;
        let units = self.units.clone().acquire_many_owned(units).await?;
        self.turns.fetch_add(1, Ordering::Relaxed);
        Ok(Turn { lane: self.clone(), units, _place: place })
    }

    /// I1.
    fn units_of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).min(self.units_max)
    }

    pub fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }

    pub fn bytes_taken(&self) -> u64 {
        (self.units_max as usize - self.units.available_permits()) as u64 * UNIT_BYTES
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Turn {
    /// Does somebody wait for one?
    pub fn is_wanted(&self) -> bool {
        self.lane.waiting() > 0
    }

    /// Is it enough for so many bytes? A topic may have got partitions.
    pub fn is_enough_for(&self, bytes: u64) -> bool {
        self.units.num_permits() >= self.lane.units_of(bytes) as usize
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.lane.turns.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Somebody who waits, for as long as he does.
struct Waiting<'a>(&'a Lane);

impl<'a> Waiting<'a> {
    fn new(lane: &'a Lane) -> Self {
        lane.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(lane)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// A turn, if there is one now.
    fn now(lane: &Arc<Lane>, bytes: u64) -> Option<Turn> {
        lane.turn(bytes).now_or_never().flatten()
    }

    #[test]
    fn i1_turns_share_the_bytes_and_one_that_needs_more_than_all_is_alone() {
        let lane = Lane::new(10 * MIB, 8);
        let small = now(&lane, 4 * MIB).unwrap();
        assert!(now(&lane, 1000 * MIB).is_none(), "not beside another one");
        let second = now(&lane, 6 * MIB).unwrap();
        assert_eq!((lane.turns(), lane.bytes_taken()), (2, 10 * MIB));
        assert!(now(&lane, 1).is_none());
        drop((small, second));
        let alone = now(&lane, 1000 * MIB).unwrap();
        assert!(now(&lane, 1).is_none());
        assert!(alone.is_enough_for(2000 * MIB));
        drop(alone);
        let few = now(&lane, MIB).unwrap();
        assert!(few.is_enough_for(MIB) && !few.is_enough_for(2 * MIB));
    }

    #[test]
    fn i2_those_that_hold_nothing_take_a_place_all_the_same() {
        let lane = Lane::new(10 * MIB, 2);
        let turns: Vec<_> = (0..3).filter_map(|_| now(&lane, 0)).collect();
        assert_eq!((turns.len(), lane.turns(), lane.bytes_taken()), (2, 2, 0));
    }

    #[tokio::test]
    async fn i3_and_i4_who_waits_longest_is_next_and_who_gave_up_is_passed() {
        let lane = Lane::new(10 * MIB, 8);
        let holder = now(&lane, 8 * MIB).unwrap();
        assert!(!holder.is_wanted());
        let mut large = Box::pin(lane.turn(9 * MIB));
        let mut given_up = Box::pin(lane.turn(9 * MIB));
        let mut small = Box::pin(lane.turn(MIB));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(given_up.as_mut().now_or_never().is_none());
        assert!(small.as_mut().now_or_never().is_none(), "there is room, and a larger one waits before it");
        assert_eq!(lane.waiting(), 3);
        assert!(holder.is_wanted());
        drop(given_up);
        drop(holder);
        let large = large.now_or_never().flatten().unwrap();
        let small = small.now_or_never().flatten().unwrap();
        assert_eq!((lane.waiting(), lane.turns(), lane.bytes_taken()), (0, 2, 10 * MIB));
        drop((large, small));
        assert_eq!((lane.turns(), lane.bytes_taken()), (0, 0));
    }
}
