//! Kills a process at every point of the commit path, then looks at what it left.
//!
//! The test starts itself again as the victim: a process of its own that is told by its environment where to end.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use tableflow_model::JobName;
use tableflow_model::protocol::{Epoch, FileName, Generation};
use tableflow_store::kill::ENVIRONMENT_VARIABLE;
use tableflow_store::paths::StatePaths;

use super::*;

const VICTIM: &str = "TABLEFLOW_TEST_VICTIM";
const THIS_TEST: &str = "embedded::tests::kill::i2_a_process_killed_anywhere_loses_nothing_it_acknowledged";

/// Enough for the metadata log to overflow.
const COMMITS: i64 = 13;

/// Every kind of object, then a commit, until all are there; says what is acknowledged.
#[expect(clippy::print_stdout, reason = "the way to tell the process that watches")]
async fn victim(directory: &Path) {
    let store = open_store(directory);
    let catalog = open(directory).await;
    if !catalog.table_exists(&orders()).await.unwrap() {
        let namespaces = catalog.list_namespaces().await.unwrap();
        if namespaces.is_empty() {
            catalog.create_namespace("bronze", &Properties::new()).await.unwrap();
        }
        catalog.create_table(&orders(), creation()).await.unwrap();
    }
    let mut base = catalog.load_table(&orders()).await.unwrap();
    let state = StatePaths::new(&format!("{}/state", root(directory)));
    let job: JobName = "bronze.orders".parse().unwrap();
    let paths = TablePaths::at(base.metadata.location());
    for id in 1..=COMMITS {
        if base.metadata.snapshot_by_id(id).is_some() {
            continue;
        }
        let content = Bytes::from(format!("content {id}"));
        for uri in [
            paths.data_file(&FileName::new(&job, Generation(1), Epoch(id as u64), 0)),
            paths.manifest(uuid::Uuid::from_u128(id as u128), 0),
            paths.manifest_list(id, 0, uuid::Uuid::from_u128(id as u128)),
            state.epoch(&job, id as u64),
            state.definition(&orders(), id as u32),
        ] {
            let outcome = store.put_new(&uri, content.clone()).await.unwrap();
            assert_ne!(outcome, PutOutcome::Taken, "{uri}");
        }
        store.put_overwrite(&state.status(&orders()), content).await.unwrap();
        store.delete(&state.epoch(&job, id as u64 - 1)).await.unwrap();
        base = applied(&catalog, &base, id).await;
        println!("acknowledged {id}");
    }
}

fn run_victim(directory: &Path, kill_at: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([THIS_TEST, "--exact", "--nocapture"]).env(VICTIM, directory);
    match kill_at {
        Some(point) => command.env(ENVIRONMENT_VARIABLE, point),
        None => command.env_remove(ENVIRONMENT_VARIABLE),
    };
    command.output().unwrap()
}

fn acknowledged(output: &Output) -> Vec<i64> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.split_once("acknowledged ")?.1.parse().ok()).collect()
}

fn snapshot_ids(table: &LoadedTable) -> Vec<i64> {
    let mut ids: Vec<i64> = table.metadata.snapshots().map(|snapshot| snapshot.snapshot_id()).collect();
    ids.sort_unstable();
    ids
}

/// Every object that can be listed is whole.
async fn check_objects(directory: &Path) {
    let store = open_store(directory);
    for object in store.list_all(&root(directory)).await.unwrap() {
        let bytes = store.get(&object.uri).await.unwrap();
        if object.uri.ends_with(".metadata.json") {
            metadata::parse(&object.uri, &bytes).unwrap();
        } else if !object.uri.contains("/catalog.db") {
            assert!(bytes.starts_with(b"content "), "{}", object.uri);
        }
    }
}

#[tokio::test]
async fn i2_a_process_killed_anywhere_loses_nothing_it_acknowledged() {
    if let Ok(directory) = std::env::var(VICTIM) {
        return victim(Path::new(&directory)).await;
    }
    for point in KillPoint::of_jobs() {
        for nth in [1, 3] {
            let only_once = matches!(point, KillPoint::CatalogCreateBefore | KillPoint::CatalogCreateAfter);
            if only_once && nth > 1 {
                continue;
            }
            let directory = tempfile::tempdir().unwrap();
            let directory = directory.path();
            let killed = run_victim(directory, Some(&format!("{point}:{nth}")));
            assert_eq!(killed.status.signal(), Some(9), "{point}:{nth} was not hit: {killed:?}");
            check_objects(directory).await;
            if let Ok(table) = open(directory).await.load_table(&orders()).await {
                let (ids, told) = (snapshot_ids(&table), acknowledged(&killed));
                assert_eq!(ids, (1..=ids.len() as i64).collect::<Vec<_>>(), "{point}:{nth}");
                assert!(ids.starts_with(&told), "{point}:{nth}: {told:?} was acknowledged, {ids:?} is there");
                assert!(ids.len() <= told.len() + 1, "{point}:{nth}: more than the one in flight");
            }
            let finished = run_victim(directory, None);
            assert!(finished.status.success(), "{point}:{nth}: {finished:?}");
            let table = open(directory).await.load_table(&orders()).await.unwrap();
            assert_eq!(snapshot_ids(&table), (1..=COMMITS).collect::<Vec<_>>(), "{point}:{nth}");
        }
    }
}

/// The order that a power cut relies on: at the point before the swap the file is there and the row is the old one.
#[tokio::test]
async fn i2_the_file_is_there_before_the_row() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let killed = run_victim(directory, Some(&format!("{}:2", KillPoint::CatalogSwapBefore)));
    assert_eq!(killed.status.signal(), Some(9));
    let catalog = open(directory).await;
    let base = catalog.load_table(&orders()).await.unwrap();
    assert_eq!(snapshot_ids(&base), [1]);
    let files = catalog.store.list_all(&format!("{}/metadata", base.metadata.location())).await.unwrap();
    let written = files.iter().find(|file| file.uri.contains("/00002-")).expect("the third metadata file");
    let next = metadata::parse(&written.uri, &catalog.store.get(&written.uri).await.unwrap()).unwrap();
    assert_eq!(next.current_snapshot_id(), Some(2));
    let (requirements, updates) = append(&base, 2);
    let outcome = catalog.commit(&orders(), &base, requirements, updates).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Applied(_)), "the identical commit is sent again: {outcome:?}");
}
