//! One topic of a cluster as a [`Source`].
//!
//! Owns [`KafkaSource`]: which partitions it has, and where it stands in each.
//! - I1: a partition is fetched from where it was sought, and from nowhere else; to seek where it stands already costs
//!   nothing.
//! - I2: what lies between two records handed out, and before an end that was reported, is no record for us: aborted,
//!   control, or compacted away.
//! - I3: a source stays with the topic whose id it was asked for last; [`Source::confirm`] makes sure of it.
//! - I4: a partition with much to read does not starve the others: each gets its share of a poll, and each poll starts
//!   with another one.
//! - I5: a client that was made anew (new certificates, a new password) is gone over to at the exact place.
//! - I6: a log that was cut short since its records were read, and grew past that place again, is told: its last record
//!   before the place has another leader epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset as ListOffset, TopicPartitionList};
use tableflow_model::source::Range;
use tableflow_model::{Error, ErrorKind, Offset, Partition, Records, Result, Source, TopicId, TopicName};

use super::client::{Cluster, Lease, QUEUED_BYTES_MAX};
use super::failure::{Failure, failure_of};
use super::group::ReaderId;
use super::native::{Description, FetchQueue};
use super::partition::{Check, PartitionReader};

/// A topic that is not there is looked for so often, and so far apart, before it counts as deleted.
const GONE_LOOKS: u32 = 5;
const GONE_PAUSE: Duration = Duration::from_millis(500);

/// So many offsets before the place that is sought are looked at for the last record there (I6): the last of them may
/// be markers of transactions.
const CHECKED_OFFSETS: i64 = 4;

/// What a question about a topic needs, and what fetching from it does.
pub(super) const TO_ASK: &str = "DESCRIBE";
const TO_FETCH: &str = "READ";

#[derive(Debug)]
pub(super) struct KafkaSource {
    cluster: Arc<Cluster>,
    topic: TopicName,
    /// The topic that it reads (I3).
    id: Option<TopicId>,
    readers: Vec<PartitionReader>,
    /// The first offset of each partition, when it was asked last.
    starts: BTreeMap<i32, i64>,
    /// The leader epochs of the last records before the positions that are sought next.
    expected_epochs: BTreeMap<i32, i32>,
    /// The reader that the next poll starts with.
    first: usize,
    /// Met behind records that were handed out: the next poll's answer.
    failure: Option<Failure>,
    /// Dropped after the readers.
    lease: Lease,
    reader: ReaderId,
    /// They are fetched, and not handed out.
    held: BTreeSet<Partition>,
}

impl KafkaSource {
    pub fn new(cluster: Arc<Cluster>, topic: TopicName) -> Result<Self> {
        let lease = cluster.lease(&topic)?;
        let (starts, expected_epochs, held) = Default::default();
        let (id, readers, first, failure) = (None, Vec::new(), 0, None);
        let reader = cluster.positions.reader();
        Ok(KafkaSource { cluster, topic, id, readers, starts, expected_epochs, first, failure, lease, reader, held })
    }

    async fn describe(&self) -> Result<Description> {
        describe(&self.cluster, &self.topic).await
    }

    fn list(&self, partitions: impl IntoIterator<Item = (i32, ListOffset)>) -> Result<TopicPartitionList> {
        list(&self.topic, partitions)
    }

    /// Ends the fetching of these partitions.
    fn stop(&mut self, partitions: &[i32]) -> Result<()> {
        if partitions.is_empty() {
            return Ok(());
        }
        let assigned = self.list(partitions.iter().map(|partition| (*partition, ListOffset::Invalid)))?;
        self.lease
            .consumer
            .incremental_unassign(&assigned)
            .map_err(|error| self.failed(TO_FETCH, &failure_of(&error)))?;
        self.readers.retain(|reader| !partitions.contains(&reader.partition));
        Ok(())
    }

