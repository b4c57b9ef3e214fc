//! Creating, listing, describing and deleting topics.

use std::fs;

use tableflow_model::{ErrorKind, Millis, Offset, Partition};

use super::{FixedClock, Fixture, append, config, orders, seek_to};
use crate::local::{LocalProducer, LocalTopics};
use crate::topics::NewRecord;

#[test]
fn a_topic_is_described_as_it_was_created() {
    let fixture = Fixture::new(3, &[("cleanup.policy", "compact"), ("segment.bytes", "9000")]);
    let topic = fixture.topics.describe(&orders()).unwrap();
    assert_eq!((topic.partitions, topic.created_at), (3, Millis(1_000)));
    assert!(topic.options.cleanup_policy().compacts());
    assert_eq!(topic.options.segment_bytes(), 9_000);
    let again = fixture.topics.create(&orders(), 1, &config(&[]), &FixedClock(2_000), &fixture.ids).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    for partitions in [0, -1, 1_001] {
        let name = "other".parse().unwrap();
        let error = fixture.topics.create(&name, partitions, &config(&[]), &FixedClock(0), &fixture.ids).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}

#[test]
fn i3_listing_looks_at_no_log() {
    let fixture = Fixture::new(1, &[]);
    for name in ["b", "a", ".dotted"] {
        fixture.topics.create(&name.parse().unwrap(), 1, &config(&[]), &FixedClock(0), &fixture.ids).unwrap();
    }
    // A log that cannot be read at all: a folder in its place.
    fs::create_dir(fixture.segment(0)).unwrap();
    let names: Vec<String> = fixture.topics.list().unwrap().iter().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, [".dotted", "a", "b", "orders"]);
    assert!(LocalTopics::open(&fixture.directory.path().join("nothing")).list().unwrap().is_empty());
}

#[test]
fn i2_a_deleted_topic_is_not_found_and_a_new_one_has_another_id() {
    let fixture = Fixture::new(1, &[]);
    append(&fixture.log(), &["a", "b"]).unwrap();
    let mut source = fixture.source();
    seek_to(&mut source, 0).unwrap();
    let old_id = source.topic_id().unwrap();
    let clock = std::sync::Arc::new(FixedClock(0));
    let mut producer = LocalProducer::open(&fixture.topics, &orders(), clock).unwrap();

    fixture.topics.delete(&orders()).unwrap();
    let not_found = [
        source.topic_id().unwrap_err(),
        source.poll(100).unwrap_err(),
        source.ranges().unwrap_err(),
        seek_to(&mut source, 0).unwrap_err(),
        fixture.topics.delete(&orders()).unwrap_err(),
        fixture.topics.describe(&orders()).unwrap_err(),
        append(&fixture.log(), &["c"]).unwrap_err(),
    ];
    for error in not_found {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }

    fixture.topics.create(&orders(), 1, &config(&[]), &FixedClock(0), &fixture.ids).unwrap();
    assert_eq!(source.poll(100).unwrap_err().kind(), ErrorKind::Conflict);
    assert_ne!(source.topic_id().unwrap(), old_id);
    producer.send(&NewRecord { value: Some(b"c"), ..NewRecord::default() }).unwrap();
    assert_eq!(producer.flush().unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(source.ranges().unwrap()[&Partition(0)].end, Offset(0));
    assert_eq!(seek_to(&mut source, 2).unwrap_err().kind(), ErrorKind::Data, "an offset of the old topic");
    seek_to(&mut source, 0).unwrap();
    assert!(source.poll(100).unwrap().is_empty());
}

#[test]
fn i4_what_a_crash_left_is_no_topic_and_is_removed() {
    let fixture = Fixture::new(1, &[]);
    let root = fixture.directory.path().join("topics");
    for name in ["~creating-x", "~deleted-y"] {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("topic.json"), b"{").unwrap();
    }
    assert_eq!(fixture.topics.list().unwrap().len(), 1);
    fixture.topics.create(&"next".parse().unwrap(), 1, &config(&[]), &FixedClock(0), &fixture.ids).unwrap();
    let mut left: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["next", "orders", "~lock"]);
}

#[test]
fn metadata_of_another_layout_is_refused() {
    let fixture = Fixture::new(1, &[]);
    let path = fixture.directory.path().join("topics/orders/topic.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    assert_eq!(fixture.topics.describe(&orders()).unwrap_err().kind(), ErrorKind::Usage);
    fs::write(&path, &text[..20]).unwrap();
    assert_eq!(fixture.topics.describe(&orders()).unwrap_err().kind(), ErrorKind::Internal);
}
