//! The directories of the local store: which are allowed, and which are known to be on disk.
//!
//! Owns [`Directories`].
//! - I1: a directory is `synced` only after it and every directory up to its root were fsynced by this process, so
//!   no racing writer takes a directory for durable that another one has only just made.
//! - I2: a directory is `confined` only after its real path was found under a root. Symbolic links at the file
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
    roots: Vec<PathBuf>,
    synced: Mutex<HashSet<PathBuf>>,
    confined: Mutex<HashSet<PathBuf>>,
}

impl Directories {
    /// The roots by their real paths.
    pub(super) fn new(roots: Vec<PathBuf>) -> io::Result<Self> {
        let roots = roots.iter().map(fs::canonicalize).collect::<io::Result<_>>()?;
        Ok(Directories { roots, synced: Mutex::default(), confined: Mutex::default() })
    }

    pub(super) fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// The deepest root that holds the path.
    pub(super) fn root_of(&self, path: &Path) -> Result<&Path, DiskError> {
        let holding = self.roots.iter().filter(|root| path.starts_with(root));
        let deepest = holding.max_by_key(|root| root.as_os_str().len());
        deepest.map(PathBuf::as_path).ok_or_else(|| outside(path))
    }

    /// Refuses a file whose real place is, or would be, outside the roots (I2).
    pub(super) fn check(&self, file: &Path) -> Result<(), DiskError> {
        self.root_of(file)?;
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
        let root = self.root_of(directory)?;
        if lock(&self.synced).contains(directory) && directory.exists() {
            return Ok(());
        }
        fs::create_dir_all(directory).map_err(DiskError::of("create the directory", directory))?;
        self.confine(directory)?;
        let inside = directory.ancestors().take_while(|ancestor| ancestor.starts_with(root));
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
        if !self.roots.iter().any(|root| real.starts_with(root)) {
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
    let source = io::Error::new(io::ErrorKind::PermissionDenied, "it leads out of the store's directories");
    DiskError { action: "follow", path: path.to_owned(), source }
}

/// The sets only grow, entry by entry: one that a panicking thread left is as good as before.
fn lock(set: &Mutex<HashSet<PathBuf>>) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}
