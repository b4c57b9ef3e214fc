//! Records by registered schemas: written by Confluent's serializers, with our registry and with another house's.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tableflow_connectors::registry::client::{ClientOptions, Credentials};
use tableflow_connectors::registry::conformance;
use tableflow_connectors::registry::{Compatibility, RegistryClient, SchemaRegistry};

use super::KafkaTopic;
use super::registry::Registry;
use crate::product::{Fields, Up, wait_until};

/// Who keeps the schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A service of ours, whose registry everybody asks.
    Ours,
    Theirs,
}

/// A topic whose records are written with registered schemas.
pub struct Registered {
    pub topic: KafkaTopic,
    pub registry: String,
    pub format: &'static str,
    pub ids: &'static str,
    /// Ours: it serves while the test lasts.
    pub service: Option<Up>,
}

pub fn fields(value: &Value) -> Fields {
    value.as_object().unwrap().clone()
}

impl Registered {
    pub fn new(keeper: Keeper, format: &'static str) -> Self {
        Self::with_partitions(1, keeper, format)
    }

    pub fn with_partitions(partitions: u32, keeper: Keeper, format: &'static str) -> Self {
        let mut topic = KafkaTopic::new(partitions, &json!({}));
        let (registry, service) = match keeper {
            Keeper::Ours => {
                let up = topic.product.up();
                (up.registry(), Some(up))
            }
            Keeper::Theirs => {
                let registry = Registry::shared().url();
                topic.product.ask_registry(&registry);
                (registry, None)
            }
        };
        Registered { topic, registry, format, ids: "prefix", service }
    }

    fn level(&self, level: &str) {
        self.topic.ask("registered_level", json!({"registry": self.registry, "level": level}));
    }

    /// Values with the fields that their rows must have.
    fn send(&self, batches: &[(&Value, &[Value])]) {
        let rows: Vec<Fields> = batches.iter().flat_map(|(_, values)| values.iter().map(fields)).collect();
        self.send_as(batches, rows);
    }

    fn send_as(&self, batches: &[(&Value, &[Value])], rows: Vec<Fields>) {
        let written = batches.iter().map(|(schema, values)| json!({"schema": schema, "values": values}));
        self.order(json!({"batches": written.collect::<Vec<_>>()}), rows);
    }

    /// What `registered_produce` is asked for, and the rows that come of it: records behind them are none.
    pub fn order(&self, mut order: Value, rows: Vec<Fields>) {
        for (name, value) in [("registry", &*self.registry), ("format", self.format), ("ids", self.ids)] {
            order[name] = json!(value);
        }
        let places = self.topic.ask("registered_produce", order);
        let place = |place: &Value| (place[0].as_u64().unwrap(), place[1].as_u64().unwrap());
        self.topic.product.note_sent(places.as_array().unwrap().iter().map(place).zip(rows));
    }

    /// The table has caught up, by the service where there is one.
    pub fn sync_and_check(&self, replay: &str) {
        match &self.service {
            None => self.topic.product.sync_and_check(replay),
            Some(_) => {
                wait_until(replay, || {
                    let status = self.topic.product.status();
                    assert_ne!(status["status"], "Suspended", "{replay}: {status}");
                    status["rows_committed"] == self.topic.product.records()
                });
                self.topic.product.check(replay);
            }
        }
    }
}

pub fn avro(fields: &str) -> Value {
    json!(format!(r#"{{"type":"record","name":"Order","namespace":"shop","fields":[{fields}]}}"#))
}

const V1: &str = r#"{"name":"id","type":"int"},{"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","PAID"]}},
    {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[
        {"name":"sku","type":"string"},{"name":"n","type":["null","int"],"default":null}]}}}"#;

/// The id is wider, a line has one field more, and there is a note.
const V2: &str = r#"{"name":"note","type":["null","string"],"default":null},{"name":"id","type":"long"},
    {"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","PAID"]}},
    {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[
        {"name":"price","type":["null","double"],"default":null},
        {"name":"sku","type":"string"},{"name":"n","type":["null","int"],"default":null}]}}}"#;

fn first(id: u64) -> Value {
    json!({"id": id, "state": "NEW", "lines": [{"sku": "a", "n": 2}, {"sku": "b", "n": null}]})
}

fn second(id: u64) -> Value {
    json!({"id": id, "state": "PAID", "note": "n", "lines": [{"sku": "c", "n": 1, "price": 0.5}]})
}

/// As a row of the widened table.
fn row(value: &Value) -> Fields {
    let mut row = fields(value);
    for line in row["lines"].as_array_mut().unwrap() {
        line.as_object_mut().unwrap().entry("price").or_insert(Value::Null);
    }
    row
}

