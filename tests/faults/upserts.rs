//! A table with one row a key, killed and raced for: what a plain map of the changes holds, nothing more, nothing less.
//! Some changes leave a value as it was.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tableflow_store::KillPoint;

use super::product::{Fields, Product, READERS, wait_until};
use super::versions;
use crate::changes::Changes;

pub const SIGKILL: i32 = 9;

/// A point is passed so often at most by one `sync`.
const PASSES_MAX: u32 = 40;

/// By every commit, of rows and of rewritten files.
pub const OF_COMMITS: [KillPoint; 8] = [
    KillPoint::DataFileBefore,
    KillPoint::DataFileAfter,
    KillPoint::ManifestBefore,
    KillPoint::ManifestAfter,
    KillPoint::ManifestListAfter,
    KillPoint::MetadataAfter,
    KillPoint::CatalogSwapBefore,
    KillPoint::CatalogSwapAfter,
];

/// By `enable`, and nothing trims metadata before its log is full.
pub const OF_ENABLE: [KillPoint; 4] = [
    KillPoint::CatalogCreateBefore,
    KillPoint::CatalogCreateAfter,
    KillPoint::DefinitionBefore,
    KillPoint::DefinitionAfter,
];

/// By jobs that decide an epoch before they commit it, as one with dead letters does.
pub const OF_MANIFESTS: [KillPoint; 4] =
    [KillPoint::EpochBefore, KillPoint::EpochAfter, KillPoint::EpochDeleteBefore, KillPoint::EpochDeleteAfter];

/// Commits that fill the log of metadata.
const COMMITS_BEFORE: usize = 11;

/// A table, and what its topic's changes make.
pub struct Keyed {
    pub product: Product,
    pub changes: Changes,
    /// Whether the table keeps each version of its rows.
    keeps_versions: bool,
}

impl Keyed {
    pub fn new(seed: u64, asked: &[&str]) -> Self {
        Keyed::of(Changes::by_lot(seed).leaving_out(), asked)
    }

    /// The same, with all values in every change.
    pub fn whole(seed: u64, asked: &[&str]) -> Self {
        Keyed::of(Changes::by_lot(seed), asked)
    }

    pub fn of(changes: Changes, asked: &[&str]) -> Self {
        let product = Product::without_topic("t");
        product.run(&["topic", "create", "t", "--partitions", "3"]).good("topic create");
        let keeps_versions = asked.contains(&"history");
        let mut keyed = Keyed { product, changes, keeps_versions };
        keyed.send(20);
        keyed.product.run(&[&["enable", "t", "--mode", "upsert", "--key", "id"], asked].concat()).good("enable");
        keyed
    }

    pub fn send(&mut self, count: usize) {
        let lines = self.changes.lines(|id| json!(id), count);
        let mut command = self.product.command(&["produce", "t", "--envelope"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// What the table has to hold.
    pub fn expected(&self) -> &BTreeMap<i64, i64> {
        &self.changes.expected
    }

    /// Some key that is there.
    pub fn one(&self) -> i64 {
        *self.changes.expected.keys().next().unwrap()
    }

    /// Its row is not expected any more.
    pub fn forget(&mut self, key: i64) {
        self.changes.forget(key);
    }

    /// A row of a key that no change is of.
    pub fn put_by_others(&mut self, key: i64, value: i64) {
        self.changes.expected.insert(key, value);
    }

    pub fn check(&self, replay: &str) {
        if self.keeps_versions {
            return versions::check(self, replay);
        }
        let note = |id: &i64| self.changes.notes.get(id).cloned();
        let expected: Vec<(i64, i64, Option<String>)> =
            self.changes.expected.iter().map(|(id, value)| (*id, *value, note(id))).collect();
        for reader in READERS {
            let number = |value: &Value| value.as_i64().unwrap();
            let rows = self.product.rows_by(reader, "t", replay);
            let note = |row: &Fields| row.get("note").and_then(Value::as_str).map(str::to_owned);
            let mut rows: Vec<_> = rows.iter().map(|row| (number(&row["id"]), number(&row["v"]), note(row))).collect();
            rows.sort_unstable();
            assert_eq!(rows, expected, "{replay}, read by {reader}");
        }
        if self.changes.late > 0 {
            assert_eq!(self.product.status()["changes_left_out"], self.changes.late, "{replay}");
        }
    }

    pub fn sync_and_check(&self, replay: &str) {
        self.product.run(&["sync"]).good(replay);
        self.check(replay);
    }
}

#[test]
fn f6_a_sync_of_changes_killed_at_any_point_keeps_one_row_a_key() {
    kill_at_every_point(1, &["--partition-by", "day"], &[OF_ENABLE, OF_MANIFESTS].concat());
}

/// Its manifests name rows and files of keys: whoever finishes an epoch finds out what it deletes.
#[test]
fn f6_a_sync_of_changes_with_dead_letters_killed_at_any_point_keeps_one_row_a_key() {
    // Snapshots that one could go back to keep its manifests.
    let kept = [KillPoint::EpochDeleteBefore, KillPoint::EpochDeleteAfter];
    kill_at_every_point(4, &["--error-handling", "LOG"], &[&OF_ENABLE[..], &kept].concat());
}

pub fn kill_at_every_point(seed: u64, asked: &[&str], not_passed: &[KillPoint]) {
    kill_keyed_at_every_point(Keyed::new(seed, asked), not_passed);
}

pub fn kill_keyed_at_every_point(mut keyed: Keyed, not_passed: &[KillPoint]) {
    for _ in 0..COMMITS_BEFORE {
        keyed.send(2);
        keyed.product.run(&["sync"]).good("sync");
    }
    for point in KillPoint::of_jobs() {
        let mut kills = 0;
        for nth in 1..=PASSES_MAX {
            let replay = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow sync");
            keyed.send(3 + nth as usize % 7);
            let killed = keyed.product.run_until(&["sync"], point.name(), nth);
            if killed.status.signal() != Some(SIGKILL) {
                killed.good(&replay);
                keyed.check(&replay);
                break;
            }
            kills += 1;
            if nth % 2 == 0 {
                keyed.send(2);
            }
            keyed.sync_and_check(&replay);
        }
        println!("{point}: {kills} kills of sync");
        assert_eq!(kills == 0, not_passed.contains(point), "{point} was hit {kills} times");
    }
}

#[test]
fn f6_a_service_killed_while_changes_come_keeps_one_row_a_key() {
    let mut keyed = Keyed::new(2, &["--commit-interval", "30ms"]);
    for round in 0..12 {
        let up = keyed.product.up();
        let until = Instant::now() + Duration::from_millis(60 + 70 * (round * 5 % 12));
        while Instant::now() < until {
            keyed.send(9);
        }
        up.signal("KILL");
        up.wait();
        if round % 4 == 3 {
            keyed.sync_and_check("a service that was killed");
        }
    }
    keyed.sync_and_check("all of them");
}

/// Each takes the table from the other one, and looks its keys up on what that one left.
#[test]
fn two_processes_that_write_one_table_keep_one_row_a_key() {
    let mut keyed = Keyed::new(3, &["--commit-interval", "20ms"]);
    let first = keyed.product.up();
    for _ in 0..12 {
        keyed.send(15);
        let product = keyed.product.share();
        // Who was there stops, and says so.
        let sync = std::thread::spawn(move || product.run(&["sync"]));
        keyed.send(15);
        sync.join().unwrap();
    }
    keyed.send(5);
    first.signal("TERM");
    first.wait();
    keyed.sync_and_check("two processes");
    wait_until("nothing is behind", || keyed.product.status()["lag"] == 0);
}
