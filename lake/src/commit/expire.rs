//! Which snapshots a commit forgets.
//!
//! - I1: the current snapshot, and any that a branch or a tag names, is never forgotten.
//! - I2: of main's ancestors the newest `snapshots_max` younger than `age_max_ms` stay.

use std::collections::{HashMap, HashSet};

use iceberg::spec::TableMetadata;
use iceberg::{TableRequirement, TableUpdate};
use serde::Deserialize;
use tableflow_model::{Error, Millis, Result};

use super::requirements;

/// How much history a table keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub snapshots_max: usize,
    pub age_max_ms: i64,
}

impl Retention {
    /// For commits that are nobody's idea of history: the table's own job forgets.
    pub const EVERYTHING: Retention = Retention { snapshots_max: usize::MAX, age_max_ms: i64::MAX };
}

impl Default for Retention {
    /// A week, and never more than a hundred: metadata is rewritten with every commit.
    fn default() -> Self {
        Retention { snapshots_max: 100, age_max_ms: 7 * 24 * 3600 * 1000 }
    }
}

/// A commit that forgets snapshots and does nothing else.
#[derive(Clone, Debug)]
pub struct Expiry {
    /// It asserts main (rule C3).
    pub requirements: Vec<TableRequirement>,
    pub updates: Vec<TableUpdate>,
    /// How many.
    pub forgotten: u64,
}

/// Nothing where none is to be forgotten.
pub fn prepare_expiry(table: &TableMetadata, retention: Retention, now: Millis) -> Result<Option<Expiry>> {
    let forget = forgotten(table, retention, now, 0)?;
    if forget.is_empty() {
        return Ok(None);
    }
    let forgotten = forget.len() as u64;
    let updates = vec![TableUpdate::RemoveSnapshots { snapshot_ids: forget }];
    Ok(Some(Expiry { requirements: requirements(table), updates, forgotten }))
}

/// The snapshots to remove when one more is added now.
pub(super) fn snapshots_to_forget(table: &TableMetadata, retention: Retention, now: Millis) -> Result<Vec<i64>> {
    forgotten(table, retention, now, 1)
}

/// The snapshots to remove where so many more than there are stay.
fn forgotten(table: &TableMetadata, retention: Retention, now: Millis, more: usize) -> Result<Vec<i64>> {
    let mut keep = HashSet::new();
    let mut next = table.current_snapshot();
    let mut kept = more;
    while let Some(snapshot) = next {
        let young = now.0.saturating_sub(snapshot.timestamp_ms()) <= retention.age_max_ms;
        if kept >= retention.snapshots_max || !young {
            break;
        }
        keep.insert(snapshot.snapshot_id());
        kept += 1;
        next = snapshot.parent_snapshot_id().and_then(|parent| table.snapshot_by_id(parent));
    }
    if table.snapshots().all(|snapshot| keep.contains(&snapshot.snapshot_id())) {
        return Ok(Vec::new());
    }
    keep.extend(named_by_refs(table)?);
    let mut forget: Vec<_> = table.snapshots().filter(|snapshot| !keep.contains(&snapshot.snapshot_id())).collect();
    forget.sort_by_key(|snapshot| snapshot.sequence_number());
    Ok(forget.into_iter().map(|snapshot| snapshot.snapshot_id()).collect())
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
