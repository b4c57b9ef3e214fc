//! Tables with one row a key: what a plain map of the producer's changes holds, every engine reads.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::changes::Changes;
use crate::world::World;

/// How rows are identified, and what the producer's keys look like.
struct Case {
    name: &'static str,
    enable: &'static [&'static str],
    key: fn(i64) -> Value,
}

const CASES: [Case; 5] = [
    Case { name: "by_value", enable: &["--key", "id"], key: |id| json!(id) },
    Case {
        name: "by_two",
        enable: &["--mode", "upsert", "--key", "id, half", "--partition-by", "bucket(3, id)"],
        key: |id| json!({"half": id / 2, "id": id}),
    },
    Case {
        name: "by_key_columns",
        enable: &["--mode", "upsert", "--key-format", "json", "--partition-by", "day"],
        key: |id| json!({"customer": id}),
    },
    // A field that values have too identifies rows with the others.
    Case {
        name: "by_shared_columns",
        enable: &["--mode", "upsert", "--key-format", "json"],
        key: |id| json!({"region": id % 2, "id": id}),
    },
    Case { name: "as_it_is", enable: &["--mode", "upsert", "--sort-by", "v"], key: |id| json!(format!("k-{id}")) },
];

#[track_caller]
pub fn check(world: &World, table: &str, expected: &BTreeMap<i64, i64>) {
    let rows: Vec<Value> = expected.iter().map(|(id, value)| json!({"id": id, "v": value})).collect();
    for reader in ["pyiceberg", "duckdb"] {
        let order = json!({"reader": reader, "table": format!("bronze.{table}"), "columns": ["id", "v"]});
        assert_eq!(world.engines().ask("values", order), Value::from(rows.clone()), "{table}, read by {reader}");
    }
    assert_eq!(
        world.rows(&format!("select id, v from bronze.\"{table}\" order by id")),
        rows,
        "{table}, read by tableflow"
    );
    assert_eq!(world.status(table)["rows_committed"], rows.len(), "{table}");
}

#[test]
fn one_row_a_key_is_what_every_engine_reads_after_every_commit() {
    for (Case { name, enable, key }, seed) in CASES.into_iter().zip(1..) {
        let world = World::new();
        world.topic(name, 3);
        let mut producer = Changes::by_lot(seed);
        world.produce_envelopes(name, &producer.lines(key, 5));
        world.ok(&[&["enable", name], enable].concat());
        for count in [0, 1, 30, 60, 200, 3] {
            world.produce_envelopes(name, &producer.lines(key, count));
            world.ok(&["sync"]);
            check(&world, name, &producer.expected);
        }
        let status = world.status(name);
        assert_eq!((&status["mode"], &status["delete_encoding"]), (&json!("upsert"), &json!("position")), "{name}");
    }
}

/// What cannot be decoded is put aside in the epoch of the changes around it.
#[test]
fn changes_and_dead_letters_are_of_one_epoch() {
    let world = World::new();
    world.topic("t", 2);
    let mut producer = Changes::by_lot(9);
    let key = CASES[0].key;
    world.produce_envelopes("t", &producer.lines(key, 20));
    world.ok(&["enable", "t", "--key", "id", "--partition-by", "day", "--error-handling", "LOG"]);
    let mut letters = 0;
    for count in [5, 40, 0, 90] {
        world.produce_envelopes("t", &producer.lines(key, count));
        // Nothing identifies these: a row without a key, a delete without one, a text for a number.
        for bad in [r#"{"key":1,"value":{"v":1}}"#, r#"{"key":null,"value":null}"#, r#"{"key":2,"value":{"id":"x"}}"#] {
            world.produce_envelopes("t", &format!("{bad}\n"));
            letters += 1;
        }
        world.produce_envelopes("t", &producer.lines(key, count));
        world.ok(&["sync"]);
        check(&world, "t", &producer.expected);
        assert_eq!(world.status("t")["rows_dead_lettered"], letters);
    }
    assert_eq!(world.numbers("select count(*) from t__dlq"), [letters]);
    world.run(&["dlq", "replay", "t"]).failed(2, &["one row a key", "dlq show"]);
    world.ok(&["compact", "t", "t__dlq"]);
    check(&world, "t", &producer.expected);
    // Without letters it is committed by itself again, and with them once more.
    for handling in ["SKIP", "LOG"] {
        world.ok(&["update", "t", "--error-handling", handling]);
        world.produce_envelopes("t", &producer.lines(key, 30));
        world.ok(&["sync"]);
        check(&world, "t", &producer.expected);
    }
}