fn versions_follow_each_other(keeper: Keeper, ids: &'static str) {
    let registered = Registered { ids, ..Registered::new(keeper, "avro") };
    let what = format!("{keeper:?}, ids in the {ids}");
    let (v1, v2) = (avro(V1), avro(V2));
    let old = [first(1), first(2)];
    registered.send_as(&[(&v1, &old)], old.iter().map(row).collect());
    let plan = registered.topic.product.run(&["enable", &registered.topic.topic, "--dry-run", "-o", "json"]);
    assert_eq!(plan.good("the plan").json()[0]["format"], "avro", "{what}");
    registered.topic.product.enable();
    // Old and new ones in turn, within one batch: columns are added, and the id becomes wider.
    let (new, old) = ([second(1 << 40), second(4)], [first(5)]);
    let rows = [&new[..], &old[..], &new[1..]].concat().iter().map(row).collect();
    registered.send_as(&[(&v2, &new), (&v1, &old), (&v2, &new[1..])], rows);
    registered.sync_and_check(&what);
    let old = [first(6)];
    registered.send_as(&[(&v1, &old)], old.iter().map(row).collect());
    registered.sync_and_check(&what);
    let described = registered.topic.product.run(&["describe", "t", "-o", "json"]).good("describe").json();
    assert_eq!(described["columns"][0], json!({"name": "id", "type": "BIGINT", "nullable": true}), "{what}");
}

#[test]
fn avro_versions_follow_each_other_with_another_houses_registry() {
    versions_follow_each_other(Keeper::Theirs, "prefix");
}

#[test]
fn avro_versions_follow_each_other_with_our_registry() {
    versions_follow_each_other(Keeper::Ours, "prefix");
}

#[test]
fn avro_versions_follow_each_other_by_guids_in_headers() {
    versions_follow_each_other(Keeper::Ours, "header");
}

fn json_schema(properties: &str) -> Value {
    json!(format!(
        r#"{{"$schema":"http://json-schema.org/draft-07/schema#","title":"Order","type":"object","properties":{{{properties}}}}}"#
    ))
}

#[test]
fn json_schemas_declare_the_columns() {
    for keeper in [Keeper::Theirs, Keeper::Ours] {
        let registered = Registered::new(keeper, "json");
        registered.level_if_ours(keeper);
        let v1 = json_schema(r#""id":{"type":"integer"},"total":{"type":"number"}"#);
        let v2 = json_schema(
            r#""id":{"type":"integer"},"total":{"type":"number"},"tags":{"type":"array","items":{"type":"string"}}"#,
        );
        registered.send(&[(&v1, &[json!({"id": 1, "total": 2.5}), json!({"id": 2})])]);
        registered.topic.product.enable();
        registered.send(&[(&v2, &[json!({"id": 3, "tags": ["a", "b"]})]), (&v1, &[json!({"id": 4, "total": 1.0})])]);
        registered.sync_and_check(&format!("JSON Schema, {keeper:?}"));
    }
}

#[test]
fn protobuf_messages_become_rows() {
    for keeper in [Keeper::Theirs, Keeper::Ours] {
        let registered = Registered::new(keeper, "protobuf");
        registered.level_if_ours(keeper);
        let line = json!(["Line", [["sku", "string"], ["n", "int32"]]]);
        let v1 = json!([line, ["Order", [["id", "int64"], ["paid", "bool"], ["line", "Line"]]]]);
        let v2 = json!([line, ["Order", [["id", "int64"], ["paid", "bool"], ["line", "Line"], ["note", "string"]]]]);
        let full = json!({"id": 1, "paid": true, "line": {"sku": "a", "n": 2}});
        registered.send(&[(&v1, std::slice::from_ref(&full))]);
        registered.topic.product.enable();
        let noted = json!({"id": 3, "paid": false, "line": {"sku": "b", "n": 0}, "note": "x"});
        registered.send(&[(&v2, &[noted]), (&v1, &[full])]);
        registered.sync_and_check(&format!("Protobuf, {keeper:?}"));
    }
}

impl Registered {
    /// Ours compares texts of Avro alone: a changed one of another language needs the level NONE.
    pub fn level_if_ours(&self, keeper: Keeper) {
        if keeper == Keeper::Ours {
            self.level("NONE");
        }
    }
}

/// Bad inputs 4 to 6: no id, another first byte, an id that nobody knows.
#[test]
fn records_without_a_known_schema_are_told_and_can_be_put_aside() {
    let registered = Registered::new(Keeper::Theirs, "avro");
    let product = &registered.topic.product;
    let v1 = avro(V1);
    let good = [first(1)];
    registered.send_as(&[(&v1, &good)], good.iter().map(fields).collect());
    product.enable();
    product.sync_and_check("a first record");
    let raw = |bytes: &str| json!({"raw": bytes, "partition": 0});
    let bad =
        [("00", "no-schema-id"), ("7b7d", "no-schema-id"), ("0000000063a1", "schema-id-unknown"), ("", "empty-value")];
    let records: Vec<_> = bad.iter().map(|(bytes, _)| raw(bytes)).collect();
    registered.topic.ask("kafka_produce", json!({"records": records}));
    let stopped = product.run(&["sync"]);
    assert!(stopped.stderr.contains("reason=no-schema-id") && stopped.stderr.contains("LOG"), "{}", stopped.stderr);
    product.run(&["update", "t", "--error-handling", "LOG"]).good("update");
    let good = [first(2)];
    registered.send_as(&[(&v1, &good)], good.iter().map(fields).collect());
    product.sync_and_check("bad records put aside");
    let letters = product.rows_by("tableflow", "t__dlq", "bad records put aside");
    let mut seen: Vec<_> =
        letters.iter().map(|letter| (letter["offset"].as_u64(), letter["reason"].as_str())).collect();
    seen.sort_unstable();
    let expected: Vec<_> = bad.iter().zip(1..).map(|((_, reason), offset)| (Some(offset), Some(*reason))).collect();
    assert_eq!(seen, expected);
    assert!(letters.iter().any(|letter| letter["value_schema"] == "id 99"), "{letters:?}");
    assert_eq!(product.status()["rows_dead_lettered"], bad.len());
}

/// What our own registry judges so, as far as the two agree.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_houses_registry_judges_changes_alike() {
    let url = Registry::shared().url();
    let client = RegistryClient::new(ClientOptions::new(&url, Credentials::None).unwrap()).unwrap();
    let judged = conformance::levels(&client, "levels").await;
    judged.unwrap_or_else(|error| panic!("{}", error.report()));
}

