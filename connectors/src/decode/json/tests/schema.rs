//! Columns that a JSON Schema declares.

use proptest::prelude::*;

use super::*;
use crate::decode::shown::{damaged, records, shown};
use crate::decode::{Framing, Learned, Opened};
use crate::registry::{NamedSchema, ResolvedSchema, SchemaKey};

/// The first byte of a value says which schema it has.
#[derive(Debug)]
struct FirstByte;

impl Framing for FirstByte {
    fn open<'a>(&self, records: &'a Records, row: usize) -> Result<Opened<'a>, RecordError> {
        let (key, payload) = records.value(row).unwrap().split_first().unwrap();
        Ok(Opened { schema: SchemaKey::id(u64::from(*key - b'0')), payload, header_rest: &[] })
    }
}

fn framed() -> JsonDecoder {
    decoder("").framed(FirstByte)
}

fn text(schema: &str) -> ResolvedSchema {
    ResolvedSchema { text: schema.to_owned(), ..ResolvedSchema::default() }
}

/// An object with these properties.
fn object(properties: &str) -> ResolvedSchema {
    text(&format!(
        r##"{{"type":"object","properties":{{{properties}}},"definitions":{{
            "P":{{"type":"object","properties":{{"x":{{"type":"integer"}}}}}},
            "N":{{"type":"object","properties":{{"next":{{"$ref":"#/definitions/N"}}}}}},
            "L":{{"$ref":"#/definitions/L"}}}}}}"##
    ))
}

fn learn(schema: &ResolvedSchema) -> (JsonDecoder, Learned) {
    let mut decoder = framed();
    let learned = decoder.add_schema(SchemaKey::id(1), schema).unwrap();
    (decoder, learned)
}

