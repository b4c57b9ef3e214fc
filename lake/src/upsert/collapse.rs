//! The changes of an epoch become one for each key.
//!
//! Owns [`Collapse`].
//! - I1: of a key's changes the last one stays (rule U2): in one partition that of the greater offset; of several
//!   partitions that of the greater time, then partition, then offset.
//! - I2: rows that stay keep the order in which they came.
//! - I3: of a key whose last change keeps values the changes before it stay known, in their order, whichever was read first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use tableflow_model::Result;
use tableflow_model::protocol::{Order, Rules};

use super::compose::{Chain, Link, compose};
use super::partial::{Keeps, PartialRows};
use crate::arrow_error;
use crate::keys::Hash;

/// The last change of a key.
#[derive(Clone, Copy, Debug)]
struct Last {
    order: Order,
    what: What,
}

/// A row of a batch: one that is put, or a key that is deleted.
#[derive(Clone, Copy, Debug)]
enum What {
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
}

/// One change a key.
#[derive(Debug)]
pub struct Collapsed {
    pub rows: Vec<RecordBatch>,
    /// Rows that build on those of the table.
    pub partial: PartialRows,
    /// Values that were kept from rows that are gone.
    pub lost: u64,
    pub deleted: Vec<Hash>,
    /// The columns of those keys.
    pub deleted_keys: Vec<RecordBatch>,
}

impl Collapse {
    /// Rows that are put, with their keys.
    pub fn put(&mut self, rows: RecordBatch, keys: &[Hash], orders: &[Order]) {
        let batch = self.batches.len();
        self.bytes += rows.get_array_memory_size();
        self.batches.push(rows);
        for (row, (key, order)) in keys.iter().zip(orders).enumerate() {
            self.change(*key, Last { order: *order, what: What::Put(batch, row) });
        }
    }

    /// Rows of which some keep values of those before them.
    pub fn put_partly(&mut self, rows: RecordBatch, (keys, keeps): (&[Hash], &[Keeps]), orders: &[Order]) {
        let batch = self.batches.len();
        let some = keeps.iter().enumerate().filter(|(_, keeps)| **keeps != Keeps::Nothing);
        self.keeps.extend(some.map(|(row, keeps)| ((batch, row), keeps.clone())));
        self.put(rows, keys, orders);
    }

    /// Keys that are deleted, by their columns.
    pub fn delete(&mut self, columns: RecordBatch, keys: &[Hash], orders: &[Order]) {
        let batch = self.keys.len();
        self.bytes += columns.get_array_memory_size();
        self.keys.push(columns);
        for (row, (key, order)) in keys.iter().zip(orders).enumerate() {
            self.change(*key, Last { order: *order, what: What::Delete(batch, row) });
        }
    }

