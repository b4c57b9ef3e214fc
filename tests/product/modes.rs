//! A table that exists becomes one with one row a key, and back: what every engine reads before and after.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::upserts::check;
use crate::world::{World, wait_for};

/// A producer, every record of which is known.
struct Producer {
    random: fastrand::Rng,
    next: i64,
    /// Those that are rows while every record is one.
    rows: Vec<(i64, i64)>,
    /// What the last one of each key says.
    last: BTreeMap<i64, i64>,
}

impl Producer {
    fn new(seed: u64) -> Self {
        Producer { random: fastrand::Rng::with_seed(seed), next: 0, rows: Vec::new(), last: BTreeMap::new() }
    }

    /// Records of few keys, some of which delete.
    fn lines(&mut self, count: usize, deletes: bool) -> String {
        let mut lines = String::new();
        for _ in 0..count {
            let id = self.random.i64(0..30);
            self.next += 1;
            let value = match deletes && self.random.u8(..5) == 0 {
                true => {
                    self.last.remove(&id);
                    Value::Null
                }
                false => {
                    self.rows.push((id, self.next));
                    self.last.insert(id, self.next);
                    json!({"id": id, "v": self.next, "day": self.next % 3})
                }
            };
            writeln!(lines, "{}", json!({"key": id, "value": value})).unwrap();
        }
        lines
    }
}

/// The rows of a table of every record, in all engines.
#[track_caller]
fn check_rows(world: &World, expected: &[(i64, i64)]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable_by_key(|(_, value)| *value);
    let expected: Vec<Value> = expected.iter().map(|(id, value)| json!({"v": value, "id": id})).collect();
    for reader in ["pyiceberg", "duckdb"] {
        let order = json!({"reader": reader, "table": "bronze.t", "columns": ["v", "id"]});
        assert_eq!(world.engines().ask("values", order), Value::from(expected.clone()), "read by {reader}");
    }
    assert_eq!(world.rows("select v, id from bronze.t order by v"), expected, "read by tableflow");
    assert_eq!(world.status("t")["rows_committed"], expected.len());
}

/// A line of `--envelope`.
fn row(id: i64, v: i64) -> String {
    format!("{}\n", json!({"key": id, "value": {"id": id, "v": v}}))
}

fn keys_of(world: &World) -> Value {
    world.json(&["describe", "t"])["key"].clone()
}

const ENCODINGS: [&[&str]; 3] = [
    &["--delete-encoding", "position", "--partition-by", "day"],
    &["--delete-encoding", "dv", "--sort-by", "v"],
    &["--delete-encoding", "cow", "--partition-by", "bucket(2, id)"],
];

