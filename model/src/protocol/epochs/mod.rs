//! State, or several sinks: a manifest decides the epoch, the commits follow it (rules M).
//!
//! Owns [`EpochJob`], the machine of every job with state, dead letters or fan-out. It is driven like
//! [`DirectWriter`](super::direct::DirectWriter); a step names the sink or the epoch that it is about.
//!
//! ```text
//!   start     load every sink
//!             sinks that commits alone have written, or nobody: fence them by an empty snapshot (S3)
//!             read manifests by exact name, from the lowest ledger up to the first absent name (M2)
//!             put an empty manifest there: the claim. Taken meanwhile? read on from it
//!   recover   commit every manifest with work above a sink's ledger, ascending (M3)
//!   run       stage an epoch, put its manifest, commit its sinks in order; over again (M1)
//! ```
//!
//! - I1: a sink is committed only from a manifest that stands in the store.
//! - I2: a sink goes through the epochs in order: it takes epoch e only if its ledger is at or past the last epoch with
//!   rows for it and below e (M4). "At or past": an epoch without rows for a sink may bring its ledger up, so that
//!   manifests can be collected (M6).
//! - I3: nothing that a manifest decided is decoded again.
//! - I4: names have no hole below a claim: reading is contiguous from a ledger that a manifest or a fence wrote.
//!
//! Up to [`EpochOptions::pending_max`] won epochs may wait for their commits (M5); recovery takes any number.
//! A ledger written here carries the generation of the process that committed, so that an older process that meets it
//! stops at once rather than at its next put. Neighbours: `start` holds the first half of the machine, `topics` the
//! sinks that are topics, `steps` its words, `manifest` the object, `commit` what a reload means.

use std::collections::VecDeque;

use uuid::Uuid;

use super::commit::{Attempt, CommitReply, Known, Settled, TableFacts, epoch_of, fenced};
use super::halt::{Stop, Suspend};
use super::ledger::{Cut, Epoch, Generation, Ledger, Positions, Setback, WriterId};
use super::manifest::{EpochManifest, Intent, SinkName, SinkWork};
use super::rules::{Rule, Rules};
use super::topic::Recorded;
use crate::error::{Error, Result};
use crate::name::JobName;

mod start;
mod steps;
mod topics;

use start::Start;
pub use steps::{EpochEvent, EpochOptions, EpochStep, PutReply, StagedEpoch};
use topics::{Then, TopicPhase};

/// A sink as this process last saw it.
#[derive(Clone, Debug)]
struct Sink {
    name: SinkName,
    is_topic: bool,
    known: Known,
    /// None once a conflict or an unknown outcome has made the last look worthless.
    facts: Option<TableFacts>,
    ledger: Option<Ledger>,
    /// Of a topic, once it was read.
    recorded: Option<Recorded>,
    /// The last epoch that has rows for it, or where its ledger stood.
    follows: Epoch,
}

#[derive(Clone, Debug)]
enum Phase {
    Start(Start),
    /// Waiting for what `Step::Stage` asked for.
    Staging,
    Putting(Box<EpochManifest>),
    ReadingBack(Box<EpochManifest>),
    /// Committing the oldest pending manifest to the sink of this place.
    Committing {
        sink: usize,
        attempt: Option<Box<Attempt>>,
    },
    /// Waiting for a topic.
    Topic {
        sink: usize,
        phase: TopicPhase,
        then: Then,
    },
    Committed,
    Ended,
}

/// The machine of a job with state or several sinks.
#[derive(Clone, Debug)]
pub struct EpochJob {
    job: JobName,
    writer: WriterId,
    rules: Rules,
    options: EpochOptions,
    sinks: Vec<Sink>,
    generation: Generation,
    /// The first name that this process has not won.
    next: Epoch,
    /// The writer of the manifest before that.
    after: Option<WriterId>,
    positions: Option<Positions>,
    state: Option<String>,
    /// Won and not yet in every sink, oldest first.
    pending: VecDeque<EpochManifest>,
    recovering: bool,
    phase: Phase,
}