    fn change(&mut self, key: Hash, change: Last) {
        let keeps = &self.keeps;
        let builds = |last: &Last| matches!(last.what, What::Put(batch, row) if keeps.contains_key(&(batch, row)));
        let mut entry = match self.last.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(change);
                return;
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
        } else if builds(&last) {
            let before = self.before.entry(key).or_default();
            let earlier = |it: &Last| change.order.is_after(it.order, Rules::law());
            let place = before.iter().rposition(earlier).map_or(0, |place| place + 1);
            before.insert(place, change);
        }
    }

    /// What it holds in memory.
    pub fn memory(&self) -> usize {
        let chained = self.before.values().map(Vec::capacity).sum::<usize>() * size_of::<Last>();
        let kept = self.keeps.capacity() * size_of::<((usize, usize), Keeps)>();
        self.bytes + chained + kept + self.last.capacity() * size_of::<(Hash, Last)>()
    }

    pub fn keys(&self) -> usize {
        self.last.len()
    }

    /// As rows with these columns.
    pub fn finish(mut self, columns: &SchemaRef) -> Result<Collapsed> {
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
                match delete.filter(|_| chain.marks_nothing()) {
                    None => chains.push(chain),
                    Some((batch, row)) => {
                        keys.keep(batch, row);
                        deleted.push(key);
                    }
                }
            }
            let composed = compose(&self.batches, &chains, columns)?;
            (partial, lost, whole) = (composed.partial, composed.lost, Some(composed.rows));
        }
        let mut rows = rows.apply(self.batches)?;
        rows.extend(whole.filter(|whole: &RecordBatch| whole.num_rows() > 0));
        Ok(Collapsed { rows, partial, lost, deleted, deleted_keys: keys.apply(self.keys)? })
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
        (Chain { key, links, behind_delete: delete.is_some() }, delete)
    }
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
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn at(timestamp: i64, partition: i32, offset: i64) -> Order {
        Order { timestamp, partition, offset }
    }

    fn rows(values: &[i64]) -> RecordBatch {
        RecordBatch::try_from_iter([("v", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)]).unwrap()
    }

    fn values(collapsed: &Collapsed) -> Vec<i64> {
        let of = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        collapsed.rows.iter().flat_map(of).collect()
    }

    #[test]
    fn i1_i2_the_last_change_of_each_key_stays() {
        let [a, b, c] = [1, 2, 3].map(Hash::new);
        let mut collapse = Collapse::default();
        collapse.put(rows(&[10, 20, 11]), &[a, b, a], &[at(5, 0, 0), at(5, 0, 1), at(4, 0, 2)]);
        collapse.delete(rows(&[2, 3]), &[b, c], &[at(6, 0, 3), at(6, 0, 4)]);
        collapse.put(rows(&[21, 30]), &[b, c], &[at(6, 0, 5), at(1, 1, 0)]);
        let collapsed = collapse.finish(&rows(&[]).schema()).unwrap();
        assert_eq!(values(&collapsed), [11, 21]);
        assert_eq!(collapsed.deleted, [c], "its delete is of a later time than its put in the other partition");
        assert_eq!(collapsed.deleted_keys, [rows(&[3])]);
    }

    /// The oracle: a plain map fed with the changes in the order of a sort.
    #[test]
    fn i1_however_partitions_interleave_the_outcome_is_the_same() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..300 {
            let mut changes: Vec<(u128, Order, Option<i64>)> = Vec::new();
            let mut ends = [(0, 0); 3];
            for value in 0..random.i64(1..60) {
                let partition = random.usize(..3);
                let (offset, time) = &mut ends[partition];
                *offset += 1;
                *time += random.i64(0..3);
                let order = at(*time, partition as i32, *offset);
                changes.push((random.u128(..9), order, (random.u8(..4) > 0).then_some(value)));
            }
            let mut sorted = changes.clone();
            sorted.sort_by_key(|(_, order, _)| (order.timestamp, order.partition, order.offset));
            let map: BTreeMap<u128, Option<i64>> = sorted.iter().map(|(key, _, value)| (*key, *value)).collect();
            // Any order that keeps each partition's own.
            let mut queues: Vec<Vec<_>> =
                (0..3).map(|p| changes.iter().rev().filter(|c| c.1.partition == p).collect()).collect();
            let mut collapse = Collapse::default();
            while let Some(some) = (0..3).filter(|p| !queues[*p].is_empty()).collect::<Vec<_>>().first().copied() {
                let partition = Some(random.usize(..3)).filter(|p| !queues[*p].is_empty()).unwrap_or(some);
                let Some((key, order, value)) = queues[partition].pop() else { break };
                match value {
                    Some(value) => collapse.put(rows(&[*value]), &[Hash::new(*key)], &[*order]),
                    None => collapse.delete(rows(&[0]), &[Hash::new(*key)], &[*order]),
                }
            }
            let collapsed = collapse.finish(&rows(&[]).schema()).unwrap();
            let mut found = values(&collapsed);
            found.sort_unstable();
            let mut expected: Vec<i64> = map.values().flatten().copied().collect();
            expected.sort_unstable();
            assert_eq!(found, expected);
            assert_eq!(
                collapsed.deleted.len(),
                collapsed.deleted_keys.iter().map(RecordBatch::num_rows).sum::<usize>()
            );
            assert_eq!(collapsed.deleted.len(), map.values().filter(|value| value.is_none()).count());
        }
    }
}
