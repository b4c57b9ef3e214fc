//! Appending: several writers, full and broken disks, torn tails, damage.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tableflow_model::{ErrorKind, Offset, Partition};

use super::super::disk::{Disk, SystemDisk};
use super::{FixedClock, Fixture, append, batch_of, numbered, orders, seek_to, values_from};
use crate::local::{LocalProducer, partition_of_key};
use crate::topics::NewRecord;

/// A disk that records what is asked of it and can fail.
#[derive(Debug, Default)]
struct TestDisk {
    calls: Mutex<Vec<&'static str>>,
    /// A write keeps this many bytes and then fails; `u64::MAX` is a disk with room.
    room: AtomicU64,
    sync_fails: AtomicU64,
    truncate_fails: AtomicU64,
}

impl TestDisk {
    fn healthy() -> Arc<TestDisk> {
        Arc::new(TestDisk { room: AtomicU64::new(u64::MAX), ..TestDisk::default() })
    }

    fn call(&self, name: &'static str) {
        self.calls.lock().unwrap().push(name);
    }

    fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

const NO_SPACE: i32 = 28;
const IO_ERROR: i32 = 5;

impl Disk for TestDisk {
    fn write_all_at(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        self.call("write");
        let room = self.room.load(Ordering::Relaxed).min(bytes.len() as u64) as usize;
        file.write_all_at(&bytes[..room], position)?;
        if room < bytes.len() { Err(io::Error::from_raw_os_error(NO_SPACE)) } else { Ok(()) }
    }

    fn sync_data(&self, _: &File) -> io::Result<()> {
        self.call("sync");
        if self.sync_fails.load(Ordering::Relaxed) > 0 { Err(io::Error::from_raw_os_error(IO_ERROR)) } else { Ok(()) }
    }

