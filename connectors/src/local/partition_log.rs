//! Appending to one partition.
//!
//! Owns [`PartitionLog`]: the only code that writes segments.
//! - I1: an append that returned is on disk: the batch is flushed, and the name of a segment is before it is used.
//! - I2: several processes may append: all is decided under the lock, from the log's end as it is then.
//! - I3: an append that failed leaves the log as it was: the file is cut back to the last good end at once, and what
//!   cannot be cut is made unreadable.
//! - I4: one append is one batch is one flush, so at most one batch at the end of a log is not durable.
//! - I5: after a flush or a cut that failed this process appends no more to the partition. A system tells once that
//!   pages were lost and then takes them for clean, so a later success proves nothing; and a batch that could not be
//!   taken back must not be sent a second time.
//!
//! Nothing stays open between appends: beside a flush, opening two files costs nothing, and a producer to a
//! thousand partitions needs no thousand descriptors.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tableflow_model::{Error, Offset, Partition, Result};

use super::batch::{BatchBuilder, HEADER_BYTES};
use super::disk::{Disk, failed, sync_directory};
use super::log_end::{Locked, LogEnd, Place};
use super::recovery::settle;
use super::segment;
use super::topic::Topic;
use crate::topics::Appended;

const LEFT_BEHIND: &str = "what was written could not be cut off again: after a crash its records may be found";

#[derive(Debug)]
pub(super) struct PartitionLog {
    topic: Arc<Topic>,
    partition: Partition,
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    /// A flush or a cut failed (I5).
    distrusted: AtomicBool,
}

impl PartitionLog {
    #[cfg(test)]
    pub fn new(topic: &Arc<Topic>, partition: Partition) -> PartitionLog {
        PartitionLog::with_disk(topic, partition, Arc::new(super::disk::SystemDisk))
    }

    pub fn with_disk(topic: &Arc<Topic>, partition: Partition, disk: Arc<dyn Disk>) -> PartitionLog {
        let (topic, directory) = (Arc::clone(topic), topic.partition_directory(partition));
        PartitionLog { topic, partition, directory, disk, distrusted: AtomicBool::new(false) }
    }

    /// Appends the batch and answers once it is durable (I1).
    pub fn append(&self, batch: &mut BatchBuilder) -> Result<Appended> {
        self.check_trusted()?;
        let appended = self.append_locked(batch);
        if appended.is_err() {
            // A topic that goes takes its files along: say that, and not which file was missing first.
            self.topic.check_unchanged()?;
        }
        appended
    }

    fn append_locked(&self, batch: &mut BatchBuilder) -> Result<Appended> {
        let log_end = LogEnd::open(&self.directory)?;
        let lock = log_end.lock()?;
        // Under the lock: from here on paths lead to this topic or to nothing (I5 of `topic`).
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
            self.flush(&full, &current, "flush")?;
        }
        let fresh = Place::start_of_segment(end.next_offset);
        let path = segment::path_of(&self.directory, fresh.segment);
        let made = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        made.map_err(|error| failed("create", &path, error))?;
        sync_directory(&self.directory).inspect_err(|_| self.distrust())?;
        log_end.publish(lock, fresh);
        Ok((fresh, path))
    }

    /// Writes and flushes; on failure takes the bytes back (I3).
    fn write_durably(&self, file: &File, path: &Path, bytes: &[u8], position: u64) -> Result<()> {
        let written = self.disk.write_all_at(file, bytes, position).map_err(|error| failed("append to", path, error));
        let flushed = written.and_then(|()| self.flush(file, path, "flush the append to"));
        flushed
            .map_err(|error| if self.take_back(file, path, position) { error } else { error.with_detail(LEFT_BEHIND) })
    }

    fn take_back(&self, file: &File, path: &Path, position: u64) -> bool {
        let Err(error) = self.disk.truncate(file, position) else { return true };
        tracing::warn!(path = %path.display(), %error, "a failed append is not cut off: making it unreadable");
        self.distrust();
        // Whoever comes next takes what has no header for an unfinished append, and cuts it.
        if let Err(error) = self.disk.write_all_at(file, &[0; HEADER_BYTES], position) {
            tracing::warn!(path = %path.display(), %error, "a failed append may be found by whoever comes next");
        }
        false
    }

    fn flush(&self, file: &File, path: &Path, what: &str) -> Result<()> {
        self.disk.sync_data(file).map_err(|error| {
            self.distrust();
            failed(what, path, error)
        })
    }

    fn distrust(&self) {
        self.distrusted.store(true, Ordering::Relaxed);
    }

    /// I5.
    fn check_trusted(&self) -> Result<()> {
        if !self.distrusted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (name, partition) = (&self.topic.name, self.partition);
        Err(Error::unavailable(format!("partition {partition} of topic {name} takes no more from this process"))
            .with_detail("an append to it could not be brought to the disk, or not be taken back")
            .with_hint(
                "check the disk, look at the topic's end, then send what was not acknowledged from a new process",
            ))
    }
}

fn open_for_writing(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).open(path).map_err(|error| failed("open", path, error))
}
