//! The collectors: of data files (a real `Sweep`, slow between its steps), of manifests and of state.

use std::collections::BTreeMap;

use tableflow_model::Millis;
use tableflow_model::protocol::garbage::AGE_MIN_MS;
use tableflow_model::protocol::{Collection, Epoch, Listed, Reachable, Sweep, SweepEvent, SweepStep};

use super::case::Act;
use super::world::World;

/// A sweep of one table's folder.
#[derive(Debug)]
pub struct SweepRun {
    sink: usize,
    folder: usize,
    sweep: Sweep,
    step: SweepStep,
    /// How far the collector's clock is ahead of the store's.
    skew_ms: i64,
}

impl World {
    pub fn start_sweep(&mut self, sink: usize, skew_ms: i64) {
        let mut sweep = Sweep::new(AGE_MIN_MS, self.rules).unwrap();
        let step = sweep.next(SweepEvent::Start);
        self.sweeps.push(SweepRun { sink, folder: self.tables[sink].folder, sweep, step, skew_ms });
    }

    pub fn run_sweep(&mut self) {
        let place = self.rng.below(self.sweeps.len());
        let mut run = self.sweeps.swap_remove(place);
        let event = match &run.step {
            SweepStep::List => {
                let ours = self.files.iter().filter(|((folder, _), _)| *folder == run.folder);
                let listed = |((_, name), file): (&(usize, String), &super::world::DataFile)| Listed {
                    name: name.clone(),
                    modified: Millis(file.modified),
                };
                SweepEvent::Listed { files: ours.map(listed).collect(), now: Millis(self.clock + run.skew_ms) }
            }
            SweepStep::ReadReachable => SweepEvent::Read(self.reachable(run.sink, run.folder)),
            SweepStep::Delete(names) => {
                for name in names {
                    self.files.remove(&(run.folder, name.clone()));
                }
                self.dirty = true;
                SweepEvent::Deleted
            }
            SweepStep::Done { .. } => return,
        };
        self.say(|| format!("sweep of sink {}: {event:?}", run.sink));
        run.step = run.sweep.next(event);
        self.sweeps.push(run);
    }

    /// One version of the metadata. A table that was re-created says nothing about the old one's folder.
    fn reachable(&self, sink: usize, folder: usize) -> Reachable {
        let table = &self.tables[sink];
        if table.folder != folder {
            return Reachable::default();
        }
        let ledgers: BTreeMap<_, _> =
            table.ledger().map(|ledger| (self.job.clone(), ledger.epoch)).into_iter().collect();
        Reachable { names: table.reachable().into_iter().map(|file| file.name.clone()).collect(), ledgers }
    }

    /// The newest manifest and the newest with work, read by name from the highest ledger on.
    pub fn newest_manifests(&self) -> Option<(Epoch, Epoch)> {
        let highest = self.tables.iter().filter_map(|table| Some(table.ledger()?.epoch)).max()?;
        let mut newest = highest;
        let mut newest_work = None;
        while let Some(manifest) = self.manifest(newest, None) {
            if manifest.is_work() {
                newest_work = Some(newest);
            }
            newest = newest.next();
        }
        Some((Epoch(newest.0.saturating_sub(1)), newest_work?))
    }

    /// What a collector that looks now would delete, when it gets to it.
    pub fn decide_collection(&self) -> Option<Collection> {
        let (newest, newest_work) = self.newest_manifests()?;
        let mut ledgers: Vec<Epoch> =
            self.tables.iter().map(|table| table.ledger().map_or(Epoch(0), |ledger| ledger.epoch)).collect();
        if self.has_topic() {
            let recorded = self.letters.recorded();
            ledgers.push(recorded.offset.or(recorded.rows).unwrap_or_default());
        }
        // A fan-out's tables, as those of the other cases, are never rolled back.
        let rolled_back = self.tables.iter().filter(|_| self.case.acts.contains(&Act::Replay));
        let retained: Vec<Epoch> = rolled_back.flat_map(|table| table.retained_epochs()).collect();
        Some(Collection::decide(newest, newest_work, &ledgers, &retained, self.rules))
    }

    /// The oldest go first; one that is killed leaves the others.
    pub fn collect(&mut self, collection: Collection) {
        self.say(|| format!("collects {collection:?}"));
        let killed_after = if self.fault(20) { self.rng.below(4) } else { usize::MAX };
        let old: Vec<_> = self.manifests.keys().filter(|key| key.0 < collection.manifests_below).copied().collect();
        for key in old.into_iter().take(killed_after) {
            self.manifests.remove(&key);
        }
        self.states.retain(|_, state| state.epoch >= collection.state_below);
    }
}
