//! Which columns identify the rows of a table: those that may, and those that did when its job committed last.
//!
//! - I1: a job keeps one row of each key by the columns that it did so by before. Another engine may let a table's schema name
//!   others: rows that are there may then have several of one key, and a key that is deleted would be looked for in a
//!   column that it was never of. So a person is asked.

use iceberg::spec::{Schema, SnapshotRef, TableMetadata};
use tableflow_connectors::decode::MetadataColumns;
use tableflow_lake::layout::key_ids;
use tableflow_model::protocol::Ledger;
use tableflow_model::{Error, JobName, Result, TableName};

/// Whether these columns are the records' key as it is. Others that say where a record came from identify no row.
pub fn are_the_records(columns: &[String], metadata: MetadataColumns) -> Result<bool> {
    if columns.iter().map(Some).eq([metadata.key_column().as_ref()]) {
        return Ok(true);
    }
    match columns.iter().find(|name| metadata.reserves(name).is_some()) {
        Some(name) => Err(Error::usage(format!("rows cannot be identified by column {name}"))
            .with_detail("it says where a record came from; of those columns the key alone may be one, by itself")
            .with_hint("name columns of the records with --key")),
        None => Ok(false),
    }
}

/// I1. A table that the job never committed to may be identified by anything.
pub fn check(table: &TableName, job: &JobName, metadata: &TableMetadata) -> Result<()> {
    let now = metadata.current_schema();
    match committed_with(metadata, &Ledger::property(job)) {
        Some(then) if key_ids(then) != key_ids(now) => Err(changed(table, &names(then), &names(now))),
        _ => Ok(()),
    }
}

fn names(schema: &Schema) -> Vec<String> {
    key_ids(schema).iter().filter_map(|id| schema.name_by_field_id(*id)).map(str::to_owned).collect()
}

/// The schema of the last commit that moved the ledger.
fn committed_with<'t>(metadata: &'t TableMetadata, ledger: &str) -> Option<&'t Schema> {
    let parent = |snapshot: &&'t SnapshotRef| metadata.snapshot_by_id(snapshot.parent_snapshot_id()?);
    let mut newest = std::iter::successors(metadata.current_snapshot(), parent);
    let own = newest.find(|snapshot| snapshot.summary().additional_properties.contains_key(ledger))?;
    metadata.schema_by_id(own.schema_id()?).map(AsRef::as_ref)
}

fn changed(table: &TableName, then: &[String], now: &[String]) -> Error {
    let (table, words) = (table.to_plain_string(), then.join(", "));
    let now_words = if now.is_empty() { "nothing".to_owned() } else { now.join(", ") };
    let key = if now.is_empty() { then.join(",") } else { now.join(",") };
    Error::data(format!("rows of table {table} are identified by {now_words}, and were by {words}"))
        .with_detail("another engine changed the identifier fields of its schema: rows that are there may have several of one key")
        .with_hint(format!(
            "let {words} identify them again where that was changed; or, to go on with the rows that are there: tableflow update {table} --mode append, and once that is made --mode upsert --key {key}"
        ))
}
