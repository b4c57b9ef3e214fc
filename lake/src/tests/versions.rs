//! Tables that keep each version of their rows, beside a plain map of versions: whoever commits in between, however often
//! a commit is tried, and however deleted rows are written.

use std::collections::BTreeSet;

use super::deleted::longs_of;
use super::partly::by_way_of_a_file;
use super::*;
use crate::keys::Hash;
use crate::layout::{DeleteEncoding, VersionIds, arrow_schema, identified_by, identity_ids, key_ids, version_columns};
use crate::upsert::{Collapse, Emptied, Keeps, KeyedTable, Mark, Order, StagedKeys};

/// Two values, what made it, and from when until when it is.
type Version = (Option<i64>, Option<i64>, String, i64, Option<i64>);

#[derive(Clone, Copy, Debug)]
enum What {
    Put(i64, i64),
    KeepA(i64),
    Delete,
    Empty,
}

/// A change of a key at a time, in microseconds, and whether its row says that and what it is, or its record alone.
type Change = (i64, What, i64, bool);

fn columns() -> Fields {
    let own = ["id", "a", "b"].map(|name| Arc::new(Field::new(name, DataType::Int64, true)));
    own.into_iter().chain(version_columns()).collect()
}

fn row(id: i64, a: Option<i64>, b: Option<i64>) -> RecordBatch {
    let long = |value: Option<i64>| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([("id", long(Some(id)), true), ("a", long(a), true), ("b", long(b), true)])
        .unwrap()
}

/// The row, which says itself when it begins and what made it.
fn saying(row: &RecordBatch, at: i64) -> RecordBatch {
    let own = row.schema_ref().fields().iter().map(|field| field.name().as_str()).zip(row.columns().iter().cloned());
    let op: ArrayRef = Arc::new(StringArray::from(vec!["r"]));
    RecordBatch::try_from_iter(own.chain([("__valid_from", time(at)), ("__op", op)])).unwrap()
}

fn time(micros: i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("+00:00"))
}

/// The one in force last. Of a key that was deleted and came again while clocks went back two may begin at once.
fn in_order(versions: &mut [Version]) {
    versions.sort_by_key(|it| (it.4.is_none(), it.3, it.4, it.0, it.1));
}

struct Versions {
    table: Table,
    keyed: KeyedTable,
    /// Of each key its versions, the oldest one first.
    expected: BTreeMap<i64, Vec<Version>>,
    random: fastrand::Rng,
    next_offset: i64,
    lost: u64,
    /// When the last version of a key ended in this epoch.
    ended: BTreeMap<i64, i64>,
}

impl Versions {
    fn new(partition_by: &str, sort_by: &str, seed: u64) -> Self {
        let names = ["id", "__valid_from"].map(str::to_owned);
        let schema = identified_by(new_schema(&columns()).unwrap(), &names).unwrap();
        assert!(VersionIds::of(&schema).is_some());
        assert_eq!((key_ids(&schema), identity_ids(&schema)), (vec![1], vec![1, 5]));
        let table = Table::of_schema(schema, partition_by, sort_by);
        let keyed = KeyedTable::new(table.store.clone(), &table.metadata, vec![1], seed).unwrap();
        let random = fastrand::Rng::with_seed(seed);
        Versions { table, keyed, expected: BTreeMap::new(), random, next_offset: 0, lost: 0, ended: BTreeMap::new() }
    }

    fn by_lot(&mut self, count: usize) -> Vec<Change> {
        let random = &mut self.random;
        let mut change = |_| {
            let value = random.i64(0..1_000_000);
            let what = match random.u8(..20) {
                0..9 => What::Put(value, value + 1),
                9..14 => What::KeepA(value),
                14..19 => What::Delete,
                _ => What::Empty,
            };
            // Clocks go back, and several changes have one time.
            let (key, at, says) = (random.i64(0..12), random.i64(0..40) * 1000, random.bool());
            (key, what, if says { at + 7 } else { at }, says)
        };
        (0..count).map(&mut change).collect()
    }

