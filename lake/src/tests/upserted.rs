//! A table with one row a key, changed by seeded changes, by us and by others, beside a plain map.

use iceberg::spec::Operation;

use super::deleted::longs_of;
use super::*;
use crate::read::FileRows;
use crate::upsert::{Collapse, KeyedTable, Order, StagedKeys};

/// Key, value; a day each of five that follows from the value.
pub(super) fn changes(changes: &[(i64, i64)]) -> RecordBatch {
    let ts = TimestampMicrosecondArray::from_iter_values(changes.iter().map(|(_, value)| value % 5 * DAY));
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from_iter_values(changes.iter().map(|(key, _)| *key))) as ArrayRef, true),
        ("value", Arc::new(Int64Array::from_iter_values(changes.iter().map(|(_, value)| *value))) as ArrayRef, true),
        ("ts", Arc::new(ts.with_timezone("+00:00")) as ArrayRef, true),
    ])
    .unwrap()
}

/// A table, its writer, and what it must hold.
pub(super) struct Upserts {
    pub table: Table,
    pub keyed: KeyedTable,
    pub expected: BTreeMap<i64, i64>,
    pub random: fastrand::Rng,
    /// Epochs have change files.
    pub tells: bool,
    next_offset: i64,
    next_value: i64,
}

impl Upserts {
    pub fn new(partition_by: &str, sort_by: &str, seed: u64) -> Self {
        let table = Table::new(changes(&[]).schema().fields(), partition_by, sort_by);
        let keyed = KeyedTable::new(table.store.clone(), &table.metadata, vec![1], seed).unwrap();
        let (random, next_offset, next_value) = (fastrand::Rng::with_seed(seed), 0, 0);
        Upserts { table, keyed, expected: BTreeMap::new(), random, tells: false, next_offset, next_value }
    }

    /// Puts and deletes by lot, of few keys, so that they come again. No value comes twice.
    pub fn by_lot(&mut self, count: usize) -> Vec<(i64, Option<i64>)> {
        let mut change = |_| {
            self.next_value += 1;
            (self.random.i64(0..40), (self.random.u8(..10) > 1).then_some(self.next_value))
        };
        (0..count).map(&mut change).collect()
    }

    /// One epoch: collapsed, staged, resolved on the base, committed. `tries`: so often is the commit refused first,
    /// since somebody else came before.
    pub async fn epoch(&mut self, lot: &[(i64, Option<i64>)], refused: u32) {
        self.table.epoch += 1;
        let mut collapse = if self.tells { Collapse::telling() } else { Collapse::default() };
        for (key, value) in lot {
            self.next_offset += 1;
            let order = [Order { timestamp: 0, partition: 0, offset: self.next_offset }];
            let batch = changes(&[(*key, value.unwrap_or_default())]);
            let hashes = self.keyed.hasher().hashes(&batch.columns()[..1]).unwrap();
            match value {
                Some(_) => collapse.put(batch, &hashes, &order),
                None => collapse.delete(batch.project(&[0]).unwrap(), &hashes, &order),
            }
        }
        let collapsed = collapse.finish(&changes(&[]).schema()).unwrap();
        let name =
            EpochName { job: "bronze.t".parse().unwrap(), generation: Generation(1), epoch: Epoch(self.table.epoch) };
        let metadata = self.table.metadata.clone();
        let stager = Stager::new(self.table.store.clone(), &metadata, metadata.current_schema().clone(), name).unwrap();
        let mut stager = stager.with_keys(vec![1], self.keyed.hasher().clone());
        for batch in &collapsed.rows {
            stager.write(batch).await.unwrap();
        }
        let mut staged = stager.finish().await.unwrap();
        let changes = match collapsed.versions {
            Some(versions) => versions.put(metadata.current_schema(), &mut staged.names).await.unwrap(),
            None => None,
        };
        let keys = StagedKeys { put: staged.keys, deleted: collapsed.deleted, empties: false };
        for refused in (0..=refused).rev() {
            let metadata = self.table.metadata.clone();
            self.keyed.catch_up(&metadata).await.unwrap();
            let resolved = self.keyed.resolve(&metadata, &keys, &mut staged.names).await.unwrap();
            let delta = RowDelta {
                files: staged.files.clone(),
                spec_id: metadata.default_partition_spec_id(),
                deletes: resolved.deletes.clone(),
                changes: changes.clone(),
                ..RowDelta::default()
            };
            let prepared = prepare_row_delta(self.table.context(), &metadata, &delta).await.unwrap();
            if refused > 0 {
                self.foreign().await;
                continue;
            }
            self.table.publish(prepared.clone());
            let files = (staged.files.as_slice(), delta.spec_id);
            self.keyed.committed(&self.table.metadata, &prepared, files, &keys, resolved).unwrap();
        }
        for (key, value) in lot {
            match value {
                Some(value) => self.expected.insert(*key, *value),
                None => self.expected.remove(key),
            };
        }
    }

