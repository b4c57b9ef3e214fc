//! The world of one schedule: log, store, catalog, processes, and everything that is on its way.
//!
//! Owns [`World`], the scheduler, and the oracle: each commit says what should be live after it, worked out from the
//! log and from what should have been live before. Files are asked for their ages alone.

use std::collections::{BTreeMap, BTreeSet};

use tableflow_model::protocol::{
    Assertion, Epoch, FileName, Generation, Ledger, Positions, Rules, Seen, TopicPositions, WriterId,
};
use tableflow_model::{JobName, Offset, Partition, TopicId, TopicName};
use uuid::Uuid;

use super::case::{Case, Mix};
use super::collect::Vacuum;
use super::compaction::Task;
use super::process::{EpochName, Process};
use super::table::{Content, Expectation, Expected, Key, Object, Objects, Origin, Row, Table, live_rows};
use crate::rng::Rng;
use crate::world::Violation;

/// A record.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub key: Key,
    /// Otherwise the key goes.
    pub put: bool,
    pub timestamp: i64,
}

/// A commit on its way.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: i64,
    pub job: JobName,
    pub assertion: Assertion,
    /// All of the new snapshot; those without a number are as old as it.
    pub files: BTreeMap<String, Option<i64>>,
    pub list: String,
    pub ledger: Ledger,
    pub what: What,
}

/// What a commit is to do.
#[derive(Clone, Debug)]
pub enum What {
    Changes,
    /// These rows, as of a snapshot of that number, are in another file.
    Rewrite {
        read: BTreeSet<Row>,
        read_at: i64,
    },
    /// No row comes or goes.
    Nothing,
}

/// Something that takes effect later, or never.
#[derive(Clone, Debug)]
pub enum Flight {
    Commit(Box<Request>),
    Expire { planned: i64, location: String },
}

pub struct World {
    pub mix: Mix,
    pub rules: Rules,
    pub rng: Rng,
    pub clock: i64,
    pub feeder: JobName,
    pub topic: (TopicName, TopicId),
    /// By partition.
    pub log: Vec<Vec<Change>>,
    pub table: Table,
    pub objects: Objects,
    /// Manifest lists.
    pub lists: BTreeSet<String>,
    /// The collector's note.
    pub found: BTreeMap<String, Seen>,
    pub flight: Vec<Flight>,
    pub processes: Vec<Process>,
    pub vacuums: Vec<Vacuum>,
    ids: u64,
    pub faults: bool,
    pub violation: Option<Violation>,
    /// Steps in words, only when a failing seed is played again.
    pub trace: Option<Vec<String>>,
    /// The table or the store changed since the invariants were last checked.
    pub dirty: bool,
    pub commits: u64,
}

impl World {
    pub fn new(case: &Case, seed: u64, rules: Rules, trace: bool) -> World {
        let mut rng = Rng::new(seed);
        let mix = Mix::draw(case, &mut rng);
        World {
            rules,
            clock: 0,
            feeder: "bronze.or-ders-1".parse().unwrap(),
            topic: ("or-ders".parse().unwrap(), TopicId(Uuid::from_u128(0x70_0000))),
            log: vec![Vec::new(); mix.partitions],
            table: Table::new(mix.guard),
            objects: Objects::new(),
            lists: BTreeSet::new(),
            found: BTreeMap::new(),
            flight: Vec::new(),
            processes: Vec::new(),
            vacuums: Vec::new(),
            ids: 0,
            faults: true,
            violation: None,
            trace: trace.then(Vec::new),
            dirty: false,
            commits: 0,
            mix,
            rng,
        }
    }

    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    pub fn fail(&mut self, invariant: &'static str, text: impl Into<String>) {
        if self.violation.is_none() {
            self.violation = Some(Violation { invariant, text: text.into() });
        }
    }

    pub fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub fn fault(&mut self, percent: u64) -> bool {
        self.faults && self.rng.chance(percent)
    }

    /// The whole schedule.
    pub fn play(&mut self) {
        for _ in 0..self.mix.steps {
            self.step();
            self.check();
            if self.violation.is_some() {
                return;
            }
        }
        self.drain();
    }

