use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use tableflow_connectors::decode::{Origins, Reason};
use tableflow_model::Span;

use super::*;

/// Records of which these have a key.
fn records(has_key: &[bool]) -> Records {
    let span = |has_key: &bool| if *has_key { Span::new(0, 1) } else { Span::NULL };
    Records {
        buffer: Bytes::from_static(b"k"),
        offsets: (0..has_key.len() as i64).collect(),
        timestamps: vec![0; has_key.len()],
        keys: has_key.iter().map(span).collect(),
        values: vec![Span::new(0, 1); has_key.len()],
        header_ends: vec![0; has_key.len()],
        ..Records::default()
    }
}

fn failure(row: usize, message: &str) -> RecordError {
    RecordError { message: message.to_owned(), ..RecordError::tombstone(row) }
}

/// The values of these records: each is its place.
fn values(rows: &[usize], passed_over: Vec<RecordError>, next: usize) -> Part {
    let column: ArrayRef = Arc::new(rows.iter().map(|row| *row as i64).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter_with_nullable([("n", column, true)]).unwrap();
    Part { batch, taken: Taken::these(rows), passed_over, origins: Origins::default(), stopped: None, next }
}

/// The keys of these places among those that there are: each is its place as text.
fn keys(places: &[usize], passed_over: Vec<RecordError>, next: usize) -> Part {
    let texts =
        || -> ArrayRef { Arc::new(StringArray::from_iter_values(places.iter().map(|place| format!("k{place}")))) };
    let columns = [("own", texts(), true), ("n", texts(), true)];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    Part { batch, taken: Taken::these(places), passed_over, origins: Origins::default(), stopped: None, next }
}

/// Each row as its record, its value and its key; those passed over; where the next part begins.
fn shown(part: &Part) -> (Vec<String>, Vec<(usize, String)>, usize) {
    assert_eq!(part.batch.num_columns(), 2, "a hidden field of keys is no column");
    let (numbers, texts) = (part.batch.column(0).as_primitive::<Int64Type>(), part.batch.column(1).as_string::<i32>());
    let key = |row| if texts.is_null(row) { "-" } else { texts.value(row) };
    let rows = part.taken.rows().enumerate();
    let rows: Vec<String> = rows.map(|(row, record)| format!("{record}:{}:{}", numbers.value(row), key(row))).collect();
    assert_eq!(rows.len(), part.batch.num_rows());
    let aside = part.passed_over.iter().map(|failure| (failure.row, failure.message.clone())).collect();
    (rows, aside, part.next)
}

fn joined(has_key: &[bool], value: Part, keys: Vec<Part>) -> Vec<Part> {
    let pairs = Pairs::of(&value, &records(has_key));
    pairs.join(value, keys, &["own".to_owned()]).unwrap()
}

#[test]
fn i3_rows_without_a_key_stay_and_those_with_a_bad_one_go() {
    // Record 2 has no key, the value of 3 is bad, so is the key of 4.
    let value = values(&[0, 1, 2, 4, 5], vec![failure(3, "the value is null")], 6);
    let of_keys = keys(&[0, 1, 3], vec![failure(2, "the value has no schema id")], 4);
    let parts = joined(&[true, true, false, true, true, true], value, vec![of_keys]);
    let [part] = &parts[..] else { panic!("{parts:?}") };
    let aside = [(3, "the value is null".to_owned()), (4, "the key has no schema id".to_owned())];
    let rows = ["0:0:k0", "1:1:k1", "2:2:-", "5:5:k3"].map(str::to_owned);
    assert_eq!(shown(part), (rows.to_vec(), aside.to_vec(), 6));
}

#[test]
fn i3_rows_whose_keys_are_all_there_are_copied_nowhere() {
    let value = values(&[0, 1, 2], Vec::new(), 3);
    let before = value.batch.column(0).to_data().buffers()[0].as_ptr();
    let parts = joined(&[true; 3], value, vec![keys(&[0, 1, 2], Vec::new(), 3)]);
    assert_eq!(shown(&parts[0]).0, ["0:0:k0", "1:1:k1", "2:2:k2"]);
    assert_eq!(parts[0].batch.column(0).to_data().buffers()[0].as_ptr(), before);
    let parts = joined(&[false; 2], values(&[0, 1], Vec::new(), 2), vec![keys(&[], Vec::new(), 0)]);
    assert_eq!(shown(&parts[0]).0, ["0:0:-", "1:1:-"]);
    assert_eq!(shown(&joined(&[], values(&[], Vec::new(), 0), vec![keys(&[], Vec::new(), 0)])[0]), (vec![], vec![], 0));
}

/// A key's schema that is asked for in the middle ends a part of keys, and so one of rows.
#[test]
fn i3_each_part_of_the_keys_is_one_of_the_rows_and_no_record_is_in_two() {
    let value = values(&[0, 2, 3, 4, 6], vec![failure(1, "the value a"), failure(5, "the value b")], 7);
    // Of records 0, 2, 4, 6: the third one's schema is unknown.
    let parts =
        vec![keys(&[0], Vec::new(), 1), keys(&[1], vec![failure(2, "the value c")], 3), keys(&[3], Vec::new(), 4)];
    let parts = joined(&[true, true, true, false, true, true, true], value, parts);
    let seen: Vec<_> = parts.iter().map(shown).collect();
    let text = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
    let aside =
        |failures: &[(usize, &str)]| failures.iter().map(|(row, it)| (*row, (*it).to_owned())).collect::<Vec<_>>();
    assert_eq!(seen[0], (text(&["0:0:k0"]), aside(&[(1, "the value a")]), 2));
    assert_eq!(seen[1], (text(&["2:2:k1", "3:3:-"]), aside(&[(4, "the key c"), (5, "the value b")]), 6));
    assert_eq!(seen[2], (text(&["6:6:k3"]), aside(&[]), 7));
}

#[test]
fn i3_a_key_that_stops_is_the_last_and_names_its_record() {
    let mut value = values(&[0, 1, 2, 3], vec![failure(4, "the value")], 5);
    value.stopped = Some(Stopped::Record(failure(5, "the value")));
    let mut stopped = keys(&[0, 1], Vec::new(), 2);
    stopped.stopped = Some(Stopped::Record(RecordError { reason: Reason::NotAvro, ..failure(2, "$.id is odd") }));
    let parts = joined(&[true, false, true, true], value, vec![stopped]);
    let [part] = &parts[..] else { panic!("{parts:?}") };
    assert_eq!(shown(part), (["0:0:k0", "1:1:-", "2:2:k1"].map(str::to_owned).to_vec(), vec![], 3));
    let Some(Stopped::Record(failure)) = &part.stopped else { panic!("{part:?}") };
    assert_eq!((failure.row, failure.reason, failure.message.as_str()), (3, Reason::NotAvro, "key.id is odd"));
    assert_eq!(failure.path, "key");
    // One that the value stops at comes after the keys before it.
    let mut value = values(&[0], Vec::new(), 1);
    value.stopped = Some(Stopped::Record(RecordError::tombstone(1)));
    let parts = joined(&[true, true], value, vec![keys(&[0], Vec::new(), 1)]);
    assert!(matches!(&parts[0].stopped, Some(Stopped::Record(failure)) if failure.row == 1), "{parts:?}");
}
