//! A change file and the rows that its commit replaced become changes.
//!
//! Owns [`Told`].
//! - I1: every version is told, in order; what it replaced is the version before it or, of a key's first one, the row
//!   that the commit took out of the table.
//! - I2: a row that the commit took out and no version is about (one of two with a key) is told as deleted.
//! - I3: it holds the rows that went and the change file, as large as an epoch.

use std::collections::HashMap;

use arrow::array::{RecordBatch, TimestampMicrosecondArray, UInt8Array};
use arrow::compute::interleave_record_batch;
use iceberg::spec::{DataFile, SchemaRef, TableMetadata};
use tableflow_model::{ChangeBatch, ChangeKind, Error, Result};
use tableflow_store::Store;

use super::difference::{key_places, keys_of};
use super::rows::PartRows;
use super::same::Comparer;
use super::versions::KindsAndTimes;
use crate::arrow_error;
use crate::read::{ColumnReader, FileBatches};

type Place = (usize, usize);

/// A change file under way.
#[derive(Debug)]
pub struct Told {
    file: FileBatches,
    path: String,
    kinds: Vec<ChangeKind>,
    times: Vec<i64>,
    /// Of the next batch of the file.
    place: usize,
    /// Rows that went, then the versions so far.
    batches: Vec<RecordBatch>,
    key: (Comparer, Vec<usize>),
    /// What a key has before the next version of it.
    current: HashMap<Vec<u8>, Place>,
    /// Rows that went beside those in `current` (I2).
    others: Vec<Place>,
    /// So many of the batches are rows that went.
    went: usize,
    is_done: bool,
}

/// Changes, while they are put in order.
#[derive(Default)]
struct Order {
    kinds: Vec<u8>,
    times: Vec<Option<i64>>,
    places: Vec<Place>,
}

impl Order {
    fn tell(&mut self, kind: ChangeKind, time: Option<i64>, place: Place) {
        self.kinds.push(kind.code());
        self.times.push(time);
        self.places.push(place);
    }
}

impl Told {
    pub async fn open(
        store: &Store,
        table: &TableMetadata,
        (schema, key): (&SchemaRef, &[i32]),
        file: &DataFile,
        removed: PartRows,
    ) -> Result<Self> {
        let columns = ColumnReader::new(table, schema)?;
        let places = key_places(schema, key);
        let fields = places.iter().filter_map(|place| columns.schema().fields().get(*place));
        let key = (Comparer::new(fields)?, places);
        let path = file.file_path().to_owned();
        let KindsAndTimes { kinds, times } = KindsAndTimes::of(store.get(&path).await?, &path)?;
        let batches = removed.all().await?;
        let (mut current, mut others) = (HashMap::new(), Vec::new());
        for (number, batch) in batches.iter().enumerate() {
            for (row, bytes) in keys_of(Some(&key), batch)?.unwrap_or_default().into_iter().enumerate() {
                others.extend(current.insert(bytes, (number, row)));
            }
        }
        let (went, file) = (batches.len(), columns.open(store, file).await?);
        Ok(Told { file, path, kinds, times, place: 0, batches, key, current, others, went, is_done: false })
    }

    pub async fn next(&mut self) -> Result<Option<ChangeBatch>> {
        while !self.is_done {
            let order = match self.file.next().await? {
                Some(batch) => self.versions(batch)?,
                None => self.rest(),
            };
            if !order.places.is_empty() {
                return self.batch(order).map(Some);
            }
        }
        Ok(None)
    }

    /// I1.
    fn versions(&mut self, batch: RecordBatch) -> Result<Order> {
        let mut order = Order::default();
        let number = self.batches.len();
        let keys = keys_of(Some(&self.key), &batch)?.unwrap_or_default();
        self.batches.push(batch);
        for (row, key) in keys.into_iter().enumerate() {
            let (kind, time) = (self.kinds.get(self.place), self.times.get(self.place));
            let (Some(kind), Some(time)) = (kind.copied(), time.copied()) else {
                return Err(Error::data("a change file cannot be read").with_detail(&self.path));
            };
            self.place += 1;
            let before = if kind.adds() { self.current.insert(key, (number, row)) } else { self.current.remove(&key) };
            match (before, kind.adds()) {
                (Some(before), true) => {
                    order.tell(ChangeKind::UpdateBefore, Some(time), before);
                    order.tell(ChangeKind::UpdateAfter, Some(time), (number, row));
                }
                (None, true) => order.tell(ChangeKind::Insert, Some(time), (number, row)),
                (Some(before), false) => order.tell(ChangeKind::Delete, Some(time), before),
                // There was no such row.
                (None, false) => {}
            }
        }
        Ok(order)
    }

    /// I2.
    fn rest(&mut self) -> Order {
        self.is_done = true;
        let mut order = Order::default();
        let mut left: Vec<Place> = self.current.values().filter(|(batch, _)| *batch < self.went).copied().collect();
        left.append(&mut self.others);
        left.sort_unstable();
        left.into_iter().for_each(|place| order.tell(ChangeKind::Delete, None, place));
        order
    }

    fn batch(&self, order: Order) -> Result<ChangeBatch> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows = interleave_record_batch(&batches, &order.places).map_err(arrow_error("putting changes in order"))?;
        let rowtimes = TimestampMicrosecondArray::from(order.times).with_timezone("+00:00");
        Ok(ChangeBatch { kinds: UInt8Array::from(order.kinds), rowtimes, rows })
    }
}
