//! A table of every record becomes one with one row a key: which of its rows go.
//!
//! Owns [`superseded`], what those that stay leave, and [`without_values`], the rows of which it cannot be told.
//! - I1: of a key's rows the one stays that came last (rule U2): of a partition that of the greatest offset, of those the
//!   one of the greatest time, then partition, then offset. It is told from the rows alone: in whatever order they are
//!   read, the same ones stay.
//! - I2: a row that says of itself that it is deleted is a change as any other: where it is the last one, none stays.
//! - I3: rows are sorted by their keys, on disk where they are more than memory may hold; in memory there are some batches of
//!   them, and one bit or less of each row that goes.
//!
//! Neighbours: `origins` has the rows as they are sorted, `deletes` writes what goes in the table's encoding.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, UInt32Type, UInt64Type};
use futures::TryStreamExt;
use iceberg::spec::TableMetadata;
use roaring::RoaringTreemap;
use tableflow_model::protocol::{Order, Rules};
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use super::deletes::{Touched, deletes_of};
use super::files::KnownFile;
use super::origins::{Origins, by_key_and_place, told};
use super::reading::columns_of;
use crate::commit::{Deletes, LiveFile, manifests_of};
use crate::compact::{failed, sorted_by};
use crate::read::{ColumnReader, DeleteFiles, data_files, deleted_rows};
use crate::write::FileNames;

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
