//! Partitions whose records are there, and do not come.
//!
//! Owns [`Waits`]; the time comes as an argument.
//! - I1: only the time in which a job takes in what comes counts, and none in which a partition moved.
//! - I2: who hands them out is looked for long before anybody is told.
//!
//! A broker that fails says so, and so does a client that cannot reach one. A client that is busy with what it cannot
//! unpack, or a broker that answers with nothing, says nothing at all.

use std::collections::BTreeMap;
use std::time::Duration;

use tableflow_model::{Offset, Partition};
use tokio::time::Instant;

/// Records that are there come within this time.
const COME_WITHIN: Duration = Duration::from_secs(30);

/// And as a rule within this one (I2).
const COME_SOON: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Where each partition that has more stands, and how long it has stood there.
    standing: BTreeMap<Partition, (Offset, Duration)>,
    looked_at: Option<Instant>,
    pub is_told: bool,
}

impl Waits {
    /// From here on what comes is taken in.
    pub fn begin(&mut self, now: Instant) {
        self.looked_at = Some(now);
    }

    /// For so long nothing was: that is no waiting (I1).
    pub fn hold_up(&mut self, held_up: Duration) {
        self.looked_at = self.looked_at.map(|at| at + held_up);
    }

    /// Is there a partition that is worth another look at who hands its records out (I2)?
    pub fn is_long(&self) -> bool {
        self.standing.values().any(|(_, stood)| *stood > COME_SOON)
    }

    /// Answers which of the partitions that have more records has waited too long for them.
    pub fn look(&mut self, places: &BTreeMap<Partition, Offset>, now: Instant) -> Option<Partition> {
        let since_then = self.looked_at.replace(now).map_or(Duration::ZERO, |at| now - at);
        let before = std::mem::take(&mut self.standing);
        for (partition, next) in places {
            let stood = match before.get(partition) {
                Some((at, stood)) if at == next => *stood + since_then,
                _ => Duration::ZERO,
            };
            self.standing.insert(*partition, (*next, stood));
        }
        self.standing.iter().find(|(_, (_, stood))| *stood > COME_WITHIN).map(|(partition, _)| *partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_a_partition_waits_while_it_stands_and_the_job_takes_in_what_comes() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let places = |first: i64, second: i64| [(Partition(0), Offset(first)), (Partition(1), Offset(second))].into();
        let mut waits = Waits::default();
        waits.begin(start);
        assert_eq!(waits.look(&places(5, 7), start + second), None);
        assert_eq!(waits.look(&places(5, 8), start + 20 * second), None);
        assert!(waits.is_long());
        // A commit of a minute is no time in which records could have come.
        waits.begin(start + 80 * second);
        assert_eq!(waits.look(&places(5, 9), start + 90 * second), None, "29 seconds");
        assert_eq!(waits.look(&places(5, 9), start + 92 * second), Some(Partition(0)));
        assert_eq!(waits.look(&places(6, 9), start + 93 * second), None, "it came");
        assert_eq!(waits.look(&places(6, 10), start + 94 * second), None);
        assert!(!waits.is_long());
        waits.hold_up(20 * second);
        let of_one = BTreeMap::from([(Partition(0), Offset(6))]);
        assert_eq!(waits.look(&of_one, start + 140 * second), None, "27 seconds; the other one had no more");
        assert_eq!(waits.look(&places(7, 9), start + 180 * second), None, "and waits anew");
    }
}
