//! Indexes of keys that go on on disk, are left for another process, are damaged, or keep too few bits: what a commit
//! deletes stays what a plain map says.

use std::path::Path;

use iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention};
use tableflow_model::ErrorKind;
use tempfile::TempDir;

use super::upserted::{Upserts, changes};
use super::*;
use crate::keys::KeyMemory;
use crate::upsert::{KeyedTable, StagedKeys};
use crate::write::FileNames;

const UNBOUNDED: u64 = 1 << 30;

/// Less than an empty index takes.
const NO_MEMORY: u64 = 1;

impl Upserts {
    /// Another process takes over what there is in the folder.
    async fn begin_in(&mut self, folder: &Path, memory: u64, bits: Option<u32>) {
        let seed = self.random.u64(..);
        let (metadata, nonce) = (self.table.metadata.clone(), Uuid::from_u128(self.random.u128(..)));
        let keyed = KeyedTable::new(self.table.store.clone(), &metadata, vec![1], seed).unwrap();
        let keyed = match bits {
            Some(bits) => keyed.with_key_bits(bits),
            None => keyed,
        };
        let kept_in = (folder.to_owned(), nonce);
        self.keyed = keyed.kept_in(&KeyMemory::new(memory), kept_in, metadata.uuid()).await.unwrap();
    }

    /// Somebody else takes the table back.
    fn roll_back_to(&mut self, snapshot: i64) {
        let retention = SnapshotRetention::branch(None, None, None);
        let reference = SnapshotReference::new(snapshot, retention);
        self.table.apply(vec![TableUpdate::SetSnapshotRef { ref_name: MAIN_BRANCH.to_owned(), reference }]);
    }

    /// Each key, with its row.
    async fn places(&self) -> BTreeMap<i64, Vec<(String, u32)>> {
        let keys: Vec<i64> = self.expected.keys().copied().collect();
        let batch = changes(&keys.iter().map(|key| (*key, 0)).collect::<Vec<_>>());
        let hashes = self.keyed.hasher().hashes(&batch.columns()[..1]).unwrap();
        let mut places = BTreeMap::new();
        for (key, hash) in keys.into_iter().zip(hashes) {
            places.insert(key, self.keyed.rows_of(hash).await);
        }
        places
    }

    async fn catch_up(&mut self) {
        let metadata = self.table.metadata.clone();
        self.keyed.catch_up(&metadata).await.unwrap();
    }
}

/// With a hash of three bits nearly every key is like others.
#[tokio::test]
async fn a_key_with_a_strangers_hash_never_deletes_the_strangers_row() {
    for (bits, seed) in [(0, 1), (3, 2), (13, 3)] {
        let mut upserts = Upserts::new("", "", seed);
        let with_few_bits = |upserts: &Upserts| {
            let (store, metadata) = (upserts.table.store.clone(), upserts.table.metadata.clone());
            KeyedTable::new(store, &metadata, vec![1], seed).unwrap().with_key_bits(bits)
        };
        upserts.keyed = with_few_bits(&upserts);
        for step in 0..20 {
            let count = upserts.random.usize(..30);
            let lot = upserts.by_lot(count);
            let refused = upserts.random.u32(..4).saturating_sub(2);
            upserts.epoch(&lot, refused).await;
            if step % 7 == 6 {
                upserts.keyed = with_few_bits(&upserts);
            }
            upserts.check(&format!("{bits} bits, seed {seed}, step {step}")).await;
        }
    }
}

#[tokio::test]
async fn one_row_a_key_whatever_becomes_of_the_index() {
    let mut taken_over = 0;
    for (bits, seed) in [(None, 1), (None, 2), (None, 3), (Some(5), 4)] {
        let (mut upserts, folder) = (Upserts::new("", "", seed), TempDir::new().unwrap());
        let mut history: Vec<(i64, BTreeMap<i64, i64>)> = Vec::new();
        upserts.begin_in(folder.path(), NO_MEMORY, bits).await;
        for step in 0..60 {
            let count = upserts.random.usize(..30);
            let lot = upserts.by_lot(count);
            let refused = upserts.random.u32(..6).saturating_sub(4);
            upserts.epoch(&lot, refused).await;
            let snapshot = upserts.table.metadata.current_snapshot_id().unwrap();
            history.push((snapshot, upserts.expected.clone()));
            match upserts.random.u8(..20) {
                0 => upserts.keyed.save().await,
                1 => upserts.keyed.end().await,
                2 | 3 => {
                    let memory = *upserts.random.choice([NO_MEMORY, UNBOUNDED, 1 << 20].iter()).unwrap();
                    upserts.begin_in(folder.path(), memory, bits).await;
                    upserts.catch_up().await;
                    let rows = upserts.table.total("total-records");
                    taken_over += u32::from(upserts.keyed.new_rows() < rows);
                }
                4 => {
                    history.retain(|(snapshot, _)| upserts.table.metadata.snapshot_by_id(*snapshot).is_some());
                    let (snapshot, expected) = upserts.random.choice(&history).unwrap().clone();
                    upserts.roll_back_to(snapshot);
                    upserts.expected = expected;
                }
                5 => {
                    upserts.table.compact().await;
                }
                6 => upserts.foreign().await,
                7 | 8 => {
                    upserts.catch_up().await;
                    upserts.keyed.purge().await.unwrap();
                }
                _ => {}
            }
            upserts.check(&format!("{bits:?} bits, seed {seed}, step {step}")).await;
        }
    }
    assert!(taken_over > 5, "taken over {taken_over} times");
}

