//! Rows that go by what they are, and manifests that become fewer, beside a plain map.

use datafusion::scalar::ScalarValue;

use super::compacted::SORT;
use super::upserted::{Upserts, changes};
use super::*;
use crate::commit::prepare_manifests;
use crate::layout::DeleteEncoding;
use crate::removal::{Which, prepare_removal};
use crate::write::FileNames;

impl Table {
    /// Rows that went, and data files.
    async fn remove(&mut self, which: &Which) -> Option<(u64, u64)> {
        self.epoch += 1;
        let name =
            EpochName { job: "compaction".parse().unwrap(), generation: Generation(1), epoch: Epoch(self.epoch) };
        let mut names = FileNames::new(self.store.clone(), self.metadata.location(), name);
        let metadata = self.metadata.clone();
        let removed = prepare_removal(self.context(), &metadata, which, &mut names, BTreeMap::new()).await.unwrap()?;
        self.publish(removed.prepared);
        Some((removed.rows, removed.data_files))
    }

    async fn fewer_manifests(&mut self) -> Option<(u64, u64)> {
        let metadata = self.metadata.clone();
        let fewer = prepare_manifests(self.context(), &metadata, &BTreeMap::new()).await.unwrap()?;
        self.publish(fewer.prepared);
        Some((fewer.before, fewer.after))
    }
}

fn before(micros: i64) -> Which {
    Which::Before { column: 3, value: ScalarValue::TimestampMicrosecond(Some(micros), Some("+00:00".into())) }
}

fn erased(key: i64) -> Which {
    Which::Erased { values: vec![(1, ScalarValue::Int64(Some(key)))] }
}

#[tokio::test]
async fn what_is_too_old_or_erased_is_gone_and_nothing_else() {
    use DeleteEncoding::{Copy, Position, Vector};
    for (seed, encoding, partition_by) in
        [(1, Position, ""), (2, Vector, "bucket(3, id)"), (3, Copy, "day(ts)"), (4, Position, "day(ts)")]
    {
        let mut upserts = Upserts::new(partition_by, "", seed);
        upserts.encode(encoding);
        let (mut old, mut gone) = (0, 0);
        for step in 0..30 {
            let count = upserts.random.usize(..25);
            let lot = upserts.by_lot(count);
            upserts.epoch(&lot, 0).await;
            let replay = format!("{encoding:?}, {partition_by}, seed {seed}, step {step}");
            match upserts.random.u8(..5) {
                0 => {
                    let day = upserts.random.i64(0..4);
                    let removed = upserts.table.remove(&before(day * DAY)).await;
                    let rows = upserts.expected.len();
                    upserts.expected.retain(|_, value| *value % 5 >= day);
                    assert_eq!(removed.map_or(0, |(rows, _)| rows), (rows - upserts.expected.len()) as u64, "{replay}");
                    old += u32::from(removed.is_some());
                }
                1 => {
                    let key = upserts.random.i64(0..40);
                    let removed = upserts.table.remove(&erased(key)).await;
                    let was_there = upserts.expected.remove(&key).is_some();
                    assert_eq!(removed.map_or(0, |(rows, _)| rows), u64::from(was_there), "{replay}");
                    for live in upserts.table.live().await {
                        assert!(!upserts.keys_of(live.file.file_path()).await.contains(&key), "{replay}: key {key}");
                    }
                    gone += u32::from(removed.is_some());
                }
                2 => drop(upserts.table.compact().await),
                _ => {}
            }
            upserts.check(&replay).await;
        }
        assert!(old > 0 && gone > 0, "old {old}, gone {gone}");
    }
}

/// A file all of whose rows are too old goes unread, without a delete file.
#[tokio::test]
async fn a_partition_that_is_too_old_is_dropped() {
    let mut table = Table::new(changes(&[]).schema().fields(), "day(ts)", "");
    for _ in 0..3 {
        table.append(&changes(&[(1, 0), (2, 1), (3, 2)])).await;
    }
    for live in table
        .live()
        .await
        .iter()
        .filter(|live| live.file.upper_bounds()[&2].literal() != &iceberg::spec::PrimitiveLiteral::Long(2))
    {
        table.store.delete(live.file.file_path()).await.unwrap();
    }
    assert_eq!(table.remove(&before(2 * DAY)).await, Some((6, 6)));
    assert_eq!((table.total("total-data-files"), table.total("total-delete-files")), (3, 0));
    assert_eq!(table.number("select count(*) from t").await, 3);
    assert_eq!(table.remove(&before(2 * DAY)).await, None);
}

/// In either version, whatever was merged or rewritten before; nothing of a file changes.
#[tokio::test]
async fn manifests_become_fewer_and_files_stay_as_they_are() {
    for encoding in [DeleteEncoding::Position, DeleteEncoding::Vector] {
        let mut upserts = Upserts::new("day(ts)", "", 6);
        upserts.encode(encoding);
        for _ in 0..24 {
            let lot = upserts.by_lot(20);
            upserts.epoch(&lot, 0).await;
        }
        let under_way = upserts.table.rewrite_by(SORT).await;
        upserts.table.try_publish(under_way).await.unwrap();
        for _ in 0..12 {
            let lot = upserts.by_lot(20);
            upserts.epoch(&lot, 0).await;
        }
        let named = |table: &Table| {
            table.metadata.current_snapshot().unwrap().summary().additional_properties["total-records"].clone()
        };
        let before = (upserts.table.live().await, named(&upserts.table));
        let (from, to) = upserts.table.fewer_manifests().await.unwrap();
        assert!(from > 6 && to == 2 && upserts.table.manifests().await == 2, "{from} to {to}: data and deletes");
        let sorted = |mut live: Vec<crate::commit::LiveFile>| {
            live.sort_by(|a, b| a.file.file_path().cmp(b.file.file_path()));
            live.into_iter().map(|live| (live.file, live.spec_id, live.sequence)).collect::<Vec<_>>()
        };
        let after = (upserts.table.live().await, named(&upserts.table));
        assert_eq!(sorted(after.0), sorted(before.0), "{encoding:?}");
        assert_eq!(after.1, before.1);
        upserts.check("fewer manifests").await;
        assert_eq!(upserts.table.fewer_manifests().await, None);
        upserts.epoch(&[(1, None), (2, Some(77))], 0).await;
        upserts.check("and on").await;
    }
}
