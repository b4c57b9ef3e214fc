//! Schemas of many versions, and many messages, over one table.

use super::*;
use crate::decode::Rename;

/// The schemas are added in order, as 1, 2, ...; answers what each brought.
fn versions(decoder: &mut Tested, definitions: &[&str]) -> Vec<Learned> {
    let keys = (1..).map(SchemaKey::id);
    keys.zip(definitions).map(|(key, text)| decoder.add_schema(key, &proto3(text)).unwrap()).collect()
}

#[test]
fn i1_versions_follow_each_other_within_a_batch_in_any_order() {
    let mut decoder = table("");
    let schemas = [
        "message Order { int32 a = 1; R r = 2; } message R { int32 x = 1; }",
        "message Order { int32 a = 1; R r = 2; string b = 3; repeated int32 l = 4; } message R { int32 x = 1; repeated int32 y = 2; }",
        "message Order { bool c = 5; }",
    ];
    versions(&mut decoder, &schemas);
    assert_eq!(columns(&decoder), "a INT, r ROW<x INT, y ARRAY<INT>>, b STRING, l ARRAY<INT>, c BOOLEAN");
    assert_eq!(decoder.schema_version(), 3);
    let values = [
        value(2, &[&[8, 2], &run(2, [8, 4, 16, 3]), &run(3, "t"), &run(4, [9])]),
        value(1, &[&[8, 5], &run(2, [8, 6])]),
        value(3, &[&[40, 1]]),
        value(2, &[]),
        value(1, &[&run(2, [])]),
    ];
    let expected = [
        "2 | {x: 4, y: [3]} | \"t\" | [9] | -",
        "5 | {x: 6, y: -} | - | - | -",
        "- | - | - | - | true",
        "0 | - | \"\" | [] | -",
        "0 | {x: 0, y: -} | - | - | -",
    ];
    assert_eq!(rows(&mut decoder, &values), expected);
    assert_eq!(rows(&mut decoder, &values), expected);
}

#[test]
fn a_schema_that_is_not_known_is_asked_for_and_decoding_goes_on() {
    let (mut decoder, _) = decoder(&proto3("message Order { int32 a = 1; }"));
    let values = [value(1, &[&[8, 1]]), value(2, &[&[8, 2, 16, 3]]), value(1, &[&[8, 4]])].map(Some);
    let records = records(&values);
    let decoded = decoder.decode(&records);
    assert_eq!(
        (shown(&decoded.batch), decoded.needs, decoded.failure),
        (vec!["1".to_owned()], Some(SchemaKey::id(2)), None)
    );
    decoder.add_schema(SchemaKey::id(2), &proto3("message Order { int32 a = 1; int32 b = 2; }")).unwrap();
    let decoded = decoder.decode_from(&records, decoded.taken.len(), BadRecords::Stop);
    assert_eq!(shown(&decoded.batch), ["2 | 3", "4 | -"]);
}

#[test]
fn i1_a_field_that_keeps_its_number_keeps_its_column() {
    let mut decoder = table("");
    let learned = versions(
        &mut decoder,
        &[
            "message Order { int32 user = 1; R r = 2; } message R { int32 x = 1; }",
            "message Order { int32 customer = 1; R r = 2; } message R { int32 y = 1; }",
            // Another message's number 1 is another field; so is a second field beside the first one's name.
            "message Other { int32 third = 1; }",
            "message Order { int32 customer = 3; int32 user = 1; }",
        ],
    );
    assert_eq!(columns(&decoder), "user INT, r ROW<x INT>, third INT, customer INT");
    let rename = |path: &str, field: &str| Rename { path: path.to_owned(), field: field.to_owned() };
    assert_eq!(learned[1].renames, [rename("user", "customer"), rename("r.x", "y")]);
    let values = [value(1, &[&[8, 1]]), value(2, &[&[8, 2], &run(2, [8, 3])]), value(4, &[&[24, 4]])];
    assert_eq!(rows(&mut decoder, &values), ["1 | - | - | -", "2 | {x: 3} | - | -", "0 | - | - | 4"]);
}

