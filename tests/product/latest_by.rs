//! Tables in which the row of a key stays that is the latest by a column: what comes late changes nothing.

use serde_json::{Value, json};

use crate::changes::Changes;
use crate::database::{HANDLINGS, check};
use crate::world::World;

/// A record of a key, of that day of January, or of none.
fn put(id: i64, name: &str, day: Option<u32>) -> String {
    line(json!({"id": id, "name": name, "at": at(day)}))
}

fn delete(id: i64, day: Option<u32>) -> String {
    line(json!({"id": id, "at": at(day), "__deleted": true}))
}

fn at(day: Option<u32>) -> Value {
    day.map_or(Value::Null, |day| json!(format!("2026-01-{day:02}T00:00:00Z")))
}

fn line(value: Value) -> String {
    format!("{}\n", json!({"key": {"id": value["id"]}, "value": value}))
}

#[track_caller]
fn check_left_out(world: &World, table: &str, count: u64) {
    assert_eq!(world.status(table)["changes_left_out"], count);
}

#[test]
fn a_record_that_is_older_than_the_row_of_its_key_changes_nothing() {
    for (handling, encoding) in HANDLINGS.into_iter().cycle().zip(["position", "dv", "cow"]) {
        let world = World::new();
        world.topic("t", 1);
        let send = |lines: &[String]| {
            world.produce_envelopes("t", &lines.concat());
            world.ok(&["sync"]);
        };
        let rows = |expected: &[Value]| check(&world, "t", &["id", "name"], expected);
        world.produce_envelopes("t", &[put(1, "a", Some(5)), put(2, "b", None), put(3, "c", Some(5))].concat());
        let asked = ["--latest-by", "at", "--columns", "at TIMESTAMP_LTZ(3)", "--partition-by", "name"];
        let written = ["--error-handling", handling, "--delete-encoding", encoding];
        let enable = [&["enable", "t", "--key", "id"][..], &asked, &written].concat();
        assert!(world.ok(&[&enable[..], &["--dry-run"]].concat()).contains("the latest by at"));
        world.ok(&enable);
        world.ok(&["sync"]);
        rows(&[json!([1, "a"]), json!([2, "b"]), json!([3, "c"])]);
        check_left_out(&world, "t", 0);

        // A row of the table stays before an older record, and before one that says no time; of equal ones the later counts.
        send(&[put(1, "late", Some(4)), put(2, "timed", Some(1)), put(3, "equal", Some(5)), put(3, "untimed", None)]);
        rows(&[json!([1, "a"]), json!([2, "timed"]), json!([3, "equal"])]);
        check_left_out(&world, "t", 2);
        // Within one commit, of rows that a compaction has moved.
        world.ok(&["compact", "t"]);
        send(&[put(1, "newer", Some(9)), put(1, "late", Some(8)), put(4, "new", Some(3)), put(4, "late", Some(2))]);
        rows(&[json!([1, "newer"]), json!([2, "timed"]), json!([3, "equal"]), json!([4, "new"])]);
        check_left_out(&world, "t", 4);
        // So with deletes. What was deleted has no time: anything comes back.
        send(&[delete(1, Some(8)), delete(2, Some(1)), delete(3, Some(6)), put(3, "back", Some(1))]);
        rows(&[json!([1, "newer"]), json!([3, "back"]), json!([4, "new"])]);
        check_left_out(&world, "t", 5);
        // A null value says no time, and deletes whatever is there by then.
        let null = format!("{}\n", json!({"key": {"id": 4}, "value": null}));
        send(&[put(2, "back", None), delete(1, Some(9)), null]);
        rows(&[json!([2, "back"]), json!([3, "back"])]);
        check_left_out(&world, "t", 5);
        assert_eq!(world.json(&["describe", "t"])["latest_by"], "at");
    }
}

