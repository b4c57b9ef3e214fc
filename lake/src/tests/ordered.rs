//! Tables that go by a column, beside a plain map to which one change is made after the other: whoever commits in
//! between, however often a commit is tried, wherever epochs end, and however deleted rows are written.

use std::collections::BTreeSet;

use super::partly::by_way_of_a_file;
use super::*;
use crate::keys::Hash;
use crate::layout::{DeleteEncoding, arrow_schema, latest_by, latest_by_property};
use crate::upsert::{Collapse, Emptied, Keeps, KeyedTable, Mark, Order, StagedKeys};

/// What it is ordered by, two values, and whether it is marked.
type Row = (Option<i64>, Option<i64>, Option<i64>, bool);

const COLUMNS: [&str; 5] = ["id", "seq", "a", "b", "gone"];

fn rows(rows: &[(i64, Row)]) -> RecordBatch {
    let longs = |of: fn(&(i64, Row)) -> Option<i64>| Arc::new(rows.iter().map(of).collect::<Int64Array>()) as ArrayRef;
    let columns = [
        longs(|row| Some(row.0)),
        longs(|row| row.1.0),
        longs(|row| row.1.1),
        longs(|row| row.1.2),
        longs(|row| Some(i64::from(row.1.3))),
    ];
    RecordBatch::try_from_iter_with_nullable(COLUMNS.into_iter().zip(columns).map(|(name, it)| (name, it, true)))
        .unwrap()
}

#[derive(Clone, Copy, Debug)]
enum What {
    Put(i64, i64),
    KeepA(i64),
    /// It keeps what it is ordered by.
    KeepOrder(i64),
    Mark,
    Delete,
    Empty,
}

/// A change of a key, and what it is ordered by.
type Change = (i64, What, Option<i64>);

struct Ordered {
    table: Table,
    keyed: KeyedTable,
    expected: BTreeMap<i64, Row>,
    random: fastrand::Rng,
    next_offset: i64,
    /// What becomes of all rows where the source says so.
    emptied: Emptied,
    /// In this epoch.
    left_out: u64,
    left_out_in_all: u64,
    conflicts: u64,
}

impl Ordered {
    fn new(partition_by: &str, seed: u64, emptied: Emptied) -> Self {
        let mut table = Table::new(rows(&[]).schema().fields(), partition_by, "");
        let updates = [latest_by_property(table.metadata.current_schema(), "seq").unwrap()].into();
        table.apply(vec![TableUpdate::SetProperties { updates }]);
        assert_eq!(latest_by(&table.metadata).unwrap().as_deref(), Some("seq"));
        let keyed = KeyedTable::new(table.store.clone(), &table.metadata, vec![1], seed).unwrap();
        let random = fastrand::Rng::with_seed(seed);
        let (expected, next_offset, left_out, left_out_in_all, conflicts) = Default::default();
        Ordered { table, keyed, expected, random, next_offset, emptied, left_out, left_out_in_all, conflicts }
    }

    fn by_lot(&mut self, count: usize) -> Vec<Change> {
        let random = &mut self.random;
        let mut change = |_| {
            let value = random.i64(0..1_000_000);
            let what = match random.u8(..24) {
                0..11 => What::Put(value, value + 1),
                11..14 => What::KeepA(value),
                14 | 15 => What::KeepOrder(value),
                16..18 => What::Mark,
                18..23 => What::Delete,
                _ => What::Empty,
            };
            // Many are equal, and some are null.
            (random.i64(0..10), what, (random.u8(..6) > 0).then(|| random.i64(0..8)))
        };
        (0..count).map(&mut change).collect()
    }

    /// The oracle: `None` is less than any number, and says nothing of a delete.
    fn expect(&mut self, (key, what, seq): Change) {
        let before = self.expected.get(&key).copied();
        match (what, &self.emptied) {
            (What::Empty, Emptied::Deleted) => {
                self.expected.clear();
                self.left_out = 0;
                return;
            }
            (What::Empty, Emptied::Marked(_)) => {
                self.expected.values_mut().for_each(|row| row.3 = true);
                return;
            }
            _ => {}
        }
        let is_silent = matches!(what, What::Mark | What::Delete) && seq.is_none();
        if before.is_some_and(|before| !is_silent && !matches!(what, What::KeepOrder(_)) && seq < before.0) {
            self.left_out += 1;
            return;
        }
        let (own, a, b, _) = before.unwrap_or_default();
        match (what, before) {
            (What::Put(a, b), _) => drop(self.expected.insert(key, (seq, Some(a), Some(b), false))),
            (What::KeepA(b), _) => drop(self.expected.insert(key, (seq, a, Some(b), false))),
            (What::KeepOrder(a), _) => drop(self.expected.insert(key, (own, Some(a), None, false))),
            (What::Mark, Some(_)) => drop(self.expected.insert(key, (seq.or(own), a, b, true))),
            (What::Delete, _) => drop(self.expected.remove(&key)),
            (What::Mark | What::Empty, _) => {}
        }
    }

