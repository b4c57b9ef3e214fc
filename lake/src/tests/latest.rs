//! A table of every record becomes one with one row a key, and back: the rows that stay, beside a plain map.

use arrow::array::{BooleanArray, Int32Array};
use iceberg::spec::ManifestContentType;

use super::deleted::longs_of;
use super::*;
use crate::layout::{DeleteEncoding, Evolution, identified_by, key_ids, unidentified};
use crate::upsert::{KeyedTable, Origins, StagedKeys, count_superseded, superseded, without_values};
use crate::write::FileNames;

const MEMORY: usize = 64 << 20;

/// A record that became a row.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// No two are alike.
    value: i64,
    id: i64,
    partition: i32,
    offset: i64,
    time: i64,
    is_deleted: bool,
}

fn batch(records: &[Record]) -> RecordBatch {
    let longs = |of: fn(&Record) -> i64| Arc::new(Int64Array::from_iter_values(records.iter().map(of))) as ArrayRef;
    let times = |of: fn(&Record) -> i64| {
        let times = TimestampMicrosecondArray::from_iter_values(records.iter().map(of));
        Arc::new(times.with_timezone("+00:00")) as ArrayRef
    };
    let deleted: BooleanArray = records.iter().map(|record| Some(record.is_deleted)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("value", longs(|record| record.value), true),
        ("id", longs(|record| record.id), true),
        ("ts", times(|record| record.value % 5 * DAY), true),
        ("deleted", Arc::new(deleted), true),
        ("topic", Arc::new(StringArray::from(vec!["t"; records.len()])), true),
        ("partition", Arc::new(Int32Array::from_iter_values(records.iter().map(|record| record.partition))), true),
        ("offset", longs(|record| record.offset), true),
        ("time", times(|record| record.time), true),
    ])
    .unwrap()
}

/// In each partition offsets go up; times go up and down.
fn by_lot(random: &mut fastrand::Rng, count: usize) -> Vec<Record> {
    let mut offsets = [0; 3];
    let mut record = |value| {
        let partition = random.usize(..3);
        offsets[partition] += 1 + random.i64(0..3);
        let (id, time, is_deleted) = (random.i64(0..40), random.i64(0..200), random.u8(..6) == 0);
        Record { value, id, partition: partition as i32, offset: offsets[partition], time, is_deleted }
    };
    (1..=count as i64).map(&mut record).collect()
}

/// One a key: of each partition the last one, of those the one of the greatest time, then partition.
fn expected(records: &[Record]) -> BTreeMap<i64, i64> {
    let mut partitions: BTreeMap<(i64, i32), Record> = BTreeMap::new();
    for record in records {
        let last = partitions.entry((record.id, record.partition)).or_insert(*record);
        if record.offset > last.offset {
            *last = *record;
        }
    }
    let mut keys: BTreeMap<i64, Record> = BTreeMap::new();
    for record in partitions.into_values() {
        let last = keys.entry(record.id).or_insert(record);
        if (record.time, record.partition) > (last.time, last.partition) {
            *last = record;
        }
    }
    keys.into_values().filter(|record| !record.is_deleted).map(|record| (record.id, record.value)).collect()
}

fn origins() -> Origins {
    let is_deleted = |batch: &RecordBatch, row: usize| batch.column(0).as_boolean().value(row);
    let [topic, partition, offset, timestamp] = ["topic", "partition", "offset", "time"].map(str::to_owned);
    Origins { topic, partition, offset, timestamp, marks: vec!["deleted".to_owned()], is_deleted }
}

fn key() -> Vec<String> {
    vec!["id".to_owned()]
}

impl Table {
    fn names(&mut self) -> FileNames {
        self.epoch += 1;
        let name = EpochName { job: "bronze.t".parse().unwrap(), generation: Generation(1), epoch: Epoch(self.epoch) };
        FileNames::new(self.store.clone(), self.metadata.location(), name)
    }

    /// The commit that leaves one row a key; how many stayed and went.
    async fn convert(&mut self, memory_bytes: usize) -> (u64, u64) {
        let (mut names, metadata) = (self.names(), self.metadata.clone());
        let of = (&key()[..], &origins());
        let counted = count_superseded(&self.store, &metadata, of, memory_bytes).await.unwrap();
        let superseded = superseded(&self.store, &metadata, of, memory_bytes, &mut names).await.unwrap();
        assert_eq!(counted, (superseded.rows_kept, superseded.rows_gone));
        let schema = identified_by(metadata.current_schema().as_ref().clone(), &key()).unwrap();
        let delta = RowDelta {
            deletes: superseded.deletes,
            schema: Some(Evolution { schema, last_column_id: metadata.last_column_id() }),
            ..RowDelta::default()
        };
        let prepared = prepare_row_delta(self.context(), &metadata, &delta).await.unwrap();
        self.publish(prepared);
        counted
    }

