//! A topic becomes a table.
//!
//! Owns [`Request`] (what was asked for) and [`Plan`] (what will be made: one table, or, in `fan_out`, one for each type of
//! record). Planning validates everything and
//! changes nothing; making the table and putting its definition follow.
//! - I1: nothing is made unless everything can be: names, columns, partitioning, sorting, the topic.
//! - I2: two topics never fill one table, and two tables never differ by case only.
//! - I3: a crash between making the table and putting the definition leaves an empty table that the same
//!   `enable` takes over.
//! - I4: a table that exists keeps its columns, partitioning, order and place in its topic; what is asked for and
//!   differs is refused.
//! - I5: what is not asked for is as it was when the table was last enabled, or else the default.

pub mod fan_out;
mod keys;
mod layout;

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::FieldRef;
use iceberg::spec::{FormatVersion, TableMetadata};
use serde::{Deserialize, Serialize};
use tableflow_catalog::{LoadedTable, Properties, TableCreation};
use tableflow_connectors::decode::{Evolution, MetadataColumns};
use tableflow_connectors::registry::RecordPart;
use tableflow_lake::layout::arrow_schema;
use tableflow_model::protocol::{Ledger, TopicPositions};
use tableflow_model::types::flink_type;
use tableflow_model::{Error, ErrorKind, Offset, Partition, Result, Source, TableName, TopicId, TopicName};
use uuid::Uuid;

use self::fan_out::FanOutPlan;
use self::layout::Layout;
use super::dead_letters;
use super::decoding::format_of;
use super::fan_out::GROUP_PROPERTY;
use super::format::check_format;
use super::letters_topic::declared::{self, Wanted as WantedTopic};
use super::mirror::{self, Mirror};
use crate::definition::{
    DeadLetters, Definition, ErrorHandling, FanOutBy, Format, KeyFormat, Keys, NewDefinition, StartFrom, Wanted,
};
use crate::home::Home;

/// The table property that says which topic fills it.
const TOPIC_PROPERTY: &str = "tableflow.topic";

/// How many old metadata files stay: enough for a reader that opened one.
const METADATA_VERSIONS_KEPT: u32 = 10;

/// A week: what Confluent keeps.
const RETENTION_MS_DEFAULT: i64 = 7 * 24 * 3600 * 1000;

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
    /// Absent: what the schema registry says.
    pub format: Option<Format>,
    pub columns: Option<String>,
    pub key_format: Option<KeyFormat>,
    pub key_columns: Option<String>,
    pub partition_by: String,
    pub sort_by: String,
    pub metadata_columns: Option<MetadataColumns>,
    pub commit_interval_ms: Option<u64>,
    pub from: Option<StartFrom>,
    pub retention_ms: Option<i64>,
    pub evolution: Option<Evolution>,
    pub error_handling: Option<ErrorHandling>,
    /// The name of the table of dead letters.
    pub log_target: Option<String>,
    /// A topic that they go to as well.
    pub dlq_topic: Option<TopicName>,
    /// A table for each type of record.
    pub fan_out: Option<FanOutBy>,
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
    /// A table of an earlier try or of a disabled definition, to be taken over.
    existing: Option<LoadedTable>,
}

/// What the request comes to (I5).
#[derive(Debug)]
struct Settings {
    format: Format,
    columns: String,
    keys: Option<Keys>,
    metadata_columns: MetadataColumns,
    commit_interval_ms: u64,
    from: StartFrom,
    /// Where `latest` is.
    from_offsets: Option<BTreeMap<Partition, Offset>>,
    retention_ms: i64,
    evolution: Evolution,
    error_handling: ErrorHandling,
    /// The table of dead letters: one that it has, or that is needed now.
    dead_letters: Option<TableName>,
    letters_topic: Option<WantedTopic>,
}

