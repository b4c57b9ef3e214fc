//! Epochs of a job into one topic, each in a transaction (rules T of the protocol).
//!
//! Owns [`KafkaEpochs`].
//! - I1: the `transactional.id` is the sink's own and has no generation: to open a producer fences the one before, and
//!   waits for what that one had decided.
//! - I2: an epoch is recorded with its records: as the offset of a group of that name, in the same transaction, and in
//!   a header of each record.
//! - I3: after an error the producer and its client are gone: whoever goes on opens others, with the settings that are
//!   then in force.
//! - I4: what waits to be sent is bounded: a full queue makes the sender wait.
//! - I5: no step waits for ever. librdkafka may ask the group's coordinator that it knows of, though that broker has
//!   gone, and hear of no answer: a producer that has lost a broker begins no transaction.
//!
//! Every call waits for brokers: it belongs on a thread where nothing else does. Neighbours: `recorded` reads
//! what the topic says; `producer` sends what people send.

use std::fmt;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset as ListOffset, TopicPartitionList};
use tableflow_model::protocol::{Epoch, Recorded};
use tableflow_model::{Error, Result};
use tableflow_store::kill::{self, KillPoint};

use super::client::{Cluster, Consumer, refused};
use super::delivery::{Delivery, Outcome};
use super::failure::{Failure, code_of, failure_of, grant, is_vague};
use super::recorded::RECORDED_ON;
use crate::topics::{EpochProducer, EpochSink, NewRecord};

const OF_EPOCHS: [(&str, &str); 9] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // As Java's default partitioner has it.
    ("partitioner", "murmur2_random"),
    ("linger.ms", "5"),
    ("compression.type", "lz4"),
    // The first record of a large epoch waits for those before it; who makes no progress at all is noticed earlier.
    ("delivery.timeout.ms", "240000"),
    // Who died and does not come back holds readers up for no longer. So much brokers allow, as they are delivered.
    ("transaction.timeout.ms", "900000"),
    // The topic's own limit counts: the broker says so.
    ("message.max.bytes", "100000000"),
    // I4.
    ("queue.buffering.max.kbytes", "131072"),
];

/// What librdkafka puts into a batch unless it is told otherwise.
const BATCH_BYTES: u32 = 1_000_000;

/// What a batch has around its records.
const BATCH_HEADROOM: u32 = 512;

/// How long a step of a transaction may take, and how long nothing may be acknowledged while records are sent.
const STEP_WITHIN: Duration = Duration::from_secs(30);

/// How long it may take to record the epoch, and how long is waited where librdkafka itself does not end that.
const RECORDED_WITHIN: Duration = Duration::from_secs(15);
const GIVEN_UP_AFTER: Duration = Duration::from_secs(20);

/// How long is waited for what is sent, or for room to send more, before it is looked again.
const WAIT: Duration = Duration::from_millis(100);

/// What the first delivery that failed said.
#[derive(Debug, Default)]
struct FirstFailure(Option<Failure>);

impl Outcome for FirstFailure {
    fn hear(&mut self, delivered: &DeliveryResult<'_>) {
        // What is purged has a reason, which the transaction's next step tells.
        if let Err((error, _)) = delivered
            && !matches!(code_of(error), Code::PurgeQueue | Code::PurgeInflight)
        {
            self.0.get_or_insert_with(|| failure_of(error));
        }
    }
}

pub(super) struct KafkaEpochs {
    pub(super) cluster: Arc<Cluster>,
    pub(super) sink: EpochSink,
    open: Option<Arc<Open>>,
}

/// Clients that an error ends (I3).
struct Open {
    producer: ThreadedProducer<Delivery<FirstFailure>>,
    /// Of the group; it joins nothing.
    consumer: Arc<Consumer>,
    delivery: Delivery<FirstFailure>,
}

impl Open {
    fn record(&self, place: &TopicPartitionList) -> KafkaResult<()> {
        let group = self.consumer.group_metadata().ok_or(KafkaError::Canceled)?;
        self.producer.send_offsets_to_transaction(place, &group, RECORDED_WITHIN)
    }

    fn has_failed(&self) -> bool {
        self.delivery.outcome().0.is_some()
    }

