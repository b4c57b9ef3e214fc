//! `list`, `status` and `describe`.

use std::io::Write;

use futures::stream::{self, StreamExt, TryStreamExt};
use iceberg::spec::TableMetadata;
use serde::Serialize;
use tableflow_connectors::decode::{Evolution, MetadataColumns, Unavailable};
use tableflow_lake::layout::{arrow_schema, key_ids, latest_by, partition_text, sort_text};
use tableflow_model::Result;

use super::args::{ListArguments, StatusArguments, TableArgument};
use super::session::Session;
use crate::definition::{self, Deletes, ErrorHandling, Listing, Upsert};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::pipeline::enable::{Asked, ColumnSummary};
use crate::pipeline::progress::State;
use crate::pipeline::status::{OneOfSeveral, TableStatus, status_of};

/// So many tables are asked about at a time.
const SIDE_BY_SIDE: usize = 32;

/// What a table shows of a status; the other formats have every field.
const SHOWN: [&str; 10] = [
    "table",
    "topic",
    "status",
    "rows_committed",
    "rows_buffered",
    "lag",
    "freshness_ms",
    "last_commit_at",
    "diverged",
    "reason",
];

/// And of what is zero in most tables, where it is not in one of these.
fn shown(statuses: &[TableStatus]) -> Vec<&'static str> {
    let mut shown = SHOWN.to_vec();
    if statuses.iter().any(|status| status.rows_skipped > 0) {
        shown.push("rows_skipped");
    }
    if statuses.iter().any(|status| status.changes_left_out > Some(0)) {
        shown.push("changes_left_out");
    }
    if statuses.iter().any(|status| status.rows_dead_lettered > 0) {
        shown.push("rows_dead_lettered");
    }
    shown
}

/// What a table is made of. Of several, each has its own: `describe` names them.
#[derive(Debug, Default, Serialize)]
struct Shape {
    location: Option<String>,
    columns: Vec<ColumnSummary>,
    /// Those that identify rows.
    key: Vec<String>,
    /// The column that tells which row of a key is the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_by: Option<String>,
    partition_by: String,
    sort_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fan_out: Option<String>,
}

impl Shape {
    fn of(metadata: &TableMetadata) -> Result<Self> {
        let schema = metadata.current_schema();
        Ok(Shape {
            location: Some(metadata.location().to_owned()),
            columns: arrow_schema(schema)?.fields().iter().map(ColumnSummary::of).collect(),
            key: key_ids(schema).iter().filter_map(|id| schema.name_by_field_id(*id)).map(str::to_owned).collect(),
            latest_by: latest_by(metadata)?,
            partition_by: partition_text(metadata.default_partition_spec().fields(), schema),
            sort_by: sort_text(metadata.default_sort_order(), schema),
            fan_out: None,
        })
    }
}

#[derive(Debug, Serialize)]
struct Description {
    #[serde(flatten)]
    status: TableStatus,
    #[serde(flatten)]
    shape: Shape,
    format: definition::Format,
    /// What is around the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<definition::Envelope>,
    /// Absent where every record is a row, as is the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    delete: Option<Deletes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unavailable_value_placeholder: Option<String>,
    declared_columns: String,
    key_format: Option<definition::Format>,
    /// Those of the columns that keys fill.
    key_columns: Vec<String>,
    declared_key_columns: String,
    error_handling: ErrorHandling,
    /// The table of the records that could not be decoded.
    dead_letters: Option<String>,
    metadata_columns: MetadataColumns,
    evolution: Evolution,
    commit_interval_ms: u64,
    retention_ms: i64,
    /// Absent where rows stay for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_retention_ms: Option<i64>,
    /// What of it was declared.
    compaction: definition::CompactionPolicy,
}

#[derive(Debug, Serialize)]
struct PatternDocument {
    pattern: String,
    namespace: String,
    /// The tables of the topics that it matches.
    tables: Vec<String>,
    asked: Asked,
}

pub async fn list(arguments: &ListArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    if arguments.patterns {
        return patterns(session, out).await;
    }
    let statuses = all(session).await?;
    match session.format {
        Format::Table => {
            let columns = shown(&statuses);
            let lines: Vec<Line> = statuses.iter().flat_map(Line::of).collect();
            output::documents(Format::Table, &lines, &columns, out)?;
        }
        format => output::documents(format, &statuses, &[], out)?,
    }
    Ok(Exit::Done)
}

