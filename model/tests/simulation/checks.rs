//! What must hold, judged from the tables and files alone.
//!
//! - I1 each record is in the tables exactly once, without a gap below the ledger.
//! - I3 ledgers advance; what readers see is whole epochs: exactly the rows below the ledger.
//! - I4 every file that a retained snapshot names is there, with the content its committer staged.
//! - I5 after recovery and one collection no unreferenced file, manifest or state is left.
//! - I7 a process alone, without faults, gets somewhere; a fresh generation finishes.
//! - I8 records in = rows visible + dead-lettered (+ taken out by somebody).

use std::collections::BTreeSet;

use tableflow_model::protocol::{History, Rule, Setback, Suspend};

use super::case::Kind;
use super::process::{End, Process};
use super::table::Request;
use super::world::{Row, World};

/// What a process alone needs at most to commit an epoch, and a fresh one to recover and read a whole topic.
const ALONE_STEPS: usize = 150;
const FRESH_STEPS: usize = 1500;

/// A fresh process that stops (it may, while it finds out what happened) is started again this often.
const RESTARTS_MAX: usize = 4;

impl World {
    /// Before a commit takes effect.
    pub fn check_commit(&mut self, request: &Request) {
        let table = &self.tables[request.sink];
        let history = table.history(table.property.as_deref());
        let (uuid, folder, standing) = (table.uuid, table.folder, table.ledger());
        let rolled_back = table.rolled_back && matches!(history, History::Differs(_) | History::NeverOurs);
        if request.files.iter().any(|file| file.folder != folder) {
            self.fail("I1", "a commit built for a dropped table landed in the new one");
        }
        if uuid != self.expected[request.sink] {
            self.fail("I1", "a commit landed in a re-created table that nobody set the job up for");
        }
        if rolled_back {
            self.fail("I1", "a commit landed on a table that somebody else had rolled back: the gap is covered up");
        }
        let advance = standing.map_or(Ok(()), |standing| request.ledger.advances_from(&standing));
        if let Err(setback) = advance {
            self.fail("I3", format!("the ledger of sink {}: {setback}", request.sink));
        }
    }

    /// After every step that changed a table or a file.
    pub fn check(&mut self) {
        if !std::mem::take(&mut self.dirty) || self.violation.is_some() {
            return;
        }
        for sink in 0..self.tables.len() {
            self.check_files(sink);
        }
        if self.tables.iter().any(|table| table.rolled_back) || self.violation.is_some() {
            return;
        }
        self.check_rows();
        self.check_letters();
    }

    fn check_files(&mut self, sink: usize) {
        let table = &self.tables[sink];
        if table.main.is_none() && !table.snapshots.is_empty() {
            return self.fail("I4", format!("the main branch of sink {sink} is gone: every row is lost to readers"));
        }
        let broken =
            table.reachable().into_iter().find_map(|file| match self.files.get(&(file.folder, file.name.clone())) {
                None => Some(format!("live file {} is deleted", file.name)),
                Some(found) if found.tag != file.tag => {
                    Some(format!("live file {} holds another writer's rows", file.name))
                }
                Some(_) => None,
            });
        if let Some(text) = broken {
            self.fail("I4", text);
        }
    }

    fn below(&self, sink: usize) -> Option<BTreeSet<Row>> {
        self.tables[sink].ledger().map(|ledger| self.rows_below(&ledger.positions))
    }

