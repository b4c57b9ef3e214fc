//! The epoch manifest: the object whose creation decides an epoch (rule M1).
//!
//! Owns [`EpochManifest`], its text form, and the decision which manifests and which state may be deleted
//! (rule M6, [`Collection`]).
//! - I1: text written is read back as it was; another version or damage is an error.
//! - I2: job and epoch are all that its object may be called after: two generations that want one epoch want one name.
//! - I3: a manifest is equal to another only if the same process wrote the same work.
//! - I4: a manifest names the writer of the one before it. A collected name is free again, and a slow process may win
//!   it; what it puts there is found out by the next manifest, which follows another ([`unbroken`]).
//!
//! A manifest is intent: per sink the serialised data files that the epoch adds, opaque here. It is put create-only
//! once and never changed, so whoever reads it, at whatever time, reads what was decided.
//!
//! Neighbours: the store's `StatePaths::epoch` is the one place that says which name an epoch has.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::ledger::{Epoch, Generation, Positions, WriterId, check_version};
use super::rules::{Rule, Rules};
use crate::error::{Error, Result};
use crate::name::JobName;

/// The version of the text form that this program reads and writes.
const VERSION: u32 = 1;

/// What a job calls one of its sinks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SinkName(pub String);

impl fmt::Display for SinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an epoch does to one sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkWork {
    /// The last epoch before this one that has rows for the sink, or where its ledger stood (rule M4).
    pub follows: Epoch,
    /// Serialised data files and deletes; none where the epoch has no rows for the sink.
    pub files: Vec<String>,
}

/// Why a manifest was put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Intent {
    /// A starting generation takes its place (rule M2); no work.
    Claim,
    /// An epoch.
    Work {
        /// Where the next epoch reads on.
        positions: Positions,
        sinks: BTreeMap<SinkName, SinkWork>,
        /// Where the job's state of this cut is kept; none for a job without state.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<String>,
    },
}

/// The decision of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochManifest {
    pub job: JobName,
    pub epoch: Epoch,
    pub generation: Generation,
    /// The nonce of the process that put it.
    pub writer: WriterId,
    /// The nonce of the manifest one epoch before, where there is one (I4).
    pub after: Option<WriterId>,
    pub intent: Intent,
}

/// The manifests that really follow each other, of those found under consecutive names, ascending (I4).
pub fn unbroken(manifests: &[EpochManifest], rules: Rules) -> &[EpochManifest] {
    if !rules.hold(Rule::LinkedManifests) {
        return manifests;
    }
    let breaks = manifests.windows(2).rposition(|pair| match pair {
        [before, manifest] => manifest.after != Some(before.writer),
        _ => false,
    });
    manifests.get(breaks.map_or(0, |place| place + 1)..).unwrap_or_default()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    job: JobName,
    epoch: Epoch,
    generation: Generation,
    writer: WriterId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<WriterId>,
    intent: Intent,
}

impl EpochManifest {
    pub fn is_work(&self) -> bool {
        matches!(self.intent, Intent::Work { .. })
    }

    pub fn to_text(&self) -> Result<String> {
        let text = Text {
            version: VERSION,
            job: self.job.clone(),
            epoch: self.epoch,
            generation: self.generation,
            writer: self.writer,
            after: self.after,
            intent: self.intent.clone(),
        };
        serde_json::to_string(&text)
            .map_err(|error| Error::internal("an epoch manifest could not be written").with_source(error))
    }

    pub fn from_text(text: &str) -> Result<Self> {
        check_version("epoch manifest", text, VERSION)?;
        let text: Text = serde_json::from_str(text)
            .map_err(|error| Error::data("the epoch manifest is damaged").with_source(error))?;
        Ok(EpochManifest {
            job: text.job,
            epoch: text.epoch,
            generation: text.generation,
            writer: text.writer,
            after: text.after,
            intent: text.intent,
        })
    }
}

/// What of a job's manifests and state may go (rule M6).
///
/// All bounds are facts that no commit turns back, so that a decision taken on old facts is merely cautious, sink by
/// sink. A rollback does turn a ledger back, and only to one that a retained snapshot has: whoever decides on the
/// ledgers of the snapshots that a sink retained when it was looked at may delete beside a rollback, and at any time
/// after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Manifests of epochs below this one.
    pub manifests_below: Epoch,
    /// State of epochs below this one.
    pub state_below: Epoch,
}

impl Collection {
    /// `newest` and `newest_work` are the newest manifest and the newest one with work that reading by exact name,
    /// upward from the highest ledger, has found, or older ones; `ledgers` are the epochs of all sinks of the job, and
    /// `retained` those of the snapshots that a sink may be rolled back to.
    pub fn decide(newest: Epoch, newest_work: Epoch, ledgers: &[Epoch], retained: &[Epoch], rules: Rules) -> Self {
        let lowest = ledgers.iter().copied().min().unwrap_or_default();
        let past = if rules.hold(Rule::CollectPastEverySink) { lowest } else { newest_work };
        let kept = if rules.hold(Rule::KeepNewestWork) { past.min(newest_work) } else { lowest.next() };
        let rolled_back = retained.iter().copied().min().filter(|_| rules.hold(Rule::KeepForRollback));
        let state_below = if rules.hold(Rule::StateByNewestWork) { newest_work } else { newest };
        Collection { manifests_below: rolled_back.map_or(kept, |oldest| kept.min(oldest)), state_below }
    }
}

#[cfg(test)]
mod tests;
