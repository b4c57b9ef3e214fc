//! Brokers and services that die, and answers that are lost (F6, F19).

use std::time::{Duration, Instant};

use kafka_protocol::messages::ApiKey;
use serde_json::json;

use super::KafkaTopic;
use super::broker::Broker;
use super::letters::Letters;
use super::relay::Relay;
use crate::product::{Done, PATIENCE, wait_until};

#[test]
fn f19_a_broker_that_dies_and_comes_back_loses_and_doubles_nothing() {
    let broker = Broker::start();
    let topic = KafkaTopic::of(&broker, 2, &json!({}));
    topic.produce(10);
    topic.product.enable();
    let up = topic.product.up();
    wait_until("the first rows", || topic.product.status()["rows_committed"] == topic.product.records());
    for round in 0..2 {
        topic.produce(200);
        broker.kill();
        std::thread::sleep(Duration::from_millis(500));
        if round == 0 {
            // While nothing answers, a look at the table says so, and the service lives on.
            wait_until("the outage is told", || {
                let status = topic.product.run(&["status", "-o", "json"]).json();
                status.to_string().contains("Kafka cluster")
            });
        }
        broker.start_again();
        topic.produce(100);
        wait_until("the service goes on", || topic.product.status()["rows_committed"] == topic.product.records());
        topic.product.check(&format!("a broker that died, round {round}"));
    }
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
}

/// The broker has the records, and who sent them does not know: it knows them by their numbers when they come again.
#[test]
fn f19_records_whose_acknowledgement_is_lost_are_there_once() {
    let broker = Broker::shared();
    let relay = Relay::before(&broker.servers());
    let topic = KafkaTopic::reached_by(&relay.servers, broker, 2, &json!({}));
    topic.product.enable();
    for answers in 1..=4 {
        relay.lose_answers(ApiKey::Produce as i16, answers);
        topic.product.produce(100).good("produce");
        assert!(relay.all_were_lost(), "{answers} answers");
    }
    topic.product.sync_and_check("answers that were lost");
}

/// Each step of a transaction is done, and who asked for it does not know.
#[test]
fn f19_letters_are_in_their_topic_once_whatever_answer_is_lost() {
    let broker = Broker::shared();
    let relay = Relay::before(&broker.servers());
    let mut topic = Letters::of(KafkaTopic::reached_by(&relay.servers, broker, 2, &json!({})));
    topic.enable(&[]);
    use ApiKey::{AddOffsetsToTxn, AddPartitionsToTxn, EndTxn, InitProducerId, Produce, TxnOffsetCommit};
    for kind in [InitProducerId, AddPartitionsToTxn, Produce, AddOffsetsToTxn, TxnOffsetCommit, EndTxn] {
        relay.lose_answers(kind as i16, 2);
        topic.send(6);
        topic.source.product.run(&["sync"]).good(&format!("{kind:?}"));
        assert!(relay.all_were_lost(), "{kind:?}");
        topic.check(&format!("{kind:?}"));
    }
}

/// F42: connections that are open, and nobody at their other end.
#[test]
fn f42_a_broker_that_stands_still_is_told_and_waited_for() {
    let broker = Broker::start();
    let topic = KafkaTopic::of(&broker, 2, &json!({}));
    topic.produce(10);
    topic.product.enable();
    let up = topic.product.up();
    wait_until("the first rows", || topic.product.status()["rows_committed"] == topic.product.records());
    topic.produce(50);
    broker.signal("STOP");
    // It answers all the while, and says what it waits for.
    assert_eq!(up.get("/health/live").0, 200);
    wait_until("the outage is told", || {
        topic.product.run(&["status", "-o", "json"]).json().to_string().contains("does not answer")
    });
    assert_eq!(up.get("/health/live").0, 200);
    broker.signal("CONT");
    topic.produce(20);
    // As a rule at once; a client that was told of no broker in that moment has to look again first.
    let started = Instant::now();
    while topic.product.status()["rows_committed"] != topic.product.records() {
        let (status, log) = (topic.product.status(), topic.product.log());
        assert!(started.elapsed() < 3 * PATIENCE, "{status}\n{log}");
        std::thread::sleep(Duration::from_millis(100));
    }
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    topic.product.check("a broker that stood still");
}