impl EpochJob {
    /// Sinks are committed in the order given; each with the uuid of its table, where the job knows it.
    pub fn new(
        job: JobName,
        writer: WriterId,
        sinks: Vec<(SinkName, Option<Uuid>)>,
        options: EpochOptions,
        rules: Rules,
    ) -> Self {
        let sink = |(name, uuid)| Sink {
            name,
            is_topic: false,
            known: Known { uuid, had_ledger: false },
            facts: None,
            ledger: None,
            recorded: None,
            follows: Epoch::default(),
        };
        EpochJob {
            job,
            writer,
            rules,
            options,
            sinks: sinks.into_iter().map(sink).collect(),
            generation: Generation::default(),
            next: Epoch::default(),
            after: None,
            positions: None,
            state: None,
            pending: VecDeque::new(),
            recovering: true,
            phase: Phase::Start(Start::Fresh),
        }
    }

    pub fn next(&mut self, event: EpochEvent) -> Result<EpochStep> {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        match (phase, event) {
            (Phase::Start(start), event) => self.start(start, event),
            (Phase::Staging, EpochEvent::Staged(staged)) => self.staged(*staged),
            (Phase::Staging, EpochEvent::NothingStaged) if self.pending.is_empty() => Ok(self.stage()),
            (Phase::Staging, EpochEvent::NothingStaged) => self.commit(0),
            (Phase::Putting(manifest), EpochEvent::ManifestPut(reply)) => self.put_answered(manifest, reply),
            (Phase::ReadingBack(manifest), EpochEvent::ReadFailed) => Ok(self.read_back(manifest)),
            (Phase::ReadingBack(manifest), EpochEvent::ManifestRead(found)) => self.read_answered(manifest, found),
            (Phase::Committing { sink, attempt }, event) => self.commit_answered(sink, attempt, event),
            (Phase::Topic { sink, phase, then }, event) => self.topic(sink, phase, then, event),
            (Phase::Committed, EpochEvent::Continue) => self.proceed(),
            (phase, event) => Err(misfit(&phase, &event)),
        }
    }

    /// What comes next when no answer is outstanding.
    fn proceed(&mut self) -> Result<EpochStep> {
        self.recovering &= !self.pending.is_empty();
        if self.recovering || self.pending.len() >= self.options.pending_max.max(1) {
            return self.commit(0);
        }
        if self.pending.is_empty()
            && let Some(step) = self.record()?
        {
            return Ok(step);
        }
        Ok(self.stage())
    }

    fn stage(&mut self) -> EpochStep {
        self.phase = Phase::Staging;
        EpochStep::Stage {
            from: self.positions.clone(),
            state: self.state.clone(),
            generation: self.generation,
            epoch: self.next,
        }
    }

    fn staged(&mut self, staged: StagedEpoch) -> Result<EpochStep> {
        if let Some(from) = &self.positions {
            match staged.to.advances_from(from) {
                Ok(()) => {}
                Err(Setback::TopicRecreated { .. }) if !self.rules.hold(Rule::RecreatedTopicSuspends) => {}
                Err(setback @ Setback::Backwards { .. }) => {
                    return Err(
                        Error::internal("an epoch was staged from the wrong place").with_detail(setback.to_string())
                    );
                }
                Err(setback) => return Ok(EpochStep::Suspend { sink: None, reason: Suspend::Source(setback) }),
            }
        }
        let manifest = self.manifest(staged);
        if self.rules.hold(Rule::ManifestFirst) {
            return Ok(self.put(Box::new(manifest)));
        }
        self.pending.push_back(manifest);
        self.commit(0)
    }

    fn manifest(&self, mut staged: StagedEpoch) -> EpochManifest {
        let work = |sink: &Sink| {
            let files = staged.files.remove(&sink.name).unwrap_or_default();
            (sink.name.clone(), SinkWork { follows: sink.follows, files })
        };
        let sinks = self.sinks.iter().map(work).collect();
        let intent = Intent::Work { positions: staged.to, sinks, state: staged.state };
        EpochManifest {
            job: self.job.clone(),
            epoch: self.next,
            generation: self.generation,
            writer: self.writer,
            after: self.after,
            intent,
        }
    }

    fn put(&mut self, manifest: Box<EpochManifest>) -> EpochStep {
        self.phase = Phase::Putting(manifest.clone());
        EpochStep::PutManifest { manifest }
    }

    fn read_back(&mut self, manifest: Box<EpochManifest>) -> EpochStep {
        let epoch = manifest.epoch;
        self.phase = Phase::ReadingBack(manifest);
        EpochStep::ReadManifest { epoch }
    }

    /// M1: only "created" is an answer; anything else is read back.
    fn put_answered(&mut self, manifest: Box<EpochManifest>, reply: PutReply) -> Result<EpochStep> {
        match reply {
            PutReply::Created => self.won(*manifest),
            PutReply::Exists | PutReply::Unknown => Ok(self.read_back(manifest)),
        }
    }

