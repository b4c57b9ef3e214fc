//! What a consumer is told of a table, held against the map that the producer's changes make.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::changes::Changes;
use crate::days::{a_day_passes, files_below};
use crate::world::World;

/// What a consumer does with what it is told.
#[derive(Default)]
pub struct Audit {
    pub rows: BTreeMap<i64, i64>,
}

impl Audit {
    /// What the consumer is told; each row that goes must be there, each that comes must not.
    pub fn follow(&mut self, world: &World, table: &str) -> Vec<(String, i64, i64)> {
        self.take(&world.ok(&["changes", table, "--consumer", "audit", "-o", "ndjson"]))
    }

    fn take(&mut self, lines: &str) -> Vec<(String, i64, i64)> {
        let mut told = Vec::new();
        for line in lines.lines() {
            let change: Value = serde_json::from_str(line).unwrap();
            let (id, value) = (change["id"].as_i64().unwrap(), change["v"].as_i64().unwrap());
            let kind = change["_change_type"].as_str().unwrap().to_owned();
            match kind.as_str() {
                "INSERT" | "UPDATE_AFTER" => assert_eq!(self.rows.insert(id, value), None, "{change}"),
                _ => assert_eq!(self.rows.remove(&id), Some(value), "{change}"),
            }
            told.push((kind, id, value));
        }
        told
    }
}

fn put(id: i64, value: i64) -> Value {
    json!({"key": id, "value": {"id": id, "v": value}})
}

fn lines(changes: &[Value]) -> String {
    changes.iter().map(|change| format!("{change}\n")).collect()
}

fn snapshots(world: &World, table: &str) -> Vec<Value> {
    world.json(&["history", table]).as_array().unwrap().clone()
}

/// With and without dead letters: epochs that a commit decides, and those that a manifest does.
#[test]
fn a_consumer_is_told_the_whole_table_and_then_each_version_once() {
    for (name, more) in [("plain", &[][..]), ("letters", &["--error-handling", "LOG"][..])] {
        let world = World::new();
        world.topic(name, 1);
        world.produce_envelopes(name, &lines(&[put(1, 10), put(2, 20)]));
        world.ok(&[&["enable", name, "--key", "id"], more].concat());
        world.ok(&["sync"]);
        let mut audit = Audit::default();
        let told = audit.follow(&world, name);
        assert_eq!(told, [("INSERT".to_owned(), 1, 10), ("INSERT".to_owned(), 2, 20)], "{name}");
        assert_eq!(audit.follow(&world, name), [], "nothing changed since");

        let deleted = json!({"key": 2, "value": null});
        let versions = [put(1, 11), put(3, 30), put(1, 12), deleted, put(4, 40), put(3, 31)];
        world.produce_envelopes(name, &lines(&versions));
        world.ok(&["sync"]);
        let due = [
            ("UPDATE_BEFORE", 1, 10),
            ("UPDATE_AFTER", 1, 11),
            ("INSERT", 3, 30),
            ("UPDATE_BEFORE", 1, 11),
            ("UPDATE_AFTER", 1, 12),
            ("DELETE", 2, 20),
            ("INSERT", 4, 40),
            ("UPDATE_BEFORE", 3, 30),
            ("UPDATE_AFTER", 3, 31),
        ];
        let due = due.map(|(kind, id, value)| (kind.to_owned(), id, value));
        // Between two snapshots that are named it is the same.
        let history = snapshots(&world, name);
        let named = ["changes", name, "--from", &history[1]["snapshot_id"].to_string()];
        let named = world.ok(&[&named[..], &["--to", &history[0]["snapshot_id"].to_string(), "-o", "ndjson"]].concat());
        assert_eq!(Audit { rows: audit.rows.clone() }.take(&named), due, "{name}");
        let newest = world.ok(&["changes", name, "-o", "ndjson"]);
        assert_eq!(newest, named, "what the last commit changed");
        let first: Value = serde_json::from_str(named.lines().next().unwrap()).unwrap();
        assert_eq!(first["_commit_snapshot_id"], history[0]["snapshot_id"]);
        assert!(first["_change_rowtime"].as_str().unwrap().starts_with("20"), "{first}");

        assert_eq!(audit.follow(&world, name), due, "{name}");
        assert_eq!(audit.follow(&world, name), [], "{name}");
    }
}

