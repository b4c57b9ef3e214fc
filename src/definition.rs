//! What people declared: which topic fills which table, and how.
//!
//! Owns [`Definition`] and [`Definitions`], their store: numbered versions per table, of which the highest counts.
//! - I1: a version, once put, never changes; a change is the next version.
//! - I2: a definition is read whole or not at all; one of a newer program is refused, not guessed at.

mod keys;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use arrow::datatypes::Field;
use serde::{Deserialize, Serialize};
use tableflow_connectors::decode::{Evolution, MetadataColumns};
use tableflow_connectors::topics::Keeper;
use tableflow_model::protocol::{SinkName, Whose};
use tableflow_model::{
    Error, ErrorKind, JobName, Millis, Offset, Partition, Result, TableName, TopicId, TopicName, types,
};
use tableflow_store::Store;
use tableflow_store::paths::StatePaths;
use uuid::Uuid;

pub use self::keys::{KeyFormat, Keys};
use crate::versions;

/// The form of the JSON; another number is another form.
const FORM: u32 = 1;

/// Somebody who changes a table this often at the same time does it by mistake.
const CHANGE_ATTEMPTS_MAX: u32 = 10;

/// What `--columns` says; without it nothing is declared and everything inferred.
pub fn declared_columns(text: &str) -> Result<Vec<Field>> {
    if text.trim().is_empty() { Ok(Vec::new()) } else { types::parse_columns(text) }
}

/// Whether the table is to be kept fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    Running,
    Paused,
    /// The table stays, the topic no longer fills it.
    Disabled,
}

/// Where a new table starts to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartFrom {
    Earliest,
    Latest,
}

/// How the values of a topic's records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A JSON object each, without a schema.
    #[default]
    Json,
    /// By a schema of the registry, as the following ones.
    Avro,
    JsonSchema,
    Protobuf,
    /// As they are.
    Raw,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Json => "json",
            Format::Avro => "avro",
            Format::JsonSchema => "json-schema",
            Format::Protobuf => "protobuf",
            Format::Raw => "raw",
        })
    }
}

impl Format {
    /// Do records name schemas of a registry?
    pub fn has_schemas(self) -> bool {
        matches!(self, Format::Avro | Format::JsonSchema | Format::Protobuf)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_json(&self) -> bool {
        *self == Format::Json
    }
}

/// What becomes of a record that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ErrorHandling {
    /// The table stops at it.
    #[default]
    Suspend,
    /// It is counted, and left out.
    Skip,
    /// It becomes a row of the table of dead letters.
    Log,
}

impl ErrorHandling {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_suspend(&self) -> bool {
        *self == ErrorHandling::Suspend
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_additive(evolution: &Evolution) -> bool {
    *evolution == Evolution::Additive
}

/// What of a record says which of several tables it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FanOutBy {
    /// The name of the type that its schema describes.
    RecordName,
    Header(String),
    /// Names joined by points, from the record down.
    Field(String),
}

impl FanOutBy {
    /// As a sentence has it.
    pub fn words(&self) -> String {
        match self {
            FanOutBy::RecordName => "the name of its type".to_owned(),
            FanOutBy::Header(name) => format!("header {name}"),
            FanOutBy::Field(path) => format!("field {path}"),
        }
    }
}

impl fmt::Display for FanOutBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FanOutBy::RecordName => f.write_str("record-name"),
            FanOutBy::Header(name) => write!(f, "header:{name}"),
            FanOutBy::Field(path) => write!(f, "field:{path}"),
        }
    }
}

impl FromStr for FanOutBy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text.eq_ignore_ascii_case("record-name") => Ok(FanOutBy::RecordName),
            Some(("header", name)) if !name.is_empty() => Ok(FanOutBy::Header(name.to_owned())),
            Some(("field", path)) if path.split('.').all(|name| !name.is_empty()) => {
                Ok(FanOutBy::Field(path.to_owned()))
            }
            _ => Err(Error::usage(format!("{text:?} does not say what tells the records of a topic apart"))
                .with_hint("use record-name, header:NAME or field:PATH")),
        }
    }
}

