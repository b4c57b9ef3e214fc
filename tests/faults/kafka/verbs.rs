//! Topics by our own commands.

use serde_json::json;

use super::KafkaTopic;
use crate::product::Done;

impl KafkaTopic {
    pub(super) fn run_with_input(&self, arguments: &[&str], input: &str) -> Done {
        let file = self.product.directory().with_extension("ndjson");
        std::fs::write(&file, input).unwrap();
        let mut arguments = arguments.to_vec();
        arguments.push(file.to_str().unwrap());
        self.product.run(&arguments)
    }
}

#[test]
fn topics_are_made_described_listed_and_deleted() {
    let topic = KafkaTopic::new(1, &json!({}));
    let name = format!("{}.made", topic.topic);
    let made =
        topic.product.run(&["topic", "create", &name, "--partitions", "3", "-c", "retention.ms=3600000", "-o", "json"]);
    let made = made.good("topic create").json();
    assert_eq!((made["topic"].as_str(), made["partitions"].as_array().unwrap().len()), (Some(name.as_str()), 3));
    assert_eq!(made["settings"]["retention.ms"], "3600000");
    let again = topic.product.run(&["topic", "create", &name]);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    let wrong = topic.product.run(&["topic", "create", &format!("{name}2"), "-c", "retention=1"]);
    assert!(!wrong.status.success(), "{}", wrong.stdout);
    let listed = topic.product.run(&["topic", "list", "-o", "json"]).good("topic list").json();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|topic| topic["topic"].as_str().unwrap()).collect();
    assert!(names.contains(&name.as_str()) && names.contains(&topic.topic.as_str()), "{names:?}");
    assert!(names.iter().all(|name| !name.starts_with("__")), "{names:?}");
    topic.product.run(&["topic", "delete", &name]).good("topic delete");
    let gone = topic.product.run(&["topic", "describe", &name]);
    assert!(gone.stderr.contains("does not exist"), "{}", gone.stderr);
    let enable = topic.product.run(&["enable", &name]);
    assert!(enable.stderr.contains("does not exist"), "{}", enable.stderr);
}

/// What we send is what an independent consumer reads; keys go where Java's clients put them.
#[test]
fn what_produce_sends_others_read_and_consume_shows() {
    let topic = KafkaTopic::new(4, &json!({}));
    let lines: String = (0..40).map(|id| format!("{{\"id\":{id},\"name\":\"n{}\"}}\n", id % 7)).collect();
    let produced =
        topic.run_with_input(&["produce", &topic.topic, "--key", "name", "-o", "json"], &lines).good("produce").json();
    assert_eq!(produced["records"], 40);
    // The same keys by the independent client, whose partitioner is Java's.
    let records: Vec<_> = (0..40).map(|id| json!({"key": format!("\"n{}\"", id % 7), "value": "x"})).collect();
    let places = topic.ask("kafka_produce", json!({"records": records}));
    let read = topic.ask("kafka_records", json!({}));
    let ours = read.as_array().unwrap().iter().filter(|record| record[3] != "x");
    for record in ours.clone() {
        let key = record[2].as_str().unwrap();
        let theirs = records.iter().zip(places.as_array().unwrap()).find(|(record, _)| record["key"] == key).unwrap();
        assert_eq!(record[0], theirs.1[0], "the partition of key {key}");
    }
    assert_eq!(ours.count(), 40);

    let envelope =
        r#"{"key":"k","value":{"id":99},"headers":[["h","1"],["h",null]],"timestamp":1700000000000,"partition":2}"#;
    topic.run_with_input(&["produce", &topic.topic, "--envelope"], envelope).good("produce");
    topic
        .run_with_input(&["produce", &topic.topic, "--envelope"], r#"{"key":"k","value":null,"partition":2}"#)
        .good("produce");
    let consumed = topic.product.run(&["consume", &topic.topic, "-o", "json"]).good("consume").json();
    let consumed = consumed.as_array().unwrap();
    assert_eq!(consumed.len(), 82);
    let sent = consumed.iter().find(|record| record["value"] == json!({"id": 99})).unwrap();
    assert_eq!(sent["headers"], json!([["h", "1"], ["h", null]]));
    assert_eq!(
        (&sent["partition"], &sent["timestamp"], &sent["key"]),
        (&json!(2), &json!(1_700_000_000_000_i64), &json!("k"))
    );
    let last = consumed.iter().rfind(|record| record["partition"] == 2).unwrap();
    assert_eq!(last["value"], json!(null), "a tombstone");
    let refused = topic.run_with_input(&["produce", &topic.topic, "--envelope"], r#"{"value":{},"partition":9}"#);
    assert!(refused.stderr.contains("has no partition 9"), "{}", refused.stderr);
}

/// Its topics are not deleted: they are elsewhere.
#[test]
fn a_table_of_a_cluster_that_nobody_configured_says_so_and_goes_on_with_it() {
    let topic = KafkaTopic::with_table();
    topic.product.sync_and_check("with the cluster");
    for words in [&["sync"][..], &["status", "-o", "json"]] {
        let mut command = topic.product.command(words);
        let done = Done::from(command.env_remove("TABLEFLOW__KAFKA__BOOTSTRAP__SERVERS").output().unwrap());
        let said = format!("{}{}", done.stdout, done.stderr);
        assert!(said.contains("of a Kafka cluster, and none is configured"), "{words:?}: {said}");
        assert!(!said.contains("was deleted"), "{words:?}: {said}");
    }
    topic.product.produce(3).good("produce");
    topic.product.sync_and_check("with the cluster again");
}
