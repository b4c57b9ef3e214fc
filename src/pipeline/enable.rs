//! A topic becomes a table.
//!
//! Owns [`Request`] (what was asked for) and [`Plan`] (what will be made). Planning validates everything and
//! changes nothing; making the table and putting its definition follow.
//! - I1: nothing is made unless everything can be: names, columns, partitioning, sorting, the topic.
//! - I2: two topics never fill one table, and two tables never differ by case only.
//! - I3: a crash between making the table and putting the definition leaves an empty table that the same
//!   `enable` takes over.

use std::collections::HashMap;

use arrow::datatypes::{Field, Fields};
use iceberg::spec::{FormatVersion, Schema, SortOrder, UnboundPartitionSpec};
use serde::Serialize;
use tableflow_catalog::{LoadedTable, Properties, TableCreation};
use tableflow_connectors::decode::{Decoder, JsonDecoder, MetadataColumns};
use tableflow_lake::layout::{arrow_schema, new_schema, parse_partition_by, parse_sort_by};
use tableflow_model::{Error, ErrorKind, Result, Source, TableName, TopicName, types};

use super::definition::{Definition, NewDefinition, StartFrom, Wanted, declared_columns};
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
    topic_id: tableflow_model::TopicId,
    schema: Schema,
    partition_spec: UnboundPartitionSpec,
    sort_order: SortOrder,
    /// A table of an earlier try or of a disabled definition, to be taken over.
    existing: Option<LoadedTable>,
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
pub async fn plan(home: &Home, request: Request) -> Result<Plan> {
    let mut source = home.source(&request.topic)?;
    let topic_id = source.topic_id()?;
    check_target(home, &request).await?;
    let existing = find_existing(home, &request).await?;
    let schema = match &existing {
        Some(table) => table.metadata.current_schema().as_ref().clone(),
        None => new_schema(&columns(source.as_mut(), &request)?)?,
    };
    let partition_spec = parse_partition_by(&request.partition_by, &schema)?;
    partition_spec.clone().bind(schema.clone()).map_err(|error| {
        Error::usage("the partition columns do not fit together").with_detail(error.message().to_owned())
    })?;
    let sort_order = parse_sort_by(&request.sort_by, &schema)?;
    Ok(Plan { request, topic_id, schema, partition_spec, sort_order, existing })
}

/// The columns the table starts with: declared ones, those that the first records show, where rows come from.
fn columns(source: &mut dyn Source, request: &Request) -> Result<Fields> {
    let declared = declared_columns(&request.columns)?;
    let mut decoder = JsonDecoder::new(&declared, &arrow::datatypes::Schema::empty())?;
    let starts = source.ranges()?.into_iter().map(|(partition, range)| (partition, range.start)).collect();
    source.seek(&starts)?;
    for records in source.poll(SAMPLE_BYTES)? {
        // A record that does not decode is the running job's matter: it says where and why.
        decoder.decode(&records);
    }
    let metadata = request.metadata_columns.fields();
    let columns: Fields = decoder.schema().fields().iter().cloned().chain(metadata).collect();
    if columns.is_empty() {
        return Err(Error::usage(format!("topic {} has no records yet and no columns were declared", request.topic))
            .with_hint("declare them: --columns \"id BIGINT\", or produce a record first"));
    }
    Ok(columns)
}

/// I2.
async fn check_target(home: &Home, request: &Request) -> Result<()> {
    let plain = request.table.to_plain_string();
    for definition in home.definitions().list().await? {
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

impl Plan {
    pub fn summary(&self) -> Result<PlanSummary> {
        let arrow = arrow_schema(&self.schema)?;
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
            partition_by: self.request.partition_by.clone(),
            sort_by: self.request.sort_by.clone(),
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
            schema: self.schema.clone(),
            partition_spec: Some(self.partition_spec.clone()),
            sort_order: Some(self.sort_order.clone()),
            properties,
            format_version: FormatVersion::V2,
        };
        home.catalog.create_table(&self.request.table, creation).await
    }
}