    /// Somebody else appends keys that nobody has, or deletes some rows of a file.
    pub async fn foreign(&mut self) {
        let live = match self.table.metadata.current_snapshot() {
            Some(_) => self.table.live().await,
            None => Vec::new(),
        };
        if live.is_empty() || self.random.bool() {
            return self.foreign_append().await;
        }
        // From version 3 of the format on no files of positions may come.
        if self.table.metadata.format_version() == FormatVersion::V3 {
            return self.foreign_values().await;
        }
        let of = self.random.choice(&live).unwrap().clone();
        let bytes = self.table.store.get(of.file.file_path()).await.unwrap();
        let batches: Vec<RecordBatch> = FileRows::of(bytes).unwrap().map(Result::unwrap).collect();
        let keys: Vec<i64> = batches.iter().flat_map(|batch| longs_of(batch, 0)).collect();
        let values: Vec<i64> = batches.iter().flat_map(|batch| longs_of(batch, 1)).collect();
        let row = self.random.usize(..keys.len());
        let delete = self.table.positions(&of, &[(of.file.file_path(), row as u64)], false).await;
        self.table.delete(of.spec_id, vec![delete]).await;
        // Unless it was no row any more.
        if self.expected.get(&keys[row]) == Some(&values[row]) {
            self.expected.remove(&keys[row]);
        }
    }

    async fn foreign_append(&mut self) {
        let key = 1000 + self.random.i64(0..1_000_000_000);
        self.table.append(&changes(&[(key, key)])).await;
        self.expected.insert(key, key);
    }

    /// Somebody else deletes a row of a file by the value of its key, or appends a key.
    pub async fn foreign_values(&mut self) {
        let live = self.table.live().await;
        let Some(of) = self.random.choice(&live).cloned() else { return };
        let bytes = self.table.store.get(of.file.file_path()).await.unwrap();
        let batches: Vec<RecordBatch> = FileRows::of(bytes).unwrap().map(Result::unwrap).collect();
        let rows = batches.iter().flat_map(|batch| longs_of(batch, 0).into_iter().zip(longs_of(batch, 1)));
        let left: Vec<i64> =
            rows.filter(|(key, value)| self.expected.get(key) == Some(value)).map(|(key, _)| key).collect();
        let Some(key) = self.random.choice(&left).copied() else { return self.foreign_append().await };
        let delete = self.table.equality(Some(&of), &[1], vec![Arc::new(Int64Array::from(vec![key]))]).await;
        self.table.delete(of.spec_id, vec![delete]).await;
        self.expected.remove(&key);
    }

    /// As they stand in a file.
    pub async fn keys_of(&self, path: &str) -> Vec<i64> {
        let rows = FileRows::of(self.table.store.get(path).await.unwrap()).unwrap();
        rows.flat_map(|batch| longs_of(&batch.unwrap(), 0)).collect()
    }

