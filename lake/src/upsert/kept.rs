//! What an index of keys may take, and what is left of it on disk.
//!
//! Owns [`Kept`], what a [`KeyedTable`] knows about that.
//! - I1: an index that takes more than its part goes on on disk, and says so the first time.
//! - I2: nothing here changes what the table's rows are: an index that cannot be read is built anew, and one that
//!   cannot be saved is built anew by the next process.
//! - I3: what is saved costs as much as the index is large, so it is saved when much is new: a row is written a few
//!   times.
//! - I4: where work aside is broken off, nothing is known any more.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use tableflow_model::{Error, ErrorKind, Result};
use uuid::Uuid;

use super::files::NumberedFiles;
use super::keyed::KeyedTable;
use crate::keys::{Cached, CachedFile, KeyHasher, KeyIndex, KeyMemory, KeyShare, RunFolder};

/// Rows that are gone, or new, and not many, whatever the index has.
const FEW: u64 = 1 << 16;

/// Files that are gone, or new: there may be many of few rows.
const FEW_FILES: usize = 4096;

/// At a stop: reading so many files anew takes no time.
const FEW_FILES_AT_STOP: usize = 64;

/// What is known of an index beside what is in it.
#[derive(Debug, Default)]
pub struct Kept {
    share: Option<KeyShare>,
    /// What another process left, until the table is looked at.
    cached: Option<Cached>,
    /// Since it was saved.
    new_rows: u64,
    new_files: usize,
}

impl Kept {
    /// With a further file of so many rows.
    pub fn grew_by(&mut self, rows: usize) {
        self.new_rows += rows as u64;
        self.new_files += 1;
    }
}

/// How large an index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyExtent {
    pub keys: u64,
    /// Those of them that are on disk alone.
    pub on_disk: u64,
    /// Bytes of memory.
    pub bytes: u64,
}

impl KeyedTable {
    /// Has a part of that memory, and a folder for what goes beyond it, or is left for the next process; what another one
    /// left there is taken over with the seed of its hashes. `nonce` is nobody else's.
    pub async fn kept_in(
        mut self,
        memory: &Arc<KeyMemory>,
        (directory, nonce): (PathBuf, Uuid),
        table: Uuid,
    ) -> Result<Self> {
        let mut folder = RunFolder::new(directory, nonce);
        let (key, hasher) = (self.key.clone(), self.reader.hasher.clone());
        let look = move || {
            let cached = Cached::read(folder.directory(), table, (&key, &hasher));
            if cached.is_none() {
                folder.clear();
            }
            (folder, cached)
        };
        let looked = tokio::task::spawn_blocking(look).await;
        let (folder, cached) = looked.map_err(|error| failed_inside(error.into()))?;
        if let Some(cached) = &cached {
            self.reader.hasher = Arc::new(self.reader.hasher.with_seed(cached.seed())?);
        }
        self.index = self.index.in_folder(folder);
        self.kept = Kept { share: Some(memory.share()), cached, ..Kept::default() };
        Ok(self)
    }

    pub fn extent(&self) -> KeyExtent {
        KeyExtent { keys: self.index.len(), on_disk: self.index.on_disk(), bytes: self.index.memory() }
    }

