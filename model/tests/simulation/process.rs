//! A process: a real machine of the protocol and a driver that does its steps in the world.
//!
//! Between two steps anything may happen. Every request may fail, take effect and lose its reply, or stay in flight.

use std::collections::BTreeMap;

use tableflow_model::protocol::{
    Assertion, CommitReply, DirectEvent, DirectStep, DirectWriter, Epoch, EpochEvent, EpochJob, EpochManifest,
    EpochOptions, EpochStep, FileName, Generation, Guard, Ledger, Positions, PutReply, Rule, SinkName, StagedEpoch,
    Stop, Suspend, TopicPositions, WriterId,
};
use tableflow_model::{Offset, Partition};

use super::case::Kind;
use super::table::{FileRef, Request};
use super::world::{DataFile, Flight, Row, Shape, StateObject, World};

#[derive(Clone, Debug)]
enum Machine {
    Direct(DirectWriter, DirectStep),
    Epochs(Box<EpochJob>, EpochStep),
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Stopped(Stop),
    Suspended(Suspend),
    /// The state it was to start from has been collected: somebody started later and is ahead.
    Overtaken,
    Broken(String),
}

#[derive(Clone, Debug)]
pub struct Process {
    pub number: u64,
    writer: WriterId,
    machine: Machine,
    pub asleep: u64,
    end: Option<End>,
    /// The files of the last `Stage` of a direct writer.
    staged: Vec<FileRef>,
    /// The last commit sent, and whether an answer to it was unknown.
    request: Option<(Request, bool)>,
    put: Option<(Epoch, Generation)>,
    /// Where a direct writer's table keeps its files, as it was when last loaded.
    folder: usize,
    /// The number that the coordinator gave the producer.
    pub(super) producer: u64,
    /// Epochs that this process has seen committed.
    pub committed: u64,
    /// How often `Stage` found nothing to read.
    pub idle: u64,
    /// An epoch without rows is staged where there is nothing to read.
    pub stages_nothing: bool,
}

/// What the catalog or the network makes of a commit.
enum Sent {
    Applied,
    Rejected,
    Unknown,
}

impl Process {
    pub fn new(world: &World, number: u64, writer: WriterId) -> Process {
        let machine = match world.shape {
            Shape::Direct => {
                let mut machine = DirectWriter::new(writer, Some(world.expected[0]), world.rules);
                let step = machine.next(DirectEvent::Start).unwrap();
                Machine::Direct(machine, step)
            }
            Shape::Epochs => {
                let catch_up_epochs = if world.faults { 3 } else { 1 };
                let options = EpochOptions { pending_max: world.case.pending_max, catch_up_epochs };
                let sinks = world.sink_names().into_iter().zip(world.expected.iter().copied().map(Some)).collect();
                let topics = if world.has_topic() { vec![topic_name()] } else { Vec::new() };
                let machine = EpochJob::new(world.job.clone(), writer, sinks, options, world.rules);
                let mut machine = machine.with_topics(topics);
                let step = machine.next(EpochEvent::Start).unwrap();
                Machine::Epochs(Box::new(machine), step)
            }
        };
        Process {
            number,
            writer,
            machine,
            asleep: 0,
            end: None,
            staged: Vec::new(),
            request: None,
            put: None,
            folder: world.tables[0].folder,
            producer: 0,
            committed: 0,
            idle: 0,
            stages_nothing: false,
        }
    }

