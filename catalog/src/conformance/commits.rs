//! What a catalog must apply, and what rule C1 has it refuse.

use std::sync::Arc;

use iceberg::spec::MAIN_BRANCH;
use iceberg::{TableRequirement, TableUpdate};
use tableflow_model::protocol::Guard;
use tableflow_model::{ErrorKind, Result};
use uuid::Uuid;

use super::{append, applied, equal, fails, one_table, refused, seen, set_main, snapshot, table};
use crate::catalog::{Catalog, CommitOutcome};

pub(super) async fn a_commit_is_applied(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, mut base) = one_table(&*catalog).await?;
    for id in 1..=3 {
        let next = applied(&*catalog, &orders, &base, append(&base, id)).await?;
        equal("the current snapshot", &next.metadata.current_snapshot_id(), &Some(id))?;
        equal("the last sequence number", &next.metadata.last_sequence_number(), &id)?;
        let loaded = catalog.load_table(&orders).await?;
        equal("the metadata loaded", &loaded.metadata, &next.metadata)?;
        equal("the metadata location loaded", &loaded.metadata_location, &next.metadata_location)?;
        base = next;
    }
    equal("the snapshots", &base.metadata.snapshots().count(), &3)
}

pub(super) async fn a_stale_base_is_refused(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, base) = one_table(&*catalog).await?;
    applied(&*catalog, &orders, &base, append(&base, 1)).await?;
    refused(&*catalog, &orders, &base, append(&base, 2)).await
}

/// A change of properties leaves uuid, snapshot and sequence number as they were.
pub(super) async fn a_stale_location_is_refused_where_it_is_the_guard(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, base) = one_table(&*catalog).await?;
    let base = applied(&*catalog, &orders, &base, append(&base, 1)).await?;
    let set = TableUpdate::SetProperties { updates: [("tableflow.x".to_owned(), "1".to_owned())].into() };
    applied(&*catalog, &orders, &base, (Vec::new(), vec![set])).await?;
    match catalog.guard() {
        Guard::Location => refused(&*catalog, &orders, &base, append(&base, 2)).await,
        Guard::Snapshot => Ok(()),
    }
}

pub(super) async fn another_uuid_is_refused(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, base) = one_table(&*catalog).await?;
    let (_, updates) = append(&base, 1);
    let requirements = vec![TableRequirement::UuidMatch { uuid: Uuid::from_u128(1) }];
    refused(&*catalog, &orders, &base, (requirements, updates)).await
}

pub(super) async fn a_moved_branch_is_refused(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, base) = one_table(&*catalog).await?;
    let base = applied(&*catalog, &orders, &base, append(&base, 1)).await?;
    for snapshot_id in [None, Some(7)] {
        let (_, updates) = append(&base, 2);
        let requirements = vec![TableRequirement::RefSnapshotIdMatch { r#ref: MAIN_BRANCH.into(), snapshot_id }];
        refused(&*catalog, &orders, &base, (requirements, updates)).await?;
    }
    Ok(())
}

/// With and without a parent: iceberg's own builder looks only at the former.
pub(super) async fn a_stale_sequence_number_is_refused(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, base) = one_table(&*catalog).await?;
    let mut base = applied(&*catalog, &orders, &base, append(&base, 1)).await?;
    base = applied(&*catalog, &orders, &base, append(&base, 2)).await?;
    for sequence_number in [0, 1, 2] {
        for parent in [Some(2), None] {
            let (requirements, _) = append(&base, 3);
            let snapshot = snapshot(&base, 3, sequence_number, parent);
            let updates = vec![TableUpdate::AddSnapshot { snapshot }, set_main(3)];
            refused(&*catalog, &orders, &base, (requirements, updates)).await?;
        }
    }
    applied(&*catalog, &orders, &base, append(&base, 3)).await.map(drop)
}

pub(super) async fn a_ref_to_nowhere_is_refused(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, base) = one_table(&*catalog).await?;
    let base = applied(&*catalog, &orders, &base, append(&base, 1)).await?;
    refused(&*catalog, &orders, &base, (Vec::new(), vec![set_main(99)])).await
}

