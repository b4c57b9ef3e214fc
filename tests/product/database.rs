//! Changes of a database that say less than a whole row, and rows that are only marked as deleted.

use serde_json::{Value, json};

use crate::changes::{Changes, NOT_SENT};
use crate::world::World;

/// A change as Debezium sends it.
pub fn change(op: &str, id: i64, before: Value, after: Value) -> String {
    let value = json!({"before": before, "after": after, "op": op, "ts_ms": 5, "source": {"lsn": 7}});
    format!("{}\n", json!({"key": {"id": id}, "value": value}))
}

/// What every reader sees of these columns, the first of which is the key.
#[track_caller]
pub fn check(world: &World, table: &str, columns: &[&str], expected: &[Value]) {
    let named = |row: &Value| {
        let values = row.as_array().unwrap().iter().cloned();
        columns.iter().map(|name| (*name).to_owned()).zip(values).collect::<Value>()
    };
    let rows: Vec<Value> = expected.iter().map(named).collect();
    for reader in ["pyiceberg", "duckdb"] {
        let order = json!({"reader": reader, "table": format!("bronze.{table}"), "columns": columns});
        assert_eq!(world.engines().ask("values", order), Value::from(rows.clone()), "{table}, read by {reader}");
    }
    let names = columns.join(", ");
    assert_eq!(world.rows(&format!("select {names} from bronze.\"{table}\" order by {}", columns[0])), rows, "{table}");
}

/// With dead letters epochs are decided before they are committed, and rows that lack values go by way of a file.
pub const HANDLINGS: [&str; 2] = ["SUSPEND", "LOG"];

#[test]
fn a_value_that_its_source_did_not_send_again_stays_as_it_was() {
    for handling in HANDLINGS {
        let world = World::new();
        world.topic("docs", 1);
        let row = |id: i64, v: i64, doc: &str, tags: Value| json!({"id": id, "v": v, "doc": doc, "tags": tags});
        let send = |op: &str, id: i64, after: Value| {
            world.produce_envelopes("docs", &change(op, id, Value::Null, after));
        };
        let check = |rows: &[Value]| check(&world, "docs", &["id", "v", "doc", "tags"], rows);
        for id in 1..=3 {
            send("r", id, row(id, id * 10, &format!("doc {id}"), json!(["a", "b"])));
        }
        let enable = ["enable", "docs", "--format", "debezium", "--error-handling", handling, "--partition-by", "v"];
        world.ok(&enable);
        world.ok(&["sync"]);
        // One column, both, and one that was sent before in the same commit.
        send("u", 1, row(1, 11, NOT_SENT, json!(["c"])));
        send("u", 2, row(2, 21, NOT_SENT, json!([NOT_SENT])));
        send("u", 3, row(3, 31, "another", json!([NOT_SENT])));
        send("u", 3, row(3, 32, NOT_SENT, json!(["d"])));
        send("u", 3, row(3, 33, NOT_SENT, json!([NOT_SENT])));
        world.ok(&["sync"]);
        let same = json!(["a", "b"]);
        check(&[json!([1, 11, "doc 1", ["c"]]), json!([2, 21, "doc 2", same]), json!([3, 33, "another", ["d"]])]);
        // Again, from rows that were made whole before, and of a table that was compacted.
        world.ok(&["compact", "docs"]);
        send("u", 2, row(2, 22, NOT_SENT, json!([NOT_SENT])));
        send("u", 3, row(3, 34, NOT_SENT, json!([NOT_SENT])));
        world.ok(&["sync"]);
        check(&[json!([1, 11, "doc 1", ["c"]]), json!([2, 22, "doc 2", same]), json!([3, 34, "another", ["d"]])]);
        // Of a row that nobody has the value is not known: it is null, and never the word.
        send("d", 1, Value::Null);
        send("u", 1, row(1, 12, NOT_SENT, json!(["e"])));
        send("u", 4, row(4, 40, "doc 4", json!([NOT_SENT])));
        world.ok(&["sync"]);
        check(&[
            json!([1, 12, null, ["e"]]),
            json!([2, 22, "doc 2", same]),
            json!([3, 34, "another", ["d"]]),
            json!([4, 40, "doc 4", null]),
        ]);
        assert_eq!(world.status("docs")["rows_committed"], 4, "{handling}");
    }
}

#[test]
fn a_service_counts_the_values_that_nobody_has() {
    let world = World::new();
    world.topic("docs", 1);
    let send = |op: &str, id: i64, doc: &str| {
        world.produce_envelopes("docs", &change(op, id, Value::Null, json!({"id": id, "doc": doc})));
    };
    send("r", 1, "one");
    world.ok(&["enable", "docs", "--format", "debezium", "--unavailable-value-placeholder", "n/a"]);
    let up = world.up();
    send("u", 1, "n/a");
    send("u", 2, "n/a");
    send("u", 3, NOT_SENT);
    world.wait_for_status("docs", "lag", 0);
    check(&world, "docs", &["id", "doc"], &[json!([1, "one"]), json!([2, null]), json!([3, NOT_SENT])]);
    let (_, metrics) = up.get("/metrics");
    let line = metrics.lines().find(|line| line.starts_with("tableflow_values_lost_total{")).unwrap();
    assert!(line.ends_with(" 1"), "{line}");
    drop(up);
}