    /// Waits until everything that was sent is acknowledged, as long as some of it is.
    fn flush(&self) -> KafkaResult<()> {
        let (mut left, mut moved_at) = (self.producer.in_flight_count(), Instant::now());
        loop {
            match self.producer.flush(WAIT) {
                Err(error) if code_of(&error) != Code::OperationTimedOut || moved_at.elapsed() > STEP_WITHIN => {
                    return Err(error);
                }
                Err(_) if !self.has_failed() => {}
                _ => return Ok(()),
            }
            let now = self.producer.in_flight_count();
            if now < left {
                (left, moved_at) = (now, Instant::now());
            }
        }
    }
}

/// A step in a thread of its own, which stays behind with its clients where it does not end in time (I5).
fn ends(within: Duration, step: impl FnOnce() -> KafkaResult<()> + Send + 'static) -> KafkaResult<()> {
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(step()));
    ended.recv_timeout(within).unwrap_or(Err(KafkaError::Global(Code::OperationTimedOut)))
}

impl fmt::Debug for KafkaEpochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaEpochs").field("sink", &self.sink).finish_non_exhaustive()
    }
}

impl KafkaEpochs {
    pub fn new(cluster: Arc<Cluster>, sink: EpochSink) -> Self {
        KafkaEpochs { cluster, sink, open: None }
    }

    fn clients(&self) -> Result<&Open> {
        self.open.as_deref().ok_or_else(|| Error::internal("a producer of epochs is used before it was opened"))
    }

    /// Does a step of a transaction; after an error nothing is open any more (I3).
    fn step<T>(&mut self, step: impl FnOnce(&Open) -> KafkaResult<T>) -> Result<T> {
        self.step_or(step, Self::failed)
    }

    fn step_or<T>(
        &mut self,
        step: impl FnOnce(&Open) -> KafkaResult<T>,
        said: impl FnOnce(&Self, &Failure) -> Error,
    ) -> Result<T> {
        let open = self.clients()?;
        let done = step(open).map_err(|error| failure_of(&error));
        let failed = open.delivery.outcome().0.take();
        let fatal = open.producer.client().fatal_error();
        match (done, fatal.or(failed)) {
            (Ok(done), None) => Ok(done),
            (Err(failure), None) | (_, Some(failure)) => {
                self.open = None;
                Err(said(self, &failure))
            }
        }
    }

    /// A batch that is larger than the topic takes is refused for ever, however small its records are.
    fn batch_bytes(&self, config: &ClientConfig) -> u32 {
        let asked = config.get("batch.size").and_then(|bytes| bytes.parse().ok()).unwrap_or(BATCH_BYTES);
        self.sink.batch_bytes_max.map_or(asked, |max| asked.min(max.saturating_sub(BATCH_HEADROOM)).max(1))
    }

    pub(super) fn failed(&self, (code, words): &Failure) -> Error {
        let (topic, id, properties) = (&self.sink.topic, &self.sink.id, self.cluster.properties());
        let no_right = |right: &str, what: &str, resource: &str| {
            Error::unavailable(format!("the login has no right to {right} {what} {id}"))
                .with_detail(code.to_string())
                .with_hint(grant(&properties, right, &format!("{resource} {id}")))
        };
        match code {
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
                let what = "another producer took over the letters to topic";
                Error::conflict(format!("{what} {topic}, or their transaction took longer than 15 minutes"))
                    .with_detail(words)
            }
            Code::TransactionalIdAuthorizationFailed => no_right("WRITE", "transactional id", "--transactional-id"),
            Code::GroupAuthorizationFailed => no_right("READ", "group", "--group"),
            Code::MessageSizeTooLarge => Error::unavailable(format!(
                "a dead letter is larger than topic {topic} takes"
            ))
            .with_detail(words)
            .with_hint(format!(
                "raise max.message.bytes of {topic}: a letter has some hundred bytes of headers beside its record"
            )),
            Code::InvalidTransactionTimeout => {
                Error::unavailable("the Kafka cluster allows no transaction of 15 minutes")
                    .with_detail(words)
                    .with_hint("raise transaction.max.timeout.ms of its brokers to 900000")
            }
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
                Error::unavailable(format!("topic {topic}, which dead letters go to, does not exist"))
                    .with_hint(format!("`tableflow topic create {topic}` makes it, and the table goes on"))
            }
            // Nothing that was sent is acknowledged.
            Code::QueueFull => self.cluster.error(Code::OperationTimedOut, words).with_context("topic", topic),
            code if is_vague(*code) => self.cluster.error(*code, words).with_context("topic", topic),
            // Who may write to no topic gets no number for its records either.
            Code::ClusterAuthorizationFailed => {
                self.cluster.error_about(topic, "WRITE", (Code::TopicAuthorizationFailed, words))
            }
            code => self.cluster.error_about(topic, "WRITE", (*code, words)),
        }
    }
}

