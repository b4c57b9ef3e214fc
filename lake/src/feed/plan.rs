//! Two snapshots: the rows of which files came and went.
//!
//! - I1: a file of both is looked at only where other deletes apply to it; manifests of both are not read unless deletes
//!   differ.

use std::collections::{BTreeMap, HashSet};

use iceberg::spec::{ManifestContentType, ManifestFile, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use super::steps::Step;
use crate::commit::{LiveFile, manifests_of};
use crate::read::{DeleteFiles, data_files, deleted_rows};

/// Some rows of a data file.
#[derive(Clone, Debug)]
pub struct Part {
    pub live: LiveFile,
    pub rows: Which,
}

/// Which ones.
#[derive(Clone, Debug)]
pub enum Which {
    Only(RoaringTreemap),
    AllBut(RoaringTreemap),
}

impl Which {
    pub fn has(&self, row: u64) -> bool {
        match self {
            Which::Only(rows) => rows.contains(row),
            Which::AllBut(rows) => !rows.contains(row),
        }
    }
}

/// What came and what went.
#[derive(Debug, Default)]
pub struct Plan {
    pub removed: Vec<Part>,
    pub added: Vec<Part>,
}

/// One of both snapshots, without what they share.
struct Side {
    files: BTreeMap<String, LiveFile>,
    deletes: DeleteFiles,
}

pub async fn plan(store: &Store, table: &TableMetadata, step: Step) -> Result<Plan> {
    let (before, after) = (manifests(store, table, step.from).await?, manifests(store, table, step.to).await?);
    let paths = |manifests: &[ManifestFile], content: Option<ManifestContentType>| -> HashSet<String> {
        let asked = manifests.iter().filter(|one| content.is_none_or(|content| one.content == content));
        asked.map(|one| one.manifest_path.clone()).collect()
    };
    let of_deletes = Some(ManifestContentType::Deletes);
    let deletes_differ = paths(&before, of_deletes) != paths(&after, of_deletes);
    let shared: HashSet<String> = &paths(&before, None) & &paths(&after, None);
    let is_asked = |one: &ManifestFile| deletes_differ || !shared.contains(&one.manifest_path);
    let before = side(store, table, &before, is_asked).await?;
    let mut after = side(store, table, &after, is_asked).await?;

    let mut plan = Plan::default();
    let (mut gone, mut changed) = (Vec::new(), Vec::new());
    for (path, live) in before.files {
        match after.files.remove(&path) {
            None => gone.push(live),
            Some(_) if named(&before.deletes, &live) == named(&after.deletes, &live) => {}
            Some(_) => changed.push(live),
        }
    }
    let new: Vec<LiveFile> = after.files.into_values().collect();
    let deleted_before = deleted(store, table, &before.deletes, &[&gone, &changed]).await?;
    let deleted_after = deleted(store, table, &after.deletes, &[&new, &changed]).await?;
    let rows_of = |deleted: &BTreeMap<String, RoaringTreemap>, live: &LiveFile| {
        deleted.get(live.file.file_path()).cloned().unwrap_or_default()
    };
    let whole = |deleted: &BTreeMap<String, RoaringTreemap>, live: LiveFile| {
        let rows = Which::AllBut(rows_of(deleted, &live));
        Part { live, rows }
    };
    plan.removed.extend(gone.into_iter().map(|live| whole(&deleted_before, live)));
    plan.added.extend(new.into_iter().map(|live| whole(&deleted_after, live)));
    for live in changed {
        let (before, after) = (rows_of(&deleted_before, &live), rows_of(&deleted_after, &live));
        for (parts, rows) in [(&mut plan.removed, &after - &before), (&mut plan.added, &before - &after)] {
            if !rows.is_empty() {
                parts.push(Part { live: live.clone(), rows: Which::Only(rows) });
            }
        }
    }
    plan.removed.sort_by_key(|part| part.live.sequence);
    plan.added.sort_by_key(|part| part.live.sequence);
    Ok(plan)
}

async fn manifests(store: &Store, table: &TableMetadata, snapshot: Option<i64>) -> Result<Vec<ManifestFile>> {
    let Some(id) = snapshot else { return Ok(Vec::new()) };
    let snapshot = table.snapshot_by_id(id).ok_or_else(|| {
        Error::not_found(format!("the table has no snapshot {id}"))
            .with_hint("`tableflow history TABLE` lists the snapshots that are kept")
    })?;
    manifests_of(store, table, snapshot).await
}

async fn side(
    store: &Store,
    table: &TableMetadata,
    manifests: &[ManifestFile],
    is_asked: impl Fn(&ManifestFile) -> bool,
) -> Result<Side> {
    let asked: Vec<ManifestFile> = manifests.iter().filter(|one| is_asked(one)).cloned().collect();
    let files = data_files(store, &asked).await?;
    let files = files.into_iter().map(|live| (live.file.file_path().to_owned(), live)).collect();
    Ok(Side { files, deletes: DeleteFiles::of_manifests(store, table, manifests).await? })
}

/// The delete files that apply to a data file. Two vectors may stand in one file: each is known by its place in it, too.
fn named(deletes: &DeleteFiles, live: &LiveFile) -> HashSet<(String, Option<i64>)> {
    let applying = deletes.applying_to(live);
    applying.files().map(|delete| (delete.file.file_path().to_owned(), delete.file.content_offset())).collect()
}

async fn deleted(
    store: &Store,
    table: &TableMetadata,
    deletes: &DeleteFiles,
    files: &[&Vec<LiveFile>],
) -> Result<BTreeMap<String, RoaringTreemap>> {
    let files: Vec<&LiveFile> = files.iter().flat_map(|files| files.iter()).collect();
    Ok(deleted_rows(store, table, deletes, &files).await?.into_iter().collect())
}
