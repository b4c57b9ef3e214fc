//! Records that cannot be rows.
//!
//! Owns [`Bad`], a record with the words that its suspension must say; I1 to I3 are those of the folder.

use serde_json::json;

use crate::world::World;

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
    let whole = "a whole JSON object";
    vec![
        bad("empty", "", "", "empty-value", "is empty", whole),
        bad("truncated", "", r#"{"n":2,"s":"ab"#, "truncated", "ends in the middle", whole),
        bad("not_json", "", "n=2", "not-json", "is not JSON", ""),
        bad("nan", "d DOUBLE", r#"{"n":2,"d":NaN}"#, "not-json", "is not JSON", ""),
        bad("infinity", "d DOUBLE", r#"{"n":2,"d":-Infinity}"#, "not-json", "is not JSON", ""),
        bad("two_values", "", r#"{"n":2}{"n":3}"#, "trailing-data", "more than one value", "records of their own"),
        bad("not_utf8", "", b"{\"n\":2,\"s\":\"\xff\"}", "invalid-utf8", "is not UTF-8 from byte", ""),
        bad("lone_surrogate", "", r#"{"n":2,"s":"\ud800"}"#, "invalid-utf8", "no Unicode", ""),
        bad("raw_nul", "", b"{\"n\":2,\"s\":\"\x00\"}", "not-json", "is not JSON", ""),
        bad("byte_order_mark", "", b"\xef\xbb\xbf{\"n\":2}", "not-json", "byte order mark", "EF BB BF"),
        bad("array", "", "[1,2]", "not-an-object", "not an object", "a JSON object: send one"),
        bad("number", "", "7", "not-an-object", "not an object", "a JSON object: send one"),
        bad("json_null", "", "null", "not-an-object", "not an object", "a JSON object: send one"),
        bad("deep_in_an_unknown_field", "", deep(10_000), "too-deep", "nested more than", ""),
        bad("deep_in_a_known_column", "a ARRAY<BIGINT>", deep(10_000), "type-mismatch", "$.a[0] is an array", ""),
    ]
}

/// Numbers that their columns cannot hold.
fn bad_numbers() -> Vec<Bad> {
    vec![
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
        bad("decimal_below", "m DECIMAL(38,0)", r#"{"m":-1e38}"#, "out-of-range", "more digits before", "m STRING"),
    ]
}

/// Days and times that are none, or that no engine has a word for.
fn bad_times() -> Vec<Bad> {
    vec![
        bad("year_10000", "t TIMESTAMP_LTZ(3)", r#"{"t":253402300800000}"#, "out-of-range", "0001 to 9999", "t STRING"),
        bad("year_0", "t TIMESTAMP_LTZ(3)", r#"{"t":"0000-12-31T23:59:59Z"}"#, "out-of-range", "0001 to 9999", ""),
        bad("day_in_year_10000", "d DATE", r#"{"d":2932897}"#, "out-of-range", "0001 to 9999", "d STRING"),
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
    ]
}

/// Objects whose fields do not fit their columns.
fn bad_fields() -> Vec<Bad> {
    let many_columns: String = (0..10_000).map(|n| format!(",\"c{n}\":1")).collect();
    vec![
        bad("fraction_in_a_long", "", r#"{"n":2.5}"#, "type-mismatch", "$.n", "n DOUBLE"),
        bad("text_in_a_long", "", r#"{"n":"two"}"#, "type-mismatch", "$.n", "n STRING"),
        bad("object_in_a_long", "", r#"{"n":{"x":1}}"#, "type-mismatch", "$.n", ""),
        bad("array_in_a_row", "o ROW<x BIGINT>", r#"{"n":2,"o":[1]}"#, "type-mismatch", "$.o is an array", "o STRING"),
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
        bad(
            "case_twins_inside",
            "",
            r#"{"n":2,"o":{"x":1,"X":2}}"#,
            "case-collision",
            "differs only by case",
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
    let cases: Vec<Bad> = [bad_texts(), bad_numbers(), bad_times(), bad_fields()].into_iter().flatten().collect();
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

#[test]
fn i1_drift_stops_at_the_first_record_that_drifted_and_a_text_takes_it_all() {
    let world = World::new();
    world.topic("drift", 1);
    world.produce("drift", "{\"v\":1}\n{\"v\":\"a\"}\n{\"v\":{\"x\":[1, null]}}\n{\"v\":2}\n");
    world.ok(&["enable", "drift"]);
    world.ok(&["enable", "drift", "--table", "texts", "--columns", "v STRING"]);
    world
        .run(&["sync"])
        .failed(3, &["record 1 of partition 0", "$.v is the text \"a\", its column is BIGINT", "v STRING"]);
    assert_eq!(world.numbers("select v from drift"), [1]);
    assert_eq!(
        world.rows("select v from texts order by _tableflow_offset"),
        [json!({"v": "1"}), json!({"v": "a"}), json!({"v": "{\"x\":[1, null]}"}), json!({"v": "2"})]
    );
}
