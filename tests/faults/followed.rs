//! The job of a table that somebody follows, killed: the consumer is told each change once, whatever died.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use serde_json::Value;
use tableflow_store::KillPoint;

use super::product::Done;
use super::upserts::{Keyed, OF_COMMITS, SIGKILL};

/// Where a manifest decides an epoch.
const OF_MANIFESTS: [KillPoint; 2] = [KillPoint::EpochBefore, KillPoint::EpochAfter];

const AUDIT: [&str; 6] = ["changes", "t", "--consumer", "audit", "-o", "ndjson"];

/// Of a registration.
const REGISTERS: [(KillPoint, bool); 4] = [
    (KillPoint::MetadataBefore, false),
    (KillPoint::MetadataAfter, false),
    (KillPoint::CatalogSwapBefore, false),
    (KillPoint::CatalogSwapAfter, true),
];

/// What a consumer makes of what it is told.
#[derive(Default)]
struct Audit {
    rows: BTreeMap<i64, i64>,
    told: usize,
}

impl Audit {
    /// Each row that goes has to be there, each that comes must not: nothing is told twice, and nothing is left out.
    fn follow(&mut self, keyed: &Keyed, replay: &str) {
        let told = keyed.product.run(&AUDIT).good(replay);
        self.take(&told, replay);
    }

    fn take(&mut self, told: &Done, replay: &str) {
        for line in told.stdout.lines() {
            let change: Value = serde_json::from_str(line).unwrap();
            let (id, value) = (change["id"].as_i64().unwrap(), change["v"].as_i64().unwrap());
            match change["_change_type"].as_str().unwrap() {
                "INSERT" | "UPDATE_AFTER" => assert_eq!(self.rows.insert(id, value), None, "{replay}: {change}"),
                _ => assert_eq!(self.rows.remove(&id), Some(value), "{replay}: {change}"),
            }
            self.told += 1;
        }
    }
}

fn killed(seed: u64, asked: &[&str], by_manifests: bool) {
    let mut keyed = Keyed::whole(seed, asked);
    keyed.product.run(&["sync"]).good("sync");
    let mut audit = Audit::default();
    audit.follow(&keyed, "before any of it");
    let mut random = fastrand::Rng::with_seed(seed);
    let points = [&OF_COMMITS[..], if by_manifests { &OF_MANIFESTS } else { &[] }].concat();
    for (point, nth) in points.iter().flat_map(|point| [(point, 1), (point, 2), (point, 3)]) {
        let replay = format!("{asked:?}: TABLEFLOW_KILL_AT={point}:{nth} tableflow sync");
        keyed.send(random.usize(5..40));
        let died = keyed.product.run_until(&["sync"], point.name(), nth);
        let is_killed = died.status.signal() == Some(SIGKILL);
        assert!(is_killed || nth > 1, "{replay}: {point} was not hit");
        if random.bool() {
            // It reads what there is of an epoch that nobody finished yet.
            audit.follow(&keyed, &replay);
        }
        if random.bool() {
            keyed.send(random.usize(1..10));
        }
        keyed.product.run(&["sync"]).good(&replay);
        if random.u8(..4) == 0 {
            keyed.product.run(&["compact", "t"]).good(&replay);
        }
        if random.u8(..3) > 0 {
            audit.follow(&keyed, &replay);
            assert_eq!(&audit.rows, keyed.expected(), "{replay}");
        }
    }
    audit.follow(&keyed, "all of it");
    assert_eq!(&audit.rows, keyed.expected(), "{asked:?}");
    // Versions of an epoch are told each: more than what is left of it.
    assert!(audit.told > 2 * keyed.expected().len(), "{} changes", audit.told);
    keyed.check("all of it");
}

#[test]
fn f6_a_followed_table_whose_sync_is_killed_tells_each_change_once() {
    killed(1, &["--partition-by", "day"], false);
}

#[test]
fn f6_a_followed_table_with_dead_letters_whose_sync_is_killed_tells_each_change_once() {
    killed(2, &["--error-handling", "LOG"], true);
}

#[test]
fn f6_a_followed_table_that_copies_on_write_whose_sync_is_killed_tells_each_change_once() {
    killed(3, &["--delete-encoding", "cow"], false);
}

/// Between its last line and its registration: what it was told then is told again, and nothing that it was not told
/// counts as taken.
#[test]
fn f6_a_consumer_that_is_killed_before_it_registers_is_told_again() {
    let mut keyed = Keyed::whole(4, &[]);
    keyed.product.run(&["sync"]).good("sync");
    let mut audit = Audit::default();
    // The first run registers twice: where it begins, and how far it came.
    for (point, is_registered) in REGISTERS {
        let replay = format!("TABLEFLOW_KILL_AT={point}:1 tableflow changes, a new consumer");
        let killed = keyed.product.run_until(&AUDIT, point.name(), 1);
        assert_eq!((killed.status.signal(), killed.stdout.as_str()), (Some(SIGKILL), ""), "{replay}");
        if is_registered {
            // It was to start, and starts with what is there by then.
            keyed.send(9);
            keyed.product.run(&["sync"]).good(&replay);
        }
    }
    for (round, (point, is_registered)) in (0..).zip([REGISTERS, REGISTERS].concat()) {
        let replay = format!("round {round}, TABLEFLOW_KILL_AT={point}:1 tableflow changes");
        let killed = keyed.product.run_until(&AUDIT, point.name(), 1);
        assert_eq!(killed.status.signal(), Some(SIGKILL), "{replay}");
        assert!(!killed.stdout.is_empty(), "{replay}: all was told before it died");
        let again = keyed.product.run(&AUDIT).good(&replay);
        assert_eq!(again.stdout, if is_registered { "" } else { killed.stdout.as_str() }, "{replay}");
        audit.take(&killed, &replay);
        assert_eq!(&audit.rows, keyed.expected(), "{replay}");
        keyed.send(20);
        keyed.product.run(&["sync"]).good(&replay);
    }
    audit.follow(&keyed, "all of it");
    assert_eq!(&audit.rows, keyed.expected());
}
