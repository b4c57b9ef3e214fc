//! The local disk: creating once, what killed processes leave behind, full disks, links that lead out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use tableflow_model::clock::SystemClock;
use tableflow_model::{Clock, ErrorKind, Millis};

use super::DurableLocalStore;
use crate::{ObjectInfo, PutOutcome, Store};

fn open(directory: &tempfile::TempDir) -> (Store, String) {
    let store = Store::open(directory.path().to_str().unwrap(), &SystemClock).unwrap();
    let root = store.root_uri();
    (store, root)
}

fn names(objects: Vec<ObjectInfo>, root: &str) -> Vec<String> {
    objects.into_iter().map(|object| object.uri.strip_prefix(root).unwrap().to_owned()).collect()
}

fn staged(directory: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join(".staged")).map(|entries| entries.map(|entry| entry.unwrap().path()));
    entries.map(Iterator::collect).unwrap_or_default()
}

#[tokio::test]
async fn i2_files_are_created_once_and_status_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (store, root) = open(&directory);
    let uri = format!("{root}/w/a b%20#x/é.parquet");
    assert_eq!(store.put_new(&uri, Bytes::from_static(b"one")).await.unwrap(), PutOutcome::Created);
    assert_eq!(store.put_new(&uri, Bytes::from_static(b"two")).await.unwrap(), PutOutcome::Taken);
    assert_eq!(store.put_new(&uri, Bytes::from_static(b"one")).await.unwrap(), PutOutcome::Identical);
    assert_eq!(fs::read(directory.path().join("w/a b%20#x/é.parquet")).unwrap(), b"one", "URIs are literal");
    let status = format!("{root}/service.json");
    store.put_overwrite(&status, Bytes::from_static(b"1")).await.unwrap();
    store.put_overwrite(&status, Bytes::from_static(b"22")).await.unwrap();
    assert_eq!(store.get(&status).await.unwrap(), "22");
    assert_eq!(names(store.list_all(&root).await.unwrap(), &root), ["/service.json", "/w/a b%20#x/é.parquet"]);
    assert!(staged(directory.path()).is_empty() && staged(&directory.path().join("w")).is_empty());
}

#[tokio::test]
async fn i2_racing_creates_have_one_winner() {
    let directory = tempfile::tempdir().unwrap();
    let (store, root) = open(&directory);
    let uri = format!("{root}/w/t/race");
    let mut tasks = Vec::new();
    for number in 0..16 {
        let (store, uri) = (store.clone(), uri.clone());
        tasks.push(tokio::spawn(async move {
            let content = Bytes::from(format!("writer {number}"));
            (store.put_new(&uri, content.clone()).await.unwrap(), content)
        }));
    }
    let mut winners = Vec::new();
    for task in tasks {
        let (outcome, content) = task.await.unwrap();
        assert_ne!(outcome, PutOutcome::Identical);
        winners.extend((outcome == PutOutcome::Created).then_some(content));
    }
    assert_eq!(winners, [store.get(&uri).await.unwrap()]);
}

#[tokio::test]
async fn i2_an_object_comes_in_no_parts_and_from_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (store, root) = open(&directory);
    store.put_new(&format!("{root}/w/t/one"), Bytes::from_static(b"1")).await.unwrap();
    let [one, two] = ["one", "two"].map(|name| store.path(&format!("{root}/w/t/{name}")).unwrap());
    let disk = DurableLocalStore::open(directory.path(), &SystemClock).unwrap();
    for objects in [store.object_store(), Arc::new(disk)] {
        let refused = |error| matches!(error, object_store::Error::NotImplemented { .. });
        assert!(refused(objects.put_multipart(&two).await.unwrap_err()));
        assert!(refused(objects.copy(&one, &two).await.unwrap_err()));
    }
    assert_eq!(names(store.list_all(&root).await.unwrap(), &root), ["/w/t/one"]);
    assert!(staged(&directory.path().join("w")).is_empty());
}

#[derive(Debug)]
struct At(i64);

