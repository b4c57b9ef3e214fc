//! The keys of data files, several files at once.
//!
//! Owns [`KeyReading`].
//! - I1: the keys of a file come in its order; those of several come between each other.
//! - I2: as many files are read at the same time as the machine has use for, and what was read waits for whoever
//!   takes it: memory holds some batches of each, whatever the table's size.
//! - I3: of a file nothing is read but the reader's columns: the key's, and those beside them that were asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use arrow::array::{ArrayRef, RecordBatch};
use iceberg::spec::{DataFile, Schema, SchemaRef, TableMetadata};
use tableflow_model::{Error, Result};
use tableflow_store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::iceberg_error;
use crate::keys::{Hash, KeyHasher, ROWS_MAX};
use crate::read::ColumnReader;

/// Files at a time: while one waits for the store another one is decoded.
const FILES_PER_CORE: usize = 2;
const FILES_MIN: usize = 8;

/// Batches that wait, for each file.
const WAITING_MAX: usize = 2;

/// Columns of the table, in this order.
pub(super) fn columns_of(table: &TableMetadata, names: &[String]) -> Result<SchemaRef> {
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

/// Keys that follow each other in a file.
#[derive(Debug)]
pub struct KeyRows {
    /// Its number.
    pub file: u32,
    pub first_row: u32,
    pub keys: Vec<Hash>,
    /// The other columns of these rows.
    pub beside: Vec<ArrayRef>,
}

/// Reads keys.
#[derive(Clone, Debug)]
pub struct KeyReader {
    pub store: Store,
    /// Those of the key come first.
    pub columns: Arc<ColumnReader>,
    pub hasher: Arc<KeyHasher>,
}

impl KeyReader {
    /// Of all rows of a file, deleted ones too.
    pub async fn keys_of(&self, file: &DataFile) -> Result<Vec<Hash>> {
        let mut keys = Vec::with_capacity(usize::try_from(file.record_count()).unwrap_or(0));
        let mut batches = self.columns.open(&self.store, file).await?;
        while let Some(batch) = batches.next().await? {
            keys.extend(self.apart(&batch)?.0);
        }
        Ok(keys)
    }

    /// The keys, and the columns beside them.
    fn apart(&self, batch: &RecordBatch) -> Result<(Vec<Hash>, Vec<ArrayRef>)> {
        let (key, beside) = batch.columns().split_at(self.hasher.columns().min(batch.num_columns()));
        Ok((self.hasher.hashes(key)?, beside.to_vec()))
    }

    async fn send(&self, number: u32, file: &DataFile, to: &mpsc::Sender<KeyRows>) -> Result<()> {
        if file.record_count() > u64::from(ROWS_MAX) {
            return Err(Error::usage("a data file has more rows than the key index can tell apart")
                .with_detail(file.file_path())
                .with_hint("compact the table into smaller files"));
        }
        let (mut batches, mut first_row) = (self.columns.open(&self.store, file).await?, 0);
        while let Some(batch) = batches.next().await? {
            let (keys, beside) = self.apart(&batch)?;
            let rows = u32::try_from(keys.len()).unwrap_or(ROWS_MAX);
            if to.send(KeyRows { file: number, first_row, keys, beside }).await.is_err() {
                // Nobody waits for it any more.
                return Ok(());
            }
            first_row += rows;
        }
        Ok(())
    }
}

/// Files under way.
#[derive(Debug)]
pub struct KeyReading {
    rows: mpsc::Receiver<KeyRows>,
    readers: JoinSet<Result<()>>,
}

impl KeyReading {
    /// Of files, by their numbers.
    pub fn of(reader: &KeyReader, files: Vec<(u32, DataFile)>) -> Self {
        let at_once = (available_parallelism().map_or(1, usize::from) * FILES_PER_CORE).max(FILES_MIN);
        let (to, rows) = mpsc::channel(at_once * WAITING_MAX);
        let (mut readers, left) = (JoinSet::new(), Arc::new(Mutex::new(files.into_iter())));
        for _ in 0..at_once {
            let (reader, left, to) = (reader.clone(), left.clone(), to.clone());
            readers.spawn(async move {
                let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((number, file)) = next() {
                    reader.send(number, &file, &to).await?;
                }
                Ok(())
            });
        }
        KeyReading { rows, readers }
    }

    /// The next ones (I1); an error as soon as there is one.
    pub async fn next(&mut self) -> Result<Option<KeyRows>> {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.readers.join_next() => well(ended)?,
                rows = self.rows.recv() => match rows {
                    Some(rows) => return Ok(Some(rows)),
                    None => break,
                },
            }
        }
        while let Some(ended) = self.readers.join_next().await {
            well(ended)?;
        }
        Ok(None)
    }
}

fn well(ended: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    ended.map_err(|error| Error::internal("the reading of keys failed inside").with_source(error))?
}
