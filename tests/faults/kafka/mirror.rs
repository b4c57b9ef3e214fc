//! Tables whose columns mirror the newest schema of their subject.
//!
//! What must be where is said by hand, record by record: a value by the column that it belongs to, `b@1` being another
//! one than `b@3` though both are called `b`. Readers see the columns that are there; the files are looked into by
//! field id.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::formats::{Keeper, Registered, avro};
use crate::product::{Fields, READERS, wait_until};
use crate::python::Engines;

/// Values by column.
type Values = BTreeMap<String, Value>;

struct Mirrored {
    registered: Registered,
    /// By column, its field id.
    ids: BTreeMap<String, u64>,
    /// The columns that the table has.
    columns: BTreeSet<String>,
    rows: BTreeMap<(u64, u64), Values>,
}

fn values(columns: &Value) -> Values {
    columns.as_object().unwrap().clone().into_iter().collect()
}

fn name_of(column: &str) -> &str {
    column.split_once('@').map_or(column, |(name, _)| name)
}

impl Mirrored {
    fn new(keeper: Keeper, format: &'static str) -> Self {
        let registered = Registered::with_partitions(2, keeper, format);
        registered.level_if_ours(keeper);
        let (ids, columns, rows) = Default::default();
        Mirrored { registered, ids, columns, rows }
    }

    fn enable(&self, words: &[&str]) {
        let product = &self.registered.topic.product;
        let asked = ["enable", &self.registered.topic.topic, "--table", "t", "--commit-interval", "50ms"];
        product.run(&[&asked[..], &["--evolution", "mirror"], words].concat()).good("enable");
    }

    /// Records of a schema, and which of their values are in which columns.
    fn send(&mut self, partition: u64, schema: &Value, records: &[(Value, Value)]) {
        self.send_batch(json!({"schema": schema, "partition": partition}), records);
    }

    fn send_batch(&mut self, mut batch: Value, records: &[(Value, Value)]) {
        batch["values"] = records.iter().map(|(written, _)| written.clone()).collect();
        let mut order = json!({"batches": [batch], "key_format": self.registered.format});
        for (name, value) in [("registry", &*self.registered.registry), ("format", self.registered.format)] {
            order[name] = json!(value);
        }
        let places = self.registered.topic.ask("registered_produce", order);
        let place = |place: &Value| (place[0].as_u64().unwrap(), place[1].as_u64().unwrap());
        let rows = records.iter().map(|(_, columns)| values(columns));
        self.rows.extend(places.as_array().unwrap().iter().map(place).zip(rows));
    }

    fn asked(&self, verb: &str, order: Value) -> Value {
        let mut order = order;
        order["table"] = json!("bronze.t");
        Engines::on(self.registered.topic.product.directory()).ask(verb, order)
    }

    /// A new process, or the service where there is one, takes all that is there.
    fn sync(&self, what: &str) {
        let product = &self.registered.topic.product;
        match &self.registered.service {
            None => drop(product.run(&["sync"]).good(what)),
            Some(_) => wait_until(what, || {
                let status = product.status();
                assert_ne!(status["status"], "Suspended", "{what}: {status}");
                status["rows_committed"] == self.rows.len()
            }),
        }
    }

    /// The table has these columns, and every record is where it belongs.
    fn holds(&mut self, columns: &[&str], what: &str) {
        self.sync(what);
        let (every, found) = self.columns_found();
        self.columns = columns.iter().map(|column| (*column).to_owned()).collect();
        let names: BTreeSet<&str> = columns.iter().map(|column| name_of(column)).collect();
        assert_eq!(found.keys().map(String::as_str).collect::<BTreeSet<_>>(), names, "{what}");
        for column in columns {
            let id = found[name_of(column)];
            let known = self.ids.entry((*column).to_owned()).or_insert(id);
            assert_eq!(*known, id, "{what}: the field id of {column}");
        }
        let distinct: BTreeSet<u64> = self.ids.values().copied().collect();
        assert_eq!(distinct.len(), self.ids.len(), "{what}: two columns have one id: {:?}", self.ids);
        self.check_files(&every, what);
        READERS.iter().for_each(|reader| self.check_reader(reader, what));
    }

