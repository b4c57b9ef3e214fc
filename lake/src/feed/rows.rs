//! The rows of some parts of files, one file after another.
//!
//! - I1: a row is told exactly if its part has it.

use std::vec::IntoIter;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use iceberg::spec::{SchemaRef, TableMetadata};
use tableflow_model::Result;
use tableflow_store::Store;

use super::plan::{Part, Which};
use crate::arrow_error;
use crate::read::{ColumnReader, FileBatches};

/// Reads one file at a time.
#[derive(Debug)]
pub struct PartRows {
    store: Store,
    columns: ColumnReader,
    parts: IntoIter<Part>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    batches: FileBatches,
    rows: Which,
    /// Of the next batch's first row.
    place: u64,
}

impl PartRows {
    pub fn new(store: &Store, table: &TableMetadata, schema: &SchemaRef, parts: Vec<Part>) -> Result<Self> {
        let columns = ColumnReader::new(table, schema)?;
        Ok(PartRows { store: store.clone(), columns, parts: parts.into_iter(), open: None })
    }

    pub fn schema(&self) -> &ArrowSchemaRef {
        self.columns.schema()
    }

    pub fn is_empty(&self) -> bool {
        self.parts.len() == 0 && self.open.is_none()
    }

    /// Batches without rows are passed over.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.open.is_none() {
                let Some(part) = self.parts.next() else { return Ok(None) };
                let batches = self.columns.open(&self.store, &part.live.file).await?;
                self.open = Some(Open { batches, rows: part.rows, place: 0 });
            }
            let Some(open) = &mut self.open else { continue };
            let Some(batch) = open.batches.next().await? else {
                self.open = None;
                continue;
            };
            let end = open.place + batch.num_rows() as u64;
            let told: BooleanArray = (open.place..end).map(|row| Some(open.rows.has(row))).collect();
            open.place = end;
            let rows = filter_record_batch(&batch, &told).map_err(arrow_error("taking the rows that changed"))?;
            if rows.num_rows() > 0 {
                return Ok(Some(rows));
            }
        }
    }

    pub async fn all(mut self) -> Result<Vec<RecordBatch>> {
        let mut all = Vec::new();
        while let Some(batch) = self.next().await? {
            all.push(batch);
        }
        Ok(all)
    }
}