    fn truncate(&self, file: &File, size: u64) -> io::Result<()> {
        self.call("truncate");
        if self.truncate_fails.load(Ordering::Relaxed) > 0 {
            return Err(io::Error::from_raw_os_error(IO_ERROR));
        }
        SystemDisk.truncate(file, size)
    }
}

#[test]
fn i1_i4_every_append_is_one_write_and_one_flush_and_a_full_segment_is_flushed_before_it_is_left() {
    let fixture = Fixture::new(1, &[("segment.bytes", "200")]);
    let disk = TestDisk::healthy();
    let log = fixture.log_with(disk.clone());
    append(&log, &["a"]).unwrap();
    assert_eq!(disk.take_calls(), ["write", "sync"]);
    append(&log, &["b"]).unwrap();
    assert_eq!(disk.take_calls(), ["write", "sync"], "69 bytes twice fit 200");
    append(&log, &["c"]).unwrap();
    append(&log, &[]).unwrap();
    assert_eq!(
        disk.take_calls(),
        ["sync", "write", "sync"][..].repeat(0).into_iter().chain(["sync", "write", "sync"]).collect::<Vec<_>>()
    );
    append(&log, &[&"x".repeat(900)]).unwrap();
    assert_eq!(disk.take_calls(), ["sync", "write", "sync"], "larger than a segment: one of its own");
    assert!(fixture.segment(2).exists() && fixture.segment(3).exists());
    assert_eq!(fixture.values(), numbered(&["a", "b", "c", &"x".repeat(900)]));
}

#[test]
fn i3_a_full_or_broken_disk_leaves_the_log_as_it_was() {
    // Room for so many bytes of the write, flush fails, taking back fails.
    let cases =
        [(0, 0, 0), (1, 0, 0), (60, 0, 0), (70, 0, 0), (u64::MAX, 1, 0), (30, 0, 1), (65, 1, 1), (u64::MAX, 1, 1)];
    for (room, sync_fails, truncate_fails) in cases {
        let fixture = Fixture::new(1, &[]);
        let disk = TestDisk::healthy();
        let log = fixture.log_with(disk.clone());
        append(&log, &["a", "b"]).unwrap();
        disk.room.store(room, Ordering::Relaxed);
        disk.sync_fails.store(sync_fails, Ordering::Relaxed);
        disk.truncate_fails.store(truncate_fails, Ordering::Relaxed);
        let error = append(&log, &["lost"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.hint().is_some());
        assert_eq!(error.message().contains("the disk is full"), room < u64::MAX, "{error}");
        assert_eq!(fixture.values(), numbered(&["a", "b"]), "{room} {sync_fails} {truncate_fails}");

        disk.room.store(u64::MAX, Ordering::Relaxed);
        disk.sync_fails.store(0, Ordering::Relaxed);
        disk.truncate_fails.store(0, Ordering::Relaxed);
        // What a flush left in the cache, or a cut at the end, is no matter for this process to judge.
        let trusted = sync_fails + truncate_fails == 0;
        let retried = append(&log, &["c"]);
        assert_eq!(retried.is_ok(), trusted, "{room} {sync_fails} {truncate_fails}: {retried:?}");
        if !trusted {
            append(&fixture.log_with(disk.clone()), &["c"]).unwrap();
        }
        assert_eq!(fixture.values(), numbered(&["a", "b", "c"]), "{room} {sync_fails} {truncate_fails}");
    }
}

#[test]
fn i1_a_producer_keeps_what_a_failure_left_unacknowledged() {
    let fixture = Fixture::new(1, &[]);
    let mut producer = LocalProducer::open(&fixture.topics, &orders(), Arc::new(FixedClock(7))).unwrap();
    producer.send(&NewRecord { value: Some(b"a"), ..NewRecord::default() }).unwrap();
    // A folder in the segment's place: no append can work.
    fs::create_dir(fixture.segment(0)).unwrap();
    producer.flush().unwrap_err();
    assert!(producer.take_acknowledged().is_empty());
    fs::remove_dir(fixture.segment(0)).unwrap();
    producer.flush().unwrap();
    producer.flush().unwrap();
    let acknowledged = producer.take_acknowledged();
    assert_eq!(acknowledged.iter().map(|done| (done.first_offset, done.count)).collect::<Vec<_>>(), [(Offset(0), 1)]);
    assert_eq!(fixture.values(), numbered(&["a"]));
}

#[test]
fn i2_keys_choose_partitions_and_keyless_records_take_turns_by_batch() {
    let fixture = Fixture::new(3, &[]);
    let mut producer = LocalProducer::open(&fixture.topics, &orders(), Arc::new(FixedClock(4))).unwrap();
    let keyed = NewRecord { key: Some(b"21"), ..NewRecord::default() };
    producer.send(&keyed).unwrap();
    let explicit = NewRecord { partition: Some(Partition(2)), ..keyed };
    producer.send(&explicit).unwrap();
    producer.flush().unwrap();
    // 1173551340 (see `partitioner`) is divisible by 3.
    assert_eq!(partition_of_key(b"21", 3), Partition(0));
    let placed = |producer: &mut LocalProducer| {
        producer.take_acknowledged().iter().map(|done| (done.partition.0, done.count)).collect::<Vec<_>>()
    };
    assert_eq!(placed(&mut producer), [(0, 1), (2, 1)]);
    for _ in 0..4 {
        producer.send(&NewRecord { value: Some(b"x"), ..NewRecord::default() }).unwrap();
        producer.send(&NewRecord { value: Some(b"y"), ..NewRecord::default() }).unwrap();
        producer.flush().unwrap();
    }
    // The clock says 4, so the first is partition 1.
    assert_eq!(placed(&mut producer), [(1, 2), (2, 2), (0, 2), (1, 2)]);
    let unknown = NewRecord { partition: Some(Partition(3)), ..keyed };
    assert_eq!(producer.send(&unknown).unwrap_err().kind(), ErrorKind::Data);
    let mut source = fixture.source();
    seek_to(&mut source, 0).unwrap();
    assert_eq!(source.poll(1_000).unwrap()[0].timestamps[0], 4, "the clock's time where none is given");
}

#[test]
fn large_sends_become_several_batches_without_a_flush() {
    let fixture = Fixture::new(1, &[]);
    let mut producer = LocalProducer::open(&fixture.topics, &orders(), Arc::new(FixedClock(0))).unwrap();
    let value = vec![b'v'; 400_000];
    for _ in 0..10 {
        producer.send(&NewRecord { value: Some(&value), ..NewRecord::default() }).unwrap();
    }
    let counts: Vec<usize> = producer.take_acknowledged().iter().map(|done| done.count).collect();
    assert_eq!(counts, [3, 3, 3], "a batch is full beyond 1 MiB");
    producer.flush().unwrap();
    assert_eq!(fixture.values().len(), 10);
}

#[test]
fn p3_several_writers_leave_no_gap_and_no_repeat() {
    let fixture = Fixture::new(1, &[("segment.bytes", "3000")]);
    let per_writer = 60;
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let log = fixture.log();
            scope.spawn(move || {
                for n in 0..per_writer {
                    append(&log, &[&format!("{writer}-{n}"), "second"]).unwrap();
                }
            });
        }
    });
    let values = fixture.values();
    assert_eq!(values.len(), 4 * per_writer * 2);
    assert!(values.iter().enumerate().all(|(at, (offset, _))| at as i64 == *offset));
    for writer in 0..4 {
        let own: Vec<&String> =
            values.iter().map(|(_, value)| value).filter(|value| value.starts_with(&format!("{writer}-"))).collect();
        let expected: Vec<String> = (0..per_writer).map(|n| format!("{writer}-{n}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
}

#[test]
fn recovery_i1_a_torn_tail_is_cut_and_damage_in_the_middle_is_not() {
    let fixture = Fixture::new(1, &[]);
    for value in ["a", "b", "c"] {
        append(&fixture.log(), &[value]).unwrap();
    }
    let whole = fs::read(fixture.segment(0)).unwrap();
    for damage in ["cut", "bit", "zeros", "ones"] {
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            match damage {
                "cut" => bytes.truncate(at),
                "bit" => bytes[at] ^= 0x10,
                "zeros" => bytes[at..].fill(0),
                _ => bytes[at..].fill(0xff),
            }
            check_damage(&fixture, &whole, &bytes, damage);
        }
    }
}

/// A log of three batches, damaged and without a published end: what is the first bad batch, and what becomes of it?
fn check_damage(fixture: &Fixture, whole: &[u8], bytes: &[u8], damage: &str) {
    fs::write(fixture.segment(0), bytes).unwrap();
    fs::remove_file(fixture.partition_directory().join("log-end")).unwrap();
    let batch = whole.len() / 3;
    let first_difference = whole.iter().zip(bytes).position(|(one, other)| one != other).unwrap_or(bytes.len());
    let bad = first_difference / batch;
    let is_leader_epoch = damage == "bit" && (12..16).contains(&(first_difference % batch));
    let appended = append(&fixture.log(), &["next"]);
    if is_leader_epoch {
        assert_eq!(appended.unwrap().first_offset, Offset(3), "it is not checked and means nothing here");
    } else if damage == "bit" && bad < 2 {
        let error = appended.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.message().contains(&format!("is damaged at byte {}", bad * batch)), "{error}");
        assert!(error.message().contains(&fixture.segment(0).display().to_string()));
        assert_eq!(fs::read(fixture.segment(0)).unwrap(), bytes, "nothing is cut");
    } else {
        assert_eq!(appended.unwrap().first_offset, Offset(bad as i64), "{damage} {first_difference}");
        let good = &["a", "b", "c"][..bad];
        assert_eq!(fixture.values(), numbered(&[good, &["next"]].concat()), "{damage} {first_difference}");
    }
}

