//! `up`: what changes while it runs, what it says about itself, how it ends.

use std::time::Duration;

use serde_json::json;

use crate::world::{World, wait_for};

/// A topic `name` of one partition with one row, enabled.
fn enable(world: &World, name: &str, commit_interval: &str) {
    world.topic(name, 1);
    world.produce(name, "{\"n\":1}\n");
    world.ok(&["enable", name, "--commit-interval", commit_interval]);
}

fn count(world: &World, table: &str) -> i64 {
    world.numbers(&format!("select count(*) from {table}")).iter().sum()
}

#[test]
fn what_people_change_is_noticed_while_it_runs() {
    let world = World::new();
    enable(&world, "orders", "50ms");
    let _service = world.up();
    world.wait_for_status("orders", "rows_committed", 1);
    world.produce("orders", "{\"n\":2}\n");
    world.wait_for_status("orders", "rows_committed", 2);
    assert_eq!(world.wait_for_status("orders", "status", "Syncing")["reason"], json!(null));

    enable(&world, "clicks", "50ms");
    world.wait_for_status("clicks", "rows_committed", 1);

    assert_eq!(world.json(&["pause", "orders"])["status"], "Paused");
    // Whatever the job held when it was paused is committed first; only then can it be known that it rests.
    std::thread::sleep(Duration::from_millis(1500));
    world.produce("orders", "{\"n\":3}\n");
    world.produce("clicks", "{\"n\":2}\n");
    world.wait_for_status("clicks", "rows_committed", 2);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(count(&world, "orders"), 2, "a paused table is not filled");
    assert_eq!(world.status("orders")["partitions"][0]["lag"], 1);
    world.ok(&["resume", "orders"]);
    world.wait_for_status("orders", "rows_committed", 3);

    world.ok(&["update", "orders", "--commit-interval", "1m"]);
    assert_eq!(world.json(&["describe", "orders"])["commit_interval_ms"], 60_000);
    world.wait_for_status("orders", "status", "Syncing");
    world.produce("orders", "{\"n\":4}\n");
    std::thread::sleep(Duration::from_millis(1000));
    assert_eq!(count(&world, "orders"), 3, "the new interval is in force");
    world.ok(&["update", "orders", "--commit-interval", "50ms"]);
    world.wait_for_status("orders", "rows_committed", 4);

    world.ok(&["disable", "clicks"]);
    std::thread::sleep(Duration::from_millis(1500));
    world.produce("clicks", "{\"n\":3}\n");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(count(&world, "bronze.clicks"), 2);
    assert_eq!(world.numbers("select n from orders order by n"), [1, 2, 3, 4]);
}

#[test]
fn what_is_produced_after_a_pause_stays_out() {
    let world = World::new();
    enable(&world, "orders", "50ms");
    let service = world.up();
    for n in 2..6 {
        world.wait_for_status("orders", "rows_committed", n - 1);
        world.ok(&["pause", "orders"]);
        world.produce("orders", &format!("{{\"n\":{n}}}\n"));
        // Longer than a service takes to notice.
        std::thread::sleep(std::time::Duration::from_millis(700));
        assert_eq!(count(&world, "orders"), n - 1, "a paused table takes nothing");
        world.ok(&["resume", "orders"]);
    }
    world.wait_for_status("orders", "rows_committed", 5);
    world.ok(&["disable", "orders"]);
    world.produce("orders", "{\"n\":6}\n");
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(count(&world, "orders"), 5);
    assert_eq!(service.terminate().code(), Some(0));
}

