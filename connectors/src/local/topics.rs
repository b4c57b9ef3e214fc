//! The topics of a data directory as [`Topics`].
//!
//! Owns [`EmbeddedTopics`]: the local topics with the clock and the ids that they are made with.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tableflow_model::{Clock, Error, Ids, Result, Source, TopicName};

use super::{LocalProducer, LocalSource, LocalTopics};
use crate::topics::{EpochProducer, EpochSink, Keeper, Producer, Topic, Topics};

#[derive(Clone, Debug)]
pub struct EmbeddedTopics {
    pub topics: LocalTopics,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
}

impl From<super::Topic> for Topic {
    fn from(topic: super::Topic) -> Self {
        let settings = topic.options.in_force();
        Topic {
            name: topic.name,
            id: topic.id,
            partitions: topic.partitions,
            settings: settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            created_at: Some(topic.created_at),
        }
    }
}

#[async_trait]
impl Topics for EmbeddedTopics {
    fn keeper(&self) -> Keeper {
        Keeper::Embedded
    }

    async fn create(&self, name: &TopicName, partitions: i32, settings: &BTreeMap<String, String>) -> Result<Topic> {
        let topic = self.topics.create(name, partitions, settings, self.clock.as_ref(), self.ids.as_ref())?;
        Ok(topic.into())
    }

    async fn list(&self) -> Result<Vec<Topic>> {
        Ok(self.topics.list()?.into_iter().map(Topic::from).collect())
    }

    async fn names(&self) -> Result<Vec<TopicName>> {
        self.topics.names()
    }

    async fn describe(&self, name: &TopicName) -> Result<Topic> {
        Ok(self.topics.describe(name)?.into())
    }

    async fn delete(&self, name: &TopicName) -> Result<()> {
        self.topics.delete(name)
    }

    async fn source(&self, name: &TopicName) -> Result<Box<dyn Source>> {
        Ok(Box::new(LocalSource::open(&self.topics, name)?))
    }

    async fn producer(&self, name: &TopicName) -> Result<Box<dyn Producer>> {
        Ok(Box::new(LocalProducer::open(&self.topics, name, self.clock.clone())?))
    }

    async fn epochs(&self, sink: EpochSink) -> Result<Box<dyn EpochProducer>> {
        Err(Error::usage(format!("embedded topic {} has no transactions", sink.topic))
            .with_hint("set bootstrap.servers in [kafka], as it was when the table was enabled"))
    }
}
