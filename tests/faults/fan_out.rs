//! A topic of many types of records: each record is in the table of its type, once, whatever dies, also while tables
//! are made for types that are new.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tableflow_store::KillPoint;

use super::product::{Fields, Product, READERS, Rows};

const SIGKILL: i32 = 9;

/// A point is passed so often at most by one `sync`.
const PASSES_MAX: u32 = 60;

/// A new type comes with so many rounds, up to this many.
const ROUNDS_PER_TYPE: u64 = 9;
const TYPES_MAX: u64 = 6;

const ENABLE: [&str; 8] =
    ["enable", "e", "--fan-out", "field:kind.name", "--commit-interval", "50ms", "--error-handling", "LOG"];

struct Events {
    product: Product,
    /// Of each table, what it must hold.
    tables: BTreeMap<String, Rows>,
    /// Without a type.
    bad: Vec<(u64, u64)>,
    ends: [u64; 2],
    sent: u64,
    rounds: u64,
}

impl Events {
    fn new() -> Self {
        let product = Product::with_topic();
        product.run(&["topic", "create", "e", "--partitions", "2"]).good("topic create");
        product.run(&ENABLE).good("enable");
        Events { product, tables: BTreeMap::new(), bad: Vec::new(), ends: [0, 0], sent: 0, rounds: 0 }
    }

