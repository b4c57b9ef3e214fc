//! Why a job ends or waits for a person.
//!
//! Owns [`Stop`] (this process must not go on, another one may: start again later) and [`Suspend`] (no process may go
//! on before a person has decided). Both hold everything that a message needs; their `Display` is the one line, and
//! `into_error` adds the hint.
//! - I1: a stop or a suspension never deletes a file and never leaves half a commit.

use std::fmt;

use uuid::Uuid;

use super::ledger::{Epoch, Generation, Ledger, Setback, WriterId};
use super::manifest::SinkName;
use crate::error::Error;
use crate::name::{JobName, TableName, TopicName};

/// Whose trouble it is: what the commands of a hint name.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The table that a person enabled.
    pub table: &'a TableName,
    pub topic: &'a TopicName,
    pub job: &'a JobName,
    /// The one of the job's tables that it is about; none where it is all of them, or the job has one alone.
    pub sink: Option<&'a SinkName>,
}

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
    pub fn into_error(self, Whose { table, .. }: Whose<'_>) -> Error {
        let hint = match &self {
            Stop::Fenced { .. } | Stop::ManifestTaken { .. } => {
                "two processes run this job: stop one of them".to_owned()
            }
            Stop::Discontinuous { .. } => {
                format!("`tableflow resume {table}` starts the job again, which finishes the epochs between")
            }
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
    /// A topic records an epoch that the manifests do not lead to, and that no table stands at (rule T2). `decided` is
    /// the last epoch that is known to be decided, `tables` the highest one of the tables.
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
    pub fn into_error(self, whose: Whose<'_>) -> Error {
        Error::data(self.to_string()).with_hint(self.hint(whose))
    }

    fn hint(&self, Whose { table, topic, job, sink }: Whose<'_>) -> String {
        let another = format!("`tableflow enable {topic} --table NAME`");
        let about = sink.map_or_else(|| table.to_string(), ToString::to_string);
        match self {
            Suspend::Source(Setback::TopicRecreated { .. }) => format!(
                "the new topic fills another table: {another}; or give this one up with `tableflow disable {table} --drop` \
                 and enable the topic again"
            ),
            Suspend::Source(_) => {
                format!("bring the topic back, or fill another table from what is there: {another}")
            }
            Suspend::TableRecreated { .. } => {
                format!("`tableflow disable {table}`, then fill another table: {another}")
            }
            // The tables of a fan-out and those of dead letters are not rolled back by themselves.
            Suspend::RolledBack { .. } if about != table.to_string() => format!(
                "set the branch main of table {about} to the snapshot that it had, in the engine that moved it, then \
                 `tableflow resume {table}`"
            ),
            Suspend::RolledBack { .. } => format!(
                "`tableflow rollback {table} --to SNAPSHOT --replay` reads the removed rows again, with --keep-offsets they \
                 stay out; `tableflow history {table}` has the snapshots"
            ),
            Suspend::LedgerMissing | Suspend::LedgerBehind { .. } | Suspend::LedgerDamaged { .. } => format!(
                "set the property `{}` of table {about} back to the entry of that name in the summary of its newest \
                 snapshot that has one (PyIceberg: `table.transaction().set_properties(..)`), then `tableflow resume \
                 {table}`",
                Ledger::property(job)
            ),
            Suspend::ManifestsNeeded { .. } => format!("fill another table from the topic: {another}"),
            Suspend::EpochForgotten { .. } | Suspend::EpochElsewhere { .. } => format!(
                "ask those who read the topic of dead letters, then `tableflow resume {table} --letters sent` or `--letters \
                 missing`"
            ),
            Suspend::ManifestMissing { .. } => format!(
                "bring it back to `state/` of the data directory from a backup, then `tableflow resume {table}`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Offset, Partition};

    /// What a person chooses is in capitals: a name of another table, a snapshot. All else is known.
    #[test]
    fn hints_are_commands_that_name_the_table_the_topic_and_the_job() {
        let (table, topic) = (TableName::new("bronze", "orders").unwrap(), "shop".parse::<TopicName>().unwrap());
        let job: JobName = "ingest-1".parse().unwrap();
        let sink = SinkName("bronze.orders__dlq".to_owned());
        let whose = Whose { table: &table, topic: &topic, job: &job, sink: Some(&sink) };
        let (uuid, epoch) = (Uuid::nil(), Epoch(5));
        let backwards =
            Setback::Backwards { topic: topic.clone(), partition: Partition(0), before: Offset(2), after: Offset(1) };
        let fills = "`tableflow enable shop --table NAME`";
        let resumes = "`tableflow resume bronze.orders";
        for (suspend, part) in [
            (Suspend::Source(backwards), fills),
            (Suspend::TableRecreated { expected: uuid, found: uuid }, "`tableflow disable bronze.orders`"),
            (Suspend::RolledBack { ledger: epoch, main: None }, "the branch main of table bronze.orders__dlq"),
            (Suspend::LedgerMissing, "`tableflow.ledger.ingest-1` of table bronze.orders__dlq"),
            (Suspend::LedgerMissing, resumes),
            (Suspend::ManifestsNeeded { epoch }, fills),
            (Suspend::EpochForgotten { epoch }, resumes),
            (Suspend::ManifestMissing { epoch }, resumes),
            (Suspend::ManifestMissing { epoch }, "`state/` of the data directory"),
        ] {
            let error = suspend.into_error(whose);
            let hint = error.hint().unwrap();
            assert!(hint.contains(part), "{hint}");
            for open in ["TABLE", "TOPIC", "<", "bucket"] {
                assert!(!hint.contains(open), "{open}: {hint}");
            }
        }
        let own = Suspend::RolledBack { ledger: epoch, main: None }.into_error(Whose { sink: None, ..whose });
        assert!(own.hint().unwrap().contains("`tableflow rollback bronze.orders --to SNAPSHOT --replay`"));
        let stop = Stop::Discontinuous { sink: sink.clone(), epoch, expected: Epoch(4), found: Epoch(3) };
        assert!(stop.into_error(whose).hint().unwrap().contains("`tableflow resume bronze.orders`"));
    }
}
