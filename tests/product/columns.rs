//! Which columns a table has: those that say where a row came from, and whether the others follow the topic.

use serde_json::{Value, json};

use crate::world::World;

const V1: &str = r#"{"type":"record","name":"R","fields":[{"name":"n","type":"int"}]}"#;
const V2: &str = r#"{"type":"record","name":"R","fields":[{"name":"n","type":"int"},{"name":"m","type":["null","int"],"default":null}]}"#;
const WIDER: &str = r#"{"type":"record","name":"R","fields":[{"name":"n","type":"long"}]}"#;

fn register(world: &World, subject: &str, schema: &str) -> Value {
    let file = world.file("schema.avsc", schema);
    world.json(&["schema", "register", subject, &file])["id"].clone()
}

/// A record with a schema's id, and these bytes behind it; none may end a line.
fn send(world: &World, topic: &str, id: u8, bytes: &[u8]) {
    world.produce_raw(topic, &[&[0, 0, 0, 0, id], bytes, b"\n"].concat());
}

/// The names of Confluent's columns behind their prefix, and what they hold of the two records of [`with_two_records`].
fn confluents_rows() -> [(&'static str, Value, Value); 9] {
    let hex = |text: &str| json!(text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
    let times = [json!("1969-12-31T23:59:59.999000+00:00"), json!("2023-11-14T22:13:20+00:00")];
    let [before, after] = times;
    [
        ("offset", json!(0), json!(1)),
        ("topic", json!("t"), json!("t")),
        ("partition", json!(0), json!(0)),
        ("headers", json!([["b", null], ["a", "32"]]), json!([])),
        ("leader-epoch", json!(0), json!(0)),
        ("timestamp", before, after),
        ("timestamp-type", json!("CreateTime"), json!("CreateTime")),
        ("raw-key", hex("\"k\""), Value::Null),
        ("raw-value", hex("{\"n\":1}"), hex("{\"n\":2}")),
    ]
}

fn with_two_records() -> World {
    let world = World::new();
    world.topic("t", 1);
    let lines = [
        r#"{"key":"k","value":{"n":1},"headers":[["a","1"],["b",null],["a","2"]],"timestamp":-1}"#,
        r#"{"key":null,"value":{"n":2},"headers":[],"timestamp":1700000000000}"#,
    ];
    world.produce_envelopes("t", &lines.map(|line| format!("{line}\n")).concat());
    world
}

#[test]
fn rows_have_the_metadata_columns_of_confluent_under_either_name() {
    let world = with_two_records();
    for (scheme, prefix) in [("confluent", "$$"), ("cflt", "cflt_metadata_")] {
        world.ok(&["enable", "t", "--table", scheme, "--metadata-columns", scheme]);
        world.ok(&["sync", scheme]);
        assert_eq!(world.json(&["describe", scheme])["metadata_columns"], scheme);
        let spelt = |name: &str| if scheme == "cflt" { name.replace('-', "_") } else { name.to_owned() };
        let columns =
            confluents_rows().map(|(name, first, second)| (format!("{prefix}{}", spelt(name)), first, second));
        let names: Vec<&String> = columns.iter().map(|(name, _, _)| name).collect();
        let first: Value = columns.iter().map(|(name, first, _)| (name.clone(), first.clone())).collect();
        let second: Value = columns.iter().map(|(name, _, second)| (name.clone(), second.clone())).collect();
        for reader in ["pyiceberg", "duckdb"] {
            let order = json!({"reader": reader, "table": format!("bronze.{scheme}"), "columns": names});
            assert_eq!(world.engines().ask("values", order), json!([first, second]), "{scheme} read by {reader}");
        }
        let sql = format!("select n, \"{prefix}offset\" o from {scheme} order by n");
        assert_eq!(world.rows(&sql), [json!({"n": 1, "o": 0}), json!({"n": 2, "o": 1})]);
    }
}

#[test]
fn a_table_keeps_its_metadata_columns_and_their_names() {
    let world = with_two_records();
    for (scheme, other, name) in [("confluent", "cflt", "$$x"), ("cflt", "portable", "cflt_metadata_x")] {
        let enable = ["enable", "t", "--table", scheme];
        world.ok(&[&enable[..], &["--metadata-columns", scheme]].concat());
        world.ok(&["sync", scheme]);
        world.ok(&["disable", scheme]);
        let says = format!("--metadata-columns {other} is not what it has: {scheme}");
        world.run(&[&enable[..], &["--metadata-columns", other]].concat()).failed(2, &[&says]);
        let declared = format!("`{name}` STRING");
        world.run(&[&enable[..], &["--columns", &declared]].concat()).failed(2, &["cannot be declared", name]);
    }
    // Where the columns are others, such a field is one as any.
    world.topic("free", 1);
    world.produce("free", "{\"$$topic\":1,\"cflt_metadata_x\":2}\n");
    world.ok(&["enable", "free"]);
    world.ok(&["sync", "free"]);
    assert_eq!(world.rows("select \"$$topic\" a, cflt_metadata_x b from free"), [json!({"a": 1, "b": 2})]);
    let bound = ["enable", "free", "--table", "bound", "--columns", "n INT", "--metadata-columns", "confluent"];
    world.run(&bound).failed(3, &["$[\"$$topic\"] has a name that begins with $$"]);
}

#[test]
fn a_replayed_letter_has_what_it_holds_and_null_for_the_rest() {
    let world = World::new();
    world.topic("a", 1);
    assert_eq!(register(&world, "a-value", V1), 1);
    send(&world, "a", 1, &[2]);
    send(&world, "a", 2, &[4, 2, 6]);
    world.ok(&["enable", "a", "--error-handling", "LOG", "--metadata-columns", "cflt"]);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select count(*) from a__dlq"), [1]);
    assert_eq!(register(&world, "a-value", V2), 2);
    world.ok(&["dlq", "replay", "a"]);
    let sql = "select n, m, cflt_metadata_offset o, cflt_metadata_timestamp_type k, cflt_metadata_leader_epoch e, \
               cflt_metadata_raw_value l from a order by n";
    let row = |n, m: Value, o, k: Value, e: Value, l: &str| json!({"n": n, "m": m, "o": o, "k": k, "e": e, "l": l});
    assert_eq!(
        world.rows(sql),
        [
            row(1, Value::Null, 0, json!("CreateTime"), json!(0), "AAAAAAEC"),
            row(2, json!(3), 1, Value::Null, Value::Null, "AAAAAAIEAgY=")
        ]
    );
}

#[test]
fn a_strict_table_stops_at_what_would_change_its_columns_until_it_may() {
    let world = World::new();
    world.topic("j", 1);
    world.produce("j", "{\"n\":1}\n{\"n\":2,\"m\":null}\n");
    world.ok(&["enable", "j", "--evolution", "strict"]);
    assert_eq!(world.json(&["describe", "j"])["evolution"], "strict");
    world.ok(&["sync"]);
    world.produce("j", "{\"n\":3,\"m\":4}\n{\"n\":5}\n");
    let says = ["reason=new-column", "$.m has no column", "tableflow update bronze.j --evolution additive"];
    world.run(&["sync"]).failed(3, &says);
    // It is a bad record as any other.
    world.ok(&["update", "j", "--error-handling", "SKIP"]);
    world.ok(&["sync"]);
    assert_eq!(
        (world.column("select n from j order by n"), world.status("j")["rows_skipped"].clone()),
        (vec!["1".into(), "2".into(), "5".into()], json!(1))
    );
    world.ok(&["update", "j", "--evolution", "additive"]);
    world.produce("j", "{\"n\":6,\"m\":7}\n");
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select m from j where m is not null"), [7]);
}

#[test]
fn a_schema_that_would_change_a_strict_table_or_a_partition_column_stops_it() {
    for (columns, newer, bytes, says) in [
        (&["--evolution", "strict"][..], V2, &[4, 2, 6][..], "add column m INT, and the table's evolution is strict"),
        (&["--evolution", "strict"], WIDER, &[4], "make a column wider: n: INT to BIGINT"),
        (&["--partition-by", "bucket(4, n)"], WIDER, &[4], "a column that partitions the table would become wider: n"),
        (&["--partition-by", "n"], WIDER, &[4], "a column that partitions the table would become wider: n"),
    ] {
        let world = World::new();
        world.topic("a", 1);
        register(&world, "a-value", V1);
        send(&world, "a", 1, &[2]);
        world.ok(&[&["enable", "a", "--error-handling", "SKIP"], columns].concat());
        world.ok(&["sync"]);
        register(&world, "a-value", newer);
        // Records of the older schema go on.
        send(&world, "a", 1, &[6]);
        world.ok(&["sync"]);
        send(&world, "a", 2, bytes);
        let hint =
            if columns[0] == "--evolution" { "tableflow update bronze.a --evolution additive" } else { "hint: " };
        world.run(&["sync"]).failed(3, &[says, hint]);
        assert_eq!(world.numbers("select n from a order by n"), [1, 3], "{says}");
        assert_eq!(world.json(&["describe", "a"])["columns"][0]["type"], "INT");
        if columns[0] == "--evolution" {
            world.ok(&["update", "a", "--evolution", "additive"]);
            world.ok(&["sync"]);
            assert_eq!(world.numbers("select n from a order by n"), [1, 2, 3], "{says}");
        }
    }
}
