//! What one epoch does to a table: rows that come, rows that go, and a new ledger, in one snapshot.
//!
//! - I1: a change of the ledger is a snapshot, even without files (rule C2); property and summary say the same.
//! - I2: totals follow from the parent's totals and this commit's files, never from reading the table.
//! - I3: a manifest is written only with a schema that its partition spec can be read by: others are left alone, and
//!   files that would need one are refused.
//! - I4: a delete file that another one stands in for is gone in the same snapshot; its manifest is written anew, with
//!   the schema and the spec that it had (rule R8).

use std::collections::{BTreeMap, HashMap, HashSet};

use iceberg::TableUpdate;
use iceberg::spec::{
    DataContentType, DataFile, ManifestContentType, ManifestEntry, ManifestFile, Operation, PartitionSpec, SchemaRef,
    Snapshot, Struct, Summary, TableMetadata,
};
use tableflow_model::{Error, Result};

use super::columns::schema_updates;
use super::expire::{Retention, snapshots_to_forget};
use super::manifests::{CommitObjects, LiveFile, check_format, live_entries, manifests_of, reads_back};
use super::merge::manifests_to_merge;
use super::{CommitContext, Prepared, commit_time, requirements, set_main};
use crate::layout::Evolution;

/// What one epoch does to one table.
#[derive(Clone, Debug, Default)]
pub struct RowDelta {
    pub files: Vec<DataFile>,
    /// The partition spec that the files were written with.
    pub spec_id: i32,
    pub deletes: Deletes,
    /// The schema the files were written with, when it has columns that the table lacks.
    pub schema: Option<Evolution>,
    /// Set as table properties and repeated in the snapshot's summary: the ledger (I1).
    pub properties: BTreeMap<String, String>,
    pub retention: Retention,
}

/// Delete files that come, and those that they stand in for.
#[derive(Clone, Debug, Default)]
pub struct Deletes {
    /// By the spec of the data files that they are about.
    pub added: BTreeMap<i32, Vec<DataFile>>,
    pub replaced: Vec<LiveFile>,
}

/// Builds the snapshot on `base`. Nothing is visible until the catalog has swapped.
pub async fn prepare_row_delta(context: CommitContext<'_>, base: &TableMetadata, delta: &RowDelta) -> Result<Prepared> {
    check_format(base)?;
    let snapshot_id = context.ids.snapshot_id();
    let sequence_number = base.next_sequence_number();
    let mut objects = CommitObjects::new(context.store, base, context.ids.uuid(), snapshot_id);
    let (schema, schema_id, mut updates) = schema_updates(base, delta.schema.as_ref());

    let mut manifests = carried_over(context, base, &delta.deletes.replaced, &mut objects).await?;
    if !delta.files.is_empty() {
        let spec = base.partition_spec_by_id(delta.spec_id).ok_or_else(|| {
            Error::data(format!("the table has no partition spec {}, which files were written with", delta.spec_id))
        })?;
        if !reads_back(spec, &schema) {
            return Err(Error::usage("rows are written into partitions of a column that the table no longer has")
                .with_detail("another engine dropped it since, or gave its name to another")
                .with_hint("undo that where it was done, or enable the topic into another table with --table"));
        }
        let content = ManifestContentType::Data;
        manifests.insert(0, objects.added(content, &delta.files, schema, spec.as_ref().clone()).await?);
    }
    for (spec_id, files) in &delta.deletes.added {
        manifests.insert(0, objects.added_deletes(base, *spec_id, files).await?);
    }
    let list = objects.list(manifests, base.current_snapshot_id(), sequence_number).await?;

    let now = commit_time(base, context.clock);
    let forget = snapshots_to_forget(base, delta.retention, now)?;
    let snapshot = Snapshot::builder()
        .with_snapshot_id(snapshot_id)
        .with_parent_snapshot_id(base.current_snapshot_id())
        .with_sequence_number(sequence_number)
        .with_timestamp_ms(now.0)
        .with_manifest_list(list)
        .with_summary(Summary { operation: operation(delta), additional_properties: summary(base, delta) })
        .with_schema_id(schema_id)
        .build();
    if !delta.properties.is_empty() {
        let properties = delta.properties.clone().into_iter().collect();
        updates.push(TableUpdate::SetProperties { updates: properties });
    }
    updates.push(TableUpdate::AddSnapshot { snapshot });
    updates.push(set_main(snapshot_id));
    if !forget.is_empty() {
        updates.push(TableUpdate::RemoveSnapshots { snapshot_ids: forget });
    }
    Ok(Prepared { requirements: requirements(base), updates, snapshot_id, sequence_number })
}

/// What other engines understand of it.
fn operation(delta: &RowDelta) -> Operation {
    match (delta.deletes.added.is_empty(), delta.files.is_empty()) {
        (true, _) => Operation::Append,
        (false, true) => Operation::Delete,
        (false, false) => Operation::Overwrite,
    }
}

