//! What went in is what every engine reads: ours, PyIceberg and DuckDB.
//!
//! - I1: the producer's lines decide: row count, and for every column the nulls and the hash of its values.
//! - I2: a filter changes which files are read, never which rows come back.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::python::Engines;
use crate::world::World;

/// Every type a column can be declared with.
const COLUMNS: &str = "id BIGINT, `sma-ll` INT, flag BOOLEAN, ratio DOUBLE, share FLOAT, amount DECIMAL(10, 2), \
     wide DECIMAL(38, 10), name STRING, day DATE, made TIMESTAMP(6), seen TIMESTAMP_LTZ(3), body BYTES, \
     tags ARRAY<STRING>, `home.address` ROW<city STRING, at ROW<lat DOUBLE, lon DOUBLE>>, \
     marks MAP<STRING, BIGINT>, `lines` ARRAY<ROW<sku STRING, qty INT>>";

/// Pseudo-random, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One row's fields as JSON texts.
fn fields(n: u64, dice: &mut Dice) -> Vec<(&'static str, String)> {
    let extremes = [i64::MIN, i64::MAX, 9_007_199_254_740_993, -1, 0];
    let id = extremes.get(n as usize).copied().unwrap_or(n as i64);
    let (month, day, hour) = (1 + dice.roll(12), 1 + dice.roll(28), dice.roll(24));
    let names = ["Ada", "Zoë", "日本語", "😀 smile", "", "with \\\"quotes\\\"", "tab\\tnew\\nline", "Ada Lovelace"];
    vec![
        ("id", id.to_string()),
        ("sma-ll", (dice.roll(5) as i64 - 2).to_string()),
        ("flag", (dice.roll(2) == 0).to_string()),
        ("ratio", format!("{:?}", dice.roll(1_000_000) as f64 / 7.0)),
        ("share", format!("{}.5", dice.roll(1000))),
        ("amount", format!("{}.{:02}", dice.roll(99_999_999) as i64 - 50_000_000, dice.roll(100))),
        ("wide", format!("\"{}{:010}.{:010}\"", 1 + dice.roll(9), dice.roll(9_999_999_999), dice.roll(9_999_999_999))),
        ("name", format!("\"{}\"", names[dice.roll(names.len() as u64) as usize])),
        ("day", format!("\"{:04}-{month:02}-{day:02}\"", 1969 + dice.roll(60))),
        ("made", format!("\"2026-{month:02}-{day:02}T{hour:02}:59:59.{:06}\"", dice.roll(1_000_000))),
        ("seen", (1_767_225_600_000 + dice.roll(200) * 3_600_000 + dice.roll(1000)).to_string()),
        ("body", "\"AP8=\"".to_owned()),
        ("tags", ["[]", "[\"a\",null,\"b\"]", "[\"x\"]"][dice.roll(3) as usize].to_owned()),
        ("home.address", format!("{{\"at\":{{\"lon\":{}.25,\"lat\":-0.5}},\"city\":\"Ulm\"}}", dice.roll(90))),
        ("marks", format!("{{\"z\":{},\"a\":null}}", dice.roll(9))),
        ("lines", format!("[{{\"qty\":{},\"sku\":\"s\"}},{{\"sku\":null}}]", dice.roll(9))),
    ]
}

/// Lines whose keys are in any order, some missing, some null.
fn lines(rows: u64, seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = String::new();
    for n in 0..rows {
        let mut fields = fields(n, &mut dice);
        let turn = dice.roll(fields.len() as u64) as usize;
        fields.rotate_left(turn);
        let mut first = true;
        for (name, value) in fields {
            let fate = dice.roll(10);
            if name != "id" && fate == 0 {
                continue;
            }
            let value = if name != "id" && fate == 1 { "null" } else { &value };
            let comma = if first { "{" } else { "," };
            first = false;
            write!(text, "{comma}\"{name}\":{value}").unwrap();
        }
        text.push_str("}\n");
    }
    text
}

/// Every reader says the same about a table as the producer's files do (I1).
#[track_caller]
pub fn check_readers(world: &World, engines: &Engines, table: &str, expected: &Value) {
    assert_ne!(expected["rows"], 0);
    let ours = world.file("ours.ndjson", world.ok(&["query", &format!("select * from {table}"), "-o", "ndjson"]));
    for (reader, file) in [("pyiceberg", None), ("duckdb", None), ("ndjson", Some(ours))] {
        let mut seen = engines.ask("document", json!({"reader": reader, "table": table, "file": file}));
        let mut expected = expected.clone();
        if reader == "pyiceberg" && expected["columns"].get("lines").is_some() {
            // PyIceberg 0.x reads a null list of structs as an empty one; pyarrow and DuckDB read the same file right.
            for document in [&mut seen, &mut expected] {
                document["content"] = Value::Null;
                document["columns"]["lines"] = Value::Null;
            }
        }
        for (path, column) in expected["columns"].as_object().unwrap() {
            assert_eq!(&seen["columns"][path], column, "{reader} reads {path} of {table} differently");
        }
        assert_eq!(seen, expected, "{reader} reads {table} differently");
    }
}

