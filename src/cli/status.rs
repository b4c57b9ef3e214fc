//! `list`, `status` and `describe`.

use std::io::Write;

use serde::Serialize;
use tableflow_lake::layout::arrow_schema;
use tableflow_model::{Result, types};

use super::args::{StatusArguments, TableArgument};
use super::session::Session;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::pipeline::definition::Definition;
use crate::pipeline::enable::ColumnSummary;
use crate::pipeline::progress::State;
use crate::pipeline::status::{TableStatus, status_of};

/// What a table shows of a status; the other formats have every field.
const SHOWN: [&str; 7] = ["table", "topic", "status", "rows_committed", "rows_buffered", "last_commit_at", "reason"];

#[derive(Debug, Serialize)]
struct Description {
    #[serde(flatten)]
    status: TableStatus,
    location: Option<String>,
    columns: Vec<ColumnSummary>,
    partition_by: Vec<String>,
    declared_columns: String,
    commit_interval_ms: u64,
    retention_ms: i64,
}

pub async fn list(session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let statuses = statuses(session, &session.enabled().await?).await?;
    output::documents(session.format, &statuses, &SHOWN, out)?;
    Ok(Exit::Done)
}

pub async fn status(arguments: &StatusArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let mut definitions = session.enabled().await?;
    let one = match &arguments.table {
        Some(reference) => Some(session.enabled_table(reference).await?),
        None => None,
    };
    definitions.retain(|definition| one.as_ref().is_none_or(|table| *table == definition.table));
    let statuses = statuses(session, &definitions).await?;
    match (statuses.as_slice(), &one) {
        ([status], Some(_)) => output::document(session.format, status, out)?,
        _ => output::documents(session.format, &statuses, &SHOWN, out)?,
    }
    let troubled = statuses.iter().any(|status| matches!(status.status, State::Degraded | State::Suspended));
    Ok(if arguments.check && troubled { Exit::Degraded } else { Exit::Done })
}

async fn statuses(session: &Session, definitions: &[Definition]) -> Result<Vec<TableStatus>> {
    let mut statuses = Vec::with_capacity(definitions.len());
    for definition in definitions {
        statuses.push(status_of(&session.home, definition).await?);
    }
    Ok(statuses)
}

pub async fn describe(arguments: &TableArgument, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let table = session.enabled_table(&arguments.table).await?;
    let definition = session.home.definitions().get(&table).await?;
    let status = status_of(&session.home, &definition).await?;
    let loaded = session.home.catalog.load_table(&table).await?;
    let metadata = &loaded.metadata;
    let arrow = arrow_schema(metadata.current_schema())?;
    let columns = arrow.fields().iter().map(|field| ColumnSummary {
        name: field.name().clone(),
        r#type: types::flink_type(field.data_type()),
        nullable: field.is_nullable(),
    });
    let spec = metadata.default_partition_spec();
    let partition_by = spec.fields().iter().map(|field| {
        let source = metadata.current_schema().name_by_field_id(field.source_id).unwrap_or("?");
        format!("{}({source})", field.transform)
    });
    let description = Description {
        status,
        location: Some(metadata.location().to_owned()),
        columns: columns.collect(),
        partition_by: partition_by.collect(),
        declared_columns: definition.columns,
        commit_interval_ms: definition.commit_interval_ms,
        retention_ms: definition.retention_ms,
    };
    let format = if session.format == Format::Table { Format::Yaml } else { session.format };
    output::document(format, &description, out)?;
    Ok(Exit::Done)
}
