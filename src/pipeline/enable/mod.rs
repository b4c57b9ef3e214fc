//! A topic becomes a table.
//!
//! Owns [`Request`] (what was asked for) and [`Plan`] (what will be made: one table, or, in `fan_out`, one for each
//! type of record). Planning validates everything and changes nothing; making the table and putting its definition
//! follow.
//! - I1: nothing is made unless everything can be: names, columns, partitioning, sorting, the topic.
//! - I2: two topics never fill one table, and two tables never differ by case only.
//! - I3: a crash between making the table and putting the definition leaves an empty table that the same
//!   `enable` takes over.
//! - I4: a table that exists keeps its columns, partitioning, order and place in its topic; what is asked for and
//!   differs is refused.
//! - I5: what is not asked for is as it was when the table was last enabled, or else the default.

mod checks;
pub mod fan_out;
mod keys;
mod layout;
mod settings;
mod upsert;

use arrow::datatypes::FieldRef;
use iceberg::spec::TableMetadata;
use serde::{Deserialize, Serialize};
use tableflow_catalog::{LoadedTable, Properties, TableCreation};
use tableflow_connectors::decode::{Evolution, MetadataColumns};
use tableflow_lake::layout::{DeleteEncoding, arrow_schema, latest_by};
use tableflow_model::types::flink_type;
use tableflow_model::{Error, ErrorKind, Result, TableName, TopicId, TopicName};

pub use self::checks::Taken;
use self::fan_out::FanOutPlan;
use self::layout::Layout;
use self::settings::Settings;
use super::dead_letters;
use super::mirror::{self, Mirror};
use super::mode;
use super::writing::{AskedWriting, Reader};
use crate::definition::{
    CompactionPolicy, Definition, Deletes, Envelope, ErrorHandling, FanOutBy, Format, KeyFormat, NewDefinition,
    StartFrom, Upsert,
};
use crate::home::Home;
use crate::units::DataRetention;

/// The table property that says which topic fills it.
const TOPIC_PROPERTY: &str = "tableflow.topic";

/// How many old metadata files stay: enough for a reader that opened one.
const METADATA_VERSIONS_KEPT: u32 = 10;

/// What a person asked for of a topic and its table, names checked, nothing looked up.
#[derive(Clone, Debug)]
pub struct Request {
    pub topic: TopicName,
    pub table: TableName,
    pub asked: Asked,
    /// From the configuration.
    pub commit_interval_default_ms: u64,
}

/// What is asked of a table, whichever it is. `None` and empty texts were not asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// Every record is a row, of a compacted topic too.
    pub append: bool,
    /// One row a key, of any topic.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub upsert: bool,
    /// The columns that identify rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// What becomes of rows whose keys are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete: Option<Deletes>,
    /// The column that tells the latest row of a key, or the word for the place in the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_by: Option<String>,
    /// What stands for a value that its source did not send again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable_value: Option<String>,
    /// Absent: what the schema registry says.
    pub format: Option<Format>,
    /// What is around the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
    pub columns: Option<String>,
    pub key_format: Option<KeyFormat>,
    pub key_columns: Option<String>,
    pub partition_by: String,
    pub sort_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_version: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_encoding: Option<DeleteEncoding>,
    /// The engines that the table is for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Reader>,
    pub metadata_columns: Option<MetadataColumns>,
    pub commit_interval_ms: Option<u64>,
    pub from: Option<StartFrom>,
    pub retention_ms: Option<i64>,
    /// How long rows stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_retention_ms: Option<DataRetention>,
    /// How the service compacts it.
    #[serde(skip_serializing_if = "CompactionPolicy::is_nothing")]
    pub compaction: CompactionPolicy,
    pub evolution: Option<Evolution>,
    pub error_handling: Option<ErrorHandling>,
    /// The name of the table of dead letters.
    pub log_target: Option<String>,
    /// A topic that they go to as well.
    pub dlq_topic: Option<TopicName>,
    /// A table for each type of record.
    pub fan_out: Option<FanOutBy>,
}

impl Asked {
    fn writing(&self) -> AskedWriting {
        let (version, encoding) = (self.format_version, self.delete_encoding);
        AskedWriting { version, encoding, readers: self.readers.clone() }
    }
}

/// What will be made.
#[derive(Debug)]
pub enum Plan {
    Table(Box<TablePlan>),
    FanOut(Box<FanOutPlan>),
}

/// One table for all of the topic's records.
#[derive(Debug)]
pub struct TablePlan {
    request: Request,
    topic_id: TopicId,
    settings: Settings,
    layout: Layout,
    upsert: Option<Upsert>,
    /// A table of an earlier try or of a disabled definition, to be taken over.
    existing: Option<LoadedTable>,
}

