//! The crate's parts together, over a store in memory and a catalog that is one variable: rows written, committed,
//! read back. Expected rows are kept in a plain map beside them.

mod altered;
mod compacted;
mod deleted;
mod encoded;
mod followed;
mod kept;
mod latest;
mod ordered;
mod partly;
mod removed;
mod upserted;
mod versions;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{
    ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, TimeUnit};
use datafusion::prelude::{SessionConfig, SessionContext};
use iceberg::TableUpdate;
use iceberg::spec::{
    DataFile, FormatVersion, Schema, SnapshotReference, SnapshotRetention, SortOrder, TableMetadata,
    TableMetadataBuilder,
};
use object_store::memory::InMemory;
use tableflow_model::protocol::{Epoch, Generation};
use tableflow_model::{Clock, Ids, JobName, Millis};
use tableflow_store::Store;
use uuid::Uuid;

use crate::commit::{
    CommitContext, Prepared, Retention, RowDelta, live_files, manifests_of, prepare_rollback, prepare_row_delta,
};
use crate::layout::{evolve, new_schema, parse_partition_by, parse_sort_by};
use crate::read::IcebergTable;
use crate::write::{EpochName, Stager};

#[derive(Debug)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Millis {
        Millis(1_700_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed) as i64)
    }
}

#[derive(Debug)]
struct CountingIds(AtomicU64);

impl Ids for CountingIds {
    fn uuid(&self) -> Uuid {
        Uuid::from_u64_pair(7, self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// A table whose catalog is the field `metadata`.
struct Table {
    store: Store,
    clock: TestClock,
    ids: CountingIds,
    metadata: Arc<TableMetadata>,
    epoch: u64,
}

impl Table {
    fn new(columns: &Fields, partition_by: &str, sort_by: &str) -> Self {
        Self::of_schema(new_schema(columns).unwrap(), partition_by, sort_by)
    }

    fn of_schema(schema: Schema, partition_by: &str, sort_by: &str) -> Self {
        let store = Store::with_object_store("memory:///lake", Arc::new(InMemory::new())).unwrap();
        let spec = parse_partition_by(partition_by, &schema).unwrap();
        let order =
            if sort_by.is_empty() { SortOrder::unsorted_order() } else { parse_sort_by(sort_by, &schema).unwrap() };
        let location = format!("{}/bronze/t", store.root_uri());
        let built = TableMetadataBuilder::new(schema, spec, order, location, FormatVersion::V2, HashMap::new());
        let metadata = Arc::new(built.unwrap().build().unwrap().metadata);
        Table { store, clock: TestClock(AtomicU64::new(0)), ids: CountingIds(AtomicU64::new(0)), metadata, epoch: 0 }
    }

    fn context(&self) -> CommitContext<'_> {
        CommitContext { store: &self.store, clock: &self.clock, ids: &self.ids }
    }

    fn apply(&mut self, updates: Vec<TableUpdate>) {
        let mut builder = self.metadata.as_ref().clone().into_builder(None);
        for update in updates {
            builder = update.apply(builder).unwrap();
        }
        self.metadata = Arc::new(builder.build().unwrap().metadata);
    }

    fn publish(&mut self, prepared: Prepared) -> i64 {
        for requirement in &prepared.requirements {
            requirement.check(Some(&self.metadata)).unwrap();
        }
        self.apply(prepared.updates);
        prepared.snapshot_id
    }

    /// Stages and commits one batch, with the columns that it has.
    async fn append(&mut self, batch: &RecordBatch) -> i64 {
        self.append_all(std::slice::from_ref(batch)).await
    }

    /// Batches with the same columns.
    async fn append_all(&mut self, batches: &[RecordBatch]) -> i64 {
        self.epoch += 1;
        let job: JobName = "bronze.t".parse().unwrap();
        let name = EpochName { job: job.clone(), generation: Generation(1), epoch: Epoch(self.epoch) };
        let metadata = self.metadata.clone();
        let fields = batches[0].schema().fields().clone();
        let evolution = evolve(metadata.current_schema(), metadata.last_column_id(), &fields).unwrap();
        let schema = match &evolution {
            Some(evolution) => Arc::new(evolution.schema.clone()),
            None => metadata.current_schema().clone(),
        };
        let mut stager = Stager::new(self.store.clone(), &metadata, schema, name).unwrap();
        for batch in batches {
            stager.write(batch).await.unwrap();
        }
        let delta = RowDelta {
            files: stager.finish().await.unwrap().files,
            spec_id: metadata.default_partition_spec_id(),
            schema: evolution,
            properties: BTreeMap::from([("tableflow.ledger.t".to_owned(), self.epoch.to_string())]),
            retention: Retention::default(),
            ..RowDelta::default()
        };
        let prepared = prepare_row_delta(self.context(), &metadata, &delta).await.unwrap();
        self.publish(prepared)
    }

    async fn files(&self) -> Vec<DataFile> {
        let snapshot = self.metadata.current_snapshot().unwrap();
        live_files(&self.store, &self.metadata, snapshot).await.unwrap()
    }

    fn total(&self, name: &str) -> u64 {
        let summary = self.metadata.current_snapshot().unwrap().summary();
        summary.additional_properties[name].parse().unwrap()
    }

    async fn query(&self, sql: &str) -> Vec<RecordBatch> {
        self.try_query(sql).await.unwrap()
    }

    async fn try_query(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        context.runtime_env().register_object_store(&self.store.base_url().unwrap(), self.store.object_store());
        let table = IcebergTable::current(self.store.clone(), self.metadata.clone()).unwrap();
        context.register_table("t", Arc::new(table)).unwrap();
        context.sql(sql).await.unwrap().collect().await.map_err(|error| error.to_string())
    }

    /// The one number that a query answers.
    async fn number(&self, sql: &str) -> i64 {
        let batches = self.query(sql).await;
        batches.iter().find(|batch| batch.num_rows() > 0).unwrap().column(0).as_primitive::<Int64Type>().value(0)
    }
}

const DAY: i64 = 86_400_000_000;

fn columns() -> Fields {
    let ts = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    vec![Field::new("id", DataType::Int64, true), Field::new("city", DataType::Utf8, true), Field::new("ts", ts, true)]
        .into()
}

/// Rows `from..to`: a city each of seven, a day each of five, some nulls.
fn rows(from: i64, to: i64) -> RecordBatch {
    let ids = Int64Array::from_iter_values(from..to);
    let cities = StringArray::from_iter((from..to).map(|id| (id % 11 != 0).then(|| format!("city {}", id % 7))));
    let times = TimestampMicrosecondArray::from_iter((from..to).map(|id| (id % 13 != 0).then_some(id % 5 * DAY + id)))
        .with_timezone("+00:00");
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(ids) as ArrayRef, true),
        ("city", Arc::new(cities) as ArrayRef, true),
        ("ts", Arc::new(times) as ArrayRef, true),
    ])
    .unwrap()
}

