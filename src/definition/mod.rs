//! What people declared: which topic fills which table, and how.
//!
//! Owns [`Definition`]; `store` keeps them: numbered versions per table, of which the highest counts.
//! - I1: a version, once put, never changes; a change is the next version.
//! - I2: a definition is read whole or not at all; one of a newer program is refused, not guessed at.

mod compaction;
mod keys;
mod store;
mod words;

use std::collections::BTreeMap;

use arrow::datatypes::Field;
use serde::{Deserialize, Serialize};
use tableflow_connectors::decode::{Evolution, MetadataColumns};
use tableflow_connectors::topics::Keeper;
use tableflow_model::protocol::{SinkName, Whose};
use tableflow_model::{JobName, Millis, Offset, Partition, Result, TableName, TopicId, TopicName, types};
use uuid::Uuid;

pub use self::compaction::{CompactionPolicy, CompactionStrategy};
pub use self::keys::{KeyFormat, Keys};
pub use self::store::{Definitions, Listing, Unreadable};
use self::words::is_additive;
pub use self::words::{DELETED_COLUMN, Deletes, Envelope, ErrorHandling, FanOutBy, Format, StartFrom, Wanted};

/// The form of the JSON; another number is another form.
const FORM: u32 = 1;

/// What `--columns` says; without it nothing is declared and everything inferred.
pub fn declared_columns(text: &str) -> Result<Vec<Field>> {
    if text.trim().is_empty() { Ok(Vec::new()) } else { types::parse_columns(text) }
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

/// How a topic's records change a table with one row a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upsert {
    /// How the key of a record that deletes is written. Absent where rows are identified by it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Format>,
    #[serde(default, skip_serializing_if = "Deletes::is_hard")]
    pub deletes: Deletes,
    /// What stands for a value that its source did not send again. Absent: Debezium's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable_value: Option<String>,
}

/// Another mode than a table had. Whether it has `upsert` says which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeChange {
    /// Counts the changes of the table.
    pub number: u32,
    /// The columns that rows are to be identified by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
    /// Where its schemas are: ids of another registry mean other schemas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// As given to `--columns`.
    pub columns: String,
    /// Absent: keys become no columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
    /// Absent: every record is a row. The columns that identify rows are the identifier fields of the table's schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upsert: Option<Upsert>,
    /// The last change of that. Absent: the table is what it was made as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode_change: Option<ModeChange>,
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
    /// How long rows stay. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_retention_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "CompactionPolicy::is_nothing")]
    pub compaction: CompactionPolicy,
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
    pub envelope: Option<Envelope>,
    pub registry: Option<String>,
    pub columns: String,
    pub keys: Option<Keys>,
    pub upsert: Option<Upsert>,
    pub mode_change: Option<ModeChange>,
    pub metadata_columns: MetadataColumns,
    pub commit_interval_ms: u64,
    pub from: StartFrom,
    pub from_offsets: Option<BTreeMap<Partition, Offset>>,
    pub retention_ms: i64,
    pub data_retention_ms: Option<i64>,
    pub compaction: CompactionPolicy,
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
            envelope: new.envelope,
            registry: new.registry,
            columns: new.columns,
            keys: new.keys,
            upsert: new.upsert,
            mode_change: new.mode_change,
            metadata_columns: new.metadata_columns,
            commit_interval_ms: new.commit_interval_ms,
            from: new.from,
            from_offsets: new.from_offsets,
            past_gaps: None,
            retention_ms: new.retention_ms,
            data_retention_ms: new.data_retention_ms,
            compaction: new.compaction,
            evolution: new.evolution,
            error_handling: new.error_handling,
            dead_letters: new.dead_letters,
            fan_out: new.fan_out,
            wanted: Wanted::Running,
            created_at: new.created_at,
        }
    }
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