    /// The oracle: times as a reader of the documentation would have them.
    fn expect(&mut self, (key, what, at, says): Change) {
        let end = |versions: &mut Vec<Version>| {
            let last = versions.last_mut().filter(|last| last.4.is_none())?;
            last.4 = Some(at.max(last.3 + 1));
            Some((last.0, last.4.unwrap()))
        };
        let (versions, ended) = (self.expected.entry(key).or_default(), &mut self.ended);
        match what {
            What::Empty => {
                for (key, versions) in &mut self.expected {
                    ended.extend(end(versions).map(|(_, end)| (*key, end)));
                }
            }
            What::Delete => ended.extend(end(versions).map(|(_, end)| (key, end))),
            What::Put(..) | What::KeepA(_) => {
                let before = end(versions);
                let seen = if before.is_some() { "u" } else { "c" };
                let op = if says { "r" } else { seen }.to_owned();
                let gone = ended.get(&key).copied().unwrap_or_default();
                let from = before.map_or(at.max(gone), |(_, ended)| ended);
                let (a, b) = match what {
                    What::Put(a, b) => (Some(a), Some(b)),
                    What::KeepA(b) => (before.and_then(|(a, _)| a), Some(b)),
                    _ => unreachable!(),
                };
                versions.push((a, b, op, from, None));
            }
        }
        self.expected.retain(|_, versions| !versions.is_empty());
    }

    fn collapse(&mut self, lot: &[Change], collapse: &mut Collapse) {
        for (key, what, at, says) in lot {
            self.next_offset += 1;
            // That of its record is another one, where a row says when it was.
            let timestamp = if *says { 1000 - at / 1000 } else { at / 1000 };
            let order = [Order { timestamp, partition: 0, offset: self.next_offset }];
            let told = |row: RecordBatch| if *says { saying(&row, *at) } else { row };
            let hashes = self.keyed.hasher().hashes(&row(*key, None, None).columns()[..1]).unwrap();
            match *what {
                What::Put(a, b) => collapse.put(told(row(*key, Some(a), Some(b))), &hashes, &order),
                What::KeepA(b) => {
                    let kept = [Keeps::Columns(Arc::new(BTreeSet::from(["a".to_owned()])))];
                    collapse.put_partly(told(row(*key, Some(-7), Some(b))), (&hashes, &kept), &order);
                }
                What::Delete => {
                    collapse.delete(told(row(*key, None, None).project(&[0]).unwrap()), &hashes, &order);
                }
                What::Empty => {
                    let mark = Mark::until(*at).unwrap();
                    collapse.empty(Emptied::Marked(mark), &["id".to_owned()], order[0]).unwrap();
                }
            }
            self.expect((*key, *what, *at, *says));
        }
    }

