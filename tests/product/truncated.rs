//! Sources that empty their tables: what was before goes, what comes behind stays.

use serde_json::{Value, json};

use crate::changes::NOT_SENT;
use crate::database::{HANDLINGS, change, check};
use crate::followed::Audit;
use crate::world::World;

/// As Debezium sends it: without a key.
fn truncation() -> String {
    format!("{}\n", json!({"key": null, "value": {"op": "t", "ts_ms": 6, "source": {"lsn": 8}}}))
}

fn row(id: i64, v: i64) -> String {
    change("c", id, Value::Null, json!({"id": id, "v": v, "note": format!("n{v}")}))
}

fn without_note(id: i64, v: i64) -> String {
    change("u", id, Value::Null, json!({"id": id, "v": v, "note": NOT_SENT}))
}

/// The ways in which deleted rows are written.
const ENCODINGS: [&str; 3] = ["position", "dv", "cow"];

#[test]
fn rows_from_before_their_source_emptied_its_table_go_and_those_behind_it_stay() {
    for (handling, encoding) in HANDLINGS.into_iter().cycle().zip(ENCODINGS) {
        let world = World::new();
        world.topic("t", 1);
        let send = |lines: &[String]| world.produce_envelopes("t", &lines.concat());
        let check = |rows: &[Value]| {
            world.ok(&["sync"]);
            check(&world, "t", &["id", "v", "note"], rows);
            assert_eq!(world.status("t")["rows_committed"], rows.len(), "{handling}, {encoding}");
        };
        send(&[row(1, 10), row(2, 20)]);
        let asked = ["--error-handling", handling, "--delete-encoding", encoding, "--partition-by", "bucket(2, id)"];
        world.ok(&[&["enable", "t", "--format", "debezium"][..], &asked].concat());
        check(&[json!([1, 10, "n10"]), json!([2, 20, "n20"])]);
        // Some rows were replaced before. What was not sent again is gone with the row that had it.
        send(&[row(2, 21), row(3, 30)]);
        check(&[json!([1, 10, "n10"]), json!([2, 21, "n21"]), json!([3, 30, "n30"])]);
        send(&[row(4, 40), row(1, 11), truncation(), row(1, 12), without_note(2, 22)]);
        check(&[json!([1, 12, "n12"]), json!([2, 22, null])]);
        // Twice in a commit, and nothing behind it.
        send(&[truncation(), row(5, 50), truncation()]);
        check(&[]);
        send(&[truncation()]);
        check(&[]);
        send(&[row(1, 13)]);
        check(&[json!([1, 13, "n13"])]);
        world.ok(&["compact", "t"]);
        check(&[json!([1, 13, "n13"])]);
    }
}

#[test]
fn rows_are_marked_where_that_is_what_becomes_of_deleted_ones() {
    for (handling, encoding) in HANDLINGS.into_iter().cycle().zip(ENCODINGS) {
        let world = World::new();
        world.topic("t", 1);
        let send = |lines: &[String]| world.produce_envelopes("t", &lines.concat());
        let check = |rows: &[Value]| {
            world.ok(&["sync"]);
            check(&world, "t", &["id", "v", "note", "__deleted", "_tableflow_offset"], rows);
        };
        send(&[row(1, 10), row(2, 20), row(3, 30), row(4, 40), row(6, 60), change("d", 4, Value::Null, Value::Null)]);
        let asked = ["--delete", "soft", "--error-handling", handling, "--delete-encoding", encoding];
        world.ok(&[&["enable", "t", "--format", "debezium"][..], &asked].concat());
        world.ok(&["sync"]);
        send(&[row(5, 50), without_note(1, 11), truncation(), truncation(), row(3, 31), without_note(2, 21)]);
        // Each marked row says which record marked it; one that was marked before says the same as then.
        check(&[
            json!([1, 11, "n10", true, 8]),
            json!([2, 21, "n20", false, 11]),
            json!([3, 31, "n31", false, 10]),
            json!([4, 40, "n40", true, 5]),
            json!([5, 50, "n50", true, 8]),
            json!([6, 60, "n60", true, 8]),
        ]);
    }
}

#[test]
fn a_topic_of_several_partitions_does_not_say_what_came_before_a_truncation() {
    let world = World::new();
    world.topic("t", 2);
    world.produce_envelopes("t", &[row(1, 10), row(2, 20)].concat());
    world.ok(&["enable", "t", "--format", "debezium"]);
    world.produce_envelopes("t", &[truncation(), row(3, 30)].concat());
    world.run(&["sync"]).failed(3, &["emptied its whole table", "2 partitions", "truncation", "--error-handling SKIP"]);
    world.ok(&["update", "t", "--error-handling", "SKIP"]);
    world.ok(&["sync"]);
    check(&world, "t", &["id", "v"], &[json!([1, 10]), json!([2, 20]), json!([3, 30])]);
    assert_eq!(world.status("t")["rows_skipped"], 1);
}

#[test]
fn who_follows_a_table_is_told_the_rows_that_its_source_emptied_away() {
    let world = World::with_envelopes(&[row(1, 10), row(2, 20)].concat(), &["--format", "debezium"]);
    let mut audit = Audit::default();
    audit.follow(&world, "t");
    world.produce_envelopes("t", &[row(4, 40), truncation(), row(2, 21), row(3, 30)].concat());
    world.ok(&["sync"]);
    audit.follow(&world, "t");
    assert_eq!(audit.rows, [(2, 21), (3, 30)].into());
}
