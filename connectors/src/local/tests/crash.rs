//! Power cuts and kills (P1, P2).
//!
//! A power cut keeps what was flushed and any part of what was not: of the one batch after the last flush (I4 of
//! `partition_log`) a prefix, zeros, garbage or single sectors; of the published end any earlier state.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tableflow_model::{Offset, Partition};

use super::{Fixture, Seeded, append, copy_files, numbered, orders, seek_to, texts, values_from};
use crate::local::log_end::LogEnd;
use crate::local::partition_log::PartitionLog;
use crate::local::{LocalSource, LocalTopics};

const SECTOR_BYTES: usize = 512;

/// What the power cut may have left of bytes that were not flushed.
fn torn(bytes: &[u8], random: &mut Seeded) -> Vec<u8> {
    let kept = random.below(bytes.len() as u64 + 1) as usize;
    let mut left = bytes[..kept].to_vec();
    match random.below(5) {
        0 => {}
        1 => left.resize(bytes.len(), 0),
        2 => left.resize_with(bytes.len(), || random.below(256) as u8),
        3 => left.resize_with(kept + random.below(3_000) as usize, || random.below(256) as u8),
        _ => {
            left = bytes.to_vec();
            for sector in left.chunks_mut(SECTOR_BYTES) {
                if random.below(2) == 0 {
                    sector.fill(0);
                }
            }
        }
    }
    left
}

#[test]
fn p1_p2_a_power_cut_takes_nothing_that_was_acknowledged_or_read() {
    for seed in 1..=150 {
        power_cut(&mut Seeded(seed));
    }
}

fn power_cut(random: &mut Seeded) {
    let fixture = Fixture::new(1, &[("segment.bytes", "4000")]);
    let partition = fixture.partition_directory();
    let mut acknowledged: Vec<String> = Vec::new();
    let mut marks: Vec<Vec<u8>> = vec![Vec::new(), vec![0; 28]];
    for n in 0..1 + random.below(12) {
        let value = format!("{n}-{}", "v".repeat(random.below(1_500) as usize));
        append(&fixture.log(), &[&value]).unwrap();
        acknowledged.push(value);
        marks.push(fs::read(partition.join("log-end")).unwrap());
    }
    let flushed = tempfile::tempdir().unwrap();
    copy_files(&partition, flushed.path());
    let unflushed = format!("u-{}", "w".repeat(random.below(3_000) as usize));
    append(&fixture.log(), &[&unflushed]).unwrap();
    let (path, bytes) = last_append(&fixture, flushed.path(), acknowledged.len() as i64);

    // The power comes back: only what was flushed is as it was.
    copy_files(flushed.path(), &partition);
    let before = fs::read(flushed.path().join(path.file_name().unwrap())).unwrap_or_default();
    fs::write(&path, [before, torn(&bytes, random)].concat()).unwrap();
    fs::write(partition.join("log-end"), &marks[random.below(marks.len() as u64) as usize]).unwrap();

    let mut expected: Vec<&str> = acknowledged.iter().map(String::as_str).collect();
    if random.below(2) == 0 {
        let read = fixture.values();
        assert!(read.starts_with(&numbered(&expected)));
        if read.len() > expected.len() {
            expected.push(&unflushed);
        }
        assert_eq!(read, numbered(&expected));
    }
    let appended = append(&fixture.log(), &["after"]).unwrap();
    if appended.first_offset.0 > expected.len() as i64 {
        expected.push(&unflushed);
    }
    expected.push("after");
    assert_eq!(fixture.values(), numbered(&expected));
}

/// The file that the last append went to and the bytes it added.
fn last_append(fixture: &Fixture, flushed: &std::path::Path, base_offset: i64) -> (std::path::PathBuf, Vec<u8>) {
    let fresh = fixture.segment(base_offset);
    if fresh.exists() {
        return (fresh.clone(), fs::read(fresh).unwrap());
    }
    let names = fs::read_dir(flushed).unwrap().map(|entry| entry.unwrap().file_name());
    let last = names.filter(|name| name.to_str().unwrap().ends_with(".log")).max().unwrap();
    let path = fixture.partition_directory().join(&last);
    let before = fs::metadata(flushed.join(&last)).unwrap().len() as usize;
    let bytes = fs::read(&path).unwrap()[before..].to_vec();
    (path, bytes)
}