/// What a plain map holds of which nothing late ever came.
#[test]
fn many_late_records_leave_the_rows_as_they_are() {
    for handling in HANDLINGS {
        let world = World::new();
        world.topic("t", 3);
        let mut producer = Changes::by_lot(22).leaving_out().with_late_ones();
        let key = |id: i64| json!(id);
        world.produce_envelopes("t", &producer.lines(key, 30));
        let written = ["--error-handling", handling, "--partition-by", "day"];
        world.ok(&[&["enable", "t", "--key", "id", "--latest-by", "v"], &written[..]].concat());
        for count in [0, 1, 40, 200, 60] {
            world.produce_envelopes("t", &producer.lines(key, count));
            world.ok(&["sync"]);
            let rows = producer.expected.iter().map(|(id, v)| json!([id, v, producer.notes.get(id)]));
            check(&world, "t", &["id", "v", "note"], &rows.collect::<Vec<_>>());
            check_left_out(&world, "t", producer.late);
        }
        assert!(producer.late > 100);
    }
}

/// A change as Debezium sends it, made there.
fn change(op: &str, id: i64, v: i64, source: &Value) -> String {
    let after = if op == "d" { Value::Null } else { json!({"id": id, "v": v}) };
    let value = json!({"before": null, "after": after, "op": op, "source": source, "ts_ms": 5});
    format!("{}\n", json!({"key": {"id": id}, "value": value}))
}

#[test]
fn what_a_connector_sends_late_changes_nothing_where_its_source_says_the_order() {
    let lsn = |at: i64| json!({"lsn": at, "ts_ms": 9_000_000_000_000_i64 - at});
    for handling in HANDLINGS {
        let world = World::new();
        world.topic("t", 1);
        let send = |lines: &[String]| {
            world.produce_envelopes("t", &lines.concat());
            world.ok(&["sync"]);
        };
        let rows = |expected: &[Value]| check(&world, "t", &["id", "v", "__source_position"], expected);
        world.produce_envelopes("t", &[change("c", 1, 10, &lsn(100)), change("c", 2, 20, &lsn(101))].concat());
        let asked = ["--format", "debezium", "--latest-by", "source", "--error-handling", handling];
        world.ok(&[&["enable", "t"], &asked[..]].concat());
        world.ok(&["sync"]);
        rows(&[json!([1, 10, 100]), json!([2, 20, 101])]);
        // A second connector takes a snapshot, and is behind: rows that a snapshot read come behind every change.
        send(&[change("u", 1, 11, &lsn(200)), change("r", 1, 10, &lsn(250)), change("r", 4, 40, &lsn(250))]);
        rows(&[json!([1, 11, 200]), json!([2, 20, 101]), json!([4, 40, null])]);
        check_left_out(&world, "t", 1);
        send(&[change("u", 4, 41, &lsn(3)), change("u", 2, 19, &lsn(99))]);
        rows(&[json!([1, 11, 200]), json!([2, 20, 101]), json!([4, 41, 3])]);
        check_left_out(&world, "t", 2);
        let tombstone = format!("{}\n", json!({"key": {"id": 1}, "value": null}));
        send(&[
            change("d", 1, 0, &lsn(199)),
            tombstone.clone(),
            change("d", 2, 0, &lsn(151)),
            change("d", 4, 0, &lsn(4)),
        ]);
        rows(&[json!([1, 11, 200])]);
        check_left_out(&world, "t", 3);
        send(&[change("d", 1, 0, &lsn(201)), tombstone, change("t", 0, 0, &lsn(1)), change("c", 3, 30, &lsn(2))]);
        rows(&[json!([3, 30, 2])]);
        check_left_out(&world, "t", 3);
    }
}

