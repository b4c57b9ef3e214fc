//! Positions that tools which watch lag see: told to a consumer group, never ahead of the table, and no table's
//! concern.

use std::time::Duration;

use serde_json::{Value, json};

use super::KafkaTopic;
use super::secured::{LOGIN, PASSWORD, Secured};
use super::security::topic;
use crate::processes::CatalogLock;
use crate::product::{Product, wait_until};

const GROUP: &str = "TABLEFLOW__KAFKA__GROUP__ID";

impl KafkaTopic {
    /// The offsets of a group, partition by partition.
    fn told(&self, group: &str) -> Vec<u64> {
        let told = self.ask("kafka_group", json!({"group": group}));
        assert_eq!(told["members"], 0, "nobody joins it: {told}");
        told["places"].as_array().unwrap().iter().map(|place| place[1].as_u64().unwrap()).collect()
    }

    /// Where the table stands, partition by partition, and where the topic ends.
    fn stands(&self, table: &str) -> (Vec<u64>, Vec<u64>) {
        let status = self.product.run(&["status", table, "-o", "json"]).good("status").json();
        let offsets = |name: &str| {
            let partitions = status["partitions"].as_array().unwrap().iter();
            partitions.map(|partition| partition[name].as_u64().unwrap()).collect()
        };
        (offsets("next_offset"), offsets("end_offset"))
    }
}

#[test]
fn a_group_is_told_how_far_a_table_is_after_each_commit() {
    let mut topic = KafkaTopic::with_table();
    topic.product.set(GROUP, "of-a-table");
    topic.product.sync_and_check("with a group");
    assert_eq!(topic.told("of-a-table"), topic.stands("t").1, "no lag");
    topic.produce(7);
    let (behind, ends) = topic.stands("t");
    assert_eq!(topic.told("of-a-table"), behind);
    assert_ne!(behind, ends, "lag is seen");
    let up = topic.product.up();
    wait_until("the group is told while the service runs", || topic.told("of-a-table") == ends);
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    let history = topic.product.run(&["history", "t", "-o", "json"]).good("history").json();
    let first = history.as_array().unwrap().last().unwrap()["snapshot_id"].to_string();
    topic.product.run(&["rollback", "t", "--to", &first, "--replay"]).good("rollback");
    topic.product.run(&["resume", "t"]).good("resume");
    topic.produce(4);
    topic.product.sync_and_check("after a rollback");
    assert_eq!(topic.told("of-a-table"), topic.stands("t").1);
}

#[test]
fn of_two_tables_of_a_topic_the_one_that_is_behind_counts_and_a_topic_that_goes_is_no_hindrance() {
    let mut topic = KafkaTopic::with_table();
    topic.product.set(GROUP, "of-two-tables");
    // It holds what it reads for as long as the service runs.
    let slow = ["--table", "slow", "--from", "latest", "--commit-interval", "1h"];
    topic.product.run(&[&["enable", &topic.topic], &slow[..]].concat()).good("enable");
    topic.product.run(&["sync"]).good("sync");
    let gone = topic.beside(1);
    gone.enable();
    let up = topic.product.up();
    topic.produce(9);
    gone.produce(5);
    let in_step = |table: &str| topic.stands(table).0 == topic.stands(table).1;
    wait_until("the others have their rows", || in_step("t") && in_step(&gone.table()));
    wait_until("the group is told", || !gone.told("of-two-tables").is_empty());
    assert_eq!(topic.told("of-two-tables"), topic.stands("slow").0);
    assert!(!in_step("slow"));
    gone.produce(5);
    wait_until("what goes has its rows", || in_step(&gone.table()));
    gone.ask("kafka_delete", json!({}));
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    assert!(in_step("slow"));
    assert_eq!(topic.told("of-two-tables"), topic.stands("t").1, "once more at the end");
    assert!(!topic.product.log().contains("lag is not told"), "{}", topic.product.log());
}

