//! Rows that go by what they are: too old, or erased; and manifests that become fewer.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::changes::Changes;
use crate::days::{a_day_passes, files_below};
use crate::upserts::check;
use crate::world::World;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[expect(clippy::disallowed_methods, reason = "how old a record is goes by the machine's clock")]
fn now_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

fn record(id: i64, days_old: i64) -> String {
    let value = json!({"id": id, "v": id});
    format!("{}\n", json!({"key": id, "value": value, "timestamp": now_ms() - days_old * DAY_MS}))
}

/// By all readers.
fn check_ids(world: &World, expected: &[i64]) {
    let rows: Vec<Value> = expected.iter().map(|id| json!({"id": id, "v": id})).collect();
    for reader in ["pyiceberg", "duckdb"] {
        let order = json!({"reader": reader, "table": "bronze.t", "columns": ["id", "v"]});
        assert_eq!(world.engines().ask("values", order), Value::from(rows.clone()), "read by {reader}");
    }
    assert_eq!(world.rows("select id, v from t order by id"), rows);
}

/// Files in which all rows are too old are dropped; of others those rows are deleted, in the table's own way.
#[test]
fn rows_go_when_they_are_too_old() {
    for asked in [
        ["--mode", "append"].as_slice(),
        &["--mode", "append", "--partition-by", "day(_tableflow_timestamp)", "--delete-encoding", "dv"],
        &["--mode", "upsert", "--key", "id", "--delete-encoding", "cow"],
    ] {
        let world = World::new();
        world.topic("t", 1);
        world.produce_envelopes("t", &[record(1, 5), record(2, 5)].concat());
        world.ok(&[&["enable", "t", "--data-retention-ms", &(3 * DAY_MS).to_string()], asked].concat());
        world.ok(&["sync"]);
        world.produce_envelopes("t", &[record(3, 5), record(4, 1), record(5, 0)].concat());
        world.ok(&["sync"]);
        check_ids(&world, &[1, 2, 3, 4, 5]);
        assert_eq!(world.json(&["maintain", "t"])["rows_aged"], 3, "{asked:?}");
        check_ids(&world, &[4, 5]);
        let status = world.status("t");
        assert_eq!(status["data_files"], if asked.contains(&"--partition-by") { 2 } else { 1 }, "{asked:?}: {status}");
        assert_eq!(world.json(&["maintain", "t"])["rows_aged"], 0);
        world.ok(&["update", "t", "--data-retention-ms", "-1"]);
        world.produce_envelopes("t", &record(6, 9));
        world.ok(&["sync"]);
        assert_eq!(world.json(&["maintain", "t"])["rows_aged"], 0, "rows stay for ever");
        check_ids(&world, &[4, 5, 6]);
        world.ok(&["update", "t", "--data-retention-ms", &(8 * DAY_MS).to_string()]);
        assert_eq!(world.json(&["describe", "t"])["data_retention_ms"], 8 * DAY_MS);
        world.ok(&["maintain", "--all"]);
        check_ids(&world, &[4, 5]);
    }
    let world = World::new();
    world.topic("t", 1);
    world.produce_envelopes("t", &record(1, 0));
    let words = ["enable", "t", "--data-retention-ms", "1000", "--metadata-columns", "none"];
    world.run(&words).failed(2, &["needs metadata columns", "leave --metadata-columns out"]);
    world.run(&["enable", "t", "--data-retention-ms", "0"]).failed(2, &["-1 for ever"]);
}

/// Nothing of it is left in any snapshot, and a day later in any file.
#[test]
fn an_erased_key_is_gone_from_the_history_too() {
    let world = World::new();
    world.topic("t", 2);
    let mut producer = Changes::by_lot(5);
    world.produce_envelopes("t", &producer.lines(|id| json!(id), 60));
    world.ok(&["enable", "t", "--key", "id", "--partition-by", "day"]);
    for _ in 0..4 {
        world.produce_envelopes("t", &producer.lines(|id| json!(id), 40));
        world.ok(&["sync"]);
    }
    let key = *producer.expected.keys().nth(3).unwrap();
    let erased = world.json(&["erase", "t", "--key", &key.to_string()]);
    assert_eq!((&erased["rows_erased"], &erased["snapshots_kept"]), (&json!(1), &json!(0)), "{erased}");
    assert!(erased["files_rewritten"].as_u64().unwrap() >= 1, "{erased}");
    producer.forget(key);
    check(&world, "t", &producer.expected);
    assert_eq!(world.json(&["history", "t"]).as_array().unwrap().len(), 1);
    // Once more, by the column's name: there is none.
    let again = world.json(&["erase", "t", "--key", &json!({ "id": key }).to_string()]);
    assert_eq!((&again["rows_erased"], &again["files_rewritten"]), (&json!(0), &json!(0)));
    world.run(&["erase", "t", "--key", "many"]).failed(2, &["\"many\" is no value of column id"]);
    world.run(&["erase", "t", "--key", r#"{"nope":1}"#]).failed(2, &["has no column nope"]);
    for _ in 0..2 {
        a_day_passes(&world.data_dir());
        world.produce_envelopes("t", &producer.lines(|id| json!(id + 100), 3));
        world.ok(&["sync"]);
        world.ok(&["expire", "t", "--keep", "1"]);
        world.ok(&["vacuum", "t"]);
    }
    let named = world.engines().ask("named", json!({"table": "bronze.t"}));
    let is_data = |path: &str| path.ends_with(".parquet");
    let named: Vec<String> = serde_json::from_value(named).unwrap();
    let there = files_below(&world.data_dir().join("warehouse"));
    let there: Vec<String> = there.iter().map(|path| path.display().to_string()).filter(|path| is_data(path)).collect();
    let first: Vec<_> = there.iter().filter(|path| !named.contains(path)).collect();
    assert!(first.len() <= 4, "the newest epochs alone: {first:?}");
}

/// Of a table that nothing identifies the rows of, columns are named.
#[test]
fn what_is_erased_of_an_append_table_is_every_row_of_it() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"who\":\"ann\",\"n\":1}\n{\"who\":\"bob\",\"n\":2}\n{\"who\":\"ann\",\"n\":3}\n");
    world.ok(&["enable", "t"]);
    world.ok(&["sync"]);
    world.run(&["erase", "t", "--key", "ann"]).failed(2, &["nothing identifies its rows", "--key '{\"id\": 42}'"]);
    assert_eq!(world.json(&["erase", "t", "--key", r#"{"who":"ann"}"#])["rows_erased"], 2);
    assert_eq!(world.rows("select who, n from t"), [json!({"who": "bob", "n": 2})]);
}

#[test]
fn manifests_that_others_left_become_one() {
    let world = World::new();
    world.topic("t", 1);
    world.produce_envelopes("t", &record(1, 0));
    world.ok(&["enable", "t", "--key", "id", "--metadata-columns", "none"]);
    world.ok(&["sync"]);
    for id in 2..8 {
        world.engines().ask("append", json!({"table": "bronze.t", "rows": [{"id": id, "v": id}]}));
    }
    let report = world.json(&["rewrite-manifests", "t"]);
    assert_eq!((&report["manifests_before"], &report["manifests_after"]), (&json!(7), &json!(1)), "{report}");
    check_ids(&world, &(1..8).collect::<Vec<_>>());
    let again = world.json(&["rewrite-manifests", "t"]);
    assert_eq!((&again["manifests_before"], &again["manifests_after"]), (&json!(1), &json!(1)));
    world.produce_envelopes("t", &record(8, 0));
    world.ok(&["sync"]);
    check_ids(&world, &(1..9).collect::<Vec<_>>());
}
