//! Tables whose columns another engine changed: a column is its field id, whatever it is called.
//!
//! - I1: our queries read what PyIceberg and DuckDB read, in files from before a change and after it.
//! - I2: a filter never goes by what a file or its statistics say about another column of that name.
//! - I3: manifests that were joined since are no other.
//! - I4: a table as it was has the columns that it had.

use serde_json::{Value, json};

use crate::python::Engines;
use crate::world::World;

/// A table of its own, what becomes of its columns, rows of another writer after that, and filters.
struct Case {
    table: &'static str,
    changes: Value,
    rows: Value,
    filters: &'static [&'static str],
}

fn case(table: &'static str, changes: Value, rows: Value, filters: &'static [&'static str]) -> Case {
    Case { table, changes, rows, filters }
}

fn columns() -> Vec<Case> {
    vec![
        case(
            "renamed",
            json!([["rename", "a", "z"], ["rename", "w", "wide"], ["widen", "wide", "long"]]),
            json!([{"id": 100, "z": 5, "wide": 5_000_000_000_i64}]),
            &["z = 5", "z > 15", "z is null", "wide = 5", "wide > 5", "wide = 5000000000"],
        ),
        case("dropped", json!([["drop", "a"], ["drop", "s"]]), json!([{"id": 100, "b": 1}]), &["b = 1005", "c = 'c7'"]),
        case(
            "added_again",
            json!([["drop", "a"], ["add", "a", "long"]]),
            json!([{"id": 100, "a": 5}, {"id": 101, "a": 1_000_000}]),
            &["a = 5", "a = 7", "a is null", "a is not null", "a >= 1000000", "a < 3", "a <> 5", "coalesce(a, 7) = 7"],
        ),
        case(
            "another_type",
            json!([["drop", "a"], ["drop", "c"], ["add", "a", "string"], ["add", "c", "long"]]),
            json!([{"id": 100, "a": "c5", "c": 5}]),
            &["a = 'c5'", "a = '5'", "a is null", "a > 'a'", "c = 5", "c is null", "c > 0"],
        ),
        case(
            "reordered",
            json!([["first", "c"], ["first", "l"], ["first", "b"]]),
            json!([{"id": 100, "a": 3, "b": 4, "c": "x"}]),
            &["a = 3", "b = 4", "c = 'x'", "b < 1003"],
        ),
        case(
            "swapped",
            json!([["rename", "a", "t"], ["rename", "b", "a"], ["rename", "t", "b"]]),
            json!([{"id": 100, "a": 5, "b": 1005}]),
            &["a = 5", "b = 5", "a = 1005", "b = 1005", "a > 1010", "b between 3 and 4"],
        ),
        case(
            "swapped_types",
            json!([["rename", "a", "t"], ["rename", "c", "a"], ["rename", "t", "c"]]),
            json!([{"id": 100, "a": "c5", "c": 5}]),
            &["a = 'c5'", "c = 5", "a > 'c8'", "c > 15"],
        ),
    ]
}

/// Of a struct, of structs in a list, of structs in a map.
fn fields() -> Vec<Case> {
    vec![
        case(
            "inside_renamed",
            json!([["rename", "s.x", "z"], ["rename", "l.element.x", "z"], ["rename", "m.value.x", "z"]]),
            json!([{"id": 100, "s": {"z": 5, "y": "n"}, "l": [{"z": 5, "y": "n"}], "m": []}]),
            &["s['z'] = 5", "s['z'] > 15", "l[1]['z'] = 5", "s is not null", "l is not null"],
        ),
        case(
            "inside_dropped",
            json!([["drop", "s.x"], ["drop", "l.element.x"], ["drop", "m.value.x"]]),
            json!([{"id": 100, "s": {"y": "n"}, "l": [{"y": "n"}], "m": []}]),
            &["s['y'] = 'y5'", "l[1]['y'] = 'y5'", "s is null", "l is null"],
        ),
        case(
            "inside_added_again",
            json!([
                ["drop", "s.x"],
                ["add", "s.x", "string"],
                ["drop", "l.element.x"],
                ["add", "l.x", "string"],
                ["drop", "m.value.x"],
                ["add", "m.x", "string"],
            ]),
            json!([{"id": 100, "s": {"y": "n", "x": "5"}, "l": [{"y": "n", "x": "5"}], "m": []}]),
            &["s['x'] = '5'", "s['x'] is null", "l[1]['x'] = '5'", "l[1]['x'] is null", "s['y'] = 'y5'"],
        ),
    ]
}

fn lines(from: i64, to: i64) -> String {
    let line = |n: i64| {
        let inner = json!({"x": n, "y": format!("y{n}")});
        let row = json!({
            "id": n, "a": n, "b": 1000 + n, "c": format!("c{n}"), "w": n, "s": inner, "l": [inner, inner],
            "m": {"k": inner},
        });
        format!("{row}\n")
    };
    (from..to).map(line).collect()
}

/// I1.
#[track_caller]
pub fn check_documents(world: &World, engines: &Engines, table: &str, readers: &[&str]) {
    let ours = world.file("ours.ndjson", world.ok(&["query", &format!("select * from {table}"), "-o", "ndjson"]));
    let ours = engines.ask("document", json!({"reader": "ndjson", "table": table, "file": ours}));
    for reader in readers {
        assert_eq!(ours, engines.ask("document", json!({"reader": reader, "table": table})), "{table} by {reader}");
    }
}

/// I1, I2.
#[track_caller]
fn check(world: &World, engines: &Engines, case: &Case) {
    let table = format!("bronze.{}", case.table);
    check_documents(world, engines, &table, &["pyiceberg", "duckdb"]);
    let wholes = ["true", "id < 5", "id >= 100"];
    let filters = case.filters.iter().chain(&wholes);
    let sql = |(place, filter): (usize, &&str)| {
        format!("select {place} p, count(*) n, coalesce(sum(id), 0) s from {{table}} where {filter}")
    };
    let sql = filters.clone().enumerate().map(sql).collect::<Vec<_>>().join(" union all ") + " order by p";
    let theirs = engines.ask("duckdb_rows", json!({"table": table, "statements": [sql]}));
    let ours = world.ok(&["query", &sql.replace("{table}", &table), "-o", "csv"]);
    for ((filter, theirs), ours) in filters.zip(theirs[0].as_array().unwrap()).zip(ours.lines().skip(1)) {
        let row: Vec<&str> = theirs.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
        assert_eq!(ours, row.join(","), "{table} where {filter}");
    }
}

#[test]
fn i1_i2_i3_columns_are_their_ids() {
    let world = World::new();
    let engines = world.engines();
    world.topic("events", 1);
    let cases: Vec<Case> = columns().into_iter().chain(fields()).collect();
    world.produce("events", &lines(0, 10));
    for case in &cases {
        let columns = "w INT, m MAP<STRING, ROW<x STRING, y STRING>>";
        let sorted = if case.table == "swapped" { "a desc" } else { "" };
        let words = ["enable", "events", "--table", case.table, "--columns", columns, "--sort-by", sorted];
        world.ok(&words);
    }
    world.ok(&["sync"]);
    world.produce("events", &lines(10, 20));
    world.ok(&["sync"]);
    for case in &cases {
        let table = format!("bronze.{}", case.table);
        engines.ask("alter", json!({"table": table, "changes": case.changes}));
        engines.ask("append", json!({"table": table, "rows": case.rows}));
        check(&world, &engines, case);
    }
    let manifests = |table: &str| {
        let seen = engines.ask("metadata", json!({"table": format!("bronze.{table}")}));
        seen["manifests"].as_u64().unwrap()
    };
    // Each commit is a manifest of its own until there are sixteen. PyIceberg 0.x reads a null list of structs as an
    // empty one.
    for id in 200..214 {
        world.produce("events", &format!("{{\"id\":{id},\"l\":[],\"m\":{{}}}}\n"));
        world.ok(&["sync"]);
    }
    for case in &cases {
        let left = manifests(case.table);
        assert!(left < 5, "{}: {left}", case.table);
        check(&world, &engines, case);
    }
    extremes(&world);
}

/// What metadata alone answers, by hand: 20 rows of old, then those of the other writer.
fn extremes(world: &World) {
    for (sql, row) in [
        (
            "select count(a) n, min(a) least, max(a) most from added_again",
            json!({"n": 2, "least": 5, "most": 1_000_000}),
        ),
        ("select count(z) n, min(z) least, max(z) most from renamed", json!({"n": 21, "least": 0, "most": 19})),
        ("select min(a) least, max(b) most from swapped", json!({"least": 5, "most": 1005})),
        ("select count(a) n, max(c) most from another_type", json!({"n": 1, "most": 5})),
        ("select count(*) n, max(b) most from dropped", json!({"n": 35, "most": 1019})),
    ] {
        assert_eq!(world.rows(sql), [row], "{sql}");
    }
    let plan = world.ok(&["query", "explain select id from added_again where a >= 1000000", "-o", "csv"]);
    assert!(plan.contains(".parquet"), "{plan}");
}

#[test]
fn i4_a_point_in_time_has_the_columns_of_then() {
    let world = World::with_table("events", &lines(0, 3));
    let engines = world.engines();
    let changes = json!([["drop", "a"], ["rename", "b", "bEE"], ["rename", "s.x", "zED"], ["add", "a", "string"]]);
    engines.ask("alter", json!({"table": "bronze.events", "changes": changes}));
    engines.ask("append", json!({"table": "bronze.events", "rows": [{"id": 3, "a": "text", "bEE": 1}]}));
    let first = world.json(&["history", "events"])[1]["snapshot_id"].to_string();
    let old = "select a, b, s['x'] x from events";
    let wanted = [json!({"a": 2, "b": 1002, "x": 2})];
    assert_eq!(world.rows(&format!("{old} for version as of {first} where a = 2 and b > 1000")), wanted);
    assert_eq!(world.json(&["query", &format!("{old} where A = 2"), "--as-of", &first]), json!(wanted));
    world.run(&["query", &format!("select bEE from events for version as of {first}")]).failed(2, &["bee"]);
    // Each mention has its own columns, in whatever case they are written.
    let both = format!(
        "select n.a, n.bee, n.s.zed z, o.a was from events n left join events for version as of {first} o \
         on o.b = n.bee where n.id > 1 order by n.id"
    );
    let rows =
        [json!({"a": null, "bEE": 1002, "z": 2, "was": 2}), json!({"a": "text", "bEE": 1, "z": null, "was": null})];
    assert_eq!(world.rows(&both), rows);
}

/// Files of other engines that carry no ids are read by name, as long as names mean what they meant.
#[test]
fn i1_files_without_ids_are_read_by_the_names_that_the_table_gives_them() {
    let world = World::with_table("events", &lines(0, 1));
    let engines = world.engines();
    let inner = |n: i64| json!([{"x": n, "y": format!("y{n}")}]);
    let rows = |from: i64| -> Value {
        (from..from + 3).map(|n| json!({"id": n, "a": n, "b": 10 + n, "s": inner(n)[0], "l": inner(n)})).collect()
    };
    for (table, mapped) in [("mapped", true), ("named", false)] {
        let name = format!("bronze.{table}");
        engines.ask("take_in", json!({"table": name, "files": [rows(0), rows(3)], "mapped": mapped}));
        assert_eq!(
            world.rows(&format!("select a, b, s['y'] y, l[1]['x'] x from {table} where a in (1, 4) order by id")),
            [json!({"a": 1, "b": 11, "y": "y1", "x": 1}), json!({"a": 4, "b": 14, "y": "y4", "x": 4})],
            "{table}"
        );
        let changes = json!([
            ["drop", "b"],
            ["rename", "a", "z"],
            ["drop", "s.x"],
            ["add", "s.v", "long"],
            ["rename", "l.element.x", "z"],
        ]);
        engines.ask("alter", json!({"table": name, "changes": changes}));
        if mapped {
            check_documents(&world, &engines, &name, &["pyiceberg"]);
            let row = json!({"z": 4, "s": {"y": "y4", "v": null}, "inside": 4});
            assert_eq!(world.rows("select z, s, l[1]['z'] inside from mapped where z = 4"), [row]);
            assert_eq!(world.numbers("select count(*) from mapped where s['v'] is null and z < 5"), [5]);
            engines.ask("alter", json!({"table": name, "changes": [["rename", "z", "b"]]}));
            world.run(&["query", "select b from mapped"]).failed(2, &["its a and b are both one column"]);
        } else {
            let words = ["no field ids", "name of several columns", "schema.name-mapping.default"];
            world.run(&["query", "select z from named"]).failed(2, &words);
            world.run(&["query", "select count(*) from named where z = 4"]).failed(2, &words);
        }
    }
    // The very columns of the file again, which are others.
    let file = json!([{"id": 1, "z": 7}, {"id": 2, "z": 8}]);
    engines.ask("take_in", json!({"table": "bronze.again", "files": [file], "mapped": false}));
    assert_eq!(json!(world.rows("select * from again")), file);
    engines.ask("alter", json!({"table": "bronze.again", "changes": [["drop", "z"], ["add", "z", "long"]]}));
    world.run(&["query", "select * from again"]).failed(2, &["no field ids", "z has been the name of several columns"]);
}

#[test]
fn i1_bytes_are_never_read_as_the_text_that_has_their_name_now() {
    let world = World::new();
    let engines = world.engines();
    world.topic("events", 1);
    world.produce("events", "{\"id\":1,\"raw\":\"AP8=\"}\n");
    world.ok(&["enable", "events", "--columns", "raw BYTES"]);
    world.ok(&["sync"]);
    let changes = json!([["rename", "raw", "bytes"], ["add", "raw", "string"]]);
    engines.ask("alter", json!({"table": "bronze.events", "changes": changes}));
    assert_eq!(world.rows("select id, raw from events where raw is null"), [json!({"id": 1, "raw": null})]);
    let words = ["column bytes was called raw", "hint: leave bytes out, or rename raw"];
    world.run(&["query", "select bytes from events"]).failed(2, &words);
    engines.ask("alter", json!({"table": "bronze.events", "changes": [["rename", "raw", "text"]]}));
    assert_eq!(world.rows("select bytes from events"), [json!({"bytes": "AP8="})]);
}

/// The name of a partition's column and of one that the table is sorted by are changed; then a column goes that
/// partitioned the files of before.
#[test]
fn i3_columns_of_partitions_and_of_the_order_may_change() {
    let world = World::new();
    let engines = world.engines();
    world.topic("events", 1);
    world.produce("events", &lines(0, 6));
    for (table, partition_by, sort_by) in [("parts", "c, bucket(2, a)", ""), ("sorted", "", "a desc")] {
        let columns = "m MAP<STRING, ROW<x BIGINT, y STRING>>";
        let words = ["enable", "events", "--table", table, "--columns", columns];
        world.ok(&[&words[..], &["--partition-by", partition_by, "--sort-by", sort_by]].concat());
    }
    world.ok(&["sync"]);
    let line = |id: i64| json!({"id": id, "z": format!("c{id}"), "n": id, "l": [], "m": {}}).to_string() + "\n";
    engines.ask("alter", json!({"table": "bronze.parts", "changes": [["rename", "c", "z"]]}));
    engines.ask("alter", json!({"table": "bronze.sorted", "changes": [["rename", "a", "n"]]}));
    world.produce("events", &(line(6) + &line(7)));
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select n from sorted where id < 6"), [5, 4, 3, 2, 1, 0]);
    assert_eq!(world.numbers("select n from sorted where id >= 6"), [7, 6], "by the column of that id");

    let changes = json!([["unpartition", "a_bucket"], ["drop", "a"], ["add", "a", "string"]]);
    engines.ask("alter", json!({"table": "bronze.parts", "changes": changes}));
    for id in 8..26 {
        world.produce("events", &line(id));
        world.ok(&["sync"]);
    }
    for table in ["bronze.parts", "bronze.sorted"] {
        check_documents(&world, &engines, table, &["pyiceberg", "duckdb"]);
        let seen = engines.ask("metadata", json!({"table": table}));
        assert!(seen["manifests"].as_u64().unwrap() < 8, "{table}: {seen}");
    }
    for (filter, rows) in [("z = 'c3'", 1), ("z > 'c3'", 6), ("a is null", 26), ("a = '3'", 0), ("z = 'c20'", 1)] {
        assert_eq!(world.numbers(&format!("select count(*) from parts where {filter}")), [rows], "{filter}");
    }
    let plan = world.ok(&["query", "explain select id from parts where z = 'c3'", "-o", "csv"]);
    assert_eq!(plan.matches(".parquet").count(), 1, "a partition is its column's, whatever it is called: {plan}");
}