/// The parent's manifests without what is replaced, and with one full tier merged into one manifest.
async fn carried_over(
    context: CommitContext<'_>,
    base: &TableMetadata,
    replaced: &[LiveFile],
    objects: &mut CommitObjects<'_>,
) -> Result<Vec<ManifestFile>> {
    let Some(parent) = base.current_snapshot() else { return Ok(Vec::new()) };
    let mut manifests = manifests_of(context.store, base, parent).await?;
    manifests.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
    if !replaced.is_empty() {
        manifests = without(context, base, manifests, replaced, objects).await?;
    }
    let schema = base.current_schema();
    let specs = base.partition_specs_iter().filter(|spec| reads_back(spec, schema));
    let specs: HashMap<i32, &PartitionSpec> = specs.map(|spec| (spec.spec_id(), spec.as_ref())).collect();
    let merge = manifests_to_merge(&manifests, |spec_id| specs.contains_key(&spec_id));
    let Some(first) = merge.first().and_then(|position| manifests.get(*position)) else { return Ok(manifests) };
    let (content, Some(spec)) = (first.content, specs.get(&first.partition_spec_id).copied()) else {
        return Ok(manifests);
    };
    let Some(entries) = entries_alike(context, &manifests, &merge, spec, schema).await? else { return Ok(manifests) };
    let merge: HashSet<usize> = merge.into_iter().collect();
    let others = manifests.into_iter().enumerate().filter(|(position, _)| !merge.contains(position));
    let mut kept: Vec<ManifestFile> = others.map(|(_, manifest)| manifest).collect();
    kept.push(objects.existing(content, entries, schema.clone(), spec.clone()).await?);
    Ok(kept)
}

/// I4: delete files that are replaced leave their manifests.
async fn without(
    context: CommitContext<'_>,
    base: &TableMetadata,
    manifests: Vec<ManifestFile>,
    replaced: &[LiveFile],
    objects: &mut CommitObjects<'_>,
) -> Result<Vec<ManifestFile>> {
    // Two vectors may stand in one file: a delete file is known by its place in it, too.
    let names = |file: &DataFile| (file.file_path().to_owned(), file.content_offset());
    let mut missing: HashSet<_> = replaced.iter().map(|replaced| names(&replaced.file)).collect();
    let mut kept = Vec::with_capacity(manifests.len());
    for manifest in manifests {
        if manifest.content == ManifestContentType::Data || missing.is_empty() {
            kept.push(manifest);
            continue;
        }
        let (entries, schema) = live_entries(context.store, &manifest).await?;
        let (gone, stay): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| missing.remove(&names(entry.data_file())));
        if gone.is_empty() {
            kept.push(manifest);
            continue;
        }
        let spec = base
            .partition_spec_by_id(manifest.partition_spec_id)
            .ok_or_else(|| Error::data(format!("the table has no partition spec {}", manifest.partition_spec_id)))?;
        kept.push(objects.without(stay, gone, schema, spec.as_ref().clone()).await?);
    }
    match missing.into_iter().next() {
        None => Ok(kept),
        Some((path, _)) => Err(Error::conflict("a delete file that was to be replaced is gone").with_detail(path)),
    }
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

/// I1, I2.
fn summary(base: &TableMetadata, delta: &RowDelta) -> HashMap<String, String> {
    let added = Counted::of(delta.files.iter().chain(delta.deletes.added.values().flatten()));
    let removed = Counted::of(delta.deletes.replaced.iter().map(|replaced| &replaced.file));
    let mut summary: HashMap<String, String> = delta.properties.clone().into_iter().collect();
    let mut say = |name: &str, count: u64| {
        if count > 0 {
            summary.insert(name.to_owned(), count.to_string());
        }
    };
    say("added-data-files", added.data_files);
    say("added-records", added.records);
    say("added-delete-files", added.delete_files);
    say("added-position-deletes", added.positions);
    say("added-files-size", added.bytes);
    say("removed-delete-files", removed.delete_files);
    say("removed-position-deletes", removed.positions);
    say("removed-files-size", removed.bytes);
    say("changed-partition-count", added.partitions.len() as u64);
    for (name, more, less) in [
        ("total-data-files", added.data_files, 0),
        ("total-records", added.records, 0),
        ("total-files-size", added.bytes, removed.bytes),
        ("total-delete-files", added.delete_files, removed.delete_files),
        ("total-position-deletes", added.positions, removed.positions),
        ("total-equality-deletes", 0, 0),
    ] {
        summary.insert(name.to_owned(), (parent_total(base, name) + more).saturating_sub(less).to_string());
    }
    summary
}

/// Files, counted.
#[derive(Default)]
struct Counted<'a> {
    data_files: u64,
    records: u64,
    delete_files: u64,
    positions: u64,
    bytes: u64,
    partitions: HashSet<&'a Struct>,
}

impl<'a> Counted<'a> {
    fn of(files: impl Iterator<Item = &'a DataFile>) -> Self {
        let mut counted = Counted::default();
        for file in files {
            let (files, records) = match file.content_type() {
                DataContentType::Data => (&mut counted.data_files, &mut counted.records),
                _ => (&mut counted.delete_files, &mut counted.positions),
            };
            *files += 1;
            *records += file.record_count();
            // Of a file with several vectors each entry has its own part.
            let size = file.content_size_in_bytes().and_then(|bytes| u64::try_from(bytes).ok());
            counted.bytes += size.unwrap_or_else(|| file.file_size_in_bytes());
            counted.partitions.insert(file.partition());
        }
        counted
    }
}

fn parent_total(base: &TableMetadata, name: &str) -> u64 {
    let parent = base.current_snapshot();
    let total = parent.and_then(|snapshot| snapshot.summary().additional_properties.get(name));
    total.and_then(|text| text.parse().ok()).unwrap_or(0)
}
