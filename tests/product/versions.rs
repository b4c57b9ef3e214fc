//! Tables that keep each version of their rows: what was when, as every reader sees it.

use serde_json::{Value, json};

use crate::changes::NOT_SENT;
use crate::database::HANDLINGS;
use crate::world::World;

const COLUMNS: [&str; 6] = ["__valid_from", "__valid_to", "__op", "id", "v", "note"];

/// So many seconds after a time that all tests begin at; below forty.
fn time(second: u32) -> String {
    format!("2023-11-14T22:13:{}+00:00", 20 + second)
}

/// The same in milliseconds.
fn millis(second: u32) -> i64 {
    1_700_000_000_000 + i64::from(second) * 1000
}

/// A change as Debezium sends it, which the database committed in that second: the connector saw it a minute later, and
/// the record came an hour later.
fn change(op: &str, id: i64, after: Value, second: u32) -> String {
    let at = millis(second);
    let source = json!({"lsn": 7, "ts_ms": at});
    let value = json!({"before": null, "after": after, "op": op, "source": source, "ts_ms": at + 60_000});
    let key = if op == "t" { Value::Null } else { json!({"id": id}) };
    format!("{}\n", json!({"key": key, "value": value, "timestamp": at + 3_600_000}))
}

fn put(op: &str, id: i64, v: i64, second: u32) -> String {
    change(op, id, json!({"id": id, "v": v, "note": format!("n{v}")}), second)
}

fn without_note(id: i64, v: i64, second: u32) -> String {
    change("u", id, json!({"id": id, "v": v, "note": NOT_SENT}), second)
}

fn delete(id: i64, second: u32) -> String {
    change("d", id, Value::Null, second)
}

/// A row as it is expected: its version's times, what made it, and what it has.
fn row(from: &str, to: Option<&str>, op: &str, (id, v, note): (i64, i64, Option<&str>)) -> Value {
    let values = [json!(from), json!(to), json!(op), json!(id), json!(v), json!(note)];
    COLUMNS.iter().map(|name| (*name).to_owned()).zip(values).collect()
}

#[track_caller]
fn check(world: &World, table: &str, expected: &[Value]) {
    world.ok(&["sync"]);
    for reader in ["pyiceberg", "duckdb"] {
        let order = json!({"reader": reader, "table": format!("bronze.{table}"), "columns": COLUMNS});
        assert_eq!(world.engines().ask("values", order), Value::from(expected.to_vec()), "{table}, read by {reader}");
    }
    let in_force = expected.iter().filter(|row| row["__valid_to"].is_null()).map(|row| row["v"].as_i64().unwrap());
    let mut in_force: Vec<i64> = in_force.collect();
    in_force.sort_unstable();
    assert_eq!(world.numbers(&format!("select v from {table} where __valid_to is null order by v")), in_force);
    assert_eq!(world.status(table)["rows_committed"], expected.len());
}

#[test]
fn each_version_of_a_row_stays_with_the_times_from_when_until_when_it_was() {
    for (handling, encoding) in HANDLINGS.into_iter().cycle().zip(["position", "dv", "cow"]) {
        let world = World::new();
        world.topic("t", 1);
        let send = |lines: &[String]| world.produce_envelopes("t", &lines.concat());
        send(&[put("r", 1, 10, 0), put("c", 2, 20, 1)]);
        let asked = ["--delete", "history", "--error-handling", handling, "--delete-encoding", encoding];
        world.ok(&[&["enable", "t", "--format", "debezium"][..], &asked].concat());
        assert_eq!(world.json(&["describe", "t"])["delete"], "history");
        let [t0, t1, t2, t3, t4, t5, t6, t7, t8, t9] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(time);
        check(&world, "t", &[row(&t0, None, "r", (1, 10, Some("n10"))), row(&t1, None, "c", (2, 20, Some("n20")))]);

        // Several in one commit: one that keeps a value of the table's row, a delete, a key that comes again.
        let again = [delete(2, 4), put("c", 2, 21, 5), put("c", 3, 30, 6), delete(3, 7)];
        send(&[&[without_note(1, 11, 2), put("u", 1, 12, 3)][..], &again].concat());
        let so_far = [
            row(&t0, Some(&t2), "r", (1, 10, Some("n10"))),
            row(&t1, Some(&t4), "c", (2, 20, Some("n20"))),
            row(&t2, Some(&t3), "u", (1, 11, Some("n10"))),
            row(&t3, None, "u", (1, 12, Some("n12"))),
            row(&t5, None, "c", (2, 21, Some("n21"))),
            row(&t6, Some(&t7), "c", (3, 30, Some("n30"))),
        ];
        check(&world, "t", &so_far);
        // Behind a compaction. A delete of what is not there changes nothing; a row that nobody has gives no value.
        world.ok(&["compact", "t"]);
        send(&[delete(9, 8), without_note(3, 31, 8), delete(1, 9)]);
        let mut so_far = so_far.to_vec();
        so_far[3] = row(&t3, Some(&t9), "u", (1, 12, Some("n12")));
        so_far.push(row(&t8, None, "u", (3, 31, None)));
        check(&world, "t", &so_far);
        // All end where the source empties its table; what comes behind begins anew.
        send(&[put("c", 4, 40, 10), change("t", 0, Value::Null, 11), without_note(2, 22, 12)]);
        let [t10, t11, t12] = [10, 11, 12].map(time);
        so_far[4] = row(&t5, Some(&t11), "c", (2, 21, Some("n21")));
        so_far[6] = row(&t8, Some(&t11), "u", (3, 31, None));
        so_far.push(row(&t10, Some(&t11), "c", (4, 40, Some("n40"))));
        so_far.push(row(&t12, None, "u", (2, 22, None)));
        check(&world, "t", &so_far);
    }
}

