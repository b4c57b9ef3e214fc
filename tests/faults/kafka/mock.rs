//! A cluster that fails by order: librdkafka's own, on real ports, so that the real binary reads it (F19, F42).
//!
//! What takes a real broker minutes, or luck, comes here at once: leaders that move, bursts of errors, answers that are
//! late, quotas, brokers that come and go. It knows no transactions and no rights; those are tried on a real one.
//! - I1: whatever fails, each record is a row once, and no table is suspended for what passes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaApiKey as Request;
use rdkafka::types::RDKafkaRespErr::{self as Answer, *};

use super::fresh_name;
use super::relay::Relay;
use crate::product::{PATIENCE, Product, Up, wait_until};

const BROKERS: i32 = 3;
const ALL: i32 = -1;

/// Closes the connection instead of an answer.
const HANGS_UP: Answer = RD_KAFKA_RESP_ERR__TRANSPORT;

/// A question's client waits so long for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    relay: Relay,
    ordered: RefCell<HashMap<i16, Order>>,
    topic: String,
    product: Product,
}

/// Wrong answers for the next requests of a kind.
struct Order {
    request: Request,
    /// How many such requests there had been.
    before: usize,
    count: usize,
}

impl Mock {
    /// A topic of two partitions with some records, and its table, not yet filled.
    fn with_table() -> Self {
        let (cluster, topic) = (MockCluster::new(BROKERS).unwrap(), fresh_name());
        cluster.create_topic(&topic, 2, BROKERS).unwrap();
        let relay = Relay::before(&cluster.bootstrap_servers());
        let product = Product::on_kafka(&relay.servers, &topic);
        product.produce(10).good("produce");
        product.enable();
        Mock { cluster, relay, ordered: RefCell::default(), topic, product }
    }

    /// The next requests of a kind are answered so.
    fn answer(&self, request: Request, answers: &[Answer]) {
        let before = self.relay.requests(request as i16);
        let mut ordered = self.ordered.borrow_mut();
        ordered.entry(request as i16).or_insert(Order { request, before, count: 0 }).count += answers.len();
        self.cluster.request_errors(request, answers);
    }

    /// Has each answer that was ordered been given? If not, that was not tried.
    fn all_were_met(&self) -> bool {
        self.ordered
            .borrow()
            .values()
            .all(|order| self.relay.requests(order.request as i16) >= order.before + order.count)
    }

    /// Takes back what was not given; of each kind something was.
    fn take_back(&self) {
        for Order { request, before, .. } in self.ordered.take().into_values() {
            assert!(self.relay.requests(request as i16) > before, "nobody asked for {request:?}");
            self.cluster.clear_request_errors(request);
        }
    }

    fn lead(&self, partition: i32, broker: i32) {
        self.cluster.partition_leader(&self.topic, partition, Some(broker)).unwrap();
    }

    /// As the service counts: nobody else asks the cluster, and takes an answer that was meant for it.
    fn is_in_step(&self, up: &Up) -> bool {
        up.metric("tableflow_records_committed_total") == self.product.records() as f64
    }
}

fn is_suspended(up: &Up) -> bool {
    up.metrics("tableflow_table_state").iter().any(|(labels, is)| labels.contains("\"suspended\"") && *is == 1.0)
}

/// What goes wrong, and what ends it.
struct Trouble {
    what: &'static str,
    begins: fn(&Mock),
    ends: fn(&Mock),
}

fn burst(what: &'static str, begins: fn(&Mock)) -> Trouble {
    Trouble { what, begins, ends: |_| {} }
}

/// What each of them does to a reader passes by itself.
fn of_fetches() -> Vec<Trouble> {
    vec![
        burst("fetches from one who does not lead", |mock| {
            mock.answer(Request::Fetch, &[RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 10]);
        }),
        burst("leader epochs that are too new or too old", |mock| {
            mock.answer(Request::Fetch, &[RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH; 3]);
            mock.answer(Request::Fetch, &[RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH; 3]);
        }),
        burst("fetches that the broker gave up", |mock| {
            mock.answer(Request::Fetch, &[RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT; 2]);
            mock.answer(Request::Fetch, &[RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR; 2]);
            mock.answer(Request::Fetch, &[RD_KAFKA_RESP_ERR_UNKNOWN; 1]);
        }),
        burst("fetches of a topic that the broker does not know yet", |mock| {
            mock.answer(Request::Fetch, &[RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART; 4]);
        }),
        burst("places that a replica does not have yet", |mock| {
            mock.answer(Request::Fetch, &[RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE; 2]);
            mock.answer(Request::Fetch, &[RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE; 3]);
        }),
        burst("fetches that end in the middle", |mock| mock.answer(Request::Fetch, &[HANGS_UP; 10])),
        Trouble {
            what: "a quota that is used up",
            begins: |mock| mock.relay.throttle(Duration::from_millis(900)),
            ends: |mock| mock.relay.throttle(Duration::ZERO),
        },
    ]
}