/// Some commits, kept on disk as an orderly stop leaves them.
async fn stopped(seed: u64, memory: u64) -> (Upserts, TempDir) {
    let (mut upserts, folder) = (Upserts::new("", "", seed), TempDir::new().unwrap());
    upserts.begin_in(folder.path(), memory, None).await;
    for _ in 0..12 {
        let lot = upserts.by_lot(20);
        upserts.epoch(&lot, 0).await;
    }
    upserts.keyed.end().await;
    (upserts, folder)
}

#[tokio::test]
async fn the_next_process_reads_what_came_since_and_no_more() {
    for memory in [NO_MEMORY, UNBOUNDED] {
        let (mut upserts, folder) = stopped(1, memory).await;
        let before = upserts.places().await;
        upserts.begin_in(folder.path(), memory, None).await;
        upserts.catch_up().await;
        assert_eq!((upserts.keyed.new_rows(), upserts.places().await), (0, before));
        assert_eq!(upserts.keyed.extent().on_disk > 0, memory == NO_MEMORY);
        // An own commit, and one of others; nobody saves.
        upserts.epoch(&[(5, Some(5000)), (6, Some(6000)), (7, None)], 0).await;
        upserts.table.append(&changes(&[(777, 777)])).await;
        upserts.expected.insert(777, 777);
        upserts.begin_in(folder.path(), memory, None).await;
        upserts.catch_up().await;
        assert_eq!(upserts.keyed.new_rows(), 3);
        let places = upserts.places().await;
        assert!(places.values().all(|rows| rows.len() == 1), "{places:?}");
    }
}

/// It knows what one row of two is to go, and leaves that for nobody: the next process finds it anew.
#[tokio::test]
async fn of_two_rows_with_one_key_the_older_one_goes_whoever_commits_next() {
    for memory in [NO_MEMORY, UNBOUNDED] {
        let (mut upserts, folder) = stopped(6, memory).await;
        upserts.epoch(&[(1, Some(5000))], 0).await;
        for value in [6000, 7000] {
            upserts.table.append(&changes(&[(1, value), (2, value)])).await;
        }
        upserts.expected.extend([(1, 7000), (2, 7000)]);
        upserts.catch_up().await;
        upserts.keyed.save().await;
        upserts.begin_in(folder.path(), memory, None).await;
        upserts.epoch(&[(3, Some(8000))], 0).await;
        upserts.check("by the next process").await;
    }
}

/// The store does not hand out a file, and later it does.
#[tokio::test]
async fn what_was_not_read_to_its_end_is_read_anew() {
    let (mut upserts, _folder) = stopped(7, UNBOUNDED).await;
    for key in 0..20 {
        upserts.table.append(&changes(&[(2000 + key, key)])).await;
        upserts.expected.insert(2000 + key, key);
    }
    let (metadata, store) = (upserts.table.metadata.clone(), upserts.table.store.clone());
    let newest = upserts.table.live().await.into_iter().max_by_key(|live| live.sequence).unwrap();
    let path = newest.file.file_path();
    let bytes = store.get(path).await.unwrap();
    store.delete(path).await.unwrap();
    upserts.keyed.catch_up(&metadata).await.unwrap_err();
    store.put_new(path, bytes).await.unwrap();
    upserts.catch_up().await;
    let places = upserts.places().await;
    assert!(places.values().all(|rows| rows.len() == 1), "{places:?}");
}

