//! Staged files become a snapshot.
//!
//! In flow order:
//!
//! ```text
//!  columns    new columns, published with the files that have them or ahead of them; columns that go
//!  merge      which manifests to join, so that the list stays short
//!  row_ids    what the entries of a manifest inherit
//!  manifests  manifests and manifest lists, written and read
//!  carried    the parent's manifests, without the files that go
//!  expire     which snapshots a commit forgets
//!  summary    what a snapshot says of itself
//!  files      files that come and go + ledger -> one snapshot, by way of all above
//!  row_delta  what an epoch does: rows that come, rows that go
//!  rewrite    what compaction does: the same rows in other files
//!  fewer      the same files in fewer manifests
//!  rollback   the content of an old snapshot -> a new snapshot
//! ```
//!
//! Owns the building of `(requirements, updates)` for the catalog; publishing is the catalog's compare-and-swap.
//! - I1: a commit asserts the table's uuid and main's snapshot, and adds a snapshot with the next sequence
//!   number (rule C1); the ledger's property changes only together with a snapshot (C2).
//! - I2: cost is O(changed files): one manifest for the new files, one manifest list, and now and then one merge
//!   of equally small manifests (`merge`).
//! - I3: metadata stays small: every commit forgets snapshots beyond the retention (`expire`), never one that a
//!   ref names; files stay, so a reader under way is not disturbed.
//! - I4: a prepared commit can be sent again unchanged (C4): its objects are written once, under fresh names.
//!
//! iceberg's transactions were looked at: they re-read every manifest for a duplicate check, offer no ledger
//! property in the same commit and no resend; its spec types, manifest writers and readers are used.

mod carried;
mod columns;
mod expire;
mod fewer;
mod files;
mod manifests;
mod merge;
mod rewrite;
mod rollback;
mod row_delta;
mod row_ids;
mod summary;

use iceberg::spec::{
    MAIN_BRANCH, Operation, Snapshot, SnapshotRef, SnapshotReference, SnapshotRetention, Summary, TableMetadata,
};
use iceberg::{TableRequirement, TableUpdate};
use tableflow_model::{Clock, Ids, Millis};
use tableflow_store::Store;

use manifests::WrittenList;

pub use columns::{prepare_change, prepare_columns};
pub use expire::{Expiry, HELD_TIMES, Retention, prepare_expiry};
pub use fewer::{Fewer, prepare_manifests};
pub use manifests::{LiveFile, live_files, live_files_of, manifests_of};
pub use rewrite::{Rewrite, prepare_rewrite};
pub use rollback::{ROLLED_BACK_TO, prepare_rollback};
pub use row_delta::{Deletes, RowDelta, prepare_row_delta};

/// What every commit needs from outside.
#[derive(Clone, Copy, Debug)]
pub struct CommitContext<'a> {
    pub store: &'a Store,
    pub clock: &'a dyn Clock,
    pub ids: &'a dyn Ids,
}

/// A commit ready to be published, and published again unchanged if its outcome stays unknown.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub requirements: Vec<TableRequirement>,
    pub updates: Vec<TableUpdate>,
    pub snapshot_id: i64,
    pub sequence_number: i64,
}

/// The newest snapshot of main that changed rows: others wrote the same rows anew, as compactions do.
pub fn last_change(table: &TableMetadata) -> Option<&SnapshotRef> {
    let parent = |snapshot: &&SnapshotRef| table.snapshot_by_id(snapshot.parent_snapshot_id()?);
    let mut newest = std::iter::successors(table.current_snapshot(), parent);
    newest.find(|snapshot| snapshot.summary().operation != Operation::Replace).or(table.current_snapshot())
}

/// I1.
fn requirements(base: &TableMetadata) -> Vec<TableRequirement> {
    vec![
        TableRequirement::UuidMatch { uuid: base.uuid() },
        TableRequirement::RefSnapshotIdMatch { r#ref: MAIN_BRANCH.to_owned(), snapshot_id: base.current_snapshot_id() },
    ]
}

/// The next snapshot of main, with its id and sequence number, and the schema and the time that it is written with.
fn snapshot(
    base: &TableMetadata,
    (id, sequence_number): (i64, i64),
    list: WrittenList,
    summary: Summary,
    (schema_id, now): (i32, Millis),
) -> Snapshot {
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(base.current_snapshot_id())
        .with_sequence_number(sequence_number)
        .with_timestamp_ms(now.0)
        .with_manifest_list(list.uri)
        .with_summary(summary)
        .with_schema_id(schema_id);
    match list.row_ids {
        None => snapshot.build(),
        Some((first, given_out)) => snapshot.with_row_range(first, given_out).build(),
    }
}

fn set_main(snapshot_id: i64) -> TableUpdate {
    TableUpdate::SetSnapshotRef {
        ref_name: MAIN_BRANCH.to_owned(),
        reference: SnapshotReference::new(snapshot_id, SnapshotRetention::branch(None, None, None)),
    }
}

/// Now, but never before the table's last change: a clock that was set back must not stop commits.
fn commit_time(base: &TableMetadata, clock: &dyn Clock) -> Millis {
    Millis(clock.now().0.max(base.last_updated_ms()))
}
