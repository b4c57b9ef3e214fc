//! Where topics are kept, whoever keeps them.
//!
//! Owns [`Topics`], [`Producer`] and [`EpochProducer`], the traits of a keeper, and their words: [`Topic`],
//! [`NewRecord`], [`Appended`], [`EpochSink`].
//! - I1: a topic that was deleted and made again has another id.
//! - I2: what a keeper fetches from afar takes a moment: [`first_poll`] waits for it, where nothing yet would be taken
//!   for nothing at all.
//! - I3: what [`Producer::take_acknowledged`] names is as durable as the keeper makes records.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tableflow_model::protocol::{Epoch, Recorded};
use tableflow_model::source::Range;
use tableflow_model::{Error, Millis, Offset, Partition, Records, Result, Source, TopicId, TopicName};
use tokio::time::{Instant, sleep};

/// One topic: what it is called, which one it is, how it is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: TopicName,
    pub id: TopicId,
    pub partitions: i32,
    /// Under Kafka's names; `topic list` and `topic describe` show them.
    pub settings: BTreeMap<String, String>,
    /// Whether the keeper says when it was made.
    pub created_at: Option<Millis>,
}

impl Topic {
    /// Whether the topic keeps the last record of each key: then its table is an upsert table.
    pub fn compacts(&self) -> bool {
        self.settings.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"))
    }
}

/// Name and value of a record's header; names may repeat.
pub type HeaderField<'a> = (&'a [u8], Option<&'a [u8]>);

/// A record to send.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [HeaderField<'a>],
    /// Absent: the clock's.
    pub timestamp: Option<Millis>,
    /// Absent: by key, or in turn.
    pub partition: Option<Partition>,
}

/// Consecutive records that the keeper has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub partition: Partition,
    pub first_offset: Offset,
    pub count: usize,
}

/// How long the first records of a topic that has some may take.
const FIRST_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The first poll that brings something, of a source that was sought to the start of these ranges.
pub async fn first_poll(
    source: &mut dyn Source,
    ranges: &BTreeMap<Partition, Range>,
    bytes_max: usize,
) -> Result<Vec<Records>> {
    let is_empty = ranges.values().all(|range| range.start == range.end);
    let started = Instant::now();
    loop {
        let polled = source.poll(bytes_max)?;
        if is_empty || !polled.is_empty() {
            return Ok(polled);
        }
        if started.elapsed() > FIRST_WITHIN {
            return Err(Error::unavailable("the topic's first records do not come")
                .with_hint("check the connection to its cluster, and try again"));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Which kind of keeper a topic has: topics of one name with two keepers have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keeper {
    Embedded,
    Kafka,
}

/// A keeper of topics.
#[async_trait]
pub trait Topics: fmt::Debug + Send + Sync {
    fn keeper(&self) -> Keeper;

    async fn create(&self, name: &TopicName, partitions: i32, settings: &BTreeMap<String, String>) -> Result<Topic>;

    /// Every topic that people made, by name.
    async fn list(&self) -> Result<Vec<Topic>>;

    /// Their names alone: a look that costs one question, however many there are.
    async fn names(&self) -> Result<Vec<TopicName>>;

    async fn describe(&self, name: &TopicName) -> Result<Topic>;

    /// Whether the settings of a topic may be seen: without them it can be described all the same.
    async fn look_at_settings(&self, _name: &TopicName) -> Result<()> {
        Ok(())
    }

    async fn delete(&self, name: &TopicName) -> Result<()>;

    async fn source(&self, name: &TopicName) -> Result<Box<dyn Source>>;

    async fn producer(&self, name: &TopicName) -> Result<Box<dyn Producer>>;

    /// Nothing is opened yet.
    async fn epochs(&self, sink: EpochSink) -> Result<Box<dyn EpochProducer>>;

    /// Tells whoever watches from outside what is committed by now. That is done now and then anyway: this is for the
    /// end of a process.
    async fn tell_positions(&self) {}
}

/// Sends records to one topic.
pub trait Producer: Send {
    /// Takes a record. One for which this answers an error was not taken.
    fn send(&mut self, record: &NewRecord<'_>) -> Result<()>;

    /// Waits until everything that was taken is acknowledged, or says why it is not.
    fn flush(&mut self) -> Result<()>;

    /// What was acknowledged since the last call, also before an error.
    fn take_acknowledged(&mut self) -> Vec<Appended>;
}

/// A topic as the place of a job's epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochSink {
    pub topic: TopicName,
    pub topic_id: TopicId,
    /// The sink's own name, whoever runs the job; the records have it too.
    pub id: String,
    /// Records before these places are none of the job's.
    pub from: BTreeMap<Partition, Offset>,
    /// What the topic takes in one batch; absent where nobody says.
    pub batch_bytes_max: Option<u32>,
}

/// Sends epochs to one topic, each in one transaction. Each call waits; after an error of any but `recorded` it has to
/// be opened anew, and an error that is a conflict says that somebody else has opened it since.
pub trait EpochProducer: fmt::Debug + Send {
    /// Whether topic and epoch can be read; opens nothing, and fences nobody.
    fn look(&self) -> Result<()>;

    /// Whoever had it open before is fenced, what that one had decided is there.
    fn open(&mut self) -> Result<()>;

    /// What the topic records of the job's epochs.
    fn recorded(&mut self) -> Result<Recorded>;

    fn begin(&mut self) -> Result<()>;

    fn send(&mut self, record: &NewRecord<'_>) -> Result<()>;

    /// What was sent since it began is there, and the epoch recorded.
    fn commit(&mut self, epoch: Epoch) -> Result<()>;
}
