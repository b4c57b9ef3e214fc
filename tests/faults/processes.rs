//! Two writers on one table (F5) and signals (F46).

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use super::product::{Product, wait_until};

/// A lease that is this old is nobody's.
const LEASE: Duration = Duration::from_secs(11);

const SIGABRT: i32 = 6;

#[test]
fn f5_a_service_that_stood_still_is_fenced_by_the_one_that_went_on() {
    let product = Product::with_table();
    let up = product.up();
    wait_until("the first rows", || product.status()["rows_committed"] == 5);
    up.signal("STOP");
    product.produce(7).good("produce");
    std::thread::sleep(LEASE);
    product.sync_and_check("sync while the service stands still");
    up.signal("CONT");
    product.produce(9).good("produce");
    wait_until("the service is fenced", || product.status()["status"] == "Paused");
    assert_eq!(product.status()["rows_committed"], 12, "a fenced service commits nothing: {}", product.log());
    assert!(product.status()["reason"].is_string(), "status says why: {}", product.status());
    let sync = product.run(&["sync"]);
    assert!(!sync.status.success(), "a service that does not fill the table is not waited for: {}", sync.stdout);
    up.signal("TERM");
    assert!(up.wait().success(), "{}", product.log());
    product.sync_and_check("sync after the fenced service ended");
    product.check_with_pyiceberg("sync after the fenced service ended");
}

#[test]
fn f46_one_sigterm_drains_two_end_at_once() {
    for signals in [1, 2, 2, 2] {
        let replay = format!("{signals} SIGTERM under load");
        let product = Product::with_table();
        product.produce(20_000).good("produce");
        let up = product.up();
        std::thread::sleep(Duration::from_millis(60));
        let started = Instant::now();
        for _ in 0..signals {
            up.signal("TERM");
        }
        let status = up.wait();
        assert!(started.elapsed() < Duration::from_secs(30), "{replay} took {:?}", started.elapsed());
        assert!(status.success() || (signals == 2 && status.signal() == Some(SIGABRT)), "{replay}: {status}");
        product.produce(10).good("produce");
        product.sync_and_check(&replay);
    }
}
