//! How a topic's records are written, as it is asked for and as the registry has it.
//!
//! Owns [`check_format`], which refuses what the two contradict each other in, and [`schema_type_of`].
//!
//! Neighbours: `decoding` finds the format where none is asked for.

use tableflow_connectors::decode::RegistryFraming;
use tableflow_connectors::registry::{Include, RecordPart, SchemaType, VersionWanted};
use tableflow_model::{Error, Result, Source, TopicName};

use super::decoding::{first_key, format_by};
use crate::definition::Format;
use crate::home::Home;

/// The kind of schema that records of a format name, if they do.
pub fn schema_type_of(format: Format) -> Option<SchemaType> {
    match format {
        Format::Avro => Some(SchemaType::Avro),
        Format::JsonSchema => Some(SchemaType::Json),
        Format::Protobuf => Some(SchemaType::Protobuf),
        Format::Json | Format::Raw => None,
    }
}

/// Refuses a format of schemas that the registry knows otherwise: every record would be one that cannot be decoded. The
/// topic's first record may show that the registry's subject is not about it.
pub async fn check_format(home: &Home, topic: &TopicName, format: Format, source: &mut dyn Source) -> Result<()> {
    let Some(asked) = schema_type_of(format) else { return Ok(()) };
    let registered = match home.schemas.version(&format!("{topic}-value"), VersionWanted::Latest, Include::Live).await {
        Ok(latest) => latest.schema.schema_type,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if registered == asked || first_type(home, source).await? == Some(asked) {
        return Ok(());
    }
    let known = format_by(registered);
    Err(Error::usage(format!("--format {format} is asked for, and the records of topic {topic} are {known}"))
        .with_detail(format!("the newest schema of subject {topic}-value is {registered}"))
        .with_hint(format!(
            "leave --format out, or say --format {known}; `tableflow schema show {topic}-value` shows the schema"
        )))
}

/// What the schema is written in that the topic's first record names.
async fn first_type(home: &Home, source: &mut dyn Source) -> Result<Option<SchemaType>> {
    let framing = RegistryFraming { prefix: home.id_prefix, part: RecordPart::Value };
    let Some(key) = first_key(source, framing).await? else { return Ok(None) };
    match home.schema_cache.get(key, None).await {
        Ok(schema) => Ok(Some(schema.schema_type)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
