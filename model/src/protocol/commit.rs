//! A commit to one table (rules C).
//!
//! Owns what is known about a table ([`TableFacts`]), what a commit asserts about it ([`Assertion`]), the three
//! outcomes ([`CommitReply`]) and the decisions between them. Both machines, `direct` and `epochs`, commit through
//! these and through nothing else.
//! - I1: a commit asserts exactly the facts that its ledger was read with (C1, S1).
//! - I2: after any answer but "applied" the table is read again before anything else is decided; "rejected" and
//!   "unknown" differ in one thing only: what may be sent again unchanged (C4).
//! - I3: nobody commits to a table that is not what the last own commit left plus foreign appends (C3, C5).
//!
//! Why the ledger is asked before the marks: where the ledger of the table is the attempt's own, it has landed, and
//! no mark of the table can say otherwise. That a commit's snapshot is not in main's ancestry proves nothing.
//!
//! Neighbours: the product's `pipeline/target` makes the facts and sends the commits that the catalog publishes;
//! `ledger` is the text inside the facts.

use uuid::Uuid;

use super::halt::{Stop, Suspend};
use super::ledger::{Epoch, Generation, Ledger, WriterId};
use super::rules::{Rule, Rules};
use crate::error::Result;

/// What a catalog compares when it publishes a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Table uuid, main's snapshot id and the sequence number: Iceberg REST.
    Snapshot,
    /// The metadata location, in one act with replacing it: Glue, SQL. Any change of the table makes a commit void.
    Location,
}

/// A table as one version of its metadata shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFacts {
    pub uuid: Uuid,
    pub guard: Guard,
    /// Main's snapshot; none in an empty table.
    pub snapshot_id: Option<i64>,
    pub last_sequence_number: i64,
    pub metadata_location: String,
    /// The job's ledger property, unread.
    pub ledger: Option<String>,
    pub history: History,
}

/// What the retained snapshots say about the ledger property, read from main backwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum History {
    /// The nearest own ancestor of main carries the same ledger.
    Agrees,
    /// The nearest own ancestor carries another one, here unread.
    Differs(String),
    /// Main has no own ancestor, down to the first snapshot.
    NeverOurs,
    /// The own ancestors have expired: nothing is known, and the property is believed. A rollback that was followed by
    /// an append and by the expiry of everything older looks like this too.
    Expired,
}

/// A snapshot as [`History::trace`] needs it.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotFacts<'a> {
    pub parent: Option<i64>,
    /// The job's ledger in the snapshot's summary.
    pub ledger: Option<&'a str>,
}

impl History {
    /// Walks from main towards the first snapshot and stops at the first one that carries a ledger of the job; as a
    /// rule that is main or its parent. `lookup` finds retained snapshots only.
    pub fn trace<'a>(
        ledger: Option<&str>,
        main: Option<i64>,
        lookup: impl Fn(i64) -> Option<SnapshotFacts<'a>>,
    ) -> History {
        let mut next = main;
        while let Some(id) = next {
            let Some(snapshot) = lookup(id) else { return History::Expired };
            match snapshot.ledger {
                Some(text) if Some(text) == ledger => return History::Agrees,
                Some(text) => return History::Differs(text.to_owned()),
                None => next = snapshot.parent,
            }
        }
        History::NeverOurs
    }
}

/// What a commit asserts; the driver sends all of it that its catalog can compare (C1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    pub uuid: Uuid,
    pub snapshot_id: Option<i64>,
    /// The number that the new snapshot takes: the last one plus one.
    pub sequence_number: i64,
    pub metadata_location: String,
}

impl Assertion {
    pub fn on(facts: &TableFacts) -> Self {
        Assertion {
            uuid: facts.uuid,
            snapshot_id: facts.snapshot_id,
            sequence_number: facts.last_sequence_number.saturating_add(1),
            metadata_location: facts.metadata_location.clone(),
        }
    }

    /// Can a commit with this assertion no longer land on the table?
    fn is_void_on(&self, facts: &TableFacts, rules: Rules) -> bool {
        let moved = facts.uuid != self.uuid || facts.snapshot_id != self.snapshot_id;
        if !rules.hold(Rule::MovedByEveryMark) {
            return moved;
        }
        let location_moved = facts.guard == Guard::Location && facts.metadata_location != self.metadata_location;
        moved || location_moved || facts.last_sequence_number >= self.sequence_number
    }
}

