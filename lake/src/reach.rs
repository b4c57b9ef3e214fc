//! What a table's retained snapshots name.
//!
//! Owns [`Reach`], which a collection holds against a listing.
//! - I1: it is everything or an error: a manifest that cannot be read may name any file.

use std::collections::{BTreeSet, HashMap, HashSet};

use iceberg::spec::{ManifestFile, TableMetadata};
use tableflow_model::Result;
use tableflow_store::Store;

use crate::commit::{live_files_of, manifests_of};
use crate::feed::{changes_of, path_of};
use crate::read::side_by_side;

/// By URI, as the metadata has it.
#[derive(Debug, Default)]
pub struct Reach {
    /// Data files, delete files and change files.
    pub files: HashSet<String>,
    /// Manifests, their lists, statistics, metadata files of now and before.
    pub metadata: HashSet<String>,
}

/// Everything that the table names at this location of its metadata.
pub async fn reach(store: &Store, table: &TableMetadata, metadata_location: &str) -> Result<Reach> {
    let mut reach = Reach::default();
    reach.metadata.insert(metadata_location.to_owned());
    reach.metadata.extend(table.metadata_log().iter().map(|log| log.metadata_file.clone()));
    reach.metadata.extend(table.statistics_iter().map(|statistics| statistics.statistics_path.clone()));
    reach.metadata.extend(table.partition_statistics_iter().map(|statistics| statistics.statistics_path.clone()));
    let mut manifests: HashMap<String, ManifestFile> = HashMap::new();
    let mut snapshots: Vec<_> = table.snapshots().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    for snapshot in snapshots {
        reach.metadata.insert(snapshot.manifest_list().to_owned());
        if let Some(changes) = changes_of(snapshot) {
            reach.files.insert(path_of(changes)?);
        }
        for manifest in manifests_of(store, table, snapshot).await? {
            manifests.insert(manifest.manifest_path.clone(), manifest);
        }
    }
    let order: BTreeSet<&String> = manifests.keys().collect();
    let live = order.into_iter().filter_map(|path| manifests.get(path));
    let live = live.filter(|manifest| manifest.has_added_files() || manifest.has_existing_files());
    let reads: Vec<_> = live.map(|manifest| paths_of(store, manifest)).collect();
    reach.files.extend(side_by_side(reads).await?.into_iter().flatten());
    reach.metadata.extend(manifests.into_keys());
    Ok(reach)
}

async fn paths_of(store: &Store, manifest: &ManifestFile) -> Result<Vec<String>> {
    let files = live_files_of(store, manifest).await?;
    Ok(files.into_iter().map(|live| live.file.file_path().to_owned()).collect())
}
