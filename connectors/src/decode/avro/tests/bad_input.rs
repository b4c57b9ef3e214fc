//! Bad inputs, numbered as in the list of reliability: a clear error, and nothing lost.

use arrow::array::AsArray;

use super::*;
use crate::decode::{Reason, Remedy};

const OTHER_SCHEMA: &str = "the bytes were written with another schema than the one that the record names, or were damaged: \
                            send each record with the id of its own schema";
const RANGE: &str = "send values that the column holds exactly";
const DECIMAL: &str = r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#;
const ROW: &str =
    r#"{"type":"record","name":"R","fields":[{"name":"odd name","type":{"type":"array","items":"boolean"}}]}"#;

/// The type of field `v`, the record's bytes, and what it fails with: reason, path, message, remedy.
type Case = (&'static str, &'static [u8], &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const RECORDS: &[Case] = &[
    // 1, 10: nothing, too little, too much.
    (r#""int""#, &[], "truncated", "$.v", "$.v ends in the middle of a number", OTHER_SCHEMA),
    (r#""long""#, &[0x80], "truncated", "$.v", "$.v ends in the middle of a number", OTHER_SCHEMA),
    (r#""float""#, &[1, 2, 3], "truncated", "$.v", "$.v is a float of 4 bytes, and 3 are left", OTHER_SCHEMA),
    (r#""double""#, &[1; 7], "truncated", "$.v", "$.v is a double of 8 bytes, and 7 are left", OTHER_SCHEMA),
    (r#""boolean""#, &[], "truncated", "$.v", "$.v is a boolean of 1 bytes, and 0 are left", OTHER_SCHEMA),
    (r#"{"type":"fixed","name":"F","size":4}"#, &[1, 2], "truncated", "$.v", "$.v is a fixed of 4 bytes, and 2 are left", OTHER_SCHEMA),
    (r#""int""#, &[2, 2, 2], "trailing-data", "$", "the value ends 2 bytes before the record does", OTHER_SCHEMA),
    // 11: counts that lie.
    (r#"{"type":"array","items":"int"}"#, &[20, 2], "truncated", "$.v", "$.v says that 10 items follow, and 1 bytes are left", OTHER_SCHEMA),
    (r#"{"type":"array","items":"int"}"#, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "truncated", "$.v", "$.v says that 9223372036854775807 items follow, and 0 bytes are left", OTHER_SCHEMA),
    (r#"{"type":"array","items":"int"}"#, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0], "truncated", "$.v", "$.v says that 9223372036854775808 items follow, and 0 bytes are left", OTHER_SCHEMA),
    (r#"{"type":"array","items":"int"}"#, &[3, 1, 2, 2, 0], "not-avro", "$.v", "$.v has a length of -1", OTHER_SCHEMA),
    (r#"{"type":"array","items":"int"}"#, &[3, 6, 2, 2, 0, 0], "not-avro", "$.v", "$.v has a block of another size than it says", OTHER_SCHEMA),
    (r#"{"type":"array","items":"int"}"#, &[3, 20, 2, 2, 0], "truncated", "$.v", "$.v says that 10 bytes follow, and 3 are left", OTHER_SCHEMA),
    (r#"{"type":"array","items":"int"}"#, &[2, 2], "truncated", "$.v", "$.v ends in the middle of a number", OTHER_SCHEMA),
    (r#"{"type":"map","values":"int"}"#, &[20, 2], "truncated", "$.v", "$.v says that 10 items follow, and 1 bytes are left", OTHER_SCHEMA),
    // 12: lengths that lie.
    (r#""string""#, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1], "truncated", "$.v", "$.v says that 4611686018427387904 bytes follow, and 0 are left", OTHER_SCHEMA),
    (r#""bytes""#, &[1], "not-avro", "$.v", "$.v has a length of -1", OTHER_SCHEMA),
    (r#""string""#, &[4, b'a'], "truncated", "$.v", "$.v says that 2 bytes follow, and 1 are left", OTHER_SCHEMA),
    // 13, 16: what is none of the union, of the enum, of two.
    (r#"["null","int"]"#, &[4], "not-avro", "$.v", "$.v is branch 2 of a union, which has 2", OTHER_SCHEMA),
    (r#"["null","int"]"#, &[1], "not-avro", "$.v", "$.v is branch -1 of a union, which has 2", OTHER_SCHEMA),
    (r#"["int","string"]"#, &[4], "not-avro", "$.v", "$.v is branch 2 of a union, which has 2", OTHER_SCHEMA),
    (r#"["int"]"#, &[2], "not-avro", "$.v", "$.v is branch 1 of a union, which has 1", OTHER_SCHEMA),
    (r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, &[4], "not-avro", "$.v", "$.v is symbol 2 of an enum, which has 2", OTHER_SCHEMA),
    (r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, &[1], "not-avro", "$.v", "$.v is symbol -1 of an enum, which has 2", OTHER_SCHEMA),
    (r#""boolean""#, &[2], "not-avro", "$.v", "$.v is a boolean of byte 2", OTHER_SCHEMA),
    // Numbers of too many bits.
    (r#""int""#, &[0x80, 0x80, 0x80, 0x80, 0x10], "not-avro", "$.v", "$.v is an int of 2147483648, which has more than 32 bits", OTHER_SCHEMA),
    (r#""long""#, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], "not-avro", "$.v", "$.v has a number of more than 64 bits", OTHER_SCHEMA),
    (r#""long""#, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0], "not-avro", "$.v", "$.v has a number of more than 64 bits", OTHER_SCHEMA),
    // 17, 54, 55: beyond what the column holds.
    (DECIMAL, &[4, 0x27, 0x10], "out-of-range", "$.v", "$.v is a decimal of more than the 4 digits of its schema", RANGE),
    (DECIMAL, &[4, 0xd8, 0xf0], "out-of-range", "$.v", "$.v is a decimal of more than the 4 digits of its schema", RANGE),
    (DECIMAL, &[36, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "out-of-range", "$.v", "$.v is a decimal of more than the 4 digits of its schema", RANGE),
    (DECIMAL, &[0], "not-avro", "$.v", "$.v is a decimal without digits", OTHER_SCHEMA),
    (r#"{"type":"int","logicalType":"date"}"#, &[0xfe, 0xff, 0xff, 0xff, 0xf], "out-of-range", "$.v", "$.v cannot be kept: years run from 0001 to 9999", RANGE),
    (r#"{"type":"long","logicalType":"timestamp-millis"}"#, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "out-of-range", "$.v", "$.v cannot be kept: years run from 0001 to 9999", RANGE),
    (r#"{"type":"long","logicalType":"timestamp-micros"}"#, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "out-of-range", "$.v", "$.v cannot be kept: years run from 0001 to 9999", RANGE),
    (r#"{"type":"int","logicalType":"time-millis"}"#, &[1], "out-of-range", "$.v", "$.v cannot be kept: a time of day lies between 00:00 and 24:00", RANGE),
    (r#"{"type":"int","logicalType":"time-millis"}"#, &[0x80, 0xf0, 0xb2, 0x52], "out-of-range", "$.v", "$.v cannot be kept: a time of day lies between 00:00 and 24:00", RANGE),
    // 25: text that is none, as a value, as a key; keys twice.
    (r#""string""#, &[4, b'a', 0xff], "invalid-utf8", "$.v", "$.v has a text that is not UTF-8 from byte 1 on", "send text that is Unicode"),
    (r#"{"type":"map","values":"int"}"#, &[2, 2, 0xff, 2, 0], "invalid-utf8", "$.v", "$.v has a text that is not UTF-8 from byte 0 on", "send text that is Unicode"),
    (r#"{"type":"map","values":"int"}"#, &[4, 2, b'k', 2, 2, b'k', 4, 0], "repeated-key", "$.v", "$.v is a map that has a key twice", "send each key of a map once"),
    // The path goes down to the value.
    (r#"{"type":"array","items":"boolean"}"#, &[2, 1, 2, 7], "not-avro", "$.v[1]", "$.v[1] is a boolean of byte 7", OTHER_SCHEMA),
    (r#"{"type":"map","values":["null","boolean"]}"#, &[2, 2, b'k', 2, 7], "not-avro", "$.v.k", "$.v.k is a boolean of byte 7", OTHER_SCHEMA),
    (ROW, &[4, 1, 7], "not-avro", "$.v[\"odd name\"][1]", "$.v[\"odd name\"][1] is a boolean of byte 7", OTHER_SCHEMA),
    (r#"["int","boolean"]"#, &[2, 7], "not-avro", "$.v.boolean", "$.v.boolean is a boolean of byte 7", OTHER_SCHEMA),
];

#[test]
fn records_that_no_writer_makes_and_records_that_no_column_holds() {
    for (avro, bytes, reason, path, message, remedy) in RECORDS {
        let schema = record(&format!(r#"{{"name":"before","type":"string"}},{{"name":"v","type":{avro}}}"#));
        let (mut decoder, _) = decoder(&schema);
        let bad = value(1, &[&string("x"), bytes]);
        let failure = decode(&mut decoder, &[bad]).failure.unwrap();
        assert_eq!(
            (failure.row, failure.reason.code(), failure.path.as_str()),
            (0, *reason, *path),
            "{avro} {bytes:?}"
        );
        assert_eq!(failure.message, *message, "{avro} {bytes:?}");
        assert_eq!(failure.remedy, Remedy::Produce((*remedy).to_owned()), "{avro} {bytes:?}");
    }
}

const WHOLE: &str = r#"{"name":"t","type":"string"},{"name":"n","type":["null","long"]},
    {"name":"l","type":{"type":"array","items":{"type":"record","name":"R","fields":[
        {"name":"x","type":{"type":"map","values":"bytes"}},{"name":"y","type":["int","string","null"]}]}}},
    {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}},{"name":"b","type":"boolean"}"#;

fn whole() -> Vec<u8> {
    let entries = [long(1), string("k"), string("v"), long(0)].concat();
    value(
        1,
        &[
            &string("text"),
            &long(1),
            &long(7),
            &long(1),
            &entries,
            &long(1),
            &string("s"),
            &long(0),
            &string([1, 2]),
            &[1],
        ],
    )
}

#[test]
fn i2_a_failing_record_leaves_no_trace_wherever_it_ends() {
    let good = whole();
    let (mut decoder, _) = decoder(&record(WHOLE));
    let expected = rows(&mut decoder, std::slice::from_ref(&good));
    assert_eq!(expected, ["\"text\" | 7 | [{x: (\"k\" => [118]; ), y: {int: -, string: \"s\"}}] | 258e-2 | true"]);
    for length in 1..good.len() {
        let values = [good.clone(), good[..length].to_vec(), good.clone(), good.clone()].map(Some);
        let records = records(&values);
        let decoded = decoder.decode(&records);
        assert_eq!((decoded.taken.len(), decoded.failure.map(|failure| failure.row)), (1, Some(1)), "{length}");
        assert_eq!(shown(&decoded.batch), expected, "{length}");
        assert_eq!(decoded.batch.column(2).as_list::<i32>().values().len(), 1, "{length}");
        let decoded = decoder.decode_from(&records, 2, BadRecords::Stop);
        assert_eq!((decoded.taken.len(), decoded.failure), (2, None), "{length}");
        assert_eq!(shown(&decoded.batch), [expected[0].clone(), expected[0].clone()], "{length}");
    }
}

#[test]
fn n02_a_tombstone_is_named_as_such() {
    let (mut decoder, _) = decoder(&record(r#"{"name":"a","type":"int"}"#));
    let decoded = decoder.decode(&records(&[Some(value(1, &[&[2]])), None]));
    let failure = decoded.failure.unwrap();
    assert_eq!((decoded.taken.len(), failure.row, failure.reason), (1, 1, Reason::Tombstone));
}

#[test]
fn null_for_a_column_that_must_have_a_value() {
    let mut decoder = held("a BIGINT NOT NULL, r ROW<x INT NOT NULL>");
    let nullable = r#"{"name":"a","type":["null","long"]},
        {"name":"r","type":["null",{"type":"record","name":"R","fields":[{"name":"x","type":["null","int"]}]}]}"#;
    let learned = decoder.add_schema(SchemaKey::id(1), &record(nullable)).unwrap();
    assert_eq!((learned.may_lack, learned.relaxed), (vec!["a".to_owned(), "r.x".to_owned()], Vec::new()));
    assert_eq!(rows(&mut decoder, &[value(1, &[&[2, 2, 0]])]), ["1 | -"]);
    for (bytes, path, message) in [
        (&[0, 0][..], "$.a", "$.a is null, its column is BIGINT NOT NULL"),
        (&[2, 2, 2, 0], "$.r.x", "$.r.x is null, its column is INT NOT NULL"),
    ] {
        let failure = decode(&mut decoder, &[value(1, &[bytes])]).failure.unwrap();
        assert_eq!(
            (failure.reason.code(), failure.path.as_str(), failure.message.as_str()),
            ("missing-value", path, message)
        );
    }
    let error = refusal(&mut decoder, &record(r#"{"name":"b","type":"long"}"#));
    assert!(error.starts_with("error: column a is NOT NULL, and the schema has no such field"), "{error}");
}

/// A schema, and what it is refused with: the word for scripts and the place, then those for people.
#[rustfmt::skip]
const SCHEMAS: &[(&str, &str, &str)] = &[
    // Not Avro's.
    ("{", "INVALID_SCHEMA", "error: the schema is no Avro schema\n  detail: it is not JSON"),
    ("7", "INVALID_SCHEMA", "error: the schema is no Avro schema\n  detail: 7 is no type"),
    ("{}", "INVALID_SCHEMA", "error: the schema is no Avro schema\n  detail: a type has no \"type\""),
    (r#"{"type":"record","fields":[]}"#, "INVALID_SCHEMA", "error: the schema is no Avro schema\n  detail: a type record has no name"),
    (r#"{"type":"record","name":"R"}"#, "INVALID_SCHEMA", "error: the schema is no Avro schema\n  detail: record R has no fields"),
    (r#"{"type":"record","name":"R","fields":[{"type":"int"}]}"#, "INVALID_SCHEMA", "error: the schema is no Avro schema\n  detail: a field of R has no name"),
    (r#"{"type":"record","name":"R","fields":[7]}"#, "INVALID_SCHEMA", "error: the schema is no Avro schema\n  detail: a field of R is no object"),
    (r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F"}}]}"#, "INVALID_SCHEMA", "error: the schema is no Avro schema\n  detail: fixed F has no size"),
    (r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"enum","name":"E"}}]}"#, "INVALID_SCHEMA", "error: the schema is no Avro schema\n  detail: enum E has no symbols"),
    (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"Missing"}]}"#, "UNRESOLVED_TYPE_REF", "error: the Avro schema refers to Missing, which is not defined\n  hint: register the schema with its references"),
    (r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"record","name":"R","fields":[]}}]}"#, "INVALID_SCHEMA", "error: the schema is no Avro schema\n  detail: R is defined twice"),
    // No rows.
    (r#""int""#, "NOT_A_RECORD", "error: the schema is int, not a record\n  hint: a row comes from a record: write records of an Avro record type"),
    (r#"{"type":"enum","name":"E","symbols":["A"]}"#, "NOT_A_RECORD", "error: the schema is E, not a record"),
    // 14: types that contain themselves.
    (r#"{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]}"#, "CYCLIC_TYPE next", "error: record Node contains itself at next\n  detail: a table has no type for values that may be of any depth\n  hint: write the inner ones as text, or as records of their own"),
    (r#"{"type":"record","name":"Tree","fields":[{"name":"kids","type":{"type":"array","items":{"type":"record","name":"Kid","fields":[{"name":"tree","type":{"type":"map","values":"Tree"}}]}}}]}"#, "CYCLIC_TYPE kids.element.tree.value", "error: record Tree contains itself at kids.element.tree.value"),
    // 20: names.
    (r#"{"type":"record","name":"R","fields":[{"name":"id","type":"int"},{"name":"ID","type":"int"}]}"#, "FIELD_NAME_CASE_COLLISION ID", "error: field ID differs only by case from column id\n  hint: engines cannot tell them apart: use one spelling in the schemas"),
    (r#"{"type":"record","name":"R","fields":[{"name":"_tableflow_offset","type":"int"}]}"#, "RESERVED_NAME _tableflow_offset", "error: the schema has a field _tableflow_offset, a name of the metadata columns"),
    (r#"{"type":"record","name":"R","fields":[{"name":"","type":"int"}]}"#, "BAD_NAME", "error: a field of the schema has an empty name\n  hint: rename the field in the schema"),
    (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#, "NAME_COLLISION a", "error: two fields of record R are one column\n  detail: the second one is a"),
    (r#"{"type":"record","name":"R","fields":[{"name":"a.b","type":"int"},{"name":"a","type":{"type":"record","name":"B","fields":[{"name":"b","type":"int"}]}}]}"#, "NAME_COLLISION a.b", "error: the name `a.b` belongs to another column\n  hint: rename the field in the schema"),
    // What a table cannot hold.
    (r#"{"type":"record","name":"R","fields":[{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":39}}]}"#, "PRECISION_OUT_OF_RANGE d", "error: decimal(39, 0) has no type in an Iceberg table\n  hint: a DECIMAL has 1 to 38 digits, and no more of them after the point"),
    (r#"{"type":"record","name":"R","fields":[{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":5}}]}"#, "PRECISION_OUT_OF_RANGE d", "error: decimal(4, 5) has no type in an Iceberg table"),
    (r#"{"type":"record","name":"R","fields":[{"name":"l","type":{"type":"array","items":"null"}}]}"#, "EMPTY_STRUCT l.element", "error: l.element is null, which holds nothing"),
    (r#"{"type":"record","name":"R","fields":[{"name":"u","type":["int",["string","null"]]}]}"#, "INVALID_SCHEMA u", "error: u is a union right inside of a union"),
    (r#"{"type":"record","name":"R","fields":[{"name":"u","type":["int","int"]}]}"#, "INVALID_SCHEMA u", "error: u is a union that has int twice"),
];

#[test]
fn schemas_that_make_no_table() {
    for (schema, words, expected) in SCHEMAS {
        let mut decoder = table("");
        let error = decoder.add_schema(SchemaKey::id(9), &text(schema)).unwrap_err();
        let place = error.context("path").map_or_else(String::new, |path| format!(" {path}"));
        assert_eq!(format!("{}{place}", error.context("reason").unwrap()), *words, "{schema}");
        let error = refusal(&mut decoder, &text(schema));
        let told: Vec<&str> = error.lines().filter(|line| !line.starts_with("  detail: reason=")).collect();
        assert!(told.join("\n").starts_with(expected), "{schema}\n{error}");
        assert_eq!((decoder.schema().fields().len(), decoder.schema_version()), (0, 0), "{schema}");
    }
}

#[test]
fn a_column_keeps_its_type_and_a_refused_schema_changes_nothing() {
    let mut decoder = table("");
    decoder.add_schema(SchemaKey::id(1), &record(r#"{"name":"a","type":"int"},{"name":"s","type":"string"}"#)).unwrap();
    let fields = r#"{"name":"new","type":"int"},{"name":"a","type":"long"},{"name":"s","type":"long"}"#;
    let error = refusal(&mut decoder, &record(fields));
    assert!(error.starts_with("error: column s is STRING, and the schema has long"), "{error}");
    assert_eq!((columns(&decoder).as_str(), decoder.schema_version()), ("a INT, s STRING", 1));
    assert_eq!(rows(&mut decoder, &[value(1, &[&[2], &string("t")])]), ["1 | \"t\""]);
}

#[test]
fn a_name_that_a_partition_field_has_is_refused() {
    let columns = Table::new(parse_columns("ts BIGINT").unwrap());
    let rules = ColumnRules { partition_fields: ["ts_day", "ts"].map(str::to_owned).into(), ..ColumnRules::default() };
    let mut decoder = AvroDecoder::new(FirstByte, &columns).unwrap().keep_to(&rules, &columns);
    let error = refusal(&mut decoder, &record(r#"{"name":"ts_day","type":"int"}"#));
    assert!(error.starts_with("error: the name ts_day belongs to a partition field of the table"), "{error}");
    decoder.add_schema(SchemaKey::id(1), &record(r#"{"name":"ts","type":"long"}"#)).unwrap();
}

#[test]
fn n18_a_union_of_two_hundred_types() {
    let branches: Vec<_> = (0..200)
        .map(|n| format!(r#"{{"type":"record","name":"B{n}","fields":[{{"name":"x","type":"int"}}]}}"#))
        .collect();
    let (mut decoder, _) = decoder(&record(&format!(r#"{{"name":"u","type":[{}]}}"#, branches.join(","))));
    let shown = rows(&mut decoder, &[value(1, &[&long(199), &[2]])]);
    assert!(shown[0].ends_with("B198: -, B199: {x: 1}}"), "{shown:?}");
}

#[test]
fn i4_schemas_that_grow_without_bound_are_refused_at_once() {
    let array =
        |levels: usize| format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(levels), "}".repeat(levels));
    let deep = |levels: usize| record(&format!(r#"{{"name":"v","type":{}}}"#, array(levels)));
    table("").add_schema(SchemaKey::id(1), &deep(100)).unwrap();
    let error = refusal(&mut table(""), &deep(200));
    assert!(error.contains("it is not JSON"), "{error}");
    // Each definition has the one before it twice.
    let doubling = (1..64).fold(r#"{"type":"record","name":"L0","fields":[{"name":"a","type":"int"}]}"#.to_owned(), |inner, level| {
        let before = level - 1;
        format!(r#"{{"type":"record","name":"L{level}","fields":[{{"name":"a","type":{inner}}},{{"name":"b","type":"L{before}"}}]}}"#)
    });
    let error = refusal(&mut table(""), &record(&format!(r#"{{"name":"v","type":{doubling}}}"#)));
    assert!(
        error.starts_with("error: the schema is no Avro schema") || error.contains("more than the 1000 columns"),
        "{error}"
    );
    let double = |n: usize| {
        let inner = n - 1;
        referred(&format!(
            r#"{{"type":"record","name":"L{n}","fields":[{{"name":"a","type":"L{inner}"}},{{"name":"b","type":"L{inner}"}}]}}"#
        ))
    };
    let mut references: Vec<_> = (1..500).map(double).collect();
    references.push(referred(r#"{"type":"record","name":"L0","fields":[]}"#));
    let root = r#"{"type":"record","name":"Root","fields":[{"name":"v","type":"L40"}]}"#.to_owned();
    let (_, learned) =
        decoder(&ResolvedSchema { text: root, references: references.clone(), ..ResolvedSchema::default() });
    assert_eq!(notes(&learned), ["v: holds nothing, and gets no column"]);
    references.pop();
    references.push(referred(r#"{"type":"record","name":"L0","fields":[{"name":"x","type":"int"}]}"#));
    for (level, expected) in [("L40", "more than the 1000 columns"), ("L499", "nested more than 127 levels deep")] {
        let root = format!(r#"{{"type":"record","name":"Root","fields":[{{"name":"v","type":"{level}"}}]}}"#);
        let error = refusal(
            &mut table(""),
            &ResolvedSchema { text: root, references: references.clone(), ..ResolvedSchema::default() },
        );
        assert!(error.contains(expected), "{error}");
    }
    let wide: Vec<_> = (0..1001).map(|n| format!(r#"{{"name":"c{n}","type":"int"}}"#)).collect();
    let error = refusal(&mut table(""), &record(&wide.join(",")));
    assert!(error.contains("more than the 1000 columns"), "{error}");
}

#[test]
fn items_that_take_no_byte_cannot_be_counted_up() {
    let empty = r#"{"type":"record","name":"Empty","fields":[{"name":"n","type":"null"}]}"#;
    for items in [empty, r#"{"type":"fixed","name":"None","size":0}"#] {
        let error =
            refusal(&mut table(""), &record(&format!(r#"{{"name":"l","type":{{"type":"array","items":{items}}}}}"#)));
        assert!(error.contains("which holds nothing"), "{error}");
    }
}

#[test]
fn a_text_of_64_mib_works() {
    let (mut decoder, _) = decoder(&record(r#"{"name":"v","type":"string"}"#));
    let text = "x".repeat(64 << 20);
    let decoded = decode(&mut decoder, &[value(1, &[&string(&text)]), value(1, &[&string("y")])]);
    assert_eq!((decoded.taken.len(), decoded.failure), (2, None));
}

#[test]
fn a_table_whose_columns_no_avro_fills() {
    let columns = Table::new(parse_columns("m MAP<DOUBLE, STRING>").unwrap());
    let error = AvroDecoder::new(FirstByte, &columns).unwrap_err();
    assert!(
        error.report().starts_with("error: Avro cannot fill the column m MAP<DOUBLE, STRING>"),
        "{}",
        error.report()
    );
}
