//! Records to a topic of a cluster.
//!
//! Owns [`KafkaProducer`].
//! - I1: what is acknowledged was acknowledged by all replicas that the topic asks for; a retry doubles nothing (the
//!   producer is idempotent).
//! - I2: a keyed record goes where Java's default partitioner would put it.
//! - I3: what waits to be sent is bounded: a full queue makes the sender wait.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tableflow_model::{Error, Offset, Partition, Result, TopicName};

use super::client::{Cluster, refused};
use super::delivery::{Delivery, Outcome};
use super::failure::code_of;
use crate::topics::{Appended, NewRecord, Producer};

const OF_PRODUCERS: [(&str, &str); 6] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("partitioner", "murmur2_random"),
    ("linger.ms", "20"),
    ("compression.type", "lz4"),
    // A person waits for the answer.
    ("delivery.timeout.ms", "30000"),
];

/// How long the sender waits at a full queue before it looks again.
const WAIT: Duration = Duration::from_millis(100);

/// Beyond `delivery.timeout.ms` every record was delivered or given up.
const FLUSH_WITHIN: Duration = Duration::from_secs(45);

/// What became of the records.
#[derive(Debug, Default)]
struct Acknowledged {
    runs: Vec<Appended>,
    failure: Option<(Code, String)>,
}

impl Acknowledged {
    /// Offsets of a partition come in order; those that follow each other are one run.
    fn acknowledge(&mut self, partition: Partition, offset: Offset) {
        let follows = |run: &&mut Appended| run.first_offset.0 + run.count as i64 == offset.0;
        let last = self.runs.iter_mut().rev().find(|run| run.partition == partition).filter(follows);
        match last {
            Some(run) => run.count += 1,
            None => self.runs.push(Appended { partition, first_offset: offset, count: 1 }),
        }
    }
}

impl Outcome for Acknowledged {
    fn hear(&mut self, delivered: &DeliveryResult<'_>) {
        match delivered {
            Ok(message) => self.acknowledge(Partition(message.partition()), Offset(message.offset())),
            Err((error, _)) => {
                self.failure.get_or_insert((code_of(error), error.to_string()));
            }
        }
    }
}

pub(super) struct KafkaProducer {
    cluster: Arc<Cluster>,
    topic: TopicName,
    partitions: i32,
    producer: BaseProducer<Delivery<Acknowledged>>,
    delivery: Delivery<Acknowledged>,
}

impl fmt::Debug for KafkaProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaProducer").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl KafkaProducer {
    pub fn new(cluster: Arc<Cluster>, topic: TopicName, partitions: i32) -> Result<Self> {
        let delivery = Delivery::new(cluster.context());
        let config = cluster.config(&OF_PRODUCERS);
        let producer = config.create_with_context(delivery.clone()).map_err(|error| refused(&error))?;
        Ok(KafkaProducer { cluster, topic, partitions, producer, delivery })
    }

    fn failed(&self, code: Code, words: &str) -> Error {
        let fatal = self.producer.client().fatal_error();
        let (code, words) = fatal.as_ref().map_or((code, words), |(code, words)| (*code, words.as_str()));
        // Who may write to any topic gets a number for its records; who gets none may write to no topic.
        let refused = code == Code::ClusterAuthorizationFailed;
        let code = if refused { Code::TopicAuthorizationFailed } else { code };
        self.cluster.error_about(&self.topic, "WRITE", (code, words))
    }

    /// What a delivery that failed meanwhile says.
    fn check(&self) -> Result<()> {
        let failure = self.delivery.outcome().failure.take();
        failure.map_or(Ok(()), |(code, words)| Err(self.failed(code, &words)))
    }
}

impl Producer for KafkaProducer {
    fn send(&mut self, record: &NewRecord<'_>) -> Result<()> {
        self.check()?;
        if let Some(partition) = record.partition.filter(|partition| !(0..self.partitions).contains(&partition.0)) {
            return Err(Error::data(format!("topic {} has no partition {partition}", self.topic))
                .with_hint(format!("its partitions are 0 to {}", self.partitions - 1)));
        }
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (name, value) in record.headers {
            let name = std::str::from_utf8(name).map_err(|_| {
                Error::data("the name of a header is no text").with_hint("Kafka's header names are UTF-8")
            })?;
            headers = headers.insert(Header { key: name, value: *value });
        }
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(self.topic.as_str()).headers(headers);
        message.key = record.key;
        message.payload = record.value;
        message.timestamp = record.timestamp.map(|timestamp| timestamp.0);
        message.partition = record.partition.map(|partition| partition.0);
        loop {
            match self.producer.send(message) {
                Ok(()) => break,
                Err((error, refused)) if code_of(&error) == Code::QueueFull => {
                    self.producer.poll(WAIT);
                    self.check()?;
                    message = refused;
                }
                Err((error, _)) => return Err(self.failed(code_of(&error), &error.to_string())),
            }
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let flushed = self.producer.flush(FLUSH_WITHIN);
        self.check()?;
        flushed.map_err(|error| self.failed(code_of(&error), &error.to_string()))
    }

    fn take_acknowledged(&mut self) -> Vec<Appended> {
        std::mem::take(&mut self.delivery.outcome().runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_that_follow_each_other_are_one_run() {
        let mut outcome = Acknowledged::default();
        for (partition, offset) in [(0, 5), (0, 6), (1, 0), (0, 7), (0, 9), (1, 1)] {
            outcome.acknowledge(Partition(partition), Offset(offset));
        }
        let runs: Vec<_> = outcome.runs.iter().map(|run| (run.partition.0, run.first_offset.0, run.count)).collect();
        assert_eq!(runs, [(0, 5, 3), (1, 0, 2), (0, 9, 1)]);
    }
}
