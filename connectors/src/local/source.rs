//! A local topic as a [`Source`].
//!
//! Owns [`LocalSource`]: it watches which topic it reads, and shares a poll's bytes among the partitions.
//! - I1: a source stays with the topic that it was opened with. After that topic is deleted reading answers `NotFound`,
//!   after it was created again `Conflict`; only `topic_id` turns to the new one, and then nothing is read before a
//!   seek.
//! - I2: a partition with much to read does not starve the others: each gets its share of a poll, and each poll
//!   starts with another partition.
//! - I3: what was read counts only if the topic is still the same afterwards (`watch`); a poll that fails takes
//!   nothing.
//!
//! Neighbours: `reader` reads one partition, `watch` knows the topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use tableflow_model::source::Range;
use tableflow_model::{Error, Offset, Partition, Records, Result, Source, TopicId, TopicName};

use super::disk::Disk;
use super::log_end::Place;
use super::reader::PartitionReader;
use super::topic::{LocalTopics, Topic};
use super::watch::Watch;

#[derive(Debug)]
pub struct LocalSource {
    watch: Watch,
    disk: Arc<dyn Disk>,
    readers: Vec<PartitionReader>,
    /// The partition that the next poll starts with.
    first: usize,
    held: BTreeSet<Partition>,
}

fn readers_of(topic: &Topic, disk: &Arc<dyn Disk>) -> Vec<PartitionReader> {
    let reader = |partition| PartitionReader::new(partition, topic.partition_directory(partition), Arc::clone(disk));
    topic.partition_numbers().map(reader).collect()
}

impl LocalSource {
    pub fn open(topics: &LocalTopics, name: &TopicName) -> Result<LocalSource> {
        let watch = Watch::start(&topics.describe(name)?)?;
        let disk = topics.disk().clone();
        let readers = readers_of(watch.topic(), &disk);
        Ok(LocalSource { watch, disk, readers, first: 0, held: BTreeSet::new() })
    }

    /// I3: what came of reading, or that the topic is another one now; its errors count as little as its records.
    fn of_this_topic<T>(&self, read: Result<T>) -> Result<T> {
        self.watch.check()?;
        read
    }

    fn read_ranges(&mut self) -> Result<BTreeMap<Partition, Range>> {
        let ranges = self.watch.topic().partition_numbers().zip(&mut self.readers);
        ranges.map(|(partition, reader)| Ok((partition, reader.range(&self.watch)?))).collect()
    }

    fn seek_readers(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<()> {
        let topic = self.watch.topic();
        let unknown = positions.keys().find(|partition| !(0..topic.partitions).contains(&partition.0));
        if let Some(partition) = unknown {
            return Err(Error::not_found(format!("topic {} has no partition {partition}", topic.name)));
        }
        for (partition, reader) in topic.partition_numbers().zip(&mut self.readers) {
            match positions.get(&partition) {
                Some(offset) => reader.seek(*offset, &self.watch)?,
                None => reader.stop(),
            }
        }
        Ok(())
    }

    /// What each reader has, and where it is to read on.
    fn read(&mut self, bytes_max: usize) -> Result<Vec<(Records, Place)>> {
        let first = self.first;
        self.first = (first + 1) % self.readers.len().max(1);
        let (before, from_first) = self.readers.split_at_mut(first);
        let mut ready = Vec::new();
        for reader in from_first.iter_mut().chain(before) {
            if self.held.contains(&reader.partition) {
                continue;
            }
            if reader.pending_bytes(&self.watch)? > 0 {
                ready.push(reader);
            }
        }
        let mut records = Vec::with_capacity(ready.len());
        let (mut bytes_left, mut readers_left) = (bytes_max.max(1), ready.len());
        for reader in ready {
            if bytes_left == 0 {
                break;
            }
            let share = bytes_left.div_ceil(readers_left);
            readers_left -= 1;
            match reader.read(share) {
                Ok(Some((read, next))) => {
                    bytes_left = bytes_left.saturating_sub(read.buffer.len());
                    records.push((read, next));
                }
                Ok(None) => {}
                // What was read before is handed out first; the error comes again when it is this one's turn.
                Err(_) if !records.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    fn advance(&mut self, partition: Partition, next: Place) {
        let reader = usize::try_from(partition.0).ok().and_then(|index| self.readers.get_mut(index));
        if let Some(reader) = reader {
            reader.advance(next);
        }
    }
}

impl LocalSource {
    pub fn topic_id(&mut self) -> Result<TopicId> {
        let found = Watch::start(self.watch.topic())?;
        if found.topic().id != self.watch.topic().id {
            self.readers = readers_of(found.topic(), &self.disk);
            self.first = 0;
        }
        self.watch = found;
        Ok(self.watch.topic().id)
    }

    pub fn ranges(&mut self) -> Result<BTreeMap<Partition, Range>> {
        let ranges = self.read_ranges();
        self.of_this_topic(ranges)
    }

    pub fn seek(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<()> {
        let sought = self.seek_readers(positions);
        self.of_this_topic(sought)
    }

    pub fn poll(&mut self, bytes_max: usize) -> Result<Vec<Records>> {
        let read = self.read(bytes_max);
        let read = self.of_this_topic(read)?;
        let mut records = Vec::with_capacity(read.len());
        for (read, next) in read {
            self.advance(read.partition, next);
            records.push(read);
        }
        Ok(records)
    }
}

#[async_trait]
impl Source for LocalSource {
    async fn topic_id(&mut self) -> Result<TopicId> {
        LocalSource::topic_id(self)
    }

    async fn ranges(&mut self) -> Result<BTreeMap<Partition, Range>> {
        LocalSource::ranges(self)
    }

    async fn seek(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<()> {
        LocalSource::seek(self, positions)
    }

    fn hold(&mut self, partitions: &BTreeSet<Partition>) {
        self.held.clone_from(partitions);
    }

    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Records>> {
        LocalSource::poll(self, bytes_max)
    }

    async fn records_behind(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<u64> {
        let ranges = LocalSource::ranges(self)?;
        let end = |partition: &Partition| ranges.get(partition).map_or(Offset(0), |range| range.end);
        let behind = positions.iter().map(|(partition, next)| u64::try_from(end(partition).0 - next.0));
        behind
            .sum::<std::result::Result<u64, _>>()
            .map_err(|_| Error::conflict(format!("topic {} ends before what was read of it", self.watch.topic().name)))
    }

    /// A poll reads from the disk what it hands out.
    fn queued_bytes_max(&self) -> u64 {
        0
    }

    fn rest(&mut self) -> Result<()> {
        self.readers.iter_mut().for_each(PartitionReader::stop);
        Ok(())
    }

    /// Nothing to ask: each poll made sure (I3).
    async fn confirm(&mut self) -> Result<()> {
        Ok(())
    }
}
