//! Batches that are damaged, or lie: what librdkafka makes of them, and what becomes of the table (bad inputs 38, 39,
//! 44).
//!
//! They are laid into the log of a broker that is down, by `tests/python/kafka_log.py`.

use std::thread;

use serde_json::{Value, json};

use super::KafkaTopic;
use super::broker::Broker;
use crate::product::{Done, Fields};

/// Records before the odd batch, sent by a client.
const BEFORE: u64 = 4;

/// What the bombs are when they are unpacked; packed they have a few hundred kilobytes at most.
const BOMB_BYTES: u64 = 150 << 20;
/// What one that is unpacked may take: librdkafka's copy, ours, and the rest of the process.
const PEAK_BYTES_MAX: u64 = 1 << 30;

/// A batch behind those records, the offset of its last one, and the words of what the table says if it stops there.
struct Odd {
    name: &'static str,
    batch: Value,
    last: u64,
    says: &'static [&'static str],
}

fn odd(name: &'static str, mut batch: Value, records: u64, says: &'static [&'static str]) -> Odd {
    batch["base"] = json!(BEFORE);
    Odd { name, batch, last: BEFORE + records - 1, says }
}

/// What stays unreadable until somebody mends it.
const UNREADABLE: &[&str] = &["a batch of topic", "cannot be read", "message at 4", "hint: it is damaged"];
/// `bombs` does what the hint says.
const TOO_LARGE: &[&str] = &[
    "a batch of topic",
    "cannot be read",
    "message at 4",
    "hint: it is damaged",
    "or unpacks to more",
    "fetch.max.bytes in [kafka]",
];

fn odd_batches() -> Vec<Odd> {
    let value = r#"{"id":1}"#;
    let bomb = |codec: &str| json!({"values": [format!("{value}*")], "repeated": ["\0", BOMB_BYTES], "codec": codec});
    // What is unpacked is a record like any other: bytes 0 behind an object are no JSON.
    let a_record = &["record 4 of partition 0", "reason=trailing-data", "--error-handling LOG"];
    vec![
        odd("a batch without a record", json!({"values": [], "last_delta": 2}), 3, &[]),
        odd("a batch that ends behind its records", json!({"values": [value], "last_delta": 3}), 4, &[]),
        odd("a count that lies", json!({"values": [value], "count": 1 << 30}), 1, &[]),
        odd("a bomb of zstd", bomb("zstd"), 1, TOO_LARGE),
        odd("a bomb of lz4", bomb("lz4"), 1, a_record),
        odd("a bomb of gzip", bomb("gzip"), 1, a_record),
        odd("a codec that there is not", json!({"values": [value], "attributes": 7}), 1, UNREADABLE),
        odd("bytes that are not of their codec", json!({"values": [value], "attributes": 4}), 1, UNREADABLE),
    ]
}

fn topic_of(broker: &Broker, batches: u64) -> KafkaTopic {
    let topic = KafkaTopic::of(broker, 1, &json!({}));
    for _ in 0..batches {
        topic.produce(BEFORE);
    }
    topic.product.enable();
    topic
}

/// Runs `sync` on each at once: those that cannot go on try for some seconds.
fn sync_all(topics: &[&KafkaTopic]) -> Vec<(Done, u64)> {
    thread::scope(|scope| {
        let run = |topic: &KafkaTopic| topic.product.run_measured(&["sync"]);
        let running: Vec<_> = topics.iter().map(|topic| scope.spawn(move || run(topic))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn batches_that_are_damaged_or_lie_stop_their_table_and_lose_nothing() {
    let broker = Broker::start();
    let cases = odd_batches();
    let topics: Vec<_> = cases.iter().map(|_| topic_of(&broker, 1)).collect();
    let damaged = topic_of(&broker, 3);
    let after: Vec<Fields> = damaged.next(cases.len() as u64);
    broker.stop();
    for ((case, topic), value) in cases.iter().zip(&topics).zip(&after) {
        let behind = json!({"base": case.last + 1, "values": [json!(value).to_string()]});
        topic.ask("log_lay", json!({"file": broker.log_of(&topic.topic), "batches": [case.batch, behind]}));
    }
    let flip = json!({"file": broker.log_of(&damaged.topic), "offset": BEFORE});
    damaged.ask("log_flip", flip.clone());
    broker.start_again();

    let all: Vec<&KafkaTopic> = topics.iter().chain([&damaged]).collect();
    let mut done = sync_all(&all);
    let (of_damaged, _) = done.pop().unwrap();
    for (((case, topic), value), (sync, peak)) in cases.iter().zip(&topics).zip(after).zip(done) {
        check(case, topic, value, &sync);
        assert!(peak < PEAK_BYTES_MAX, "{}: {peak} bytes at the peak", case.name);
    }

    // I1 of bad input 39: what is before the damage is in the table, and nothing of what is behind.
    for word in ["a batch of topic", "failed CRC32C check", "MessageSet at offset 4"] {
        assert!(of_damaged.stderr.contains(word), "{}", of_damaged.stderr);
    }
    check_place(&damaged, "a checksum that is wrong", BEFORE, 3 * BEFORE);
    broker.stop();
    damaged.ask("log_flip", flip);
    broker.start_again();
    damaged.product.sync_and_check("the batch was mended");
}

/// Every record is a row, or waits: none is anywhere else.
fn check(case: &Odd, topic: &KafkaTopic, behind: Fields, sync: &Done) {
    let end = case.last + 2;
    assert_eq!(sync.status.success(), case.says.is_empty(), "{}: {}", case.name, sync.stderr);
    for word in case.says {
        assert!(sync.stderr.contains(word), "{}: {word:?} is not said: {}", case.name, sync.stderr);
    }
    if !case.says.is_empty() {
        return check_place(topic, case.name, BEFORE, end);
    }
    let laid = case.batch["values"].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    let laid = laid.map(|text| ((0, BEFORE), serde_json::from_str(text).unwrap()));
    topic.product.note_sent(laid.chain([((0, case.last + 1), behind)]));
    topic.product.check(case.name);
    let partitions = &topic.product.status()["partitions"];
    assert_eq!(
        partitions,
        &json!([{"partition": 0, "next_offset": end, "end_offset": end, "lag": 0}]),
        "{}",
        case.name
    );
}

fn check_place(topic: &KafkaTopic, what: &str, next: u64, end: u64) {
    let status = topic.product.status();
    let place = json!([{"partition": 0, "next_offset": next, "end_offset": end, "lag": end - next}]);
    assert_eq!(status["partitions"], place, "{what}");
    let counts =
        ["rows_committed", "rows_skipped", "rows_dead_lettered", "lag"].map(|name| status[name].as_u64().unwrap());
    assert_eq!(counts, [next, 0, 0, end - next], "{what}: {status}");
}
