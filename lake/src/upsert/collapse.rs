//! The changes of an epoch become one for each key.
//!
//! Owns [`Collapse`].
//! - I1: of a key's changes the last one stays (rule U2): in one partition that of the greater offset; of several
//!   partitions that of the greater time, then partition, then offset.
//! - I2: rows that stay keep the order in which they came.
//! - I3: of a key whose last change keeps values the changes before it stay known, in their order, whichever was read first.
//! - I4: where all versions are told, each change that was the last one of its key when it came is one, in the order in
//!   which they came: of a key's versions the last is the change that stays. None are told where
//!   one of them lacks values, or the source emptied its table: it is not known yet what it is.
//! - I5: where the source emptied its table the changes before that go, or are marked as rows of the table are.
//! - I6: where each version is kept, or a column says which change is the latest, none of a key's changes is left out.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use arrow::array::{BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use tableflow_model::protocol::{Order, Rules};
use tableflow_model::{ChangeKind, Result};

use super::compose::{Chain, Link, compose};
use super::emptied::{Emptied, Mark};
use super::history::Histories;
use super::partial::{Keeps, PartialRows};
use crate::arrow_error;
use crate::feed::{Version, Versions};
use crate::keys::Hash;

/// The last change of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub order: Order,
    pub what: What,
}

/// A row of a batch: one that is put, or a key that is deleted.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Put(usize, usize),
    Delete(usize, usize),
}

/// The changes of an epoch so far.
#[derive(Debug, Default)]
pub struct Collapse {
    batches: Vec<RecordBatch>,
    /// The keys that are deleted.
    keys: Vec<RecordBatch>,
    last: HashMap<Hash, Last>,
    /// What rows keep that keep something, by batch and row.
    keeps: HashMap<(usize, usize), Keeps>,
    /// The changes before such a last one, the newest one last (I3).
    before: HashMap<Hash, Vec<Last>>,
    bytes: usize,
    /// In the order in which they came, with the time of each, where they are told (I4).
    versions: Option<Vec<(What, i64)>>,
    /// What becomes of all rows that were there before (I5).
    emptied: Option<Emptied>,
    /// Where all changes are wanted: those, instead of the last ones (I6).
    histories: Option<Histories>,
}

/// One change a key, or each.
#[derive(Debug, Default)]
pub struct Collapsed {
    pub rows: Vec<RecordBatch>,
    /// Rows that build on those of the table.
    pub partial: PartialRows,
    /// Values that were kept from rows that are gone.
    pub lost: u64,
    pub deleted: Vec<Hash>,
    /// The columns of those keys.
    pub deleted_keys: Vec<RecordBatch>,
    /// Where they are told.
    pub versions: Option<Versions>,
}

impl Collapse {
    /// Tells all versions (I4).
    pub fn telling() -> Self {
        Collapse { versions: Some(Vec::new()), ..Collapse::default() }
    }

    /// Keeps each version of a row whose key is in these columns (I6).
    pub fn of_versions(keys: Vec<String>) -> Self {
        Collapse { histories: Some(Histories::of_keys(keys)), ..Collapse::default() }
    }

    /// Of a table that goes by a column (I6).
    pub fn latest_by(keys: Vec<String>, column: String) -> Self {
        Collapse { histories: Some(Histories::latest_by(keys, column)), ..Collapse::default() }
    }

    /// Rows that are put, with their keys.
    pub fn put(&mut self, rows: RecordBatch, keys: &[Hash], orders: &[Order]) {
        let changes = self.hold_rows(rows, keys, orders);
        changes.into_iter().for_each(|(key, change)| self.change(key, change));
    }

    /// Rows of which some keep values of those before them.
    pub fn put_partly(&mut self, rows: RecordBatch, (keys, keeps): (&[Hash], &[Keeps]), orders: &[Order]) {
        self.note(keeps);
        self.put(rows, keys, orders);
    }