#[tokio::test]
async fn every_row_is_in_one_partition_and_comes_back() {
    for (partition_by, partitions) in
        [("", 1), ("city", 8), ("day(ts)", 6), ("bucket(4, id)", 4), ("truncate(100, id), month(ts)", 20)]
    {
        let mut table = Table::new(&columns(), partition_by, "");
        table.append(&rows(0, 1000)).await;
        let files = table.files().await;
        assert_eq!(files.len(), partitions, "{partition_by}");
        assert_eq!(files.iter().map(DataFile::record_count).sum::<u64>(), 1000);
        assert_eq!(table.number("select count(distinct id) from t").await, 1000, "{partition_by}");
        assert_eq!(table.number("select sum(id) from t").await, 499_500);
        // By hand: 1000 ids, 91 of them multiples of 11 from 0 on.
        assert_eq!(table.number("select count(city) from t").await, 1000 - 91);
    }
}

#[tokio::test]
async fn filters_find_the_rows_and_skip_the_files_that_cannot_have_them() {
    let mut table = Table::new(&columns(), "day(ts)", "");
    for start in [0, 1000, 2000] {
        table.append(&rows(start, start + 1000)).await;
    }
    let by_hand = |keep: &dyn Fn(i64) -> bool| (0..3000).filter(|id| keep(*id)).count() as i64;
    let cases: [(&str, &dyn Fn(i64) -> bool); 6] = [
        ("id >= 2500", &|id| id >= 2500),
        ("id = 17 or id = 1700", &|id| id == 17 || id == 1700),
        ("city = 'city 3'", &|id| id % 11 != 0 && id % 7 == 3),
        ("city is null", &|id| id % 11 == 0),
        ("ts is null", &|id| id % 13 == 0),
        ("ts >= '1970-01-05T00:00:00Z'", &|id| id % 13 != 0 && id % 5 == 4),
    ];
    for (filter, keep) in cases {
        assert_eq!(table.number(&format!("select count(*) from t where {filter}")).await, by_hand(keep), "{filter}");
    }
    let plan = table.query("explain select * from t where ts >= '1970-01-05T00:00:00Z' and id < 1000").await;
    let text = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
    assert_eq!(text.matches(".parquet").count(), 1, "one day of one commit is one file:\n{text}");
}