    /// Begins to fetch partitions, each from its place.
    fn begin(&mut self, places: &[(i32, i64)]) -> Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        let mut readers = Vec::with_capacity(places.len());
        let mut begins = Vec::with_capacity(places.len());
        for (partition, next) in places {
            let check = self.expected_epochs.remove(partition).map(Check::new);
            let start = self.starts.get(partition).copied().unwrap_or(*next);
            let back = if check.is_some() { CHECKED_OFFSETS.min(next - start).max(0) } else { 0 };
            begins.push((*partition, ListOffset::Offset(next - back)));
            let queue = FetchQueue::of(&self.lease.consumer, self.topic.as_str(), *partition).ok_or_else(|| {
                Error::internal(format!("partition {partition} of topic {} has no queue", self.topic))
            })?;
            readers.push(PartitionReader::new(*partition, queue, *next, check));
        }
        let assigned = self.list(begins)?;
        let assigned = self.lease.consumer.incremental_assign(&assigned);
        assigned.map_err(|error| self.failed(TO_FETCH, &failure_of(&error)))?;
        self.readers.append(&mut readers);
        Ok(())
    }

    fn failed(&self, right: &str, (code, words): &Failure) -> Error {
        self.cluster.error_about(&self.topic, right, (*code, words))
    }

    /// Goes over to a client with the settings of now: what is fetched and not taken is fetched again (I5).
    fn move_to_another_client(&mut self) -> Result<()> {
        let places: Vec<(i32, i64)> = self.readers.iter().map(|reader| (reader.partition, reader.next)).collect();
        let partitions: Vec<i32> = places.iter().map(|(partition, _)| *partition).collect();
        let unchecked = self.readers.iter().filter_map(|it| Some((it.partition, it.unchecked_epoch()?))).collect();
        self.stop(&partitions)?;
        self.lease = self.cluster.lease(&self.topic)?;
        self.failure = None;
        // What is expected otherwise is of places that are sought next, not of these.
        let expected = std::mem::replace(&mut self.expected_epochs, unchecked);
        let begun = self.begin(&places);
        self.expected_epochs = expected;
        begun
    }
}

/// What the cluster says of a topic.
pub(super) async fn describe(cluster: &Arc<Cluster>, topic: &TopicName) -> Result<Description> {
    let described = cluster.questions.describe(cluster, topic).await?;
    described.map_err(|failed| cluster.error_about(topic, TO_ASK, (failed.code(), &failed.words)))
}

fn list(topic: &TopicName, partitions: impl IntoIterator<Item = (i32, ListOffset)>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        list.add_partition_offset(topic.as_str(), partition, offset)
            .map_err(|error| Error::internal("a place in a topic has no form").with_source(error))?;
    }
    Ok(list)
}

#[async_trait]
impl Source for KafkaSource {
    async fn topic_id(&mut self) -> Result<TopicId> {
        let id = self.describe().await?.id;
        if self.id.is_some_and(|known| known != id) {
            // What was fetched may be of either topic.
            self.rest()?;
        }
        self.id = Some(id);
        Ok(id)
    }

    async fn ranges(&mut self) -> Result<BTreeMap<Partition, Range>> {
        let Description { id, partitions } = self.describe().await?;
        if self.id.is_some_and(|known| known != id) {
            return Err(Error::conflict(format!("topic {} was deleted and made again", self.topic)));
        }
        let places = partitions.iter().map(|partition| (self.topic.clone(), *partition)).collect();
        let found = self.cluster.questions.ranges(&self.cluster, places).await?;
        let found = found.map_err(|failed| self.failed(TO_ASK, &failed.into()))?;
        self.starts = partitions.iter().copied().zip(found.iter().map(|(start, _)| *start)).collect();
        let range = |(start, end): (i64, i64)| Range { start: Offset(start.min(end)), end: Offset(end) };
        Ok(partitions.into_iter().map(Partition).zip(found.into_iter().map(range)).collect())
    }