    /// One act of chance.
    fn step(&mut self) {
        self.clock += 1 + self.rng.below(1000) as i64;
        let total: u64 = self.mix.acts.iter().map(|(_, weight)| weight).sum();
        let pick = self.rng.below(100 + 2 * total as usize) as u64;
        match pick {
            0..20 => self.append(),
            20..30 => self.land(),
            30..35 if self.processes.len() < 5 => self.start_feeder(),
            35..55 if !self.vacuums.is_empty() => self.run_vacuum(),
            30..100 => self.run_some_process(),
            _ => {
                let mut rest = (pick - 100) / 2;
                let chosen = self.mix.acts.iter().find(|(_, weight)| {
                    let hit = rest < *weight;
                    rest = rest.saturating_sub(*weight);
                    hit
                });
                if let Some(&(act, _)) = chosen {
                    self.say(|| format!("act: {act:?}"));
                    self.act(act);
                }
            }
        }
    }

    /// Times only rise within a partition; between partitions they do as they like.
    fn append(&mut self) {
        let partition = self.rng.below(self.log.len());
        let (key, put) = (self.rng.below(self.mix.keys) as Key, !self.rng.chance(self.mix.tombstone));
        let before = self.log[partition].last().map_or(0, |change| change.timestamp);
        let timestamp = before + self.rng.below(3) as i64;
        self.log[partition].push(Change { key, put, timestamp });
    }

    pub fn start_feeder(&mut self) {
        let (number, writer) = self.name_process();
        self.processes.push(Process::feeder(self, number, writer));
    }

    pub fn start_compaction(&mut self, tasks: &[Task]) {
        let (number, writer) = self.name_process();
        self.processes.push(Process::compaction(self, number, writer, tasks));
    }

    fn name_process(&mut self) -> (u64, WriterId) {
        let number = self.id();
        self.say(|| format!("p{number} starts"));
        (number, WriterId(Uuid::from_u128(0x1000_0000 + u128::from(number))))
    }

    fn run_some_process(&mut self) {
        if self.processes.is_empty() {
            return self.start_feeder();
        }
        let place = self.rng.below(self.processes.len());
        if self.processes[place].asleep > 0 {
            self.processes[place].asleep -= 1;
            return;
        }
        if self.rng.chance(self.mix.crash) {
            let gone = self.processes.remove(place);
            return self.say(|| format!("p{} crashes", gone.number));
        }
        if self.rng.chance(self.mix.sleep) {
            self.processes[place].asleep = 1 + self.rng.below(self.mix.nap_turns) as u64;
        }
        let mut process = self.processes.remove(place);
        process.perform(self);
        if process.ended().is_none() {
            self.processes.insert(place, process);
        }
    }

    /// Something in flight takes effect.
    pub fn land(&mut self) {
        if self.flight.is_empty() {
            return;
        }
        let place = self.rng.below(self.flight.len());
        match self.flight.swap_remove(place) {
            Flight::Commit(request) => {
                let landed = self.publish(&request);
                self.say(|| format!("late commit {} {}", request.id, ["refused", "lands"][usize::from(landed)]));
            }
            Flight::Expire { planned, location } => self.land_expiry(planned, &location),
        }
    }

    /// A create-only put takes the next number where the name is taken, or where its own reply was lost.
    pub fn write(&mut self, name: &EpochName, content: Content) -> String {
        for number in 0.. {
            let file = FileName::new(&name.job, name.generation, name.epoch, number).to_string();
            if self.objects.contains_key(&file) {
                continue;
            }
            let modified = self.clock;
            self.objects.insert(file.clone(), Object { content: content.clone(), modified });
            self.dirty = true;
            if !self.fault(self.mix.lost / 2) {
                self.say(|| format!("  wrote {file} {content:?}"));
                return file;
            }
        }
        unreachable!("some number is free")
    }

    /// The catalog judges a commit.
    pub fn publish(&mut self, request: &Request) -> bool {
        if !self.table.admits(&request.assertion, request.id) {
            return false;
        }
        let expected = match &request.what {
            What::Changes => self.expected_of_changes(request),
            What::Rewrite { read, read_at } => self.expected_of_rewrite(read, *read_at),
            What::Nothing => self.table.expected(),
        };
        let text = request.ledger.to_text().unwrap();
        let named = (request.id, request.list.clone());
        self.table.push(named, request.files.clone(), Some((request.job.clone(), text)), expected);
        self.commits += 1;
        self.dirty = true;
        true
    }