/// What a plain map holds of rows whose notes are not always sent.
#[test]
fn many_rows_keep_what_was_not_sent_again() {
    for handling in HANDLINGS {
        let world = World::new();
        world.topic("t", 3);
        let mut producer = Changes::by_lot(21).leaving_out();
        let key = |id: i64| json!(id);
        world.produce_envelopes("t", &producer.lines(key, 30));
        world.ok(&["enable", "t", "--key", "id", "--error-handling", handling, "--partition-by", "day"]);
        for count in [0, 1, 40, 200, 60] {
            world.produce_envelopes("t", &producer.lines(key, count));
            world.ok(&["sync"]);
            let rows = producer.expected.iter().map(|(id, v)| json!([id, v, producer.notes.get(id)]));
            check(&world, "t", &["id", "v", "note"], &rows.collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_column_that_stays_not_null_takes_no_row_without_its_value() {
    let world = World::new();
    world.topic("docs", 1);
    let after = |v: i64, doc: &str| json!({"id": 1, "v": v, "doc": doc});
    world.produce_envelopes("docs", &change("c", 1, Value::Null, after(1, "one")));
    world.ok(&["enable", "docs", "--format", "debezium", "--columns", "doc STRING NOT NULL"]);
    world.produce_envelopes("docs", &change("u", 1, Value::Null, after(2, NOT_SENT)));
    world.run(&["sync"]).failed(3, &["record 1 of partition 0", "doc was not sent again", "missing-value"]);
    world.ok(&["update", "docs", "--error-handling", "SKIP"]);
    world.ok(&["sync"]);
    check(&world, "docs", &["id", "v", "doc"], &[json!([1, 1, "one"])]);
}

#[test]
fn rows_that_are_deleted_stay_and_say_so() {
    for handling in HANDLINGS {
        let world = World::new();
        world.topic("orders", 1);
        let row = |id: i64, v: i64| json!({"id": id, "v": v, "note": format!("n{v}")});
        let send = |op: &str, id: i64, before: Value, after: Value| {
            world.produce_envelopes("orders", &change(op, id, before, after));
        };
        let check = |rows: &[Value]| check(&world, "orders", &["id", "v", "note", "__deleted"], rows);
        for id in 1..=4 {
            send("r", id, Value::Null, row(id, id * 10));
        }
        let enable = ["enable", "orders", "--format", "debezium", "--delete", "soft", "--error-handling", handling];
        world.ok(&enable);
        world.ok(&["sync"]);
        // With an image of the row, without one, twice, and of a row that never was.
        send("d", 1, row(1, 10), Value::Null);
        send("d", 2, Value::Null, Value::Null);
        world.produce_envelopes("orders", "{\"key\":{\"id\":2},\"value\":null}\n");
        send("d", 9, Value::Null, Value::Null);
        // Within one commit.
        send("u", 3, Value::Null, row(3, 31));
        send("d", 3, Value::Null, Value::Null);
        send("c", 5, Value::Null, row(5, 50));
        send("d", 5, Value::Null, Value::Null);
        send("c", 5, Value::Null, row(5, 51));
        world.ok(&["sync"]);
        check(&[
            json!([1, 10, "n10", true]),
            json!([2, 20, "n20", true]),
            json!([3, 31, "n31", true]),
            json!([4, 40, "n40", false]),
            json!([5, 51, "n51", false]),
        ]);
        assert_eq!(world.status("orders")["rows_committed"], 5, "{handling}");
        // A key that comes again, with a value that its source does not send, is a row as any.
        send("c", 1, Value::Null, row(1, 12));
        send("u", 2, Value::Null, json!({"id": 2, "v": 22, "note": NOT_SENT}));
        world.ok(&["sync"]);
        check(&[
            json!([1, 12, "n12", false]),
            json!([2, 22, "n20", false]),
            json!([3, 31, "n31", true]),
            json!([4, 40, "n40", false]),
            json!([5, 51, "n51", false]),
        ]);
        assert_eq!(world.numbers("select v from orders where not __deleted order by v"), [12, 22, 40, 51]);
    }
}

/// Without an envelope too, whatever says that a row is deleted.
#[test]
fn a_soft_delete_is_said_by_a_null_value_a_field_or_a_header() {
    let world = World::new();
    let line = |id: i64, v: i64, more: Value| {
        let mut value = json!({"id": id, "v": v});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("{}\n", json!({"key": {"id": id}, "value": value}))
    };
    let tombstone = |id: i64| format!("{{\"key\":{{\"id\":{id}}},\"value\":null}}\n");
    let header = |id: i64, op: &str| {
        format!("{}\n", json!({"key": {"id": id}, "value": {"id": id, "v": 7}, "headers": [["op", op]]}))
    };
    // A text stays a text, as Debezium writes it.
    for (table, words) in [("plain", [json!(false), json!(true)]), ("texts", [json!("false"), json!("true")])] {
        world.topic(table, 1);
        let put = |id: i64, v: i64| match table {
            "texts" => line(id, v, json!({"__deleted": "false"})),
            _ => line(id, v, json!({})),
        };
        world.produce_envelopes(table, &[put(1, 10), put(2, 20), put(3, 30), put(4, 40)].concat());
        world.ok(&["enable", table, "--key", "id", "--delete", "soft"]);
        world.ok(&["sync"]);
        let by_field = match table {
            "texts" => line(2, 21, json!({"__deleted": "true"})),
            _ => line(2, 21, json!({"__deleted": true})),
        };
        world.produce_envelopes(table, &[tombstone(1), by_field, header(3, "3")].concat());
        world.ok(&["sync"]);
        let [no, yes] = words;
        let rows = [json!([1, 10, yes]), json!([2, 21, yes]), json!([3, 7, yes]), json!([4, 40, no])];
        check(&world, table, &["id", "v", "__deleted"], &rows);
    }
    // Rows that are identified by their records' keys as they are.
    world.topic("keys", 1);
    world.produce_envelopes("keys", "{\"key\":\"a\",\"value\":{\"v\":1}}\n{\"key\":\"b\",\"value\":{\"v\":2}}\n");
    world.ok(&["enable", "keys", "--mode", "upsert", "--delete", "soft"]);
    world.ok(&["sync"]);
    world.produce_envelopes("keys", "{\"key\":\"a\",\"value\":null}\n{\"key\":\"c\",\"value\":null}\n");
    world.ok(&["sync"]);
    check(&world, "keys", &["v", "__deleted"], &[json!([1, true]), json!([2, false])]);
}

#[test]
fn what_rows_become_that_are_deleted_is_said_once() {
    let world = World::new();
    world.topic("t", 1);
    world.produce_envelopes("t", "{\"key\":1,\"value\":{\"id\":1,\"__deleted\":3}}\n");
    let refused = |words: &[&str], says: &[&str]| world.run(&[&["enable", "t"], words].concat()).failed(2, says);
    refused(&["--delete", "soft"], &["--delete is for tables with one row a key", "--mode upsert"]);
    refused(&["--unavailable-value-placeholder", "x"], &["is for tables with one row a key"]);
    refused(&["--key", "id", "--delete", "soft"], &["column __deleted BIGINT cannot say whether a row is deleted"]);
    world.topic("u", 1);
    world.produce_envelopes("u", "{\"key\":1,\"value\":{\"id\":1}}\n");
    world.ok(&["enable", "u", "--key", "id", "--delete", "soft"]);
    let description = world.json(&["describe", "u"]);
    let said = (&description["delete"], &description["unavailable_value_placeholder"]);
    assert_eq!(said, (&json!("soft"), &json!(NOT_SENT)));
    world.ok(&["disable", "u"]);
    world.run(&["enable", "u", "--delete", "hard"]).failed(2, &["--delete hard is not what it has: soft"]);
    world.ok(&["enable", "u"]);
    world.produce_envelopes("u", "{\"key\":1,\"value\":null}\n");
    world.ok(&["sync", "u"]);
    check(&world, "u", &["id", "__deleted"], &[json!([1, true])]);
}

/// What a connector sends that was set back, and rows of a snapshot behind the stream: positions in the source decide
/// nothing.
#[test]
fn of_changes_that_come_again_the_last_one_in_the_topic_counts() {
    let world = World::new();
    world.topic("t", 1);
    let send = |op: &str, lsn: i64, after: Value| {
        let value = json!({"after": after, "op": op, "ts_ms": lsn, "source": {"lsn": lsn, "snapshot": op == "r"}});
        world.produce_envelopes("t", &format!("{}\n", json!({"key": {"id": 1}, "value": value})));
    };
    let row = |v: i64| json!({"id": 1, "v": v});
    send("c", 10, row(1));
    world.ok(&["enable", "t", "--format", "debezium"]);
    let rows = |expected: &[Value]| {
        world.ok(&["sync"]);
        check(&world, "t", &["id", "v"], expected);
    };
    // The same once more, in one commit and in two.
    send("u", 20, row(2));
    send("u", 20, row(2));
    rows(&[json!([1, 2])]);
    for (lsn, v) in [(10, 1), (20, 2), (30, 3)] {
        send("u", lsn, row(v));
    }
    rows(&[json!([1, 3])]);
    // A snapshot behind the stream, and a delete that comes again before the row does.
    send("r", 15, row(2));
    rows(&[json!([1, 2])]);
    send("d", 40, Value::Null);
    send("d", 40, Value::Null);
    rows(&[]);
    send("c", 50, row(5));
    rows(&[json!([1, 5])]);
}