#[test]
fn a_torn_tail_is_cut_before_its_segment_is_left() {
    let fixture = Fixture::new(1, &[("segment.bytes", "200")]);
    append(&fixture.log(), &["a"]).unwrap();
    let whole = fs::read(fixture.segment(0)).unwrap();
    fixture.put_raw(&[2; 50]);
    let large = "x".repeat(150);
    append(&fixture.log(), &[&large]).unwrap();
    assert!(fixture.segment(1).exists());
    assert_eq!(fs::read(fixture.segment(0)).unwrap(), whole);
    assert_eq!(fixture.values(), numbered(&["a", &large]));
}

#[test]
fn p4_damage_before_the_end_is_read_up_to_and_then_reported() {
    let fixture = Fixture::new(1, &[]);
    for value in ["a", "b", "c"] {
        append(&fixture.log(), &[value]).unwrap();
    }
    let mut bytes = fs::read(fixture.segment(0)).unwrap();
    let batch = bytes.len() / 3;
    bytes[batch + 65] ^= 1;
    fs::write(fixture.segment(0), &bytes).unwrap();
    let mut source = fixture.source();
    seek_to(&mut source, 0).unwrap();
    assert_eq!(source.poll(1_000).unwrap()[0].offsets, [0], "the good ones first");
    for _ in 0..2 {
        let error = source.poll(1_000).unwrap_err();
        assert!(error.message().contains(&format!("is damaged at byte {batch}")), "{error}");
    }
    assert_eq!(values_from(&mut source, 2).unwrap(), [(2, "c".to_owned())], "what lies behind can be reached");
}

#[test]
fn an_empty_batch_changes_nothing() {
    let fixture = Fixture::new(1, &[]);
    append(&fixture.log(), &["a"]).unwrap();
    let appended = fixture.log().append(&mut batch_of(&[])).unwrap();
    assert_eq!((appended.first_offset, appended.count), (Offset(1), 0));
    assert_eq!(fixture.values(), numbered(&["a"]));
}
