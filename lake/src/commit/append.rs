//! The append: new files and a new ledger in one snapshot.
//!
//! - I1: a change of the ledger is a snapshot, even without files (rule C2); property and summary say the same.
//! - I2: totals follow from the parent's totals and this commit's files, never from reading the table.
//! - I3: a manifest is written only with a schema that its partition spec can be read by: others are left alone, and
//!   files that would need one are refused.

use std::collections::{BTreeMap, HashMap, HashSet};

use iceberg::TableUpdate;
use iceberg::spec::{
    DataFile, ManifestEntry, ManifestFile, Operation, PartitionField, PartitionSpec, SchemaRef, Snapshot, Summary,
    TableMetadata,
};
use tableflow_model::{Error, Result};

use super::columns::schema_updates;
use super::expire::{Retention, snapshots_to_forget};
use super::manifests::{CommitObjects, check_format, live_entries, manifests_of};
use super::merge::manifests_to_merge;
use super::{CommitContext, Prepared, commit_time, requirements, set_main};
use crate::layout::Evolution;

/// What one epoch adds to one table.
#[derive(Clone, Debug, Default)]
pub struct Append {
    pub files: Vec<DataFile>,
    /// The partition spec that the files were written with.
    pub spec_id: i32,
    /// The schema the files were written with, when it has columns that the table lacks.
    pub schema: Option<Evolution>,
    /// Set as table properties and repeated in the snapshot's summary: the ledger (I1).
    pub properties: BTreeMap<String, String>,
    pub retention: Retention,
}

/// Builds the snapshot on `base`. Nothing is visible until the catalog has swapped.
pub async fn prepare_append(context: CommitContext<'_>, base: &TableMetadata, append: &Append) -> Result<Prepared> {
    check_format(base)?;
    let snapshot_id = context.ids.snapshot_id();
    let sequence_number = base.next_sequence_number();
    let mut objects = CommitObjects::new(context.store, base, context.ids.uuid(), snapshot_id);
    let (schema, schema_id, mut updates) = schema_updates(base, append.schema.as_ref());

    let mut manifests = carried_over(context, base, &mut objects).await?;
    if !append.files.is_empty() {
        let spec = base.partition_spec_by_id(append.spec_id).ok_or_else(|| {
            Error::data(format!("the table has no partition spec {}, which files were written with", append.spec_id))
        })?;
        if !reads_back(spec, &schema) {
            return Err(Error::usage("rows are written into partitions of a column that the table no longer has")
                .with_detail("another engine dropped it since, or gave its name to another")
                .with_hint("undo that where it was done, or enable the topic into another table with --table"));
        }
        manifests.insert(0, objects.added(&append.files, schema, spec.as_ref().clone()).await?);
    }
    let list = objects.list(manifests, base.current_snapshot_id(), sequence_number).await?;

    let now = commit_time(base, context.clock);
    let forget = snapshots_to_forget(base, append.retention, now)?;
    let snapshot = Snapshot::builder()
        .with_snapshot_id(snapshot_id)
        .with_parent_snapshot_id(base.current_snapshot_id())
        .with_sequence_number(sequence_number)
        .with_timestamp_ms(now.0)
        .with_manifest_list(list)
        .with_summary(Summary { operation: Operation::Append, additional_properties: summary(base, append) })
        .with_schema_id(schema_id)
        .build();
    if !append.properties.is_empty() {
        let properties = append.properties.clone().into_iter().collect();
        updates.push(TableUpdate::SetProperties { updates: properties });
    }
    updates.push(TableUpdate::AddSnapshot { snapshot });
    updates.push(set_main(snapshot_id));
    if !forget.is_empty() {
        updates.push(TableUpdate::RemoveSnapshots { snapshot_ids: forget });
    }
    Ok(Prepared { requirements: requirements(base), updates, snapshot_id, sequence_number })
}