    fn collapse(&mut self, lot: &[Change], collapse: &mut Collapse) {
        let kept = |name: &str| [Keeps::Columns(Arc::new(BTreeSet::from([name.to_owned()])))];
        for change in lot {
            let (key, what, seq) = *change;
            self.next_offset += 1;
            let order = [Order { timestamp: 0, partition: 0, offset: self.next_offset }];
            let row = |row: Row| rows(&[(key, row)]);
            let hashes = self.keyed.hasher().hashes(&row(Row::default()).columns()[..1]).unwrap();
            match what {
                What::Put(a, b) => collapse.put(row((seq, Some(a), Some(b), false)), &hashes, &order),
                // What is kept may be anything in the record.
                What::KeepA(b) => {
                    collapse.put_partly(row((seq, Some(-7), Some(b), false)), (&hashes, &kept("a")), &order);
                }
                What::KeepOrder(a) => {
                    collapse.put_partly(row((Some(-7), Some(a), None, false)), (&hashes, &kept("seq")), &order);
                }
                What::Mark => {
                    let own: BTreeSet<String> = ["id", "seq", "gone"].map(str::to_owned).into();
                    let batch = row((seq, None, None, true)).project(&[0, 1, 4]).unwrap();
                    collapse.put_partly(batch, (&hashes, &[Keeps::AllBut(Arc::new(own))]), &order);
                }
                What::Delete => {
                    collapse.delete(row((seq, None, None, false)).project(&[0, 1]).unwrap(), &hashes, &order);
                }
                What::Empty => collapse.empty(self.emptied.clone(), &["id".to_owned()], order[0]).unwrap(),
            }
            self.expect(*change);
        }
    }

    async fn epoch(&mut self, lot: &[Change], refused: u32) {
        self.table.epoch += 1;
        self.left_out = 0;
        let mut collapse = Collapse::latest_by(vec!["id".to_owned()], "seq".to_owned());
        self.collapse(lot, &mut collapse);
        let schema = self.table.metadata.current_schema().clone();
        let collapsed = collapse.finish(&arrow_schema(&schema).unwrap()).unwrap();
        assert!(collapsed.rows.is_empty() && collapsed.deleted.is_empty());
        let name =
            EpochName { job: "bronze.t".parse().unwrap(), generation: Generation(1), epoch: Epoch(self.table.epoch) };
        let mut names = crate::write::FileNames::new(self.table.store.clone(), self.table.metadata.location(), name);
        let mut partial = collapsed.partial;
        if self.random.bool() {
            partial = by_way_of_a_file(&self.keyed, &self.table.metadata, partial, &mut names).await;
        }
        for refused in (0..=refused).rev() {
            let metadata = self.table.metadata.clone();
            let spec_id = metadata.default_partition_spec_id();
            self.keyed.catch_up(&metadata).await.unwrap();
            let empties = matches!(partial.emptied, Some(Emptied::Deleted));
            let (mut keys, of) = (StagedKeys { empties, ..StagedKeys::default() }, (&schema, spec_id));
            let whole = self.keyed.complete(&metadata, (&partial, &keys), of, &mut names).await.unwrap();
            (keys.put, keys.deleted) = (whole.keys, whole.deleted);
            let resolved = self.keyed.resolve(&metadata, &keys, &mut names).await.unwrap();
            let (files, deletes) = (whole.files, resolved.deletes.clone());
            let delta = RowDelta { files: files.clone(), spec_id, deletes, ..RowDelta::default() };
            let prepared = prepare_row_delta(self.table.context(), &metadata, &delta).await.unwrap();
            if refused > 0 {
                self.conflicts += 1;
                self.foreign(lot).await;
                continue;
            }
            assert_eq!(whole.left_out, self.left_out, "{lot:?}");
            self.left_out_in_all += whole.left_out;
            self.table.publish(prepared.clone());
            let files = (files.as_slice(), spec_id);
            self.keyed.committed(&self.table.metadata, &prepared, files, &keys, resolved).unwrap();
        }
    }