    /// The field ids of all columns, and of those alone that hold values of records.
    fn columns_found(&self) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
        let every: BTreeMap<String, u64> = serde_json::from_value(self.asked("columns", json!({}))).unwrap();
        let is_around = |name: &str| every.keys().any(|other| other.starts_with(&format!("{name}.")));
        let of_values = every.iter().filter(|(name, _)| !name.starts_with("_tableflow_") && !is_around(name));
        let of_values = of_values.map(|(name, id)| (name.clone(), *id)).collect();
        (every, of_values)
    }

    fn check_files(&self, every: &BTreeMap<String, u64>, what: &str) {
        let by_ids: Vec<Fields> = serde_json::from_value(self.asked("by_ids", json!({}))).unwrap();
        let column_of = |id: &str| self.ids.iter().find(|(_, known)| known.to_string() == id).map(|(column, _)| column);
        let mut seen = BTreeMap::new();
        for row in by_ids {
            let number = |name: &str| row[&every[name].to_string()].as_u64().unwrap();
            let place = (number("_tableflow_partition"), number("_tableflow_offset"));
            let values = row.iter().filter_map(|(id, value)| Some((column_of(id)?.clone(), value.clone())));
            assert!(seen.insert(place, values.collect::<Values>()).is_none(), "{what}: {place:?} is there twice");
        }
        assert_eq!(seen, self.rows, "{what}, by field ids {:?}", self.ids);
    }

    fn check_reader(&self, reader: &str, what: &str) {
        let mut seen = BTreeMap::new();
        for mut row in self.registered.topic.product.rows_by(reader, "t", what) {
            let mut number = |name: &str| row.remove(name).unwrap().as_u64().unwrap();
            let place = (number("_tableflow_partition"), number("_tableflow_offset"));
            row.retain(|name, _| !name.starts_with("_tableflow_"));
            let mut values = Values::new();
            flatten("", &Value::Object(row), &mut values);
            seen.insert(place, values);
        }
        let expected: BTreeMap<_, Values> =
            self.rows.iter().map(|(place, values)| (*place, self.shown(values))).collect();
        assert_eq!(seen, expected, "{what}, read by {reader}");
    }

    /// Those of the columns that the table has, by their names.
    fn shown(&self, values: &Values) -> Values {
        let there = values.iter().filter(|(column, _)| self.columns.contains(*column));
        there.map(|(column, value)| (name_of(column).to_owned(), value.clone())).collect()
    }
}

/// A row's values by the whole names of their columns; of rows in a list one value for each.
fn flatten(path: &str, value: &Value, into: &mut Values) {
    let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Null => {}
        Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(&inside(name), value, into)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let names: BTreeSet<&String> = items.iter().filter_map(Value::as_object).flat_map(Fields::keys).collect();
            for name in names {
                let of_items: Vec<Value> = items.iter().map(|item| item[name].clone()).collect();
                if of_items.iter().any(|value| !value.is_null()) {
                    into.insert(inside(&format!("element.{name}")), json!(of_items));
                }
            }
        }
        value => drop(into.insert(path.to_owned(), value.clone())),
    }
}