    /// Keys that changed have their last change; of the others the youngest row stays.
    fn expected_of_changes(&self, request: &Request) -> Expected {
        let before = self.table.ledger(&self.feeder).map(|ledger| ledger.positions);
        let last = self.last_changes(before.as_ref(), &request.ledger.positions);
        let sequence = self.table.last_sequence_number + 1;
        let files = request.files.iter().map(|(name, number)| (name.clone(), number.unwrap_or(sequence))).collect();
        let live: BTreeSet<Row> = live_rows(&self.objects, &files).into_iter().map(|live| live.row).collect();
        let mut expected = self.table.expected();
        for (key, expectation) in &mut expected {
            let left = |origin: &&Origin| live.contains(&Row { key: *key, origin: **origin });
            let chosen = Some(expectation.any).filter(|any| *any).and_then(|_| expectation.rows.iter().find(left));
            let stays = chosen.or(expectation.rows.last()).copied();
            *expectation = Expectation { rows: stays.into_iter().collect(), any: false };
        }
        for (key, origin) in last {
            expected.insert(key, Expectation { rows: origin.into_iter().collect(), any: false });
        }
        expected.retain(|_, expectation| !expectation.rows.is_empty());
        expected
    }

    /// No row comes or goes. Of two rows of a key it may take one and leave the other, which is as old as what was read
    /// or older: then their ages say nothing any more. What was written since then stays the younger one.
    fn expected_of_rewrite(&self, read: &BTreeSet<Row>, read_at: i64) -> Expected {
        let mut expected = self.table.expected();
        let left = live_rows(&self.objects, &self.table.files(self.table.main)).into_iter();
        let left: BTreeSet<Row> = left.filter(|live| live.sequence <= read_at).map(|live| live.row).collect();
        let left = &left - read;
        for (key, expectation) in expected.iter_mut().filter(|(_, expectation)| expectation.rows.len() > 1) {
            let is_in = |rows: &BTreeSet<Row>| {
                expectation.rows.iter().any(|origin| rows.contains(&Row { key: *key, origin: *origin }))
            };
            expectation.any |= is_in(read) && is_in(&left);
        }
        expected
    }

    /// Of each key between two positions: in a partition the last change, of those the one that is last by time.
    fn last_changes(&self, from: Option<&Positions>, to: &Positions) -> BTreeMap<Key, Option<Origin>> {
        let mut last: BTreeMap<Key, BTreeMap<i32, (i64, i64, bool)>> = BTreeMap::new();
        for (partition, changes) in (0_i32..).zip(&self.log) {
            let (start, end) = (self.offset(from, partition), self.offset(Some(to), partition));
            for (offset, change) in (0_i64..).zip(changes).filter(|(offset, _)| (start..end).contains(offset)) {
                last.entry(change.key).or_default().insert(partition, (change.timestamp, offset, change.put));
            }
        }
        let origin = |changes: BTreeMap<i32, (i64, i64, bool)>| {
            let latest = changes.into_iter().max_by_key(|(partition, (time, offset, _))| (*time, *partition, *offset));
            let (partition, (_, offset, put)) = latest?;
            put.then_some(Origin::Log { partition, offset })
        };
        last.into_iter().map(|(key, changes)| (key, origin(changes))).collect()
    }

    /// Where these positions stand in a partition.
    pub fn offset(&self, positions: Option<&Positions>, partition: i32) -> i64 {
        let topic = positions.and_then(|positions| positions.0.get(&self.topic.0));
        topic.and_then(|topic| topic.offsets.get(&Partition(partition))).map_or(0, |offset| offset.0)
    }

    pub fn positions(&self, ends: &[i64]) -> Positions {
        let offsets = (0_i32..).zip(ends).map(|(partition, end)| (Partition(partition), Offset(*end))).collect();
        Positions([(self.topic.0.clone(), TopicPositions::new(self.topic.1, offsets))].into())
    }

    /// The generation and the epoch of the feeder's ledger.
    pub fn feeder_stands(&self) -> (Generation, Epoch) {
        let ledger = self.table.ledger(&self.feeder);
        ledger.map_or((Generation(1), Epoch(0)), |ledger| (ledger.generation, ledger.epoch))
    }
}