/// A service keeps what it knows of keys from commit to commit, and takes in what others did meanwhile.
#[test]
fn a_service_keeps_one_row_a_key_while_somebody_else_writes() {
    let world = World::new();
    world.topic("t", 2);
    let mut producer = Changes::by_lot(7);
    let key = CASES[0].key;
    world.produce_envelopes("t", &producer.lines(key, 50));
    world.ok(&["enable", "t", "--key", "id", "--commit-interval", "100ms", "--metadata-columns", "none"]);
    let up = world.up();
    for round in 0..4 {
        world.produce_envelopes("t", &producer.lines(key, 80));
        world.wait_for_status("t", "lag", 0);
        check(&world, "t", &producer.expected);
        let (id, value) = (1000 + round, -round - 1);
        let rows = json!([{"id": id, "half": 0, "v": value, "day": 0}]);
        world.engines().ask("append", json!({"table": "bronze.t", "rows": rows}));
        producer.expected.insert(id, value);
        check(&world, "t", &producer.expected);
    }
    // A row of somebody else's is one as any: its key is deleted.
    world.produce_envelopes("t", "{\"key\":1001,\"value\":null}\n");
    world.wait_for_status("t", "lag", 0);
    producer.expected.remove(&1001);
    check(&world, "t", &producer.expected);
    drop(up);
}

#[test]
fn records_that_nothing_identifies_are_bad_ones() {
    let world = World::new();
    world.topic("t", 1);
    let good = "{\"key\":1,\"value\":{\"id\":1,\"v\":1}}\n";
    for (table, bad, path) in [
        ("null_key", "{\"key\":2,\"value\":{\"id\":null,\"v\":2}}\n", "id"),
        ("no_key", "{\"key\":2,\"value\":{\"v\":2}}\n", "id"),
        ("tombstone_without_key", "{\"key\":null,\"value\":null}\n", "key"),
        ("tombstone_of_another_key", "{\"key\":{\"other\":2},\"value\":null}\n", "id"),
        ("tombstone_of_no_number", "{\"key\":\"two\",\"value\":null}\n", "key"),
    ] {
        world.topic(table, 1);
        world.produce_envelopes(table, &[good, bad, good].concat());
        world.ok(&["enable", table, "--key", "id"]);
        let stopped = world.run(&["sync", table]);
        stopped.failed(3, &["record 1 of partition 0", path]);
        assert_eq!(world.numbers(&format!("select count(*) from {table}")), [1], "{table}");
        world.ok(&["update", table, "--error-handling", "SKIP"]);
        world.ok(&["sync", table]);
        let status = world.status(table);
        assert_eq!((&status["rows_skipped"], &status["lag"]), (&json!(1), &json!(0)), "{table}");
    }
}

#[test]
fn what_cannot_identify_rows_is_refused_with_a_way_on() {
    let world = World::new();
    world.topic("t", 1);
    world.produce_envelopes("t", "{\"key\":1,\"value\":{\"id\":1,\"price\":1.5,\"tags\":[1]}}\n");
    for (words, says) in [
        (&["--key", "nobody"][..], &["there is no column nobody", "--columns"][..]),
        (&["--key", "price"], &["cannot be identified by column price"]),
        (&["--key", "tags"], &["cannot be identified by column tags"]),
        (&["--key", "id,_tableflow_key"], &["cannot be identified by column _tableflow_key"]),
        (&["--mode", "append", "--key", "id"], &["--key is for tables with one row a key"]),
        (&["--mode", "upsert", "--metadata-columns", "none"], &["nothing identifies the rows", "--key"]),
        (&["--key", "id", "--fan-out", "field:id"], &["comes later", "--mode append"]),
    ] {
        world.run(&[&["enable", "t"], words].concat()).failed(2, says);
    }
    world.ok(&["enable", "t", "--key", "id"]);
    world.ok(&["disable", "t"]);
    world.run(&["enable", "t", "--mode", "append"]).failed(2, &["--mode append is not what it has: upsert"]);
    world.run(&["enable", "t", "--key", "price"]).failed(2, &["--key price is not what it has: id"]);
    world.ok(&["enable", "t"]);
    assert_eq!(world.json(&["describe", "t"])["mode"], "upsert");
}

#[test]
fn a_topic_that_begins_with_deletes_becomes_a_table() {
    let world = World::new();
    world.topic("t", 1);
    let lines = "{\"key\":7,\"value\":null}\n{\"key\":1,\"value\":{\"id\":1,\"v\":10}}\n{\"key\":7,\"value\":null}\n";
    world.produce_envelopes("t", lines);
    world.ok(&["enable", "t", "--key", "id"]);
    world.ok(&["sync"]);
    check(&world, "t", &BTreeMap::from([(1, 10)]));
}

