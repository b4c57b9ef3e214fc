//! Rows with where they came from, as they are sorted to tell which of a key is the last one.
//!
//! Owns [`Origins`], the columns that say it, and [`told`], the live rows of a table by them.
//! - I1: a row is its key's hash, its place and its time: sorted, those of a key follow each other, and of those the ones of a
//!   partition by their offsets, whatever file they are in.
//! - I2: rows that are deleted are left out.
//!
//! Neighbours: `reading` reads the columns, `latest` goes through the rows once they are sorted.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, UInt32Array, UInt64Array,
};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use iceberg::spec::TableMetadata;
use tableflow_model::{Error, Result};
use tableflow_store::Store;
use twox_hash::XxHash3_128;

use super::files::KnownFile;
use super::reading::{KeyReader, KeyReading, KeyRows, columns_of};
use crate::arrow_error;
use crate::keys::{Hash, KeyHasher};
use crate::read::ColumnReader;

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
pub(super) fn by_key_and_place() -> Result<LexOrdering> {
    let column = |(place, name): (usize, &str)| PhysicalSortExpr {
        expr: Arc::new(Column::new(name, place)),
        options: SortOptions::default(),
    };
    let by = ["key_high", "key_low", "topic", "partition", "offset", "file", "row"];
    LexOrdering::new(by.into_iter().enumerate().map(column))
        .ok_or_else(|| Error::internal("rows are to be sorted by nothing"))
}

/// The live rows of these files, as they are sorted.
pub(super) fn told(
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
