//! What a scrape says, and whether its books balance. Expectations come from what was produced, from the documented
//! list, and from Prometheus' own client, which reads every scrape that counts.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::scrape::{Books, Scrape};
use crate::world::{Service, World, wait_for};

fn scrape_of(world: &World, service: &Service) -> Scrape {
    Scrape::of(&service.get("/metrics").1, &world.engines())
}

/// Good and bad records in turn, from a number on.
fn lines(from: u64, count: u64) -> String {
    let line = |n: u64| match n % 3 {
        0 => "{\"n\":\n".to_owned(),
        1 => format!("{{\"n\":{n},\"kind\":\"a\"}}\n"),
        _ => format!("{{\"n\":{n},\"kind\":\"b\"}}\n"),
    };
    (from..from + count).map(line).collect()
}

/// One table of each kind of job: alone, with dead letters, several.
const JOBS: [(&str, &[&str]); 4] = [
    ("skips", &["--error-handling", "SKIP"]),
    ("logs", &["--error-handling", "LOG"]),
    ("fans", &["--fan-out", "field:kind", "--error-handling", "LOG"]),
    ("fans_and_skips", &["--fan-out", "field:kind", "--error-handling", "SKIP"]),
];
const TABLES: [&str; 4] = ["bronze.skips", "bronze.logs", "bronze.fans", "bronze.fans_and_skips"];

fn produce_raw(world: &World, from: u64, count: u64) {
    for (topic, _) in JOBS {
        world.run_with_input(&["produce", topic, "--format", "raw"], lines(from, count).as_bytes()).succeeded();
    }
}

#[test]
fn i8_the_books_of_every_kind_of_job_balance_at_every_scrape() {
    let world = World::new();
    for (topic, words) in JOBS {
        world.topic(topic, 3);
        world.ok(&[&["enable", topic, "--format", "json", "--commit-interval", "200ms"], words].concat());
    }
    let mut before = 0;
    // The second service begins with ledgers that count records from before.
    for round in 0..2 {
        let service = world.up();
        let done = std::sync::atomic::AtomicBool::new(false);
        let mut books = Books::of(&TABLES);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for part in 0..6 {
                    produce_raw(&world, before + part * 300, 300);
                }
                done.store(true, std::sync::atomic::Ordering::Release);
            });
            // Whoever makes tables first commits later than the others.
            let started = std::time::Instant::now();
            let goes_on = |books: &Books<'_>| !books.all_moved() && started.elapsed() < crate::world::PATIENCE;
            while !done.load(std::sync::atomic::Ordering::Acquire) || goes_on(&books) {
                books.check(&scrape_of(&world, &service));
            }
        });
        assert!(books.scrapes > 10 && books.seen_buffered.len() == TABLES.len() && books.all_moved(), "{books:?}");
        let settled = wait_for(
            || scrape_of(&world, &service),
            |scrape| {
                TABLES.iter().all(|it| {
                    scrape.of_table(it, "tableflow_records_consumed_total") == 1800
                        && scrape.of_table(it, "tableflow_records_buffered") == 0
                })
            },
        );
        for (table, skips) in TABLES.into_iter().zip([true, false, false, true]) {
            let (skipped, letters) = if skips { (600, 0) } else { (0, 600) };
            assert_eq!(settled.books(table), [1800, 1200, skipped, letters, 0], "{table} in round {round}");
            assert_eq!(settled.of_table(table, "tableflow_decode_errors_total"), 600, "{table}");
            let bytes = lines(before, 1800).len() as u64 - 1800;
            assert_eq!(settled.of_table(table, "tableflow_bytes_consumed_total"), bytes, "{table}");
        }
        before += 1800;
        assert_eq!(service.terminate().code(), Some(0));
    }
    for (topic, _) in JOBS {
        let status = world.status(topic);
        let put_aside = status["rows_skipped"].as_u64().unwrap() + status["rows_dead_lettered"].as_u64().unwrap();
        assert_eq!((&status["rows_committed"], put_aside), (&json!(2400), 1200), "{topic}: {status}");
    }
}

/// What docs/operations.md lists.
fn documented() -> BTreeMap<String, String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## Metrics\n").nth(1).expect("a section about metrics");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `tableflow_")?.split('|');
        let (name, kind) = (cells.next()?.trim().trim_end_matches('`'), cells.next()?.trim());
        Some((format!("tableflow_{name}"), kind.to_owned()))
    };
    section.lines().filter_map(row).collect()
}

/// Those that stay at zero where nothing goes wrong, nothing is far behind and no other engine writes.
const AT_REST: [&str; 14] = [
    "tableflow_backfill_fetch_bytes",
    "tableflow_backfill_turns",
    "tableflow_backfill_waiting",
    "tableflow_changes_left_out_total",
    "tableflow_commit_conflicts_total",
    "tableflow_commit_retries_total",
    "tableflow_delete_files",
    "tableflow_garbage_files_total",
    "tableflow_key_index_disk_keys",
    "tableflow_runtime_queued_tasks",
    "tableflow_table_state",
    "tableflow_upkeep_trouble",
    "tableflow_upkeep_failures_total",
    "tableflow_values_lost_total",
];

