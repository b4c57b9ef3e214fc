//! Where a topic's schemas are registered, and what they say that its records are.
//!
//! Owns [`Subjects`], and [`format_of`], which asks the registry.

use tableflow_connectors::decode::RegistryFraming;
use tableflow_connectors::registry::{
    Include, RecordPart, RegistryError, SchemaKey, SchemaType, Version, VersionWanted,
};
use tableflow_connectors::topics::first_poll;
use tableflow_model::{Error, Result, Source, TopicName};

use crate::definition::Format;
use crate::home::Home;

/// What is read to find out how a topic's records are written.
const PEEK_BYTES: usize = 64 * 1024;

/// Where the schemas of one part of a table's records are registered: what is learnt before the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    pub(super) names: Vec<String>,
    /// Of these, those that describe this type of record.
    pub(super) only: Option<String>,
}

impl Subjects {
    /// By the strategy that serializers have unless they are told otherwise.
    pub fn of_topic(topic: &TopicName) -> Self {
        Subjects { names: vec![of_part(topic, RecordPart::Value)], only: None }
    }

    /// The same of its keys.
    pub fn of_keys(topic: &TopicName) -> Self {
        Subjects { names: vec![of_part(topic, RecordPart::Key)], only: None }
    }

    /// Of one type of a topic that has many, by whichever strategy.
    pub fn of_record(topic: &TopicName, name: &str) -> Self {
        let names = vec![format!("{topic}-{name}"), name.to_owned(), of_part(topic, RecordPart::Value)];
        Subjects { names, only: Some(name.to_owned()) }
    }

    /// Where schemas are learnt from the records that name them alone.
    pub fn none() -> Self {
        Subjects { names: Vec::new(), only: None }
    }

    /// The one whose versions have an order.
    pub fn first(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    /// The newest version there; 0 where there is none.
    pub async fn newest(&self, home: &Home) -> Result<Version> {
        let Some(subject) = self.first() else { return Ok(Version(0)) };
        match home.schemas.versions(subject, Include::Live).await {
            Ok(versions) => Ok(versions.into_iter().max().unwrap_or(Version(0))),
            Err(error) if error.is_not_found() => Ok(Version(0)),
            Err(error) => Err(error.into()),
        }
    }

    /// The one that a registry with several contexts finds an id by.
    pub(super) fn of_ids(&self) -> Option<&str> {
        self.names.first().filter(|_| self.only.is_none()).map(String::as_str)
    }
}

fn of_part(topic: &TopicName, part: RecordPart) -> String {
    format!("{topic}-{}", part.word())
}

/// What a topic's registered schemas say that this part of its records is. Where none is registered after the topic,
/// the first record may name one that is registered after its type; if it does not, nothing is known.
pub async fn format_of(
    home: &Home,
    topic: &TopicName,
    part: RecordPart,
    source: &mut dyn Source,
) -> Result<Option<Format>> {
    let flag = match part {
        RecordPart::Key => "--key-format",
        RecordPart::Value => "--format",
    };
    let unanswered = |error: RegistryError| {
        Error::from(error).with_context("topic", topic).with_hint(format!(
            "check url in [registry], or say how the records are written: {flag} json, avro, protobuf, json-schema or raw"
        ))
    };
    match home.schemas.version(&of_part(topic, part), VersionWanted::Latest, Include::Live).await {
        Ok(latest) => return Ok(Some(format_by(latest.schema.schema_type))),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(unanswered(error)),
    }
    let Some(key) = first_key(source, RegistryFraming { prefix: home.id_prefix, part }).await? else { return Ok(None) };
    match home.schema_cache.get(key, None).await {
        Ok(schema) => Ok(Some(format_by(schema.schema_type))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(unanswered(error)),
    }
}

/// The schema that a topic's first record that has this part names, if it does.
pub async fn first_key(source: &mut dyn Source, framing: RegistryFraming) -> Result<Option<SchemaKey>> {
    let ranges = source.ranges().await?;
    source.seek(&ranges.iter().map(|(partition, range)| (*partition, range.start)).collect()).await?;
    for records in first_poll(source, &ranges, PEEK_BYTES).await? {
        if let Some(row) = (0..records.len()).find(|row| framing.part.bytes(&records, *row).is_some()) {
            return Ok(framing.schema_of(&records, row));
        }
    }
    Ok(None)
}

/// What records of a kind of schema are.
pub fn format_by(schema_type: SchemaType) -> Format {
    match schema_type {
        SchemaType::Avro => Format::Avro,
        SchemaType::Json => Format::JsonSchema,
        SchemaType::Protobuf => Format::Protobuf,
    }
}
