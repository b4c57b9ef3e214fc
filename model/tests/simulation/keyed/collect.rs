//! The collector: it lists, looks at what is named in a later turn, deletes in another one, and notes what it found.

use std::collections::{BTreeMap, BTreeSet};

use tableflow_model::protocol::garbage::AGE_MIN_MS;
use tableflow_model::protocol::{
    FileName, Ledger, Listed, Reachable, Seen, Sweep, SweepEvent, SweepStep, Verdict, judge_metadata,
};
use tableflow_model::{JobName, Millis};

use super::compaction::Task;
use super::world::World;

#[derive(Clone, Debug)]
pub enum Vacuum {
    List,
    /// What was listed: files with the times at which they were written, and objects of the metadata.
    Look {
        files: BTreeMap<String, i64>,
        lists: BTreeSet<String>,
        found: BTreeMap<String, Seen>,
    },
    Delete {
        garbage: Vec<String>,
        noted: BTreeMap<String, Seen>,
        decides: bool,
    },
}

impl World {
    pub fn start_vacuum(&mut self) {
        if self.vacuums.len() < 2 {
            self.vacuums.push(Vacuum::List);
        }
    }

    pub fn run_vacuum(&mut self) {
        let place = self.rng.below(self.vacuums.len());
        let vacuum = self.vacuums.swap_remove(place);
        if self.fault(self.mix.crash) {
            return self.say(|| "a collector crashes".to_owned());
        }
        let next = match vacuum {
            Vacuum::List => Some(Vacuum::Look {
                files: self.objects.iter().map(|(name, object)| (name.clone(), object.modified)).collect(),
                lists: self.lists.iter().filter(|list| is_our_list(list)).cloned().collect(),
                found: self.found.clone(),
            }),
            Vacuum::Look { files, lists, found } => Some(self.judge(&files, &lists, &found)),
            Vacuum::Delete { garbage, noted, decides } => {
                self.delete(garbage, noted, decides);
                None
            }
        };
        self.say(|| format!("vacuum: {next:?}"));
        self.vacuums.extend(next);
    }

    fn reachable(&self) -> Reachable {
        let mut reachable = Reachable::default();
        for snapshot in self.table.retained() {
            reachable.names.extend(snapshot.files.keys().cloned());
        }
        let epochs = self.table.properties.iter();
        reachable.ledgers = epochs.map(|(job, text)| (job.clone(), Ledger::from_text(text).unwrap().epoch)).collect();
        reachable
    }

    fn judge(&self, files: &BTreeMap<String, i64>, lists: &BTreeSet<String>, found: &BTreeMap<String, Seen>) -> Vacuum {
        let reachable = self.reachable();
        let seen_now = Seen { at: Millis(self.clock), sequence: self.table.last_sequence_number };
        let seen = |name: &String| found.get(name).copied();
        let (mut garbage, undecided) = self.judge_data(files, found, &reachable);
        let mut noted = BTreeMap::new();
        for name in files.keys().filter(|name| name.parse::<FileName>().is_ok()) {
            if !garbage.contains(name) && !reachable.names.contains(name) {
                noted.insert(name.clone(), seen(name).unwrap_or(seen_now));
            }
        }
        let named: BTreeSet<&String> = self.table.retained().map(|snapshot| &snapshot.list).collect();
        for list in lists.iter().filter(|list| !named.contains(list)) {
            match judge_metadata(seen(list), seen_now.sequence, seen_now.at, AGE_MIN_MS, self.rules) {
                Verdict::Garbage => garbage.push(list.clone()),
                _ => drop(noted.insert(list.clone(), seen(list).unwrap_or(seen_now))),
            }
        }
        let compaction = JobName::compaction();
        let is_compactions = |name: &String| name.parse::<FileName>().is_ok_and(|name| name.is_of(&compaction));
        Vacuum::Delete { garbage, noted, decides: undecided.iter().any(is_compactions) }
    }

    /// Garbage, and what may still be published. A file is as old as it has been needed by nobody.
    fn judge_data(
        &self,
        files: &BTreeMap<String, i64>,
        found: &BTreeMap<String, Seen>,
        reachable: &Reachable,
    ) -> (Vec<String>, Vec<String>) {
        let now = Millis(self.clock);
        let mut sweep = Sweep::new(AGE_MIN_MS, self.rules).unwrap();
        let (mut event, mut garbage) = (SweepEvent::Start, Vec::new());
        loop {
            event = match sweep.next(event) {
                SweepStep::List => {
                    let since = |name: &String| found.get(name).map_or(now, |seen| seen.at);
                    let listed = files.iter().map(|(name, modified)| Listed {
                        name: name.clone(),
                        modified: since(name).max(Millis(*modified)),
                    });
                    SweepEvent::Listed { files: listed.collect(), now }
                }
                SweepStep::ReadReachable => SweepEvent::Read(reachable.clone()),
                SweepStep::Delete(names) => {
                    garbage.extend(names);
                    SweepEvent::Deleted
                }
                SweepStep::Done { undecided } => return (garbage, undecided),
            };
        }
    }

    fn delete(&mut self, garbage: Vec<String>, noted: BTreeMap<String, Seen>, decides: bool) {
        for name in garbage {
            self.objects.remove(&name);
            self.lists.remove(&name);
        }
        self.found = noted;
        self.dirty = true;
        if decides {
            self.start_compaction(&[Task::Decide]);
        }
    }
}

/// Those of other engines are left alone.
pub fn is_our_list(list: &str) -> bool {
    list.starts_with("list-")
}