#[test]
fn a_table_that_is_fed_becomes_one_with_one_row_a_key_and_back() {
    for (seed, asked) in (1..).zip(ENCODINGS) {
        let world = World::new();
        world.topic("t", 3);
        let mut producer = Producer::new(seed);
        world.produce_envelopes("t", &producer.lines(20, false));
        world.ok(&[&["enable", "t", "--commit-interval", "100ms"], asked].concat());
        let up = world.up();
        for _ in 0..3 {
            world.produce_envelopes("t", &producer.lines(60, false));
            world.wait_for_status("t", "lag", 0);
        }
        check_rows(&world, &producer.rows);
        let (kept, gone) = (producer.last.len(), producer.rows.len() - producer.last.len());
        let plan = world.json(&["update", "t", "--mode", "upsert", "--key", "id", "--dry-run"]);
        let changed = json!([
            {"setting": "mode", "before": "append", "after": "upsert"},
            {"setting": "key", "before": [], "after": ["id"]},
        ]);
        assert_eq!((&plan["changed"], &plan["rows_kept"], &plan["rows_gone"]), (&changed, &json!(kept), &json!(gone)));
        assert_eq!((&world.status("t")["mode"], keys_of(&world)), (&json!("append"), json!([])));
        // Records come before, meanwhile and after.
        world.produce_envelopes("t", &producer.lines(80, false));
        let updated = world.json(&["update", "t", "--mode", "upsert", "--key", "id"]);
        assert_eq!(updated["changed"], changed);
        world.produce_envelopes("t", &producer.lines(80, false));
        world.wait_for_status("t", "mode", "upsert");
        world.wait_for_status("t", "lag", 0);
        check(&world, "t", &producer.last);
        assert_eq!((keys_of(&world), &world.status("t")["delete_encoding"]), (json!(["id"]), &json!(asked[1])));
        assert_eq!(world.json(&["update", "t", "--mode", "upsert", "--key", "id"])["changed"], json!([]));
        world.produce_envelopes("t", &producer.lines(200, true));
        world.wait_for_status("t", "lag", 0);
        check(&world, "t", &producer.last);

        producer.rows = producer.last.iter().map(|(id, value)| (*id, *value)).collect();
        world.json(&["update", "t", "--mode", "append"]);
        world.wait_for_status("t", "mode", "append");
        check_rows(&world, &producer.rows);
        assert_eq!((keys_of(&world), &world.status("t")["delete_encoding"]), (json!([]), &json!("none")));
        world.produce_envelopes("t", &producer.lines(100, false));
        world.wait_for_status("t", "lag", 0);
        check_rows(&world, &producer.rows);
        world.ok(&["compact", "t"]);
        check_rows(&world, &producer.rows);
        // A null value is what it is in any table of every record: no row.
        let before = producer.last.clone();
        world.produce_envelopes("t", "{\"key\":7,\"value\":null}\n");
        world.wait_for_status("t", "status", "Suspended");
        check_rows(&world, &producer.rows);
        // Once more the other way: what was refused deletes now.
        producer.last = before;
        producer.last.remove(&7);
        world.json(&["update", "t", "--mode", "upsert", "--key", "id"]);
        world.wait_for_status("t", "mode", "upsert");
        world.wait_for_status("t", "lag", 0);
        check(&world, "t", &producer.last);
        world.produce_envelopes("t", &producer.lines(60, true));
        world.wait_for_status("t", "lag", 0);
        check(&world, "t", &producer.last);
        drop(up);
    }
}

/// Without a service `sync` changes the mode, and then reads on.
#[test]
fn rows_that_say_that_they_are_deleted_go_and_another_key_takes_two_steps() {
    let world = World::new();
    world.topic("t", 1);
    let row = |id: i64, other: i64, v: i64, deleted: bool| {
        let value = json!({"id": id, "other": other, "v": v, "__deleted": deleted.to_string()});
        format!("{}\n", json!({"key": {"id": id}, "value": value}))
    };
    let lines = [row(1, 5, 1, false), row(2, 5, 2, false), row(3, 6, 3, false), row(2, 5, 4, true)].concat();
    world.produce_envelopes("t", &[lines, row(3, 6, 5, true), row(3, 6, 6, false)].concat());
    world.ok(&["enable", "t"]);
    world.ok(&["sync"]);
    world.ok(&["update", "t", "--mode", "upsert", "--key", "id"]);
    assert_eq!(world.status("t")["mode"], "append", "nobody has made it yet");
    world.produce_envelopes("t", &row(4, 6, 7, false));
    world.ok(&["sync"]);
    check(&world, "t", &BTreeMap::from([(1, 1), (3, 6), (4, 7)]));
    world.run(&["update", "t", "--key", "other"]).failed(2, &["identified by id", "--mode append", "--key other"]);
    world.run(&["update", "t", "--mode", "upsert", "--key", "other"]).failed(2, &["identified by id"]);
    world.ok(&["update", "t", "--mode", "append"]);
    world.ok(&["sync"]);
    world.ok(&["update", "t", "--mode", "upsert", "--key", "other"]);
    world.ok(&["sync"]);
    assert_eq!(
        world.rows("select other, v from bronze.t order by 1"),
        [json!({"other": 5, "v": 1}), json!({"other": 6, "v": 7})]
    );
    // What was changed stays so when the topic is enabled again, and hints say what changes it.
    world.run(&["enable", "t", "--mode", "append"]).failed(1, &["tableflow update bronze.t --mode append"]);
    world.ok(&["disable", "t"]);
    let words = ["is not what it has: upsert", "tableflow update bronze.t --mode append"];
    world.run(&["enable", "t", "--mode", "append"]).failed(2, &words);
    world.ok(&["enable", "t"]);
    world.produce_envelopes("t", &row(9, 5, 8, false));
    world.ok(&["sync"]);
    assert_eq!(world.column("select v from bronze.t order by 1"), ["7", "8"]);
}

