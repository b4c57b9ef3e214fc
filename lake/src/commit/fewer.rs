//! The same files in fewer manifests.
//!
//! Owns [`prepare_manifests`].
//! - I1: every live file stays as it is, with its sequence numbers, its row ids and the spec that it was written with.
//! - I2: manifests that cannot be read by a schema of now stay as they are (rule R8).
//! - I3: data files of one partition stand together, so that a filter opens few manifests.

use std::collections::{BTreeMap, HashMap};

use iceberg::TableUpdate;
use iceberg::spec::{ManifestContentType, ManifestFile, Operation, PartitionSpec, Summary, TableMetadata};
use tableflow_model::Result;

use super::manifests::{CommitObjects, live_entries, manifests_of, reads_back};
use super::{CommitContext, Prepared, commit_time, requirements, set_main, snapshot};

/// Of a manifest: reading it whole is what a plan does anyway.
const ENTRIES_MAX: usize = 4096;

/// A commit with fewer manifests.
#[derive(Debug)]
pub struct Fewer {
    pub prepared: Prepared,
    pub before: u64,
    pub after: u64,
}

/// The commit on this base; nothing where manifests are as few as they can be.
pub async fn prepare_manifests(
    context: CommitContext<'_>,
    base: &TableMetadata,
    properties: &BTreeMap<String, String>,
) -> Result<Option<Fewer>> {
    let Some(parent) = base.current_snapshot() else { return Ok(None) };
    let manifests = manifests_of(context.store, base, parent).await?;
    let before = manifests.len() as u64;
    let snapshot_id = context.ids.snapshot_id();
    let mut objects = CommitObjects::new(context.store, base, context.ids.uuid(), snapshot_id);
    let (by_spec, mut kept) = by_spec(base, manifests);
    for ((is_data, _), (spec, manifests)) in by_spec {
        let content = if is_data { ManifestContentType::Data } else { ManifestContentType::Deletes };
        kept.extend(joined(context, base, (content, &spec), manifests, &mut objects).await?);
    }
    let after = kept.len() as u64;
    if after >= before {
        return Ok(None);
    }
    let sequence_number = base.next_sequence_number();
    let list = objects.list(kept, base.current_snapshot_id(), sequence_number).await?;
    let totals = parent.summary().additional_properties.iter().filter(|(name, _)| name.starts_with("total-"));
    let mut words: HashMap<String, String> = totals.map(|(name, total)| (name.clone(), total.clone())).collect();
    words.extend(properties.clone());
    words.insert("manifests-replaced".to_owned(), before.to_string());
    words.insert("manifests-created".to_owned(), after.to_string());
    let summary = Summary { operation: Operation::Replace, additional_properties: words };
    let of_now = (base.current_schema_id(), commit_time(base, context.clock));
    let snapshot = snapshot(base, (snapshot_id, sequence_number), list, summary, of_now);
    let properties = TableUpdate::SetProperties { updates: properties.clone().into_iter().collect() };
    let updates = vec![properties, TableUpdate::AddSnapshot { snapshot }, set_main(snapshot_id)];
    let prepared = Prepared { requirements: requirements(base), updates, snapshot_id, sequence_number };
    Ok(Some(Fewer { prepared, before, after }))
}

/// Manifests of data, or of deletes, by their spec.
type BySpec = BTreeMap<(bool, i32), (PartitionSpec, Vec<ManifestFile>)>;

/// Those that can be written anew, and those that stay (I2).
fn by_spec(base: &TableMetadata, manifests: Vec<ManifestFile>) -> (BySpec, Vec<ManifestFile>) {
    let (mut written, mut kept) = (BySpec::new(), Vec::new());
    for manifest in manifests.into_iter().filter(|it| it.has_added_files() || it.has_existing_files()) {
        let spec = base.partition_spec_by_id(manifest.partition_spec_id);
        match spec.filter(|spec| reads_back(spec, base.current_schema())) {
            Some(spec) => {
                let key = (manifest.content == ManifestContentType::Data, manifest.partition_spec_id);
                written.entry(key).or_insert_with(|| (spec.as_ref().clone(), Vec::new())).1.push(manifest);
            }
            None => kept.push(manifest),
        }
    }
    (written, kept)
}

/// In the place of these, where they become fewer.
async fn joined(
    context: CommitContext<'_>,
    base: &TableMetadata,
    (content, spec): (ManifestContentType, &PartitionSpec),
    manifests: Vec<ManifestFile>,
    objects: &mut CommitObjects<'_>,
) -> Result<Vec<ManifestFile>> {
    let of_now = spec.partition_type(base.current_schema()).ok();
    let (mut entries, mut alike, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for manifest in manifests {
        let (live, written_with) = live_entries(context.store, &manifest).await?;
        if spec.partition_type(&written_with).ok() == of_now {
            entries.extend(live);
            alike.push(manifest);
        } else {
            kept.push(manifest);
        }
    }
    if alike.len() <= entries.len().div_ceil(ENTRIES_MAX) {
        kept.extend(alike);
        return Ok(kept);
    }
    match content {
        ManifestContentType::Data => entries
            .sort_by_cached_key(|entry| (format!("{:?}", entry.data_file().partition()), entry.sequence_number())),
        // Vectors of one file in the order of their places: DuckDB 1.5.5 reads others wrongly (decision 28).
        ManifestContentType::Deletes => {
            entries.sort_by_cached_key(|entry| (entry.file_path().to_owned(), entry.data_file().content_offset()))
        }
    }
    while !entries.is_empty() {
        let rest = entries.split_off(entries.len().min(ENTRIES_MAX));
        let some = std::mem::replace(&mut entries, rest);
        kept.push(objects.existing(content, some, base.current_schema().clone(), spec.clone()).await?);
    }
    Ok(kept)
}
