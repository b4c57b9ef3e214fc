//! Compacted tables: fewer files, the same rows for every engine.

use serde_json::{Value, json};

use crate::changes::Changes;
use crate::upserts::check;
use crate::world::World;

fn lines(of: impl Iterator<Item = i64>) -> String {
    of.map(|n| format!("{{\"n\":{n},\"day\":{}}}\n", n % 3)).collect()
}

fn data_files(world: &World, table: &str) -> usize {
    world.json(&["files", table]).as_array().unwrap().len()
}

#[test]
fn a_table_of_changes_becomes_one_file_and_every_engine_reads_the_same() {
    let world = World::new();
    world.topic("customers", 3);
    let mut producer = Changes::by_lot(1);
    world.produce_envelopes("customers", &producer.lines(|id| json!(id), 60));
    world.ok(&["enable", "customers", "--mode", "upsert", "--key", "id"]);
    for _ in 0..8 {
        world.produce_envelopes("customers", &producer.lines(|id| json!(id), 40));
        world.ok(&["sync"]);
    }
    let before = world.status("customers");
    let planned = world.json(&["compact", "customers", "--dry-run"]);
    assert_eq!(world.status("customers")["snapshot_id"], before["snapshot_id"], "a dry run changes nothing");
    let snapshot = before["snapshot_id"].as_i64().unwrap().to_string();
    let as_it_was = || world.json(&["query", "--as-of", &snapshot, "select count(*), sum(v) from customers"]);
    let rows = as_it_was();

    let report = world.json(&["compact", "customers"]);
    assert_eq!((&report["groups"], &report["files_read"]), (&planned["groups"], &planned["files_read"]));
    assert_eq!(report["rows_written"], producer.expected.len());
    assert!(report["rows_dropped"].as_u64().unwrap() > 0 && report["files_read"].as_u64().unwrap() > 5, "{report}");
    check(&world, "customers", &producer.expected);
    let after = world.status("customers");
    assert_eq!((&after["data_files"], &after["delete_files"]), (&json!(1), &json!(0)), "{after}");
    assert_eq!(after["last_commit_at"], before["last_commit_at"], "no rows came");
    assert_eq!(as_it_was(), rows, "what it was is still there");
    let newest = world.json(&["history", "customers"])[0].clone();
    assert_eq!(newest["operation"], "replace");

    let again = world.json(&["compact", "customers"]);
    assert_eq!((&again["groups"], &again["commits"]), (&json!(0), &json!(0)), "nothing is left to do");
    for count in [1, 50] {
        world.produce_envelopes("customers", &producer.lines(|id| json!(id), count));
        world.ok(&["sync"]);
        check(&world, "customers", &producer.expected);
    }
}

/// Readers and whoever feeds it notice nothing.
#[test]
fn a_service_feeds_a_table_that_is_compacted_all_the_time() {
    let world = World::new();
    world.topic("t", 2);
    let mut producer = Changes::by_lot(5);
    world.produce_envelopes("t", &producer.lines(|id| json!(id), 20));
    world.ok(&["enable", "t", "--key", "id", "--commit-interval", "30ms", "--partition-by", "day"]);
    let up = world.up();
    let (mut commits, mut rounds) = (0, 0);
    while commits < 10 {
        world.produce_envelopes("t", &producer.lines(|id| json!(id), 60));
        commits += world.json(&["compact", "t"])["commits"].as_u64().unwrap();
        rounds += 1;
        assert!(rounds < 500, "{commits} commits of {rounds} compactions");
    }
    world.wait_for_status("t", "lag", 0);
    check(&world, "t", &producer.expected);
    assert!(up.terminate().success());
}