/// A table that is paused, disabled and enabled again before its job could change it is changed all the same.
#[test]
fn a_change_that_is_declared_waits_for_the_job() {
    let world = World::with_envelopes(&[row(1, 1), row(1, 2)].concat(), &[]);
    world.ok(&["pause", "t"]);
    let asked = |world: &World| (world.status("t")["mode"].clone(), world.status("t")["mode_asked"].clone());
    assert_eq!(asked(&world), (json!("append"), Value::Null));
    world.ok(&["update", "t", "--mode", "upsert", "--key", "id"]);
    assert_eq!(asked(&world), (json!("append"), json!("upsert")), "it is told while it waits");
    world.run(&["update", "t", "--error-handling", "LOG"]).failed(2, &["about to change"]);
    world.ok(&["disable", "t"]);
    world.run(&["enable", "t", "--key", "v"]).failed(2, &["--key v is not what it has: id"]);
    world.ok(&["enable", "t"]);
    assert_eq!(world.status("t")["mode"], "append");
    world.ok(&["sync"]);
    check(&world, "t", &BTreeMap::from([(1, 2)]));
    assert_eq!(asked(&world), (json!("upsert"), Value::Null));
    // Rows that are still identified by a column stay so, whatever was asked for and taken back.
    world.ok(&["pause", "t"]);
    world.ok(&["update", "t", "--mode", "append"]);
    world.run(&["update", "t", "--mode", "upsert", "--key", "v"]).failed(2, &["identified by id"]);
    world.ok(&["update", "t", "--mode", "upsert"]);
    world.ok(&["resume", "t"]);
    world.ok(&["sync"]);
    check(&world, "t", &BTreeMap::from([(1, 2)]));
    // And one that is taken back before is made as well: nothing is left of either.
    world.ok(&["update", "t", "--mode", "append"]);
    world.ok(&["update", "t", "--mode", "upsert", "--key", "id"]);
    world.produce_envelopes("t", &row(1, 3));
    world.ok(&["sync"]);
    check(&world, "t", &BTreeMap::from([(1, 3)]));
}

/// Rows of before are identified as they were, if nothing else is said.
#[test]
fn a_table_that_goes_back_to_one_row_a_key_has_its_columns_of_before() {
    let world = World::with_envelopes(&[row(1, 1), row(2, 2), row(1, 3)].concat(), &["--key", "id"]);
    world.ok(&["update", "t", "--mode", "append"]);
    world.produce_envelopes("t", &row(2, 4));
    world.ok(&["sync"]);
    let changed = world.json(&["update", "t", "--mode", "upsert"])["changed"].clone();
    assert_eq!(changed[1], json!({"setting": "key", "before": [], "after": ["id"]}));
    world.ok(&["sync"]);
    check(&world, "t", &BTreeMap::from([(1, 3), (2, 4)]));
    // By now there are two ways in which they were.
    for key in [&["--key", "v"][..], &[]] {
        world.ok(&["update", "t", "--mode", "append"]);
        world.ok(&["sync"]);
        let asked = [&["update", "t", "--mode", "upsert"], key].concat();
        match key {
            [] => world.run(&asked).failed(2, &["identified by different columns: id or v", "--key"]),
            _ => drop(world.ok(&asked)),
        }
        world.ok(&["sync"]);
    }
}

/// What the hint says to type: the rows that are there stay, and are identified by what the other engine chose.
#[test]
fn a_table_whose_key_another_engine_changed_goes_on_with_that_one() {
    let world = World::with_envelopes(&[row(1, 1), row(2, 2)].concat(), &["--key", "id"]);
    let changes = json!([["require", "v"], ["identify", "v"]]);
    world.engines().ask("alter", json!({"table": "bronze.t", "changes": changes}));
    world.produce_envelopes("t", &[row(1, 3), row(3, 4)].concat());
    let hints = ["let id identify them again", "tableflow update bronze.t --mode append", "--mode upsert --key v"];
    world.run(&["sync"]).failed(3, &hints);
    assert_eq!(world.column("select v from t order by 1"), ["1", "2"]);
    for asked in [&["--mode", "append"][..], &["--mode", "upsert", "--key", "v"]] {
        world.ok(&[&["update", "t"], asked].concat());
        world.ok(&["sync"]);
    }
    assert_eq!(world.column("select v from t order by 1"), ["1", "2", "3", "4"]);
    assert_eq!(keys_of(&world), json!(["v"]));
}