/// A key that became wider under a running service is deleted as it was put.
#[test]
fn a_key_that_becomes_wider_is_deleted_all_the_same() {
    let world = World::new();
    world.topic("t", 1);
    let schema = |of: &str| {
        let fields = r#"{"name":"v","type":"long"},{"name":"__deleted","type":"boolean"}"#;
        format!(r#"{{"type":"record","name":"R","fields":[{{"name":"id","type":"{of}"}},{fields}]}}"#)
    };
    let register = |of: &str| {
        let file = world.file("schema.avsc", schema(of));
        world.json(&["schema", "register", "t-value", &file])["id"].as_u64().unwrap() as u8
    };
    let send = |id: u8, key: &[u8], v: u8, deleted: u8| {
        world.produce_raw("t", &[&[0, 0, 0, 0, id], key, &[v * 2, deleted], b"\n"].concat());
    };
    let (narrow, small, large) = (register("int"), [2], [0x80, 0xe0, 0xa6, 0xad, 0x16]);
    send(narrow, &small, 1, 0);
    world.ok(&["enable", "t", "--key", "id", "--commit-interval", "100ms"]);
    let up = world.up();
    world.wait_for_status("t", "lag", 0);
    let wide = register("long");
    send(wide, &large, 3, 0);
    world.wait_for_status("t", "rows_committed", 2);
    send(wide, &large, 0, 1);
    send(wide, &small, 0, 1);
    world.wait_for_status("t", "rows_committed", 0);
    check(&world, "t", &BTreeMap::new());
    drop(up);
}

/// A change as Debezium sends it, beside its schema or alone.
fn change(op: &str, key: &Value, before: Value, after: Value, has_schema: bool) -> String {
    let value = json!({"before": before, "after": after, "op": op, "ts_ms": 5, "source": {"lsn": 7}});
    let beside = |payload: Value| json!({"schema": {"type": "struct"}, "payload": payload});
    let (key, value) = if has_schema { (beside(key.clone()), beside(value)) } else { (key.clone(), value) };
    format!("{}\n", json!({"key": key, "value": value}))
}

#[test]
fn changes_of_a_database_make_the_rows_that_it_has() {
    for has_schema in [false, true] {
        let world = World::new();
        let topic = "pg.public.orders";
        world.topic(topic, 3);
        let row = |id: i64, v: i64| json!({"id": id, "half": id / 2, "v": v});
        let send = |op: &str, id: i64, before: Value, after: Value| {
            world.produce_envelopes(topic, &change(op, &json!({"id": id}), before, after, has_schema));
        };
        // A snapshot, then the stream.
        for id in 1..=5 {
            send("r", id, Value::Null, row(id, id * 10));
        }
        world.ok(&["enable", topic, "--format", "debezium"]);
        let mut expected: BTreeMap<i64, i64> = (1..=5).map(|id| (id, id * 10)).collect();
        world.ok(&["sync"]);
        check(&world, topic, &expected);
        send("u", 2, row(2, 20), row(2, 21));
        // Without an image of what was before.
        send("u", 3, Value::Null, row(3, 31));
        send("c", 6, Value::Null, row(6, 60));
        // Deletes, one with a tombstone behind it.
        send("d", 4, row(4, 40), Value::Null);
        send("d", 1, Value::Null, Value::Null);
        world.produce_envelopes(topic, "{\"key\":{\"id\":1},\"value\":null}\n");
        // A key that changes is a delete and an insert.
        send("d", 5, row(5, 50), Value::Null);
        send("c", 50, Value::Null, row(50, 50));
        world.ok(&["sync"]);
        expected.extend([(2, 21), (3, 31), (6, 60), (50, 50)]);
        expected.retain(|id, _| ![1, 4, 5].contains(id));
        check(&world, topic, &expected);
        // A key that was deleted comes again.
        send("c", 4, Value::Null, row(4, 44));
        expected.insert(4, 44);
        world.ok(&["sync"]);
        check(&world, topic, &expected);
    }
}

#[test]
fn what_is_no_change_of_a_row_is_a_bad_record() {
    let world = World::new();
    let good = change("c", &json!({"id": 1}), Value::Null, json!({"id": 1, "v": 1}), false);
    for (table, bad, reason) in [
        ("odd_op", "{\"key\":null,\"value\":{\"op\":\"x\",\"message\":{}}}\n", "not-a-change"),
        ("plain_row", "{\"key\":{\"id\":2},\"value\":{\"id\":2,\"v\":2}}\n", "not-a-change"),
    ] {
        world.topic(table, 1);
        world.produce_envelopes(table, &[&good, bad, &good].concat());
        world.ok(&["enable", table, "--format", "debezium"]);
        world.run(&["sync", table]).failed(3, &["record 1 of partition 0", reason, "--error-handling SKIP"]);
        assert_eq!(world.numbers(&format!("select v from {table}")), [1], "{table}");
        world.ok(&["update", table, "--error-handling", "SKIP"]);
        world.ok(&["sync", table]);
        let status = world.status(table);
        assert_eq!((&status["rows_skipped"], &status["lag"]), (&json!(1), &json!(0)), "{table}");
    }
    world.topic("keyless", 1);
    world.produce_envelopes("keyless", "{\"key\":null,\"value\":{\"op\":\"c\",\"after\":{\"id\":1}}}\n");
    world.run(&["enable", "keyless", "--format", "debezium"]).failed(2, &["has a key that names columns", "--key id"]);
    world
        .run(&["enable", "keyless", "--format", "debezium", "--mode", "append"])
        .failed(2, &["one row for each row of their source"]);
}

/// Where transactions begin and end, schemas change and connectors say that they live: of no row.
#[test]
fn notices_of_a_connector_are_left_out() {
    let world = World::new();
    let change = |op: &str, id: i64, after: Value| change(op, &json!({"id": id}), Value::Null, after, false);
    let good = |id: i64| change("c", id, json!({"id": id, "v": id * 10}));
    let begin = json!({"status": "BEGIN", "id": "7", "event_count": null, "data_collections": null, "ts_ms": 5});
    let end = json!({"status": "END", "id": "7", "event_count": 2, "data_collections": [], "ts_ms": 6});
    let altered = json!({"source": {"lsn": 8}, "ts_ms": 5, "databaseName": "d", "schemaName": "public",
        "ddl": "ALTER TABLE orders ADD COLUMN n INT", "tableChanges": []});
    let notices = [
        json!({"key": {"id": "7"}, "value": begin}),
        json!({"key": {"databaseName": "d"}, "value": {"schema": {"type": "struct"}, "payload": altered}}),
        json!({"key": {"serverName": "pg"}, "value": {"ts_ms": 6}}),
        json!({"key": {"prefix": "p"}, "value": {"op": "m", "ts_ms": 6, "source": {"lsn": 9}, "message": {}}}),
        json!({"key": {"id": "7"}, "value": end}),
    ];
    for handling in ["SUSPEND", "SKIP", "LOG"] {
        let topic = handling.to_lowercase();
        world.topic(&topic, 1);
        world.produce_envelopes(&topic, &good(1));
        world.ok(&["enable", &topic, "--format", "debezium", "--error-handling", handling]);
        for notice in &notices {
            world.produce_envelopes(&topic, &format!("{notice}\n"));
        }
        world.produce_envelopes(&topic, &[good(2), change("d", 1, Value::Null)].concat());
        world.ok(&["sync", &topic]);
        check(&world, &topic, &BTreeMap::from([(2, 20)]));
        let status = world.status(&topic);
        let counts = ["rows_skipped", "rows_dead_lettered", "lag"].map(|name| status[name].as_i64());
        assert_eq!(counts, [Some(5), Some(0), Some(0)], "{handling}");
    }
    // A topic that has nothing else makes no table.
    world.topic("pg.transaction", 1);
    world.produce_envelopes("pg.transaction", &format!("{}\n{}\n", notices[0], notices[4]));
    world.topic("pg.public.orders", 1);
    world.produce_envelopes("pg.public.orders", &good(1));
    world.run(&["enable", "pg.transaction", "--format", "debezium"]).failed(2, &["no changes of rows", "leave"]);
    world.ok(&["enable", "--match", "pg\\..*", "--format", "debezium"]);
    let tables = world.json(&["list"]);
    assert!(tables.to_string().contains("pg.public.orders") && !tables.to_string().contains("pg.transaction"));
}

#[test]
fn rows_that_say_so_are_deleted() {
    let world = World::new();
    let line = |id: i64, v: i64, more: Value, headers: Value| {
        let mut value = json!({"id": id, "half": id / 2, "v": v});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("{}\n", json!({"key": {"id": id}, "value": value, "headers": headers}))
    };
    for (table, gone, stays) in [
        ("texts", json!({"__deleted": "true"}), json!({"__deleted": "false"})),
        ("booleans", json!({"__deleted": true}), json!({"__deleted": false})),
        ("ops", json!({"__op": "d"}), json!({"__op": "u"})),
        ("headers", json!({}), json!({})),
        ("headers_of_debezium", json!({}), json!({})),
        ("headers_in_json", json!({}), json!({})),
    ] {
        world.topic(table, 2);
        let header = |[code, op]: [&str; 2]| match table {
            "headers" => json!([["op", code]]),
            "headers_of_debezium" => json!([["__op", op]]),
            "headers_in_json" => json!([["__op", format!("\"{op}\"")]]),
            _ => json!([]),
        };
        let put = |id: i64, v: i64| line(id, v, stays.clone(), header(["2", "u"]));
        let delete = |id: i64| line(id, 0, gone.clone(), header(["3", "d"]));
        world.produce_envelopes(table, &[put(1, 10), put(2, 20), put(3, 30), delete(2)].concat());
        world.ok(&["enable", table, "--key", "id"]);
        world.ok(&["sync"]);
        check(&world, table, &BTreeMap::from([(1, 10), (3, 30)]));
        world.produce_envelopes(table, &[delete(1), put(2, 21), delete(9)].concat());
        world.ok(&["sync"]);
        check(&world, table, &BTreeMap::from([(2, 21), (3, 30)]));
    }
}

/// A topic that got partitions, or whose producer spreads keys: nearly all records are in one of three, so that the others are
/// read to their ends long before it, in commits of their own.
#[test]
fn of_records_in_several_partitions_the_last_one_by_time_stays_whenever_each_is_committed() {
    const RECORDS: i64 = 200_000;
    let world = World::new();
    let mut random = fastrand::Rng::with_seed(7);
    let mut expected = BTreeMap::new();
    let mut lines = String::new();
    for at in 0..RECORDS {
        let (id, value) = (random.i64(0..400), (random.u8(..10) > 1).then_some(at));
        let partition = if random.u8(..50) > 0 { 0 } else { random.u8(1..3) };
        let row = value.map_or(Value::Null, |value| json!({"id": id, "v": value}));
        let record =
            json!({"key": {"id": id}, "value": row, "timestamp": 1_700_000_000_000 + at, "partition": partition});
        lines += &format!("{record}\n");
        match value {
            Some(value) => expected.insert(id, value),
            None => expected.remove(&id),
        };
    }
    world.topic("t", 3);
    world.produce_envelopes("t", &lines);
    world.ok(&["enable", "t", "--key", "id", "--commit-interval", "10ms"]);
    let up = world.up_with(&[("TABLEFLOW__UPKEEP__ENABLED", "false")]);
    world.wait_for_status("t", "lag", 0);
    let commits = world.json(&["history", "t"]).as_array().unwrap().len();
    assert!(commits >= 4, "it was to be several commits, and was {commits}");
    check(&world, "t", &expected);
    assert!(up.terminate().success());
}

/// What is younger than a record that stops its partition waits behind it: else an older value would come last.
#[test]
fn a_record_that_cannot_be_decoded_does_not_let_younger_ones_pass() {
    let world = World::new();
    world.topic("t", 2);
    let line = |partition: u8, at: i64, key: i64, value: Value| {
        format!("{}\n", json!({"key": {"id": key}, "value": value, "timestamp": at, "partition": partition}))
    };
    let row = |id: i64, v: i64| json!({"id": id, "v": v});
    let lines = [
        line(0, 5, 7, row(7, 5)),
        line(0, 10, 9, json!("no row")),
        line(0, 20, 1, row(1, 20)),
        line(0, 21, 2, Value::Null),
        line(1, 4, 8, row(8, 4)),
        line(1, 50, 1, row(1, 50)),
        line(1, 51, 2, row(2, 51)),
    ];
    world.produce_envelopes("t", &lines.concat());
    world.ok(&["enable", "t", "--key", "id", "--columns", "id BIGINT, v BIGINT"]);
    world.run(&["sync", "t"]).failed(3, &["partition=0", "offset=1"]);
    check(&world, "t", &BTreeMap::from([(7, 5), (8, 4)]));
    world.ok(&["update", "t", "--error-handling", "SKIP"]);
    world.ok(&["resume", "t"]);
    world.ok(&["sync", "t"]);
    check(&world, "t", &BTreeMap::from([(1, 50), (2, 51), (7, 5), (8, 4)]));
}
