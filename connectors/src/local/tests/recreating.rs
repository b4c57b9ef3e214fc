//! A topic that is deleted and created again under those who write and read it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tableflow_model::{ErrorKind, Offset, Partition};

use super::super::disk::{Disk, SystemDisk};
use super::{
    CountingIds, FixedClock, Fixture, append, batch_of, config, numbered, orders, seek_to, texts, values_from,
};
use crate::local::log_end::LogEnd;
use crate::local::partition_log::PartitionLog;
use crate::local::{LocalSource, LocalTopics};

/// A disk whose first flush does something else first.
struct InterruptedDisk(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for InterruptedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InterruptedDisk")
    }
}

impl Disk for InterruptedDisk {
    fn write_all_at(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        SystemDisk.write_all_at(file, bytes, position)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        if let Some(interrupt) = self.0.lock().unwrap().take() {
            interrupt();
        }
        SystemDisk.sync_data(file)
    }

    fn truncate(&self, file: &File, size: u64) -> io::Result<()> {
        SystemDisk.truncate(file, size)
    }
}

fn recreate(topics: &LocalTopics, ids: &CountingIds) {
    topics.delete(&orders()).unwrap();
    topics.create(&orders(), 1, &config(&[]), &FixedClock(0), ids).unwrap();
}

#[test]
fn i5_an_append_under_way_never_writes_into_the_topic_that_took_the_name() {
    let fixture = Fixture::new(1, &[]);
    // An unfinished append: the next one flushes before it writes, under the lock and past its checks.
    fixture.put_raw(&[2; 50]);
    let (topics, ids) = (fixture.topics.clone(), Arc::new(CountingIds::starting(100)));
    let (sender, done) = channel();
    let (again, more) = (topics, ids);
    let interrupt = move || {
        std::thread::spawn(move || {
            recreate(&again, &more);
            let topic = Arc::new(again.describe(&orders()).unwrap());
            let appended = append(&PartitionLog::new(&topic, Partition(0)), &["acknowledged"]).unwrap();
            sender.send(appended.first_offset).unwrap();
        });
        // With no lock in its way the other is done long before.
        std::thread::sleep(Duration::from_millis(400));
    };
    let log = fixture.log_with(Arc::new(InterruptedDisk(Mutex::new(Some(Box::new(interrupt))))));
    // Acknowledged before the topic went, or refused: either is well.
    let _ = append(&log, &["under way"]);
    assert_eq!(done.recv_timeout(Duration::from_secs(30)).unwrap(), Offset(0));
    assert_eq!(fixture.values(), numbered(&["acknowledged"]));
    assert_eq!(append(&log, &["late"]).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn i5_a_topic_stays_while_a_writer_that_does_not_move_holds_a_partition() {
    let fixture = Fixture::new(2, &[]);
    append(&fixture.log(), &["a"]).unwrap();
    let impatient = fixture.topics.clone().waiting_at_most(Duration::from_millis(50));
    let log_end = LogEnd::open(&fixture.partition_directory()).unwrap();
    let lock = log_end.lock().unwrap();
    let error = impatient.delete(&orders()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.hint().is_some_and(|hint| hint.contains("end it")), "{error}");
    assert_eq!(fixture.values(), numbered(&["a"]), "nothing was deleted");

    // A crash right after the rename: nobody takes the name while the old topic's writer may be at work.
    let root = fixture.directory.path().join("topics");
    fs::rename(root.join("orders"), root.join("~deleted-x")).unwrap();
    let again = impatient.create(&orders(), 1, &config(&[]), &FixedClock(0), &fixture.ids).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Unavailable, "{again}");
    drop(lock);
    impatient.create(&orders(), 1, &config(&[]), &FixedClock(0), &fixture.ids).unwrap();
    assert!(!root.join("~deleted-x").exists());
}

#[test]
fn source_i1_a_source_stays_with_its_topic_until_it_is_asked_which_one_there_is() {
    let fixture = Fixture::new(1, &[]);
    append(&fixture.log(), &["old", "old"]).unwrap();
    let mut sources = [fixture.source(), fixture.source()];
    seek_to(&mut sources[0], 1).unwrap();
    recreate(&fixture.topics, &fixture.ids);
    let topic = Arc::new(fixture.topics.describe(&orders()).unwrap());
    append(&PartitionLog::new(&topic, Partition(0)), &["new", "new", "new"]).unwrap();
    let mut expected = vec!["new"; 3];
    for source in &mut sources {
        for _ in 0..2 {
            let errors = [
                source.ranges().unwrap_err(),
                source.poll(1_000).unwrap_err(),
                seek_to(source, 0).unwrap_err(),
                seek_to(source, 9).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            }
        }
        assert_eq!(source.topic_id().unwrap(), topic.id);
        assert!(source.poll(1_000).unwrap().is_empty(), "nothing is read before it is sought");
        assert_eq!(source.ranges().unwrap()[&Partition(0)].end, Offset(expected.len() as i64));
        assert_eq!(values_from(source, 0).unwrap(), numbered(&expected));
        assert_eq!(source.topic_id().unwrap(), topic.id);
        append(&PartitionLog::new(&topic, Partition(0)), &["more"]).unwrap();
        expected.push("more");
        assert_eq!(source.poll(1_000).unwrap().len(), 1, "asking again for the same topic keeps its place");
    }
}

/// Every value is its topic's id and a number of its own: whoever reads or acknowledges another's sees it.
#[test]
fn i5_source_i1_writers_and_readers_never_mistake_one_topic_for_the_next() {
    let fixture = Fixture::new(1, &[("segment.bytes", "700")]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (topics, done) = (fixture.topics.clone(), &done);
            scope.spawn(move || produce_to_whatever_there_is(&topics, writer, done));
        }
        for _ in 0..2 {
            let (topics, done) = (fixture.topics.clone(), &done);
            scope.spawn(move || read_whatever_there_is(&topics, done));
        }
        let _done = SetAtTheEnd(&done);
        for round in 0..60 {
            std::thread::sleep(Duration::from_millis(round % 25));
            recreate(&fixture.topics, &fixture.ids);
        }
    });
}

