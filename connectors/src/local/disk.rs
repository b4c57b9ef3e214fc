//! The writes that matter to durability, behind a trait so that tests can fail them and cut the power.
//!
//! Owns [`Disk`], its real implementation [`SystemDisk`], and the wording of I/O errors.
//! - I1: every byte of a log, every cut of a log and every flush goes through [`Disk`].
//! - I2: a full disk is told apart from a broken one.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tableflow_model::{Error, Result};

/// What an append does to a segment file.
pub(super) trait Disk: Debug + Send + Sync {
    fn write_all_at(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()>;

    /// After this a power cut takes nothing of the file's content.
    fn sync_data(&self, file: &File) -> io::Result<()>;

    fn truncate(&self, file: &File, size: u64) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SystemDisk;

impl Disk for SystemDisk {
    fn write_all_at(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        file.write_all_at(bytes, position)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn truncate(&self, file: &File, size: u64) -> io::Result<()> {
        file.set_len(size)
    }
}

/// After this a power cut takes no name out of the directory.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| failed("flush", path, error))
}

/// `cannot <what> <path>`, with the system's own words and what to do about it.
pub(super) fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let path = path.display();
    let full =
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge);
    if full {
        return Error::unavailable(format!("the disk is full: cannot {what} {path}"))
            .with_source(error)
            .with_hint("make room and try again; every acknowledged record is safe");
    }
    if error.kind() == io::ErrorKind::NotFound {
        return Error::not_found(format!("cannot {what} {path}: it does not exist")).with_source(error);
    }
    Error::unavailable(format!("cannot {what} {path}"))
        .with_source(error)
        .with_hint("check the disk and the permissions of the data directory")
}

/// Damage that nobody may mend by guessing: the file and the place are for a person.
pub(super) fn damaged(path: &Path, position: u64, reason: &str) -> Error {
    Error::internal(format!("log {} is damaged at byte {position}", path.display()))
        .with_detail(reason)
        .with_hint("restore the file from a backup; nothing was cut or changed")
}
