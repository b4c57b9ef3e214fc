//! A service looks after tables as they need it: those that grow fast at once, as each was declared.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::days::files_below;
use crate::world::{Service, World, wait_for};

fn lines(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("{{\"id\":{id}}}\n")).collect()
}

/// Forty thousand rows in some order, another one each time.
fn shuffled(round: u32) -> String {
    (0..40_000).map(|n| format!("{{\"id\":{}}}\n", (n * 7919 + round) % 40_000)).collect()
}

/// So many commits of a file in each of its partitions.
fn grow(world: &World, tables: &[&str], commits: u32) {
    for _ in 0..commits {
        for table in tables {
            world.produce(table, &lines(0..400));
        }
        for table in tables {
            world.wait_for_status(table, "lag", 0);
        }
    }
}

fn files(world: &World, table: &str) -> u64 {
    world.status(table)["data_files"].as_u64().unwrap()
}

fn metric(service: &Service, name: &str, table: &str) -> Option<f64> {
    let (_, metrics) = service.get("/metrics");
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{table=\"bronze.{table}\"")));
    line?.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_table_that_grows_is_compacted_before_its_time_and_one_that_others_compact_is_not() {
    let world = World::new();
    world.file("tableflow.toml", "[upkeep]\ncompact.every = '1s'\n");
    for (table, every) in [("fast", "1h"), ("theirs", "never")] {
        world.topic(table, 1);
        world.produce(table, &lines(0..400));
        world.ok(&[
            "enable",
            table,
            "--partition-by",
            "bucket(16, id)",
            "--commit-interval",
            "50ms",
            "--compact-every",
            every,
        ]);
    }
    let up = world.up();
    // From then on its time comes in an hour.
    wait_for(|| world.status("fast"), |status| status["upkeep"]["state"] == "Kept");
    grow(&world, &["fast", "theirs"], 7);
    let fast = wait_for(|| world.status("fast"), |status| status["last_compacted_at"].is_string());
    assert!(fast["upkeep"]["looked_at"].is_string(), "{fast}");
    assert!(fast["data_files"].as_u64().is_some_and(|files| files < 16 * 7), "{fast}");
    let theirs = world.status("theirs");
    assert!(theirs["data_files"].as_u64() >= Some(16 * 7), "{theirs}");
    assert_eq!((&theirs["upkeep"], &theirs["last_compacted_at"]), (&Value::Null, &Value::Null), "{theirs}");
    assert_eq!(metric(&up, "tableflow_upkeep_trouble", "fast"), Some(0.0));
    assert_eq!(metric(&up, "tableflow_upkeep_trouble", "theirs"), None);
    assert!(metric(&up, "tableflow_upkeep_files_since", "fast").is_some_and(|files| files < 16.0 * 7.0));
    for table in ["fast", "theirs"] {
        let rows = world.rows(&format!("select id, count(*) as n from {table} group by id having count(*) <> 8"));
        assert_eq!(rows, Vec::<Value>::new());
    }
    assert!(up.terminate().success());
}

fn a_data_file(world: &World, table: &str) -> PathBuf {
    let of_table = |file: &PathBuf| {
        file.to_string_lossy().contains(&format!("/{table}")) && file.extension().is_some_and(|it| it == "parquet")
    };
    files_below(&world.data_dir().join("warehouse")).into_iter().find(of_table).unwrap()
}

