//! Decisions around one commit, case by case: what is asserted, what a reload settles, who is fenced or suspended.

use std::collections::BTreeMap;

use super::super::ledger::{Cut, Positions};
use super::*;

const UUID: Uuid = Uuid::from_u128(1);

fn ledger(generation: u64, epoch: u64, writer: u128) -> Ledger {
    Ledger {
        generation: Generation(generation),
        epoch: Epoch(epoch),
        writer: WriterId(Uuid::from_u128(writer)),
        cut: Cut::Commit,
        positions: Positions::default(),
    }
}

fn facts(guard: Guard, snapshot_id: Option<i64>, sequence: i64, location: &str, ledger: Option<&Ledger>) -> TableFacts {
    TableFacts {
        uuid: UUID,
        guard,
        snapshot_id,
        last_sequence_number: sequence,
        metadata_location: location.to_owned(),
        ledger: ledger.map(|ledger| ledger.to_text().unwrap()),
        history: History::Agrees,
    }
}

/// C1, C4: what a reload says about a commit that asserted snapshot 10, sequence number 5 and location "a".
#[test]
fn i2_a_reload_settles_an_attempt() {
    let (before, mine, other) = (ledger(1, 4, 1), ledger(1, 5, 1), ledger(2, 5, 2));
    let rest = |snapshot, sequence, location, ledger| facts(Guard::Snapshot, snapshot, sequence, location, ledger);
    let glue = |snapshot, sequence, location, ledger| facts(Guard::Location, snapshot, sequence, location, ledger);
    let base = rest(Some(10), 4, "a", Some(&before));
    let cases = [
        ("nothing moved", rest(Some(10), 4, "a", Some(&before)), &before, Settled::Pending, Settled::Open),
        ("landed", rest(Some(11), 5, "b", Some(&mine)), &mine, Settled::Landed, Settled::Landed),
        ("landed, an append on top", rest(Some(12), 6, "c", Some(&mine)), &mine, Settled::Landed, Settled::Landed),
        ("landed, rolled back", rest(Some(10), 5, "c", Some(&mine)), &mine, Settled::Landed, Settled::Landed),
        ("another writer's", rest(Some(12), 5, "b", Some(&other)), &other, Settled::Open, Settled::Open),
        ("an append came first", rest(Some(12), 5, "b", Some(&before)), &before, Settled::Open, Settled::Open),
        ("append, rolled back", rest(Some(10), 5, "b", Some(&before)), &before, Settled::Open, Settled::Open),
        ("a property, REST", rest(Some(10), 4, "b", Some(&before)), &before, Settled::Pending, Settled::Open),
        ("a property, Glue", glue(Some(10), 4, "b", Some(&before)), &before, Settled::Open, Settled::Open),
    ];
    for (case, reloaded, found, unknown, conflict) in cases {
        let mut attempt = Attempt::new(&base, mine.clone());
        assert_eq!(attempt.settle(&reloaded, Some(found), Rules::law()), conflict, "{case}, after a conflict");
        attempt.unknown = true;
        assert_eq!(attempt.settle(&reloaded, Some(found), Rules::law()), unknown, "{case}, after unknown");
    }
}

#[test]
fn i1_an_assertion_is_the_facts_and_the_next_sequence_number() {
    let assertion = Assertion::on(&facts(Guard::Snapshot, Some(10), 4, "a", None));
    let expected =
        Assertion { uuid: UUID, snapshot_id: Some(10), sequence_number: 5, metadata_location: "a".to_owned() };
    assert_eq!(assertion, expected);
}

/// C5: 1 (ours, "a") <- 2 (foreign) <- 3 (ours, "b") <- 4 (foreign).
#[test]
fn i3_history_is_read_from_main_backwards() {
    let all =
        BTreeMap::from([(1, (None, Some("a"))), (2, (Some(1), None)), (3, (Some(2), Some("b"))), (4, (Some(3), None))]);
    let trace = |property, main, retained: &[i64]| {
        History::trace(property, main, |id| {
            let (parent, ledger) = *all.get(&id).filter(|_| retained.contains(&id))?;
            Some(SnapshotFacts { parent, ledger })
        })
    };
    let every = &[1, 2, 3, 4];
    assert_eq!(trace(Some("b"), Some(4), every), History::Agrees);
    assert_eq!(trace(Some("b"), Some(2), every), History::Differs("a".to_owned()));
    assert_eq!(trace(Some("b"), Some(4), &[4]), History::Expired);
    assert_eq!(trace(None, Some(4), every), History::Differs("b".to_owned()));
    assert_eq!(trace(None, None, every), History::NeverOurs);
    assert_eq!(
        History::trace(Some("b"), Some(5), |_| Some(SnapshotFacts { parent: None, ledger: None })),
        History::NeverOurs
    );
}

#[test]
fn i3_a_table_that_is_not_what_we_left_suspends() {
    let (four, five) = (ledger(1, 4, 1), ledger(1, 5, 1));
    let text = |ledger: &Ledger| History::Differs(ledger.to_text().unwrap());
    let with =
        |ledger: Option<&Ledger>, history| TableFacts { history, ..facts(Guard::Snapshot, Some(1), 1, "a", ledger) };
    let known = Known { uuid: Some(UUID), had_ledger: false };
    let had = Known { had_ledger: true, ..known };
    let elsewhere = TableFacts { uuid: Uuid::from_u128(2), ..with(None, History::NeverOurs) };
    let damaged = TableFacts { ledger: Some("{".to_owned()), ..with(None, History::Agrees) };
    let cases = [
        (known, with(None, History::NeverOurs), Ok(None)),
        (known, with(Some(&five), History::Agrees), Ok(Some(five.clone()))),
        (known, with(Some(&five), History::Expired), Ok(Some(five.clone()))),
        (known, elsewhere, Err(Suspend::TableRecreated { expected: UUID, found: Uuid::from_u128(2) })),
        (had, with(None, History::NeverOurs), Err(Suspend::LedgerMissing)),
        (known, with(None, text(&four)), Err(Suspend::LedgerMissing)),
        (known, with(Some(&five), text(&four)), Err(Suspend::RolledBack { ledger: Epoch(5), main: Some(Epoch(4)) })),
        (known, with(Some(&five), History::NeverOurs), Err(Suspend::RolledBack { ledger: Epoch(5), main: None })),
        (known, with(Some(&four), text(&five)), Err(Suspend::LedgerBehind { ledger: Epoch(4), main: Epoch(5) })),
        (known, damaged, Err(Suspend::LedgerDamaged { detail: "the ledger is damaged".to_owned() })),
    ];
    for (mut known, facts, expected) in cases {
        assert_eq!(known.examine(&facts, Rules::law()), expected, "{facts:?}");
    }
}

/// S2: own generation 3, own nonce 1.
#[test]
fn a_higher_generation_or_a_rival_fences() {
    let own = WriterId(Uuid::from_u128(1));
    let cases = [(2, 1, false), (2, 2, false), (3, 1, false), (3, 2, true), (4, 2, true), (4, 1, true)];
    for (generation, writer, stops) in cases {
        let found = fenced(&ledger(generation, 9, writer), Generation(3), own, Rules::law());
        assert_eq!(found.is_some(), stops, "generation {generation} writer {writer}");
    }
}