    async fn values(&self) -> BTreeMap<i64, i64> {
        let batches = self.query("select id, value from t").await;
        let rows: Vec<(i64, i64)> =
            batches.iter().flat_map(|batch| longs_of(batch, 0).into_iter().zip(longs_of(batch, 1))).collect();
        let values: BTreeMap<i64, i64> = rows.iter().copied().collect();
        assert_eq!(values.len(), rows.len(), "a key has two rows");
        values
    }
}

#[tokio::test]
async fn i1_of_each_key_the_last_row_stays_in_every_encoding() {
    use DeleteEncoding::{Copy, Position, Vector};
    let mut gone = 0;
    for seed in 0..24 {
        let mut random = fastrand::Rng::with_seed(seed);
        let encoding = [Position, Vector, Copy][seed as usize % 3];
        let (partition_by, sort_by) =
            [("", ""), ("day(ts)", ""), ("bucket(3, id)", "value"), ("", "id")][seed as usize / 3 % 4];
        let replay = format!("seed {seed}, {encoding}, {partition_by}, {sort_by}");
        let count = random.usize(1..600);
        let mut records = by_lot(&mut random, count);
        let mut table = Table::new(batch(&[]).schema().fields(), partition_by, sort_by);
        table.encode(encoding);
        // Files have rows of all times, in any order.
        let mut shuffled = records.clone();
        random.shuffle(&mut shuffled);
        for part in shuffled.chunks(random.usize(1..200)) {
            table.append(&batch(part)).await;
            if random.u8(..4) == 0 {
                table.compact().await;
            }
        }
        // Rows that are deleted already count for nothing: the one before is the last one.
        if encoding == Position {
            let live = random.choice(table.live().await).unwrap();
            let ids = table.ids_in(&live).await;
            let rows: Vec<u64> = (0..ids.len() as u64).filter(|_| random.bool()).collect();
            if !rows.is_empty() {
                let named: Vec<(&str, u64)> = rows.iter().map(|row| (live.file.file_path(), *row)).collect();
                let delete = table.positions(&live, &named, random.bool()).await;
                table.delete(live.spec_id, vec![delete]).await;
                records.retain(|record| !rows.iter().any(|row| ids[*row as usize] == record.value));
            }
        }
        let expected = expected(&records);
        let counts = table.convert(MEMORY).await;
        assert_eq!(counts, (expected.len() as u64, (records.len() - expected.len()) as u64), "{replay}");
        gone += counts.1;
        assert_eq!(table.values().await, expected, "{replay}");
        assert_eq!(key_ids(table.metadata.current_schema()), [2]);
        let deletes = table.live_of(ManifestContentType::Deletes).await.len();
        assert!(encoding != Copy || deletes == 0, "{replay}");
        // What looks keys up finds one row of each, and nothing else to delete.
        let mut names = table.names();
        let mut keyed = KeyedTable::new(table.store.clone(), &table.metadata, vec![2], seed).unwrap();
        keyed.catch_up(&table.metadata).await.unwrap();
        let resolved = keyed.resolve(&table.metadata, &StagedKeys::default(), &mut names).await.unwrap();
        assert!(resolved.deletes.added.is_empty() && resolved.deletes.replaced.is_empty(), "{replay}");
        // Once more, nothing goes.
        assert_eq!(table.convert(MEMORY).await.1, 0, "{replay}");
        assert_eq!(table.values().await, expected, "{replay}");
    }
    assert!(gone > 1000, "{gone} rows went");
}

/// Whatever the memory: what it cannot hold is on disk.
#[tokio::test]
async fn i3_more_rows_than_memory_holds_are_sorted_on_disk() {
    let mut table = Table::new(batch(&[]).schema().fields(), "", "");
    let count = 400_000;
    let record = |value: i64| Record {
        value,
        id: value % 150_000,
        partition: (value % 150_000 % 3) as i32,
        offset: value,
        time: 0,
        is_deleted: false,
    };
    for from in (0..count).step_by(100_000) {
        table.append(&batch(&(from..from + 100_000).map(record).collect::<Vec<_>>())).await;
    }
    let counts = table.convert(6 << 20).await;
    assert_eq!(counts, (150_000, 250_000));
    assert_eq!(table.number("select min(value) from t").await, 250_000);
    assert_eq!(table.number("select count(distinct id) from t").await, 150_000);
}