/// A schema that no table can hold is for a person to decide about, whatever becomes of bad records.
#[test]
fn n14_a_schema_that_fits_no_table_suspends_it_behind_the_rows_before() {
    let registered = Registered::new(Keeper::Theirs, "avro");
    let (v1, values) = (avro(V1), [first(1), first(2)]);
    let recursive = avro(r#"{"name":"id","type":"int"},{"name":"next","type":["null","shop.Order"],"default":null}"#);
    registered.send_as(&[(&v1, &values[..1])], values[..1].iter().map(fields).collect());
    let topic = &registered.topic;
    topic.product.run(&["enable", &topic.topic, "--table", "t", "--error-handling", "SKIP"]).good("enable");
    registered.send_as(&[(&v1, &values[1..])], values[1..].iter().map(fields).collect());
    let rows = topic.product.records();
    registered.send_as(&[(&recursive, &[json!({"id": 3, "next": null})])], Vec::new());
    let stopped = topic.product.run(&["sync"]);
    assert!(stopped.stderr.contains("record shop.Order contains itself at next"), "{}", stopped.stderr);
    let status = topic.product.status();
    assert_eq!((&status["status"], &status["rows_committed"]), (&json!("Suspended"), &json!(rows)), "{status}");
    assert_eq!(status["rows_skipped"], 0);
    topic.product.check("a schema that fits no table");
}

/// A registry that does not answer is nobody's record's fault: the table waits, and goes on.
#[test]
fn f26_a_registry_that_does_not_answer_loses_and_skips_nothing() {
    let mut registered = Registered::new(Keeper::Theirs, "avro");
    let door = Registry::shared().through_a_door();
    registered.topic.product.ask_registry(&door.url());
    let (v1, v2) = (avro(V1), avro(V2));
    let good = [first(1)];
    registered.send_as(&[(&v1, &good)], good.iter().map(row).collect());
    let topic = &registered.topic;
    topic.product.run(&["enable", &topic.topic, "--table", "t", "--error-handling", "SKIP"]).good("enable");
    topic.product.run(&["sync"]).good("sync");
    let new = [second(2)];
    registered.send_as(&[(&v2, &new)], new.iter().map(row).collect());
    door.set(false);
    let failed = topic.product.run(&["sync"]);
    assert!(failed.stderr.contains("does not answer"), "{}", failed.stderr);
    let status = topic.product.status();
    assert_eq!((&status["rows_skipped"], &status["status"]), (&json!(0), &json!("Pending")), "{status}");
    door.set(true);
    registered.sync_and_check("the registry answers again");
}

/// A wrong address answers that there is no such page: no word about a schema, so nothing is put aside for it.
#[test]
fn f26_a_page_that_is_not_there_is_no_schema_that_is_unknown() {
    let mut registered = Registered::new(Keeper::Theirs, "avro");
    let door = Registry::shared().through_a_door();
    registered.topic.product.ask_registry(&door.url());
    let (v1, v2) = (avro(V1), avro(V2));
    let good = [first(1)];
    registered.send_as(&[(&v1, &good)], good.iter().map(row).collect());
    let topic = &registered.topic;
    topic.product.run(&["enable", &topic.topic, "--table", "t", "--error-handling", "SKIP"]).good("enable");
    topic.product.run(&["sync"]).good("sync");
    let new = [second(2)];
    registered.send_as(&[(&v2, &new)], new.iter().map(row).collect());
    // Of a proxy, and of a registry whose root is elsewhere.
    for body in ["<html>", r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#] {
        door.answer_404(Some(body));
        let failed = topic.product.run(&["sync"]);
        assert!(!failed.status.success(), "{body}");
        let status = topic.product.status();
        assert_eq!((&status["rows_skipped"], &status["rows_committed"]), (&json!(0), &json!(1)), "{body}: {status}");
        topic.product.run(&["resume", "t"]).good("resume");
    }
    door.answer_404(None);
    registered.sync_and_check("the address is right again");
}

/// Ids of another registry mean other schemas: a table asks the one that it was enabled with.
#[test]
fn a_table_is_not_filled_with_the_schemas_of_another_registry() {
    let mut registered = Registered::new(Keeper::Theirs, "avro");
    let v1 = avro(V1);
    let good = [first(1), first(2)];
    registered.send_as(&[(&v1, &good)], good.iter().map(fields).collect());
    registered.topic.product.enable();
    let door = Registry::shared().through_a_door();
    registered.topic.product.ask_registry(&door.url());
    let refused = registered.topic.product.run(&["sync"]);
    assert!(refused.stderr.contains(&Registry::shared().url()), "{}", refused.stderr);
    assert!(refused.stderr.contains(&door.url()) && refused.stderr.contains("hint"), "{}", refused.stderr);
    registered.topic.product.ask_registry(&Registry::shared().url());
    registered.sync_and_check("the registry that it was enabled with");
}

/// Another house's registry is asked too, in its own way, and nothing is remembered of what was asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_checked_with_another_houses_registry_and_nothing_is_written() {
    let registered = Registered::new(Keeper::Theirs, "avro");
    let good = [first(1)];
    registered.send_as(&[(&avro(V1), &good)], good.iter().map(fields).collect());
    let topic = &registered.topic;
    topic.product.enable();
    let client = RegistryClient::new(ClientOptions::new(&registered.registry, Credentials::None).unwrap()).unwrap();
    let subject = format!("{}-value", topic.topic);
    client.set_compatibility(Some(&subject), Compatibility::Backward).await.unwrap();
    let schemas = || {
        let mut files: Vec<_> = walk(&topic.product.directory().join("state"));
        files.sort();
        files
    };
    let before = schemas();
    let another_type = avro(&V1.replacen(r#""type":"int""#, r#""type":"string""#, 1));
    let cases = [
        (avro(V1), &[][..], "registered", "unchanged", 0),
        (avro(V2), &[], "compatible", "evolves", 0),
        (avro(V2), &["--subject", "nobodys-value"], "new-subject", "evolves", 0),
        (another_type, &[], "incompatible", "suspends", 3),
        (json!("{\"type\":"), &[], "invalid", "suspends", 3),
    ];
    for (schema, words, verdict, outcome, code) in cases {
        let file = topic.product.directory().parent().unwrap().join(format!("{subject}.avsc"));
        std::fs::write(&file, schema.as_str().unwrap()).unwrap();
        let done =
            topic.product.run(&[&["schema", "check", "t", file.to_str().unwrap(), "-o", "json"], words].concat());
        assert_eq!(done.status.code(), Some(code), "{schema}: {}", done.stderr);
        let said = done.json();
        assert_eq!(
            (&said["registry"]["verdict"], &said["table"]["outcome"]),
            (&json!(verdict), &json!(outcome)),
            "{said}"
        );
        std::fs::remove_file(&file).unwrap();
    }
    assert_eq!(schemas(), before);
}

/// All files below a directory, and how long they are.
fn walk(directory: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(walk(&entry.path())),
            false => found.push((entry.path(), entry.metadata().unwrap().len())),
        }
    }
    found
}
