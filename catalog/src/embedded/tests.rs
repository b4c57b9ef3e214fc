//! The embedded catalog: conformance, its layout as PyIceberg's, races, lost replies, damaged files.

#[cfg(feature = "kill-points")]
mod kill;

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use flate2::read::GzDecoder;
use tableflow_model::clock::{RandomIds, SystemClock};
use tableflow_model::{ErrorKind, Millis};
use tableflow_store::fault::{Effect, Fault, FaultStore, Operation};
use tableflow_store::local::DurableLocalStore;

use iceberg::spec::{
    MAIN_BRANCH, NestedField, PrimitiveType, Schema, Snapshot, SnapshotReference, SnapshotRetention, Summary, Type,
};
use tempfile::TempDir;

use super::*;
use crate::conformance;
use crate::fault::{CommitFault, FaultCatalog};

fn root(directory: impl AsRef<Path>) -> String {
    format!("file://{}", std::fs::canonicalize(directory).unwrap().display())
}

fn open_store(directory: impl AsRef<Path>) -> Store {
    Store::open(&root(directory), &SystemClock).unwrap()
}

async fn open_with(directory: impl AsRef<Path>, store: Store, clock: Arc<dyn Clock>) -> Result<EmbeddedCatalog> {
    let warehouse = Warehouse::new(&format!("{}/warehouse", root(&directory)));
    EmbeddedCatalog::open(&directory.as_ref().join("catalog.db"), store, warehouse, clock, Arc::new(RandomIds)).await
}

async fn open(directory: impl AsRef<Path>) -> EmbeddedCatalog {
    let store = open_store(&directory);
    open_with(directory, store, Arc::new(SystemClock)).await.unwrap()
}

/// A catalog over a store that fails on request.
async fn open_faulty(directory: &TempDir) -> (EmbeddedCatalog, Arc<FaultStore>) {
    let disk = DurableLocalStore::open(directory.path(), &SystemClock).unwrap();
    let faults = FaultStore::new(Arc::new(disk));
    let store = Store::with_object_store(&root(directory), Arc::<FaultStore>::clone(&faults)).unwrap();
    (open_with(directory, store, Arc::new(SystemClock)).await.unwrap(), faults)
}

fn orders() -> TableName {
    TableName::new("bronze", "orders").unwrap()
}

fn creation() -> TableCreation {
    let id = NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long)).into();
    TableCreation::new(Schema::builder().with_fields([id]).build().unwrap())
}

async fn orders_in(catalog: &dyn Catalog) -> LoadedTable {
    catalog.create_namespace("bronze", &Properties::new()).await.unwrap();
    catalog.create_table(&orders(), creation()).await.unwrap()
}