    fn read_answered(&mut self, own: Box<EpochManifest>, found: Option<Box<EpochManifest>>) -> Result<EpochStep> {
        let Some(found) = found else { return Ok(self.put(own)) };
        if is_won(&own, &found, self.rules) {
            return self.won(*own);
        }
        if self.rules.hold(Rule::LoserStops) {
            let (epoch, own) = (own.epoch, own.generation);
            return Ok(EpochStep::Stop(Stop::ManifestTaken { epoch, own, by: found.generation, writer: found.writer }));
        }
        let epoch = own.epoch.next();
        Ok(self.put(Box::new(EpochManifest { epoch, ..*own })))
    }

    fn won(&mut self, manifest: EpochManifest) -> Result<EpochStep> {
        self.next = manifest.epoch.next();
        self.after = Some(manifest.writer);
        self.adopt(&manifest);
        if self.rules.hold(Rule::ManifestFirst) {
            self.pending.push_back(manifest);
        }
        self.proceed()
    }

    /// Position, state and predecessors after a manifest with work (M3).
    fn adopt(&mut self, manifest: &EpochManifest) {
        let Intent::Work { positions, sinks, state } = &manifest.intent else { return };
        self.positions = Some(positions.clone());
        self.state = state.clone();
        for sink in &mut self.sinks {
            if sinks.get(&sink.name).is_some_and(|work| !work.files.is_empty()) {
                sink.follows = sink.follows.max(manifest.epoch);
            }
        }
    }

    /// Commits the oldest pending manifest, from the sink of this place on.
    fn commit(&mut self, first: usize) -> Result<EpochStep> {
        for place in first..self.sinks.len() {
            if let Some(step) = self.apply(place)? {
                return Ok(step);
            }
        }
        let Some(manifest) = self.pending.pop_front() else { return self.proceed() };
        let EpochManifest { epoch, intent: Intent::Work { ref positions, .. }, .. } = manifest else {
            return self.proceed();
        };
        let positions = positions.clone();
        if !self.rules.hold(Rule::ManifestFirst) && manifest.writer == self.writer {
            return Ok(self.put(Box::new(manifest)));
        }
        self.phase = Phase::Committed;
        Ok(EpochStep::Committed { epoch, positions })
    }

    /// The step that brings the oldest pending manifest to a sink; none when there is nothing to do there (M4).
    fn apply(&mut self, place: usize) -> Result<Option<EpochStep>> {
        let Some((manifest, sink)) = self.pending.front().zip(self.sinks.get(place)) else { return Ok(None) };
        let Intent::Work { positions, sinks, .. } = &manifest.intent else { return Ok(None) };
        let Some(work) = sinks.get(&sink.name) else { return Ok(None) };
        let at = self.at(sink);
        let epoch = if sink.is_topic && work.files.is_empty() { self.highest_of_tables() } else { manifest.epoch };
        if work.files.is_empty() && epoch.0.saturating_sub(at.0) < self.options.catch_up_epochs {
            return Ok(None);
        }
        if !sink.is_topic && sink.facts.is_none() {
            let step = EpochStep::Load { sink: sink.name.clone() };
            self.phase = Phase::Committing { sink: place, attempt: None };
            return Ok(Some(step));
        }
        if at >= epoch && self.rules.hold(Rule::ApplyOnce) {
            return Ok(None);
        }
        if let Some(doubt) = self.doubt(place, epoch).filter(|_| !work.files.is_empty()) {
            return Ok(Some(doubt));
        }
        let is_due = !sink.is_topic || !work.files.is_empty();
        if is_due && at < work.follows && self.rules.hold(Rule::Continuity) {
            let (sink, expected) = (sink.name.clone(), work.follows);
            return Ok(Some(EpochStep::Stop(Stop::Discontinuous { sink, epoch, expected, found: at })));
        }
        let files = work.files.clone();
        let Some(facts) = sink.facts.as_ref() else {
            return self.produce(place, epoch, files, Then::Commit).map(Some);
        };
        let (generation, writer, positions) = (self.generation, self.writer, positions.clone());
        let ledger = Ledger { generation, epoch, writer, cut: Cut::Manifest, positions };
        let attempt = Attempt::new(facts, ledger.clone());
        let assertion = attempt.assertion.clone();
        let step = EpochStep::Publish { sink: sink.name.clone(), assertion, ledger, files };
        self.phase = Phase::Committing { sink: place, attempt: Some(Box::new(attempt)) };
        Ok(Some(step))
    }