#[tokio::test]
async fn counts_and_extremes_come_from_metadata() {
    let mut table = Table::new(&columns(), "", "");
    table.append(&rows(5, 905)).await;
    let plan = table.query("explain select count(*), min(id), max(ts) from t").await;
    let text = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
    assert!(!text.contains("DataSourceExec"), "no file is read:\n{text}");
    assert_eq!(table.number("select min(id) from t").await, 5);
    assert_eq!(table.number("select max(id) from t").await, 904);
    let plan = table.query("explain select min(city) from t").await;
    let text = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
    assert!(text.contains("DataSourceExec"), "a text's bound may be cut short by its writer:\n{text}");
}

/// Texts that are not compressed away, of so many bytes.
fn noise(seed: u64, rows: usize, bytes: usize) -> Vec<String> {
    let mut state = seed;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (state >> 33) as u8 % 26)
    };
    (0..rows).map(|_| (0..bytes).map(|_| letter()).collect()).collect()
}

#[tokio::test]
async fn a_text_too_long_for_a_bound_is_found_whatever_the_other_row_groups_say() {
    let texts = Fields::from(vec![Field::new("s", DataType::Utf8, true)]);
    let batch = |texts: Vec<String>| {
        RecordBatch::try_from_iter_with_nullable([("s", Arc::new(StringArray::from(texts)) as ArrayRef, true)]).unwrap()
    };
    let mut batches: Vec<RecordBatch> = (1..=8).map(|seed| batch(noise(seed, 32_000, 250))).collect();
    batches.push(batch(vec!["z".repeat(300), "A".repeat(300)]));
    let mut table = Table::new(&texts, "", "");
    table.append_all(&batches).await;
    assert_eq!(table.files().await.len(), 1, "one file, so that its row groups share its bounds");
    for filter in ["s > 'zzzzzzzzzz'", "s < 'B'", "s like 'zzzzzzzzzz%'"] {
        assert_eq!(table.number(&format!("select count(*) from t where {filter}")).await, 1, "{filter}");
    }
    let file = &table.files().await[0];
    assert!(file.lower_bounds().is_empty() && file.upper_bounds().is_empty(), "exact or absent");
}

#[tokio::test]
async fn a_day_before_1970_holds_its_times_to_the_last_microsecond() {
    let mut table = Table::new(&columns(), "day(ts)", "");
    // 1969-12-30T23:59:59.5, 1969-12-31T12:00, 1970-01-01T00:00.
    let times = [-DAY - 500_000, -DAY / 2, 0];
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from_iter_values(0..3)) as ArrayRef, true),
        ("ts", Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("+00:00")) as ArrayRef, true),
    ])
    .unwrap();
    table.append(&batch).await;
    assert_eq!(table.files().await.len(), 3);
    for (filter, id) in [
        ("ts < '1969-12-31T00:00:00Z'", 0),
        ("ts = '1969-12-30T23:59:59.5Z'", 0),
        ("ts >= '1969-12-31T00:00:00Z' and ts < '1970-01-01T00:00:00Z'", 1),
        ("ts >= '1970-01-01T00:00:00Z'", 2),
    ] {
        assert_eq!(table.number(&format!("select min(id) from t where {filter}")).await, id, "{filter}");
        assert_eq!(table.number(&format!("select count(*) from t where {filter}")).await, 1, "{filter}");
    }
}

#[tokio::test]
async fn a_sorted_table_has_sorted_files() {
    let mut table = Table::new(&columns(), "", "city, id desc");
    table.append_all(&[rows(0, 100), rows(100, 101), rows(101, 500)]).await;
    let batches = table.query("select city, id from t").await;
    let mut read = Vec::new();
    for batch in &batches {
        let (cities, ids) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        read.extend(cities.iter().map(|city| city.map(str::to_owned)).zip(ids.values().iter().copied()));
    }
    let mut expected: Vec<_> =
        (0..500_i64).map(|id| ((id % 11 != 0).then(|| format!("city {}", id % 7)), id)).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    assert_eq!(read, expected);
}

