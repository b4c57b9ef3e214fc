//! What each Avro type becomes, and what is said of it before.

use super::*;

/// A type, the column it gets, what is noted, a value, and how its cell reads.
#[rustfmt::skip]
const TYPES: &[(&str, &str, &str, &[u8], &str)] = &[
    (r#""boolean""#, "BOOLEAN", "", &[1], "true"),
    (r#""int""#, "INT", "", &[1], "-1"),
    (r#"{"type":"int","connect.type":"int8"}"#, "INT", "", &[2], "1"),
    (r#"{"type":"int","connect.type":"int16"}"#, "INT", "", &[2], "1"),
    (r#""long""#, "BIGINT", "", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "-9223372036854775808"),
    (r#""float""#, "FLOAT", "", &[0, 0, 0xc0, 0x3f], "1.5"),
    (r#""float""#, "FLOAT", "", &[0, 0, 0xc0, 0x7f], "NaN"),
    (r#""double""#, "DOUBLE", "", &[0, 0, 0, 0, 0, 0, 0xf0, 0xff], "-inf"),
    (r#""bytes""#, "BYTES", "", &[4, 0, 255], "[0, 255]"),
    (r#""string""#, "STRING", "", &[6, b'a', 0xc3, 0xa9], "\"a\u{e9}\""),
    (r#"{"type":"string","avro.java.string":"String"}"#, "STRING", "", &[2, b'a'], "\"a\""),
    (r#"{"type":{"type":"string"}}"#, "STRING", "", &[2, b'a'], "\"a\""),
    (r#"{"type":"fixed","name":"F","size":2}"#, "BYTES", "fixed(2) becomes BYTES: the table does not keep the length", &[1, 2], "[1, 2]"),
    (r#"{"type":"enum","name":"E","symbols":["A","B"],"default":"A"}"#, "STRING", "", &[2], "\"B\""),
    (r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#, "DECIMAL(4, 2)", "", &[4, 0xff, 0x7f], "-129e-2"),
    (r#"{"type":"bytes","logicalType":"decimal","precision":4}"#, "DECIMAL(4, 0)", "", &[8, 0, 0, 0, 7], "7e-0"),
    (r#"{"type":"bytes","logicalType":"decimal"}"#, "DECIMAL(10, 0)", "decimal without a precision is taken as 10", &[2, 0xff], "-1e-0"),
    (r#"{"type":"fixed","name":"D","size":3,"logicalType":"decimal","precision":6,"scale":6}"#, "DECIMAL(6, 6)", "", &[0, 1, 0], "256e-6"),
    (r#"{"type":"bytes","logicalType":"decimal","precision":38}"#, "DECIMAL(38, 0)", "", &[32, 0x4b, 0x3b, 0x4c, 0xa8, 0x5a, 0x86, 0xc4, 0x7a, 0x09, 0x8a, 0x22, 0x3f, 0xff, 0xff, 0xff, 0xff], "99999999999999999999999999999999999999e-0"),
    (r#"{"type":"bytes","logicalType":"big-decimal"}"#, "BYTES", "big-decimal becomes BYTES as they are: its scale differs by value", &[2, 7], "[7]"),
    (r#"{"type":"int","logicalType":"date"}"#, "DATE", "", &[1], "day -1"),
    (r#"{"type":"int","logicalType":"time-millis"}"#, "TIME(6)", "", &[4], "2000us"),
    (r#"{"type":"long","logicalType":"time-micros"}"#, "TIME(6)", "", &[4], "2us"),
    (r#"{"type":"long","logicalType":"timestamp-millis"}"#, "TIMESTAMP_LTZ(6)", "", &[4], "2000us"),
    (r#"{"type":"long","logicalType":"timestamp-micros"}"#, "TIMESTAMP_LTZ(6)", "", &[3], "-2us"),
    (r#"{"type":"long","logicalType":"timestamp-nanos"}"#, "TIMESTAMP_LTZ(6)", "a table keeps microseconds: finer digits are cut off; a column BIGINT keeps all", &[0xce, 0xf], "0us"),
    (r#"{"type":"long","logicalType":"local-timestamp-nanos"}"#, "TIMESTAMP(6)", "a table keeps microseconds: finer digits are cut off; a column BIGINT keeps all", &[1], "-1us"),
    (r#"{"type":"long","logicalType":"local-timestamp-millis"}"#, "TIMESTAMP(6)", "", &[4], "2000us"),
    (r#"{"type":"long","logicalType":"local-timestamp-micros"}"#, "TIMESTAMP(6)", "", &[4], "2us"),
    (r#"{"type":"string","logicalType":"uuid"}"#, "STRING", "", &[2, b'x'], "\"x\""),
    (r#"{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}"#, "STRING", "uuid of 16 bytes becomes STRING, as uuids are written", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], "\"00010203-0405-0607-0809-0a0b0c0d0e0f\""),
    (r#"{"type":"fixed","name":"P","size":12,"logicalType":"duration"}"#, "BYTES", "duration becomes BYTES: months, days and milliseconds as Avro has them", &[1; 12], "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"),
    // 19: a logical type on a base that is not its own.
    (r#"{"type":"string","logicalType":"date"}"#, "STRING", "logical type \"date\" is passed over: it does not belong on this type", &[2, b'x'], "\"x\""),
    (r#"{"type":"long","logicalType":"decimal","precision":4}"#, "BIGINT", "logical type \"decimal\" is passed over: it does not belong on this type", &[2], "1"),
    (r#"{"type":"fixed","name":"U","size":2,"logicalType":"uuid"}"#, "BYTES", "logical type \"uuid\" is passed over: it does not belong on this type; fixed(2) becomes BYTES", &[1, 2], "[1, 2]"),
    (r#"{"type":"array","items":"int"}"#, "ARRAY<INT>", "", &[4, 2, 4, 2, 6, 0], "[1, 2, 3]"),
    (r#"{"type":"array","items":"int"}"#, "ARRAY<INT>", "", &[3, 4, 2, 4, 2, 6, 0], "[1, 2, 3]"),
    (r#"{"type":"array","items":["null","int"]}"#, "ARRAY<INT>", "", &[4, 0, 2, 4, 0], "[-, 2]"),
    (r#"{"type":"map","values":"long"}"#, "MAP<STRING, BIGINT>", "", &[2, 2, b'k', 4, 0], "(\"k\" => 2; )"),
    (r#"{"type":"map","values":{"type":"record","name":"V","fields":[{"name":"x","type":"int"}]}}"#, "MAP<STRING, ROW<x INT>>", "", &[1, 6, 2, b'k', 4, 0], "(\"k\" => {x: 2}; )"),
    (r#"["null","string"]"#, "STRING", "", &[0], "-"),
    (r#"["string","null"]"#, "STRING", "", &[0, 2, b'a'], "\"a\""),
    (r#"["string","null"]"#, "STRING", "", &[2], "-"),
    (r#"["int"]"#, "INT", "", &[0, 2], "1"),
    (r#"["null","int","string"]"#, "ROW<int INT, string STRING>", "is a union: a row with a field for each of its types", &[0], "-"),
    (r#"["null","int","string"]"#, "ROW<int INT, string STRING>", "is a union: a row with a field for each of its types", &[4, 2, b'a'], "{int: -, string: \"a\"}"),
    (r#"{"type":"record","name":"R","fields":[{"name":"n","type":"null"},{"name":"x","type":"int"}]}"#, "ROW<x INT>", "", &[2], "{x: 1}"),
    (r#"{"type":"array","items":{"type":"record","name":"MapEntry","namespace":"io.confluent.connect.avro","fields":[{"name":"key","type":"int"},{"name":"value","type":"string"}]}}"#, "MAP<INT, STRING>", "", &[2, 2, 2, b'a', 0], "(1 => \"a\"; )"),
    (r#"{"type":"array","items":{"type":"record","name":"Named","connect.internal.type":"MapEntry","fields":[{"name":"key","type":["null","string"]},{"name":"value","type":"string"}]}}"#, "ARRAY<ROW<key STRING, value STRING>>", "", &[2, 0, 2, b'a', 0], "[{key: -, value: \"a\"}]"),
];

#[test]
fn every_type_has_its_column_and_its_values_are_kept() {
    for (avro, column, note, bytes, cell) in TYPES {
        let (mut decoder, learned) = decoder(&record(&format!(r#"{{"name":"v","type":{avro}}}"#)));
        assert_eq!(columns(&decoder), format!("v {column}"), "{avro}");
        let noted = notes(&learned).into_iter().filter(|note| note.starts_with("v: ")).collect::<String>();
        assert_eq!(noted.trim_start_matches("v: "), *note, "{avro}");
        assert_eq!(rows(&mut decoder, &[value(1, &[bytes]), value(1, &[bytes])]), [*cell, *cell], "{avro}");
    }
}

/// A key is often no record: the same bytes are those of a record with one field.
#[test]
fn every_type_is_the_one_field_of_a_row_and_a_record_is_a_row_itself() {
    for (avro, column, _, bytes, cell) in
        TYPES.iter().filter(|(avro, ..)| !avro.contains(r#"{"type":"record","name":"R""#))
    {
        let schema = in_a_record(&text(avro), "key").unwrap();
        let (mut decoder, _) = decoder(&schema);
        assert_eq!(columns(&decoder), format!("key {column}"), "{avro}");
        assert_eq!(rows(&mut decoder, &[value(1, &[bytes])]), [*cell], "{avro}");
    }
    // Without quotes; a name that another schema defines.
    let (decoder_of_text, _) = decoder(&in_a_record(&text("string"), "key").unwrap());
    assert_eq!(columns(&decoder_of_text), "key STRING");
    let kind = r#"{"type":"enum","name":"key","namespace":"shop","symbols":["A"]}"#;
    let by_name = ResolvedSchema { references: vec![referred(kind)], ..text("\"shop.key\"") };
    let (mut of_enum, _) = decoder(&in_a_record(&by_name, "key").unwrap());
    assert_eq!(rows(&mut of_enum, &[value(1, &[&[0]])]), ["\"A\""]);
    let record = record(r#"{"name":"id","type":"int"}"#);
    assert_eq!(in_a_record(&record, "key").unwrap(), record);
    let optional = text(&format!(r#"["null",{}]"#, record.text));
    assert_eq!(in_a_record(&optional, "key").unwrap(), optional);
    assert!(in_a_record(&text("{"), "key").is_err());
}

#[test]
fn a_union_of_records_has_a_row_for_each_and_whole_names_where_short_ones_are_alike() {
    let branch = |name: &str| format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":"x","type":"int"}}]}}"#);
    let avro = format!(
        r#"["null",{},{},{},{{"type":"record","name":"Beat","fields":[]}}]"#,
        branch("a.Made"),
        branch("b.Made"),
        branch("b.Sent")
    );
    let (mut decoder, learned) = decoder(&record(&format!(r#"{{"name":"v","type":{avro}}}"#)));
    assert_eq!(columns(&decoder), "v ROW<`a.Made` ROW<x INT>, `b.Made` ROW<x INT>, Sent ROW<x INT>>");
    assert_eq!(
        notes(&learned),
        ["v.Beat: holds nothing, and gets no column", "v: is a union: a row with a field for each of its types"]
    );
    let made = rows(&mut decoder, &[value(1, &[&[4, 2]]), value(1, &[&[8]]), value(1, &[&[0]]), value(1, &[&[6, 4]])]);
    assert_eq!(
        made,
        [
            "{a.Made: -, b.Made: {x: 1}, Sent: -}",
            "{a.Made: -, b.Made: -, Sent: -}",
            "-",
            "{a.Made: -, b.Made: -, Sent: {x: 2}}",
        ]
    );
}

#[test]
fn the_record_itself_may_be_a_union_or_optional() {
    let text = |avro: &str| ResolvedSchema {
        text: avro.to_owned(),
        references: vec![
            referred(r#"{"type":"record","name":"shop.Made","fields":[{"name":"id","type":"shop.Id"}]}"#),
            referred(r#"{"type":"fixed","name":"shop.Id","size":1}"#),
            referred(r#"{"type":"record","name":"shop.Sent","fields":[{"name":"to","type":"string"}]}"#),
        ],
        ..ResolvedSchema::default()
    };
    let (mut union, _) = decoder(&text(r#"["shop.Made","shop.Sent"]"#));
    assert_eq!(columns(&union), "Made ROW<id BYTES>, Sent ROW<to STRING>");
    assert_eq!(
        rows(&mut union, &[value(1, &[&[2, 2, b'x']]), value(1, &[&[0, 9]])]),
        ["- | {to: \"x\"}", "{id: [9]} | -"]
    );

    let (mut optional, _) = decoder(&text(r#"["null","shop.Made"]"#));
    let decoded = decode(&mut optional, &[value(1, &[&[2, 9]]), value(1, &[&[0]])]);
    assert_eq!(shown(&decoded.batch), ["[9]"]);
    assert_eq!(decoded.failure.unwrap().message, "the value is null, not a record");

    let (named, _) = decoder(&text("shop.Sent"));
    assert_eq!(columns(&named), "to STRING");
}

#[test]
fn names_are_of_the_namespace_around_them() {
    let fields = r#"{"name":"a","type":{"type":"record","name":"Part","fields":[{"name":"x","type":"int"}]}},
                    {"name":"b","type":"Part"},{"name":"c","type":"shop.Part"},{"name":"d","type":{"type":"Part"}},
                    {"name":"e","type":{"type":"enum","name":"E","namespace":"","symbols":["A"]}},{"name":"f","type":"E"}"#;
    let (decoder, _) = decoder(&record(fields));
    let part = "ROW<x INT>";
    assert_eq!(columns(&decoder), format!("a {part}, b {part}, c {part}, d {part}, e STRING, f STRING"));
}

#[test]
fn twenty_levels_and_five_hundred_columns() {
    let deep = (0..20).fold(r#""int""#.to_owned(), |inner, level| {
        format!(r#"{{"type":"record","name":"L{level}","fields":[{{"name":"n","type":["null",{inner}]}}]}}"#)
    });
    let (mut decoder, _) = decoder(&record(&format!(r#"{{"name":"v","type":{deep}}}"#)));
    let shown = rows(&mut decoder, &[value(1, &[&[2; 20], &[4]])]);
    assert_eq!(shown, [format!("{}2{}", "{n: ".repeat(20), "}".repeat(20))]);

    let wide: Vec<_> = (0..500).map(|n| format!(r#"{{"name":"c{n}","type":"int"}}"#)).collect();
    let (mut decoder, _) = self::decoder(&record(&wide.join(",")));
    let row: Vec<u8> = (0..500).flat_map(long).collect();
    let shown = rows(&mut decoder, &[value(1, &[&row])]);
    assert_eq!(shown[0].split(" | ").nth(499), Some("499"));
}
