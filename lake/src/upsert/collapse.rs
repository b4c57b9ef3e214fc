//! The changes of an epoch become one for each key.
//!
//! Owns [`Collapse`].
//! - I1: of a key's changes the last one stays (rule U2): in one partition that of the greater offset; of several
//!   partitions that of the greater time, then partition, then offset.
//! - I2: rows that stay keep the order in which they came.

use std::collections::HashMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use tableflow_model::Result;
use tableflow_model::protocol::{Order, Rules};

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
    bytes: usize,
}

/// One change a key.
#[derive(Debug, Default)]
pub struct Collapsed {
    pub rows: Vec<RecordBatch>,
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
        self.last
            .entry(key)
            .and_modify(|last| {
                if change.order.is_after(last.order, Rules::law()) {
                    *last = change;
                }
            })
            .or_insert(change);
    }

    /// What it holds in memory.
    pub fn memory(&self) -> usize {
        self.bytes + self.last.capacity() * size_of::<(Hash, Last)>()
    }

    pub fn keys(&self) -> usize {
        self.last.len()
    }

    pub fn finish(self) -> Result<Collapsed> {
        let (mut rows, mut keys, mut deleted) = (Stays::of(&self.batches), Stays::of(&self.keys), Vec::new());
        for (key, last) in self.last {
            match last.what {
                What::Put(batch, row) => rows.keep(batch, row),
                What::Delete(batch, row) => {
                    keys.keep(batch, row);
                    deleted.push(key);
                }
            }
        }
        Ok(Collapsed { rows: rows.apply(self.batches)?, deleted, deleted_keys: keys.apply(self.keys)? })
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
        let collapsed = collapse.finish().unwrap();
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
            let collapsed = collapse.finish().unwrap();
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
