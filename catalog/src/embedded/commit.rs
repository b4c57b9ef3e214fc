//! The compare-and-swap of the embedded catalog.
//!
//! Owns the order of one commit: compare, check, write the metadata file, swap the row, tidy up. Its invariants
//! are those of `embedded` (I1 to I3) and of the trait (C1, C4).
//!
//! Neighbours: `metadata` decides, `rows` swaps.

use std::sync::Arc;

use iceberg::spec::TableMetadata;
use iceberg::{TableRequirement, TableUpdate};
use tableflow_model::{Error, Result, TableName};
use tableflow_store::kill::{self, KillPoint};

use super::rows::Swap;
use super::{EmbeddedCatalog, no_such_table};
use crate::catalog::{CommitOutcome, LoadedTable};
use crate::metadata::{self, Change};

pub(super) async fn commit(
    catalog: &EmbeddedCatalog,
    table: &TableName,
    base: &LoadedTable,
    requirements: &[TableRequirement],
    updates: Vec<TableUpdate>,
) -> Result<CommitOutcome> {
    let location = &base.metadata_location;
    let current = catalog.rows.metadata_location(table).await?.ok_or_else(|| no_such_table(table))?;
    if current != *location {
        return Ok(moved(table));
    }
    let metadata = catalog.load_at(location).await?;
    check_same_table(location, &metadata, base)?;
    if let Some(reason) = metadata::unmet(&metadata, requirements) {
        return Ok(CommitOutcome::Conflict { reason });
    }
    match metadata::change(&metadata, location, updates, catalog.clock.now())? {
        Change::Refused { reason } => Ok(CommitOutcome::Conflict { reason }),
        Change::Next { metadata, expired } => publish(catalog, table, location, *metadata, &expired).await,
    }
}

async fn publish(
    catalog: &EmbeddedCatalog,
    table: &TableName,
    base_location: &str,
    metadata: TableMetadata,
    expired: &[String],
) -> Result<CommitOutcome> {
    let version = metadata::version_of(base_location).saturating_add(1);
    let (metadata_location, length) = catalog.write(&metadata, version).await?;
    kill::at(KillPoint::CatalogSwapBefore);
    match catalog.rows.swap(table, base_location, &metadata_location).await {
        Swap::Done => {}
        Swap::Lost => {
            catalog.discard(&metadata_location).await;
            return Ok(moved(table));
        }
        Swap::NotTried(error) => {
            catalog.discard(&metadata_location).await;
            return Err(error);
        }
        Swap::Unknown(error) => return Ok(CommitOutcome::Unknown { error }),
    }
    kill::at(KillPoint::CatalogSwapAfter);
    let metadata = Arc::new(metadata);
    catalog.remember(&metadata_location, &metadata, length).await;
    trim(catalog, expired).await;
    Ok(CommitOutcome::Applied(LoadedTable { metadata, metadata_location }))
}

async fn trim(catalog: &EmbeddedCatalog, expired: &[String]) {
    if !expired.is_empty() {
        kill::at(KillPoint::CatalogTrimBefore);
    }
    for metadata_location in expired {
        catalog.cache.invalidate(metadata_location).await;
        catalog.discard(metadata_location).await;
    }
}

fn moved(table: &TableName) -> CommitOutcome {
    CommitOutcome::Conflict { reason: format!("{table} was changed by somebody else") }
}

/// The file at a location never changes: another uuid in it is damage, and writing on would spread it.
fn check_same_table(location: &str, found: &TableMetadata, base: &LoadedTable) -> Result<()> {
    if found.uuid() == base.metadata.uuid() {
        return Ok(());
    }
    Err(Error::data(format!("the metadata at {location} is of another table"))
        .with_detail(format!("its uuid is {}, expected is {}", found.uuid(), base.metadata.uuid()))
        .with_hint("restore that file; nothing was written"))
}
