//! What the key indexes of a process may take of its memory.
//!
//! Owns [`KeyMemory`], the sum, and [`KeyShare`], what one index takes of it.
//! - I1: while all of them take more than they may, each one that is at work gives back what it has: together they
//!   take an eighth more than that at most, and what one chunk of rows adds.
//! - I2: an index that is dropped gives everything back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An index that has less than one part in so many of its fair share gives nothing back: it would write tiny files.
const SMALL: u64 = 8;

/// What all of them may take, and take.
#[derive(Debug)]
pub struct KeyMemory {
    bytes_max: u64,
    bytes: AtomicU64,
    indexes: AtomicU64,
}

impl KeyMemory {
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(KeyMemory { bytes_max, bytes: AtomicU64::new(0), indexes: AtomicU64::new(0) })
    }

    /// What they take.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A further index, with nothing as yet.
    pub fn share(self: &Arc<Self>) -> KeyShare {
        self.indexes.fetch_add(1, Ordering::Relaxed);
        KeyShare { memory: self.clone(), bytes: 0 }
    }
}

/// What one index takes.
#[derive(Debug)]
pub struct KeyShare {
    memory: Arc<KeyMemory>,
    bytes: u64,
}

impl KeyShare {
    pub fn hold(&mut self, bytes: u64) {
        self.memory.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.memory.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// I1.
    pub fn must_spill(&self) -> bool {
        let indexes = self.memory.indexes.load(Ordering::Relaxed).max(1);
        self.memory.bytes() > self.memory.bytes_max && self.bytes >= self.memory.bytes_max / (SMALL * indexes)
    }

    /// So much more may all of them take.
    pub fn room(&self) -> u64 {
        self.memory.bytes_max.saturating_sub(self.memory.bytes())
    }
}

impl Drop for KeyShare {
    fn drop(&mut self) {
        self.hold(0);
        self.memory.indexes.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_i2_whoever_has_something_gives_it_back_while_all_have_too_much() {
        let memory = KeyMemory::new(1600);
        let (mut large, mut small) = (memory.share(), memory.share());
        large.hold(1500);
        small.hold(100);
        assert!(!large.must_spill() && !small.must_spill());
        small.hold(101);
        assert!(large.must_spill() && small.must_spill());
        small.hold(99);
        large.hold(1502);
        assert!(large.must_spill() && !small.must_spill(), "what is tiny stays");
        assert_eq!(small.room(), 0);
        drop(large);
        assert_eq!(memory.bytes(), 99);
        assert_eq!(small.room(), 1501);
    }
}