/// A plan as people and scripts see it.
#[derive(Debug, Serialize)]
pub struct PlanSummary {
    pub topic: String,
    pub table: String,
    pub mode: &'static str,
    /// The columns that identify rows.
    pub key: Vec<String>,
    /// The column that tells which row of a key is the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_by: Option<String>,
    pub format: Format,
    pub envelope: Option<Envelope>,
    pub format_version: u8,
    /// `none` where every record is a row.
    pub delete_encoding: &'static str,
    /// The engines that the table is for.
    pub readers: Vec<Reader>,
    pub columns: Vec<ColumnSummary>,
    pub key_format: Option<Format>,
    /// Those of the columns that keys fill.
    pub key_columns: Vec<String>,
    /// What the table does not keep of the topic's schemas, column by column.
    pub notes: Vec<String>,
    pub partition_by: String,
    pub sort_by: String,
    pub commit_interval_ms: u64,
    pub error_handling: ErrorHandling,
    pub dead_letters: Option<String>,
    /// The topic that they go to as well.
    pub dlq_topic: Option<String>,
    /// What tells the topic's types of records apart, each of which has a table of its own.
    pub fan_out: Option<String>,
    pub exists: bool,
}

#[derive(Debug, Serialize)]
pub struct ColumnSummary {
    pub name: String,
    pub r#type: String,
    pub nullable: bool,
}

impl ColumnSummary {
    pub fn of(field: &FieldRef) -> Self {
        ColumnSummary {
            name: field.name().clone(),
            r#type: flink_type(field.data_type()),
            nullable: field.is_nullable(),
        }
    }
}

