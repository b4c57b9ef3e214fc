//! A topic becomes a table.
//!
//! Owns [`Request`] (what was asked for) and [`Plan`] (what will be made). Planning validates everything and
//! changes nothing; making the table and putting its definition follow.
//! - I1: nothing is made unless everything can be: names, columns, partitioning, sorting, the topic.
//! - I2: two topics never fill one table, and two tables never differ by case only.
//! - I3: a crash between making the table and putting the definition leaves an empty table that the same
//!   `enable` takes over.
//! - I4: a table that exists keeps its columns, partitioning, order and place in its topic; what is asked for and
//!   differs is refused. What is not asked for is as the table has it.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::{Field, Fields};
use iceberg::spec::{FormatVersion, PartitionSpec, Schema, SortOrder, TableMetadata, Transform};
use serde::Serialize;
use tableflow_catalog::{LoadedTable, Properties, TableCreation};
use tableflow_connectors::decode::{Decoder, JsonDecoder, MetadataColumns, RESERVED_PREFIX, RecordError, Remedy};
use tableflow_lake::layout::{
    arrow_schema, evolve, new_schema, parse_partition_by, parse_sort_by, partition_text, sort_text,
};
use tableflow_model::protocol::{Ledger, TopicPositions};
use tableflow_model::{
    Error, ErrorKind, Offset, Partition, Records, Result, Source, TableName, TopicId, TopicName, types,
};

use super::definition::{Definition, NewDefinition, StartFrom, Wanted, declared_columns};
use super::staging::decoder_for;
use crate::home::Home;

/// Records looked at to infer columns when the table is made; more columns may come later.
const SAMPLE_BYTES: usize = 4 * 1024 * 1024;

/// The table property that says which topic fills it.
const TOPIC_PROPERTY: &str = "tableflow.topic";

/// How many old metadata files stay: enough for a reader that opened one.
const METADATA_VERSIONS_KEPT: u32 = 10;

/// What a person asked for, names checked, nothing looked up.
#[derive(Clone, Debug)]
pub struct Request {
    pub topic: TopicName,
    pub table: TableName,
    pub columns: String,
    pub partition_by: String,
    pub sort_by: String,
    pub metadata_columns: MetadataColumns,
    pub commit_interval_ms: u64,
    pub from: StartFrom,
    pub retention_ms: i64,
}

/// What will be made.
#[derive(Debug)]
pub struct Plan {
    request: Request,
    topic_id: TopicId,
    /// Where `latest` is.
    from_offsets: Option<BTreeMap<Partition, Offset>>,
    layout: Layout,
    /// A table of an earlier try or of a disabled definition, to be taken over.
    existing: Option<LoadedTable>,
}

/// What a table is made of, or will be once its first rows are in.
#[derive(Debug)]
struct Layout {
    schema: Schema,
    partition_spec: PartitionSpec,
    sort_order: SortOrder,
}

/// A plan as people and scripts see it.
#[derive(Debug, Serialize)]
pub struct PlanSummary {
    pub topic: String,
    pub table: String,
    pub mode: &'static str,
    pub format_version: u8,
    pub columns: Vec<ColumnSummary>,
    pub partition_by: String,
    pub sort_by: String,
    pub commit_interval_ms: u64,
    pub exists: bool,
}

#[derive(Debug, Serialize)]
pub struct ColumnSummary {
    pub name: String,
    pub r#type: String,
    pub nullable: bool,
}

/// Validates a request against what is there (I1).
pub async fn plan(home: &Home, mut request: Request) -> Result<Plan> {
    let mut source = home.source(&request.topic)?;
    let topic_id = source.topic_id()?;
    check_target(home, &request).await?;
    let existing = find_existing(home, &request).await?;
    let layout = match &existing {
        Some(table) => {
            if request.columns.is_empty() {
                request.columns = columns_before(home, &request.table, table).await?;
            }
            check_place(&request, topic_id, &table.metadata)?;
            existing_layout(&request, &table.metadata)?
        }
        None => new_layout(source.as_mut(), &request)?,
    };
    let from_offsets = match request.from {
        StartFrom::Earliest => None,
        StartFrom::Latest => {
            Some(source.ranges()?.into_iter().map(|(partition, range)| (partition, range.end)).collect())
        }
    };
    Ok(Plan { request, topic_id, from_offsets, layout, existing })
}

fn new_layout(source: &mut dyn Source, request: &Request) -> Result<Layout> {
    let schema = new_schema(&columns(source, request, Vec::new())?)?;
    let partition_fields = parse_partition_by(&request.partition_by, &schema)?;
    let own_names = partition_fields.fields().iter().filter(|field| field.transform != Transform::Identity);
    let taken: Vec<String> = own_names.map(|field| field.name.clone()).collect();
    let schema = match taken.iter().any(|name| schema.field_by_name(name).is_some()) {
        // The record with that name is the running job's matter too.
        true => new_schema(&columns(source, request, taken)?)?,
        false => schema,
    };
    let partition_spec = partition_spec(&request.partition_by, &schema)?;
    let sort_order = parse_sort_by(&request.sort_by, &schema)?;
    Ok(Layout { schema, partition_spec, sort_order })
}

