//! Keys that become columns: by registered schemas, as JSON, as they are.

use serde_json::{Value, json};

use super::KafkaTopic;
use super::formats::{Keeper, Registered, avro, fields};
use super::registry::Registry;
use crate::product::{Done, Fields, wait_until};

/// A key, a value, and the row that comes of them.
type Keyed = (Value, Value, Value);

/// Records written with one schema each of values and of keys.
struct Sent<'a> {
    schema: &'a Value,
    key_schema: &'a Value,
    records: &'a [Keyed],
}

impl Registered {
    fn send_keyed(&self, key_format: &str, batches: &[Sent]) {
        let rows = batches.iter().flat_map(|batch| batch.records.iter().map(|(_, _, row)| fields(row))).collect();
        let batch = |batch: &Sent| {
            let keys: Vec<_> = batch.records.iter().map(|(key, _, _)| key).collect();
            let values: Vec<_> = batch.records.iter().map(|(_, value, _)| value).collect();
            json!({"schema": batch.schema, "key_schema": batch.key_schema, "keys": keys, "values": values})
        };
        let batches: Vec<_> = batches.iter().map(batch).collect();
        self.order(json!({"key_format": key_format, "batches": batches}), rows);
    }

    fn enable_with(&self, arguments: &[&str]) -> Done {
        self.topic.enable_with(arguments)
    }

    fn described(&self) -> Value {
        self.topic.product.run(&["describe", "t", "-o", "json"]).good("describe").json()
    }
}

impl KafkaTopic {
    fn enable_with(&self, arguments: &[&str]) -> Done {
        let all = [&["enable", &self.topic, "--table", "t", "--commit-interval", "50ms"], arguments].concat();
        self.product.run(&all)
    }

    /// Records that become these rows.
    fn send_keyed(&self, records: &[Keyed]) {
        let order: Vec<_> =
            records.iter().map(|(key, value, _)| json!({"partition": 0, "key": key, "value": value})).collect();
        let places = self.ask("kafka_produce", json!({"records": order}));
        let place = |place: &Value| (place[0].as_u64().unwrap(), place[1].as_u64().unwrap());
        let rows = records.iter().map(|(_, _, row)| fields(row));
        self.product.note_sent(places.as_array().unwrap().iter().map(place).zip(rows));
    }

    /// Records that become no rows.
    fn send_raw(&self, records: &Value) {
        self.ask("kafka_produce", json!({"records": records}));
    }

    fn letters(&self, what: &str) -> Vec<Fields> {
        let mut letters = self.product.rows_by("tableflow", "t__dlq", what);
        letters.retain(|letter| letter["replayed"] == false);
        letters.sort_by_key(|letter| letter["offset"].as_u64());
        letters
    }
}

