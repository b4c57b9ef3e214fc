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

#[test]
fn i3_each_change_that_was_the_last_when_it_came_is_told() {
    let [a, b] = [1, 2].map(Hash::new);
    let mut collapse = Collapse::telling();
    collapse.put(rows(&[10, 20, 11]), &[a, b, a], &[at(5, 0, 0), at(5, 0, 1), at(6, 0, 2)]);
    collapse.put(rows(&[19, 12]), &[a, a], &[at(4, 1, 0), at(7, 1, 1)]);
    // A put and the delete before it, as a poll brings them.
    let (put, deleted) = ([at(8, 0, 4)], [at(8, 0, 3)]);
    collapse.put_and_delete((rows(&[21]), &[b], &[], &put), (rows(&[2]), &[b], &deleted));
    let Versions { batches, order } = collapse.finish(&rows(&[]).schema()).unwrap().versions.unwrap();
    let told = order.iter().map(|version| {
        let value = batches[version.batch].column(0).as_primitive::<Int64Type>().value(version.row);
        (version.kind.to_string(), value, version.timestamp_ms)
    });
    let due = [("+U", 10, 5), ("+U", 20, 5), ("+U", 11, 6), ("+U", 12, 7), ("-D", 2, 8), ("+U", 21, 8)];
    let due: Vec<_> = due.iter().map(|(kind, value, time)| ((*kind).to_owned(), *value, *time)).collect();
    assert_eq!(told.collect::<Vec<_>>(), due, "19 came after a later change of its key");
    assert!(Collapse::default().finish(&rows(&[]).schema()).unwrap().versions.is_none());
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
        assert_eq!(collapsed.deleted.len(), collapsed.deleted_keys.iter().map(RecordBatch::num_rows).sum::<usize>());
        assert_eq!(collapsed.deleted.len(), map.values().filter(|value| value.is_none()).count());
    }
}