    async fn records_behind(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<u64> {
        let places = positions.keys().map(|partition| (self.topic.clone(), partition.0)).collect();
        let ends = self.cluster.questions.look(&self.cluster, places).await?;
        let ends = ends.map_err(|failed| self.failed(TO_ASK, &failed.into()))?;
        let behind = positions.values().zip(ends).map(|(next, end)| u64::try_from(end - next.0));
        behind
            .sum::<Result<u64, _>>()
            .map_err(|_| Error::conflict(format!("topic {} ends before what was read of it", self.topic)))
    }

    async fn uncommitted_ends(&mut self, partitions: &[Partition]) -> Result<BTreeMap<Partition, Offset>> {
        let places = partitions.iter().map(|partition| (self.topic.clone(), partition.0)).collect();
        let ends = self.cluster.questions.uncommitted_ends(&self.cluster, places).await?;
        let ends = ends.map_err(|failed| self.failed(TO_ASK, &failed.into()))?;
        Ok(partitions.iter().copied().zip(ends.into_iter().map(Offset)).collect())
    }

    fn expect_leader_epochs(&mut self, epochs: &BTreeMap<Partition, i32>) {
        self.expected_epochs = epochs.iter().map(|(partition, epoch)| (partition.0, *epoch)).collect();
    }

    /// I1.
    async fn seek(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<()> {
        self.failure = None;
        if self.lease.is_outdated() {
            self.move_to_another_client()?;
        }
        let wanted = |reader: &PartitionReader| positions.get(&Partition(reader.partition)).map(|offset| offset.0);
        let moved: Vec<i32> = self
            .readers
            .iter()
            .filter(|reader| reader.broken || wanted(reader) != Some(reader.next))
            .map(|reader| reader.partition)
            .collect();
        self.stop(&moved)?;
        let standing = |partition: i32| self.readers.iter().any(|reader| reader.partition == partition);
        let places: Vec<(i32, i64)> = positions
            .iter()
            .map(|(partition, offset)| (partition.0, offset.0))
            .filter(|(partition, _)| !standing(*partition))
            .collect();
        self.begin(&places)?;
        self.expected_epochs.clear();
        self.readers.sort_by_key(|reader| reader.partition);
        Ok(())
    }

    fn hold(&mut self, partitions: &BTreeSet<Partition>) {
        self.held.clone_from(partitions);
    }

    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Records>> {
        let first = self.first.min(self.readers.len());
        self.first = (first + 1) % self.readers.len().max(1);
        if let Some(failure) = self.failure.take() {
            return Err(self.failed(TO_FETCH, &failure));
        }
        if self.lease.is_outdated() {
            self.move_to_another_client()?;
        }
        let mut polled = Vec::new();
        let held = |reader: &PartitionReader| self.held.contains(&Partition(reader.partition));
        let readers_wanted = self.readers.iter().filter(|reader| !held(reader)).count();
        let (mut bytes_left, mut readers_left) = (bytes_max.max(1), readers_wanted);
        let (before, from_first) = self.readers.split_at_mut(first);
        for reader in from_first.iter_mut().chain(before).filter(|reader| !held(reader)) {
            if bytes_left == 0 || self.failure.is_some() {
                break;
            }
            let share = bytes_left.div_ceil(readers_left.max(1));
            readers_left -= 1;
            let (records, failed) = reader.read(share)?;
            self.failure = failed;
            if let Some(records) = records {
                bytes_left = bytes_left.saturating_sub(records.buffer.len());
                polled.push(records);
            }
        }
        match self.failure.take_if(|_| polled.is_empty()) {
            Some(failure) => Err(self.failed(TO_FETCH, &failure)),
            None => Ok(polled),
        }
    }

    fn queued_bytes_max(&self) -> u64 {
        QUEUED_BYTES_MAX
    }

    fn rest(&mut self) -> Result<()> {
        self.failure = None;
        let partitions: Vec<i32> = self.readers.iter().map(|reader| reader.partition).collect();
        self.stop(&partitions)
    }

    fn look_again(&mut self) {
        self.cluster.tell_servers(&self.lease.consumer);
    }

    fn note_committed(&mut self, positions: &BTreeMap<Partition, Offset>) {
        self.cluster.positions.note(&self.cluster, &self.topic, self.reader, positions);
    }

    async fn confirm(&mut self) -> Result<()> {
        for _ in 0..GONE_LOOKS {
            match self.describe().await {
                Ok(found) if Some(found.id) == self.id => return Ok(()),
                Ok(_) => {
                    return Err(Error::conflict(format!("topic {} was deleted and made again", self.topic))
                        .with_detail("what was read last may be of either topic, and is not taken"));
                }
                // One that is being made again is not there for a moment.
                Err(error) if error.kind() == ErrorKind::NotFound => tokio::time::sleep(GONE_PAUSE).await,
                Err(error) => return Err(error),
            }
        }
        // Deleted, and not made again: what was read is of the topic that was.
        Ok(())
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.cluster.positions.end(&self.topic, self.reader);
        if let Err(error) = self.rest() {
            tracing::warn!(topic = %self.topic, %error, "partitions were not given back");
        }
    }
}