#[test]
fn what_cannot_be_told_is_refused_and_says_why() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"id\":1,\"v\":1}\n{\"v\":2}\n{\"v\":3}\n{\"id\":1,\"v\":4,\"f\":0.5}\n");
    world.ok(&["enable", "t"]);
    world.run(&["update", "t", "--mode", "upsert", "--key", "id"]).failed(2, &["never filled", "tableflow sync"]);
    world.ok(&["sync"]);
    let update = |asked: &[&str]| world.run(&[&["update", "t"], asked].concat());
    update(&["--mode", "upsert", "--key", "id"]).failed(3, &["2 rows of table bronze.t", "column id", "--mode append"]);
    update(&["--mode", "upsert", "--key", "id", "--dry-run"]).failed(3, &["2 rows of table bronze.t"]);
    update(&["--mode", "upsert", "--key", "nope"]).failed(2, &["no column nope"]);
    update(&["--mode", "upsert", "--key", "f"]).failed(2, &["cannot be identified by column f"]);
    update(&["--mode", "upsert", "--key", "_tableflow_offset"]).failed(2, &["column _tableflow_offset"]);
    // Keys as they are: these records have none.
    update(&["--mode", "upsert"]).failed(3, &["4 rows of table bronze.t", "column _tableflow_key"]);
    update(&["--key", "id"]).failed(2, &["every record", "--mode upsert"]);
    update(&["--mode", "append", "--key", "id"]).failed(2, &["leave --key out"]);
    update(&["--dry-run", "--evolution", "strict"]).failed(2, &[]);
    assert_eq!(world.json(&["update", "t", "--mode", "append"])["changed"], json!([]));
    assert_eq!(world.status("t")["mode"], "append");
    // The way back is open.
    world.ok(&["update", "t", "--mode", "upsert", "--key", "v"]);
    world.produce("t", "{\"id\":5}\n");
    world.ok(&["update", "t", "--mode", "append"]);
    world.ok(&["sync"]);
    world.run(&["update", "t", "--mode", "upsert", "--key", "v"]).failed(3, &["1 row of table bronze.t", "column v"]);

    for (topic, asked, words) in [
        ("none", ["--metadata-columns", "none"].as_slice(), ["do not say where they came from", "--table"]),
        ("letters", &["--error-handling", "LOG"], ["table of dead letters", "--table"]),
        ("types", &["--fan-out", "field:kind"], ["for each type of record", "--table"]),
    ] {
        world.topic(topic, 1);
        world.produce(topic, "{\"id\":1,\"kind\":\"a\"}\n");
        world.ok(&[&["enable", topic], asked].concat());
        world.ok(&["sync", topic]);
        world.run(&["update", topic, "--mode", "upsert", "--key", "id"]).failed(2, &words);
    }
    let change = json!({"before": null, "after": {"id": 1, "v": 1}, "op": "c", "source": {"ts_ms": 5}});
    world.topic("changes", 1);
    world.produce_envelopes("changes", &format!("{}\n", json!({"key": {"id": 1}, "value": change})));
    world.ok(&["enable", "changes", "--format", "debezium", "--key", "id"]);
    world.ok(&["sync", "changes"]);
    world.run(&["update", "changes", "--mode", "append"]).failed(2, &["of the changes' source", "--format json"]);
    world.topic("behind", 2);
    world.produce("behind", "{\"id\":1}\n");
    world.ok(&["enable", "behind"]);
    world.ok(&["sync", "behind"]);
    let many: String = (0..1_500).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    world.produce("behind", &many);
    let words = ["update", "behind", "--mode", "upsert", "--key", "id"];
    world.run(&words).failed(2, &["1500 records of the topic", "tableflow sync bronze.behind"]);
    world.ok(&["sync", "behind"]);
    world.ok(&words);
    world.topic("versions", 1);
    world.produce("versions", "{\"id\":1}\n");
    world.ok(&["enable", "versions", "--key", "id", "--delete", "history"]);
    world.ok(&["sync", "versions"]);
    world.run(&["update", "versions", "--mode", "append"]).failed(2, &["each version of its rows", "--table"]);
}

