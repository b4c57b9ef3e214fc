//! The connection to a cluster.
//!
//! Owns [`Cluster`]: the settings, and the clients that all readers of a process share.
//! - I1: one client reads a partition for one reader only; who wants a topic that is being read gets another client.
//! - I2: a client is served by a thread of its own, which ends with it: so librdkafka's callbacks always run.
//! - I3: what a call waits for is waited for outside the threads that everything else runs on.
//! - I4: questions have a client of their own: a broker answers what comes over one connection in turn, and a fetch
//!   waits there for half a second when there is nothing to read.
//! - I5: a question to a cluster that is dead is answered at once, with the words of who is not there.
//! - I6: settings and certificates that change while the process runs are taken: by new clients, which the readers go
//!   over to where they stand. So does a client that was given no token (I5 of `said`).
//! - I7: a client has at most [`TOPICS_MAX`] topics: librdkafka looks through all of a client's for each one that a
//!   broker names.
//! - I8: a client that seems to have lost its way is told the servers once more. librdkafka lets go of every broker
//!   that an answer does not name, and a broker that its controller has fenced, since it stood still for longer than
//!   `broker.session.timeout.ms`, names none: from then on such a client may know nobody (librdkafka's issue 5301).

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tableflow_model::{Error, Result, TopicName};

use super::failure::{MayBeSilence, about_cluster, about_topic, is_vague};
use super::group::GroupPositions;
use super::native::{keep_openssl_at_exit, tell_servers};
use super::properties::Properties;
use super::questions::Questions;
use super::said::Context;
use super::settings::{LOOK_EVERY, Settings};

/// How long a question to the cluster may take.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// So often a question is put by clients of which each got no token: an endpoint may fail once.
const TOKENS_ASKED_MAX: u32 = 2;
const TOKEN_LOOK_EVERY: Duration = Duration::from_millis(50);

/// A reader without a token takes another client so much later: an endpoint that is away is not asked all the time.
const TOKEN_PAUSE: Duration = Duration::from_secs(1);

/// How long a serving thread waits before it looks whether its client is still wanted.
const SERVE_EVERY: Duration = Duration::from_millis(200);

/// With a thousand in one client a fifth of a service's CPU time went into looking for them (I7). A client has a few
/// threads and a connection to each broker.
const TOPICS_MAX: usize = 250;

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

/// What clients for questions need beside. librdkafka puts a question to the leader, or to the controller, that it knows
/// of, also while that one is gone: by default it looks for another leader after a quarter of an hour, and for another
/// controller after five minutes. A connection on which nothing is answered is given up as soon as the question is.
pub(super) const OF_QUESTIONS: [(&str, &str); 3] =
    [("metadata.max.age.ms", "2000"), ("topic.metadata.refresh.interval.ms", "5000"), ("socket.timeout.ms", "10000")];

/// What people can set otherwise. A broker that was away is tried again every second, not every ten; one that does not
/// answer is connected to anew after half a minute, as Java's clients do, not after a whole one.
const DEFAULTS: [(&str, &str); 3] =
    [("client.id", "tableflow"), ("reconnect.backoff.max.ms", "1000"), ("socket.timeout.ms", "30000")];

/// A question that had no answer for so long may be the client's own fault (I8).
const SILENT_FOR: Duration = Duration::from_secs(9);

/// What one partition may hold fetched and not yet taken, in KiB; and as many records of the smallest kind.
const QUEUED_KIBIBYTES_MAX: u64 = 4096;
const QUEUED_RECORDS_MIN: &str = "100000";

/// The same, in bytes.
pub(super) const QUEUED_BYTES_MAX: u64 = QUEUED_KIBIBYTES_MAX * 1024;

pub(super) type Consumer = BaseConsumer<Context>;

/// A Kafka cluster, as this process is connected to it.
pub(super) struct Cluster {
    settings: Settings,
    /// Of the clients with the settings in force: those before them may fail as they did.
    context: Mutex<Context>,
    /// Reads nothing (I4).
    for_questions: Mutex<Option<Arc<Consumer>>>,
    pub questions: Questions,
    /// How far tables have come, as others see it.
    pub positions: GroupPositions,
    readers: Mutex<Vec<Client>>,
    /// Looks after the settings once something is connected.
    watch: Once,
}

/// One that reads.
struct Client {
    consumer: Arc<Consumer>,
    /// Of the settings that it was made with (I6).
    settings: u64,
    /// What it reads (I1).
    topics: HashSet<TopicName>,
}