/// A property's schema, its column, what is noted, a value, and how its cell reads.
#[rustfmt::skip]
const TYPES: &[(&str, &str, &str, &str, &str)] = &[
    (r#"{"type":"boolean"}"#, "BOOLEAN", "", "true", "true"),
    (r#"{"type":"integer"}"#, "BIGINT", "", "-1", "-1"),
    (r#"{"type":"integer","connect.type":"int8"}"#, "INT", "", "7", "7"),
    (r#"{"type":"integer","connect.type":"int64"}"#, "BIGINT", "", "7", "7"),
    (r#"{"type":"number"}"#, "DOUBLE", "", "7", "7.0"),
    (r#"{"type":["integer","number","null"]}"#, "DOUBLE", "", "1.5", "1.5"),
    (r#"{"type":"number","connect.type":"float32"}"#, "FLOAT", "", "1.5", "1.5"),
    (r#"{"type":"string"}"#, "STRING", "", r#""a""#, "\"a\""),
    (r#"{"type":"string","connect.type":"bytes"}"#, "BYTES", "", r#""AAE=""#, "[0, 1]"),
    (r#"{"enum":["A","B",null]}"#, "STRING", "", r#""A""#, "\"A\""),
    (r#"{"type":"integer","title":"org.apache.kafka.connect.data.Date"}"#, "DATE", "", "1", "day 1"),
    (r#"{"type":"integer","title":"org.apache.kafka.connect.data.Time","connect.type":"int32"}"#, "TIME(6)", "", "86399999", "86399999000us"),
    (r#"{"type":"integer","title":"org.apache.kafka.connect.data.Timestamp"}"#, "TIMESTAMP_LTZ(6)", "", "2", "2000us"),
    (r#"{"type":"number","title":"org.apache.kafka.connect.data.Decimal","connect.parameters":{"scale":"2","connect.decimal.precision":"9"}}"#, "DECIMAL(9, 2)", "", "1.5", "150e-2"),
    (r#"{"oneOf":[{"type":"null"},{"type":"integer"}]}"#, "BIGINT", "", "1", "1"),
    (r##"{"anyOf":[{"$ref":"#/definitions/P"},{"type":"null"}]}"##, "ROW<x BIGINT>", "", r#"{"x":1}"#, "{x: 1}"),
    (r##"{"$ref":"#/definitions/P"}"##, "ROW<x BIGINT>", "", r#"{"x":1}"#, "{x: 1}"),
    (r##"{"allOf":[{"$ref":"#/definitions/P"},{"properties":{"y":{"type":"string"}}}]}"##, "ROW<x BIGINT, y STRING>", "", r#"{"y":"a"}"#, "{x: -, y: \"a\"}"),
    (r#"{"type":"object","properties":{"a":{"type":"integer","connect.index":1},"b":{"type":"integer","connect.index":0}}}"#, "ROW<b BIGINT, a BIGINT>", "", r#"{"a":1}"#, "{b: -, a: 1}"),
    (r#"{"type":"object","properties":{"a":{"type":"integer"}},"anyOf":[{"required":["a"]},{"required":["b"]}]}"#, "ROW<a BIGINT>", "", r#"{"a":1}"#, "{a: 1}"),
    (r#"{"type":"array","items":{"type":["integer","null"]}}"#, "ARRAY<BIGINT>", "", "[1,null]", "[1, -]"),
    (r#"{"type":"object","additionalProperties":{"type":"number"}}"#, "MAP<STRING, DOUBLE>", "", r#"{"k":1}"#, "(\"k\" => 1.0; )"),
    (r#"{"type":["integer","string"]}"#, "STRING", "may be of several types: becomes STRING, what is no text as JSON", "1", "\"1\""),
    (r#"{"oneOf":[{"type":"integer"},{"type":"object"}]}"#, "STRING", "may be of several types: becomes STRING, what is no text as JSON", r#"{"a":1}"#, r#""{\"a\":1}""#),
    (r#"{"enum":["A",1]}"#, "STRING", "may be of several types: becomes STRING, what is no text as JSON", "1", "\"1\""),
    ("{}", "STRING", "may be of any type: becomes STRING, what is no text as JSON", "[1]", "\"[1]\""),
    ("true", "STRING", "may be of any type: becomes STRING, what is no text as JSON", r#""t""#, "\"t\""),
    (r#"{"type":"object"}"#, "STRING", "may be of any type: becomes STRING, what is no text as JSON", r#"{"k":1}"#, r#""{\"k\":1}""#),
    (r#"{"type":"array","items":[{"type":"integer"}]}"#, "STRING", "is an array with a type for each place: becomes STRING, as JSON", "[1]", "\"[1]\""),
    (r#"{"type":"array"}"#, "STRING", "is an array of anything: becomes STRING, as JSON", "[1]", "\"[1]\""),
    (r#"{"type":"array","items":{}}"#, "ARRAY<STRING>", "", r#"[1,"a"]"#, "[\"1\", \"a\"]"),
];

#[test]
fn every_type_has_its_column_and_its_values_are_kept() {
    for (property, column, note, value, cell) in TYPES {
        let (mut decoder, learned) = learn(&object(&format!(r#""v":{property}"#)));
        assert_eq!(columns(&decoder), format!("v {column}"), "{property}");
        let noted = learned.notes.iter().filter(|note| note.path == "v").map(|note| note.words.as_str());
        assert_eq!(noted.collect::<String>(), *note, "{property}");
        assert_eq!(
            rows(&mut decoder, &format!("1{{\"v\":{value}}}\n1{{}}\n1{{\"v\":null}}")),
            [*cell, "-", "-"],
            "{property}"
        );
    }
}

#[test]
fn i5_a_schema_that_is_not_known_is_asked_for_and_what_it_does_not_name_is_found() {
    let (mut decoder, _) = learn(&object(r#""a":{"type":"integer"}"#));
    let records = lines("1{\"a\":1,\"new\":true}\n2{\"a\":2,\"b\":[\"x\"]}\n1{\"a\":3}");
    let decoded = decoder.decode(&records);
    assert_eq!((shown(&decoded.batch), decoded.needs), (vec!["1 | true".to_owned()], Some(SchemaKey::id(2))));
    let b = r#""a":{"type":["integer","null"]},"b":{"type":"array","items":{"type":"string"}}"#;
    decoder.add_schema(SchemaKey::id(2), &object(b)).unwrap();
    let decoded = decoder.decode_from(&records, 1, BadRecords::Stop);
    assert_eq!(shown(&decoded.batch), ["2 | - | [\"x\"]", "3 | - | -"]);
    assert_eq!(columns(&decoder), "a BIGINT, new BOOLEAN, b ARRAY<STRING>");
}

#[test]
fn references_are_resolved_and_columns_become_wider() {
    let schema = ResolvedSchema {
        text: r##"{"type":"object","properties":{"p":{"$ref":"part.json"},"q":{"$ref":"urn:q#/definitions/Q"}}}"##.to_owned(),
        references: vec![
            NamedSchema { name: "part.json".to_owned(), text: r##"{"type":"object","properties":{"x":{"$ref":"#/$defs/X"}},"$defs":{"X":{"type":"integer","connect.type":"int32"}}}"##.to_owned() },
            NamedSchema { name: "other".to_owned(), text: r#"{"$id":"urn:q","definitions":{"Q":{"type":"string"}}}"#.to_owned() },
        ],
        ..ResolvedSchema::default()
    };
    let (mut decoder, _) = learn(&schema);
    assert_eq!(columns(&decoder), "p ROW<x INT>, q STRING");
    let wider = object(r#""p":{"type":"object","properties":{"x":{"type":"integer"}}}"#);
    let learned = decoder.add_schema(SchemaKey::id(2), &wider).unwrap();
    assert_eq!(learned.widenings.iter().map(|widening| widening.path.as_str()).collect::<Vec<_>>(), ["p.x"]);
    assert_eq!(rows(&mut decoder, "1{\"p\":{\"x\":5000000000}}"), ["{x: 5000000000} | -"]);
}

/// A schema, and what it is refused with.
#[rustfmt::skip]
const REFUSED: &[(&str, &str)] = &[
    ("{", "error: the schema is no JSON Schema\n  detail: it is not JSON"),
    (r#"{"type":"integer"}"#, "error: the schema is not of an object\n"),
    (r#"{"type":"object","properties":{"a":{"$ref":"b.json"}}}"#, "error: the JSON Schema refers to b.json, which is not there\n"),
    (r##"{"type":"object","properties":{"n":{"$ref":"#/n"}},"n":{"type":"object","properties":{"next":{"$ref":"#/n"}}}}"##, "error: definition #/n contains itself at n.next\n"),
    (r##"{"type":"object","properties":{"l":{"$ref":"#/l"}},"l":{"type":"array","items":{"$ref":"#/l"}}}"##, "error: l is nested without an end\n"),
    (r##"{"type":"object","properties":{"l":{"$ref":"#/l"}},"l":{"$ref":"#/l"}}"##, "error: the schema is no JSON Schema\n  detail: references lead from one to the next without an end"),
    (r##"{"type":"object","properties":{"l":{"$ref":"#/l"}},"l":{"allOf":[{"$ref":"#/l"},{"$ref":"#/l"}]}}"##, "error: the schema is no JSON Schema\n  detail: references lead from one to the next without an end"),
    (r#"{"type":"object","properties":{"id":{"type":"integer"},"ID":{"type":"integer"}}}"#, "error: field "),
    (r#"{"type":"object","properties":{"_tableflow_x":{"type":"integer"}}}"#, "error: the schema has a field _tableflow_x, a name of the metadata columns\n"),
    (r#"{"type":"object","properties":{"kept":{"type":"string"}}}"#, "error: column kept is BIGINT, and the schema has STRING\n"),
];

#[test]
fn i4_a_schema_that_makes_no_columns_changes_nothing() {
    for (schema, expected) in REFUSED {
        let (mut decoder, _) = learn(&object(r#""kept":{"type":"integer"}"#));
        let error = decoder.add_schema(SchemaKey::id(2), &text(schema)).unwrap_err();
        assert!(error.context("reason").is_some(), "{error}");
        let error = error.report();
        let told = error.replace("\n  detail: schema=2", "").replace("; schema=2", "");
        assert!(told.starts_with(expected), "{schema}\n{error}");
        assert_eq!((columns(&decoder).as_str(), decoder.schema_version()), ("kept BIGINT", 1), "{schema}");
        let needs = decoder.decode(&records(&[Some("2{}")])).needs;
        assert_eq!(needs, Some(SchemaKey::id(2)), "{schema}");
    }
}

const SCHEMA: &str = r##"{"type":"object","properties":{"a":{"$ref":"#/definitions/P"},"b":{"oneOf":[{"type":"null"},
    {"type":"array","items":{"type":"integer","connect.type":"int8"}}]},"c":{"allOf":[{"$ref":"#/definitions/P"},
    {"properties":{"y":{}}}]},"d":{"type":"object","additionalProperties":{"enum":["A"]}}},
    "definitions":{"P":{"type":"object","properties":{"x":{"type":"number"}}}}}"##;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_schema_makes_it_panic(schema in damaged(SCHEMA)) {
        let mut decoder = framed();
        if decoder.add_schema(SchemaKey::id(1), &text(&schema)).is_err() {
            prop_assert_eq!(decoder.schema().fields().len(), 0);
        }
    }
}

/// It is no field of the row whose name is before the dot.
#[test]
fn a_name_with_a_dot_is_not_read_past_for_what_was_dropped_inside_of_a_row() {
    let mut decoder = decoder("").framed(FirstByte);
    let schema = object(r#""a":{"type":"integer"},"r":{"type":"object","properties":{"y":{"type":"integer"}}}"#);
    let passing = Passing { others: ["r.x".to_owned()].into(), older: ["r.z".to_owned()].into() };
    decoder.add_schema_but(SchemaKey::id(1), &schema, Some(&passing)).unwrap();
    let decoded = decoder.decode(&records(&[Some(r#"1{"a":1,"r":{"y":2,"x":3,"z":4},"r.x":8,"r.z":9}"#)]));
    assert_eq!((decoded.failure, decoded.needs), (None, None));
    assert_eq!(shown(&decoded.batch), ["1 | {y: 2} | 8 | 9"]);
}

/// What the table has dropped is read past: in records of older schemas, and in others whose schemas do not name it.
#[test]
fn a_field_that_was_dropped_comes_back_by_its_schemas_word_alone() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut decoder = decoder("m MAP<STRING, ROW<y BIGINT>>").framed(FirstByte);
    let of = |b: &str| object(&format!(r#""a":{{"type":"integer"}}{b}"#));
    let (dropped, old) =
        (["b", "r.x", "m.value.x", "l.element.x"], of(r##","b":{"type":"integer"},"r":{"$ref":"#/definitions/P"}"##));
    let older = Passing { older: names(&dropped), ..Passing::default() };
    let others = Passing { others: names(&dropped), ..Passing::default() };
    let r = r#","r":{"type":"object","properties":{"y":{"type":"integer"}}},"l":{"type":"array","items":{"type":"object","properties":{"y":{"type":"integer"}}}}"#;
    decoder.add_schema_but(SchemaKey::id(1), &old, Some(&older)).unwrap();
    decoder.add_schema_but(SchemaKey::id(2), &of(r), Some(&others)).unwrap();
    let value = r#"{"b":5,"a":1,"r":{"x":2,"y":3},"l":[{"x":4,"y":5}],"m":{"x":{"x":6,"y":7}}}"#;
    let shown_of = |decoder: &mut JsonDecoder, schema: u8| {
        let values = [format!("{schema}{value}"), format!("{schema}{value}")];
        let decoded = decoder.decode(&records(&values.iter().map(Some).collect::<Vec<_>>()));
        assert_eq!((decoded.failure, decoded.needs), (None, None));
        shown(&decoded.batch)
    };
    let row = "(\"x\" => {y: 7}; ) | 1 | {y: 3} | [{y: 5}]";
    assert_eq!(
        (shown_of(&mut decoder, 1), shown_of(&mut decoder, 2)),
        (vec![row.to_owned(); 2], vec![row.to_owned(); 2])
    );
    // It is a column again: of the schema that has it, and of no other.
    let back = of(&format!(r#","b":{{"type":"integer"}}{r}"#));
    let learned = decoder.add_schema_but(SchemaKey::id(3), &back, Some(&others)).unwrap();
    assert!(learned.filled.contains("b"));
    for (schema, b) in [(1, "-"), (3, "5"), (2, "-")] {
        assert_eq!(shown_of(&mut decoder, schema), vec![format!("{row} | {b}"); 2], "{schema}");
    }
}

#[test]
fn columns_become_nullable_where_a_schema_lets_them_be_null_or_left_out() {
    let columns_before =
        "a BIGINT NOT NULL, b BIGINT NOT NULL, l ARRAY<BIGINT NOT NULL> NOT NULL, r ROW<x BIGINT NOT NULL>";
    let whole = |a: &str, item: &str, required: &str| {
        let (r, l) = (r#""r":{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}"#, "array");
        let properties = format!(r#""a":{{"type":{a}}},"l":{{"type":"{l}","items":{{"type":{item}}}}},{r}"#);
        text(&format!(
            r#"{{"type":"object","properties":{{{properties},"b":{{"type":"integer"}}}},"required":[{required}]}}"#
        ))
    };
    let (int, nullable) = (r#""integer""#, r#"["integer","null"]"#);
    let mut decoder = table(columns_before).framed(FirstByte);
    for (key, schema, relaxed) in [
        (1, whole(int, int, r#""a","b","l""#), ""),
        (2, whole(nullable, nullable, r#""a","b","l""#), "a, l.element"),
        (3, object(r#""l":{"type":"array","items":{"type":"integer"}}"#), "l, b"),
    ] {
        let learned = decoder.add_schema(SchemaKey::id(key), &schema).unwrap();
        assert_eq!((learned.relaxed.join(", ").as_str(), learned.may_lack.len()), (relaxed, 0), "{key}");
    }
    assert_eq!(columns(&decoder), "a BIGINT, b BIGINT, l ARRAY<BIGINT>, r ROW<x BIGINT NOT NULL>");
    let values = [r#"1{"a":1,"b":2,"l":[3]}"#, r#"2{"a":null,"b":2,"l":[null]}"#, r#"3{}"#, r#"3{"r":{}}"#];
    let decoded = decoder.decode(&records(&values.map(Some)));
    assert_eq!(shown(&decoded.batch), ["1 | 2 | [3] | -", "- | 2 | [-] | -", "- | - | - | -"]);
    assert_eq!(decoded.failure.unwrap().message, "$.r.x is missing, its column is BIGINT NOT NULL");

    let table = Schema::new(parse_columns(columns_before).unwrap());
    let strict = ColumnRules { evolution: Evolution::Strict, ..ColumnRules::default() };
    let mut decoder = JsonDecoder::new(&[], &table).unwrap().keep_to(&strict, &table).unwrap().framed(FirstByte);
    let learned = decoder.add_schema(SchemaKey::id(1), &whole(nullable, nullable, "")).unwrap();
    assert_eq!((learned.relaxed.len(), learned.may_lack.join(", ").as_str()), (0, "a, b, l, l.element"));
    assert_eq!(decoder.schema_version(), 0);
}

/// Of a change in Debezium's envelope the columns are those of the row behind it, whichever records came so far.
#[test]
fn i4_the_schema_of_an_envelope_declares_the_columns_of_its_row() {
    let row = |more: &str| {
        format!(
            r#"{{"type":"object","title":"Value","properties":{{"id":{{"type":"integer","connect.type":"int32"}}{more}}}}}"#
        )
    };
    let envelope = |row: &str| {
        object(&format!(
            r#""before":{{"oneOf":[{{"type":"null"}},{row}]}},"after":{{"oneOf":[{{"type":"null"}},{row}]}},
               "op":{{"type":"string"}},"ts_ms":{{"type":"integer"}},"source":{{"type":"object"}}"#
        ))
    };
    let mut decoder = framed().inside(Envelope::Change);
    decoder.add_schema(SchemaKey::id(1), &envelope(&row(""))).unwrap();
    assert_eq!(columns(&decoder), "id INT");
    decoder
        .add_schema(
            SchemaKey::id(2),
            &envelope(&row(r#","at":{"type":"integer","title":"org.apache.kafka.connect.data.Timestamp"}"#)),
        )
        .unwrap();
    assert_eq!(columns(&decoder), "id INT, at TIMESTAMP_LTZ(6)");
    let values = [
        r#"1{"before":null,"after":{"id":1},"op":"c","source":{"lsn":7}}"#,
        r#"2{"before":{"id":1},"after":{"id":1,"at":2},"op":"u","source":{"lsn":8}}"#,
        r#"1{"before":{"id":1},"after":null,"op":"d"}"#,
        r#"2{"op":"t"}"#,
    ];
    let decoded = decoder.decode_from(&records(&values.map(Some)), 0, BadRecords::PassOver);
    assert_eq!(shown(&decoded.batch), ["1 | -", "1 | 2000us"]);
    let reasons: Vec<_> = decoded.passed_over.iter().map(|failure| (failure.row, failure.reason)).collect();
    assert_eq!(reasons, [(2, Reason::Tombstone), (3, Reason::Truncation)]);
    // A schema of something else says nothing of rows; its records say what they are.
    decoder.add_schema(SchemaKey::id(3), &object(r#""id":{"type":"integer"},"x":{"type":"string"}"#)).unwrap();
    assert_eq!(columns(&decoder), "id INT, at TIMESTAMP_LTZ(6)");
    let plain = decoder.decode(&records(&[Some(r#"3{"id":1,"x":"y"}"#)]));
    assert_eq!(plain.failure.unwrap().reason, Reason::NotAChange);
}
