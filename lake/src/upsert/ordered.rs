//! Changes of keys that count in the order of a column, where a table is told to go by one.
//!
//! Owns [`Order`], and how the changes of an epoch become rows on the base of its commit.
//! - I1: a change is left out whose value in that column is lower than that of the row that its key has then, be that of
//!   the base or of the same epoch; null is the lowest. Otherwise it counts, in the order of the topic: of two that are
//!   equal the later one stays (U2).
//! - I2: behind a delete that counts there is no row, and no order: whatever comes counts.
//! - I3: a change that keeps the value of the column is never lower; so is a delete that has none, which keeps that of the
//!   row. Where the column is the place in a source, such a delete only follows one that said its own, and is the lowest.
//! - I4: what a row keeps is what the row before it has that counted, whether that is of the epoch or of the base.
//! - I5: where the source marked all rows at once, that is one more change of each, which is never lower; a row that is
//!   marked already stays as it is.
//!
//! So what comes of many changes does not depend on where epochs end. Neighbours: `history` collects the changes,
//! `complete` reads the rows of the base.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use tableflow_model::{Error, Result};

use super::complete::{Before, Place};
use super::emptied::{Emptied, Mark};
use super::partial::{Keeps, PartialRows, nullable, picked};
use crate::arrow_error;
use crate::keys::Hash;
use crate::layout::{SOURCE_POSITION, conform};

/// By what changes are ordered.
#[derive(Debug)]
pub(super) struct Order {
    column: String,
    /// What a change has that deletes a key: the key's columns, and that one.
    of_deletes: BTreeSet<String>,
    /// Those without a value count (I3).
    silent_deletes_count: bool,
}

/// Rows that came of changes.
pub(super) struct Ordered {
    pub rows: RecordBatch,
    /// The keys whose rows of the base go.
    pub replaced: Vec<Hash>,
    /// Values that no row had.
    pub lost: u64,
    /// Changes that were older than their rows (I1).
    pub left_out: u64,
}

impl Order {
    pub fn by(column: String, keys: Vec<String>) -> Self {
        let of_deletes = keys.into_iter().chain([column.clone()]).collect();
        Order { of_deletes, silent_deletes_count: column != SOURCE_POSITION, column }
    }

    /// Whether a value of this column is needed of rows before: where all rows were marked each keeps its own.
    pub fn needs(&self, column: &str, PartialRows { keeps, emptied, .. }: &PartialRows) -> bool {
        matches!(emptied, Some(Emptied::Marked(_)))
            || column == self.column
            || keeps.iter().any(|keeps| !self.is_delete(keeps) && keeps.keeps(column))
    }

    /// A mark that marks nothing.
    fn is_delete(&self, keeps: &Keeps) -> bool {
        matches!(keeps, Keeps::AllBut(names) if names.is_subset(&self.of_deletes))
    }

    /// What comes of these changes beside the rows of the base, with these columns.
    pub fn apply(&self, partial: &PartialRows, before: &Before, columns: &SchemaRef) -> Result<Ordered> {
        let columns = nullable(columns);
        let own = conform(&partial.rows, &columns)?;
        let batches = before.batches.iter().map(|batch| conform(batch, &columns)).collect::<Result<Vec<_>>>()?;
        let mut batches: Vec<RecordBatch> = [own].into_iter().chain(batches).collect();
        let places = Places::of(&batches, &self.column)?;
        let mut applied = Applied::of(partial, &batches, &self.column)?;
        if let Some(Marks { mark, .. }) = &applied.marks {
            batches.push(conform(&mark.row, &columns)?);
        }
        for (row, key) in partial.keys.iter().enumerate() {
            let base = before.places.get(row).copied().flatten().map(|(batch, row)| (batch + 1, row));
            self.change(&mut applied, (*key, base), row, &places);
        }
        let (stay, replaced) = applied.outcome();
        let (mut arrays, mut lost) = (Vec::with_capacity(columns.fields().len()), 0);
        for (index, field) in columns.fields().iter().enumerate() {
            let of: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(index)).collect();
            let picks: Vec<_> = stay.iter().map(|row| applied.value(*row, field.name())).collect();
            if *field.name() != self.column {
                lost += picks.iter().filter(|pick| pick.is_none()).count() as u64;
            }
            arrays.push(picked(&of, field, &picks)?);
        }
        let rows = RecordBatch::try_new(columns, arrays).map_err(arrow_error("the latest rows of keys"))?;
        Ok(Ordered { rows, replaced, lost, left_out: applied.left_out })
    }

    /// The next change of a key, whose row of the base is there or not.
    fn change(&self, applied: &mut Applied<'_>, of: (Hash, Option<Place>), own: usize, places: &Places) {
        let (last, place) = (applied.last(of), (0, own));
        let Some(keeps) = applied.keeps.get(own) else { return };
        if keeps.is_mark() && keeps.keeps(&self.column) {
            return applied.mark(of.0, last);
        }
        let position = last.and_then(|last| applied.rows.get(last)).and_then(|row| row.position);
        let is_silent = keeps.is_mark() && places.is_null(place);
        let keeps_order = keeps.keeps(&self.column) || (self.silent_deletes_count && is_silent);
        if !keeps_order && position.is_some_and(|position| places.is_lower(place, position)) {
            // One that only follows another delete is no change by itself.
            applied.left_out += u64::from(!is_silent);
            return;
        }
        let now = match (keeps.is_mark(), last) {
            _ if self.is_delete(keeps) => None,
            (true, None) => None,
            _ => {
                let position = if keeps_order { position } else { Some(place) };
                applied.rows.push(Row { from: From::Own(own), place, follows: last, position, keeps_order });
                Some(applied.rows.len() - 1)
            }
        };
        if let Some(key) = applied.keys.get_mut(&of.0) {
            key.now = now;
        }
    }
}

