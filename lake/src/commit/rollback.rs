//! Rollback: the old content as a new snapshot (rule C5).
//!
//! - I1: main only moves forward: a rollback has a higher sequence number than what it undoes, so a commit that
//!   was in flight for an older base cannot land on it.
//! - I2: no file is rewritten: the new snapshot lists the old one's manifests.

use std::collections::BTreeMap;

use iceberg::TableUpdate;
use iceberg::spec::{Operation, Summary, TableMetadata};
use tableflow_model::{Error, Result};

use super::manifests::{CommitObjects, check_format, manifests_of};
use super::{CommitContext, Prepared, commit_time, requirements, set_main, snapshot};

/// In the summary of a rollback's snapshot: the snapshot whose content it has.
pub const ROLLED_BACK_TO: &str = "tableflow.rollback-to";

/// The content of snapshot `to` as a new snapshot, with `properties` (the ledger) set and `removals` taken
/// away beside it.
pub async fn prepare_rollback(
    context: CommitContext<'_>,
    base: &TableMetadata,
    to: i64,
    properties: BTreeMap<String, String>,
    removals: &[&str],
) -> Result<Prepared> {
    check_format(base)?;
    let Some(old) = base.snapshot_by_id(to) else {
        return Err(Error::not_found(format!("the table has no snapshot {to}"))
            .with_hint("`tableflow history TABLE` lists the snapshots that are still there"));
    };
    let snapshot_id = context.ids.snapshot_id();
    let sequence_number = base.next_sequence_number();
    let objects = CommitObjects::new(context.store, base, context.ids.uuid(), snapshot_id);
    let mut manifests = manifests_of(context.store, base, old).await?;
    manifests.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
    let list = objects.list(manifests, base.current_snapshot_id(), sequence_number).await?;

    let totals = old.summary().additional_properties.iter().filter(|(name, _)| name.starts_with("total-"));
    let mut summary: std::collections::HashMap<_, _> = totals.map(|(k, v)| (k.clone(), v.clone())).collect();
    summary.extend(properties.clone());
    summary.insert(ROLLED_BACK_TO.to_owned(), to.to_string());
    let summary = Summary { operation: Operation::Overwrite, additional_properties: summary };
    let of_now = (base.current_schema_id(), commit_time(base, context.clock));
    let snapshot = snapshot(base, (snapshot_id, sequence_number), list, summary, of_now);
    let mut updates = Vec::new();
    if !properties.is_empty() {
        updates.push(TableUpdate::SetProperties { updates: properties.into_iter().collect() });
    }
    let removals: Vec<String> = removals.iter().map(|name| (*name).to_owned()).collect();
    if !removals.is_empty() {
        updates.push(TableUpdate::RemoveProperties { removals });
    }
    updates.push(TableUpdate::AddSnapshot { snapshot });
    updates.push(set_main(snapshot_id));
    Ok(Prepared { requirements: requirements(base), updates, snapshot_id, sequence_number })
}
