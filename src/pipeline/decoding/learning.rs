//! One part of a topic's records, values or keys, into columns, with the schemas that they name.
//!
//! Owns [`Learning`]: a decoder, and the registry that it learns from. The decoder is pure and never waits; here it is
//! given the schema that it asks for, and goes on. `steps` is for tables that mirror their newest schema.
//! - I1: a record whose schema the registry does not know, or which is of another kind, is one that cannot be decoded;
//!   a registry that does not answer is an outage, and no record's fault.
//! - I2: a schema that no table can hold is for a person to decide about, whatever becomes of bad records.
//! - I3: what a subject's versions tell of each other (aliases, unions) is known before the first record: they are
//!   learnt in their order, by every new process. A table that mirrors them learns those that it follows, and the
//!   others up to that of a record when that comes.

mod steps;

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tableflow_connectors::decode::{
    self, AvroDecoder, BadRecords, ColumnRules, Decoded, Decoder, JsonDecoder, Learned, Note, ProtobufDecoder,
    RawDecoder, Reason, RecordError, RegistryFraming, in_a_record, record_names,
};
use tableflow_connectors::registry::{
    self, Include, RecordPart, RegisteredSchema, RegistryError, ResolvedSchema, SchemaKey, SchemaType, Version,
    VersionWanted,
};
use tableflow_model::{Error, ErrorKind, Records, Result};
use uuid::Uuid;

use super::following::Following;
use super::subjects::Subjects;
use super::{Part, Stopped};
use crate::definition::{Envelope, Format};
use crate::home::Home;
use crate::pipeline::format::schema_type_of;
use crate::pipeline::mirror::{Mirror, Step};

/// Older versions than these are learnt when a record has them.
const VERSIONS_LEARNT_MAX: usize = 100;

/// What a schema is called that nobody registered yet.
const UNREGISTERED: SchemaKey = SchemaKey::Guid(Uuid::nil());

/// The names of the columns that raw values and raw keys fill, and keys that are no records.
const RAW_COLUMN: &str = "value";
pub(super) const KEY_COLUMN: &str = "key";

/// How one part of a topic's records is read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub part: RecordPart,
    pub subjects: Subjects,
    pub format: Format,
    /// What is around its rows; keys of such records may be beside their schema.
    pub envelope: Option<Envelope>,
    pub declared: &'a [Field],
    /// The columns that the other part fills.
    pub left_out: &'a [String],
    /// The field that keys are which are no records.
    pub bare: &'a str,
    /// Whether its columns mirror the newest schema, and what the table knows of that.
    pub mirror: Option<Option<Mirror>>,
    /// Whether the changes in envelopes tell what they were, and when.
    pub tells_origins: bool,
}

/// The decoder of one part.
pub(super) struct Learning {
    part: RecordPart,
    bare: String,
    decoder: Box<dyn Decoder>,
    schemas: Option<Schemas>,
    /// Where the table mirrors its newest schema.
    following: Option<Following>,
    notes: Vec<Note>,
    /// Why no table can hold what the subject's newest version describes.
    refusal: Option<Error>,
}

/// Where schemas are.
struct Schemas {
    home: Home,
    subjects: Subjects,
    schema_type: SchemaType,
}

/// What became of a schema that the decoder asked for.
enum Learnt {
    Known,
    /// The record that names it is a bad one (I1).
    BadRecord(RecordError),
    Refused(Error),
    /// The table has to take a step first.
    Follows(Box<Step>),
}

impl std::fmt::Debug for Learning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learning").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}