#[test]
fn versions_of_one_time_follow_each_other_by_a_microsecond() {
    let world = World::with_envelopes(&put("c", 1, 10, 5), &["--format", "debezium", "--delete", "history"]);
    // The second one's clock is behind.
    world.produce_envelopes("t", &[put("u", 1, 11, 5), put("u", 1, 12, 3)].concat());
    let [first, second, third] = ["25", "25.000001", "25.000002"].map(|at| format!("2023-11-14T22:13:{at}+00:00"));
    check(
        &world,
        "t",
        &[
            row(&first, Some(&second), "c", (1, 10, Some("n10"))),
            row(&second, Some(&third), "u", (1, 11, Some("n11"))),
            row(&third, None, "u", (1, 12, Some("n12"))),
        ],
    );
}

/// A flattened change says itself what it is, and so it stays.
#[test]
fn flattened_changes_bring_their_own_word_for_what_they_are() {
    let world = World::new();
    world.topic("t", 1);
    let line = |op: &str, v: i64, second: u32| {
        let value = json!({"id": 1, "v": v, "note": "n", "__op": op});
        let at = 1_700_000_000_000_i64 + i64::from(second) * 1000;
        format!("{}\n", json!({"key": {"id": 1}, "value": value, "timestamp": at}))
    };
    world.produce_envelopes("t", &[line("r", 1, 0), line("u", 2, 1)].concat());
    world.ok(&["enable", "t", "--key", "id", "--delete", "history"]);
    let rows = |end: Option<&str>| {
        let first = row(&time(0), Some(&time(1)), "r", (1, 1, Some("n")));
        [first, row(&time(1), end, "u", (1, 2, Some("n")))]
    };
    check(&world, "t", &rows(None));
    world.produce_envelopes("t", &line("d", 2, 2));
    check(&world, "t", &rows(Some(&time(2))));
}

/// Debezium's `add.fields=op,source.ts_ms`: the time is the database's, and a record that lacks it is of its own.
#[test]
fn flattened_changes_bring_the_time_of_their_source() {
    let world = World::new();
    world.topic("t", 1);
    let line = |op: &str, v: i64, at: Value, second: u32| {
        let value = json!({"id": 1, "v": v, "note": "n", "__op": op, "__source_ts_ms": at});
        format!("{}\n", json!({"key": {"id": 1}, "value": value, "timestamp": millis(second)}))
    };
    let lines = [line("r", 1, json!(millis(0)), 10), line("u", 2, json!(millis(1)), 11), line("u", 3, Value::Null, 12)];
    world.produce_envelopes("t", &lines.concat());
    world.ok(&["enable", "t", "--key", "id", "--delete", "history"]);
    let rows = |end: Option<&str>| {
        [
            row(&time(0), Some(&time(1)), "r", (1, 1, Some("n"))),
            row(&time(1), Some(&time(12)), "u", (1, 2, Some("n"))),
            row(&time(12), end, "u", (1, 3, Some("n"))),
        ]
    };
    check(&world, "t", &rows(None));
    world.produce_envelopes("t", &line("d", 3, json!(millis(13)), 19));
    check(&world, "t", &rows(Some(&time(13))));
}

