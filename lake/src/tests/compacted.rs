//! Files rewritten beside whatever else is committed: the rows stay what a plain map says.

use std::sync::Arc;

use tableflow_model::Result;

use super::upserted::{Upserts, changes};
use super::*;
use crate::compact::{Plan, Rewriter, Rewritten, Strategy, Thresholds, plan, prepare_step, prepare_tidying};
use crate::upsert::KeyedTable;
use crate::write::FileNames;

const TARGET: u64 = 1 << 20;

const SORT: Strategy = Strategy::Sort { memory_bytes: 64 << 20 };

/// A compaction between its plan and its commit.
struct UnderWay {
    plan: Arc<Plan>,
    done: Vec<Rewritten>,
    names: FileNames,
}

impl Table {
    async fn plan(&self) -> Plan {
        plan(&self.store, &self.metadata, |_| true, Thresholds::new(TARGET)).await.unwrap()
    }

    async fn rewrite(&mut self) -> UnderWay {
        self.rewrite_by(Strategy::BinPack).await
    }

    async fn rewrite_by(&mut self, strategy: Strategy) -> UnderWay {
        let thresholds = Thresholds { sorts: strategy != Strategy::BinPack, ..Thresholds::new(TARGET) };
        let plan = Arc::new(plan(&self.store, &self.metadata, |_| true, thresholds).await.unwrap());
        self.epoch += 1;
        let name =
            EpochName { job: "compaction".parse().unwrap(), generation: Generation(1), epoch: Epoch(self.epoch) };
        let planned = (plan.clone(), strategy);
        let rewriter = Arc::new(Rewriter::new(self.store.clone(), self.metadata.clone(), planned, name).unwrap());
        let mut done = Vec::new();
        for group in plan.groups.clone() {
            done.push(rewriter.clone().rewrite(group).await.unwrap());
        }
        let names = rewriter.names().await;
        UnderWay { plan, done, names }
    }

    /// The groups that are in, and the rows that were deleted meanwhile; nothing where all were given up.
    async fn try_publish(&mut self, mut of: UnderWay) -> Result<Option<(usize, u64)>> {
        let metadata = self.metadata.clone();
        let planned = (metadata.as_ref(), of.plan.as_ref());
        let step = prepare_step(self.context(), planned, &of.done, &mut of.names, BTreeMap::new()).await?;
        let Some((prepared, step)) = step else { return Ok(None) };
        self.publish(prepared);
        Ok(Some((step.groups.len(), step.moved_deletes)))
    }

    /// Delete files that went, and that came.
    async fn tidy(&mut self) -> Option<(u64, u64)> {
        self.epoch += 1;
        let name =
            EpochName { job: "compaction".parse().unwrap(), generation: Generation(1), epoch: Epoch(self.epoch) };
        let mut names = FileNames::new(self.store.clone(), self.metadata.location(), name);
        let metadata = self.metadata.clone();
        let tidied = prepare_tidying(self.context(), &metadata, &mut names, BTreeMap::new()).await.unwrap()?;
        self.publish(tidied.prepared);
        Some((tidied.removed, tidied.added))
    }

    pub(super) async fn compact(&mut self) -> Option<(usize, u64)> {
        let under_way = self.rewrite().await;
        self.try_publish(under_way).await.unwrap()
    }
}

#[tokio::test]
async fn rows_stay_the_same_whatever_is_committed_meanwhile() {
    let (mut moved, mut given_up, mut tidied) = (0, 0, 0);
    for (partition_by, sort_by, seed) in
        [("", "", 1), ("day(ts)", "", 2), ("bucket(3, id)", "value", 3), ("", "id desc", 4), ("day(ts)", "value", 5)]
    {
        let mut upserts = Upserts::new(partition_by, sort_by, seed);
        let mut under_way: Vec<UnderWay> = Vec::new();
        for step in 0..40 {
            let count = upserts.random.usize(..30);
            let lot = upserts.by_lot(count);
            upserts.epoch(&lot, 0).await;
            match upserts.random.u8(..7) {
                0 => upserts.foreign().await,
                6 => tidied += u32::from(upserts.table.tidy().await.is_some()),
                1 if step % 2 == 0 => under_way.push(upserts.table.rewrite().await),
                1 => under_way.push(upserts.table.rewrite_by(SORT).await),
                2 => {
                    if let Some(one) = (!under_way.is_empty()).then(|| under_way.remove(0)) {
                        match upserts.table.try_publish(one).await.unwrap() {
                            Some((_, deletes)) => moved += deletes,
                            None => given_up += 1,
                        }
                    }
                }
                _ => {}
            }
            if upserts.random.u8(..10) == 0 {
                let (store, metadata) = (upserts.table.store.clone(), upserts.table.metadata.clone());
                upserts.keyed = KeyedTable::new(store, &metadata, vec![1], seed).unwrap();
            }
            upserts.check(&format!("{partition_by}, {sort_by}, seed {seed}, step {step}")).await;
        }
    }
    assert!(
        moved > 50 && given_up > 0 && tidied > 0,
        "{moved} deletes moved, {given_up} compactions given up, tidied {tidied} times"
    );
}

