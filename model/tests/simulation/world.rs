//! The world of one schedule: topics, store, catalog, processes, and everything that is on its way.
//!
//! Owns [`World`] and the scheduler. One thread, one seeded source of chance: a seed and a case are a schedule.

use std::collections::{BTreeMap, BTreeSet};

use tableflow_model::protocol::{
    Collection, Epoch, EpochManifest, Generation, Positions, Rule, Rules, SinkName, WriterId,
};
use tableflow_model::{JobName, Offset, Partition, TopicId, TopicName};
use uuid::Uuid;

use super::case::{Act, Case, Kind, Mix};
use super::letters::{Letters, LettersTopic};
use super::process::Process;
use super::rng::Rng;
use super::sweep::SweepRun;
use super::table::{Request, Table};

/// A record's identity: which life of the topic, partition, offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub life: usize,
    pub partition: i32,
    pub offset: i64,
}

#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Compacted away.
    pub hole: bool,
    /// Who decodes it decides whether it goes to dead letters.
    pub poison: bool,
}

#[derive(Clone, Debug)]
pub struct Topic {
    pub id: TopicId,
    pub partitions: Vec<Vec<Record>>,
}

#[derive(Clone, Debug)]
pub struct DataFile {
    pub rows: Vec<Row>,
    pub tag: u64,
    pub modified: i64,
}

#[derive(Clone, Debug)]
pub struct StateObject {
    pub epoch: Epoch,
    pub positions: Positions,
}

/// Something that takes effect later, or never.
#[derive(Clone, Debug)]
pub enum Flight {
    Commit(Request),
    Put(EpochManifest),
    /// Of a producer, to the topic of dead letters.
    Letters {
        id: u64,
        producer: u64,
        rows: Letters,
    },
    EndTransaction {
        id: u64,
        producer: u64,
    },
    /// What is recorded apart from its transaction.
    Offset(Epoch),
    /// Deletes of manifests and state, decided on what stood there a while ago.
    Collect(Collection),
    Expire {
        sink: usize,
        uuid: Uuid,
        planned: i64,
        location: String,
    },
}

/// What went wrong, and under which invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub text: String,
}

/// Do processes run as one direct writer or as an epoch job?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Direct,
    Epochs,
}

pub struct World {
    pub case: Case,
    pub mix: Mix,
    pub rules: Rules,
    pub rng: Rng,
    pub clock: i64,
    pub job: JobName,
    pub topic_name: TopicName,
    /// Every life of the topic; the last one is what can be read.
    pub topics: Vec<Topic>,
    pub tables: Vec<Table>,
    /// The uuid that the job was set up for, per sink.
    pub expected: Vec<Uuid>,
    pub shape: Shape,
    pub files: BTreeMap<(usize, String), DataFile>,
    pub manifests: BTreeMap<(Epoch, Generation), EpochManifest>,
    pub states: BTreeMap<String, StateObject>,
    pub letters: LettersTopic,
    pub flight: Vec<Flight>,
    pub processes: Vec<Process>,
    pub sweeps: Vec<SweepRun>,
    pub ids: u64,
    pub faults: bool,
    pub violation: Option<Violation>,
    /// Steps in words, only when a failing seed is played again.
    pub trace: Option<Vec<String>>,
    /// Tables or files changed since the invariants were last checked.
    pub dirty: bool,
    pub commits: u64,
}

