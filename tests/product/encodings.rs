//! How rows that go are written: chosen, changed while the table lives, and read by every engine.

use serde_json::{Value, json};

use crate::changes::{Changes, Kind};
use crate::upserts::check;
use crate::world::World;

fn key(id: i64) -> Value {
    json!(id)
}

fn deletes(world: &World) -> (u64, u64) {
    let status = world.status("t");
    let number = |name: &str| status[name].as_u64().unwrap();
    (number("format_version"), number("delete_files"))
}

#[test]
fn every_way_of_writing_deletes_is_read_by_every_engine_after_every_commit() {
    for (seed, encoding, asked) in [
        (1, "dv", ["--delete-encoding", "dv", "--partition-by", "day"].as_slice()),
        (2, "dv", &["--format-version", "3", "--sort-by", "v"]),
        (3, "cow", &["--delete-encoding", "cow", "--partition-by", "bucket(3, id)"]),
        (4, "cow", &["--delete-encoding", "cow", "--format-version", "3"]),
        (5, "position", &["--delete-encoding", "position"]),
    ] {
        let world = World::new();
        world.topic("t", 2);
        let mut producer = Changes::of(Kind::Mixed { skewed: seed % 2 == 0 }, seed);
        world.produce_envelopes("t", &producer.lines(key, 40));
        world.ok(&[&["enable", "t", "--mode", "upsert", "--key", "id"], asked].concat());
        for round in 0..6 {
            world.produce_envelopes("t", &producer.lines(key, 30 + round));
            world.ok(&["sync"]);
            check(&world, "t", &producer.expected);
            assert_eq!(world.status("t")["delete_encoding"], encoding, "{asked:?}");
        }
        assert_eq!(deletes(&world).1 == 0, encoding == "cow", "{asked:?}");
        world.ok(&["compact", "t"]);
        check(&world, "t", &producer.expected);
        world.produce_envelopes("t", &producer.lines(key, 20));
        world.ok(&["sync"]);
        check(&world, "t", &producer.expected);
    }
}

/// With deletes that are live, and while a service feeds the table.
#[test]
fn a_live_table_becomes_another_way_of_writing() {
    let world = World::new();
    world.topic("t", 2);
    let mut producer = Changes::by_lot(8);
    world.produce_envelopes("t", &producer.lines(key, 60));
    world.ok(&["enable", "t", "--mode", "upsert", "--key", "id", "--commit-interval", "100ms"]);
    let up = world.up();
    let mut feed = |world: &World| {
        world.produce_envelopes("t", &producer.lines(key, 80));
        world.wait_for_status("t", "lag", 0);
        check(world, "t", &producer.expected);
    };
    feed(&world);
    assert_eq!(deletes(&world).0, 2);
    let updated = world.json(&["update", "t", "--delete-encoding", "dv"]);
    let changed = json!([
        {"setting": "format_version", "before": 2, "after": 3},
        {"setting": "delete_encoding", "before": "position", "after": "dv"},
    ]);
    assert_eq!(updated["changed"], changed);
    feed(&world);
    assert_eq!(deletes(&world).0, 3);
    world.ok(&["update", "t", "--delete-encoding", "cow", "--partition-by", "day"]);
    feed(&world);
    world.ok(&["compact", "t"]);
    assert_eq!(deletes(&world), (3, 0));
    feed(&world);
    let description = world.json(&["describe", "t"]);
    assert_eq!((&description["partition_by"], &description["delete_encoding"]), (&json!("day"), &json!("cow")));
    // What is so already is no change.
    let again = world.json(&["update", "t", "--delete-encoding", "cow", "--partition-by", "day"]);
    assert_eq!(again["changed"], json!([]));
    world.run(&["update", "t", "--format-version", "2"]).failed(2, &["never goes back", "--table"]);
    world.run(&["update", "t", "--partition-by", "nope"]).failed(2, &["nope"]);
    drop(up);
}