#[tokio::test]
async fn many_files_become_one_and_their_deletes_go() {
    let mut upserts = Upserts::new("", "", 1);
    for _ in 0..20 {
        let lot = upserts.by_lot(30);
        upserts.epoch(&lot, 0).await;
    }
    assert!(upserts.table.total("total-delete-files") > 0 && upserts.table.total("total-data-files") > 10);
    upserts.table.compact().await.unwrap();
    let rows = upserts.expected.len() as u64;
    for (total, expected) in
        [("total-data-files", 1), ("total-delete-files", 0), ("total-position-deletes", 0), ("total-records", rows)]
    {
        assert_eq!(upserts.table.total(total), expected, "{total}");
    }
    let summary = upserts.table.metadata.current_snapshot().unwrap().summary();
    assert_eq!(summary.operation, iceberg::spec::Operation::Replace);
    upserts.check("after the compaction").await;
    // There is nothing left to do.
    assert!(upserts.table.plan().await.groups.is_empty());
}

/// A file that somebody else replaced is not replaced twice (R2).
#[tokio::test]
async fn of_two_compactions_one_is_in() {
    let mut upserts = Upserts::new("", "", 1);
    for _ in 0..5 {
        let lot = upserts.by_lot(30);
        upserts.epoch(&lot, 0).await;
    }
    let (first, second) = (upserts.table.rewrite().await, upserts.table.rewrite().await);
    assert!(upserts.table.try_publish(second).await.unwrap().is_some());
    assert_eq!(upserts.table.try_publish(first).await.unwrap(), None);
    upserts.check("after the first of the two").await;
}

/// Rows that a rollback brought back are not lost to a compaction that had left them out (U3).
#[tokio::test]
async fn rows_that_live_again_stay() {
    let mut upserts = Upserts::new("", "", 1);
    upserts.epoch(&[(1, Some(1)), (2, Some(2))], 0).await;
    upserts.epoch(&[(3, Some(3))], 0).await;
    let before = upserts.table.metadata.current_snapshot_id().unwrap();
    upserts.epoch(&[(1, None)], 0).await;
    let under_way = upserts.table.rewrite().await;
    let metadata = upserts.table.metadata.clone();
    let back = prepare_rollback(upserts.table.context(), &metadata, before, BTreeMap::new(), &[]).await.unwrap();
    upserts.table.publish(back);
    upserts.expected.insert(1, 1);
    assert_eq!(upserts.table.try_publish(under_way).await.unwrap(), None);
    upserts.check("the row of key 1 is back").await;
}

/// Files of before a column came, or was dropped, are rewritten with the columns of now.
#[tokio::test]
async fn files_get_the_columns_of_now() {
    let fields = changes(&[]).schema().fields().clone();
    let mut table = Table::new(&fields, "day(ts)", "");
    table.append(&changes(&[(1, 5), (2, 10)])).await;
    let more = changes(&[(3, 15)]);
    let note: ArrayRef = Arc::new(StringArray::from(vec!["new"]));
    let columns = more.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let named = columns.into_iter().zip(more.columns().to_vec()).chain([("note".to_owned(), note)]);
    let more = RecordBatch::try_from_iter_with_nullable(named.map(|(name, column)| (name, column, true))).unwrap();
    table.append(&more).await;
    let sql = "select id, value, note from t order by id";
    let before = table.query(sql).await;
    assert_eq!(table.compact().await, Some((1, 0)));
    assert_eq!(arrow::compute::concat_batches(&before[0].schema(), &before).unwrap().columns(), {
        let after = table.query(sql).await;
        arrow::compute::concat_batches(&after[0].schema(), &after).unwrap().columns().to_vec()
    });
    assert_eq!(table.files().await.len(), 1);
}

/// Those that many data files share become one of each, or one of all where those are too many; what others left behind
/// goes.
#[tokio::test]
async fn delete_files_become_few_without_data_files_being_rewritten() {
    let mut upserts = Upserts::new("", "", 1);
    for key in 0..70 {
        let lot: Vec<_> = (0..5).map(|more| (key + more * 1000, Some(key))).collect();
        upserts.epoch(&lot, 0).await;
    }
    let all = |offset: i64, count| (0..count).map(|key| (key + offset, None)).collect::<Vec<_>>();
    for offset in [0, 1000, 2000] {
        upserts.epoch(&all(offset, 70), 0).await;
    }
    assert_eq!(upserts.table.total("total-delete-files"), 3);
    assert_eq!(upserts.table.tidy().await, Some((3, 1)), "one of all 70");
    upserts.check("one of all").await;
    assert_eq!(upserts.table.tidy().await, None, "it is as few as it can be");
    assert_eq!(upserts.table.total("total-position-deletes"), 210);

    // The deletes of a file twice, by somebody else, and of a file that is not there.
    let live = upserts.table.live().await;
    let (path, spec) = (live[0].file.file_path().to_owned(), live[0].spec_id);
    let mut foreign = Vec::new();
    for row in [3, 4] {
        foreign.push(upserts.table.positions(&live[0], &[(&path, row)], true).await);
    }
    upserts.table.delete(spec, foreign).await;
    let keys = upserts.keys_of(&path).await;
    upserts.expected.retain(|key, _| !keys[3..5].contains(key));
    upserts.check("deletes of others").await;
    assert_eq!(upserts.table.tidy().await, Some((2, 1)));
    upserts.check("its own are one").await;
    upserts.table.compact().await.unwrap();
    assert_eq!(upserts.table.tidy().await, Some((1, 0)), "the shared one is about no file any more");
    assert_eq!(upserts.table.tidy().await, None);
    upserts.check("after all").await;
}
