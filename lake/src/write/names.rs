//! The names of an epoch's files.
//!
//! Owns [`EpochName`] and [`FileNames`].
//! - I1: a name is of job, generation, epoch and number (rule G1), and files are put create-only: one that somebody else
//!   took is left to them.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use tableflow_model::protocol::{Epoch, FileName, Generation};
use tableflow_model::{Error, JobName, Result};
use tableflow_store::paths::TablePaths;
use tableflow_store::{PutOutcome, Store};

/// Where so many random names are taken, something else is wrong.
const NAMES_TRIED_MAX: u32 = 8;

/// The part of a file's name that says who wrote it and for what.
#[derive(Clone, Debug)]
pub struct EpochName {
    pub job: JobName,
    pub generation: Generation,
    pub epoch: Epoch,
}

/// Puts the files of one epoch into one table's folder.
#[derive(Clone, Debug)]
pub struct FileNames {
    store: Store,
    paths: TablePaths,
    name: EpochName,
    next_number: u64,
}

impl FileNames {
    pub fn new(store: Store, location: &str, name: EpochName) -> Self {
        FileNames { store, paths: TablePaths::at(location), name, next_number: 0 }
    }

    pub fn job(&self) -> &JobName {
        &self.name.job
    }

    /// Under the next name that nobody has taken (I1). A dead process of the same generation may have left files behind,
    /// and a process that dies again and again leaves some each time: where one is met, numbers go on from somewhere else.
    pub async fn put(&mut self, bytes: &Bytes) -> Result<String> {
        self.put_at(bytes, TablePaths::data_file).await
    }

    /// A file of deletion vectors, in the same way.
    pub async fn put_vectors(&mut self, bytes: &Bytes) -> Result<String> {
        self.put_at(bytes, TablePaths::vectors).await
    }

    async fn put_at(&mut self, bytes: &Bytes, uri: fn(&TablePaths, &FileName) -> String) -> Result<String> {
        for _ in 0..NAMES_TRIED_MAX {
            let number = self.next_number;
            let EpochName { job, generation, epoch } = &self.name;
            let uri = uri(&self.paths, &FileName::new(job, *generation, *epoch, number));
            if self.store.put_new(&uri, bytes.clone()).await? != PutOutcome::Taken {
                self.next_number = number + 1;
                return Ok(uri);
            }
            self.next_number = RandomState::new().hash_one(number) >> 1;
        }
        Err(Error::conflict(format!("{NAMES_TRIED_MAX} file names in a row are taken by another process"))
            .with_hint("another process writes the same epoch of this table: stop one of them"))
    }
}
