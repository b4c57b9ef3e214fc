//! Records that cannot be decoded: every record is a row, or counted, or a dead letter, once, whatever dies.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tableflow_store::KillPoint;

use super::product::{Fields, Product, READERS, wait_until};
use crate::python::Engines;

const SIGKILL: i32 = 9;

/// A point is passed so often at most by one `sync`.
const PASSES_MAX: u32 = 40;

/// By `enable`, or by a job that writes one table.
const NOT_PASSED: [KillPoint; 4] = [
    KillPoint::CatalogCreateBefore,
    KillPoint::CatalogCreateAfter,
    KillPoint::DefinitionBefore,
    KillPoint::DefinitionAfter,
];

/// A table, and the records of its topic that are none of its rows.
struct Mixed {
    product: Product,
    bad: BTreeMap<(u64, u64), String>,
    ends: [u64; 2],
    sent: u64,
    /// Which records fit no row: each one whose number this divides.
    every: u64,
}

impl Mixed {
    fn new(handling: &str) -> Self {
        let product = Product::with_topic();
        // Snapshots that a rollback could go to would keep the manifests.
        let soon = ["--commit-interval", "50ms", "--retention-ms", "1"];
        product.run(&[&["enable", "t", "--error-handling", handling], &soon[..]].concat()).good("enable");
        let sent = product.records() as u64;
        Mixed { product, bad: BTreeMap::new(), ends: [sent.div_ceil(2), sent / 2], sent, every: 3 }
    }

