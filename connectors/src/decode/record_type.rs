//! What type of record a record is, by the schema that it names: a topic may have many.
//!
//! Owns [`RecordTypes`], and the name of a type: of Avro the record's full name, of Protobuf the message's, of JSON Schema
//! the title.
//! - I1: pure and never waiting, as a decoder: it names the schema that it needs, and goes on when it was given.
//! - I2: a name is looked up once for each schema, and for each message of one.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tableflow_model::{Error, Records, Result};

use super::{Framing, Reason, RecordError, RegistryFraming, Remedy, avro, protobuf};
use crate::registry::{ResolvedSchema, SchemaKey, SchemaType};

/// What a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordType {
    Named(Arc<str>),
    /// Add this schema, and ask again.
    Needs(SchemaKey),
    Bad(RecordError),
}

/// The types of a topic's records.
#[derive(Debug, Default)]
pub struct RecordTypes {
    framing: RegistryFraming,
    known: HashMap<SchemaKey, Types>,
    /// Of the message that was looked at last.
    index: Vec<u32>,
}

#[derive(Debug)]
enum Types {
    One(Arc<str>),
    Messages { schema: protobuf::Schema, named: Vec<(Vec<u32>, Arc<str>)> },
}

impl RecordTypes {
    pub fn new(framing: RegistryFraming) -> Self {
        RecordTypes { framing, ..RecordTypes::default() }
    }

    pub fn of(&mut self, records: &Records, row: usize) -> RecordType {
        let opened = match self.framing.open(records, row) {
            Ok(opened) => opened,
            Err(error) => return RecordType::Bad(error),
        };
        match self.known.get_mut(&opened.schema) {
            None => RecordType::Needs(opened.schema),
            Some(Types::One(name)) => RecordType::Named(name.clone()),
            Some(Types::Messages { schema, named }) => {
                if let Err(fault) = protobuf::message_of(&opened, &mut self.index) {
                    return RecordType::Bad(fault.explain(row, Reason::NotProtobuf));
                }
                if let Some((_, name)) = named.iter().find(|(index, _)| *index == self.index) {
                    return RecordType::Named(name.clone());
                }
                match schema.message(&self.index) {
                    Ok(message) => {
                        let name: Arc<str> = message.full_name().into();
                        named.push((self.index.clone(), name.clone()));
                        RecordType::Named(name)
                    }
                    Err(error) => RecordType::Bad(no_message(row, &error)),
                }
            }
        }
    }

    /// Makes a schema known.
    pub fn add_schema(&mut self, key: SchemaKey, schema: &ResolvedSchema) -> Result<()> {
        let types = match schema.schema_type {
            SchemaType::Protobuf => Types::Messages { schema: protobuf::Schema::parse(schema)?, named: Vec::new() },
            _ => Types::One(record_name(schema)?.into()),
        };
        self.known.insert(key, types);
        Ok(())
    }
}

/// The name of the type that a schema describes; of Protobuf that of its first message.
pub fn record_name(schema: &ResolvedSchema) -> Result<String> {
    match schema.schema_type {
        SchemaType::Avro => avro::record_name(schema),
        SchemaType::Protobuf => Ok(protobuf::Schema::parse(schema)?.message(protobuf::FIRST)?.full_name().to_owned()),
        SchemaType::Json => title(schema),
    }
}

fn title(schema: &ResolvedSchema) -> Result<String> {
    let unnamed = || {
        Error::data("a JSON Schema has no title, and so no name of the records that it describes")
            .with_hint("give it a title, which the serializers that name subjects after records ask for too")
    };
    let document: Value = serde_json::from_str(&schema.text).map_err(|error| unnamed().with_source(error))?;
    document.get("title").and_then(Value::as_str).map(str::to_owned).ok_or_else(unnamed)
}

fn no_message(row: usize, error: &Error) -> RecordError {
    RecordError {
        row,
        reason: Reason::NotProtobuf,
        path: "$".to_owned(),
        message: error.message().to_owned(),
        remedy: Remedy::Produce("write records with the schema that they name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::shown::records;
    use crate::registry::SchemaId;

    fn schema(schema_type: SchemaType, text: &str) -> ResolvedSchema {
        ResolvedSchema { schema_type, text: text.to_owned(), references: Vec::new() }
    }

    fn named(types: &mut RecordTypes, value: &[u8]) -> RecordType {
        types.of(&records(&[Some(value)]), 0)
    }

    #[test]
    fn types_have_the_names_that_their_schemas_say() {
        let avro = r#"{"type":"record","name":"Placed","namespace":"shop.orders","fields":[]}"#;
        let json = r#"{"title":"Placed","type":"object"}"#;
        let protobuf = "syntax = \"proto3\"; package shop; message A { message In {} } message B {}";
        for (schema_type, text, name) in [
            (SchemaType::Avro, avro, "shop.orders.Placed"),
            (SchemaType::Json, json, "Placed"),
            (SchemaType::Protobuf, protobuf, "shop.A"),
        ] {
            assert_eq!(record_name(&schema(schema_type, text)).unwrap(), name);
        }
        for (schema_type, text, words) in [
            (SchemaType::Avro, "\"string\"", "not of one record type"),
            (SchemaType::Json, "{}", "has no title"),
            (SchemaType::Protobuf, "syntax = \"proto3\";", "no message"),
        ] {
            let error = record_name(&schema(schema_type, text)).unwrap_err();
            assert!(error.report().contains(words), "{}", error.report());
        }

        let mut types = RecordTypes::default();
        let key = SchemaKey::Id(SchemaId(7));
        assert_eq!(named(&mut types, b"\0\0\0\0\x07\0"), RecordType::Needs(key));
        types.add_schema(key, &schema(SchemaType::Protobuf, protobuf)).unwrap();
        for (index, name) in [(&[0][..], "shop.A"), (&[2, 2], "shop.B"), (&[4, 0, 0], "shop.A.In"), (&[0], "shop.A")] {
            let value = [b"\0\0\0\0\x07", index].concat();
            assert_eq!(named(&mut types, &value), RecordType::Named(name.into()));
        }
        for value in [&b"\0\0\0\0\x07\x02\x04"[..], b"{}", b"\0\0\0\0\x07\xff"] {
            assert!(matches!(named(&mut types, value), RecordType::Bad(_)), "{value:?}");
        }
    }
}