/// A database that sends a deleted row's key alone does not say when that was.
#[test]
fn a_delete_that_says_no_time_marks_the_row_which_keeps_its_own() {
    for handling in HANDLINGS {
        let world = World::new();
        world.topic("t", 1);
        let send = |lines: &[String]| {
            world.produce_envelopes("t", &lines.concat());
            world.ok(&["sync"]);
        };
        let rows = |expected: &[Value]| check(&world, "t", &["id", "name", "__deleted"], expected);
        world.produce_envelopes("t", &[put(1, "a", Some(5)), put(2, "b", Some(5)), put(3, "c", Some(5))].concat());
        let asked = ["--latest-by", "at", "--delete", "soft", "--columns", "at TIMESTAMP_LTZ(3)"];
        world.ok(&[&["enable", "t", "--key", "id", "--error-handling", handling], &asked[..]].concat());
        world.ok(&["sync"]);
        let null = format!("{}\n", json!({"key": {"id": 2}, "value": null}));
        send(&[delete(1, None), null, delete(3, Some(4)), delete(4, None)]);
        rows(&[json!([1, null, true]), json!([2, "b", true]), json!([3, "c", false]), json!([4, null, true])]);
        send(&[put(1, "late", Some(4)), put(2, "late", Some(4)), put(3, "newer", Some(6))]);
        rows(&[json!([1, null, true]), json!([2, "b", true]), json!([3, "newer", false]), json!([4, null, true])]);
        check_left_out(&world, "t", 3);
    }
}

#[test]
fn a_table_whose_column_another_engine_renames_stops_before_a_record_is_left_out() {
    let world = World::new();
    world.topic("t", 1);
    world.produce_envelopes("t", &put(1, "a", Some(5)));
    world.ok(&["enable", "t", "--key", "id", "--latest-by", "at", "--columns", "at TIMESTAMP_LTZ(3)"]);
    world.ok(&["sync"]);
    let rename = |from: &str, to: &str| {
        world.engines().ask("alter", json!({"table": "bronze.t", "changes": [["rename", from, to]]}));
    };
    rename("at", "changed");
    world.produce_envelopes("t", &put(1, "newer", Some(6)));
    world.run(&["sync"]).failed(3, &["column at, by which the latest row of a key is told, is called changed"]);
    rename("changed", "at");
    world.ok(&["resume", "t"]);
    world.ok(&["sync"]);
    check(&world, "t", &["id", "name"], &[json!([1, "newer"])]);
}

/// A key that was deleted has a position as long as its row stays.
#[test]
fn a_late_change_brings_no_row_back_that_is_marked_as_deleted() {
    let binlog = |file: i64, pos: i64| json!({"file": format!("mysql-bin.{file:06}"), "pos": pos, "row": 0});
    for handling in HANDLINGS {
        let world = World::new();
        world.topic("t", 1);
        let send = |lines: &[String]| {
            world.produce_envelopes("t", &lines.concat());
            world.ok(&["sync"]);
        };
        let rows = |expected: &[Value]| {
            check(&world, "t", &["id", "v", "__deleted", "__source_position"], expected);
        };
        let (early, late) = ((3_i64 << 32) + 900, (4_i64 << 32) + 4);
        world.produce_envelopes("t", &change("c", 1, 10, &binlog(3, 900)));
        let asked = ["--format", "debezium", "--latest-by", "source", "--delete", "soft", "--error-handling", handling];
        world.ok(&[&["enable", "t"], &asked[..]].concat());
        world.ok(&["sync"]);
        rows(&[json!([1, 10, false, early])]);
        send(&[change("d", 1, 0, &binlog(3, 899))]);
        rows(&[json!([1, 10, false, early])]);
        // What follows a delete for those who keep the last record of a key is no change.
        let tombstone = format!("{}\n", json!({"key": {"id": 1}, "value": null}));
        send(&[change("d", 1, 0, &binlog(4, 4)), tombstone, change("u", 1, 11, &binlog(3, 1000))]);
        rows(&[json!([1, 10, true, late])]);
        send(&[change("u", 1, 12, &binlog(4, 3)), change("d", 2, 0, &binlog(4, 9))]);
        rows(&[json!([1, 10, true, late])]);
        send(&[change("c", 1, 13, &binlog(4, 5))]);
        rows(&[json!([1, 13, false, late + 1])]);
        check_left_out(&world, "t", 3);
        // That all rows went counts in the order of the topic; rows keep their places, and what is behind it counts again.
        let all_gone = change("t", 0, 0, &binlog(1, 1));
        send(&[change("c", 3, 30, &binlog(4, 6)), all_gone, change("u", 3, 31, &binlog(4, 5))]);
        rows(&[json!([1, 13, true, late + 1]), json!([3, 30, true, late + 2])]);
        send(&[change("u", 1, 14, &binlog(4, 4)), change("u", 3, 32, &binlog(4, 6))]);
        rows(&[json!([1, 13, true, late + 1]), json!([3, 32, false, late + 2])]);
        check_left_out(&world, "t", 5);
    }
}

