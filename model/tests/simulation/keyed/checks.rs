//! What must hold, judged from the table and the store alone.
//!
//! - I1 every key has the row of its last change, once; rows of others are kept as they left them.
//! - I3 no row comes back that was replaced or deleted.
//! - I4 every file and list that a retained snapshot names is there.
//! - I5 after recovery and one window of collection nothing of ours is left that nobody names, and no delete file that
//!   is about nothing.
//! - I7 a process alone, without faults, gets somewhere; a fresh generation finishes.
//! - I8 the whole log has been read.

use std::collections::{BTreeMap, BTreeSet};

use tableflow_model::protocol::FileName;

use super::collect::is_our_list;
use super::compaction::Task;
use super::process::{End, Process, Work};
use super::table::{Key, Origin, applies, live_rows};
use super::world::World;

/// What a process alone needs at most to get somewhere, and a fresh one to read a whole log.
const ALONE_STEPS: usize = 150;
const FRESH_STEPS: usize = 1500;

/// A fresh process that stops (it may, while it finds out what happened) is started again this often.
const RESTARTS_MAX: usize = 4;

impl World {
    /// After every step that changed the table or the store.
    pub fn check(&mut self) {
        if !std::mem::take(&mut self.dirty) || self.violation.is_some() {
            return;
        }
        self.check_named();
        self.check_rows();
    }

    fn check_named(&mut self) {
        let is_gone = |name: &&String| !self.objects.contains_key(*name);
        let file = self.table.retained().flat_map(|snapshot| snapshot.files.keys()).find(is_gone);
        let list = self.table.retained().map(|snapshot| &snapshot.list).find(|list| !self.lists.contains(*list));
        if let Some(name) = file.or(list).cloned() {
            self.fail("I4", format!("{name}, which a retained snapshot names, is deleted"));
        }
    }

    fn check_rows(&mut self) {
        let mut live: BTreeMap<Key, Vec<Origin>> = BTreeMap::new();
        for found in live_rows(&self.objects, &self.table.files(self.table.main)) {
            live.entry(found.row.key).or_default().push(found.row.origin);
        }
        let expected = self.table.expected();
        let keys: BTreeSet<Key> = live.keys().chain(expected.keys()).copied().collect();
        for key in keys {
            let mut found = live.remove(&key).unwrap_or_default();
            let mut due = expected.get(&key).map(|expectation| expectation.rows.clone()).unwrap_or_default();
            found.sort_unstable();
            due.sort_unstable();
            if found == due {
                continue;
            }
            let (invariant, what) = if found.windows(2).any(|pair| pair[0] == pair[1]) {
                ("I1", "a row is there twice")
            } else if found.iter().any(|origin| !due.contains(origin)) {
                ("I3", "a row is there that was replaced or deleted")
            } else {
                ("I1", "a row is lost")
            };
            return self.fail(invariant, format!("{what}: key {key} has {found:?}, due is {due:?}"));
        }
    }

    /// Faults stop. Everybody who is there must get somewhere alone, then a fresh generation runs to its end.
    pub fn drain(&mut self) {
        while !self.flight.is_empty() && self.violation.is_none() {
            if self.rng.chance(50) {
                self.land();
            } else {
                self.flight.pop();
            }
            self.check();
        }
        self.faults = false;
        self.say(|| "faults stop; everybody alone".to_owned());
        for mut process in std::mem::take(&mut self.processes) {
            self.run_alone(&mut process);
        }
        self.vacuums.clear();
        self.flight.clear();
        if self.table.rolled_back {
            self.answer_rollback();
        }
        self.check();
        if self.violation.is_none() && self.run_fresh() {
            self.check_read();
            self.check_collected();
        }
    }

    fn run_alone(&mut self, process: &mut Process) {
        let (committed, idle) = (process.committed, process.idle());
        for _ in 0..ALONE_STEPS {
            process.perform(self);
            self.check();
            let somewhere = process.ended().is_some() || process.committed > committed || process.idle() > idle;
            if somewhere || self.violation.is_some() {
                return;
            }
        }
        self.fail("I7", format!("p{} alone gets nowhere", process.number));
    }

    /// Reads everything, then one epoch without rows decides what the dead have staged.
    fn run_fresh(&mut self) -> bool {
        let mut end = None;
        for _ in 0..RESTARTS_MAX {
            self.start_feeder();
            let mut process = self.processes.pop().unwrap();
            let mut emptied = None;
            for _ in 0..FRESH_STEPS {
                process.perform(self);
                self.check();
                if process.ended().is_some() || self.violation.is_some() {
                    break;
                }
                let idle = process.idle();
                match (emptied, &mut process.work) {
                    (None, Work::Feeder(feeder)) if idle > 0 => {
                        feeder.stages_nothing = true;
                        emptied = Some(idle);
                    }
                    (Some(before), _) if idle > before => return true,
                    _ => {}
                }
            }
            end = process.ended().cloned();
            if self.violation.is_some() || !matches!(end, Some(End::Stopped(_))) {
                break;
            }
        }
        self.fail("I7", format!("a fresh generation does not finish: {end:?}"));
        false
    }

    fn check_read(&mut self) {
        let positions = self.table.ledger(&self.feeder).map(|ledger| ledger.positions);
        for (partition, changes) in (0_i32..).zip(self.log.clone()) {
            let (read, all) = (self.offset(positions.as_ref(), partition), changes.len() as i64);
            if read != all {
                self.fail("I8", format!("{read} of {all} records of partition {partition} were read"));
            }
        }
    }

    /// A compaction alone, to its end.
    fn compact_to_the_end(&mut self) {
        self.start_compaction(&[Task::Rewrite, Task::Tidy, Task::Decide]);
        let mut process = self.processes.pop().unwrap();
        for _ in 0..ALONE_STEPS {
            process.perform(self);
            self.check();
            if process.ended().is_some() || self.violation.is_some() {
                break;
            }
        }
        if process.ended() != Some(&End::Done) {
            self.fail("I7", format!("a compaction alone does not finish: {:?}", process.ended()));
        }
    }

    fn vacuum_to_the_end(&mut self) {
        self.start_vacuum();
        while !self.vacuums.is_empty() {
            self.run_vacuum();
        }
        self.processes.clear();
        self.check();
    }

    /// What was found stays a day, and main moves.
    fn check_collected(&mut self) {
        self.say(|| "a compaction, and a window of collection".to_owned());
        self.compact_to_the_end();
        self.table.expire_all_but_main();
        self.vacuum_to_the_end();
        self.commit_foreign(&BTreeSet::new(), None, self.table.expected());
        self.a_day_passes();
        self.vacuum_to_the_end();
        let named: BTreeSet<&String> = self.table.retained().flat_map(|snapshot| snapshot.files.keys()).collect();
        let is_ours = |name: &&String| name.parse::<FileName>().is_ok();
        let file = self.objects.keys().filter(is_ours).find(|name| !named.contains(name));
        let lists: BTreeSet<&String> = self.table.retained().map(|snapshot| &snapshot.list).collect();
        let list = self.lists.iter().find(|list| is_our_list(list) && !lists.contains(list));
        if let Some(name) = file.or(list) {
            let text = format!("{name} is never collected");
            return self.fail("I5", text);
        }
        let files = self.table.files(self.table.main);
        if let Some(delete) = files.keys().find(|name| !applies(&self.objects, &files, name)) {
            let text = format!("delete file {delete} is about nothing, and stays");
            self.fail("I5", text);
        }
    }
}