    /// So many records to the partitions in turn.
    fn send(&mut self, count: u64) {
        let (mut lines, mut good) = (String::new(), Vec::new());
        for _ in 0..count {
            let (id, partition) = (self.sent, (self.sent % 2) as usize);
            let place = (partition as u64, self.ends[partition]);
            let is_bad = id.is_multiple_of(self.every);
            let value = if is_bad { json!({"id": format!("no number {id}")}) } else { json!({"id": id}) };
            writeln!(lines, "{}", json!({"partition": partition, "value": value})).unwrap();
            match value {
                Value::Object(fields) if !is_bad => good.push((place, fields)),
                value => {
                    self.bad.insert(place, value.to_string());
                }
            }
            self.ends[partition] += 1;
            self.sent += 1;
        }
        let mut command = self.product.command(&["produce", "t", "--envelope"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        self.product.note_sent(good);
    }

    /// What `status` says is read is in the tables, or counted.
    fn check_seen(&self, counted_as: &str, replay: &str) {
        let status = self.product.status();
        let read = |partition: usize| status["partitions"][partition]["next_offset"].as_u64().unwrap_or(0);
        let seen = ["rows_committed", counted_as].map(|name| status[name].as_u64().unwrap());
        assert!(seen.iter().sum::<u64>() >= read(0) + read(1), "{replay}: {status}");
    }

    /// Rows are what fits, counts are of what does not, and dead letters are exactly that.
    fn check(&self, counted_as: &str, replay: &str) {
        self.product.check(replay);
        let status = self.product.status();
        assert_eq!(status[counted_as], self.bad.len(), "{replay}: {status}");
        assert_eq!(status["lag"], 0, "{replay}: {status}");
        if counted_as != "rows_dead_lettered" {
            return;
        }
        for reader in READERS {
            let letters = self.product.rows_by(reader, "t__dlq", replay);
            let place = |letter: &Fields| (letter["partition"].as_u64().unwrap(), letter["offset"].as_u64().unwrap());
            let mut places: Vec<_> = letters.iter().map(place).collect();
            places.sort_unstable();
            let expected: Vec<_> = self.bad.keys().copied().collect();
            assert_eq!(places, expected, "{replay}, read by {reader}");
            assert!(letters.iter().all(|letter| letter["reason"] == "type-mismatch"), "{replay}: {letters:?}");
        }
        let sql = "SELECT partition, \"offset\", arrow_cast(value, 'Utf8') AS value FROM t__dlq";
        let values = self.product.run(&["query", sql, "-o", "json"]).good(replay).json();
        for letter in values.as_array().unwrap() {
            let place = (letter["partition"].as_u64().unwrap(), letter["offset"].as_u64().unwrap());
            assert_eq!(letter["value"], self.bad[&place].as_str(), "{replay}: the bytes of {place:?}");
        }
    }
}

fn kill_everywhere(handling: &str, counted_as: &str, not_passed: &[KillPoint]) {
    let mut mixed = Mixed::new(handling);
    mixed.send(6);
    mixed.product.run(&["sync"]).good("sync");
    for point in KillPoint::of_jobs().filter(|point| !NOT_PASSED.contains(point)) {
        let mut kills = 0;
        for nth in 1..=PASSES_MAX {
            let replay = format!("{handling}: TABLEFLOW_KILL_AT={point}:{nth} tableflow sync");
            mixed.send(3 + u64::from(nth % 4));
            let killed = mixed.product.run_until(&["sync"], point.name(), nth);
            if killed.status.signal() != Some(SIGKILL) {
                killed.good(&replay);
                mixed.check(counted_as, &replay);
                break;
            }
            kills += 1;
            mixed.check_seen(counted_as, &replay);
            mixed.product.run(&["sync"]).good(&replay);
            mixed.check(counted_as, &replay);
        }
        println!("{point}: {kills} kills of sync with {handling}");
        assert_eq!(kills == 0, not_passed.contains(point), "{point} was hit {kills} times");
    }
    // Of the last run, and of one that was killed beside it.
    let left = mixed.product.manifests();
    assert!(left.len() <= 6, "manifests are collected: {left:?}");
}

#[test]
fn a_table_with_dead_letters_killed_at_any_point_loses_and_doubles_nothing() {
    kill_everywhere("LOG", "rows_dead_lettered", &[]);
}

/// In each mode every record is a row, counted, a dead letter or waits, whether few are bad or all.
#[test]
fn f39_one_bad_record_in_a_hundred_and_nothing_but_bad_ones() {
    for every in [100, 1] {
        for (handling, counted_as) in [("SKIP", "rows_skipped"), ("LOG", "rows_dead_lettered")] {
            let mut mixed = Mixed::new(handling);
            mixed.every = every;
            mixed.send(600);
            mixed.product.run(&["sync"]).good("sync");
            mixed.check(counted_as, &format!("{handling}, each {every}th is bad"));
        }
        let mut mixed = Mixed::new("SUSPEND");
        mixed.every = every;
        mixed.send(600);
        assert_eq!(mixed.product.run(&["sync"]).status.code(), Some(3));
        let status = mixed.product.status();
        let reason = status["reason"].as_str().unwrap();
        let place = |bad: &&(u64, u64)| reason.contains(&format!("record {} of partition {} of", bad.1, bad.0));
        let (partition, offset) = *mixed.bad.keys().find(place).unwrap_or_else(|| panic!("{status}"));
        assert_eq!(status["partitions"][partition as usize]["next_offset"], offset, "{status}");
        assert!(
            mixed.bad.range((partition, 0)..(partition, offset)).next().is_none(),
            "it stops at the first: {status}"
        );
        let read = [0, 1].map(|partition: usize| status["partitions"][partition]["next_offset"].as_u64().unwrap());
        let lag = mixed.sent - read[0] - read[1];
        let counts = ["rows_committed", "lag", "rows_skipped", "rows_dead_lettered"].map(|name| status[name].as_u64());
        assert_eq!(counts, [Some(read[0] + read[1]), Some(lag), Some(0), Some(0)], "{status}");
    }
}

#[test]
fn a_table_that_skips_killed_at_any_point_counts_every_record_once() {
    let of_manifests =
        [KillPoint::EpochBefore, KillPoint::EpochAfter, KillPoint::EpochDeleteBefore, KillPoint::EpochDeleteAfter];
    kill_everywhere("SKIP", "rows_skipped", &of_manifests);
}

#[test]
fn a_service_with_dead_letters_killed_at_any_moment_loses_and_doubles_nothing() {
    let mut mixed = Mixed::new("LOG");
    for round in 0..10_u64 {
        let up = mixed.product.up();
        mixed.send(20);
        std::thread::sleep(Duration::from_millis(round * 41 % 230));
        up.kill();
    }
    mixed.product.run(&["sync"]).good("sync");
    mixed.check("rows_dead_lettered", "kills of a service with dead letters");
}

/// A collection keeps what a rollback needs, as long as the snapshots are there that one can go back to.
#[test]
fn a_table_with_dead_letters_is_rolled_back_to_any_snapshot_that_it_retains() {
    let mut mixed = Mixed::new("LOG");
    // A week: nothing that this test writes is older.
    mixed.product.run(&["update", "t", "--retention-ms", "604800000"]).good("update");
    for _ in 0..4 {
        mixed.send(7);
        mixed.product.run(&["sync"]).good("sync");
    }
    let history = || mixed.product.run(&["history", "t", "-o", "json"]).good("history").json();
    let snapshots: Vec<String> =
        history().as_array().unwrap().iter().map(|snapshot| snapshot["snapshot_id"].to_string()).collect();
    for snapshot in snapshots.iter().rev() {
        let replay = format!("rollback t --to {snapshot} --replay");
        let epochs = mixed.product.manifests();
        mixed.product.run(&["rollback", "t", "--to", snapshot, "--replay"]).good(&replay);
        mixed.product.run(&["resume", "t"]).good(&replay);
        mixed.send(4);
        mixed.product.run(&["sync"]).good(&replay);
        mixed.check("rows_dead_lettered", &replay);
        assert!(mixed.product.manifests().len() > epochs.len(), "{replay}: they are kept");
    }
    // Without what decided one of the epochs since, the table is as it was.
    let epochs = mixed.product.manifests();
    std::fs::remove_file(&epochs[epochs.len() / 2]).unwrap();
    let refused = mixed.product.run(&["rollback", "t", "--to", snapshots.last().unwrap(), "--replay"]);
    assert!(refused.stderr.contains("cannot be replayed from that snapshot"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--keep-offsets"), "{}", refused.stderr);
    mixed.check("rows_dead_lettered", "after a rollback that was refused");
}

/// A table that is dropped and made again begins anew: nothing of the other one of its name counts.
#[test]
fn a_table_with_dead_letters_that_is_dropped_and_made_again_begins_at_the_beginning() {
    let mut mixed = Mixed::new("LOG");
    for _ in 0..3 {
        mixed.send(7);
        mixed.product.run(&["sync"]).good("sync");
    }
    mixed.check("rows_dead_lettered", "before it is dropped");
    mixed.product.run(&["disable", "t", "--drop"]).good("disable");
    mixed.product.run(&["enable", "t", "--commit-interval", "50ms", "--error-handling", "LOG"]).good("enable");
    mixed.product.run(&["sync"]).good("sync");
    mixed.check("rows_dead_lettered", "after it was made again");

    // Dropped by somebody else, who left the dead letters: they are another table's.
    let engines = Engines::on(mixed.product.directory());
    engines.ask("drop", json!({"table": "bronze.t"}));
    mixed.product.run(&["disable", "t"]).good("disable");
    let again = ["enable", "t", "--commit-interval", "50ms", "--error-handling", "LOG"];
    let refused = mixed.product.run(&again);
    assert!(refused.stderr.contains("dead letters of another table"), "{}", refused.stderr);
    let elsewhere = [&again[..], &["--log-target", "bad"]].concat();
    mixed.product.run(&elsewhere).good("enable");
    mixed.product.run(&["sync"]).good("sync");
    mixed.product.check("with dead letters elsewhere");
    // Read again, not taken over from what the other table decided: the letters are in their new place.
    let letters = mixed.product.rows_by("tableflow", "bad", "with dead letters elsewhere");
    assert_eq!(letters.len(), mixed.bad.len());
    assert_eq!(mixed.product.status()["rows_dead_lettered"], mixed.bad.len());
}

/// An epoch without a row for a table moves what `status` says all the same.
#[test]
fn what_is_only_in_manifests_counts() {
    let mut mixed = Mixed::new("LOG");
    mixed.send(9);
    mixed.product.run(&["sync"]).good("sync");
    mixed.product.run(&["update", "t", "--error-handling", "SKIP"]).good("update");
    let before = mixed.bad.len();
    // One bad record by itself: neither table gets a row.
    while !mixed.sent.is_multiple_of(3) {
        mixed.send(1);
    }
    mixed.product.run(&["sync"]).good("sync");
    mixed.send(1);
    mixed.product.run(&["sync"]).good("sync");
    let status = mixed.product.status();
    assert_eq!((&status["rows_skipped"], &status["lag"]), (&json!(mixed.bad.len() - before), &json!(0)), "{status}");
}

/// A topic of Avro records, some of whose schemas nobody registered yet.
struct Unregistered {
    product: Product,
    /// Records sent, and the id of the newest schema.
    sent: u64,
    id: u8,
    rows: u64,
}

/// Its byte in a record would end a line.
const LINE_FEED: u8 = 10;

impl Unregistered {
    fn new() -> Self {
        let product = Product::with_topic();
        product.run(&["topic", "create", "a"]).good("topic create");
        let mut topic = Unregistered { product, sent: 0, id: 0, rows: 0 };
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
            let more: String =
                (2..=self.id).map(|n| format!(r#",{{"name":"f{n}","type":["null","int"],"default":null}}"#)).collect();
            let schema = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"n","type":"int"}}{more}]}}"#);
            let file = self.product.directory().with_extension("avsc");
            std::fs::write(&file, schema).unwrap();
            let done = self.product.run(&["schema", "register", "a-value", file.to_str().unwrap(), "-o", "json"]);
            assert_eq!(done.good("schema register").json()["id"], self.id);
            if self.id != LINE_FEED {
                return;
            }
        }
    }