    /// What takes long, in a thread of its own (I4).
    async fn aside<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut KeyIndex, &NumberedFiles) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let stands_for = self.stands_for.take();
        let emptied = self.index.emptied();
        let mut index = std::mem::replace(&mut self.index, emptied);
        let files = std::mem::take(&mut self.files);
        let working = tokio::task::spawn_blocking(move || {
            let done = work(&mut index, &files);
            (index, files, done)
        });
        let (index, files, done) = working.await.map_err(|error| failed_inside(error.into()))?;
        (self.index, self.files, self.stands_for) = (index, files, stands_for);
        done
    }

    /// After an error of the index: what made it void leaves nothing of it (I2).
    pub(super) fn without_index(&mut self, error: Error) -> Error {
        if error.kind() != ErrorKind::Internal {
            return error;
        }
        tracing::warn!(%error, "the key index is built anew");
        (self.index, self.files, self.stands_for) = (self.index.emptied(), NumberedFiles::default(), None);
        Error::unavailable("the key index is void, and is built anew").with_source(error)
    }

    /// I1.
    pub(super) async fn keep_within_memory(&mut self) -> Result<()> {
        let bytes = self.index.memory();
        let Some(share) = &mut self.kept.share else { return Ok(()) };
        share.hold(bytes);
        if !share.must_spill() {
            return Ok(());
        }
        if self.index.on_disk() == 0 {
            let keys = self.index.len();
            tracing::warn!(
                keys,
                bytes,
                "an index of keys has no room in memory and goes on on disk: see memory.budget"
            );
        }
        let spilled = self.aside(|index, files| index.spill(|location| files.is_live(location))).await;
        spilled.map_err(|error| self.without_index(error))?;
        let bytes = self.index.memory();
        if let Some(share) = &mut self.kept.share {
            share.hold(bytes);
        }
        Ok(())
    }

    /// Before so many are read.
    pub(super) fn make_room_for(&mut self, rows: u64) {
        self.index.reserve(rows, self.kept.share.as_ref().map_or(u64::MAX, KeyShare::room));
    }

    /// So that the index takes no more than live rows need, and numbers of files come free.
    pub(super) async fn purge_if_much_is_gone(&mut self) -> Result<()> {
        let rows = self.files.rows();
        let gone = self.index.len().saturating_sub(rows);
        if gone <= rows / 4 + FEW && self.files.gone() <= FEW_FILES { Ok(()) } else { self.purge().await }
    }

    pub(crate) async fn purge(&mut self) -> Result<()> {
        let purged = self.aside(|index, files| index.purge(|location| files.is_live(location))).await;
        purged.map_err(|error| self.without_index(error))?;
        self.files.free_the_gone();
        self.keep_within_memory().await
    }

    /// The files that another process knew, and their rows in the index.
    pub(super) async fn remembered(&mut self, table: Uuid) -> HashMap<String, CachedFile> {
        let (Some(mut cached), Some(share)) = (self.kept.cached.take(), &self.kept.share) else {
            return HashMap::new();
        };
        let (files, numbers, snapshot) = (std::mem::take(&mut cached.files), cached.numbers(), cached.snapshot());
        let room = share.room();
        let loaded = self.aside(move |index, _| cached.load(index, room)).await;
        match loaded {
            Ok(()) => {
                self.files = NumberedFiles::given_out(numbers);
                let (keys, on_disk) = (self.index.len(), self.index.on_disk());
                tracing::info!(%table, snapshot, keys, on_disk, "the key index was read from disk");
                files.into_iter().map(|file| (file.path.clone(), file)).collect()
            }
            Err(error) => {
                self.index = self.index.emptied();
                tracing::warn!(%table, %error, detail = error.detail(), "the key index is built anew");
                HashMap::new()
            }
        }
    }

    /// I3.
    pub(super) async fn save_if_much_is_new(&mut self) {
        if self.kept.new_rows > self.index.len() / 2 + FEW || self.kept.new_files > FEW_FILES {
            self.save().await;
        }
    }

    /// Nobody commits by it any more: whoever comes next is to find what there is, unless it is soon read anew.
    pub async fn end(&mut self) {
        let is_much = self.kept.new_rows * 8 + FEW > self.index.len();
        if self.kept.new_rows > 0 && (is_much || self.kept.new_files > FEW_FILES_AT_STOP) {
            self.save().await;
        }
    }

    /// Rows that were read or committed since it was saved, or was begun.
    #[cfg(test)]
    pub(crate) fn new_rows(&self) -> u64 {
        self.kept.new_rows
    }

    /// I2.
    pub(crate) async fn save(&mut self) {
        let (Some(of), Some(_)) = (self.stands_for, &self.kept.share) else { return };
        let (key, hasher) = (self.key.clone(), self.reader.hasher.clone());
        let left_out: HashSet<u32> = self.superseded.keys().copied().collect();
        let saving = self.aside(move |index, files| save(index, files, of, (&key, &hasher), &left_out));
        if let Err(error) = saving.await {
            tracing::warn!(%error, detail = error.detail(), "the key index is not kept on disk");
        }
        (self.kept.new_rows, self.kept.new_files) = (0, 0);
    }
}

/// Without the files of which rows are to go, that are out of the index already.
fn save(
    index: &mut KeyIndex,
    files: &NumberedFiles,
    of: (Uuid, Option<i64>),
    keys: (&[i32], &KeyHasher),
    left_out: &HashSet<u32>,
) -> Result<()> {
    let known = files.iter().filter(|(number, _)| !left_out.contains(number));
    let known = known.map(|(number, file)| CachedFile {
        number,
        path: file.live.file.file_path().to_owned(),
        deleted: file.deleted.clone(),
    });
    let known: Vec<CachedFile> = known.collect();
    Cached::write(index, of, keys, (files.numbers(), &known))
}

fn failed_inside(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::internal("work on the key index failed inside").with_source(error)
}
