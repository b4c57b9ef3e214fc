use super::*;

fn listed(name: &str, modified: i64) -> Listed {
    Listed { name: name.to_owned(), modified: Millis(modified) }
}

#[test]
fn i1_names_are_read_from_the_right_and_without_loss() {
    for (text, job, numbers) in [
        ("orders-1-2-3", "orders", (1, 2, 3)),
        ("bronze.or-ders-7-1-2-3", "bronze.or-ders-7", (1, 2, 3)),
        ("a-18446744073709551615-0-0", "a", (u64::MAX, 0, 0)),
    ] {
        let name: FileName = text.parse().unwrap();
        assert_eq!((name.job.as_str(), (name.generation.0, name.epoch.0, name.number)), (job, numbers));
        assert_eq!(name.to_string(), text);
    }
    for foreign in ["", "orders", "1-2-3", "-1-2-3", "orders-1-2-x", "orders-01-2-3", "orders-+1-2-3", "a/b-1-2-3"] {
        assert!(foreign.parse::<FileName>().is_err(), "{foreign}");
    }
}

/// G2, G3: the ledger of job "orders" stands at epoch 5.
#[test]
fn i2_a_file_is_garbage_when_it_is_decided_unreachable_and_old() {
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
fn i3_a_sweep_lists_first_and_reads_what_is_reachable_second() {
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
fn i4_a_short_age_is_refused() {
    for age_ms in [AGE_MIN_MS - 1, 0, -1, i64::MIN] {
        assert!(Sweep::new(age_ms, Rules::law()).is_err(), "{age_ms}");
    }
}
