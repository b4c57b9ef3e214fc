//! A job with one table, step by step, through every kind of reply.

use std::collections::BTreeMap;

use super::super::commit::{Guard, History};
use super::super::ledger::TopicPositions;
use super::*;
use crate::source::{Offset, Partition, TopicId};

const TABLE: Uuid = Uuid::from_u128(1);

fn writer(nonce: u128) -> WriterId {
    WriterId(Uuid::from_u128(nonce))
}

fn positions(topic: u128, offset: i64) -> Positions {
    let offsets = BTreeMap::from([(Partition(0), Offset(offset))]);
    let orders = TopicPositions::new(TopicId(Uuid::from_u128(topic)), offsets);
    Positions([("orders".parse().unwrap(), orders)].into())
}

fn ledger(generation: u64, epoch: u64, nonce: u128, offset: i64) -> Ledger {
    Ledger {
        generation: Generation(generation),
        epoch: Epoch(epoch),
        writer: writer(nonce),
        cut: Cut::Commit,
        positions: positions(7, offset),
    }
}

/// A table with `sequence` snapshots, the last of them with that id.
fn facts(sequence: i64, ledger: Option<&Ledger>) -> Box<TableFacts> {
    let text = ledger.map(|ledger| ledger.to_text().unwrap());
    Box::new(TableFacts {
        uuid: TABLE,
        guard: Guard::Snapshot,
        snapshot_id: (sequence > 0).then_some(sequence),
        last_sequence_number: sequence,
        metadata_location: sequence.to_string(),
        history: if text.is_some() { History::Agrees } else { History::NeverOurs },
        ledger: text,
    })
}

/// A writer with nonce 1 that has loaded this table and staged up to this offset.
fn publishing(base: Box<TableFacts>, offset: i64) -> (DirectWriter, DirectStep) {
    let mut machine = DirectWriter::new(writer(1), Some(TABLE), Rules::law());
    assert_eq!(machine.next(DirectEvent::Start).unwrap(), DirectStep::Load);
    assert!(matches!(machine.next(DirectEvent::Loaded(base)).unwrap(), DirectStep::Stage { .. }));
    let step = machine.next(DirectEvent::Staged(positions(7, offset))).unwrap();
    (machine, step)
}

#[test]
fn i1_an_empty_table_gets_its_first_ledger_and_the_next_epoch_follows_without_a_load() {
    let mut machine = DirectWriter::new(writer(1), None, Rules::law());
    machine.next(DirectEvent::Start).unwrap();
    let first = machine.next(DirectEvent::Loaded(facts(0, None))).unwrap();
    assert_eq!(first, DirectStep::Stage { from: None, generation: Generation(1), epoch: Epoch(1) });
    let publish = machine.next(DirectEvent::Staged(positions(7, 0))).unwrap();
    let one = ledger(1, 1, 1, 0);
    let assertion = Assertion { uuid: TABLE, snapshot_id: None, sequence_number: 1, metadata_location: "0".to_owned() };
    assert_eq!(publish, DirectStep::Publish { assertion, ledger: one.clone() });
    let applied = DirectEvent::Published(CommitReply::Applied(facts(1, Some(&one))));
    assert_eq!(machine.next(applied).unwrap(), DirectStep::Committed { ledger: one });
    let next = machine.next(DirectEvent::Continue).unwrap();
    let expected = DirectStep::Stage { from: Some(positions(7, 0)), generation: Generation(1), epoch: Epoch(2) };
    assert_eq!(next, expected);
}

