//! Flushes that fail (I3 and I5 of `partition_log`, I4 of `recovery`): no append twice, nothing lost that was
//! acknowledged or read.
//!
//! The model is a page cache over a disk. A flush that fails is told once, and the pages it was for are taken for
//! clean: the next flush has nothing to do and succeeds, and the power cut shows what the disk really had.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tableflow_model::{ErrorKind, Offset};

use super::super::disk::{Disk, SystemDisk};
use super::{FixedClock, Fixture, Seeded, append, orders, texts, values_from};
use crate::local::partition_log::PartitionLog;
use crate::local::{LocalProducer, LocalSource, LocalTopics};
use crate::topics::NewRecord;

const IO_ERROR: i32 = 5;

/// What the disk has of a file, and what of it waits in the cache.
#[derive(Debug, Default)]
struct Image {
    on_disk: Vec<u8>,
    /// Written and not flushed: where, and what.
    dirty: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct CachedDisk {
    images: Mutex<HashMap<u64, Image>>,
    sync_fails: AtomicBool,
    truncate_fails: AtomicBool,
    write_fails: AtomicBool,
}

fn outcome(fails: &AtomicBool) -> io::Result<()> {
    if fails.load(Ordering::Relaxed) { Err(io::Error::from_raw_os_error(IO_ERROR)) } else { Ok(()) }
}

impl Disk for CachedDisk {
    fn write_all_at(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        outcome(&self.write_fails)?;
        file.write_all_at(bytes, position)?;
        let mut images = self.images.lock().unwrap();
        let image = images.entry(file.metadata()?.ino()).or_default();
        image.dirty.push((position as usize, bytes.to_vec()));
        Ok(())
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        let mut images = self.images.lock().unwrap();
        let image = images.entry(file.metadata()?.ino()).or_default();
        let dirty = std::mem::take(&mut image.dirty);
        outcome(&self.sync_fails)?;
        let size = file.metadata()?.len() as usize;
        image.on_disk.resize(size, 0);
        for (position, bytes) in dirty {
            let kept = bytes.len().min(size.saturating_sub(position));
            image.on_disk[position..][..kept].copy_from_slice(&bytes[..kept]);
        }
        Ok(())
    }

    fn truncate(&self, file: &File, size: u64) -> io::Result<()> {
        outcome(&self.truncate_fails)?;
        SystemDisk.truncate(file, size)
    }
}

impl CachedDisk {
    fn heal(&self) {
        for fails in [&self.sync_fails, &self.truncate_fails, &self.write_fails] {
            fails.store(false, Ordering::Relaxed);
        }
    }

