//! Many tables of one process: those that are far behind catch up in turn, and quiet ones rest.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::KafkaTopic;
use crate::product::{Fields, READERS, Up, wait_until};

/// A quarter of it is the lane's: room for two partitions' queues of 4 MiB, and not for four.
const BUDGET: (&str, &str) = ("TABLEFLOW__MEMORY__BUDGET", "40MiB");
const LANE_BYTES: f64 = 10.0 * 1024.0 * 1024.0;

/// More than a table that keeps up may be behind.
const BACKLOG: u64 = 4_000;

/// Topics of two partitions with a backlog each, and their tables in one directory.
fn backlogs(count: usize) -> Vec<KafkaTopic> {
    let mut first = KafkaTopic::new(2, &json!({}));
    first.product.set(BUDGET.0, BUDGET.1);
    let others: Vec<_> = (1..count).map(|_| first.beside(2)).collect();
    let topics: Vec<_> = std::iter::once(first).chain(others).collect();
    for topic in &topics {
        topic.produce(BACKLOG);
        topic.enable();
    }
    topics
}

fn are_behind(up: &Up) -> bool {
    let lag = up.metrics("tableflow_consumer_lag_records");
    up.metric("tableflow_backfill_turns") > 0.0 || lag.values().any(|records| *records > 0.0)
}

fn committed(up: &Up, topic: &KafkaTopic) -> f64 {
    let label = format!("table=\"bronze.{}\"", topic.table());
    up.metrics("tableflow_records_committed_total").get(&label).copied().unwrap_or_default()
}

/// Watches until everybody has caught up; the most turns at a time, and the most who waited.
fn watch(up: &Up, count: usize) -> (f64, f64) {
    let (mut turns_max, mut waiting_max) = (0.0_f64, 0.0_f64);
    wait_until("all have caught up", || {
        let turns = up.metric("tableflow_backfill_turns");
        let bytes = up.metric("tableflow_backfill_fetch_bytes");
        assert!(bytes <= LANE_BYTES, "{bytes} bytes are given away");
        turns_max = turns_max.max(turns);
        waiting_max = waiting_max.max(up.metric("tableflow_backfill_waiting"));
        let states = up.metrics("tableflow_table_state");
        let at_rest = |(labels, is): (&String, &f64)| {
            *is == 1.0 && (labels.contains("\"syncing\"") || labels.contains("\"suspended\""))
        };
        turns == 0.0 && states.iter().filter(|state| at_rest(*state)).count() == count
    });
    (turns_max, waiting_max)
}

#[test]
fn f29_many_backlogs_in_a_small_budget_arrive_once_and_in_turn() {
    let topics = backlogs(6);
    let up = topics[0].product.up();
    wait_until("some rows are committed", || topics.iter().any(|topic| committed(&up, topic) > 0.0));
    up.kill();
    // One that cannot go on ends in the middle of its turn, and gives it back.
    let bad = topics[0].beside(1);
    bad.produce(BACKLOG);
    bad.ask("kafka_produce", json!({"records": [{"value": "no JSON"}], "partition": 0}));
    bad.enable();
    let up = topics[0].product.up();
    let (turns, waiting) = watch(&up, topics.len() + 1);
    assert_eq!(turns, 1.0, "two topics do not fit into the lane at the same time");
    assert!(waiting > 0.0, "nobody ever waited");
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topics[0].product.log());
    let status = bad.product.run(&["status", &bad.table(), "-o", "json"]).json();
    assert_eq!(status["status"], "Suspended", "{status}");
    for topic in topics.iter().chain([&bad]) {
        topic.product.check_in(&[&topic.table()], &format!("a backlog in its turn: {}", topic.topic));
    }
}

#[test]
fn f29_a_live_table_stays_fresh_while_others_catch_up() {
    let mut live = KafkaTopic::new(2, &json!({}));
    live.product.set(BUDGET.0, BUDGET.1);
    live.produce(10);
    live.enable();
    live.product.run(&["sync"]).good("sync");
    let before = live.product.records();
    let others: Vec<_> = (0..6).map(|_| live.beside(2)).collect();
    for topic in &others {
        topic.produce(5 * BACKLOG);
        topic.enable();
    }
    let up = live.product.up();
    wait_until("somebody waits for a turn", || up.metric("tableflow_backfill_waiting") > 0.0);
    let mut rounds = 0;
    while are_behind(&up) {
        live.produce(10);
        let sent = (live.product.records() - before) as f64;
        wait_until("the live table has what came last", || committed(&up, &live) == sent);
        rounds += u32::from(are_behind(&up));
    }
    assert!(rounds > 0, "it was never committed while others caught up");
    up.signal("TERM");
    assert!(up.wait().success(), "{}", live.product.log());
    for topic in others.iter().chain([&live]) {
        topic.product.check_in(&[&topic.table()], &format!("beside others: {}", topic.topic));
    }
}

