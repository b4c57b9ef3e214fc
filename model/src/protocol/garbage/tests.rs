use proptest::prelude::*;

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
        assert_eq!((name.generation.0, name.epoch.0, name.number), numbers);
        assert!(name.is_of(&job.parse().unwrap()), "{text}");
        assert_eq!(name.to_string(), text);
    }
    for foreign in
        ["", "orders", "1-2-3", "-1-2-3", "orders-1-2-x", "orders-01-2-3", "orders-+1-2-3", "a/b-1-2-3", "%20-1-2-3"]
    {
        assert!(foreign.parse::<FileName>().is_err(), "{foreign}");
    }
}

proptest! {
    /// 249 letters are the longest that a job's name may have; above 180 it is shortened.
    #[test]
    fn i1_the_files_of_every_job_are_its_own(
        job in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}",
        other in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}",
        end in "[A-Za-z0-9._-]{1,20}",
        numbers in any::<(u64, u64, u64)>(),
    ) {
        let (generation, epoch, number) = (Generation(numbers.0), Epoch(numbers.1), numbers.2);
        let longer: String = job.chars().chain(end.chars()).take(249).collect();
        let job: JobName = job.parse().unwrap();
        let name = FileName::new(&job, generation, epoch, number);
        let text = name.to_string();
        prop_assert!(text.len() + ".parquet".len() <= 255, "{text}");
        prop_assert_eq!(&text.parse::<FileName>().unwrap(), &name);
        prop_assert!(name.is_of(&job));
        for other in [other, longer].map(|other| other.parse::<JobName>().unwrap()) {
            prop_assert_eq!(name.is_of(&other), job == other);
        }
        let reachable = Reachable { names: BTreeSet::new(), ledgers: [(job, epoch)].into() };
        let verdict = judge(&listed(&text, 0), &reachable, Millis(AGE_MIN_MS), AGE_MIN_MS, Rules::law());
        prop_assert_eq!(verdict, Verdict::Garbage);
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
