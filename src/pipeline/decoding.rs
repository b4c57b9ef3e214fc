//! A topic's records into columns, with the schemas that they name.
//!
//! Owns [`Decoding`]: the decoder of a table, and the registry that it learns from. The decoder is pure and never waits;
//! here it is given the schema that it asks for, and goes on.
//! - I1: a record whose schema the registry does not know, or which is of another kind, is one that cannot be decoded;
//!   a registry that does not answer is an outage, and no record's fault.
//! - I2: a schema that no table can hold is for a person to decide about, whatever becomes of bad records.
//! - I3: what a subject's versions tell of each other (aliases, unions) is known before the first record: they are
//!   learnt in their order, by every new process.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tableflow_connectors::decode::{
    AvroDecoder, BadRecords, ColumnRules, Decoded, Decoder, Evolution, Framing, JsonDecoder, Learned, MetadataColumns,
    Note, ProtobufDecoder, RawDecoder, Reason, RecordError, RegistryFraming, Taken, record_names,
};
use tableflow_connectors::registry::{
    self, Include, RegisteredSchema, RegistryError, ResolvedSchema, SchemaKey, SchemaType, Version, VersionWanted,
};
use tableflow_connectors::topics::first_poll;
use tableflow_model::types::flink_name;
use tableflow_model::{Error, ErrorKind, Records, Result, Source, TopicName};

use uuid::Uuid;

use crate::definition::{Definition, Format, declared_columns};
use crate::home::Home;

/// Older versions than these are learnt when a record has them.
const VERSIONS_LEARNT_MAX: usize = 100;

/// What is read to find out how a topic's records are written.
const PEEK_BYTES: usize = 64 * 1024;

/// The name of the column that raw records fill.
const RAW_COLUMN: &str = "value";

/// How a topic's records become rows of a table, as a person said it.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    pub subjects: Subjects,
    pub format: Format,
    /// As given to `--columns`.
    pub columns: &'a str,
    pub metadata_columns: MetadataColumns,
    pub evolution: Evolution,
}

impl<'a> Terms<'a> {
    pub fn of(definition: &'a Definition) -> Self {
        Terms {
            subjects: Subjects::of_topic(&definition.topic),
            format: definition.format,
            columns: &definition.columns,
            metadata_columns: definition.metadata_columns,
            evolution: definition.evolution,
        }
    }
}

/// The decoder of one table.
pub struct Decoding {
    decoder: Box<dyn Decoder>,
    schemas: Option<Schemas>,
    notes: Vec<Note>,
    /// Why no table can hold what the subject's newest version describes.
    refusal: Option<Error>,
}

/// Where a topic's schemas are.
struct Schemas {
    home: Home,
    subjects: Subjects,
    schema_type: SchemaType,
}

/// Some of a batch's records, decoded.
#[derive(Debug)]
pub struct Part {
    pub batch: RecordBatch,
    pub taken: Taken,
    /// Those that were passed over, in order.
    pub passed_over: Vec<RecordError>,
    /// Why it ended before the batch did.
    pub stopped: Option<Stopped>,
    /// The first record that is in no part yet.
    pub next: usize,
}

/// What is wrong at a record that nothing goes on behind.
#[derive(Debug)]
pub enum Stopped {
    Record(RecordError),
    /// Its schema (I2).
    Schema(Error),
}

/// What became of a schema that the decoder asked for.
enum Learnt {
    Known,
    /// The record that names it is a bad one (I1).
    BadRecord(RecordError),
    Refused(Error),
}

impl std::fmt::Debug for Decoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoding").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}

/// Where the schemas of a table's records are registered: what is learnt before the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    names: Vec<String>,
    /// Of these, those that describe this type of record.
    only: Option<String>,
}

impl Subjects {
    /// By the strategy that serializers have unless they are told otherwise.
    pub fn of_topic(topic: &TopicName) -> Self {
        Subjects { names: vec![format!("{topic}-value")], only: None }
    }

    /// Of one type of a topic that has many, by whichever strategy.
    pub fn of_record(topic: &TopicName, name: &str) -> Self {
        let names = vec![format!("{topic}-{name}"), name.to_owned(), format!("{topic}-value")];
        Subjects { names, only: Some(name.to_owned()) }
    }

    /// Where schemas are learnt from the records that name them alone.
    pub fn none() -> Self {
        Subjects { names: Vec::new(), only: None }
    }

    /// The one that a registry with several contexts finds an id by.
    fn of_ids(&self) -> Option<&str> {
        self.names.first().filter(|_| self.only.is_none()).map(String::as_str)
    }
}

/// What a topic's registered schemas say that its records are. Where none is registered after the topic, the first record
/// may name one that is registered after its type; if it does not, records are JSON.
pub async fn format_of(home: &Home, topic: &TopicName, source: &mut dyn Source) -> Result<Format> {
    let unanswered = |error: RegistryError| {
        Error::from(error)
            .with_context("topic", topic)
            .with_hint("check url in [registry], or say how the records are written: --format json, avro, protobuf, json-schema or raw")
    };
    match home.schemas.version(&format!("{topic}-value"), VersionWanted::Latest, Include::Live).await {
        Ok(latest) => return Ok(format_by(latest.schema.schema_type)),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(unanswered(error)),
    }
    match first_key(source).await? {
        Some(key) => match home.schema_cache.get(key, None).await {
            Ok(schema) => Ok(format_by(schema.schema_type)),
            Err(error) if error.is_not_found() => Ok(Format::Json),
            Err(error) => Err(unanswered(error)),
        },
        None => Ok(Format::Json),
    }
}

