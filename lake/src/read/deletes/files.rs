//! The delete files of a snapshot, by the data files that they apply to.
//!
//! Owns [`DeleteFiles`], read from the manifests of deletes, and [`Applying`], those for one data file.
//! - I1: a deletion vector applies to the one file that it names; beside it files of positions do not count.
//! - I2: a file of positions applies to data files of its own partition that are not younger than it is.
//! - I3: an equality delete applies to data files that are older than it is, of its own partition; one without a
//!   partition applies to all of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFileFormat, ManifestContentType, ManifestFile, Struct, TableMetadata};
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use super::side_by_side;
use crate::commit::{LiveFile, live_files_of};

/// A partition of one of the table's specs.
type Partition = (i32, Struct);

/// What a snapshot has.
#[derive(Debug, Default)]
pub struct DeleteFiles {
    /// By the path of the data file.
    vectors: HashMap<String, Arc<LiveFile>>,
    /// The same.
    of_one_file: HashMap<String, Vec<Arc<LiveFile>>>,
    of_partition: HashMap<Partition, Vec<Arc<LiveFile>>>,
    equality: HashMap<Partition, Vec<Arc<LiveFile>>>,
    equality_everywhere: Vec<Arc<LiveFile>>,
}

/// What applies to one data file.
#[derive(Clone, Debug, Default)]
pub struct Applying {
    pub vector: Option<Arc<LiveFile>>,
    pub positions: Vec<Arc<LiveFile>>,
    pub equality: Vec<Arc<LiveFile>>,
}

impl Applying {
    pub fn files(&self) -> impl Iterator<Item = &LiveFile> {
        self.vector.iter().chain(&self.positions).chain(&self.equality).map(AsRef::as_ref)
    }

    /// Whether all of them are about this data file alone.
    pub fn are_own(&self) -> bool {
        self.files().all(|delete| delete.file.referenced_data_file().is_some())
    }
}

impl DeleteFiles {
    /// Those that the manifests name; manifests of data are passed over.
    pub async fn of_manifests(store: &Store, table: &TableMetadata, manifests: &[ManifestFile]) -> Result<Self> {
        let mut reads = Vec::new();
        for manifest in manifests {
            let live = manifest.has_added_files() || manifest.has_existing_files();
            if live && manifest.content == ManifestContentType::Deletes {
                reads.push(live_files_of(store, manifest));
            }
        }
        let mut files = DeleteFiles::default();
        for delete in side_by_side(reads).await?.into_iter().flatten() {
            files.add(table, Arc::new(delete))?;
        }
        Ok(files)
    }

    pub fn is_empty(&self) -> bool {
        self.vectors.is_empty()
            && self.of_one_file.is_empty()
            && self.of_partition.is_empty()
            && self.equality.is_empty()
            && self.equality_everywhere.is_empty()
    }

    /// All but these.
    pub fn without<'a>(&self, some: impl Iterator<Item = &'a LiveFile>) -> Vec<LiveFile> {
        let named = |file: &LiveFile| (file.file.file_path().to_owned(), file.file.content_offset());
        let some: HashSet<_> = some.map(named).collect();
        let of_one_file = self.of_one_file.values().chain(self.of_partition.values()).flatten();
        let equality = self.equality.values().flatten().chain(&self.equality_everywhere);
        let all = self.vectors.values().chain(of_one_file).chain(equality);
        all.filter(|delete| !some.contains(&named(delete))).map(|delete| delete.as_ref().clone()).collect()
    }

    fn add(&mut self, table: &TableMetadata, delete: Arc<LiveFile>) -> Result<()> {
        let file = &delete.file;
        let partition = || (delete.spec_id, file.partition().clone());
        match (file.content_type(), file.file_format()) {
            (DataContentType::PositionDeletes, DataFileFormat::Puffin) => {
                let Some(path) = file.referenced_data_file() else {
                    return Err(Error::data("a deletion vector names no data file").with_detail(file.file_path()));
                };
                self.vectors.insert(path, delete.clone());
            }
            (DataContentType::PositionDeletes, DataFileFormat::Parquet) => match file.referenced_data_file() {
                Some(path) => self.of_one_file.entry(path).or_default().push(delete.clone()),
                None => self.of_partition.entry(partition()).or_default().push(delete.clone()),
            },
            (DataContentType::EqualityDeletes, DataFileFormat::Parquet) => {
                let spec = table.partition_spec_by_id(delete.spec_id);
                if spec.is_some_and(|spec| spec.is_unpartitioned()) {
                    self.equality_everywhere.push(delete.clone());
                } else {
                    self.equality.entry(partition()).or_default().push(delete.clone());
                }
            }
            (_, format) => {
                return Err(Error::usage(format!(
                    "the table has delete files of format {format}, which are not read here"
                ))
                .with_detail(file.file_path())
                .with_hint("compact the table with the engine that wrote them"));
            }
        }
        Ok(())
    }

    /// The delete files that are about this data file alone.
    pub fn of_one_file(&self, path: &str) -> Vec<LiveFile> {
        let of_file = self.of_one_file.get(path).into_iter().flatten();
        of_file.chain(self.vectors.get(path)).map(|delete| delete.as_ref().clone()).collect()
    }

    /// I1, I2, I3.
    pub fn applying_to(&self, live: &LiveFile) -> Applying {
        let path = live.file.file_path();
        let partition = (live.spec_id, live.file.partition().clone());
        let not_older = |delete: &&Arc<LiveFile>| delete.sequence >= live.sequence;
        let younger = |delete: &&Arc<LiveFile>| delete.sequence > live.sequence;
        let vector = self.vectors.get(path).filter(|delete| not_older(delete)).cloned();
        let positions = if vector.is_some() {
            Vec::new()
        } else {
            let of_file = self.of_one_file.get(path).into_iter().flatten();
            let of_partition = self.of_partition.get(&partition).into_iter().flatten();
            of_file.chain(of_partition).filter(not_older).cloned().collect()
        };
        let equality = self.equality.get(&partition).into_iter().flatten().chain(&self.equality_everywhere);
        Applying { vector, positions, equality: equality.filter(younger).cloned().collect() }
    }
}
