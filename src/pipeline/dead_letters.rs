//! The table of a table's dead letters.
//!
//! Owns where it is and how it is made. What is in it is `tableflow_connectors::decode::dead_letters`'s matter, and
//! `epochs` keeps it in step with its table.
//! - I1: a table that holds something else is never taken over.

use std::collections::HashMap;

use iceberg::spec::FormatVersion;
use tableflow_catalog::{LoadedTable, TableCreation};
use tableflow_connectors::decode::dead_letters;
use tableflow_lake::layout::new_schema;
use tableflow_model::{Error, ErrorKind, Result, TableName};
use uuid::Uuid;

use super::enable::write_properties;
use crate::definition::{DeadLetters, Definition};
use crate::home::Home;

/// Says whose dead letters a table holds, by that table's uuid: another one of its name has its own.
const PROPERTY: &str = "tableflow.dead-letters-of";
const SUFFIX: &str = "__dlq";

/// Where the dead letters of a table go, unless it is said.
pub fn name_for(table: &TableName, asked: Option<&str>) -> Result<TableName> {
    match asked {
        Some(name) if name == table.name() => Err(Error::usage(format!("{table} cannot hold its own dead letters"))
            .with_hint(format!("name another table with --log-target, or none: they go into {name}{SUFFIX} then"))),
        Some(name) => match name.rsplit_once('.') {
            Some((_, last)) => Err(Error::usage(format!("--log-target {name} is a name with a dot"))
                .with_detail("dead letters lie in the namespace of their table")
                .with_hint(format!("--log-target {last}"))),
            None => TableName::new(table.namespace(), name),
        },
        None => TableName::new(table.namespace(), &format!("{}{SUFFIX}", table.name())),
    }
}

/// Looks whether the table can be made or taken over (I1), and makes nothing.
pub async fn check(home: &Home, table: &TableName, uuid: Option<Uuid>, letters: &TableName) -> Result<()> {
    find(home, table, uuid, letters).await.map(|_| ())
}

/// Makes the table of a table's dead letters, or takes over the one that it had.
pub async fn make(home: &Home, table: &TableName, uuid: Uuid, letters: &TableName) -> Result<DeadLetters> {
    let found = match find(home, table, Some(uuid), letters).await? {
        Some(found) => found,
        None => {
            let mut properties: HashMap<String, String> = write_properties().collect();
            properties.insert(PROPERTY.to_owned(), uuid.to_string());
            let creation = TableCreation {
                location: None,
                schema: new_schema(&dead_letters::fields())?,
                partition_spec: None,
                sort_order: None,
                properties,
                format_version: FormatVersion::V2,
            };
            home.catalog.create_table(letters, creation).await?
        }
    };
    Ok(DeadLetters { table: letters.clone(), table_uuid: found.metadata.uuid(), topic: None })
}

/// Whose dead letters a table holds, if it does.
pub fn group_of(letters: &LoadedTable) -> Option<Uuid> {
    letters.metadata.properties().get(PROPERTY)?.parse().ok()
}

async fn find(home: &Home, table: &TableName, uuid: Option<Uuid>, letters: &TableName) -> Result<Option<LoadedTable>> {
    let found = match home.catalog.load_table(letters).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    let of = found.metadata.properties().get(PROPERTY);
    if of.is_some() && of == uuid.map(|uuid| uuid.to_string()).as_ref() {
        return Ok(Some(found));
    }
    let what = match of {
        Some(_) => format!("table {letters} holds the dead letters of another table that was called {table}"),
        None => format!("table {letters} exists and holds no dead letters"),
    };
    Err(Error::already_exists(what).with_hint("choose another table for them with --log-target"))
}

/// What is to hold of an existing definition: a table keeps the dead letters that it has.
pub fn check_kept(definition: &Definition, asked: Option<&str>) -> Result<()> {
    let (Some(kept), Some(asked)) = (&definition.dead_letters, asked) else { return Ok(()) };
    if kept.table.name() == asked {
        return Ok(());
    }
    Err(Error::usage(format!("the dead letters of {} are in {} already", definition.table, kept.table))
        .with_hint("leave --log-target out: a table keeps them in one place"))
}
