//! What each type takes, and how it is kept.

use super::*;

/// A type, JSON values, and how their cells read.
const TAKEN: &[(&str, &str, &[&str])] = &[
    ("BOOLEAN", "true false null", &["true", "false", "-"]),
    ("INT", "-2147483648 2147483647 -0", &["-2147483648", "2147483647", "0"]),
    (
        "BIGINT",
        "-9223372036854775808 9223372036854775807 -0 9007199254740993",
        &["-9223372036854775808", "9223372036854775807", "0", "9007199254740993"],
    ),
    ("FLOAT", "1 1.5 -0.0 3.4028235e38", &["1.0", "1.5", "-0.0", "3.4028235e38"]),
    (
        "DOUBLE",
        "1 1.0 1e3 -0 0.1 18446744073709551615 1e-400 1.7976931348623157e308",
        &["1.0", "1.0", "1000.0", "-0.0", "0.1", "1.8446744073709552e19", "0.0", "1.7976931348623157e308"],
    ),
    (
        "DECIMAL(10,2)",
        r#"0.1 "0.10" -12345678.91 1e2 "1e-1" null 0"#,
        &["10e-2", "10e-2", "-1234567891e-2", "10000e-2", "10e-2", "-", "0e-2"],
    ),
    (
        "STRING",
        r#""a" 1 1.50 -0 1e400 true {"a":"\u0041"} [1,"x"] null "\u0041\n" "1" "" 99999999999999999999"#,
        &[
            r#""a""#,
            r#""1""#,
            r#""1.50""#,
            r#""-0""#,
            r#""1e400""#,
            r#""true""#,
            r#""{\"a\":\"\\u0041\"}""#,
            r#""[1,\"x\"]""#,
            "-",
            r#""A\n""#,
            r#""1""#,
            r#""""#,
            r#""99999999999999999999""#,
        ],
    ),
    ("BYTES", r#""AAEC" "" "/w==""#, &["[0, 1, 2]", "[]", "[255]"]),
    ("DATE", r#""1970-01-02" 1 -1"#, &["day 1", "day 1", "day -1"]),
    ("TIME", r#""00:00:01.5" "00:00:00.0000019" 1500"#, &["1500000us", "1us", "1500000us"]),
    (
        "TIMESTAMP(3)",
        r#""1970-01-01T00:00:01" 1000 -1 "1969-12-31T23:59:59.123456789""#,
        &["1000000us", "1000000us", "-1000us", "-876544us"],
    ),
    (
        "TIMESTAMP_LTZ(3)",
        r#""1970-01-01T01:00:01+01:00" "1970-01-01T00:00:01" 1000"#,
        &["1000000us", "1000000us", "1000000us"],
    ),
    ("ARRAY<INT>", "[1,null,2] [] null", &["[1, -, 2]", "[]", "-"]),
    ("ARRAY<ARRAY<INT>>", "[[1],[],null,[2,3]]", &["[[1], [], -, [2, 3]]"]),
    (
        "MAP<STRING,INT>",
        r#"{"a":1,"b":null} {} null {"a":1,"a":2}"#,
        &[r#"("a" => 1; "b" => -; )"#, "()", "-", r#"("a" => 2; )"#],
    ),
    (
        "ROW<a INT,b ROW<c STRING>>",
        r#"{"a":1,"b":{"c":"x"}} {"b":{}} {} null {"b":null}"#,
        &[r#"{a: 1, b: {c: "x"}}"#, "{a: -, b: {c: -}}", "{a: -, b: -}", "-", "{a: -, b: -}"],
    ),
];

#[test]
fn every_declared_type_takes_what_it_should() {
    for (data_type, values, expected) in TAKEN {
        let mut together = decoder(&format!("v {data_type}"));
        let text: Vec<String> = values.split(' ').map(|value| format!("{{\"v\":{value}}}")).collect();
        assert_eq!(rows(&mut together, &text.join("\n")), *expected, "{data_type}");
        // One by one, each as the first of its batch.
        let mut single = decoder(&format!("v {data_type}"));
        for (value, expected) in text.iter().zip(*expected) {
            assert_eq!(rows(&mut single, value), [*expected], "{data_type} {value}");
        }
    }
}

#[test]
fn both_readers_give_the_same_for_every_type() {
    // A repeated key whose first value does not fit sends the record to the careful reader.
    let cases = [
        ("DOUBLE", "0.1"),
        ("DOUBLE", "-0"),
        ("DOUBLE", "1e22"),
        ("FLOAT", "16777217.0000001"),
        ("DECIMAL(10,2)", "\"1.10\""),
        ("STRING", "\"a\\tb\""),
        ("STRING", "1.50"),
        ("BIGINT", "7"),
        ("MAP<STRING,DOUBLE>", "{\"a\":1.5,\"b\":null}"),
        ("ARRAY<ROW<a INT,b STRING>>", "[{\"b\":\"x\"},null,{\"a\":1}]"),
        ("TIMESTAMP_LTZ(3)", "\"2026-11-21T08:30:00.5Z\""),
        ("BYTES", "\"AAEC\""),
    ];
    for (data_type, value) in cases {
        let declared = format!("v {data_type}, w BOOLEAN");
        let fast = rows(&mut decoder(&declared), &format!("{{\"w\":true,\"v\":{value}}}"));
        let careful = rows(&mut decoder(&declared), &format!("{{\"w\":5,\"v\":{value},\"w\":true}}"));
        assert_eq!(fast, careful, "{data_type} {value}");
    }
}

#[test]
fn doubles_read_back_to_the_last_bit() {
    for text in ["0.30000000000000004", "5e-324", "2.2250738585072011e-308", "9007199254740993.0", "123456789.12345679"]
    {
        let mut decoder = decoder("v DOUBLE");
        let decoded = decoder.decode(&lines(&format!("{{\"v\":{text}}}")));
        let value = decoded.batch.column(0).as_primitive::<Float64Type>().value(0);
        assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
}

#[test]
fn the_last_of_repeated_keys_counts() {
    let cases = [
        (r#"{"a":1,"a":2}"#, "2 | -"),
        (r#"{"a":1,"a":null}"#, "- | -"),
        (r#"{"a":"x","a":2}"#, "2 | -"),
        (r#"{"r":{"b":1,"b":2}}"#, "- | {b: 2, c: -}"),
        (r#"{"r":{"b":1,"c":[1,2]},"r":{"c":[3]}}"#, "- | {b: -, c: [3]}"),
        (r#"{"r":{"b":1},"a":1,"r":null}"#, "1 | -"),
        (r#"{"r":{"b":{"d":1},"b":7}}"#, "- | {b: 7, c: -}"),
        (r#"{"n":1,"n":null}"#, "- | -"),
    ];
    for (value, expected) in cases {
        let mut decoder = table("a BIGINT, r ROW<b BIGINT, c ARRAY<BIGINT>>");
        // A row before and a row after show that nothing leaks.
        let text = format!("{{\"a\":0}}\n{value}\n{{\"a\":9,\"r\":{{\"b\":8}}}}");
        assert_eq!(rows(&mut decoder, &text), ["0 | -", expected, "9 | {b: 8, c: -}"], "{value}");
        assert_eq!(decoder.schema_version(), 0, "{value}");
    }
}

#[test]
fn text_is_kept_to_the_last_character() {
    let value = r#"{"v":"nul \u0000, pair \ud83d\ude00, slash \/, line \u2028"}"#;
    let decoded = table("v STRING").decode(&lines(value));
    assert_eq!(decoded.batch.column(0).as_string::<i32>().value(0), "nul \0, pair \u{1f600}, slash /, line \u{2028}");
}

#[test]
fn i2_what_is_cut_off_is_said_before() {
    let columns =
        parse_columns("a INT, t TIME, r ROW<l ARRAY<TIMESTAMP(3)>>, m MAP<STRING, TIMESTAMP_LTZ(3)>").unwrap();
    let decoder = JsonDecoder::new(&columns, &Schema::empty()).unwrap();
    let notes = decoder.notes();
    assert_eq!(notes.iter().map(|note| note.path.as_str()).collect::<Vec<_>>(), ["t", "r.l.element", "m.value"]);
    assert!(notes.iter().all(|note| note.words == "a table keeps microseconds: finer digits are cut off"));
}
