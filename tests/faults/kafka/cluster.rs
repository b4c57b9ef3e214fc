//! A cluster of three brokers, one of which may die.

use std::time::Duration;

use serde_json::json;

use super::KafkaTopic;
use super::broker::Broker;
use super::letters::Letters;
use super::server::free_ports;

/// Quick to notice that one is gone.
const REPLICATED: &str = "default.replication.factor=3
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
min.insync.replicas=2
broker.heartbeat.interval.ms=300
broker.session.timeout.ms=2000
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
replica.lag.time.max.ms=2000
";

struct Cluster {
    nodes: Vec<Broker>,
}

impl Cluster {
    fn start() -> Self {
        let (ports, controllers) = (free_ports::<3>(), free_ports::<3>());
        let voters: Vec<_> = (1..).zip(controllers).map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
        let voters = voters.join(",");
        let nodes = (1..).zip(ports.into_iter().zip(controllers)).map(|(id, (port, controller))| {
            let further = format!("node.id={id}\ncontroller.quorum.voters={voters}\n{REPLICATED}");
            Broker::of_a_cluster([port, controller], &further)
        });
        let cluster = Cluster { nodes: nodes.collect() };
        // None of them answers before two of them are there.
        std::thread::scope(|scope| cluster.nodes.iter().for_each(|node| drop(scope.spawn(|| node.start_again()))));
        cluster
    }

    fn servers(&self) -> String {
        self.nodes.iter().map(Broker::servers).collect::<Vec<_>>().join(",")
    }
}

/// F19: leaders, the group's coordinator and that of transactions move to others, and back.
#[test]
fn f19_each_of_three_brokers_dies_in_turn_and_rows_and_letters_are_there_once() {
    let cluster = Cluster::start();
    let source = KafkaTopic::at(cluster.servers());
    source.ask("kafka_create", json!({"partitions": 3, "replicas": 3}));
    let mut letters = Letters::of(source);
    letters.send(30);
    letters.enable(&[]);
    let up = letters.source.product.up();
    for node in &cluster.nodes {
        letters.send(100);
        node.kill();
        // Before anybody knows that it is gone, and after.
        letters.send(100);
        std::thread::sleep(Duration::from_millis(300));
        letters.send(100);
        letters.come("two of three serve the table");
        node.start_again();
        letters.send(50);
        letters.come("the third one is back");
    }
    up.signal("TERM");
    assert!(up.wait().success(), "{}", letters.source.product.log());
    letters.check("the end");
}
