//! Batches that unpack to far more than they are (F29, bad input 38): the memory that they take, and what becomes of them.
//!
//! They are laid into the log of a broker that is down, by `tests/python/kafka_log.py`. Blanks behind a field make a record
//! large, and its row small; a text makes both large.

use serde_json::{Value, json};

use super::KafkaTopic;
use super::broker::Broker;
use crate::product::{Fields, wait_until};
use crate::python::Engines;

const BUDGET: (&str, &str) = ("TABLEFLOW__MEMORY__BUDGET", "32MiB");

const MIB: u64 = 1 << 20;

/// Records before the batches, sent by a client.
const BEFORE: u64 = 4;

/// What a process has that reads a little from Kafka.
const AT_REST_BYTES: u64 = 96 * MIB;

/// The batch of many records has so many, `{}`. librdkafka keeps each in about 300 bytes.
const RECORDS: u64 = 1_000_000;
const RECORD_BYTES_MAX: u64 = 400;

/// Batches of one topic, and one good record behind each.
struct Bomb {
    name: &'static str,
    batches: Vec<Value>,
    settings: &'static [(&'static str, &'static str)],
    /// With what is at rest.
    peak_bytes_max: u64,
}

/// One of so many records, each with so many of a character, in MiB.
fn batch(records: usize, value: &str, character: &str, mib: u64, codec: &str) -> Value {
    json!({"values": vec![value; records], "repeated": [character, mib * MIB], "codec": codec})
}

fn blanks(records: usize, mib: u64, codec: &str) -> Value {
    batch(records, r#"{"id":1*}"#, " ", mib, codec)
}

fn bombs() -> Vec<Bomb> {
    vec![
        Bomb {
            // One fetch has those of gzip and lz4; of each record there is one copy more for a moment.
            name: "records of twice the budget, by each codec",
            batches: ["gzip", "lz4", "snappy", "zstd"].map(|codec| blanks(1, 64, codec)).to_vec(),
            settings: &[],
            peak_bytes_max: 320 * MIB,
        },
        Bomb {
            // All of them unpacked, and some in the forms that make a row.
            name: "a batch of many texts",
            batches: vec![batch(16, r#"{"id":1,"s":"*"}"#, "x", 8, "gzip")],
            settings: &[],
            peak_bytes_max: 352 * MIB,
        },
        Bomb {
            // With the default all 768 MiB are one fetch.
            name: "batches that come one by one",
            batches: vec![blanks(4, 8, "zstd"); 24],
            settings: &[("TABLEFLOW__KAFKA__MAX__PARTITION__FETCH__BYTES", "2048")],
            peak_bytes_max: 224 * MIB,
        },
        Bomb {
            // The hint of a table that stops there says so.
            name: "a batch of zstd that is larger than librdkafka unpacks by itself",
            batches: vec![blanks(1, 120, "zstd")],
            settings: &[("TABLEFLOW__KAFKA__FETCH__MAX__BYTES", "402653184")],
            peak_bytes_max: 320 * MIB,
        },
    ]
}

/// The records of a batch, as rows.
fn rows_of(batch: &Value) -> Vec<Fields> {
    let [character, count] = &batch["repeated"].as_array().unwrap()[..] else { panic!("{batch}") };
    let character = character.as_str().unwrap();
    let repeated = if character == " " { String::new() } else { character.repeat(count.as_u64().unwrap() as usize) };
    let values = batch["values"].as_array().unwrap().iter().map(|value| value.as_str().unwrap());
    values.map(|value| serde_json::from_str(&value.replace('*', &repeated)).unwrap()).collect()
}

fn topic_of(broker: &Broker) -> KafkaTopic {
    let topic = KafkaTopic::of(broker, 1, &json!({}));
    topic.produce(BEFORE);
    topic.product.enable();
    topic
}

/// Lays batches of so many records behind those of the topic, of a broker that is down; behind each one good record.
/// Answers how many bytes all have in the log.
fn lay(broker: &Broker, topic: &KafkaTopic, batches: impl IntoIterator<Item = (Value, u64)>) -> u64 {
    let (mut base, mut laid) = (BEFORE, Vec::new());
    for (mut batch, records) in batches {
        batch["base"] = json!(base);
        let behind = topic.next(1).remove(0);
        base += records + 1;
        laid.extend([batch, json!({"base": base - 1, "values": [json!(behind).to_string()]})]);
        topic.product.note_sent([((0, base - 1), behind)]);
    }
    let sizes = topic.ask("log_lay", json!({"file": broker.log_of(&topic.topic), "batches": laid}));
    sizes.as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).sum()
}

/// Reads the topic to its end in a small budget, and answers the process's peak.
fn read(topic: &KafkaTopic, settings: &[(&str, &str)], records: u64) -> u64 {
    let up = topic.product.up_with(&[&[BUDGET], settings].concat());
    wait_until("all records are rows", || up.metric("tableflow_records_committed_total") == records as f64);
    let peak = up.peak_bytes();
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    peak
}

#[test]
fn f29_what_unpacks_to_far_more_than_the_budget_is_rows_within_a_bound() {
    let broker = Broker::start();
    let bombs = bombs();
    let topics: Vec<_> = bombs.iter().map(|_| topic_of(&broker)).collect();
    broker.stop();
    for (bomb, topic) in bombs.iter().zip(&topics) {
        let mut base = BEFORE;
        let rows: Vec<_> = bomb.batches.iter().map(rows_of).collect();
        let batches = bomb.batches.iter().cloned().zip(rows.iter().map(|rows| rows.len() as u64));
        println!("{}: {} bytes", bomb.name, lay(&broker, topic, batches));
        for rows in rows {
            let places = (base..).map(|offset| (0, offset));
            base += rows.len() as u64 + 1;
            topic.product.note_sent(places.zip(rows));
        }
    }
    broker.start_again();
    for (bomb, topic) in bombs.iter().zip(&topics) {
        let peak = read(topic, bomb.settings, topic.product.records() as u64);
        println!("{}: {} MiB at the peak", bomb.name, peak / MIB);
        let bound = AT_REST_BYTES + bomb.peak_bytes_max;
        assert!(peak < bound, "{}: {} MiB at the peak, more than {}", bomb.name, peak / MIB, bound / MIB);
        topic.product.check(bomb.name);
    }
}

#[test]
fn f29_a_batch_of_a_million_records_is_rows_once_within_a_bound() {
    let broker = Broker::start();
    let topic = topic_of(&broker);
    broker.stop();
    let size = lay(&broker, &topic, [(json!({"empty": RECORDS, "codec": "gzip"}), RECORDS)]);
    broker.start_again();
    let all = BEFORE + RECORDS + 1;
    let peak = read(&topic, &[], all);
    println!("{size} bytes, {} MiB at the peak", peak / MIB);
    assert!(peak < AT_REST_BYTES + RECORDS * RECORD_BYTES_MAX, "{} MiB at the peak", peak / MIB);
    let statement = "select count(*), count(distinct _tableflow_offset), min(_tableflow_offset), max(_tableflow_offset), \
                     count(id), count(distinct id) from {table}";
    let order = json!({"table": "bronze.t", "statements": [statement]});
    let seen = Engines::on(topic.product.directory()).ask("duckdb_rows", order);
    let expected = [all, all, 0, all - 1, BEFORE + 1, BEFORE + 1].map(|number| number.to_string());
    assert_eq!(seen, json!([[expected]]));
}
