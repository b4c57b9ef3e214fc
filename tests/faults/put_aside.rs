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
