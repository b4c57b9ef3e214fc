//! What must hold, judged from the table and the consumers' own tables.
//!
//! - I4 every change file that a retained snapshot names is there.
//! - I7 consumers alone, without faults, come to where the table is.
//! - I9 a consumer has the rows of the snapshot that it stands at, whenever it commits; no row goes that it has not.
//! - I10 none is suspended as long as only we forget snapshots.

use super::world::World;

/// What a consumer alone needs at most for each snapshot that there may be.
const ALONE_STEPS: usize = 2000;

impl World {
    pub fn check_named(&mut self) {
        let mut named = self.table.now.snapshots.values().filter_map(|snapshot| snapshot.changes);
        if let Some(file) = named.find(|file| !self.files.contains_key(file)) {
            self.fail("I4", format!("change file {file}, which a retained snapshot names, is deleted"));
        }
    }

    /// Faults stop. What is in flight lands or is lost, upkeep ends, and every consumer catches up.
    pub fn drain(&mut self) {
        while !self.flight.is_empty() && self.violation.is_none() {
            if self.rng.chance(50) {
                self.land();
            } else {
                self.flight.pop();
            }
        }
        self.faults = false;
        self.say(|| "faults stop".to_owned());
        while !self.expiries.is_empty() {
            self.run_expiry();
        }
        while !self.vacuums.is_empty() {
            self.run_vacuum();
        }
        self.check_named();
        for place in 0..self.consumers.len() {
            for _ in 0..ALONE_STEPS {
                if self.violation.is_some() || self.consumers[place].suspended || self.is_at_rest(place) {
                    break;
                }
                self.run_consumer(place);
            }
            if self.violation.is_none() && !self.consumers[place].suspended && !self.is_at_rest(place) {
                self.fail("I7", format!("consumer {place} does not come to where the table is"));
            }
        }
    }
}
