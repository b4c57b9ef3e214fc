//! Changes of a database by registered schemas, as Debezium's connectors send them: the table has the rows that the
//! database has.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::formats::{Keeper, Registered};
use crate::changes::{Changes, NOT_SENT};
use crate::product::{Fields, READERS, wait_until};

/// What a row is at the source: its value, and its day, where its schema had one.
type Source = BTreeMap<i64, (i64, Option<i64>)>;

/// The schemas of a topic.
struct Schemas {
    key: Value,
    /// A later one has a field more in its rows.
    versions: [Value; 2],
}

impl Schemas {
    fn of(format: &str) -> Self {
        match format {
            "avro" => Schemas { key: json!(AVRO_KEY), versions: [avro(""), avro(AVRO_DAY)] },
            "protobuf" => {
                Schemas { key: json!([["Key", [["id", "int64"]]]]), versions: [protobuf(&[]), protobuf(&["day"])] }
            }
            _ => Schemas { key: json!(JSON_KEY), versions: [json_schema(""), json_schema(JSON_DAY)] },
        }
    }
}

const AVRO_KEY: &str =
    r#"{"type":"record","name":"Key","namespace":"pg.orders","fields":[{"name":"id","type":"long"}]}"#;
const AVRO_DAY: &str = r#",{"name":"day","type":["null","long"],"default":null}"#;
const JSON_KEY: &str = r#"{"title":"pg.orders.Key","type":"object","properties":{"id":{"type":"integer"}}}"#;
const JSON_DAY: &str = r#","day":{"type":"integer"}"#;

/// The row behind a change goes by the name of the type that the row before it defined.
fn avro(more: &str) -> Value {
    let value = format!(
        r#"{{"type":"record","name":"Value","fields":[{{"name":"id","type":"long"}},{{"name":"v","type":"long"}},{{"name":"note","type":"string"}}{more}]}}"#
    );
    json!(format!(
        r#"{{"type":"record","name":"Envelope","namespace":"pg.orders","fields":[
            {{"name":"before","type":["null",{value}],"default":null}},
            {{"name":"after","type":["null","Value"],"default":null}},
            {{"name":"source","type":{{"type":"record","name":"Source","namespace":"io.debezium","fields":[
                {{"name":"db","type":"string"}},{{"name":"lsn","type":["null","long"],"default":null}},{{"name":"ts_ms","type":"long"}}]}}}},
            {{"name":"op","type":"string"}},{{"name":"ts_ms","type":["null","long"],"default":null}}]}}"#
    ))
}

fn protobuf(more: &[&str]) -> Value {
    let number = |name: &str| json!([name, "int64"]);
    let more = more.iter().map(|name| number(name));
    let fields: Vec<_> = [number("id"), number("v"), json!(["note", "string"])].into_iter().chain(more).collect();
    let envelope =
        json!([["before", "Value"], ["after", "Value"], ["source", "Source"], ["op", "string"], ["ts_ms", "int64"]]);
    let source = json!([["db", "string"], ["lsn", "int64"], ["ts_ms", "int64"]]);
    json!([["Value", fields], ["Source", source], ["Envelope", envelope]])
}

fn json_schema(more: &str) -> Value {
    let value = format!(
        r#"{{"oneOf":[{{"type":"null"}},{{"title":"Value","type":"object","properties":{{"id":{{"type":"integer"}},"v":{{"type":"integer"}},"note":{{"type":"string"}}{more}}}}}]}}"#
    );
    json!(format!(
        r#"{{"title":"pg.orders.Envelope","type":"object","properties":{{"before":{value},"after":{value},
            "source":{{"type":"object"}},"op":{{"type":"string"}},"ts_ms":{{"type":"integer"}}}}}}"#
    ))
}

/// 22:13:20 of 14 November 2023: all changes are of one transaction.
const COMMITTED_MS: i64 = 1_700_000_000_000;

fn change(op: &str, before: Value, after: Value) -> Value {
    let source = json!({"db": "pg", "lsn": 7, "ts_ms": COMMITTED_MS});
    json!({"before": before, "after": after, "source": source, "op": op, "ts_ms": 5})
}

/// A database's changes, and what it has by now.
struct Database {
    registered: Registered,
    schemas: Schemas,
    changes: Changes,
    source: Source,
    sent: u64,
}

impl Database {
    fn new(keeper: Keeper, format: &'static str) -> Self {
        let registered = Registered::new(keeper, format);
        registered.level_if_ours(keeper);
        let (schemas, changes) = (Schemas::of(format), Changes::by_lot(11).leaving_out());
        Database { registered, schemas, changes, source: Source::new(), sent: 0 }
    }

    /// So many changes by each of these versions, one after the other.
    fn send(&mut self, versions: &[usize], count: usize) {
        let batches: Vec<_> = versions.iter().map(|version| self.batch(*version, count)).collect();
        self.order(batches);
    }

    fn order(&self, batches: Vec<Value>) {
        self.registered.order(json!({"key_format": self.registered.format, "batches": batches}), Vec::new());
    }