fn of_questions() -> Vec<Trouble> {
    vec![
        burst("questions for ends that are not answered", |mock| {
            mock.answer(Request::ListOffsets, &[RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 3]);
            mock.answer(Request::ListOffsets, &[RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE; 2]);
            mock.answer(Request::ListOffsets, &[HANGS_UP; 3]);
        }),
        burst("metadata that do not come", |mock| mock.answer(Request::Metadata, &[HANGS_UP; 5])),
        Trouble {
            what: "answers that take a second",
            begins: |mock| mock.cluster.broker_round_trip_time(ALL, Duration::from_secs(1)).unwrap(),
            ends: |mock| mock.cluster.broker_round_trip_time(ALL, Duration::ZERO).unwrap(),
        },
    ]
}

fn of_brokers() -> Vec<Trouble> {
    vec![
        burst("leaders that move at each look", |mock| {
            for broker in [2, 3, 1, 2, 1, 3] {
                mock.lead(0, broker);
                mock.lead(1, broker % BROKERS + 1);
                sleep(Duration::from_millis(150));
            }
        }),
        // A partition without one ends the mock's process (librdkafka 2.12): its answers about fetches name the leader.
        Trouble {
            what: "a topic whose leaders are not known",
            begins: |mock| mock.cluster.topic_error(&mock.topic, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE).unwrap(),
            ends: |mock| mock.cluster.topic_error(&mock.topic, RD_KAFKA_RESP_ERR_NO_ERROR).unwrap(),
        },
        Trouble {
            what: "one broker of three is away",
            begins: |mock| mock.cluster.broker_down(1).unwrap(),
            ends: |mock| mock.cluster.broker_up(1).unwrap(),
        },
        Trouble {
            what: "all brokers are away",
            begins: |mock| mock.cluster.broker_down(ALL).unwrap(),
            ends: |mock| mock.cluster.broker_up(ALL).unwrap(),
        },
    ]
}

/// A service reads on through each of them: rows that were there before, while it lasts, and after.
fn reads_through(troubles: Vec<Trouble>) {
    let mock = Mock::with_table();
    let up = mock.product.up();
    wait_until("the first rows", || mock.is_in_step(&up));
    for Trouble { what, begins, ends } in troubles {
        let started = Instant::now();
        mock.product.produce(10).good(what);
        begins(&mock);
        sleep(Duration::from_millis(700));
        assert!(!is_suspended(&up), "{what}: {}", mock.product.status());
        ends(&mock);
        mock.product.produce(10).good(what);
        wait_until(what, || mock.all_were_met() && mock.is_in_step(&up) || is_suspended(&up));
        assert!(!is_suspended(&up), "{what}: {}", mock.product.log());
        mock.take_back();
        println!("{what}: {:?}", started.elapsed());
    }
    wait_until("nothing is the matter", || mock.product.status()["status"] == "Syncing");
    up.signal("TERM");
    assert!(up.wait().success(), "{}", mock.product.log());
    mock.product.check("a cluster that fails by order");
}

#[test]
fn f19_a_service_reads_through_fetches_that_fail() {
    reads_through(of_fetches());
}

#[test]
fn f19_a_service_reads_through_questions_that_fail() {
    reads_through(of_questions());
}

#[test]
fn f19_a_service_reads_through_brokers_that_come_and_go_and_leaders_that_move() {
    reads_through(of_brokers());
}

/// One shot: what passes within seconds does not end it.
#[test]
fn f19_a_sync_survives_what_passes() {
    let mock = Mock::with_table();
    mock.product.sync_and_check("before");
    for Trouble { what, begins, ends } in of_fetches().into_iter().chain(of_questions()) {
        mock.product.produce(5).good(what);
        begins(&mock);
        let sync = mock.product.run(&["sync"]);
        ends(&mock);
        sync.good(what);
        mock.take_back();
    }
    mock.product.check("errors that passed");
}