/// What the producer's files say that a table holds.
pub fn expected_of(engines: &Engines, files: &[String], columns: &str) -> Value {
    engines.ask("expect", json!({"files": files, "columns": columns}))
}

#[test]
fn i1_every_type_in_every_layout() {
    let world = World::new();
    world.topic("events", 2);
    let (first, second) = (world.file("first.ndjson", lines(150, 1)), world.file("second.ndjson", lines(150, 2)));
    let layouts = [
        ("plain", "", ""),
        ("identity", "sma-ll, name", ""),
        ("bucket", "bucket(8, id), bucket(3, name)", ""),
        ("truncated", "truncate(3, name), truncate(50, sma-ll)", ""),
        ("yearly", "year(day), year(seen)", ""),
        ("monthly", "month(made)", ""),
        ("daily", "day(seen)", ""),
        ("hourly", "hour(seen)", ""),
        ("several", "bucket(2, id), day(seen), flag", ""),
        ("sorted", "", "name, seen desc, id"),
        ("sorted_parts", "month(day)", "id desc"),
    ];
    for (table, partition_by, sort_by) in layouts {
        let words = ["enable", "events", "--table", table, "--columns", COLUMNS];
        world.ok(&[&words[..], &["--partition-by", partition_by, "--sort-by", sort_by]].concat());
    }
    for file in [&first, &second] {
        world.ok(&["produce", "events", file, "--key", "id"]);
        world.ok(&["sync"]);
    }
    let engines = world.engines();
    let expected = expected_of(&engines, &[first, second], COLUMNS);
    assert_eq!(expected["rows"], 300);
    for (table, _, _) in layouts {
        check_readers(&world, &engines, &format!("bronze.{table}"), &expected);
    }
    let files = world.json(&["files", "identity"]);
    assert!(files.as_array().unwrap().len() > 10, "values of a column are folders");
}

#[test]
fn i1_inferred_columns_that_grow() {
    let world = World::new();
    world.topic("events", 2);
    let steps = [
        r#"{"id":1,"name":"a"}
{"id":2,"at":{"city":"Ulm"}}"#,
        r#"{"id":3,"name":"b","score":0.5}
{"id":4,"at":{"city":"Bonn","geo":{"lat":48.4}},"tags":["x"]}"#,
        r#"{"at":{"geo":{"lon":10.0,"lat":1.0},"zip":89073},"id":5}
{"id":6,"lines":[{"sku":"s"}],"ok":true}"#,
        r#"{"id":7,"lines":[{"sku":"t","qty":2},{"qty":3}]}"#,
        r#"{"id":8}"#,
    ];
    let files: Vec<String> =
        (1..).zip(steps).map(|(n, step)| world.file(&format!("{n}.ndjson"), format!("{step}\n"))).collect();
    world.ok(&["produce", "events", &files[0]]);
    world.ok(&["enable", "events", "--partition-by", "bucket(2, id)"]);
    world.ok(&["sync"]);
    let schema = world.status("events")["schema_id"].as_i64().unwrap();
    for file in &files[1..] {
        world.ok(&["produce", "events", file]);
        world.ok(&["sync"]);
    }
    assert!(world.status("events")["schema_id"].as_i64().unwrap() >= schema + 3);
    let engines = world.engines();
    let expected = expected_of(&engines, &files, "");
    check_readers(&world, &engines, "bronze.events", &expected);
    assert_eq!(
        world
            .rows("select id, at['geo']['lat'] lat, lines[1]['qty'] qty from events where id in (2, 5, 7) order by id"),
        [
            json!({"id": 2, "lat": null, "qty": null}),
            json!({"id": 5, "lat": 1.0, "qty": null}),
            json!({"id": 7, "lat": null, "qty": 2}),
        ]
    );
}

#[test]
fn i1_many_commits_keep_metadata_small() {
    let world = World::new();
    world.topic("events", 1);
    world.ok(&["enable", "events", "--columns", "n BIGINT, s STRING", "--partition-by", "bucket(4, n)"]);
    let engines = world.engines();
    let mut files = Vec::new();
    for round in 0..105 {
        let lines: String = (0..3).map(|n| format!("{{\"n\":{},\"s\":\"r{round}\"}}\n", round * 3 + n)).collect();
        files.push(world.file(&format!("{round}.ndjson"), lines));
        world.ok(&["produce", "events", &files[round]]);
        world.ok(&["sync"]);
        if round == 39 || round == 104 {
            let expected = expected_of(&engines, &files, "n BIGINT, s STRING");
            check_readers(&world, &engines, "bronze.events", &expected);
            let seen = engines.ask("metadata", json!({"table": "bronze.events"}));
            let number = |name: &str| seen[name].as_u64().unwrap();
            assert_eq!(number("snapshots"), (round as u64 + 1).min(100), "{seen}");
            assert!(number("metadata_bytes") < 200_000, "{seen}");
            assert!(number("metadata_files") <= 15, "{seen}");
            assert!(number("manifests") < 20, "manifests are merged as commits go on: {seen}");
        }
    }
    assert_eq!(
        world.rows("select count(*) c, count(distinct n) d, max(n) m from events"),
        [json!({"c": 315, "d": 315, "m": 314})]
    );
    assert_eq!(world.json(&["history", "events"]).as_array().unwrap().len(), 100);
}

