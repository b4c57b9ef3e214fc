//! A table whose source deleted all of its rows at once.
//!
//! Owns [`Emptied`], what becomes of the rows that are there, and [`Mark`].
//! - I1: it is about the rows of the base of the commit, with every try anew (U1), but for those of keys that the same
//!   work changes: of these it is known already.
//! - I2: a row that is marked already stays as it is.
//!
//! Neighbours: `collapse` does the same to the changes of the epoch, `complete` stages the rows that are marked.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, Scalar, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{filter_record_batch, is_null, take_record_batch};
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use iceberg::spec::TableMetadata;
use tableflow_model::{Error, Result};

use super::history::{all_ended, time_column};
use super::keyed::KeyedTable;
use super::partial::{Keeps, nullable};
use crate::arrow_error;
use crate::commit::{Deletes, manifests_of};
use crate::keys::Hash;
use crate::layout::{VALID_TO, conform};
use crate::read::{ColumnReader, DeleteFiles};
use crate::write::Stager;

/// What becomes of all rows.
#[derive(Clone, Debug)]
pub enum Emptied {
    /// They go.
    Deleted,
    /// They are marked, and stay. Where each version is kept those in force end.
    Marked(Mark),
}

/// What rows have that are marked: all else stays as it was.
#[derive(Clone, Debug)]
pub struct Mark {
    /// One row, without a key.
    pub row: RecordBatch,
    /// The column that tells a row that is marked: it has the value there.
    pub by: String,
}

impl Mark {
    /// Of a table that keeps each version of its rows: they end then, in microseconds.
    pub fn until(time: i64) -> Result<Self> {
        let ends = TimestampMicrosecondArray::from(vec![time]).with_timezone("+00:00");
        let row = RecordBatch::try_from_iter([(VALID_TO, Arc::new(ends) as ArrayRef)]);
        Ok(Mark { row: row.map_err(arrow_error("the end of all versions"))?, by: VALID_TO.to_owned() })
    }

    /// The rows of `batch`, which have these columns beside it, marked; all of its rows.
    pub(super) fn over(&self, keys: &RecordBatch) -> Result<RecordBatch> {
        let failed = arrow_error("marking rows");
        let mark = take_record_batch(&self.row, &UInt32Array::from(vec![0; keys.num_rows()])).map_err(&failed)?;
        let own = keys.schema_ref().fields().iter().cloned().zip(keys.columns().iter().cloned());
        let marks = mark.schema_ref().fields().iter().cloned().zip(mark.columns().iter().cloned());
        let (fields, columns): (Vec<_>, Vec<_>) = own.filter(|(field, _)| !self.has(field.name())).chain(marks).unzip();
        RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(failed)
    }

    /// Which rows of a batch are not marked yet (I2).
    pub(super) fn is_due(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let all = || BooleanArray::from(vec![true; batch.num_rows()]);
        let (Some(column), Some(value)) = (batch.column_by_name(&self.by), self.row.column_by_name(&self.by)) else {
            return Ok(all());
        };
        let value: ArrayRef = arrow::compute::cast(value, column.data_type()).map_err(arrow_error("marking rows"))?;
        distinct(column, &Scalar::new(value)).map_err(arrow_error("looking for rows that are marked"))
    }

    /// What a row keeps that is marked, and has these columns beside the mark's.
    pub(super) fn keeps(&self, keys: &[String]) -> Keeps {
        let marks = self.row.schema_ref().fields().iter().map(|field| field.name().clone());
        Keeps::AllBut(Arc::new(marks.chain(keys.iter().cloned()).collect::<BTreeSet<_>>()))
    }

    /// Of a table that keeps each version: when they end.
    pub(super) fn time(&self) -> Result<i64> {
        let times = time_column(&self.row, VALID_TO)?;
        times.iter().next().flatten().ok_or_else(|| Error::internal("versions end at no time"))
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.row.schema_ref().fields().iter().any(|field| field.name() == column)
    }
}

impl KeyedTable {
    /// Stages the rows that live, but for those of some keys, marked (I1), in these columns; answers their keys. The
    /// index stands for `table`.
    pub(super) async fn mark_all(
        &self,
        table: &TableMetadata,
        (mark, columns): (&Mark, &ArrowSchemaRef),
        but: &HashSet<Hash>,
        stager: &mut Stager,
    ) -> Result<Vec<Hash>> {
        let reader = ColumnReader::new(table, table.current_schema())?;
        let (names, mut marked) = (self.key_names(table)?, Vec::new());
        for (number, known) in self.files.iter() {
            let superseded = self.superseded.get(&number);
            let lives = |row: u64| !known.deleted.contains(row) && superseded.is_none_or(|rows| !rows.contains(row));
            let (mut batches, mut first) = (reader.open(&self.reader.store, &known.live.file).await?, 0_u64);
            while let Some(batch) = batches.next().await? {
                let keys: Vec<ArrayRef> = names.iter().filter_map(|name| batch.column_by_name(name).cloned()).collect();
                let keys = self.hasher().hashes(&keys)?;
                let due = match self.versions {
                    None => mark.is_due(&batch)?,
                    Some(_) => is_null(time_column(&batch, VALID_TO)?).map_err(arrow_error("marking rows"))?,
                };
                let is_due = |(row, key): (u64, &Hash)| Some(lives(row) && !but.contains(key));
                let is_others: BooleanArray = (first..).zip(&keys).map(is_due).collect();
                let due = arrow::compute::and(&due, &is_others).map_err(arrow_error("marking rows"))?;
                let rows = filter_record_batch(&batch, &due).map_err(arrow_error("marking rows"))?;
                let rows = match self.versions {
                    None => mark.over(&rows)?,
                    Some(_) => all_ended(rows, mark.time()?)?,
                };
                stager.write(&conform(&rows, &nullable(columns))?).await?;
                marked.extend(keys.into_iter().zip(&due).filter(|(_, due)| *due == Some(true)).map(|(key, _)| key));
                first += batch.num_rows() as u64;
            }
        }
        Ok(marked)
    }

    /// All files go, and with them what is deleted of them.
    pub(super) async fn without_rows(&self, table: &TableMetadata) -> Result<Deletes> {
        let mut deletes = Deletes::default();
        let Some(snapshot) = table.current_snapshot() else { return Ok(deletes) };
        deletes.replaced.extend(self.files.iter().map(|(_, known)| known.live.clone()));
        let manifests = manifests_of(&self.reader.store, table, snapshot).await?;
        let files = DeleteFiles::of_manifests(&self.reader.store, table, &manifests).await?;
        deletes.replaced.extend(files.without(std::iter::empty()));
        Ok(deletes)
    }
}
