//! Rows that lack values, and rows that are marked, beside a plain map: whoever commits in between, however often a
//! commit is tried, and whether the work goes by way of a file.

use std::collections::BTreeSet;

use super::*;
use crate::layout::DeleteEncoding;
use crate::upsert::{Collapse, Emptied, Keeps, KeyedTable, Mark, Order, PartialRows, StagedKeys};
use crate::write::PartialFile;
use iceberg::spec::TableMetadata;

/// What a key has: two values, and whether it is marked.
type Row = (Option<i64>, Option<i64>, bool);

fn rows(rows: &[(i64, Row)]) -> RecordBatch {
    let longs = |of: fn(&Row) -> Option<i64>| Arc::new(rows.iter().map(|(_, row)| of(row)).collect::<Int64Array>());
    let keys = Int64Array::from_iter_values(rows.iter().map(|(key, _)| *key));
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(keys) as ArrayRef, true),
        ("a", longs(|row| row.0), true),
        ("b", longs(|row| row.1), true),
        ("gone", longs(|row| Some(i64::from(row.2))), true),
    ])
    .unwrap()
}

/// A change of a key.
#[derive(Clone, Copy, Debug)]
enum Change {
    Put(i64, i64),
    /// One of the two values stays as it was.
    KeepA(i64),
    KeepB(i64),
    Mark,
    Delete,
    /// All rows go, or are marked.
    Empty,
}

struct Partly {
    table: Table,
    keyed: KeyedTable,
    expected: BTreeMap<i64, Row>,
    random: fastrand::Rng,
    next_offset: i64,
    lost: u64,
    /// What becomes of all rows where the source says so, if it does.
    emptied: Option<Emptied>,
}

impl Partly {
    fn new(partition_by: &str, seed: u64, emptied: Option<Emptied>) -> Self {
        let table = Table::new(rows(&[]).schema().fields(), partition_by, "");
        let keyed = KeyedTable::new(table.store.clone(), &table.metadata, vec![1], seed).unwrap();
        let random = fastrand::Rng::with_seed(seed);
        Partly { table, keyed, expected: BTreeMap::new(), random, next_offset: 0, lost: 0, emptied }
    }

    fn by_lot(&mut self, count: usize) -> Vec<(i64, Change)> {
        let (random, empties) = (&mut self.random, self.emptied.is_some());
        let mut change = |_| {
            let value = random.i64(0..1_000_000);
            let change = match random.u8(..if empties { 9 } else { 8 }) {
                0..3 => Change::Put(value, value + 1),
                3 | 4 => Change::KeepA(value),
                5 => Change::KeepB(value),
                6 => Change::Mark,
                8 => Change::Empty,
                _ => Change::Delete,
            };
            (random.i64(0..15), change)
        };
        (0..count).map(&mut change).collect()
    }

    /// The oracle.
    fn expect(&mut self, key: i64, change: Change) {
        let before = self.expected.get(&key).copied();
        let (a, b, _) = before.unwrap_or_default();
        match (change, before) {
            (Change::Put(a, b), _) => self.expected.insert(key, (Some(a), Some(b), false)),
            (Change::KeepA(b), _) => self.expected.insert(key, (a, Some(b), false)),
            (Change::KeepB(a), _) => self.expected.insert(key, (Some(a), b, false)),
            (Change::Mark, Some(_)) => self.expected.insert(key, (a, b, true)),
            (Change::Mark, None) => None,
            (Change::Delete, _) => self.expected.remove(&key),
            (Change::Empty, _) => {
                match self.emptied {
                    Some(Emptied::Marked(_)) => self.expected.values_mut().for_each(|row| row.2 = true),
                    _ => self.expected.clear(),
                }
                None
            }
        };
    }