fn partition_spec(text: &str, schema: &Schema) -> Result<PartitionSpec> {
    parse_partition_by(text, schema)?.bind(schema.clone()).map_err(|error| {
        Error::usage("the partition columns do not fit together").with_detail(error.message().to_owned())
    })
}

/// What was declared when the table was last enabled.
async fn columns_before(home: &Home, name: &TableName, table: &LoadedTable) -> Result<String> {
    let before = home.definitions().find(name).await?;
    let same = before.filter(|before| before.table_uuid == table.metadata.uuid());
    Ok(same.map(|before| before.columns).unwrap_or_default())
}

/// The layout of a table that exists, which the request must not contradict (I4).
fn existing_layout(request: &Request, table: &TableMetadata) -> Result<Layout> {
    let decoder = decoder_for(&request.columns, table)?;
    let known = arrow_schema(table.current_schema())?;
    for column in declared_columns(&request.columns)? {
        let nullable = known.field_with_name(column.name()).is_ok_and(Field::is_nullable);
        if nullable && !column.is_nullable() {
            let name = types::flink_name(column.name());
            return Err(Error::usage(format!("column {name} is declared NOT NULL, but the table has rows without it"))
                .with_detail("a column stays as it was made")
                .with_hint("declare it without NOT NULL, or enable the topic into another table with --table"));
        }
    }
    let metadata = request.metadata_columns.fields();
    let has_metadata = known.fields().iter().any(|field| field.name().starts_with(RESERVED_PREFIX));
    if request.metadata_columns == MetadataColumns::None && has_metadata {
        return Err(differs(request, "--metadata-columns", "none", "portable"));
    }
    let columns: Fields = decoder.schema().fields().iter().cloned().chain(metadata).collect();
    let schema = match evolve(table.current_schema(), table.last_column_id(), &columns)? {
        Some(evolution) => evolution.schema,
        None => table.current_schema().as_ref().clone(),
    };
    let layout = Layout {
        partition_spec: table.default_partition_spec().as_ref().clone(),
        sort_order: table.default_sort_order().as_ref().clone(),
        schema,
    };
    check_layout(request, &layout)?;
    Ok(layout)
}

fn check_layout(request: &Request, layout: &Layout) -> Result<()> {
    let asked_spec = partition_spec(&request.partition_by, &layout.schema)?;
    let parts = |spec: &PartitionSpec| -> Vec<_> {
        spec.fields().iter().map(|field| (field.source_id, field.transform)).collect()
    };
    if !request.partition_by.trim().is_empty() && parts(&asked_spec) != parts(&layout.partition_spec) {
        return Err(differs(request, "--partition-by", &request.partition_by, &layout.partition_by()));
    }
    let asked_order = parse_sort_by(&request.sort_by, &layout.schema)?;
    if !request.sort_by.trim().is_empty() && asked_order.fields != layout.sort_order.fields {
        return Err(differs(request, "--sort-by", &request.sort_by, &layout.sort_by()));
    }
    Ok(())
}

fn differs(request: &Request, flag: &str, asked: &str, has: &str) -> Error {
    let has = if has.is_empty() { "none" } else { has };
    Error::usage(format!("table {} exists, and {flag} {asked} is not what it has: {has}", request.table))
        .with_detail("a table keeps the layout that it was made with")
        .with_hint(format!(
            "leave {flag} out to fill the table as it is, or make another one: tableflow enable {} --table NAME",
            request.topic
        ))
}

/// The table goes on where its ledger stands, in the topic that the ledger knows (I4).
fn check_place(request: &Request, topic_id: TopicId, table: &TableMetadata) -> Result<()> {
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
    if request.from == StartFrom::Latest {
        return Err(Error::usage(format!(
            "table {table} goes on where it stands in topic {topic}, not at the latest record"
        ))
        .with_hint(format!(
            "leave --from out, or start another table: tableflow enable {topic} --table NAME --from latest"
        )));
    }
    Ok(())
}

/// The columns the table starts with: declared ones, those that the first records show, where rows come from. None has
/// a name that is taken.
fn columns(source: &mut dyn Source, request: &Request, taken: Vec<String>) -> Result<Fields> {
    let declared = declared_columns(&request.columns)?;
    let nothing = arrow::datatypes::Schema::empty();
    let mut decoder = JsonDecoder::new(&declared, &nothing)?.keep_clear_of(taken, &nothing)?;
    let starts = source.ranges()?.into_iter().map(|(partition, range)| (partition, range.start)).collect();
    source.seek(&starts)?;
    let mut failure = None;
    for records in source.poll(SAMPLE_BYTES)? {
        let failed = decoder.decode(&records).failure;
        failure = failure.or(failed.map(|failed| undecodable(request, &records, failed)));
    }
    // Behind records that do it is the running job's matter: it says where and why.
    let nothing_known = decoder.schema().fields().is_empty() && request.from == StartFrom::Earliest;
    if let Some(failure) = failure.filter(|_| nothing_known) {
        return Err(failure);
    }
    let metadata = request.metadata_columns.fields();
    let columns: Fields = decoder.schema().fields().iter().cloned().chain(metadata).collect();
    if columns.is_empty() {
        return Err(Error::usage(format!("topic {} has no records yet and no columns were declared", request.topic))
            .with_hint("declare them: --columns \"id BIGINT\", or produce a record first"));
    }
    Ok(columns)
}

