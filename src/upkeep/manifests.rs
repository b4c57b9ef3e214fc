//! Manifests become fewer.

use serde::Serialize;
use tableflow_lake::commit::manifests_of;
use tableflow_model::{Result, TableName};

use super::run::run;
use super::step::Task;
use crate::home::Home;

/// Commits join manifests by themselves, to fewer than this: others may have left more.
const DUE_MIN: usize = 100;

/// What became of a table's manifests.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub table: String,
    pub manifests_before: u64,
    pub manifests_after: u64,
}

/// As few as they can be.
pub async fn rewrite_manifests(home: &Home, table: &TableName) -> Result<Report> {
    let there = count(home, table).await? as u64;
    let (before, after) = run(home, table, [Task::Manifests]).await?.manifests.unwrap_or((there, there));
    Ok(Report { table: table.to_plain_string(), manifests_before: before, manifests_after: after })
}

/// Whether they are so many that it is worth it.
pub async fn are_many(home: &Home, table: &TableName) -> Result<bool> {
    Ok(count(home, table).await? >= DUE_MIN)
}

async fn count(home: &Home, table: &TableName) -> Result<usize> {
    let metadata = home.catalog.load_table(table).await?.metadata;
    match metadata.current_snapshot() {
        None => Ok(0),
        Some(snapshot) => Ok(manifests_of(&home.store, &metadata, snapshot).await?.len()),
    }
}