fn append(base: &LoadedTable, id: i64) -> (Vec<TableRequirement>, Vec<TableUpdate>) {
    let metadata = &base.metadata;
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(metadata.current_snapshot_id())
        .with_sequence_number(metadata.next_sequence_number())
        .with_timestamp_ms(metadata.last_updated_ms() + 1)
        .with_manifest_list(format!("{}/metadata/snap-{id}.avro", metadata.location()))
        .with_summary(Summary {
            operation: iceberg::spec::Operation::Append,
            additional_properties: (0..12).map(|n| (format!("summary-property-{n}"), "12345678".to_owned())).collect(),
        })
        .with_schema_id(metadata.current_schema_id())
        .build();
    let main = SnapshotReference::new(id, SnapshotRetention::branch(None, None, None));
    let requirements = vec![
        TableRequirement::UuidMatch { uuid: metadata.uuid() },
        TableRequirement::RefSnapshotIdMatch { r#ref: MAIN_BRANCH.into(), snapshot_id: metadata.current_snapshot_id() },
    ];
    let updates = vec![
        TableUpdate::AddSnapshot { snapshot },
        TableUpdate::SetSnapshotRef { ref_name: MAIN_BRANCH.into(), reference: main },
    ];
    (requirements, updates)
}

async fn commit(catalog: &dyn Catalog, base: &LoadedTable, id: i64) -> Result<CommitOutcome> {
    let (requirements, updates) = append(base, id);
    catalog.commit(&orders(), base, requirements, updates).await
}

async fn applied(catalog: &dyn Catalog, base: &LoadedTable, id: i64) -> LoadedTable {
    match commit(catalog, base, id).await.unwrap() {
        CommitOutcome::Applied(next) => next,
        other => panic!("{other:?}"),
    }
}

fn files_in(location: &str, end: &str) -> Vec<PathBuf> {
    let directory = location.strip_prefix("file://").unwrap();
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
    files.sort();
    files
}

fn metadata_files(table: &LoadedTable) -> usize {
    files_in(&format!("{}/metadata", table.metadata.location()), ".metadata.json").len()
}

fn path(uri: &str) -> &str {
    uri.strip_prefix("file://").unwrap()
}

#[tokio::test]
async fn it_conforms() {
    let directories = std::sync::Mutex::new(Vec::new());
    let make = || async {
        let directory = tempfile::tempdir().unwrap();
        let catalog = open(&directory).await;
        directories.lock().unwrap().push(directory);
        Ok(Arc::new(catalog) as Arc<dyn Catalog>)
    };
    conformance::run(make).await.unwrap_or_else(|error| panic!("{}", error.report()));
}

/// The faults' catalog must be the catalog below while nothing is scripted.
#[tokio::test]
async fn the_fault_catalog_conforms_without_faults() {
    let directories = std::sync::Mutex::new(Vec::new());
    let make = || async {
        let directory = tempfile::tempdir().unwrap();
        let catalog = open(&directory).await;
        directories.lock().unwrap().push(directory);
        Ok(FaultCatalog::new(Arc::new(catalog)) as Arc<dyn Catalog>)
    };
    conformance::run(make).await.unwrap_or_else(|error| panic!("{}", error.report()));
}

#[tokio::test]
async fn the_layout_is_pyicebergs() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory).await;
    let base = orders_in(&catalog).await;
    let next = applied(&catalog, &base, 1).await;
    assert!(base.metadata_location.contains("/warehouse/bronze/orders-"), "{}", base.metadata_location);
    assert!(base.metadata_location.contains("/metadata/00000-") && next.metadata_location.contains("/metadata/00001-"));
    let row: (String, String, String, String, Option<String>, String) =
        sqlx::query_as("SELECT catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type FROM iceberg_tables")
            .fetch_one(&catalog.rows.pool)
            .await
            .unwrap();
    let expected = (
        "tableflow",
        "bronze",
        "orders",
        next.metadata_location.as_str(),
        Some(base.metadata_location.as_str()),
        "TABLE",
    );
    assert_eq!(
        (row.0.as_str(), row.1.as_str(), row.2.as_str(), row.3.as_str(), row.4.as_deref(), row.5.as_str()),
        expected
    );
    let namespace: (String, String, String, String) = sqlx::query_as(
        "SELECT catalog_name, namespace, property_key, property_value FROM iceberg_namespace_properties",
    )
    .fetch_one(&catalog.rows.pool)
    .await
    .unwrap();
    assert_eq!(namespace, ("tableflow".into(), "bronze".into(), "exists".into(), "true".into()));
}

/// What PyIceberg leaves: five columns, a namespace with properties and without the mark.
#[tokio::test]
async fn a_database_that_pyiceberg_made_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let base = {
        let catalog = open(&directory).await;
        let base = orders_in(&catalog).await;
        for sql in [
            "ALTER TABLE iceberg_tables DROP COLUMN iceberg_type",
            "UPDATE iceberg_namespace_properties SET property_key = 'owner', property_value = 'ops'",
        ] {
            sqlx::query(sql).execute(&catalog.rows.pool).await.unwrap();
        }
        catalog.rows.pool.close().await;
        base
    };
    let catalog = open(&directory).await;
    assert_eq!(catalog.load_table(&orders()).await.unwrap().metadata, base.metadata);
    assert_eq!(catalog.list_tables("bronze").await.unwrap(), [orders()]);
    let error = catalog.create_namespace("bronze", &Properties::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    applied(&catalog, &base, 1).await;
    catalog.update_namespace("bronze", &Properties::new(), &["owner".to_owned(), "exists".to_owned()]).await.unwrap();
    catalog.drop_table(&orders()).await.unwrap();
    assert_eq!(catalog.list_namespaces().await.unwrap(), ["bronze"], "the mark keeps an empty namespace");
}