    /// A record of this op that is about no row.
    fn order_one(&self, op: &str) {
        let value = change(op, Value::Null, Value::Null);
        let (schema, key_schema) = (&self.schemas.versions[0], &self.schemas.key);
        self.order(vec![json!({"schema": schema, "key_schema": key_schema, "keys": [null], "values": [value]})]);
    }

    fn batch(&mut self, version: usize, count: usize) -> Value {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for line in self.changes.lines(|id| json!({"id": id}), count).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let id = line["key"]["id"].as_i64().unwrap();
            let before = self.source.remove(&id).map(row_of);
            for value in self.values(version, (id, before.map(|row| row(id))), &line["value"]) {
                keys.push(line["key"].clone());
                values.push(value);
            }
        }
        let (schema, key_schema) = (&self.schemas.versions[version], &self.schemas.key);
        json!({"schema": schema, "key_schema": key_schema, "keys": keys, "values": values})
    }

    /// What a connector sends for a change, which the source has from then on.
    fn values(&mut self, version: usize, (id, before): (i64, Option<Value>), value: &Value) -> Vec<Value> {
        self.sent += 1;
        // Not every source sends what was before.
        let image = if self.sent.is_multiple_of(2) { before.clone().unwrap_or_default() } else { Value::Null };
        let image = if version == 0 { without_day(image) } else { image };
        let Some(v) = value["v"].as_i64() else {
            let gone = change("d", image, Value::Null);
            return if self.sent.is_multiple_of(3) { vec![gone] } else { vec![gone, Value::Null] };
        };
        let day = (version == 1).then_some(v % 3);
        self.source.insert(id, (v, day));
        let op = match before {
            Some(_) => "u",
            None if self.sent < 10 => "r",
            None => "c",
        };
        let mut row = row_of((v, day))(id);
        row["note"] = value["note"].clone();
        vec![change(op, image, row)]
    }

    fn enable(&self) {
        self.enable_with(&[]);
    }

    fn enable_with(&self, further: &[&str]) {
        let words = ["--table", "t", "--commit-interval", "50ms", "--format", "debezium"];
        let words = [&["enable", &self.registered.topic.topic], &words[..], further].concat();
        let plan = self.registered.topic.product.run(&[&words[..], &["--dry-run", "-o", "json"]].concat());
        let format = if self.registered.format == "json" { "json-schema" } else { self.registered.format };
        assert_eq!(plan.good("the plan").json()[0]["format"], format);
        self.registered.topic.product.run(&words).good("enable");
    }

    fn rows_by(&self, reader: &str, replay: &str) -> Source {
        let rows = self.registered.topic.product.rows_by(reader, "t", replay);
        let number = |row: &Fields, name: &str| row.get(name).and_then(Value::as_i64);
        let pairs: Vec<_> = rows
            .iter()
            .map(|row| (number(row, "id").unwrap(), (number(row, "v").unwrap(), number(row, "day"))))
            .collect();
        let source: Source = pairs.iter().copied().collect();
        assert_eq!(source.len(), pairs.len(), "{replay}: a key is there twice, read by {reader}");
        source
    }

    /// Those that are known: not every change sends its own.
    fn notes_by(&self, reader: &str, replay: &str) -> BTreeMap<i64, String> {
        let rows = self.registered.topic.product.rows_by(reader, "t", replay);
        let note = |row: &Fields| Some((row["id"].as_i64()?, row.get("note")?.as_str()?.to_owned()));
        rows.iter().filter_map(note).collect()
    }

    /// What the source has, every reader sees.
    fn check(&self, replay: &str) {
        match self.registered.service {
            None => drop(self.registered.topic.product.run(&["sync"]).good(replay)),
            Some(_) => wait_until(replay, || self.rows_by(READERS[0], replay) == self.source),
        }
        for reader in READERS {
            assert_eq!(self.rows_by(reader, replay), self.source, "{replay}, read by {reader}");
            assert_eq!(self.notes_by(reader, replay), self.changes.notes, "{replay}, read by {reader}");
        }
    }
}

/// A row as the source has it.
fn row_of((v, day): (i64, Option<i64>)) -> impl Fn(i64) -> Value {
    move |id| {
        // What was before has no value either that the source keeps by itself.
        let mut row = json!({"id": id, "v": v, "note": NOT_SENT});
        if let Some(day) = day {
            row["day"] = json!(day);
        }
        row
    }
}

fn without_day(mut row: Value) -> Value {
    if let Some(row) = row.as_object_mut() {
        row.remove("day");
    }
    row
}

fn the_table_has_what_the_database_has(keeper: Keeper, format: &'static str) {
    let what = format!("changes in {format}, {keeper:?}");
    let mut database = Database::new(keeper, format);
    database.send(&[0], 30);
    database.enable();
    database.check(&what);
    // Rows have a field more, and those who have it not yet go on writing, within one batch.
    database.send(&[1, 0, 1], 40);
    database.check(&what);
    database.send(&[0, 1], 60);
    database.check(&what);
    assert!(database.source.values().any(|(_, day)| day.is_some()) && database.source.len() > 10, "{what}");
}