/// A snapshot's rows say so where a connector wrote zero for the time that it did not know, and finer times count.
#[test]
fn a_time_that_the_source_does_not_know_is_the_connectors_and_finer_ones_count() {
    let world = World::new();
    world.topic("t", 1);
    let line = |op: &str, v: i64, source: Value| {
        let row = json!({"id": 1, "v": v, "note": "n"});
        let value = json!({"after": row, "op": op, "source": source, "ts_ms": millis(0)});
        format!("{}\n", json!({"key": {"id": 1}, "value": value, "timestamp": millis(20)}))
    };
    let fine = json!({"ts_ms": millis(1), "ts_us": millis(1) * 1000 + 7, "ts_ns": millis(1) * 1_000_000 + 7_999});
    world.produce_envelopes("t", &[line("r", 1, json!({"ts_ms": 0})), line("u", 2, fine)].concat());
    world.ok(&["enable", "t", "--format", "debezium", "--delete", "history"]);
    let second = "2023-11-14T22:13:21.000007+00:00";
    let first = row(&time(0), Some(second), "r", (1, 1, Some("n")));
    check(&world, "t", &[first, row(second, None, "u", (1, 2, Some("n")))]);
}

#[test]
fn a_table_keeps_versions_from_its_beginning_or_not_at_all() {
    let world = World::new();
    world.topic("t", 1);
    world.produce_envelopes("t", &put("c", 1, 10, 0));
    let enable = |words: &[&str]| world.run(&[&["enable", "t", "--format", "debezium"], words].concat());
    enable(&["--delete", "history"]).succeeded();
    world.ok(&["sync"]);
    world.ok(&["disable", "t"]);
    enable(&["--delete", "soft"]).failed(2, &["--delete soft is not what it has: history"]);
    enable(&[]).succeeded();
    world.produce_envelopes("t", &put("u", 1, 11, 1));
    let rows =
        [row(&time(0), Some(&time(1)), "c", (1, 10, Some("n10"))), row(&time(1), None, "u", (1, 11, Some("n11")))];
    check(&world, "t", &rows);
    // All versions of a person go together.
    world.ok(&["erase", "t", "--key", "1"]);
    assert_eq!(world.numbers("select count(*) from t"), [0]);
    world.topic("odd", 1);
    world.produce_envelopes("odd", "{\"key\":{\"id\":1},\"value\":{\"id\":1,\"__valid_to\":5}}\n");
    let odd = world.run(&["enable", "odd", "--key", "id", "--delete", "history"]);
    odd.failed(2, &["column __valid_to BIGINT cannot say of which version a row is", "rename the field"]);
    world.topic("u", 1);
    world.produce_envelopes("u", "{\"key\":{\"id\":1},\"value\":{\"id\":1}}\n");
    world.ok(&["enable", "u", "--key", "id"]);
    world.ok(&["disable", "u"]);
    world.run(&["enable", "u", "--delete", "history"]).failed(2, &["--delete history is not what it has: hard"]);
}

/// Who follows the table is told of ends as of changes of a row: each that goes was there, each that comes was not.
#[test]
fn who_follows_a_table_of_versions_is_told_what_ends_and_what_begins() {
    let world = World::new();
    world.topic("t", 1);
    world.produce_envelopes("t", &[put("c", 1, 10, 0), put("c", 2, 20, 1)].concat());
    world.ok(&["enable", "t", "--format", "debezium", "--delete", "history"]);
    world.ok(&["sync"]);
    let told = |audit: &str| -> Vec<(String, i64, bool)> {
        let lines = world.ok(&["changes", "t", "--consumer", audit, "-o", "ndjson"]);
        let told = lines.lines().map(|line| {
            let change: Value = serde_json::from_str(line).unwrap();
            let kind = change["_change_type"].as_str().unwrap().to_owned();
            (kind, change["v"].as_i64().unwrap(), change["__valid_to"].is_null())
        });
        let mut told: Vec<_> = told.collect();
        told.sort();
        told
    };
    told("audit");
    world.produce_envelopes("t", &[put("u", 1, 11, 2), delete(2, 3)].concat());
    world.ok(&["sync"]);
    let due = [
        ("INSERT", 11, true),
        ("UPDATE_AFTER", 10, false),
        ("UPDATE_AFTER", 20, false),
        ("UPDATE_BEFORE", 10, true),
        ("UPDATE_BEFORE", 20, true),
    ];
    assert_eq!(told("audit"), due.map(|(kind, v, in_force)| (kind.to_owned(), v, in_force)));
}
