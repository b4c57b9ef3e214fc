//! Brokers at the end of a slow and lossy way (F42): 300 ms there and back, one piece in twenty late, and connections that
//! break.

use std::time::{Duration, Instant};

use serde_json::json;

use super::KafkaTopic;
use super::broker::{Broker, WAY};
use super::slow_way::SlowWay;
use crate::product::{Up, wait_until};

const SEED: u64 = 20_261_122;

/// A verb asks a few questions, one after the other, each over a way that may break meanwhile.
const VERB_WITHIN: Duration = Duration::from_secs(30);

/// From a record's acknowledgement to its row.
const ROWS_WITHIN: Duration = Duration::from_secs(30);

/// What needs nobody at the other end is answered at once.
const HEALTH_WITHIN: Duration = Duration::from_secs(1);

/// Connections break so often while the service runs, at least.
const BREAKS: u64 = 4;

/// More sockets than at the beginning: those that are being replaced.
const MORE_SOCKETS_MAX: usize = 6;

fn within<T>(what: &str, bound: Duration, answer: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let answer = answer();
    println!("{what}: {:?}", started.elapsed());
    assert!(started.elapsed() < bound, "{what}: {:?}", started.elapsed());
    answer
}

fn is_healthy(up: &Up) {
    for path in ["/health/live", "/health/ready"] {
        let (code, body) = within(path, HEALTH_WITHIN, || up.get(path));
        assert_eq!(code, 200, "{path}: {body}");
    }
}

#[test]
fn f42_a_slow_way_that_loses_what_it_carries_is_read_through() {
    let way = SlowWay::by_lot(SEED);
    let broker = Broker::start_behind(way.port());
    way.lead_to(&broker.servers_of(WAY));
    let topic = KafkaTopic::reached_by(&way.servers(), &broker, 2, &json!({}));
    topic.produce(10);
    within("enable", VERB_WITHIN, || topic.product.enable());
    let up = topic.product.up();
    let committed = || up.metric("tableflow_records_committed_total") as usize;
    let mut sockets = None;
    let already = way.broken();
    while way.broken() < already + BREAKS {
        topic.produce(50);
        within("rows", ROWS_WITHIN, || wait_until("rows", || committed() == topic.product.records()));
        is_healthy(&up);
        println!("{} broken, {} lost, {} sockets", way.broken(), way.lost(), up.sockets());
        sockets.get_or_insert(up.sockets());
    }
    let status = within("status", VERB_WITHIN, || topic.product.status());
    assert_eq!(status["rows_committed"], topic.product.records(), "{status}");
    let sockets_max = sockets.unwrap() + MORE_SOCKETS_MAX;
    assert!(up.sockets() <= sockets_max, "{} sockets of {sockets_max}", up.sockets());
    assert!(way.lost() > 0, "nothing was lost on the way");
    up.signal("TERM");
    assert!(within("the end", VERB_WITHIN, || up.wait()).success(), "{}", topic.product.log());
    topic.produce(50);
    within("sync", VERB_WITHIN, || topic.product.run(&["sync"]).good("sync"));
    topic.product.check("a slow and lossy way");
}
