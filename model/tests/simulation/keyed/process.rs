//! A process: the real machine and a driver that does its steps in the world.
//!
//! Between two steps anything may happen. Every request may fail, take effect and lose its reply, or stay in flight.

use std::collections::BTreeMap;

use tableflow_model::JobName;
use tableflow_model::protocol::{
    Assertion, CommitReply, DirectEvent, DirectStep, DirectWriter, Epoch, Generation, History, Ledger, Positions, Stop,
    Suspend, TableFacts, WriterId,
};

use super::compaction::{Compaction, Task};
use super::feeder::Feeder;
use super::table::Files;
use super::world::{Flight, Request, What, World};

/// Under which names an epoch's files are put.
#[derive(Clone, Debug)]
pub struct EpochName {
    pub job: JobName,
    pub generation: Generation,
    pub epoch: Epoch,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Stopped(Stop),
    Suspended(Suspend),
    Done,
    Broken(String),
}

/// What came of staging.
#[derive(Clone, Debug)]
pub enum Staging {
    Staged(Positions),
    /// It takes another turn.
    Goes,
    Failed,
    Done,
}

/// A snapshot to be: its files, and what is changed by it.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub files: BTreeMap<String, Option<i64>>,
    pub what: What,
}

impl Prepared {
    /// The files of a base, without some, with others that are as old as the commit.
    pub fn on(base: &Files, gone: &[String], added: &[String], what: What) -> Self {
        let stays = base.iter().filter(|(name, _)| !gone.contains(name));
        let mut files: BTreeMap<_, _> = stays.map(|(name, number)| (name.clone(), Some(*number))).collect();
        files.extend(added.iter().map(|name| (name.clone(), None)));
        Prepared { files, what }
    }
}

#[derive(Clone, Debug)]
pub enum Work {
    Feeder(Feeder),
    Compaction(Compaction),
}

#[derive(Clone, Debug)]
pub struct Process {
    pub number: u64,
    pub work: Work,
    job: JobName,
    machine: DirectWriter,
    step: DirectStep,
    pub asleep: u64,
    end: Option<End>,
    /// The last commit sent.
    request: Option<Request>,
    /// Main, when the table was last looked at.
    looked: Option<i64>,
    /// Commits that this process has seen in.
    pub committed: u64,
}

impl Process {
    pub fn feeder(world: &World, number: u64, writer: WriterId) -> Self {
        let (job, work) = (world.feeder.clone(), Work::Feeder(Feeder::default()));
        Self::new(world, (number, writer), job, work)
    }

    pub fn compaction(world: &World, number: u64, writer: WriterId, tasks: &[Task]) -> Self {
        Self::new(world, (number, writer), JobName::compaction(), Work::Compaction(Compaction::new(tasks)))
    }

    fn new(world: &World, (number, writer): (u64, WriterId), job: JobName, work: Work) -> Self {
        let mut machine = DirectWriter::new(writer, Some(world.table.uuid), world.rules);
        let step = machine.next(DirectEvent::Start).unwrap();
        let (end, request, looked) = (None, None, None);
        Process { number, work, job, machine, step, asleep: 0, end, request, looked, committed: 0 }
    }

    pub fn ended(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// How often a feeder found nothing to read.
    pub fn idle(&self) -> u64 {
        if let Work::Feeder(feeder) = &self.work { feeder.idle } else { 0 }
    }

    /// Does the step that is due.
    pub fn perform(&mut self, world: &mut World) {
        let step = self.step.clone();
        world.say(|| format!("p{} ({}): {step:?}", self.number, self.job));
        let Some(event) = self.answer(world, step) else { return };
        world.say(|| format!("p{}:   -> {event:?}", self.number));
        match self.machine.next(event) {
            Ok(DirectStep::Stop(stop)) => self.end = Some(End::Stopped(stop)),
            Ok(DirectStep::Suspend(suspend)) => self.end = Some(End::Suspended(suspend)),
            Ok(step) => self.step = step,
            Err(error) => {
                world.fail("I7", format!("p{} broke: {}", self.number, error.report()));
                self.end = Some(End::Broken(error.report()));
            }
        }
    }

    fn answer(&mut self, world: &mut World, step: DirectStep) -> Option<DirectEvent> {
        let failed = world.fault(world.mix.failed);
        Some(match step {
            DirectStep::Load if failed => DirectEvent::LoadFailed,
            DirectStep::Load => DirectEvent::Loaded(Box::new(self.look(world))),
            DirectStep::Stage { .. } if failed => DirectEvent::StageFailed,
            DirectStep::Stage { from, generation, epoch } => {
                let name = EpochName { job: self.job.clone(), generation, epoch };
                let staging = match &mut self.work {
                    Work::Feeder(feeder) => feeder.stage(world, name, from.as_ref()),
                    Work::Compaction(compaction) => compaction.stage(world, name, self.looked),
                };
                match staging {
                    Staging::Staged(to) => DirectEvent::Staged(to),
                    Staging::Failed => DirectEvent::StageFailed,
                    Staging::Goes => return None,
                    Staging::Done => {
                        self.end = Some(End::Done);
                        return None;
                    }
                }
            }
            DirectStep::Publish { assertion, ledger } => self.publish(world, assertion, ledger),
            DirectStep::PublishIdentical => DirectEvent::Published(self.send(world)),
            DirectStep::Committed { .. } => {
                self.committed += 1;
                match &mut self.work {
                    Work::Feeder(feeder) => feeder.committed(self.request.as_ref().map(|request| request.id)),
                    Work::Compaction(compaction) => compaction.task_is_over(),
                }
                DirectEvent::Continue
            }
            DirectStep::Stop(_) | DirectStep::Suspend(_) => return None,
        })
    }

    /// The ledger of a compaction stands for no position and cannot be behind.
    fn look(&mut self, world: &World) -> TableFacts {
        self.looked = world.table.main;
        let facts = world.table.facts(&self.job);
        match &self.work {
            Work::Feeder(_) => facts,
            Work::Compaction(_) => TableFacts { history: History::Agrees, ..facts },
        }
    }

    fn publish(&mut self, world: &mut World, assertion: Assertion, ledger: Ledger) -> DirectEvent {
        let prepared = match &mut self.work {
            Work::Feeder(feeder) => feeder.prepare(world, assertion.snapshot_id),
            Work::Compaction(compaction) => compaction.prepare(world, &assertion),
        };
        let Some(Prepared { files, what }) = prepared else { return DirectEvent::StagedUnfit };
        let id = world.id() as i64;
        let list = format!("list-{id}");
        world.lists.insert(list.clone());
        world.say(|| format!("p{}:   snapshot {id}: {files:?}", self.number));
        self.request = Some(Request { id, job: self.job.clone(), assertion, files, list, ledger, what });
        DirectEvent::Published(self.send(world))
    }

    /// What the catalog or the network makes of a commit.
    fn send(&mut self, world: &mut World) -> CommitReply {
        let Some(request) = self.request.clone() else { return CommitReply::Rejected };
        if world.fault(world.mix.failed) {
            return CommitReply::Unknown;
        }
        if world.fault(world.mix.late) {
            world.flight.push(Flight::Commit(Box::new(request)));
            return CommitReply::Unknown;
        }
        let landed = world.publish(&request);
        if world.fault(world.mix.lost) {
            return CommitReply::Unknown;
        }
        if landed { CommitReply::Applied(Box::new(self.look(world))) } else { CommitReply::Rejected }
    }
}