/// For people a table of a fan-out is a table: it has a line of its own, below that of all.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Table(&'a TableStatus),
    OneOfSeveral { table: &'a str, topic: &'a str, status: State, rows_committed: u64 },
}

impl<'a> Line<'a> {
    fn of(status: &'a TableStatus) -> Vec<Self> {
        let one = |it: &'a OneOfSeveral| Line::OneOfSeveral {
            table: &it.table,
            topic: &status.topic,
            status: status.status,
            rows_committed: it.rows_committed,
        };
        std::iter::once(Line::Table(status)).chain(status.tables.iter().map(one)).collect()
    }
}

async fn patterns(session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let tables = session.enabled().await?.definitions;
    let mut documents = Vec::new();
    for pattern in session.home.patterns().in_force().await? {
        let matcher = pattern.matcher()?;
        let matched = tables.iter().filter(|definition| matcher.matches(&definition.topic));
        documents.push(PatternDocument {
            tables: matched.map(|definition| definition.table.to_plain_string()).collect(),
            pattern: pattern.regex,
            namespace: pattern.namespace,
            asked: pattern.asked,
        });
    }
    if documents.is_empty() {
        session.remark("no pattern is declared here; `tableflow enable --match REGEX` declares one");
    }
    output::documents(session.format, &documents, &["pattern", "namespace", "tables"], out)?;
    Ok(Exit::Done)
}

pub async fn status(arguments: &StatusArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let statuses = match &arguments.table {
        Some(reference) => {
            let table = session.enabled_table(reference).await?;
            let status = status_of(&session.home, &session.home.definitions().get(&table).await?).await?;
            output::document(session.format, &status, out)?;
            vec![status]
        }
        None => {
            let statuses = all(session).await?;
            output::documents(session.format, &statuses, &shown(&statuses), out)?;
            statuses
        }
    };
    let troubled = statuses.iter().any(|status| matches!(status.status, State::Degraded | State::Suspended));
    Ok(if arguments.check && troubled { Exit::Degraded } else { Exit::Done })
}

async fn all(session: &Session) -> Result<Vec<TableStatus>> {
    let Listing { definitions, unreadable } = session.enabled().await?;
    let mut statuses: Vec<_> = unreadable.iter().map(TableStatus::unreadable).collect();
    let asked = stream::iter(&definitions).map(|definition| status_of(&session.home, definition));
    statuses.extend(asked.buffered(SIDE_BY_SIDE).try_collect::<Vec<_>>().await?);
    if statuses.is_empty() {
        session.remark_on_no_tables();
    }
    statuses.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(statuses)
}

pub async fn describe(arguments: &TableArgument, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let table = session.enabled_table(&arguments.table).await?;
    let definition = session.home.definitions().get(&table).await?;
    let status = status_of(&session.home, &definition).await?;
    let shape = match &definition.fan_out {
        Some(fan_out) => Shape {
            fan_out: Some(fan_out.by.to_string()),
            partition_by: fan_out.partition_by.clone(),
            sort_by: fan_out.sort_by.clone(),
            ..Shape::default()
        },
        None => Shape::of(&session.home.catalog.load_table(&table).await?.metadata)?,
    };
    let keys = definition.keys;
    let placeholder = |upsert: Upsert| upsert.unavailable_value.unwrap_or_else(|| Unavailable::WORD_DEFAULT.to_owned());
    let description = Description {
        status,
        shape,
        format: definition.format,
        envelope: definition.envelope,
        delete: definition.upsert.as_ref().map(|upsert| upsert.deletes),
        unavailable_value_placeholder: definition.upsert.map(placeholder),
        declared_columns: definition.columns,
        key_format: keys.as_ref().map(|keys| keys.format),
        key_columns: keys.as_ref().map(|keys| keys.own.clone()).unwrap_or_default(),
        declared_key_columns: keys.map(|keys| keys.columns).unwrap_or_default(),
        error_handling: definition.error_handling,
        dead_letters: definition.dead_letters.map(|letters| letters.table.to_plain_string()),
        metadata_columns: definition.metadata_columns,
        evolution: definition.evolution,
        commit_interval_ms: definition.commit_interval_ms,
        retention_ms: definition.retention_ms,
        data_retention_ms: definition.data_retention_ms,
        compaction: definition.compaction,
    };
    output::document(session.format, &description, out)?;
    Ok(Exit::Done)
}