/// While a commit waits the group is told of what was there before it.
#[test]
fn a_service_killed_before_its_commit_has_told_nothing_that_its_table_has_not() {
    let mut topic = KafkaTopic::with_table();
    topic.product.set(GROUP, "of-a-victim");
    topic.product.sync_and_check("before the kills");
    for handling in ["SUSPEND", "LOG"] {
        topic.product.run(&["update", "t", "--error-handling", handling]).good("update");
        let up = topic.product.up();
        topic.produce(20);
        wait_until("the group is told", || topic.told("of-a-victim") == topic.stands("t").1);
        let lock = CatalogLock::take(&topic.product);
        let before = topic.told("of-a-victim");
        topic.produce(20);
        // Long enough to tell more than once.
        std::thread::sleep(Duration::from_secs(5));
        assert_eq!(topic.told("of-a-victim"), before, "{handling}: the commit waits for the catalog");
        up.kill();
        drop(lock);
        let (told, (stands, _)) = (topic.told("of-a-victim"), topic.stands("t"));
        let ahead = told.iter().zip(&stands).any(|(told, stands)| told > stands);
        assert!(!ahead, "{handling}: {told:?} was told, the table is at {stands:?}");
    }
    topic.product.sync_and_check("kills of a service that tells a group");
    assert_eq!(topic.told("of-a-victim"), topic.stands("t").1);
}

/// The file of a consumer that has a place of its own in the topic.
#[test]
fn what_a_file_has_for_another_consumer_is_passed_over_and_said_once() {
    let mut topic = KafkaTopic::new(2, &json!({}));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("consumer.properties");
    let of_a_consumer = "group.id=of-a-consumer\nisolation.level=read_uncommitted\nauto.offset.reset=latest\n\
        enable.auto.commit=true\nauto.commit.interval.ms=5000\nheartbeat.interval.ms=3000\nsession.timeout.ms=45000\n\
        partition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor\n\
        key.deserializer=org.apache.kafka.common.serialization.StringDeserializer\n\
        schema.registry.url=http://127.0.0.1:1\nbasic.auth.user.info=a:canary\n";
    std::fs::write(&file, format!("bootstrap.servers={}\n{of_a_consumer}", topic.servers)).unwrap();
    topic.product = Product::on_kafka_by(&file, &topic.topic);
    topic.produce(10);
    topic.send(topic.next(5), &json!({"transaction": "abort", "transactional_id": "of-nobody", "partition": 0}));
    topic.produce(3);
    topic.product.enable();
    let up = topic.product.up();
    wait_until("all rows", || topic.product.status()["rows_committed"] == topic.product.records());
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    let log = topic.product.log();
    assert_eq!(log.matches("passed over").count(), 1, "{log}");
    assert!(log.contains("auto.offset.reset, enable.auto.commit, group.id, isolation.level"), "{log}");
    topic.product.check("the file of another consumer");
    assert!(topic.told("of-a-consumer").is_empty(), "its place is its own");
}

#[test]
fn who_may_not_tell_a_group_is_told_the_right_once_and_rows_go_on() {
    let secured = Secured::shared();
    let login = format!("sasl.mechanism=SCRAM-SHA-512\nsasl.username={LOGIN}\nsasl.password={PASSWORD}\n");
    let mut topic = topic(&secured.file("group.properties", &(secured.beginning("SASL_SSL") + &login)));
    topic.product.set(GROUP, "of-alice");
    let right = |verb: &str| topic.ask(verb, json!({"login": LOGIN, "right": "READ", "group": "of-alice"}));
    topic.ask("kafka_grant", json!({"login": LOGIN, "right": "READ"}));
    topic.produce(20);
    topic.product.enable();
    let synced = topic.product.run(&["sync"]).good("sync without the right");
    let words = [
        "the login has no right to READ group of-alice",
        "kafka-acls --add --allow-principal User:alice --operation READ --group of-alice",
    ];
    for words in words {
        assert_eq!(synced.stderr.matches(words).count(), 1, "{}", synced.stderr);
    }
    topic.product.check("without the right");
    let _: Value = right("kafka_grant");
    let granted = || {
        let synced = topic.product.run(&["sync"]).good("sync with the right");
        !synced.stderr.contains("of-alice")
    };
    wait_until("the right is granted", granted);
    assert_eq!(topic.told("of-alice"), topic.stands("t").1);

    let up = topic.product.up();
    right("kafka_revoke");
    for round in 0..3 {
        topic.produce(10);
        wait_until("rows go on", || topic.product.status()["rows_committed"] == topic.product.records());
        topic.product.check(&format!("round {round} without the right"));
        std::thread::sleep(Duration::from_secs(2));
    }
    wait_until("it is told", || topic.product.log().contains(words[0]));
    assert_eq!(topic.product.log().matches(words[0]).count(), 1, "{}", topic.product.log());
    assert_eq!(topic.product.status()["status"], "Syncing");
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
}