#[test]
fn a_dead_cluster_is_told_at_once_and_once_for_all_tables() {
    let topic = KafkaTopic::with_table();
    topic.product.sync_and_check("before");
    for table in ["second", "third", "fourth"] {
        topic.product.run(&["enable", &topic.topic, "--table", table]).good("enable");
    }
    for verb in ["status", "list"] {
        let started = Instant::now();
        let mut command = topic.product.command(&[verb, "-o", "json"]);
        let done: Done = command.env("TABLEFLOW__KAFKA__BOOTSTRAP__SERVERS", "127.0.0.1:1").output().unwrap().into();
        assert!(started.elapsed() < Duration::from_secs(9), "{verb}: {:?}", started.elapsed());
        assert_eq!(done.stderr, "", "{verb}");
        let tables = done.json();
        assert_eq!(tables.as_array().unwrap().len(), 4);
        for table in tables.as_array().unwrap() {
            assert_eq!(table["status"], "Degraded", "{table}");
            assert!(table["reason"].as_str().unwrap().contains("127.0.0.1:1: Connect"), "{table}");
        }
    }
}

#[test]
fn a_log_that_was_cut_short_and_grew_again_suspends_its_table() {
    let broker = Broker::start();
    let topic = KafkaTopic::of(&broker, 1, &json!({}));
    topic.produce(10);
    topic.product.enable();
    topic.product.sync_and_check("before");
    broker.kill();
    broker.start_again();
    topic.produce(5);
    topic.product.sync_and_check("another leader, and the same log");
    cut(&broker, &topic, 40);
    let sync = topic.product.run(&["sync"]);
    assert!(sync.stderr.contains("was cut short, and grew again"), "{}", sync.stderr);
    let status = topic.product.status();
    assert_eq!(status["status"], "Suspended", "{status}");
    assert!(status["hint"].as_str().unwrap().contains("--table NAME"), "{status}");
    topic.product.check("a log that was cut short");
}

/// What an unclean election does to a log: it is empty, and other records come.
fn cut(broker: &Broker, topic: &KafkaTopic, others: u64) {
    broker.kill();
    let log = broker.directory().join("data").join(format!("{}-0", topic.topic));
    for entry in std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.file_name().unwrap() != "partition.metadata" {
            std::fs::remove_file(entry).unwrap();
        }
    }
    broker.start_again();
    let others: Vec<_> = (0..others).map(|id| json!({"value": {"id": id}})).collect();
    topic.ask("kafka_produce", json!({"records": others}));
}

/// A topic that rests is not fetched: its end alone is asked for.
#[test]
fn a_log_that_is_cut_short_while_its_topic_rests_suspends_its_table() {
    let broker = Broker::start();
    for (others, told) in [(40, "was cut short, and grew again"), (5, "before offset 10 that the table has read")] {
        let topic = KafkaTopic::of(&broker, 1, &json!({}));
        topic.produce(10);
        topic.product.enable();
        topic.product.sync_and_check("before");
        // In step from the beginning, it rests at once; and it sees nothing of what happens now.
        let up = topic.product.up();
        wait_until("it is in step", || up.metric("tableflow_consumer_lag_records") == 0.0);
        std::thread::sleep(Duration::from_secs(1));
        up.signal("STOP");
        cut(&broker, &topic, others);
        up.signal("CONT");
        wait_until("the table is suspended", || topic.product.status()["status"] == "Suspended");
        let status = topic.product.status();
        assert!(status["reason"].as_str().unwrap().contains(told), "{status}");
        up.signal("TERM");
        assert!(up.wait().success(), "{}", topic.product.log());
        topic.product.check("a log that was cut short while its topic rested");
    }
}

#[test]
fn f6_a_service_on_kafka_killed_at_any_moment_loses_and_doubles_nothing() {
    let topic = KafkaTopic::with_table();
    for round in 0..8_u64 {
        let up = topic.product.up();
        topic.send(topic.next(40), &json!({"transaction": "commit", "transactional_id": "k", "partition": round % 2}));
        topic.send(topic.next(10), &json!({"transaction": "abort", "transactional_id": "k", "partition": round % 2}));
        topic.produce(30);
        std::thread::sleep(Duration::from_millis(round * 37 % 190));
        up.kill();
    }
    topic.product.sync_and_check("kills of a service on Kafka");
}

#[test]
fn a_cluster_that_does_not_answer_is_told_with_what_to_check() {
    let topic = KafkaTopic::with_table();
    for (servers, words) in [("127.0.0.1:1", "does not answer"), ("nowhere.invalid:9092", "security.protocol")] {
        let mut command = topic.product.command(&["topic", "describe", &topic.topic]);
        let done = command.env("TABLEFLOW__KAFKA__BOOTSTRAP__SERVERS", servers).output().unwrap();
        let words_of = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success());
        assert!(words_of.contains(words) && words_of.contains("hint"), "{servers}: {words_of}");
    }
}
