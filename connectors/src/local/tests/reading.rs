//! The source: ranges, seeks, chunks, and reading while others append.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tableflow_model::{ErrorKind, Millis, Offset, Partition};

use super::{Fixture, append, batch_of, numbered, seek_to, texts, values_from};
use crate::local::batch::BatchBuilder;
use crate::local::log_end::LogEnd;
use crate::local::partition_log::PartitionLog;

#[test]
fn every_offset_can_be_sought_warm_and_cold_over_several_segments() {
    let fixture = Fixture::new(1, &[("segment.bytes", "1500")]);
    let mut expected = Vec::new();
    for n in 0..120 {
        let values = [format!("{n}-a"), format!("{n}-b"), format!("{n}-c")];
        append(&fixture.log(), &values.each_ref().map(String::as_str)).unwrap();
        expected.extend(values);
    }
    let expected = numbered(&expected.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(fs::read_dir(fixture.partition_directory()).unwrap().count() > 5);
    let mut warm = fixture.source();
    assert_eq!(warm.ranges().unwrap()[&Partition(0)].end, Offset(360));
    for from in (0..=360).rev().step_by(7).chain([0, 360]) {
        assert_eq!(values_from(&mut warm, from as i64).unwrap(), expected[from..], "{from}");
        assert_eq!(values_from(&mut fixture.source(), from as i64).unwrap(), expected[from..], "{from}");
    }
}

#[test]
fn offsets_outside_the_log_are_refused_and_nothing_else_is_chosen() {
    let fixture = Fixture::new(2, &[]);
    append(&fixture.log(), &["a", "b", "c"]).unwrap();
    // A log whose first records were removed.
    fs::rename(fixture.segment(0), fixture.segment(1)).unwrap();
    let mut source = fixture.source();
    for offset in [-1, 0, 4] {
        assert_eq!(seek_to(&mut source, offset).unwrap_err().kind(), ErrorKind::Data, "{offset}");
    }
    let unknown = BTreeMap::from([(Partition(2), Offset(0))]);
    assert_eq!(source.seek(&unknown).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn partitions_not_sought_are_not_read() {
    let fixture = Fixture::new(2, &[]);
    append(&fixture.log(), &["a"]).unwrap();
    let mut source = fixture.source();
    assert!(source.poll(100).unwrap().is_empty());
    source.seek(&BTreeMap::from([(Partition(1), Offset(0))])).unwrap();
    assert!(source.poll(100).unwrap().is_empty());
}

#[test]
fn a_poll_is_bounded_and_shared_among_partitions() {
    let fixture = Fixture::new(3, &[]);
    for partition in 0..3 {
        let log = PartitionLog::new(&fixture.topic, Partition(partition));
        for _ in 0..40 {
            append(&log, &[&"x".repeat(1_000)]).unwrap();
        }
    }
    let mut source = fixture.source();
    source.seek(&(0..3).map(|partition| (Partition(partition), Offset(0))).collect()).unwrap();
    let polled = source.poll(30_000).unwrap();
    assert_eq!(polled.len(), 3);
    assert!(polled.iter().all(|records| (8..=9).contains(&records.len())), "9 batches of 1,074 bytes in 10,000");
    assert!(polled.iter().map(|records| records.buffer.len()).sum::<usize>() <= 30_000);
    // Too little for all: at least one batch each poll, another partition first each time.
    let firsts: Vec<Partition> = (0..3).map(|_| source.poll(1).unwrap()[0].partition).collect();
    assert_eq!(firsts, [Partition(1), Partition(2), Partition(0)]);
}

#[test]
fn rows_point_into_the_chunk_and_the_chunk_is_as_large_as_asked() {
    let fixture = Fixture::new(1, &[]);
    let mut batch = BatchBuilder::new();
    for n in 0..1_000_i64 {
        batch.push(Some(&n.to_be_bytes()), Some(&[7; 100]), Millis(n), &[(b"h", None)]).unwrap();
    }
    for _ in 0..20 {
        fixture.log().append(&mut batch).unwrap();
    }
    let mut source = fixture.source();
    seek_to(&mut source, 500).unwrap();
    let records = source.poll(batch.size_bytes() * 5 / 2).unwrap().remove(0);
    assert_eq!(records.buffer.len(), batch.size_bytes() * 5 / 2);
    assert_eq!((records.len(), records.offsets[0], records.next_offset), (1_500, 500, Offset(2_000)));
    assert_eq!(records.key(0), Some(500_i64.to_be_bytes().as_slice()));
    assert_eq!(records.headers(1_499).collect::<Vec<_>>(), [(b"h".as_slice(), None)]);
    assert_eq!(source.poll(1).unwrap()[0].len(), 1_000, "a batch larger than asked comes whole");
}

#[test]
fn what_is_not_whole_at_the_end_is_not_there_yet() {
    let fixture = Fixture::new(1, &[]);
    append(&fixture.log(), &["a"]).unwrap();
    let mut source = fixture.source();
    seek_to(&mut source, 0).unwrap();
    assert_eq!(texts(&source.poll(1_000).unwrap()[0]), numbered(&["a"]));
    let whole = fs::read(fixture.segment(0)).unwrap();
    let mut next = batch_of(&["b"]);
    let next = next.seal(Offset(1));
    for length in 0..next.len() {
        fs::write(fixture.segment(0), [&whole, &next[..length]].concat()).unwrap();
        assert!(source.poll(1_000).unwrap().is_empty(), "{length}");
        assert_eq!(source.ranges().unwrap()[&Partition(0)].end, Offset(1));
    }
    fs::write(fixture.segment(0), [&whole, next].concat()).unwrap();
    assert_eq!(texts(&source.poll(1_000).unwrap()[0]), [(1, "b".to_owned())]);
}

#[test]
fn reader_i1_what_a_living_writer_has_not_published_is_not_read() {
    let fixture = Fixture::new(1, &[]);
    append(&fixture.log(), &["a"]).unwrap();
    let mut source = fixture.source();
    assert_eq!(source.ranges().unwrap()[&Partition(0)].end, Offset(1));
    let log_end = LogEnd::open(&fixture.partition_directory()).unwrap();
    let lock = log_end.lock().unwrap();
    // A whole batch that its writer has not flushed: the writer holds the lock.
    fixture.put_raw(batch_of(&["b"]).seal(Offset(1)));
    assert_eq!(source.ranges().unwrap()[&Partition(0)].end, Offset(1));
    assert_eq!(values_from(&mut source, 0).unwrap(), numbered(&["a"]));
    // It dies; whoever looks next makes the batch durable, and then it counts.
    drop(lock);
    assert_eq!(values_from(&mut source, 0).unwrap(), numbered(&["a", "b"]));
    assert_eq!(log_end.read().unwrap().unwrap().next_offset, 2);
}

#[test]
fn p3_a_reader_beside_writers_sees_every_record_once_in_order() {
    let fixture = Fixture::new(1, &[("segment.bytes", "2000")]);
    let done = AtomicBool::new(false);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let log = fixture.log();
                scope.spawn(move || {
                    for _ in 0..80 {
                        append(&log, &["x", "y", "z"]).unwrap();
                    }
                })
            })
            .collect();
        let mut source = fixture.source();
        seek_to(&mut source, 0).unwrap();
        scope.spawn(|| {
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Release);
        });
        loop {
            let last_round = done.load(Ordering::Acquire);
            let polled = source.poll(500).unwrap();
            seen.extend(polled.iter().flat_map(|records| records.offsets.clone()));
            if polled.is_empty() && last_round {
                break;
            }
        }
    });
    assert_eq!(seen, (0..480).collect::<Vec<i64>>());
}

