//! Which files a condition reads.
//!
//! Owns [`files_with`]: what a query with this condition would open is what the planner says, by the same pruning.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use tableflow_model::{Error, Result, TableName};

use super::session::QuerySession;
use crate::home::Home;

/// The files of a table that may have rows for which the condition is true, by their paths in the store.
pub async fn files_with(home: &Home, table: &TableName, condition: &str, memory: u64) -> Result<HashSet<String>> {
    let sql = format!("SELECT 1 FROM {table} WHERE {condition}");
    let planned = QuerySession::new(home.clone(), memory).physical_plan(&sql).await;
    let plan = planned.map_err(|error| refused(table, condition, &error))?;
    let mut files = HashSet::new();
    collect(&plan, &mut files);
    Ok(files)
}

/// Of the statement around their condition a person knows nothing.
fn refused(table: &TableName, condition: &str, error: &Error) -> Error {
    let error_detail = error.detail().map_or_else(|| error.to_string(), str::to_owned);
    Error::usage(format!("--where {condition:?} is no condition on {table}"))
        .with_detail(error_detail)
        .with_hint(format!("`tableflow describe {table}` shows its columns"))
}

fn collect(plan: &Arc<dyn ExecutionPlan>, files: &mut HashSet<String>) {
    let source = plan.as_any().downcast_ref::<DataSourceExec>();
    let config = source.and_then(|source| source.data_source().as_any().downcast_ref::<FileScanConfig>());
    let groups = config.iter().flat_map(|config| &config.file_groups);
    files.extend(groups.flat_map(|group| group.iter()).map(|file| file.object_meta.location.to_string()));
    plan.children().into_iter().for_each(|child| collect(child, files));
}
