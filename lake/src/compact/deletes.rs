//! Fewer delete files, the same deleted rows.
//!
//! Owns [`prepare_tidying`].
//! - I1: what is deleted stays deleted, and nothing else is: files of positions are replaced by others that say the same
//!   of the data files that are live.
//! - I2: a delete file goes where no live data file is left that it applies to (R4).
//! - I3: it is worked out on the base of the commit, a partition at a time: nothing that was found before is believed.
//! - I4: from version 3 of the format on, what files of positions say of a data file becomes its vector.
//!
//! The format would have a merged file take the greatest sequence number of those it stands for (R5). Here it has that of
//! its commit: a path is never given to a second file, so that a greater number deletes nothing more.

use std::collections::{BTreeMap, HashMap};

use iceberg::spec::{DataContentType, Struct, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::Result;
use tableflow_store::Store;

use crate::commit::{CommitContext, LiveFile, Prepared, Rewrite, manifests_of, prepare_rewrite};
use crate::read::{Applying, DeleteFiles, data_files, position_rows};
use crate::upsert::OWN_DELETES_MAX;
use crate::write::{DeleteWriter, FileNames};

/// A partition of one of the table's specs.
type Partition = (i32, Struct);

/// A commit that tidies up.
#[derive(Debug)]
pub struct Tidied {
    pub prepared: Prepared,
    /// Delete files that go, and that come in their place.
    pub removed: u64,
    pub added: u64,
}

/// The commit on this base; nothing where its delete files are as few as they can be.
pub async fn prepare_tidying(
    context: CommitContext<'_>,
    base: &TableMetadata,
    names: &mut FileNames,
    properties: BTreeMap<String, String>,
) -> Result<Option<Tidied>> {
    let Some(snapshot) = base.current_snapshot() else { return Ok(None) };
    let manifests = manifests_of(context.store, base, snapshot).await?;
    let deletes = DeleteFiles::of_manifests(context.store, base, &manifests).await?;
    if deletes.is_empty() {
        return Ok(None);
    }
    let live = data_files(context.store, &manifests).await?;
    let mut rewrite = Rewrite { properties, ..Rewrite::default() };
    let mut partitions: HashMap<Partition, Vec<(&LiveFile, Applying)>> = HashMap::new();
    for file in &live {
        let partition = (file.spec_id, file.file.partition().clone());
        partitions.entry(partition).or_default().push((file, deletes.applying_to(file)));
    }
    let applied = partitions.values().flatten().flat_map(|(_, applying)| applying.files());
    rewrite.deletes.replaced = deletes.without(applied);
    let mut writer = DeleteWriter::new(base, names);
    for ((spec_id, partition), files) in &partitions {
        let tidied = Tidying { store: context.store, writer: &mut writer, partition: (*spec_id, partition) };
        rewrite.deletes.replaced.extend(tidied.partition(files).await?);
    }
    rewrite.deletes.added = writer.finish().await?;
    let removed = rewrite.deletes.replaced.len() as u64;
    if removed == 0 {
        return Ok(None);
    }
    let added = rewrite.deletes.added.values().map(|files| files.len() as u64).sum();
    Ok(Some(Tidied { prepared: prepare_rewrite(context, base, &rewrite).await?, removed, added }))
}

/// The files of positions of one partition.
struct Tidying<'a, 'w> {
    store: &'a Store,
    writer: &'a mut DeleteWriter<'w>,
    partition: (i32, &'a Struct),
}

impl Tidying<'_, '_> {
    /// Those that go.
    async fn partition(mut self, files: &[(&LiveFile, Applying)]) -> Result<Vec<LiveFile>> {
        let mut replaced = Vec::new();
        let shared = shared_by(files);
        let rows = match shared.is_empty() {
            true => HashMap::new(),
            false => position_rows(self.store, files, |delete| !is_own(delete)).await?,
        };
        let touched = rows.values().filter(|rows| !rows.is_empty()).count();
        let own = touched <= OWN_DELETES_MAX || !self.writer.shares();
        if own || shared.len() > 1 {
            replaced.extend(shared.values().map(|delete| (*delete).clone()));
        }
        for (live, applying) in files {
            let of_shared = rows.get(live.file.file_path()).filter(|rows| own && !rows.is_empty());
            if of_shared.is_some() || self.is_worth_it(applying) {
                replaced.extend(self.merge((live, applying), of_shared).await?);
            }
        }
        if !own && shared.len() > 1 {
            let rows = rows.iter().map(|(path, rows)| (path.as_str(), rows)).collect();
            self.writer.shared(self.partition, rows).await?;
        }
        Ok(replaced)
    }

    /// Whether the data file's own delete files become another one: they are several, or none that may still be added
    /// (I4).
    fn is_worth_it(&self, applying: &Applying) -> bool {
        let own = applying.files().filter(|delete| is_own(delete)).count();
        own > 1 || (own > 0 && applying.vector.is_none() && !self.writer.shares())
    }

    /// What its own delete files say of a data file, and these rows, in one file of its own. Those that go.
    async fn merge(
        &mut self,
        (live, applying): (&LiveFile, &Applying),
        of_shared: Option<&RoaringTreemap>,
    ) -> Result<Vec<LiveFile>> {
        let path = live.file.file_path();
        let mut own = position_rows(self.store, &[(live, applying.clone())], is_own).await?;
        let mut rows = own.remove(path).unwrap_or_default();
        of_shared.into_iter().for_each(|more| rows |= more);
        self.writer.own(self.partition, (path, &rows)).await?;
        Ok(applying.files().filter(|delete| is_own(delete)).cloned().collect())
    }
}

/// The files of positions that are about several data files.
fn shared_by<'a>(files: &'a [(&LiveFile, Applying)]) -> BTreeMap<&'a str, &'a LiveFile> {
    let deletes = files.iter().flat_map(|(_, applying)| applying.files());
    let is_shared =
        |delete: &&LiveFile| delete.file.content_type() == DataContentType::PositionDeletes && !is_own(delete);
    deletes.filter(is_shared).map(|delete| (delete.file.file_path(), delete)).collect()
}

fn is_own(delete: &LiveFile) -> bool {
    delete.file.referenced_data_file().is_some()
}