/// A row that a key had, or has.
#[derive(Clone, Copy, Debug)]
struct Row {
    from: From,
    /// The epoch's own stand in the first batch.
    place: Place,
    /// The one that it was put in place of.
    follows: Option<usize>,
    /// Where the value is that it is ordered by; nowhere, where nobody knows it.
    position: Option<Place>,
    /// That value is of the row before it.
    keeps_order: bool,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Base,
    /// That row of the epoch.
    Own(usize),
    /// I5.
    Mark,
}

/// How all rows are marked.
#[derive(Debug)]
struct Marks<'a> {
    mark: &'a Mark,
    /// Where what they have is.
    place: Place,
    /// Of each batch before, which rows are not marked yet.
    due: Vec<BooleanArray>,
}

/// By the places of rows among all.
#[derive(Clone, Copy, Debug)]
struct Key {
    base: Option<usize>,
    now: Option<usize>,
}

#[derive(Debug)]
struct Applied<'a> {
    /// By which rows are ordered.
    column: &'a str,
    /// Of the epoch's rows.
    keeps: &'a [Keeps],
    marks: Option<Marks<'a>>,
    rows: Vec<Row>,
    keys: HashMap<Hash, Key>,
    /// In the order in which they came.
    order: Vec<Hash>,
    left_out: u64,
}

impl<'a> Applied<'a> {
    /// Nothing yet, of these batches.
    fn of(partial: &'a PartialRows, batches: &[RecordBatch], column: &'a str) -> Result<Self> {
        let (rows, keys, order, left_out) = Default::default();
        let marks = match &partial.emptied {
            Some(Emptied::Marked(mark)) => {
                let due = batches.iter().map(|batch| mark.is_due(batch)).collect::<Result<_>>()?;
                Some(Marks { mark, place: (batches.len(), 0), due })
            }
            _ => None,
        };
        Ok(Applied { column, keeps: &partial.keeps, marks, rows, keys, order, left_out })
    }

    /// Marks the last row of a key, if it has one (I5).
    fn mark(&mut self, key: Hash, last: Option<usize>) {
        let (Some(Marks { mark, place, due }), Some(last)) = (&self.marks, last) else { return };
        let told = self.value(last, &mark.by);
        let is_due = told.is_none_or(|(batch, row)| due.get(batch).is_some_and(|due| due.value(row)));
        let position = self.rows.get(last).and_then(|row| row.position);
        let marked = Row { from: From::Mark, place: *place, follows: Some(last), position, keeps_order: true };
        if let Some(key) = self.keys.get_mut(&key).filter(|_| is_due) {
            self.rows.push(marked);
            key.now = Some(self.rows.len() - 1);
        }
    }

    /// The row that a key has by now.
    fn last(&mut self, (key, base): (Hash, Option<Place>)) -> Option<usize> {
        if let Some(key) = self.keys.get(&key) {
            return key.now;
        }
        let base = base.map(|place| {
            self.rows.push(Row { from: From::Base, place, follows: None, position: Some(place), keeps_order: false });
            self.rows.len() - 1
        });
        self.keys.insert(key, Key { base, now: base });
        self.order.push(key);
        base
    }

    /// The rows that are to be written, and the keys whose rows of the base go.
    fn outcome(&self) -> (Vec<usize>, Vec<Hash>) {
        let changed = || self.order.iter().filter_map(|key| Some((key, self.keys.get(key)?)));
        let changed = || changed().filter(|(_, of)| of.now != of.base);
        let replaced = changed().filter(|(_, of)| of.base.is_some()).map(|(key, _)| *key);
        (changed().filter_map(|(_, of)| of.now).collect(), replaced.collect())
    }

    /// The row that has the value of this column (I4).
    fn value(&self, row: usize, column: &str) -> Option<Place> {
        let mut row = self.rows.get(row)?;
        while self.is_kept(row, column) {
            row = self.rows.get(row.follows?)?;
        }
        Some(row.place)
    }

    fn is_kept(&self, row: &Row, column: &str) -> bool {
        match row.from {
            From::Base => false,
            _ if column == self.column => row.keeps_order,
            From::Own(own) => self.keeps.get(own).is_some_and(|keeps| keeps.keeps(column)),
            From::Mark => self.marks.as_ref().is_some_and(|marks| !marks.mark.has(column)),
        }
    }
}

/// The values that rows are ordered by, batch by batch.
struct Places(Vec<(ArrayRef, Rows)>);

impl Places {
    fn of(batches: &[RecordBatch], column: &str) -> Result<Self> {
        let failed = arrow_error("comparing what rows are ordered by");
        let Some(of) = batches.first().and_then(|batch| batch.column_by_name(column)) else {
            return Err(Error::internal("rows have no column by which they are ordered"));
        };
        // Ascending, null before all.
        let converter = RowConverter::new(vec![SortField::new(of.data_type().clone())]).map_err(&failed)?;
        let values = batches.iter().filter_map(|batch| batch.column_by_name(column).cloned());
        let places = values.map(|values| {
            let rows = converter.convert_columns(std::slice::from_ref(&values)).map_err(&failed)?;
            Ok((values, rows))
        });
        Ok(Places(places.collect::<Result<_>>()?))
    }

    fn is_lower(&self, (batch, row): Place, (of, other): Place) -> bool {
        self.0.get(batch).zip(self.0.get(of)).is_some_and(|((_, rows), (_, others))| rows.row(row) < others.row(other))
    }

    fn is_null(&self, (batch, row): Place) -> bool {
        self.0.get(batch).is_some_and(|(values, _)| values.is_null(row))
    }
}