#[test]
fn f29_a_stop_ends_the_wait_for_a_turn() {
    let topics = backlogs(8);
    let up = topics[0].product.up();
    wait_until("somebody waits for a turn", || up.metric("tableflow_backfill_waiting") > 0.0);
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topics[0].product.log());
    topics[0].product.run(&["sync"]).good("sync in turns");
    for topic in &topics {
        topic.product.check_in(&[&topic.table()], &format!("stopped in the line, then synced: {}", topic.topic));
    }
}

#[test]
fn a_topic_that_rests_wakes_and_one_that_is_deleted_meanwhile_is_told() {
    let topic = KafkaTopic::with_table();
    topic.product.sync_and_check("before");
    // In step from the beginning, it rests at once; then long enough to rest again.
    let up = topic.product.up();
    for (records, quiet_s) in [(20, 7), (BACKLOG, 0), (5, 1)] {
        topic.produce(records);
        wait_until("the rows of a topic that woke", || {
            topic.product.status()["rows_committed"] == topic.product.records()
        });
        std::thread::sleep(std::time::Duration::from_secs(quiet_s));
    }
    topic.product.check("a topic that rested");
    topic.ask("kafka_delete", json!({}));
    wait_until("the table is suspended", || topic.product.status()["status"] == "Suspended");
    assert!(topic.product.status()["reason"].as_str().unwrap().contains("was deleted"), "{}", topic.product.status());
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    topic.product.check("a topic that was deleted while it rested");
}

/// Texts of hexadecimal digits that do not compress well.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text += &format!("{state:016x}");
    }
    text.truncate(bytes);
    text
}

/// What tells two rows apart, without megabytes in the words of a failure.
fn fingerprint(fields: &Fields) -> (u64, usize, u64) {
    let text = fields.get("s").and_then(Value::as_str).unwrap_or_default();
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (fields["id"].as_u64().unwrap(), text.len(), sum)
}

/// Large records of both partitions, and what a process may take for them.
struct Large {
    record_bytes: usize,
    /// So many of each partition wait, before one more comes to each.
    backlog: u64,
    budget: &'static str,
    /// The budget, and what fetching, decoding and encoding a record of each partition takes beside it: each is there in
    /// several forms at once.
    peak_bytes_max: u64,
}

impl Large {
    fn arrive_whole(&self, what: &str) {
        let size = self.record_bytes + 4096;
        let topic = KafkaTopic::new(2, &json!({"max.message.bytes": size}));
        topic.produce(10);
        topic.product.enable();
        let mut seed = 1;
        let mut send_large = |rounds: u64| {
            for partition in (0..rounds).flat_map(|_| 0..2) {
                let mut fields = topic.next(1).remove(0);
                fields.insert("s".to_owned(), json!(noise(seed, self.record_bytes - 64)));
                let settings = json!({"message.max.bytes": size});
                topic.send(vec![fields], &json!({"partition": partition, "settings": settings}));
                topic.produce(2);
                seed += 1;
            }
        };
        send_large(self.backlog);
        let up = topic.product.up_with(&[(BUDGET.0, self.budget)]);
        let caught_up = || topic.product.status()["rows_committed"] == topic.product.records();
        wait_until("the backlog", caught_up);
        send_large(1);
        wait_until("what came later", caught_up);
        let peak = up.peak_bytes();
        println!("{what}: {} MiB at the peak", peak >> 20);
        assert!(peak < self.peak_bytes_max, "{} MiB at the peak", peak >> 20);
        up.signal("TERM");
        assert!(up.wait().success(), "{}", topic.product.log());
        check_large(&topic, what);
    }
}

fn check_large(topic: &KafkaTopic, what: &str) {
    let place = |row: &Fields, name: &str| row[name].as_u64().unwrap();
    let expected = topic.product.sent_by(fingerprint);
    for reader in READERS {
        let rows = topic.product.rows_by(reader, "t", what);
        let seen: BTreeMap<_, _> = rows
            .iter()
            .map(|row| ((place(row, "_tableflow_partition"), place(row, "_tableflow_offset")), fingerprint(row)))
            .collect();
        assert_eq!(seen.len(), rows.len(), "a record is there twice, read by {reader}");
        assert!(seen == expected, "read by {reader}: {seen:?} instead of {expected:?}");
    }
}

/// Each record is half of the budget. Of a backlog of them no more is held than of the first ones, and they come while the
/// service runs too.
#[test]
fn f29_records_of_16_mib_are_rows_whole_in_a_budget_of_32_mib() {
    let large = Large { record_bytes: 16 << 20, backlog: 4, budget: "32MiB", peak_bytes_max: 640 << 20 };
    large.arrive_whole("records of 16 MiB");
}

/// The largest records that a broker takes with its own limits of requests and of memory beside them.
#[test]
fn f29_records_of_64_mib_are_rows_whole_in_a_budget_of_512_mib() {
    let large = Large { record_bytes: 64 << 20, backlog: 2, budget: "512MiB", peak_bytes_max: 1 << 30 };
    large.arrive_whole("records of 64 MiB");
}
