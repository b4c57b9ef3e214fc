//! What subject a schema is registered under, by the strategies that Confluent's serializers have.
//!
//! Pure: names in, a subject out. A record needs no subject to be read, as its id says which schema it has; who
//! encodes, or asks for the latest schema of a topic, does.

use std::str::FromStr;

use tableflow_model::{Error, Records, Result, TopicName};

/// The part of a record that a schema describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecordPart {
    Key,
    #[default]
    Value,
}

impl RecordPart {
    /// The end of a subject that is named by the topic.
    pub fn word(self) -> &'static str {
        match self {
            RecordPart::Key => "key",
            RecordPart::Value => "value",
        }
    }

    pub fn bytes(self, records: &Records, row: usize) -> Option<&[u8]> {
        match self {
            RecordPart::Key => records.key(row),
            RecordPart::Value => records.value(row),
        }
    }

    /// The header in which a record carries its schema's id.
    pub fn id_header(self) -> &'static [u8] {
        match self {
            RecordPart::Key => b"__key_schema_id",
            RecordPart::Value => b"__value_schema_id",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubjectNameStrategy {
    /// `orders-value`: a topic has one type of record.
    #[default]
    TopicName,
    /// `com.shop.Order`: the same in every topic.
    RecordName,
    /// `orders-com.shop.Order`: a topic has several types of records.
    TopicRecordName,
}

impl SubjectNameStrategy {
    /// `record_name` is the full name of an Avro record or a Protobuf message, the title of a JSON schema.
    pub fn subject(self, topic: &TopicName, part: RecordPart, record_name: Option<&str>) -> Result<String> {
        let record_name = || {
            record_name.ok_or_else(|| {
                Error::data(format!("the schema of topic {topic} has no name to find its subject by"))
                    .with_hint("name the record, or use the strategy TopicNameStrategy")
            })
        };
        Ok(match self {
            SubjectNameStrategy::TopicName => format!("{topic}-{}", part.word()),
            SubjectNameStrategy::RecordName => record_name()?.to_owned(),
            SubjectNameStrategy::TopicRecordName => format!("{topic}-{}", record_name()?),
        })
    }
}

impl FromStr for SubjectNameStrategy {
    type Err = Error;

    /// By Java's class name, with or without its package.
    fn from_str(text: &str) -> Result<Self> {
        match text.strip_prefix("io.confluent.kafka.serializers.subject.").unwrap_or(text) {
            "TopicNameStrategy" => Ok(SubjectNameStrategy::TopicName),
            "RecordNameStrategy" => Ok(SubjectNameStrategy::RecordName),
            "TopicRecordNameStrategy" => Ok(SubjectNameStrategy::TopicRecordName),
            _ => Err(Error::usage(format!("{text:?} is not a subject name strategy"))
                .with_hint("use TopicNameStrategy, RecordNameStrategy or TopicRecordNameStrategy")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_those_of_confluents_serializers() {
        let topic: TopicName = "shop.orders".parse().unwrap();
        let name = Some("com.shop.Order");
        let cases = [
            ("TopicNameStrategy", RecordPart::Value, None, Some("shop.orders-value")),
            ("TopicNameStrategy", RecordPart::Key, name, Some("shop.orders-key")),
            ("RecordNameStrategy", RecordPart::Value, name, Some("com.shop.Order")),
            ("RecordNameStrategy", RecordPart::Value, None, None),
            (
                "io.confluent.kafka.serializers.subject.TopicRecordNameStrategy",
                RecordPart::Key,
                name,
                Some("shop.orders-com.shop.Order"),
            ),
            ("TopicRecordNameStrategy", RecordPart::Key, None, None),
        ];
        for (strategy, part, name, expected) in cases {
            let strategy: SubjectNameStrategy = strategy.parse().unwrap();
            let subject = strategy.subject(&topic, part, name).ok();
            assert_eq!(subject.as_deref(), expected, "{strategy:?} {part:?}");
        }
        assert!("topicnamestrategy".parse::<SubjectNameStrategy>().is_err());
    }
}