#[test]
fn reader_i4_a_mark_that_a_crash_left_behind_is_not_believed_while_a_writer_is_at_work() {
    // No mark, a torn one, one from before the last append.
    for mark in ["none", "torn", "old"] {
        let fixture = Fixture::new(1, &[]);
        append(&fixture.log(), &["a"]).unwrap();
        let path = fixture.partition_directory().join("log-end");
        let old = fs::read(&path).unwrap();
        append(&fixture.log(), &["b"]).unwrap();
        let left = match mark {
            "none" => Vec::new(),
            "torn" => old[..12].to_vec(),
            _ => old,
        };
        fs::write(&path, left).unwrap();
        let log_end = LogEnd::open(&fixture.partition_directory()).unwrap();
        let lock = log_end.lock().unwrap();
        let mut source = fixture.source();
        let error = source.ranges().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{mark}: {error}");
        assert_eq!(seek_to(&mut source, 2).unwrap_err().kind(), ErrorKind::Unavailable, "{mark}: not lost");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| source.ranges().unwrap()[&Partition(0)].end);
            std::thread::sleep(Duration::from_millis(100));
            drop(lock);
            assert_eq!(waiting.join().unwrap(), Offset(2), "{mark}");
        });
    }
}

#[test]
fn reader_i4_a_mark_that_moves_is_a_living_writers_and_is_believed() {
    let fixture = Fixture::new(1, &[]);
    append(&fixture.log(), &["a", "b"]).unwrap();
    let log_end = LogEnd::open(&fixture.partition_directory()).unwrap();
    let place = log_end.read().unwrap().unwrap();
    fs::write(fixture.partition_directory().join("log-end"), b"").unwrap();
    let lock = log_end.lock().unwrap();
    // Beyond the mark that is to come: the writer's next append, not flushed.
    fixture.put_raw(batch_of(&["c"]).seal(Offset(2)));
    let mut source = fixture.source();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| source.ranges().unwrap()[&Partition(0)].end);
        std::thread::sleep(Duration::from_millis(100));
        log_end.publish(&lock, place);
        assert_eq!(waiting.join().unwrap(), Offset(2));
    });
}

#[test]
fn an_idle_look_opens_nothing() {
    let fixture = Fixture::new(2, &[("segment.bytes", "200")]);
    for value in ["a", "b", "c"] {
        append(&fixture.log(), &[value]).unwrap();
    }
    let mut source = fixture.source();
    source.seek(&(0..2).map(|partition| (Partition(partition), Offset(0))).collect()).unwrap();
    while !source.poll(1_000).unwrap().is_empty() {}
    // A folder where the file was cannot be opened for writing.
    let path = fixture.partition_directory().join("log-end");
    let mark = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    for _ in 0..3 {
        assert!(source.poll(1_000).unwrap().is_empty());
        assert_eq!(source.ranges().unwrap()[&Partition(0)].end, Offset(3));
    }
    fs::remove_dir(&path).unwrap();
    fs::write(&path, mark).unwrap();
    // Into the same segment, then into the next one.
    for (at, value) in [(3, "d"), (4, "e")] {
        append(&fixture.log(), &[value]).unwrap();
        assert_eq!(texts(&source.poll(1_000).unwrap()[0]), [(at, value.to_owned())]);
    }
    append(&PartitionLog::new(&fixture.topic, Partition(1)), &["first"]).unwrap();
    assert_eq!(texts(&source.poll(1_000).unwrap()[0]), numbered(&["first"]));
}
