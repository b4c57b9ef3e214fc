//! What becomes of a topic: transactions, holes, partitions, another topic of that name (F21 to F25).

use std::time::{Duration, Instant};

use serde_json::json;

use super::KafkaTopic;
use crate::product::wait_until;

#[test]
fn a_topic_becomes_a_table_and_stays_in_step() {
    let topic = KafkaTopic::new(3, &json!({}));
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        topic.send(topic.next(200), &json!({"settings": {"compression.type": codec}}));
    }
    topic.product.enable();
    topic.product.sync_and_check("the first sync");
    topic.product.sync_and_check("a sync of nothing");
    topic.produce(100);
    topic.product.sync_and_check("the second sync");
    let up = topic.product.up();
    for round in 0..3 {
        topic.produce(50);
        wait_until("the service commits", || topic.product.status()["rows_committed"] == topic.product.records());
        topic.product.check(&format!("round {round} of the service"));
    }
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
}

#[test]
fn rows_can_say_which_leader_took_them_in_and_who_gave_their_time() {
    for (config, kind) in
        [(json!({}), "CreateTime"), (json!({"message.timestamp.type": "LogAppendTime"}), "LogAppendTime")]
    {
        let topic = KafkaTopic::new(1, &config);
        topic.produce(5);
        let enable = ["enable", &topic.topic, "--table", "t", "--metadata-columns", "cflt"];
        topic.product.run(&enable).good("enable");
        topic.product.run(&["sync"]).good("sync");
        let rows = topic.product.rows_by("duckdb", "t", kind);
        assert_eq!(rows.len(), 5);
        for row in rows {
            assert_eq!(row["cflt_metadata_timestamp_type"], kind, "{row:?}");
            assert_eq!((&row["cflt_metadata_leader_epoch"], &row["cflt_metadata_partition"]), (&json!(0), &json!(0)));
        }
    }
}

#[test]
fn f24_of_transactions_what_is_committed_is_there_and_nothing_else() {
    let topic = KafkaTopic::with_table();
    let how = |end: &str, id: &str| json!({"transaction": end, "transactional_id": id, "partition": 0});
    topic.send(topic.next(5), &how("commit", "a"));
    topic.send(topic.next(5), &how("abort", "a"));
    topic.product.sync_and_check("a committed and an aborted transaction");
    // A topic that ends in control records, or in aborted ones, is in step all the same.
    topic.send(topic.next(5), &how("abort", "a"));
    topic.product.sync_and_check("an aborted transaction alone");
    assert_eq!(topic.product.status()["partitions"][0]["lag"], 0, "{}", topic.product.status());

    let open = topic.send(topic.next(5), &how("open", "b"));
    // Behind the open one: nobody may read it yet.
    let waiting = topic.next(7);
    let order = json!({"partition": 0, "settings": {}});
    let behind = topic.send(waiting, &order);
    let before_it = topic.product.records() - behind.len();
    let synced = topic.product.run(&["sync", "-o", "json"]).good("sync before an open transaction").json();
    assert_eq!(synced[0]["rows_committed"], 0, "nothing is committed that a transaction may still change: {synced}");
    assert_eq!(topic.product.status()["rows_committed"], before_it, "{}", topic.product.status());
    topic.ask("kafka_end", json!({"transaction": "commit", "transactional_id": "b"}));
    topic.product.note_sent(open);
    topic.product.sync_and_check("the open transaction was committed");
}

#[test]
fn f24_a_service_reads_past_aborted_transactions() {
    let topic = KafkaTopic::with_table();
    let up = topic.product.up();
    for round in 0..4 {
        let end = if round % 2 == 0 { "abort" } else { "commit" };
        topic.send(topic.next(20), &json!({"transaction": end, "transactional_id": "c", "partition": 1}));
        topic.produce(4);
        wait_until("the service commits", || topic.product.status()["rows_committed"] == topic.product.records());
    }
    let open = topic.send(topic.next(5), &json!({"transaction": "open", "transactional_id": "d", "partition": 1}));
    let behind = topic.send(topic.next(7), &json!({"partition": 1}));
    let reason = || topic.product.status()["reason"].as_str().unwrap_or_default().to_owned();
    wait_until("an open transaction is the reason", || {
        reason().contains(&format!("{} records of partition 1", open.len() + behind.len()))
    });
    topic.ask("kafka_end", json!({"transaction": "commit", "transactional_id": "d"}));
    topic.product.note_sent(open);
    wait_until("the service commits", || topic.product.status()["rows_committed"] == topic.product.records());
    wait_until("nothing is held up", || reason().is_empty());
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    topic.product.check("transactions under a service");
}