#[test]
fn i2_the_published_end_is_never_beyond_the_log_that_recovery_trusts() {
    let fixture = Fixture::new(1, &[]);
    append(&fixture.log(), &["a", "b"]).unwrap();
    // An older copy of the log under a newer mark, as a restored backup may have it.
    let older = fs::read(fixture.segment(0)).unwrap();
    append(&fixture.log(), &["c"]).unwrap();
    fs::write(fixture.segment(0), older).unwrap();
    assert_eq!(fixture.values(), numbered(&["a", "b"]));
    append(&fixture.log(), &["d"]).unwrap();
    assert_eq!(fixture.values(), numbered(&["a", "b", "d"]));
    assert_eq!(LogEnd::open(&fixture.partition_directory()).unwrap().read().unwrap().unwrap().next_offset, 3);
}

const CHILD_DIRECTORY: &str = "TABLEFLOW_TEST_KILLED_CHILD";
const KILLS: usize = 24;

/// Two processes produce and say what was acknowledged; both are killed at a random moment, again and again, while a
/// third (this one) reads.
#[test]
fn p1_p2_kill_9_takes_nothing_that_was_acknowledged_or_read() {
    if let Ok(directory) = std::env::var(CHILD_DIRECTORY) {
        return produce_until_killed(directory.as_ref());
    }
    let fixture = Fixture::new(1, &[("segment.bytes", "20000")]);
    let mut random = Seeded(20_261_121);
    let mut acknowledged: BTreeMap<i64, String> = BTreeMap::new();
    let mut source = fixture.source();
    seek_to(&mut source, 0).unwrap();
    let mut seen: Vec<(i64, String)> = Vec::new();
    for _ in 0..KILLS {
        let mut children = [start_child(&fixture), start_child(&fixture)];
        std::thread::sleep(Duration::from_millis(20 + random.below(100)));
        for records in source.poll(1 << 20).unwrap() {
            seen.extend(texts(&records));
        }
        for child in &mut children {
            child.kill().unwrap();
        }
        for child in children {
            acknowledged.extend(acknowledgements(child));
        }
    }
    let all = fixture.values();
    assert!(all.iter().enumerate().all(|(at, (offset, _))| at as i64 == *offset), "gap-free");
    assert!(acknowledged.len() > KILLS, "the children did work: {}", acknowledged.len());
    for (offset, value) in &acknowledged {
        assert_eq!(&all[*offset as usize].1, value);
    }
    assert_eq!(seen, all[..seen.len()], "what was read is still there, where it was");
    assert_eq!(values_from(&mut source, seen.len() as i64).unwrap(), all[seen.len()..]);
    append(&fixture.log(), &["after"]).unwrap();
    assert_eq!(fixture.values().len(), all.len() + 1);
}

fn start_child(fixture: &Fixture) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "local::tests::crash::p1_p2_kill_9_takes_nothing_that_was_acknowledged_or_read",
            "--exact",
            "--nocapture",
        ])
        .env(CHILD_DIRECTORY, fixture.directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn produce_until_killed(directory: &std::path::Path) {
    let topic = LocalTopics::open(directory).describe(&orders()).unwrap();
    let log = PartitionLog::new(&std::sync::Arc::new(topic), Partition(0));
    let mut out = std::io::stdout().lock();
    for n in 0.. {
        let values = [format!("{}-{n}-a", std::process::id()), format!("{}-{n}-b", std::process::id())];
        let appended = append(&log, &values.each_ref().map(String::as_str)).unwrap();
        let Offset(first) = appended.first_offset;
        writeln!(out, "ack {first} {}\nack {} {}", values[0], first + 1, values[1]).unwrap();
        out.flush().unwrap();
    }
}

/// What a killed child said; its last line may be cut.
fn acknowledgements(mut child: Child) -> Vec<(i64, String)> {
    let mut text = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    while out.read_line(&mut text).unwrap() > 0 {
        if let Some(said) = text.strip_suffix('\n').and_then(|line| line.strip_prefix("ack ")) {
            let (offset, value) = said.split_once(' ').unwrap();
            acknowledged.push((offset.parse().unwrap(), value.to_owned()));
        }
        text.clear();
    }
    child.wait().unwrap();
    acknowledged
}

#[test]
fn a_source_outlives_the_writers_that_die_beside_it() {
    let fixture = Fixture::new(1, &[]);
    let mut source: LocalSource = fixture.source();
    let mut child = start_child(&fixture);
    while source.ranges().unwrap()[&Partition(0)].end < Offset(4) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(values_from(&mut source, 0).unwrap().len() >= 4);
}
