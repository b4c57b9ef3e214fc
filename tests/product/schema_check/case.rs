//! One schema after another: what is said of the second one, and what becomes of the table.
//!
//! Owns [`Case`], and how schemas are registered and records of them are sent.

use serde_json::{Value, json};

use crate::world::{Outcome, World};

/// One schema after another, and what becomes of the table.
pub struct Case {
    name: &'static str,
    /// What is asked of the table beside its topic.
    enable: &'static [&'static str],
    first: Version,
    second: Version,
    registry: &'static str,
    outcome: &'static str,
    /// Change, column, and the type or nothing.
    changes: &'static [(&'static str, &'static str, &'static str)],
    /// The word and the place.
    refusal: Option<(&'static str, Option<&'static str>)>,
}

/// A schema, and the value of a record of it.
#[derive(Clone)]
pub struct Version {
    pub file: &'static str,
    pub schema: String,
    pub value: Vec<u8>,
}

pub fn avro(fields: &str, value: &[u8]) -> Version {
    let schema = format!(r#"{{"type":"record","name":"Order","namespace":"shop","fields":[{fields}]}}"#);
    Version { file: "order.avsc", schema, value: value.to_vec() }
}

/// Of the first message.
pub fn protobuf(fields: &str, value: &[u8]) -> Version {
    let schema = format!("syntax = \"proto3\"; message Order {{ {fields} }}");
    Version { file: "order.proto", schema, value: [&[0], value].concat() }
}

pub fn json_schema(properties: &str, value: &str) -> Version {
    let schema = format!(r#"{{"type":"object","additionalProperties":false,"properties":{{{properties}}}}}"#);
    Version { file: "order.json", schema, value: value.into() }
}

pub const ID: &str = r#"{"name":"id","type":"int"}"#;
pub const LONG_ID: &str = r#"{"name":"id","type":"long"}"#;

impl Case {
    pub fn of(name: &'static str, first: Version, second: Version) -> Self {
        let (enable, changes) = (&[][..], &[][..]);
        Case { name, enable, first, second, registry: "compatible", outcome: "unchanged", changes, refusal: None }
    }

    pub fn enabled(self, enable: &'static [&'static str]) -> Self {
        Case { enable, ..self }
    }

    pub fn changes(self, changes: &'static [(&'static str, &'static str, &'static str)]) -> Self {
        let evolves = changes.iter().any(|(change, ..)| ["added", "widened", "dropped"].contains(change));
        Case { changes, outcome: if evolves { "evolves" } else { "unchanged" }, ..self }
    }

    pub fn refused(self, reason: &'static str, path: Option<&'static str>) -> Self {
        Case { outcome: "suspends", refusal: Some((reason, path)), ..self }
    }

    pub fn outcome(self, outcome: &'static str) -> Self {
        Case { outcome, ..self }
    }

    pub fn incompatible(self) -> Self {
        self.registry("incompatible")
    }

    pub fn registry(self, verdict: &'static str) -> Self {
        Case { registry: verdict, ..self }
    }

    pub fn hold(&self) {
        let world = World::new();
        world.topic("orders", 1);
        produce(&world, register(&world, "orders-value", &self.first).succeeded(), &self.first);
        world.ok(&[&["enable", "orders", "--metadata-columns", "none"], self.enable].concat());
        world.ok(&["sync"]);
        let before = columns(&world);
        let verdict = self.foretold(&world);
        assert_eq!(columns(&world), before, "{}: nothing is changed by the question", self.name);
        // What is good goes in where it was asked about, and what is not is refused there, and goes in elsewhere.
        let registered = register(&world, "orders-value", &self.second);
        let registered = match self.registry {
            "incompatible" => {
                registered.failed(3, &["incompatible"]);
                register(&world, "orders-other", &self.second)
            }
            _ => registered,
        };
        produce(&world, registered.succeeded(), &self.second);
        self.happened(&world, &before, &verdict);
    }

    /// What `schema check` says.
    fn foretold(&self, world: &World) -> Value {
        let file = world.file(self.second.file, &self.second.schema);
        let said = world.run(&["schema", "check", "orders", &file, "-o", "json"]);
        let verdict: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}: {said:?}", self.name));
        assert_eq!(verdict["registry"]["verdict"], self.registry, "{}: {verdict}", self.name);
        let table = &verdict["table"];
        assert_eq!(table["outcome"], self.outcome, "{}: {verdict}", self.name);
        let changes: Vec<_> = table["changes"].as_array().unwrap().iter().collect();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let seen: Vec<_> = changes.iter().map(|it| [&it["change"], &it["column"], &it["to"]].map(text)).collect();
        let expected: Vec<_> = self.changes.iter().map(|(a, b, c)| [a, b, c].map(|it| (*it).to_owned())).collect();
        assert_eq!(seen, expected, "{}", self.name);
        let refusal = &table["refusal"];
        let (reason, path) = self.refusal.map_or((Value::Null, Value::Null), |(word, path)| (json!(word), json!(path)));
        assert_eq!((&refusal["reason"], &refusal["path"]), (&reason, &path), "{}: {verdict}", self.name);
        let good = self.refusal.is_none() && self.registry != "incompatible";
        assert_eq!((said.code, &verdict["good"]), (if good { 0 } else { 3 }, &json!(good)), "{}", self.name);
        verdict
    }

    /// What the table did with the record is what was said.
    fn happened(&self, world: &World, before: &[(String, String)], verdict: &Value) {
        let (name, synced) = (self.name, world.run(&["sync"]));
        let mut expected = before.to_vec();
        for change in verdict["table"]["changes"].as_array().unwrap() {
            let (column, to) = (change["column"].as_str().unwrap(), change["to"].as_str().unwrap_or_default());
            match change["change"].as_str().unwrap() {
                "added" if !column.contains('.') => expected.push((column.to_owned(), to.to_owned())),
                "dropped" if !column.contains('.') => expected.retain(|known| known.0 != column),
                "widened" => expected.iter_mut().filter(|known| known.0 == column).for_each(|it| it.1 = to.to_owned()),
                "added" => {
                    let (row, field) = column.split_once('.').unwrap();
                    let row = expected.iter_mut().find(|known| known.0 == row).unwrap();
                    row.1 = row.1.replace('>', &format!(", {field} {to}>"));
                }
                _ => {}
            }
        }
        assert_eq!(columns(world), expected, "{name}");
        let refusal = &verdict["table"]["refusal"];
        match self.outcome {
            "suspends" => {
                // Of a record's own error the message begins with the id.
                let message = refusal["message"].as_str().unwrap().split(" is ").last().unwrap();
                let said = [message, refusal["reason"].as_str().unwrap()];
                synced.failed(3, &said);
                assert_eq!(world.status("orders")["status"], "Suspended", "{name}");
                assert_eq!(world.numbers("SELECT count(*) FROM orders"), [1], "{name}");
            }
            "puts-aside" => {
                synced.succeeded();
                assert_eq!(json!(world.column("SELECT reason FROM orders__dlq")), json!([refusal["reason"]]), "{name}");
            }
            _ => {
                synced.succeeded();
                assert_eq!(world.numbers("SELECT count(*) FROM orders"), [2], "{name}");
            }
        }
    }
}

pub fn register(world: &World, subject: &str, version: &Version) -> Outcome {
    let file = world.file(version.file, &version.schema);
    let mut words = vec!["schema", "register", subject, &file, "-o", "json"];
    if version.file.ends_with(".json") {
        words.extend(["--type", "json"]);
    }
    world.run(&words)
}

#[track_caller]
pub fn produce(world: &World, registered: String, version: &Version) {
    let registered: Value = serde_json::from_str(&registered).unwrap();
    let id = u8::try_from(registered["id"].as_u64().unwrap()).unwrap();
    let line = [&[0, 0, 0, 0, id], version.value.as_slice()].concat();
    assert!(!line.contains(&b'\n'), "a record is a line");
    world.produce_raw("orders", &line);
}

fn columns(world: &World) -> Vec<(String, String)> {
    let described = world.json(&["describe", "orders"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    described["columns"].as_array().unwrap().iter().map(|it| (text(&it["name"]), text(&it["type"]))).collect()
}