/// The parent's manifests, with one full tier merged into one manifest.
async fn carried_over(
    context: CommitContext<'_>,
    base: &TableMetadata,
    objects: &mut CommitObjects<'_>,
) -> Result<Vec<ManifestFile>> {
    let Some(parent) = base.current_snapshot() else { return Ok(Vec::new()) };
    let mut manifests = manifests_of(context.store, base, parent).await?;
    manifests.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
    let schema = base.current_schema();
    let specs = base.partition_specs_iter().filter(|spec| reads_back(spec, schema));
    let specs: HashMap<i32, &PartitionSpec> = specs.map(|spec| (spec.spec_id(), spec.as_ref())).collect();
    let merge = manifests_to_merge(&manifests, |spec_id| specs.contains_key(&spec_id));
    let spec_id = merge.first().and_then(|position| manifests.get(*position)).map(|first| first.partition_spec_id);
    let Some(spec) = spec_id.and_then(|id| specs.get(&id).copied()) else { return Ok(manifests) };
    let Some(entries) = entries_alike(context, &manifests, &merge, spec, schema).await? else { return Ok(manifests) };
    let merge: HashSet<usize> = merge.into_iter().collect();
    let others = manifests.into_iter().enumerate().filter(|(position, _)| !merge.contains(position));
    let mut kept: Vec<ManifestFile> = others.map(|(_, manifest)| manifest).collect();
    kept.push(objects.existing(entries, schema.clone(), spec.clone()).await?);
    Ok(kept)
}

/// The live entries of the manifests to merge; none where a column that partitions them became wider between them.
async fn entries_alike(
    context: CommitContext<'_>,
    manifests: &[ManifestFile],
    merge: &[usize],
    spec: &PartitionSpec,
    schema: &SchemaRef,
) -> Result<Option<Vec<ManifestEntry>>> {
    let of_now = spec.partition_type(schema).ok();
    let mut entries = Vec::new();
    for manifest in merge.iter().filter_map(|position| manifests.get(*position)) {
        let (live, written_with) = live_entries(context.store, manifest).await?;
        if spec.partition_type(&written_with).ok() != of_now {
            return Ok(None);
        }
        entries.extend(live);
    }
    Ok(Some(entries))
}

/// I3: whether a manifest with this spec and schema can be read again.
fn reads_back(spec: &PartitionSpec, schema: &SchemaRef) -> bool {
    let fields = spec.fields().iter().cloned().map(PartitionField::into_unbound);
    PartitionSpec::builder(schema.clone()).add_unbound_fields(fields).is_ok()
}

/// I1, I2.
fn summary(base: &TableMetadata, append: &Append) -> HashMap<String, String> {
    let files = append.files.len() as u64;
    let records: u64 = append.files.iter().map(DataFile::record_count).sum();
    let bytes: u64 = append.files.iter().map(DataFile::file_size_in_bytes).sum();
    let partitions: HashSet<_> = append.files.iter().map(DataFile::partition).collect();
    let mut summary: HashMap<String, String> = append.properties.clone().into_iter().collect();
    let mut added = |name: &str, count: u64| {
        if count > 0 {
            summary.insert(name.to_owned(), count.to_string());
        }
    };
    added("added-data-files", files);
    added("added-records", records);
    added("added-files-size", bytes);
    added("changed-partition-count", if files == 0 { 0 } else { partitions.len() as u64 });
    for (name, more) in [
        ("total-data-files", files),
        ("total-records", records),
        ("total-files-size", bytes),
        ("total-delete-files", 0),
        ("total-position-deletes", 0),
        ("total-equality-deletes", 0),
    ] {
        summary.insert(name.to_owned(), (parent_total(base, name) + more).to_string());
    }
    summary
}

fn parent_total(base: &TableMetadata, name: &str) -> u64 {
    let parent = base.current_snapshot();
    let total = parent.and_then(|snapshot| snapshot.summary().additional_properties.get(name));
    total.and_then(|text| text.parse().ok()).unwrap_or(0)
}
