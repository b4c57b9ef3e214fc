//! A job with several sinks, step by step: claims, recovery, replies, and sinks that lag behind.

use std::collections::BTreeMap;

use super::super::commit::{Assertion, Guard, History};
use super::super::ledger::TopicPositions;
use super::super::topic::ProduceReply;
use super::*;
use crate::source::{Offset, Partition, TopicId};

fn writer(nonce: u128) -> WriterId {
    WriterId(Uuid::from_u128(nonce))
}

fn job() -> JobName {
    "sales".parse().unwrap()
}

fn sink(name: &str) -> SinkName {
    SinkName(name.to_owned())
}

fn positions(offset: i64) -> Positions {
    let offsets = BTreeMap::from([(Partition(0), Offset(offset))]);
    let orders = TopicPositions::new(TopicId(Uuid::from_u128(7)), offsets);
    Positions([("orders".parse().unwrap(), orders)].into())
}

fn ledger(generation: u64, epoch: u64, cut: Cut, offset: i64) -> Ledger {
    let (generation, epoch, positions) = (Generation(generation), Epoch(epoch), positions(offset));
    Ledger { generation, epoch, writer: writer(9), cut, positions }
}

fn table(sequence: i64, ledger: Option<&Ledger>) -> Box<TableFacts> {
    let text = ledger.map(|ledger| ledger.to_text().unwrap());
    Box::new(TableFacts {
        uuid: Uuid::from_u128(1),
        guard: Guard::Snapshot,
        snapshot_id: (sequence > 0).then_some(sequence),
        last_sequence_number: sequence,
        metadata_location: sequence.to_string(),
        history: if text.is_some() { History::Agrees } else { History::NeverOurs },
        ledger: text,
    })
}

fn work(epoch: u64, generation: u64, offset: i64, sinks: &[(&str, u64, &[&str])]) -> EpochManifest {
    let sinks = sinks.iter().map(|&(name, follows, files)| {
        (sink(name), SinkWork { follows: Epoch(follows), files: files.iter().map(|file| (*file).to_owned()).collect() })
    });
    let intent = Intent::Work { positions: positions(offset), sinks: sinks.collect(), state: None };
    let (epoch, generation, writer) = (Epoch(epoch), Generation(generation), writer(9));
    EpochManifest { job: job(), epoch, generation, writer, after: Some(writer), intent }
}

fn claim(epoch: u64, generation: u64, nonce: u128) -> EpochManifest {
    let (epoch, generation) = (Epoch(epoch), Generation(generation));
    EpochManifest {
        job: job(),
        epoch,
        generation,
        writer: writer(nonce),
        after: Some(writer(9)),
        intent: Intent::Claim,
    }
}

fn machine(sinks: &[&str]) -> EpochJob {
    let sinks = sinks.iter().map(|name| (sink(name), None)).collect();
    EpochJob::new(job(), writer(1), sinks, EpochOptions::default(), Rules::law())
}

/// Events, each with what the machine then asks for.
type Script<'s> = Vec<(EpochEvent, &'s str)>;

/// Feeds events and checks each step against the word that tells what it is.
fn play(machine: &mut EpochJob, script: Script<'_>) -> EpochStep {
    let mut last = None;
    for (event, expected) in script {
        let step = machine.next(event.clone()).unwrap();
        assert_eq!(word(&step), expected, "after {event:?}");
        last = Some(step);
    }
    last.unwrap()
}

fn word(step: &EpochStep) -> String {
    match step {
        EpochStep::Load { sink } => format!("load {sink}"),
        EpochStep::ReadManifest { epoch } => format!("read {epoch}"),
        EpochStep::PutManifest { manifest } if manifest.is_work() => format!("put {}", manifest.epoch),
        EpochStep::PutManifest { manifest } => format!("claim {} generation {}", manifest.epoch, manifest.generation),
        EpochStep::Stage { epoch, generation, .. } => format!("stage {epoch} generation {generation}"),
        EpochStep::Publish { sink, ledger, files, .. } => {
            format!("publish {sink} {:?} {} {files:?}", ledger.cut, ledger.epoch)
        }
        EpochStep::PublishIdentical { sink } => format!("again {sink}"),
        EpochStep::OpenProducer { sink } => format!("open {sink}"),
        EpochStep::ReadRecorded { sink } => format!("recorded {sink}"),
        EpochStep::Produce { sink, epoch, files } => format!("produce {sink} {epoch} {files:?}"),
        EpochStep::Committed { epoch, .. } => format!("committed {epoch}"),
        EpochStep::Stop(stop) => format!("stop: {stop}"),
        EpochStep::Suspend { reason, .. } => format!("suspend: {reason}"),
    }
}

