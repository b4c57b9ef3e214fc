//! One memory budget for all tables.
//!
//! - I1: when what all jobs buffer exceeds the budget, every job that holds its fair share or more commits early;
//!   so memory falls without any job waiting for another.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Shared by all jobs of a process.
#[derive(Debug)]
pub struct MemoryBudget {
    bytes_max: u64,
    bytes_buffered: AtomicU64,
    jobs: AtomicUsize,
}

impl MemoryBudget {
    pub fn new(bytes_max: u64) -> Self {
        MemoryBudget { bytes_max, bytes_buffered: AtomicU64::new(0), jobs: AtomicUsize::new(1) }
    }

    /// What all jobs hold together, as last counted.
    pub fn set_usage(&self, bytes_buffered: u64, jobs: usize) {
        self.bytes_buffered.store(bytes_buffered, Ordering::Relaxed);
        self.jobs.store(jobs.max(1), Ordering::Relaxed);
    }

    /// Must a job that holds `own` bytes commit now (I1)?
    pub fn must_flush(&self, own: usize) -> bool {
        let total = self.bytes_buffered.load(Ordering::Relaxed);
        let share = self.bytes_max / self.jobs.load(Ordering::Relaxed) as u64;
        own as u64 >= self.bytes_max || (total > self.bytes_max && own as u64 >= share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_over_budget_those_with_a_fair_share_or_more_commit() {
        let budget = MemoryBudget::new(1000);
        budget.set_usage(900, 4);
        assert!(!budget.must_flush(600), "within the budget nobody must");
        budget.set_usage(1100, 4);
        assert!(budget.must_flush(250));
        assert!(!budget.must_flush(249));
        assert!(budget.must_flush(1000), "one job never exceeds the budget, whatever was counted last");
    }
}