#[tokio::test]
async fn commits_are_durable_when_they_return() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory).await;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&catalog.rows.pool).await.unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&catalog.rows.pool).await.unwrap();
    assert_eq!((mode.as_str(), synchronous), ("wal", 2), "2 is FULL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i1_no_update_is_lost_among_eight_writers_on_two_handles() {
    const COMMITS: i64 = 6;
    let directory = tempfile::tempdir().unwrap();
    let handles = [Arc::new(open(&directory).await), Arc::new(open(&directory).await)];
    orders_in(&*handles[0]).await;
    let mut tasks = Vec::new();
    for writer in 0..8i64 {
        let catalog = Arc::clone(&handles[writer as usize % 2]);
        tasks.push(tokio::spawn(async move {
            let mut conflicts = 0;
            for number in 0..COMMITS {
                loop {
                    let base = catalog.load_table(&orders()).await.unwrap();
                    match commit(&*catalog, &base, 1 + writer * COMMITS + number).await.unwrap() {
                        CommitOutcome::Applied(_) => break,
                        CommitOutcome::Conflict { .. } => conflicts += 1,
                        CommitOutcome::Unknown { error } => panic!("{}", error.report()),
                    }
                }
            }
            conflicts
        }));
    }
    let mut conflicts = 0;
    for task in tasks {
        conflicts += task.await.unwrap();
    }
    let table = handles[1].load_table(&orders()).await.unwrap();
    let mut ids: Vec<i64> = table.metadata.snapshots().map(|snapshot| snapshot.snapshot_id()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=8 * COMMITS).collect::<Vec<_>>());
    assert_eq!(table.metadata.last_sequence_number(), 8 * COMMITS);
    assert!(conflicts > 0, "the writers never met");
    assert_eq!(metadata_files(&table), 11, "losers tidied up: the current file and ten before it");
}

#[tokio::test]
async fn i3_metadata_files_that_fall_out_of_the_log_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory).await;
    let mut base = orders_in(&catalog).await;
    for id in 1..=15 {
        base = applied(&catalog, &base, id).await;
    }
    assert_eq!(base.metadata.metadata_log().len(), 10);
    assert_eq!(metadata_files(&base), 11);
    for log in base.metadata.metadata_log() {
        assert!(std::path::Path::new(path(&log.metadata_file)).exists());
    }
    let keep = TableUpdate::SetProperties {
        updates: [("write.metadata.delete-after-commit.enabled".to_owned(), "false".to_owned())].into(),
    };
    let CommitOutcome::Applied(next) = catalog.commit(&orders(), &base, vec![], vec![keep]).await.unwrap() else {
        panic!()
    };
    base = applied(&catalog, &next, 16).await;
    assert_eq!((base.metadata.metadata_log().len(), metadata_files(&base)), (10, 13));
}

