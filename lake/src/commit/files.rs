//! Files that come and files that go, in one snapshot.
//!
//! Owns [`FileChange`], what every commit of files comes down to.
//! - I1: a change of the ledger is a snapshot, even without files (rule C2); property and summary say the same.
//! - I2: a manifest is written only with a schema that its partition spec can be read by.
//! - I3: a file that comes with a sequence number of its own is as old as that says: what is deleted by values later
//!   than that is deleted in it, too (rule R1).

use std::collections::{BTreeMap, HashMap};

use iceberg::TableUpdate;
use iceberg::spec::{DataFile, ManifestContentType, Operation, SchemaRef, Summary, TableMetadata};
use tableflow_model::{Error, Result};

use super::carried::carried_over;
use super::columns::schema_updates;
use super::expire::{Retention, floor_property, snapshots_to_forget};
use super::manifests::{CommitObjects, LiveFile, check_format, reads_back};
use super::summary::summary;
use super::{CommitContext, Prepared, commit_time, requirements, set_main, snapshot};
use crate::layout::Evolution;

/// Files of one manifest.
#[derive(Clone, Debug)]
pub(super) struct AddedFiles {
    pub content: ManifestContentType,
    /// The partition spec that they were written with.
    pub spec_id: i32,
    /// With their sequence numbers (I3); that of the snapshot where they have none.
    pub files: Vec<(DataFile, Option<i64>)>,
}

/// What a commit does.
#[derive(Clone, Debug)]
pub(super) struct FileChange<'a> {
    pub operation: Operation,
    pub added: Vec<AddedFiles>,
    pub removed: Vec<LiveFile>,
    /// The schema that data files were written with, when it has columns that the table lacks.
    pub schema: Option<&'a Evolution>,
    pub properties: &'a BTreeMap<String, String>,
    /// How the snapshot names its change file.
    pub changes: Option<&'a str>,
    pub retention: Retention,
}

/// Builds the snapshot on `base`. Nothing is visible until the catalog has swapped.
pub(super) async fn prepare_files(
    context: CommitContext<'_>,
    base: &TableMetadata,
    change: &FileChange<'_>,
) -> Result<Prepared> {
    check_format(base)?;
    let snapshot_id = context.ids.snapshot_id();
    let sequence_number = base.next_sequence_number();
    let mut objects = CommitObjects::new(context.store, base, context.ids.uuid(), snapshot_id);
    let (schema, schema_id, mut updates) = schema_updates(base, change.schema);
    let mut manifests = carried_over(context, base, &change.removed, &mut objects).await?;
    for added in change.added.iter().filter(|added| !added.files.is_empty()) {
        manifests.insert(0, objects.added(base, &schema, added).await?);
    }
    let list = objects.list(manifests, base.current_snapshot_id(), sequence_number).await?;

    let now = commit_time(base, context.clock);
    let (forget, floor) = snapshots_to_forget(base, change.retention, now)?;
    let summary = Summary { operation: change.operation.clone(), additional_properties: summary(base, change) };
    let snapshot = snapshot(base, (snapshot_id, sequence_number), list, summary, (schema_id, now));
    let properties: HashMap<String, String> =
        change.properties.clone().into_iter().chain(floor.map(floor_property)).collect();
    if !properties.is_empty() {
        updates.push(TableUpdate::SetProperties { updates: properties });
    }
    updates.push(TableUpdate::AddSnapshot { snapshot });
    updates.push(set_main(snapshot_id));
    if !forget.is_empty() {
        updates.push(TableUpdate::RemoveSnapshots { snapshot_ids: forget });
    }
    Ok(Prepared { requirements: requirements(base), updates, snapshot_id, sequence_number })
}

/// Rows that come with this schema can be written with the spec (I2): somebody may have dropped a column that
/// partitions them.
pub(super) fn check_spec(base: &TableMetadata, spec_id: i32, schema: &SchemaRef) -> Result<()> {
    let spec = base.partition_spec_by_id(spec_id).ok_or_else(|| {
        Error::data(format!("the table has no partition spec {spec_id}, which files were written with"))
    })?;
    if reads_back(spec, schema) {
        return Ok(());
    }
    Err(Error::usage("rows are written into partitions of a column that the table no longer has")
        .with_detail("another engine dropped it since, or gave its name to another")
        .with_hint("undo that where it was done, or enable the topic into another table with --table"))
}
