//! Another way of writing for a table that exists, and other partitions.
//!
//! - I1: a change is made on the table as it was looked at, or anew: whoever feeds it meanwhile commits before or after it.
//! - I2: files that are there stay as they are: what was written in the former way goes on being read.

use iceberg::spec::{MAIN_BRANCH, TableMetadata};
use iceberg::{TableRequirement, TableUpdate};
use tableflow_catalog::CommitOutcome;
use tableflow_lake::layout::{parse_partition_by, partition_text};
use tableflow_model::{Error, Result, TableName};

use super::{AskedWriting, Writing};
use crate::home::Home;

/// Somebody who comes first again and again is told of.
const TRIES_MAX: u32 = 16;

/// Before and after.
pub async fn change(home: &Home, table: &TableName, asked: &AskedWriting) -> Result<(Writing, Writing)> {
    let (before, after) = changed(home, table, |metadata| {
        let now = Writing::of(metadata);
        let after = Writing::asked(asked, Some(&now))?;
        let mut updates = Vec::new();
        if after.version != now.version {
            updates.push(TableUpdate::UpgradeFormatVersion { format_version: after.version });
        }
        let properties = after.properties();
        if properties.iter().any(|(name, value)| metadata.properties().get(name) != Some(value)) {
            updates.push(TableUpdate::SetProperties { updates: properties });
        }
        Ok(updates)
    })
    .await?;
    Ok((Writing::of(&before), Writing::of(&after)))
}

/// New files are parted so. Before and after, as text.
pub async fn repartition(home: &Home, table: &TableName, partition_by: &str) -> Result<(String, String)> {
    let text = |metadata: &TableMetadata| {
        partition_text(metadata.default_partition_spec().fields(), metadata.current_schema())
    };
    let (before, after) = changed(home, table, |metadata| {
        let spec = parse_partition_by(partition_by, metadata.current_schema())?;
        let asked: Vec<_> = spec.fields().iter().map(|field| (field.source_id, field.transform)).collect();
        let has = metadata.default_partition_spec().fields().iter().map(|field| (field.source_id, field.transform));
        if has.eq(asked) {
            return Ok(Vec::new());
        }
        let last_added = -1;
        Ok(vec![TableUpdate::AddSpec { spec }, TableUpdate::SetDefaultSpec { spec_id: last_added }])
    })
    .await?;
    Ok((text(&before), text(&after)))
}

/// The table before and after a change that is decided on it (I1).
async fn changed(
    home: &Home,
    table: &TableName,
    decide: impl Fn(&TableMetadata) -> Result<Vec<TableUpdate>>,
) -> Result<(std::sync::Arc<TableMetadata>, std::sync::Arc<TableMetadata>)> {
    let mut before = None;
    for _ in 0..TRIES_MAX {
        let mut turn = home.turns.of(table).await;
        let base = home.catalog.load_table(table).await?;
        let updates = decide(&base.metadata)?;
        let first = before.get_or_insert_with(|| base.metadata.clone()).clone();
        if updates.is_empty() {
            return Ok((first, base.metadata));
        }
        let snapshot_id = base.metadata.current_snapshot_id();
        let requirements = vec![
            TableRequirement::UuidMatch { uuid: base.metadata.uuid() },
            TableRequirement::RefSnapshotIdMatch { r#ref: MAIN_BRANCH.to_owned(), snapshot_id },
        ];
        match home.catalog.commit(table, &base, requirements, updates).await? {
            CommitOutcome::Applied(after) => {
                turn.left_at(&after.metadata_location);
                return Ok((first, after.metadata));
            }
            // What became of it is in the table.
            CommitOutcome::Conflict { .. } | CommitOutcome::Unknown { .. } => drop(turn),
        }
    }
    Err(Error::conflict(format!("somebody else changed table {table} first, {TRIES_MAX} times"))
        .with_hint("try again, or pause the table first: tableflow pause"))
}
