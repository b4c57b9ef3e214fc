//! The parent's manifests as a commit carries them over.
//!
//! - I1: a file that is removed leaves its manifest, which is written anew with the schema and the spec that it had
//!   (rule R8); one that is not there to be removed is a conflict (R2).
//! - I2: at most one tier of manifests is joined (`merge`).

use std::collections::{HashMap, HashSet};

use iceberg::spec::{
    DataContentType, DataFile, ManifestContentType, ManifestEntry, ManifestFile, PartitionSpec, SchemaRef,
    TableMetadata,
};
use tableflow_model::{Error, Result};

use super::CommitContext;
use super::manifests::{CommitObjects, LiveFile, live_entries, manifests_of, reads_back};
use super::merge::manifests_to_merge;

/// The parent's manifests without what is removed, and with one full tier merged into one manifest.
pub(super) async fn carried_over(
    context: CommitContext<'_>,
    base: &TableMetadata,
    removed: &[LiveFile],
    objects: &mut CommitObjects<'_>,
) -> Result<Vec<ManifestFile>> {
    let Some(parent) = base.current_snapshot() else { return Ok(Vec::new()) };
    let mut manifests = manifests_of(context.store, base, parent).await?;
    manifests.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
    manifests = without(context, base, manifests, removed, objects).await?;
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

/// A file as manifests name it. Two vectors may stand in one file: a delete file is known by its place in it, too.
type Named = (String, Option<i64>);

fn named(file: &DataFile) -> Named {
    (file.file_path().to_owned(), file.content_offset())
}

/// I1.
async fn without(
    context: CommitContext<'_>,
    base: &TableMetadata,
    manifests: Vec<ManifestFile>,
    removed: &[LiveFile],
    objects: &mut CommitObjects<'_>,
) -> Result<Vec<ManifestFile>> {
    let (mut data, mut deletes) = (HashSet::new(), HashSet::new());
    for live in removed {
        let of = if live.file.content_type() == DataContentType::Data { &mut data } else { &mut deletes };
        of.insert(named(&live.file));
    }
    let mut kept = Vec::with_capacity(manifests.len());
    for manifest in manifests {
        let missing = if manifest.content == ManifestContentType::Data { &mut data } else { &mut deletes };
        if missing.is_empty() {
            kept.push(manifest);
            continue;
        }
        let (entries, schema) = live_entries(context.store, &manifest).await?;
        let (gone, stay): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| missing.remove(&named(entry.data_file())));
        if gone.is_empty() {
            kept.push(manifest);
            continue;
        }
        let spec = base
            .partition_spec_by_id(manifest.partition_spec_id)
            .ok_or_else(|| Error::data(format!("the table has no partition spec {}", manifest.partition_spec_id)))?;
        kept.push(objects.without(manifest.content, (stay, gone), schema, spec.as_ref().clone()).await?);
    }
    match data.into_iter().chain(deletes).next() {
        None => Ok(kept),
        Some((path, _)) => Err(Error::conflict("a file that was to be replaced is gone").with_detail(path)),
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