fn undecodable(request: &Request, records: &Records, failure: RecordError) -> Error {
    let offset = records.offsets.get(failure.row).copied().unwrap_or_default();
    let what =
        format!("record {offset} of partition {} of topic {} cannot be decoded", records.partition, request.topic);
    let hint = match failure.remedy {
        Remedy::Declare(column) => {
            format!("declare a column that takes it: --columns \"{}\"", types::flink_column(&column))
        }
        Remedy::Produce(words) => format!("{words}; --from latest begins behind what is there"),
    };
    Error::data(what).with_detail(failure.message).with_hint(hint)
}

/// I2.
async fn check_target(home: &Home, request: &Request) -> Result<()> {
    let plain = request.table.to_plain_string();
    // One that cannot be read is met when the new definition is put: by its own table, and by no other.
    for definition in home.definitions().look().await?.definitions {
        let other = definition.table.to_plain_string();
        if definition.wanted == Wanted::Disabled || !other.eq_ignore_ascii_case(&plain) {
            continue;
        }
        if other != plain {
            return Err(Error::usage(format!("{} differs only by case from {}", request.table, definition.table))
                .with_detail("Athena and Spark cannot tell the two apart")
                .with_hint("choose another name with --table"));
        }
        let filled_by = definition.topic;
        return Err(Error::already_exists(format!("{} is filled by topic {filled_by} already", request.table))
            .with_hint("choose another table with --table or --namespace"));
    }
    Ok(())
}

async fn find_existing(home: &Home, request: &Request) -> Result<Option<LoadedTable>> {
    let table = match home.catalog.load_table(&request.table).await {
        Ok(table) => table,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if table.metadata.properties().get(TOPIC_PROPERTY).map(String::as_str) == Some(request.topic.as_str()) {
        return Ok(Some(table));
    }
    Err(Error::already_exists(format!("table {} exists and was not made from topic {}", request.table, request.topic))
        .with_hint("choose another table with --table or --namespace"))
}

impl Layout {
    fn partition_by(&self) -> String {
        partition_text(self.partition_spec.fields(), &self.schema)
    }

    fn sort_by(&self) -> String {
        sort_text(&self.sort_order, &self.schema)
    }
}

impl Plan {
    pub fn summary(&self) -> Result<PlanSummary> {
        let arrow = arrow_schema(&self.layout.schema)?;
        let column = |field: &std::sync::Arc<Field>| ColumnSummary {
            name: field.name().clone(),
            r#type: types::flink_type(field.data_type()),
            nullable: field.is_nullable(),
        };
        Ok(PlanSummary {
            topic: self.request.topic.to_string(),
            table: self.request.table.to_plain_string(),
            mode: "append",
            format_version: 2,
            columns: arrow.fields().iter().map(column).collect(),
            partition_by: self.layout.partition_by(),
            sort_by: self.layout.sort_by(),
            commit_interval_ms: self.request.commit_interval_ms,
            exists: self.existing.is_some(),
        })
    }

    /// Makes the table and puts the definition.
    pub async fn carry_out(self, home: &Home) -> Result<Definition> {
        let table = match &self.existing {
            Some(table) => table.clone(),
            None => self.make_table(home).await?,
        };
        let request = self.request;
        let new = NewDefinition {
            table: request.table,
            table_uuid: table.metadata.uuid(),
            topic: request.topic,
            topic_id: self.topic_id,
            columns: request.columns,
            metadata_columns: request.metadata_columns,
            commit_interval_ms: request.commit_interval_ms,
            from: request.from,
            from_offsets: self.from_offsets,
            retention_ms: request.retention_ms,
            created_at: home.clock.now(),
        };
        home.definitions().create(new).await
    }

    async fn make_table(&self, home: &Home) -> Result<LoadedTable> {
        let namespace = self.request.table.namespace();
        match home.catalog.create_namespace(namespace, &Properties::new()).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let properties = HashMap::from([
            (TOPIC_PROPERTY.to_owned(), self.request.topic.to_string()),
            ("write.parquet.compression-codec".to_owned(), "zstd".to_owned()),
            ("write.parquet.compression-level".to_owned(), "1".to_owned()),
            ("write.metadata.previous-versions-max".to_owned(), METADATA_VERSIONS_KEPT.to_string()),
            ("write.metadata.delete-after-commit.enabled".to_owned(), "true".to_owned()),
        ]);
        let creation = TableCreation {
            location: None,
            schema: self.layout.schema.clone(),
            partition_spec: Some(self.layout.partition_spec.clone().into_unbound()),
            sort_order: Some(self.layout.sort_order.clone()),
            properties,
            format_version: FormatVersion::V2,
        };
        home.catalog.create_table(&self.request.table, creation).await
    }
}
