//! Staged files onto the base of now.
//!
//! Owns [`prepare_step`].
//! - I1: of each group, either every file that it replaces is live in the base and has at least the deleted rows that
//!   were seen when it was read, or the group is given up (R2, U3).
//!   So is every group of a table that became another version of the format: its rows have got ids meanwhile.
//! - I2: rows that were deleted since are deleted in the new files by the same commit (R3), and delete files that were
//!   about replaced files alone go with them (R4).

use std::collections::{BTreeMap, HashMap, HashSet};

use iceberg::spec::{DataFile, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::Result;
use tableflow_model::protocol::Rules;
use tableflow_model::protocol::rewrite::{Judged, Now, judge, sequence};

use super::plan::Plan;
use super::rewrite::Rewritten;
use crate::commit::{CommitContext, LiveFile, Prepared, Rewrite, manifests_of, prepare_rewrite};
use crate::read::{DeleteFiles, data_files, deleted_rows};
use crate::write::{DeleteWriter, FileNames};

/// What of a step is published.
#[derive(Clone, Debug)]
pub struct Published {
    /// The groups that are in it, by their places among those given.
    pub groups: Vec<usize>,
    /// Rows that were deleted while their files were rewritten.
    pub moved_deletes: u64,
}

/// What a base says of the files that are to be replaced.
struct Base {
    live: HashMap<String, LiveFile>,
    deleted: HashMap<String, RoaringTreemap>,
    deletes: DeleteFiles,
}

/// The step on this base; nothing where no group of it can be published.
pub async fn prepare_step(
    context: CommitContext<'_>,
    (base, plan): (&TableMetadata, &Plan),
    done: &[Rewritten],
    names: &mut FileNames,
    properties: BTreeMap<String, String>,
) -> Result<Option<(Prepared, Published)>> {
    if base.format_version() != plan.version {
        return Ok(None);
    }
    let now = base_of(context, base, done).await?;
    let read_at = sequence(plan.sequence, base.next_sequence_number(), Rules::law());
    let mut rewrite = Rewrite { read_at, properties, ..Rewrite::default() };
    let (mut groups, mut moved_deletes) = (Vec::new(), 0);
    let mut deletes = DeleteWriter::new(base, names);
    for (place, rewritten) in done.iter().enumerate() {
        let Some(since) = now.deleted_since(rewritten) else { continue };
        groups.push(place);
        moved_deletes += since.values().map(RoaringTreemap::len).sum::<u64>();
        let group = &rewritten.group;
        for (file, rows) in rewritten.files.iter().enumerate().filter_map(|(at, file)| Some((file, since.get(&at)?))) {
            deletes.own((group.spec_id, &group.partition), (file.file_path(), rows)).await?;
        }
        let files: &mut Vec<DataFile> = rewrite.files.entry(group.spec_id).or_default();
        files.extend(rewritten.files.iter().cloned());
        for input in &group.files {
            rewrite.replaced.push(input.live.clone());
            rewrite.deletes.replaced.extend(now.deletes.of_one_file(input.live.file.file_path()));
        }
    }
    if groups.is_empty() {
        return Ok(None);
    }
    rewrite.deletes.added = deletes.finish().await?;
    let prepared = prepare_rewrite(context, base, &rewrite).await?;
    Ok(Some((prepared, Published { groups, moved_deletes })))
}

async fn base_of(context: CommitContext<'_>, table: &TableMetadata, done: &[Rewritten]) -> Result<Base> {
    let Some(snapshot) = table.current_snapshot() else {
        return Ok(Base { live: HashMap::new(), deleted: HashMap::new(), deletes: DeleteFiles::default() });
    };
    let manifests = manifests_of(context.store, table, snapshot).await?;
    let deletes = DeleteFiles::of_manifests(context.store, table, &manifests).await?;
    let inputs = done.iter().flat_map(|rewritten| &rewritten.group.files);
    let wanted: HashSet<&str> = inputs.map(|input| input.live.file.file_path()).collect();
    let live = data_files(context.store, &manifests).await?.into_iter();
    let live: HashMap<String, LiveFile> = live
        .filter(|live| wanted.contains(live.file.file_path()))
        .map(|live| (live.file.file_path().to_owned(), live))
        .collect();
    let deleted = deleted_rows(context.store, table, &deletes, &live.values().collect::<Vec<_>>()).await?;
    Ok(Base { live, deleted, deletes })
}

impl Base {
    /// By new file: the rows of a group that were deleted since it was read; nothing where it has to be given up (I1).
    fn deleted_since(&self, rewritten: &Rewritten) -> Option<BTreeMap<usize, RoaringTreemap>> {
        let mut since: BTreeMap<usize, RoaringTreemap> = BTreeMap::new();
        let none = RoaringTreemap::new();
        for (place, input) in rewritten.group.files.iter().enumerate() {
            let path = input.live.file.file_path();
            let deleted = self.deleted.get(path).unwrap_or(&none);
            let now = self.live.contains_key(path).then_some(Now { deleted });
            match judge(rewritten.moved.deleted(place).unwrap_or(&none), now, Rules::law()) {
                Judged::Publish { deleted_since } => {
                    for at in rewritten.moved.places(place, &deleted_since) {
                        since.entry(at.output).or_default().insert(at.row);
                    }
                }
                Judged::Replaced | Judged::Revived => return None,
            }
        }
        Some(since)
    }
}