/// How every table of ours is written.
pub fn write_properties() -> impl Iterator<Item = (String, String)> {
    [
        ("write.parquet.compression-codec", "zstd".to_owned()),
        ("write.parquet.compression-level", "1".to_owned()),
        ("write.metadata.previous-versions-max", METADATA_VERSIONS_KEPT.to_string()),
        ("write.metadata.delete-after-commit.enabled", "true".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
}

/// Validates a request against what is there, and what was planned before it (I1).
pub async fn plan(home: &Home, taken: &mut Taken, request: Request) -> Result<Plan> {
    let plan = plan_beside(home, taken, request).await?;
    taken.add(plan.request());
    Ok(plan)
}

async fn plan_beside(home: &Home, taken: &Taken, request: Request) -> Result<Plan> {
    let mut source = home.source(&request.topic).await?;
    let topic_id = source.topic_id().await?;
    taken.check(&request)?;
    let existing = checks::find_existing(home, &request).await?;
    if let Some(by) = request.asked.fan_out.clone() {
        let before = fan_out::definition_before(home, &request.table).await?;
        if upsert::is_wanted(home, &request, before.as_ref(), None).await? {
            upsert::check(&request)?;
        } else {
            upsert::check_append(&request)?;
        }
        let settings = Settings::of(home, &request, before.clone(), source.as_mut()).await?;
        mirror::check(settings.evolution, settings.format, true)?;
        let plan = FanOutPlan::new(home, (request, by), topic_id, settings, before).await?;
        return Ok(Plan::FanOut(Box::new(plan)));
    }
    let before = match &existing {
        Some(table) => definition_before(home, &request, table).await?,
        None => None,
    };
    let before_from = before.as_ref().map(|before| before.from);
    let found = existing.as_ref().map(|table| &*table.metadata);
    let upserts = upsert::is_wanted(home, &request, before.as_ref(), found).await?;
    let upsert_before = before.as_ref().and_then(|before| before.upsert.clone());
    let mut settings = Settings::of(home, &request, before, source.as_mut()).await?;
    settings.mode_change = found.and_then(|table| mode::kept(settings.mode_change.take(), table));
    mirror::check(settings.evolution, settings.format, false)?;
    if upserts {
        upsert::check(&request)?;
    } else {
        upsert::check_append(&request)?;
    }
    if settings.evolution == Evolution::Mirror {
        mirror::check_subject(home, &request.topic, source.as_mut()).await?;
    }
    let layout = match &existing {
        Some(table) => {
            checks::check_place(&request, before_from, topic_id, &table.metadata)?;
            layout::existing(home, (&request, upserts), &settings, &table.metadata).await?
        }
        None => layout::new(home, source.as_mut(), (&request, upserts), &settings).await?,
    };
    settings.compaction.check(&layout.sort_by())?;
    let upsert = match &layout.key {
        None => None,
        Some(key) => {
            let known = (upsert_before, layout.keys.as_ref());
            Some(key.definition(home, &request, known, source.as_mut()).await?)
        }
    };
    if let Some(letters) = &settings.dead_letters {
        let uuid = existing.as_ref().map(|table| table.metadata.uuid());
        dead_letters::check(home, &request.table, uuid, letters).await?;
    }
    Ok(Plan::Table(Box::new(TablePlan { request, topic_id, settings, layout, upsert, existing })))
}

/// How the table was last enabled.
async fn definition_before(home: &Home, request: &Request, table: &LoadedTable) -> Result<Option<Definition>> {
    let before = home.definitions().find(&request.table).await?;
    Ok(before.filter(|before| before.table_uuid == table.metadata.uuid()))
}

impl Plan {
    fn request(&self) -> &Request {
        match self {
            Plan::Table(plan) => &plan.request,
            Plan::FanOut(plan) => &plan.request,
        }
    }

    pub fn summary(&self) -> Result<PlanSummary> {
        match self {
            Plan::Table(plan) => plan.summary(),
            Plan::FanOut(plan) => Ok(plan.summary()),
        }
    }

    /// Makes what is to be made, and puts the definition.
    pub async fn carry_out(self, home: &Home) -> Result<Definition> {
        match self {
            Plan::Table(plan) => plan.carry_out(home).await,
            Plan::FanOut(plan) => plan.carry_out(home).await,
        }
    }
}

impl TablePlan {
    fn summary(&self) -> Result<PlanSummary> {
        let arrow = arrow_schema(&self.layout.schema)?;
        Ok(PlanSummary {
            topic: self.request.topic.to_string(),
            table: self.request.table.to_plain_string(),
            mode: if self.upsert.is_some() { "upsert" } else { "append" },
            key: self.layout.key.as_ref().map(|key| key.columns.clone()).unwrap_or_default(),
            latest_by: self.layout.latest_by.clone(),
            format: self.settings.format,
            envelope: self.settings.envelope,
            format_version: self.layout.writing.version_number(),
            delete_encoding: if self.upsert.is_some() { self.layout.writing.encoding.word() } else { "none" },
            readers: self.layout.writing.readers.clone(),
            notes: self.layout.notes.iter().map(|note| format!("{} {}", note.path, note.words)).collect(),
            columns: arrow.fields().iter().map(ColumnSummary::of).collect(),
            key_format: self.layout.keys.as_ref().map(|keys| keys.format),
            key_columns: self.layout.keys.as_ref().map(|keys| keys.own.clone()).unwrap_or_default(),
            partition_by: self.layout.partition_by(),
            sort_by: self.layout.sort_by(),
            commit_interval_ms: self.settings.commit_interval_ms,
            error_handling: self.settings.error_handling,
            dead_letters: self.settings.dead_letters.as_ref().map(TableName::to_plain_string),
            dlq_topic: self.settings.dlq_topic(),
            fan_out: None,
            exists: self.existing.is_some(),
        })
    }

    async fn carry_out(self, home: &Home) -> Result<Definition> {
        let topic = self.request.topic.to_string();
        let table = match &self.existing {
            Some(table) => table.clone(),
            None => {
                let mirror = self.layout.mirror.as_ref().map(Mirror::to_text).transpose()?;
                let properties = [(TOPIC_PROPERTY, topic)].into_iter().chain(mirror.map(|it| (mirror::PROPERTY, it)));
                create_table(home, &self.request.table, &self.layout, properties).await?
            }
        };
        check_latest_by(&table.metadata, self.layout.latest_by.as_deref())?;
        let (request, uuid) = (self.request, table.metadata.uuid());
        let settings = Settings { keys: self.layout.keys, ..self.settings };
        let dead_letters = settings.make_dead_letters(home, &request.table, uuid).await?;
        let new = settings.into_definition(home, request, (self.topic_id, uuid));
        home.definitions().create(NewDefinition { dead_letters, upsert: self.upsert, ..new }).await
    }
}

/// Ids are the catalog's to give.
fn check_latest_by(table: &TableMetadata, column: Option<&str>) -> Result<()> {
    match latest_by(table)?.as_deref() == column {
        true => Ok(()),
        false => Err(Error::internal("the catalog gave the table's columns other ids than their places")
            .with_detail("so another column than the one of --latest-by would tell the latest row of a key")),
    }
}

async fn create_namespace(home: &Home, namespace: &str) -> Result<()> {
    match home.catalog.create_namespace(namespace, &Properties::new()).await {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Makes a table of rows, with these properties beside those that every table of ours has.
async fn create_table(
    home: &Home,
    table: &TableName,
    layout: &Layout,
    properties: impl IntoIterator<Item = (&str, String)>,
) -> Result<LoadedTable> {
    create_namespace(home, table.namespace()).await?;
    let own = properties.into_iter().map(|(name, value)| (name.to_owned(), value));
    let creation = TableCreation {
        location: None,
        schema: layout.schema.clone(),
        partition_spec: Some(layout.partition_spec.clone().into_unbound()),
        sort_order: Some(layout.sort_order.clone()),
        properties: write_properties().chain(layout.writing_properties.clone()).chain(own).collect(),
        format_version: layout.writing.version,
    };
    home.catalog.create_table(table, creation).await
}
