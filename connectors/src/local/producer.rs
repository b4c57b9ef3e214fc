//! Sending records to a local topic.
//!
//! Owns [`LocalProducer`]: it chooses partitions, gathers records into batches and appends them.
//! - I1: a record is acknowledged only once it is on disk; what a failure left unacknowledged stays in its batch, and
//!   the next flush tries it again, unless the log cannot tell what became of it (I5 of `partition_log`).
//! - I2: a keyed record goes where Kafka's default partitioner would put it; records without a key fill one
//!   partition's batch, then the next one's.
//! - I3: what is gathered never exceeds [`BUFFERED_BYTES_MAX`] by more than one record.
//!
//! Records that were sent and not flushed are gone when the producer is dropped.

use std::sync::Arc;

use tableflow_model::{Clock, Error, Partition, Result, TopicName};

use super::batch::BatchBuilder;
use super::partition_log::PartitionLog;
use super::partitioner::partition_of_key;
use super::topic::{LocalTopics, Topic};
use crate::topics::{Appended, NewRecord, Producer};

/// Large enough that a flush each costs little, small enough that a reader's chunk holds several.
const BATCH_BYTES_TARGET: usize = 1 << 20;

/// Kafka's default for `buffer.memory`.
const BUFFERED_BYTES_MAX: usize = 32 << 20;

#[derive(Debug)]
struct Outlet {
    log: PartitionLog,
    batch: BatchBuilder,
}

#[derive(Debug)]
pub struct LocalProducer {
    topic: Arc<Topic>,
    clock: Arc<dyn Clock>,
    outlets: Vec<Outlet>,
    /// Where records without a key go until that batch is full.
    unkeyed: Partition,
    buffered_bytes: usize,
    acknowledged: Vec<Appended>,
}

impl LocalProducer {
    pub fn open(topics: &LocalTopics, name: &TopicName, clock: Arc<dyn Clock>) -> Result<LocalProducer> {
        let topic = Arc::new(topics.describe(name)?);
        let outlet = |partition| Outlet {
            log: PartitionLog::with_disk(&topic, partition, topics.disk().clone()),
            batch: BatchBuilder::new(),
        };
        let outlets = topic.partition_numbers().map(outlet).collect();
        // Short runs, one record each, must not all begin with the same partition.
        let unkeyed = i32::try_from(clock.now().0.rem_euclid(i64::from(topic.partitions))).unwrap_or(0);
        Ok(LocalProducer {
            topic,
            clock,
            outlets,
            unkeyed: Partition(unkeyed),
            buffered_bytes: 0,
            acknowledged: Vec::new(),
        })
    }

    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Takes the record into its partition's batch, and appends batches that are full. A record for which this
    /// answers an error was not taken.
    pub fn send(&mut self, record: &NewRecord<'_>) -> Result<()> {
        if self.buffered_bytes >= BUFFERED_BYTES_MAX {
            self.flush()?;
        }
        let partition = self.partition_for(record)?;
        if self.outlet(partition)?.batch.size_bytes() >= BATCH_BYTES_TARGET {
            self.flush_partition(partition)?;
        }
        let timestamp = record.timestamp.unwrap_or_else(|| self.clock.now());
        let batch = &mut self.outlet(partition)?.batch;
        let before = batch.size_bytes();
        batch.push(record.key, record.value, timestamp, record.headers)?;
        self.buffered_bytes += batch.size_bytes() - before;
        Ok(())
    }

    /// Appends everything that was sent. A partition that fails keeps no other from its turn; what is not
    /// acknowledged then is still there, to be flushed again.
    pub fn flush(&mut self) -> Result<()> {
        let flushed = self.topic.partition_numbers().map(|partition| self.flush_partition(partition));
        flushed.fold(Ok(()), Result::and)
    }

    /// What was acknowledged since the last call, also before an error.
    pub fn take_acknowledged(&mut self) -> Vec<Appended> {
        std::mem::take(&mut self.acknowledged)
    }

    /// Appends a batch that the caller built, past everything this producer gathers.
    pub fn append(&self, partition: Partition, batch: &mut BatchBuilder) -> Result<Appended> {
        let index = usize::try_from(partition.0).ok();
        let outlet = index.and_then(|index| self.outlets.get(index)).ok_or_else(|| no_such(&self.topic, partition))?;
        outlet.log.append(batch)
    }

    fn partition_for(&mut self, record: &NewRecord<'_>) -> Result<Partition> {
        if let Some(partition) = record.partition {
            return Ok(partition);
        }
        if let Some(key) = record.key {
            return Ok(partition_of_key(key, self.topic.partitions));
        }
        if self.outlet(self.unkeyed)?.batch.size_bytes() >= BATCH_BYTES_TARGET {
            self.flush_partition(self.unkeyed)?;
        }
        Ok(self.unkeyed)
    }

    fn flush_partition(&mut self, partition: Partition) -> Result<()> {
        let outlet = self.outlet(partition)?;
        if outlet.batch.is_empty() {
            return Ok(());
        }
        let appended = outlet.log.append(&mut outlet.batch)?;
        let bytes = outlet.batch.size_bytes();
        outlet.batch.clear();
        self.buffered_bytes -= bytes;
        self.acknowledged.push(appended);
        if partition == self.unkeyed {
            self.unkeyed = Partition((partition.0 + 1) % self.topic.partitions);
        }
        Ok(())
    }

    fn outlet(&mut self, partition: Partition) -> Result<&mut Outlet> {
        let index = usize::try_from(partition.0).ok();
        index.and_then(|index| self.outlets.get_mut(index)).ok_or_else(|| no_such(&self.topic, partition))
    }
}

impl Producer for LocalProducer {
    fn send(&mut self, record: &NewRecord<'_>) -> Result<()> {
        LocalProducer::send(self, record)
    }

    fn flush(&mut self) -> Result<()> {
        LocalProducer::flush(self)
    }

    fn take_acknowledged(&mut self) -> Vec<Appended> {
        LocalProducer::take_acknowledged(self)
    }
}

fn no_such(topic: &Topic, partition: Partition) -> Error {
    Error::data(format!("topic {} has no partition {partition}", topic.name))
        .with_hint(format!("its partitions are 0 to {}", topic.partitions - 1))
}