impl Client {
    fn is_of_use(&self, settings: u64) -> bool {
        self.settings == settings && !self.consumer.context().lacks_token(Duration::ZERO)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Nothing is connected before it is used.
    pub fn new(settings: Settings) -> Arc<Self> {
        let (for_questions, questions, positions, readers) = Default::default();
        let context = Mutex::new(context_for(&settings.properties()));
        Arc::new(Cluster { settings, context, for_questions, questions, positions, readers, watch: Once::new() })
    }

    pub fn properties(&self) -> Arc<Properties> {
        self.settings.properties()
    }

    /// A client's settings: the person's over the defaults, and those given over both.
    pub fn config(&self, further: &[(&str, &str)]) -> ClientConfig {
        config(&self.properties(), further)
    }

    pub fn context(&self) -> Context {
        self.context.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn for_questions(self: &Arc<Self>) -> Result<Arc<Consumer>> {
        self.watch.call_once(|| {
            say_passed_over(&self.properties());
            watch(Arc::downgrade(self));
        });
        let mut client = self.for_questions.lock().unwrap_or_else(PoisonError::into_inner);
        match client.as_ref().filter(|client| !client.context().lacks_token(Duration::ZERO)) {
            Some(client) => Ok(client.clone()),
            None => Ok(client.insert(connect(&self.properties(), &self.context(), &OF_QUESTIONS)?).clone()),
        }
    }

    /// A client of its own that asks about a group, and joins none.
    pub fn member_of(&self, group: &str) -> Result<Arc<Consumer>> {
        let of_group = [("group.id", group)];
        connect(&self.properties(), &self.context(), &[&OF_QUESTIONS[..], &of_group].concat())
    }

    /// A client for somebody who reads this topic, until the lease is dropped (I1, I7).
    pub fn lease(self: &Arc<Self>, topic: &TopicName) -> Result<Lease> {
        let mut clients = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = self.settings.number();
        let has_room = |client: &Client| client.topics.len() < TOPICS_MAX && !client.topics.contains(topic);
        let free = clients.iter_mut().find(|client| client.is_of_use(settings) && has_room(client));
        let consumer = match free {
            Some(client) => {
                client.topics.insert(topic.clone());
                client.consumer.clone()
            }
            None => {
                let consumer = connect(&self.properties(), &self.context(), &[])?;
                let topics = HashSet::from([topic.clone()]);
                clients.push(Client { consumer: consumer.clone(), settings, topics });
                consumer
            }
        };
        Ok(Lease { cluster: self.clone(), consumer, settings, topic: topic.clone() })
    }

    /// Goes over to settings that were changed, if they make a client (I6).
    fn look_at_settings(&self) {
        let changed = match self.settings.changed() {
            Ok(Some(changed)) => changed,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "the settings of Kafka cannot be read again");
                return;
            }
        };
        let context = context_for(&changed.properties);
        match connect(&changed.properties, &context, &OF_QUESTIONS) {
            Ok(consumer) => {
                if changed.properties.passed_over() != self.properties().passed_over() {
                    say_passed_over(&changed.properties);
                }
                *self.context.lock().unwrap_or_else(PoisonError::into_inner) = context;
                self.settings.enforce(changed);
                *self.for_questions.lock().unwrap_or_else(PoisonError::into_inner) = Some(consumer);
                tracing::info!("the settings of Kafka, or their files, were changed: clients are made anew");
            }
            Err(error) => {
                let (detail, hint) = (error.detail().unwrap_or_default(), "the old ones stay in force");
                tracing::warn!(%error, detail, hint, "changed settings of Kafka are not taken");
            }
        }
    }

    /// I8.
    pub fn tell_servers(&self, consumer: &Consumer) {
        if consumer.context().is_to_be_told_servers() {
            tell_servers(consumer, self.properties().bootstrap_servers());
        }
    }

    /// Lets go of clients that nobody reads with any more.
    fn drop_outdated(&self) {
        let mut clients = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.settings.number();
        let outdated: Vec<Client> =
            clients.extract_if(.., |client| !client.is_of_use(number) && client.topics.is_empty()).collect();
        drop(clients);
        // To close one takes a moment, which nobody else waits for.
        drop(outdated);
    }

    /// Asks a question that waits, beside everything else that runs (I3). The outer error is that it could not be
    /// asked, or that nobody is there to answer it (I5).
    pub async fn ask<T: Send + 'static, E: MayBeSilence + Send + 'static>(
        self: &Arc<Self>,
        question: impl Fn(&Consumer) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Result<T, E>> {
        let question = Arc::new(question);
        let mut asked = 0;
        loop {
            asked += 1;
            let (put, client) = (question.clone(), Arc::new(OnceLock::new()));
            tokio::select! {
                answered = self.ask_once(client.clone(), move |consumer| put(consumer)) => return answered,
                () = told_no_token(|| client.get()), if asked < TOKENS_ASKED_MAX => self.context().asked(),
            }
        }
    }

    /// By the client for questions, which the caller learns.
    async fn ask_once<T: Send + 'static, E: MayBeSilence + Send + 'static>(
        self: &Arc<Self>,
        client: Arc<OnceLock<Context>>,
        question: impl FnOnce(&Consumer) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>> {
        let context = self.context();
        if !context.may_ask() {
            return Err(self.error(Code::AllBrokersDown, ""));
        }
        let cluster = self.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let asked_at = Instant::now();
            let answered = cluster.for_questions().map(|consumer| {
                let context: &Context = consumer.context();
                client.get_or_init(|| context.clone());
                let answer = question(&consumer);
                if asked_at.elapsed() >= SILENT_FOR && answer.as_ref().is_err_and(MayBeSilence::is_silence) {
                    cluster.tell_servers(&consumer);
                }
                answer
            });
            context.asked();
            // Also where nobody waits for it any more.
            if answered.as_ref().is_ok_and(|answer| !answer.as_ref().is_err_and(MayBeSilence::is_silence)) {
                context.answered();
            }
            answered
        });
        self.unless_dead(async {
            asked
                .await
                .unwrap_or_else(|error| Err(Error::internal("a question to Kafka ended early").with_source(error)))
        })
        .await
    }