fn optional(name: &str, avro: &str) -> String {
    format!(r#"{{"name":"{name}","type":["null",{avro}],"default":null}}"#)
}

fn order(fields: &[&str], row: &[&str], line: &[&str]) -> Value {
    let record = |name: &str, fields: &[&str]| {
        let fields: Vec<_> = fields.iter().map(|field| field.to_string()).collect();
        format!(r#"{{"type":"record","name":"{name}","fields":[{}]}}"#, fields.join(","))
    };
    let row = format!(r#"{{"name":"r","type":{}}}"#, record("Row", row));
    let lines = format!(r#"{{"name":"lines","type":{{"type":"array","items":{}}}}}"#, record("Line", line));
    let fields = [fields, &[&row, &lines]].concat();
    avro(&fields.join(","))
}

const ID: &str = r#"{"name":"id","type":"int"}"#;
const X: &str = r#"{"name":"x","type":"int"}"#;
const Y: &str = r#"{"name":"y","type":"int"}"#;
const SKU: &str = r#"{"name":"sku","type":"string"}"#;
const N: &str = r#"{"name":"n","type":"int"}"#;

/// Three versions: `b`, `r.x` and `lines.n` are there, are not, and come back as text.
fn versions() -> [Value; 3] {
    let (b, text) = (optional("b", "\"int\""), optional("b", "\"string\""));
    let (x, n) = (optional("x", "\"string\""), optional("n", "\"string\""));
    [
        order(&[ID, &b, &optional("c", "\"string\"")], &[X, Y], &[SKU, N]),
        order(&[ID, &optional("c", "\"string\"")], &[Y], &[SKU]),
        order(&[ID, &optional("c", "\"string\""), &text], &[&x, Y], &[SKU, &n]),
    ]
}

/// As it is written by the first version, and what of it is in a table that has dropped nothing yet.
fn first(id: u64) -> (Value, Value) {
    let written = json!({"id": id, "b": id * 10, "c": "c", "r": {"x": 1, "y": 2}, "lines": [{"sku": "s", "n": 7}, {"sku": "t", "n": 8}]});
    let columns = json!({"id": id, "b@1": id * 10, "c": "c", "r.x@1": 1, "r.y": 2, "lines.element.sku": ["s", "t"], "lines.element.n@1": [7, 8]});
    (written, columns)
}

/// The same where it is late.
fn late(id: u64) -> (Value, Value) {
    let (written, _) = first(id);
    (written, json!({"id": id, "c": "c", "r.y": 2, "lines.element.sku": ["s", "t"]}))
}

fn second(id: u64) -> (Value, Value) {
    let written = json!({"id": id, "c": "two", "r": {"y": 3}, "lines": [{"sku": "u"}]});
    (written, json!({"id": id, "c": "two", "r.y": 3, "lines.element.sku": ["u"]}))
}

fn third(id: u64) -> (Value, Value) {
    let written =
        json!({"id": id, "c": "three", "b": "text", "r": {"x": "x", "y": 4}, "lines": [{"sku": "v", "n": "n"}]});
    let columns = json!({"id": id, "c": "three", "b@3": "text", "r.x@3": "x", "r.y": 4, "lines.element.sku": ["v"], "lines.element.n@3": ["n"]});
    (written, columns)
}

const FIRST: [&str; 7] = ["id", "b@1", "c", "r.x@1", "r.y", "lines.element.sku", "lines.element.n@1"];
const SECOND: [&str; 4] = ["id", "c", "r.y", "lines.element.sku"];
const THIRD: [&str; 7] = ["id", "b@3", "c", "r.x@3", "r.y", "lines.element.sku", "lines.element.n@3"];

fn columns_go_and_come_back(keeper: Keeper, words: &[&str]) {
    let mut table = Mirrored::new(keeper, "avro");
    let [v1, v2, v3] = versions();
    table.send(0, &v1, &[first(1)]);
    table.send(1, &v1, &[first(2)]);
    table.enable(words);
    table.holds(&FIRST, "the first version");
    // In one batch of one partition forward and backward; the other one has late records alone.
    for (version, records) in [(&v2, [second(3)]), (&v1, [late(4)]), (&v2, [second(5)])] {
        table.send(0, version, &records);
    }
    table.holds(&SECOND, "the second version");
    table.send(1, &v1, &[late(6), late(7)]);
    table.holds(&SECOND, "late records of the first version");
    for (partition, version, record) in [
        (1, &v1, late(8)),
        (1, &v3, third(9)),
        (1, &v1, late(10)),
        (0, &v3, third(11)),
        (0, &v2, second(12)),
        (0, &v1, late(13)),
    ] {
        table.send(partition, version, &[record]);
    }
    table.holds(&THIRD, "the third version");
    table.send(0, &v1, &[late(14)]);
    table.send(1, &v3, &[third(15)]);
    table.send(1, &v2, &[second(16)]);
    table.holds(&THIRD, "late records of both");
}

#[test]
fn avro_columns_go_and_come_back_with_another_houses_registry() {
    columns_go_and_come_back(Keeper::Theirs, &[]);
}

#[test]
fn avro_columns_go_and_come_back_in_a_service_with_dead_letters() {
    columns_go_and_come_back(Keeper::Ours, &["--error-handling", "LOG"]);
}

/// Whoever is behind meets the third version before the second: what was in between counts all the same.
#[test]
fn what_becomes_of_a_column_does_not_depend_on_the_order_of_partitions() {
    for second_first in [true, false] {
        let mut table = Mirrored::new(Keeper::Theirs, "avro");
        let (id, text) = (ID, optional("b", "\"string\""));
        let [v1, v2, v3] = [avro(&[id, &text].join(",")), avro(id), avro(&[&text, id].join(","))];
        let with_b = |id: u64, column: &str| (json!({"id": id, "b": "b"}), json!({"id": id, column: "b"}));
        table.send(0, &v1, &[with_b(1, "b@1")]);
        table.enable(&[]);
        table.holds(&["id", "b@1"], "the first version");
        table.send(0, &v2, &[(json!({"id": 2}), json!({"id": 2}))]);
        if second_first {
            table.holds(&["id"], "the second version");
        }
        table.send(1, &v3, &[with_b(3, "b@3")]);
        table.holds(&["id", "b@3"], "the third version");
    }
}

/// A version that no record has drops nothing, and a table that is made begins with the newest one.
#[test]
fn records_decide_and_a_new_table_has_the_newest_columns() {
    let mut table = Mirrored::new(Keeper::Theirs, "avro");
    let [v1, v2, _] = versions();
    table.send(0, &v1, &[first(1)]);
    table.enable(&[]);
    table.holds(&FIRST, "the first version");
    table
        .registered
        .topic
        .ask("registered_only", json!({"registry": table.registered.registry, "format": "avro", "schema": v2}));
    table.send(1, &v1, &[first(2)]);
    table.holds(&FIRST, "the second version has no record");
    let product = &table.registered.topic.product;
    product.run(&["enable", &table.registered.topic.topic, "--table", "new", "--evolution", "mirror"]).good("enable");
    let columns = product.run(&["describe", "new", "-o", "json"]).good("describe").json()["columns"].clone();
    let names: Vec<_> = columns.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["id", "c", "r", "lines"], "{columns}");
}

/// A column is its part's: what values have had and keys have too does not become the keys'.
#[test]
fn columns_of_keys_stay_whatever_values_drop() {
    let mut table = Mirrored::new(Keeper::Theirs, "avro");
    let (k, b) = (optional("k", "\"int\""), optional("b", "\"int\""));
    let (key, v1, v2) = (avro(&[&*k, &b].join(",")), avro(&[ID, &b].join(",")), avro(ID));
    let batch = |schema: &Value| json!({"schema": schema, "key_schema": key, "keys": [{"k": 7, "b": 8}]});
    table.send_batch(batch(&v1), &[(json!({"id": 1, "b": 2}), json!({"id": 1, "b@1": 2, "k": 7}))]);
    table.enable(&["--key-format", "avro"]);
    table.holds(&["id", "b@1", "k"], "the first version");
    for id in [2, 3] {
        table.send_batch(batch(&v2), &[(json!({"id": id}), json!({"id": id, "k": 7}))]);
        table.holds(&["id", "k"], "the second version");
    }
}

#[test]
fn protobuf_fields_go_and_come_back_and_numbers_are_given_out_again() {
    let mut table = Mirrored::new(Keeper::Theirs, "protobuf");
    let message = |fields: Value| json!([["Order", fields]]);
    let v1 = message(json!([["id", "int64", 1], ["b", "int64", 2], ["old", "string", 3]]));
    // A field of another name with the number of one that is there: the column keeps its name.
    let v2 = message(json!([["id", "int64", 1], ["young", "string", 3]]));
    // The number of the one that was dropped, for another.
    let v3 = message(json!([["id", "int64", 1], ["note", "string", 2], ["b", "string", 5]]));
    table.send(0, &v1, &[(json!({"id": 1, "b": 5, "old": "o"}), json!({"id": 1, "b@1": 5, "old": "o"}))]);
    table.enable(&[]);
    table.holds(&["id", "b@1", "old"], "the first version");
    let renamed = (json!({"id": 2, "young": "y"}), json!({"id": 2, "old": "y"}));
    table.send(1, &v2, &[renamed]);
    table.holds(&["id", "old"], "a field is gone, another renamed");
    table.send(0, &v1, &[(json!({"id": 3, "b": 6, "old": "o"}), json!({"id": 3, "old": "o"}))]);
    table.holds(&["id", "old"], "a late record");
    let came_back = |id: u64| {
        let written = json!({"id": id, "note": "n", "b": "text"});
        (written, json!({"id": id, "note": "n", "b@3": "text"}))
    };
    table.send(0, &v3, &[came_back(4)]);
    table.send(0, &v1, &[(json!({"id": 5, "b": 6, "old": "o"}), json!({"id": 5}))]);
    table.holds(&["id", "note", "b@3"], "what was renamed is gone, another has its name");
    table.send(1, &v2, &[(json!({"id": 6, "young": "y"}), json!({"id": 6}))]);
    table.send(1, &v3, &[came_back(7)]);
    table.holds(&["id", "note", "b@3"], "a late record of the other name");
}

#[test]
fn what_a_json_schema_drops_is_read_past_and_what_records_bring_stays() {
    let schema = |properties: &str| {
        json!(format!(r#"{{"title":"Order","type":"object","properties":{{"id":{{"type":"integer"}}{properties}}}}}"#))
    };
    let mut table = Mirrored::new(Keeper::Theirs, "json");
    let v1 = schema(
        r#","b":{"type":"integer"},"r":{"type":"object","properties":{"x":{"type":"integer"},"y":{"type":"integer"}}}"#,
    );
    let v2 = schema(r#","r":{"type":"object","properties":{"y":{"type":"integer"}}}"#);
    let v3 = schema(r#","b":{"type":"string"},"r":{"type":"object","properties":{"y":{"type":"integer"}}}"#);
    let old = |id: u64| json!({"id": id, "b": 5, "r": {"x": 1, "y": 2}});
    table.send(0, &v1, &[(old(1), json!({"id": 1, "b@1": 5, "r.x": 1, "r.y": 2}))]);
    table.enable(&[]);
    table.holds(&["id", "b@1", "r.x", "r.y"], "the first version");
    // The content is open: a field that was dropped comes back by its schema's word alone, one that nobody dropped does
    // so.
    let open = (json!({"id": 2, "b": true, "r": {"x": "x", "y": 3}, "z": 1}), json!({"id": 2, "r.y": 3, "z": 1}));
    let late = |id: u64| (old(id), json!({"id": id, "r.y": 2}));
    table.send(0, &v2, std::slice::from_ref(&open));
    table.holds(&["id", "r.y", "z"], "the second version");
    table.send(1, &v1, &[late(3)]);
    table.holds(&["id", "r.y", "z"], "a late record");
    let new = (json!({"id": 4, "b": "text", "r": {"y": 4}}), json!({"id": 4, "b@3": "text", "r.y": 4}));
    for (partition, version, record) in [(1, &v3, new), (1, &v1, late(5)), (1, &v2, open), (0, &v1, late(6))] {
        table.send(partition, version, &[record]);
    }
    table.holds(&["id", "r.y", "z", "b@3"], "the third version");
}
