//! A table of every record becomes one with one row a key: which of its rows go.
//!
//! Owns [`Origins`], what tells which row of a key stays, [`without_values`], the rows that it cannot be told of, and
//! [`superseded`], what the others leave.
//! - I1: of a key's rows the one stays that came last (rule U2): of a partition that of the greatest offset, of those the
//!   one of the greatest time, then partition, then offset. It is told from the rows alone: in whatever order they are
//!   read, the same ones stay.
//! - I2: a row that says of itself that it is deleted is a change as any other: where it is the last one, none stays.
//! - I3: rows are sorted by their keys, on disk where they are more than memory may hold; in memory there are some batches of
//!   them, and one bit or less of each row that goes.
//!
//! Neighbours: `reading` reads the columns, `deletes` writes what goes in the table's encoding.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, UInt32Array, UInt64Array,
};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{
    DataType, Field, Int32Type, Int64Type, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef, UInt32Type, UInt64Type,
};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt, stream};
use iceberg::spec::{Schema, SchemaRef, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::protocol::{Order, Rules};
use tableflow_model::{Error, Result};
use tableflow_store::Store;
use twox_hash::XxHash3_128;

use super::deletes::{Touched, deletes_of};
use super::files::KnownFile;
use super::reading::{KeyReader, KeyReading, KeyRows};
use crate::commit::{Deletes, LiveFile, manifests_of};
use crate::compact::{failed, sorted_by};
use crate::keys::{Hash, KeyHasher};
use crate::read::{ColumnReader, DeleteFiles, data_files, deleted_rows};
use crate::write::FileNames;
use crate::{arrow_error, iceberg_error};

/// Where rows came from, and which say that they are deleted.
#[derive(Clone, Debug)]
pub struct Origins {
    /// The names of the columns that say it.
    pub topic: String,
    pub partition: String,
    pub offset: String,
    pub timestamp: String,
    /// The columns by which a row may say that it is deleted, those that there are.
    pub marks: Vec<String>,
    /// Whether a row of these columns does.
    pub is_deleted: fn(&RecordBatch, usize) -> bool,
}

/// What goes.
#[derive(Debug, Default)]
pub struct Superseded {
    pub deletes: Deletes,
    pub rows_kept: u64,
    pub rows_gone: u64,
}

/// A row among those of its key.
#[derive(Clone, Copy, Debug)]
struct Row {
    key: u128,
    topic: u64,
    order: Order,
    is_deleted: bool,
    file: u32,
    row: u32,
}

/// The data files of a table's snapshot, each with what is deleted of it.
async fn files_of(store: &Store, table: &TableMetadata) -> Result<Vec<KnownFile>> {
    let Some(snapshot) = table.current_snapshot() else { return Ok(Vec::new()) };
    let manifests = manifests_of(store, table, snapshot).await?;
    let deletes = DeleteFiles::of_manifests(store, table, &manifests).await?;
    let live = data_files(store, &manifests).await?;
    let all: Vec<&LiveFile> = live.iter().collect();
    let mut deleted = deleted_rows(store, table, &deletes, &all).await?;
    let known = live.into_iter().map(|live| {
        let path = live.file.file_path();
        let (deleted, own_deletes) = (deleted.remove(path).unwrap_or_default(), deletes.of_one_file(path));
        KnownFile { deleted, own_deletes, live }
    });
    Ok(known.collect())
}

/// Columns of the table, in this order.
fn columns_of(table: &TableMetadata, names: &[String]) -> Result<SchemaRef> {
    let fields = names.iter().map(|name| {
        let field = table.current_schema().as_struct().fields().iter().find(|field| field.name == *name);
        field.cloned().ok_or_else(|| {
            Error::data(format!("the table has no column {name} any more"))
                .with_hint("undo that where it was done, or enable the topic into another table with --table")
        })
    });
    let schema = Schema::builder().with_fields(fields.collect::<Result<Vec<_>>>()?).build();
    schema.map(SchemaRef::new).map_err(iceberg_error("some of the table's columns make no schema"))
}

/// How many rows have no value in each of these columns. Only files are read whose manifests do not say that there is none.
pub async fn without_values(store: &Store, table: &TableMetadata, columns: &[String]) -> Result<Vec<u64>> {
    let schema = columns_of(table, columns)?;
    let ids: Vec<i32> = schema.as_struct().fields().iter().map(|field| field.id).collect();
    let reader = ColumnReader::new(table, &schema)?;
    let mut counts = vec![0; columns.len()];
    for known in files_of(store, table).await? {
        let nulls = known.live.file.null_value_counts();
        if ids.iter().all(|id| nulls.get(id) == Some(&0)) {
            continue;
        }
        let (mut batches, mut row) = (reader.open(store, &known.live.file).await?, 0_u64);
        while let Some(batch) = batches.next().await? {
            for (count, column) in counts.iter_mut().zip(batch.columns()) {
                let null = (row..).zip(0..column.len()).filter(|(_, place)| column.is_null(*place));
                *count += null.filter(|(row, _)| !known.deleted.contains(*row)).count() as u64;
            }
            row += batch.num_rows() as u64;
        }
    }
    Ok(counts)
}

/// What a commit on this table deletes, so that one row of each key is left (I1), as delete files under these names.
pub async fn superseded(
    store: &Store,
    table: &Arc<TableMetadata>,
    (key, origins): (&[String], &Origins),
    memory_bytes: usize,
    names: &mut FileNames,
) -> Result<Superseded> {
    let files = Arc::new(files_of(store, table).await?);
    let latest = Latest::of(store, table, (key, origins), (&files, memory_bytes)).await?;
    let touched = latest.gone.iter().filter_map(|(file, rows)| Some((files.get(*file as usize)?, rows)));
    let touched: Vec<Touched<'_>> = touched.collect();
    let deletes = deletes_of(store, table, touched, names).await?;
    Ok(Superseded { deletes, rows_kept: latest.kept, rows_gone: latest.rows_gone() })
}

/// How many rows would stay, and how many go.
pub async fn count_superseded(
    store: &Store,
    table: &TableMetadata,
    of: (&[String], &Origins),
    memory_bytes: usize,
) -> Result<(u64, u64)> {
    let files = Arc::new(files_of(store, table).await?);
    let latest = Latest::of(store, table, of, (&files, memory_bytes)).await?;
    Ok((latest.kept, latest.rows_gone()))
}

/// What is sorted of each row: its key and place, and what tells it from others of the key.
fn sorted_schema() -> ArrowSchemaRef {
    let field = |name: &str, of: DataType| Field::new(name, of, false);
    Arc::new(ArrowSchema::new(vec![
        field("key_high", DataType::UInt32),
        field("key_low", DataType::UInt64),
        field("topic", DataType::UInt64),
        field("partition", DataType::Int32),
        field("offset", DataType::Int64),
        field("file", DataType::UInt32),
        field("row", DataType::UInt32),
        field("timestamp", DataType::Int64),
        field("is_deleted", DataType::Boolean),
    ]))
}

/// Rows of a key follow each other, of those the ones of a partition, in the order of their offsets.
fn by_key_and_place() -> Result<LexOrdering> {
    let column = |(place, name): (usize, &str)| PhysicalSortExpr {
        expr: Arc::new(Column::new(name, place)),
        options: SortOptions::default(),
    };
    let by = ["key_high", "key_low", "topic", "partition", "offset", "file", "row"];
    LexOrdering::new(by.into_iter().enumerate().map(column))
        .ok_or_else(|| Error::internal("rows are to be sorted by nothing"))
}

/// The live rows of these files, as they are sorted.
fn told(
    store: &Store,
    table: &TableMetadata,
    (key, origins): (&[String], &Origins),
    files: Arc<Vec<KnownFile>>,
) -> Result<SendableRecordBatchStream> {
    let places = [&origins.topic, &origins.partition, &origins.offset, &origins.timestamp];
    let names: Vec<String> = key.iter().chain(places).chain(&origins.marks).cloned().collect();
    let columns = ColumnReader::new(table, &columns_of(table, &names)?)?;
    let fields: Vec<_> = columns.schema().fields().iter().take(key.len()).map(AsRef::as_ref).collect();
    // Nobody else sees these hashes, and none are compared with those of another time.
    let seed = table.uuid().as_u64_pair().0;
    let hasher = Arc::new(KeyHasher::new(&fields, seed)?);
    let marks: Vec<_> = columns.schema().fields().iter().skip(key.len() + places.len()).cloned().collect();
    let marks = Arc::new(ArrowSchema::new(marks));
    let reader = KeyReader { store: store.clone(), columns: Arc::new(columns), hasher };
    let numbered = (0_u32..).zip(files.iter()).map(|(number, known)| (number, known.live.file.clone())).collect();
    let (reading, is_deleted) = (KeyReading::of(&reader, numbered), origins.is_deleted);
    let rows = stream::try_unfold((reading, files, marks), move |(mut reading, files, marks)| async move {
        let outer = |error: Error| DataFusionError::External(Box::new(error));
        let Some(rows) = reading.next().await.map_err(outer)? else { return Ok(None) };
        let batch = batch_of(&rows, &files, (&marks, is_deleted)).map_err(outer)?;
        Ok(Some((batch, (reading, files, marks))))
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(sorted_schema(), rows)))
}

/// The live rows of these, as they are sorted.
fn batch_of(
    rows: &KeyRows,
    files: &[KnownFile],
    (marks, is_deleted): (&ArrowSchemaRef, fn(&RecordBatch, usize) -> bool),
) -> Result<RecordBatch> {
    let unfit = arrow_error("telling where rows came from");
    let deleted = files.get(rows.file as usize).map(|known| &known.deleted);
    let is_live = |place: &usize| {
        let row = u64::from(rows.first_row) + *place as u64;
        !deleted.is_some_and(|deleted| deleted.contains(row))
    };
    let live: Vec<usize> = (0..rows.keys.len()).filter(is_live).collect();
    let [topics, partitions, offsets, timestamps, marked @ ..] = rows.beside.as_slice() else {
        return Err(Error::internal("rows were read without where they came from"));
    };
    let typed = |column: &ArrayRef, of: &DataType| cast(column, of).map_err(&unfit);
    let (topics, partitions) = (typed(topics, &DataType::Utf8)?, typed(partitions, &DataType::Int32)?);
    let (offsets, timestamps) = (typed(offsets, &DataType::Int64)?, typed(timestamps, &DataType::Int64)?);
    let (topics, partitions) = (topics.as_string::<i32>(), partitions.as_primitive::<Int32Type>());
    let (offsets, timestamps) = (offsets.as_primitive::<Int64Type>(), timestamps.as_primitive::<Int64Type>());
    let says_deleted: Vec<bool> = match marked.is_empty() {
        true => vec![false; live.len()],
        false => {
            let marked = RecordBatch::try_new(marks.clone(), marked.to_vec()).map_err(&unfit)?;
            live.iter().map(|place| is_deleted(&marked, *place)).collect()
        }
    };
    let hashes: Vec<u128> = live.iter().filter_map(|place| rows.keys.get(*place)).map(|key| Hash::bits(*key)).collect();
    let at = |places: &[usize], first: u32| -> UInt32Array {
        let row = |place: &usize| first.saturating_add(u32::try_from(*place).unwrap_or(u32::MAX));
        places.iter().map(row).collect::<Vec<_>>().into()
    };
    // A time that no column can hold counts as the oldest.
    let time = |place: &usize| if timestamps.is_null(*place) { i64::MIN } else { timestamps.value(*place) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(hashes.iter().map(|key| u32::try_from(key >> 64).unwrap_or(u32::MAX)).collect::<UInt32Array>()),
        Arc::new(hashes.iter().map(|key| low(*key)).collect::<UInt64Array>()),
        Arc::new(live.iter().map(|place| named(topics.value(*place))).collect::<UInt64Array>()),
        Arc::new(live.iter().map(|place| partitions.value(*place)).collect::<Int32Array>()),
        Arc::new(live.iter().map(|place| offsets.value(*place)).collect::<Int64Array>()),
        Arc::new(UInt32Array::from(vec![rows.file; live.len()])),
        Arc::new(at(&live, rows.first_row)),
        Arc::new(live.iter().map(time).collect::<Int64Array>()),
        Arc::new(BooleanArray::from(says_deleted)),
    ];
    RecordBatch::try_new(sorted_schema(), columns).map_err(unfit)
}

/// A topic by a number that follows from its name.
fn named(topic: &str) -> u64 {
    low(XxHash3_128::oneshot(topic.as_bytes()))
}

fn low(bits: u128) -> u64 {
    u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

/// Goes through sorted rows.
#[derive(Debug, Default)]
struct Latest {
    /// The last one so far of the key's partition that is gone through.
    of_partition: Option<Row>,
    /// The last one so far of the partitions before it.
    of_key: Option<Row>,
    /// By the number of the data file.
    gone: BTreeMap<u32, RoaringTreemap>,
    kept: u64,
}

impl Latest {
    /// Of the rows of these files.
    async fn of(
        store: &Store,
        table: &TableMetadata,
        of: (&[String], &Origins),
        (files, memory_bytes): (&Arc<Vec<KnownFile>>, usize),
    ) -> Result<Self> {
        let mut sorted = sorted_by(told(store, table, of, files.clone())?, by_key_and_place()?, memory_bytes)?;
        let mut latest = Latest::default();
        while let Some(batch) = sorted.try_next().await.map_err(failed)? {
            latest.take(&batch)?;
        }
        latest.end_of_key();
        Ok(latest)
    }

    fn rows_gone(&self) -> u64 {
        self.gone.values().map(RoaringTreemap::len).sum()
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let [high, low, topics, partitions, offsets, files, rows, timestamps, deleted] = batch.columns() else {
            return Err(Error::internal("sorted rows have other columns"));
        };
        let (high, low) = (high.as_primitive::<UInt32Type>(), low.as_primitive::<UInt64Type>());
        let (topics, partitions) = (topics.as_primitive::<UInt64Type>(), partitions.as_primitive::<Int32Type>());
        let (offsets, timestamps) = (offsets.as_primitive::<Int64Type>(), timestamps.as_primitive::<Int64Type>());
        let (files, rows) = (files.as_primitive::<UInt32Type>(), rows.as_primitive::<UInt32Type>());
        let deleted = deleted.as_boolean();
        for at in 0..batch.num_rows() {
            let order =
                Order { timestamp: timestamps.value(at), partition: partitions.value(at), offset: offsets.value(at) };
            let key = u128::from(high.value(at)) << 64 | u128::from(low.value(at));
            let (topic, is_deleted) = (topics.value(at), deleted.value(at));
            self.next(Row { key, topic, order, is_deleted, file: files.value(at), row: rows.value(at) });
        }
        Ok(())
    }

    fn next(&mut self, row: Row) {
        if let Some(before) = self.of_partition {
            if before.key != row.key {
                self.end_of_key();
            } else if (before.topic, before.order.partition) == (row.topic, row.order.partition) {
                self.goes(before);
            } else {
                self.end_of_partition();
            }
        }
        self.of_partition = Some(row);
    }

    fn end_of_partition(&mut self) {
        let Some(row) = self.of_partition.take() else { return };
        match self.of_key {
            None => self.of_key = Some(row),
            Some(before) if is_after(&row, &before) => {
                self.goes(before);
                self.of_key = Some(row);
            }
            Some(_) => self.goes(row),
        }
    }

    fn end_of_key(&mut self) {
        self.end_of_partition();
        match self.of_key.take() {
            // I2.
            Some(row) if row.is_deleted => self.goes(row),
            Some(_) => self.kept += 1,
            None => {}
        }
    }

    fn goes(&mut self, row: Row) {
        self.gone.entry(row.file).or_default().insert(row.row.into());
    }
}

/// Of rows of two partitions. Those of two topics are told apart by time alone, as far as that goes.
fn is_after(row: &Row, other: &Row) -> bool {
    if row.topic != other.topic {
        let place = |row: &Row| (row.order.timestamp, row.order.partition, row.order.offset, row.topic);
        return place(row) > place(other);
    }
    row.order.is_after(other.order, Rules::law())
}
