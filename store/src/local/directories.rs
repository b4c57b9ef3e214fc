//! The directories of the local store: which lie under its root, and which are known to be on disk.
//!
//! Owns [`Directories`].
//! - I1: a directory is `synced` only after it and every directory up to the root were fsynced by this process, so
//!   no racing writer takes a directory for durable that another one has only just made.
//! - I2: a directory is `confined` only after its real path was found under the root. Symbolic links at the file
//!   itself are looked for at each request.
//!
//! Neighbours: `local` asks before each request; `staging` before each write.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::DiskError;

/// Creates a directory with its parents, all on disk when it returns.
pub fn create_directory(path: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(path)?;
    let path = fs::canonicalize(path)?;
    for directory in path.ancestors() {
        // A directory above that is not ours to open was there before.
        match File::open(directory) {
            Ok(file) => file.sync_all()?,
            Err(_) => break,
        }
    }
    Ok(path)
}

#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    synced: Mutex<HashSet<PathBuf>>,
    confined: Mutex<HashSet<PathBuf>>,
}

impl Directories {
    /// The root by its real path.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        let root = fs::canonicalize(root)?;
        Ok(Directories { root, synced: Mutex::default(), confined: Mutex::default() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Refuses a file whose real place is, or would be, outside the root (I2).
    pub(super) fn check(&self, file: &Path) -> Result<(), DiskError> {
        if !file.starts_with(&self.root) {
            return Err(outside(file));
        }
        if fs::symlink_metadata(file).is_ok_and(|metadata| metadata.file_type().is_symlink()) {
            return Err(outside(file));
        }
        match file.ancestors().skip(1).find(|ancestor| ancestor.exists()) {
            Some(directory) => self.confine(directory),
            None => Err(outside(file)),
        }
    }

    /// Makes the directory of a file that is about to be written (I1, I2).
    pub(super) fn prepare(&self, directory: &Path) -> Result<(), DiskError> {
        if lock(&self.synced).contains(directory) && directory.exists() {
            return Ok(());
        }
        fs::create_dir_all(directory).map_err(DiskError::of("create the directory", directory))?;
        self.confine(directory)?;
        let inside = directory.ancestors().take_while(|ancestor| ancestor.starts_with(&self.root));
        for ancestor in inside {
            sync(ancestor)?;
            lock(&self.synced).insert(ancestor.to_owned());
        }
        Ok(())
    }

    fn confine(&self, directory: &Path) -> Result<(), DiskError> {
        if lock(&self.confined).contains(directory) {
            return Ok(());
        }
        let real = fs::canonicalize(directory).map_err(DiskError::of("resolve", directory))?;
        if !real.starts_with(&self.root) {
            return Err(outside(directory));
        }
        lock(&self.confined).insert(directory.to_owned());
        Ok(())
    }
}

/// Puts the entries of a directory on disk.
pub(super) fn sync(directory: &Path) -> Result<(), DiskError> {
    let synced = File::open(directory).and_then(|file| file.sync_all());
    synced.map_err(DiskError::of("sync the directory", directory))
}

fn outside(path: &Path) -> DiskError {
    let source = io::Error::new(io::ErrorKind::PermissionDenied, "it leads out of the store's directory");
    DiskError { action: "follow", path: path.to_owned(), source }
}

/// The sets only grow, entry by entry: one that a panicking thread left is as good as before.
fn lock(set: &Mutex<HashSet<PathBuf>>) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}