pub(super) async fn a_snapshot_id_is_used_once(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, base) = one_table(&*catalog).await?;
    let base = applied(&*catalog, &orders, &base, append(&base, 1)).await?;
    refused(&*catalog, &orders, &base, append(&base, 1)).await
}

/// A commit in flight, then a rollback to its parent: the branch is where the commit wants it, and the commit must
/// still not land, because its sequence number is behind.
pub(super) async fn an_old_commit_never_lands_after_a_rollback(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, base) = one_table(&*catalog).await?;
    let one = applied(&*catalog, &orders, &base, append(&base, 1)).await?;
    let in_flight = append(&one, 2);
    let three = applied(&*catalog, &orders, &one, append(&one, 3)).await?;
    let back = applied(&*catalog, &orders, &three, (Vec::new(), vec![set_main(1)])).await?;
    equal("the snapshot after the rollback", &back.metadata.current_snapshot_id(), &Some(1))?;
    refused(&*catalog, &orders, &one, in_flight.clone()).await?;
    refused(&*catalog, &orders, &back, in_flight).await
}

pub(super) async fn properties_alone_can_be_committed(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, base) = one_table(&*catalog).await?;
    let updates = vec![TableUpdate::SetProperties { updates: [("tableflow.x".to_owned(), "1 é".to_owned())].into() }];
    let uuid = TableRequirement::UuidMatch { uuid: base.metadata.uuid() };
    let set = applied(&*catalog, &orders, &base, (vec![uuid.clone()], updates)).await?;
    let loaded = catalog.load_table(&orders).await?;
    equal("the property", &loaded.metadata.properties().get("tableflow.x"), &Some(&"1 é".to_owned()))?;
    let updates = vec![TableUpdate::RemoveProperties { removals: vec!["tableflow.x".to_owned()] }];
    applied(&*catalog, &orders, &set, (vec![uuid], updates)).await?;
    let loaded = catalog.load_table(&orders).await?;
    equal("the property", &loaded.metadata.properties().get("tableflow.x"), &None)
}

pub(super) async fn a_commit_survives_a_rename(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, base) = one_table(&*catalog).await?;
    let renamed = table("sales")?;
    catalog.rename_table(&orders, &renamed).await?;
    let next = applied(&*catalog, &renamed, &base, append(&base, 1)).await?;
    equal("the location", &next.metadata.location(), &base.metadata.location())?;
    let old_name = catalog.commit(&orders, &base, Vec::new(), Vec::new()).await;
    match old_name {
        Err(_) | Ok(CommitOutcome::Conflict { .. }) => Ok(()),
        Ok(other) => Err(seen(format!("a commit to the old name: {other:?}"))),
    }
}

pub(super) async fn a_dropped_table_takes_no_commit(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, base) = one_table(&*catalog).await?;
    catalog.drop_table(&orders).await?;
    let (requirements, updates) = append(&base, 1);
    match catalog.commit(&orders, &base, requirements, updates).await {
        Err(_) | Ok(CommitOutcome::Conflict { .. }) => {}
        Ok(other) => return Err(seen(format!("a commit to a dropped table: {other:?}"))),
    }
    fails("loading it", catalog.load_table(&orders).await, ErrorKind::NotFound)
}

pub(super) async fn of_racing_commits_one_wins(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, mut base) = one_table(&*catalog).await?;
    for round in 0..8 {
        let race = async |id| {
            let (requirements, updates) = append(&base, id);
            catalog.commit(&orders, &base, requirements, updates).await
        };
        let (one, other) = tokio::join!(race(10 * round + 1), race(10 * round + 2));
        base = match (one?, other?) {
            (CommitOutcome::Applied(winner), CommitOutcome::Conflict { .. })
            | (CommitOutcome::Conflict { .. }, CommitOutcome::Applied(winner)) => winner,
            both => return Err(seen(format!("two racing commits ended as {both:?}"))),
        };
        let loaded = catalog.load_table(&orders).await?;
        equal("the winner's location", &loaded.metadata_location, &base.metadata_location)?;
        equal("the snapshots", &loaded.metadata.snapshots().count(), &(round as usize + 1))?;
    }
    Ok(())
}