fn loaded(sequence: i64, ledger: &Ledger) -> EpochEvent {
    EpochEvent::Loaded(table(sequence, Some(ledger)))
}

fn read(manifest: EpochManifest) -> EpochEvent {
    EpochEvent::ManifestRead(Some(Box::new(manifest)))
}

fn applied(sequence: i64, ledger: &Ledger) -> EpochEvent {
    EpochEvent::Published(CommitReply::Applied(table(sequence, Some(ledger))))
}

const ABSENT: EpochEvent = EpochEvent::ManifestRead(None);
const CREATED: EpochEvent = EpochEvent::ManifestPut(PutReply::Created);

/// A job with one sink at epoch 5, generation 2, that has claimed epoch 6 as generation 3 and asks for epoch 7.
fn running() -> EpochJob {
    let mut machine = machine(&["main"]);
    play(
        &mut machine,
        vec![
            (EpochEvent::Start, "load main"),
            (loaded(5, &ledger(2, 5, Cut::Manifest, 50)), "read 5"),
            (read(work(5, 2, 50, &[("main", 4, &["e"])])), "read 6"),
            (ABSENT, "claim 6 generation 3"),
            (CREATED, "stage 7 generation 3"),
        ],
    );
    machine
}

fn staged(offset: i64) -> EpochEvent {
    let files = [(sink("main"), vec!["f".to_owned()])].into();
    EpochEvent::Staged(Box::new(StagedEpoch { to: positions(offset), files, state: None }))
}

/// S3: the sink that a direct writer filled is fenced one epoch on, the new one at the same place; then the epochs run.
#[test]
fn i1_a_job_that_gains_a_sink_fences_both_and_claims() {
    let mut machine = machine(&["main", "dead"]);
    let (main, dead) = (ledger(4, 10, Cut::Fence, 90), ledger(4, 10, Cut::Fence, 90));
    let main = Ledger { writer: writer(1), ..main };
    let dead = Ledger { writer: writer(1), ..dead };
    let stage = play(
        &mut machine,
        vec![
            (EpochEvent::Start, "load main"),
            (loaded(9, &ledger(3, 9, Cut::Commit, 90)), "load dead"),
            (EpochEvent::Loaded(table(0, None)), "publish main Fence 10 []"),
            (applied(10, &main), "publish dead Fence 10 []"),
            (applied(1, &dead), "read 11"),
            (EpochEvent::ReadFailed, "read 11"),
            (ABSENT, "claim 11 generation 5"),
            (CREATED, "stage 12 generation 5"),
        ],
    );
    let (from, generation, epoch) = (Some(positions(90)), Generation(5), Epoch(12));
    assert_eq!(stage, EpochStep::Stage { from, state: None, generation, epoch });
    let publish = play(&mut machine, vec![(staged(100), "put 12"), (CREATED, "publish main Manifest 12 [\"f\"]")]);
    let EpochStep::Publish { assertion, ledger, .. } = publish else { panic!() };
    let location = "10".to_owned();
    let base =
        Assertion { uuid: Uuid::from_u128(1), snapshot_id: Some(10), sequence_number: 11, metadata_location: location };
    assert_eq!(assertion, base);
    assert_eq!((ledger.generation, ledger.writer, &ledger.positions), (Generation(5), writer(1), &positions(100)));
    play(&mut machine, vec![(applied(11, &ledger), "committed 12"), (EpochEvent::Continue, "stage 13 generation 5")]);
}

/// M2, M3: main is at 7, dead letters at 5; 6 and 7 have rows for both, 8 is a dead claim, 9 is taken while we claim.
#[test]
fn i3_recovery_finishes_what_was_won_and_goes_on_from_the_newest_work() {
    let mut machine = machine(&["main", "dead"]);
    let (six, seven) = (ledger(5, 6, Cut::Manifest, 60), ledger(5, 7, Cut::Manifest, 70));
    let main = ledger(2, 7, Cut::Manifest, 70);
    let last = play(
        &mut machine,
        vec![
            (EpochEvent::Start, "load main"),
            (loaded(7, &main), "load dead"),
            (loaded(3, &ledger(2, 5, Cut::Manifest, 50)), "read 6"),
            (read(work(6, 2, 60, &[("main", 5, &["m6"]), ("dead", 5, &["d6"])])), "read 7"),
            (read(work(7, 2, 70, &[("main", 6, &["m7"]), ("dead", 6, &["d7"])])), "read 8"),
            (read(claim(8, 3, 9)), "read 9"),
            (ABSENT, "claim 9 generation 4"),
            (EpochEvent::ManifestPut(PutReply::Exists), "read 9"),
            (read(claim(9, 4, 8)), "read 10"),
            (ABSENT, "claim 10 generation 5"),
            (CREATED, "publish dead Manifest 6 [\"d6\"]"),
            (applied(4, &Ledger { writer: writer(1), ..six }), "committed 6"),
            (EpochEvent::Continue, "publish dead Manifest 7 [\"d7\"]"),
            (applied(5, &Ledger { writer: writer(1), ..seven }), "committed 7"),
            (EpochEvent::Continue, "stage 11 generation 5"),
        ],
    );
    assert!(matches!(last, EpochStep::Stage { from: Some(from), .. } if from == positions(70)));
}