#[test]
fn every_documented_metric_is_there_and_moves() {
    let world = World::new();
    world.file("tableflow.toml", "[upkeep]\ncompact.every = '500ms'\n");
    world.topic("orders", 1);
    let schema = world.file("o.avsc", r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}"#);
    world.ok(&["schema", "register", "orders-value", &schema]);
    world.topic("logs", 1);
    let interval = ["--commit-interval", "100ms", "--error-handling"];
    world.ok(&[&["enable", "orders"], &interval[..], &["SKIP"]].concat());
    // A second table of the topic finds the schema that the first one asked for.
    world.ok(&[&["enable", "orders", "--table", "again"], &interval[..], &["SKIP"]].concat());
    world.ok(&[&["enable", "logs", "--format", "json"], &interval[..], &["LOG"]].concat());
    world.topic("keyed", 1);
    world.produce_envelopes("keyed", "{\"key\":1,\"value\":{\"id\":1}}\n");
    world.ok(&[&["enable", "keyed", "--key", "id"], &interval[..], &["SKIP"]].concat());
    let service = world.up();
    let mut largest: BTreeMap<String, f64> = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    for _ in 0..30 {
        // Two records of the first schema, and one of a schema that nobody knows.
        world.produce_raw("orders", b"\0\0\0\0\x01\x02\n\0\0\0\0\x01\x04\n\0\0\0\0\x63\x06\n");
        world.produce_raw("logs", b"{\"n\":1}\n{\n");
        let scrape = scrape_of(&world, &service);
        for ((name, _), value) in &scrape.samples {
            let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
            let name = part.filter(|name| scrape.kinds.contains_key(*name)).unwrap_or(name);
            let most = largest.entry(name.to_owned()).or_default();
            *most = most.max(*value);
        }
        kinds.extend(scrape.kinds);
    }
    assert_eq!(kinds, documented(), "docs/operations.md lists every metric with its kind");
    let still: Vec<&String> = largest.iter().filter(|(_, most)| **most <= 0.0).map(|(name, _)| name).collect();
    let unexpected: Vec<_> = still.into_iter().filter(|name| !AT_REST.contains(&name.as_str())).collect();
    assert!(unexpected.is_empty(), "they never move: {unexpected:?}");
    assert_eq!(service.terminate().code(), Some(0));
}

#[test]
fn freshness_is_from_a_records_time_until_it_can_be_seen() {
    let world = World::new();
    world.topic("t", 1);
    // What was there before the table says nothing about how fresh it is.
    world.produce_envelopes("t", "{\"value\":{\"n\":1},\"timestamp\":1000}\n");
    world.ok(&["enable", "t", "--commit-interval", "50ms"]);
    let service = world.up();
    world.wait_for_status("t", "rows_committed", 1);
    let scrape = scrape_of(&world, &service);
    assert_eq!(scrape.of_table("bronze.t", "tableflow_freshness_seconds_count"), 1, "the share of the job alone");
    assert_eq!(world.status("t")["freshness_ms"], 0);
    assert_eq!(service.terminate().code(), Some(0));

    world.produce("t", "{\"n\":2}\n");
    sleep(Duration::from_millis(1500));
    let service = world.up();
    world.wait_for_status("t", "rows_committed", 2);
    let status = wait_for(|| world.status("t"), |status| status["freshness_ms"].as_i64() > Some(0));
    let freshness_ms = status["freshness_ms"].as_i64().unwrap();
    assert!((1500..60_000).contains(&freshness_ms), "{status}");
    let scrape = scrape_of(&world, &service);
    let of = |kind: &str, name: &str| {
        let labels = [("table", "bronze.t"), ("kind", kind)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        scrape.samples[&(format!("tableflow_freshness_seconds{name}"), BTreeMap::from(labels))]
    };
    assert!((of("event", "_sum") * 1000.0 - freshness_ms as f64).abs() < 1.0, "{freshness_ms} and {scrape:?}");
    assert!(of("commit", "_sum") < of("event", "_sum") - 1.0, "it waited before the service ran: {scrape:?}");
    assert!(world.ok(&["status"]).contains("freshness_ms"));
    assert_eq!(service.terminate().code(), Some(0));
}

#[test]
fn a_record_that_stops_the_table_is_an_error_by_reason() {
    let world = World::with_table("a.b-c_d", "{\"n\":1}\n");
    let service = world.up();
    world.produce("a.b-c_d", "{\"n\":\"x\"}\n");
    let stopped = |scrape: &Scrape| scrape.of_table("bronze.a.b-c_d", "tableflow_decode_errors_total") == 1;
    let scrape = wait_for(|| scrape_of(&world, &service), stopped);
    let labels = scrape.samples.keys().find(|(name, _)| name == "tableflow_decode_errors_total").unwrap().1.clone();
    assert_eq!(labels["reason"], "type-mismatch");
    scrape.check_i8(&["bronze.a.b-c_d"]);
}
