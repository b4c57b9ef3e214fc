//! Records, names, topics and tables that are wrong: each has an outcome that is written down here.
//!
//! - I1: a record that cannot be a row suspends its table at that record, with place, reason and a way out; what
//!   came before it is committed, and nothing after it in its partition.
//! - I2: other partitions' good rows and other tables go on.
//! - I3: nothing is lost: once the trouble is mended, the table goes on where it stood.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{World, wait_for};

/// A record that suspends its table.
struct Bad {
    name: &'static str,
    columns: &'static str,
    record: Vec<u8>,
    /// What `reason=` says.
    reason: &'static str,
    /// Words of the message.
    says: &'static str,
    /// Words of the hint.
    hint: &'static str,
}

fn bad(
    name: &'static str,
    columns: &'static str,
    record: impl Into<Vec<u8>>,
    reason: &'static str,
    says: &'static str,
    hint: &'static str,
) -> Bad {
    Bad { name, columns, record: record.into(), reason, says, hint }
}

/// Records that are no JSON object, or none that can be read.
fn bad_texts() -> Vec<Bad> {
    let deep = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    let skip = "SKIP";
    vec![
        bad("empty", "", "", "empty-value", "is empty", skip),
        bad("truncated", "", r#"{"n":2,"s":"ab"#, "truncated", "ends in the middle", skip),
        bad("not_json", "", "n=2", "not-json", "is not JSON", ""),
        bad("nan", "d DOUBLE", r#"{"n":2,"d":NaN}"#, "not-json", "is not JSON", ""),
        bad("infinity", "d DOUBLE", r#"{"n":2,"d":-Infinity}"#, "not-json", "is not JSON", ""),
        bad("two_values", "", r#"{"n":2}{"n":3}"#, "trailing-data", "more than one value", "records of their own"),
        bad("not_utf8", "", b"{\"n\":2,\"s\":\"\xff\"}", "invalid-utf8", "is not UTF-8 from byte", ""),
        bad("lone_surrogate", "", r#"{"n":2,"s":"\ud800"}"#, "invalid-utf8", "no Unicode", ""),
        bad("raw_nul", "", b"{\"n\":2,\"s\":\"\x00\"}", "not-json", "is not JSON", ""),
        bad("byte_order_mark", "", b"\xef\xbb\xbf{\"n\":2}", "not-json", "byte order mark", "EF BB BF"),
        bad("array", "", "[1,2]", "not-an-object", "not an object", "--format raw"),
        bad("number", "", "7", "not-an-object", "not an object", "--format raw"),
        bad("json_null", "", "null", "not-an-object", "not an object", "--format raw"),
        bad("deep_in_an_unknown_field", "", deep(10_000), "too-deep", "nested more than", ""),
        bad("deep_in_a_known_column", "a ARRAY<BIGINT>", deep(10_000), "type-mismatch", "$.a[0] is an array", ""),
    ]
}

/// Objects whose fields do not fit their columns.
fn bad_fields() -> Vec<Bad> {
    let many_columns: String = (0..20_000).map(|n| format!(",\"c{n}\":1")).collect();
    vec![
        bad("fraction_in_a_long", "", r#"{"n":2.5}"#, "type-mismatch", "$.n", "n DOUBLE"),
        bad("text_in_a_long", "", r#"{"n":"two"}"#, "type-mismatch", "$.n", "n STRING"),
        bad("object_in_a_long", "", r#"{"n":{"x":1}}"#, "type-mismatch", "$.n", ""),
        bad("beyond_long", "", r#"{"n":9223372036854775808}"#, "out-of-range", "$.n", "DECIMAL"),
        bad("below_long", "", r#"{"n":-9223372036854775809}"#, "out-of-range", "$.n", "DECIMAL"),
        bad("beyond_int", "i INT", r#"{"n":2,"i":2147483648}"#, "out-of-range", "$.i", "i BIGINT"),
        bad("beyond_double", "d DOUBLE", r#"{"n":2,"d":1e400}"#, "out-of-range", "$.d", ""),
        bad("decimal_too_wide", "m DECIMAL(38,0)", format!("{{\"m\":1{}}}", "0".repeat(38)), "out-of-range", "$.m", ""),
        bad(
            "decimal_too_fine",
            "m DECIMAL(10,2)",
            r#"{"m":0.125}"#,
            "out-of-range",
            "after the decimal point",
            "m DECIMAL(11, 3)",
        ),
        bad("year_300000", "t TIMESTAMP_LTZ(3)", r#"{"t":9300000000000000}"#, "out-of-range", "$.t", ""),
        bad("february_30", "t TIMESTAMP(6)", r#"{"t":"2026-02-30T00:00:00"}"#, "out-of-range", "$.t", ""),
        bad(
            "zone_where_none_is",
            "t TIMESTAMP(3)",
            r#"{"t":"2026-02-03T00:00:00+01:00"}"#,
            "type-mismatch",
            "time zone",
            "",
        ),
        bad("date_word", "d DATE", r#"{"d":"yesterday"}"#, "type-mismatch", "$.d", ""),
        bad("not_base64", "b BYTES", r#"{"b":"$$$"}"#, "type-mismatch", "$.b", ""),
        bad("null_in_not_null", "k STRING NOT NULL", r#"{"n":2}"#, "missing-value", "k", ""),
        bad(
            "case_twin_of_a_column",
            "",
            r#"{"n":2,"N":3}"#,
            "case-collision",
            "differs only by case from column n",
            "one spelling",
        ),
        bad("reserved_name", "", r#"{"n":2,"_tableflow_offset":3}"#, "reserved-name", "_tableflow_", "rename"),
        bad("empty_name", "", r#"{"n":2,"":3}"#, "bad-name", "", "rename"),
        bad(
            "too_many_columns",
            "",
            format!("{{\"n\":2{many_columns}}}"),
            "too-many-columns",
            "one column more",
            "MAP<STRING, STRING>",
        ),
    ]
}

#[test]
fn i1_a_bad_record_suspends_its_table_at_its_place() {
    let world = World::new();
    let cases: Vec<Bad> = bad_texts().into_iter().chain(bad_fields()).collect();
    for case in &cases {
        world.topic(case.name, 1);
        let k = if case.columns.contains("NOT NULL") { ",\"k\":\"x\"" } else { "" };
        let good = |n: i32| format!("{{\"n\":{n}{k}}}\n").into_bytes();
        world.produce_raw(case.name, &[good(1), case.record.clone(), b"\n".to_vec(), good(3)].concat());
        let columns =
            if case.columns.is_empty() { "n BIGINT".to_owned() } else { format!("n BIGINT, {}", case.columns) };
        world.ok(&["enable", case.name, "--columns", &columns]);
    }
    world.topic("healthy", 1);
    world.produce("healthy", "{\"n\":1}\n");
    world.ok(&["enable", "healthy"]);

    for round in 1..=2 {
        world.run(&["sync"]).failed(3, &["cannot be decoded"]);
        for case in &cases {
            check(&world, case);
        }
        // I2.
        assert_eq!(world.numbers("select count(*) from healthy"), [round]);
        world.produce("healthy", "{\"n\":2}\n");
        // I3: the record is what it was, so the table stops there again, and nothing of it is doubled or lost.
        for case in &cases {
            world.ok(&["resume", case.name]);
        }
    }
}

#[track_caller]
fn check(world: &World, case: &Bad) {
    let name = case.name;
    let status = world.status(name);
    assert_eq!(status["status"], "Suspended", "{name}: {status}");
    let (reason, hint) = (status["reason"].as_str().unwrap(), status["hint"].as_str().unwrap_or_default());
    let place = format!("record 1 of partition 0 of topic {name} cannot be decoded");
    let code = format!("reason={}", case.reason);
    for word in [place.as_str(), code.as_str(), case.says] {
        assert!(reason.contains(word), "{name}: {word:?} is not said: {reason}");
    }
    assert!(reason.len() < 2000, "{name}: a reason is for people: {} bytes", reason.len());
    assert!(!hint.is_empty() && hint.contains(case.hint), "{name}: {:?} is not in the hint {hint:?}", case.hint);
    assert_eq!(status["partitions"], json!([{"partition": 0, "next_offset": 1, "end_offset": 3, "lag": 2}]), "{name}");
    assert_eq!(world.numbers(&format!("select n from {name}")), [1], "{name}");
}

#[test]
fn i1_a_tombstone_in_an_append_table_suspends_it() {
    let world = World::new();
    for (topic, key) in [("with_key", "\"k\""), ("without_key", "null")] {
        world.topic(topic, 2);
        world.produce_envelopes(
            topic,
            &format!(
                "{{\"value\":{{\"n\":1}},\"partition\":0}}\n{{\"key\":{key},\"value\":null,\"partition\":0}}\n\
                 {{\"value\":{{\"n\":3}},\"partition\":0}}\n{{\"value\":{{\"n\":4}},\"partition\":1}}\n"
            ),
        );
        world.ok(&["enable", topic]);
    }
    world.run(&["sync"]).failed(3, &["reason=tombstone", "hint: an append table has no keys to delete"]);
    for topic in ["with_key", "without_key"] {
        let status = world.status(topic);
        assert_eq!(status["status"], "Suspended");
        assert!(status["reason"].as_str().unwrap().contains("record 1 of partition 0"), "{status}");
        // I2: the other partition's row is in.
        assert_eq!(world.numbers(&format!("select n from {topic} order by n")), [1, 4]);
    }
}

/// A record that is a row all the same: its name, columns, the record, the query, the row.
type Odd = (&'static str, &'static str, String, &'static str, Value);

fn odd_values() -> Vec<Odd> {
    vec![
        ("duplicate_keys", "", r#"{"n":1,"n":2}"#.to_owned(), "select n", json!({"n": 2})),
        ("minus_zero", "d DOUBLE", r#"{"d":-0.0}"#.to_owned(), "select cast(d as varchar) d", json!({"d": "-0.0"})),
        (
            "exact_decimal",
            "m DECIMAL(38,20)",
            r#"{"m":0.1}"#.to_owned(),
            "select cast(m as varchar) m",
            json!({"m": "0.10000000000000000000"}),
        ),
        (
            "exponent_decimal",
            "m DECIMAL(10,2)",
            r#"{"m":1.25e2}"#.to_owned(),
            "select cast(m as varchar) m",
            json!({"m": "125.00"}),
        ),
        ("escaped_nul", "", r#"{"s":"a\u0000b"}"#.to_owned(), "select octet_length(s) n", json!({"n": 3})),
        ("surrogate_pair", "", r#"{"s":"\ud83d\ude00"}"#.to_owned(), "select s", json!({"s": "😀"})),
        ("escapes", "", r#"{"s":"\"\\\/\b\f\n\r\té"}"#.to_owned(), "select s", json!({"s": "\"\\/\u{8}\u{c}\n\r\té"})),
    ]
}

fn odd_shapes() -> Vec<Odd> {
    let shuffled: String = (0..400).rev().map(|n| format!("\"c{n}\":{n},")).collect();
    let long = "x".repeat(8 * 1024 * 1024);
    vec![
        (
            "many_keys_shuffled",
            "",
            format!("{{{shuffled}\"n\":1}}"),
            "select c0, c399, n",
            json!({"c0": 0, "c399": 399, "n": 1}),
        ),
        ("long_text", "", format!("{{\"s\":\"{long}\"}}"), "select octet_length(s) n", json!({"n": 8 * 1024 * 1024})),
        // A column that is declared as text takes any value, as its JSON.
        (
            "array_in_a_text",
            "s STRING",
            r#"{"s":[1, {"x":null}]}"#.to_owned(),
            "select s",
            json!({"s": "[1, {\"x\":null}]"}),
        ),
        ("empty_object", "n BIGINT", "{}".to_owned(), "select n", json!({"n": null})),
        ("null_field", "n BIGINT", r#"{"n":null,"never":null}"#.to_owned(), "select n", json!({"n": null})),
        ("white_space", "", " \t{ \"n\" :\t1 } ".to_owned(), "select n", json!({"n": 1})),
        (
            "first_and_last_long",
            "",
            r#"{"a":-9223372036854775808,"b":9223372036854775807}"#.to_owned(),
            "select a, b",
            json!({"a": i64::MIN, "b": i64::MAX}),
        ),
        (
            "twenty_levels",
            "",
            format!("{}1{}", "{\"a\":".repeat(20), "}".repeat(20)),
            "select a['a']['a']['a']['a']['a']['a']['a']['a']['a']['a']['a']['a']['a']['a']['a']['a']['a']['a']['a'] n",
            json!({"n": 1}),
        ),
        (
            "odd_names",
            "",
            r#"{"a b":1,"a.b":2,"select":3,"ä":4,"a\"b":5}"#.to_owned(),
            "select \"a b\" a, \"a.b\" b, \"select\" c, \"ä\" d, \"a\"\"b\" e",
            json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}),
        ),
        (
            "year_9999",
            "t TIMESTAMP_LTZ(3)",
            r#"{"t":"9999-12-31T23:59:59.999Z"}"#.to_owned(),
            "select t",
            json!({"t": "9999-12-31T23:59:59.999Z"}),
        ),
        (
            "before_1970",
            "t TIMESTAMP_LTZ(3)",
            r#"{"t":-1}"#.to_owned(),
            "select t",
            json!({"t": "1969-12-31T23:59:59.999Z"}),
        ),
    ]
}

#[test]
fn odd_records_are_rows() {
    let world = World::new();
    let cases: Vec<Odd> = odd_values().into_iter().chain(odd_shapes()).collect();
    for (name, columns, record, _, _) in &cases {
        world.topic(name, 1);
        world.produce_raw(name, record.as_bytes());
        let declared = ["--columns", columns];
        let words: &[&str] = if columns.is_empty() { &[] } else { &declared };
        world.ok(&[&["enable", name], words].concat());
    }
    world.ok(&["sync"]);
    for (name, _, _, select, row) in &cases {
        assert_eq!(world.rows(&format!("{select} from {name}")), std::slice::from_ref(row), "{name}");
    }
}

#[test]
fn odd_metadata_is_kept() {
    let world = World::new();
    world.topic("odd", 1);
    let headers: Vec<String> = (0..1000).map(|n| format!("\"h{n:04}\":\"{n}\"")).collect();
    let large = "v".repeat(1 << 20);
    let lines = [
        format!("{{\"value\":{{\"n\":1}},\"timestamp\":-86400000,\"headers\":{{{}}}}}", headers.join(",")),
        format!("{{\"value\":{{\"n\":2}},\"timestamp\":253402300799999,\"headers\":{{\"large\":\"{large}\"}}}}"),
        "{\"value\":{\"n\":3},\"timestamp\":0,\"key\":\"\",\"headers\":{\"\":\"\",\"null\":null}}".to_owned(),
    ];
    world.produce_envelopes("odd", &lines.join("\n"));
    world.ok(&["enable", "odd"]);
    world.ok(&["sync"]);
    assert_eq!(
        world.rows("select n, _tableflow_offset o, _tableflow_timestamp t, array_length(_tableflow_headers) h, length(encode(_tableflow_headers[1]['value'], 'hex')) / 2 l from odd order by n"),
        [
            json!({"n": 1, "o": 0, "t": "1969-12-31T00:00:00Z", "h": 1000, "l": 1}),
            json!({"n": 2, "o": 1, "t": "9999-12-31T23:59:59.999Z", "h": 1, "l": 1 << 20}),
            json!({"n": 3, "o": 2, "t": "1970-01-01T00:00:00Z", "h": 2, "l": 0}),
        ]
    );
}

#[test]
fn odd_partition_values_are_found_again() {
    let world = World::new();
    world.topic("odd", 1);
    let long = "k".repeat(4096);
    let values = ["", "a/b", "..", "a%2Fb", "a=b", "a\0b", "null", "__HIVE_DEFAULT_PARTITION__", "ü", " ", "\\", &long];
    let lines: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(n, value)| json!({"n": n, "s": value}).to_string())
        .chain([json!({"n": 99}).to_string()])
        .collect();
    world.produce("odd", &lines.join("\n"));
    world.ok(&["enable", "odd", "--partition-by", "s"]);
    world.ok(&["sync"]);
    assert_eq!(
        world.json(&["files", "odd"]).as_array().unwrap().len(),
        values.len() + 1,
        "a file for each value, null among them"
    );
    for (n, value) in values.iter().enumerate() {
        if value.contains('\0') {
            // No argument of a process can hold it.
            continue;
        }
        assert_eq!(world.numbers(&format!("select n from odd where s = '{value}'")), [n as i64], "{value:?}");
    }
    assert_eq!(world.numbers("select n from odd where s is null"), [99]);
    let mut engines = world.engines();
    let document = engines.ask("document", json!({"reader": "pyiceberg", "table": "bronze.odd"}));
    let file = world.file("odd.ndjson", lines.join("\n"));
    assert_eq!(document, engines.ask("expect", json!({"files": [file], "columns": ""})));
}

#[test]
fn a_partition_value_for_every_row_is_slow_and_right() {
    let world = World::new();
    world.topic("many", 1);
    let lines: String = (0..2500).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    world.produce("many", &lines);
    world.ok(&["enable", "many", "--partition-by", "n"]);
    world.ok(&["sync"]);
    assert_eq!(world.rows("select count(*) c, count(distinct n) d from many"), [json!({"c": 2500, "d": 2500})]);
}

#[test]
fn columns_that_cannot_be_are_refused_before_anything_is_made() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"n\":1}\n");
    for (words, says) in [
        (&["--columns", "a INT, A INT"][..], "differ only by case"),
        (&["--columns", "_tableflow_key STRING"], "_tableflow_"),
        (&["--columns", "a DECIMAL(39,2)"], "DECIMAL"),
        (&["--columns", "a DECIMAL(5,6)"], "DECIMAL"),
        (&["--columns", "a"], "expected a"),
        (&["--columns", "d DOUBLE", "--partition-by", "d"], "partition"),
        (&["--partition-by", "bucket(0, n)"], "bucket"),
        (&["--partition-by", "bucket(-1, n)"], "bucket"),
        (&["--partition-by", "bucket(99999999999, n)"], "bucket"),
        (&["--partition-by", "truncate(0, n)"], "truncate"),
        (&["--partition-by", "day(n)"], "day"),
        (&["--partition-by", "nope"], "nope"),
        (&["--partition-by", "n, n"], ""),
        (&["--sort-by", "nope"], "nope"),
        (&["--sort-by", "n upwards"], "upwards"),
        (&["--commit-interval", "0s"], "0s"),
        (&["--commit-interval", "99999999999999999999s"], "99999999999999999999s"),
        (&["--retention-ms", "-1"], "-1"),
        (&["--retention-ms", "99999999999999999999"], "99999999999999999999"),
        (&["--namespace", "a/b"], "a/b"),
        (&["--table", ""], ""),
    ] {
        let outcome = world.run(&[&["enable", "t"], words].concat());
        outcome.failed(2, &[says]);
    }
    assert_eq!(world.json(&["list"]), json!([]));
    assert_eq!(world.numbers("select count(*) from information_schema.tables where table_schema = 'bronze'"), [0]);
}

#[test]
fn a_setting_that_is_not_known_or_not_possible_is_refused() {
    let world = World::new();
    for (text, says) in [
        ("comit_interval = \"1s\"\n", "comit_interval"),
        ("[memory]\nbuget = \"1GiB\"\n", "buget"),
        ("[memory]\nbudget = \"-1GiB\"\n", "-1GiB"),
        ("[memory]\nbudget = \"99999999999GiB\"\n", "99999999999GiB"),
        ("[memory\n", "memory"),
    ] {
        let file = world.file("settings.toml", text);
        world.run(&["--config", &file, "list"]).failed(2, &[says]);
    }
    world.run(&["--config", "/no/such.toml", "list"]).failed(2, &["/no/such.toml"]);
}

/// F22.
#[test]
fn a_topic_made_again_suspends_its_table() {
    let world = World::new();
    world.topic("orders", 1);
    world.produce("orders", "{\"n\":1}\n{\"n\":2}\n");
    world.ok(&["enable", "orders"]);
    world.ok(&["sync"]);
    world.ok(&["topic", "delete", "orders"]);
    world.run(&["sync"]).failed(1, &["orders"]);
    world.topic("orders", 1);
    world.produce("orders", "{\"n\":3}\n");
    let outcome = world.run(&["sync"]);
    assert!([1, 3].contains(&outcome.code), "{outcome:?}");
    let status = world.status("orders");
    assert_eq!(status["status"], "Suspended", "{status}");
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("topic orders was re-created"), "{reason}");
    assert!(!status["hint"].is_null(), "{status}");
    assert_eq!(world.numbers("select n from orders order by n"), [1, 2], "the new topic's records are not mixed in");
}

/// F12.
#[test]
fn a_table_dropped_by_somebody_else_suspends() {
    let world = World::new();
    for topic in ["orders", "clicks"] {
        world.topic(topic, 1);
        world.produce(topic, "{\"n\":1}\n");
        world.ok(&["enable", topic, "--commit-interval", "50ms"]);
    }
    let service = world.up();
    world.wait_for_status("orders", "rows_committed", 1);
    world.engines().ask("drop", json!({"table": "bronze.orders"}));
    world.produce("orders", "{\"n\":2}\n");
    let status = world.wait_for_status("orders", "status", "Suspended");
    assert!(status["reason"].as_str().unwrap().contains("was dropped"), "{status}");
    assert!(status["hint"].as_str().unwrap().contains("tableflow disable"), "{status}");
    world.produce("clicks", "{\"n\":2}\n");
    world.wait_for_status("clicks", "rows_committed", 2);
    world.run(&["status", "--check"]).failed(4, &[]);
    // The way out that the hint names.
    world.ok(&["disable", "orders"]);
    world.ok(&["enable", "orders", "--commit-interval", "50ms"]);
    wait_for(
        || world.run(&["query", "select n from orders order by n", "-o", "csv"]).stdout,
        |text| text == "n\n1\n2\n",
    );
    assert_eq!(service.terminate().code(), Some(0));
}

#[test]
fn i3_a_suspended_table_goes_on_once_its_trouble_is_mended() {
    let world = World::new();
    world.topic("orders", 1);
    world.produce("orders", "{\"n\":1}\n");
    world.ok(&["enable", "orders", "--commit-interval", "50ms"]);
    let _service = world.up();
    world.wait_for_status("orders", "rows_committed", 1);
    let warehouse = world.data_dir().join("warehouse");
    let away = world.data_dir().join("warehouse.away");
    // Storage goes away, rows come, storage comes back.
    std::fs::rename(&warehouse, &away).unwrap();
    std::fs::write(&warehouse, "in the way").unwrap();
    world.produce("orders", "{\"n\":2}\n");
    std::thread::sleep(Duration::from_millis(700));
    std::fs::remove_file(&warehouse).unwrap();
    std::fs::rename(&away, &warehouse).unwrap();
    let status = wait_for(|| world.status("orders"), |s| s["rows_committed"] == 2 || s["status"] == "Suspended");
    if status["status"] == "Suspended" {
        world.ok(&["resume", "orders"]);
    }
    world.wait_for_status("orders", "rows_committed", 2);
    assert_eq!(world.numbers("select n from orders order by n"), [1, 2]);
}