impl TryFrom<String> for FanOutBy {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<FanOutBy> for String {
    fn from(by: FanOutBy) -> Self {
        by.to_string()
    }
}

/// How a topic of many types of records fills a table for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanOut {
    pub by: FanOutBy,
    /// Of each of the tables.
    pub partition_by: String,
    pub sort_by: String,
}

/// Where a table's dead letters go. Once a table has one its job always keeps the two in step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetters {
    pub table: TableName,
    pub table_uuid: Uuid,
    /// Where they go as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<LettersTopic>,
}

/// A topic for a table's dead letters. Once a table has one its job always keeps it in step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LettersTopic {
    pub topic: TopicName,
    pub topic_id: TopicId,
    /// Where it ended when it was declared: what is before is none of the table's.
    pub from: BTreeMap<Partition, Offset>,
}

/// One table, as a person declared it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    form: u32,
    /// Counts the changes (I1).
    pub version: u32,
    pub table: TableName,
    pub table_uuid: Uuid,
    pub topic: TopicName,
    pub topic_id: TopicId,
    /// Who keeps the topic. Older definitions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<Keeper>,
    pub job: JobName,
    #[serde(default, skip_serializing_if = "Format::is_json")]
    pub format: Format,
    /// Where its schemas are: ids of another registry mean other schemas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// As given to `--columns`.
    pub columns: String,
    /// Absent: keys become no columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
    pub metadata_columns: MetadataColumns,
    pub commit_interval_ms: u64,
    pub from: StartFrom,
    /// Where `latest` was when the table was enabled; partitions that came later are read from their beginning. Older
    /// definitions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_offsets: Option<BTreeMap<Partition, Offset>>,
    /// The places that the table may leave for what is there, where the records behind them are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past_gaps: Option<BTreeMap<Partition, Offset>>,
    pub retention_ms: i64,
    #[serde(default, skip_serializing_if = "is_additive")]
    pub evolution: Evolution,
    #[serde(default, skip_serializing_if = "ErrorHandling::is_suspend")]
    pub error_handling: ErrorHandling,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<DeadLetters>,
    /// The topic fills a table for each type of record that it has; there is none of the name `table`, and `table_uuid`
    /// is that of all of them together. One of dead letters there always is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fan_out: Option<FanOut>,
    pub wanted: Wanted,
    pub created_at: Millis,
}

/// What `enable` decides; the rest of a definition follows.
#[derive(Clone, Debug)]
pub struct NewDefinition {
    pub table: TableName,
    pub table_uuid: Uuid,
    pub topic: TopicName,
    pub topic_id: TopicId,
    pub keeper: Keeper,
    pub format: Format,
    pub registry: Option<String>,
    pub columns: String,
    pub keys: Option<Keys>,
    pub metadata_columns: MetadataColumns,
    pub commit_interval_ms: u64,
    pub from: StartFrom,
    pub from_offsets: Option<BTreeMap<Partition, Offset>>,
    pub retention_ms: i64,
    pub evolution: Evolution,
    pub error_handling: ErrorHandling,
    pub dead_letters: Option<DeadLetters>,
    pub fan_out: Option<FanOut>,
    pub created_at: Millis,
}

impl Definition {
    /// The topic that its dead letters go to beside their table.
    pub fn letters_topic(&self) -> Option<&LettersTopic> {
        self.dead_letters.as_ref()?.topic.as_ref()
    }

    /// The table that has the ledger of its job from the start.
    pub fn anchor(&self) -> &TableName {
        match (&self.fan_out, &self.dead_letters) {
            (Some(_), Some(letters)) => &letters.table,
            _ => &self.table,
        }
    }

