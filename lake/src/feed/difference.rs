//! Rows that came and rows that went become changes.
//!
//! Owns [`Difference`].
//! - I1: a row that came with the values of one that went is no change, as often as there is one.
//! - I2: with a key, a row that came is the update of one that went and has its key; without one there are no updates.
//! - I3: where rows only came, or only went, none is held in memory; else those that went are.

use std::collections::HashMap;

use arrow::array::{RecordBatch, TimestampMicrosecondArray, UInt8Array};
use arrow::compute::interleave_record_batch;
use iceberg::spec::SchemaRef;
use tableflow_model::{ChangeBatch, ChangeKind, Result};

use super::ROWS_AT_ONCE;
use super::rows::PartRows;
use super::same::Comparer;
use crate::arrow_error;

/// A row that went: batch and row.
type Place = (usize, usize);

/// A difference under way.
#[derive(Debug)]
pub struct Difference {
    added: PartRows,
    went: Went,
}

#[derive(Debug)]
enum Went {
    /// Nothing comes: each is told as it is read.
    Streamed(Box<PartRows>),
    Held(Box<Held>),
    Told,
}

/// Those that are not told yet.
#[derive(Debug)]
struct Held {
    batches: Vec<RecordBatch>,
    is_left: Vec<Vec<bool>>,
    by_values: HashMap<Vec<u8>, Vec<Place>>,
    by_key: HashMap<Vec<u8>, Vec<Place>>,
    values: Comparer,
    /// Of the columns of the key, and their places; nothing without a key.
    key: Option<(Comparer, Vec<usize>)>,
    next: Place,
}

impl Difference {
    pub async fn open(schema: &SchemaRef, key: &[i32], removed: PartRows, added: PartRows) -> Result<Self> {
        let went = if removed.is_empty() {
            Went::Told
        } else if added.is_empty() {
            Went::Streamed(Box::new(removed))
        } else {
            Went::Held(Box::new(Held::new(schema, key, removed).await?))
        };
        Ok(Difference { added, went })
    }

    pub async fn next(&mut self) -> Result<Option<ChangeBatch>> {
        while let Some(batch) = self.added.next().await? {
            let changes = match &mut self.went {
                Went::Held(held) => held.meet(batch)?,
                _ => Some(ChangeBatch::alike(ChangeKind::Insert, batch)),
            };
            if changes.is_some() {
                return Ok(changes);
            }
        }
        let rest = match &mut self.went {
            Went::Streamed(rows) => rows.next().await?,
            Went::Held(held) => held.rest()?,
            Went::Told => None,
        };
        if rest.is_none() {
            self.went = Went::Told;
        }
        Ok(rest.map(|rows| ChangeBatch::alike(ChangeKind::Delete, rows)))
    }
}

/// The places of the key's columns in a schema.
pub(super) fn key_places(schema: &SchemaRef, key: &[i32]) -> Vec<usize> {
    let fields = schema.as_struct().fields();
    key.iter().filter_map(|id| fields.iter().position(|field| field.id == *id)).collect()
}

impl Held {
    async fn new(schema: &SchemaRef, key: &[i32], removed: PartRows) -> Result<Self> {
        let columns = removed.schema().clone();
        let values = Comparer::new(columns.fields().iter())?;
        let places = key_places(schema, key);
        let key = match places.len() == key.len() && !key.is_empty() {
            true => {
                let fields = places.iter().filter_map(|place| columns.fields().get(*place));
                Some((Comparer::new(fields)?, places))
            }
            false => None,
        };
        let batches = removed.all().await?;
        let is_left = batches.iter().map(|batch| vec![true; batch.num_rows()]).collect();
        let (by_values, by_key) = Default::default();
        let mut held = Held { batches, is_left, by_values, by_key, values, key, next: (0, 0) };
        held.index()?;
        Ok(held)
    }

    fn index(&mut self) -> Result<()> {
        for (number, batch) in self.batches.iter().enumerate() {
            for (row, bytes) in self.values.rows(batch.columns())?.iter().enumerate() {
                self.by_values.entry(bytes.as_ref().to_vec()).or_default().push((number, row));
            }
            if let Some(keys) = keys_of(self.key.as_ref(), batch)? {
                for (row, bytes) in keys.into_iter().enumerate() {
                    self.by_key.entry(bytes).or_default().push((number, row));
                }
            }
        }
        Ok(())
    }

    /// Takes one that is left of those.
    fn take(is_left: &mut [Vec<bool>], places: Option<&mut Vec<Place>>) -> Option<Place> {
        let places = places?;
        while let Some((batch, row)) = places.pop() {
            let left = is_left.get_mut(batch).and_then(|rows| rows.get_mut(row));
            if let Some(left) = left.filter(|left| **left) {
                *left = false;
                return Some((batch, row));
            }
        }
        None
    }

    /// Rows that came, beside those that went (I1, I2). Nothing where none of them is a change.
    fn meet(&mut self, came: RecordBatch) -> Result<Option<ChangeBatch>> {
        let values = self.values.rows(came.columns())?;
        let keys = keys_of(self.key.as_ref(), &came)?;
        let of_came = self.batches.len();
        // Those that are the same are taken first: none of them is the update of another one.
        let mut is_new = Vec::with_capacity(came.num_rows());
        for bytes in &values {
            is_new.push(Self::take(&mut self.is_left, self.by_values.get_mut(bytes.as_ref())).is_none());
        }
        let (mut kinds, mut places) = (Vec::new(), Vec::new());
        for (row, _) in is_new.iter().enumerate().filter(|(_, is_new)| **is_new) {
            let key = keys.as_ref().and_then(|keys| keys.get(row));
            let before = key.and_then(|key| Self::take(&mut self.is_left, self.by_key.get_mut(key)));
            if let Some(before) = before {
                kinds.push(ChangeKind::UpdateBefore.code());
                places.push(before);
            }
            let kind = if before.is_some() { ChangeKind::UpdateAfter } else { ChangeKind::Insert };
            kinds.push(kind.code());
            places.push((of_came, row));
        }
        if places.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().chain([&came]).collect();
        let rows = interleave_record_batch(&batches, &places).map_err(arrow_error("putting changes in order"))?;
        let rowtimes = TimestampMicrosecondArray::new_null(places.len()).with_timezone("+00:00");
        Ok(Some(ChangeBatch { kinds: UInt8Array::from(kinds), rowtimes, rows }))
    }

    /// What went and nothing stands in for.
    fn rest(&mut self) -> Result<Option<RecordBatch>> {
        let mut places = Vec::new();
        while places.len() < ROWS_AT_ONCE {
            let (batch, row) = self.next;
            let Some(rows) = self.is_left.get(batch) else { break };
            match rows.get(row) {
                None => self.next = (batch + 1, 0),
                Some(is_left) => {
                    if *is_left {
                        places.push((batch, row));
                    }
                    self.next = (batch, row + 1);
                }
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows = interleave_record_batch(&batches, &places).map_err(arrow_error("putting changes in order"))?;
        Ok(Some(rows))
    }
}

/// The keys of a batch's rows, as bytes.
pub(super) fn keys_of(key: Option<&(Comparer, Vec<usize>)>, batch: &RecordBatch) -> Result<Option<Vec<Vec<u8>>>> {
    let Some((comparer, places)) = key else { return Ok(None) };
    let columns: Vec<_> = places.iter().filter_map(|place| batch.columns().get(*place).cloned()).collect();
    let rows = comparer.rows(&columns)?;
    Ok(Some(rows.iter().map(|row| row.as_ref().to_vec()).collect()))
}