#[test]
fn every_type_that_has_an_order_tells_the_latest_row() {
    for (of, low, high) in [
        ("INT", json!(-2), json!(10)),
        ("BIGINT", json!(9), json!(i64::MAX)),
        ("DECIMAL(10,2)", json!("-1.5"), json!("1.25")),
        ("DATE", json!("2025-12-31"), json!("2026-01-01")),
        ("TIMESTAMP(6)", json!("2026-01-01T00:00:00"), json!("2026-01-01T00:00:00.000001")),
        // By their bytes, not by any language.
        ("STRING", json!("Z"), json!("a")),
    ] {
        let world = World::new();
        world.topic("t", 1);
        let put = |v: i64, at: &Value| line(json!({"id": 1, "v": v, "at": at}));
        world.produce_envelopes("t", &[put(1, &high), put(2, &low)].concat());
        let columns = format!("at {of}");
        world.ok(&["enable", "t", "--key", "id", "--latest-by", "at", "--columns", &columns]);
        world.ok(&["sync"]);
        world.produce_envelopes("t", &[put(3, &low), put(4, &Value::Null)].concat());
        world.ok(&["sync"]);
        check(&world, "t", &["id", "v"], &[json!([1, 1])]);
        check_left_out(&world, "t", 3);
        world.produce_envelopes("t", &put(5, &high));
        world.ok(&["sync"]);
        check(&world, "t", &["id", "v"], &[json!([1, 5])]);
    }
}

#[test]
fn a_table_goes_by_a_column_from_its_beginning_or_not_at_all() {
    let world = World::new();
    world.topic("t", 1);
    world.produce_envelopes("t", &line(json!({"id": 1, "at": 5, "ratio": 0.5, "name": "a"})));
    let enable = |words: &[&str]| world.run(&[&["enable", "t"], words].concat());
    let by_key = |words: &[&str]| enable(&[&["--key", "id"], words].concat());
    enable(&["--latest-by", "at"]).failed(2, &["--latest-by is for tables with one row a key"]);
    by_key(&["--latest-by", "nobody"]).failed(2, &["there is no column nobody"]);
    by_key(&["--latest-by", "ratio"]).failed(2, &["column ratio cannot tell the latest row of a key", "it is double"]);
    by_key(&["--latest-by", "id"]).failed(2, &["it is part of the key"]);
    by_key(&["--latest-by", "_tableflow_offset"]).failed(2, &["it says where a record came from"]);
    by_key(&["--latest-by", "at", "--delete", "history"]).failed(2, &["keep each version of their rows"]);
    by_key(&["--latest-by", "at"]).succeeded();
    world.ok(&["sync"]);
    world.run(&["update", "t", "--mode", "append"]).failed(2, &["tells the latest row of a key by at"]);
    world.ok(&["disable", "t"]);
    by_key(&["--latest-by", "name"]).failed(2, &["--latest-by name is not what it has: at"]);
    enable(&[]).succeeded();
    world.produce_envelopes("t", &line(json!({"id": 1, "at": 4, "name": "late"})));
    let up = world.up();
    world.wait_for_status("t", "lag", 0);
    check(&world, "t", &["id", "name"], &[json!([1, "a"])]);
    let (_, metrics) = up.get("/metrics");
    let line = metrics.lines().find(|line| line.starts_with("tableflow_changes_left_out_total{")).unwrap();
    assert!(line.ends_with(" 1"), "{line}");
    drop(up);
}