    pub async fn check(&self, replay: &str) {
        let batches = self.table.query("select id, value from t order by id").await;
        let found: Vec<(i64, i64)> =
            batches.iter().flat_map(|batch| longs_of(batch, 0).into_iter().zip(longs_of(batch, 1))).collect();
        let expected: Vec<(i64, i64)> = self.expected.iter().map(|(key, value)| (*key, *value)).collect();
        assert_eq!(found, expected, "{replay}");
    }
}

#[tokio::test]
async fn one_row_a_key_whatever_others_do_meanwhile() {
    for (partition_by, sort_by, seed) in [("", "", 1), ("day(ts)", "", 2), ("bucket(3, id)", "value", 3), ("", "id", 4)]
    {
        let mut upserts = Upserts::new(partition_by, sort_by, seed);
        for step in 0..40 {
            let count = upserts.random.usize(..30);
            let lot = upserts.by_lot(count);
            let refused = upserts.random.u32(..5).saturating_sub(2);
            upserts.epoch(&lot, refused).await;
            if upserts.random.u8(..10) == 0 {
                // As after a restart: nothing is known.
                let (store, metadata) = (upserts.table.store.clone(), upserts.table.metadata.clone());
                upserts.keyed = KeyedTable::new(store, &metadata, vec![1], seed).unwrap();
            }
            upserts.check(&format!("{partition_by}, {sort_by}, seed {seed}, step {step}")).await;
        }
    }
}

/// Up to 64 data files of a partition get a delete file each, which replaces the one before; more share one.
#[tokio::test]
async fn delete_files_are_few_whatever_is_touched() {
    let mut upserts = Upserts::new("", "", 1);
    for key in 0..70 {
        upserts.epoch(&[(key, Some(key)), (1000 + key, Some(key))], 0).await;
    }
    let delete_files = |upserts: &Upserts| upserts.table.total("total-delete-files");
    upserts.epoch(&(0..64).map(|key| (key, Some(-key))).collect::<Vec<_>>(), 0).await;
    assert_eq!(delete_files(&upserts), 64);
    upserts.epoch(&(1000..1064).map(|key| (key, None)).collect::<Vec<_>>(), 0).await;
    assert_eq!(delete_files(&upserts), 64, "each took the place of the one before");
    assert_eq!(upserts.table.total("total-position-deletes"), 128);
    upserts.check("a delete file each").await;
    upserts.epoch(&(0..70).map(|key| (key, None)).collect::<Vec<_>>(), 0).await;
    upserts.epoch(&(1064..1070).map(|key| (key, None)).collect::<Vec<_>>(), 0).await;
    upserts.check("more than 64 of them").await;
    upserts.epoch(&(2000..2070).map(|key| (key, Some(key))).collect::<Vec<_>>(), 0).await;
    assert_eq!(upserts.table.metadata.current_snapshot().unwrap().summary().operation, Operation::Append);
}

/// Which of two rows with one key goes is found on the base of each try, not kept from the one before.
#[tokio::test]
async fn a_row_does_not_go_for_one_that_is_gone_again() {
    let mut upserts = Upserts::new("", "", 9);
    upserts.epoch(&[(1, Some(5))], 0).await;
    upserts.table.append(&changes(&[(1, 6)])).await;
    // A try to commit that comes to nothing.
    let metadata = upserts.table.metadata.clone();
    upserts.keyed.catch_up(&metadata).await.unwrap();
    let live = upserts.table.live().await;
    let foreign = live.iter().max_by_key(|live| live.sequence).unwrap();
    let delete = upserts.table.positions(foreign, &[(foreign.file.file_path(), 0)], false).await;
    upserts.table.delete(foreign.spec_id, vec![delete]).await;
    upserts.epoch(&[(2, Some(7))], 0).await;
    upserts.check("the other row of key 1 went before").await;
}
