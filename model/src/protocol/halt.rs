//! Why a job ends or waits for a person.
//!
//! Owns [`Stop`] (this process must not go on, another one may: start again later) and [`Suspend`] (no process may go
//! on before a person has decided). Both hold everything that a message needs; their `Display` is the one line, and
//! `into_error` adds the hint.
//! - I1: a stop or a suspension never deletes a file and never leaves half a commit.

use std::fmt;

use uuid::Uuid;

use super::ledger::{Epoch, Generation, Setback, WriterId};
use super::manifest::SinkName;
use crate::error::Error;

/// This process is done; a new generation reads the ledger and goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Another process of the job has taken over (rule S2).
    Fenced { own: Generation, by: Generation, writer: WriterId },
    /// Another process won the epoch that this one put (rule M2).
    ManifestTaken { epoch: Epoch, own: Generation, by: Generation, writer: WriterId },
    /// A sink is not where the epochs before left it: recovery has to finish them first (rule M4).
    Discontinuous { sink: SinkName, epoch: Epoch, expected: Epoch, found: Epoch },
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Fenced { own, by, writer } => {
                write!(f, "generation {own} of the job was fenced by generation {by} (writer {writer})")
            }
            Stop::ManifestTaken { epoch, own, by, writer } => {
                write!(f, "generation {own} lost epoch {epoch} to generation {by} (writer {writer})")
            }
            Stop::Discontinuous { sink, epoch, expected, found } => {
                write!(f, "sink {sink} is at epoch {found}, but epoch {epoch} follows epoch {expected}")
            }
        }
    }
}

impl Stop {
    pub fn into_error(self) -> Error {
        let hint = match &self {
            Stop::Fenced { .. } | Stop::ManifestTaken { .. } => "two processes run this job: stop one of them",
            Stop::Discontinuous { .. } => "start the job again: it finishes the epochs between",
        };
        Error::conflict(self.to_string()).with_hint(hint)
    }
}

/// A person has to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suspend {
    /// The sources no longer continue the ledger: a topic was re-created or is gone, a partition is missing.
    Source(Setback),
    /// The table was dropped and made again (rule C3).
    TableRecreated {
        expected: Uuid,
        found: Uuid,
    },
    /// Main was set back by somebody else: the ledger says more than the rows (rule C5).
    RolledBack {
        ledger: Epoch,
        main: Option<Epoch>,
    },
    /// The property is gone although the table had one.
    LedgerMissing,
    /// The property says less than the snapshots: somebody set it by hand (rule C2).
    LedgerBehind {
        ledger: Epoch,
        main: Epoch,
    },
    LedgerDamaged {
        detail: String,
    },
    /// A job that writes manifests wrote this table; one without must not go on from it (rule S3).
    ManifestsNeeded {
        epoch: Epoch,
    },
    /// A topic has lost what it recorded, and the rows that would say it (rule T2).
    EpochForgotten {
        epoch: Epoch,
    },
    /// A topic records an epoch that the manifests do not lead to, and that no table stands at (rule T2). `decided` is the
    /// last epoch that is known to be decided, `tables` the highest one of the tables.
    EpochElsewhere {
        recorded: Epoch,
        decided: Epoch,
        tables: Epoch,
    },
    /// A manifest that a sink still needs is gone (rules M3, M6).
    ManifestMissing {
        epoch: Epoch,
    },
}

impl fmt::Display for Suspend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Suspend::Source(setback) => setback.fmt(f),
            Suspend::TableRecreated { expected, found } => {
                write!(f, "the table was re-created: its uuid was {expected} and is {found}")
            }
            Suspend::RolledBack { ledger, main: Some(main) } => {
                write!(
                    f,
                    "the table was rolled back to epoch {main} by somebody else, its ledger stands at epoch {ledger}"
                )
            }
            Suspend::RolledBack { ledger, main: None } => {
                write!(f, "the table was rolled back to before epoch {ledger} by somebody else")
            }
            Suspend::LedgerMissing => f.write_str("the table's ledger is missing, though its snapshots carry one"),
            Suspend::LedgerBehind { ledger, main } => {
                write!(f, "the table's ledger was set back to epoch {ledger}, its rows are those of epoch {main}")
            }
            Suspend::LedgerDamaged { detail } => write!(f, "the table's ledger cannot be read: {detail}"),
            Suspend::ManifestsNeeded { epoch } => {
                write!(f, "epoch {epoch} of the table was decided by a manifest, and this job writes none")
            }
            Suspend::EpochForgotten { epoch } => write!(
                f,
                "whether the topic had the dead letters of epoch {epoch} is not known: its group's offset and its records are gone"
            ),
            Suspend::EpochElsewhere { recorded, decided, .. } if recorded > decided => write!(
                f,
                "the topic is said to have the dead letters of epoch {recorded}, and manifests reach epoch {decided}"
            ),
            Suspend::EpochElsewhere { recorded, tables, .. } => write!(
                f,
                "the topic is said to have the dead letters of epoch {recorded} and no later ones; the tables are at epoch \
                 {tables}, and the manifests in between are gone"
            ),
            Suspend::ManifestMissing { epoch } => write!(f, "the manifest of epoch {epoch} is missing"),
        }
    }
}

impl Suspend {
    pub fn into_error(self) -> Error {
        let hint = match &self {
            Suspend::Source(Setback::TopicRecreated { topic, .. }) => {
                let hint = format!(
                    "the new topic fills another table: `tableflow enable {topic} --table NAME`; or give this one up with \
                     `tableflow disable TABLE --drop` and enable the topic again"
                );
                return Error::data(self.to_string()).with_hint(hint);
            }
            Suspend::Source(_) => {
                "bring the topic back, or fill another table from what is there: `tableflow enable TOPIC --table NAME`"
            }
            Suspend::TableRecreated { .. } => {
                "`tableflow disable` it, then fill another table: `tableflow enable TOPIC --table NAME`"
            }
            Suspend::RolledBack { .. } => {
                "roll back with --replay to read the removed rows again, or with --keep-offsets to leave them out"
            }
            Suspend::LedgerMissing | Suspend::LedgerBehind { .. } | Suspend::LedgerDamaged { .. } => {
                "set the table property `tableflow.ledger.<job>` back to the entry of that name in the summary of the newest \
                 snapshot that has one (PyIceberg: `table.transaction().set_properties(..)`), then `tableflow resume` it"
            }
            Suspend::ManifestsNeeded { .. } => {
                "fill another table from the topic: `tableflow enable TOPIC --table NAME`"
            }
            Suspend::EpochForgotten { .. } | Suspend::EpochElsewhere { .. } => {
                "ask those who read the topic, then `tableflow resume TABLE --letters sent` or `--letters missing`"
            }
            Suspend::ManifestMissing { .. } => "restore the object from a backup of the bucket",
        };
        Error::data(self.to_string()).with_hint(hint)
    }
}
