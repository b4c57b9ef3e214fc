//! Records that are changes of rows, in Debezium's envelope; apache-avro writes them.

use apache_avro::types::Value;
use apache_avro::{Schema as Judge, to_avro_datum};
use serde_json::{Value as Json, json};

use super::*;

const V1: &str = r#"{"name":"id","type":"int"},{"name":"note","type":["null","string"],"default":null}"#;
/// The id is wider, and there is a field more.
const V2: &str = r#"{"name":"total","type":["null","double"],"default":null},{"name":"id","type":"long"},
    {"name":"note","type":["null","string"],"default":null}"#;

/// What a connector writes around a row: `after` goes by the name of the type that `before` defined.
fn envelope(row: &str) -> ResolvedSchema {
    let row = format!(r#"{{"type":"record","name":"Value","fields":[{row}]}}"#);
    fields(&format!(
        r#"{{"name":"before","type":["null",{row}],"default":null}},
           {{"name":"after","type":["null","Value"],"default":null}},{AROUND}"#
    ))
}

const AROUND: &str = r#"{"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium","fields":[
        {"name":"name","type":"string"},{"name":"snapshot","type":[{"type":"string"},"null"],"default":"false"},
        {"name":"lsn","type":["null","long"],"default":null},{"name":"parts","type":{"type":"array","items":"string"}},
        {"name":"more","type":{"type":"map","values":["null","int"]}}]}},
    {"name":"transaction","type":["null",{"type":"record","name":"block","namespace":"event","fields":[
        {"name":"id","type":"string"},{"name":"total_order","type":"long"}]}],"default":null},
    {"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"],"default":null}"#;

