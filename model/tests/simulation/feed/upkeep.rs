//! Expiry and the collector, slow between their steps.

use std::collections::BTreeSet;

use tableflow_model::protocol::Rule;
use tableflow_model::protocol::feed::{may_forget, raised_floor};

use super::table::{Change, Metadata};
use super::world::{Reply, World};

/// The table as an expiry saw it.
#[derive(Clone, Debug)]
pub struct Expiry(Option<Metadata>);

/// Change files that were listed, and that are to be deleted.
#[derive(Clone, Debug)]
pub enum Vacuum {
    Listed(Vec<u64>),
    Judged(Vec<u64>),
}

impl World {
    /// The highest sequence number that the retention does not keep, where so many more than there are come.
    fn wanted_floor(&self, seen: &Metadata, more: usize) -> i64 {
        let beyond = seen.branch().skip(self.mix.kept.saturating_sub(more)).max();
        beyond.unwrap_or(0)
    }

    pub fn floor_to_publish(&self, seen: &Metadata, more: usize) -> Option<i64> {
        raised_floor(self.wanted_floor(seen, more), seen.floor, self.rules)
    }

    pub fn to_forget(&self, seen: &Metadata, more: usize) -> BTreeSet<i64> {
        let (wanted, registered) = (self.wanted_floor(seen, more), seen.registrations());
        let may_go = |id: &&i64| {
            let sequence = seen.snapshots[*id].link.sequence;
            sequence <= wanted && may_forget(sequence, seen.floor, &registered, self.rules)
        };
        seen.snapshots.keys().filter(|id| Some(**id) != seen.main).filter(may_go).copied().collect()
    }

    pub fn start_expiry(&mut self) {
        self.expiries.push(Expiry(None));
    }

    pub fn run_expiry(&mut self) {
        let place = self.rng.below(self.expiries.len());
        let Expiry(seen) = self.expiries.swap_remove(place);
        let Some(seen) = seen else {
            self.say(|| "expiry looks".to_owned());
            return self.expiries.push(Expiry(Some(self.table.now.clone())));
        };
        if let Some(floor) = self.floor_to_publish(&seen, 0) {
            if self.send(&seen, Change::Floor(floor)) == Reply::Applied {
                self.expiries.push(Expiry(None));
            }
            return;
        }
        let ids = self.to_forget(&seen, 0);
        if !ids.is_empty() {
            self.send(&seen, Change::Forget(ids));
        }
    }

    pub fn start_vacuum(&mut self) {
        self.vacuums.push(Vacuum::Listed(self.files.keys().copied().collect()));
    }

    /// A file is garbage when its epoch is decided and no retained snapshot names it; what is named is read after the
    /// listing.
    pub fn run_vacuum(&mut self) {
        let place = self.rng.below(self.vacuums.len());
        match self.vacuums.swap_remove(place) {
            Vacuum::Listed(files) => {
                let named: BTreeSet<u64> = self.table.now.snapshots.values().filter_map(|one| one.changes).collect();
                let is_garbage = |file: &u64| {
                    let is_named = named.contains(file) && self.rules.hold(Rule::ChangesAreNamed);
                    let epoch = self.files.get(file).map_or(u64::MAX, |(epoch, _)| *epoch);
                    epoch <= self.table.now.epoch && !is_named
                };
                let judged = files.into_iter().filter(is_garbage).collect();
                self.vacuums.push(Vacuum::Judged(judged));
            }
            Vacuum::Judged(files) => {
                self.say(|| format!("the collector deletes change files {files:?}"));
                files.iter().for_each(|file| drop(self.files.remove(file)));
            }
        }
    }
}
