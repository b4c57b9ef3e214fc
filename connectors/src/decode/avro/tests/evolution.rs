//! Schemas of many versions over one table.

use super::*;
use crate::decode::Rename;

/// The schemas are added in order, as 1, 2, ...; answers what each brought.
fn versions(decoder: &mut Tested, schemas: &[ResolvedSchema]) -> Vec<Learned> {
    let keys = (1..).map(SchemaKey::id);
    keys.zip(schemas).map(|(key, schema)| decoder.add_schema(key, schema).unwrap()).collect()
}

#[test]
fn i1_versions_follow_each_other_within_a_batch_in_any_order() {
    let mut decoder = table("");
    let schemas = [
        record(
            r#"{"name":"a","type":"int"},{"name":"r","type":{"type":"record","name":"R","fields":[{"name":"x","type":"int"}]}}"#,
        ),
        record(
            r#"{"name":"b","type":"string"},{"name":"a","type":"int"},{"name":"r","type":["null",{"type":"record","name":"R",
               "fields":[{"name":"y","type":{"type":"array","items":"int"}},{"name":"x","type":"int"}]}]}"#,
        ),
        record(r#"{"name":"c","type":"boolean"}"#),
    ];
    versions(&mut decoder, &schemas);
    assert_eq!(columns(&decoder), "a INT, r ROW<x INT, y ARRAY<INT>>, b STRING, c BOOLEAN");
    assert_eq!(decoder.schema_version(), 3);
    let values = [
        value(2, &[&string("t"), &[4, 2, 2, 6, 0, 8]]),
        value(1, &[&[10, 12]]),
        value(3, &[&[1]]),
        value(2, &[&string(""), &[14, 0]]),
        value(1, &[&[16, 18]]),
    ];
    let expected = [
        "2 | {x: 4, y: [3]} | \"t\" | -",
        "5 | {x: 6, y: -} | - | -",
        "- | - | - | true",
        "7 | - | \"\" | -",
        "8 | {x: 9, y: -} | - | -",
    ];
    assert_eq!(rows(&mut decoder, &values), expected);
    assert_eq!(rows(&mut decoder, &values), expected);
}