    /// Before the epoch is in the table is compacted, or somebody deletes a row, or adds one of a key that has none.
    async fn foreign(&mut self, lot: &[Change]) {
        let mut there = self.found().await;
        match self.random.u8(..3) {
            0 => drop(self.table.compact().await),
            1 if DeleteEncoding::of(&self.table.metadata) != DeleteEncoding::Vector => {
                let keys: Vec<i64> = there.keys().copied().collect();
                if let Some(key) = self.random.choice(&keys).copied() {
                    self.table.delete_key(key).await;
                    there.remove(&key);
                }
            }
            _ => {
                let free: Vec<i64> = (0..10).filter(|key| !there.contains_key(key)).collect();
                if let Some(key) = self.random.choice(&free).copied() {
                    let row = (Some(self.random.i64(0..8)), Some(1), Some(2), false);
                    self.table.append(&rows(&[(key, row)])).await;
                    there.insert(key, row);
                }
            }
        }
        (self.expected, self.left_out) = (there, 0);
        for change in lot {
            self.expect(*change);
        }
    }

    async fn found(&self) -> BTreeMap<i64, Row> {
        let mut found = BTreeMap::new();
        for batch in self.table.query("select id, seq, a, b, gone from t").await {
            let column = |index: usize| batch.column(index).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
            let (keys, seq, a, b, gone) = (column(0), column(1), column(2), column(3), column(4));
            for row in 0..batch.num_rows() {
                let key = keys[row].unwrap();
                let twice = found.insert(key, (seq[row], a[row], b[row], gone[row] == Some(1)));
                assert_eq!(twice, None, "key {key} is there twice");
            }
        }
        found
    }
}

#[tokio::test]
async fn the_row_of_a_key_is_the_latest_by_its_column_whatever_others_do_meanwhile() {
    for (encoding, seed) in [(DeleteEncoding::Position, 1), (DeleteEncoding::Vector, 2), (DeleteEncoding::Copy, 3)] {
        let mark = Mark { row: rows(&[(0, (None, None, None, true))]).project(&[4]).unwrap(), by: "gone".to_owned() };
        let marked = Emptied::Marked(mark);
        for (partition_by, emptied) in
            [("", Emptied::Deleted), ("bucket(3, id)", marked.clone()), ("truncate(1000, a)", marked)]
        {
            let mut ordered = Ordered::new(partition_by, seed, emptied);
            ordered.table.encode(encoding);
            for step in 0..40 {
                let count = ordered.random.usize(..14);
                let lot = ordered.by_lot(count);
                let refused = ordered.random.u32(..5).saturating_sub(2);
                ordered.epoch(&lot, refused).await;
                if ordered.random.u8(..10) == 0 {
                    let (store, metadata) = (ordered.table.store.clone(), ordered.table.metadata.clone());
                    ordered.keyed = KeyedTable::new(store, &metadata, vec![1], seed).unwrap();
                }
                let replay = format!("{encoding:?}, {partition_by}, seed {seed}, step {step}, {lot:?}");
                assert_eq!(ordered.found().await, ordered.expected, "{replay}");
                assert!(ordered.keyed.rows_of(Hash::NONE).await.is_empty(), "{replay}");
            }
            assert!(ordered.left_out_in_all > 20 && ordered.conflicts > 10, "{}", ordered.left_out_in_all);
        }
    }
}

/// What others call it, or take away.
#[tokio::test]
async fn the_column_is_known_by_its_id_and_its_name() {
    let mut table = Table::new(rows(&[]).schema().fields(), "", "");
    let schema = table.metadata.current_schema().clone();
    for (column, words) in [("nobody", "there is no column nobody"), ("id", "it is part of the key")] {
        let key = crate::layout::identified_by(schema.as_ref().clone(), &["id".to_owned()]).unwrap();
        let refused = latest_by_property(&key, column).unwrap_err();
        assert!(refused.message().contains(words), "{refused}");
    }
    let updates = [latest_by_property(&schema, "seq").unwrap()].into();
    table.apply(vec![TableUpdate::SetProperties { updates }]);
    let dropped = crate::layout::drop_columns(&table.metadata, &["seq".to_owned()].into()).unwrap_err();
    assert_eq!(dropped.message(), "column seq cannot be dropped: it tells the latest row of each key");
    for (told, words) in [
        ("77 seq", "column seq is gone"),
        ("2 then", "column then, by which the latest row of a key is told, is called seq"),
    ] {
        let updates = [("tableflow.latest-by".to_owned(), told.to_owned())].into();
        table.apply(vec![TableUpdate::SetProperties { updates }]);
        assert!(latest_by(&table.metadata).unwrap_err().report().contains(words));
    }
}
