//! A registry that a running service cannot ask, or that is another one than it was (F26).
//!
//! The registry is the embedded one of another data directory, behind an address that can be led elsewhere.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::door::Door;
use super::product::{Product, READERS, Up, wait_until};

const PATH: &str = "/registry";

/// A field that each version has more.
const MORE: [&str; 3] = [
    "",
    r#",{"name":"b","type":["null","int"],"default":null}"#,
    r#",{"name":"c","type":["null","int"],"default":null}"#,
];

/// Somebody else's registry of one subject.
struct Keeper {
    product: Product,
    service: Up,
}

impl Keeper {
    fn new() -> Self {
        let product = Product::without_topic("none");
        let service = product.up();
        Keeper { product, service }
    }

    /// Its id is the next one.
    fn register(&self, fields: &str) {
        let file = self.product.directory().with_extension("avsc");
        std::fs::write(&file, format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)).unwrap();
        self.product.run(&["schema", "register", "t-value", file.to_str().unwrap()]).good("schema register");
    }

    fn register_version(&self, version: usize) {
        self.register(&format!(r#"{{"name":"n","type":"int"}}{}"#, MORE[..version].concat()));
    }
}

/// A table of records with registered schemas, which skips bad ones, and one beside it that knows of no registry.
struct Tables {
    registered: Product,
    other: Product,
    sent: u64,
}

impl Tables {
    fn new(door: &Door) -> Self {
        let mut registered = Product::without_topic("t");
        registered.ask_registry(&door.url());
        let other = registered.beside("other");
        registered.run(&["topic", "create", "t", "--partitions", "1"]).good("topic create");
        other.run(&["topic", "create", "other", "--partitions", "2"]).good("topic create");
        let mut tables = Tables { registered, other, sent: 0 };
        tables.send(&[1]);
        tables.other.produce(5).good("produce");
        let enable = |words: &[&str]| {
            tables.registered.run(&[&["enable", "--commit-interval", "50ms"], words].concat()).good("enable");
        };
        enable(&["t", "--error-handling", "SKIP"]);
        enable(&["other", "--format", "json"]);
        tables
    }

    /// A record of each of these versions, whose ids are the same.
    fn send(&mut self, versions: &[u8]) {
        let mut lines = Vec::new();
        for version in versions {
            lines.extend([0, 0, 0, 0, *version, 2 * u8::try_from(self.sent + 20).unwrap()]);
            (1..*version).for_each(|_| lines.extend([2, 14]));
            lines.push(b'\n');
            self.sent += 1;
        }
        let mut command = self.registered.command(&["produce", "t", "--format", "raw"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&lines).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn status(&self) -> Value {
        self.registered.run(&["status", "t", "-o", "json"]).json()
    }

    fn wait_for(&self, state: &str) -> Value {
        let mut status = Value::Null;
        wait_until(state, || {
            status = self.status();
            status["status"] == state
        });
        status
    }

    fn wait_for_rows(&self, rows: u64, what: &str) {
        wait_until(what, || self.status()["rows_committed"] == rows);
    }

    /// The other table gets its rows.
    fn other_goes_on(&self) {
        self.other.produce(10).good("produce");
        let status = || self.other.run(&["status", "other", "-o", "json"]).json();
        wait_until("the other table goes on", || status()["rows_committed"] == self.other.records());
    }

    /// Every record is a row once, with its number.
    fn check(&self, what: &str) {
        for reader in READERS {
            let rows = self.registered.rows_by(reader, "t", what);
            let number = |name: &str, row: &serde_json::Map<String, Value>| row[name].as_u64().unwrap();
            let mut seen: Vec<_> =
                rows.iter().map(|row| (number("_tableflow_offset", row), number("n", row))).collect();
            seen.sort_unstable();
            let expected: Vec<_> = (0..self.sent).map(|offset| (offset, offset + 20)).collect();
            assert_eq!(seen, expected, "{what}, read by {reader}");
        }
        assert_eq!(self.status()["rows_skipped"], 0, "{what}");
        self.other.check_in(&["other"], what);
    }
}

#[test]
fn f26_a_service_waits_for_a_registry_that_is_away_or_fails_and_goes_on_by_itself() {
    let keeper = Keeper::new();
    keeper.register_version(1);
    let door = Door::to(keeper.service.port(), PATH);
    let mut tables = Tables::new(&door);
    let up = tables.registered.up();
    tables.wait_for_rows(1, "the first row");
    let failing = ("500 Internal Server Error", r#"{"error_code":50001,"message":"the store is away"}"#);
    for (version, answer) in [(2, None), (3, Some(failing))] {
        // Nobody has asked for it yet.
        keeper.register_version(usize::from(version));
        door.set(answer.is_some());
        door.answer(answer);
        tables.send(&[version - 1]);
        tables.wait_for_rows(tables.sent, "a schema that is remembered");
        let before = tables.sent;
        tables.send(&[version, 1, version]);
        let status = tables.wait_for("Degraded");
        let reason = status["reason"].as_str().unwrap();
        assert!(reason.contains(&door.url()) && reason.contains("does not answer"), "{status}");
        assert!(answer.is_none() || reason.contains("the store is away"), "{status}");
        let label = r#"table="bronze.t",state="degraded""#;
        assert_eq!(
            up.metrics("tableflow_table_state").get(label),
            Some(&1.0),
            "{:?}",
            up.metrics("tableflow_table_state")
        );
        tables.other_goes_on();
        let status = tables.wait_for("Degraded");
        assert_eq!((&status["rows_committed"], &status["rows_skipped"]), (&json!(before), &json!(0)), "{status}");
        door.answer(None);
        door.set(true);
        tables.wait_for_rows(tables.sent, "the registry is back");
        tables.wait_for("Syncing");
    }
    up.signal("TERM");
    assert!(up.wait().success(), "{}", tables.registered.log());
    tables.check("a registry that was away");
}

/// Behind the address is a registry that was restored, or somebody else's: an id of it means another schema.
#[test]
fn f26_an_id_with_another_meaning_suspends_its_table_and_no_other_one() {
    let (keeper, stranger) = (Keeper::new(), Keeper::new());
    keeper.register_version(1);
    // Its records have the same bytes, and mean other values.
    stranger.register(r#"{"name":"n","type":"long"},{"name":"other","type":["null","int"],"default":null}"#);
    let door = Door::to(keeper.service.port(), PATH);
    let mut tables = Tables::new(&door);
    tables.registered.run(&["sync"]).good("sync");
    door.lead_to(stranger.service.port());
    tables.send(&[1]);
    let up = tables.registered.up();
    let status = tables.wait_for("Suspended");
    assert!(status["reason"].as_str().unwrap().contains("the schema of id 1 is not the one it was"), "{status}");
    assert!(status["hint"].as_str().unwrap().contains("was the registry restored"), "{status}");
    assert_eq!((&status["rows_committed"], &status["rows_skipped"]), (&json!(1), &json!(0)), "{status}");
    tables.other_goes_on();
    door.lead_to(keeper.service.port());
    tables.registered.run(&["resume", "t"]).good("resume");
    tables.wait_for_rows(2, "the registry is the right one again");
    up.signal("TERM");
    assert!(up.wait().success(), "{}", tables.registered.log());
    tables.check("a registry that was another one");
}
