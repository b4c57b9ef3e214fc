//! A local topic as a [`Source`].
//!
//! Owns [`LocalSource`]: it watches which topic it reads, and shares a poll's bytes among the partitions.
//! - I1: after the topic is deleted, reading answers `NotFound`; after it was created again, `topic_id` differs and
//!   `poll` answers `Conflict` until a seek starts on the new one.
//! - I2: a partition with much to read does not starve the others: each gets its share of a poll, and each poll
//!   starts with another partition.
//!
//! Neighbours: `reader` reads one partition, `topic` knows the metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use tableflow_model::source::Range;
use tableflow_model::{Error, Offset, Partition, Records, Result, Source, TopicId, TopicName};

use super::disk::Disk;
use super::reader::PartitionReader;
use super::topic::{LocalTopics, Topic};

#[derive(Debug)]
pub struct LocalSource {
    topic: Topic,
    disk: Arc<dyn Disk>,
    readers: Vec<PartitionReader>,
    /// The partition that the next poll starts with.
    first: usize,
}

fn readers_of(topic: &Topic, disk: &Arc<dyn Disk>) -> Vec<PartitionReader> {
    let reader = |partition| PartitionReader::new(partition, topic.partition_directory(partition), disk.clone());
    topic.partition_numbers().map(reader).collect()
}

impl LocalSource {
    pub fn open(topics: &LocalTopics, name: &TopicName) -> Result<LocalSource> {
        let topic = topics.describe(name)?;
        let disk = topics.disk().clone();
        let readers = readers_of(&topic, &disk);
        Ok(LocalSource { topic, disk, readers, first: 0 })
    }

    /// Turns to the topic that has the name now.
    fn follow_topic(&mut self) -> Result<()> {
        let current = self.topic.reload()?;
        if current.id != self.topic.id {
            self.readers = readers_of(&current, &self.disk);
            self.first = 0;
            self.topic = current;
        }
        Ok(())
    }
}

impl Source for LocalSource {
    fn topic_id(&mut self) -> Result<TopicId> {
        Ok(self.topic.reload()?.id)
    }

    fn ranges(&mut self) -> Result<BTreeMap<Partition, Range>> {
        self.follow_topic()?;
        let ranges = self.topic.partition_numbers().zip(&mut self.readers);
        ranges.map(|(partition, reader)| Ok((partition, reader.range()?))).collect()
    }

    fn seek(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<()> {
        self.follow_topic()?;
        let unknown = positions.keys().find(|partition| !(0..self.topic.partitions).contains(&partition.0));
        if let Some(partition) = unknown {
            return Err(Error::not_found(format!("topic {} has no partition {partition}", self.topic.name)));
        }
        for (partition, reader) in self.topic.partition_numbers().zip(&mut self.readers) {
            match positions.get(&partition) {
                Some(offset) => reader.seek(*offset)?,
                None => reader.stop(),
            }
        }
        Ok(())
    }

    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Records>> {
        self.topic.check_unchanged()?;
        let first = self.first;
        self.first = (first + 1) % self.readers.len().max(1);
        let (before, from_first) = self.readers.split_at_mut(first);
        let mut ready = Vec::new();
        for reader in from_first.iter_mut().chain(before) {
            if reader.pending_bytes()? > 0 {
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
                Ok(Some(read)) => {
                    bytes_left = bytes_left.saturating_sub(read.buffer.len());
                    records.push(read);
                }
                Ok(None) => {}
                // What was read before is handed out first; the error comes again when it is this one's turn.
                Err(_) if !records.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }
}