    fn collapse(&mut self, lot: &[(i64, Change)], collapse: &mut Collapse) {
        let kept = |name: &str| [Keeps::Columns(Arc::new(BTreeSet::from([name.to_owned()])))];
        for (key, change) in lot {
            self.next_offset += 1;
            let order = [Order { timestamp: 0, partition: 0, offset: self.next_offset }];
            let row = |row: Row| rows(&[(*key, row)]);
            let hashes = self.keyed.hasher().hashes(&row(Row::default()).columns()[..1]).unwrap();
            match *change {
                Change::Put(a, b) => collapse.put(row((Some(a), Some(b), false)), &hashes, &order),
                // What is kept may be anything in the record.
                Change::KeepA(b) => collapse.put_partly(row((Some(-7), Some(b), false)), (&hashes, &kept("a")), &order),
                Change::KeepB(a) => collapse.put_partly(row((Some(a), None, false)), (&hashes, &kept("b")), &order),
                Change::Mark => {
                    let own = BTreeSet::from(["id".to_owned(), "gone".to_owned()]);
                    let batch = row((None, None, true)).project(&[0, 3]).unwrap();
                    collapse.put_partly(batch, (&hashes, &[Keeps::AllBut(Arc::new(own))]), &order);
                }
                Change::Delete => collapse.delete(row(Row::default()).project(&[0]).unwrap(), &hashes, &order),
                Change::Empty => {
                    let emptied = self.emptied.clone().unwrap();
                    collapse.empty(emptied, &["id".to_owned()], order[0]).unwrap();
                }
            }
            self.expect(*key, *change);
        }
    }

    async fn epoch(&mut self, lot: &[(i64, Change)], refused: u32) {
        self.table.epoch += 1;
        let mut collapse = Collapse::default();
        self.collapse(lot, &mut collapse);
        let shape = crate::layout::arrow_schema(self.table.metadata.current_schema()).unwrap();
        let collapsed = collapse.finish(&shape).unwrap();
        let name =
            EpochName { job: "bronze.t".parse().unwrap(), generation: Generation(1), epoch: Epoch(self.table.epoch) };
        let metadata = self.table.metadata.clone();
        let schema = metadata.current_schema().clone();
        let stager = Stager::new(self.table.store.clone(), &metadata, schema.clone(), name).unwrap();
        let mut stager = stager.with_keys(vec![1], self.keyed.hasher().clone());
        stager.write_together(collapsed.rows).await.unwrap();
        let mut staged = stager.finish().await.unwrap();
        let mut partial = collapsed.partial;
        if self.random.bool() {
            partial = by_way_of_a_file(&self.keyed, &self.table.metadata, partial, &mut staged.names).await;
        }
        for refused in (0..=refused).rev() {
            let metadata = self.table.metadata.clone();
            let spec_id = metadata.default_partition_spec_id();
            self.keyed.catch_up(&metadata).await.unwrap();
            let empties = matches!(partial.emptied, Some(Emptied::Deleted));
            let mut keys = StagedKeys { put: staged.keys.clone(), deleted: collapsed.deleted.clone(), empties };
            let of = (&schema, spec_id);
            let whole = self.keyed.complete(&metadata, (&partial, &keys), of, &mut staged.names).await.unwrap();
            keys.put.extend(whole.keys);
            let resolved = self.keyed.resolve(&metadata, &keys, &mut staged.names).await.unwrap();
            let files = [staged.files.clone(), whole.files].concat();
            let deletes = resolved.deletes.clone();
            let delta = RowDelta { files: files.clone(), spec_id, deletes, ..RowDelta::default() };
            let prepared = prepare_row_delta(self.table.context(), &metadata, &delta).await.unwrap();
            if refused > 0 {
                self.foreign(lot).await;
                continue;
            }
            self.lost += collapsed.lost + whole.lost;
            self.table.publish(prepared.clone());
            let files = (files.as_slice(), spec_id);
            self.keyed.committed(&self.table.metadata, &prepared, files, &keys, resolved).unwrap();
        }
    }

    /// Somebody else adds a row before the epoch is in, or deletes one: what was to be kept of it is lost.
    async fn foreign(&mut self, lot: &[(i64, Change)]) {
        let there = self.table.query("select id, a, b, gone from t order by id").await;
        let found: Vec<(i64, Row)> = there.iter().flat_map(rows_of).collect();
        // Beside vectors nothing else may say what is deleted.
        if self.random.bool() || DeleteEncoding::of(&self.table.metadata) == DeleteEncoding::Vector {
            let new = (1000 + self.next_offset * 10 + i64::from(self.random.u8(..10)), (Some(1), Some(2), false));
            self.table.append(&rows(&[new])).await;
            self.expect_anew(found.into_iter().filter(|(of, _)| *of != new.0).chain([new]).collect(), lot);
            return;
        }
        let Some((key, _)) = self.random.choice(&found).copied() else { return };
        self.table.delete_key(key).await;
        self.expect_anew(found.into_iter().filter(|(of, _)| *of != key).collect(), lot);
    }

