//! A topic of many types of records: what a person sees of its tables.

use serde_json::{Value, json};

use crate::world::World;

/// A topic of orders and payments, `kind` in a field and in a header.
fn events() -> World {
    let world = World::new();
    world.topic("events", 2);
    let line = |kind: &str, value: Value| json!({"value": value, "headers": {"kind": kind}}).to_string() + "\n";
    let lines = [
        line("order", json!({"kind": "order", "id": 1, "amount": 2.5})),
        line("payment", json!({"kind": "payment", "id": 1, "method": "card"})),
        line("order", json!({"kind": "order", "id": 2})),
    ];
    world.produce_envelopes("events", &lines.concat());
    world
}

#[test]
fn each_type_has_a_table_with_its_own_columns() {
    for by in ["field:kind", "header:kind"] {
        let world = events();
        let said = world.ok(&["enable", "events", "--fan-out", by, "--metadata-columns", "none"]);
        assert!(said.contains(&format!("topic events becomes tables bronze.events__.., one for each {by}")), "{said}");
        world.ok(&["sync"]);
        let columns = |table: &str| {
            let names = world.ok(&["query", &format!("SELECT * FROM {table} LIMIT 1"), "-o", "csv"]);
            let mut names: Vec<String> = names.lines().next().unwrap().split(',').map(str::to_owned).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(columns("events__order"), ["amount", "id", "kind"], "{by}");
        assert_eq!(columns("events__payment"), ["id", "kind", "method"], "{by}");
        assert_eq!(world.numbers("SELECT id FROM events__order ORDER BY id"), [1, 2]);
        let status = world.status("events");
        assert_eq!((&status["rows_committed"], &status["lag"]), (&json!(3), &json!(0)));
        let described = world.json(&["describe", "events"]);
        assert_eq!(described["fan_out"], by);
        let tables: Vec<_> = described["tables"].as_array().unwrap().iter().map(|it| &it["rows_committed"]).collect();
        assert_eq!(tables, [2, 1]);
        let doctor = world.run(&["doctor"]);
        assert!(!doctor.stdout.contains("failed"), "{by}: {doctor:?}");
    }
}

#[test]
fn whoever_says_the_wrong_name_is_told_the_right_one() {
    let world = events();
    world.ok(&["enable", "events", "--fan-out", "field:kind"]);
    world.run(&["history", "events"]).failed(1, &["bronze.events is several tables", "it has none yet"]);
    world.ok(&["sync"]);
    let names = ["bronze.events__order, bronze.events__payment"];
    for verb in ["history", "files"] {
        world.run(&[verb, "events"]).failed(1, &["bronze.events is several tables, one for each type", names[0]]);
        world.ok(&[verb, "events__order"]);
    }
    for table in ["events", "bronze.events", "BRONZE.Events"] {
        let sql = format!("SELECT * FROM {table}");
        world.run(&["query", &sql]).failed(2, &["bronze.events is several tables", names[0]]);
    }
    for words in
        [&["describe"][..], &["status"], &["pause"], &["resume"], &["update", "--evolution", "strict"], &["disable"]]
    {
        let said = ["bronze.events__order is one of the tables of bronze.events", "say bronze.events,"];
        world.run(&[words, &["events__order"]].concat()).failed(1, &said);
    }
    let listed = world.ok(&["list"]);
    for (table, rows) in [("bronze.events ", "3"), ("bronze.events__order ", "2"), ("bronze.events__payment ", "1")] {
        let line = listed.lines().find(|line| line.contains(table)).unwrap_or_else(|| panic!("{table}: {listed}"));
        assert!(line.contains("events ") && line.contains(&format!(" {rows} ")), "{line}");
    }
    assert_eq!(world.json(&["list"]).as_array().unwrap().len(), 1, "one document a definition");
}

#[test]
fn a_fan_out_is_disabled_enabled_and_dropped_as_a_whole() {
    let world = events();
    let enable = ["enable", "events", "--fan-out", "field:kind", "--partition-by", "bucket(4, id)"];
    world.ok(&enable);
    world.ok(&["sync"]);
    world.ok(&["disable", "events"]);
    world.produce("events", "{\"kind\":\"refund\",\"id\":3}\n");
    // As it was, from where it stood.
    assert!(world.ok(&enable).contains("fills again"));
    world.ok(&["sync"]);
    assert_eq!(world.numbers("SELECT count(*) FROM events__order"), [2]);
    assert_eq!(world.numbers("SELECT id FROM events__refund"), [3]);
    world.run(&["enable", "events"]).failed(1, &["is filled by topic events already"]);
    // Another job would bring every row a second time.
    world.run(&["enable", "events", "--table", "events__order"]).failed(1, &["one of several that a fan-out fills"]);
    world.ok(&["disable", "events"]);
    world.run(&["enable", "events", "--fan-out", "header:kind"]).failed(2, &["is fanned out by field:kind already"]);
    world.ok(&["disable", "events", "--drop"]);
    for table in ["events__order", "events__payment", "events__refund", "events__dlq"] {
        world.run(&["query", &format!("SELECT 1 FROM {table}")]).failed(2, &[table]);
    }
    // And anew, from the beginning.
    world.ok(&enable);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("SELECT count(*) FROM events__order"), [2]);
    let snapshot = world.json(&["history", "events__order"])[0]["snapshot_id"].to_string();
    world.ok(&["disable", "events"]);
    world.ok(&["topic", "delete", "events"]);
    world.topic("events", 1);
    world.run(&enable).failed(1, &["was deleted and made again since", "disable bronze.events --drop"]);
    world.run(&["rollback", "events__order", "--to", &snapshot, "--replay"]).failed(1, &["events__order"]);
}