/// Of two topics' rows the time decides.
#[tokio::test]
async fn rows_of_two_topics_are_told_apart_by_time() {
    let mut table = Table::new(batch(&[]).schema().fields(), "", "");
    let record = |value, offset, time| Record { value, id: 1, partition: 0, offset, time, is_deleted: false };
    let of_former = batch(&[record(1, 90, 5), record(2, 91, 6)]);
    let mut columns = of_former.columns().to_vec();
    columns[4] = Arc::new(StringArray::from(vec!["former"; 2]));
    table.append(&RecordBatch::try_new(of_former.schema(), columns).unwrap()).await;
    table.append(&batch(&[record(3, 0, 7), record(4, 1, 7)])).await;
    table.convert(MEMORY).await;
    assert_eq!(table.values().await, BTreeMap::from([(1, 4)]));
}

#[tokio::test]
async fn rows_without_a_value_are_counted_unless_they_are_deleted() {
    let mut table = Table::new(batch(&[]).schema().fields(), "", "");
    let record = |value| Record { value, id: value, partition: 0, offset: value, time: 0, is_deleted: false };
    let whole = batch(&[record(1), record(2)]);
    table.append(&whole).await;
    let mut columns = whole.columns().to_vec();
    columns[1] = Arc::new(Int64Array::from(vec![None, None]));
    columns[6] = Arc::new(Int64Array::from(vec![None, Some(4)]));
    table.append(&RecordBatch::try_new(whole.schema(), columns).unwrap()).await;
    let columns = ["id", "partition", "offset"].map(str::to_owned);
    let counts = || async { without_values(&table.store, &table.metadata, &columns).await.unwrap() };
    assert_eq!(counts().await, [2, 0, 1]);
    let live = table.live().await;
    let of = live.iter().max_by_key(|live| live.sequence).unwrap().clone();
    let both = [(of.file.file_path(), 0), (of.file.file_path(), 1)];
    let delete = table.positions(&of, &both, false).await;
    table.delete(of.spec_id, vec![delete]).await;
    assert_eq!(without_values(&table.store, &table.metadata, &columns).await.unwrap(), [0, 0, 0]);
    // They are in a file still, whose column is one of the key: nobody reads them as rows.
    table.convert(MEMORY).await;
    assert_eq!(table.values().await, BTreeMap::from([(1, 1), (2, 2)]));
    table.compact().await;
    assert_eq!(table.values().await, BTreeMap::from([(1, 1), (2, 2)]));
}

/// The way back: nothing identifies rows, and what did may be null unless somebody declared otherwise.
#[tokio::test]
async fn columns_that_identified_rows_take_nulls_again() {
    let mut table = Table::new(batch(&[]).schema().fields(), "", "");
    let schema = table.metadata.current_schema().as_ref().clone();
    let both = identified_by(schema, &["id".to_owned(), "value".to_owned()]).unwrap();
    let plain = unidentified(both.clone(), &["value".to_owned()]).unwrap();
    assert!(key_ids(&plain).is_empty() && key_ids(&both) == [1, 2]);
    let required = |name: &str| plain.field_by_name(name).unwrap().required;
    assert_eq!([required("id"), required("value"), required("ts")], [false, true, false]);
    let record = Record { value: 1, id: 1, partition: 0, offset: 0, time: 0, is_deleted: false };
    table.append(&batch(&[record])).await;
    table.convert(MEMORY).await;
    let metadata = table.metadata.clone();
    let schema = unidentified(metadata.current_schema().as_ref().clone(), &[]).unwrap();
    let delta = RowDelta {
        schema: Some(Evolution { schema, last_column_id: metadata.last_column_id() }),
        ..RowDelta::default()
    };
    let prepared = prepare_row_delta(table.context(), &metadata, &delta).await.unwrap();
    table.publish(prepared);
    table.append(&batch(&[Record { value: 2, offset: 1, ..record }])).await;
    assert_eq!(table.number("select count(*) from t where id = 1").await, 2);
}