/// M1, M2: what follows each answer to the put of epoch 7.
#[test]
fn only_an_identical_manifest_is_won() {
    let lost = "stop: generation 3 lost epoch 7 to generation 3 (writer 00000000-0000-0000-0000-000000000008)";
    let cases: [(EpochEvent, Option<EpochEvent>, &str); 5] = [
        (CREATED, None, "publish main Manifest 7 [\"f\"]"),
        (EpochEvent::ManifestPut(PutReply::Unknown), Some(ABSENT), "put 7"),
        (EpochEvent::ManifestPut(PutReply::Unknown), Some(EpochEvent::ReadFailed), "read 7"),
        (EpochEvent::ManifestPut(PutReply::Unknown), Some(read(claim(7, 3, 8))), lost),
        (EpochEvent::ManifestPut(PutReply::Exists), Some(read(claim(7, 3, 8))), lost),
    ];
    for (reply, back, expected) in cases {
        let mut machine = running();
        play(&mut machine, vec![(staged(60), "put 7")]);
        match back {
            None => play(&mut machine, vec![(reply, expected)]),
            Some(back) => play(&mut machine, vec![(reply, "read 7"), (back, expected)]),
        };
    }
    let mut machine = running();
    let EpochStep::PutManifest { manifest } = play(&mut machine, vec![(staged(60), "put 7")]) else { panic!() };
    let unknown = EpochEvent::ManifestPut(PutReply::Unknown);
    play(&mut machine, vec![(unknown, "read 7"), (read(*manifest), "publish main Manifest 7 [\"f\"]")]);
}

/// M4, C4, S2: the commit of epoch 7 on epoch 5 was refused or got no answer; what the sink then shows.
#[test]
fn i2_a_sink_takes_an_epoch_once_and_in_order() {
    let five = ledger(2, 5, Cut::Manifest, 50);
    let mine = Ledger { writer: writer(1), ..ledger(3, 7, Cut::Manifest, 60) };
    let reset = ledger(3, 4, Cut::Manifest, 40);
    let cases = [
        ("landed", CommitReply::Unknown, loaded(6, &mine), "committed 7"),
        ("nothing moved", CommitReply::Unknown, loaded(5, &five), "again main"),
        ("a foreign append", CommitReply::Unknown, loaded(6, &five), "publish main Manifest 7 [\"f\"]"),
        ("a conflict", CommitReply::Rejected, loaded(6, &five), "publish main Manifest 7 [\"f\"]"),
        (
            "an older process finished it",
            CommitReply::Rejected,
            loaded(6, &ledger(2, 7, Cut::Manifest, 60)),
            "committed 7",
        ),
        (
            "a later generation",
            CommitReply::Rejected,
            loaded(6, &ledger(4, 7, Cut::Manifest, 60)),
            "stop: generation 3 of the job was fenced by generation 4 (writer 00000000-0000-0000-0000-000000000009)",
        ),
        (
            "an operator's reset",
            CommitReply::Rejected,
            loaded(6, &Ledger { generation: Generation(2), ..reset }),
            "stop: sink main is at epoch 4, but epoch 7 follows epoch 5",
        ),
    ];
    for (case, reply, reloaded, expected) in cases {
        let mut machine = running();
        play(&mut machine, vec![(staged(60), "put 7"), (CREATED, "publish main Manifest 7 [\"f\"]")]);
        play(&mut machine, vec![(EpochEvent::Published(reply), "load main"), (EpochEvent::LoadFailed, "load main")]);
        assert_eq!(word(&machine.next(reloaded).unwrap()), expected, "{case}");
    }
}

