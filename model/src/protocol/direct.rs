//! One sink, no state: the commit is the cut (rules S).
//!
//! Owns [`DirectWriter`], the machine of `enable` and of every job whose only effect is one table. It is driven:
//!
//! ```text
//! let mut event = DirectEvent::Start;
//! loop {
//!     event = match writer.next(event)? {
//!         DirectStep::Load => ...            // Loaded(facts), LoadFailed
//!         DirectStep::Stage { .. } => ...    // Staged(positions), StageFailed
//!         DirectStep::Publish { .. } => ...  // Published(reply), StagedUnfit
//!         DirectStep::PublishIdentical => .. // Published(reply)
//!         DirectStep::Committed { .. } => .. // Continue
//!         DirectStep::Stop(stop) => return ..., DirectStep::Suspend(suspend) => return ...,
//!     }
//! }
//! ```
//!
//! The life of an epoch: load the table, stage files from its ledger on, publish them with the ledger moved. After
//! anything but success the table is loaded again and the ledger there decides:
//!
//! ```text
//!   it is the one this epoch writes      the epoch is in
//!   it is the one this epoch came from   the staged files go onto the base of now (a foreign commit came between),
//!                                        or the very same commit again where it may still land
//!   it is neither, and not a rival's     the staged files are dropped, staging starts over from it
//!   a higher generation, or a rival's    stop
//! ```
//!
//! - I1: a commit moves the ledger that was read with its base, from exactly there (S1).
//! - I2: staged files are published at most once; nothing here ever asks for a file to be deleted.
//! - I3: the ledger advances (`ledger` I3), or the machine ends with an error.
//!
//! Two processes may start from one ledger and take the same generation. The nonce in the ledger tells them apart: the
//! first to commit stays, the other finds its generation taken and stops. Either of them may be "the zombie"; what it
//! commits on a live base is legitimate work.
//!
//! An epoch without rows is an epoch: it pins the start of a new table, moves over holes that compaction left, and
//! decides what a dead process staged (G2). Neighbours: `commit` decides what a reload means, `epochs` is the machine
//! for state or several sinks.

use uuid::Uuid;

use super::commit::{Assertion, Attempt, CommitReply, Known, Settled, TableFacts, epoch_of, fenced};
use super::halt::{Stop, Suspend};
use super::ledger::{Cut, Epoch, Generation, Ledger, Positions, Setback, WriterId};
use super::rules::{Rule, Rules};
use crate::error::{Error, Result};

/// What happened outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectEvent {
    Start,
    Loaded(Box<TableFacts>),
    /// The driver waits as it sees fit, then answers the same step again.
    LoadFailed,
    /// The files are written; these are the next offsets of every partition, with the ids that the topics have now.
    /// A driver that finds a topic re-created stages nothing and says so with that id.
    Staged(Positions),
    StageFailed,
    /// The staged files do not fit the table any more (its schema or partitioning changed).
    StagedUnfit,
    Published(CommitReply),
    Continue,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectStep {
    Load,
    /// Decode from there on (nowhere yet: where the job's configuration says) and write files named after generation
    /// and epoch. Files staged before and not published are dropped.
    Stage {
        from: Option<Positions>,
        generation: Generation,
        epoch: Epoch,
    },
    /// Publish the staged files as one snapshot that moves the ledger, property and summary alike (C2).
    Publish {
        assertion: Assertion,
        ledger: Ledger,
    },
    /// Send the bytes of the last commit again.
    PublishIdentical,
    Committed {
        ledger: Ledger,
    },
    Stop(Stop),
    Suspend(Suspend),
}

/// A base and the ledger that was read with it.
#[derive(Clone, Debug)]
struct Base {
    facts: TableFacts,
    ledger: Option<Ledger>,
}

/// Staged files that are not known to be in.
#[derive(Clone, Debug)]
struct Staged {
    /// The ledger that they were staged from.
    from: Option<Ledger>,
    attempt: Attempt,
    /// The answer was a conflict or unknown, and the ledger has not been read since.
    doubtful: Option<Doubt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Conflict,
    Unknown,
    /// Nothing was sent on this base yet.
    Unsent,
}

#[derive(Clone, Debug)]
enum Phase {
    Fresh,
    Loading(Option<Box<Staged>>),
    Staging(Box<Base>),
    Publishing(Box<Staged>),
    Committed(Box<TableFacts>),
    Ended,
}

/// The machine of a job with one sink and no state.
#[derive(Clone, Debug)]
pub struct DirectWriter {
    writer: WriterId,
    rules: Rules,
    known: Known,
    /// Taken with the first look at the ledger: one above what stands there.
    generation: Option<Generation>,
    phase: Phase,
}

impl DirectWriter {
    /// `table` is the uuid that the job was set up for, where it is known; `writer` is this process's nonce.
    pub fn new(writer: WriterId, table: Option<Uuid>, rules: Rules) -> Self {
        let known = Known { uuid: table, had_ledger: false };
        DirectWriter { writer, rules, known, generation: None, phase: Phase::Fresh }
    }

    pub fn next(&mut self, event: DirectEvent) -> Result<DirectStep> {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        match (phase, event) {
            (Phase::Fresh, DirectEvent::Start) => Ok(self.load(None)),
            (Phase::Loading(staged), DirectEvent::LoadFailed) => Ok(self.load(staged)),
            (Phase::Loading(staged), DirectEvent::Loaded(facts)) => Ok(self.loaded(staged, *facts)),
            (Phase::Staging(base), DirectEvent::Staged(to)) => self.staged(*base, to),
            (Phase::Staging(_), DirectEvent::StageFailed) => Ok(self.load(None)),
            (Phase::Publishing(_), DirectEvent::StagedUnfit) => Ok(self.load(None)),
            (Phase::Publishing(staged), DirectEvent::Published(reply)) => Ok(self.published(staged, reply)),
            (Phase::Committed(facts), DirectEvent::Continue) => Ok(self.loaded(None, *facts)),
            (phase, event) => Err(Error::internal("an event does not fit the writer's phase")
                .with_detail(format!("event {event:?} in phase {phase:?}"))),
        }
    }

