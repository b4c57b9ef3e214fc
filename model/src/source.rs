//! The trait every topic reader implements.
//!
//! Owns [`Source`] and the words for places in a topic: [`TopicId`], [`Partition`], [`Offset`].
//! - I1: a source never chooses where to start: positions come from the ledger, by [`Source::seek`].
//! - I2: `poll` returns what is there now and never waits; an empty answer means "nothing yet". All else may ask a
//!   server, and waits for it without holding a thread.
//! - I3: records of one partition come in offset order, each once, with nothing between left out.
//! - I4: what was polled is of the topic that was sought in, or [`Source::confirm`] says that it may not be.
//! - I5: only what was sought is fetched ahead, at most [`Source::queued_bytes_max`] a partition.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Result;
use crate::records::Records;

/// The identity of a topic: deleting and re-creating it gives another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub Uuid);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub i32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in a partition: the next record to read has this number or a greater one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub i64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The first offset still there and the next one to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: Offset,
    pub end: Offset,
}

/// A reader of one topic.
#[async_trait]
pub trait Source: Send {
    /// The topic as it is now; another id than the ledger's means that it was re-created.
    async fn topic_id(&mut self) -> Result<TopicId>;

    /// Every partition with the range of offsets that can be read.
    async fn ranges(&mut self) -> Result<BTreeMap<Partition, Range>>;

    /// How many records lie behind these places; a question for many to ask often, and not an urgent one. `Conflict`
    /// where a partition ends before its place.
    async fn records_behind(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<u64>;

    /// Where these partitions end with the records behind a transaction that is open, which [`Source::ranges`] leaves
    /// out; empty where there are no transactions.
    async fn uncommitted_ends(&mut self, _partitions: &[Partition]) -> Result<BTreeMap<Partition, Offset>> {
        Ok(BTreeMap::new())
    }

    /// What is known of the positions sought next: under which leader the last record before each was written. Where it
    /// was written under another one by now, the log was cut short meanwhile, and `poll` fails with `Data`.
    fn expect_leader_epochs(&mut self, _epochs: &BTreeMap<Partition, i32>) {}

    /// Sets where each partition is read from next. Partitions not named are not read.
    async fn seek(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<()>;

    /// Nothing of these is polled until others are named: whoever asks has enough of them. A source may hand it out all the same.
    fn hold(&mut self, _partitions: &BTreeSet<Partition>) {}

    /// The record there stops its partition: it is to come alone, behind all that is before it. Said before a `seek` to what is before it.
    fn stop_before(&mut self, _partition: Partition, _offset: Offset) {}

    /// Whether records of it are here, and are not handed out yet.
    fn keeps_back(&self, _partition: Partition) -> bool {
        false
    }

    /// The same of any partition.
    fn keeps_some_back(&self) -> bool {
        false
    }

    /// What is there now, about `bytes_max` bytes at most (one record is always returned whole).
    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Records>>;

    /// What a partition that is read may hold fetched and not yet polled.
    fn queued_bytes_max(&self) -> u64;

    /// Reads no further and holds nothing that was fetched, until the next `seek` (I5).
    fn rest(&mut self) -> Result<()>;

    /// Records that are there do not come: who hands them out is to be looked for once more. Asked again while they do
    /// not.
    fn look_again(&mut self) {}

    /// What is before these places is committed: for whoever watches from outside.
    fn note_committed(&mut self, _positions: &BTreeMap<Partition, Offset>) {}

    /// Asked before what was polled is committed (I4); `Conflict` where the topic is another one by now.
    async fn confirm(&mut self) -> Result<()>;
}