#[test]
fn whatever_is_done_to_a_table_its_consumer_ends_where_it_is() {
    let world = World::new();
    let mut producer = Changes::by_lot(5);
    world.topic("t", 2);
    world.produce_envelopes("t", &producer.lines(|id| json!(id), 30));
    world.ok(&["enable", "t", "--key", "id", "--partition-by", "day"]);
    world.ok(&["sync"]);
    let mut audit = Audit::default();
    audit.follow(&world, "t");
    for step in 0..4 {
        for _ in 0..step {
            world.produce_envelopes("t", &producer.lines(|id| json!(id), 30));
            world.ok(&["sync"]);
        }
        world.ok(&["compact", "t"]);
        audit.follow(&world, "t");
        assert_eq!(audit.rows, producer.expected, "step {step}");
    }

    // Back, which tells the difference of both snapshots, and on again.
    let old = snapshots(&world, "t").last().unwrap()["snapshot_id"].to_string();
    let then: Vec<Value> = world.rows(&format!("select id, v from bronze.t for version as of {old}"));
    world.ok(&["rollback", "t", "--to", &old, "--replay"]);
    let told = audit.follow(&world, "t");
    assert!(!told.is_empty());
    let then: BTreeMap<i64, i64> =
        then.iter().map(|row| (row["id"].as_i64().unwrap(), row["v"].as_i64().unwrap())).collect();
    assert_eq!(audit.rows, then, "the consumer went back with the table");
    world.ok(&["resume", "t"]);
    world.ok(&["sync"]);
    audit.follow(&world, "t");
    assert_eq!(audit.rows, producer.expected);
}

#[test]
fn snapshots_and_change_files_stay_until_their_consumer_has_passed() {
    let world = World::new();
    let mut producer = Changes::by_lot(6);
    world.topic("t", 1);
    world.produce_envelopes("t", &producer.lines(|id| json!(id), 30));
    world.ok(&["enable", "t", "--key", "id"]);
    world.ok(&["sync"]);
    let mut audit = Audit::default();
    audit.follow(&world, "t");
    for _ in 0..5 {
        world.produce_envelopes("t", &producer.lines(|id| json!(id), 30));
        world.ok(&["sync"]);
    }
    world.ok(&["compact", "t"]);
    let collect = || {
        world.ok(&["expire", "t", "--keep", "1"]);
        for _ in 0..3 {
            world.ok(&["vacuum", "t"]);
            a_day_passes(&world.data_dir());
        }
        let is_data = |file: &PathBuf| file.parent().unwrap().ends_with("data");
        let files = files_below(&world.data_dir().join("warehouse"));
        (snapshots(&world, "t").len(), files.into_iter().filter(is_data).count())
    };
    let (kept, files) = collect();
    assert_eq!(kept, 7, "where the consumer is, five commits, a compaction");
    audit.follow(&world, "t");
    assert_eq!(audit.rows, producer.expected);
    let (kept, fewer) = collect();
    assert_eq!((kept, fewer), (1, 1), "{files} files before");

    // Who leaves holds nothing, and begins anew.
    world.produce_envelopes("t", &lines(&[put(1, 1)]));
    world.ok(&["sync"]);
    let left = world.json(&["changes", "t", "--consumer", "audit", "--leave"]);
    assert_eq!(left, json!({"table": "bronze.t", "consumer": "audit", "followed": true}));
    assert_eq!(collect().0, 1);
    let mut anew = Audit::default();
    anew.follow(&world, "t");
    producer.expected.insert(1, 1);
    assert_eq!(anew.rows, producer.expected);
}

#[test]
fn what_cannot_be_told_is_said() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"id\":1,\"v\":1}\n");
    world.ok(&["enable", "t"]);
    assert_eq!(world.ok(&["changes", "t", "-o", "ndjson"]), "", "a table without a snapshot");
    let mut audit = Audit::default();
    assert_eq!(audit.follow(&world, "t"), [], "from before the first one on");
    world.ok(&["sync"]);
    assert_eq!(audit.follow(&world, "t"), [("INSERT".to_owned(), 1, 1)]);
    world.run(&["changes", "t", "--from", "7"]).failed(1, &["no snapshot 7", "tableflow history"]);
    world.run(&["changes", "t", "--to", "7"]).failed(1, &["no snapshot 7", "tableflow history"]);
    world.run(&["changes", "t", "--to", "7", "--consumer", "audit"]).failed(2, &["cannot be used with"]);
    world.run(&["changes", "t", "--leave"]).failed(2, &["--consumer"]);
    world.run(&["changes", "t", "--consumer", "a b"]).failed(2, &["a b"]);
    world.run(&["changes", "nowhere"]).failed(1, &["nowhere"]);
}
