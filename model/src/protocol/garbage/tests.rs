//! Judgements by hand, and the order of a collection.

use super::*;
use crate::protocol::Generation;

fn listed(name: &str, modified: i64) -> Listed {
    Listed { name: name.to_owned(), modified: Millis(modified) }
}

/// G2, G3: the ledger of job "orders" stands at epoch 5.
#[test]
fn i1_a_file_is_garbage_when_it_is_decided_unreachable_and_old() {
    let reachable = Reachable {
        names: ["orders-1-4-0".to_owned()].into(),
        ledgers: [("orders".parse().unwrap(), Epoch(5))].into(),
    };
    let day = AGE_MIN_MS;
    let cases = [
        ("orders-1-4-0", 0, Verdict::Reachable),
        ("orders-1-4-1", 0, Verdict::Garbage),
        ("orders-1-5-0", 0, Verdict::Garbage),
        ("orders-1-5-0", 1, Verdict::Young),
        ("orders-1-6-0", 0, Verdict::Undecided),
        ("payments-1-1-0", 0, Verdict::Undecided),
        ("part-00000", 0, Verdict::Foreign),
    ];
    for (name, modified, verdict) in cases {
        assert_eq!(judge(&listed(name, modified), &reachable, Millis(day), day, Rules::law()), verdict, "{name}");
    }
}

#[test]
fn i2_a_sweep_lists_first_and_reads_what_is_reachable_second() {
    let mut sweep = Sweep::new(AGE_MIN_MS, Rules::law()).unwrap();
    assert_eq!(sweep.next(SweepEvent::Start), SweepStep::List);
    let files = vec![listed("orders-1-4-0", 0), listed("orders-1-6-0", 0), listed("readme", 0)];
    let step = sweep.next(SweepEvent::Listed { files, now: Millis(AGE_MIN_MS) });
    assert_eq!(step, SweepStep::ReadReachable);
    let ledgers = [("orders".parse().unwrap(), Epoch(5))].into();
    let step = sweep.next(SweepEvent::Read(Reachable { names: BTreeSet::new(), ledgers }));
    assert_eq!(step, SweepStep::Delete(vec!["orders-1-4-0".to_owned()]));
    assert_eq!(sweep.next(SweepEvent::Deleted), SweepStep::Done { undecided: vec!["orders-1-6-0".to_owned()] });
}

#[test]
fn i3_a_short_age_is_refused() {
    for age_ms in [AGE_MIN_MS - 1, 0, -1, i64::MIN] {
        assert!(Sweep::new(age_ms, Rules::law()).is_err(), "{age_ms}");
    }
}

/// A name that is shortened is judged by its own job's ledger.
#[test]
fn i1_the_longest_jobs_files_are_its_own_to_collect() {
    let job: JobName = "j".repeat(249).parse().unwrap();
    let other: JobName = format!("{}k", "j".repeat(248)).parse().unwrap();
    let name = FileName::new(&job, Generation(1), Epoch(2), 3).to_string();
    for (ledger, verdict) in [(job, Verdict::Garbage), (other, Verdict::Undecided)] {
        let reachable = Reachable { names: BTreeSet::new(), ledgers: [(ledger, Epoch(2))].into() };
        let judged = judge(&listed(&name, 0), &reachable, Millis(AGE_MIN_MS), AGE_MIN_MS, Rules::law());
        assert_eq!(judged, verdict);
    }
}

/// I4: a list of manifests that was there when main stood at 7 may still be published until main moves.
#[test]
fn i4_an_object_of_the_metadata_is_decided_once_main_has_moved() {
    let seen = Some(Seen { at: Millis(100), sequence: 7 });
    for (seen, sequence, now, verdict) in [
        (None, 8, 100 + AGE_MIN_MS, Verdict::Undecided),
        (seen, 7, 100 + AGE_MIN_MS, Verdict::Undecided),
        (seen, 8, 99 + AGE_MIN_MS, Verdict::Young),
        (seen, 8, 100 + AGE_MIN_MS, Verdict::Garbage),
    ] {
        assert_eq!(
            judge_metadata(seen, sequence, Millis(now), AGE_MIN_MS, Rules::law()),
            verdict,
            "{seen:?} {sequence} {now}"
        );
    }
}
