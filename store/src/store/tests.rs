//! The store over faulty memory: lost requests and replies, torn bodies, a full disk, names outside of the root.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use tableflow_model::ErrorKind;
use tableflow_model::clock::SystemClock;

use super::*;
use crate::fault::{Effect, Fault, FaultStore, Operation};

const URI: &str = "memory:///w/t/data/a.parquet";

fn faulty() -> (Store, Arc<FaultStore>) {
    let faults = FaultStore::new(Arc::new(InMemory::new()));
    (Store::with_object_store("memory:///w", Arc::<FaultStore>::clone(&faults)).unwrap(), faults)
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn i1_a_store_never_leaves_its_root() {
    let store = Store::with_object_store("s3://b/w", Arc::new(InMemory::new())).unwrap();
    assert_eq!(store.path("s3://b/w/x").unwrap().as_ref(), "w/x");
    for outside in
        ["s3://b/wider/x", "s3://b/other/x", "s3://c/w/x", "s3a://b/w/x", "/w/x", "s3://b/w/../x", "s3://b/w/%2e%2e/x"]
    {
        let error = store.get(outside).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{outside}: {}", error.report());
    }
    assert_eq!(Store::open("ftp://b/w", &SystemClock).unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn i2_a_put_tells_created_identical_and_taken_apart() {
    let (store, _) = faulty();
    assert_eq!(store.put_new(URI, bytes("abc")).await.unwrap(), PutOutcome::Created);
    assert_eq!(store.put_new(URI, bytes("abc")).await.unwrap(), PutOutcome::Identical);
    assert_eq!(store.put_new(URI, bytes("abd")).await.unwrap(), PutOutcome::Taken);
    assert_eq!(store.put_new(URI, bytes("abcd")).await.unwrap(), PutOutcome::Taken);
    assert_eq!(store.get(URI).await.unwrap(), "abc");
}

#[tokio::test]
async fn i2_a_lost_reply_is_recognised_as_ours() {
    let (store, faults) = faulty();
    faults.script(Fault::new(Operation::Put, Effect::FailAfter));
    assert_eq!(store.put_new(URI, bytes("abc")).await.unwrap(), PutOutcome::Identical);
    assert_eq!(faults.fired().len(), 1);
}

#[tokio::test]
async fn i2_a_lost_reply_to_a_put_that_lost_the_race_is_taken() {
    let (store, faults) = faulty();
    store.put_new(URI, bytes("theirs")).await.unwrap();
    faults.script(Fault::new(Operation::Put, Effect::FailBefore));
    assert_eq!(store.put_new(URI, bytes("ours")).await.unwrap(), PutOutcome::Taken);
}

#[tokio::test]
async fn i4_a_lost_request_is_sent_again_but_not_for_ever() {
    let (store, faults) = faulty();
    faults.script(Fault::new(Operation::Put, Effect::FailBefore).times(2));
    assert_eq!(store.put_new(URI, bytes("abc")).await.unwrap(), PutOutcome::Created);
    faults.script(Fault::new(Operation::Put, Effect::FailBefore).times(99));
    let error = store.put_new("memory:///w/b", bytes("abc")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(faults.fired().len(), 2 + ATTEMPTS_MAX as usize);
}

#[tokio::test]
async fn a_full_disk_is_a_clear_error_at_once() {
    let (store, faults) = faulty();
    faults.script(Fault::new(Operation::Put, Effect::DiskFull));
    let error = store.put_new(URI, bytes("abc")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.report().contains("detail: the disk is full"), "{}", error.report());
    assert_eq!(faults.fired().len(), 1, "trying again cannot help");
    assert_eq!(store.get(URI).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn i3_a_torn_body_is_read_again_and_never_handed_on() {
    let (store, faults) = faulty();
    store.put_new(URI, bytes("abcdef")).await.unwrap();
    faults.script(Fault::new(Operation::Get, Effect::Truncate(3)));
    assert_eq!(store.get(URI).await.unwrap(), "abcdef");
    faults.script(Fault::new(Operation::Get, Effect::Truncate(1)));
    assert_eq!(store.get_range(URI, 2..5).await.unwrap(), "cde");
    faults.script(Fault::new(Operation::Get, Effect::Truncate(5)).times(99));
    let error = store.get(URI).await.unwrap_err();
    assert!(error.report().contains("5 bytes were received where 6 were expected"), "{}", error.report());
    assert!(store.get_range(URI, 0..6).await.is_err());
}

#[tokio::test]
async fn i3_a_range_past_the_end_is_an_error() {
    let (store, _) = faulty();
    store.put_new(URI, bytes("abc")).await.unwrap();
    assert!(store.get_range(URI, 1..9).await.is_err());
    assert!(store.get_range(URI, 7..9).await.is_err());
}

#[tokio::test]
async fn listing_and_deleting() {
    let (store, faults) = faulty();
    for (name, text) in [("t/b", "22"), ("t/a", "1"), ("t2/c", "333")] {
        store.put_new(&format!("memory:///w/{name}"), bytes(text)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let names = |objects: Vec<ObjectInfo>| objects.into_iter().map(|o| (o.uri, o.size)).collect::<Vec<_>>();
    let both = [("memory:///w/t/a".to_owned(), 1), ("memory:///w/t/b".to_owned(), 2)];
    assert_eq!(names(store.list_all("memory:///w/t").await.unwrap()), both);
    faults.script(Fault::new(Operation::List, Effect::StaleList));
    assert_eq!(names(store.list_all("memory:///w/t/").await.unwrap()), both[1..]);
    store.delete("memory:///w/t/a").await.unwrap();
    store.delete("memory:///w/t/a").await.unwrap();
    assert_eq!(names(store.list_all("memory:///w/t").await.unwrap()), both[1..]);
    assert_eq!(store.head("memory:///w/t/a").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(store.head("memory:///w/t2/c").await.unwrap().modified.0 > 1_600_000_000_000);
    assert!(store.list("memory:///other").is_err());
}

#[tokio::test]
async fn the_meter_counts_requests_and_bytes() {
    let store = Store::open("memory:///w", &SystemClock).unwrap();
    store.put_new("memory:///w/a", bytes("abcd")).await.unwrap();
    store.get_range("memory:///w/a", 1..3).await.unwrap();
    store.head("memory:///w/a").await.unwrap();
    store.list_all("memory:///w").await.unwrap();
    store.delete("memory:///w/a").await.unwrap();
    let expected = MeterSnapshot { puts: 1, gets: 2, lists: 1, deletes: 1, bytes_in: 2, bytes_out: 4 };
    assert_eq!(store.meter(), expected);
}

#[tokio::test]
async fn seeded_faults_replay_and_never_corrupt() {
    let run = async |seed| {
        let faults = FaultStore::seeded(Arc::new(InMemory::new()), seed, 4);
        let store = Store::with_object_store("memory:///w", Arc::<FaultStore>::clone(&faults)).unwrap();
        let mut acknowledged = Vec::new();
        for number in 0..12 {
            let uri = format!("memory:///w/{number}");
            if store.put_new(&uri, bytes("the same long content")).await.is_ok() {
                acknowledged.push(uri);
            }
        }
        for uri in &acknowledged {
            if let Ok(read) = store.get(uri).await {
                assert_eq!(read, "the same long content");
            }
        }
        faults.fired()
    };
    let (first, again) = (run(7).await, run(7).await);
    assert!(!first.is_empty());
    assert_eq!(first, again);
}