    /// So many records to both partitions, their types in turn; every seventh has none. Each type has a column of its
    /// own.
    fn send(&mut self, count: u64) {
        let types = (2 + self.rounds / ROUNDS_PER_TYPE).min(TYPES_MAX);
        self.rounds += 1;
        let mut lines = String::new();
        for _ in 0..count {
            let (id, partition) = (self.sent, (self.sent % 2) as usize);
            let place = (partition as u64, self.ends[partition]);
            let name = format!("type_{}", id * 7 / 5 % types);
            let value = match id % 7 {
                0 => json!({"id": id}),
                _ => json!({"id": id, "kind": {"name": name}, format!("of_{name}"): format!("value {id}")}),
            };
            writeln!(lines, "{}", json!({"partition": partition, "value": value})).unwrap();
            match value {
                Value::Object(fields) if id % 7 != 0 => {
                    self.tables.entry(format!("e__{name}")).or_default().insert(place, fields);
                }
                _ => self.bad.push(place),
            }
            self.ends[partition] += 1;
            self.sent += 1;
        }
        let mut child = self.product.command(&["produce", "e", "--envelope"]);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn check(&self, reader: &str, replay: &str) {
        let replay = format!("{replay}, read by {reader}");
        for (table, expected) in &self.tables {
            let mut seen = Rows::new();
            for row in self.product.rows_by(reader, table, &replay) {
                let place = place_of(&row, "_tableflow_");
                let value =
                    row.into_iter().filter(|(name, value)| !value.is_null() && !name.starts_with("_tableflow_"));
                assert!(seen.insert(place, value.collect()).is_none(), "{replay}: {place:?} is twice in {table}");
            }
            assert_eq!(seen, *expected, "{replay}: {table}");
        }
        let letters = self.product.rows_by(reader, "e__dlq", &replay);
        let mut places: Vec<_> = letters.iter().map(|letter| place_of(letter, "")).collect();
        places.sort_unstable();
        let mut expected = self.bad.clone();
        expected.sort_unstable();
        assert_eq!(places, expected, "{replay}: dead letters");
        assert!(letters.iter().all(|letter| letter["reason"] == "no-table"), "{replay}: {letters:?}");
        let status = self.status();
        let counts = (status["rows_committed"].as_u64(), status["rows_dead_lettered"].as_u64());
        let rows: usize = self.tables.values().map(Rows::len).sum();
        assert_eq!(counts, (Some(rows as u64), Some(self.bad.len() as u64)), "{replay}: {status}");
        assert_eq!(status["lag"], 0, "{replay}: {status}");
    }

    fn status(&self) -> Value {
        self.product.run(&["status", "e", "-o", "json"]).good("status").json()
    }
}

fn place_of(row: &Fields, prefix: &str) -> (u64, u64) {
    let number = |name: &str| row[&format!("{prefix}{name}")].as_u64().unwrap();
    (number("partition"), number("offset"))
}

#[test]
fn a_fan_out_killed_at_any_point_loses_and_doubles_nothing() {
    let mut events = Events::new();
    events.send(9);
    events.product.run(&["sync", "e"]).good("sync");
    for point in KillPoint::of_jobs() {
        let mut kills = 0;
        for nth in 1..=PASSES_MAX {
            let replay = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow sync e");
            events.send(5 + u64::from(nth % 4));
            let killed = events.product.run_until(&["sync", "e"], point.name(), nth);
            if killed.status.signal() != Some(SIGKILL) {
                killed.good(&replay);
                break;
            }
            kills += 1;
            events.product.run(&["sync", "e"]).good(&replay);
            events.check(READERS[0], &replay);
        }
        for reader in READERS {
            events.check(reader, &format!("{kills} kills of sync at {point}"));
        }
        println!("{point}: {kills} kills of a fan-out");
        let made_by_enable = matches!(point, KillPoint::CatalogCreateBefore | KillPoint::CatalogCreateAfter);
        let noted = matches!(point, KillPoint::DefinitionBefore | KillPoint::DefinitionAfter);
        assert!(kills > 0 || made_by_enable || noted, "{point} was never hit");
    }
}

/// Who enables it again goes on where the first try ended.
#[test]
fn a_fan_out_whose_enable_died_is_enabled_again() {
    for point in [KillPoint::CatalogCreateAfter, KillPoint::DefinitionBefore, KillPoint::DefinitionAfter] {
        let product = Product::with_topic();
        product.run(&["topic", "create", "e", "--partitions", "2"]).good("topic create");
        let words = ["enable", "e", "--fan-out", "field:kind.name", "--error-handling", "LOG"];
        let replay = format!("TABLEFLOW_KILL_AT={point}:1 tableflow enable e");
        let killed = product.run_until(&words, point.name(), 1);
        assert_eq!(killed.status.signal(), Some(SIGKILL), "{replay}");
        let again = product.run(&words);
        match point {
            KillPoint::DefinitionAfter => assert!(again.stderr.contains("already"), "{replay}: {}", again.stderr),
            _ => drop(again.good(&replay)),
        }
        let mut events = Events { product, tables: BTreeMap::new(), bad: Vec::new(), ends: [0, 0], sent: 0, rounds: 0 };
        events.send(8);
        events.product.run(&["sync", "e"]).good(&replay);
        events.check(READERS[0], &replay);
    }
}

/// What is left is dropped by who says it again, and a table that is enabled after that begins at the beginning.
#[test]
fn a_fan_out_that_was_dropped_half_is_dropped_by_the_next_try() {
    let mut events = Events::new();
    let tables = ["e__type_0", "e__type_1", "e__dlq"];
    for (point, kills) in KillPoint::OF_DROP.into_iter().map(|point| (point, tables.len())) {
        for nth in 1..=kills as u32 {
            let replay = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow disable e --drop");
            events.send(10);
            events.product.run(&["sync", "e"]).good(&replay);
            let is_there = |table: &&&str| {
                events.product.run(&["query", &format!("SELECT count(*) FROM {table}")]).status.success()
            };
            assert_eq!(tables.iter().filter(is_there).count(), tables.len(), "{replay}");
            let killed = events.product.run_until(&["disable", "e", "--drop"], point.name(), nth);
            assert_eq!(killed.status.signal(), Some(SIGKILL), "{replay}: {}", killed.stderr);
            let gone = nth as usize - usize::from(point == KillPoint::CatalogDropBefore);
            assert_eq!(tables.iter().filter(is_there).count(), tables.len() - gone, "{replay}");
            // It is disabled, and nobody feeds what is left.
            assert_eq!(events.product.run(&["list", "-o", "json"]).good(&replay).json(), json!([]), "{replay}");
            events.product.run(&["sync"]).good(&replay);
            events.product.run(&["disable", "e", "--drop"]).good(&replay);
            assert_eq!(tables.iter().filter(is_there).count(), 0, "{replay}");
            events.product.run(&ENABLE).good(&replay);
        }
    }
    events.product.run(&["sync", "e"]).good("sync");
    events.check(READERS[0], "after all those drops");
}

/// The tables of new types are made under the eyes of a killer.
#[test]
fn a_table_of_a_new_type_is_made_once_whenever_its_maker_dies() {
    for point in [
        KillPoint::CatalogCreateBefore,
        KillPoint::CatalogCreateAfter,
        KillPoint::DefinitionBefore,
        KillPoint::DefinitionAfter,
    ] {
        for nth in 1..=2 {
            let replay = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow sync e");
            let mut events = Events::new();
            events.send(20);
            let killed = events.product.run_until(&["sync", "e"], point.name(), nth);
            assert_eq!(killed.status.signal(), Some(SIGKILL), "{replay}");
            events.product.run(&["sync", "e"]).good(&replay);
            events.check(READERS[nth as usize], &replay);
        }
    }
}

#[test]
fn a_service_that_fans_out_killed_at_any_moment_loses_and_doubles_nothing() {
    let mut events = Events::new();
    for round in 0..10_u64 {
        let up = events.product.up();
        events.rounds += ROUNDS_PER_TYPE / 2;
        events.send(30);
        std::thread::sleep(Duration::from_millis(round * 53 % 330));
        up.kill();
    }
    events.product.run(&["sync", "e"]).good("sync");
    for reader in READERS {
        events.check(reader, "kills of a service that fans out");
    }
}

/// Letters go to the tables of their types, and make those that there are not yet.
#[test]
fn a_fan_outs_dead_letters_become_rows_of_their_tables() {
    let product = Product::with_topic();
    let register = |subject: &str, name: &str| {
        let text = format!(
            r#"{{"type":"record","namespace":"shop","name":"{name}","fields":[{{"name":"n_{name}","type":"int"}}]}}"#
        );
        let file = product.directory().with_extension("avsc");
        std::fs::write(&file, text).unwrap();
        product.run(&["schema", "register", subject, file.to_str().unwrap()]).good("schema register");
    };
    // Subjects are called after the records, and one after topic and record.
    register("shop.A", "A");
    product.run(&["topic", "create", "e"]).good("topic create");
    // Schemas 1, 2, 3 and the number 24, a line each; of 2 and 3 nobody knows yet.
    let mut child = product.command(&["produce", "e", "--format", "raw"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let lines: Vec<u8> = [1, 2, 3, 1, 2].iter().flat_map(|id| [0, 0, 0, 0, *id, 48, b'\n']).collect();
    child.stdin.take().unwrap().write_all(&lines).unwrap();
    assert!(child.wait().unwrap().success());
    // What the records are is found out from the first of them.
    let plan = product.run(&["enable", "e", "--fan-out", "record-name", "--error-handling", "LOG", "-o", "json"]);
    assert_eq!(plan.good("enable").json()[0]["format"], "avro");
    product.run(&["sync", "e"]).good("sync");
    let status = || product.run(&["status", "e", "-o", "json"]).good("status").json();
    assert_eq!((&status()["rows_committed"], &status()["rows_dead_lettered"]), (&json!(2), &json!(3)));

    register("e-shop.B", "B");
    for (replayed, left) in [(2, 1), (0, 1)] {
        let done = product.run(&["dlq", "replay", "e", "-o", "json"]).good("dlq replay").json();
        assert_eq!((&done["rows_replayed"], &done["letters_left"]), (&json!(replayed), &json!(left)), "{done}");
    }
    for reader in READERS {
        for (table, column) in [("e__A", "n_A"), ("e__B", "n_B")] {
            let table = if reader == READERS[0] { format!("\"{table}\"") } else { table.to_owned() };
            let rows = product.rows_by(reader, &table, "after the replay");
            assert_eq!(rows.iter().map(|row| &row[column]).collect::<Vec<_>>(), [24, 24], "{reader}: {rows:?}");
        }
    }
    let tables = status()["tables"].clone();
    let values: Vec<_> = tables.as_array().unwrap().iter().map(|table| &table["value"]).collect();
    assert_eq!(values, ["shop.A", "shop.B"], "{tables}");
    assert_eq!(status()["rows_dead_lettered"], 1);
}
