//! What type of record a record is, by the schema that it names: a topic may have many.
//!
//! Owns [`RecordTypes`], and the name of a type: of Avro the record's full name, of Protobuf the message's, of JSON
//! Schema the title. A schema of Avro may be a union of records: then each of its records says which one it is.
//! - I1: pure and never waiting, as a decoder: it names the schema that it needs, and goes on when it was given.
//! - I2: a name is looked up once for each schema, and for each message of one.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tableflow_model::{Error, Records, Result};

use super::avro::{NoRecord, RecordNames, branch_of};
use super::binary::fault::Fault;
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
    /// By the places of the branches.
    Union(Vec<Result<Arc<str>, NoRecord>>),
    Messages {
        schema: protobuf::Schema,
        named: Vec<(Vec<u32>, Arc<str>)>,
    },
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
            Some(Types::Union(names)) => branch(names, opened.payload, row),
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
            SchemaType::Json => Types::One(title(schema)?.into()),
            SchemaType::Avro => match avro::record_names(schema)? {
                RecordNames::One(name) => Types::One(name.into()),
                RecordNames::Union(names) => Types::Union(names.into_iter().map(|name| name.map(Arc::from)).collect()),
            },
        };
        self.known.insert(key, types);
        Ok(())
    }
}

/// The names of the types that a schema describes: of Avro's unions several, of Protobuf that of its first message.
pub fn record_names(schema: &ResolvedSchema) -> Result<Vec<String>> {
    match schema.schema_type {
        SchemaType::Avro => Ok(match avro::record_names(schema)? {
            RecordNames::One(name) => vec![name],
            RecordNames::Union(names) => names.into_iter().flatten().collect(),
        }),
        SchemaType::Protobuf => {
            Ok(vec![protobuf::Schema::parse(schema)?.message(protobuf::FIRST)?.full_name().to_owned()])
        }
        SchemaType::Json => Ok(vec![title(schema)?]),
    }
}

/// Which of a union's records it is.
fn branch(names: &[Result<Arc<str>, NoRecord>], payload: &[u8], row: usize) -> RecordType {
    let place = match branch_of(payload, names.len()) {
        Ok(place) => place,
        Err(fault) => return RecordType::Bad(fault.explain(row, Reason::NotAvro)),
    };
    match names.get(place) {
        Some(Ok(name)) => RecordType::Named(name.clone()),
        Some(Err(NoRecord::Null)) => RecordType::Bad(Fault::no_row().explain(row, Reason::NotAvro)),
        _ => RecordType::Bad(RecordError {
            row,
            reason: Reason::NoTable,
            path: "$".to_owned(),
            message: format!("the value is branch {place} of its schema's union, which is no record"),
            remedy: Remedy::Produce("write records alone, or fan out by a header".to_owned()),
        }),
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
            assert_eq!(record_names(&schema(schema_type, text)).unwrap(), [name]);
        }
        for (schema_type, text, words) in [
            (SchemaType::Avro, "\"string\"", "not of a record type"),
            (SchemaType::Avro, "[\"null\",\"string\"]", "not of a record type"),
            (SchemaType::Json, "{}", "has no title"),
            (SchemaType::Protobuf, "syntax = \"proto3\";", "no message"),
        ] {
            let error = record_names(&schema(schema_type, text)).unwrap_err();
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

    #[test]
    fn a_record_of_a_union_says_which_type_it_is() {
        let record = |name: &str| format!(r#"{{"type":"record","name":"{name}","namespace":"shop","fields":[]}}"#);
        let union = format!(r#"["null",{},"int",{}]"#, record("A"), record("B"));
        let union = schema(SchemaType::Avro, &union);
        assert_eq!(record_names(&union).unwrap(), ["shop.A", "shop.B"]);
        let mut types = RecordTypes::default();
        types.add_schema(SchemaKey::Id(SchemaId(7)), &union).unwrap();
        for (tag, name) in [(2, "shop.A"), (6, "shop.B")] {
            assert_eq!(named(&mut types, &[0, 0, 0, 0, 7, tag]), RecordType::Named(name.into()));
        }
        for (value, reason) in [
            (&[0, 0, 0, 0, 7, 0][..], Reason::MissingValue),
            (&[0, 0, 0, 0, 7, 4, 2], Reason::NoTable),
            (&[0, 0, 0, 0, 7, 8], Reason::NotAvro),
            (&[0, 0, 0, 0, 7, 1], Reason::NotAvro),
            (&[0, 0, 0, 0, 7], Reason::Truncated),
        ] {
            let RecordType::Bad(error) = named(&mut types, value) else { panic!("{value:?} is one") };
            assert_eq!(error.reason, reason, "{value:?}");
        }
    }
}