impl Clock for At {
    fn now(&self) -> Millis {
        Millis(self.0)
    }
}

#[tokio::test]
async fn i3_what_a_killed_process_staged_is_hidden_then_swept() {
    let directory = tempfile::tempdir().unwrap();
    let (store, root) = open(&directory);
    let leftovers = ["w/.staged/1#1", ".staged/1#2"].map(|name| directory.path().join(name));
    for leftover in &leftovers {
        fs::create_dir_all(leftover.parent().unwrap()).unwrap();
        fs::write(leftover, "half").unwrap();
    }
    assert!(store.list_all(&root).await.unwrap().is_empty());
    assert!(store.get(&format!("{root}/w/.staged/1#1")).await.is_err());
    let now = SystemClock.now().0;
    for (clock, left) in [(At(now + 59 * 60 * 1000), true), (At(now + 61 * 60 * 1000), false)] {
        Store::open(directory.path().to_str().unwrap(), &clock).unwrap();
        assert!(leftovers.iter().all(|leftover| leftover.exists() == left), "{clock:?}");
    }
}

#[tokio::test]
async fn i3_a_failed_write_leaves_nothing_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let (store, root) = open(&directory);
    fs::create_dir(directory.path().join("w")).unwrap();
    fs::write(directory.path().join("w/t"), "a file where a directory belongs").unwrap();
    let error = store.put_new(&format!("{root}/w/t/x"), Bytes::from_static(b"1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.report());
    assert!(error.report().contains("w/t"), "{}", error.report());
    assert!(staged(&directory.path().join("w")).is_empty());
}

/// A device that is full for every write: `/dev/full` behind a link is refused, so a small mount is what a real
/// test needs; here the translation of the two errors is held.
#[test]
fn disk_errors_name_their_remedy() {
    use std::io;
    let cases = [
        (io::Error::from(io::ErrorKind::StorageFull), "the disk is full"),
        (io::Error::from_raw_os_error(28), "the disk is full"),
        (io::Error::from_raw_os_error(122), "the disk is full"),
        (io::Error::from_raw_os_error(5), "the disk reports an I/O error"),
        (io::Error::from_raw_os_error(30), "mounted read-only"),
        (io::Error::from_raw_os_error(13), "the right to read and write"),
    ];
    for (source, words) in cases {
        let disk = super::DiskError { action: "write", path: PathBuf::from("/w/x"), source };
        let report = crate::error::translate("write", "file:///w/x", disk.into()).report();
        assert!(report.contains(words) && report.contains("/w/x"), "{report}");
    }
}

#[tokio::test]
async fn i4_symbolic_links_do_not_lead_out() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (store, root) = open(&directory);
    fs::create_dir(directory.path().join("w")).unwrap();
    symlink(outside.path(), directory.path().join("w/link")).unwrap();
    symlink(outside.path().join("secret"), directory.path().join("w/file")).unwrap();
    symlink(outside.path(), directory.path().join("top")).unwrap();
    for name in ["w/link/secret", "w/file"] {
        let error = store.get(&format!("{root}/{name}")).await.unwrap_err();
        assert!(error.report().contains("leads out"), "{}", error.report());
        assert!(store.delete(&format!("{root}/{name}")).await.is_err());
    }
    for name in ["w/link/new", "w/link/a/b/new", "top/a/new"] {
        assert!(store.put_new(&format!("{root}/{name}"), Bytes::from_static(b"1")).await.is_err(), "{name}");
    }
    let left: Vec<_> = fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["secret"]);
}

#[tokio::test]
async fn a_root_behind_a_link_is_its_real_path() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("real")).unwrap();
    symlink(directory.path().join("real"), directory.path().join("link")).unwrap();
    let store = Store::open(&format!("file://{}/link", directory.path().display()), &SystemClock).unwrap();
    let real = fs::canonicalize(directory.path().join("real")).unwrap();
    assert_eq!(store.root_uri(), format!("file://{}", real.display()));
}