fn key(fields: &str) -> Value {
    json!(format!(r#"{{"type":"record","name":"Key","namespace":"shop","fields":[{fields}]}}"#))
}

const KEY_V1: &str = r#"{"name":"id","type":"string"},{"name":"region","type":"string"}"#;
/// With a shard, and the region may be absent.
const KEY_V2: &str = r#"{"name":"shard","type":["null","int"],"default":null},{"name":"id","type":"string"},{"name":"region","type":"string"}"#;
/// The shard is wider.
const KEY_V3: &str = r#"{"name":"shard","type":["null","long"],"default":null},{"name":"id","type":"string"},{"name":"region","type":"string"}"#;
const VALUE: &str = r#"{"name":"id","type":["null","int"],"default":null},{"name":"total","type":"double"}"#;

/// A key and a value that both have an id, of different types: the row has the value's.
fn order(id: i64, region: &str) -> Keyed {
    let row = json!({"id": id, "total": 0.5, "region": region});
    (json!({"id": format!("k{id}"), "region": region}), json!({"id": id, "total": 0.5}), row)
}

/// The same with a key of a later version.
fn sharded(id: i64, shard: i64) -> Keyed {
    let (mut key, value, mut row) = order(id, "us");
    (key["shard"], row["shard"]) = (json!(shard), json!(shard));
    (key, value, row)
}

fn versions_of_keys(keeper: Keeper, ids: &'static str) {
    let what = format!("keys, {keeper:?}, ids in the {ids}");
    let registered = Registered { ids, ..Registered::new(keeper, "avro") };
    let (schema, [v1, v2, v3]) = (&avro(VALUE), &[KEY_V1, KEY_V2, KEY_V3].map(key));
    let send = |batches: &[(&Value, &[Keyed])]| {
        let batches: Vec<_> =
            batches.iter().map(|(key_schema, records)| Sent { schema, key_schema, records }).collect();
        registered.send_keyed("avro", &batches);
    };
    // One without a key, and one whose value has an id that is null: that is the value's copy too.
    let no_key = (Value::Null, json!({"id": 2, "total": 0.5}), json!({"id": 2, "total": 0.5}));
    let no_id =
        (json!({"id": "k3", "region": "eu"}), json!({"id": null, "total": 1.5}), json!({"total": 1.5, "region": "eu"}));
    send(&[(v1, &[order(1, "eu"), no_key, no_id])]);
    let plan = registered.enable_with(&["--key-format", "auto", "--dry-run", "-o", "json"]).good("the plan").json();
    assert_eq!((&plan[0]["key_format"], &plan[0]["key_columns"]), (&json!("avro"), &json!(["region"])), "{plan}");
    let note = "id is in keys and in values: the column has the value's copy";
    assert!(plan[0]["notes"].as_array().unwrap().contains(&json!(note)), "{plan}");
    let shown = registered.enable_with(&["--key-format", "auto"]).good("enable").stdout;
    assert!(shown.contains("  region STRING, of the key\n") && shown.contains("  keys are avro\n"), "{shown}");
    registered.sync_and_check(&what);
    // Old and new ones in turn, within one batch: a column is added to the table, and becomes wider.
    let old = order(6, "eu");
    send(&[(v2, &[sharded(4, 7)]), (v1, &[order(5, "eu")]), (v3, &[sharded(7, 1 << 40)]), (v1, &[old])]);
    registered.sync_and_check(&what);
    send(&[(v2, &[sharded(8, 9)]), (v1, &[order(9, "eu")])]);
    registered.sync_and_check(&what);
    let described = registered.described();
    assert_eq!(described["key_columns"], json!(["region", "shard"]), "{described}");
    let columns = described["columns"].as_array().unwrap();
    let of = |name: &str| columns.iter().find(|column| column["name"] == name).map(|column| &column["type"]);
    assert_eq!((of("id"), of("shard")), (Some(&json!("INT")), Some(&json!("BIGINT"))), "{described}");
}

#[test]
fn avro_keys_stand_beside_the_values_with_another_houses_registry() {
    versions_of_keys(Keeper::Theirs, "prefix");
}

/// While a service runs: what is new of keys becomes a column under its eyes.
#[test]
fn avro_keys_stand_beside_the_values_by_guids_in_headers() {
    versions_of_keys(Keeper::Ours, "header");
}

#[test]
fn a_key_that_is_no_record_is_the_column_key() {
    let registered = Registered::new(Keeper::Theirs, "avro");
    let (schema, key_schema) = (&avro(VALUE), &json!(r#""long""#));
    let row = |key: i64| (json!(key), json!({"id": 1, "total": 0.5}), json!({"id": 1, "total": 0.5, "key": key}));
    registered.send_keyed("avro", &[Sent { schema, key_schema, records: &[row(1 << 40), row(-1)] }]);
    registered.enable_with(&["--key-format", "avro"]).good("enable");
    registered.sync_and_check("keys of one long each");
}

#[test]
fn protobuf_and_json_schema_keys_are_columns_too() {
    let schema = &avro(VALUE);
    let pair = |tenant: &str| {
        (json!({"tenant": tenant}), json!({"id": 1, "total": 0.5}), json!({"id": 1, "total": 0.5, "tenant": tenant}))
    };
    let message = json!([["Key", [["tenant", "string"]]]]);
    let object = json!(r#"{"title":"Key","type":"object","properties":{"tenant":{"type":"string"}}}"#);
    for (format, key_schema) in [("protobuf", message), ("json", object)] {
        let registered = Registered::new(Keeper::Theirs, "avro");
        let key_schema = &key_schema;
        registered.send_keyed(format, &[Sent { schema, key_schema, records: &[pair("a"), pair("b")] }]);
        registered.enable_with(&["--key-format", "auto"]).good("enable");
        registered.sync_and_check(&format!("keys of {format}"));
    }
}

#[test]
fn json_and_raw_keys_need_no_registry() {
    let topic = KafkaTopic::new(1, &json!({}));
    let keyed =
        |id: i64| (json!({"id": id, "part": "x"}), json!({"id": id + 100}), json!({"id": id + 100, "part": "x"}));
    // What the column of values hides may be anything.
    let odd = (json!({"id": [0.5], "part": "y"}), json!({"id": 1}), json!({"id": 1, "part": "y"}));
    let no_key = (Value::Null, json!({"id": 2}), json!({"id": 2}));
    topic.send_keyed(&[keyed(1), no_key.clone()]);
    topic.enable_with(&["--key-format", "json"]).good("enable");
    // A field that is new in keys, and one that is new in both, of which the value's is kept.
    let more = (json!({"part": "z", "n": 1, "both": "k"}), json!({"id": 3, "both": "v"}));
    let more = (more.0, more.1, json!({"id": 3, "part": "z", "n": 1, "both": "v"}));
    topic.send_keyed(&[keyed(2), odd, more, no_key, (json!(7), json!({"id": 4}), json!({"id": 4, "key": 7}))]);
    topic.product.sync_and_check("JSON keys");
    topic.send_keyed(&[(json!({"both": [1], "n": 2}), json!({"id": 5}), json!({"id": 5, "n": 2})), keyed(3)]);
    topic.product.sync_and_check("JSON keys, read by the next process");

    let topic = KafkaTopic::new(1, &json!({}));
    let raw = |key: &str| (json!(key), json!({"id": 1}), json!({"id": 1, "key": key}));
    topic.send_keyed(&[raw("a b"), raw(""), (Value::Null, json!({"id": 2}), json!({"id": 2}))]);
    topic.enable_with(&["--key-format", "raw", "--key-columns", "`key` STRING"]).good("enable");
    topic.product.sync_and_check("raw keys");
}

/// A partition by a column has its name, also where keys have it too, from the start or later.
#[test]
fn a_table_is_parted_by_a_column_that_keys_and_values_have() {
    let both = |id: i64| (json!({"id": id, "region": "k"}), json!({"region": "v", "zone": "a"}));
    let row = |id: i64| json!({"id": id, "region": "v", "zone": "a"});
    let later = (json!({"id": 9, "zone": "k"}), json!({"region": "v", "zone": "b"}));
    let records = [(both(1), row(1)), (both(2), row(2)), (later, json!({"id": 9, "region": "v", "zone": "b"}))];
    let [first, second, third] = records.map(|((key, value), row)| (key, value, row));
    let topic = KafkaTopic::new(1, &json!({}));
    topic.send_keyed(std::slice::from_ref(&first));
    topic.enable_with(&["--key-format", "json", "--partition-by", "region, zone"]).good("enable");
    topic.product.sync_and_check("JSON keys with the partition's column");
    topic.send_keyed(&[second, third]);
    topic.product.sync_and_check("a later key with the name of another partition's column");

    let registered = Registered::new(Keeper::Ours, "avro");
    let schema = &avro(r#"{"name":"region","type":"string"},{"name":"zone","type":"string"}"#);
    let [v1, v2] = &[
        r#"{"name":"id","type":"int"}"#,
        r#"{"name":"id","type":"int"},{"name":"zone","type":["null","string"],"default":null}"#,
    ]
    .map(key);
    let record = |key: Value, row: Value| (key, json!({"region": "v", "zone": "a"}), row);
    let send = |key_schema: &Value, record: Keyed| {
        registered.send_keyed("avro", &[Sent { schema, key_schema, records: &[record] }]);
    };
    send(v1, record(json!({"id": 1}), row(1)));
    registered.enable_with(&["--key-format", "avro", "--partition-by", "zone"]).good("enable");
    registered.sync_and_check("Avro keys");
    send(v2, record(json!({"id": 2, "zone": "k"}), row(2)));
    registered.sync_and_check("an Avro key that gets the name of the partition's column");
}

/// Bad keys are bad records: told with their place, put aside, and brought back once they can be read.
#[test]
fn a_bad_key_is_told_and_put_aside_and_replayed() {
    let mut registered = Registered::new(Keeper::Theirs, "avro");
    let door = Registry::shared().through_a_door();
    registered.topic.product.ask_registry(&door.url());
    let (schema, v1, v2) = (&avro(VALUE), &key(KEY_V1), &key(KEY_V2));
    registered.send_keyed("avro", &[Sent { schema, key_schema: v1, records: &[order(1, "eu")] }]);
    registered.enable_with(&["--key-format", "avro"]).good("enable");
    registered.sync_and_check("a first record");
    // Written with a schema that the registry seems not to know, behind one that it does.
    door.answer_404(Some(r#"{"error_code":40403,"message":"Schema not found"}"#));
    let unknown = [sharded(2, 7), sharded(3, 8)];
    let v1_again = [order(4, "eu")];
    let topic = &registered.topic;
    registered.send_keyed(
        "avro",
        &[Sent { schema, key_schema: v2, records: &unknown }, Sent { schema, key_schema: v1, records: &v1_again }],
    );
    let stopped = topic.product.run(&["sync"]);
    assert!(stopped.stderr.contains("the key: the schema registry knows no schema of id"), "{}", stopped.stderr);
    topic.product.run(&["update", "t", "--error-handling", "LOG"]).good("update");
    topic.product.run(&["sync"]).good("sync");
    let letters = topic.letters("keys with an unknown schema");
    let seen: Vec<_> =
        letters.iter().map(|it| (it["offset"].as_u64(), it["reason"].as_str(), it["path"].as_str())).collect();
    let letter = |offset| (Some(offset), Some("schema-id-unknown"), Some("key"));
    assert_eq!(seen, [letter(1), letter(2)], "{letters:?}");
    for letter in &letters {
        let schemas = [&letter["key_schema"], &letter["value_schema"]].map(|id| id.as_str().unwrap_or_default());
        assert!(schemas.iter().all(|id| id.starts_with("id ")) && schemas[0] != schemas[1], "{letter:?}");
    }
    door.answer_404(None);
    topic.product.run(&["dlq", "replay", "t"]).good("replay");
    registered.sync_and_check("replayed keys");
    assert_eq!(topic.product.status()["rows_dead_lettered"], 0);
    // No id, another kind of schema's bytes, nothing at all; the value is fine.
    let value = topic.value_of_a_record();
    let bad = [("", "empty-value"), ("7b7d", "no-schema-id"), ("0000", "no-schema-id")];
    let records = bad.map(|(key, _)| json!({"partition": 0, "raw_key": key, "raw": value}));
    topic.send_raw(&json!(records));
    topic.product.run(&["sync"]).good("sync");
    topic.product.check("bad keys");
    let letters = topic.letters("bad keys");
    let seen: Vec<_> = letters.iter().skip(2).map(|it| (it["reason"].as_str(), it["path"].as_str())).collect();
    assert_eq!(seen, bad.map(|(_, reason)| (Some(reason), Some("key"))), "{letters:?}");
    assert!(
        letters.last().unwrap()["message"].as_str().unwrap().starts_with("the key has no schema id"),
        "{letters:?}"
    );
}

impl KafkaTopic {
    /// The bytes of a value that is there, as hexadecimal.
    fn value_of_a_record(&self) -> String {
        let letter = self.letters("a value").into_iter().next().unwrap();
        let bytes = letter["value"].as_str().unwrap().to_owned();
        let query = format!("SELECT encode(decode('{bytes}', 'base64'), 'hex') AS hex");
        let answer = self.product.run(&["query", &query, "-o", "ndjson"]).good("hex").json();
        answer["hex"].as_str().unwrap().to_owned()
    }
}

/// The hint of a key that fits no column is a command, and another table takes it.
#[test]
fn a_key_that_fits_no_column_fits_the_one_that_its_hint_declares() {
    let topic = KafkaTopic::new(1, &json!({}));
    topic.send_keyed(&[(json!({"part": 1}), json!({"id": 1}), json!({"id": 1, "part": "1"}))]);
    topic.enable_with(&["--key-format", "json"]).good("enable");
    topic.send_keyed(&[(json!({"part": "x"}), json!({"id": 2}), json!({"id": 2, "part": "x"}))]);
    let stopped = topic.product.run(&["sync"]);
    assert!(stopped.stderr.contains("key.part is the text \"x\", its column is BIGINT"), "{}", stopped.stderr);
    let told =
        format!("tableflow enable {} --mode append --namespace bronze --table t_2 --key-format json", topic.topic);
    assert!(stopped.stderr.contains(&format!("{told} --key-columns \"part STRING\"")), "{}", stopped.stderr);
    let words: Vec<&str> = told.split(' ').skip(1).chain(["--key-columns", "part STRING"]).collect();
    topic.product.run(&words).good("the command that the hint tells");
    topic.product.run(&["disable", "t"]).good("disable");
    topic.product.run(&["sync"]).good("sync");
    topic.product.check_in(&["t_2"], "keys in a declared column");
}

/// A column is filled from one part of the records: a value that comes to have a key's column is refused.
#[test]
fn a_value_does_not_take_over_a_column_of_the_keys() {
    let topic = KafkaTopic::new(1, &json!({}));
    let keyed = |part: &str, id: i64| (json!({"part": part}), json!({"id": id}), json!({"id": id, "part": part}));
    topic.send_keyed(&[keyed("a", 1)]);
    topic.enable_with(&["--key-format", "json", "--error-handling", "LOG"]).good("enable");
    topic.product.sync_and_check("a first record");
    topic.send_keyed(&[keyed("b", 2)]);
    topic.send_raw(&json!([{"partition": 0, "key": {"part": "c"}, "value": {"id": 3, "Part": "v"}}]));
    topic.send_keyed(&[keyed("d", 4)]);
    topic.product.sync_and_check("a value with the name of a key's column");
    let letters = topic.letters("a value with the name of a key's column");
    let seen: Vec<_> = letters.iter().map(|it| (it["offset"].as_u64(), it["reason"].as_str())).collect();
    assert_eq!(seen, [(Some(2), Some("key-column"))], "{letters:?}");

    let registered = Registered::new(Keeper::Theirs, "avro");
    let (schema, key_schema) = (&avro(VALUE), &key(KEY_V1));
    registered.send_keyed("avro", &[Sent { schema, key_schema, records: &[order(1, "eu")] }]);
    registered.enable_with(&["--key-format", "avro"]).good("enable");
    let schema = &avro(&format!(r#"{VALUE},{{"name":"region","type":["null","string"],"default":null}}"#));
    let (new_key, _, _) = order(2, "us");
    let new = (new_key, json!({"id": 2, "total": 0.5, "region": "v"}), json!({}));
    let rows = registered.topic.product.records();
    let batch = json!({"schema": schema, "key_schema": key_schema, "keys": [new.0], "values": [new.1]});
    registered.order(json!({"key_format": "avro", "batches": [batch]}), Vec::new());
    let stopped = registered.topic.product.run(&["sync"]);
    assert!(stopped.stderr.contains("the records' keys fill column region"), "{}", stopped.stderr);
    assert_eq!(registered.topic.product.status()["rows_committed"], rows);
    registered.topic.product.check("a value's schema with the name of a key's column");
    // Another table takes it from the value, as its first schemas have both.
    let other = ["enable", &registered.topic.topic, "--table", "t2", "--key-format", "avro", "-o", "json"];
    let plan = registered.topic.product.run(&other).good("another table").json();
    assert_eq!(plan[0]["key_columns"], json!([]), "{plan}");
}

/// Fields that are new in keys stop a table that is strict, and no others.
#[test]
fn strict_keys_bring_no_columns() {
    let topic = KafkaTopic::new(1, &json!({}));
    let keyed = |id: i64| (json!({"id": id, "part": "x"}), json!({"id": id}), json!({"id": id, "part": "x"}));
    topic.send_keyed(&[keyed(1)]);
    let strict = ["--key-format", "json", "--evolution", "strict", "--error-handling", "LOG"];
    topic.enable_with(&strict).good("enable");
    let new = (json!({"part": "y", "n": 1}), json!({"id": 2}), json!({"id": 2, "part": "y", "n": 1}));
    topic.send_raw(&json!([{"partition": 0, "key": new.0, "value": new.1}]));
    topic.send_keyed(&[keyed(3)]);
    topic.product.sync_and_check("strict keys");
    let letters = topic.letters("strict keys");
    let seen: Vec<_> = letters.iter().map(|it| (it["reason"].as_str(), it["path"].as_str())).collect();
    assert_eq!(seen, [(Some("new-column"), Some("key.n"))], "{letters:?}");
    topic.product.run(&["update", "t", "--evolution", "additive"]).good("update");
    topic.product.run(&["dlq", "replay", "t"]).good("replay");
    topic.product.note_sent([((0, 1), fields(&new.2))]);
    topic.product.check("strict keys, replayed");
    let described = topic.product.run(&["describe", "t", "-o", "json"]).good("describe").json();
    assert_eq!(described["key_columns"], json!(["part", "n"]), "{described}");
    topic.send_keyed(&[(json!({"n": 5}), json!({"id": 6}), json!({"id": 6, "n": 5}))]);
    topic.product.sync_and_check("strict keys, afterwards");
}

/// Killed before and after a column of keys is kept, a sync fills it from keys all the same.
#[test]
fn a_column_of_keys_stays_one_whatever_dies() {
    for handling in ["SUSPEND", "LOG"] {
        let topic = KafkaTopic::new(1, &json!({}));
        topic.send_keyed(&[(json!({"a": 1}), json!({"id": 1}), json!({"id": 1, "a": 1}))]);
        topic.enable_with(&["--key-format", "json", "--error-handling", handling]).good("enable");
        let points = ["definition-before", "definition-after", "catalog-swap-before", "catalog-swap-after"];
        for (number, point) in (2..).zip(points) {
            let name = format!("n{number}");
            let row = json!({"id": number, (name.clone()): number});
            topic.send_keyed(&[(json!({name: number}), json!({"id": number}), row)]);
            let killed = topic.product.run_until(&["sync"], point, 1);
            assert!(!killed.status.success(), "{point} is not passed");
            topic.product.sync_and_check(&format!("killed at {point}, {handling}"));
        }
        let described = topic.product.run(&["describe", "t", "-o", "json"]).good("describe").json();
        assert_eq!(described["key_columns"], json!(["a", "n2", "n3", "n4", "n5"]), "{described}");
    }
}

/// A service that follows the topic goes on over new columns of keys.
#[test]
fn a_service_takes_in_new_columns_of_keys() {
    let topic = KafkaTopic::new(1, &json!({}));
    topic.send_keyed(&[(json!({"a": 1}), json!({"id": 1}), json!({"id": 1, "a": 1}))]);
    topic.enable_with(&["--key-format", "json"]).good("enable");
    let service = topic.product.up();
    for number in 2..5 {
        let name = format!("n{number}");
        let row = json!({"id": number, (name.clone()): number});
        topic.send_keyed(&[(json!({name: number}), json!({"id": number}), row)]);
        wait_until("the rows are there", || topic.product.status()["rows_committed"] == topic.product.records());
    }
    topic.product.check("new columns of keys under a service");
    drop(service);
}

/// Ids of eight bytes, of values and of keys.
#[test]
fn ids_of_eight_bytes_are_read_where_it_is_asked_for() {
    let mut registered = Registered { ids: "wide", ..Registered::new(Keeper::Theirs, "avro") };
    let (schema, key_schema) = (&avro(VALUE), &key(KEY_V1));
    registered.send_keyed("avro", &[Sent { schema, key_schema, records: &[order(1, "eu"), order(2, "us")] }]);
    let refused = registered.enable_with(&["--key-format", "avro"]);
    assert!(
        refused.stderr.contains("no schema of id 0") && refused.stderr.contains("id_bytes = 8"),
        "{}",
        refused.stderr
    );
    registered.topic.product.set("TABLEFLOW__REGISTRY__ID_BYTES", "8");
    registered.enable_with(&["--key-format", "auto"]).good("enable");
    registered.sync_and_check("ids of eight bytes");
    registered.topic.product.run(&["update", "t", "--error-handling", "LOG"]).good("update");
    registered.topic.send_raw(&json!([{"partition": 0, "raw": "00000000000000"}]));
    registered.topic.product.run(&["sync"]).good("sync");
    let letters = registered.topic.letters("a short one");
    let message = "the value has no schema id: it has 7 bytes, and the schema id before it alone has 9";
    assert_eq!(letters[0]["message"], message, "{letters:?}");
    registered.topic.product.set("TABLEFLOW__REGISTRY__ID_BYTES", "5");
    let refused = registered.topic.product.run(&["list"]);
    assert!(refused.stderr.contains("id_bytes of the registry is neither 4 nor 8"), "{}", refused.stderr);
}

/// What a table cannot have is refused before anything is made.
#[test]
fn what_does_not_go_together_is_refused() {
    let topic = KafkaTopic::new(1, &json!({}));
    topic.send_keyed(&[(json!({"a": 1}), json!({"id": 1}), json!({"id": 1, "a": 1}))]);
    for (arguments, words) in [
        (&["--key-columns", "a INT"][..], "--key-columns is for keys that become columns"),
        (&["--key-format", "json", "--fan-out", "field:id"], "--key-format does not go together with --fan-out"),
        (&["--key-format", "raw", "--key-columns", "a INT"], "raw records have one column, key"),
        (&["--key-format", "json", "--key-columns", "_tableflow_x INT"], "column _tableflow_x cannot be declared"),
        (&["--key-format", "avro"], "the key has no schema id"),
    ] {
        let refused = topic.enable_with(arguments);
        assert!(refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
    }
    topic.enable_with(&["--key-format", "json"]).good("enable");
    topic.product.sync_and_check("json keys");
    topic.product.run(&["disable", "t"]).good("disable");
    for asked in ["raw", "none"] {
        let refused = topic.enable_with(&["--key-format", asked]);
        let words = format!("--key-format {asked} is not what it has: json");
        assert!(refused.stderr.contains(&words), "{}", refused.stderr);
    }
    topic.enable_with(&[]).good("enable again");
    topic.send_keyed(&[(json!({"a": 2}), json!({"id": 2}), json!({"id": 2, "a": 2}))]);
    topic.product.sync_and_check("filled again");
}