    /// What the rows of the next batch keep.
    fn note(&mut self, keeps: &[Keeps]) {
        let batch = self.batches.len();
        let some = keeps.iter().enumerate().filter(|(_, keeps)| **keeps != Keeps::Nothing);
        self.keeps.extend(some.map(|(row, keeps)| ((batch, row), keeps.clone())));
    }

    /// Keys that are deleted, by their columns.
    pub fn delete(&mut self, columns: RecordBatch, keys: &[Hash], orders: &[Order]) {
        let changes = self.hold_keys(columns, keys, orders);
        changes.into_iter().for_each(|(key, change)| self.change(key, change));
    }

    /// Both of one partition: they come in the order of their offsets (I4). Of the rows some keep values of those before them.
    pub fn put_and_delete(
        &mut self,
        (rows, put_keys, keeps, put): (RecordBatch, &[Hash], &[Keeps], &[Order]),
        (columns, deleted_keys, deleted): (RecordBatch, &[Hash], &[Order]),
    ) {
        self.note(keeps);
        let mut changes = self.hold_rows(rows, put_keys, put);
        changes.append(&mut self.hold_keys(columns, deleted_keys, deleted));
        changes.sort_by_key(|(_, change)| change.order.offset);
        changes.into_iter().for_each(|(key, change)| self.change(key, change));
    }

    /// The source emptied its table (I5). Of keys in these columns.
    pub fn empty(&mut self, emptied: Emptied, keys: &[String], order: Order) -> Result<()> {
        if let (Emptied::Deleted, Some(histories)) = (&emptied, self.histories.as_ref().and_then(Histories::anew)) {
            *self = Collapse { histories: Some(histories), emptied: Some(emptied), ..Collapse::default() };
            return Ok(());
        }
        if let Some(histories) = &mut self.histories {
            let at = match &emptied {
                Emptied::Marked(mark) if histories.keeps_versions() => mark.time()?,
                _ => order.timestamp.saturating_mul(1000),
            };
            histories.empty(order, at);
            self.emptied.get_or_insert(emptied);
            return Ok(());
        }
        match &emptied {
            Emptied::Deleted => *self = Collapse::default(),
            Emptied::Marked(mark) => self.mark_all(mark, keys, order)?,
        }
        self.versions = None;
        // Rows of the table that the first time was about the second one is not.
        self.emptied.get_or_insert(emptied);
        Ok(())
    }

    /// The rows that were put last, but for those that are marked.
    fn mark_all(&mut self, mark: &Mark, columns: &[String], order: Order) -> Result<()> {
        let failed = arrow_error("marking rows");
        let mut puts: BTreeMap<usize, Vec<(usize, Hash)>> = BTreeMap::new();
        for (key, last) in &self.last {
            if let What::Put(batch, row) = last.what {
                puts.entry(batch).or_default().push((row, *key));
            }
        }
        for (batch, puts) in puts {
            let Some(rows) = self.batches.get(batch) else { continue };
            let due = mark.is_due(rows)?;
            let puts = puts.into_iter().filter(|(row, _)| due.value(*row));
            let (places, keys): (Vec<u64>, Vec<Hash>) = puts.map(|(row, key)| (row as u64, key)).unzip();
            let of_keys = columns.iter().filter_map(|name| rows.schema_ref().index_of(name).ok());
            let of_keys = rows.project(&of_keys.collect::<Vec<_>>()).map_err(&failed)?;
            let of_keys = take_record_batch(&of_keys, &UInt64Array::from(places)).map_err(&failed)?;
            let keeps = vec![mark.keeps(columns); keys.len()];
            self.put_partly(mark.over(&of_keys)?, (&keys, &keeps), &vec![order; keys.len()]);
        }
        Ok(())
    }