/// The schema that a topic's first record with a value names, if it does.
pub(super) async fn first_key(source: &mut dyn Source) -> Result<Option<SchemaKey>> {
    let ranges = source.ranges().await?;
    source.seek(&ranges.iter().map(|(partition, range)| (*partition, range.start)).collect()).await?;
    for records in first_poll(source, &ranges, PEEK_BYTES).await? {
        if let Some(row) = (0..records.len()).find(|row| records.value(*row).is_some()) {
            return Ok(RegistryFraming::CONFLUENT.open(&records, row).ok().map(|opened| opened.schema));
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

impl Decoding {
    /// For a table with these columns, and those declared beside them, which keep to the rules.
    pub async fn new(home: &Home, terms: Terms<'_>, table: &Schema, rules: &ColumnRules) -> Result<Self> {
        let Terms { subjects, format, columns, metadata_columns, .. } = terms;
        let declared = &declared_columns(columns)?;
        check_declared(declared, metadata_columns)?;
        let table = &metadata_columns.left_out_of(table);
        let framing = RegistryFraming::default();
        let mut notes = Vec::new();
        let (decoder, schema_type): (Box<dyn Decoder>, _) = match format {
            Format::Json | Format::JsonSchema => {
                let decoder = JsonDecoder::new(declared, table)?.keep_to(rules, table)?;
                notes = decoder.notes();
                match format {
                    Format::JsonSchema => (Box::new(decoder.framed(framing)), Some(SchemaType::Json)),
                    _ => (Box::new(decoder), None),
                }
            }
            Format::Avro => {
                let table = with_declared(declared, table)?;
                let decoder = AvroDecoder::new(framing, &table)?.of_record(subjects.only.as_deref());
                (Box::new(decoder.keep_to(rules, &table)), Some(SchemaType::Avro))
            }
            Format::Protobuf => {
                let table = with_declared(declared, table)?;
                let decoder = ProtobufDecoder::new(framing, &table)?.keep_to(rules, &table);
                (Box::new(decoder), Some(SchemaType::Protobuf))
            }
            Format::Raw => (Box::new(RawDecoder::new(raw_type(declared)?.as_ref(), table)?), None),
        };
        let schemas = schema_type.map(|schema_type| Schemas { home: home.clone(), subjects, schema_type });
        let mut decoding = Decoding { decoder, schemas, notes, refusal: None };
        decoding.learn_versions().await?;
        Ok(decoding)
    }

    /// The value columns.
    pub fn schema(&self) -> SchemaRef {
        self.decoder.schema()
    }

    /// What the table does not keep of the schemas learnt so far.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Why no table can hold what records of the newest schema have.
    pub fn take_refusal(&mut self) -> Option<Error> {
        self.refusal.take()
    }

    /// How records name their schemas.
    pub fn framing(&self) -> Option<&'static dyn Framing> {
        const FRAMING: RegistryFraming = RegistryFraming::CONFLUENT;
        self.schemas.is_some().then_some(&FRAMING as &dyn Framing)
    }

    /// All of a batch's records, up to one that cannot be decoded and stops it.
    pub async fn decode(&mut self, records: &Records, bad: BadRecords) -> Result<Vec<Part>> {
        // What the registry did not know when it was asked after these records were read.
        let mut unknown = BTreeSet::new();
        let (mut parts, mut next) = (Vec::new(), 0);
        loop {
            let Decoded { batch, taken, mut passed_over, failure, needs } =
                self.decoder.decode_from(records, next, bad);
            next = taken.end();
            let mut stopped = failure.map(Stopped::Record);
            if let Some(key) = needs {
                let learnt = match unknown.contains(&key) {
                    true => Learnt::BadRecord(RecordError::unknown_schema(next, key)),
                    false => self.learn(key, next).await?,
                };
                match learnt {
                    Learnt::Known => {}
                    Learnt::BadRecord(error) if bad == BadRecords::PassOver => {
                        if error.reason == Reason::UnknownSchema {
                            unknown.insert(key);
                        }
                        passed_over.push(error);
                        next += 1;
                    }
                    Learnt::BadRecord(error) => stopped = Some(Stopped::Record(error)),
                    Learnt::Refused(error) => stopped = Some(Stopped::Schema(error)),
                }
            }
            let goes_on = needs.is_some() && stopped.is_none();
            parts.push(Part { batch, taken, passed_over, stopped, next });
            if !goes_on {
                return Ok(parts);
            }
        }
    }

    /// Gives the decoder the schema that the record of this row names. An error is an outage.
    async fn learn(&mut self, key: SchemaKey, row: usize) -> Result<Learnt> {
        let Some(schemas) = &self.schemas else {
            return Err(Error::internal("a format without schemas asks for one"));
        };
        let schema = match schemas.home.schema_cache.get(key, schemas.subjects.of_ids()).await {
            Ok(schema) => schema,
            // That alone says so of a schema: a wrong address answers that there is no such page.
            Err(error) if error.reason() == Some(registry::Reason::SchemaNotFound) => {
                return Ok(Learnt::BadRecord(RecordError::unknown_schema(row, key)));
            }
            Err(error) => return outage_or_refusal(error.into()),
        };
        if schema.schema_type != schemas.schema_type {
            let error = RecordError::another_format(row, key, schema.schema_type, schemas.schema_type);
            return Ok(Learnt::BadRecord(error));
        }
        let learned = match self.decoder.add_schema(key, &schema) {
            Ok(learned) => learned,
            Err(error) => return outage_or_refusal(error),
        };
        for widening in &learned.widenings {
            tracing::info!(schema = %key, column = widening.path, to = %widening.to, "a column becomes wider");
        }
        for note in learned.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Ok(Learnt::Known)
    }

    /// What a schema that has no id yet would bring; from then on it is as if a record had named it.
    pub fn learn_unregistered(&mut self, schema: &ResolvedSchema) -> Result<Learned> {
        self.decoder.add_schema(SchemaKey::Guid(Uuid::nil()), schema)
    }

    /// I3.
    async fn learn_versions(&mut self) -> Result<()> {
        let Some(schemas) = &self.schemas else { return Ok(()) };
        for subject in schemas.subjects.names.clone() {
            self.learn_subject(&subject).await?;
        }
        Ok(())
    }

    async fn learn_subject(&mut self, subject: &str) -> Result<()> {
        let Some(schemas) = &self.schemas else { return Ok(()) };
        let (home, only) = (schemas.home.clone(), schemas.subjects.only.clone());
        let versions = match home.schemas.versions(subject, Include::Live).await {
            Ok(versions) => versions,
            Err(error) => return if error.is_not_found() { Ok(()) } else { Err(error.into()) },
        };
        let newest = versions.len().saturating_sub(VERSIONS_LEARNT_MAX);
        for version in versions.into_iter().skip(newest) {
            let Some(registered) = found(home.schemas.version(subject, wanted(version), Include::Live).await)? else {
                continue;
            };
            let key = SchemaKey::Id(registered.id);
            if let Some(only) = &only
                && !names_of(&home, key).await?.contains(only)
            {
                continue;
            }
            // A running table needs none of it before a record has it.
            self.refusal = match self.learn(key, 0).await? {
                Learnt::Refused(error) => Some(error.with_context("subject", subject).with_context("version", version)),
                _ => None,
            };
        }
        Ok(())
    }
}

/// The types of record that a schema describes.
async fn names_of(home: &Home, key: SchemaKey) -> Result<Vec<String>> {
    match home.schema_cache.get(key, None).await {
        Ok(schema) => Ok(record_names(&schema).unwrap_or_default()),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn wanted(version: Version) -> VersionWanted {
    VersionWanted::Number(version)
}

/// Somebody may delete a version between two questions.
fn found(answer: std::result::Result<RegisteredSchema, RegistryError>) -> Result<Option<RegisteredSchema>> {
    match answer {
        Ok(registered) => Ok(Some(registered)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn outage_or_refusal(error: Error) -> Result<Learnt> {
    if error.kind() == ErrorKind::Unavailable { Err(error) } else { Ok(Learnt::Refused(error)) }
}

/// The table's columns and those declared that it has not.
fn with_declared(declared: &[Field], table: &Schema) -> Result<Schema> {
    let mut fields: Vec<Field> = table.fields().iter().map(|field| field.as_ref().clone()).collect();
    for column in declared {
        match fields.iter().find(|field| field.name() == column.name()) {
            None => fields.push(column.clone()),
            Some(known) if known.data_type() == column.data_type() => {}
            Some(_) => {
                return Err(Error::usage(format!(
                    "column {} is declared otherwise than the table has it",
                    column.name()
                ))
                .with_hint("a column keeps its type: enable the topic into another table with --table"));
            }
        }
    }
    Ok(Schema::new(fields))
}

/// No declared column has a name of the metadata columns.
fn check_declared(declared: &[Field], metadata_columns: MetadataColumns) -> Result<()> {
    let reserved = |column: &Field| Some((flink_name(column.name()), metadata_columns.reserves(column.name())?));
    let Some((name, prefix)) = declared.iter().find_map(reserved) else { return Ok(()) };
    Err(Error::usage(format!("column {name} cannot be declared"))
        .with_hint(format!("names that begin with {prefix} belong to the metadata columns")))
}

/// Whether raw records are declared text.
fn raw_type(declared: &[Field]) -> Result<Option<DataType>> {
    match declared {
        [] => Ok(None),
        [column] if column.name() == RAW_COLUMN => Ok(Some(column.data_type().clone())),
        _ => Err(Error::usage("raw records have one column, value")
            .with_hint("declare it alone, BYTES or STRING: --columns \"`value` STRING\"")),
    }
}