impl EpochProducer for KafkaEpochs {
    fn look(&self) -> Result<()> {
        self.look_at(&self.cluster.member_of(&self.sink.id)?)
    }

    fn open(&mut self) -> Result<()> {
        self.open = None;
        let delivery = Delivery::new(self.cluster.context());
        let mut config = self.cluster.config(&OF_EPOCHS);
        config.set("transactional.id", &self.sink.id);
        config.set("batch.size", self.batch_bytes(&config).to_string());
        let producer = config.create_with_context(delivery.clone()).map_err(|error| refused(&error))?;
        let consumer = self.cluster.member_of(&self.sink.id)?;
        self.open = Some(Arc::new(Open { producer, consumer, delivery }));
        self.step(|open| open.producer.init_transactions(STEP_WITHIN))?;
        // One of the bootstrap servers may be away for good.
        self.clients()?.delivery.forget_losses();
        Ok(())
    }

    fn recorded(&mut self) -> Result<Recorded> {
        let consumer = self.clients()?.consumer.clone();
        let read = self.read_recorded(&consumer);
        if read.is_err() {
            // The same client is asked again.
            self.cluster.tell_servers(&consumer);
        }
        read
    }

    fn begin(&mut self) -> Result<()> {
        kill::at(KillPoint::LettersBefore);
        if self.clients()?.delivery.has_lost_a_broker() {
            self.open = None;
            let what = "a broker of the Kafka cluster went away: the producer of dead letters is opened anew";
            return Err(Error::unavailable(what));
        }
        self.step(|open| open.producer.begin_transaction())
    }

    fn send(&mut self, record: &NewRecord<'_>) -> Result<()> {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (name, value) in record.headers {
            headers = headers.insert(Header { key: &String::from_utf8_lossy(name), value: *value });
        }
        let topic = self.sink.topic.to_string();
        self.step(|open| {
            let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topic).headers(headers);
            message.key = record.key;
            message.payload = record.value;
            message.timestamp = record.timestamp.map(|timestamp| timestamp.0);
            let started = Instant::now();
            loop {
                match open.producer.send(message) {
                    Ok(()) => return Ok(()),
                    Err((error, refused)) if code_of(&error) == Code::QueueFull && started.elapsed() < STEP_WITHIN => {
                        message = refused;
                        if open.has_failed() {
                            return Ok(());
                        }
                        thread::sleep(WAIT);
                    }
                    Err((error, _)) => return Err(error),
                }
            }
        })
    }

    fn commit(&mut self, epoch: Epoch) -> Result<()> {
        let mut place = TopicPartitionList::new();
        let offset = ListOffset::Offset(i64::try_from(epoch.0).unwrap_or(i64::MAX));
        place
            .add_partition_offset(self.sink.topic.as_str(), RECORDED_ON, offset)
            .map_err(|error| Error::internal("an epoch is no offset").with_source(error))?;
        self.step(Open::flush)?;
        let recording = self.open.clone();
        let record = |_: &Open| ends(GIVEN_UP_AFTER, move || recording.ok_or(KafkaError::Canceled)?.record(&place));
        // Who records an epoch needs the right to read; that to write, which the letters lack, is told in other words
        // here too.
        self.step_or(record, |this, failure| match failure.1.contains("commit offsets") {
            true => this.unread(failure),
            false => this.failed(failure),
        })?;
        kill::at(KillPoint::LettersSent);
        self.step(|open| open.producer.commit_transaction(STEP_WITHIN))?;
        kill::at(KillPoint::LettersAfter);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i5_a_step_that_does_not_end_is_given_up() {
        assert_eq!(ends(Duration::from_secs(60), || Ok(())), Ok(()));
        let refused = || Err(KafkaError::Canceled);
        assert_eq!(ends(Duration::from_secs(60), refused), Err(KafkaError::Canceled));
        let (for_ever, stays) = mpsc::channel::<()>();
        let given_up = ends(Duration::from_millis(10), move || stays.recv().map_err(|_| KafkaError::Canceled));
        assert_eq!(given_up, Err(KafkaError::Global(Code::OperationTimedOut)));
        drop(for_ever);
    }
}
