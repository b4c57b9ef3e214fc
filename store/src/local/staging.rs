//! Files being written, before anyone can see them.
//!
//! Owns [`Staged`] (one file on its way) and [`StagedUpload`] (the same, part by part).
//! - I1: staged files lie in `.staged` at the top of the mount they go to: `<root>/<first directory>/.staged`, so
//!   that sweeping is one short listing and never a walk over all tables, and linking never crosses file systems
//!   when a root's directories are mounts of their own.
//! - I2: their names end in `#` and digits, which `LocalFileSystem` hides from listings and refuses to address.
//! - I3: a staged file is removed when it is published, when it fails and when it is dropped.
//!
//! Neighbours: `local` writes through it, `directories` makes and syncs the directories.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::{MultipartUpload, PutMode, PutPayload, PutResult, UploadPart};
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
        let directory = area(directories.root_of(target)?, target);
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

    pub(super) fn write(&self, offset: u64, payload: &PutPayload) -> Result<(), DiskError> {
        let mut offset = offset;
        for part in payload {
            self.file.write_all_at(part, offset).map_err(DiskError::of("write", &self.path))?;
            offset += part.len() as u64;
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

/// Removes what writers that are gone have staged under the roots.
pub(super) fn sweep(roots: &[PathBuf], now: Millis) -> io::Result<()> {
    for root in roots {
        sweep_area(&root.join(DIRECTORY), now)?;
        for entry in fs::read_dir(root)? {
            sweep_area(&entry?.path().join(DIRECTORY), now)?;
        }
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

/// An upload part by part; it becomes visible, create-only, when it completes.
#[derive(Debug)]
pub(super) struct StagedUpload {
    directories: Arc<Directories>,
    staged: Option<Arc<Staged>>,
    offset: u64,
}

impl StagedUpload {
    pub(super) fn start(directories: Arc<Directories>, target: &Path) -> Result<Self, DiskError> {
        let staged = Some(Arc::new(Staged::create(&directories, target)?));
        Ok(StagedUpload { directories, staged, offset: 0 })
    }

    fn take(&mut self) -> object_store::Result<Arc<Staged>> {
        self.staged.take().ok_or_else(ended)
    }
}

fn ended() -> object_store::Error {
    object_store::Error::Generic { store: super::STORE_NAME, source: "the upload has ended".into() }
}

#[async_trait]
impl MultipartUpload for StagedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.offset;
        self.offset += data.content_length() as u64;
        let staged = self.staged.clone();
        async move {
            let staged = staged.ok_or_else(ended)?;
            tokio::task::spawn_blocking(move || staged.write(offset, &data)).await??;
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let staged = self.take()?;
        let directories = Arc::clone(&self.directories);
        tokio::task::spawn_blocking(move || staged.publish(&directories, &PutMode::Create)).await??;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.take().map(drop)
    }
}
