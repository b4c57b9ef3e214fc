//! What each Protobuf type becomes, and what is said of it before.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::FileDescriptor;
use prost_reflect::prost::Message as _;

use super::*;

/// A field of number 1, the column it gets, a value, how its cell reads, and how it reads where a record leaves it out.
type Case = (&'static str, &'static str, &'static [u8], &'static str, &'static str);

const MINUS_ONE: &[u8] = &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];

#[rustfmt::skip]
const TYPES: &[Case] = &[
    ("bool v", "BOOLEAN", &[8, 1], "true", "false"),
    ("bool v", "BOOLEAN", &[8, 2], "true", "false"),
    ("int32 v", "INT", MINUS_ONE, "-1", "0"),
    ("int32 v", "INT", &[8, 0x80, 0x80, 0x80, 0x80, 0x18], "-2147483648", "0"),
    ("sint32 v", "INT", &[8, 1], "-1", "0"),
    ("sint32 v", "INT", &[8, 0xff, 0xff, 0xff, 0xff, 0xf], "-2147483648", "0"),
    ("sfixed32 v", "INT", &[13, 0xff, 0xff, 0xff, 0xff], "-1", "0"),
    ("uint32 v", "BIGINT", &[8, 0xff, 0xff, 0xff, 0xff, 0xf], "4294967295", "0"),
    ("fixed32 v", "BIGINT", &[13, 0xff, 0xff, 0xff, 0xff], "4294967295", "0"),
    ("int64 v", "BIGINT", MINUS_ONE, "-1", "0"),
    ("sint64 v", "BIGINT", &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "-9223372036854775808", "0"),
    ("sfixed64 v", "BIGINT", &[9, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "-2", "0"),
    ("uint64 v", "DECIMAL(20, 0)", MINUS_ONE, "18446744073709551615e-0", "0e-0"),
    ("fixed64 v", "DECIMAL(20, 0)", &[9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "18446744073709551615e-0", "0e-0"),
    ("float v", "FLOAT", &[13, 0, 0, 0xc0, 0x3f], "1.5", "0.0"),
    ("double v", "DOUBLE", &[9, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f], "1.5", "0.0"),
    ("string v", "STRING", &[10, 3, b'a', 0xc3, 0xa9], "\"a\u{e9}\"", "\"\""),
    ("bytes v", "BYTES", &[10, 2, 0, 255], "[0, 255]", "[]"),
    ("Color v", "STRING", &[8, 1], "\"RED\"", "\"NONE\""),
    ("Color v", "STRING", &[8, 7], "\"7\"", "\"NONE\""),
    ("optional int32 v", "INT", &[8, 0], "0", "-"),
    ("optional string v", "STRING", &[10, 0], "\"\"", "-"),
    ("repeated int32 v", "ARRAY<INT>", &[10, 3, 1, 2, 3], "[1, 2, 3]", "[]"),
    ("repeated int32 v", "ARRAY<INT>", &[8, 1, 8, 2, 8, 3], "[1, 2, 3]", "[]"),
    ("repeated int32 v", "ARRAY<INT>", &[8, 1, 10, 2, 2, 3], "[1, 2, 3]", "[]"),
    ("repeated int32 v = 1 [packed = false]; int32 x", "ARRAY<INT>, x INT", &[10, 2, 1, 2], "[1, 2] | 0", "[] | 0"),
    ("repeated double v", "ARRAY<DOUBLE>", &[10, 8, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f], "[1.5]", "[]"),
    ("repeated string v", "ARRAY<STRING>", &[10, 1, b'a', 10, 0], "[\"a\", \"\"]", "[]"),
    ("repeated Point v", "ARRAY<ROW<x INT, y INT>>", &[10, 2, 8, 1, 10, 0, 10, 2, 16, 2], "[{x: 1, y: 0}, {x: 0, y: 0}, {x: 0, y: 2}]", "[]"),
    ("map<string, int32> v", "MAP<STRING, INT>", &[10, 5, 10, 1, b'k', 16, 1], "(\"k\" => 1; )", "()"),
    ("map<int32, Point> v", "MAP<INT, ROW<x INT, y INT>>", &[10, 6, 8, 5, 18, 2, 8, 1, 10, 0], "(0 => {x: 0, y: 0}; 5 => {x: 1, y: 0}; )", "()"),
    ("map<bool, string> v", "MAP<BOOLEAN, STRING>", &[10, 5, 18, 1, b'a', 8, 1], "(true => \"a\"; )", "()"),
    ("map<uint64, Color> v", "MAP<DECIMAL(20, 0), STRING>", &[10, 4, 16, 1, 8, 1], "(1e-0 => \"RED\"; )", "()"),
    ("Point v", "ROW<x INT, y INT>", &[10, 2, 8, 3], "{x: 3, y: 0}", "-"),
    ("Point v", "ROW<x INT, y INT>", &[10, 0], "{x: 0, y: 0}", "-"),
    ("google.protobuf.Timestamp v", "TIMESTAMP_LTZ(6)", &[10, 6, 8, 1, 16, 0xd0, 0x86, 3], "1000050us", "-"),
    ("google.protobuf.Timestamp v", "TIMESTAMP_LTZ(6)", &[10, 0], "0us", "-"),
    ("google.protobuf.Timestamp v", "TIMESTAMP_LTZ(6)", &[10, 3, 16, 0xe7, 7], "0us", "-"),
    ("google.protobuf.Timestamp v", "TIMESTAMP_LTZ(6)", &[10, 17, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 16, 0xff, 0x93, 0xeb, 0xdc, 3], "-1us", "-"),
    ("google.protobuf.Duration v", "ROW<seconds BIGINT, nanos INT>", &[10, 4, 8, 1, 16, 5], "{seconds: 1, nanos: 5}", "-"),
    ("google.protobuf.Any v", "ROW<type_url STRING, value BYTES>", &[10, 6, 10, 1, b'u', 18, 1, 9], "{type_url: \"u\", value: [9]}", "-"),
    ("google.protobuf.Int64Value v", "BIGINT", &[10, 2, 8, 1], "1", "-"),
    ("google.protobuf.Int64Value v", "BIGINT", &[10, 0], "0", "-"),
    ("google.protobuf.UInt64Value v", "DECIMAL(20, 0)", &[10, 2, 8, 1], "1e-0", "-"),
    ("google.protobuf.StringValue v", "STRING", &[10, 3, 10, 1, b'a'], "\"a\"", "-"),
    ("google.protobuf.BoolValue v", "BOOLEAN", &[10, 2, 8, 1], "true", "-"),
    ("google.protobuf.DoubleValue v", "DOUBLE", &[10, 9, 9, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f], "1.5", "-"),
    ("google.protobuf.Struct v", "STRING", &[10, 0], "\"{}\"", "-"),
    ("google.protobuf.Struct v", "STRING", &[10, 9, 10, 7, 10, 1, b'k', 18, 2, 32, 1], "\"{\\\"k\\\":true}\"", "-"),
    ("google.protobuf.Value v", "STRING", &[10, 3, 26, 1, b't'], "\"\\\"t\\\"\"", "-"),
    ("google.protobuf.Value v", "STRING", &[10, 9, 17, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f], "\"1.5\"", "-"),
    ("google.protobuf.Value v", "STRING", &[10, 9, 17, 0, 0, 0, 0, 0, 0, 0, 0x40], "\"2\"", "-"),
    ("google.protobuf.Value v", "STRING", &[10, 2, 8, 0], "\"null\"", "-"),
    ("google.protobuf.ListValue v", "STRING", &[10, 8, 10, 2, 8, 0, 10, 2, 32, 0], "\"[null,false]\"", "-"),
    ("repeated google.protobuf.Timestamp v", "ARRAY<TIMESTAMP_LTZ(6)>", &[10, 2, 8, 1], "[1000000us]", "[]"),
    ("repeated google.protobuf.StringValue v", "ARRAY<STRING>", &[10, 0, 10, 3, 10, 1, b'a'], "[\"\", \"a\"]", "[]"),
    ("map<string, google.protobuf.Value> v", "MAP<STRING, STRING>", &[10, 7, 10, 1, b'k', 18, 2, 32, 1], "(\"k\" => \"true\"; )", "()"),
    ("oneof o { int32 v = 1; string w = 2; }", "INT, w STRING", &[8, 0], "0 | -", "- | -"),
    ("oneof o { int32 v = 1; string w = 2; }", "INT, w STRING", &[18, 1, b'a'], "- | \"a\"", "- | -"),
];

/// A message with such a field, and what the fields need.
fn message(field: &str) -> ResolvedSchema {
    let field = if field.contains(['=', '{']) { field.to_owned() } else { format!("{field} = 1") };
    let number = if field.contains("; int32 x") { " = 2" } else { "" };
    let end = if field.ends_with('}') { "" } else { ";" };
    proto3(&format!(
        "message Order {{ {field}{number}{end} }}
         message Point {{ int32 x = 1; int32 y = 2; }}
         enum Color {{ NONE = 0; RED = 1; }}"
    ))
}

#[test]
fn every_type_has_its_column_and_its_values_are_kept() {
    for (field, column, bytes, cell, absent) in TYPES {
        let (mut decoder, _) = decoder(&message(field));
        assert_eq!(columns(&decoder), format!("v {column}"), "{field}");
        let values = [value(1, &[bytes]), value(1, &[]), value(1, &[bytes])];
        assert_eq!(rows(&mut decoder, &values), [*cell, *absent, *cell], "{field} {bytes:?}");
    }
}

#[test]
fn what_a_table_does_not_keep_is_said() {
    let fields =
        "google.protobuf.Timestamp t = 1; google.protobuf.Struct s = 2; google.protobuf.Empty e = 3; None n = 4;
                  int32 x = 5;";
    let (decoder, learned) = decoder(&proto3(&format!("message Order {{ {fields} }} message None {{}}")));
    assert_eq!(columns(&decoder), "t TIMESTAMP_LTZ(6), s STRING, x INT");
    assert_eq!(
        notes(&learned),
        [
            "t: a table keeps microseconds: finer digits are cut off; a column ROW<seconds BIGINT, nanos INT> keeps all",
            "s: may have any shape, and becomes STRING, as JSON",
            "e: holds nothing, and gets no column",
            "n: holds nothing, and gets no column",
        ]
    );
}

#[test]
fn a_table_may_have_rows_for_messages_that_everyone_knows() {
    let mut decoder = table("t ROW<seconds BIGINT, nanos INT>, w ROW<value STRING>");
    let fields = "google.protobuf.Timestamp t = 1; google.protobuf.StringValue w = 2;";
    decoder.add_schema(SchemaKey::id(1), &proto3(&format!("message Order {{ {fields} }}"))).unwrap();
    let cells = rows(&mut decoder, &[value(1, &[&run(1, [8, 1, 16, 1]), &run(2, [10, 1, b'a'])])]);
    assert_eq!(cells, ["{seconds: 1, nanos: 1} | {value: \"a\"}"]);
}

#[test]
fn proto2_has_presence_defaults_and_groups() {
    let schema = proto2(
        "message Order {
           required int32 id = 1;
           optional int32 count = 2;
           optional int32 size = 3 [default = -5];
           optional string name = 4 [default = \"n\\u00e9\"];
           optional double rate = 5 [default = inf];
           optional Color color = 6 [default = RED];
           optional bytes raw = 7 [default = \"\\001\\xff\"];
           optional sint64 far = 8 [default = -9223372036854775808];
           optional fixed64 big = 9 [default = 18446744073709551615];
           optional bool on = 10 [default = true];
           optional group Part = 11 { optional int32 x = 1; repeated group Inner = 2 { optional string s = 1; } }
           repeated int32 list = 12;
         }
         enum Color { BLUE = 3; RED = 4; }",
    );
    let (mut decoder, _) = decoder(&schema);
    assert_eq!(
        columns(&decoder),
        "id INT, count INT, size INT, name STRING, rate DOUBLE, color STRING, raw BYTES, far BIGINT, big DECIMAL(20, 0), on \
         BOOLEAN, part ROW<x INT, inner ARRAY<ROW<s STRING>>>, list ARRAY<INT>"
    );
    let group: &[u8] = &[0x5b, 8, 1, 0x13, 10, 1, b'a', 0x14, 0x13, 0x14, 0x5c];
    let cells = rows(&mut decoder, &[value(1, &[&[8, 1]]), value(1, &[&[8, 1, 16, 0, 24, 2, 48, 3], group])]);
    let rest = "\"n\u{e9}\" | inf | \"RED\" | [1, 255] | -9223372036854775808 | 18446744073709551615e-0 | true";
    assert_eq!(cells[0], format!("1 | - | -5 | {rest} | - | []"));
    let rest = rest.replace("RED", "BLUE");
    assert_eq!(cells[1], format!("1 | 0 | 2 | {rest} | {{x: 1, inner: [{{s: \"a\"}}, {{s: -}}]}} | []"));
}

#[test]
fn the_index_picks_the_message_and_imports_are_resolved() {
    let schema = ResolvedSchema {
        text: "syntax = \"proto3\";
               import \"parts/part.proto\";
               import \"confluent/meta.proto\";
               import \"confluent/type/decimal.proto\";
               message First { int32 a = 1 [(confluent.field_meta).params = { key: \"k\", value: \"v\" }]; }
               message Second { message Deep { parts.Part part = 1; confluent.type.Decimal d = 2; } Deep deep = 1; }"
            .to_owned(),
        references: vec![
            NamedSchema {
                name: "base.proto".to_owned(),
                text: "syntax = \"proto3\"; message Base { bool b = 1; }".to_owned(),
            },
            NamedSchema {
                name: "parts/part.proto".to_owned(),
                text: "syntax = \"proto3\"; package parts; import \"base.proto\"; message Part { Base base = 1; }"
                    .to_owned(),
            },
        ],
        ..ResolvedSchema::default()
    };
    let (mut decoder, _) = decoder(&schema);
    assert_eq!(columns(&decoder), "a INT");
    // The message inside of the second one: asked for when a record has it.
    let values = [vec![1, 0, 8, 1], vec![1, 4, 2, 0, 10, 4, 10, 2, 8, 1], vec![1, 0, 8, 2]].map(Some);
    let records = records(&values);
    let decoded = decoder.decode(&records);
    assert_eq!((decoded.taken.len(), decoded.needs, decoded.failure), (1, Some(SchemaKey::id(1)), None));
    decoder.add_schema(SchemaKey::id(1), &schema).unwrap();
    let decimal = "ROW<value BYTES, precision BIGINT, scale INT>";
    assert_eq!(columns(&decoder), format!("a INT, part ROW<base ROW<b BOOLEAN>>, d {decimal}"));
    let decoded = decoder.decode_from(&records, 1, BadRecords::Stop);
    assert_eq!(shown(&decoded.batch), ["- | {base: {b: true}} | -", "2 | - | -"]);
}

#[test]
fn numbers_of_any_size_find_their_fields() {
    let schema = proto3("message Order { int32 a = 536870911; int32 b = 256; int32 c = 255; int32 d = 17; }");
    let (mut decoder, _) = decoder(&schema);
    let bytes = [0xf8, 0xff, 0xff, 0xff, 0xf, 1, 0x80, 0x10, 2, 0xf8, 0xf, 3, 0x88, 1, 4];
    assert_eq!(rows(&mut decoder, &[value(1, &[&bytes])]), ["1 | 2 | 3 | 4"]);
}

#[test]
fn i3_a_schema_may_be_registered_as_its_descriptor() {
    let base = "syntax = \"proto3\"; message Base { bool b = 1; }";
    let own = "syntax = \"proto3\"; import \"base.proto\"; message Order { int32 a = 1; Base base = 2; }";
    let schema = |own: String, base: String| ResolvedSchema {
        text: own,
        references: vec![NamedSchema { name: "base.proto".to_owned(), text: base }],
        ..ResolvedSchema::default()
    };
    let as_text = schema(own.to_owned(), base.to_owned());
    let file = Schema::parse(&as_text).unwrap().message(&[0]).unwrap().parent_file();
    let descriptor = |file: &FileDescriptor| BASE64_STANDARD.encode(file.file_descriptor_proto().encode_to_vec());
    let as_descriptor = schema(descriptor(&file), descriptor(&file.dependencies().next().unwrap()));
    for schema in [as_text, as_descriptor] {
        let (mut decoder, _) = decoder(&schema);
        assert_eq!(columns(&decoder), "a INT, base ROW<b BOOLEAN>");
        let values = [vec![1, 0, 8, 3, 18, 2, 8, 1]].map(Some);
        assert_eq!(shown(&decoder.decode(&records(&values)).batch), ["3 | {b: true}"]);
    }
}