#[tokio::test]
async fn a_new_column_is_null_in_old_rows_and_keeps_its_id() {
    let mut table = Table::new(&columns(), "", "");
    table.append(&rows(0, 10)).await;
    let wide = RecordBatch::try_from_iter_with_nullable([
        ("note", Arc::new(StringArray::from(vec!["new"; 3])) as ArrayRef, true),
        ("id", Arc::new(Int64Array::from(vec![10, 11, 12])) as ArrayRef, true),
    ])
    .unwrap();
    table.append(&wide).await;
    table.append(&wide).await;
    assert_eq!(table.metadata.current_schema().field_id_by_name("note"), Some(4));
    assert_eq!(table.metadata.last_column_id(), 4);
    assert_eq!(table.number("select count(*) from t where note is null").await, 10);
    assert_eq!(table.number("select count(*) from t where note = 'new' and city is null").await, 6);
}

#[tokio::test]
async fn hundreds_of_commits_keep_metadata_small_and_tags_alive() {
    let mut table = Table::new(&columns(), "", "");
    let first = table.append(&rows(0, 1)).await;
    let tag = SnapshotReference::new(first, SnapshotRetention::Tag { max_ref_age_ms: None });
    table.apply(vec![TableUpdate::SetSnapshotRef { ref_name: "keep".to_owned(), reference: tag }]);
    for row in 1..300 {
        table.append(&rows(row, row + 1)).await;
    }
    let snapshots = table.metadata.snapshots().len();
    assert_eq!(snapshots, 101, "a hundred of main's, and the one that the tag names");
    assert!(table.metadata.snapshot_by_id(first).is_some());
    assert_eq!(table.metadata.properties()["tableflow.ledger.t"], "300");
    let manifests = manifests_of(&table.store, &table.metadata, table.metadata.current_snapshot().unwrap()).await;
    assert!(manifests.unwrap().len() < 40);
    let files = table.files().await;
    assert_eq!((files.len() as u64, table.total("total-data-files"), table.total("total-records")), (300, 300, 300));
    assert_eq!(table.number("select sum(id) from t").await, 299 * 300 / 2);
}

#[tokio::test]
async fn nested_columns_go_through_joins() {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>((0..4).map(|i| (i > 0).then(|| vec![Some(i); 2])));
    let inner = Fields::from(vec![Field::new("n", DataType::Int64, true)]);
    let structs = StructArray::new(inner, vec![Arc::new(Int64Array::from_iter_values(0..4))], None);
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from_iter_values(0..4)) as ArrayRef, true),
        ("l", Arc::new(lists) as ArrayRef, true),
        ("s", Arc::new(structs) as ArrayRef, true),
    ])
    .unwrap();
    let mut table = Table::new(batch.schema().fields(), "", "");
    table.append(&batch).await;
    let rows: usize = table.query("select * from t a, t b").await.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 16);
    let joined = "select sum(a.l[1] + b.s['n']) from t a join t b on a.id = b.id";
    assert_eq!(table.number(joined).await, 1 + 2 + 3 + 1 + 2 + 3);
}

#[tokio::test]
async fn a_rollback_is_a_new_snapshot_with_the_old_rows() {
    let mut table = Table::new(&columns(), "", "");
    let old = table.append(&rows(0, 10)).await;
    table.append(&rows(10, 30)).await;
    let before = table.metadata.last_sequence_number();
    let prepared = prepare_rollback(table.context(), &table.metadata, old, BTreeMap::new(), &[]).await.unwrap();
    let new = table.publish(prepared);
    assert_ne!(new, old);
    assert_eq!(table.metadata.last_sequence_number(), before + 1);
    assert_eq!((table.total("total-records"), table.number("select count(*) from t").await), (10, 10));
    table.append(&rows(10, 12)).await;
    assert_eq!(table.number("select count(*) from t").await, 12);
    let error = prepare_rollback(table.context(), &table.metadata, 99, BTreeMap::new(), &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "the table has no snapshot 99");
}

#[tokio::test]
async fn an_epoch_without_rows_is_a_snapshot_with_its_ledger() {
    let mut table = Table::new(&columns(), "", "");
    let id = table.append(&rows(0, 0)).await;
    let snapshot = table.metadata.snapshot_by_id(id).unwrap();
    assert_eq!(snapshot.summary().additional_properties["tableflow.ledger.t"], "1");
    assert_eq!(table.metadata.properties()["tableflow.ledger.t"], "1");
    assert_eq!(table.number("select count(*) from t").await, 0);
}