impl Learning {
    /// For a table with these columns, and those declared beside them, which keep to the rules.
    pub async fn new(home: &Home, reading: Reading<'_>, table: &Schema, rules: &ColumnRules) -> Result<Self> {
        let (mut decoder, notes) = decoder_of(home, &reading, table, rules)?;
        let Reading { part, subjects, format, left_out, declared, mirror, bare, .. } = reading;
        decoder.leave_to_keys(left_out);
        let schemas = schema_type_of(format).map(|schema_type| Schemas { home: home.clone(), subjects, schema_type });
        let following = match (mirror, &schemas) {
            (Some(mirror), Some(schemas)) => {
                let mirror = match mirror {
                    Some(mirror) => mirror,
                    None => Mirror::from(schemas.subjects.newest(home).await?),
                };
                let declared = declared.iter().map(|column| column.name().clone()).collect();
                Some(Following::new(mirror, declared))
            }
            _ => None,
        };
        let mut learning = Learning { part, bare: bare.to_owned(), decoder, schemas, following, notes, refusal: None };
        learning.learn_versions().await?;
        Ok(learning)
    }

    /// What it follows by now, where it mirrors.
    pub fn mirror(&self) -> Option<&Mirror> {
        self.following.as_ref().map(Following::mirror)
    }

    pub fn schema(&self) -> SchemaRef {
        self.decoder.schema()
    }

    pub fn schema_version(&self) -> u64 {
        self.decoder.schema_version()
    }

    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    pub fn take_refusal(&mut self) -> Option<Error> {
        self.refusal.take()
    }

    /// Columns that the other part fills from now on.
    pub fn leave_to_keys(&mut self, names: &[String]) {
        self.decoder.leave_to_keys(names);
    }

    /// How records name their schemas.
    pub fn framing(&self) -> Option<RegistryFraming> {
        self.schemas.as_ref().map(|schemas| RegistryFraming { prefix: schemas.home.id_prefix, part: self.part })
    }

    /// All of a batch's records, up to one that cannot be decoded and stops it.
    pub async fn decode(&mut self, records: &Records, bad: BadRecords) -> Result<Vec<Part>> {
        // What the registry did not know when it was asked after these records were read.
        let mut unknown = BTreeSet::new();
        let (mut parts, mut next) = (Vec::new(), 0);
        loop {
            let Decoded { batch, taken, mut passed_over, origins, failure, needs } =
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
                    Learnt::BadRecord(error) if bad.passes_over(&error) => {
                        if error.reason == Reason::UnknownSchema {
                            unknown.insert(key);
                        }
                        passed_over.push(error);
                        next += 1;
                    }
                    Learnt::BadRecord(error) => stopped = Some(Stopped::Record(error)),
                    Learnt::Refused(error) => stopped = Some(Stopped::Schema(error)),
                    Learnt::Follows(step) => stopped = Some(Stopped::Follows(step)),
                }
            }
            let goes_on = needs.is_some() && stopped.is_none();
            parts.push(Part { batch, taken, passed_over, origins, stopped, next });
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
        if let Some(version) = self.version_of(key).await?
            && let Some(step) = self.follow((version, key), &schema).await?
        {
            return Ok(Learnt::Follows(Box::new(step)));
        }
        let learned = match self.add(key, &schema) {
            Ok(learned) => learned,
            Err(error) => return outage_or_refusal(error),
        };
        self.tell(key, learned);
        Ok(Learnt::Known)
    }

    fn tell(&mut self, key: SchemaKey, learned: Learned) {
        for widening in &learned.widenings {
            tracing::info!(schema = %key, column = widening.path, to = %widening.to, "a column becomes wider");
        }
        for note in learned.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// What a schema that has no id yet would bring; from then on it is as if a record had named it.
    pub fn learn_unregistered(&mut self, schema: &ResolvedSchema) -> Result<Learned> {
        self.add(UNREGISTERED, schema)
    }

    /// A key of Avro that is no record is the one field of a row.
    fn add(&mut self, key: SchemaKey, schema: &ResolvedSchema) -> Result<Learned> {
        match (self.part, schema.schema_type, &mut self.following) {
            (RecordPart::Key, SchemaType::Avro, _) => self.decoder.add_schema(key, &in_a_record(schema, &self.bare)?),
            (_, _, None) => self.decoder.add_schema(key, schema),
            (_, _, Some(following)) => {
                let learned = self.decoder.add_schema_but(key, schema, Some(&following.passing(key)))?;
                following.learned(key, &learned);
                Ok(learned)
            }
        }
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
        let followed = self.following.as_ref().filter(|following| !following.rests()).map(Following::followed);
        let versions: Vec<Version> =
            versions.into_iter().filter(|version| followed.is_none_or(|followed| *version <= followed)).collect();
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
            if let Some(following) = &mut self.following {
                following.has(&registered);
            }
            // A running table needs none of it before a record has it.
            self.refusal = match self.learn(key, 0).await? {
                Learnt::Refused(error) => Some(placed(error, subject, version)),
                _ => None,
            };
        }
        Ok(())
    }
}