/// S2, C4: what follows each answer, by what the table shows when it is loaded again.
#[test]
fn i2_after_a_conflict_or_an_unknown_outcome_the_ledger_decides() {
    let before = ledger(1, 4, 9, 10);
    let mine = ledger(2, 5, 1, 20);
    let (zombie, rival, later) = (ledger(1, 5, 9, 15), ledger(2, 5, 8, 15), ledger(3, 5, 8, 15));
    let publish = |sequence: i64| {
        let (assertion, ledger) = (Assertion::on(&facts(sequence, Some(&before))), mine.clone());
        DirectStep::Publish { assertion, ledger }
    };
    let committed = DirectStep::Committed { ledger: mine.clone() };
    let restage = DirectStep::Stage { from: Some(positions(7, 15)), generation: Generation(2), epoch: Epoch(6) };
    let fenced = |by| DirectStep::Stop(Stop::Fenced { own: Generation(2), by: Generation(by), writer: writer(8) });
    let (rejected, unknown) = (CommitReply::Rejected, CommitReply::Unknown);
    let cases = [
        ("unknown, landed", &unknown, facts(6, Some(&mine)), committed.clone()),
        ("unknown, nothing moved", &unknown, facts(5, Some(&before)), DirectStep::PublishIdentical),
        ("unknown, a foreign append", &unknown, facts(6, Some(&before)), publish(6)),
        ("unknown, a zombie's epoch", &unknown, facts(6, Some(&zombie)), restage.clone()),
        ("conflict, landed by a hidden retry", &rejected, facts(6, Some(&mine)), committed),
        ("conflict, a foreign append", &rejected, facts(6, Some(&before)), publish(6)),
        ("conflict, a zombie's epoch", &rejected, facts(6, Some(&zombie)), restage),
        ("conflict, a rival of this generation", &rejected, facts(6, Some(&rival)), fenced(2)),
        ("conflict, a later generation", &rejected, facts(6, Some(&later)), fenced(3)),
    ];
    for (case, reply, reloaded, expected) in cases {
        let (mut machine, step) = publishing(facts(5, Some(&before)), 20);
        assert_eq!(step, publish(5), "{case}");
        assert_eq!(machine.next(DirectEvent::Published(reply.clone())).unwrap(), DirectStep::Load, "{case}");
        assert_eq!(machine.next(DirectEvent::LoadFailed).unwrap(), DirectStep::Load, "{case}");
        assert_eq!(machine.next(DirectEvent::Loaded(reloaded)).unwrap(), expected, "{case}");
    }
}

/// C4: the commit may still be on its way; a conflict on the second sending says nothing about the first.
#[test]
fn i2_a_conflict_after_an_unknown_outcome_is_still_unknown() {
    let before = ledger(1, 4, 9, 10);
    let (mut machine, _) = publishing(facts(5, Some(&before)), 20);
    for reply in [CommitReply::Unknown, CommitReply::Rejected, CommitReply::Rejected] {
        assert_eq!(machine.next(DirectEvent::Published(reply)).unwrap(), DirectStep::Load);
        let step = machine.next(DirectEvent::Loaded(facts(5, Some(&before)))).unwrap();
        assert_eq!(step, DirectStep::PublishIdentical);
    }
}

#[test]
fn staged_files_that_no_longer_fit_are_staged_again() {
    let before = ledger(1, 4, 9, 10);
    let (mut machine, _) = publishing(facts(5, Some(&before)), 20);
    assert_eq!(machine.next(DirectEvent::StagedUnfit).unwrap(), DirectStep::Load);
    let step = machine.next(DirectEvent::Loaded(facts(6, Some(&before)))).unwrap();
    assert!(matches!(step, DirectStep::Stage { epoch: Epoch(5), .. }), "{step:?}");
}

#[test]
fn i3_sources_that_do_not_continue_the_ledger_suspend_or_are_refused() {
    let before = ledger(1, 4, 9, 10);
    let staged = |to: Positions| {
        let mut machine = DirectWriter::new(writer(1), Some(TABLE), Rules::law());
        machine.next(DirectEvent::Start).unwrap();
        machine.next(DirectEvent::Loaded(facts(5, Some(&before)))).unwrap();
        machine.next(DirectEvent::Staged(to))
    };
    let recreated = staged(positions(8, 0)).unwrap();
    let reason = Setback::TopicRecreated {
        topic: "orders".parse().unwrap(),
        before: TopicId(Uuid::from_u128(7)),
        after: TopicId(Uuid::from_u128(8)),
    };
    assert_eq!(recreated, DirectStep::Suspend(Suspend::Source(reason)));
    assert!(matches!(staged(positions(7, 10)).unwrap(), DirectStep::Publish { .. }), "an epoch without rows");
    assert_eq!(staged(positions(7, 9)).unwrap_err().to_string(), "an epoch was staged from the wrong place");
}

/// S3: a ledger that a manifest or a fence wrote belongs to another machine.
#[test]
fn a_job_with_manifests_is_left_alone() {
    let fence = Ledger { cut: Cut::Fence, ..ledger(2, 5, 9, 10) };
    let mut machine = DirectWriter::new(writer(1), Some(TABLE), Rules::law());
    machine.next(DirectEvent::Start).unwrap();
    let step = machine.next(DirectEvent::Loaded(facts(5, Some(&fence)))).unwrap();
    assert_eq!(step, DirectStep::Suspend(Suspend::ManifestsNeeded { epoch: Epoch(5) }));
}

#[test]
fn an_event_out_of_turn_is_an_error() {
    let mut machine = DirectWriter::new(writer(1), None, Rules::law());
    let error = machine.next(DirectEvent::Continue).unwrap_err();
    assert_eq!(error.to_string(), "an event does not fit the writer's phase");
}
