//! Bad inputs, numbered as in the list of reliability: a clear error, and nothing lost.

use arrow::array::AsArray;

use super::*;
use crate::decode::binary::written::varint;
use crate::decode::{Reason, Remedy};

const OTHER_SCHEMA: &str = "the bytes were written with another schema than the one that the record names, or were damaged: \
                            send each record with the id of its own schema";
const RANGE: &str = "send values that the column holds exactly";

/// The type of field `v`, its bytes, and what it fails with: reason, path, message, remedy.
type Case = (&'static str, &'static [u8], &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const RECORDS: &[Case] = &[
    // 7, 10: another format's bytes, or half of them.
    ("int32 v", &[8], "truncated", "$.v", "$.v ends in the middle of a number", OTHER_SCHEMA),
    ("int32 v", &[0x80], "truncated", "$", "the value ends in the middle of a number", OTHER_SCHEMA),
    ("float v", &[13, 1, 2], "truncated", "$.v", "$.v is a float of 4 bytes, and 2 are left", OTHER_SCHEMA),
    ("double v", &[9, 1, 2], "truncated", "$.v", "$.v is a double of 8 bytes, and 2 are left", OTHER_SCHEMA),
    ("fixed64 v", &[9, 1, 2], "truncated", "$.v", "$.v is a number of 8 bytes, and 2 are left", OTHER_SCHEMA),
    ("string v", &[10, 5, b'a'], "truncated", "$.v", "$.v says that 5 bytes follow, and 1 are left", OTHER_SCHEMA),
    ("string v", &[10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "truncated", "$.v", "$.v says that 18446744073709551615 bytes follow, and 0 are left", OTHER_SCHEMA),
    ("Point v", &[10, 2, 8], "truncated", "$.v", "$.v says that 2 bytes follow, and 1 are left", OTHER_SCHEMA),
    ("Point v", &[10, 1, 8], "truncated", "$.v.x", "$.v.x ends in the middle of a number", OTHER_SCHEMA),
    ("repeated int32 v", &[10, 2, 1, 0x80], "truncated", "$.v[1]", "$.v[1] ends in the middle of a number", OTHER_SCHEMA),
    ("int32 v", &[0x60, 0x80], "truncated", "$", "the value ends in the middle of a number", OTHER_SCHEMA),
    ("int32 v", &[0x62, 9], "truncated", "$", "the value says that 9 bytes follow, and 0 are left", OTHER_SCHEMA),
    // Written as another type.
    ("int32 v", &[10, 0], "not-protobuf", "$.v", "$.v is written as a run of bytes, and its type as a varint", OTHER_SCHEMA),
    ("string v", &[8, 0], "not-protobuf", "$.v", "$.v is written as a varint, and its type as a run of bytes", OTHER_SCHEMA),
    ("Point v", &[9, 0, 0, 0, 0, 0, 0, 0, 0], "not-protobuf", "$.v", "$.v is written as 8 bytes, and its type as a run of bytes", OTHER_SCHEMA),
    ("map<string, int32> v", &[8, 1], "not-protobuf", "$.v", "$.v is written as a varint, and its type as a run of bytes", OTHER_SCHEMA),
    ("repeated string v", &[13, 0, 0, 0, 0], "not-protobuf", "$.v[0]", "$.v[0] is written as 4 bytes, and its type as a run of bytes", OTHER_SCHEMA),
    ("repeated double v", &[8, 0], "not-protobuf", "$.v[0]", "$.v[0] is written as a varint, and its type as 8 bytes", OTHER_SCHEMA),
    ("google.protobuf.Timestamp v", &[10, 2, 10, 0], "not-protobuf", "$.v", "$.v is a Timestamp whose parts are no numbers", OTHER_SCHEMA),
    ("google.protobuf.Struct v", &[10, 2, 8, 0], "not-protobuf", "$.v", "$.v is a Struct whose parts are no messages", OTHER_SCHEMA),
    ("google.protobuf.Value v", &[10, 2, 16, 0], "not-protobuf", "$.v", "$.v is a Value of a kind that is written otherwise", OTHER_SCHEMA),
    // Tags that none has, and groups that do not match.
    ("int32 v", &[0], "not-protobuf", "$", "the value has a field of number 0, which none has", OTHER_SCHEMA),
    ("int32 v", &[0x0f], "not-protobuf", "$", "the value has a field of wire type 7, which is none", OTHER_SCHEMA),
    ("int32 v", &[0x80, 0x80, 0x80, 0x80, 0x10, 0], "not-protobuf", "$", "the value has a field of number 536870912, which none has", OTHER_SCHEMA),
    ("int32 v", &[0x64], "not-protobuf", "$", "the value ends group 12, which is not open", OTHER_SCHEMA),
    ("int32 v", &[0x63, 0x6c], "not-protobuf", "$", "the value ends group 13, which is not open", OTHER_SCHEMA),
    ("int32 v", &[0x63, 0x63, 0x64], "truncated", "$", "the value ends in the middle of a number", OTHER_SCHEMA),
    // 32: numbers of too many bytes.
    ("int32 v", &[8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0], "not-protobuf", "$.v", "$.v has a number of more than 64 bits", OTHER_SCHEMA),
    ("int64 v", &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], "not-protobuf", "$.v", "$.v has a number of more than 64 bits", OTHER_SCHEMA),
    // 25: text that is none, as a value and as a key.
    ("string v", &[10, 2, b'a', 0xff], "invalid-utf8", "$.v", "$.v has a text that is not UTF-8 from byte 1 on", "send text that is Unicode"),
    ("map<string, int32> v", &[10, 3, 10, 1, 0xff], "invalid-utf8", "$.v", "$.v has a text that is not UTF-8 from byte 0 on", "send text that is Unicode"),
    ("map<string, string> v", &[10, 6, 10, 1, b'k', 18, 1, 0xff], "invalid-utf8", "$.v.k", "$.v.k has a text that is not UTF-8 from byte 0 on", "send text that is Unicode"),
    ("map<int32, string> v", &[10, 5, 8, 7, 18, 1, 0xff], "invalid-utf8", "$.v.7", "$.v.7 has a text that is not UTF-8 from byte 0 on", "send text that is Unicode"),
    // 55: beyond what the column holds.
    ("google.protobuf.Timestamp v", &[10, 6, 16, 0x80, 0x94, 0xeb, 0xdc, 3], "out-of-range", "$.v", "$.v cannot be kept: a Timestamp has 0 to 999999999 nanoseconds", RANGE),
    ("google.protobuf.Timestamp v", &[10, 11, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], "not-protobuf", "$.v", "$.v has a field of number 0, which none has", OTHER_SCHEMA),
    ("google.protobuf.Timestamp v", &[10, 10, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "out-of-range", "$.v", "$.v cannot be kept: years run from 0001 to 9999", RANGE),
    ("google.protobuf.Value v", &[10, 9, 17, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f], "out-of-range", "$.v", "$.v has the number inf, which JSON does not have", RANGE),
];

#[test]
fn records_that_no_writer_makes_and_records_that_no_column_holds() {
    for (field, bytes, reason, path, message, remedy) in RECORDS {
        let point = "message Point { int32 x = 1; int32 y = 2; }";
        let schema = proto3(&format!("message Order {{ string before = 15; {field} = 1; }} {point}"));
        let (mut decoder, _) = decoder(&schema);
        let failure = decode(&mut decoder, &[value(1, &[&run(15, "x"), bytes])]).failure.unwrap();
        assert_eq!(
            (failure.row, failure.reason.code(), failure.path.as_str()),
            (0, *reason, *path),
            "{field} {bytes:?}"
        );
        assert_eq!(failure.message, *message, "{field} {bytes:?}");
        assert_eq!(failure.remedy, Remedy::Produce((*remedy).to_owned()), "{field} {bytes:?}");
    }
}

#[test]
fn i2_a_failing_record_leaves_no_trace_wherever_it_ends() {
    let schema = proto3(
        "message Order { string t = 1; repeated Point l = 2; map<string, Point> m = 3; oneof o { Point p = 4; int32 n = 5; } }
         message Point { int32 x = 1; repeated string s = 2; }",
    );
    let point = [whole(1, 7), run(2, "a"), run(2, "b")].concat();
    let entry = [run(1, "k"), run(2, &point)].concat();
    let good = value(1, &[&run(1, "t"), &run(2, &point), &run(2, []), &run(3, entry), &run(4, &point)]);
    let (mut decoder, _) = decoder(&schema);
    let expected = rows(&mut decoder, std::slice::from_ref(&good));
    let point = "{x: 7, s: [\"a\", \"b\"]}";
    assert_eq!(expected, [format!("\"t\" | [{point}, {{x: 0, s: []}}] | (\"k\" => {point}; ) | {point} | -")]);
    let mut failed = 0;
    for length in 2..good.len() {
        let values = [good.clone(), good[..length].to_vec(), good.clone(), good.clone()].map(Some);
        let records = records(&values);
        let decoded = decoder.decode(&records);
        assert_eq!(shown(&decoded.batch)[0], expected[0], "{length}");
        if let Some(failure) = decoded.failure {
            failed += 1;
            assert_eq!((decoded.taken.len(), failure.row), (1, 1), "{length}");
            assert_eq!(decoded.batch.column(1).as_list::<i32>().values().len(), 2, "{length}");
            let decoded = decoder.decode_from(&records, 2, BadRecords::Stop);
            assert_eq!((decoded.taken.len(), decoded.failure), (2, None), "{length}");
            assert_eq!(shown(&decoded.batch), [expected[0].clone(), expected[0].clone()], "{length}");
        }
    }
    // The others end between two fields.
    assert_eq!(failed, good.len() - 2 - 5);
}

#[test]
fn n02_a_tombstone_is_named_as_such_and_no_bytes_are_a_message() {
    let (mut decoder, _) = decoder(&proto3("message Order { int32 a = 1; }"));
    let decoded = decoder.decode(&records(&[Some(value(1, &[])), None]));
    let failure = decoded.failure.unwrap();
    assert_eq!((decoded.taken.len(), failure.row, failure.reason), (1, 1, Reason::Tombstone));
}

#[test]
fn n09_an_index_that_names_no_message() {
    let schema = proto3("message Order { int32 a = 1; map<string, int32> m = 2; } message Other { int32 b = 1; }");
    let (mut decoder, _) = decoder(&schema);
    for (index, named) in [(&[2, 8][..], "[4]"), (&[4, 0, 0], "[0, 0]")] {
        let decoded = decode(&mut decoder, &[[&[1], index].concat()]);
        assert_eq!(decoded.needs, Some(SchemaKey::id(1)));
        let error = decoder.add_schema(SchemaKey::id(1), &schema).unwrap_err().report();
        assert!(error.starts_with(&format!("error: the schema has no message at {named}")), "{error}");
    }
}

#[test]
fn n37_a_value_that_is_required() {
    let (mut decoder, _) = decoder(&proto2(
        "message Order { required int32 id = 1; optional Part part = 2; } message Part { required string s = 1; }",
    ));
    assert_eq!(rows(&mut decoder, &[value(1, &[&[8, 1]])]), ["1 | -"]);
    for (bytes, path) in [(&[][..], "$.id"), (&[8, 1, 18, 0], "$.part.s")] {
        let failure = decode(&mut decoder, &[value(1, &[bytes])]).failure.unwrap();
        assert_eq!((failure.reason.code(), failure.path.as_str()), ("missing-value", path));
        assert_eq!(failure.message, format!("{path} is required, and is not there"));
    }
    let mut decoder = held("a INT NOT NULL");
    decoder.add_schema(SchemaKey::id(1), &proto3("message Order { optional int32 a = 1; }")).unwrap();
    let failure = decode(&mut decoder, &[value(1, &[])]).failure.unwrap();
    assert_eq!(failure.message, "$.a is null, its column is INT NOT NULL");
    let error = refusal(&mut decoder, &proto3("message Order { int32 b = 2; }"));
    assert!(error.starts_with("error: column a is NOT NULL, and the schema has no such field"), "{error}");
}

#[test]
fn n33_depth_is_bounded_by_the_schema_and_for_what_has_none() {
    let (mut decoder, _) = decoder(&proto3("message Order { google.protobuf.Value v = 1; }"));
    let nested = |levels: usize| {
        let list = |inner: Vec<u8>, _| {
            let inner = [&[10], &varint(inner.len() as i64)[..], &inner].concat();
            [&[50], &varint(inner.len() as i64)[..], &inner].concat()
        };
        let inner = (0..levels).fold(vec![8, 0], list);
        value(1, &[&[10], &varint(inner.len() as i64), &inner])
    };
    assert_eq!(rows(&mut decoder, &[nested(3)]), ["\"[[[null]]]\""]);
    assert_eq!(rows(&mut decoder, &[nested(50)]).len(), 1);
    let failure = decode(&mut decoder, &[nested(1000)]).failure.unwrap();
    assert_eq!(
        (failure.reason, failure.message.as_str()),
        (Reason::TooDeep, "$.v is nested more than 100 levels deep")
    );
    // Groups that no field knows.
    let groups = value(1, &[&[0x63].repeat(100_000)]);
    let failure = decode(&mut decoder, &[groups]).failure.unwrap();
    let message = "the value has more than 100 groups inside of each other";
    assert_eq!((failure.reason, failure.message.as_str()), (Reason::TooDeep, message));
}

/// Definitions, and what they are refused with.
#[rustfmt::skip]
const SCHEMAS: &[(&str, &str)] = &[
    ("message Order { int32 a 1; }", "error: the schema is no Protobuf schema"),
    ("message Order { Missing a = 1; }", "error: the schema is no Protobuf schema"),
    ("import \"other.proto\"; message Order { int32 a = 1; }", "error: the schema is no Protobuf schema"),
    ("message Order { int32 a = 1; int32 b = 1; }", "error: the schema is no Protobuf schema"),
    ("enum E { A = 0; }", "error: the schema has no message at [0]"),
    ("message Order {}", "error: message shop.Order has no fields that a table holds"),
    ("message Order { google.protobuf.Empty e = 1; }", "error: message shop.Order has no fields that a table holds"),
    // 14: types that contain themselves.
    ("message Node { int32 x = 1; Node next = 2; }", "error: message shop.Node contains itself at next\n"),
    ("message Tree { repeated Kid kids = 1; } message Kid { map<string, Tree> tree = 1; }", "error: message shop.Tree contains itself at kids.element.tree.value\n"),
    // 20: names.
    ("message Order { int32 _tableflow_offset = 1; }", "error: the schema has a field _tableflow_offset, a name of the metadata columns"),
    ("message Order { map<string, google.protobuf.Empty> e = 1; }", "error: e.value is google.protobuf.Empty, which holds nothing"),
];

#[test]
fn schemas_that_make_no_table() {
    for (definitions, expected) in SCHEMAS {
        let mut decoder = table("");
        let error = refusal(&mut decoder, &proto3(definitions));
        assert!(error.starts_with(expected), "{definitions}\n{error}");
        assert_eq!((decoder.schema().fields().len(), decoder.schema_version()), (0, 0), "{definitions}");
    }
    let error = refusal(&mut table(""), &proto3("import \"other.proto\"; message Order { int32 a = 1; }"));
    assert!(
        error.contains("other.proto") && error.ends_with("hint: register the schema with its references"),
        "{error}"
    );
    let error = refusal(&mut table(""), &proto3("message Order { Missing a = 1; }"));
    assert!(error.contains("Missing"), "{error}");
}

#[test]
fn a_column_keeps_its_type_and_a_refused_schema_changes_nothing() {
    let mut decoder = table("");
    decoder.add_schema(SchemaKey::id(1), &proto3("message Order { int32 a = 1; string s = 2; }")).unwrap();
    let error = refusal(&mut decoder, &proto3("message Order { int32 new = 3; int64 a = 1; int64 s = 2; }"));
    assert!(error.starts_with("error: column s is STRING, and the schema has int64"), "{error}");
    for (before, after) in [
        ("int64", "uint64"),
        ("int32", "repeated int32"),
        ("map<int32, int32>", "map<int64, int32>"),
        ("int32", "Part"),
    ] {
        let schema = |field| proto3(&format!("message Order {{ {field} v = 1; }} message Part {{ int32 x = 1; }}"));
        let mut decoder = table("");
        decoder.add_schema(SchemaKey::id(1), &schema(before)).unwrap();
        assert!(
            refusal(&mut decoder, &schema(after)).contains("a column keeps its type, or becomes wider"),
            "{before}"
        );
    }
    assert_eq!((columns(&decoder).as_str(), decoder.schema_version()), ("a INT, s STRING", 1));
    assert_eq!(rows(&mut decoder, &[value(1, &[&[8, 1]])]), ["1 | \"\""]);
}

#[test]
fn schemas_that_grow_without_bound_are_refused_at_once() {
    let doubling: String = (1..64).map(|n| format!("message L{n} {{ L{0} a = 1; L{0} b = 2; }}", n - 1)).collect();
    let root = |level| proto3(&format!("message Root {{ {level} v = 1; }} message L0 {{ int32 x = 1; }} {doubling}"));
    assert!(refusal(&mut table(""), &root("L63")).contains("more than the 1000 columns"));
    let wide: String = (1..=1001).map(|n| format!("int32 c{n} = {n};")).collect();
    assert!(
        refusal(&mut table(""), &proto3(&format!("message Order {{ {wide} }}"))).contains("more than the 1000 columns")
    );
    let deep = format!("{}{}", "message M { ".repeat(10_000), "}".repeat(10_000));
    assert!(refusal(&mut table(""), &text(&deep)).contains("its braces lie more than 200 deep"));
    let option = format!("message Order {{ int32 a = 1 [(x) = {}{}]; }}", "{ a: ".repeat(190), "}".repeat(190));
    refusal(&mut table(""), &text(&option));
    refusal(&mut table(""), &text(&format!("message M {{ {} }}", "message M { ".repeat(150))));
}

#[test]
fn a_text_of_64_mib_works() {
    let (mut decoder, _) = decoder(&proto3("message Order { string v = 1; }"));
    let text = "x".repeat(64 << 20);
    let decoded = decode(
        &mut decoder,
        &[value(1, &[&[10], &varint(text.len() as i64), text.as_bytes()]), value(1, &[&run(1, "y")])],
    );
    assert_eq!((decoded.taken.len(), decoded.failure), (2, None));
}

#[test]
fn i2_messages_that_double_and_hold_nothing_are_refused_at_once() {
    let double = |n: usize| format!("message L{n} {{ L{0} a = 1; L{0} b = 2; }}", n - 1);
    let levels: String = (1..=60).map(double).collect();
    let schema = proto3(&format!("message Order {{ int32 i = 1; L60 v = 2; }} message L0 {{}} {levels}"));
    let error = refusal(&mut table(""), &schema);
    assert!(error.starts_with("error: the schema has more than 20000 fields"), "{error}");
}
