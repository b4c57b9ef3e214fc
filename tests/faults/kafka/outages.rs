//! Brokers and services that die (F6, F19).

use std::time::Duration;

use serde_json::json;

use super::KafkaTopic;
use super::broker::Broker;
use crate::product::wait_until;

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
    wait_until("the service goes on", || topic.product.status()["rows_committed"] == topic.product.records());
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    topic.product.check("a broker that stood still");
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