#[test]
fn f25_what_compaction_left_is_read_past_its_holes() {
    let config = json!({
        "cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001",
        "max.compaction.lag.ms": "1", "delete.retention.ms": "1",
    });
    let topic = KafkaTopic::new(1, &config);
    let records = |values: std::ops::Range<u64>| -> serde_json::Value {
        values.map(|id| json!({"key": format!("k{}", id % 3), "value": {"id": id}})).collect()
    };
    topic.ask("kafka_produce", json!({"records": records(0..300)}));
    let started = Instant::now();
    // Only segments that are closed are compacted: what is sent closes the one before.
    let mut id = 300;
    let left = loop {
        std::thread::sleep(Duration::from_millis(300));
        topic.ask("kafka_produce", json!({"records": records(id..id + 3)}));
        id += 3;
        let left = topic.ask("kafka_records", json!({}));
        if left.as_array().unwrap().len() < 30 {
            break left;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the topic is never compacted");
    };
    // Compaction goes on; what is gone between two looks is no matter, for the newest record of a key stays.
    topic.product.run(&["enable", &topic.topic, "--table", "newest"]).good("enable");
    topic.product.run(&["enable", &topic.topic, "--table", "t", "--mode", "append"]).good("enable");
    topic.product.run(&["sync"]).good("sync of a compacted topic");
    let rows =
        topic.product.run(&["query", "SELECT _tableflow_offset AS o, id FROM t", "-o", "json"]).good("query").json();
    let rows: Vec<(u64, u64)> =
        rows.as_array().unwrap().iter().map(|row| (row["o"].as_u64().unwrap(), row["id"].as_u64().unwrap())).collect();
    assert!(rows.iter().all(|(offset, id)| offset == id), "each record is at its offset: {rows:?}");
    let newest: Vec<u64> = (id - 3..id).collect();
    assert!(newest.iter().all(|id| rows.contains(&(*id, *id))), "the newest of each key is there: {rows:?}");
    assert!(rows.len() <= left.as_array().unwrap().len(), "no more rows than records: {rows:?}");
    assert_eq!(topic.product.status()["partitions"][0]["lag"], 0);
    // I2: compaction takes nothing from a table that keeps one row a key itself.
    let kept = topic.product.run(&["query", "SELECT id FROM newest ORDER BY id", "-o", "json"]).good("query").json();
    let kept: Vec<u64> = kept.as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert_eq!(kept, newest, "one row a key, the newest");
}

#[test]
fn f22_a_topic_made_again_is_another_one() {
    for between in [false, true] {
        let topic = KafkaTopic::with_table();
        topic.product.sync_and_check("the first topic");
        let up = between.then(|| topic.product.up());
        topic.ask("kafka_delete", json!({}));
        topic.ask("kafka_create", json!({"partitions": 2}));
        // More than the first one had: its places exist in the second one.
        topic.ask(
            "kafka_produce",
            json!({"records": (0..50).map(|id| json!({"value": {"id": id}})).collect::<Vec<_>>()}),
        );
        let replay = format!("a topic made again; under a service: {between}");
        if let Some(up) = up {
            wait_until("the table is suspended", || topic.product.status()["status"] == "Suspended");
            let reason = topic.product.status()["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains("re-created"), "{replay}: {reason}");
            up.signal("TERM");
            assert!(up.wait().success());
        } else {
            let sync = topic.product.run(&["sync"]);
            assert!(sync.stderr.contains("re-created"), "{replay}: {}", sync.stderr);
        }
        topic.product.check(&replay);
    }
}

#[test]
fn f22_a_topic_that_is_deleted_suspends_its_table() {
    let topic = KafkaTopic::with_table();
    topic.product.sync_and_check("before");
    topic.ask("kafka_delete", json!({}));
    let sync = topic.product.run(&["sync"]);
    assert!(sync.stderr.contains("was deleted"), "{}", sync.stderr);
    topic.product.check("a deleted topic");
}

#[test]
fn f21_records_that_are_gone_before_they_were_read_are_told_and_never_passed_over() {
    let topic = KafkaTopic::with_table();
    topic.product.sync_and_check("before");
    topic.send(topic.next(20), &json!({"partition": 0}));
    let end = topic.product.status()["partitions"][0]["end_offset"].as_u64().unwrap();
    topic.ask("kafka_delete_records", json!({"partition": 0, "before": end - 5}));
    let sync = topic.product.run(&["sync"]);
    assert!(!sync.status.success());
    assert!(sync.stderr.contains("are gone before they were read"), "{}", sync.stderr);
    assert!(sync.stderr.contains("hint"), "{}", sync.stderr);
    assert_eq!(topic.product.status()["status"], "Suspended", "{}", topic.product.status());
}

/// Ids of records that are not of the sequence that all tests share begin here.
const OWN: u64 = 1 << 40;

/// Of each partition what is there is read, in a table that is committed by itself, and in one with dead letters.
#[test]
fn f21_a_table_goes_past_a_gap_where_somebody_says_so() {
    for words in [&[][..], &["--error-handling", "LOG"]] {
        let topic = KafkaTopic::new(2, &json!({}));
        topic.produce(10);
        topic.product.run(&[&["enable", &topic.topic, "--table", "t"], words].concat()).good("enable");
        topic.product.sync_and_check("before");
        let refused = topic.product.run(&["resume", "t", "--past-gap"]);
        assert!(refused.stderr.contains("stands before no gap"), "{}", refused.stderr);
        let place = |partition: usize| topic.product.status()["partitions"][partition]["next_offset"].as_u64().unwrap();
        let from = [place(0), place(1)];
        for (partition, from) in (0..).zip(from) {
            let values = (0..20).map(|id| json!({"value": {"id": OWN + 100 * partition + id}, "partition": partition}));
            topic.ask("kafka_produce", json!({"records": values.collect::<Vec<_>>()}));
            topic.ask("kafka_delete_records", json!({"partition": partition, "before": from + 15}));
        }
        let sync = topic.product.run(&["sync"]);
        assert!(sync.stderr.contains("tableflow resume bronze.t --past-gap"), "{}", sync.stderr);
        let resumed = topic.product.run(&["resume", "t", "--past-gap"]).good("resume");
        for (partition, from) in from.iter().enumerate() {
            let told = format!("records {from} to {} of partition {partition}", from + 14);
            assert!(resumed.stderr.contains(&told), "{told}: {}", resumed.stderr);
        }
        // More goes before the table is begun again.
        topic.ask("kafka_delete_records", json!({"partition": 1, "before": from[1] + 18}));
        topic.product.run(&["sync"]).good("past the gaps");
        let rows = topic.product.rows_by("pyiceberg", "t", "past the gaps");
        let mut behind: Vec<_> = rows.iter().filter_map(|row| row["id"].as_u64()).filter(|id| *id >= OWN).collect();
        behind.sort_unstable();
        assert_eq!(behind, [15, 16, 17, 18, 19, 118, 119].map(|id| OWN + id), "{words:?}");
        let more = [1, 2].map(|id| json!({"value": {"id": id}, "partition": 0}));
        topic.ask("kafka_produce", json!({"records": more}));
        topic.ask("kafka_delete_records", json!({"partition": 0, "before": from[0] + 21}));
        let again = topic.product.run(&["sync"]);
        assert!(again.stderr.contains("are gone before they were read"), "another gap asks again: {}", again.stderr);
    }
}

#[test]
fn f23_partitions_that_are_added_are_read_from_their_beginning() {
    let topic = KafkaTopic::with_table();
    let up = topic.product.up();
    wait_until("the first rows", || topic.product.status()["rows_committed"] == topic.product.records());
    topic.ask("kafka_add_partitions", json!({"partitions": 5}));
    for partition in 0..5 {
        topic.send(topic.next(6), &json!({"partition": partition}));
    }
    wait_until("rows of all partitions", || topic.product.status()["rows_committed"] == topic.product.records());
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    topic.product.check("partitions were added");
}

/// It is read from its first offset, not from the first one that is left.
#[test]
fn f21_records_of_a_new_partition_that_expired_unread_are_told() {
    let topic = KafkaTopic::with_table();
    topic.product.sync_and_check("before");
    topic.ask("kafka_add_partitions", json!({"partitions": 3}));
    let gone = topic.next(6).into_iter().map(|value| json!({"value": value, "partition": 2})).collect::<Vec<_>>();
    topic.ask("kafka_produce", json!({"records": gone}));
    topic.ask("kafka_delete_records", json!({"partition": 2, "before": 3}));
    let sync = topic.product.run(&["sync"]);
    assert!(!sync.status.success());
    let told = "records 0 to 2 of partition 2";
    assert!(sync.stderr.contains(told) && sync.stderr.contains("gone before they were read"), "{}", sync.stderr);
    assert_eq!(topic.product.status()["status"], "Suspended", "{}", topic.product.status());
    topic.product.check("the rows from before");
}

/// What a client fetches goes on by offsets, and the topic made again has those too: nothing of it becomes a row.
#[test]
fn f22_a_topic_made_again_between_two_looks_gives_no_row() {
    let topic = KafkaTopic::new(1, &json!({}));
    topic.product.run(&["enable", &topic.topic, "--table", "t", "--commit-interval", "1h"]).good("enable");
    let up = topic.product.up();
    let first = topic.next(10).into_iter().map(|value| json!({"value": value})).collect::<Vec<_>>();
    topic.ask("kafka_produce", json!({"records": first}));
    wait_until("the first topic is read", || up.metric("tableflow_records_buffered") == 10.0);
    topic.ask("kafka_delete", json!({}));
    topic.ask("kafka_create", json!({"partitions": 1}));
    let second = (0..50).map(|id| json!({"value": {"id": 1000 + id}})).collect::<Vec<_>>();
    topic.ask("kafka_produce", json!({"records": second}));
    // Until it reads on in the second one, or notices.
    let started = Instant::now();
    while up.metric("tableflow_records_buffered") == 10.0 && started.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("buffered: {}", up.metric("tableflow_records_buffered"));
    up.signal("TERM");
    up.wait();
    let rows = topic.product.rows_by("tableflow", "t", "a topic made again between two looks");
    assert!(rows.iter().all(|row| row["id"].as_u64().unwrap() < 1000), "rows of the second topic: {rows:?}");
    let sync = topic.product.run(&["sync"]);
    assert!(sync.stderr.contains("re-created"), "{}", sync.stderr);
}

/// F40: a poll gives each partition its share, whatever lies in the others.
#[test]
fn f40_a_partition_with_nearly_everything_does_not_starve_the_other() {
    let topic = KafkaTopic::new(2, &json!({}));
    let padding = "x".repeat(1000);
    let records = |count: u64, partition: u32| -> serde_json::Value {
        (0..count).map(|id| json!({"value": {"id": id, "p": padding}, "partition": partition})).collect()
    };
    topic.ask("kafka_produce", json!({"records": records(20_000, 0)}));
    topic.ask("kafka_produce", json!({"records": records(200, 1)}));
    topic.product.enable();
    let up = topic.product.up();
    let places = || {
        let partitions = topic.product.status()["partitions"].clone();
        [0, 1].map(|partition: usize| partitions[partition]["next_offset"].as_u64().unwrap_or(0))
    };
    let mut seen = [0, 0];
    wait_until("the small partition is read", || {
        seen = places();
        seen[1] == 200
    });
    println!("the large one was read to {} of 20000 by then", seen[0]);
    wait_until("all is read", || places() == [20_000, 200]);
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    assert_eq!(topic.product.status()["rows_committed"], 20_200);
}

#[test]
fn two_tables_of_one_topic_are_each_filled_from_their_own_place() {
    let topic = KafkaTopic::with_table();
    topic.product.sync_and_check("one table");
    topic.produce(10);
    topic.product.run(&["enable", &topic.topic, "--table", "second", "--commit-interval", "50ms"]).good("enable");
    let up = topic.product.up();
    topic.produce(30);
    wait_until("both are in step", || {
        let status = topic.product.run(&["status", "-o", "json"]).json();
        status.as_array().unwrap().iter().all(|table| table["rows_committed"] == topic.product.records())
    });
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    for table in ["t", "second"] {
        topic.product.check_in(&[table], &format!("two tables of one topic: {table}"));
    }
}
