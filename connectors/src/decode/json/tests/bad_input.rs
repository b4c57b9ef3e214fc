//! Bad inputs, numbered as in the list of reliability: a clear error, and nothing lost.

use super::*;

/// The columns of the table, the value, and what it fails with: reason, path, message, remedy.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const WHOLE: &str = "send a whole JSON object in each record";
const FORMAT: &str = "send a JSON object in each record";
const UNICODE: &str = "send text that is Unicode";

const VALUES: &[Case] = &[
    // 1, 28: framing.
    ("", "", "empty-value", "$", "the value is empty", WHOLE),
    ("", " \n", "empty-value", "$", "the value is empty", WHOLE),
    (
        "",
        r#"{"a":1"#,
        "truncated",
        "$",
        "the value ends in the middle: EOF while parsing an object at line 1 column 6",
        WHOLE,
    ),
    (
        "",
        r#"{"a":"x"#,
        "truncated",
        "$",
        "the value ends in the middle: EOF while parsing a string at line 1 column 7",
        WHOLE,
    ),
    (
        "",
        r#"{"a":1} {"a":2}"#,
        "trailing-data",
        "$",
        "the value has more than one value: trailing characters at line 1 column 9",
        "a record holds one JSON object: send the others as records of their own",
    ),
    (
        "",
        r#"{"a":1}x"#,
        "trailing-data",
        "$",
        "the value has more than one value: trailing characters at line 1 column 8",
        "a record holds one JSON object: send the others as records of their own",
    ),
    ("", "hello", "not-json", "$", "the value is not JSON: expected value at line 1 column 1", FORMAT),
    ("", r#"{"a":01}"#, "not-json", "$", "the value is not JSON: invalid number at line 1 column 7", FORMAT),
    ("", r#"{'a':1}"#, "not-json", "$", "the value is not JSON: key must be a string at line 1 column 2", FORMAT),
    ("", r#"{"a":1,}"#, "not-json", "$", "the value is not JSON: key must be a string at line 1 column 8", FORMAT),
    (
        "",
        "{\"a\":\"\u{1}\"}",
        "not-json",
        "$",
        "the value is not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 6",
        FORMAT,
    ),
    (
        "",
        "\u{0}\u{0}\u{0}\u{0}\u{1}x",
        "not-json",
        "$",
        "the value is not JSON: expected value at line 1 column 1",
        "byte 0 at the start marks a schema registry's record: enable the topic with --format avro, protobuf or json-schema",
    ),
    // 24, 25.
    (
        "",
        r#"{"a":NaN}"#,
        "not-json",
        "$",
        "the value is not JSON: expected value at line 1 column 6",
        "NaN and Infinity are not JSON: send null or text",
    ),
    (
        "",
        r#"{"a":-Infinity}"#,
        "not-json",
        "$",
        "the value is not JSON: invalid number at line 1 column 7",
        "NaN and Infinity are not JSON: send null or text",
    ),
    (
        "x DOUBLE",
        r#"{"x":"NaN"}"#,
        "type-mismatch",
        "$.x",
        "$.x is the text \"NaN\", its column is DOUBLE",
        "declare x STRING",
    ),
    (
        "",
        "\u{feff}{}",
        "not-json",
        "$",
        "the value starts with a byte order mark",
        "remove the byte order mark (EF BB BF) before the value: JSON has none",
    ),
    (
        "x STRING",
        r#"{"x":"\ud800"}"#,
        "invalid-utf8",
        "$.x",
        "$.x has a text that is no Unicode: unexpected end of hex escape at line 1 column 8",
        UNICODE,
    ),
    (
        "x STRING",
        r#"{"x":"\udc00"}"#,
        "invalid-utf8",
        "$.x",
        "$.x has a text that is no Unicode: lone leading surrogate in hex escape at line 1 column 7",
        UNICODE,
    ),
    // 27, 30: not the shape of the column.
    (
        "",
        "[1]",
        "not-an-object",
        "$",
        "the value is an array, not an object",
        "a row comes from a JSON object: send one in each record",
    ),
    (
        "",
        "null",
        "not-an-object",
        "$",
        "the value is null, not an object",
        "a row comes from a JSON object: send one in each record",
    ),
    (
        "",
        "\"{}\"",
        "not-an-object",
        "$",
        "the value is the text \"{}\", not an object",
        "a row comes from a JSON object: send one in each record",
    ),
    (
        "r ROW<a BIGINT>",
        r#"{"r":[1]}"#,
        "type-mismatch",
        "$.r",
        "$.r is an array, its column is ROW<a BIGINT>",
        "declare r STRING",
    ),
    (
        "l ARRAY<BIGINT>",
        r#"{"l":{"a":1}}"#,
        "type-mismatch",
        "$.l",
        "$.l is an object, its column is ARRAY<BIGINT>",
        "declare l STRING",
    ),
    (
        "x BIGINT",
        r#"{"x":"1"}"#,
        "type-mismatch",
        "$.x",
        "$.x is the text \"1\", its column is BIGINT",
        "declare x STRING",
    ),
    (
        "x BIGINT",
        r#"{"x":{"y":1}}"#,
        "type-mismatch",
        "$.x",
        "$.x is an object, its column is BIGINT",
        "declare x STRING",
    ),
    ("x STRING", r#"{"x":1}"#, "type-mismatch", "$.x", "$.x is the number 1, its column is STRING", "declare x STRING"),
    (
        "x BOOLEAN",
        r#"{"x":1}"#,
        "type-mismatch",
        "$.x",
        "$.x is the number 1, its column is BOOLEAN",
        "declare x STRING",
    ),
    ("x BIGINT", r#"{"x":true}"#, "type-mismatch", "$.x", "$.x is true, its column is BIGINT", "declare x STRING"),
    // 23: numbers.
    (
        "x BIGINT",
        r#"{"x":1.5}"#,
        "type-mismatch",
        "$.x",
        "$.x is the number 1.5, its column is BIGINT",
        "declare x DOUBLE",
    ),
    (
        "x BIGINT",
        r#"{"x":1.0}"#,
        "type-mismatch",
        "$.x",
        "$.x is the number 1.0, its column is BIGINT",
        "declare x DOUBLE",
    ),
    (
        "x BIGINT",
        r#"{"x":1e3}"#,
        "type-mismatch",
        "$.x",
        "$.x is the number 1e3, its column is BIGINT",
        "declare x DOUBLE",
    ),
    (
        "x BIGINT",
        r#"{"x":-0.0}"#,
        "type-mismatch",
        "$.x",
        "$.x is the number -0.0, its column is BIGINT",
        "declare x DOUBLE",
    ),
    (
        "x BIGINT",
        r#"{"x":9223372036854775808}"#,
        "out-of-range",
        "$.x",
        "$.x is the number 9223372036854775808, its column is BIGINT: it is outside the 64-bit range",
        "declare x DECIMAL(19, 0)",
    ),
    (
        "x BIGINT",
        r#"{"x":-9223372036854775809}"#,
        "out-of-range",
        "$.x",
        "$.x is the number -9223372036854775809, its column is BIGINT: it is outside the 64-bit range",
        "declare x DECIMAL(19, 0)",
    ),
    (
        "",
        r#"{"x":123456789012345678901234567890123456789}"#,
        "out-of-range",
        "$.x",
        "$.x is the number 123456789012345678901234567890123456789, its column is BIGINT: it is outside the 64-bit range",
        "declare x STRING",
    ),
    (
        "",
        r#"{"x":1e400}"#,
        "out-of-range",
        "$.x",
        "$.x is the number 1e400, its column is DOUBLE: it is beyond the largest DOUBLE",
        "declare x STRING",
    ),
    (
        "x INT",
        r#"{"x":2147483648}"#,
        "out-of-range",
        "$.x",
        "$.x is the number 2147483648, its column is INT: it is outside the 32-bit range",
        "declare x BIGINT",
    ),
    (
        "x FLOAT",
        r#"{"x":1e39}"#,
        "out-of-range",
        "$.x",
        "$.x is the number 1e39, its column is FLOAT: it is beyond the largest FLOAT",
        "declare x DOUBLE",
    ),
    // 54, 55: decimals and times.
    (
        "x DECIMAL(5,2)",
        r#"{"x":1234.5}"#,
        "out-of-range",
        "$.x",
        "$.x is the number 1234.5, its column is DECIMAL(5, 2): it has more digits before the decimal point than the column",
        "declare x DECIMAL(6, 2)",
    ),
    (
        "x DECIMAL(5,2)",
        r#"{"x":"0.125"}"#,
        "out-of-range",
        "$.x",
        "$.x is the text \"0.125\", its column is DECIMAL(5, 2): it has more digits after the decimal point than the column",
        "declare x DECIMAL(6, 3)",
    ),
    (
        "x DECIMAL(38,0)",
        r#"{"x":1e38}"#,
        "out-of-range",
        "$.x",
        "$.x is the number 1e38, its column is DECIMAL(38, 0): it has more digits before the decimal point than the column",
        "declare x STRING",
    ),
    (
        "x DECIMAL(5,2)",
        r#"{"x":"abc"}"#,
        "type-mismatch",
        "$.x",
        "$.x is the text \"abc\", its column is DECIMAL(5, 2): a decimal number is digits with an optional point",
        "declare x STRING",
    ),
    (
        "x TIMESTAMP_LTZ(3)",
        r#"{"x":"soon"}"#,
        "type-mismatch",
        "$.x",
        "$.x is the text \"soon\", its column is TIMESTAMP_LTZ(6): a timestamp is written 2026-11-21T08:30:00.25Z, or is epoch milliseconds",
        "declare x STRING",
    ),
    (
        "x TIMESTAMP(3)",
        r#"{"x":"2026-11-21T08:30:00Z"}"#,
        "type-mismatch",
        "$.x",
        "$.x is the text \"2026-11-21T08:30:00Z\", its column is TIMESTAMP(6): it has a time zone, the column has none",
        "declare x TIMESTAMP_LTZ(6)",
    ),
    (
        "x TIMESTAMP_LTZ(3)",
        r#"{"x":253402300800000}"#,
        "out-of-range",
        "$.x",
        "$.x is the number 253402300800000, its column is TIMESTAMP_LTZ(6): years run from 0001 to 9999",
        "declare x STRING",
    ),
    (
        "x TIMESTAMP_LTZ(3)",
        r#"{"x":1.5}"#,
        "type-mismatch",
        "$.x",
        "$.x is the number 1.5, its column is TIMESTAMP_LTZ(6)",
        "declare x STRING",
    ),
    (
        "x DATE",
        r#"{"x":"2023-02-30"}"#,
        "out-of-range",
        "$.x",
        "$.x is the text \"2023-02-30\", its column is DATE: there is no such day in the calendar",
        "declare x STRING",
    ),
    (
        "x TIME",
        r#"{"x":86400000}"#,
        "out-of-range",
        "$.x",
        "$.x is the number 86400000, its column is TIME(6): a day has the milliseconds 0 to 86399999",
        "declare x STRING",
    ),
    (
        "x BYTES",
        r#"{"x":"a"}"#,
        "type-mismatch",
        "$.x",
        "$.x is the text \"a\", its column is BYTES: bytes are base64 text with padding",
        "declare x STRING",
    ),
    // Places inside, whose declaration is that of the whole column.
    (
        "customer ROW<id BIGINT NOT NULL, address ARRAY<ROW<zip BIGINT, `odd name` STRING>>>",
        r#"{"customer":{"id":1,"address":[{},{},{},{"zip":"0815"}]}}"#,
        "type-mismatch",
        "$.customer.address[3].zip",
        "$.customer.address[3].zip is the text \"0815\", its column is BIGINT",
        "declare customer ROW<id BIGINT NOT NULL, address ARRAY<ROW<zip STRING, `odd name` STRING>>>",
    ),
    (
        "`odd name` MAP<STRING, BIGINT>",
        r#"{"odd name":{"k":1.5}}"#,
        "type-mismatch",
        "$[\"odd name\"].k",
        "$[\"odd name\"].k is the number 1.5, its column is BIGINT",
        "declare `odd name` MAP<STRING, DOUBLE>",
    ),
    (
        "",
        r#"{"l":[1,"x"]}"#,
        "type-mismatch",
        "$.l[1]",
        "$.l[1] is the text \"x\", its column is BIGINT",
        "declare l ARRAY<STRING>",
    ),
    // Columns that must have a value.
    (
        "x BIGINT NOT NULL",
        r#"{"x":null}"#,
        "missing-value",
        "$.x",
        "$.x is null, its column is BIGINT NOT NULL",
        "declare x BIGINT",
    ),
    (
        "x BIGINT NOT NULL",
        "{}",
        "missing-value",
        "$.x",
        "$.x is missing, its column is BIGINT NOT NULL",
        "declare x BIGINT",
    ),
    (
        "r ROW<x INT NOT NULL>",
        r#"{"r":{}}"#,
        "missing-value",
        "$.r.x",
        "$.r.x is missing, its column is INT NOT NULL",
        "declare r ROW<x INT>",
    ),
    (
        "l ARRAY<INT NOT NULL>",
        r#"{"l":[1,null]}"#,
        "missing-value",
        "$.l[1]",
        "$.l[1] is null, its column is INT NOT NULL",
        "declare l ARRAY<INT>",
    ),
    // 61, 68, and names that cannot be.
    (
        "",
        r#"{"_tableflow_offset":1}"#,
        "reserved-name",
        "$._tableflow_offset",
        "$._tableflow_offset has a name that begins with _tableflow_, as metadata columns do",
        "rename the field where it is produced",
    ),
    (
        "amount BIGINT",
        r#"{"Amount":1}"#,
        "case-collision",
        "$.Amount",
        "$.Amount differs only by case from column amount",
        "engines cannot tell Amount and amount apart: use one spelling where they are produced; or declare Amount BIGINT",
    ),
    (
        "amount BIGINT",
        r#"{"amount":1,"Amount":1}"#,
        "case-collision",
        "$.Amount",
        "$.Amount differs only by case from column amount",
        "engines cannot tell Amount and amount apart: use one spelling where they are produced",
    ),
    (
        "",
        r#"{"r":{"a":1,"A":1}}"#,
        "case-collision",
        "$.r",
        "$.r has a field \"A\" inside that differs only by case from column a",
        "engines cannot tell A and a apart: use one spelling where they are produced",
    ),
    (
        "",
        r#"{"":1}"#,
        "bad-name",
        "$[\"\"]",
        "$[\"\"] has an empty name",
        "rename the field where it is produced: no column can be called that",
    ),
    (
        "",
        r#"{"a\nb":1}"#,
        "bad-name",
        "$[\"a\\nb\"]",
        "$[\"a\\nb\"] has a control character in its name",
        "rename the field where it is produced: no column can be called that",
    ),
];

#[test]
fn a_bad_value_fails_with_reason_place_and_remedy() {
    for (columns, value, reason, path, message, remedy) in VALUES {
        let mut decoder = if columns.is_empty() { decoder("") } else { table(columns) };
        let before = decoder.schema();
        let failure = failure(&mut decoder, value);
        let found = (failure.reason.code(), failure.path.as_str(), failure.message.as_str(), remedy_of(&failure));
        assert_eq!(found, (*reason, *path, *message, (*remedy).to_owned()), "{value}");
        assert_eq!(decoder.schema(), before, "{value}");
    }
}

#[test]
fn what_a_remedy_declares_takes_the_value() {
    for (_, value, _, _, _, remedy) in VALUES {
        let Some(declared) = remedy.strip_prefix("declare ") else { continue };
        let mut decoder = decoder(declared);
        let decoded = decoder.decode(&records(&[Some(value)]));
        assert_eq!(decoded.failure, None, "{declared}: {value}");
    }
}

fn remedy_of(failure: &RecordError) -> String {
    match &failure.remedy {
        Remedy::Declare(column) => format!("declare {}", flink_column(column)),
        Remedy::Respell { column, words } => format!("{words}; or declare {}", flink_column(column)),
        Remedy::DeclareOfKey(_) => unreachable!("a decoder knows of no keys"),
        Remedy::Produce(words) => words.clone(),
        Remedy::Evolve => "let the table have another column".to_owned(),
    }
}

#[test]
fn no_declaration_is_named_for_what_no_reader_goes_down_to() {
    let value = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let failure = failure(&mut table("a ARRAY<BIGINT>"), value);
    assert_eq!((failure.reason.code(), failure.path.as_str()), ("type-mismatch", "$.a[0]"));
    assert_eq!(remedy_of(&failure), "send objects and arrays of fewer levels");
}

/// Declared widths, the value, and what it fails with.
const WIDTHS: &[(&str, &str, &str, &str)] = &[
    ("x TINYINT", r#"{"x":128}"#, "$.x is the number 128, its column is TINYINT: it is outside -128 to 127", "x INT"),
    ("x SMALLINT", r#"{"x":3000000000}"#, "$.x is the number 3000000000, its column is SMALLINT", "x BIGINT"),
    ("x TINYINT", r#"{"x":1.5}"#, "$.x is the number 1.5, its column is TINYINT", "x DOUBLE"),
    ("x TINYINT NOT NULL", "{}", "$.x is missing, its column is TINYINT NOT NULL", "x TINYINT"),
    ("x VARCHAR(2)", r#"{"x":"\u00e4bc"}"#, "$.x is the text \"äbc\", its column is VARCHAR(2)", "x STRING"),
    ("x CHAR(2)", r#"{"x":[1]}"#, "$.x is an array, its column is CHAR(2): it has more characters", "x STRING"),
    ("x BINARY(2)", r#"{"x":"AAAA"}"#, "its column is BINARY(2): it has more bytes", "x BYTES"),
    ("x ARRAY<SMALLINT>", r#"{"x":[40000]}"#, "$.x[0] is the number 40000, its column is SMALLINT", "x ARRAY<INT>"),
    (
        "x MAP<VARCHAR(1), ROW<t TINYINT, u TINYINT>>",
        r#"{"x":{"k":{"t":1,"u":300}}}"#,
        "$.x.k.u is the number 300, its column is TINYINT",
        "x MAP<VARCHAR(1), ROW<t TINYINT, u INT>>",
    ),
    (
        "x MAP<CHAR(1), TINYINT>",
        r#"{"x":{"kk":1}}"#,
        "$.x.kk is no key of its map: it has more characters",
        "x MAP<STRING, INT>",
    ),
];

#[test]
fn a_declared_width_is_kept_to_whether_or_not_the_table_exists() {
    for (columns, value, message, takes) in WIDTHS {
        let new = decoder(columns);
        let existing = JsonDecoder::new(&parse_columns(columns).unwrap(), &new.schema()).unwrap();
        for mut decoder in [new, existing] {
            let failure = failure(&mut decoder, value);
            assert!(failure.message.contains(message), "{failure}");
            assert_eq!(remedy_of(&failure), format!("declare {takes}"), "{value}");
        }
        assert_eq!(decoder(takes).decode(&records(&[Some(value)])).failure, None, "{takes}: {value}");
    }
}

#[test]
fn i3_i4_names_that_no_table_can_have_are_refused_with_what_they_clash_with() {
    for (columns, value, path, name) in [
        ("a ROW<b BIGINT>", r#"{"a.b":3}"#, "$[\"a.b\"]", "`a.b`"),
        ("`a.b` BIGINT", r#"{"a":{"b":3}}"#, "$.a", "`a.b`"),
        ("`a.b` BIGINT, a ROW<c BIGINT>", r#"{"a":{"b":3}}"#, "$.a.b", "`a.b`"),
        ("l ARRAY<BIGINT>", r#"{"l.element":3}"#, "$[\"l.element\"]", "`l.element`"),
        ("l ARRAY<ROW<x BIGINT>>", r#"{"l.element.x":3}"#, "$[\"l.element.x\"]", "`l.element.x`"),
        ("l ARRAY<BIGINT>", r#"{"l.list.element":3}"#, "$[\"l.list.element\"]", "`l.list.element`"),
        ("m MAP<STRING, BIGINT>", r#"{"m.key":3}"#, "$[\"m.key\"]", "`m.key`"),
        ("m MAP<STRING, BIGINT>", r#"{"m.key_value.value":3}"#, "$[\"m.key_value.value\"]", "`m.key_value.value`"),
        ("ts BIGINT", r#"{"new":1,"ts_day":3,"other":1}"#, "$.ts_day", "ts_day"),
        ("", r#"{"r":{"x.y":1,"x":{"y":1}}}"#, "$.r", "`r.x.y`"),
    ] {
        let table = if columns.is_empty() { Schema::empty() } else { Schema::new(parse_columns(columns).unwrap()) };
        let partition_fields = ["ts_day", "ts"].map(str::to_owned).into();
        let rules = ColumnRules { partition_fields, ..ColumnRules::default() };
        let mut decoder = JsonDecoder::new(&[], &table).unwrap().keep_to(&rules, &table).unwrap();
        let before = decoder.schema();
        let decoded = decoder.decode(&lines(&format!("{{\"fine\":1}}\n{value}\n{{\"fine\":2}}")));
        let failure = decoded.failure.unwrap();
        assert_eq!(
            (decoded.taken.len(), failure.reason.code(), failure.path.as_str()),
            (1, "bad-name", path),
            "{value}"
        );
        assert!(failure.message.contains(name), "{failure}");
        assert_eq!(decoder.schema().fields().len(), before.fields().len() + 1, "{value}");
        assert_eq!(decoder.decode(&lines("{\"fine\":2}")).failure, None);
    }
    // A name inside that only looks alike.
    let mut decoder = table("a ROW<b BIGINT>, l ARRAY<BIGINT>");
    rows(&mut decoder, r#"{"b":1,"element":1,"l_element":1,"a":{"a.b":1}}"#);
}

#[test]
fn n02_a_tombstone_is_named_as_such() {
    let decoded = decoder("").decode(&records(&[Some("{\"a\":1}"), None]));
    assert_eq!(decoded.taken.len(), 1);
    let failure = decoded.failure.unwrap();
    assert_eq!((failure.row, failure.reason.code()), (1, "tombstone"));
    assert_eq!(
        remedy_of(&failure),
        "an append table has no keys to delete: send no tombstones, let it keep one row a key (`tableflow update TABLE --mode upsert`), or enable the topic with --mode upsert into another table"
    );
}

#[test]
fn n22_depth_is_bounded() {
    let nested = |levels: usize| format!("{{\"v\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let objects = |levels: usize| format!("{{\"v\":{}1{}}}", "{\"a\":".repeat(levels), "}".repeat(levels));
    for columns in ["", "v STRING"] {
        assert!(decoder(columns).decode(&lines(&nested(126))).failure.is_none(), "{columns}");
        assert!(decoder(columns).decode(&lines(&objects(126))).failure.is_none(), "{columns}");
        for value in [nested(127), objects(127), nested(10_000), objects(10_000), "[".repeat(10_000), nested(1_000_000)]
        {
            let failure = failure(&mut decoder(columns), &value);
            let expected = if value.starts_with("[") { "truncated" } else { "too-deep" };
            assert_eq!(failure.reason.code(), expected, "{columns}");
        }
    }
    // Also once the column is known to hold other things than text.
    let mut mixed = decoder("v STRING");
    rows(&mut mixed, "{\"v\":1}");
    assert!(mixed.decode(&lines(&nested(126))).failure.is_none());
    assert_eq!(failure(&mut mixed, nested(127)).reason.code(), "too-deep");
}

#[test]
fn n25_bytes_that_are_no_utf8_are_refused_wherever_they_are() {
    for value in
        [&b"{\"x\":\"\xff\"}"[..], b"{\"\xff\":1}", b"{\"y\":\"\xc3\x28\"}", b"\xff\xfe{}", b"{\"x\":[\"\xff\"]}"]
    {
        for columns in ["x STRING", "y STRING"] {
            let failure = failure(&mut decoder(columns), value);
            assert_eq!(failure.reason.code(), "invalid-utf8", "{value:?}");
            assert!(failure.message.starts_with("the value is not UTF-8 from byte "), "{failure}");
        }
    }
}

#[test]
fn n29_a_text_of_64_mib_works() {
    let text = "x".repeat(64 << 20);
    let decoded = decoder("").decode(&lines(&format!("{{\"v\":\"{text}\"}}\n{{\"v\":\"y\"}}")));
    assert_eq!(decoded.failure, None);
    assert_eq!(decoded.batch.column(0).as_string::<i32>().value_length(0), 64 << 20);
    let failure = failure(&mut table("v BIGINT"), format!("{{\"v\":\"{text}\"}}"));
    assert!(failure.message.len() < 200);
}

#[test]
fn n30_drift_stops_at_the_record_and_goes_on_after_it() {
    let mut decoder = decoder("");
    let batch = lines("{\"v\":1}\n{\"v\":\"a\"}\n{\"v\":{\"x\":1}}\n{\"v\":2}");
    let (mut first, mut failed, mut kept) = (0, Vec::new(), Vec::new());
    while first < batch.len() {
        let decoded = decoder.decode_from(&batch, first, BadRecords::Stop);
        kept.extend(shown(&decoded.batch));
        first = decoded.failure.as_ref().map_or(batch.len(), |failure| failure.row + 1);
        failed.extend(decoded.failure.map(|failure| (failure.row, failure.message)));
    }
    assert_eq!(kept, ["1", "2"]);
    let messages = ["$.v is the text \"a\", its column is BIGINT", "$.v is an object, its column is BIGINT"];
    assert_eq!(failed, [(1, messages[0].to_owned()), (2, messages[1].to_owned())]);
}

#[test]
fn n26_n60_more_columns_than_a_table_can_have() {
    let keys = |count: usize| (0..count).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(",");
    let mut wide = decoder("");
    assert!(wide.decode(&lines(&format!("{{{}}}", keys(1000)))).failure.is_none());
    let failure_of = |value: &str| failure(&mut decoder(""), value);
    let failure = failure(&mut wide, "{\"one\":1}");
    assert_eq!((failure.reason.code(), failure.path.as_str()), ("too-many-columns", "$.one"));
    assert_eq!(failure.message, "$.one would be one column more than the 1000 that a table can have");
    assert_eq!(failure_of(&format!("{{{}}}", keys(10_000))).reason.code(), "too-many-columns");
    let mut growing = decoder("");
    rows(&mut growing, "{\"by_user\":{\"u\":1}}");
    let failure = self::failure(&mut growing, format!("{{\"by_user\":{{{}}}}}", keys(1000)));
    assert_eq!(remedy_of(&failure), "declare by_user MAP<STRING, STRING>");
    for (value, remedy) in [
        (format!("{{\"by_user\":{{{}}}}}", keys(1001)), "declare by_user MAP<STRING, STRING>"),
        (format!("{{\"l\":[{{{}}}]}}", keys(1001)), "declare l STRING"),
    ] {
        let failure = failure_of(&value);
        assert_eq!((failure.reason.code(), remedy_of(&failure).as_str()), ("too-many-columns", remedy));
        assert!(decoder(remedy.strip_prefix("declare ").unwrap()).decode(&lines(&value)).failure.is_none());
    }
}

#[test]
fn bad_records_do_not_make_each_other_slow() {
    // Each has a field without a column; looking ahead for each of them would take hours.
    let values: Vec<_> = (0..50_000).map(|n| Some(format!("{{\"new{n}\":1,\"v\":\"x\"}}"))).collect();
    let batch = records(&values);
    let mut decoder = table("v BIGINT");
    let failed = (0..batch.len())
        .filter(|first| decoder.decode_from(&batch, *first, BadRecords::Stop).failure.is_some())
        .count();
    assert_eq!((failed, decoder.schema_version()), (batch.len(), 0));
}

#[test]
fn a_strict_table_takes_no_field_without_a_column() {
    let table = Schema::new(parse_columns("a BIGINT, r ROW<x BIGINT>").unwrap());
    let rules = ColumnRules { evolution: Evolution::Strict, ..ColumnRules::default() };
    let mut decoder = JsonDecoder::new(&[], &table).unwrap().keep_to(&rules, &table).unwrap();
    rows(&mut decoder, r#"{"a":1,"b":null,"r":{"x":2,"y":[]}}"#);
    for (value, path) in [(r#"{"a":1,"b":2}"#, "$.b"), (r#"{"r":{"y":2}}"#, "$.r.y")] {
        let failure = decoder.decode(&lines(value)).failure.unwrap();
        assert_eq!(
            (failure.reason.code(), failure.path.as_str(), failure.remedy),
            ("new-column", path, Remedy::Evolve)
        );
    }
    assert_eq!(decoder.schema_version(), 0);
}
