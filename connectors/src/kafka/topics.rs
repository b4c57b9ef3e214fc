//! A cluster as a keeper of topics.
//!
//! Owns [`KafkaTopics`].
//! - I1: internal topics (`__consumer_offsets`, ..) are nobody's tables: they are not listed.
//! - I2: a topic that `create` answered with can be described, read and written.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::metadata::MetadataTopic;
use tableflow_model::{Error, ErrorKind, Result, Source, TopicName};

use super::client::{ANSWER_WITHIN, Cluster, OF_QUESTIONS, refused};
use super::epochs::KafkaEpochs;
use super::failure::{DESCRIBE_CONFIGS, Failure, failure_of};
use super::group;
use super::native::{Description, describe_topics};
use super::producer::KafkaProducer;
use super::properties::Properties;
use super::said::Context;
use super::settings::{ReadSettings, Settings};
use super::source::{KafkaSource, describe};
use crate::local::PARTITIONS_MAX;
use crate::topics::{EpochProducer, EpochSink, Keeper, Producer, Topic, Topics};

/// A new topic is known to all brokers within this time, or something is wrong.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Replicas as the broker's configuration has it.
const BROKERS_DEFAULT: i32 = -1;

/// The settings of a topic that say something about its table.
const SHOWN: [&str; 5] =
    ["cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type", "max.message.bytes"];

/// The topics of one cluster.
#[derive(Clone)]
pub struct KafkaTopics {
    cluster: Arc<Cluster>,
    admin: Arc<Mutex<Option<Admin>>>,
}

/// An administrator's client, which takes a tenth of a second to end: it stays as long as its settings do.
struct Admin {
    settings: Arc<Properties>,
    client: Arc<AdminClient<Context>>,
}

impl fmt::Debug for KafkaTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaTopics").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl KafkaTopics {
    /// Nothing is connected before it is used. Settings are read again while it is.
    pub fn new(settings: Box<ReadSettings>) -> Result<Self> {
        Ok(KafkaTopics { cluster: Cluster::new(Settings::new(settings)?), admin: Arc::default() })
    }

    /// What answers, in words.
    pub async fn reach(&self) -> Result<String> {
        let asked = self.cluster.ask(|consumer| {
            let metadata = consumer.fetch_metadata(None, ANSWER_WITHIN).map_err(|error| failure_of(&error))?;
            Ok((metadata.brokers().len(), metadata.topics().len()))
        });
        let (brokers, topics) = asked.await?.map_err(|(code, words)| self.cluster.error(code, &words))?;
        let way = self.cluster.properties();
        let login = way.get("sasl.mechanisms").map(|mechanism| format!(", {mechanism}")).unwrap_or_default();
        Ok(format!("{brokers} brokers, {topics} topics to be seen ({}{login})", way.protocol()))
    }

    fn admin(&self) -> Result<Arc<AdminClient<Context>>> {
        let settings = self.cluster.properties();
        let mut admin = self.admin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(admin) = admin.as_ref().filter(|admin| Arc::ptr_eq(&admin.settings, &settings)) {
            return Ok(admin.client.clone());
        }
        let made = self.cluster.config(&OF_QUESTIONS).create_with_context(self.cluster.context());
        let client: Arc<AdminClient<Context>> = Arc::new(made.map_err(|error| refused(&error))?);
        *admin = Some(Admin { settings, client: client.clone() });
        Ok(client)
    }

    fn failed(&self, topic: &TopicName, right: &str, (code, words): (Code, &str)) -> Error {
        match code {
            Code::TopicAlreadyExists => Error::already_exists(format!("topic {topic} exists already"))
                .with_hint(format!("`tableflow topic describe {topic}` shows it")),
            Code::InvalidConfig | Code::InvalidPartitions | Code::InvalidReplicationFactor | Code::PolicyViolation => {
                Error::usage(format!("the cluster refuses topic {topic}")).with_detail(words)
            }
            code => self.cluster.error_about(topic, right, (code, words)),
        }
    }

    /// What an order of an administrator gives, unless the cluster is dead.
    async fn order<T>(&self, order: impl Future<Output = KafkaResult<T>>) -> Result<Result<T, Failure>> {
        self.cluster.unless_dead(async { Ok(order.await.map_err(|error| failure_of(&error))) }).await
    }

    /// What came of an order, where every failure is the cluster's.
    fn done<T>(&self, ordered: Result<T, Failure>) -> Result<T> {
        ordered.map_err(|(code, words)| self.cluster.error(code, &words))
    }

    /// Whether the consumer group may be told how far tables are, and its name; none where none is told.
    pub async fn look_at_group(&self) -> Option<(String, Result<String>)> {
        let group = self.cluster.properties().group()?.to_owned();
        let found = group::look_at(&self.cluster, &group).await;
        Some((group, found))
    }

    /// The topic's settings that matter here; none where they may not be seen.
    async fn settings(&self, name: &TopicName) -> Result<BTreeMap<String, String>> {
        let seen = self.seen_settings(name).await?;
        Ok(seen.unwrap_or_else(|code| {
            tracing::info!(topic = %name, %code, "the settings of a topic may not be seen");
            BTreeMap::new()
        }))
    }

    /// The same, or why the cluster does not show them.
    async fn seen_settings(&self, name: &TopicName) -> Result<Result<BTreeMap<String, String>, Code>> {
        let admin = self.admin()?;
        let asked = [ResourceSpecifier::Topic(name.as_str())];
        let mut found = BTreeMap::new();
        let answered = match self.order(admin.describe_configs(&asked, &options())).await? {
            // A service that speaks Kafka's protocol and has no such request.
            Err((Code::UnsupportedFeature, _)) => return Ok(Ok(found)),
            answered => self.done(answered)?,
        };
        for resource in answered {
            match resource {
                // The crate leaves out why a topic is not shown: each that is has settings.
                Ok(resource) if resource.entries.is_empty() => return Ok(Err(Code::TopicAuthorizationFailed)),
                Ok(resource) => {
                    let shown = resource.entries.into_iter().filter(|entry| SHOWN.contains(&entry.name.as_str()));
                    found.extend(shown.filter_map(|entry| Some((entry.name, entry.value?))));
                }
                Err(code) => return Ok(Err(code)),
            }
        }
        Ok(Ok(found))
    }

    async fn topic(&self, name: &TopicName, description: &Description) -> Result<Topic> {
        let partitions = i32::try_from(description.partitions.len()).unwrap_or(i32::MAX);
        let settings = self.settings(name).await?;
        Ok(Topic { name: name.clone(), id: description.id, partitions, settings, created_at: None })
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_WITHIN)).operation_timeout(Some(ANSWER_WITHIN))
}