/// A plan as people and scripts see it.
#[derive(Debug, Serialize)]
pub struct PlanSummary {
    pub topic: String,
    pub table: String,
    pub mode: &'static str,
    pub format: Format,
    pub format_version: u8,
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

/// Validates a request against what is there (I1).
pub async fn plan(home: &Home, request: Request) -> Result<Plan> {
    let mut source = home.source(&request.topic).await?;
    let topic_id = source.topic_id().await?;
    check_mode(home, &request).await?;
    check_target(home, &request).await?;
    let existing = find_existing(home, &request).await?;
    if let Some(by) = request.asked.fan_out.clone() {
        let before = fan_out::definition_before(home, &request.table).await?;
        let settings = settings(home, &request, before.clone(), source.as_mut()).await?;
        mirror::check(settings.evolution, settings.format, true)?;
        let plan = FanOutPlan::new(home, (request, by), topic_id, settings, before).await?;
        return Ok(Plan::FanOut(Box::new(plan)));
    }
    let before = match &existing {
        Some(table) => definition_before(home, &request, table).await?,
        None => None,
    };
    let before_from = before.as_ref().map(|before| before.from);
    let settings = settings(home, &request, before, source.as_mut()).await?;
    mirror::check(settings.evolution, settings.format, false)?;
    let layout = match &existing {
        Some(table) => {
            check_place(&request, before_from, topic_id, &table.metadata)?;
            layout::existing(home, &request, &settings, &table.metadata).await?
        }
        None => layout::new(home, source.as_mut(), &request, &settings).await?,
    };
    if let Some(letters) = &settings.dead_letters {
        let uuid = existing.as_ref().map(|table| table.metadata.uuid());
        dead_letters::check(home, &request.table, uuid, letters).await?;
    }
    Ok(Plan::Table(Box::new(TablePlan { request, topic_id, settings, layout, existing })))
}

/// A compacted topic holds the newest record of each key: a table of all records is what somebody asks for aloud.
async fn check_mode(home: &Home, request: &Request) -> Result<()> {
    let topic = &request.topic;
    if !request.asked.append && home.topics.describe(topic).await?.compacts() {
        return Err(Error::usage(format!("topic {topic} is compacted: it needs upsert, which comes later"))
            .with_hint("say --mode append to keep every record"));
    }
    Ok(())
}

/// How the table was last enabled.
async fn definition_before(home: &Home, request: &Request, table: &LoadedTable) -> Result<Option<Definition>> {
    let before = home.definitions().find(&request.table).await?;
    Ok(before.filter(|before| before.table_uuid == table.metadata.uuid()))
}

async fn settings(
    home: &Home,
    request: &Request,
    before: Option<Definition>,
    source: &mut dyn Source,
) -> Result<Settings> {
    let before = before.as_ref();
    let columns = request.asked.columns.clone().or(before.map(|it| it.columns.clone()));
    let metadata_columns = request.asked.metadata_columns.or(before.map(|it| it.metadata_columns));
    let interval = request.asked.commit_interval_ms.or(before.map(|it| it.commit_interval_ms));
    let retention_ms = request.asked.retention_ms.or(before.map(|it| it.retention_ms));
    let topic_id = source.topic_id().await?;
    let (from, from_offsets) = match (request.asked.from, before.filter(|before| before.topic_id == topic_id)) {
        (None, Some(before)) => (before.from, before.from_offsets.clone()),
        (None | Some(StartFrom::Earliest), _) => (StartFrom::Earliest, None),
        (Some(StartFrom::Latest), _) => {
            let ends = source.ranges().await?.into_iter().map(|(partition, range)| (partition, range.end));
            (StartFrom::Latest, Some(ends.collect()))
        }
    };
    if let Some(before) = before {
        dead_letters::check_kept(before, request.asked.log_target.as_deref())?;
    }
    let fans_out = request.asked.fan_out.is_some();
    let error_handling = request.asked.error_handling.or(before.map(|it| it.error_handling)).unwrap_or_default();
    let letters_wanted = error_handling == ErrorHandling::Log || fans_out;
    if !letters_wanted && request.asked.log_target.is_some() {
        return Err(Error::usage("--log-target is for --error-handling LOG")
            .with_hint("say --error-handling LOG, or leave --log-target out"));
    }
    let kept = before.and_then(|before| before.dead_letters.as_ref()).map(|kept| kept.table.clone());
    let dead_letters = match (kept, letters_wanted) {
        (None, true) => Some(dead_letters::name_for(&request.table, request.asked.log_target.as_deref())?),
        (kept, _) => kept,
    };
    let (of, asked) = ((&request.table, &request.topic), request.asked.dlq_topic.as_ref());
    let letters_topic = declared::wanted(home, of, (before, asked), error_handling).await?;
    if let Some(asked) = request.asked.format {
        check_format(home, &request.topic, asked, source).await?;
    }
    let format = match request.asked.format.or(before.map(|it| it.format)) {
        Some(format) => format,
        None => format_of(home, &request.topic, RecordPart::Value, source).await?.unwrap_or_default(),
    };
    let keys = keys::asked_for(home, request, before.and_then(|before| before.keys.as_ref()), source).await?;
    Ok(Settings {
        format,
        columns: columns.unwrap_or_default(),
        keys,
        metadata_columns: metadata_columns.unwrap_or(MetadataColumns::Portable),
        commit_interval_ms: interval.unwrap_or(request.commit_interval_default_ms),
        from,
        from_offsets,
        retention_ms: retention_ms.unwrap_or(RETENTION_MS_DEFAULT),
        evolution: request.asked.evolution.or(before.map(|it| it.evolution)).unwrap_or_default(),
        error_handling,
        dead_letters,
        letters_topic,
    })
}

/// The table goes on where its ledger stands, in the topic that the ledger knows (I4).
fn check_place(request: &Request, before: Option<StartFrom>, topic_id: TopicId, table: &TableMetadata) -> Result<()> {
    let job = request.table.ingest_job();
    let Some(text) = table.properties().get(&Ledger::property(&job)) else { return Ok(()) };
    // A ledger that cannot be read suspends the job, which says more.
    let Ok(mut ledger) = Ledger::from_text(text) else { return Ok(()) };
    let Some(TopicPositions { id, .. }) = ledger.positions.0.remove(&request.topic) else { return Ok(()) };
    let (table, topic) = (&request.table, &request.topic);
    if id != topic_id {
        return Err(Error::already_exists(format!(
            "table {table} was filled from another topic {topic}, which was deleted and made again since"
        ))
        .with_detail(format!("the topic was {id} and is {topic_id}: their offsets have nothing to do with each other"))
        .with_hint(format!(
            "fill another table: tableflow enable {topic} --table NAME; or delete this one first: tableflow disable {table} \
             --drop"
        )));
    }
    let (place, flag) = match request.asked.from {
        Some(StartFrom::Latest) => ("the latest record", "latest"),
        Some(StartFrom::Earliest) if before == Some(StartFrom::Latest) => ("the earliest record", "earliest"),
        _ => return Ok(()),
    };
    Err(Error::usage(format!("table {table} goes on where it stands in topic {topic}, not at {place}")).with_hint(
        format!("leave --from out, or start another table: tableflow enable {topic} --table NAME --from {flag}"),
    ))
}

/// I2.
async fn check_target(home: &Home, request: &Request) -> Result<()> {
    let plain = request.table.to_plain_string();
    // One that cannot be read is met when the new definition is put: by its own table, and by no other.
    for definition in home.definitions().look().await?.definitions {
        let other = definition.table.to_plain_string();
        let (namespace, known) = (request.table.namespace(), definition.table.namespace());
        if namespace != known && namespace.eq_ignore_ascii_case(known) {
            return Err(Error::usage(format!("namespace {namespace} differs only by case from {known}"))
                .with_detail("Athena and Spark cannot tell the two apart")
                .with_hint(format!("use --namespace {known}, or another name")));
        }
        if definition.wanted == Wanted::Disabled || !other.eq_ignore_ascii_case(&plain) {
            continue;
        }
        if other != plain {
            return Err(Error::usage(format!("{} differs only by case from {}", request.table, definition.table))
                .with_detail("Athena and Spark cannot tell the two apart")
                .with_hint("choose another name with --table"));
        }
        let filled_by = definition.topic;
        let hint = if filled_by == request.topic {
            format!("`tableflow update {other}` changes its settings; another table of the topic is made with --table")
        } else {
            "choose another table with --table or --namespace".to_owned()
        };
        return Err(
            Error::already_exists(format!("{} is filled by topic {filled_by} already", request.table)).with_hint(hint)
        );
    }
    Ok(())
}

async fn find_existing(home: &Home, request: &Request) -> Result<Option<LoadedTable>> {
    let table = match home.catalog.load_table(&request.table).await {
        Ok(table) => table,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if table.metadata.properties().contains_key(GROUP_PROPERTY) {
        return Err(Error::already_exists(format!("table {} is one of several that a fan-out fills", request.table))
            .with_detail("another job of its own would fill it with every record a second time")
            .with_hint("choose another table with --table or --namespace"));
    }
    if table.metadata.properties().get(TOPIC_PROPERTY).map(String::as_str) == Some(request.topic.as_str()) {
        return Ok(Some(table));
    }
    Err(Error::already_exists(format!("table {} exists and was not made from topic {}", request.table, request.topic))
        .with_hint("choose another table with --table or --namespace"))
}

impl Plan {
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
            mode: "append",
            format: self.settings.format,
            format_version: 2,
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
        let (request, uuid) = (self.request, table.metadata.uuid());
        let settings = Settings { keys: self.layout.keys, ..self.settings };
        let dead_letters = settings.make_dead_letters(home, &request.table, uuid).await?;
        let new = settings.into_definition(home, request, (self.topic_id, uuid));
        home.definitions().create(NewDefinition { dead_letters, ..new }).await
    }
}

impl Settings {
    fn asks_registry(&self) -> bool {
        self.format.has_schemas() || self.keys.as_ref().is_some_and(|keys| keys.format.has_schemas())
    }

