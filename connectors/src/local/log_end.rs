//! The durable end of a partition's log, and the lock that its writers share.
//!
//! Owns the file `log-end` of a partition: 28 bytes that say how far the log is known to be on disk, and the
//! advisory lock (`flock`, through the standard library) on that same file.
//! - I1: a published end is never beyond what was flushed. Readers stop there, so that they never hand out a record
//!   that a power cut could take back.
//! - I2: the log is the truth and this file is only a shortcut: it is never flushed, and if it is missing, stale or
//!   torn the log is scanned (`recovery`).
//! - I3: only the holder of the lock publishes. Waiting for it is bounded.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tableflow_model::{Error, Result};

use super::disk::failed;

const FILE_NAME: &str = "log-end";

/// Base offset of the segment, position, next offset, and a checksum over the three.
const MARK_BYTES: usize = 28;

/// A reader that meets a half-written mark looks again this often before it treats the mark as missing.
const READ_ATTEMPTS: usize = 3;

/// An append holds the lock for one write and one flush: a few milliseconds, seconds on a very slow disk.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(30);
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// A place in a partition's log that is a batch boundary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Base offset of the segment.
    pub segment: i64,
    /// Byte position in that segment.
    pub position: u64,
    /// The offset of the record that starts there, or will.
    pub next_offset: i64,
}

impl Place {
    pub fn start_of_segment(base_offset: i64) -> Place {
        Place { segment: base_offset, position: 0, next_offset: base_offset }
    }

    fn to_mark(self) -> [u8; MARK_BYTES] {
        let mut mark = [0; MARK_BYTES];
        let words = [self.segment as u64, self.position, self.next_offset as u64];
        for (to, word) in mark.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        if let Some((body, checksum)) = mark.split_last_chunk_mut::<4>() {
            *checksum = crc32c::crc32c(body).to_be_bytes();
        }
        mark
    }

    fn from_mark(mark: &[u8; MARK_BYTES]) -> Option<Place> {
        let (body, checksum) = mark.split_last_chunk::<4>()?;
        if crc32c::crc32c(body).to_be_bytes() != *checksum {
            return None;
        }
        let (words, _) = body.as_chunks::<8>();
        let [segment, position, next_offset] = words else { return None };
        Some(Place {
            segment: i64::from_be_bytes(*segment),
            position: u64::from_be_bytes(*position),
            next_offset: i64::from_be_bytes(*next_offset),
        })
    }
}

#[derive(Debug)]
pub(super) struct LogEnd {
    file: File,
    path: PathBuf,
}

/// Proof that this process alone may change the partition; dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Locked<'a>(&'a LogEnd);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.file.unlock() {
            tracing::warn!(path = %self.0.path.display(), %error, "the lock goes when the file is closed");
        }
    }
}

impl LogEnd {
    pub fn open(partition: &Path) -> Result<LogEnd> {
        let path = partition.join(FILE_NAME);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| failed("open", &path, error))?;
        Ok(LogEnd { file, path })
    }

    /// The published end, or `None` where there is none that can be trusted.
    pub fn read(&self) -> Result<Option<Place>> {
        for _ in 0..READ_ATTEMPTS {
            let mut mark = [0; MARK_BYTES];
            match self.file.read_exact_at(&mut mark, 0) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(failed("read", &self.path, error)),
            }
            if let Some(place) = Place::from_mark(&mark) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Tells readers and other writers. A failure costs them a scan and nothing else (I2), so it is no error.
    pub fn publish(&self, _lock: &Locked<'_>, place: Place) {
        if let Err(error) = self.file.write_all_at(&place.to_mark(), 0) {
            tracing::warn!(path = %self.path.display(), %error, "the end of the log is not published");
        }
    }

    pub fn try_lock(&self) -> Result<Option<Locked<'_>>> {
        match self.file.try_lock() {
            Ok(()) => Ok(Some(Locked(self))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed("lock", &self.path, error)),
        }
    }

    pub fn lock(&self) -> Result<Locked<'_>> {
        self.lock_within(LOCK_WAIT)
    }

    pub fn lock_within(&self, wait: Duration) -> Result<Locked<'_>> {
        for _ in 0..wait.as_millis() / LOCK_PAUSE.as_millis() {
            if let Some(lock) = self.try_lock()? {
                return Ok(lock);
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        Err(Error::unavailable(format!("{} is locked by another process", self.path.display()))
            .with_hint("find the process that produces to this topic and has stopped moving, and end it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i2_a_missing_or_torn_mark_is_no_mark() {
        let directory = tempfile::tempdir().unwrap();
        let log_end = LogEnd::open(directory.path()).unwrap();
        assert_eq!(log_end.read().unwrap(), None);
        let place = Place { segment: 7, position: 1 << 40, next_offset: 99 };
        log_end.publish(&log_end.lock().unwrap(), place);
        assert_eq!(log_end.read().unwrap(), Some(place));
        log_end.file.write_all_at(&[0xff], 20).unwrap();
        assert_eq!(log_end.read().unwrap(), None);
        log_end.file.set_len(12).unwrap();
        assert_eq!(log_end.read().unwrap(), None);
    }

    #[test]
    fn i3_the_lock_has_one_holder() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (LogEnd::open(directory.path()).unwrap(), LogEnd::open(directory.path()).unwrap());
        let held = one.lock().unwrap();
        assert!(other.try_lock().unwrap().is_none());
        drop(held);
        assert!(other.try_lock().unwrap().is_some());
    }
}
