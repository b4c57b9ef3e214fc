//! Ledgers after a rollback, with offsets taken back or kept.

use uuid::Uuid;

use super::super::ledger::{Generation, Positions, TopicPositions};
use super::*;
use crate::source::{Offset, Partition, TopicId};

fn ledger(generation: u64, epoch: u64, cut: Cut, offset: i64) -> Ledger {
    let offsets = [(Partition(0), Offset(offset))].into();
    let orders = TopicPositions::new(TopicId(Uuid::from_u128(1)), offsets);
    Ledger {
        generation: Generation(generation),
        epoch: Epoch(epoch),
        writer: WriterId(Uuid::from_u128(1)),
        cut,
        positions: Positions([("orders".parse().unwrap(), orders)].into()),
    }
}

const OPERATOR: WriterId = WriterId(Uuid::from_u128(9));

#[test]
fn i1_i2_a_replay_takes_offsets_back_and_numbers_forward() {
    let (current, target) = (ledger(4, 9, Cut::Commit, 90), ledger(2, 3, Cut::Commit, 30));
    let found = replay(&current, &target, &[], Epoch(0), OPERATOR, Rules::law()).unwrap();
    assert_eq!(found, Ledger { writer: OPERATOR, ..ledger(5, 10, Cut::Commit, 30) });
}

#[test]
fn i3_a_replay_over_manifests_needs_all_of_them() {
    let (current, target) = (ledger(4, 9, Cut::Manifest, 90), ledger(2, 6, Cut::Manifest, 60));
    let with = |kept: &[u64]| {
        let kept: Vec<Epoch> = kept.iter().copied().map(Epoch).collect();
        replay(&current, &target, &kept, Epoch(10), OPERATOR, Rules::law())
    };
    let found = with(&[6, 7, 8, 9, 10]).unwrap();
    assert_eq!(found, Ledger { writer: OPERATOR, ..ledger(5, 6, Cut::Manifest, 60) });
    for (kept, gone) in [(&[6, 7, 8, 10][..], 9), (&[7, 8, 9, 10], 6), (&[6, 7, 8, 9], 10), (&[], 6)] {
        let error = with(kept).unwrap_err();
        assert!(error.report().contains(&format!("the staged files of epoch {gone} are gone")), "{}", error.report());
    }
    let direct = ledger(1, 5, Cut::Commit, 50);
    assert!(replay(&current, &direct, &[], Epoch(5), OPERATOR, Rules::law()).is_err(), "from before the manifests");
}

#[test]
fn i4_offsets_are_kept_where_they_are_past_the_target() {
    let (current, older) = (ledger(4, 9, Cut::Commit, 90), ledger(2, 3, Cut::Commit, 30));
    let found = keep_offsets(&current, &older, OPERATOR).unwrap();
    assert_eq!(found, Ledger { writer: OPERATOR, ..ledger(5, 10, Cut::Commit, 90) });
    let manifests = ledger(4, 9, Cut::Manifest, 90);
    assert_eq!(keep_offsets(&manifests, &older, OPERATOR).unwrap().epoch, Epoch(9), "manifests own the numbers");
    let ahead = ledger(2, 3, Cut::Commit, 91);
    assert!(keep_offsets(&current, &ahead, OPERATOR).is_err(), "after a replay an older snapshot may hold more");
}
