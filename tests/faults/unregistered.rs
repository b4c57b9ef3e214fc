//! Dead letters whose schemas are registered later: each record is a row or a letter, once, though the registry says another
//! thing after a kill than before it.
//!
//! What decides is the manifest: records of an epoch that has one stay what they were in it, those of one that has none are
//! decoded again, by the schemas that are there then.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use serde_json::{Value, json};
use tableflow::home::Home;
use tableflow_connectors::registry::{Deletion, SchemaRegistry as _, VersionWanted};
use tableflow_model::Partition;
use tableflow_model::protocol::{EpochManifest, Intent};
use tableflow_store::KillPoint;
use tokio::runtime::Runtime;

use super::product::{Product, READERS, wait_until};
use crate::python::Engines;

const SIGKILL: i32 = 9;

/// A point is passed so often at most by one `sync`, or one replay.
const PASSES_MAX: u32 = 40;

/// By `enable`.
const NOT_PASSED: [KillPoint; 4] = [
    KillPoint::CatalogCreateBefore,
    KillPoint::CatalogCreateAfter,
    KillPoint::DefinitionBefore,
    KillPoint::DefinitionAfter,
];

/// Before the manifest of an epoch is there, and behind it.
const BEFORE: [KillPoint; 2] = [KillPoint::DataFileAfter, KillPoint::EpochBefore];
const BEHIND: [KillPoint; 4] =
    [KillPoint::EpochAfter, KillPoint::MetadataAfter, KillPoint::CatalogSwapBefore, KillPoint::CatalogSwapAfter];

/// A topic of Avro records, some of whose schemas nobody registered yet.
struct Unregistered {
    product: Product,
    /// Of each record by its offset, the id of its schema.
    ids: Vec<u8>,
    /// That of the newest schema.
    id: u8,
    rows: u64,
}

/// Its byte in a record would end a line.
const LINE_FEED: u8 = 10;

impl Unregistered {
    fn new() -> Self {
        let product = Product::with_topic();
        product.run(&["topic", "create", "a"]).good("topic create");
        let mut topic = Unregistered { product, ids: Vec::new(), id: 0, rows: 0 };
        topic.register();
        topic.send(2);
        topic.rows += 2;
        topic.product.run(&["enable", "a", "--error-handling", "LOG", "--commit-interval", "50ms"]).good("enable");
        topic
    }

    /// The next version, which has one field more.
    fn register(&mut self) {
        loop {
            self.id += 1;
            self.register_newest();
            if self.id != LINE_FEED {
                return;
            }
        }
    }

