//! `schema check`: what it says of a schema, and that this is what then happens.
//!
//! Records are written by hand: a zero, the schema's id, and the value's bytes as its format's specification has them.
//!
//! ```text
//!  case     one schema after another: what is said of it, and what becomes of the table
//!  relaxed  columns that are NOT NULL, and the fields of schemas are not
//! ```

mod case;
mod relaxed;

use serde_json::{Value, json};

use crate::world::World;
use case::{Case, ID, LONG_ID, Version, avro, json_schema, produce, protobuf, register};

const NULLABLE: &str = r#"["null","string"],"default":null"#;
const TEXT: &str = "\"string\"";

/// Of a number, as Avro has it: twice.
const ONE: &[u8] = &[2];
const TWO: &[u8] = &[4];
/// And a text of one character.
const ONE_X: &[u8] = &[2, 2, b'x'];

fn order(value: &[u8]) -> Version {
    avro(ID, value)
}

fn with_note(of: &str, value: &[u8]) -> Version {
    avro(&format!(r#"{ID},{{"name":"note","type":{of}}}"#), value)
}

fn with_zip(further: &str, value: &[u8]) -> Version {
    let inside = format!(r#"{{"name":"street","type":"string"}}{further}"#);
    avro(&format!(r#"{{"name":"address","type":{{"type":"record","name":"Address","fields":[{inside}]}}}}"#), value)
}

fn with_amount(precision: u8) -> Version {
    let decimal = format!(r#"{{"type":"bytes","logicalType":"decimal","precision":{precision},"scale":2}}"#);
    avro(&format!(r#"{{"name":"amount","type":{decimal}}}"#), &[2, 7])
}

#[test]
fn columns_follow_an_avro_schema_as_it_was_said() {
    let aliased = avro(&format!(r#"{ID},{{"name":"total","type":"string","aliases":["note"]}}"#), ONE_X);
    let zip = format!(r#",{{"name":"zip","type":{NULLABLE}}}"#);
    let zip = with_zip(&zip, &[2, b's', 2, 2, b'z']);
    let not_null = &["--columns", "note STRING NOT NULL"];
    let cases = [
        Case::of("a field more", order(ONE), with_note(NULLABLE, &[4, 2, 2, b'x']))
            .changes(&[("added", "note", "STRING")]),
        Case::of("a wider type", order(ONE), avro(LONG_ID, TWO)).changes(&[("widened", "id", "BIGINT")]),
        Case::of("more digits", with_amount(9), with_amount(12)).changes(&[("widened", "amount", "DECIMAL(12, 2)")]),
        Case::of("an alias", with_note(TEXT, ONE_X), aliased).changes(&[("renamed", "note", "")]),
        Case::of("a field less", with_note(TEXT, ONE_X), order(TWO)).changes(&[("kept", "note", "")]),
        Case::of("a field of a row", with_zip("", &[2, b's']), zip).changes(&[("added", "address.zip", "STRING")]),
        Case::of("null for NOT NULL", with_note(TEXT, ONE_X), with_note(NULLABLE, &[4, 2, 2, b'y']))
            .enabled(not_null)
            .changes(&[("stays-not-null", "note", "")]),
    ];
    cases.iter().for_each(Case::hold);
}

#[test]
fn an_avro_schema_that_fits_no_table_stops_it_as_it_was_said() {
    let with = |field: &str, value: &[u8]| avro(&format!("{ID},{field}"), value);
    let namesake = with(r#"{"name":"ID","type":"int","default":0}"#, &[2, 2]);
    let ours = with(r#"{"name":"_tableflow_x","type":"int","default":0}"#, &[2, 2]);
    let recursive = with(r#"{"name":"next","type":["null","shop.Order"],"default":null}"#, &[2, 0]);
    let text = avro(r#"{"name":"id","type":"string"}"#, &[2, b'x']);
    let cases = [
        Case::of("another type", order(ONE), text).incompatible().refused("TYPE_MISMATCH", Some("id")),
        Case::of("another case", order(ONE), namesake).refused("FIELD_NAME_CASE_COLLISION", Some("ID")),
        Case::of("a name of ours", order(ONE), ours).refused("RESERVED_NAME", Some("_tableflow_x")),
        Case::of("itself inside", order(ONE), recursive).refused("CYCLIC_TYPE", Some("next")),
    ];
    cases.iter().for_each(Case::hold);
}

#[test]
fn what_was_asked_of_a_table_counts_as_it_was_said() {
    let wider = || avro(LONG_ID, TWO);
    let (strict, mirror) = (&["--evolution", "strict"], &["--evolution", "mirror"]);
    let language = || protobuf("int32 id = 1;", &[8, 1]);
    let cases = [
        Case::of("a column of a strict table", order(ONE), with_note(NULLABLE, &[4, 0]))
            .enabled(strict)
            .refused("COLUMN_ADDED", Some("note")),
        Case::of("a wider one", order(ONE), wider()).enabled(strict).refused("COLUMN_WIDENED", Some("id")),
        Case::of("a wider partition", order(ONE), wider())
            .enabled(&["--partition-by", "bucket(4, id)"])
            .refused("UNSUPPORTED_TYPE_CHANGE", Some("id")),
        Case::of("none for NOT NULL", with_note(TEXT, ONE_X), order(TWO))
            .enabled(&["--columns", "note STRING NOT NULL"])
            .refused("FIELD_DELETED", Some("note")),
        Case::of("a field less of a table that mirrors", with_note(TEXT, ONE_X), order(TWO))
            .enabled(mirror)
            .changes(&[("dropped", "note", "")]),
        Case::of("the same of a partition", with_note(TEXT, ONE_X), order(TWO))
            .enabled(&["--evolution", "mirror", "--partition-by", "note"])
            .refused("FIELD_DELETED", Some("note")),
        Case::of("one that was declared", with_note(TEXT, ONE_X), order(TWO))
            .enabled(&["--evolution", "mirror", "--columns", "note STRING"])
            .changes(&[("kept", "note", "")]),
        Case::of("another language", order(ONE), language()).incompatible().refused("another-format", None),
        Case::of("the same put aside", order(ONE), language())
            .incompatible()
            .enabled(&["--error-handling", "LOG"])
            .refused("another-format", None)
            .outcome("puts-aside"),
    ];
    cases.iter().for_each(Case::hold);
}

#[test]
fn what_is_said_of_a_protobuf_schema_is_what_happens() {
    let (id, one) = ("int32 id = 1;", &[8, 1][..]);
    let named = |name: &str| protobuf(&format!("{id} string {name} = 2;"), &[8, 1, 18, 1, b'x']);
    let cases = [
        Case::of("a field more", protobuf(id, one), named("note")).changes(&[("added", "note", "STRING")]),
        Case::of("another name", named("note"), named("remark")).changes(&[("renamed", "note", "")]),
        Case::of("a field less", named("note"), protobuf(id, one)).changes(&[("kept", "note", "")]),
        Case::of("a wider type", protobuf(id, one), protobuf("int64 id = 1;", &[8, 2]))
            .changes(&[("widened", "id", "BIGINT")]),
        Case::of("another type", protobuf(id, one), protobuf("string id = 1;", &[0x12, 1, b'x']))
            .incompatible()
            .refused("TYPE_MISMATCH", Some("id")),
        Case::of("no field at all", protobuf(id, one), protobuf("", &[])).refused("EMPTY_STRUCT", None),
    ];
    cases.iter().for_each(Case::hold);
}

#[test]
fn what_is_said_of_a_json_schema_is_what_happens() {
    let (id, one) = (r#""id":{"type":"integer"}"#, r#"{"id":1}"#);
    let note = format!(r#"{id},"note":{{"type":"string"}}"#);
    let noted = json_schema(&note, r#"{"id":2,"note":"x"}"#);
    let cases = [
        Case::of("a property more", json_schema(id, one), noted.clone()).changes(&[("added", "note", "STRING")]),
        Case::of("a property less", noted, json_schema(id, one)).incompatible().changes(&[("kept", "note", "")]),
        Case::of("another type", json_schema(id, one), json_schema(r#""id":{"type":"string"}"#, r#"{"id":"x"}"#))
            .incompatible()
            .refused("TYPE_MISMATCH", Some("id")),
        // The registry looks at what readers of the text can read, the table at what its column can hold.
        Case::of("a fraction", json_schema(id, one), json_schema(r#""id":{"type":"number"}"#, r#"{"id":1.5}"#))
            .refused("TYPE_MISMATCH", Some("id")),
        Case::of(
            "null for NOT NULL",
            json_schema(&note, r#"{"id":1,"note":"x"}"#),
            json_schema(&note, r#"{"id":2,"note":"y"}"#),
        )
        .enabled(&["--columns", "note STRING NOT NULL"])
        .registry("registered")
        .changes(&[("stays-not-null", "note", "")]),
    ];
    cases.iter().for_each(Case::hold);
}

/// A table that has taken one record of this schema.
fn table_of(first: &Version, enable: &[&str]) -> World {
    let world = World::new();
    world.topic("orders", 1);
    produce(&world, register(&world, "orders-value", first).succeeded(), first);
    world.ok(&[&["enable", "orders", "--metadata-columns", "none"], enable].concat());
    world.ok(&["sync"]);
    world
}

#[test]
fn a_person_reads_both_verdicts_and_a_script_one_document() {
    let note = r#"{"name":"note","type":"string"}"#;
    let world = table_of(&avro(&format!("{ID},{note}"), &[2, 2, b'x']), &[]);
    let file = world.file(
        "good.avsc",
        avro(&format!(r#"{LONG_ID},{{"name":"ip","type":{{"type":"fixed","name":"Ip","size":4}},"default":""}}"#), &[])
            .schema,
    );
    assert_eq!(
        world.ok(&["schema", "check", "bronze.orders", &file]),
        "subject orders-value: compatible at BACKWARD\n\
         table bronze.orders: would follow\n  \
         added ip BYTES\n  \
         widened id INT to BIGINT\n  \
         kept note: the schema has no such field: null in its rows\n  \
         note: ip fixed(4) becomes BYTES: the table does not keep the length\n"
    );
    let file = world.file("bad.avsc", avro(r#"{"name":"id","type":"string"}"#, &[]).schema);
    let said = world.run(&["schema", "check", "orders", &file]);
    assert_eq!(said.code, 3, "{said:?}");
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines[0], "subject orders-value: incompatible at BACKWARD, the registry would refuse it");
    assert!(lines[1].starts_with("  version 1: ") && lines[1].contains("id"), "{lines:?}");
    assert_eq!(
        lines[2..],
        [
            "table bronze.orders: would stop at its first record",
            "  TYPE_MISMATCH at id: column id is INT, and the schema has string",
            "  detail: a column keeps its type, or becomes wider",
            "  hint: register a schema that keeps the field's type, or enable the topic into another table with --table",
        ]
    );
    let yaml = world.run(&["schema", "check", "orders", &file, "-o", "yaml"]).stdout;
    for line in [
        "topic: orders",
        "subject: orders-value",
        "type: AVRO",
        "good: false",
        "  level: BACKWARD",
        "  table: bronze.orders",
        "  outcome: suspends",
        "    reason: TYPE_MISMATCH",
        "    path: id",
    ] {
        assert!(yaml.lines().any(|it| it == line), "{line}: {yaml}");
    }
    let known =
        world.json(&["schema", "check", "orders", &world.file("v1.avsc", avro(&format!("{ID},{note}"), &[]).schema)]);
    assert_eq!(known["registry"], json!({"verdict": "registered", "level": "BACKWARD", "version": 1, "messages": []}));
    assert_eq!((&known["table"]["outcome"], &known["table"]["changes"]), (&json!("unchanged"), &json!([])));
}

#[test]
fn what_a_schema_refers_to_is_looked_up_in_the_registry() {
    let zip = Version {
        file: "zip.avsc",
        schema: r#"{"type":"record","name":"Zip","namespace":"shop","fields":[{"name":"code","type":"string"}]}"#
            .into(),
        value: Vec::new(),
    };
    let world = table_of(&avro(ID, &[2]), &[]);
    register(&world, "zip-value", &zip).succeeded();
    let file = world.file(
        "with.avsc",
        avro(&format!(r#"{ID},{{"name":"zip","type":["null","shop.Zip"],"default":null}}"#), &[]).schema,
    );
    let check = ["schema", "check", "orders", &file];
    let verdict = world.json(&[&check[..], &["--reference", "shop.Zip=zip-value:1"]].concat());
    assert_eq!(
        verdict["table"]["changes"],
        json!([{"change": "added", "column": "zip", "from": null, "to": "ROW<code STRING>", "detail": null}])
    );
    for words in [&[][..], &["--reference", "shop.Zip=zip-value:7"]] {
        let said = world.run(&[&check[..], words, &["-o", "json"]].concat());
        let verdict: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!((said.code, &verdict["registry"]["verdict"]), (3, &json!("invalid")), "{verdict}");
        assert_eq!(verdict["table"]["refusal"]["reason"], "UNRESOLVED_TYPE_REF", "{verdict}");
    }
}

#[test]
fn a_schema_of_a_topic_that_is_no_table_or_many_is_checked_too() {
    let world = World::new();
    world.topic("orders", 1);
    let v1 = avro(ID, &[2]);
    let file = world.file("order.avsc", &v1.schema);
    let verdict = world.json(&["schema", "check", "orders", &file]);
    assert_eq!(
        (&verdict["registry"]["verdict"], &verdict["table"]["outcome"]),
        (&json!("new-subject"), &json!("new-table"))
    );
    assert_eq!((&verdict["table"]["table"], &verdict["table"]["changes"][0]["to"]), (&Value::Null, &json!("INT")));
    // A table for each type of record: one is there, one is not.
    produce(&world, register(&world, "orders-value", &v1).succeeded(), &v1);
    world.ok(&["enable", "orders", "--fan-out", "record-name"]);
    world.ok(&["sync"]);
    let longer = world.file("longer.avsc", avro(LONG_ID, &[]).schema);
    let other = world.file("other.avsc", v1.schema.replace("Order", "Refund"));
    for (place, file, table, outcome) in [
        ("orders", &file, "bronze.orders__Order", "unchanged"),
        ("orders", &longer, "bronze.orders__Order", "evolves"),
        ("orders__Order", &longer, "bronze.orders__Order", "evolves"),
        ("orders", &other, "bronze.orders__Refund", "new-table"),
    ] {
        let said = world.run(&["schema", "check", place, file, "-o", "json"]).stdout;
        let verdict: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (&verdict["table"]["table"], &verdict["table"]["outcome"]),
            (&json!(table), &json!(outcome)),
            "{verdict}"
        );
    }
}

#[test]
fn what_cannot_be_checked_is_said_with_a_way_on() {
    let world = World::with_table("lines", "{\"id\":1}\n");
    let file = world.file("order.avsc", avro(ID, &[]).schema);
    world.run(&["schema", "check", "lines", &file]).failed(2, &["records of bronze.lines are json", "--columns"]);
    world
        .run(&["schema", "check", "liens", &file])
        .failed(1, &["neither a table nor a topic liens", "did you mean bronze.lines?"]);
    world.run(&["schema", "check", "lines", "missing.avsc"]).failed(2, &["lines"]);
    world.ok(&["enable", "lines", "--table", "again"]);
    world.topic("empty", 1);
    world.run(&["schema", "check", "empty", "missing.avsc"]).failed(2, &["missing.avsc cannot be read"]);
    let untyped = world.file("order.txt", "{}");
    world.run(&["schema", "check", "empty", &untyped]).failed(2, &["does not say what", "--type avro"]);
    // Both tables are fed by the topic, which is called like one of them.
    world.ok(&["disable", "lines"]);
    world.ok(&["enable", "lines", "--table", "third"]);
    world
        .run(&["schema", "check", "lines", &file])
        .failed(2, &["topic lines fills bronze.again and bronze.third", "name one"]);
    let none = world.run(&["schema", "check", "empty", &world.file("bad.avsc", "{")]);
    assert_eq!(none.code, 3, "{none:?}");
    assert!(
        none.stdout.contains("INVALID_SCHEMA") && none.stdout.contains("subject empty-value: no schema"),
        "{none:?}"
    );
}

#[test]
fn a_format_that_the_registry_knows_otherwise_is_refused() {
    let world = World::new();
    world.topic("orders", 1);
    let avro = avro(ID, &[2]);
    register(&world, "orders-value", &avro).succeeded();
    for format in ["protobuf", "json-schema"] {
        world.run(&["enable", "orders", "--format", format]).failed(
            2,
            &[
                &format!("--format {format} is asked for"),
                "topic orders are avro",
                "subject orders-value is AVRO",
                "leave --format out",
            ],
        );
    }
    // The first record says that its schema is of another subject, and the registry's is not about it.
    let proto = protobuf("int32 id = 1;", &[8, 7]);
    produce(&world, register(&world, "orders-shop.Order", &proto).succeeded(), &proto);
    assert!(
        world
            .ok(&["enable", "orders", "--format", "protobuf", "--columns", "id INT", "--dry-run"])
            .contains("protobuf")
    );
    world.topic("others", 1);
    register(&world, "others-value", &avro).succeeded();
    world.ok(&["enable", "others", "--format", "raw"]);
}