    /// So many records of the newest schema.
    fn send(&mut self, count: u64) {
        self.send_as(self.id, count);
    }

    /// Of a schema that is not there yet; answers its id.
    fn send_unknown(&mut self, count: u64) -> u8 {
        let id = if self.id + 1 == LINE_FEED { LINE_FEED + 1 } else { self.id + 1 };
        self.send_as(id, count);
        id
    }

    fn send_as(&mut self, id: u8, count: u64) {
        let mut lines = Vec::new();
        for _ in 0..count {
            // The number 20 + 4, and a value for the last field alone.
            lines.extend([0, 0, 0, 0, id, 48]);
            lines.extend((2..id).map(|_| 0));
            if id > 1 {
                lines.extend([2, 14]);
            }
            lines.push(b'\n');
        }
        let mut command = self.product.command(&["produce", "a", "--format", "raw"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&lines).unwrap();
        assert!(child.wait().unwrap().success());
        self.sent += count;
    }

    fn status(&self) -> Value {
        self.product.run(&["status", "a", "-o", "json"]).json()
    }

    /// Each record is a row or a dead letter, and only one of them.
    fn check(&self, rows: u64, replay: &str) {
        let status = self.status();
        let counts = (status["rows_committed"].as_u64(), status["rows_dead_lettered"].as_u64());
        assert_eq!(counts, (Some(rows), Some(self.sent - rows)), "{replay}: {status}");
        for reader in READERS {
            let found = self.product.rows_by(reader, "a", replay);
            let mut offsets: Vec<_> = found.iter().map(|row| row["_tableflow_offset"].as_u64().unwrap()).collect();
            offsets.sort_unstable();
            offsets.dedup();
            assert_eq!((found.len() as u64, offsets.len() as u64), (rows, rows), "{replay}, read by {reader}");
            assert!(found.iter().all(|row| row["n"] == 24), "{replay}: {found:?}");
        }
        let listed = self.product.run(&["dlq", "list", "a", "-o", "json"]).good(replay).json();
        assert_eq!(listed.as_array().unwrap().len() as u64, self.sent - rows, "{replay}: {listed}");
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
    // The value of each version's own field is in its column.
    let last = format!("f{}", topic.id);
    let sql = format!("SELECT count(*) AS c FROM a WHERE {last} = 7");
    assert_eq!(topic.product.run(&["query", &sql, "-o", "json"]).good(&sql).json()[0]["c"], 2);
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

/// Whatever a table did with bad records before, its next job goes on from there.
#[test]
fn what_becomes_of_bad_records_can_be_changed_at_any_time() {
    let mut mixed = Mixed::new("SUSPEND");
    mixed.send(4);
    let stopped = mixed.product.run(&["sync"]);
    assert!(!stopped.status.success() && stopped.stderr.contains("--error-handling"), "{}", stopped.stderr);
    let mut skipped = 0;
    for handling in ["SKIP", "LOG", "SKIP", "LOG"] {
        mixed.product.run(&["update", "t", "--error-handling", handling]).good("update");
        let before = mixed.product.status();
        let up = mixed.product.up();
        mixed.product.run(&["resume", "t"]).good("resume");
        mixed.send(9);
        let bad = mixed.bad.len() as u64;
        wait_until("every record is somewhere", || {
            let status = mixed.product.status();
            status["lag"] == 0 && status["rows_committed"] == mixed.product.records()
        });
        let status = mixed.product.status();
        if handling == "SKIP" {
            skipped = bad - status["rows_dead_lettered"].as_u64().unwrap();
        }
        let counts = (status["rows_skipped"].as_u64(), status["rows_dead_lettered"].as_u64());
        assert_eq!(counts, (Some(skipped), Some(bad - skipped)), "{handling}: {status}");
        // The ledger counts from the table's beginning, the metrics from that of the job, whatever it does with them.
        for (name, field) in [("records_skipped", "rows_skipped"), ("deadletter_records", "rows_dead_lettered")] {
            let since = status[field].as_u64().unwrap() - before[field].as_u64().unwrap();
            wait_until(name, || up.metric(&format!("tableflow_{name}_total")) == since as f64);
        }
        up.signal("TERM");
        assert!(up.wait().success(), "{}", mixed.product.log());
        mixed.product.check(handling);
    }
}