/// What came of a commit. Only what a catalog documents as "not done" is `Rejected`; everything else that is not
/// success is `Unknown`: time-outs, resets, every 5xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitReply {
    /// Done; the table as the commit left it.
    Applied(Box<TableFacts>),
    Rejected,
    Unknown,
}

/// A commit that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub assertion: Assertion,
    /// The ledger that it writes.
    pub ledger: Ledger,
    /// Was an answer to it, the first or a later one, unknown?
    pub unknown: bool,
}

/// What the reloaded table says about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It is in.
    Landed,
    /// It may still land: send the very same bytes again.
    Pending,
    /// It is not in and cannot land, or landed and was followed by others: the ledger says where to go on.
    Open,
}

impl Attempt {
    pub fn new(facts: &TableFacts, ledger: Ledger) -> Self {
        Attempt { assertion: Assertion::on(facts), ledger, unknown: false }
    }

    /// C4: decides by the ledger first, then by every mark.
    pub fn settle(&self, facts: &TableFacts, ledger: Option<&Ledger>, rules: Rules) -> Settled {
        if ledger == Some(&self.ledger) && facts.uuid == self.assertion.uuid {
            return Settled::Landed;
        }
        if self.unknown && !self.assertion.is_void_on(facts, rules) {
            return Settled::Pending;
        }
        Settled::Open
    }
}

/// What a process remembers of a table between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub uuid: Option<Uuid>,
    pub had_ledger: bool,
}

impl Known {
    /// Is this still the table that the job wrote, as it left it (I3)? Returns its ledger.
    pub fn examine(&mut self, facts: &TableFacts, rules: Rules) -> Result<Option<Ledger>, Suspend> {
        match self.uuid {
            Some(expected) if expected != facts.uuid && rules.hold(Rule::RecreatedTableSuspends) => {
                return Err(Suspend::TableRecreated { expected, found: facts.uuid });
            }
            _ => self.uuid = Some(facts.uuid),
        }
        let ledger = facts.ledger.as_deref().map(read).transpose()?;
        if ledger.is_none() && self.had_ledger && rules.hold(Rule::RecreatedTableSuspends) {
            return Err(Suspend::LedgerMissing);
        }
        if rules.hold(Rule::ForeignRollbackSuspends) {
            check_history(ledger.as_ref(), &facts.history)?;
        }
        self.had_ledger |= ledger.is_some();
        Ok(ledger)
    }
}

fn read(text: &str) -> Result<Ledger, Suspend> {
    Ledger::from_text(text).map_err(|error| Suspend::LedgerDamaged { detail: error.to_string() })
}

/// C5: main must descend from the commit that wrote the ledger.
fn check_history(ledger: Option<&Ledger>, history: &History) -> Result<(), Suspend> {
    match (ledger, history) {
        (_, History::Agrees | History::Expired) | (None, History::NeverOurs) => Ok(()),
        (None, History::Differs(_)) => Err(Suspend::LedgerMissing),
        (Some(ledger), History::NeverOurs) => Err(Suspend::RolledBack { ledger: ledger.epoch, main: None }),
        (Some(ledger), History::Differs(text)) => {
            let main = read(text)?;
            if main.epoch > ledger.epoch {
                return Err(Suspend::LedgerBehind { ledger: ledger.epoch, main: main.epoch });
            }
            Err(Suspend::RolledBack { ledger: ledger.epoch, main: Some(main.epoch) })
        }
    }
}

/// S2: has another process of the job taken over?
pub(super) fn fenced(ledger: &Ledger, own: Generation, writer: WriterId, rules: Rules) -> Option<Stop> {
    let later = ledger.generation > own && rules.hold(Rule::HigherGenerationStops);
    let rival = ledger.generation == own && ledger.writer != writer && rules.hold(Rule::OneWriterPerGeneration);
    (later || rival).then_some(Stop::Fenced { own, by: ledger.generation, writer: ledger.writer })
}

/// The epoch of a ledger, or "before the first".
pub(super) fn epoch_of(ledger: Option<&Ledger>) -> Epoch {
    ledger.map_or(Epoch::default(), |ledger| ledger.epoch)
}

#[cfg(test)]
mod tests;
