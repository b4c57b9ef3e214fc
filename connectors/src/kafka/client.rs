//! The connection to a cluster.
//!
//! Owns [`Cluster`]: the settings, and the clients that all readers of a process share.
//! - I1: one client reads a partition for one reader only; who wants a topic that is being read gets another client.
//! - I2: a client is served by a thread of its own, which ends with it: so librdkafka's callbacks always run.
//! - I3: what a call waits for is waited for outside the threads that everything else runs on.
//! - I4: questions have a client of their own: a broker answers what comes over one connection in turn, and a fetch waits
//!   there for half a second when there is nothing to read.
//! - I5: the last words of librdkafka about its connection stand with every error about it: a call that timed out does
//!   not know that a login was refused.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tableflow_model::{Error, Result, TopicName};

use super::failure::{about_cluster, code_of};
use super::properties::Properties;
use super::questions::Questions;

/// How long a question to the cluster may take.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long a serving thread waits before it looks whether its client is still wanted.
const SERVE_EVERY: Duration = Duration::from_millis(200);

/// What readers need of librdkafka, and people cannot set (I2 of `properties`).
const OF_READERS: [(&str, &str); 9] = [
    // Without one librdkafka assigns nothing. Nobody joins it: partitions are assigned by hand.
    ("group.id", "tableflow"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("enable.partition.eof", "true"),
    ("check.crcs", "true"),
    // A queue that was full is looked at again soon: by default it would rest for a second.
    ("fetch.queue.backoff.ms", "10"),
    ("allow.auto.create.topics", "false"),
];

/// What people can set otherwise. A broker that was away is tried again every second, not every ten.
const DEFAULTS: [(&str, &str); 2] = [("client.id", "tableflow"), ("reconnect.backoff.max.ms", "1000")];

/// What one partition may hold fetched and not yet taken, in KiB; and as many records of the smallest kind.
const QUEUED_KIBIBYTES_MAX: u64 = 4096;
const QUEUED_RECORDS_MIN: &str = "100000";

/// The same, in bytes.
pub(super) const QUEUED_BYTES_MAX: u64 = QUEUED_KIBIBYTES_MAX * 1024;

/// What librdkafka tells a client beside its answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    last_words: Arc<Mutex<Option<LastWords>>>,
}

#[derive(Clone, Debug)]
struct LastWords {
    code: Code,
    words: String,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, "kafka: {message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, "kafka: {message}"),
            _ => tracing::info!(facility, "kafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, words: &str) {
        let code = code_of(&error);
        tracing::info!(%code, "kafka: {words}");
        // That all brokers are down says less than why.
        if code != Code::AllBrokersDown {
            *self.last_words.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(LastWords { code, words: words.to_owned() });
        }
    }
}

impl ConsumerContext for Context {}

pub(super) type Consumer = BaseConsumer<Context>;

/// A Kafka cluster, as this process is connected to it.
pub(super) struct Cluster {
    properties: Properties,
    context: Context,
    /// Reads nothing (I4).
    for_questions: Mutex<Option<Arc<Consumer>>>,
    pub questions: Questions,
    readers: Mutex<Vec<Client>>,
}

/// One that reads.
struct Client {
    consumer: Arc<Consumer>,
    /// What it reads (I1).
    topics: HashSet<TopicName>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("servers", &self.properties.bootstrap_servers()).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Nothing is connected before it is used.
    pub fn new(properties: Properties) -> Arc<Self> {
        let (for_questions, questions, readers) = Default::default();
        Arc::new(Cluster { properties, context: Context::default(), for_questions, questions, readers })
    }

    /// A client's settings: the person's over the defaults, and those given over both.
    pub fn config(&self, further: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in DEFAULTS.into_iter().chain(self.properties.iter()).chain(further.iter().copied()) {
            config.set(name, value);
        }
        config
    }

    pub fn context(&self) -> Context {
        self.context.clone()
    }

    fn for_questions(&self) -> Result<Arc<Consumer>> {
        let mut client = self.for_questions.lock().unwrap_or_else(PoisonError::into_inner);
        match client.as_ref() {
            Some(client) => Ok(client.clone()),
            None => Ok(client.insert(self.connect()?).clone()),
        }
    }

    /// A client for somebody who reads this topic, until the lease is dropped (I1).
    pub fn lease(self: &Arc<Self>, topic: &TopicName) -> Result<Lease> {
        let mut clients = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let free = clients.iter_mut().find(|client| !client.topics.contains(topic));
        let consumer = match free {
            Some(client) => {
                client.topics.insert(topic.clone());
                client.consumer.clone()
            }
            None => {
                let consumer = self.connect()?;
                let topics = HashSet::from([topic.clone()]);
                clients.push(Client { consumer: consumer.clone(), topics });
                consumer
            }
        };
        Ok(Lease { cluster: self.clone(), consumer, topic: topic.clone() })
    }

    fn connect(&self) -> Result<Arc<Consumer>> {
        let mut config = self.config(&OF_READERS);
        config.set("queued.max.messages.kbytes", QUEUED_KIBIBYTES_MAX.to_string());
        config.set("queued.min.messages", QUEUED_RECORDS_MIN);
        let consumer: Consumer = config.create_with_context(self.context()).map_err(|error| refused(&error))?;
        let consumer = Arc::new(consumer);
        serve(Arc::downgrade(&consumer));
        Ok(consumer)
    }

    /// Asks a question that waits, beside everything else that runs (I3).
    pub async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Consumer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let cluster = self.clone();
        let asked = tokio::task::spawn_blocking(move || question(cluster.for_questions()?.as_ref())).await;
        asked.unwrap_or_else(|error| Err(Error::internal("a question to Kafka ended early").with_source(error)))
    }

    /// An error about the cluster; one that knows no reason gets the last one that librdkafka gave (I5).
    pub fn error(&self, code: Code, words: &str) -> Error {
        let vague = matches!(code, Code::OperationTimedOut | Code::BrokerTransportFailure | Code::AllBrokersDown);
        let last = self.context.last_words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match last {
            Some(last) if vague => about_cluster(last.code, &last.words),
            _ => about_cluster(code, words),
        }
    }
}

/// A setting that librdkafka does not take.
pub(super) fn refused(error: &KafkaError) -> Error {
    let words = match error {
        KafkaError::ClientConfig(_, words, name, _) => format!("{name}: {words}"),
        KafkaError::ClientCreation(words) => words.clone(),
        other => other.to_string(),
    };
    Error::usage("the settings of [kafka] do not make a client").with_detail(words).with_hint("correct them in [kafka]")
}

/// I2.
fn serve(consumer: Weak<Consumer>) {
    let served = std::thread::Builder::new().name("kafka".to_owned()).spawn(move || {
        while let Some(consumer) = consumer.upgrade() {
            // Records go to queues of their own; what comes here is for callbacks.
            let _ = consumer.poll(SERVE_EVERY);
        }
    });
    if let Err(error) = served {
        tracing::warn!(%error, "the thread that serves a Kafka client could not be started");
    }
}

/// The right to read a topic through a client.
pub(super) struct Lease {
    cluster: Arc<Cluster>,
    pub consumer: Arc<Consumer>,
    topic: TopicName,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut clients = self.cluster.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.iter_mut().find(|client| Arc::ptr_eq(&client.consumer, &self.consumer)) {
            client.topics.remove(&self.topic);
        }
    }
}