    /// What hints name that are about its job, or about one of the job's tables.
    pub fn whose<'a>(&'a self, sink: Option<&'a SinkName>) -> Whose<'a> {
        Whose { table: &self.table, topic: &self.topic, job: &self.job, sink }
    }
}

impl From<NewDefinition> for Definition {
    fn from(new: NewDefinition) -> Self {
        Definition {
            form: FORM,
            version: 1,
            job: new.table.ingest_job(),
            table: new.table,
            table_uuid: new.table_uuid,
            topic: new.topic,
            topic_id: new.topic_id,
            keeper: Some(new.keeper),
            format: new.format,
            registry: new.registry,
            columns: new.columns,
            keys: new.keys,
            metadata_columns: new.metadata_columns,
            commit_interval_ms: new.commit_interval_ms,
            from: new.from,
            from_offsets: new.from_offsets,
            past_gaps: None,
            retention_ms: new.retention_ms,
            evolution: new.evolution,
            error_handling: new.error_handling,
            dead_letters: new.dead_letters,
            fan_out: new.fan_out,
            wanted: Wanted::Running,
            created_at: new.created_at,
        }
    }
}

/// What a look at the newest version of every table gave, disabled ones included.
#[derive(Debug, Default)]
pub struct Listing {
    pub definitions: Vec<Definition>,
    pub unreadable: Vec<Unreadable>,
}

/// A definition that is there and cannot be read (I2).
#[derive(Debug)]
pub struct Unreadable {
    /// As the object's path has it.
    pub table: String,
    pub error: Error,
}

/// All definitions of a data directory.
#[derive(Clone, Debug)]
pub struct Definitions {
    store: Store,
    paths: StatePaths,
}

impl Definitions {
    pub fn new(store: Store, paths: StatePaths) -> Self {
        Definitions { store, paths }
    }