/// A table of 240 rows in 10 days and two commits, files in day order.
fn daily() -> World {
    let world = World::new();
    world.topic("events", 1);
    let mut text = String::new();
    for n in 0..240 {
        let (day, hour) = (1 + n / 24, n % 24);
        let name = if n % 11 == 0 { "null".to_owned() } else { format!("\"n{}\"", n % 7) };
        writeln!(
            text,
            "{{\"n\":{n},\"ts\":\"2026-03-{day:02}T{hour:02}:30:00Z\",\"name\":{name},\"amount\":{}.25,\"in\":{{\"v\":{}}}}}",
            n % 50 - 25,
            n % 13
        )
        .unwrap();
        if n == 119 {
            world.produce("events", &text);
            world.ok(&[
                "enable",
                "events",
                "--columns",
                "ts TIMESTAMP_LTZ(3), amount DECIMAL(10,2)",
                "--partition-by",
                "day(ts)",
            ]);
            world.ok(&["sync"]);
            text.clear();
        }
    }
    world.produce("events", &text);
    world.ok(&["sync"]);
    world
}

#[test]
fn i2_filters_find_what_duckdb_finds() {
    let world = daily();
    let predicates = [
        "n = 17",
        "n in (1, 100, 239, 1000)",
        "n between 47 and 49",
        "n <> 3",
        "not (n < 200)",
        "ts >= timestamptz '2026-03-05 00:00:00+00' and ts < timestamptz '2026-03-05 12:00:00+00'",
        "ts = timestamptz '2026-03-10 23:30:00+00'",
        "ts > timestamptz '2027-01-01 00:00:00+00'",
        "name is null",
        "name is not null and name > 'n3'",
        "name like 'n1%'",
        "amount < -20.5",
        "amount = 0.25 or n = 5",
        "amount * 2 > 40",
        "n % 24 = 23 and name = 'n2'",
        "coalesce(name, 'none') = 'none'",
    ];
    let statements: Vec<String> = predicates
        .iter()
        .map(|predicate| format!("select count(*), coalesce(sum(n), 0) from {{table}} where {predicate}"))
        .collect();
    let theirs = world.engines().ask("duckdb_rows", json!({"table": "bronze.events", "statements": statements}));
    for (place, predicate) in predicates.iter().enumerate() {
        let predicate = predicate.replace("timestamptz ", "timestamp ");
        let sql = format!("select count(*), coalesce(sum(n), 0) from events where {predicate}");
        let ours = world.ok(&["query", &sql, "-o", "csv"]);
        let row = &theirs[place][0];
        let wanted = format!("{},{}", row[0].as_str().unwrap(), row[1].as_str().unwrap());
        assert_eq!(ours.lines().nth(1), Some(wanted.as_str()), "{predicate}");
    }
    assert_eq!(world.numbers("select count(*) from events where \"in\"['v'] = 12"), [18], "n % 13 = 12 below 240");
}

#[test]
fn i2_only_files_that_can_hold_a_row_are_read() {
    let world = daily();
    let files_read = |filter: &str| {
        world.ok(&["query", &format!("explain select n from events {filter}"), "-o", "csv"]).matches(".parquet").count()
    };
    assert_eq!(files_read(""), 10, "a file for each day");
    for (filter, files) in [
        ("where ts >= '2026-03-04T00:00:00Z' and ts < '2026-03-06T00:00:00Z'", 2),
        ("where ts = '2026-03-04T05:30:00Z'", 1),
        ("where n >= 216", 1),
        ("where n = 24 or n = 200", 2),
        ("where n > 1000", 0),
        ("where name = 'n1'", 10),
    ] {
        assert_eq!(files_read(filter), files, "{filter}");
    }
}

#[test]
fn counts_and_extremes_come_from_metadata() {
    let world = daily();
    for (sql, row) in [
        ("select count(*) a from events", json!({"a": 240})),
        ("select min(n) a, max(n) b from events", json!({"a": 0, "b": 239})),
    ] {
        let plan = world.ok(&["query", &format!("explain {sql}"), "-o", "csv"]);
        assert!(!plan.contains("DataSourceExec"), "{plan}");
        assert_eq!(world.rows(sql), [row]);
    }
    let plan = world.ok(&["query", "explain select count(*) from events where n > 3", "-o", "csv"]);
    assert!(plan.contains("DataSourceExec"), "a filter needs the rows: {plan}");
}