#[tokio::test]
async fn i3_a_lost_race_leaves_no_file_and_an_unknown_one_leaves_all() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Arc::new(open(&directory).await);
    let base = orders_in(&*catalog).await;
    let faults = FaultCatalog::new(Arc::<EmbeddedCatalog>::clone(&catalog));
    faults.script(CommitFault::HoldThenUnknown);
    faults.script(CommitFault::ApplyThenUnknown);
    faults.script(CommitFault::UnknownWithoutApplying);
    faults.script(CommitFault::Delay(Duration::from_millis(1)));
    assert!(matches!(commit(&*faults, &base, 1).await.unwrap(), CommitOutcome::Unknown { .. }));
    assert!(matches!(commit(&*faults, &base, 2).await.unwrap(), CommitOutcome::Unknown { .. }));
    let seen = faults.load_table(&orders()).await.unwrap();
    assert_eq!(seen.metadata.current_snapshot_id(), Some(2), "it was applied all the same");
    let late = faults.land_held().await;
    assert!(matches!(late.as_slice(), [Ok(CommitOutcome::Conflict { .. })]), "what arrives late cannot land: {late:?}");
    assert!(matches!(commit(&*faults, &seen, 3).await.unwrap(), CommitOutcome::Unknown { .. }));
    assert_eq!(faults.load_table(&orders()).await.unwrap().metadata.current_snapshot_id(), Some(2));
    assert_eq!(applied(&*faults, &seen, 3).await.metadata.current_snapshot_id(), Some(3), "the identical commit lands");
    assert_eq!(faults.fired().len(), 4);
    assert_eq!(metadata_files(&seen), 3);
}

#[tokio::test]
async fn a_stale_base_costs_no_write() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory).await;
    let base = orders_in(&catalog).await;
    applied(&catalog, &base, 1).await;
    let before = catalog.store.meter();
    assert!(matches!(commit(&catalog, &base, 2).await.unwrap(), CommitOutcome::Conflict { .. }));
    assert_eq!(catalog.store.meter(), before);
}

#[tokio::test]
async fn a_database_that_cannot_answer_after_the_request_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory).await;
    let base = orders_in(&catalog).await;
    // The statement itself fails: SQLite reports an error that is on no allow-list.
    sqlx::query("CREATE TRIGGER refuse BEFORE UPDATE ON iceberg_tables BEGIN SELECT json('no'); END")
        .execute(&catalog.rows.pool)
        .await
        .unwrap();
    let outcome = commit(&catalog, &base, 1).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Unknown { .. }), "{outcome:?}");
    assert_eq!(metadata_files(&base), 2, "unknown deletes nothing");
    assert_eq!(catalog.load_table(&orders()).await.unwrap().metadata_location, base.metadata_location);
}

#[tokio::test]
async fn a_full_disk_refuses_the_commit_and_a_lost_reply_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let (catalog, faults) = open_faulty(&directory).await;
    let base = orders_in(&catalog).await;
    faults.script(Fault::new(Operation::Put, Effect::DiskFull).on_path(".metadata.json"));
    let error = commit(&catalog, &base, 1).await.unwrap_err();
    assert!(error.report().contains("the disk is full"), "{}", error.report());
    assert_eq!(catalog.load_table(&orders()).await.unwrap().metadata_location, base.metadata_location);
    faults.script(Fault::new(Operation::Put, Effect::FailAfter).on_path(".metadata.json"));
    assert_eq!(applied(&catalog, &base, 1).await.metadata.current_snapshot_id(), Some(1));
    assert_eq!(faults.fired().len(), 2);
}

#[tokio::test]
async fn i4_metadata_is_read_once() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory).await;
    let base = orders_in(&catalog).await;
    applied(&catalog, &base, 1).await;
    let before = catalog.store.meter().gets;
    catalog.load_table(&orders()).await.unwrap();
    assert_eq!(catalog.store.meter().gets, before, "an own commit is remembered");
    let other = open(&directory).await;
    other.load_table(&orders()).await.unwrap();
    other.load_table(&orders()).await.unwrap();
    assert_eq!(other.store.meter().gets, 1);
}