/// M6: a manifest below the highest ledger is there, or the ledgers are old; read again once, then it is lost.
#[test]
fn i4_a_missing_manifest_is_looked_for_again_and_then_suspends() {
    let five = ledger(2, 5, Cut::Manifest, 50);
    let won_again = [claim(5, 3, 8), work(5, 3, 40, &[])].map(read);
    for gone in [ABSENT].into_iter().chain(won_again) {
        let mut machine = machine(&["main"]);
        play(
            &mut machine,
            vec![
                (EpochEvent::Start, "load main"),
                (loaded(5, &five), "read 5"),
                (gone, "load main"),
                (loaded(5, &five), "suspend: the manifest of epoch 5 is missing"),
            ],
        );
    }
}

/// M5, M6: epochs without rows wait for company, and every third brings a silent sink up.
#[test]
fn silent_sinks_are_brought_up_now_and_then() {
    let sinks = vec![(sink("main"), None)];
    let options = EpochOptions { pending_max: 2, catch_up_epochs: 3 };
    let mut machine = EpochJob::new(job(), writer(1), sinks, options, Rules::law());
    let empty = || EpochEvent::Staged(Box::new(StagedEpoch { to: positions(50), ..StagedEpoch::default() }));
    play(
        &mut machine,
        vec![
            (EpochEvent::Start, "load main"),
            (loaded(5, &ledger(2, 5, Cut::Fence, 50)), "read 6"),
            (ABSENT, "claim 6 generation 3"),
            (CREATED, "stage 7 generation 3"),
            (empty(), "put 7"),
            (CREATED, "stage 8 generation 3"),
            (empty(), "put 8"),
            (CREATED, "committed 7"),
            (EpochEvent::Continue, "stage 9 generation 3"),
            (EpochEvent::NothingStaged, "publish main Manifest 8 []"),
        ],
    );
}

#[test]
fn an_event_out_of_turn_is_an_error() {
    let error = running().next(EpochEvent::Continue).unwrap_err();
    assert_eq!(error.to_string(), "an event does not fit the job's phase");
}

/// A job with one table at epoch 5 and a topic; the topic is looked at first, and again after any failure (I1, I3).
fn with_topic() -> EpochJob {
    machine(&["main"]).with_topics(vec![sink("letters")])
}

fn recorded(offset: Option<u64>, rows: Option<u64>, forgotten: bool) -> EpochEvent {
    EpochEvent::RecordedRead(Recorded { offset: offset.map(Epoch), rows: rows.map(Epoch), forgotten })
}

fn produced(reply: ProduceReply) -> EpochEvent {
    EpochEvent::Produced(reply)
}

const TO_LETTERS: &[(&str, u64, &[&str])] = &[("main", 5, &["m"]), ("letters", 5, &["l"])];

/// T2: epoch 6 was decided and is not in the table; what the topic records says whether it is there.
#[test]
fn t2_what_a_topic_records_decides_whether_an_epoch_is_produced() {
    let forgotten = "suspend: whether the topic had the dead letters of epoch 6 is not known: its group's offset and its \
                     records are gone";
    let cases = [
        (recorded(Some(5), None, false), "produce letters 6 [\"l\"]"),
        (recorded(Some(6), None, false), "publish main Manifest 6 [\"m\"]"),
        (recorded(None, Some(6), false), "publish main Manifest 6 [\"m\"]"),
        (recorded(None, Some(4), true), forgotten),
        (recorded(None, Some(4), false), "produce letters 6 [\"l\"]"),
        (recorded(None, None, false), "produce letters 6 [\"l\"]"),
        (recorded(None, None, true), forgotten),
    ];
    for (found, expected) in cases {
        let mut machine = with_topic();
        let replay = format!("{found:?}");
        // Of an epoch that is in a topic alone the manifest is there, and says all that is needed.
        let is_there = expected.starts_with("publish");
        let before = [(loaded(5, &ledger(2, 5, Cut::Manifest, 50)), "read 5"), (read(work(5, 2, 50, &[])), "read 6")];
        let ahead = [(loaded(5, &ledger(2, 5, Cut::Manifest, 50)), "read 6")];
        let looks = vec![
            (EpochEvent::Start, "open letters"),
            (EpochEvent::OpenFailed, "open letters"),
            (EpochEvent::Opened, "recorded letters"),
            (EpochEvent::ReadFailed, "recorded letters"),
            (found, "load main"),
        ];
        let reads = if is_there { ahead.to_vec() } else { before.to_vec() };
        let rest =
            vec![(read(work(6, 2, 60, TO_LETTERS)), "read 7"), (ABSENT, "claim 7 generation 3"), (CREATED, expected)];
        let last = play(&mut machine, [looks, reads, rest].concat());
        assert_eq!(word(&last), expected, "{replay}");
    }
}