    pub fn kind(&self) -> &'static str {
        match self.machine {
            Machine::Direct(..) => "direct writer",
            Machine::Epochs(..) => "epoch job",
        }
    }

    pub fn ended(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Does the pending step, tells the machine, keeps the next step.
    pub fn perform(&mut self, world: &mut World) {
        match self.machine.clone() {
            Machine::Direct(mut machine, step) => {
                world.say(|| format!("p{}: {step:?}", self.number));
                let Some(event) = self.direct(world, step) else { return };
                world.say(|| format!("p{}:   -> {event:?}", self.number));
                match machine.next(event) {
                    Ok(DirectStep::Stop(stop)) => self.end = Some(End::Stopped(stop)),
                    Ok(DirectStep::Suspend(suspend)) => self.end = Some(End::Suspended(suspend)),
                    Ok(step) => self.machine = Machine::Direct(machine, step),
                    Err(error) => self.end = Some(End::Broken(error.report())),
                }
            }
            Machine::Epochs(mut machine, step) => {
                world.say(|| format!("p{}: {step:?}", self.number));
                let Some(event) = self.epochs(world, step) else { return };
                world.say(|| format!("p{}:   -> {event:?}", self.number));
                match machine.next(event) {
                    Ok(EpochStep::Stop(stop)) => self.end = Some(End::Stopped(stop)),
                    Ok(EpochStep::Suspend { reason, .. }) => self.end = Some(End::Suspended(reason)),
                    Ok(step) => self.machine = Machine::Epochs(machine, step),
                    Err(error) => self.end = Some(End::Broken(error.report())),
                }
            }
        }
        if let Some(End::Broken(text)) = &self.end {
            world.fail("I7", format!("p{} broke: {text}", self.number));
        }
    }

    fn direct(&mut self, world: &mut World, step: DirectStep) -> Option<DirectEvent> {
        let failed = world.fault(world.mix.failed);
        Some(match step {
            DirectStep::Load if failed => DirectEvent::LoadFailed,
            DirectStep::Load => {
                self.delete_unseen(world);
                self.folder = world.tables[0].folder;
                DirectEvent::Loaded(Box::new(world.tables[0].facts(world.rules)))
            }
            DirectStep::Stage { .. } if failed => DirectEvent::StageFailed,
            DirectStep::Stage { from, generation, epoch } => {
                let (to, mut files) = self.stage(world, from.as_ref(), generation, epoch, false)?;
                self.staged = files.remove(&0).unwrap_or_default();
                DirectEvent::Staged(to)
            }
            DirectStep::Publish { .. } if world.fault(2) => DirectEvent::StagedUnfit,
            DirectStep::Publish { assertion, ledger } => {
                let files = self.staged.clone();
                DirectEvent::Published(self.publish(world, 0, assertion, ledger, files))
            }
            DirectStep::PublishIdentical => DirectEvent::Published(self.publish_again(world)),
            DirectStep::Committed { .. } => {
                self.committed += 1;
                DirectEvent::Continue
            }
            DirectStep::Stop(_) | DirectStep::Suspend(_) => return None,
        })
    }

    fn epochs(&mut self, world: &mut World, step: EpochStep) -> Option<EpochEvent> {
        let failed = world.fault(world.mix.failed);
        Some(match step {
            EpochStep::Load { .. } if failed => EpochEvent::LoadFailed,
            EpochStep::Load { sink } => {
                self.delete_unseen(world);
                let table = &world.tables[world.sink(&sink)];
                EpochEvent::Loaded(Box::new(table.facts(world.rules)))
            }
            EpochStep::ReadManifest { .. } if failed => EpochEvent::ReadFailed,
            EpochStep::ReadManifest { epoch } => EpochEvent::ManifestRead(self.read(world, epoch).map(Box::new)),
            EpochStep::PutManifest { manifest } => EpochEvent::ManifestPut(self.put(world, *manifest)),
            EpochStep::Stage { .. } if failed => EpochEvent::NothingStaged,
            EpochStep::Stage { from, state, generation, epoch } => {
                if !self.finds_state(world, from.as_ref(), state.as_deref()) {
                    self.end = Some(End::Overtaken);
                    return None;
                }
                match self.stage(world, from.as_ref(), generation, epoch, true) {
                    Some((to, files)) => EpochEvent::Staged(Box::new(self.staged_epoch(world, epoch, to, files))),
                    None => EpochEvent::NothingStaged,
                }
            }
            EpochStep::Publish { sink, assertion, ledger, files } => {
                let sink = world.sink(&sink);
                let files = files.iter().map(|text| parse_file(world.tables[sink].folder, text)).collect();
                EpochEvent::Published(self.publish(world, sink, assertion, ledger, files))
            }
            EpochStep::PublishIdentical { .. } => EpochEvent::Published(self.publish_again(world)),
            EpochStep::OpenProducer { .. } if self.open_producer(world) => EpochEvent::Opened,
            EpochStep::OpenProducer { .. } => EpochEvent::OpenFailed,
            EpochStep::ReadRecorded { .. } if failed => EpochEvent::ReadFailed,
            EpochStep::ReadRecorded { .. } => EpochEvent::RecordedRead(world.letters.recorded()),
            EpochStep::Produce { epoch, files, .. } => EpochEvent::Produced(self.produce(world, epoch, &files)),
            EpochStep::Committed { .. } => {
                self.committed += 1;
                EpochEvent::Continue
            }
            EpochStep::Stop(_) | EpochStep::Suspend { .. } => return None,
        })
    }

    /// Reads records from there on and writes one file per sink that has rows. None: there is nothing to read.
    fn stage(
        &mut self,
        world: &mut World,
        from: Option<&Positions>,
        generation: Generation,
        epoch: Epoch,
        routed: bool,
    ) -> Option<(Positions, BTreeMap<usize, Vec<FileRef>>)> {
        let from = from.and_then(|positions| positions.0.get(&world.topic_name));
        let (id, life) = (world.topic().id, world.topics.len() - 1);
        let recreated = from.is_some_and(|from| from.id != id);
        let mut to = TopicPositions::new(id, BTreeMap::new());
        let mut rows: BTreeMap<usize, Vec<Row>> = BTreeMap::new();
        let mut moved = false;
        for place in 0..world.topic().partitions.len() {
            let partition = place as i32;
            let start = from.and_then(|from| from.offsets.get(&Partition(partition))).map_or(0, |offset| offset.0);
            let length = world.topic().partitions[place].len() as i64;
            let most = if world.faults { world.rng.below(4) as i64 } else { 5 };
            let end = length.min(start + most).max(start);
            for offset in start..end {
                let record = world.topic().partitions[place][offset as usize];
                if !record.hole {
                    let dead = routed && record.poison && world.tables.len() > 1 && self.finds_dead(partition, offset);
                    rows.entry(usize::from(dead)).or_default().push(Row { life, partition, offset });
                }
            }
            moved |= end > start;
            to.offsets.insert(Partition(partition), Offset(end));
        }
        let empty = self.stages_nothing || recreated || world.fault(10);
        if !moved && !empty {
            self.idle += 1;
            return None;
        }
        self.stages_nothing &= moved;
        if recreated && world.rules.hold(Rule::RecreatedTopicSuspends) {
            rows.clear();
        }
        let mut files = BTreeMap::new();
        for (sink, rows) in rows {
            files.insert(sink, vec![self.write(world, sink, generation, epoch, rows)]);
        }
        Some((Positions([(world.topic_name.clone(), to)].into()), files))
    }

    /// Another build of the decoder may think otherwise about a poison record.
    fn finds_dead(&self, partition: i32, offset: i64) -> bool {
        (self.number + partition as u64 + offset as u64).is_multiple_of(2)
    }

    /// A create-only put takes the next number where the name is taken, or where its own reply was lost.
    fn write(&self, world: &mut World, sink: usize, generation: Generation, epoch: Epoch, rows: Vec<Row>) -> FileRef {
        let folder = if sink == 0 { self.folder } else { world.tables[sink].folder };
        let tag = world.id();
        let modified = world.clock;
        for number in 0.. {
            let name = FileName::new(&world.job, generation, epoch, number).to_string();
            let key = (folder, name.clone());
            if world.files.contains_key(&key) && world.rules.hold(Rule::CreateOnly) {
                continue;
            }
            world.files.insert(key, DataFile { rows: rows.clone(), tag, modified });
            world.dirty = true;
            if !world.fault(world.mix.lost / 2) {
                world.say(|| format!("p{}:   wrote {folder}/{name} {rows:?}", self.number));
                return FileRef { folder, name, tag };
            }
        }
        unreachable!("some number is free")
    }

    fn staged_epoch(
        &self,
        world: &mut World,
        epoch: Epoch,
        to: Positions,
        files: BTreeMap<usize, Vec<FileRef>>,
    ) -> StagedEpoch {
        let names = world.sink_names();
        let texts = |files: Vec<FileRef>| files.iter().map(|file| format!("{}#{}", file.name, file.tag)).collect();
        let mut files: BTreeMap<_, Vec<String>> =
            files.into_iter().map(|(sink, files)| (names[sink].clone(), texts(files))).collect();
        if let Some(letters) = names.get(1).and_then(|name| files.get(name)).filter(|_| world.has_topic()) {
            files.insert(topic_name(), letters.clone());
        }
        let state = (world.case.kind == Kind::Stateful).then(|| {
            let name = format!("state-{epoch}-{}-{}", self.writer, world.id());
            world.states.insert(name.clone(), StateObject { epoch, positions: to.clone() });
            name
        });
        StagedEpoch { to, files, state }
    }

    /// State must be that of the very cut the epoch starts from, and there unless a later generation is ahead. What
    /// this process wrote itself it still has in memory.
    fn finds_state(&self, world: &mut World, from: Option<&Positions>, state: Option<&str>) -> bool {
        if world.case.kind != Kind::Stateful {
            return true;
        }
        let (Some(from), Some(name)) = (from, state) else {
            if from.is_some() {
                world.fail("I1", format!("p{} goes on from {from:?} without its state", self.number));
            }
            return true;
        };
        if name.contains(&self.writer.to_string()) {
            return true;
        }
        let epoch = Epoch(name.split('-').nth(1).unwrap().parse().unwrap());
        match world.states.get(name).map(|state| state.positions == *from) {
            Some(true) => return true,
            Some(false) => {
                world.fail("I1", format!("p{} goes on from {from:?} with the state of another cut", self.number))
            }
            None if world.manifests.values().any(|manifest| manifest.is_work() && manifest.epoch > epoch) => {}
            None => world.fail("I4", format!("state {name} that p{} goes on from was deleted", self.number)),
        }
        false
    }

    fn read(&self, world: &mut World, epoch: Epoch) -> Option<EpochManifest> {
        let own = self.put.filter(|put| put.0 == epoch).map(|put| put.1);
        let hidden = !world.rules.hold(Rule::ProbeByName) && own.is_none() && world.rng.chance(world.mix.stale_list);
        if hidden {
            // LIST in place of GET: what it does not show is not there, the next one it shows is taken.
            return world.manifests.range((epoch.next(), Generation(0))..).next().map(|(_, manifest)| manifest.clone());
        }
        world.manifest(epoch, own).cloned()
    }

    fn put(&mut self, world: &mut World, manifest: EpochManifest) -> PutReply {
        self.put = Some((manifest.epoch, manifest.generation));
        if world.fault(world.mix.failed) {
            return PutReply::Unknown;
        }
        if world.fault(world.mix.late) {
            world.flight.push(Flight::Put(manifest));
            return PutReply::Unknown;
        }
        let created = world.put(manifest);
        if world.fault(world.mix.lost) {
            return PutReply::Unknown;
        }
        if created { PutReply::Created } else { PutReply::Exists }
    }

    fn publish(
        &mut self,
        world: &mut World,
        sink: usize,
        assertion: Assertion,
        ledger: Ledger,
        files: Vec<FileRef>,
    ) -> CommitReply {
        let text = ledger.to_text().unwrap();
        let id = world.id() as i64;
        self.request = Some((Request { id, sink, assertion, files, ledger, text, compared: false }, false));
        self.publish_again(world)
    }

    fn publish_again(&mut self, world: &mut World) -> CommitReply {
        let Some((request, doubted)) = self.request.clone() else { return CommitReply::Rejected };
        match send(world, request.clone()) {
            Sent::Applied => CommitReply::Applied(Box::new(world.tables[request.sink].facts(world.rules))),
            Sent::Rejected => {
                if doubted && !world.rules.hold(Rule::ConflictAfterUnknown) {
                    delete(world, &request);
                }
                CommitReply::Rejected
            }
            Sent::Unknown => {
                self.request = Some((request, true));
                CommitReply::Unknown
            }
        }
    }

    /// The mistake of half the engines: an unknown commit that main does not show is taken for a failed one.
    fn delete_unseen(&mut self, world: &mut World) {
        let Some((request, true)) = &self.request else { return };
        if world.rules.hold(Rule::UnknownKeepsFiles) {
            return;
        }
        let seen = world.tables[request.sink].files();
        if request.files.iter().all(|file| !seen.contains(file)) {
            delete(world, request);
        }
    }
}