fn placed(error: Error, subject: &str, version: Version) -> Error {
    error.with_context("subject", subject).with_context("version", version)
}

/// The decoder of a format, and what its columns do not keep of what may be written for them.
fn decoder_of(
    home: &Home,
    reading: &Reading<'_>,
    table: &Schema,
    rules: &ColumnRules,
) -> Result<(Box<dyn Decoder>, Vec<Note>)> {
    let Reading { part, format, declared, .. } = reading;
    // What a person declared is the records' matter, and no schema's.
    let held = rules.held.iter().cloned().chain(declared.iter().map(|column| column.name().clone())).collect();
    let rules = &ColumnRules { held, ..rules.clone() };
    let framing = RegistryFraming { prefix: home.id_prefix, part: *part };
    let changes = *part == RecordPart::Value && reading.envelope == Some(Envelope::Debezium);
    Ok(match format {
        Format::Json | Format::JsonSchema => {
            let decoder = json_decoder(reading, table, rules)?;
            let notes = decoder.notes();
            match format {
                Format::JsonSchema => (Box::new(decoder.framed(framing)), notes),
                _ => (Box::new(decoder), notes),
            }
        }
        Format::Avro => {
            let table = with_declared(declared, table)?;
            let decoder = AvroDecoder::new(framing, &table)?.keep_to(rules, &table);
            let decoder = match changes {
                true if reading.tells_origins => decoder.telling_origins(),
                true => decoder.of_changes(),
                false => decoder.of_record(reading.subjects.only.as_deref()),
            };
            (Box::new(decoder), Vec::new())
        }
        Format::Protobuf => {
            let table = with_declared(declared, table)?;
            let decoder = ProtobufDecoder::new(framing, &table)?.keep_to(rules, &table);
            let decoder = match changes {
                true if reading.tells_origins => decoder.telling_origins(),
                true => decoder.of_changes(),
                false => decoder,
            };
            (Box::new(decoder), Vec::new())
        }
        Format::Raw => {
            let column = match part {
                RecordPart::Key => KEY_COLUMN,
                RecordPart::Value => RAW_COLUMN,
            };
            let wanted = raw_type(column, declared)?;
            (Box::new(RawDecoder::into_column(column, wanted.as_ref(), table)?), Vec::new())
        }
    })
}

fn json_decoder(reading: &Reading<'_>, table: &Schema, rules: &ColumnRules) -> Result<JsonDecoder> {
    let mut decoder = JsonDecoder::new(reading.declared, table)?.keep_to(rules, table)?;
    if reading.part == RecordPart::Key {
        decoder = decoder.bare_as(reading.bare);
    }
    Ok(match reading.envelope {
        Some(Envelope::Debezium) if reading.part == RecordPart::Value => {
            let decoder = decoder.inside(decode::Envelope::Change);
            if reading.tells_origins { decoder.telling_origins() } else { decoder }
        }
        Some(_) if reading.format == Format::Json => decoder.inside(decode::Envelope::Key),
        _ => decoder,
    })
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

/// Whether raw records are declared text.
fn raw_type(name: &str, declared: &[Field]) -> Result<Option<DataType>> {
    match declared {
        [] => Ok(None),
        [column] if column.name() == name => Ok(Some(column.data_type().clone())),
        _ => {
            let flag = if name == KEY_COLUMN { "--key-columns" } else { "--columns" };
            Err(Error::usage(format!("raw records have one column, {name}"))
                .with_hint(format!("declare it alone, BYTES or STRING: {flag} \"`{name}` STRING\"")))
        }
    }
}