#[test]
fn a_schema_that_is_not_known_is_asked_for_and_decoding_goes_on() {
    let (mut decoder, _) = decoder(&record(r#"{"name":"a","type":"int"}"#));
    let values = [value(1, &[&[2]]), value(2, &[&[4, 6]]), value(1, &[&[8]])].map(Some);
    let records = records(&values);
    let decoded = decoder.decode(&records);
    assert_eq!(
        (shown(&decoded.batch), decoded.needs, decoded.failure),
        (vec!["1".to_owned()], Some(SchemaKey::id(2)), None)
    );
    let schema = record(r#"{"name":"a","type":"int"},{"name":"b","type":"int"}"#);
    decoder.add_schema(SchemaKey::id(2), &schema).unwrap();
    let decoded = decoder.decode_from(&records, decoded.taken.len(), BadRecords::Stop);
    assert_eq!(shown(&decoded.batch), ["2 | 3", "4 | -"]);
    assert_eq!((decoded.taken.len(), decoded.needs, decoded.failure), (2, None, None));
}

#[test]
fn i2_a_field_that_was_renamed_keeps_its_column() {
    let old = record(r#"{"name":"user","type":"int"}"#);
    let new = record(r#"{"name":"customer","aliases":["user"],"type":"int"}"#);
    let values = [value(1, &[&[2]]), value(2, &[&[4]])];
    let expected = ["1", "2"];

    let mut older_first = table("");
    let learned = versions(&mut older_first, &[old.clone(), new.clone()]);
    assert_eq!(columns(&older_first), "user INT");
    assert_eq!(learned[1].renames, [Rename { path: "user".to_owned(), field: "customer".to_owned() }]);
    assert_eq!(rows(&mut older_first, &values), expected);

    let mut newer_first = table("");
    let learned = versions(&mut newer_first, &[new, old.clone()]);
    assert_eq!(columns(&newer_first), "customer INT");
    assert_eq!(learned[1].renames, [Rename { path: "customer".to_owned(), field: "user".to_owned() }]);
    let swapped = [value(2, &[&[2]]), value(1, &[&[4]])];
    assert_eq!(rows(&mut newer_first, &swapped), expected);

    // A field of the alias's own name is another field.
    let both = record(r#"{"name":"user","type":"int"},{"name":"customer","aliases":["user"],"type":"int"}"#);
    let mut decoder = table("");
    versions(&mut decoder, &[old, both]);
    assert_eq!(columns(&decoder), "user INT, customer INT");
}

#[test]
fn nested_fields_and_branches_of_unions_are_renamed_too() {
    let nested =
        |field: &str| record(&format!(r#"{{"name":"r","type":{{"type":"record","name":"R","fields":[{field}]}}}}"#));
    let mut decoder = table("");
    versions(
        &mut decoder,
        &[nested(r#"{"name":"x","type":"int"}"#), nested(r#"{"name":"y","aliases":["x"],"type":"int"}"#)],
    );
    assert_eq!(columns(&decoder), "r ROW<x INT>");
    assert_eq!(rows(&mut decoder, &[value(2, &[&[2]])]), ["{x: 1}"]);

    let union = |branch: &str| {
        record(&format!(
            r#"{{"name":"u","type":["int",{{"type":"record",{branch},"fields":[{{"name":"x","type":"int"}}]}}]}}"#
        ))
    };
    let mut decoder = table("");
    versions(&mut decoder, &[union(r#""name":"Old""#), union(r#""name":"New","aliases":["Old"]"#)]);
    assert_eq!(columns(&decoder), "u ROW<int INT, Old ROW<x INT>>");
    assert_eq!(rows(&mut decoder, &[value(2, &[&[2, 4]])]), ["{int: -, Old: {x: 2}}"]);
}

/// The type before, the type after, the column then, and the widening that it takes.
#[rustfmt::skip]
const CHANGES: &[(&str, &str, &str, &str)] = &[
    (r#""int""#, r#""long""#, "v BIGINT", "INT -> BIGINT"),
    (r#""long""#, r#""int""#, "v BIGINT", ""),
    (r#""float""#, r#""double""#, "v DOUBLE", "FLOAT -> DOUBLE"),
    (r#""double""#, r#""float""#, "v DOUBLE", ""),
    (r#""double""#, r#""int""#, "v DOUBLE", ""),
    (r#""string""#, r#"["null","string"]"#, "v STRING", ""),
    (r#"["null","string"]"#, r#""string""#, "v STRING", ""),
    (r#""string""#, r#""bytes""#, "v STRING", ""),
    (r#""bytes""#, r#""string""#, "v BYTES", ""),
    (r#""string""#, r#"{"type":"enum","name":"E","symbols":["A"]}"#, "v STRING", ""),
    (r#"{"type":"enum","name":"E","symbols":["A"]}"#, r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, "v STRING", ""),
    (r#"{"type":"fixed","name":"F","size":2}"#, r#"{"type":"fixed","name":"F","size":3}"#, "v BYTES", ""),
    (r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#, r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#, "v DECIMAL(9, 2)", "DECIMAL(4, 2) -> DECIMAL(9, 2)"),
    (r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#, r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#, "v DECIMAL(9, 2)", ""),
    (r#"{"type":"long","logicalType":"timestamp-millis"}"#, r#"{"type":"long","logicalType":"timestamp-micros"}"#, "v TIMESTAMP_LTZ(6)", ""),
    (r#"{"type":"long","logicalType":"timestamp-millis"}"#, r#"{"type":"long","logicalType":"timestamp-nanos"}"#, "v TIMESTAMP_LTZ(6)", ""),
    (r#"{"type":"int","logicalType":"time-millis"}"#, r#"{"type":"long","logicalType":"time-micros"}"#, "v TIME(6)", ""),
    (r#"{"type":"array","items":"int"}"#, r#"{"type":"array","items":"long"}"#, "v ARRAY<BIGINT>", "INT -> BIGINT"),
    (r#"{"type":"map","values":"float"}"#, r#"{"type":"map","values":"double"}"#, "v MAP<STRING, DOUBLE>", "FLOAT -> DOUBLE"),
    (r#"{"type":"array","items":{"type":"record","name":"io.confluent.connect.avro.MapEntry","fields":[{"name":"key","type":"string"},{"name":"value","type":"int"}]}}"#, r#"{"type":"map","values":"int"}"#, "v MAP<STRING, INT>", ""),
    (r#"["int","string"]"#, r#"["null","string","boolean"]"#, "v ROW<int INT, string STRING, boolean BOOLEAN>", ""),
    (r#"["int","string"]"#, r#""string""#, "v ROW<int INT, string STRING>", ""),
    (r#"["int","string"]"#, r#"["long","string"]"#, "v ROW<int INT, string STRING, long BIGINT>", ""),
];

#[test]
fn a_column_takes_the_types_that_it_holds_exactly_or_becomes_wider() {
    let field = |avro: &str| record(&format!(r#"{{"name":"v","type":{avro}}}"#));
    for (before, after, expected, widening) in CHANGES {
        let mut decoder = table("");
        let learned = versions(&mut decoder, &[field(before), field(after)]);
        assert_eq!(columns(&decoder), *expected, "{before} {after}");
        let widened = learned[1].widenings.iter();
        let widened: Vec<_> = widened.map(|w| format!("{} -> {}", flink_type(&w.from), flink_type(&w.to))).collect();
        assert_eq!(widened.join(", "), *widening, "{before} {after}");
    }
}

#[test]
fn values_of_each_version_are_kept_in_the_column_that_became_wider() {
    let field = |avro: &str| record(&format!(r#"{{"name":"v","type":{avro}}}"#));
    let mut whole = table("");
    versions(&mut whole, &[field(r#""int""#), field(r#""long""#)]);
    assert_eq!(rows(&mut whole, &[value(1, &[&[1]]), value(2, &[&long(1 << 40)])]), ["-1", "1099511627776"]);
    let mut fraction = table("");
    versions(&mut fraction, &[field(r#""float""#), field(r#""double""#), field(r#""int""#)]);
    let values = [value(1, &[&1.5_f32.to_le_bytes()]), value(2, &[&0.1_f64.to_le_bytes()]), value(3, &[&[5]])];
    assert_eq!(rows(&mut fraction, &values), ["1.5", "0.1", "-3.0"]);
    let mut union = table("");
    versions(&mut union, &[field(r#"["int","string"]"#), field(r#""string""#)]);
    assert_eq!(
        rows(&mut union, &[value(1, &[&[0, 2]]), value(2, &[&string("s")])]),
        ["{int: 1, string: -}", "{int: -, string: \"s\"}"]
    );
    let mut text = table("");
    versions(
        &mut text,
        &[field(r#""string""#), field(r#"{"type":"enum","name":"E","symbols":["A"]}"#), field(r#""bytes""#)],
    );
    assert_eq!(
        rows(&mut text, &[value(1, &[&string("s")]), value(2, &[&[0]]), value(3, &[&string("b")])]),
        ["\"s\"", "\"A\"", "\"b\""]
    );
}

#[test]
fn a_table_that_is_there_keeps_its_columns_and_may_ask_for_nanoseconds() {
    let mut decoder = table("z BIGINT, ts TIMESTAMP_LTZ(6), _tableflow_offset BIGINT");
    let fields = r#"{"name":"ts","type":{"type":"long","logicalType":"timestamp-nanos"}},{"name":"a","type":"int"}"#;
    let learned = decoder.add_schema(SchemaKey::id(1), &record(fields)).unwrap();
    assert_eq!(columns(&decoder), "z BIGINT, ts TIMESTAMP_LTZ(6), a INT");
    let words = "ts: a table keeps microseconds: finer digits are cut off; a column BIGINT keeps all";
    assert_eq!(notes(&learned), [words]);
    let values = [5_000, 5_999, -1, -1_000].map(|nanos| value(1, &[&long(nanos), &[2]]));
    assert_eq!(rows(&mut decoder, &values), ["- | 5us | 1", "- | 5us | 1", "- | -1us | 1", "- | -1us | 1"]);

    let mut whole = table("ts BIGINT");
    let learned = whole.add_schema(SchemaKey::id(1), &record(fields)).unwrap();
    assert_eq!((columns(&whole).as_str(), notes(&learned)), ("ts BIGINT, a INT", vec![]));
    assert_eq!(rows(&mut whole, &[value(1, &[&long(-5_001), &[2]])]), ["-5001 | 1"]);
}

#[test]
fn a_table_of_one_record_of_a_union_takes_that_branch_alone_wherever_it_stands() {
    let named = |name: &str, fields: &str| {
        format!(r#"{{"type":"record","name":"{name}","namespace":"shop","fields":[{fields}]}}"#)
    };
    let paid = named("Paid", r#"{"name":"id","type":"long"}"#);
    let more = named("Paid", r#"{"name":"id","type":"long"},{"name":"by","type":"string"}"#);
    let placed = named("Placed", r#"{"name":"id","type":"string"}"#);
    let mut decoder = table("").of_record(Some("shop.Paid"));
    versions(
        &mut decoder,
        &[text(&format!("[{placed},{paid}]")), text(&format!(r#"["null",{more},{placed}]"#)), text(&paid)],
    );
    assert_eq!(columns(&decoder), "id BIGINT, by STRING");
    let values = [value(1, &[&[2], &long(1)]), value(2, &[&[2], &long(2), &string("card")]), value(3, &[&long(3)])];
    assert_eq!(rows(&mut decoder, &values), ["1 | -", "2 | \"card\"", "3 | -"]);
    for (value, words) in [
        (value(1, &[&[0], &string("x")]), "is branch 0 of a union, and the table is of branch 1"),
        (value(2, &[&[6]]), "is branch 3 of a union, which has 3"),
        (value(2, &[]), "ends"),
    ] {
        let failure = decode(&mut decoder, &[value]).failure.unwrap();
        assert!(failure.message.contains(words), "{failure:?}");
    }
    assert!(
        refusal(&mut decoder, &text(&format!("[{placed},\"null\",\"int\"]")))
            .contains("a union without record shop.Paid")
    );
}

#[test]
fn columns_become_nullable_with_their_fields_at_any_depth() {
    let mut decoder =
        table("a INT NOT NULL, r ROW<x INT NOT NULL> NOT NULL, l ARRAY<INT NOT NULL> NOT NULL, b INT NOT NULL");
    let of = |x: &str, items: &str, rest: &str| {
        let row = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"x","type":{x}}}]}}"#);
        let list = format!(r#"{{"type":"array","items":{items}}}"#);
        record(&format!(
            r#"{{"name":"a","type":"int"}},{{"name":"r","type":{row}}},{{"name":"l","type":{list}}}{rest}"#
        ))
    };
    let (int, nullable, b) = (r#""int""#, r#"["null","int"]"#, r#",{"name":"b","type":"int"}"#);
    let brought = versions(&mut decoder, &[of(int, int, b), of(nullable, nullable, b), of(int, int, "")]);
    let relaxed: Vec<_> = brought.into_iter().map(|learned| learned.relaxed).collect();
    assert_eq!(relaxed, [vec![], vec!["r.x".to_owned(), "l.element".to_owned()], vec!["b".to_owned()]]);
    assert_eq!(columns(&decoder), "a INT NOT NULL, r ROW<x INT> NOT NULL, l ARRAY<INT> NOT NULL, b INT");
    assert_eq!(decoder.schema_version(), 2);
    let values = [
        value(1, &[&[2, 4, 2, 6, 0, 8]]),
        value(2, &[&[2, 0, 4, 0, 2, 6, 0, 8]]),
        value(3, &[&[2, 4, 0]]),
        value(1, &[&[2, 4, 0, 8]]),
    ];
    let expected = ["1 | {x: 2} | [3] | 4", "1 | {x: -} | [-, 3] | 4", "1 | {x: 2} | [] | -", "1 | {x: 2} | [] | 4"];
    assert_eq!(rows(&mut decoder, &values), expected);
}