/// Rows come all the same, and whoever looks is told.
#[test]
fn where_upkeep_fails_commits_become_fewer_and_it_goes_on_once_that_is_mended() {
    let world = World::new();
    world.file("tableflow.toml", "[upkeep]\ncompact.every = '1s'\n");
    world.topic("t", 1);
    world.produce("t", &lines(0..400));
    world.ok(&[
        "enable",
        "t",
        "--partition-by",
        "bucket(128, id)",
        "--commit-interval",
        "500ms",
        "--compact-every",
        "1h",
    ]);
    let up = world.up();
    wait_for(|| world.status("t"), |status| status["upkeep"]["state"] == "Kept");
    let damaged = a_data_file(&world, "t");
    let content = fs::read(&damaged).unwrap();
    fs::write(&damaged, vec![0; content.len()]).unwrap();
    let mut grown = 0;
    let status = loop {
        grow(&world, &["t"], 1);
        grown += 1;
        let status = world.status("t");
        if status["upkeep"]["files_since"].as_u64() >= Some(1024) {
            break status;
        }
    };
    assert_eq!((&status["status"], &status["upkeep"]["state"]), (&json!("Syncing"), &json!("Failing")), "{status}");
    assert!(status["reason"].as_str().unwrap().starts_with("upkeep fails: "), "{status}");
    assert_eq!(metric(&up, "tableflow_upkeep_trouble", "t"), Some(1.0));
    // Four times the interval, but for what was looked at in vain before.
    let began = Instant::now();
    grow(&world, &["t"], 1);
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());

    fs::write(&damaged, content).unwrap();
    let kept = wait_for(|| world.status("t"), |status| status["upkeep"]["state"] == "Kept");
    assert_eq!(
        (kept["data_files"].as_u64().is_some_and(|files| files < 500), &kept["reason"]),
        (true, &Value::Null),
        "{kept}"
    );
    assert_eq!(world.numbers("select count(*) from t"), [(grown + 2) * 400]);
    assert!(up.terminate().success());
}

#[test]
fn how_a_table_is_compacted_is_declared_and_changed_while_it_is_fed() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", &shuffled(0));
    world.run(&["enable", "t", "--compact-strategy", "sort"]).failed(2, &["--sort-by", "bin-pack"]);
    world.run(&["enable", "t", "--compact-every", "seldom"]).failed(2, &["--compact-every", "10s"]);
    world.ok(&["enable", "t", "--sort-by", "id", "--compact-strategy", "sort", "--target-file-size", "100KiB"]);
    world.ok(&["sync"]);
    world.produce("t", &shuffled(1));
    world.ok(&["sync"]);
    let declared = json!({"strategy": "sort", "target_file_size": "100KiB"});
    assert_eq!(world.json(&["describe", "t"])["compaction"], declared);
    let report = world.json(&["compact", "t"]);
    assert!(report["files_written"].as_u64() > Some(1), "{report}");
    let again = world.json(&["compact", "t", "--strategy", "sort", "--target-file-size", "150KiB"]);
    assert_eq!(again["groups"], 0, "their ranges meet nowhere: {again}");

    let words = [
        "update",
        "t",
        "--compact-every",
        "90s",
        "--compact-files",
        "3",
        "--compact-deleted",
        "10%",
        "--target-file-size",
        "1MiB",
    ];
    let changed = world.json(&words);
    let after = json!({
        "every": "1m 30s", "strategy": "sort", "small_files": 3, "deleted_percent": 10, "target_file_size": "1MiB"
    });
    assert_eq!(changed["changed"], json!([{"setting": "compaction", "before": declared, "after": after}]));
    assert_eq!(world.json(&["describe", "t"])["compaction"], after);
    world.ok(&["compact", "t"]);
    assert_eq!(files(&world, "t"), 1);
    // Three are put together by themselves, as declared; fewer wait.
    for more in [1, 0] {
        world.produce("t", &lines(0..3));
        world.ok(&["sync"]);
        world.ok(&["maintain", "t"]);
        assert_eq!(files(&world, "t"), 1 + more);
    }
    // Each can be taken back by itself, and what was not declared stays so.
    let words = ["update", "t", "--compact-every", "default", "--compact-deleted", "DEFAULT", "--compact-files", "4"];
    let taken_back = json!({"strategy": "sort", "small_files": 4, "target_file_size": "1MiB"});
    assert_eq!(world.json(&words)["changed"][0]["after"], taken_back);
    world.ok(&["update", "t", "--target-file-size", "default", "--compact-files", "default"]);
    assert_eq!(world.json(&["describe", "t"])["compaction"], json!({"strategy": "sort"}));
    world.topic("u", 1);
    world.produce("u", "{\"id\":1}\n");
    world.ok(&["enable", "u"]);
    world.run(&["update", "u", "--compact-strategy", "sort"]).failed(2, &["--sort-by"]);
}