#[test]
fn what_cannot_be_fanned_out_is_said_with_a_way_on() {
    let world = events();
    for (words, said) in [
        (&["--fan-out", "record-name"][..], "records of format json have no names of types"),
        (&["--fan-out", "record"], "does not say what tells the records of a topic apart"),
        (&["--fan-out", "field:a..b"], "does not say what tells the records of a topic apart"),
        (&["--fan-out", "field:kind", "--format", "avro"], "a field of avro cannot tell tables apart"),
    ] {
        world.run(&[&["enable", "events"], words].concat()).failed(2, &[said]);
    }
    // A record that says nothing stops the tables, and those before it are in.
    world.ok(&["enable", "events", "--fan-out", "header:kind"]);
    world.produce("events", "{\"id\":9}\n");
    world.run(&["sync"]).failed(3, &["belongs to no table", "header kind is missing", "--error-handling LOG"]);
    assert_eq!(world.numbers("SELECT id FROM events__order ORDER BY id"), [1, 2]);
    world.ok(&["update", "events", "--error-handling", "LOG"]);
    world.ok(&["sync"]);
    assert_eq!(world.column("SELECT reason FROM events__dlq"), ["no-table"]);
    // Types whose names differ by case alone would be one table to some engines, and one is that of the letters.
    for kind in ["ORDER", "dlq"] {
        let line = json!({"value": {"id": 1}, "headers": {"kind": kind}}).to_string() + "\n";
        world.produce_envelopes("events", &line);
    }
    world.ok(&["sync"]);
    assert_eq!(world.column("SELECT reason FROM events__dlq"), ["no-table"; 3]);
    assert!(world.ok(&["dlq", "list", "events"]).contains("would have another one's name"));
    // A table of that name that somebody else has is never taken.
    let other = World::new();
    other.topic("events", 1);
    other.topic("events__mine", 1);
    other.produce("events__mine", "{\"id\":1}\n");
    other.ok(&["enable", "events__mine"]);
    other.produce("events", "{\"kind\":\"mine\",\"id\":2}\n");
    other.ok(&["enable", "events", "--fan-out", "field:kind"]);
    other.run(&["sync", "events"]).failed(1, &["table bronze.events__mine exists"]);
}

#[test]
fn each_record_of_a_union_has_a_table() {
    let world = World::new();
    world.topic("events", 1);
    let register = |subject: &str, schema: &str, references: &[&str]| {
        let file = world.file("schema.avsc", schema);
        let references: Vec<&str> = references.iter().flat_map(|it| ["--reference", it]).collect();
        let registered = world.json(&[&["schema", "register", subject, &file], references.as_slice()].concat());
        u8::try_from(registered["id"].as_u64().unwrap()).unwrap()
    };
    let record = |name: &str, fields: &str| {
        format!(r#"{{"type":"record","name":"{name}","namespace":"shop","fields":[{fields}]}}"#)
    };
    let id = r#"{"name":"id","type":"int"}"#;
    register("placed", &record("Placed", id), &[]);
    register("paid", &record("Paid", &format!(r#"{id},{{"name":"method","type":"string"}}"#)), &[]);
    let (placed, paid) = ("shop.Placed=placed:1", "shop.Paid=paid:1");
    let both = register("events-value", r#"["null","shop.Placed","shop.Paid"]"#, &[placed, paid]);
    // An id, then the place of the branch, as Avro's small numbers: twice.
    let produce = |schema: u8, value: &[u8]| world.produce_raw("events", &[&[0, 0, 0, 0, schema], value].concat());
    produce(both, &[2, 2]);
    produce(both, &[4, 4, 8, b'c', b'a', b'r', b'd']);
    world.ok(&["enable", "events", "--fan-out", "record-name", "--metadata-columns", "none"]);
    world.ok(&["sync"]);
    assert_eq!(world.rows("SELECT * FROM events__Placed"), [json!({"id": 1})]);
    assert_eq!(world.rows("SELECT * FROM events__Paid"), [json!({"id": 2, "method": "card"})]);

    // Other places of the branches, a wider type, and a type that is new.
    register("placed", &record("Placed", &id.replace("int", "long")), &[]);
    register("refund", &record("Refund", id), &[]);
    let wider = "shop.Placed=placed:2";
    let references = ["shop.Refund=refund:1", wider, paid];
    let union = r#"["null","shop.Refund","shop.Paid","shop.Placed"]"#;
    let file = world.file("next.avsc", union);
    let references_given: Vec<&str> = references.iter().flat_map(|it| ["--reference", it]).collect();
    let check = |table: &str| world.run(&[&["schema", "check", table, &file], references_given.as_slice()].concat());
    check("events").failed(2, &["a union of shop.Refund and shop.Paid and shop.Placed", "describe bronze.events"]);
    assert!(check("events__Placed").succeeded().contains("widened id INT to BIGINT"));
    let all = register("events-value", union, &references);
    for value in [&[2, 6][..], &[6, 8], &[4, 12, 2, b'x']] {
        produce(all, value);
    }
    produce(both, &[2, 14]);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("SELECT id FROM events__Placed ORDER BY id"), [1, 4, 7]);
    assert_eq!(world.numbers("SELECT id FROM events__Paid ORDER BY id"), [2, 6]);
    assert_eq!(world.numbers("SELECT id FROM events__Refund"), [3]);
    assert_eq!(world.column("SELECT arrow_typeof(id) FROM events__Placed LIMIT 1"), ["Int64"]);

    // No record of any type.
    produce(all, &[0]);
    world.run(&["sync"]).failed(3, &["is null, not a record"]);
    world.ok(&["update", "events", "--error-handling", "LOG"]);
    world.ok(&["sync"]);
    assert_eq!(world.column("SELECT reason FROM events__dlq"), ["missing-value"]);
}
