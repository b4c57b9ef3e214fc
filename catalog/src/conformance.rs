//! The suite every catalog must pass.
//!
//! Owns [`run`]. Each case gets a catalog of its own and fails with an error that names the case and what was
//! seen, so that a crate can run it against a server, too.
//! - I1: what each catalog must refuse is rule C1 of the exactly-once protocol (`commits`): assumed of none,
//!   tested for each.
//! - I2: a refusal is `Conflict` or an error; in both cases the table is as it was, which is looked at.
//! - I3: a kind of error is asserted only where callers decide by it (`NotFound`, `AlreadyExists`).
//!
//! Neighbours: `catalog` is the page it holds implementations to.

mod commits;
mod names;
#[cfg(test)]
mod tests;

use std::fmt::{Debug, Display};
use std::sync::Arc;

use iceberg::spec::{
    MAIN_BRANCH, NestedField, Operation, PrimitiveType, Schema, Snapshot, SnapshotReference, SnapshotRetention,
    Summary, Type,
};
use iceberg::{TableRequirement, TableUpdate};
use tableflow_model::{Error, ErrorKind, Result, TableName};

use crate::catalog::{Catalog, CommitOutcome, LoadedTable, TableCreation};

/// Runs every case; `make` gives an empty catalog each time.
pub async fn run<F>(make: impl Fn() -> F) -> Result<()>
where
    F: Future<Output = Result<Arc<dyn Catalog>>>,
{
    macro_rules! cases {
        ($($area:ident :: $case:ident),* $(,)?) => {
            $($area::$case(make().await?).await.map_err(|error| error.with_context("case", stringify!($case)))?;)*
        };
    }
    cases![
        names::namespaces_come_and_go,
        names::namespaces_carry_properties,
        names::a_namespace_with_tables_stays,
        names::tables_come_and_go,
        names::a_table_is_made_once,
        names::a_renamed_table_is_the_same_table,
        names::names_are_exact,
        names::a_table_made_again_is_another_table,
        commits::a_commit_is_applied,
        commits::a_stale_base_is_refused,
        commits::a_stale_location_is_refused_where_it_is_the_guard,
        commits::another_uuid_is_refused,
        commits::a_moved_branch_is_refused,
        commits::a_stale_sequence_number_is_refused,
        commits::a_ref_to_nowhere_is_refused,
        commits::a_snapshot_id_is_used_once,
        commits::an_old_commit_never_lands_after_a_rollback,
        commits::properties_alone_can_be_committed,
        commits::a_commit_survives_a_rename,
        commits::a_dropped_table_takes_no_commit,
        commits::of_racing_commits_one_wins,
    ];
    Ok(())
}

/// A commit: what must hold and what changes.
type Commit = (Vec<TableRequirement>, Vec<TableUpdate>);

fn table(name: &str) -> Result<TableName> {
    TableName::new("conformance", name)
}

fn creation() -> Result<TableCreation> {
    let fields = [
        NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long)).into(),
        NestedField::optional(2, "name", Type::Primitive(PrimitiveType::String)).into(),
    ];
    let schema = Schema::builder().with_fields(fields).build();
    Ok(TableCreation::new(schema.map_err(|error| Error::internal("the suite's schema").with_source(error))?))
}

/// The namespace `conformance` with one table, `orders`.
async fn one_table(catalog: &dyn Catalog) -> Result<(TableName, LoadedTable)> {
    catalog.create_namespace("conformance", &[].into()).await?;
    let table = table("orders")?;
    let loaded = catalog.create_table(&table, creation()?).await?;
    Ok((table, loaded))
}

/// An append as rule C1 has it: uuid and branch asserted, sequence number last + 1.
fn append(base: &LoadedTable, snapshot_id: i64) -> Commit {
    let metadata = &base.metadata;
    let requirements = vec![
        TableRequirement::UuidMatch { uuid: metadata.uuid() },
        TableRequirement::RefSnapshotIdMatch { r#ref: MAIN_BRANCH.into(), snapshot_id: metadata.current_snapshot_id() },
    ];
    let snapshot = snapshot(base, snapshot_id, metadata.next_sequence_number(), metadata.current_snapshot_id());
    (requirements, vec![TableUpdate::AddSnapshot { snapshot }, set_main(snapshot_id)])
}

fn snapshot(base: &LoadedTable, snapshot_id: i64, sequence_number: i64, parent: Option<i64>) -> Snapshot {
    Snapshot::builder()
        .with_snapshot_id(snapshot_id)
        .with_parent_snapshot_id(parent)
        .with_sequence_number(sequence_number)
        .with_timestamp_ms(base.metadata.last_updated_ms() + 1)
        .with_manifest_list(format!("{}/metadata/snap-{snapshot_id}-0-conformance.avro", base.metadata.location()))
        .with_summary(Summary { operation: Operation::Append, additional_properties: [].into() })
        .with_schema_id(base.metadata.current_schema_id())
        .build()
}

fn set_main(snapshot_id: i64) -> TableUpdate {
    let retention = SnapshotRetention::branch(None, None, None);
    TableUpdate::SetSnapshotRef {
        ref_name: MAIN_BRANCH.into(),
        reference: SnapshotReference::new(snapshot_id, retention),
    }
}

async fn applied(catalog: &dyn Catalog, table: &TableName, base: &LoadedTable, commit: Commit) -> Result<LoadedTable> {
    match catalog.commit(table, base, commit.0, commit.1).await? {
        CommitOutcome::Applied(loaded) => Ok(loaded),
        other => Err(seen(format!("a good commit to {table} was not applied: {other:?}"))),
    }
}

/// I2.
async fn refused(catalog: &dyn Catalog, table: &TableName, base: &LoadedTable, commit: Commit) -> Result<()> {
    let before = catalog.load_table(table).await?;
    match catalog.commit(table, base, commit.0, commit.1).await {
        Ok(CommitOutcome::Conflict { .. }) | Err(_) => {}
        Ok(other) => return Err(seen(format!("a bad commit to {table} was not refused: {other:?}"))),
    }
    let after = catalog.load_table(table).await?;
    equal("the metadata after a refusal", &after.metadata, &before.metadata)?;
    equal("the metadata location after a refusal", &after.metadata_location, &before.metadata_location)
}

fn equal<T: PartialEq + Debug>(what: impl Display, seen_value: &T, expected: &T) -> Result<()> {
    if seen_value == expected {
        return Ok(());
    }
    Err(seen(format!("{what} is {seen_value:?}, expected {expected:?}")))
}

fn fails<T: Debug>(what: &str, result: Result<T>, kind: ErrorKind) -> Result<()> {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(seen(format!("{what} failed as {:?}, expected {kind:?}: {}", error.kind(), error.report()))),
        Ok(value) => Err(seen(format!("{what} succeeded: {value:?}"))),
    }
}

fn seen(text: String) -> Error {
    Error::internal("the catalog does not conform").with_detail(text)
}