#[test]
fn changes_in_avro_make_the_rows_that_a_database_has() {
    the_table_has_what_the_database_has(Keeper::Ours, "avro");
    the_table_has_what_the_database_has(Keeper::Theirs, "avro");
}

#[test]
fn changes_in_protobuf_make_the_rows_that_a_database_has() {
    the_table_has_what_the_database_has(Keeper::Ours, "protobuf");
    the_table_has_what_the_database_has(Keeper::Theirs, "protobuf");
}

#[test]
fn changes_by_a_json_schema_make_the_rows_that_a_database_has() {
    the_table_has_what_the_database_has(Keeper::Ours, "json");
    the_table_has_what_the_database_has(Keeper::Theirs, "json");
}

#[test]
fn versions_say_what_the_change_was_and_when_the_database_made_it_in_every_format() {
    for format in ["avro", "protobuf", "json"] {
        let mut database = Database::new(Keeper::Theirs, format);
        database.send(&[0], 60);
        database.enable_with(&["--delete", "history"]);
        let product = &database.registered.topic.product;
        product.run(&["sync"]).good(format);
        for reader in READERS {
            let rows = product.rows_by(reader, "t", format);
            let said = |row: &Fields, name: &str| row[name].as_str().unwrap().replace(' ', "T");
            let at_once = |row: &Fields| said(row, "__valid_from").starts_with("2023-11-14T22:13:20");
            assert!(rows.iter().all(at_once), "{format}, read by {reader}: {rows:?}");
            let count = |op: &str| rows.iter().filter(|row| said(row, "__op") == op).count();
            let counts = ["r", "c", "u"].map(count);
            assert_eq!(counts.iter().sum::<usize>(), rows.len(), "{format}, read by {reader}");
            assert!(counts.iter().all(|count| *count > 1), "{format}, read by {reader}: {counts:?}");
        }
    }
}

/// Of a table that mirrors its schema; late rows that still have the field are read past it.
#[test]
fn a_column_goes_with_its_field_in_the_row_behind_a_change() {
    for format in ["avro", "protobuf"] {
        let mut database = Database::new(Keeper::Theirs, format);
        database.send(&[1], 30);
        database.enable_with(&["--evolution", "mirror"]);
        database.check(&format!("before, {format}"));
        database.send(&[1, 0, 1], 30);
        for (_, day) in database.source.values_mut() {
            *day = None;
        }
        database.check(&format!("a day less, {format}"));
        let described = database.registered.topic.product.run(&["describe", "t", "-o", "json"]).good("describe").json();
        let has_day = described["columns"].as_array().unwrap().iter().any(|column| column["name"] == "day");
        assert!(!has_day, "{described}");
    }
}

/// What names no key, or is no change, stops the table until a person says otherwise.
#[test]
fn a_truncation_empties_the_table_and_what_is_no_change_of_a_row_is_a_bad_record_in_every_format() {
    for format in ["avro", "protobuf", "json"] {
        let mut database = Database::new(Keeper::Theirs, format);
        database.send(&[0], 20);
        database.enable();
        database.check(format);
        database.order_one("t");
        let gone: Vec<i64> = std::mem::take(&mut database.source).into_keys().collect();
        gone.into_iter().for_each(|id| database.changes.forget(id));
        database.check(&format!("emptied in {format}"));
        database.send(&[0], 20);
        database.order_one("x");
        let product = &database.registered.topic.product;
        let stopped = product.run(&["sync"]);
        assert!(stopped.stderr.contains("not-a-change"), "{format}: {}", stopped.stderr);
        product.run(&["update", "t", "--error-handling", "SKIP"]).good("update");
        database.check(&format!("op x in {format}"));
        assert_eq!(product.status()["rows_skipped"], 1, "{format}");
    }
}

/// A key that is no record names no columns; one may say which ones identify rows.
#[test]
fn a_key_that_is_no_record_identifies_rows_where_a_column_is_named() {
    let mut database = Database::new(Keeper::Theirs, "avro");
    database.schemas.key = json!(r#""long""#);
    let batch = |database: &mut Database, count: usize| {
        let mut batch = database.batch(0, count);
        for key in batch["keys"].as_array_mut().unwrap() {
            *key = key["id"].clone();
        }
        batch
    };
    let first = batch(&mut database, 20);
    database.order(vec![first]);
    let product = &database.registered.topic.product;
    let words = ["enable", &database.registered.topic.topic, "--table", "t", "--format", "debezium"];
    let refused = product.run(&words);
    assert!(refused.stderr.contains("has a key that names columns"), "{}", refused.stderr);
    product.run(&[&words[..], &["--key", "id"]].concat()).good("enable");
    let more = batch(&mut database, 60);
    database.order(vec![more]);
    database.check("keys of one long each");
}