#[test]
fn a_stop_commits_what_is_held() {
    let world = World::new();
    enable(&world, "orders", "1m");
    let service = world.up();
    let lines: String = (2..=1000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    world.produce("orders", &lines);
    wait_for(
        || service.get("/metrics").1,
        |text| text.contains("tableflow_records_buffered{table=\"bronze.orders\"} 1000"),
    );
    assert_eq!(count(&world, "orders"), 0);
    assert_eq!(service.terminate().code(), Some(0));
    assert_eq!(count(&world, "orders"), 1000);
    let status = world.status("orders");
    assert_eq!((&status["status"], &status["rows_buffered"]), (&json!("Pending"), &json!(0)));
}

#[test]
fn health_and_metrics_answer() {
    let world = World::new();
    enable(&world, "orders", "50ms");
    let service = world.up();
    for path in ["/health/live", "/health/ready", "/health/startup"] {
        assert_eq!(service.get(path).0, 200, "{path}");
    }
    assert_eq!(service.get("/nothing").0, 404);
    world.wait_for_status("orders", "rows_committed", 1);
    let committed = "tableflow_records_committed_total{table=\"bronze.orders\"} 1";
    let metrics = wait_for(|| service.get("/metrics").1, |text| text.contains(committed));
    for line in [
        "tableflow_tables 1",
        "tableflow_commits_total{table=\"bronze.orders\"} 1",
        "tableflow_files_written_total{table=\"bronze.orders\"} 1",
        "tableflow_file_bytes_sum{table=\"bronze.orders\"} ",
        "tableflow_commit_conflicts_total{table=\"bronze.orders\"} 0",
        "tableflow_commit_retries_total{table=\"bronze.orders\"} 0",
        "tableflow_commit_duration_seconds_sum{table=\"bronze.orders\"} ",
        "tableflow_commit_age_seconds{table=\"bronze.orders\"} ",
        "tableflow_records_buffered{table=\"bronze.orders\"} 0",
        "tableflow_buffered_bytes{table=\"bronze.orders\"} 0",
        "tableflow_consumer_lag_records{table=\"bronze.orders\",topic=\"orders\"} 0",
        "# TYPE tableflow_records_committed_total counter",
        "# TYPE tableflow_consumer_lag_records gauge",
    ] {
        assert!(metrics.contains(line), "{line} is missing: {metrics}");
    }
    for (state, is) in [("syncing", 1), ("suspended", 0), ("paused", 0)] {
        let line = format!("tableflow_table_state{{table=\"bronze.orders\",state=\"{state}\"}} {is}");
        assert!(metrics.contains(&line), "{line} is missing: {metrics}");
    }
    // A record that stops the table shows, and does not make the service unready.
    world.produce("orders", "{\"n\":\"two\"}\n");
    let suspended = "state=\"suspended\"} 1";
    wait_for(|| service.get("/metrics").1, |text| text.contains(suspended));
    assert_eq!(service.get("/health/ready").0, 200);
    world.produce("orders", "{\"n\":3}\n");
    world.ok(&["resume", "orders"]);
    let lag = "tableflow_consumer_lag_records{table=\"bronze.orders\",topic=\"orders\"} 2";
    let metrics = wait_for(|| service.get("/metrics").1, |text| text.contains(suspended) && text.contains(lag));
    assert!(metrics.contains("tableflow_commit_age_seconds"), "the table was committed to before: {metrics}");
    assert_eq!(service.terminate().code(), Some(0));
}

#[test]
fn a_sync_beside_it_waits_for_it() {
    let world = World::new();
    enable(&world, "orders", "700ms");
    let _service = world.up();
    world.wait_for_status("orders", "rows_committed", 1);
    world.produce("orders", "{\"n\":2}\n{\"n\":3}\n");
    let synced = world.json(&["sync"]);
    assert_eq!((&synced[0]["error"], &synced[0]["commits"]), (&json!(null), &json!(1)));
    assert_eq!(world.numbers("select n from orders order by n"), [1, 2, 3], "when it returns, the rows are in");
    world.produce("orders", "{\"n\":\"x\"}\n");
    world.run(&["sync"]).failed(3, &["bronze.orders is suspended", "$.n", "hint: "]);
}

#[test]
fn a_second_one_is_refused() {
    let world = World::new();
    enable(&world, "orders", "50ms");
    let service = world.up();
    let process = format!("process {}", service.process());
    world
        .run(&["up", "--listen", "127.0.0.1:0"])
        .failed(1, &["a service runs on this data directory already", &process, "--data-dir"]);
    assert_eq!(service.terminate().code(), Some(0));
    assert_eq!(world.up().terminate().code(), Some(0), "after a clean end the next one starts at once");
}

#[test]
fn one_that_was_killed_leaves_nothing_half_done() {
    let world = World::new();
    enable(&world, "orders", "30ms");
    for round in 0..4 {
        let service = world.up();
        let first = round * 500 + 2;
        let lines: String = (first..first + 500).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        world.produce("orders", &lines);
        std::thread::sleep(Duration::from_millis(40 * round));
        // Dropped: the process is killed without a word.
        drop(service);
    }
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select n from orders order by n"), (1..=2001).collect::<Vec<_>>());
}