    fn hold_rows(&mut self, rows: RecordBatch, keys: &[Hash], orders: &[Order]) -> Vec<(Hash, Last)> {
        let batch = self.batches.len();
        self.bytes += rows.get_array_memory_size();
        self.histories.iter_mut().for_each(|histories| histories.hold_rows(&rows));
        self.batches.push(rows);
        last_changes(keys, orders, |row| What::Put(batch, row))
    }

    fn hold_keys(&mut self, columns: RecordBatch, keys: &[Hash], orders: &[Order]) -> Vec<(Hash, Last)> {
        let batch = self.keys.len();
        self.bytes += columns.get_array_memory_size();
        self.histories.iter_mut().for_each(|histories| histories.hold_keys(&columns));
        self.keys.push(columns);
        last_changes(keys, orders, |row| What::Delete(batch, row))
    }

    fn change(&mut self, key: Hash, change: Last) {
        if let Some(histories) = &mut self.histories {
            return histories.add(key, change);
        }
        let is_last = self.settle(key, change);
        if let Some(versions) = self.versions.as_mut().filter(|_| is_last) {
            versions.push((change.what, change.order.timestamp));
        }
    }

    /// Whether it is the last one of its key now.
    fn settle(&mut self, key: Hash, change: Last) -> bool {
        let keeps = &self.keeps;
        let builds = |last: &Last| matches!(last.what, What::Put(batch, row) if keeps.contains_key(&(batch, row)));
        let mut entry = match self.last.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(change);
                return true;
            }
            Entry::Occupied(entry) => entry,
        };
        let last = *entry.get();
        if change.order.is_after(last.order, Rules::law()) {
            entry.insert(change);
            if builds(&change) {
                self.before.entry(key).or_default().push(last);
            } else if !self.before.is_empty() {
                self.before.remove(&key);
            }
            return true;
        }
        if builds(&last) {
            let before = self.before.entry(key).or_default();
            let earlier = |it: &Last| change.order.is_after(it.order, Rules::law());
            let place = before.iter().rposition(earlier).map_or(0, |place| place + 1);
            before.insert(place, change);
        }
        false
    }

    /// What it holds in memory.
    pub fn memory(&self) -> usize {
        let chained = self.before.values().map(Vec::capacity).sum::<usize>() * size_of::<Last>();
        let kept = self.keeps.capacity() * size_of::<((usize, usize), Keeps)>();
        let versions = self.versions.as_ref().map_or(0, |versions| versions.capacity() * size_of::<(What, i64)>());
        let histories = self.histories.as_ref().map_or(0, Histories::memory);
        self.bytes + histories + chained + kept + versions + self.last.capacity() * size_of::<(Hash, Last)>()
    }

    pub fn keys(&self) -> usize {
        self.histories.as_ref().map_or(self.last.len(), Histories::len)
    }

    /// As rows with these columns.
    pub fn finish(mut self, columns: &SchemaRef) -> Result<Collapsed> {
        if let Some(histories) = self.histories.take() {
            let rows = histories.finish((&self.batches, &self.keys), (&self.keeps, self.emptied.as_ref()), columns)?;
            let partial = PartialRows { emptied: self.emptied, ..rows };
            return Ok(Collapsed { partial, ..Collapsed::default() });
        }
        let versions = self.versions.as_ref().filter(|_| self.keeps.is_empty());
        let versions = versions.map(|order| self.versions_in(order));
        let (mut rows, mut keys, mut deleted) = (Stays::of(&self.batches), Stays::of(&self.keys), Vec::new());
        let mut building = Vec::new();
        for (key, last) in &self.last {
            match last.what {
                What::Put(batch, row) if self.keeps.contains_key(&(batch, row)) => building.push((batch, row, *key)),
                What::Put(batch, row) => rows.keep(batch, row),
                What::Delete(batch, row) => {
                    keys.keep(batch, row);
                    deleted.push(*key);
                }
            }
        }
        let (mut partial, mut lost, mut whole) = (PartialRows::none(), 0, None);
        if !building.is_empty() {
            building.sort_unstable_by_key(|(batch, row, _)| (*batch, *row));
            let mut chains = Vec::with_capacity(building.len());
            for (_, _, key) in building {
                let (chain, delete) = self.chain(key);
                match (chain.marks_nothing(), delete) {
                    (false, _) => chains.push(chain),
                    (true, Some((batch, row))) => {
                        keys.keep(batch, row);
                        deleted.push(key);
                    }
                    // All rows go anyway (I5).
                    (true, None) => {}
                }
            }
            let composed = compose(&self.batches, &chains, columns)?;
            (partial, lost, whole) = (composed.partial, composed.lost, Some(composed.rows));
        }
        partial.emptied = self.emptied;
        let mut rows = rows.apply(self.batches)?;
        rows.extend(whole.filter(|whole: &RecordBatch| whole.num_rows() > 0));
        Ok(Collapsed { rows, partial, lost, deleted, deleted_keys: keys.apply(self.keys)?, versions })
    }

    /// The last change of a key and those that it builds on, and the delete before them, if there is one.
    fn chain(&mut self, key: Hash) -> (Chain, Option<(usize, usize)>) {
        let before = self.before.remove(&key).unwrap_or_default();
        let (mut links, mut delete) = (Vec::new(), None);
        for change in self.last.get(&key).into_iter().chain(before.iter().rev()) {
            match change.what {
                What::Put(batch, row) => {
                    let keeps = self.keeps.get(&(batch, row)).cloned().unwrap_or_default();
                    let is_whole = keeps == Keeps::Nothing;
                    links.push(Link { batch, row, keeps });
                    if is_whole {
                        break;
                    }
                }
                What::Delete(batch, row) => {
                    delete = Some((batch, row));
                    break;
                }
            }
        }
        let behind_delete = delete.is_some() || matches!(self.emptied, Some(Emptied::Deleted));
        (Chain { key, links, behind_delete }, delete)
    }

    /// Rows that are put, then keys that are deleted, by the places that they have among both.
    fn versions_in(&self, order: &[(What, i64)]) -> Versions {
        let version = |(what, timestamp_ms): &(What, i64)| {
            let (kind, batch, row) = match *what {
                What::Put(batch, row) => (ChangeKind::UpdateAfter, batch, row),
                What::Delete(batch, row) => (ChangeKind::Delete, self.batches.len() + batch, row),
            };
            Version { kind, timestamp_ms: *timestamp_ms, batch, row }
        };
        let batches = self.batches.iter().chain(&self.keys).cloned().collect();
        Versions { batches, order: order.iter().map(version).collect() }
    }
}

fn last_changes(keys: &[Hash], orders: &[Order], what: impl Fn(usize) -> What) -> Vec<(Hash, Last)> {
    let changes = keys.iter().zip(orders).enumerate();
    changes.map(|(row, (key, order))| (*key, Last { order: *order, what: what(row) })).collect()
}

/// Which rows of some batches stay.
struct Stays(Vec<Vec<bool>>);

impl Stays {
    fn of(batches: &[RecordBatch]) -> Self {
        Stays(batches.iter().map(|batch| vec![false; batch.num_rows()]).collect())
    }

    fn keep(&mut self, batch: usize, row: usize) {
        if let Some(stays) = self.0.get_mut(batch).and_then(|rows| rows.get_mut(row)) {
            *stays = true;
        }
    }

    fn apply(self, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let mut kept = Vec::with_capacity(batches.len());
        for (batch, stays) in batches.into_iter().zip(self.0) {
            if stays.iter().all(|stays| *stays) {
                kept.push(batch);
            } else if stays.iter().any(|stays| *stays) {
                let filtered = filter_record_batch(&batch, &BooleanArray::from(stays));
                kept.push(filtered.map_err(arrow_error("taking the last change of each key"))?);
            }
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests;
