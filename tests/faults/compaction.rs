//! Tables that are compacted, killed and raced for: one row a key, whatever dies.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tableflow_store::KillPoint;

use super::upserts::{Keyed, SIGKILL};
use crate::days::{a_day_passes, files_below};
use crate::python::Engines;

/// A point is passed so often at most by one compaction.
const PASSES_MAX: u32 = 40;

fn compact(keyed: &Keyed, what: &str) -> Value {
    keyed.product.run(&["compact", "t", "-o", "json"]).good(what).json()
}

/// What a compaction left behind when it was killed is nothing that anybody sees, and the next one goes on.
#[test]
fn f6_a_compaction_killed_at_any_point_keeps_one_row_a_key() {
    let mut keyed = Keyed::new(11, &["--partition-by", "day"]);
    let mut points = 0;
    for point in KillPoint::ALL {
        let mut kills = 0;
        for nth in 1..=PASSES_MAX {
            let replay = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow compact t");
            keyed.send(12);
            keyed.product.run(&["sync"]).good(&replay);
            keyed.send(3);
            let killed = keyed.product.run_until(&["compact", "t"], point.name(), nth);
            if killed.status.signal() != Some(SIGKILL) {
                killed.good(&replay);
                break;
            }
            kills += 1;
            keyed.sync_and_check(&replay);
        }
        points += usize::from(kills > 0);
        println!("{point}: {kills} kills of compact");
    }
    assert!(points >= 10, "{points} points were passed");
    compact(&keyed, "the last one");
    keyed.sync_and_check("the last one");
}

/// The service, its compactions beside it, and all of it killed now and then.
#[test]
fn f6_a_service_and_compactions_killed_at_random_keep_one_row_a_key() {
    let mut keyed = Keyed::new(12, &["--commit-interval", "30ms"]);
    let (mut compactions, mut moved) = (0, 0);
    for round in 0..8 {
        let up = keyed.product.up();
        let until = Instant::now() + Duration::from_millis(200 + 150 * (round * 5 % 8));
        while Instant::now() < until {
            keyed.send(40);
            let report = compact(&keyed, "beside a service");
            compactions += report["commits"].as_u64().unwrap();
            moved += report["deletes_moved"].as_u64().unwrap();
        }
        up.signal("KILL");
        up.wait();
        if round % 3 == 2 {
            keyed.sync_and_check("a service that was killed");
        }
    }
    println!("{compactions} compactions, {moved} deletes moved");
    assert!(compactions > 8);
    keyed.sync_and_check("all of them");
}

/// I5: after the faults, and a day for readers, there is what the table names, and nothing else of ours.
#[test]
fn i5_what_dead_processes_left_goes_and_nothing_else_does() {
    let mut keyed = Keyed::new(14, &["--partition-by", "day"]);
    let directory = keyed.product.directory().to_owned();
    let mut random = fastrand::Rng::with_seed(14);
    let all = ["data-file-after", "manifest-after", "manifest-list-after", "metadata-after", "catalog-swap-after"];
    let (sync, compact) = (["sync", "t"].as_slice(), ["compact", "t"].as_slice());
    let verbs = [sync, sync, compact, compact, &["expire", "t", "--keep", "2"], &["vacuum", "t"]];
    let mut kills = 0;
    for round in 0..100 {
        keyed.send(15);
        let (verb, point) = (verbs[random.usize(..verbs.len())], all[random.usize(..all.len())]);
        let done = keyed.product.run_until(verb, point, random.u32(1..3));
        kills += u32::from(done.status.signal() == Some(SIGKILL));
        if round % 4 == 0 {
            a_day_passes(&directory);
        }
        if round % 10 == 9 {
            keyed.sync_and_check(&format!("round {round}: {verb:?} killed at {point}"));
        }
    }
    assert!(kills > 15, "{kills} kills");
    // A commit each that decides, finds, and moves main.
    for _ in 0..3 {
        keyed.send(10);
        keyed.product.run(&["sync"]).good("sync");
        keyed.product.run(&["vacuum", "t"]).good("vacuum");
        a_day_passes(&directory);
    }
    let report = keyed.product.run(&["vacuum", "t", "-o", "json"]).good("vacuum").json();
    assert_eq!(report["files_undecided"], 0, "{report}");
    let named = Engines::on(&directory).ask("named", json!({"table": "bronze.t"}));
    let named: BTreeSet<PathBuf> = serde_json::from_value(named).unwrap();
    let there = files_below(&directory.join("warehouse"));
    let lost: Vec<_> = named.difference(&there).collect();
    let left: Vec<_> = there.difference(&named).collect();
    assert!(lost.is_empty() && left.is_empty(), "lost {lost:?}, left {left:?}, {report}");
    keyed.check("after all");
}

/// One of them takes over, or plans what the other one left.
#[test]
fn compactions_of_one_table_at_once_keep_one_row_a_key() {
    let mut keyed = Keyed::new(13, &[]);
    for round in 0..6 {
        for _ in 0..4 {
            keyed.send(20);
            keyed.product.run(&["sync"]).good("sync");
        }
        let racing: Vec<_> = (0..3)
            .map(|_| {
                let product = keyed.product.share();
                std::thread::spawn(move || product.run(&["compact", "t"]))
            })
            .collect();
        for done in racing.into_iter().map(|racing| racing.join().unwrap()) {
            if !done.status.success() {
                assert!(done.stderr.contains("another compaction of bronze.t took over"), "{}", done.stderr);
            }
        }
        keyed.check(&format!("round {round}"));
    }
}
