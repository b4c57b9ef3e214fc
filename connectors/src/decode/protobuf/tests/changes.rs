//! Records that are changes of rows, in Debezium's envelope; prost-reflect writes them.

use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};

use super::*;
use crate::decode::binary::written::varint;

const V1: &str = "int32 id = 1; optional string note = 2;";
/// The id is wider, the note has another name, and there is a field more.
const V2: &str = "int64 id = 1; optional double total = 3; optional string remark = 2;";

/// What a connector writes around a row.
fn envelope(row: &str) -> ResolvedSchema {
    proto3(&format!(
        "message Envelope {{
            Value before = 1; Value after = 2; Source source = 3; string op = 4; optional int64 ts_ms = 5;
            message Value {{ {row} }}
            message Source {{ string name = 1; optional int64 lsn = 2; repeated string parts = 3; map<string, int32> more = 4; }}
        }}"
    ))
}

fn decoder(schema: &ResolvedSchema) -> Tested {
    let mut decoder = table("").of_changes();
    decoder.add_schema(SchemaKey::id(1), schema).unwrap();
    decoder
}

/// A row by its fields, if it is there.
type Row<'a> = Option<&'a [(&'a str, Value)]>;

/// That of the first version.
fn id(id: i32) -> [(&'static str, Value); 1] {
    [("id", Value::I32(id))]
}

fn noted(id: i32, note: &str) -> [(&'static str, Value); 2] {
    [("id", Value::I32(id)), ("note", Value::String(note.to_owned()))]
}

/// A change as a connector sends it, written by the other.
fn change(id: u8, schema: &ResolvedSchema, op: &str, (before, after): (Row<'_>, Row<'_>)) -> Vec<u8> {
    let envelope = compile(schema).unwrap().messages().next().unwrap();
    let mut message = DynamicMessage::new(envelope);
    let mut set = |name: &str, fields: &[(&str, Value)]| {
        let kind = message.descriptor().get_field_by_name(name).unwrap().kind();
        let mut inner = DynamicMessage::new(kind.as_message().unwrap().clone());
        for (field, value) in fields {
            inner.set_field_by_name(field, value.clone());
        }
        message.set_field_by_name(name, Value::Message(inner));
    };
    let more = Value::Map([(MapKey::String("x".to_owned()), Value::I32(1))].into());
    let text = |text: &str| Value::String(text.to_owned());
    let parts = Value::List(vec![text("a"), text("b")]);
    set("source", &[("name", text("pg")), ("lsn", Value::I64(7)), ("parts", parts), ("more", more)]);
    for (name, row) in [("before", before), ("after", after)] {
        if let Some(row) = row {
            set(name, row);
        }
    }
    message.set_field_by_name("op", text(op));
    message.set_field_by_name("ts_ms", Value::I64(5));
    value(id, &[&message.encode_to_vec()])
}

#[test]
fn the_row_behind_a_change_is_the_row_and_its_columns_are_the_tables() {
    let schema = envelope(V1);
    let mut decoder = decoder(&schema);
    assert_eq!(columns(&decoder), "id INT, note STRING");
    let send = |op, before: Row<'_>, after: Row<'_>| change(1, &schema, op, (before, after));
    let values = [
        send("r", None, Some(&noted(1, "a"))),
        send("u", Some(&noted(1, "a")), Some(&id(1))),
        // A row of nothing but what is absent is one all the same.
        send("c", None, Some(&[])),
    ];
    assert_eq!(rows(&mut decoder, &values), [r#"1 | "a""#, "1 | -", "0 | -"]);
}

#[test]
fn what_puts_no_row_says_why_and_leaves_none_behind() {
    let schema = envelope(V1);
    let mut decoder = decoder(&schema);
    let send = |op, before: Row<'_>, after: Row<'_>| change(1, &schema, op, (before, after));
    // A key that changes is a delete and an insert.
    let values = [
        send("d", Some(&id(1)), None),
        send("c", None, Some(&id(10))),
        send("d", None, None),
        send("d", None, Some(&id(3))),
        send("t", None, None),
        send("m", None, None),
        send("u", Some(&id(4)), None),
        send("", None, Some(&id(5))),
        send("u", None, Some(&id(6))),
    ];
    let values = records(&values.iter().map(Some).collect::<Vec<_>>());
    let decoded = decoder.decode_from(&values, 0, BadRecords::PassOver);
    assert_eq!(shown(&decoded.batch), ["10 | -", "6 | -"]);
    let reasons: Vec<_> = decoded.passed_over.iter().map(|failure| (failure.row, failure.reason)).collect();
    let expected = [
        (0, Reason::Tombstone),
        (2, Reason::Tombstone),
        (3, Reason::Tombstone),
        (4, Reason::Truncation),
        (5, Reason::Notice),
        (6, Reason::NotAChange),
        (7, Reason::NotAChange),
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn a_row_in_several_parts_is_one_and_the_op_may_stand_anywhere() {
    let mut decoder = decoder(&envelope(V1));
    let (op, again) = (run(4, "c"), run(4, "d"));
    let (id, note) = (run(2, whole(1, 7)), run(2, run(2, "n")));
    for (parts, expected) in [
        (vec![&op, &id, &note], Ok(r#"7 | "n""#)),
        (vec![&note, &op, &id], Ok(r#"7 | "n""#)),
        (vec![&note, &again, &op], Ok(r#"0 | "n""#)),
        (vec![&id, &op, &again], Err(Reason::Tombstone)),
        (vec![&id, &note], Err(Reason::NotAChange)),
        (vec![&op], Err(Reason::NotAChange)),
    ] {
        let parts: Vec<&[u8]> = parts.into_iter().map(Vec::as_slice).collect();
        let decoded = decode(&mut decoder, &[value(1, &parts)]);
        match expected {
            Ok(row) => assert_eq!(shown(&decoded.batch), [row]),
            Err(reason) => assert_eq!(decoded.failure.unwrap().reason, reason),
        }
    }
}

#[test]
fn rows_of_any_version_follow_each_other() {
    let (v1, v2) = (envelope(V1), envelope(V2));
    let mut decoder = decoder(&v1);
    let new = [("id", Value::I64(1 << 40)), ("total", Value::F64(0.5)), ("remark", Value::String("b".to_owned()))];
    let values = [
        change(1, &v1, "c", (None, Some(&noted(1, "a")))),
        change(2, &v2, "u", (None, Some(&new))),
        change(1, &v1, "u", (None, Some(&id(2)))),
    ];
    assert_eq!(decode(&mut decoder, &values).needs, Some(SchemaKey::id(2)));
    decoder.add_schema(SchemaKey::id(2), &v2).unwrap();
    assert_eq!(columns(&decoder), "id BIGINT, note STRING, total DOUBLE");
    assert_eq!(rows(&mut decoder, &values), [r#"1 | "a" | -"#, r#"1099511627776 | "b" | 0.5"#, "2 | - | -"]);
}

#[test]
fn a_change_that_was_cut_is_a_bad_record_whatever_its_op() {
    let mut decoder = decoder(&envelope(V1));
    for op in ["u", "d"] {
        // The op stands before the row: no cut ends between two fields.
        let whole = value(1, &[&run(4, op), &run(2, run(2, "note"))]);
        for end in 6..whole.len() {
            let failure = decode(&mut decoder, &[whole[..end].to_vec()]).failure.unwrap();
            assert_eq!(failure.reason, Reason::Truncated, "{op}, {end} bytes");
        }
    }
    // What is wrong with a row is told by its column; what is wrong around it, by its place.
    for (bytes, path) in [
        ([run(4, "c"), run(2, run(2, [0xff]))].concat(), "$.note"),
        ([run(4, "c"), whole(2, 1)].concat(), "$.after"),
        (whole(4, 1), "$.op"),
    ] {
        assert_eq!(decode(&mut decoder, &[value(1, &[&bytes])]).failure.unwrap().path, path);
    }
}

#[test]
fn a_type_without_an_op_or_a_row_adds_no_column_and_one_whose_rows_are_none_is_refused() {
    for (fields, reason) in [
        ("string op = 4;", Reason::NotAChange),
        ("int64 id = 1;", Reason::NotAChange),
        ("int64 ts_ms = 1;", Reason::Notice),
        ("string databaseName = 1; string ddl = 2;", Reason::Notice),
        ("R after = 2; int32 op = 4; message R { int32 id = 1; }", Reason::NotAChange),
    ] {
        let mut decoder = decoder(&proto3(&format!("message Envelope {{ {fields} }}")));
        assert_eq!(columns(&decoder), if fields.contains("after") { "id INT" } else { "" });
        let mut decoded = decode(&mut decoder, &[value(1, &[&[]])]);
        let said = decoded.failure.or_else(|| decoded.passed_over.pop());
        assert_eq!(said.unwrap().reason, reason, "{fields}");
    }
    for (fields, words) in [
        ("string after = 2;", "the row behind a change (after) is string, not one message"),
        ("repeated R after = 2; message R { int32 id = 1; }", "is shop.Envelope.R, not one message"),
        ("R after = 2; message R {}", "message shop.Envelope.R has no fields that a table holds"),
    ] {
        let schema = proto3(&format!("message Envelope {{ {fields} string op = 4; }}"));
        assert!(refusal(&mut table("").of_changes(), &schema).contains(words), "{fields}");
    }
}

#[test]
fn a_change_says_what_it_was_and_when_if_it_is_asked() {
    let schema = proto3(
        "message Envelope {
            Value after = 1; Source source = 2; string op = 3; optional int64 ts_ms = 4; repeated int64 ts_us = 5;
            message Value { int32 id = 1; }
            message Source { string name = 1; int64 ts_ms = 2; int64 ts_ns = 3; string ts_us = 4; }
        }",
    );
    let change = |op: &str, source: &[Vec<u8>], ts_ms: Option<u8>| {
        let after = if op == "d" { Vec::new() } else { run(1, whole(1, 1)) };
        let source = source.iter().flat_map(|part| run(2, part)).collect::<Vec<u8>>();
        let time = ts_ms.map(|time| whole(4, time)).unwrap_or_default();
        value(1, &[&time, &after, &source, &run(3, op)])
    };
    let fine = [vec![3 << 3], varint(7_002_999)].concat();
    let values = [
        change("r", &[[run(1, "pg"), whole(2, 7), run(4, "5")].concat()], Some(9)),
        change("d", &[whole(2, 7), fine], Some(9)),
        change("u", &[run(1, "pg")], Some(9)),
        change("c", &[], None),
        change("t", &[], Some(11)),
    ];
    let expected =
        [(Some("r"), Some(7000)), (None, Some(7002)), (Some("u"), Some(9000)), (Some("c"), None), (None, Some(11_000))];
    let of = |decoder: Tested| {
        let mut decoder = decoder;
        decoder.add_schema(SchemaKey::id(1), &schema).unwrap();
        let values = records(&values.iter().map(Some).collect::<Vec<_>>());
        let decoded = decoder.decode_from(&values, 0, BadRecords::PassOver);
        assert_eq!(decoded.taken.rows().collect::<Vec<_>>(), [0, 2, 3]);
        [0, 1, 2, 3, 4].map(|record| decoded.origins.of(record)).map(|origin| (origin.op, origin.at))
    };
    assert_eq!(of(table("").telling_origins()), expected);
    assert_eq!(of(table("").of_changes()), [(None, None); 5]);
    // A source that is cut is a bad record, and says where.
    let mut decoder = table("").telling_origins();
    decoder.add_schema(SchemaKey::id(1), &schema).unwrap();
    let failure = decode(&mut decoder, &[change("c", &[vec![2 << 3, 0x80]], None)]).failure.unwrap();
    assert_eq!((failure.reason, failure.path.as_str()), (Reason::Truncated, "$.source"));
}

#[test]
fn a_change_says_where_in_its_source_it_was() {
    for (members, source, position) in [
        ("int64 lsn = 1;", whole(1, 7), Some(7)),
        ("optional int64 lsn = 1; int64 ts_ms = 2;", whole(2, 9), None),
        ("string file = 1; int64 pos = 2;", [run(1, "mysql-bin.000003"), whole(2, 4)].concat(), Some(12_884_901_892)),
        ("string scn = 1;", run(1, "16549837"), Some(16_549_837)),
        ("int64 ts_ms = 1;", whole(1, 9), Some(9)),
    ] {
        let schema = proto3(&format!(
            "message Envelope {{ Value after = 1; Source source = 2; string op = 3;
                message Value {{ int32 id = 1; }} message Source {{ {members} }} }}"
        ));
        let mut decoder = table("").telling_origins();
        decoder.add_schema(SchemaKey::id(1), &schema).unwrap();
        let values = [value(1, &[&run(2, source), &run(3, "d")])];
        let values = records(&values.iter().map(Some).collect::<Vec<_>>());
        let decoded = decoder.decode_from(&values, 0, BadRecords::PassOver);
        assert_eq!(decoded.origins.of(0).position, position, "{members}");
    }
}
