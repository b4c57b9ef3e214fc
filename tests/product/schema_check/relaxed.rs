//! Columns that are NOT NULL, where the schemas of a topic let their fields be null.
//!
//! The table of an Avro topic that another engine has tightened, and whose rows it identifies by their id.

use serde_json::{Value, json};

use super::case::{Version, avro, produce, register};
use crate::python::Engines;
use crate::world::World;

/// An id, a text and a row with a text; each of them null where it may be.
fn order(fields: &[&str], value: &[u8]) -> Version {
    avro(&fields.join(","), value)
}

const ID: &str = r#"{"name":"id","type":"int"}"#;
const NOTE: &str = r#"{"name":"note","type":"string"}"#;
const AT: &str = r#"{"name":"at","type":{"type":"record","name":"At","fields":[{"name":"zip","type":"string"}]}}"#;
const ID_OR_NULL: &str = r#"{"name":"id","type":["null","int"]}"#;
const NOTE_OR_NULL: &str = r#"{"name":"note","type":["null","string"],"default":null}"#;
const AT_OR_NULL: &str =
    r#"{"name":"at","type":{"type":"record","name":"At","fields":[{"name":"zip","type":["null","string"]}]}}"#;

fn send(world: &World, version: &Version) {
    produce(world, register(world, "orders-value", version).succeeded(), version);
}

/// The table with one row; another engine has made its columns NOT NULL.
fn tightened(enable: &[&str]) -> (World, Engines) {
    let world = World::new();
    let engines = world.engines();
    world.topic("orders", 1);
    send(&world, &order(&[ID, NOTE, AT], &[2, 2, b'a', 2, b'b']));
    world.ok(&[&["enable", "orders", "--metadata-columns", "none"], enable].concat());
    world.ok(&["sync"]);
    let tighten = json!([["require", "id"], ["require", "note"], ["require", "at.zip"], ["identify", "id"]]);
    engines.ask("alter", json!({"table": "bronze.orders", "changes": tighten}));
    (world, engines)
}

/// The columns with their ids, and those that take no null.
fn columns(engines: &Engines) -> [Value; 2] {
    ["columns", "required"].map(|what| engines.ask(what, json!({"table": "bronze.orders"})))
}

#[test]
fn a_column_becomes_nullable_with_its_field_and_stays_the_same_column() {
    let (world, engines) = tightened(&[]);
    let before = columns(&engines);
    assert_eq!(before[1], json!(["id", "note", "at.zip"]));

    let loose = order(&[ID_OR_NULL, NOTE_OR_NULL, AT_OR_NULL], &[2, 4, 0, 0]);
    let file = world.file("loose.avsc", &loose.schema);
    let verdict = world.json(&["schema", "check", "orders", &file]);
    let changes: Vec<_> =
        verdict["table"]["changes"].as_array().unwrap().iter().map(|it| [&it["change"], &it["column"]]).collect();
    assert_eq!(
        json!(changes),
        json!([["relaxed", "note"], ["relaxed", "at.zip"], ["stays-not-null", "id"]]),
        "what rows are identified by stays: {verdict}"
    );
    assert_eq!((&verdict["table"]["outcome"], columns(&engines)), (&json!("evolves"), before.clone()));

    // Old and new records of one batch, then a schema without the field at all.
    send(&world, &loose);
    send(&world, &order(&[ID, NOTE, AT], &[6, 2, b'c', 2, b'd']));
    world.ok(&["sync"]);
    send(&world, &order(&[ID_OR_NULL, AT_OR_NULL], &[2, 8, 2, 2, b'e']));
    world.ok(&["sync"]);
    assert_eq!(columns(&engines), [before[0].clone(), json!(["id"])]);
    let row = |id: i64, note: Value, zip: Value| json!({"id": id, "note": note, "at": {"zip": zip}});
    let rows = [
        row(1, json!("a"), json!("b")),
        row(2, Value::Null, Value::Null),
        row(3, json!("c"), json!("d")),
        row(4, Value::Null, json!("e")),
    ];
    assert_eq!(world.rows("select * from orders order by id"), rows);
    assert_eq!(world.numbers("select id from orders where note is null order by id"), [2, 4]);
    assert_eq!(world.numbers("select id from orders where note >= 'a' order by id"), [1, 3]);
    crate::altered::check_documents(&world, &engines, "bronze.orders", &["pyiceberg", "duckdb"]);

    send(&world, &order(&[ID_OR_NULL, NOTE_OR_NULL, AT_OR_NULL], &[0, 0, 0]));
    world.run(&["sync"]).failed(3, &["$.id is null, its column is INT NOT NULL", "missing-value"]);
}

#[test]
fn a_strict_table_keeps_its_columns_not_null() {
    let (world, engines) = tightened(&["--evolution", "strict"]);
    let before = columns(&engines);
    send(&world, &order(&[ID, NOTE_OR_NULL, AT], &[4, 2, 2, b'x', 2, b'y']));
    world.ok(&["sync"]);
    send(&world, &order(&[ID, NOTE_OR_NULL, AT], &[6, 0, 2, b'y']));
    world.run(&["sync"]).failed(3, &["$.note is null, its column is STRING NOT NULL", "missing-value"]);
    assert_eq!((columns(&engines), world.numbers("select id from orders order by id")), (before.clone(), vec![1, 2]));
    // Let them follow, and the record that was refused is a row.
    world.ok(&["update", "orders", "--evolution", "additive"]);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select id from orders where note is null"), [3]);
    assert_eq!(columns(&engines), [before[0].clone(), json!(["id", "at.zip"])]);
}

/// A running table reads records as the table was: it looks again.
#[test]
fn a_column_that_another_engine_makes_not_null_meanwhile_stays_so() {
    let world = World::new();
    let engines = world.engines();
    world.topic("events", 1);
    world.produce("events", "{\"id\":1,\"note\":\"a\"}\n");
    world.ok(&["enable", "events", "--commit-interval", "50ms"]);
    let _service = world.up();
    world.wait_for_status("events", "rows_committed", 1);
    engines.ask("alter", json!({"table": "bronze.events", "changes": [["require", "note"]]}));
    world.produce("events", "{\"id\":2,\"note\":\"b\"}\n");
    world.wait_for_status("events", "rows_committed", 2);
    assert_eq!(engines.ask("required", json!({"table": "bronze.events"})), json!(["note"]));
    world.produce("events", "{\"id\":3}\n");
    let status = world.wait_for_status("events", "status", "Suspended");
    assert!(status.to_string().contains("$.note is missing, its column is STRING NOT NULL"), "{status}");
    assert_eq!(world.numbers("select id from events order by id"), [1, 2]);
}