    /// The same lot, on what is there now.
    fn expect_anew(&mut self, there: BTreeMap<i64, Row>, lot: &[(i64, Change)]) {
        self.expected = there;
        for (key, change) in lot {
            self.expect(*key, *change);
        }
    }

    async fn check(&self, replay: &str) {
        let batches = self.table.query("select id, a, b, gone from t order by id").await;
        let found: Vec<(i64, Row)> = batches.iter().flat_map(rows_of).collect();
        let expected: Vec<(i64, Row)> = self.expected.iter().map(|(key, row)| (*key, *row)).collect();
        assert_eq!(found, expected, "{replay}");
    }
}

fn rows_of(batch: &RecordBatch) -> Vec<(i64, Row)> {
    let column = |index: usize| batch.column(index).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
    let (keys, a, b, gone) = (column(0), column(1), column(2), column(3));
    (0..batch.num_rows()).map(|row| (keys[row].unwrap(), (a[row], b[row], gone[row] == Some(1)))).collect()
}

#[tokio::test]
async fn a_row_keeps_what_was_not_sent_again_whatever_others_do_meanwhile() {
    for (partition_by, seed) in [("", 8), ("bucket(3, id)", 2), ("truncate(1000, a)", 3)] {
        let mut partly = Partly::new(partition_by, seed, None);
        for step in 0..40 {
            let count = partly.random.usize(..12);
            let lot = partly.by_lot(count);
            let refused = partly.random.u32(..5).saturating_sub(2);
            partly.epoch(&lot, refused).await;
            if partly.random.u8(..10) == 0 {
                let (store, metadata) = (partly.table.store.clone(), partly.table.metadata.clone());
                partly.keyed = KeyedTable::new(store, &metadata, vec![1], seed).unwrap();
            }
            partly.check(&format!("{partition_by}, seed {seed}, step {step}, {lot:?}")).await;
        }
        assert!(partly.lost > 0);
    }
}

#[tokio::test]
async fn all_rows_go_or_are_marked_where_their_source_says_so_and_those_behind_it_stay() {
    let mark = Mark { row: rows(&[(0, (None, None, true))]).project(&[3]).unwrap(), by: "gone".to_owned() };
    for encoding in [DeleteEncoding::Position, DeleteEncoding::Vector, DeleteEncoding::Copy] {
        for (partition_by, seed, emptied) in [
            ("", 5, Emptied::Deleted),
            ("bucket(3, id)", 6, Emptied::Deleted),
            ("", 7, Emptied::Marked(mark.clone())),
            ("truncate(1000, a)", 8, Emptied::Marked(mark.clone())),
        ] {
            let mut partly = Partly::new(partition_by, seed, Some(emptied));
            partly.table.encode(encoding);
            for step in 0..30 {
                let count = partly.random.usize(..8);
                let lot = partly.by_lot(count);
                let refused = partly.random.u32(..5).saturating_sub(3);
                partly.epoch(&lot, refused).await;
                if partly.random.u8(..10) == 0 {
                    let (store, metadata) = (partly.table.store.clone(), partly.table.metadata.clone());
                    partly.keyed = KeyedTable::new(store, &metadata, vec![1], seed).unwrap();
                }
                partly.check(&format!("{encoding:?}, {partition_by}, seed {seed}, step {step}, {lot:?}")).await;
            }
        }
    }
}

/// As a manifest would carry it.
pub(super) async fn by_way_of_a_file(
    keyed: &KeyedTable,
    metadata: &TableMetadata,
    partial: PartialRows,
    names: &mut crate::write::FileNames,
) -> PartialRows {
    let encoded = PartialFile::encode(&partial, metadata.current_schema()).unwrap();
    let Some(encoded) = encoded else { return PartialRows::none() };
    let uri = names.put(&encoded.bytes).await.unwrap();
    keyed.partial(metadata, &[encoded.describe(&uri, metadata).unwrap()]).await.unwrap()
}