/// F42: a broker that answers later than anybody waits.
#[test]
fn f42_answers_that_come_too_late_are_told_and_waited_for() {
    let mock = Mock::with_table();
    let up = mock.product.up();
    wait_until("the first rows", || mock.is_in_step(&up));
    mock.product.produce(10).good("produce");
    mock.cluster.broker_round_trip_time(ALL, 2 * ANSWER_WITHIN).unwrap();
    let started = Instant::now();
    wait_until("the silence is told", || {
        let status = mock.product.status();
        status["status"] == "Degraded" && status["reason"].as_str().unwrap().contains("does not answer")
    });
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
    mock.cluster.broker_round_trip_time(ALL, Duration::ZERO).unwrap();
    mock.product.produce(10).good("produce again");
    wait_until("it goes on", || mock.is_in_step(&up));
    up.signal("TERM");
    assert!(up.wait().success(), "{}", mock.product.log());
    mock.product.check("answers that came too late");
}

/// A broker that the controller does not count on, as after it stood still for a while, names no broker, not even
/// itself. Clients that asked it in that time find back by themselves.
#[test]
fn f42_a_cluster_that_names_no_broker_for_a_moment_is_found_again() {
    let mock = Mock::with_table();
    let up = mock.product.up();
    wait_until("the first rows", || mock.is_in_step(&up));
    let asked = || mock.relay.requests(Request::Metadata as i16);
    let before = asked();
    mock.relay.hide_brokers(true);
    // Whoever does not lead is asked no more: the reader looks for who does.
    mock.answer(Request::Fetch, &[RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 6]);
    wait_until("somebody hears of no broker", || asked() > before);
    sleep(Duration::from_secs(3));
    mock.relay.hide_brokers(false);
    mock.product.produce(10).good("produce");
    wait_until("they find back", || mock.is_in_step(&up));
    wait_until("all is well", || mock.product.status()["status"] == "Syncing");
    up.signal("TERM");
    assert!(up.wait().success(), "{}", mock.product.log());
    mock.product.check("a cluster that named no broker");
}

/// A broker that says where a partition ends, and hands nothing out; a client that cannot unpack what it has looks alike.
#[test]
fn f42_records_that_are_there_and_do_not_come_are_told_and_waited_for() {
    let mock = Mock::with_table();
    let up = mock.product.up();
    wait_until("the first rows", || mock.is_in_step(&up));
    let other = Product::on_kafka(&mock.relay.servers, &mock.topic);
    other.enable();
    mock.relay.empty_fetches(true);
    mock.product.produce(20).good("produce");
    let synced = std::thread::scope(|scope| {
        let synced = scope.spawn(|| other.run(&["sync"]));
        let mut said = String::new();
        wait_until("it is told", || {
            said = mock.product.run(&["status", "-o", "json"]).json()[0].to_string();
            said.contains("do not come")
        });
        assert!(said.contains("\"Degraded\"") && said.contains("hand them out"), "{said}");
        synced.join().unwrap()
    });
    assert!(!synced.status.success() && synced.stderr.contains("do not come"), "{}", synced.stderr);
    mock.relay.empty_fetches(false);
    wait_until("the rows that were there", || mock.is_in_step(&up));
    wait_until("it is well again", || mock.product.status()["status"] == "Syncing");
    up.signal("TERM");
    assert!(up.wait().success(), "{}", mock.product.log());
    mock.product.check("records that did not come");
}

/// What we send is there once, whatever becomes of a request and of who numbers the records.
#[test]
fn f19_what_is_produced_is_there_once_through_errors_of_brokers_and_coordinators() {
    let mock = Mock::with_table();
    for (what, request, answers) in [
        (
            "a coordinator that is not there yet",
            Request::InitProducerId,
            &[RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR][..],
        ),
        (
            "a coordinator that hangs up",
            Request::InitProducerId,
            &[HANGS_UP, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE],
        ),
        (
            "a leader that is none any more",
            Request::Produce,
            &[RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE],
        ),
        (
            "too few replicas",
            Request::Produce,
            &[RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND],
        ),
        // The mock takes a batch that comes again for another one: no connection may end while answers are on their way.
        (
            "a request that is given up",
            Request::Produce,
            &[RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT],
        ),
        ("metadata that do not come", Request::Metadata, &[HANGS_UP, HANGS_UP]),
    ] {
        mock.answer(request, answers);
        mock.product.produce(20).good(what);
        assert!(mock.all_were_met(), "{what}");
        mock.take_back();
    }
    mock.lead(0, 2);
    mock.product.produce(20).good("another leader");
    mock.product.sync_and_check("records that were sent through errors");
}