fn send(world: &mut World, mut request: Request) -> Sent {
    if world.fault(world.mix.failed) {
        return Sent::Unknown;
    }
    if world.fault(world.mix.late) {
        world.flight.push(Flight::Commit(request));
        return Sent::Unknown;
    }
    let table = &world.tables[request.sink];
    if table.guard == Guard::Location && !world.rules.hold(Rule::ReplaceAtomically) && world.faults {
        request.compared = table.admits(&request, world.rules);
        world.flight.push(Flight::Commit(request));
        return Sent::Unknown;
    }
    let landed = world.publish(&request);
    match (world.fault(world.mix.lost), landed) {
        (true, _) => Sent::Unknown,
        (false, true) => Sent::Applied,
        (false, false) => Sent::Rejected,
    }
}

fn delete(world: &mut World, request: &Request) {
    for file in &request.files {
        world.files.remove(&(file.folder, file.name.clone()));
        world.dirty = true;
    }
}

/// Its files are those of sink 1.
fn topic_name() -> SinkName {
    SinkName("topic-1".to_owned())
}

fn parse_file(folder: usize, text: &str) -> FileRef {
    let (name, tag) = text.split_once('#').unwrap();
    FileRef { folder, name: name.to_owned(), tag: tag.parse().unwrap() }
}
