//! A table with one row a key in each way that rows that go are written, beside a plain map: after every commit all
//! readers give what the map holds, though syncs, compactions and upkeep are killed on the way.

use std::os::unix::process::ExitStatusExt;

use super::upserts::{Keyed, OF_COMMITS, SIGKILL};
use crate::changes::{Changes, Kind};

const ROUNDS: usize = 24;

fn whatever_dies(seed: u64, skewed: bool, asked: &[&str], updates: &[(usize, &[&str])]) {
    let mut keyed = Keyed::of(Changes::of(Kind::Mixed { skewed }, seed), asked);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut kills = 0;
    for round in 0..ROUNDS {
        for (_, update) in updates.iter().filter(|(at, _)| *at == round) {
            keyed.product.run(&[&["update", "t"], *update].concat()).good("update");
        }
        keyed.send(random.usize(1..60));
        let verbs = [["sync"].as_slice(), &["compact", "t"], &["maintain", "t"]];
        let verb = verbs[random.usize(..verbs.len())];
        let point = OF_COMMITS[random.usize(..OF_COMMITS.len())];
        let nth = random.u32(1..3);
        let replay = format!("{asked:?}, round {round}: TABLEFLOW_KILL_AT={point}:{nth} tableflow {verb:?}");
        let done = keyed.product.run_until(verb, point.name(), nth);
        if done.status.signal() == Some(SIGKILL) {
            kills += 1;
        } else {
            done.good(&replay);
        }
        keyed.sync_and_check(&replay);
        if round % 5 == 4 {
            // However often it is killed: once it says that the key is gone, it is.
            let key = keyed.one();
            let erase = ["erase", "t", "--key", &key.to_string()];
            let killed = keyed.product.run_until(&erase, point.name(), 1);
            kills += usize::from(killed.status.signal() == Some(SIGKILL));
            keyed.product.run(&erase).good(&replay);
            keyed.forget(key);
            keyed.check(&replay);
        }
        if round % 4 == 3 {
            keyed.product.run(&["compact", "t"]).good(&replay);
            keyed.check(&replay);
        }
    }
    println!("{kills} kills in {ROUNDS} rounds");
    assert!(kills >= ROUNDS / 3, "{kills} kills");
}

#[test]
fn f6_positions_hold_what_a_plain_map_does() {
    whatever_dies(31, false, &["--partition-by", "day"], &[]);
}

#[test]
fn f6_deletion_vectors_hold_what_a_plain_map_does() {
    whatever_dies(32, true, &["--delete-encoding", "dv", "--partition-by", "day"], &[]);
}

#[test]
fn f6_copies_on_write_hold_what_a_plain_map_does() {
    whatever_dies(33, false, &["--delete-encoding", "cow", "--sort-by", "v"], &[]);
}

/// A live table on its way through all of them, and through other partitions.
#[test]
fn f6_a_table_that_is_written_in_other_ways_holds_what_a_plain_map_does() {
    let updates: [(usize, &[&str]); 4] = [
        (5, &["--delete-encoding", "cow"]),
        (10, &["--partition-by", "bucket(2, id)"]),
        (14, &["--delete-encoding", "dv"]),
        (19, &["--partition-by", "", "--delete-encoding", "cow"]),
    ];
    whatever_dies(34, true, &["--partition-by", "day"], &updates);
}