    fn commit_answered(&mut self, place: usize, attempt: Option<Box<Attempt>>, event: EpochEvent) -> Result<EpochStep> {
        match (attempt, event) {
            (Some(attempt), EpochEvent::Published(CommitReply::Applied(facts))) => {
                self.landed(place, attempt.ledger, *facts)?;
                self.commit(place + 1)
            }
            (Some(mut attempt), EpochEvent::Published(reply)) => {
                attempt.unknown |= reply == CommitReply::Unknown;
                self.reload(place, Some(attempt))
            }
            (attempt, EpochEvent::LoadFailed) => self.reload(place, attempt),
            (attempt, EpochEvent::Loaded(facts)) => self.settle(place, attempt, *facts),
            (attempt, event) => Err(misfit(&Phase::Committing { sink: place, attempt }, &event)),
        }
    }

    fn reload(&mut self, place: usize, attempt: Option<Box<Attempt>>) -> Result<EpochStep> {
        let sink = self.sink(place)?;
        sink.facts = None;
        let step = EpochStep::Load { sink: sink.name.clone() };
        self.phase = Phase::Committing { sink: place, attempt };
        Ok(step)
    }

    /// C4, M4: a sink was loaded, before its commit or after a conflict or an unknown outcome.
    fn settle(&mut self, place: usize, attempt: Option<Box<Attempt>>, facts: TableFacts) -> Result<EpochStep> {
        if let Some(end) = self.look(place, facts)? {
            return Ok(end);
        }
        let Some(attempt) = attempt else { return self.commit(place) };
        let rules = self.rules;
        let sink = self.sink(place)?;
        match sink.settle(&attempt, rules) {
            Settled::Landed => self.commit(place + 1),
            Settled::Pending => {
                let step = EpochStep::PublishIdentical { sink: sink.name.clone() };
                self.phase = Phase::Committing { sink: place, attempt: Some(attempt) };
                Ok(step)
            }
            Settled::Open => self.commit(place),
        }
    }

    /// Takes a fresh look at a sink; a step where the job must end.
    fn look(&mut self, place: usize, facts: TableFacts) -> Result<Option<EpochStep>> {
        let (rules, own, writer) = (self.rules, self.generation, self.writer);
        let sink = self.sink(place)?;
        let ledger = match sink.known.examine(&facts, rules) {
            Ok(ledger) => ledger,
            Err(reason) => return Ok(Some(EpochStep::Suspend { sink: Some(sink.name.clone()), reason })),
        };
        // Before the claim the job has no generation: whatever stands there is what it comes after.
        let started = ledger.as_ref().filter(|_| own > Generation::default());
        if let Some(stop) = started.and_then(|ledger| fenced(ledger, own, writer, rules)) {
            return Ok(Some(EpochStep::Stop(stop)));
        }
        sink.ledger = ledger;
        sink.facts = Some(facts);
        Ok(None)
    }

    fn landed(&mut self, place: usize, ledger: Ledger, facts: TableFacts) -> Result<()> {
        let sink = self.sink(place)?;
        sink.known = Known { uuid: Some(facts.uuid), had_ledger: true };
        sink.facts = Some(facts);
        sink.ledger = Some(ledger);
        Ok(())
    }

    fn sink(&mut self, place: usize) -> Result<&mut Sink> {
        self.sinks.get_mut(place).ok_or_else(|| Error::internal("a step is about a sink that the job does not have"))
    }
}

impl Sink {
    fn settle(&self, attempt: &Attempt, rules: Rules) -> Settled {
        self.facts.as_ref().map_or(Settled::Open, |facts| attempt.settle(facts, self.ledger.as_ref(), rules))
    }
}

/// M1: is the manifest that stands there the one that this process put?
fn is_won(own: &EpochManifest, found: &EpochManifest, rules: Rules) -> bool {
    if rules.hold(Rule::IdenticalWins) {
        return own == found;
    }
    own.generation == found.generation && own.is_work() == found.is_work()
}

fn misfit(phase: &Phase, event: &EpochEvent) -> Error {
    Error::internal("an event does not fit the job's phase").with_detail(format!("event {event:?} in phase {phase:?}"))
}

#[cfg(test)]
mod tests;