    /// Table by table: one that cannot be read says nothing about the others.
    pub async fn look(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        for (directory, uri) in versions::newest(&self.store, &self.paths.definitions()).await? {
            match self.read(&uri).await {
                Ok(definition) => listing.definitions.push(definition),
                Err(error) if error.kind() == ErrorKind::Data => {
                    let table = directory.rsplit('/').next().unwrap_or_default().to_owned();
                    listing.unreadable.push(Unreadable { table, error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(listing)
    }

    /// The newest version of one table, or `None` if it was never enabled.
    pub async fn find(&self, table: &TableName) -> Result<Option<Definition>> {
        match versions::newest(&self.store, &self.paths.definition_versions(table)).await?.into_values().next() {
            Some(uri) => self.read(&uri).await.map(Some),
            None => Ok(None),
        }
    }

    /// What is wanted of the same table by now, if it is: for whoever begins again with what it was told long ago.
    pub async fn newest_of(&self, definition: Definition) -> Result<Definition> {
        let newest = self.find(&definition.table).await?;
        Ok(newest.filter(|newest| newest.table_uuid == definition.table_uuid).unwrap_or(definition))
    }

    /// The newest version of a table that is enabled.
    pub async fn get(&self, table: &TableName) -> Result<Definition> {
        let found = self.find(table).await?.filter(|definition| definition.wanted != Wanted::Disabled);
        found.ok_or_else(|| {
            Error::not_found(format!("{table} is not enabled"))
                .with_hint("`tableflow list` shows the enabled tables, `tableflow enable TOPIC` makes one")
        })
    }

    /// The URI of the newest version of every table: what changed is seen without reading anything.
    pub async fn newest_uris(&self) -> Result<Vec<String>> {
        Ok(versions::newest(&self.store, &self.paths.definitions()).await?.into_values().collect())
    }

    pub async fn read(&self, uri: &str) -> Result<Definition> {
        let bytes = self.store.get(uri).await?;
        let unreadable = |error| {
            Error::data("a table's definition cannot be read")
                .with_context("object", uri)
                .with_source(error)
                .with_hint("it was written by a newer tableflow, or it is damaged")
        };
        let definition: Definition = serde_json::from_slice(&bytes).map_err(unreadable)?;
        if definition.form == FORM {
            return Ok(definition);
        }
        Err(Error::data(format!("a table's definition has form {}, this program knows {FORM}", definition.form))
            .with_context("object", uri)
            .with_hint("use the tableflow that wrote it, or a newer one"))
    }

    /// Puts a definition of a table that has none, or whose last one is disabled.
    pub async fn create(&self, new: NewDefinition) -> Result<Definition> {
        let mut definition = Definition::from(new);
        match self.find(&definition.table).await? {
            Some(before) if before.wanted != Wanted::Disabled => return Err(already_enabled(&before)),
            Some(before) => definition.version = before.version + 1,
            None => {}
        }
        if self.put(&definition).await? {
            return Ok(definition);
        }
        Err(already_enabled(&definition))
    }

    /// Puts the next version: `change` is applied to whatever is newest.
    pub async fn change(&self, table: &TableName, change: impl Fn(&mut Definition)) -> Result<Definition> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            let mut definition = self.get(table).await?;
            definition.version += 1;
            change(&mut definition);
            if self.put(&definition).await? {
                return Ok(definition);
            }
        }
        Err(Error::conflict(format!("the definition of {table} is changed by others all the time"))
            .with_hint("try again"))
    }

    /// False if somebody else put this version first.
    async fn put(&self, definition: &Definition) -> Result<bool> {
        let uri = self.paths.definition(&definition.table, definition.version);
        versions::put(&self.store, &uri, definition).await
    }
}

fn already_enabled(definition: &Definition) -> Error {
    Error::already_exists(format!("{} is enabled already, filled by topic {}", definition.table, definition.topic))
        .with_hint("choose another with --table or --namespace, or change it with `tableflow update`")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the first release put it: without the offsets of `latest`.
    const FIRST: &str = r#"{
        "form": 1, "version": 3, "table": "bronze.orders", "table_uuid": "6d3a2c4e-0f6e-4b5b-9d4e-0a3f0f3f9c11",
        "topic": "orders", "topic_id": "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed", "job": JOB, "columns": "",
        "metadata_columns": "portable", "commit_interval_ms": 10000, "from": "latest", "retention_ms": 604800000,
        "wanted": "running", "created_at": 1769904000000
    }"#;

    #[test]
    fn i2_a_definition_of_the_first_release_is_read_and_written_as_it_was() {
        let table = TableName::new("bronze", "orders").unwrap();
        let first = FIRST
            .replace("\"bronze.orders\"", &serde_json::to_string(&table).unwrap())
            .replace("JOB", &serde_json::to_string(&table.ingest_job()).unwrap());
        let definition: Definition = serde_json::from_str(&first).unwrap();
        assert_eq!((definition.from, &definition.from_offsets), (StartFrom::Latest, &None));
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&serde_json::to_string(&definition).unwrap()), value(&first));

        let keys = Keys { own: vec!["region".to_owned()], hidden: "id BIGINT".to_owned(), ..Keys::default() };
        let of_keys = Definition { keys: Some(keys), ..definition.clone() };
        let text = serde_json::to_string(&of_keys).unwrap();
        assert_eq!(value(&text)["keys"], value(r#"{"format":"json","own":["region"],"hidden":"id BIGINT"}"#));
        assert_eq!(serde_json::from_str::<Definition>(&text).unwrap(), of_keys);

        let offsets = BTreeMap::from([(Partition(0), Offset(7)), (Partition(11), Offset(0))]);
        let with = Definition { from_offsets: Some(offsets), ..definition };
        let text = serde_json::to_string(&with).unwrap();
        assert_eq!(value(&text)["from_offsets"], serde_json::json!({"0": 7, "11": 0}));
        assert_eq!(serde_json::from_str::<Definition>(&text).unwrap(), with);
    }
}
