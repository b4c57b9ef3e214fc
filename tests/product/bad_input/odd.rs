//! Records that are rows all the same, however odd, however large.

use serde_json::{Value, json};

use crate::engines::{check_readers, expected_of};
use crate::world::World;

/// A record that is a row all the same: its name, columns, the record, the query, the row.
type Odd = (&'static str, &'static str, String, &'static str, Value);

/// The largest record that a topic takes.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// What the service may hold at its peak while it makes a row of the largest record.
const PEAK_BYTES_MAX: u64 = 1 << 30;

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
        // Clocks in Berlin went from 2 to 3 o'clock that night, and from 3 back to 2 on the other.
        (
            "times_that_no_clock_or_two_showed",
            "t TIMESTAMP(3), z TIMESTAMP_LTZ(3)",
            r#"{"t":"2026-03-29T02:30:00","z":"2026-10-25T02:30:00+01:00"}"#.to_owned(),
            "select cast(t as varchar) t, z",
            json!({"t": "2026-03-29T02:30:00", "z": "2026-10-25T01:30:00Z"}),
        ),
        ("escaped_nul", "", r#"{"s":"a\u0000b"}"#.to_owned(), "select octet_length(s) n", json!({"n": 3})),
        ("surrogate_pair", "", r#"{"s":"\ud83d\ude00"}"#.to_owned(), "select s", json!({"s": "😀"})),
        ("escapes", "", r#"{"s":"\"\\\/\b\f\n\r\té"}"#.to_owned(), "select s", json!({"s": "\"\\/\u{8}\u{c}\n\r\té"})),
    ]
}

fn odd_shapes() -> Vec<Odd> {
    let shuffled: String = (0..1000).rev().map(|n| format!("\"c{n}\":{n},")).collect();
    vec![
        (
            "many_keys_shuffled",
            "",
            format!("{{{}}}", shuffled.trim_end_matches(',')),
            "select c0, c999",
            json!({"c0": 0, "c999": 999}),
        ),
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
    ]
}

fn odd_times() -> Vec<Odd> {
    vec![
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
        (
            "nanoseconds",
            "t TIMESTAMP_LTZ(6)",
            r#"{"t":"1969-12-31T23:59:59.123456789Z"}"#.to_owned(),
            "select t",
            json!({"t": "1969-12-31T23:59:59.123456Z"}),
        ),
    ]
}

#[test]
fn odd_records_are_rows() {
    let world = World::new();
    let cases: Vec<Odd> = odd_values().into_iter().chain(odd_shapes()).chain(odd_times()).collect();
    for (name, columns, record, _, _) in &cases {
        world.topic(name, 1);
        world.produce_raw(name, record.as_bytes());
        let declared = ["--columns", columns];
        let words: &[&str] = if columns.is_empty() { &[] } else { &declared };
        let said = world.ok(&[&["enable", name], words].concat());
        assert_eq!(said.contains("note: t a table keeps microseconds"), columns.contains("TIMESTAMP"), "{said}");
    }
    world.ok(&["sync"]);
    for (name, _, _, select, row) in &cases {
        assert_eq!(world.rows(&format!("{select} from {name}")), std::slice::from_ref(row), "{name}");
    }
}

/// A text that no compression makes small.
fn noise(bytes: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + (state >> 33) as u8 % 64)
    };
    // Longer than what a compressor looks back.
    let block: String = (0..bytes.min(4 << 20)).map(|_| next()).filter(|c| *c != '\\').collect();
    let mut text = block.repeat(bytes / block.len() + 1);
    text.truncate(bytes);
    text
}

#[test]
fn i4_the_largest_record_is_a_row_and_a_larger_one_is_refused() {
    let world = World::new();
    world.topic("large", 1);
    world.ok(&["enable", "large", "--columns", "n BIGINT, s STRING", "--commit-interval", "50ms"]);
    let service = world.up();
    let text = noise(RECORD_BYTES_MAX - 64);
    let lines = format!("{{\"n\":1}}\n{{\"n\":2,\"s\":\"{text}\"}}\n{{\"n\":3}}\n");
    world.produce("large", &lines);
    world.wait_for_status("large", "rows_committed", 3);
    let peak = service.peak_bytes();
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");

    let larger = format!("{{\"n\":4}}\n{{\"n\":5,\"s\":\"{text}{}\"}}\n{{\"n\":6}}\n", &text[..64]);
    world.run_with_input(&["produce", "large"], larger.as_bytes()).failed(
        2,
        &[
            "is too large",
            "at most 67108864 bytes: key, value and headers together",
            "line=2",
            "hint: put the large part",
        ],
    );
    world.wait_for_status("large", "rows_committed", 4);
    assert_eq!(service.terminate().code(), Some(0));
    let engines = world.engines();
    let file = world.file("large.ndjson", lines + "{\"n\":4}\n");
    let expected = expected_of(&engines, &[file], "n BIGINT, s STRING");
    check_readers(&world, &engines, "bronze.large", &expected);
}

/// Texts, whole numbers and fractions in turn, now and then none; and objects and lists twenty levels deep.
fn wide_and_deep(row: u64) -> String {
    let mut fields: Vec<String> = (0..498)
        .filter(|n| !(n + row).is_multiple_of(7))
        .map(|n| match n % 3 {
            0 => format!("\"c{n}\":{}", n * row),
            1 => format!("\"c{n}\":\"t{n}-{row}\""),
            _ => format!("\"c{n}\":{row}.25"),
        })
        .collect();
    let objects =
        (1..=20).rev().fold(row.to_string(), |inside, n| format!("{{\"a{n}\":{inside},\"s\":\"{n}-{row}\"}}"));
    let lists = (1..=10).fold(row.to_string(), |inside, _| format!("[{{\"a\":{inside}}}]"));
    fields.extend([format!("\"objects\":{objects}"), format!("\"lists\":{lists}")]);
    format!("{{{}}}", fields.join(","))
}

#[test]
fn i4_wide_and_deep_rows_are_read_by_every_engine() {
    let world = World::new();
    let keys = |names: std::ops::Range<u32>| names.rev().map(|n| format!("\"k{n}\":{n}")).collect::<Vec<_>>().join(",");
    let cases = [
        ("wide", "", (0..40).map(|row| wide_and_deep(row) + "\n").collect::<String>()),
        ("many_keys", "m MAP<STRING, BIGINT>", format!("{{\"m\":{{{}}}}}\n", keys(0..10_000))),
        ("most_columns", "", format!("{{{}}}\n", keys(0..1000))),
        // Names that Iceberg keeps for its own hidden columns.
        (
            "hidden",
            "",
            r#"{"n":1,"_file":"x","_pos":3,"_partition":4,"_row_id":5,"_deleted":true,"_spec_id":6}"#.into(),
        ),
    ];
    let engines = world.engines();
    for (name, columns, lines) in &cases {
        world.topic(name, 1);
        world.produce(name, lines);
        world.ok(&["enable", name, "--columns", columns]);
    }
    world.ok(&["sync"]);
    for (name, columns, lines) in &cases {
        let file = world.file(&format!("{name}.ndjson"), lines);
        let expected = expected_of(&engines, &[file], columns);
        check_readers(&world, &engines, &format!("bronze.{name}"), &expected);
    }
    let leaf = (1..=20).map(|n| format!("['a{n}']")).collect::<String>();
    assert_eq!(world.numbers(&format!("select objects{leaf} from wide where c6 = 39 * 6")), [39]);
}