/// Ends the other threads, also when this one fails.
struct SetAtTheEnd<'a>(&'a AtomicBool);

impl Drop for SetAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn is_expected(error: &tableflow_model::Error) -> bool {
    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound)
}

fn produce_to_whatever_there_is(topics: &LocalTopics, writer: u32, done: &AtomicBool) {
    let mut number = 0;
    while !done.load(Ordering::Acquire) {
        let Ok(topic) = topics.describe(&orders()) else { continue };
        let topic = Arc::new(topic);
        let log = PartitionLog::new(&topic, Partition(0));
        while !done.load(Ordering::Acquire) {
            number += 1;
            let value = format!("{} {writer} {number} {}", topic.id, "x".repeat(number % 90));
            let appended = match append(&log, &[&value, &value]) {
                Ok(appended) => appended,
                Err(error) => {
                    assert!(is_expected(&error), "append: {error}");
                    break;
                }
            };
            let Ok(mut source) = LocalSource::open(topics, &orders()) else { break };
            let id = source.topic_id();
            if id.is_err() || id.is_ok_and(|id| id != topic.id) {
                break;
            }
            match seek_to(&mut source, appended.first_offset.0).and_then(|()| source.poll(1)) {
                Ok(polled) => assert_eq!(texts(&polled[0])[0], (appended.first_offset.0, value), "acknowledged"),
                Err(error) => assert!(is_expected(&error), "reading back: {error}"),
            }
        }
    }
}

fn read_whatever_there_is(topics: &LocalTopics, done: &AtomicBool) {
    while !done.load(Ordering::Acquire) {
        let Ok(mut source) = LocalSource::open(topics, &orders()) else { continue };
        while !done.load(Ordering::Acquire) {
            let Ok(id) = source.topic_id() else { break };
            if let Err(error) = read_one_topic(&mut source, &id.to_string(), done) {
                assert!(is_expected(&error), "reading: {error}");
            }
        }
    }
}

/// Follows the topic until an error says that it is gone.
fn read_one_topic(source: &mut LocalSource, id: &str, done: &AtomicBool) -> tableflow_model::Result<()> {
    let ranges = source.ranges()?;
    let starts: BTreeMap<_, _> = ranges.iter().map(|(partition, range)| (*partition, range.start)).collect();
    // Time for the topic to go between two calls.
    std::thread::sleep(Duration::from_millis(2));
    source.seek(&starts)?;
    let mut next = 0;
    while !done.load(Ordering::Acquire) {
        for records in source.poll(1_500)? {
            for (offset, value) in texts(&records) {
                assert_eq!(offset, next);
                assert!(value.starts_with(id), "offset {offset} is another topic's: {value}");
                next += 1;
            }
        }
    }
    Ok(())
}

#[test]
fn a_batch_is_never_recovered_into_the_topic_that_took_the_name() {
    let fixture = Fixture::new(1, &[]);
    append(&fixture.log(), &["a"]).unwrap();
    let mut source = fixture.source();
    seek_to(&mut source, 0).unwrap();
    recreate(&fixture.topics, &fixture.ids);
    // The new topic's writer holds its lock, and has written what it has not flushed.
    let log_end = LogEnd::open(&fixture.partition_directory()).unwrap();
    let lock = log_end.lock().unwrap();
    fs::write(fixture.segment(0), batch_of(&["b"]).seal(Offset(0))).unwrap();
    assert_eq!(source.poll(1_000).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(log_end.read().unwrap(), None);
    drop(lock);
}
