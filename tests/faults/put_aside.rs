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
}

impl Mixed {
    fn new(handling: &str) -> Self {
        let product = Product::with_topic();
        product.run(&["enable", "t", "--commit-interval", "50ms", "--error-handling", handling]).good("enable");
        let sent = product.records() as u64;
        Mixed { product, bad: BTreeMap::new(), ends: [sent.div_ceil(2), sent / 2], sent }
    }

    /// So many records to the partitions in turn, every third of which fits no row.
    fn send(&mut self, count: u64) {
        let (mut lines, mut good) = (String::new(), Vec::new());
        for _ in 0..count {
            let (id, partition) = (self.sent, (self.sent % 2) as usize);
            let place = (partition as u64, self.ends[partition]);
            let value = if id % 3 == 0 { json!({"id": format!("no number {id}")}) } else { json!({"id": id}) };
            writeln!(lines, "{}", json!({"partition": partition, "value": value})).unwrap();
            match value {
                Value::Object(fields) if id % 3 != 0 => good.push((place, fields)),
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
    for point in KillPoint::ALL.iter().filter(|point| !NOT_PASSED.contains(point)) {
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
            mixed.product.run(&["sync"]).good(&replay);
            mixed.check(counted_as, &replay);
        }
        println!("{point}: {kills} kills of sync with {handling}");
        assert_eq!(kills == 0, not_passed.contains(point), "{point} was hit {kills} times");
    }
}

#[test]
fn a_table_with_dead_letters_killed_at_any_point_loses_and_doubles_nothing() {
    kill_everywhere("LOG", "rows_dead_lettered", &[]);
}

#[test]
fn a_table_that_skips_killed_at_any_point_counts_every_record_once() {
    kill_everywhere("SKIP", "rows_skipped", &[KillPoint::EpochBefore, KillPoint::EpochAfter]);
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
        up.signal("TERM");
        assert!(up.wait().success(), "{}", mixed.product.log());
        mixed.product.check(handling);
    }
}