/// `--readers` takes what all of them read, and refuses what one of them does not.
#[test]
fn readers_choose_how_a_table_is_written() {
    let world = World::new();
    world.topic("t", 1);
    world.produce_envelopes("t", "{\"key\":1,\"value\":{\"id\":1,\"v\":1}}\n");
    let plan = |asked: &[&str]| {
        let words = [&["enable", "t", "--mode", "upsert", "--key", "id", "--dry-run"], asked].concat();
        let plan = world.json(&words)[0].clone();
        (plan["format_version"].clone(), plan["delete_encoding"].clone())
    };
    assert_eq!(plan(&["--readers", "athena,spark,snowflake"]), (json!(2), json!("position")));
    assert_eq!(plan(&["--readers", "databricks,duckdb"]), (json!(3), json!("dv")));
    assert_eq!(plan(&["--readers", "databricks,athena"]), (json!(2), json!("cow")));
    let plan = world.ok(&["enable", "t", "--key", "id", "--readers", "databricks,duckdb", "--dry-run"]);
    assert!(plan.contains("version of the Iceberg format 3\n"), "{plan}");
    let enable = ["enable", "t", "--mode", "upsert", "--key", "id"];
    for (asked, words) in [
        (["--readers", "athena", "--delete-encoding", "dv"], ["athena reads no version 3", "leave that reader out"]),
        (
            ["--readers", "databricks", "--delete-encoding", "position"],
            ["databricks may show rows", "leave that reader out"],
        ),
        (["--format-version", "3", "--delete-encoding", "position"], ["no files of positions", "--delete-encoding dv"]),
        (["--format-version", "2", "--delete-encoding", "dv"], ["has no deletion vectors", "--format-version 3"]),
    ] {
        world.run(&[&enable[..], &asked].concat()).failed(2, &words);
    }
    world.run(&["enable", "t", "--readers", "exasol"]).failed(2, &["exasol", "athena, bigquery"]);
    world.ok(&[&enable[..], &["--readers", "Spark,athena"]].concat());
    assert_eq!(world.status("t")["readers"], json!(["athena", "spark"]));
    // One that was named stays, and is asked whatever is changed later.
    world.run(&["update", "t", "--format-version", "3"]).failed(2, &["athena reads no version 3"]);
    world.ok(&["update", "t", "--readers", "spark", "--format-version", "3"]);
    let status = world.status("t");
    assert_eq!((&status["delete_encoding"], &status["readers"]), (&json!("dv"), &json!(["spark"])));
    world.ok(&["sync"]);
    world.ok(&["disable", "t"]);
    world.run(&[&enable[..], &["--delete-encoding", "cow"]].concat()).failed(2, &["tableflow update bronze.t takes"]);
    world.ok(&enable);
}

/// A commit that deletes rows of files of two partition specs, whose vectors two manifests name.
#[test]
fn vectors_of_files_of_several_partitionings_are_each_read() {
    let world = World::new();
    world.topic("t", 1);
    let rows = |ids: std::ops::Range<i64>, v: i64| -> String {
        let row = |id: i64| json!({"key": id, "value": {"id": id, "half": id / 2, "v": v * 1000 + id, "day": id % 3}});
        ids.map(|id| format!("{}\n", row(id))).collect()
    };
    world.produce_envelopes("t", &rows(0..60, 1));
    world.ok(&["enable", "t", "--mode", "upsert", "--key", "id", "--delete-encoding", "dv", "--partition-by", "day"]);
    world.ok(&["sync"]);
    world.ok(&["update", "t", "--partition-by", "bucket(2, id)"]);
    world.produce_envelopes("t", &rows(60..120, 1));
    world.ok(&["sync"]);
    world.produce_envelopes("t", &[rows(10..40, 2), rows(70..110, 2)].concat());
    world.ok(&["sync"]);
    let is_new = |id: &i64| (10..40).contains(id) || (70..110).contains(id);
    let expected = (0..120).map(|id| (id, if is_new(&id) { 2000 + id } else { 1000 + id })).collect();
    check(&world, "t", &expected);
}
