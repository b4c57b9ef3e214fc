//! Rows that go: too old for their table, or erased because somebody asks for it.
//!
//! - I1: a row is as old as its record; how long rows stay is said for a table, and is kept to within a hundredth.
//! - I2: what is erased is in no snapshot that is left, and its files are nobody's: they go a day later, as all do.

use datafusion::scalar::ScalarValue;
use iceberg::spec::TableMetadata;
use serde::Serialize;
use tableflow_connectors::decode::MetadataColumns;
use tableflow_lake::commit::Retention;
use tableflow_lake::layout::{arrow_schema, key_ids};
use tableflow_lake::removal::Which;
use tableflow_model::protocol::garbage::AGE_MIN_MS;
use tableflow_model::types::flink_name;
use tableflow_model::{Error, Result, TableName};

use super::run::run;
use super::step::Task;
use super::{expiry, vacuum};
use crate::home::Home;
use crate::output::rfc3339;

/// I1.
const STEPS: i64 = 100;
const STEP_MAX_MS: i64 = 60 * 60 * 1000;

/// What an erasure did.
#[derive(Clone, Debug, Serialize)]
pub struct Erased {
    pub table: String,
    pub rows_erased: u64,
    /// Data files that had them, also as rows that were deleted before.
    pub files_rewritten: u64,
    pub snapshots_forgotten: u64,
    /// Beside the newest one: branches, tags and consumers keep them, and what they hold.
    pub snapshots_kept: u64,
    /// From then on the next `vacuum`, or the service, deletes the files.
    pub files_go_after: Option<String>,
}

/// Rows that came so long ago go. How many went.
pub async fn remove_aged(home: &Home, table: &TableName, max_age_ms: i64) -> Result<u64> {
    let metadata = home.catalog.load_table(table).await?.metadata;
    let (column, data_type) = column_of_time(table, &metadata)?;
    let step = (max_age_ms / STEPS).clamp(1, STEP_MAX_MS);
    let before = home.clock.now().0.saturating_sub(max_age_ms).div_euclid(step) * step;
    let value = ScalarValue::TimestampMillisecond(Some(before), None).cast_to(&data_type);
    let value = value.map_err(|error| Error::internal("a time has no such form").with_source(error))?;
    Ok(run(home, table, [Task::Remove(Which::Before { column, value })]).await?.rows_removed)
}

/// The column that says when a row's record was produced.
fn column_of_time(table: &TableName, metadata: &TableMetadata) -> Result<(i32, arrow::datatypes::DataType)> {
    let arrow = arrow_schema(metadata.current_schema())?;
    let name = MetadataColumns::of_table(&arrow).timestamp_column();
    let found = name.and_then(|name| {
        let field = arrow.field_with_name(&name).ok()?;
        Some((metadata.current_schema().field_id_by_name(&name)?, field.data_type().clone()))
    });
    found.ok_or_else(|| {
        Error::usage(format!("rows of {table} do not say when they came, so none can be too old"))
            .with_hint("enable the topic with metadata columns, or leave --data-retention-ms out")
    })
}

/// The rows of a key go from every snapshot, the newest one and those before it (I2).
pub async fn erase(home: &Home, table: &TableName, key: &str) -> Result<Erased> {
    let metadata = home.catalog.load_table(table).await?.metadata;
    let values = values_of(table, &metadata, key)?;
    let done = run(home, table, [Task::Remove(Which::Erased { values })]).await?;
    let newest_alone = Retention { snapshots_max: 1, age_max_ms: i64::MAX };
    let expired = expiry::expire(home, table, newest_alone, false).await?;
    // From here on nobody needs the files: their day begins.
    vacuum::vacuum(home, table, AGE_MIN_MS, false).await?;
    Ok(Erased {
        table: table.to_plain_string(),
        rows_erased: done.rows_removed,
        files_rewritten: done.data_files_removed,
        snapshots_forgotten: expired.snapshots_before - expired.snapshots_after,
        snapshots_kept: expired.snapshots_after.saturating_sub(1),
        files_go_after: rfc3339(home.clock.now().0 + AGE_MIN_MS),
    })
}

/// A key as a person writes it: an object with a value for each column, or the value of the one column that identifies
/// rows.
fn values_of(table: &TableName, metadata: &TableMetadata, key: &str) -> Result<Vec<(i32, ScalarValue)>> {
    let schema = metadata.current_schema();
    let named: Vec<(String, String)> = match serde_json::from_str::<serde_json::Value>(key) {
        Ok(serde_json::Value::Object(fields)) if !fields.is_empty() => {
            fields.into_iter().map(|(name, value)| (name, text_of(&value))).collect()
        }
        _ => {
            let ids = key_ids(schema);
            let [id] = ids.as_slice() else {
                return Err(Error::usage(format!("{key:?} does not say which columns of {table} it is of"))
                    .with_detail(if ids.is_empty() {
                        "nothing identifies its rows"
                    } else {
                        "several columns identify its rows"
                    })
                    .with_hint(r#"name them: --key '{"id": 42}'"#));
            };
            vec![(schema.name_by_field_id(*id).unwrap_or_default().to_owned(), key.to_owned())]
        }
    };
    let arrow = arrow_schema(schema)?;
    let value = |(name, text): (String, String)| {
        let (Some(id), Ok(field)) = (schema.field_id_by_name(&name), arrow.field_with_name(&name)) else {
            return Err(Error::usage(format!("{table} has no column {}", flink_name(&name)))
                .with_hint(format!("`tableflow describe {table}` shows its columns")));
        };
        match ScalarValue::try_from_string(text.clone(), field.data_type()) {
            Ok(value) if !value.is_null() && !field.data_type().is_nested() => Ok((id, value)),
            _ => Err(Error::usage(format!("{text:?} is no value of column {}", flink_name(&name)))
                .with_hint(format!("`tableflow describe {table}` shows the type of each column"))),
        }
    };
    named.into_iter().map(value).collect()
}

fn text_of(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