#[tokio::test]
async fn damaged_metadata_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let base = orders_in(&open(&directory).await).await;
    let file = path(&base.metadata_location);
    let packed = std::fs::read(file).unwrap();
    let mut whole = String::new();
    GzDecoder::new(&*packed).read_to_string(&mut whole).unwrap();
    std::fs::write(file, &packed[..packed.len() / 2]).unwrap();
    let error = open(&directory).await.load_table(&orders()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains(&base.metadata_location), "{}", error.report());
    let uuid = base.metadata.uuid().to_string();
    std::fs::write(file, whole.replace(&uuid, "00000000-0000-0000-0000-00000000000a")).unwrap();
    let error = commit(&open(&directory).await, &base, 1).await.unwrap_err();
    assert!(error.to_string().contains("is of another table"), "{}", error.report());
    assert!(error.to_string().contains(&base.metadata_location));
    std::fs::remove_file(file).unwrap();
    let error = open(&directory).await.load_table(&orders()).await.unwrap_err();
    assert!(error.to_string().contains(&base.metadata_location), "{}", error.report());
}

#[tokio::test]
async fn a_table_outside_of_the_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory).await;
    let base = orders_in(&catalog).await;
    let elsewhere = TableCreation { location: Some("file:///somewhere/else".into()), ..creation() };
    let table = TableName::new("bronze", "elsewhere").unwrap();
    assert_eq!(catalog.create_table(&table, elsewhere).await.unwrap_err().kind(), ErrorKind::Usage);
    let moved = vec![TableUpdate::SetLocation { location: "file:///somewhere/else".into() }];
    let error = catalog.commit(&orders(), &base, vec![], moved).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{}", error.report());
    let inside = TableCreation { location: Some(format!("{}/own/place/", root(&directory))), ..creation() };
    let made = catalog.create_table(&table, inside).await.unwrap();
    assert_eq!(made.metadata.location(), format!("{}/own/place", root(&directory)));
}

#[tokio::test]
async fn what_is_no_catalog_database_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_store(&directory);
    std::fs::write(directory.path().join("catalog.db"), "this is a text file, and quite a long one at that").unwrap();
    let error = open_with(&directory, store, Arc::new(SystemClock)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let report = error.report();
    assert!(report.contains("catalog.db is not a catalog database") && report.contains("hint: restore"), "{report}");
}

#[tokio::test]
async fn a_damaged_database_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory).await;
    orders_in(&catalog).await;
    catalog.rows.pool.close().await;
    let file = directory.path().join("catalog.db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100..].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let store = open_store(&directory);
    let error = open_with(&directory, store, Arc::new(SystemClock)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{}", error.report());
    assert!(error.to_string().contains("is damaged"), "{}", error.report());
}

#[derive(Debug)]
struct Hours(std::sync::atomic::AtomicI64);

impl Clock for Hours {
    fn now(&self) -> Millis {
        Millis(1_900_000_000_000 + 3_600_000 * self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_clock_that_steps_back_stops_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hours(0.into()));
    let store = open_store(&directory);
    let catalog = open_with(&directory, store, Arc::<Hours>::clone(&clock)).await.unwrap();
    let mut base = orders_in(&catalog).await;
    for (id, hours) in [(1, -1), (2, 2), (3, -5)] {
        clock.0.store(hours, std::sync::atomic::Ordering::SeqCst);
        let set = TableUpdate::SetProperties { updates: [("hours".to_owned(), hours.to_string())].into() };
        let CommitOutcome::Applied(next) = catalog.commit(&orders(), &base, vec![], vec![set]).await.unwrap() else {
            panic!()
        };
        base = applied(&catalog, &next, id).await;
        let reader = open(&directory).await;
        assert_eq!(reader.load_table(&orders()).await.unwrap().metadata, base.metadata, "readable by others");
    }
}

/// Not an assertion of speed: it prints what a commit costs on a table with a hundred snapshots.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "a measurement is for a person to read")]
async fn a_commit_on_a_hundred_snapshots_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory).await;
    let mut base = orders_in(&catalog).await;
    for id in 1..=100 {
        base = applied(&catalog, &base, id).await;
    }
    let started = std::time::Instant::now();
    for id in 101..=120 {
        base = applied(&catalog, &base, id).await;
    }
    let length = std::fs::metadata(path(&base.metadata_location)).unwrap().len();
    println!("{:?} a commit, metadata of {length} bytes", started.elapsed() / 20);
    assert_eq!(base.metadata.snapshots().count(), 120);
}
