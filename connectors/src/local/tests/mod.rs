//! The promises of local topics (P1 to P4 of `local`) and what they rest on.
//!
//! `format` the bytes, against kafka-protocol; `topics` metadata; `appending` locks, failures and torn tails; `reading`
//! the source; `crash` power cuts and kills; `failing` flushes that fail; `recreating` a topic that is deleted and made
//! again. Here: the topic that every test starts from.

mod appending;
mod crash;
mod failing;
mod format;
mod reading;
mod recreating;
mod topics;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tableflow_model::{Clock, Error, Ids, Millis, Offset, Partition, Records, TopicName};
use uuid::Uuid;

use super::batch::BatchBuilder;
use super::disk::{Disk, SystemDisk};
use super::partition_log::PartitionLog;
use super::{LocalSource, LocalTopics, Topic};
use crate::topics::Appended;

#[derive(Debug)]
pub(super) struct FixedClock(pub i64);

impl Clock for FixedClock {
    fn now(&self) -> Millis {
        Millis(self.0)
    }
}

#[derive(Debug, Default)]
pub(super) struct CountingIds(AtomicU64);

impl CountingIds {
    pub fn starting(at: u64) -> CountingIds {
        CountingIds(AtomicU64::new(at))
    }
}

impl Ids for CountingIds {
    fn uuid(&self) -> Uuid {
        Uuid::from_u64_pair(0, 1 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Pseudo-random numbers from a seed (xorshift64*).
pub(super) struct Seeded(pub u64);

impl Seeded {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// A topic `orders` in a directory of its own.
pub(super) struct Fixture {
    pub directory: tempfile::TempDir,
    pub topics: LocalTopics,
    pub topic: Arc<Topic>,
    pub ids: CountingIds,
}

pub(super) fn orders() -> TopicName {
    "orders".parse().unwrap()
}

pub(super) fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Fixture {
    pub fn new(partitions: i32, options: &[(&str, &str)]) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let topics = LocalTopics::open(directory.path());
        let ids = CountingIds::default();
        let topic = topics.create(&orders(), partitions, &config(options), &FixedClock(1_000), &ids).unwrap();
        Fixture { directory, topics, topic: Arc::new(topic), ids }
    }

    pub fn log(&self) -> PartitionLog {
        self.log_with(Arc::new(SystemDisk))
    }

    pub fn log_with(&self, disk: Arc<dyn Disk>) -> PartitionLog {
        PartitionLog::with_disk(&self.topic, Partition(0), disk)
    }

    pub fn source(&self) -> LocalSource {
        LocalSource::open(&self.topics, &orders()).unwrap()
    }

    pub fn partition_directory(&self) -> PathBuf {
        self.topic.partition_directory(Partition(0))
    }

    pub fn segment(&self, base_offset: i64) -> PathBuf {
        super::segment::path_of(&self.partition_directory(), base_offset)
    }

    /// Bytes at the end of the first segment that no append of ours wrote.
    pub fn put_raw(&self, bytes: &[u8]) {
        let path = self.segment(0);
        let mut content = fs::read(&path).unwrap_or_default();
        content.extend_from_slice(bytes);
        fs::write(path, content).unwrap();
    }

    /// Every value of partition 0, with its offset.
    pub fn values(&self) -> Vec<(i64, String)> {
        values_from(&mut self.source(), 0).unwrap()
    }
}

/// A batch of values without keys.
pub(super) fn batch_of(values: &[&str]) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for value in values {
        batch.push(None, Some(value.as_bytes()), Millis(5), &[]).unwrap();
    }
    batch
}

pub(super) fn append(log: &PartitionLog, values: &[&str]) -> Result<Appended, Error> {
    log.append(&mut batch_of(values))
}

pub(super) fn seek_to(source: &mut LocalSource, offset: i64) -> Result<(), Error> {
    source.seek(&BTreeMap::from([(Partition(0), Offset(offset))]))
}

/// All values of partition 0 from an offset on.
pub(super) fn values_from(source: &mut LocalSource, offset: i64) -> Result<Vec<(i64, String)>, Error> {
    seek_to(source, offset)?;
    let mut values = Vec::new();
    loop {
        let polled = source.poll(1 << 16)?;
        if polled.is_empty() {
            return Ok(values);
        }
        for records in &polled {
            values.extend(texts(records));
        }
    }
}

pub(super) fn texts(records: &Records) -> Vec<(i64, String)> {
    let text = |row| String::from_utf8(records.value(row).unwrap().to_vec()).unwrap();
    records.offsets.iter().enumerate().map(|(row, offset)| (*offset, text(row))).collect()
}

/// `expected` as a log of gap-free offsets from 0.
pub(super) fn numbered(expected: &[&str]) -> Vec<(i64, String)> {
    expected.iter().enumerate().map(|(offset, value)| (offset as i64, (*value).to_owned())).collect()
}

pub(super) fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