#[test]
fn i1_a_number_that_went_to_another_field_takes_no_column_with_it() {
    for (schemas, expected) in [
        (
            ["message Order { string a = 1; }", "message Order { int64 b = 1; }", "message Order { string c = 1; }"],
            "a STRING, b BIGINT, c STRING",
        ),
        (
            [
                "message Order { int32 a = 1; }",
                "message Order { int32 a = 2; }",
                "message Order { int32 b = 1; int32 c = 2; }",
            ],
            "a INT, b INT",
        ),
        (
            [
                "message Order { int32 a = 1; }",
                "message Order { repeated int32 b = 1; }",
                "message Order { sint64 c = 1; }",
            ],
            "a INT, b ARRAY<INT>, c BIGINT",
        ),
    ] {
        let mut decoder = table("");
        versions(&mut decoder, &schemas);
        assert_eq!(columns(&decoder), expected, "{schemas:?}");
    }
}

/// The type before, the type after, the column then, and the widening that it takes.
#[rustfmt::skip]
const CHANGES: &[(&str, &str, &str, &str)] = &[
    ("int32", "int64", "v BIGINT", "v"),
    ("int32", "uint32", "v BIGINT", "v"),
    ("int64", "sint32", "v BIGINT", ""),
    ("float", "double", "v DOUBLE", "v"),
    ("double", "float", "v DOUBLE", ""),
    ("double", "int32", "v DOUBLE", ""),
    ("uint64", "fixed64", "v DECIMAL(20, 0)", ""),
    ("uint64", "int64", "v DECIMAL(20, 0)", ""),
    ("string", "bytes", "v STRING", ""),
    ("bytes", "string", "v BYTES", ""),
    ("string", "E", "v STRING", ""),
    ("int32", "optional int64", "v BIGINT", "v"),
    ("string", "google.protobuf.StringValue", "v STRING", ""),
    ("repeated int32", "repeated int64", "v ARRAY<BIGINT>", "v.element"),
    ("map<string, float>", "map<string, double>", "v MAP<STRING, DOUBLE>", "v.value"),
    ("map<int64, string>", "map<int32, string>", "v MAP<BIGINT, STRING>", ""),
];

#[test]
fn a_column_takes_the_types_that_it_holds_exactly_or_becomes_wider() {
    let schema = |field: &str| format!("message Order {{ {field} v = 1; }} enum E {{ A = 0; }}");
    for (before, after, expected, widening) in CHANGES {
        let mut decoder = table("");
        let learned = versions(&mut decoder, &[&schema(before), &schema(after)]);
        assert_eq!(columns(&decoder), *expected, "{before} {after}");
        let widened: Vec<_> = learned[1].widenings.iter().map(|widening| widening.path.as_str()).collect();
        assert_eq!(widened.join(", "), *widening, "{before} {after}");
    }
    let mut decoder = table("");
    versions(&mut decoder, &[&schema("uint64"), &schema("sint64"), &schema("int32")]);
    let minus_one: &[u8] = &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let values = [value(1, &[minus_one]), value(2, &[&[8, 1]]), value(3, &[minus_one])];
    assert_eq!(rows(&mut decoder, &values), ["18446744073709551615e-0", "-1e-0", "-1e-0"]);
}

#[test]
fn columns_become_nullable_where_a_field_has_presence_or_is_gone() {
    let mut decoder = table("a INT NOT NULL, b INT NOT NULL, r ROW<x INT NOT NULL>");
    let of = |a: &str, rest: &str| {
        format!("message Order {{ {a} int32 a = 1; R r = 3; {rest} }} message R {{ {a} int32 x = 1; }}")
    };
    let learned =
        versions(&mut decoder, &[&of("", "int32 b = 2;"), &of("optional", "int32 b = 2;"), &of("optional", "")]);
    let relaxed: Vec<_> = learned.into_iter().map(|learned| learned.relaxed.join(", ")).collect();
    assert_eq!(relaxed, ["", "a, r.x", "b"]);
    assert_eq!((columns(&decoder).as_str(), decoder.schema_version()), ("a INT, b INT, r ROW<x INT>", 2));
    let values = [value(1, &[&[26, 0]]), value(2, &[&[26, 0]]), value(3, &[&[8, 1, 26, 2, 8, 2]])];
    assert_eq!(rows(&mut decoder, &values), ["0 | 0 | {x: 0}", "- | 0 | {x: -}", "1 | - | {x: 2}"]);
}
