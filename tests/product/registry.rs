//! The embedded schema registry: one, whether the verbs ask the directory or clients ask the service.

use serde_json::{Value, json};

use crate::world::{Outcome, World, outcome};

/// With and without the optional `amount`; the last one has a field that no earlier record has a value for.
const ORDER: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}"#;
const AMOUNT: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"amount","type":["null","double"],"default":null}]}"#;
const NO_DEFAULT: &str =
    r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"amount","type":"double"}]}"#;

/// Registers under `orders-value`, in the registry of this address.
fn register_at(world: &World, url: &str, schema: &str) -> Outcome {
    let file = world.file("order.avsc", schema);
    let mut command = world.command(&["schema", "register", "orders-value", &file, "-o", "json"]);
    outcome(command.env("TABLEFLOW__REGISTRY__URL", url).output().unwrap())
}

#[test]
fn the_service_and_the_verbs_have_one_registry() {
    let (world, elsewhere) = (World::new(), World::new());
    let service = world.up();
    let url = service.url("/registry");
    let registered: Value = serde_json::from_str(&register_at(&elsewhere, &url, ORDER).succeeded()).unwrap();
    assert_eq!((&registered["id"], &registered["version"]), (&json!(1), &json!(1)));
    assert!(!elsewhere.data_dir().exists(), "a registry elsewhere needs no directory here");
    // The verbs read the directory while the service runs, and write into it.
    assert_eq!(world.json(&["schema", "list"])[0]["subject"], "orders-value");
    let file = world.file("amount.avsc", AMOUNT);
    assert_eq!(world.json(&["schema", "register", "orders-value", &file])["version"], 2);
    let (code, body) = service.get("/registry/subjects/orders-value/versions/latest/schema");
    assert_eq!((code, body.as_str()), (200, AMOUNT));
    register_at(&elsewhere, &url, NO_DEFAULT).failed(3, &["field \"amount\" of Order", "make the change compatible"]);
    assert_eq!(service.terminate().code(), Some(0));
    let shown = world.json(&["schema", "show", "orders-value", "--version", "1"]);
    assert_eq!((&shown["schema"], &shown["id"]), (&json!(ORDER), &json!(1)));
    // For people the keys stand as their author wrote them.
    let readable = world.ok(&["schema", "show", "orders-value", "--version", "1"]);
    assert!(readable.find("\"type\": \"record\"") < readable.find("\"fields\""), "{readable}");
    world.run(&["schema", "show", "order-value"]).failed(1, &["not found", "did you mean orders-value?"]);
    let changes = world.json(&["schema", "diff", "orders-value"]);
    assert_eq!((&changes[0]["change"], &changes[0]["path"]), (&json!("added"), &json!("fields.amount")));
    register_at(&elsewhere, &url, ORDER).failed(1, &["does not answer", "check that it runs"]);
}

#[test]
fn what_the_registry_does_not_have_is_said() {
    let world = World::new();
    world.topic("orders", 1);
    world.run(&["schema", "show", "orders-value"]).failed(1, &["Subject 'orders-value' not found", "schema list"]);
    world.run(&["schema", "show", "--id", "7"]).failed(1, &["Schema 7 not found"]);
    world.run(&["schema", "register", "s", "order.txt"]).failed(2, &["order.txt does not say what", "--type avro"]);
    let file = world.file("bad.avsc", "{\"type\":\"record\",\"name\":\"R\"}");
    world.run(&["schema", "register", "s", &file]).failed(2, &["R has no \"fields\"", "mend the schema"]);
}
