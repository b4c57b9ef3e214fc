//! Which file may be deleted (rules G).
//!
//! Owns the judgement of one file ([`judge`]), of one object of the metadata ([`judge_metadata`]), and the order of a
//! collection ([`Sweep`]).
//! - I1: a file is garbage only when its epoch is decided and nothing retained names it (G2).
//! - I2: what is reachable is read after the listing: a file that was committed between is seen.
//! - I3: age is a courtesy to readers of old snapshots, not what keeps files safe: a wrong clock costs a reader its
//!   query, never a row (G3). Less than [`AGE_MIN_MS`] is refused.
//!
//! - I4: an object of the metadata is garbage only when main has moved since it was listed: a commit that was prepared
//!   before then can no longer land (C1).
//!
//! Why "decided" and not "old" or "not committed": a writer that was paused for a week may still publish what it
//! staged, as long as the ledger stands where it left it. Once the ledger is at or past the file's epoch, nobody can.
//! Decide an undecided epoch first: the next epoch of a running job does, the claim or an empty epoch of a fresh
//! generation does for a job that is gone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::file_name::FileName;
use super::ledger::Epoch;
use super::rules::{Rule, Rules};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::name::JobName;

/// A day: long enough for a query that started before a snapshot expired.
pub const AGE_MIN_MS: i64 = 24 * 60 * 60 * 1000;

/// A file as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// By the store's clock.
    pub modified: Millis,
}

/// What stands against deleting, read from one version of the table's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reachable {
    /// Every file that a retained snapshot, Delta version or change feed names.
    pub names: BTreeSet<String>,
    /// The epoch of every job's ledger.
    pub ledgers: BTreeMap<JobName, Epoch>,
}

/// What is to become of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not a name of ours: never touched.
    Foreign,
    Reachable,
    /// Its writer may still publish it.
    Undecided,
    Young,
    Garbage,
}

/// G2, G3: judges one file.
pub fn judge(file: &Listed, reachable: &Reachable, now: Millis, age_ms: i64, rules: Rules) -> Verdict {
    let Ok(name) = FileName::of_file(&file.name) else { return Verdict::Foreign };
    if reachable.names.contains(&file.name) && rules.hold(Rule::AskReachable) {
        return Verdict::Reachable;
    }
    let decided = reachable.ledgers.iter().any(|(job, ledger)| *ledger >= name.epoch && name.is_of(job));
    if !decided && rules.hold(Rule::DecidedOnly) {
        return Verdict::Undecided;
    }
    if now.0.saturating_sub(file.modified.0) < age_ms {
        return Verdict::Young;
    }
    Verdict::Garbage
}

/// When a collection first listed an object that nothing named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    pub at: Millis,
    /// The table's last sequence number, read after the listing.
    pub sequence: i64,
}

/// I4, G3: judges a manifest, a list of them or a metadata file that no retained snapshot names. `seen` is nothing
/// where no earlier collection listed it; `sequence` is the table's last sequence number now.
pub fn judge_metadata(seen: Option<Seen>, sequence: i64, now: Millis, age_ms: i64, rules: Rules) -> Verdict {
    match seen {
        Some(seen) if sequence > seen.sequence || !rules.hold(Rule::MetadataWaits) => {
            if now.0.saturating_sub(seen.at.0) < age_ms { Verdict::Young } else { Verdict::Garbage }
        }
        _ => Verdict::Undecided,
    }
}

/// What happened outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SweepEvent {
    Start,
    /// Every file below the table's folder, and what time it is.
    Listed {
        files: Vec<Listed>,
        now: Millis,
    },
    Read(Reachable),
    Deleted,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SweepStep {
    List,
    ReadReachable,
    /// A file that is gone already is no error.
    Delete(Vec<String>),
    Done {
        /// Files whose epoch has to be decided before they can go.
        undecided: Vec<String>,
    },
}

/// One collection over one table.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    age_ms: i64,
    rules: Rules,
    listed: Option<(Vec<Listed>, Millis)>,
    reachable: Option<Reachable>,
    read_again: bool,
    undecided: Vec<String>,
}

impl Sweep {
    pub fn new(age_ms: i64, rules: Rules) -> Result<Self> {
        if age_ms < AGE_MIN_MS {
            return Err(Error::usage(format!("files must be at least {AGE_MIN_MS} ms old before they are deleted"))
                .with_detail(format!("asked for {age_ms} ms"))
                .with_hint("readers of older snapshots need that long"));
        }
        Ok(Sweep { age_ms, rules, ..Sweep::default() })
    }

    pub fn next(&mut self, event: SweepEvent) -> SweepStep {
        match event {
            SweepEvent::Start if self.rules.hold(Rule::ListFirst) => return SweepStep::List,
            SweepEvent::Start => return SweepStep::ReadReachable,
            SweepEvent::Listed { files, now } => self.listed = Some((files, now)),
            SweepEvent::Read(reachable) => self.read(reachable),
            SweepEvent::Deleted => return SweepStep::Done { undecided: std::mem::take(&mut self.undecided) },
        }
        match (&self.listed, &self.reachable) {
            (Some(_), Some(_)) if !self.rules.hold(Rule::ListFirst) && !self.read_again => SweepStep::ReadReachable,
            (Some((files, now)), Some(reachable)) => {
                let verdict = |file: &Listed| judge(file, reachable, *now, self.age_ms, self.rules);
                let of = |wanted: Verdict| files.iter().filter(move |file| verdict(file) == wanted);
                let undecided = of(Verdict::Undecided).map(|file| file.name.clone()).collect();
                let garbage = of(Verdict::Garbage).map(|file| file.name.clone()).collect();
                self.undecided = undecided;
                SweepStep::Delete(garbage)
            }
            (Some(_), None) => SweepStep::ReadReachable,
            (None, _) => SweepStep::List,
        }
    }

    /// With I2 off, names are those of before the listing and only the ledgers are read after it.
    fn read(&mut self, reachable: Reachable) {
        self.read_again = self.listed.is_some();
        match &mut self.reachable {
            Some(first) => first.ledgers = reachable.ledgers,
            None => self.reachable = Some(reachable),
        }
    }
}

#[cfg(test)]
mod tests;