    /// The answer, or that the cluster is dead: then nobody waits for the rest of the time (I5).
    pub async fn unless_dead<T, E>(&self, answer: impl Future<Output = Result<Result<T, E>>>) -> Result<Result<T, E>> {
        let context = self.context();
        tokio::select! {
            answered = answer => answered,
            () = context.dead() => Err(self.error(Code::AllBrokersDown, "")),
        }
    }

    /// An error about the cluster; one that knows no reason gets the last words that librdkafka had (I1 of `said`).
    pub fn error(&self, code: Code, words: &str) -> Error {
        let last_words = self.context().last_words().filter(|_| is_vague(code));
        about_cluster(&self.properties(), code, last_words.as_deref().unwrap_or(words))
    }

    /// An error about a topic; `right` is what the question needs.
    pub fn error_about(&self, topic: &TopicName, right: &str, (code, words): (Code, &str)) -> Error {
        if is_vague(code) {
            return self.error(code, words).with_context("topic", topic);
        }
        about_topic(&self.properties(), topic, right, (code, words))
    }
}

fn connect(properties: &Properties, context: &Context, further: &[(&str, &str)]) -> Result<Arc<Consumer>> {
    let mut config = config(properties, &[&OF_READERS, further].concat());
    config.set("queued.max.messages.kbytes", QUEUED_KIBIBYTES_MAX.to_string());
    config.set("queued.min.messages", QUEUED_RECORDS_MIN);
    let consumer: Consumer =
        config.create_with_context(context.of_another_client()).map_err(|error| refused(&error))?;
    let consumer = Arc::new(consumer);
    serve(Arc::downgrade(&consumer));
    Ok(consumer)
}

/// Returns once this client was told that there is no token for it.
async fn told_no_token<'c>(client: impl Fn() -> Option<&'c Context>) {
    while !client().is_some_and(|context| context.lacks_token(Duration::ZERO)) {
        tokio::time::sleep(TOKEN_LOOK_EVERY).await;
    }
}

fn context_for(properties: &Properties) -> Context {
    Context::new(properties.bootstrap_servers().split(',').count())
}

fn config(properties: &Properties, further: &[(&str, &str)]) -> ClientConfig {
    keep_openssl_at_exit();
    let mut config = ClientConfig::new();
    for (name, value) in DEFAULTS.into_iter().chain(properties.iter()).chain(further.iter().copied()) {
        config.set(name, value);
    }
    // A connection that a server closes is told below the level of errors.
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

/// Once, when something is connected: who reads nothing of the cluster need not know.
fn say_passed_over(properties: &Properties) {
    if properties.passed_over().is_empty() {
        return;
    }
    let settings = properties.passed_over().join(", ");
    let hint = "a group that is told positions is group.id in [kafka] itself, a table's beginning `enable --from`; the rest \
                is as exactly once needs it";
    tracing::warn!(settings, hint, "settings of the properties file are other clients', and are passed over");
}

/// I6.
fn watch(cluster: Weak<Cluster>) {
    let watched = std::thread::Builder::new().name("kafka-settings".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(LOOK_EVERY);
            let Some(cluster) = cluster.upgrade() else { return };
            cluster.look_at_settings();
            cluster.drop_outdated();
        }
    });
    if let Err(error) = watched {
        tracing::warn!(%error, "the thread that looks after the settings of Kafka could not be started");
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
    settings: u64,
    topic: TopicName,
}

impl Lease {
    /// Were the settings changed since (I6), or is there no token for its client? Then another lease has to be taken.
    pub fn is_outdated(&self) -> bool {
        self.settings != self.cluster.settings.number() || self.consumer.context().lacks_token(TOKEN_PAUSE)
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn i1_i7_a_client_reads_a_topic_once_and_so_many_topics_at_most() {
        let written = BTreeMap::from([("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())]);
        let settings = Settings::new(Box::new(move || Properties::new(&written))).unwrap();
        let cluster = Cluster::new(settings);
        let lease = |number: usize| cluster.lease(&format!("t{number}").parse().unwrap()).unwrap();
        let mut leases: Vec<Lease> = (0..=2 * TOPICS_MAX).map(lease).collect();
        let topics = || cluster.readers.lock().unwrap().iter().map(|client| client.topics.len()).collect::<Vec<_>>();
        assert_eq!(topics(), [TOPICS_MAX, TOPICS_MAX, 1]);
        // One that is read already, and one more where another one went.
        leases.push(lease(0));
        leases.remove(1);
        leases.push(lease(9999));
        assert_eq!(topics(), [TOPICS_MAX, TOPICS_MAX, 2]);
    }
}
