//! Snapshots as the protocol's decisions see them.
//!
//! - I1: which snapshots lead from one to another is for `protocol::feed` to say; here they are looked up.

use iceberg::spec::{Operation, SnapshotRef, TableMetadata};
use tableflow_model::protocol::Rules;
use tableflow_model::protocol::feed::{FLOOR_PROPERTY, Fed, FeedStep, Link, Position, follow};
use tableflow_model::{Error, Result};

use super::versions::changes_of;
use crate::layout::key_ids;
use crate::read::schema_at;

/// From one snapshot to the next one that has other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Nothing before the table's first one.
    pub from: Option<i64>,
    pub to: Option<i64>,
    /// `to` names a change file, and is read with it.
    pub is_told: bool,
}

impl Step {
    /// A whole snapshot.
    pub fn all_of(to: Option<i64>) -> Self {
        Step { from: None, to, is_told: false }
    }

    pub(super) fn change_file(self, table: &TableMetadata) -> Option<&str> {
        let snapshot = table.snapshot_by_id(self.to?)?;
        changes_of(snapshot).filter(|_| self.is_told)
    }
}

/// A snapshot that is retained.
fn link(table: &TableMetadata, id: i64) -> Option<Link> {
    let snapshot = table.snapshot_by_id(id)?;
    // A change file is read by the key: without one the rows themselves say what changed.
    let has_key = !key_ids(&schema_at(table, snapshot)).is_empty();
    Some(Link {
        parent: snapshot.parent_snapshot_id(),
        sequence: snapshot.sequence_number(),
        has_same_rows: snapshot.summary().operation == Operation::Replace,
        has_changes: has_key && changes_of(snapshot).is_some(),
    })
}

/// Looks at the table as feeds see it.
pub fn fed<T>(table: &TableMetadata, look: impl FnOnce(Fed<'_>) -> T) -> Result<T> {
    let floor = match table.properties().get(FLOOR_PROPERTY) {
        None => 0,
        Some(text) => text.parse().map_err(|error| {
            Error::data("the floor of the table's feed is damaged")
                .with_source(error)
                .with_detail(format!("property {FLOOR_PROPERTY} is {text:?}"))
                .with_hint("take the property away: the next commit sets it anew")
        })?,
    };
    let link = |id| link(table, id);
    Ok(look(Fed { main: table.current_snapshot_id(), link: &link, floor }))
}

/// The position of a snapshot.
pub fn position_of(snapshot: Option<&SnapshotRef>) -> Position {
    Position {
        snapshot: snapshot.map(|snapshot| snapshot.snapshot_id()),
        sequence: snapshot.map_or(0, |snapshot| snapshot.sequence_number()),
    }
}

/// The next step from a position to the snapshot `to`: where it leads, and what is to be read of it. Nothing where it
/// leads nowhere.
pub fn step_after(table: &TableMetadata, own: Position, to: Option<i64>) -> Result<Option<(Position, Option<Step>)>> {
    let step = fed(table, |fed| follow(Fed { main: to, ..fed }, own, Rules::law()))?;
    let read = |from: Position, to: Position, is_told| {
        Ok(Some((to, Some(Step { from: from.snapshot, to: to.snapshot, is_told }))))
    };
    match step {
        FeedStep::Changes { from, to } => read(from, to, true),
        FeedStep::Difference { from, to } => read(from, to, false),
        FeedStep::Pass(to) => Ok(Some((to, None))),
        FeedStep::Suspend => Err(expired(own)),
        _ => Ok(None),
    }
}

fn expired(own: Position) -> Error {
    let snapshot = own.snapshot.unwrap_or_default();
    Error::conflict("the feed has expired: what changed since a snapshot is not known any more")
        .with_detail(format!("snapshot {snapshot} is forgotten"))
        .with_hint("start from a snapshot that is there, and read it whole")
}
