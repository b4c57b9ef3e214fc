//! Fewer delete files, the same deleted rows.
//!
//! Owns [`prepare_tidying`].
//! - I1: what is deleted stays deleted, and nothing else is: files of positions are replaced by others that say the same
//!   of the data files that are live.
//! - I2: a delete file goes where no live data file is left that it applies to (R4).
//! - I3: it is worked out on the base of the commit, a partition at a time: nothing that was found before is believed.
//!
//! The format would have a merged file take the greatest sequence number of those it stands for (R5). Here it has that of
//! its commit: a path is never given to a second file, so that a greater number deletes nothing more.

use std::collections::{BTreeMap, HashMap};

use iceberg::spec::{DataContentType, Struct, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::Result;
use tableflow_store::Store;

use crate::commit::{CommitContext, Deletes, LiveFile, Prepared, Rewrite, manifests_of, prepare_rewrite};
use crate::read::{Applying, DeleteFiles, data_files, position_rows};
use crate::upsert::OWN_DELETES_MAX;
use crate::write::{FileNames, PositionFile};

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
    for ((spec_id, partition), files) in &partitions {
        let tidied = Tidying { store: context.store, names, partition: (*spec_id, partition) };
        tidied.partition(files, &mut rewrite.deletes).await?;
    }
    let removed = rewrite.deletes.replaced.len() as u64;
    if removed == 0 {
        return Ok(None);
    }
    let added = rewrite.deletes.added.values().map(|files| files.len() as u64).sum();
    Ok(Some(Tidied { prepared: prepare_rewrite(context, base, &rewrite).await?, removed, added }))
}

struct Tidying<'a> {
    store: &'a Store,
    names: &'a mut FileNames,
    partition: (i32, &'a Struct),
}

impl Tidying<'_> {
    /// The files of positions of one partition.
    async fn partition(mut self, files: &[(&LiveFile, Applying)], deletes: &mut Deletes) -> Result<()> {
        let shared = shared_by(files);
        let rows = match shared.is_empty() {
            true => HashMap::new(),
            false => position_rows(self.store, files, |delete| !is_own(delete)).await?,
        };
        let touched = rows.values().filter(|rows| !rows.is_empty()).count();
        let own = touched <= OWN_DELETES_MAX;
        if own || shared.len() > 1 {
            deletes.replaced.extend(shared.values().map(|delete| (*delete).clone()));
        }
        let several = |applying: &Applying| applying.files().filter(|delete| is_own(delete)).count() > 1;
        for (live, applying) in files {
            let of_shared = rows.get(live.file.file_path()).filter(|rows| own && !rows.is_empty());
            if of_shared.is_some() || several(applying) {
                self.merge((live, applying), of_shared, deletes).await?;
            }
        }
        if !own && shared.len() > 1 {
            self.put(rows.iter().map(|(path, rows)| (path.as_str(), rows)).collect(), deletes).await?;
        }
        Ok(())
    }

    /// What its own delete files say of a data file, and these rows, in one file of its own.
    async fn merge(
        &mut self,
        (live, applying): (&LiveFile, &Applying),
        of_shared: Option<&RoaringTreemap>,
        deletes: &mut Deletes,
    ) -> Result<()> {
        let path = live.file.file_path();
        let mut own = position_rows(self.store, &[(live, applying.clone())], is_own).await?;
        let mut rows = own.remove(path).unwrap_or_default();
        of_shared.into_iter().for_each(|more| rows |= more);
        deletes.replaced.extend(applying.files().filter(|delete| is_own(delete)).cloned());
        self.put(vec![(path, &rows)], deletes).await
    }

    async fn put(&mut self, rows: Vec<(&str, &RoaringTreemap)>, deletes: &mut Deletes) -> Result<()> {
        if let Some(encoded) = PositionFile::encode(rows)? {
            let uri = self.names.put(&encoded.bytes).await?;
            let (spec_id, partition) = self.partition;
            deletes.added.entry(spec_id).or_default().push(encoded.describe(&uri, spec_id, partition)?);
        }
        Ok(())
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