    fn dlq_topic(&self) -> Option<String> {
        self.letters_topic.as_ref().map(|wanted| wanted.topic.to_string())
    }

    /// The table of dead letters and the topic of them, where there are to be.
    async fn make_dead_letters(&self, home: &Home, table: &TableName, uuid: Uuid) -> Result<Option<DeadLetters>> {
        let Some(letters) = &self.dead_letters else { return Ok(None) };
        let made = dead_letters::make(home, table, uuid, letters).await?;
        let topic = match self.letters_topic.clone() {
            Some(wanted) => Some(declared::make(home, wanted).await?),
            None => None,
        };
        Ok(Some(DeadLetters { topic, ..made }))
    }

    /// The definition of a table that has no dead letters, and of one topic.
    fn into_definition(self, home: &Home, request: Request, (topic_id, table_uuid): (TopicId, Uuid)) -> NewDefinition {
        NewDefinition {
            table: request.table,
            table_uuid,
            topic: request.topic,
            topic_id,
            keeper: home.topics.keeper(),
            registry: self.asks_registry().then(|| home.registry_name.clone()),
            format: self.format,
            columns: self.columns,
            keys: self.keys,
            metadata_columns: self.metadata_columns,
            commit_interval_ms: self.commit_interval_ms,
            from: self.from,
            from_offsets: self.from_offsets,
            retention_ms: self.retention_ms,
            evolution: self.evolution,
            error_handling: self.error_handling,
            dead_letters: None,
            fan_out: None,
            created_at: home.clock.now(),
        }
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
        properties: write_properties().chain(own).collect::<HashMap<String, String>>(),
        format_version: FormatVersion::V2,
    };
    home.catalog.create_table(table, creation).await
}