    fn register_newest(&self) {
        let more: String =
            (2..=self.id).map(|n| format!(r#",{{"name":"f{n}","type":["null","int"],"default":null}}"#)).collect();
        let schema = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"n","type":"int"}}{more}]}}"#);
        let file = self.product.directory().with_extension("avsc");
        std::fs::write(&file, schema).unwrap();
        let done = self.product.run(&["schema", "register", "a-value", file.to_str().unwrap(), "-o", "json"]);
        assert_eq!(done.good("schema register").json()["id"], self.id);
    }

    /// The newest one is gone for good.
    fn forget_newest(&self) {
        Runtime::new().unwrap().block_on(async {
            let registry = Home::open(self.product.directory()).await.unwrap().registry();
            let newest = registry.delete_version("a-value", VersionWanted::Latest, Deletion::Soft).await.unwrap();
            registry.delete_version("a-value", VersionWanted::Number(newest), Deletion::Permanent).await.unwrap();
        });
    }

    /// So many records of the newest schema.
    fn send(&mut self, count: u64) {
        self.send_as(self.id, count);
    }

    /// Of a schema that is not there yet.
    fn send_unknown(&mut self, count: u64) {
        self.send_as(self.next_id(), count);
    }

    fn next_id(&self) -> u8 {
        if self.id + 1 == LINE_FEED { LINE_FEED + 1 } else { self.id + 1 }
    }

    fn send_as(&mut self, id: u8, count: u64) {
        self.send_these(&vec![id; count as usize]);
    }

    /// One record of each of these schemas, in their order.
    fn send_these(&mut self, ids: &[u8]) {
        let mut lines = Vec::new();
        for id in ids {
            // The number 20 + 4, and a value for the last field alone.
            lines.extend([0, 0, 0, 0, *id, 48]);
            lines.extend((2..*id).map(|_| 0));
            if *id > 1 {
                lines.extend([2, 14]);
            }
            lines.push(b'\n');
        }
        let mut command = self.product.command(&["produce", "a", "--format", "raw"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&lines).unwrap();
        assert!(child.wait().unwrap().success());
        self.ids.extend(ids);
    }

    fn status(&self) -> Value {
        self.product.run(&["status", "a", "-o", "json"]).json()
    }

    fn sent(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Each record is a row or a dead letter, and only one of them; so says everybody.
    fn check(&self, rows: u64, replay: &str) {
        self.check_by(&READERS, rows, replay);
    }

    fn check_by(&self, readers: &[&str], rows: u64, replay: &str) {
        let status = self.status();
        let counts = (status["rows_committed"].as_u64(), status["rows_dead_lettered"].as_u64());
        assert_eq!(counts, (Some(rows), Some(self.sent() - rows)), "{replay}: {status}");
        assert_eq!(status["lag"], 0, "{replay}: {status}");
        let listed = self.product.run(&["dlq", "list", "a", "-o", "json"]).good(replay).json();
        let letters = listed.as_array().unwrap().iter().map(|letter| letter["offset"].as_u64().unwrap());
        let letters: Vec<u64> = letters.collect();
        for reader in readers {
            let found = self.product.rows_by(reader, "a", replay);
            let mut offsets = letters.clone();
            for row in &found {
                let offset = row["_tableflow_offset"].as_u64().unwrap();
                let id = self.ids[offset as usize];
                // The value of each version's own field is in its column, and in no other one.
                let is_right = |n: u8| row.get(&format!("f{n}")).and_then(Value::as_u64) == (n == id).then_some(7);
                assert!(row["n"] == 24 && (2..=self.id).all(is_right), "{replay}, read by {reader}: {row:?} of {id}");
                offsets.push(offset);
            }
            offsets.sort_unstable();
            assert!(offsets.iter().copied().eq(0..self.sent()), "{replay}, read by {reader}: {offsets:?}");
            assert_eq!(found.len() as u64, rows, "{replay}, read by {reader}");
        }
    }

    fn sync(&self, replay: &str) {
        self.product.run(&["sync", "a"]).good(replay);
    }

    /// True where it was killed.
    fn sync_until(&self, point: KillPoint, nth: u32, replay: &str) -> bool {
        let killed = self.product.run_until(&["sync", "a"], point.name(), nth);
        if killed.status.signal() == Some(SIGKILL) {
            return true;
        }
        killed.good(replay);
        false
    }

    /// Is every record of an epoch that has its manifest?
    fn is_decided(&self) -> bool {
        let is_to_the_end = |file: &std::path::PathBuf| {
            let manifest = EpochManifest::from_text(&std::fs::read_to_string(file).unwrap()).unwrap();
            let Intent::Work { positions, .. } = &manifest.intent else { return false };
            // A replay counts letters under the name of the topic.
            let of_topic = positions.0.iter().filter(|(topic, _)| topic.as_str() == "a");
            let mut ends = of_topic.filter_map(|(_, topic)| topic.offsets.get(&Partition(0)));
            !manifest.job.as_str().starts_with("replay-") && ends.any(|end| end.0 == self.ids.len() as i64)
        };
        self.product.manifests().iter().any(is_to_the_end)
    }

    /// How many letters became rows.
    fn replay(&mut self, what: &str) -> u64 {
        let replayed = self.product.run(&["dlq", "replay", "a", "-o", "json"]).good(what).json();
        let rows = replayed["rows_replayed"].as_u64().unwrap();
        self.rows += rows;
        rows
    }

    /// Two records of the schema in question among others, and a `sync` that is killed. Whether it was, and had decided.
    fn send_and_kill(&mut self, id: u8, (point, nth): (KillPoint, u32), replay: &str) -> (bool, bool) {
        let known = self.ids[0];
        self.send_these(&[known, id, id, known]);
        let was_killed = self.sync_until(point, nth, replay);
        (was_killed, self.is_decided())
    }

    /// What is there once the next start has finished what was begun; every second one is killed too.
    fn finish(&mut self, letters: u64, nth: u32, replay: &str) {
        if nth.is_multiple_of(2) {
            self.sync_until(KillPoint::CatalogSwapBefore, 1, replay);
        }
        self.sync(replay);
        self.rows += 4 - letters;
        self.check_by(&READERS[..1], self.rows, replay);
    }
}

#[test]
fn a_replay_killed_at_any_point_makes_each_letter_a_row_once() {
    let mut topic = Unregistered::new();
    topic.product.run(&["sync", "a"]).good("sync");
    for point in KillPoint::of_jobs().filter(|point| !NOT_PASSED.contains(point)) {
        let mut kills = 0;
        for nth in 1..=PASSES_MAX {
            let replay = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow dlq replay a");
            topic.send_unknown(2);
            topic.product.run(&["sync", "a"]).good(&replay);
            topic.check(topic.rows, &replay);
            topic.register();
            topic.rows += 2;
            let killed = topic.product.run_until(&["dlq", "replay", "a"], point.name(), nth);
            if killed.status.signal() != Some(SIGKILL) {
                killed.good(&replay);
                topic.check(topic.rows, &replay);
                break;
            }
            kills += 1;
            topic.product.run(&["dlq", "replay", "a"]).good(&replay);
            topic.check(topic.rows, &replay);
        }
        println!("{point}: {kills} kills of a replay");
        let reports = matches!(point, KillPoint::StatusBefore | KillPoint::StatusAfter);
        assert_eq!(kills == 0, reports, "{point} was hit {kills} times");
    }
}

#[test]
fn a_replay_takes_what_is_asked_for_and_can_be_decoded_and_nothing_else() {
    let mut topic = Unregistered::new();
    topic.send_unknown(3);
    let up = topic.product.up();
    wait_until("the letters are there", || topic.status()["rows_dead_lettered"] == 3);
    let none =
        topic.product.run(&["dlq", "replay", "a", "-o", "json"]).good("a replay of what is not registered").json();
    assert_eq!((&none["rows_replayed"], &none["letters_left"]), (&json!(0), &json!(3)));
    let stay = &none["stay"][0];
    assert_eq!(
        (&stay["reason"], &stay["letters"], &stay["offset"]),
        (&json!("schema-id-unknown"), &json!(3), &json!(2))
    );
    assert!(stay["message"].as_str().unwrap().contains("knows no schema of id 2"), "{stay}");
    topic.register();
    topic.send(1);
    topic.rows += 1;
    wait_until("the row is there", || topic.status()["rows_committed"] == 3);
    // The third one asks for every letter there ever was.
    let all = "false UNION ALL SELECT \"partition\", \"offset\", epoch FROM a__dlq";
    for (condition, replayed, left) in
        [("reason = 'not-json'", 0, 3), ("\"offset\" = 3", 1, 2), (all, 2, 0), ("true", 0, 0)]
    {
        let words = ["dlq", "replay", "a", "--where", condition, "-o", "json"];
        let done = topic.product.run(&words).good(condition).json();
        assert_eq!((&done["rows_replayed"], &done["letters_left"]), (&json!(replayed), &json!(left)), "{condition}");
        topic.rows += replayed;
        topic.check(topic.rows, condition);
    }
    let wrong = topic.product.run(&["dlq", "replay", "a", "--where", "nonsense = 1"]);
    assert!(wrong.stderr.contains("--where \"nonsense = 1\" is no condition on dead letters"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("their columns are topic") && !wrong.stderr.contains("SELECT"), "{}", wrong.stderr);
    let first = topic.product.run(&["history", "a", "-o", "json"]).good("history").json();
    let oldest = first.as_array().unwrap().iter().map(|snapshot| snapshot["snapshot_id"].to_string()).next_back();
    let back = topic.product.run(&["rollback", "a", "--to", &oldest.unwrap(), "--replay"]);
    assert!(back.stderr.contains("rows of dead letters"), "{}", back.stderr);
    topic.product.run(&["resume", "a"]).good("resume");
    topic.check(topic.rows, "after a rollback that was refused");
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
}

/// What happened at the kills of a point: was the epoch decided?
fn expected_at(point: KillPoint, seen: &BTreeSet<bool>) {
    // A start claims an epoch of its own first: behind that manifest nothing is decided yet.
    let decided = BEHIND.contains(&point);
    assert_eq!(seen.contains(&true), decided, "{point}: {seen:?}");
    assert!(decided || seen.contains(&false), "{point} was not hit");
}

#[test]
fn a_schema_that_is_registered_between_a_kill_and_the_next_start_doubles_and_loses_no_record() {
    let mut topic = Unregistered::new();
    topic.sync("the first rows");
    for point in BEFORE.into_iter().chain(BEHIND) {
        let mut seen = BTreeSet::new();
        for nth in 1..=PASSES_MAX {
            let replay = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow sync, then its schema is registered");
            let unknown = topic.next_id();
            let (was_killed, decided) = topic.send_and_kill(unknown, (point, nth), &replay);
            topic.register();
            let letters = if decided { 2 } else { 0 };
            topic.finish(letters, nth, &replay);
            assert_eq!(topic.replay(&replay), letters, "{replay}");
            topic.check_by(&READERS[..1], topic.rows, &replay);
            if !was_killed {
                break;
            }
            seen.insert(decided);
        }
        topic.check(topic.rows, &format!("killed at {point}"));
        println!("{point}: decided before it: {seen:?}");
        expected_at(point, &seen);
    }
}

#[test]
fn a_schema_that_is_gone_between_a_kill_and_the_next_start_doubles_and_loses_no_record() {
    let mut topic = Unregistered::new();
    topic.sync("the first rows");
    for point in [KillPoint::EpochBefore, KillPoint::EpochAfter, KillPoint::CatalogSwapBefore] {
        let mut seen = BTreeSet::new();
        for nth in 1..=PASSES_MAX {
            let replay = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow sync, then its schema is deleted");
            topic.register();
            let (was_killed, decided) = topic.send_and_kill(topic.id, (point, nth), &replay);
            topic.forget_newest();
            let letters = if decided { 0 } else { 2 };
            topic.finish(letters, nth, &replay);
            assert_eq!(topic.replay(&replay), 0, "{replay}");
            topic.register_newest();
            assert_eq!(topic.replay(&replay), letters, "{replay}");
            topic.check_by(&READERS[..1], topic.rows, &replay);
            if !was_killed {
                break;
            }
            seen.insert(decided);
        }
        topic.check(topic.rows, &format!("killed at {point}"));
        println!("{point}: decided before it: {seen:?}");
        expected_at(point, &seen);
    }
}

/// The snapshot that brought the rows may have expired while a tag keeps an older one.
#[test]
fn a_rollback_behind_a_replay_that_nobody_remembers_is_refused() {
    let mut topic = Unregistered::new();
    topic.product.run(&["sync", "a"]).good("sync");
    let history = topic.product.run(&["history", "a", "-o", "json"]).good("history").json();
    let tagged = history[0]["snapshot_id"].to_string();
    topic.send_unknown(2);
    topic.product.run(&["sync", "a"]).good("sync");
    topic.register();
    topic.product.run(&["dlq", "replay", "a"]).good("replay");
    topic.send(1);
    topic.product.run(&["sync", "a"]).good("sync");
    topic.rows += 3;
    topic.check(topic.rows, "before");
    let forgotten =
        Engines::on(topic.product.directory()).ask("forget", json!({"table": "bronze.a", "tagged": tagged}));
    assert!(forgotten.as_u64() > Some(0), "{forgotten}");
    for way in ["--keep-offsets", "--replay"] {
        let refused = topic.product.run(&["rollback", "a", "--to", &tagged, way]);
        assert!(refused.stderr.contains("rows of dead letters"), "{way}: {}", refused.stderr);
        topic.product.run(&["resume", "a"]).good("resume");
        topic.product.run(&["sync", "a"]).good("sync");
        topic.check(topic.rows, way);
    }
}