#[test]
fn files_without_such_rows_stay_as_they_are() {
    let world = World::with_table("events", &lines(0..30));
    world.ok(&["enable", "events", "--table", "by_day", "--from", "earliest", "--partition-by", "day"]);
    for round in 0..3 {
        world.produce("events", &lines(round * 30..round * 30 + 30));
        world.ok(&["sync"]);
    }
    let rows = |table: &str| world.numbers(&format!("select n from bronze.{table} order by n, day"));
    let (before, expected) = (data_files(&world, "by_day"), rows("by_day"));
    let report = world.json(&["compact", "by_day", "--where", "day = 1 and n >= 0"]);
    assert_eq!((&report["groups"], &report["files_written"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!(data_files(&world, "by_day"), before - before / 3 + 1);
    assert_eq!(rows("by_day"), expected);
    // Several tables, one of which is sorted by what it holds.
    world.ok(&["enable", "events", "--table", "sorted", "--from", "earliest", "--sort-by", "day, n desc"]);
    world.ok(&["sync"]);
    world.produce("events", &lines(200..230));
    world.ok(&["sync"]);
    let reports = world.json(&["compact", "by_day", "sorted"]);
    assert_eq!(reports.as_array().unwrap().len(), 2, "{reports}");
    let mut sorted: Vec<(i64, i64)> = expected.iter().copied().chain(200..230).map(|n| (n % 3, -n)).collect();
    sorted.sort_unstable();
    // By the first column, those of one day as they stand in the file.
    let order = json!({"reader": "pyiceberg", "table": "bronze.sorted", "columns": ["day", "n"]});
    let stands = world.engines().ask("values", order);
    let number = |row: &Value, name: &str| row[name].as_i64().unwrap();
    let stands: Vec<(i64, i64)> =
        stands.as_array().unwrap().iter().map(|row| (number(row, "day"), -number(row, "n"))).collect();
    assert_eq!(stands, sorted, "rows stand in the table's order");
}

/// All rows of a partition stand in the table's order, over all its files; what stands so is left alone.
#[test]
fn rows_are_sorted_over_all_files() {
    const ROWS: i64 = 20_000;
    let world = World::new();
    world.topic("events", 1);
    let shuffled = |round: i64| lines((0..ROWS).map(move |n| (n * 7919 + round) % ROWS));
    world.produce("events", &shuffled(0));
    world.ok(&["enable", "events", "--sort-by", "n desc"]);
    for round in 1..4 {
        world.ok(&["sync"]);
        world.produce("events", &shuffled(round));
    }
    world.ok(&["sync"]);
    let sort = |size| ["compact", "events", "--strategy", "sort", "--target-file-size", size];
    let report = world.json(&sort("100KiB"));
    assert!(report["files_written"].as_u64().unwrap() >= 2 && report["groups"] == 1, "{report}");
    let sums = || world.rows("select count(*) as rows, count(distinct n) as ns, sum(n) as sum from events");
    assert_eq!(sums(), [json!({"rows": 4 * ROWS, "ns": ROWS, "sum": 4 * (ROWS * (ROWS - 1) / 2)})]);
    // Large enough for files that turned out larger than was thought.
    let again = world.json(&sort("150KiB"));
    assert_eq!(again["groups"], 0, "their ranges meet nowhere: {again}");
    world.produce("events", &lines([3, 1, 2].into_iter()));
    world.ok(&["sync"]);
    assert_eq!(world.json(&sort("150KiB"))["groups"], 1);
    world.ok(&["enable", "events", "--table", "as_it_came", "--from", "earliest"]);
    let refused = world.run(&["compact", "as_it_came", "--strategy", "sort"]);
    refused.failed(2, &["no order that its rows could be sorted by", "--sort-by"]);
}

#[test]
fn what_cannot_be_compacted_is_said() {
    let world = World::with_table("events", &lines(0..3));
    let condition = world.run(&["compact", "events", "--where", "dya = 1"]);
    condition.failed(2, &["--where \"dya = 1\" is no condition on bronze.events", "describe"]);
    world.run(&["compact", "evnts"]).failed(1, &["there is no table evnts", "events"]);
    world.run(&["compact"]).failed(2, &["TABLE"]);
    world.run(&["compact", "events", "--target-file-size", "0"]).failed(2, &["size"]);
    world.topic("empty", 1);
    world.ok(&["enable", "empty", "--columns", "a INT"]);
    let report = world.json(&["compact", "empty"]);
    assert_eq!(report["groups"], 0);
}
