//! What an epoch job and its driver say to each other.

use std::collections::BTreeMap;

use super::super::commit::{Assertion, CommitReply, TableFacts};
use super::super::halt::{Stop, Suspend};
use super::super::ledger::{Epoch, Generation, Ledger, Positions};
use super::super::manifest::{EpochManifest, SinkName};
use super::super::topic::{ProduceReply, Recorded};

/// What came of a create-only put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutReply {
    Created,
    /// The name is taken.
    Exists,
    Unknown,
}

/// An epoch's work, written to the store and not yet decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StagedEpoch {
    /// The next offsets, with the ids that the topics have now.
    pub to: Positions,
    /// Per sink the serialised data files; a sink without rows may be left out.
    pub files: BTreeMap<SinkName, Vec<String>>,
    pub state: Option<String>,
}

/// What happened outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EpochEvent {
    Start,
    Loaded(Box<TableFacts>),
    /// The driver waits as it sees fit; the step is asked for again.
    LoadFailed,
    /// The manifest of that exact name, or none.
    ManifestRead(Option<Box<EpochManifest>>),
    ReadFailed,
    ManifestPut(PutReply),
    Staged(Box<StagedEpoch>),
    /// Nothing was staged: there is nothing to read, or writing failed. Won epochs are committed meanwhile.
    NothingStaged,
    Published(CommitReply),
    /// A topic's producer is open, and whoever had one before is fenced.
    Opened,
    OpenFailed,
    /// What the topic records.
    RecordedRead(Recorded),
    Produced(ProduceReply),
    Continue,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EpochStep {
    Load {
        sink: SinkName,
    },
    ReadManifest {
        epoch: Epoch,
    },
    /// Create-only.
    PutManifest {
        manifest: Box<EpochManifest>,
    },
    /// Stage files named after generation and epoch, and write dirty state. `from` and `state` are none in a job
    /// that has never committed. State that is gone was collected by a later generation that is ahead: end this
    /// process and start again; gone once more, it is damage.
    Stage {
        from: Option<Positions>,
        state: Option<String>,
        generation: Generation,
        epoch: Epoch,
    },
    /// One snapshot with these files (none: an empty one) that moves the ledger, property and summary alike.
    Publish {
        sink: SinkName,
        assertion: Assertion,
        ledger: Ledger,
        files: Vec<String>,
    },
    PublishIdentical {
        sink: SinkName,
    },
    /// A new producer of the sink's own `transactional.id`, any that is there closed before: transactions that are open
    /// are aborted, those that are decided are waited for.
    OpenProducer {
        sink: SinkName,
    },
    /// The group's offset and the newest own rows, as a reader of what is committed sees them.
    ReadRecorded {
        sink: SinkName,
    },
    /// The rows of these files, each with the epoch, and the epoch as the group's offset: one transaction.
    Produce {
        sink: SinkName,
        epoch: Epoch,
        files: Vec<String>,
    },
    /// Every sink has what this epoch has for it.
    Committed {
        epoch: Epoch,
        positions: Positions,
    },
    Stop(Stop),
    Suspend {
        sink: Option<SinkName>,
        reason: Suspend,
    },
}

/// What may differ from job to job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochOptions {
    /// How many won epochs may wait for their commits; one commits each at once.
    pub pending_max: usize,
    /// A sink whose ledger is this many epochs behind is brought up by an empty commit.
    pub catch_up_epochs: u64,
}

impl Default for EpochOptions {
    fn default() -> Self {
        EpochOptions { pending_max: 1, catch_up_epochs: 100 }
    }
}
