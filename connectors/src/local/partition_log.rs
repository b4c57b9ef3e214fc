//! Appending to one partition.
//!
//! Owns [`PartitionLog`]: the only code that writes segments.
//! - I1: an append that returned is on disk: the batch is flushed, and the name of a segment is before it is used.
//! - I2: several processes may append: all is decided under the lock, from the log's end as it is then.
//! - I3: an append that failed leaves the log as it was: the file is cut back to the last good end, at once or by
//!   the next append.
//! - I4: one append is one batch is one flush, so at most one batch at the end of a log is not durable.
//!
//! Nothing stays open between appends: beside a flush, opening two files costs nothing, and a producer to a
//! thousand partitions needs no thousand descriptors.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tableflow_model::{Offset, Partition, Result};

use super::batch::{BatchBuilder, HEADER_BYTES};
use super::disk::{Disk, SystemDisk, failed, sync_directory};
use super::log_end::{Locked, LogEnd, Place};
use super::recovery::settle;
use super::segment;
use super::topic::Topic;

/// Records that are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub partition: Partition,
    pub first_offset: Offset,
    pub count: usize,
}

#[derive(Debug)]
pub(super) struct PartitionLog {
    topic: Arc<Topic>,
    partition: Partition,
    directory: PathBuf,
    disk: Arc<dyn Disk>,
}

impl PartitionLog {
    pub fn new(topic: &Arc<Topic>, partition: Partition) -> PartitionLog {
        PartitionLog::with_disk(topic, partition, Arc::new(SystemDisk))
    }

    pub fn with_disk(topic: &Arc<Topic>, partition: Partition, disk: Arc<dyn Disk>) -> PartitionLog {
        PartitionLog { topic: Arc::clone(topic), partition, directory: topic.partition_directory(partition), disk }
    }

    /// Appends the batch and answers once it is durable (I1).
    pub fn append(&self, batch: &mut BatchBuilder) -> Result<Appended> {
        self.topic.check_unchanged()?;
        let log_end = LogEnd::open(&self.directory)?;
        let lock = log_end.lock()?;
        self.topic.check_unchanged()?;
        let end = self.end_without_torn_tail(&log_end, &lock)?;
        let appended =
            Appended { partition: self.partition, first_offset: Offset(end.next_offset), count: batch.len() };
        if batch.is_empty() {
            return Ok(appended);
        }
        let (place, path) = self.segment_with_room(end, batch.size_bytes(), &log_end, &lock)?;
        let bytes = batch.seal(appended.first_offset);
        let file = open_for_writing(&path)?;
        self.write_durably(&file, &path, bytes, place.position)?;
        let position = place.position + bytes.len() as u64;
        let next_offset = place.next_offset + appended.count as i64;
        log_end.publish(&lock, Place { position, next_offset, ..place });
        Ok(appended)
    }

    fn end_without_torn_tail(&self, log_end: &LogEnd, lock: &Locked<'_>) -> Result<Place> {
        let settled = settle(&self.directory, log_end, lock, self.disk.as_ref())?;
        if let Some(last) = settled.segments.last().filter(|_| settled.torn_bytes > 0) {
            tracing::info!(path = %last.path.display(), bytes = settled.torn_bytes, "cutting an unfinished append");
            let file = open_for_writing(&last.path)?;
            let cut = self.disk.truncate(&file, settled.place.position);
            cut.map_err(|error| failed("cut the unfinished append of", &last.path, error))?;
        }
        Ok(settled.place)
    }

    /// The end itself, or the start of a fresh segment where there is none or the last one is full.
    fn segment_with_room(
        &self,
        end: Place,
        batch_bytes: usize,
        log_end: &LogEnd,
        lock: &Locked<'_>,
    ) -> Result<(Place, PathBuf)> {
        let current = segment::path_of(&self.directory, end.segment);
        let fits = end.position + batch_bytes as u64 <= self.topic.options.segment_bytes();
        if end.position >= HEADER_BYTES as u64 && fits {
            return Ok((end, current));
        }
        if end.position > 0 {
            // What was cut off a full segment must stay cut: its end is never looked at again.
            let full = open_for_writing(&current)?;
            self.disk.sync_data(&full).map_err(|error| failed("flush", &current, error))?;
        }
        let fresh = Place::start_of_segment(end.next_offset);
        let path = segment::path_of(&self.directory, fresh.segment);
        let made = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        made.map_err(|error| failed("create", &path, error))?;
        sync_directory(&self.directory)?;
        log_end.publish(lock, fresh);
        Ok((fresh, path))
    }

    /// Writes and flushes; on failure takes the bytes back (I3).
    fn write_durably(&self, file: &File, path: &Path, bytes: &[u8], position: u64) -> Result<()> {
        let written = self.disk.write_all_at(file, bytes, position).map_err(|error| failed("append to", path, error));
        let flushed = written
            .and_then(|()| self.disk.sync_data(file).map_err(|error| failed("flush the append to", path, error)));
        if flushed.is_err()
            && let Err(error) = self.disk.truncate(file, position)
        {
            tracing::warn!(path = %path.display(), %error, "the next append cuts what this one left behind");
        }
        flushed
    }
}

fn open_for_writing(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).open(path).map_err(|error| failed("open", path, error))
}
