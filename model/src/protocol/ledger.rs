//! The ledger: how far a job has come in one table.
//!
//! Owns [`Ledger`], [`Positions`] and their text form. The text stands in the table property
//! `tableflow.ledger.<job>` and, for people and for [`History`](super::commit::History), in the summary of the
//! snapshot that changed it (rule C2). It is JSON with a version and a fixed order of fields, so that two equal
//! ledgers are equal bytes.
//! - I1: text written is read back as it was; another version or damage is an error, never a default.
//! - I2: positions of one topic belong to one topic id; a re-created topic is never "behind" or "ahead".
//! - I3: a ledger advances or stays, partition by partition; partitions may be added, never lost.
//!
//! Neighbours: `commit` asserts the table it was read from, `direct` and `epochs` move it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::name::{JobName, TopicName};
use crate::source::{Offset, Partition, TopicId};

/// The version of the text form that this program reads and writes.
const VERSION: u32 = 1;

/// One start of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    #[must_use]
    pub fn next(self) -> Self {
        Generation(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One consistent cut of a job. Zero is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    #[must_use]
    pub fn next(self) -> Self {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The nonce of one process: two processes that took the same generation still differ here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriterId(pub Uuid);

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What decided the cut that a ledger stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// The commit itself: one sink, no state (rule S1).
    Commit,
    /// An epoch manifest (rule M1).
    Manifest,
    /// A job that goes over to manifests: from here on commits alone decide nothing (rule S3).
    Fence,
}

/// How far one topic has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicPositions {
    pub id: TopicId,
    /// The next offset of every partition.
    pub offsets: BTreeMap<Partition, Offset>,
    /// The leader epoch of the last record read, where the broker told it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leader_epochs: BTreeMap<Partition, i32>,
    #[serde(default, skip_serializing_if = "Tally::is_zero")]
    pub tally: Tally,
}

impl TopicPositions {
    pub fn new(id: TopicId, offsets: BTreeMap<Partition, Offset>) -> Self {
        TopicPositions { id, offsets, leader_epochs: BTreeMap::new(), tally: Tally::default() }
    }
}

/// What became of the records before the offsets that are not rows, counted since the job began. It moves with the
/// offsets, so that what was read is always what is in the table and what is counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Passed over.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Written to the table of dead letters.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dead_lettered: u64,
}

impl Tally {
    fn is_zero(&self) -> bool {
        *self == Tally::default()
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Tally) {
        self.skipped += more.skipped;
        self.dead_lettered += more.dead_lettered;
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How far every topic of a job has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Positions(pub BTreeMap<TopicName, TopicPositions>);

impl Positions {
    /// Of all topics.
    pub fn tally(&self) -> Tally {
        self.0.values().fold(Tally::default(), |mut sum, topic| {
            sum += topic.tally;
            sum
        })
    }
}

/// Why one vector of positions does not follow another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setback {
    /// The topic was deleted and made again: offsets of the two have nothing to do with each other.
    TopicRecreated {
        topic: TopicName,
        before: TopicId,
        after: TopicId,
    },
    TopicMissing {
        topic: TopicName,
    },
    PartitionMissing {
        topic: TopicName,
        partition: Partition,
    },
    Backwards {
        topic: TopicName,
        partition: Partition,
        before: Offset,
        after: Offset,
    },
    /// The epoch number did not rise, or the generation fell.
    NotLater {
        before: (Generation, Epoch),
        after: (Generation, Epoch),
    },
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setback::TopicRecreated { topic, before, after } => {
                write!(f, "topic {topic} was re-created: it was {before} and is {after}")
            }
            Setback::TopicMissing { topic } => write!(f, "topic {topic} is missing"),
            Setback::PartitionMissing { topic, partition } => {
                write!(f, "partition {partition} of topic {topic} is missing")
            }
            Setback::Backwards { topic, partition, before, after } => {
                write!(f, "partition {partition} of topic {topic} goes back from offset {before} to {after}")
            }
            Setback::NotLater { before, after } => write!(
                f,
                "epoch {} of generation {} does not follow epoch {} of generation {}",
                after.1, after.0, before.1, before.0
            ),
        }
    }
}

impl Positions {
    /// Do these positions follow `previous`: same topics, no partition lost, no offset back (I2, I3)?
    pub fn advances_from(&self, previous: &Positions) -> Result<(), Setback> {
        for (topic, before) in &previous.0 {
            let Some(after) = self.0.get(topic) else {
                return Err(Setback::TopicMissing { topic: topic.clone() });
            };
            if after.id != before.id {
                return Err(Setback::TopicRecreated { topic: topic.clone(), before: before.id, after: after.id });
            }
            for (&partition, &before) in &before.offsets {
                match after.offsets.get(&partition) {
                    None => return Err(Setback::PartitionMissing { topic: topic.clone(), partition }),
                    Some(&after) if after < before => {
                        return Err(Setback::Backwards { topic: topic.clone(), partition, before, after });
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// How far a job has come in a table, and who wrote that down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    pub generation: Generation,
    pub epoch: Epoch,
    pub writer: WriterId,
    pub cut: Cut,
    pub positions: Positions,
}

/// The text form, field by field in its fixed order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    generation: Generation,
    epoch: Epoch,
    writer: WriterId,
    cut: Cut,
    topics: Positions,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn damaged(what: &str) -> Error {
    Error::data(format!("the {what} is damaged")).with_hint(
        "an earlier one stands in the summaries of the table's snapshots; `tableflow status` says what to do",
    )
}

/// Reads the version first, so that a newer text is told apart from a damaged one.
pub(super) fn check_version(what: &str, text: &str, version: u32) -> Result<()> {
    let found: Versioned = serde_json::from_str(text).map_err(|error| damaged(what).with_source(error))?;
    if found.version == version {
        return Ok(());
    }
    Err(Error::data(format!("the {what} has version {}, this program knows version {version}", found.version))
        .with_hint("run the version of tableflow that wrote it, or a later one"))
}

impl Ledger {
    /// The table property, and the key in a snapshot's summary.
    pub fn property(job: &JobName) -> String {
        format!("tableflow.ledger.{job}")
    }

    pub fn to_text(&self) -> Result<String> {
        let text = Text {
            version: VERSION,
            generation: self.generation,
            epoch: self.epoch,
            writer: self.writer,
            cut: self.cut,
            topics: self.positions.clone(),
        };
        serde_json::to_string(&text)
            .map_err(|error| Error::internal("a ledger could not be written").with_source(error))
    }

    pub fn from_text(text: &str) -> Result<Self> {
        check_version("ledger", text, VERSION)?;
        let text: Text = serde_json::from_str(text).map_err(|error| damaged("ledger").with_source(error))?;
        Ok(Ledger {
            generation: text.generation,
            epoch: text.epoch,
            writer: text.writer,
            cut: text.cut,
            positions: text.topics,
        })
    }

    /// Does this ledger follow `previous` on one branch (I3)?
    pub fn advances_from(&self, previous: &Ledger) -> Result<(), Setback> {
        if self.epoch <= previous.epoch || self.generation < previous.generation {
            let before = (previous.generation, previous.epoch);
            return Err(Setback::NotLater { before, after: (self.generation, self.epoch) });
        }
        self.positions.advances_from(&previous.positions)
    }
}

#[cfg(test)]
mod tests;