/// T3, M2: what follows an answer to the transaction of epoch 6.
#[test]
fn t3_after_any_error_the_producer_starts_over() {
    let taken = "stop: generation 3 lost epoch 8 to generation 4 (writer 00000000-0000-0000-0000-000000000008)";
    let publish = "publish main Manifest 6 [\"m\"]";
    let over = |found| vec![(EpochEvent::Opened, "recorded letters"), (found, publish)];
    let again =
        vec![(EpochEvent::Opened, "recorded letters"), (recorded(Some(5), None, false), "produce letters 6 [\"l\"]")];
    let cases: [(ProduceReply, &str, Script<'_>); 5] = [
        (ProduceReply::Committed, publish, vec![]),
        (ProduceReply::Failed, "open letters", over(recorded(Some(6), None, false))),
        (ProduceReply::Failed, "open letters", again),
        (ProduceReply::Fenced, "read 8", vec![(read(claim(8, 4, 8)), taken)]),
        (ProduceReply::Fenced, "read 8", vec![(EpochEvent::ReadFailed, "read 8"), (ABSENT, "open letters")]),
    ];
    for (reply, next, script) in cases {
        let mut machine = with_topic();
        play(
            &mut machine,
            vec![
                (EpochEvent::Start, "open letters"),
                (EpochEvent::Opened, "recorded letters"),
                (recorded(Some(5), None, false), "load main"),
                (loaded(5, &ledger(2, 5, Cut::Manifest, 50)), "read 5"),
                (read(work(5, 2, 50, &[("main", 4, &["e"])])), "read 6"),
                (read(work(6, 2, 60, TO_LETTERS)), "read 7"),
                (ABSENT, "claim 7 generation 3"),
                (CREATED, "produce letters 6 [\"l\"]"),
            ],
        );
        assert_eq!(word(&machine.next(produced(reply)).unwrap()), next);
        if !script.is_empty() {
            play(&mut machine, script);
        }
    }
}

/// I4 of `topics`: a topic that records nothing is told where it is, and that is never further than a table.
#[test]
fn a_topic_that_records_nothing_is_told_where_it_is() {
    let mut machine = with_topic();
    play(
        &mut machine,
        vec![
            (EpochEvent::Start, "open letters"),
            (EpochEvent::Opened, "recorded letters"),
            (recorded(None, None, false), "load main"),
            (loaded(5, &ledger(2, 5, Cut::Fence, 50)), "read 6"),
            (ABSENT, "claim 6 generation 3"),
            (CREATED, "produce letters 5 []"),
            (produced(ProduceReply::Committed), "stage 7 generation 3"),
        ],
    );
    assert_eq!(machine.recorded(&sink("letters")), Some(Epoch(5)));
    assert_eq!(machine.recorded(&sink("main")), None);
}

/// I6 of `topics`: what the topic records, and no table needs, is named as that.
#[test]
fn i6_an_epoch_that_no_manifest_leads_to_is_the_topics() {
    let ahead = "suspend: the topic is said to have the dead letters of epoch 9, and manifests reach epoch 6";
    let behind = "suspend: the topic is said to have the dead letters of epoch 1 and no later ones; the tables are at epoch 5, \
                  and the manifests in between are gone";
    let missing = "suspend: the manifest of epoch 5 is missing";
    let six = read(work(6, 2, 60, TO_LETTERS));
    let cases = [
        (9, vec![("read 6", six), ("read 7", ABSENT)], ahead),
        (1, vec![("read 2", ABSENT)], behind),
        (5, vec![("read 5", ABSENT)], missing),
    ];
    for (at, reads, suspended) in cases {
        let looks = || vec![(EpochEvent::Opened, "recorded letters"), (recorded(Some(at), None, false), "load main")];
        let loads = |step| (loaded(5, &ledger(2, 5, Cut::Manifest, 50)), step);
        let steps: Vec<&str> = reads.iter().skip(1).map(|(step, _)| *step).chain(["open letters"]).collect();
        let reads_on = reads.iter().zip(steps).map(|((_, event), step)| (event.clone(), step));
        let once = [looks(), vec![loads(reads[0].0)], reads_on.collect()].concat();
        let script = [vec![(EpochEvent::Start, "open letters")], once, looks(), vec![loads(suspended)]].concat();
        play(&mut with_topic(), script);
    }
}