/// One that was declared with what was there then, and cannot be made of what is there now.
#[test]
fn a_job_that_cannot_tell_stops_and_says_how_many_rows() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"id\":1,\"v\":1}\n");
    world.ok(&["enable", "t", "--commit-interval", "100ms"]);
    world.ok(&["sync"]);
    world.ok(&["update", "t", "--mode", "upsert", "--key", "id"]);
    // Somebody else appends meanwhile.
    world.engines().ask("append", json!({"table": "bronze.t", "rows": [{"v": 7}, {"v": 8}, {"v": 9}]}));
    let up = world.up();
    let status = world.wait_for_status("t", "status", "Suspended");
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("3 rows of table bronze.t have no value in column id"), "{reason}");
    world.ok(&["update", "t", "--mode", "append"]);
    world.produce("t", "{\"id\":2,\"v\":2}\n");
    wait_for(|| world.status("t"), |status| status["lag"] == 0 && status["status"] != "Suspended");
    assert_eq!(world.column("select count(*) from bronze.t"), ["5"]);
    drop(up);
}

/// What was committed before may have several rows of one key.
#[test]
fn nothing_goes_back_to_several_rows_of_a_key() {
    let world = World::with_envelopes(&[row(1, 1), row(1, 2)].concat(), &[]);
    let before = world.status("t")["snapshot_id"].to_string();
    world.ok(&["update", "t", "--mode", "upsert", "--key", "id"]);
    world.ok(&["sync"]);
    let made = world.status("t")["snapshot_id"].to_string();
    world.produce_envelopes("t", &row(1, 3));
    world.ok(&["sync"]);
    world
        .run(&["rollback", "t", "--to", &before, "--replay"])
        .failed(2, &["before table bronze.t had one row a key", "--mode append"]);
    world.ok(&["rollback", "t", "--to", &made, "--replay"]);
    world.ok(&["resume", "t"]);
    world.ok(&["sync"]);
    check(&world, "t", &BTreeMap::from([(1, 3)]));
    world.ok(&["update", "t", "--mode", "append"]);
    world.ok(&["sync"]);
    world.ok(&["rollback", "t", "--to", &before, "--replay"]);
    world.ok(&["resume", "t"]);
    world.ok(&["sync"]);
    check_rows(&world, &[(1, 1), (1, 2), (1, 3)]);
    world.ok(&["update", "t", "--mode", "upsert", "--key", "id"]);
    world.ok(&["sync"]);
    check(&world, "t", &BTreeMap::from([(1, 3)]));
}

/// Who follows a table is told what went, once, and what comes after with what was before.
#[test]
fn a_consumer_is_told_what_goes() {
    let world = World::with_envelopes(&[row(1, 1), row(1, 2), row(2, 3)].concat(), &[]);
    let changes = || -> Vec<(String, i64)> {
        let told = world.ok(&["changes", "t", "--consumer", "c", "-o", "ndjson"]);
        let told = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut told: Vec<_> =
            told.map(|it| (it["_change_type"].as_str().unwrap().to_owned(), it["v"].as_i64().unwrap())).collect();
        told.sort();
        told
    };
    let of = |what: &[(&str, i64)]| -> Vec<(String, i64)> {
        what.iter().map(|(kind, v)| ((*kind).to_owned(), *v)).collect()
    };
    assert_eq!(changes(), of(&[("INSERT", 1), ("INSERT", 2), ("INSERT", 3)]));
    world.ok(&["update", "t", "--mode", "upsert", "--key", "id"]);
    world.ok(&["sync"]);
    assert_eq!(changes(), of(&[("DELETE", 1)]));
    world.produce_envelopes("t", &[row(1, 4), "{\"key\":2,\"value\":null}\n".to_owned()].concat());
    world.ok(&["sync"]);
    assert_eq!(changes(), of(&[("DELETE", 3), ("UPDATE_AFTER", 4), ("UPDATE_BEFORE", 2)]));
    world.ok(&["update", "t", "--mode", "append"]);
    world.ok(&["sync"]);
    assert_eq!(changes(), of(&[]));
    world.produce_envelopes("t", &row(1, 5));
    world.ok(&["sync"]);
    assert_eq!(changes(), of(&[("INSERT", 5)]));
}