    fn load(&mut self, staged: Option<Box<Staged>>) -> DirectStep {
        self.phase = Phase::Loading(staged);
        DirectStep::Load
    }

    fn loaded(&mut self, staged: Option<Box<Staged>>, facts: TableFacts) -> DirectStep {
        let ledger = match self.known.examine(&facts, self.rules) {
            Ok(ledger) => ledger,
            Err(suspend) => return DirectStep::Suspend(suspend),
        };
        if let Some(end) = self.must_end(ledger.as_ref()) {
            return end;
        }
        match staged {
            Some(staged) => self.settle(staged, Base { facts, ledger }),
            None => self.stage(Base { facts, ledger }),
        }
    }

    /// S2, S3: has somebody else taken over, or has the job outgrown this machine?
    fn must_end(&self, ledger: Option<&Ledger>) -> Option<DirectStep> {
        let ledger = ledger?;
        if let Some(stop) = self.generation.and_then(|own| fenced(ledger, own, self.writer, self.rules)) {
            return Some(DirectStep::Stop(stop));
        }
        let outgrown = ledger.cut != Cut::Commit && self.rules.hold(Rule::HigherGenerationStops);
        outgrown.then_some(DirectStep::Suspend(Suspend::ManifestsNeeded { epoch: ledger.epoch }))
    }

    fn stage(&mut self, base: Base) -> DirectStep {
        let standing = base.ledger.as_ref().map(|ledger| ledger.generation).unwrap_or_default();
        let generation = *self.generation.get_or_insert(standing.next());
        let epoch = epoch_of(base.ledger.as_ref()).next();
        let from = base.ledger.as_ref().map(|ledger| ledger.positions.clone());
        self.phase = Phase::Staging(Box::new(base));
        DirectStep::Stage { from, generation, epoch }
    }

    fn staged(&mut self, base: Base, to: Positions) -> Result<DirectStep> {
        if let Some(ledger) = &base.ledger {
            match to.advances_from(&ledger.positions) {
                Ok(()) => {}
                Err(Setback::TopicRecreated { .. }) if !self.rules.hold(Rule::RecreatedTopicSuspends) => {}
                Err(setback @ Setback::Backwards { .. }) => {
                    return Err(
                        Error::internal("an epoch was staged from the wrong place").with_detail(setback.to_string())
                    );
                }
                Err(setback) => return Ok(DirectStep::Suspend(Suspend::Source(setback))),
            }
        }
        let standing = base.ledger.as_ref().map(|ledger| ledger.generation).unwrap_or_default();
        let ledger = Ledger {
            generation: self.generation.unwrap_or_default().max(standing),
            epoch: epoch_of(base.ledger.as_ref()).next(),
            writer: self.writer,
            cut: Cut::Commit,
            positions: to,
        };
        let attempt = Attempt::new(&base.facts, ledger);
        let staged = Box::new(Staged { from: base.ledger, attempt, doubtful: None });
        if self.rules.hold(Rule::OneBase) {
            return Ok(self.publish(staged));
        }
        Ok(self.load(Some(Box::new(Staged { doubtful: Some(Doubt::Unsent), ..*staged }))))
    }

    fn publish(&mut self, staged: Box<Staged>) -> DirectStep {
        let step =
            DirectStep::Publish { assertion: staged.attempt.assertion.clone(), ledger: staged.attempt.ledger.clone() };
        self.phase = Phase::Publishing(staged);
        step
    }

    fn published(&mut self, mut staged: Box<Staged>, reply: CommitReply) -> DirectStep {
        match reply {
            CommitReply::Applied(facts) => self.committed(staged.attempt.ledger, facts),
            CommitReply::Rejected => {
                staged.doubtful = Some(Doubt::Conflict);
                self.load(Some(staged))
            }
            CommitReply::Unknown => {
                staged.attempt.unknown = true;
                staged.doubtful = Some(Doubt::Unknown);
                self.load(Some(staged))
            }
        }
    }

    fn committed(&mut self, ledger: Ledger, facts: Box<TableFacts>) -> DirectStep {
        self.known.had_ledger = true;
        self.phase = Phase::Committed(facts);
        DirectStep::Committed { ledger }
    }

    /// C4, S2: the table was read again after a conflict or an unknown outcome.
    fn settle(&mut self, mut staged: Box<Staged>, base: Base) -> DirectStep {
        match staged.attempt.settle(&base.facts, base.ledger.as_ref(), self.rules) {
            Settled::Landed => return self.committed(staged.attempt.ledger, Box::new(base.facts)),
            Settled::Pending => {
                self.phase = Phase::Publishing(staged);
                return DirectStep::PublishIdentical;
            }
            Settled::Open => {}
        }
        if base.ledger != staged.from && !self.trusts_memory(staged.doubtful) {
            return self.stage(base);
        }
        staged.attempt = Attempt::new(&base.facts, staged.attempt.ledger);
        staged.doubtful = None;
        self.publish(staged)
    }

    /// With one of these rules off the writer rebases its files without asking the ledger.
    fn trusts_memory(&self, doubt: Option<Doubt>) -> bool {
        match doubt {
            None => false,
            Some(Doubt::Conflict) => !self.rules.hold(Rule::ConflictReloads),
            Some(Doubt::Unknown) => !self.rules.hold(Rule::UnknownReloads),
            Some(Doubt::Unsent) => true,
        }
    }
}

#[cfg(test)]
mod tests;