#[tokio::test]
async fn an_index_of_another_table_or_other_keys_is_not_used() {
    let (upserts, folder) = stopped(2, UNBOUNDED).await;
    let mut other = Upserts::new("", "", 3);
    other.table.metadata = {
        let builder = other.table.metadata.as_ref().clone().into_builder(None).assign_uuid(Uuid::from_u128(99));
        Arc::new(builder.build().unwrap().metadata)
    };
    assert_ne!(other.table.metadata.uuid(), upserts.table.metadata.uuid());
    other.table.append(&changes(&[(1, 1)])).await;
    other.begin_in(folder.path(), UNBOUNDED, None).await;
    other.catch_up().await;
    assert_eq!((other.keyed.new_rows(), other.keyed.extent().keys), (1, 1));

    let (mut upserts, folder) = stopped(2, UNBOUNDED).await;
    let (store, metadata) = (upserts.table.store.clone(), upserts.table.metadata.clone());
    let by_value = KeyedTable::new(store, &metadata, vec![2], 1).unwrap();
    let kept_in = (folder.path().to_owned(), Uuid::from_u128(5));
    upserts.keyed = by_value.kept_in(&KeyMemory::new(UNBOUNDED), kept_in, metadata.uuid()).await.unwrap();
    upserts.catch_up().await;
    assert_eq!(upserts.keyed.new_rows(), upserts.table.total("total-records"));
}

/// Wherever it is cut, and whatever bit is another one.
#[tokio::test]
async fn a_damaged_index_is_built_anew() {
    let (mut upserts, folder) = stopped(4, UNBOUNDED).await;
    let (rows, places) = (upserts.table.total("total-records"), upserts.places().await);
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    let whole: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for (damaged, bytes) in whole.iter().enumerate() {
        for nth in 0..60 {
            for (path, whole) in files.iter().zip(&whole) {
                std::fs::write(path, whole).unwrap();
            }
            let at = upserts.random.usize(..bytes.len());
            let mut bytes = bytes.clone();
            match nth % 3 {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << upserts.random.u8(..8),
                _ => bytes[at..].fill(0),
            }
            if bytes == whole[damaged] {
                continue;
            }
            std::fs::write(&files[damaged], bytes).unwrap();
            upserts.begin_in(folder.path(), UNBOUNDED, None).await;
            upserts.catch_up().await;
            assert_eq!(upserts.keyed.new_rows(), rows, "{} at {at}, {nth}", files[damaged].display());
            assert_eq!(upserts.places().await, places);
        }
    }
}

/// A whole run, and of the same name.
#[tokio::test]
async fn a_run_of_another_index_is_not_taken_for_one_s_own() {
    let (mut upserts, folder) = stopped(8, UNBOUNDED).await;
    let (_, other) = stopped(9, UNBOUNDED).await;
    let run = |folder: &TempDir| {
        let mut files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        files.find(|path| path.extension().is_some()).unwrap()
    };
    std::fs::copy(run(&other), run(&folder)).unwrap();
    let places = upserts.places().await;
    upserts.begin_in(folder.path(), UNBOUNDED, None).await;
    upserts.catch_up().await;
    assert_eq!(upserts.keyed.new_rows(), upserts.table.total("total-records"));
    assert_eq!(upserts.places().await, places);
}

#[tokio::test]
async fn a_run_that_is_damaged_under_way_is_an_error_and_then_the_index_is_built_anew() {
    let (mut upserts, folder) = stopped(5, NO_MEMORY).await;
    upserts.catch_up().await;
    let places = upserts.places().await;
    assert_eq!(upserts.keyed.extent().on_disk, upserts.keyed.extent().keys);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        // In its place: it is open.
        std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let key = *upserts.expected.keys().next().unwrap();
    let hash = upserts.keyed.hasher().hashes(&changes(&[(key, 0)]).columns()[..1]).unwrap();
    let keys = StagedKeys { put: vec![hash], ..StagedKeys::default() };
    let name = EpochName { job: "bronze.t".parse().unwrap(), generation: Generation(9), epoch: Epoch(1000) };
    let mut names = FileNames::new(upserts.table.store.clone(), upserts.table.metadata.location(), name);
    let metadata = upserts.table.metadata.clone();
    let error = upserts.keyed.resolve(&metadata, &keys, &mut names).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.report());
    let again = upserts.keyed.resolve(&metadata, &keys, &mut names).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Unavailable, "nothing is resolved by an index that is void");
    upserts.catch_up().await;
    upserts.keyed.resolve(&metadata, &keys, &mut names).await.unwrap();
    assert_eq!(upserts.places().await, places);
}
