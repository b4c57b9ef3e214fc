//! Which snapshots a commit forgets.
//!
//! - I1: the current snapshot, and any that a branch or a tag names, is never forgotten.
//! - I2: of main's ancestors the newest `snapshots_max` younger than `age_max_ms` stay.
//! - I3: none is forgotten above the floor of the table's feed as an earlier commit published it (rule F3).
//! - I4: what a registered consumer has not passed stays, for up to [`HELD_TIMES`] times what a table keeps at least.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{SnapshotRef, TableMetadata};
use iceberg::{TableRequirement, TableUpdate};
use serde::Deserialize;
use tableflow_model::protocol::Rules;
use tableflow_model::protocol::feed::{FLOOR_PROPERTY, Registration, may_forget, raised_floor};
use tableflow_model::{Error, Millis, Result};

use super::requirements;

/// Metadata grows with what is held for consumers, and is written anew with every commit.
pub const HELD_TIMES: usize = 4;

/// How much history a table keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub snapshots_max: usize,
    pub age_max_ms: i64,
}

impl Retention {
    /// For commits that are nobody's idea of history: the table's own job forgets.
    pub const EVERYTHING: Retention = Retention { snapshots_max: usize::MAX, age_max_ms: i64::MAX };

    /// How long consumers may hold snapshots (I4).
    fn for_consumers(self) -> Retention {
        let least = Retention::default();
        let (snapshots, age_ms) = (self.snapshots_max.max(least.snapshots_max), self.age_max_ms.max(least.age_max_ms));
        let times = i64::try_from(HELD_TIMES).unwrap_or(i64::MAX);
        Retention { snapshots_max: snapshots.saturating_mul(HELD_TIMES), age_max_ms: age_ms.saturating_mul(times) }
    }
}

impl Default for Retention {
    /// A week, and never more than a hundred: metadata is rewritten with every commit.
    fn default() -> Self {
        Retention { snapshots_max: 100, age_max_ms: 7 * 24 * 3600 * 1000 }
    }
}

/// A commit that forgets snapshots and does nothing else, or says first that it will (I3).
#[derive(Clone, Debug)]
pub struct Expiry {
    /// It asserts main (rule C3).
    pub requirements: Vec<TableRequirement>,
    pub updates: Vec<TableUpdate>,
    /// How many.
    pub forgotten: u64,
    /// They are forgotten by the next commit, on what the table is after this one.
    pub is_announced: bool,
}

/// Nothing where none is to be forgotten.
pub fn prepare_expiry(table: &TableMetadata, retention: Retention, now: Millis) -> Result<Option<Expiry>> {
    let mut forgets = Forgets::of(table, retention, now);
    let (published, wanted) = (forgets.floor, forgets.first_to_go(0));
    let raised = raised_floor(wanted, published, Rules::law());
    forgets.floor = raised.unwrap_or(published);
    let forget = forgets.ids(0)?;
    if forget.is_empty() {
        return Ok(None);
    }
    let (forgotten, is_announced) = (forget.len() as u64, raised.is_some());
    let updates = match raised {
        Some(floor) => TableUpdate::SetProperties { updates: HashMap::from([floor_property(floor)]) },
        None => TableUpdate::RemoveSnapshots { snapshot_ids: forget },
    };
    Ok(Some(Expiry { requirements: requirements(table), updates: vec![updates], forgotten, is_announced }))
}

/// What a commit that adds a snapshot forgets, and the floor that it publishes for the one after it.
pub(super) fn snapshots_to_forget(
    table: &TableMetadata,
    retention: Retention,
    now: Millis,
) -> Result<(Vec<i64>, Option<i64>)> {
    let forgets = Forgets::of(table, retention, now);
    let floor = raised_floor(forgets.first_to_go(2), forgets.floor, Rules::law());
    Ok((forgets.ids(1)?, floor))
}

pub(super) fn floor_property(floor: i64) -> (String, String) {
    (FLOOR_PROPERTY.to_owned(), floor.to_string())
}

/// What may be forgotten of a table.
struct Forgets<'t> {
    table: &'t TableMetadata,
    retention: Retention,
    now: Millis,
    floor: i64,
    registered: Vec<Registration>,
}

impl<'t> Forgets<'t> {
    fn of(table: &'t TableMetadata, retention: Retention, now: Millis) -> Self {
        // A floor that cannot be read is published anew.
        let floor = table.properties().get(FLOOR_PROPERTY).and_then(|text| text.parse().ok()).unwrap_or(0);
        Forgets { table, retention, now, floor, registered: Registration::held(table.properties()) }
    }

    /// Of main and its ancestors those that a retention keeps where so many more come, and the sequence number of the
    /// first one that it does not.
    fn kept(&self, retention: Retention, more: usize) -> (HashSet<i64>, i64) {
        let (mut keep, mut kept) = (HashSet::new(), more);
        let mut next = self.table.current_snapshot();
        while let Some(snapshot) = next {
            if kept >= retention.snapshots_max || !self.is_young(snapshot, retention) {
                return (keep, snapshot.sequence_number());
            }
            keep.insert(snapshot.snapshot_id());
            kept += 1;
            next = snapshot.parent_snapshot_id().and_then(|parent| self.table.snapshot_by_id(parent));
        }
        (keep, 0)
    }

    fn is_young(&self, snapshot: &SnapshotRef, retention: Retention) -> bool {
        self.now.0.saturating_sub(snapshot.timestamp_ms()) <= retention.age_max_ms
    }

    fn first_to_go(&self, more: usize) -> i64 {
        self.kept(self.retention, more).1
    }

    fn ids(&self, more: usize) -> Result<Vec<i64>> {
        let (kept, _) = self.kept(self.retention, more);
        if self.table.snapshots().all(|snapshot| kept.contains(&snapshot.snapshot_id())) {
            return Ok(Vec::new());
        }
        let held = self.retention.for_consumers();
        let first_beyond = self.kept(held, more).1;
        let mut forget = Vec::new();
        for snapshot in self.table.snapshots().filter(|snapshot| !kept.contains(&snapshot.snapshot_id())) {
            let sequence = snapshot.sequence_number();
            // A consumer that came back too late is told so (I4).
            let may_be_held = sequence > first_beyond && self.is_young(snapshot, held);
            let registered = if may_be_held { &self.registered[..] } else { &[] };
            if may_forget(sequence, self.floor, registered, Rules::law()) {
                forget.push((sequence, snapshot.snapshot_id()));
            }
        }
        if !forget.is_empty() {
            let named = named_by_refs(self.table)?;
            forget.retain(|(_, id)| !named.contains(id));
            forget.sort_unstable();
        }
        Ok(forget.into_iter().map(|(_, id)| id).collect())
    }
}

/// I1. The crate offers no walk over a table's refs, so they are read from its JSON form.
fn named_by_refs(table: &TableMetadata) -> Result<HashSet<i64>> {
    #[derive(Deserialize)]
    struct Refs {
        #[serde(default)]
        refs: HashMap<String, Ref>,
    }
    #[derive(Deserialize)]
    struct Ref {
        #[serde(rename = "snapshot-id")]
        snapshot_id: i64,
    }
    let unreadable = |error| Error::internal("a table's metadata has no JSON form").with_source(error);
    let json = serde_json::to_vec(table).map_err(unreadable)?;
    let refs: Refs = serde_json::from_slice(&json).map_err(unreadable)?;
    Ok(refs.refs.into_values().map(|reference| reference.snapshot_id).chain(table.current_snapshot_id()).collect())
}
