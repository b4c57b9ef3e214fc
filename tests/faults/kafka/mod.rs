//! Topics of a real Kafka cluster, filled by an independent client (confluent-kafka).
//!
//! ```text
//!  broker    a broker of the tests' own
//!  topics    what becomes of a topic: transactions, holes, partitions, another topic of that name
//!  many      many tables at once: turns to catch up, topics that are quiet
//!  books     what was read is somewhere, in every scrape
//!  batches   batches that are damaged, or lie
//!  bombs     batches that unpack to far more than they are
//!  outages   brokers and services that die
//!  cluster   three brokers, each of which dies
//!  far       brokers at the end of a slow and lossy way
//!  slow_way  that way
//!  mock      a cluster that fails by order
//!  relay     what stands between it and the binary
//!  verbs     topics by our own commands
//!  group     positions that tools which watch lag see
//!  secured   a broker with logins, certificates and rights
//!  security  each of them, and what becomes of a table when it goes wrong
//!  registry  a schema registry that is not ours
//!  formats   records by registered schemas, ours and that one's
//!  keys      their keys, which are columns too
//!  database  changes of a database by them
//!  letters   dead letters in a topic, exactly once
//!  mirror    columns that go when the newest schema no longer has them
//!  server    what brokers and registries are: processes that end with the tests
//! ```

mod batches;
mod bombs;
mod books;
mod broker;
mod cluster;
mod database;
mod far;
mod formats;
mod group;
mod keys;
mod letters;
mod many;
mod mirror;
mod mock;
mod outages;
mod registry;
mod relay;
mod secured;
mod security;
mod server;
mod slow_way;
mod topics;
mod verbs;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::product::{Fields, Product};
use crate::python::Engines;
use broker::Broker;

/// A topic of a cluster, and the table that it becomes.
pub struct KafkaTopic {
    servers: String,
    topic: String,
    product: Product,
}

/// No two topics of a run have one name.
fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("events-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl KafkaTopic {
    /// Of the shared broker; not yet a table.
    fn new(partitions: u32, config: &Value) -> Self {
        Self::of(Broker::shared(), partitions, config)
    }

    fn of(broker: &Broker, partitions: u32, config: &Value) -> Self {
        Self::reached_by(&broker.servers(), broker, partitions, config)
    }

    /// The binary goes another way than whoever fills it.
    fn reached_by(way: &str, broker: &Broker, partitions: u32, config: &Value) -> Self {
        let (servers, topic) = (broker.servers(), fresh_name());
        let product = Product::on_kafka(way, &topic);
        let topic = KafkaTopic { servers, topic, product };
        topic.ask("kafka_create", json!({"partitions": partitions, "config": config}));
        topic
    }

    /// It is still to be made.
    fn at(servers: String) -> Self {
        let topic = fresh_name();
        let product = Product::on_kafka(&servers, &topic);
        KafkaTopic { servers, topic, product }
    }

    /// One with two partitions, and its table, not yet filled.
    fn with_table() -> Self {
        let topic = Self::new(2, &json!({}));
        topic.produce(10);
        topic.product.enable();
        topic
    }

    /// Another topic, for a table in the same directory.
    fn beside(&self, partitions: u32) -> Self {
        let topic = fresh_name();
        let topic = KafkaTopic { servers: self.servers.clone(), product: self.product.beside(&topic), topic };
        topic.ask("kafka_create", json!({"partitions": partitions, "config": {}}));
        topic
    }

    /// A name for its table, where a directory has several.
    fn table(&self) -> String {
        self.topic.replace('-', "_")
    }

    fn enable(&self) {
        let arguments = ["enable", &self.topic, "--table", &self.table(), "--commit-interval", "50ms"];
        self.product.run(&arguments).good("enable");
    }

    fn ask(&self, verb: &str, mut order: Value) -> Value {
        order["servers"] = json!(self.servers);
        order["topic"] = json!(self.topic);
        Engines::on(Path::new("")).ask(verb, order)
    }

    /// So many records to the partitions in turn.
    fn produce(&self, count: u64) {
        self.send(self.next(count), &json!({}));
    }

    /// Values that no record had before.
    fn next(&self, count: u64) -> Vec<Fields> {
        static ID: AtomicU32 = AtomicU32::new(0);
        let value = |_| Fields::from_iter([("id".to_owned(), json!(ID.fetch_add(1, Ordering::Relaxed)))]);
        (0..count).map(value).collect()
    }

    /// Sends these; what a transaction does not commit is no record.
    fn send(&self, values: Vec<Fields>, how: &Value) -> Vec<((u64, u64), Fields)> {
        let mut order = how.clone();
        order["records"] = values.iter().map(|value| json!({"value": value})).collect();
        if how.get("partition").is_some() {
            for record in order["records"].as_array_mut().unwrap() {
                record["partition"] = how["partition"].clone();
            }
        }
        let places = self.ask("kafka_produce", order);
        let place = |place: &Value| (place[0].as_u64().unwrap(), place[1].as_u64().unwrap());
        let sent: Vec<_> = places.as_array().unwrap().iter().map(place).zip(values).collect();
        if matches!(how["transaction"].as_str(), None | Some("commit")) {
            self.product.note_sent(sent.clone());
        }
        sent
    }
}
