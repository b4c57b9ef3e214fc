//! Which columns identify the rows of a table: those that may, and those that did when its job committed last.
//!
//! - I1: a job keeps one row of each key by the columns that it did so by before. Another engine may let a table's schema name
//!   others: rows that are there may then have several of one key, and a key that is deleted would be looked for in a
//!   column that it was never of. So a person is asked.
//! - I2: each commit says which they were, in a property of the table that stays when its snapshot is forgotten.

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

/// The table property with the ids of the columns.
const PROPERTY: &str = "tableflow.identified-by";

/// What a commit with this schema says (I2).
pub fn property(schema: &Schema) -> (String, String) {
    let ids: Vec<String> = key_ids(schema).iter().map(i32::to_string).collect();
    (PROPERTY.to_owned(), ids.join(","))
}

/// I1. A table that the job never committed to may be identified by anything.
pub fn check(table: &TableName, job: &JobName, metadata: &TableMetadata) -> Result<()> {
    let now = metadata.current_schema();
    let told = metadata.properties().get(PROPERTY).map(|ids| ids.split(',').filter_map(|id| id.parse().ok()).collect());
    // One that an earlier version committed to does not say it yet.
    let then: Option<Vec<i32>> = told.or_else(|| committed_with(metadata, &Ledger::property(job)).map(key_ids));
    match then {
        Some(then) if then != key_ids(now) => {
            Err(changed(table, &names(metadata, &then), &names(metadata, &key_ids(now))))
        }
        _ => Ok(()),
    }
}

/// What these columns are called, or were when they were there.
fn names(table: &TableMetadata, ids: &[i32]) -> Vec<String> {
    let schemas = || std::iter::once(table.current_schema()).chain(table.schemas_iter());
    let name = |id: &i32| schemas().find_map(|schema| schema.name_by_field_id(*id)).map(str::to_owned);
    ids.iter().map(|id| name(id).unwrap_or_else(|| id.to_string())).collect()
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
