//! How much of its time a job takes nothing in because it cannot.
//!
//! Owns [`Backpressure`]; the time comes as an argument.
//! - I1: the ratio is between 0, where the topic alone sets the pace, and 1.

use std::time::Duration;

use tokio::time::Instant;

/// The time since an epoch began, and what of it went to commits and to waiting for a turn.
#[derive(Debug)]
pub struct Backpressure {
    began: Instant,
    held_up: Duration,
    since: Option<Instant>,
}

impl Backpressure {
    pub fn new(now: Instant) -> Self {
        Backpressure { began: now, held_up: Duration::ZERO, since: None }
    }

    /// From here on nothing can be taken in.
    pub fn hold_up(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub fn go_on(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.held_up += now - since;
        }
    }

    /// The next epoch begins: the ratio of the one that ends.
    pub fn next_epoch(&mut self, now: Instant) -> f64 {
        self.go_on(now);
        let all = now - self.began;
        let held_up = std::mem::take(&mut self.held_up);
        self.began = now;
        if all.is_zero() { 0.0 } else { (held_up.as_secs_f64() / all.as_secs_f64()).min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_it_is_the_share_of_an_epoch_that_was_spent_waiting() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut backpressure = Backpressure::new(start);
        backpressure.hold_up(at(2));
        backpressure.go_on(at(3));
        backpressure.hold_up(at(8));
        assert!((backpressure.next_epoch(at(10)) - 0.3).abs() < 1e-9);
        assert!(backpressure.next_epoch(at(12)).abs() < 1e-9);
        assert!(backpressure.next_epoch(at(12)).abs() < 1e-9);
    }
}