    fn check_rows(&mut self) {
        let mut all: Vec<Row> = Vec::new();
        let mut whole: Option<BTreeSet<Row>> = None;
        let mut forgiven = BTreeSet::new();
        let sinks = self.tables.iter().take_while(|table| table.ledger().is_some()).count();
        for sink in 0..self.tables.len() {
            let rows = self.visible(sink);
            let below = self.below(sink).unwrap_or_default();
            if let Some(row) = rows.iter().find(|row| !below.contains(row)) {
                return self.fail("I3", format!("sink {sink} shows {row:?}, which its ledger has not reached"));
            }
            all.extend(rows);
            forgiven.extend(self.tables[sink].forgiven.iter().copied());
            if sink < sinks {
                whole = Some(whole.map_or(below.clone(), |whole| &whole & &below));
            }
        }
        let present: BTreeSet<Row> = all.iter().copied().collect();
        if present.len() != all.len() {
            all.sort_unstable();
            let twice: Vec<&Row> = all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
            return self.fail("I1", format!("records twice in the tables: {twice:?}"));
        }
        let whole = whole.unwrap_or_default();
        let missing: Vec<&Row> = whole.iter().filter(|row| !present.contains(row) && !forgiven.contains(row)).collect();
        if !missing.is_empty() {
            let text = format!("the ledgers have passed records that are in no table: {missing:?}");
            self.fail("I1", text);
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
        self.sweeps.clear();
        self.flight.clear();
        for sink in 0..self.tables.len() {
            self.expected[sink] = self.tables[sink].uuid;
            if self.tables[sink].rolled_back {
                self.answer_rollback(sink);
            }
        }
        self.check();
        let waits = self.tables.iter().any(|table| table.rolled_back);
        if self.violation.is_none() && !waits && self.run_fresh() && self.violation.is_none() {
            self.check_complete();
            self.check_collected();
        }
    }

    fn run_alone(&mut self, process: &mut Process) {
        let (committed, idle) = (process.committed, process.idle);
        for _ in 0..ALONE_STEPS {
            process.perform(self);
            self.check();
            let somewhere = process.ended().is_some() || process.committed > committed || process.idle > idle;
            if somewhere || self.violation.is_some() {
                return;
            }
        }
        self.fail("I7", format!("p{} alone gets nowhere", process.number));
    }

    /// False where the world cannot be completed: the topic was re-created and the job waits for a person.
    fn run_fresh(&mut self) -> bool {
        let mut end = None;
        for _ in 0..RESTARTS_MAX {
            self.start_process();
            let mut process = self.processes.pop().unwrap();
            let mut emptied = None;
            for _ in 0..FRESH_STEPS {
                process.perform(self);
                self.check();
                if process.ended().is_some() || self.violation.is_some() {
                    break;
                }
                // Everything read: one epoch without rows decides what the dead have staged.
                match emptied {
                    None if process.idle > 0 => {
                        process.stages_nothing = true;
                        emptied = Some(process.idle);
                    }
                    Some(idle) if process.idle > idle + 4 => return true,
                    _ => {}
                }
            }
            end = process.ended().cloned();
            match &end {
                Some(End::Suspended(Suspend::Source(Setback::TopicRecreated { .. }))) if self.topics.len() > 1 => {
                    return false;
                }
                Some(End::Stopped(_) | End::Overtaken) => {}
                Some(End::Suspended(Suspend::EpochForgotten { .. })) => {
                    let tables = self.tables.iter().filter_map(|table| table.ledger()).map(|ledger| ledger.epoch).max();
                    self.letters.answer(tables.unwrap_or_default());
                }
                _ => break,
            }
        }
        self.fail("I7", format!("a fresh generation does not finish: {end:?}"));
        false
    }

    fn check_complete(&mut self) {
        self.dirty = true;
        self.check();
        self.check_letters_complete();
        let life = self.topics.len() - 1;
        let mut every = BTreeSet::new();
        for (partition, records) in self.topic().partitions.iter().enumerate() {
            let there = records.iter().enumerate().filter(|(_, record)| !record.hole);
            every.extend(there.map(|(offset, _)| Row { life, partition: partition as i32, offset: offset as i64 }));
        }
        let visible: usize = (0..self.tables.len()).map(|sink| self.visible(sink).len()).sum();
        let forgiven: BTreeSet<Row> = self.tables.iter().flat_map(|table| table.forgiven.iter().copied()).collect();
        if every.len() != visible + forgiven.len() {
            let (records, out) = (every.len(), forgiven.len());
            self.fail("I8", format!("{records} records came in, {visible} rows are visible, {out} were taken out"));
        }
    }

    fn check_collected(&mut self) {
        self.say(|| "one collection".to_owned());
        while self.letters.advance_some() {}
        for sink in 0..self.tables.len() {
            if let Some(main) = self.tables[sink].main {
                self.tables[sink].expire_all_but(main);
            }
            self.start_sweep(sink, i64::MAX / 4);
            while !self.sweeps.is_empty() {
                self.run_sweep();
            }
        }
        if let Some(collection) = self.decide_collection() {
            self.collect(collection);
        }
        self.dirty = true;
        self.check();
        let live: BTreeSet<_> = self.tables.iter().flat_map(|table| table.reachable()).collect();
        let folders: BTreeSet<usize> = self.tables.iter().map(|table| table.folder).collect();
        let left = self.files.iter().find(|((folder, name), _)| {
            let ours = folders.contains(folder) && !name.starts_with("foreign-");
            ours && !live.iter().any(|file| file.folder == *folder && file.name == *name)
        });
        if let Some(((_, name), _)) = left {
            let text = format!("file {name} is never collected");
            self.fail("I5", text);
        }
        if let Some((_, newest_work)) = self.newest_manifests() {
            // A topic without letters comes after the tables.
            let behind = self.letters.recorded().offset.filter(|_| self.has_topic());
            let needed = behind.map_or(newest_work, |at| at.min(newest_work));
            if let Some((epoch, _)) = self.manifests.keys().find(|(epoch, _)| *epoch < needed) {
                let text = format!("manifest {epoch} is never collected");
                self.fail("I5", text);
            }
            if self.states.values().any(|state| state.epoch < newest_work) {
                self.fail("I5", "old state is never collected");
            }
        } else if self.case.kind == Kind::Stateful && self.rules.hold(Rule::KeepNewestWork) {
            self.fail("I7", "a fresh generation leaves no manifest");
        }
    }
}