    async fn epoch(&mut self, lot: &[Change], refused: u32) {
        self.table.epoch += 1;
        let mut collapse = Collapse::of_versions(vec!["id".to_owned()]);
        self.ended.clear();
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
            let (mut keys, of) = (StagedKeys::default(), (&schema, spec_id));
            let whole = self.keyed.complete(&metadata, (&partial, &keys), of, &mut names).await.unwrap();
            (keys.put, keys.deleted) = (whole.keys, whole.deleted);
            let resolved = self.keyed.resolve(&metadata, &keys, &mut names).await.unwrap();
            let (files, deletes) = (whole.files, resolved.deletes.clone());
            let delta = RowDelta { files: files.clone(), spec_id, deletes, ..RowDelta::default() };
            let prepared = prepare_row_delta(self.table.context(), &metadata, &delta).await.unwrap();
            if refused > 0 {
                self.foreign(lot).await;
                continue;
            }
            self.lost += whole.lost;
            self.table.publish(prepared.clone());
            let files = (files.as_slice(), spec_id);
            self.keyed.committed(&self.table.metadata, &prepared, files, &keys, resolved).unwrap();
        }
    }

    /// Before the epoch is in the table is compacted, or somebody adds a row in force, or deletes all versions of a key.
    async fn foreign(&mut self, lot: &[Change]) {
        let mut there = self.found().await;
        match self.random.u8(..3) {
            0 => drop(self.table.compact().await),
            1 if DeleteEncoding::of(&self.table.metadata) != DeleteEncoding::Vector => {
                let keys: Vec<i64> = there.keys().copied().collect();
                let Some(key) = self.random.choice(&keys).copied() else { return };
                self.delete_all(key).await;
                there.remove(&key);
            }
            _ => {
                let key = 1000 + self.next_offset * 10 + i64::from(self.random.u8(..10));
                let more: [(&str, ArrayRef); 2] =
                    [("__op", Arc::new(StringArray::from(vec!["x"]))), ("__valid_from", time(20_000))];
                let own = row(key, Some(1), Some(2));
                let fields = own.schema_ref().fields().iter().map(|field| field.name().as_str());
                let all: Vec<(&str, ArrayRef)> = fields.zip(own.columns().iter().cloned()).chain(more).collect();
                self.table.append(&RecordBatch::try_from_iter(all).unwrap()).await;
                there.insert(key, vec![(Some(1), Some(2), "x".to_owned(), 20_000, None)]);
            }
        }
        self.expected = there;
        self.ended.clear();
        for change in lot {
            self.expect(*change);
        }
    }

    async fn delete_all(&mut self, key: i64) {
        for live in self.table.live().await {
            let bytes = self.table.store.get(live.file.file_path()).await.unwrap();
            let keys: Vec<i64> =
                crate::read::FileRows::of(bytes).unwrap().flat_map(|it| longs_of(&it.unwrap(), 0)).collect();
            let of = (0_u64..).zip(keys).filter(|(_, of)| *of == key);
            let places: Vec<(&str, u64)> = of.map(|(row, _)| (live.file.file_path(), row)).collect();
            let delete = self.table.positions(&live, &places, false).await;
            if !places.is_empty() {
                self.table.delete(live.spec_id, vec![delete]).await;
            }
        }
    }

    async fn found(&self) -> BTreeMap<i64, Vec<Version>> {
        let sql = "select id, a, b, arrow_cast(__valid_from, 'Int64') f, arrow_cast(__valid_to, 'Int64') t, __op \
                   from t";
        let mut found: BTreeMap<i64, Vec<Version>> = BTreeMap::new();
        for batch in self.table.query(sql).await {
            let column = |index: usize| batch.column(index).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
            let (keys, a, b, from, to) = (column(0), column(1), column(2), column(3), column(4));
            for row in 0..batch.num_rows() {
                let op = batch.column(5).as_string::<i32>().value(row).to_owned();
                let version = (a[row], b[row], op, from[row].unwrap(), to[row]);
                found.entry(keys[row].unwrap()).or_default().push(version);
            }
        }
        found.values_mut().for_each(|versions| in_order(versions));
        found
    }

    async fn check(&self, replay: &str) {
        let mut expected = self.expected.clone();
        expected.values_mut().for_each(|versions| in_order(versions));
        assert_eq!(self.found().await, expected, "{replay}");
        assert!(self.keyed.rows_of(Hash::NONE).await.is_empty(), "{replay}: the index has rows in force alone");
    }
}

#[tokio::test]
async fn every_version_has_its_row_and_its_times_whatever_others_do_meanwhile() {
    let mut lost = 0;
    for (encoding, seed) in [(DeleteEncoding::Position, 1), (DeleteEncoding::Vector, 2), (DeleteEncoding::Copy, 3)] {
        for (partition_by, sort_by) in [("", ""), ("bucket(3, id)", "a"), ("truncate(1000, a)", "")] {
            let mut versions = Versions::new(partition_by, sort_by, seed);
            versions.table.encode(encoding);
            for step in 0..30 {
                let count = versions.random.usize(..12);
                let lot = versions.by_lot(count);
                let refused = versions.random.u32(..5).saturating_sub(2);
                versions.epoch(&lot, refused).await;
                if versions.random.u8(..10) == 0 {
                    let (store, metadata) = (versions.table.store.clone(), versions.table.metadata.clone());
                    versions.keyed = KeyedTable::new(store, &metadata, vec![1], seed).unwrap();
                }
                versions.check(&format!("{encoding:?}, {partition_by}, seed {seed}, step {step}, {lot:?}")).await;
            }
            lost += versions.lost;
        }
    }
    assert!(lost > 0);
}