    /// Every segment is as the disk has it.
    fn cut_power(&self, fixture: &Fixture) {
        let images = self.images.lock().unwrap();
        for entry in fs::read_dir(fixture.partition_directory()).unwrap() {
            let path = entry.unwrap().path();
            let inode = fs::metadata(&path).unwrap().ino();
            if let Some(image) = images.get(&inode) {
                fs::write(&path, &image.on_disk).unwrap();
            }
        }
    }
}

fn topics_on(fixture: &Fixture, disk: &Arc<CachedDisk>) -> LocalTopics {
    LocalTopics::with_disk(fixture.directory.path(), disk.clone())
}

fn read_all(fixture: &Fixture, disk: &Arc<CachedDisk>) -> Vec<(i64, String)> {
    let mut source = LocalSource::open(&topics_on(fixture, disk), &orders()).unwrap();
    values_from(&mut source, 0).unwrap()
}

#[test]
fn partition_log_i3_a_failed_append_is_never_in_the_log_twice() {
    for seed in 1..=200 {
        let case = format!("seed {seed}");
        fail_and_go_on(&mut Seeded(seed), &case);
    }
}

fn fail_and_go_on(random: &mut Seeded, case: &str) {
    let fixture = Fixture::new(1, &[("segment.bytes", "2000")]);
    let disk = Arc::new(CachedDisk::default());
    let log = fixture.log_with(disk.clone());
    let mut acknowledged: Vec<String> = Vec::new();
    for n in 0..random.below(6) {
        let value = format!("{n}-{}", "v".repeat(random.below(700) as usize));
        append(&log, &[&value]).unwrap();
        acknowledged.push(value);
    }
    disk.sync_fails.store(true, Ordering::Relaxed);
    disk.truncate_fails.store(random.below(2) == 0, Ordering::Relaxed);
    let failed = format!("failed-{}", "w".repeat(random.below(900) as usize));
    assert_eq!(append(&log, &[&failed]).unwrap_err().kind(), ErrorKind::Unavailable, "{case}");
    disk.heal();
    let mut read = Vec::new();
    for n in 0..random.below(4) {
        match random.below(3) {
            0 => {
                let error = append(&log, &[&failed]).unwrap_err();
                assert!(error.message().contains("takes no more"), "{case}: {error}");
            }
            1 => {
                // Another process: it may still find what the failed one could not take back.
                let value = format!("other-{n}");
                let appended = append(&fixture.log_with(disk.clone()), &[&value]).unwrap();
                assert_eq!(appended.first_offset, Offset(acknowledged.len() as i64), "{case}: it was taken back");
                acknowledged.push(value);
            }
            _ => read = read_all(&fixture, &disk),
        }
    }
    disk.cut_power(&fixture);
    let found: Vec<String> = read_all(&fixture, &disk).into_iter().map(|(_, value)| value).collect();
    let read: Vec<String> = read.into_iter().map(|(_, value)| value).collect();
    assert!(found.starts_with(&read), "{case}: what was read is still there");
    assert_eq!(found, acknowledged, "{case}");
}

#[test]
fn recovery_i4_a_batch_that_could_not_be_taken_back_is_durable_before_it_is_read() {
    let fixture = Fixture::new(1, &[]);
    let disk = Arc::new(CachedDisk::default());
    let log = fixture.log_with(disk.clone());
    append(&log, &["a"]).unwrap();
    // Killed between the flush that failed and the cut: the batch is whole in the cache, and clean.
    fixture.put_raw(super::batch_of(&["b"]).seal(Offset(1)));
    assert_eq!(read_all(&fixture, &disk), super::numbered(&["a", "b"]));
    disk.cut_power(&fixture);
    assert_eq!(read_all(&fixture, &disk), super::numbered(&["a", "b"]));
}

#[test]
fn producer_i1_a_flush_that_failed_is_not_tried_again_and_the_other_partitions_go_on() {
    let fixture = Fixture::new(2, &[]);
    let disk = Arc::new(CachedDisk::default());
    let topics = topics_on(&fixture, &disk);
    let mut producer = LocalProducer::open(&topics, &orders(), Arc::new(FixedClock(0))).unwrap();
    let record = |partition| NewRecord {
        value: Some(b"once"),
        partition: Some(tableflow_model::Partition(partition)),
        ..NewRecord::default()
    };
    producer.send(&record(0)).unwrap();
    disk.sync_fails.store(true, Ordering::Relaxed);
    disk.truncate_fails.store(true, Ordering::Relaxed);
    producer.flush().unwrap_err();
    disk.heal();
    producer.send(&record(1)).unwrap();
    for _ in 0..2 {
        let error = producer.flush().unwrap_err();
        assert!(error.message().contains("takes no more"), "{error}");
        assert!(error.hint().is_some());
    }
    let acknowledged = producer.take_acknowledged();
    assert_eq!(acknowledged.iter().map(|done| done.partition.0).collect::<Vec<_>>(), [1]);
    assert!(fixture.values().is_empty());
    let mut second = LocalSource::open(&topics, &orders()).unwrap();
    let sought = std::collections::BTreeMap::from([(tableflow_model::Partition(1), Offset(0))]);
    second.seek(&sought).unwrap();
    let polled = second.poll(1_000).unwrap();
    assert_eq!(texts(&polled[0]), [(0, "once".to_owned())]);
    let later = PartitionLog::with_disk(&fixture.topic, tableflow_model::Partition(0), disk);
    append(&later, &["once"]).unwrap();
    assert_eq!(fixture.values(), super::numbered(&["once"]), "a new process may send it again");
}