/// An envelope of these fields.
fn fields(fields: &str) -> ResolvedSchema {
    text(&format!(r#"{{"type":"record","name":"Envelope","namespace":"pg.public.orders","fields":[{fields}]}}"#))
}

fn decoder(schemas: &[&ResolvedSchema]) -> Tested {
    let mut decoder = table("").of_changes();
    for (schema, id) in schemas.iter().zip(1..) {
        decoder.add_schema(SchemaKey::id(id), schema).unwrap();
    }
    decoder
}

/// A change, as a connector sends it.
fn change(op: &str, before: Json, after: Json) -> Json {
    let source = json!({"name": "pg", "snapshot": "false", "lsn": 7, "parts": ["a", "b"], "more": {"x": 1, "y": null}});
    let transaction = json!({"id": "t", "total_order": 3});
    json!({"before": before, "after": after, "source": source, "transaction": transaction, "op": op, "ts_ms": 5})
}

/// The same as bytes, written by the other.
fn written(id: u8, schema: &ResolvedSchema, record: Json) -> Vec<u8> {
    let schema = Judge::parse_str(&schema.text).unwrap();
    let record = Value::from(record).resolve(&schema).unwrap();
    [vec![id], to_avro_datum(&schema, record).unwrap()].concat()
}

fn row(id: i64) -> Json {
    json!({"id": id, "note": format!("n{id}")})
}

/// The reasons of records that were passed over, and the rows of the others.
fn passed(decoder: &mut Tested, values: &[Vec<u8>]) -> (Vec<(usize, Reason)>, Vec<String>) {
    let values = records(&values.iter().map(Some).collect::<Vec<_>>());
    let decoded = decoder.decode_from(&values, 0, BadRecords::PassOver);
    assert_eq!((decoded.failure, decoded.needs), (None, None));
    let passed = decoded.passed_over.iter().map(|failure| (failure.row, failure.reason)).collect();
    (passed, shown(&decoded.batch))
}

#[test]
fn the_row_behind_a_change_is_the_row_and_its_columns_are_the_tables() {
    let schema = envelope(V1);
    let mut decoder = decoder(&[&schema]);
    assert_eq!(columns(&decoder), "id INT, note STRING");
    let send = |op: &str, before: Json, after: Json| written(1, &schema, change(op, before, after));
    let values = [
        send("r", Json::Null, row(1)),
        send("c", Json::Null, row(2)),
        send("u", row(1), json!({"id": 1, "note": null})),
        // Without an image of what was before.
        send("u", Json::Null, row(2)),
    ];
    assert_eq!(rows(&mut decoder, &values), [r#"1 | "n1""#, r#"2 | "n2""#, "1 | -", r#"2 | "n2""#]);
}

#[test]
fn what_puts_no_row_says_why_and_leaves_none_behind() {
    let schema = envelope(V1);
    let mut decoder = decoder(&[&schema]);
    let send = |op: &str, before: Json, after: Json| written(1, &schema, change(op, before, after));
    // A key that changes is a delete and an insert.
    let values = [
        send("d", row(1), Json::Null),
        send("c", Json::Null, row(10)),
        send("d", Json::Null, Json::Null),
        send("d", row(3), row(3)),
        send("t", Json::Null, Json::Null),
        send("m", Json::Null, Json::Null),
        send("u", row(4), Json::Null),
        send("", Json::Null, row(5)),
        send("u", row(6), row(6)),
    ];
    let (reasons, rows) = passed(&mut decoder, &values);
    let expected = [
        (0, Reason::Tombstone),
        (2, Reason::Tombstone),
        (3, Reason::Tombstone),
        (4, Reason::Truncation),
        (5, Reason::Notice),
        (6, Reason::NotAChange),
        (7, Reason::NotAChange),
    ];
    assert_eq!(
        (reasons.as_slice(), rows.as_slice()),
        (&expected[..], &[r#"10 | "n10""#.into(), r#"6 | "n6""#.into()][..])
    );
    let failure = decode(&mut decoder, &values[6..7]).failure.unwrap();
    assert_eq!(failure.message, "the value is no change of a row: op u has no row behind the change (after)");
}

#[test]
fn fields_of_an_envelope_come_in_any_order_and_some_are_not_there() {
    let value = r#"{"type":"record","name":"Value","fields":[{"name":"id","type":"int"}]}"#;
    let after = format!(r#"{{"name":"after","type":{value}}}"#);
    let op = r#"{"name":"op","type":["string","null"]}"#;
    for (schema, bytes, expected) in [
        (format!("{op},{after}"), [long(0), string("c"), long(7)].concat(), Ok("7")),
        (format!("{op},{after}"), [long(1), long(7)].concat(), Err(Reason::NotAChange)),
        (format!("{after},{op}"), [long(7), long(0), string("r")].concat(), Ok("7")),
        (format!("{after},{op}"), [long(7), long(0), string("d")].concat(), Err(Reason::Tombstone)),
        (after.clone(), long(7), Err(Reason::NotAChange)),
        (op.to_owned(), [long(0), string("c")].concat(), Err(Reason::NotAChange)),
        (op.to_owned(), [long(0), string("t")].concat(), Err(Reason::Truncation)),
        (format!(r#"{after},{{"name":"op","type":"int"}}"#), [long(7), long(1)].concat(), Err(Reason::NotAChange)),
        // A sign of life, and one end of a transaction.
        (r#"{"name":"ts_ms","type":"long"}"#.to_owned(), long(7), Err(Reason::Notice)),
        (
            r#"{"name":"status","type":"string"},{"name":"id","type":"string"},{"name":"event_count","type":"long"}"#
                .to_owned(),
            [string("END"), string("7"), long(2)].concat(),
            Err(Reason::Notice),
        ),
        // A row as it is, and a type that is none of rows.
        (r#"{"name":"id","type":"int"}"#.to_owned(), long(7), Err(Reason::NotAChange)),
    ] {
        let mut decoder = decoder(&[&fields(&schema)]);
        let decoded = decode(&mut decoder, &[value_of(&bytes)]);
        match expected {
            Ok(row) => assert_eq!(shown(&decoded.batch), [row], "{schema}"),
            Err(reason) => {
                let said = decoded.failure.as_ref().or(decoded.passed_over.first());
                assert_eq!(said.unwrap().reason, reason, "{schema}");
            }
        }
    }
}

fn value_of(bytes: &[u8]) -> Vec<u8> {
    value(1, &[bytes])
}

#[test]
fn rows_of_any_version_follow_each_other() {
    let (v1, v2) = (envelope(V1), envelope(V2));
    for (old_id, new_id, expected) in
        [(1, 2, "id BIGINT, note STRING, total DOUBLE"), (2, 1, "total DOUBLE, id BIGINT, note STRING")]
    {
        let mut decoder = table("").of_changes();
        let mut learn = |id: u8| {
            let schema = if id == old_id { &v1 } else { &v2 };
            decoder.add_schema(SchemaKey::id(u64::from(id)), schema).unwrap();
        };
        learn(1);
        let of = |id: u8, schema, row| written(id, schema, change("u", Json::Null, row));
        let (old, new) = (row(1), json!({"id": 1_i64 << 40, "note": null, "total": 0.5}));
        let values = [of(old_id, &v1, old.clone()), of(new_id, &v2, new), of(old_id, &v1, old)];
        learn(2);
        assert_eq!(columns(&decoder), expected);
        let rows = rows(&mut decoder, &values).into_iter().map(|row| {
            let mut cells: Vec<&str> = row.split(" | ").collect();
            cells.sort_unstable();
            cells.join(" ")
        });
        let big = format!("- 0.5 {}", 1_i64 << 40);
        assert_eq!(rows.collect::<Vec<_>>(), [r#""n1" - 1"#, &big, r#""n1" - 1"#]);
    }
}

/// Names of columns are told as those of rows are: a table that mirrors its schema asks by them.
#[test]
fn a_row_in_an_envelope_fills_columns_of_its_own_names() {
    let mut decoder = table("").of_changes();
    let schema = envelope(V1);
    let passing = Passing { older: ["note".to_owned()].into(), ..Passing::default() };
    let filled = decoder.columns_of(SchemaKey::id(1), &schema, &Passing::default()).unwrap();
    assert_eq!(filled.iter().map(String::as_str).collect::<Vec<_>>(), ["id", "note"]);
    decoder.add_schema_but(SchemaKey::id(1), &schema, Some(&passing)).unwrap();
    let value = written(1, &schema, change("c", Json::Null, row(4)));
    assert_eq!(
        (columns(&decoder).as_str(), rows(&mut decoder, &[value]).as_slice()),
        ("id INT", &["4".to_owned()][..])
    );
}

#[test]
fn a_change_that_was_cut_or_goes_on_is_a_bad_record_whatever_its_op() {
    let schema = envelope(V1);
    let mut decoder = decoder(&[&schema]);
    for op in ["u", "d"] {
        let whole = written(1, &schema, change(op, row(1), row(2)));
        for end in 1..whole.len() {
            let failure = decode(&mut decoder, &[whole[..end].to_vec()]).failure.unwrap();
            assert_eq!(failure.reason, Reason::Truncated, "{op}, {end} bytes");
        }
        let failure = decode(&mut decoder, &[[&whole[..], &[0]].concat()]).failure.unwrap();
        assert_eq!(failure.reason, Reason::TrailingData, "{op}");
    }
    // What is wrong with a row is told by its column; what is wrong around it, by its place.
    let id = r#"{"name":"note","type":"string"}"#;
    let schema = fields(&format!(
        r#"{{"name":"after","type":{{"type":"record","name":"Value","fields":[{id}]}}}},{{"name":"op","type":"string"}}"#
    ));
    decoder.add_schema(SchemaKey::id(3), &schema).unwrap();
    for (bytes, path) in [([string([0xff]), string("c")].concat(), "$.note"), ([long(9), vec![1]].concat(), "$.after")]
    {
        assert_eq!(decode(&mut decoder, &[value(3, &[&bytes])]).failure.unwrap().path, path);
    }
}

#[test]
fn a_schema_whose_rows_are_none_is_refused() {
    let op = r#"{"name":"op","type":"string"}"#;
    for (after, words) in [
        (r#"["null","string"]"#, "the row behind a change (after) is string, not a record"),
        (r#"["null","string","int"]"#, "the row behind a change (after) is union, not a record"),
    ] {
        let schema = fields(&format!(r#"{{"name":"after","type":{after}}},{op}"#));
        assert!(refusal(&mut decoder(&[]), &schema).contains(words), "{after}");
    }
    assert!(refusal(&mut decoder(&[]), &text(r#""string""#)).contains("the schema is string, not a record"));
    // Items that take no bytes: a count alone would keep the reader busy.
    let nulls = fields(&format!(r#"{{"name":"source","type":{{"type":"array","items":"null"}}}},{op}"#));
    assert!(refusal(&mut decoder(&[]), &nulls).contains("source.element is null, which holds nothing"));
}

#[test]
fn a_change_says_what_it_was_and_when_if_it_is_asked() {
    let value =
        r#"{"name":"after","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"int"}]}]}"#;
    let source = r#"{"name":"source","type":["null",{"type":"record","name":"Source","fields":[
        {"name":"name","type":"string"},{"name":"ts_ms","type":"long"},{"name":"ts_ns","type":["null","long"]},
        {"name":"ts_us","type":["null","string"]}]}]}"#;
    let around = r#"{"name":"op","type":"string"},{"name":"ts_ms","type":["null",{"type":"long","logicalType":"timestamp-millis"}]}"#;
    let schema = fields(&format!("{value},{source},{around}"));
    let send = |op: &str, source: Json, ts_ms: Json| {
        let after = if op == "d" { Json::Null } else { json!({"id": 1}) };
        written(1, &schema, json!({"after": after, "source": source, "op": op, "ts_ms": ts_ms}))
    };
    let source = |ts_ms: i64, ts_ns: Json| json!({"name": "pg", "ts_ms": ts_ms, "ts_ns": ts_ns, "ts_us": "5"});
    let values = [
        send("r", source(7, json!(null)), json!(9)),
        send("d", source(7, json!(7_002_999)), json!(9)),
        send("u", source(0, json!(null)), json!(9)),
        send("c", json!(null), json!(null)),
        send("t", json!(null), json!(11)),
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
}

#[test]
fn a_change_says_where_in_its_source_it_was() {
    for (members, source, position) in [
        (r#"{"name":"lsn","type":["null","long"]}"#, json!({"lsn": 7}), Some(7)),
        (r#"{"name":"lsn","type":["null","long"]}"#, json!({"lsn": null}), None),
        (
            r#"{"name":"file","type":"string"},{"name":"pos","type":"long"}"#,
            json!({"file": "mysql-bin.000003", "pos": 4}),
            Some(12_884_901_892),
        ),
        (r#"{"name":"scn","type":["null","string"]}"#, json!({"scn": "16549837"}), Some(16_549_837)),
        (r#"{"name":"ts_ms","type":"long"}"#, json!({"ts_ms": 9}), Some(9)),
    ] {
        let schema = fields(&format!(
            r#"{{"name":"source","type":{{"type":"record","name":"Source","fields":[{members}]}}}},
               {{"name":"op","type":"string"}},{{"name":"after","type":["null",{{"type":"record","name":"Value","fields":
               [{{"name":"id","type":"int"}}]}}]}}"#
        ));
        let mut decoder = table("").telling_origins();
        decoder.add_schema(SchemaKey::id(1), &schema).unwrap();
        let values = [written(1, &schema, json!({"source": source, "op": "d", "after": null}))];
        let values = records(&values.iter().map(Some).collect::<Vec<_>>());
        let decoded = decoder.decode_from(&values, 0, BadRecords::PassOver);
        assert_eq!(decoded.origins.of(0).position, position, "{source}");
    }
}