impl World {
    pub fn new(case: &Case, seed: u64, rules: Rules, trace: bool) -> World {
        let mut rng = Rng::new(seed);
        let mix = Mix::draw(case, &mut rng);
        let sinks = if matches!(case.kind, Kind::TwoSinks | Kind::Topic | Kind::Grows) { 2 } else { 1 };
        let shape = if matches!(case.kind, Kind::Direct | Kind::Grows) { Shape::Direct } else { Shape::Epochs };
        let tables: Vec<Table> = (0..sinks).map(|folder| Table::new(folder, mix.guard)).collect();
        let topic = Topic { id: TopicId(Uuid::from_u128(0x70_0000)), partitions: vec![Vec::new(); mix.partitions] };
        World {
            case: *case,
            rules,
            clock: 0,
            job: "bronze.or-ders-1".parse().unwrap(),
            topic_name: "or-ders".parse().unwrap(),
            topics: vec![topic],
            expected: tables.iter().map(|table| table.uuid).collect(),
            tables,
            shape,
            files: BTreeMap::new(),
            manifests: BTreeMap::new(),
            states: BTreeMap::new(),
            letters: LettersTopic::default(),
            flight: Vec::new(),
            processes: Vec::new(),
            sweeps: Vec::new(),
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

    pub fn topic(&self) -> &Topic {
        self.topics.last().unwrap()
    }

    pub fn life_of(&self, id: TopicId) -> usize {
        self.topics.iter().position(|topic| topic.id == id).unwrap()
    }

    /// Every record that is there below these positions.
    pub fn rows_below(&self, positions: &Positions) -> BTreeSet<Row> {
        let Some(topic) = positions.0.get(&self.topic_name) else { return BTreeSet::new() };
        let life = self.life_of(topic.id);
        let mut rows = BTreeSet::new();
        for (&Partition(partition), &Offset(end)) in &topic.offsets {
            for (offset, record) in self.topics[life].partitions[partition as usize].iter().enumerate() {
                if !record.hole && (offset as i64) < end {
                    rows.insert(Row { life, partition, offset: offset as i64 });
                }
            }
        }
        rows
    }

    pub fn has_topic(&self) -> bool {
        self.case.kind == Kind::Topic
    }

    pub fn sink_names(&self) -> Vec<SinkName> {
        (0..self.tables.len()).map(|sink| SinkName(format!("sink-{sink}"))).collect()
    }

    pub fn sink(&self, name: &SinkName) -> usize {
        name.0.rsplit('-').next().unwrap().parse().unwrap()
    }

    /// The rows that a reader of main sees now.
    pub fn visible(&self, sink: usize) -> Vec<Row> {
        let table = &self.tables[sink];
        let content = |file: &super::table::FileRef| self.files.get(&(file.folder, file.name.clone()));
        table.files().iter().filter_map(content).flat_map(|file| file.rows.iter().copied()).collect()
    }

    pub fn append(&mut self) {
        let partition = self.rng.below(self.topic().partitions.len());
        let (hole, poison) = (self.rng.chance(self.mix.hole), self.rng.chance(self.mix.poison));
        self.topics.last_mut().unwrap().partitions[partition].push(Record { hole, poison });
    }

    pub fn start_process(&mut self) {
        let number = self.id();
        let writer = WriterId(Uuid::from_u128(0x1000_0000 + u128::from(number)));
        let process = Process::new(self, number, writer);
        self.say(|| format!("p{number} starts as {}", process.kind()));
        self.processes.push(process);
    }

    /// One act of chance.
    pub fn step(&mut self) {
        self.clock += 1 + self.rng.below(1000) as i64;
        let total: u64 = self.mix.acts.iter().map(|(_, weight)| weight).sum();
        let pick = self.rng.below(100 + 2 * total as usize) as u64;
        match pick {
            0..20 => self.append(),
            20..30 => self.land(),
            30..35 if self.processes.len() < 4 => self.start_process(),
            35..40 if !self.sweeps.is_empty() => self.run_sweep(),
            40..100 => self.run_some_process(),
            _ => {
                let mut rest = pick.saturating_sub(100) / 2;
                let chosen = self.mix.acts.iter().find(|(_, weight)| {
                    let hit = rest < *weight;
                    rest = rest.saturating_sub(*weight);
                    hit
                });
                if let Some(&(act, _)) = chosen.filter(|_| pick >= 100) {
                    self.act(act);
                }
            }
        }
    }

    fn run_some_process(&mut self) {
        if self.processes.is_empty() {
            return self.start_process();
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
        self.run_process(place);
    }

    /// Lets a process do one step of I/O and decide the next; ended ones are removed.
    pub fn run_process(&mut self, place: usize) {
        let mut process = self.processes.remove(place);
        process.perform(self);
        if process.ended().is_none() {
            self.processes.insert(place, process);
        } else {
            self.say(|| format!("p{} ends: {:?}", process.number, process.ended()));
        }
    }

    /// Something in flight takes effect.
    pub fn land(&mut self) {
        if self.has_topic() && self.rng.chance(50) && self.letters.advance_some() {
            self.dirty = true;
            return self.say(|| "the broker makes a part of a transaction visible".to_owned());
        }
        if self.flight.is_empty() {
            return;
        }
        let place = self.rng.below(self.flight.len());
        match self.flight.swap_remove(place) {
            Flight::Commit(request) => {
                let landed = self.publish(&request);
                self.say(|| {
                    format!(
                        "late commit {} to sink {} {}",
                        request.id,
                        request.sink,
                        ["refused", "lands"][landed as usize]
                    )
                });
            }
            Flight::Put(manifest) => {
                let epoch = manifest.epoch;
                let landed = self.put(manifest);
                self.say(|| format!("late put of manifest {epoch} {}", ["refused", "lands"][landed as usize]));
            }
            Flight::Letters { id, producer, rows } => {
                let landed = self.letters.land_rows(id, producer, rows);
                self.say(|| format!("late letters {}", ["refused", "join a transaction"][landed as usize]));
            }
            Flight::EndTransaction { id, producer } => {
                let landed = self.letters.land_end(id, producer);
                self.dirty = true;
                self.say(|| format!("late end of a transaction {}", ["refused", "lands"][landed as usize]));
            }
            Flight::Offset(epoch) => self.letters.land_offset(epoch),
            Flight::Collect(collection) => self.collect(collection),
            Flight::Expire { sink, uuid, planned, location } => self.land_expiry(sink, uuid, planned, &location),
        }
    }

    /// The catalog judges a commit.
    pub fn publish(&mut self, request: &Request) -> bool {
        let rules = self.rules;
        if !self.tables[request.sink].admits(request, rules) {
            return false;
        }
        self.check_commit(request);
        self.tables[request.sink].apply(request, rules);
        self.commits += 1;
        self.dirty = true;
        true
    }

    /// Create-only.
    pub fn put(&mut self, manifest: EpochManifest) -> bool {
        let generation = if self.rules.hold(Rule::NameWithoutGeneration) { Generation(0) } else { manifest.generation };
        let key = (manifest.epoch, generation);
        if self.manifests.contains_key(&key) {
            return false;
        }
        self.manifests.insert(key, manifest);
        true
    }

    /// A manifest by its exact name (with the generation in the name: any of them, or the own one).
    pub fn manifest(&self, epoch: Epoch, own: Option<Generation>) -> Option<&EpochManifest> {
        let mut found = self.manifests.range((epoch, Generation(0))..=(epoch, Generation(u64::MAX)));
        let own = own.and_then(|generation| self.manifests.get(&(epoch, generation)));
        own.or_else(|| found.next().map(|(_, manifest)| manifest))
    }

    pub fn act(&mut self, act: Act) {
        self.say(|| format!("act: {act:?}"));
        self.perform_act(act);
    }
}