#[async_trait]
impl Topics for KafkaTopics {
    fn keeper(&self) -> Keeper {
        Keeper::Kafka
    }

    async fn create(&self, name: &TopicName, partitions: i32, settings: &BTreeMap<String, String>) -> Result<Topic> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(Error::usage(format!("a topic cannot have {partitions} partitions"))
                .with_hint(format!("use 1 to {PARTITIONS_MAX}")));
        }
        let mut topic = NewTopic::new(name.as_str(), partitions, TopicReplication::Fixed(BROKERS_DEFAULT));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let admin = self.admin()?;
        let created = self.done(self.order(admin.create_topics([&topic], &options())).await?)?;
        if let Some(Err((_, code))) = created.into_iter().next() {
            return Err(self.failed(name, "CREATE", (code, &code.to_string())));
        }
        let started = Instant::now();
        loop {
            match self.describe(name).await {
                Err(error) if error.kind() == ErrorKind::NotFound && started.elapsed() < KNOWN_WITHIN => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                described => return described,
            }
        }
    }

    async fn list(&self) -> Result<Vec<Topic>> {
        let names = self.names().await?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let described = self.cluster.ask(move |consumer| {
            let names: Vec<&str> = names.iter().map(TopicName::as_str).collect();
            Ok(describe_topics(consumer, &names, ANSWER_WITHIN)?)
        });
        let described = described.await?.map_err(|(code, words)| self.cluster.error(code, &words))?;
        let mut topics = Vec::new();
        for (name, description) in described {
            // One that was deleted since, or may not be described, is not there for us.
            if let (Ok(name), Ok(description)) = (name.parse(), description) {
                topics.push(self.topic(&name, &description).await?);
            }
        }
        topics.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(topics)
    }

    async fn names(&self) -> Result<Vec<TopicName>> {
        let found = self.cluster.ask(|consumer| {
            let metadata = consumer.fetch_metadata(None, ANSWER_WITHIN).map_err(|error| failure_of(&error))?;
            // A topic whose name no table could be called after is not there for us.
            let name = |topic: &MetadataTopic| topic.name().parse().ok().filter(|_| !topic.name().starts_with("__"));
            Ok(metadata.topics().iter().filter_map(name).collect::<Vec<TopicName>>())
        });
        let mut names = found.await?.map_err(|(code, words)| self.cluster.error(code, &words))?;
        names.sort();
        Ok(names)
    }

    async fn describe(&self, name: &TopicName) -> Result<Topic> {
        let description = describe(&self.cluster, name).await?;
        self.topic(name, &description).await
    }

    async fn look_at_settings(&self, name: &TopicName) -> Result<()> {
        let seen = self.seen_settings(name).await?;
        seen.map(drop).map_err(|code| self.failed(name, DESCRIBE_CONFIGS, (code, &code.to_string())))
    }

    async fn delete(&self, name: &TopicName) -> Result<()> {
        let admin = self.admin()?;
        let deleted = self.done(self.order(admin.delete_topics(&[name.as_str()], &options())).await?)?;
        match deleted.into_iter().next() {
            Some(Err((_, code))) => Err(self.failed(name, "DELETE", (code, &code.to_string()))),
            _ => Ok(()),
        }
    }

    async fn source(&self, name: &TopicName) -> Result<Box<dyn Source>> {
        Ok(Box::new(KafkaSource::new(self.cluster.clone(), name.clone())?))
    }

    async fn producer(&self, name: &TopicName) -> Result<Box<dyn Producer>> {
        let partitions = describe(&self.cluster, name).await?.partitions.len();
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        Ok(Box::new(KafkaProducer::new(self.cluster.clone(), name.clone(), partitions)?))
    }

    async fn epochs(&self, sink: EpochSink) -> Result<Box<dyn EpochProducer>> {
        Ok(Box::new(KafkaEpochs::new(self.cluster.clone(), sink)))
    }

    async fn tell_positions(&self) {
        self.cluster.positions.tell(&self.cluster).await;
    }
}
