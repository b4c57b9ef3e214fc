//! Files being written, before anyone can see them.
//!
//! Owns [`Staged`], one file on its way.
//! - I1: staged files lie in `.staged` at the top of the mount they go to: `<root>/<first directory>/.staged`, so
//!   that sweeping is one short listing and never a walk over all tables, and linking never crosses file systems
//!   when the root's directories are mounts of their own.
//! - I2: their names end in `#` and digits, which `LocalFileSystem` hides from listings and refuses to address.
//! - I3: a staged file is removed when it is published, when it fails and when it is dropped.
//!
//! Neighbours: `local` writes through it, `directories` makes and syncs the directories.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use object_store::{PutMode, PutPayload};
use tableflow_model::Millis;

use super::DiskError;
use super::directories::{self, Directories};
use crate::kill::{self, KillPoint};

const DIRECTORY: &str = ".staged";

/// The action that fails when an object exists already.
pub(super) const LINK: &str = "create";

/// A write takes seconds: what has not been touched for an hour has no writer.
const SWEEP_AGE_MS: i64 = 60 * 60 * 1000;

/// Tells the files of one process apart.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// A file on its way to `target`.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
    file: File,
    target: PathBuf,
}

impl Staged {
    pub(super) fn create(directories: &Directories, target: &Path) -> Result<Self, DiskError> {
        directories.check(target)?;
        let directory = area(directories.root(), target);
        fs::create_dir_all(&directory).map_err(DiskError::of("create the directory", &directory))?;
        directories.check(&directory.join(DIRECTORY))?;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("{}#{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Staged { path, file, target: target.to_owned() }),
                // Left by an earlier process with the same id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(DiskError::of("stage", &path)(error)),
            }
        }
    }

    pub(super) fn write(&self, payload: &PutPayload) -> Result<(), DiskError> {
        for part in payload {
            (&self.file).write_all(part).map_err(DiskError::of("write", &self.path))?;
        }
        Ok(())
    }

    /// Sync, link, sync: the order that `local` promises.
    pub(super) fn publish(&self, directories: &Directories, mode: &PutMode) -> Result<(), DiskError> {
        let parent = self.target.parent().unwrap_or(&self.target);
        directories.prepare(parent)?;
        self.file.sync_all().map_err(DiskError::of("sync", &self.path))?;
        kill::at(KillPoint::LocalStaged);
        match mode {
            PutMode::Overwrite => {
                fs::rename(&self.path, &self.target).map_err(DiskError::of("replace", &self.target))?
            }
            PutMode::Create | PutMode::Update(_) => self.link(parent)?,
        }
        kill::at(KillPoint::LocalVisible);
        if let Err(error) = directories::sync(parent) {
            // Visible and perhaps not on disk: take it back rather than acknowledge it or leave it half there.
            if matches!(mode, PutMode::Create) {
                fs::remove_file(&self.target).map_err(DiskError::of("take back", &self.target))?;
            }
            return Err(error);
        }
        Ok(())
    }

    fn link(&self, parent: &Path) -> Result<(), DiskError> {
        let linked = fs::hard_link(&self.path, &self.target);
        if linked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            // The caller may build on the object that is there, whose writer may have died before it synced.
            directories::sync(parent)?;
        }
        linked.map_err(DiskError::of(LINK, &self.target))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already after a rename; what cannot be removed is swept later.
        let _ = fs::remove_file(&self.path);
    }
}

fn area(root: &Path, target: &Path) -> PathBuf {
    let mut inside = target.strip_prefix(root).unwrap_or(target).components();
    match (inside.next(), inside.next()) {
        (Some(first), Some(_)) => root.join(first).join(DIRECTORY),
        _ => root.join(DIRECTORY),
    }
}

/// Removes what writers that are gone have staged under the root.
pub(super) fn sweep(root: &Path, now: Millis) -> io::Result<()> {
    sweep_area(&root.join(DIRECTORY), now)?;
    for entry in fs::read_dir(root)? {
        sweep_area(&entry?.path().join(DIRECTORY), now)?;
    }
    Ok(())
}

fn sweep_area(area: &Path, now: Millis) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(area) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        // Its writer may finish while we look.
        let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
        let modified_ms = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        if now.0.saturating_sub(modified_ms) > SWEEP_AGE_MS {
            tracing::info!(path = %entry.path().display(), "removing what a killed process had staged");
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}
