//! Lost, late and failing requests (F1 to F4, F27).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tableflow::home::Home;
use tableflow::pipeline::job::{Ended, Goal};
use tableflow_catalog::fault::CommitFault::{
    self, ApplyThenUnknown, Delay, HoldThenUnknown, Pass, UnknownWithoutApplying,
};
use tableflow_catalog::fault::FaultCatalog;
use tableflow_catalog::{Catalog, CommitOutcome, EmbeddedCatalog};
use tableflow_store::fault::{Effect, Fault, Operation};
use tableflow_store::paths::Warehouse;
use tokio_util::sync::CancellationToken;

use super::world::{World, end_of, suspended};

/// The commit after these reads manifests: it merges theirs.
const COMMITS_BEFORE_A_MERGE: usize = 16;

/// A read that fails so often fails for the caller of the store.
const STORE_TRIES: u32 = 4;

/// Long enough for whatever else a test lets happen first.
const LATE: CommitFault = Delay(Duration::from_secs(2));

impl World {
    /// The same directory with a catalog that has not seen it before.
    async fn opened_again(self) -> Self {
        let (store, clock, ids) = (self.home.store.clone(), self.home.clock.clone(), self.home.ids.clone());
        let warehouse = Warehouse::new(&format!("{}/warehouse", store.root_uri()));
        let database = self.home.directory.join("catalog.db");
        let catalog: Arc<dyn Catalog> =
            Arc::new(EmbeddedCatalog::open(&database, store, warehouse, clock, ids).await.unwrap());
        let commits = FaultCatalog::new(catalog.clone());
        let home = Home { catalog: commits.clone(), ..self.home };
        World { home, commits, catalog, ..self }
    }
}

/// An epoch that ended at a bad record and came to nothing is read again, up to that record and not less.
#[tokio::test(flavor = "multi_thread")]
async fn every_row_before_a_bad_record_is_committed_though_the_first_try_failed() {
    let world = World::new().await;
    // Several polls.
    world.product.produce_padded(3_000, 1_000).good("produce");
    let bad = world.product.directory().join("bad.ndjson");
    std::fs::write(&bad, "{\"partition\":0,\"value\":\"no row\"}\n").unwrap();
    world.product.run(&["produce", "t", bad.to_str().unwrap(), "--envelope"]).good("produce");
    world.requests.script(Fault::new(Operation::Put, Effect::DiskFull).on_path(".parquet").times(1));
    let why = suspended(world.sync().await, "a put that failed");
    assert!(why.contains("reason=not-an-object"), "{why}");
    assert!(!world.requests.fired().is_empty(), "the fault was met");
    world.check("rows before a bad record").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_f2_whatever_becomes_of_a_commits_reply_rows_are_there_once() {
    let scripts: [&[CommitFault]; 7] = [
        &[ApplyThenUnknown],
        &[UnknownWithoutApplying],
        &[UnknownWithoutApplying, UnknownWithoutApplying, ApplyThenUnknown],
        &[HoldThenUnknown],
        &[HoldThenUnknown, ApplyThenUnknown],
        &[Pass, ApplyThenUnknown],
        &[LATE],
    ];
    for script in scripts {
        let replay = format!("{script:?}");
        let world = World::new().await;
        script.iter().for_each(|fault| world.commits.script(*fault));
        for _ in 0..3 {
            assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)), "{replay}");
            world.check(&replay).await;
            world.product.produce(4).good("produce");
        }
        let faults = script.iter().filter(|fault| **fault != Pass).count();
        assert_eq!(world.commits.fired().len(), faults, "{replay}: every fault was met");
        for late in world.commits.land_held().await {
            assert!(matches!(late, Ok(CommitOutcome::Conflict { .. })), "{replay}: a late commit landed: {late:?}");
        }
        assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)), "{replay}");
        world.check(&replay).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f3_f4_a_process_that_ends_with_a_commit_in_doubt_is_followed_by_one_that_settles_it() {
    for fault in [ApplyThenUnknown, UnknownWithoutApplying, HoldThenUnknown] {
        for late_first in [false, true] {
            let replay = format!("{fault:?}, then the end; a late commit lands first: {late_first}");
            let world = World::new().await;
            world.commits.script(fault);
            let job = world.start_sync().await;
            world.wait_for_faults(1).await;
            job.abort();
            assert!(job.await.unwrap_err().is_cancelled(), "{replay}: it ended before it was ended");
            let files = world.data_files().await;
            if late_first {
                world.commits.land_held().await;
            }
            world.product.produce(3).good("produce");
            assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)), "{replay}");
            for late in world.commits.land_held().await {
                assert!(matches!(late, Ok(CommitOutcome::Conflict { .. })), "{replay}: {late:?}");
            }
            world.check(&replay).await;
            assert!(world.data_files().await.is_superset(&files), "{replay}: files of a commit in doubt stay");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_a_late_commit_that_lands_between_stage_and_commit_makes_the_new_one_lose() {
    let world = World::new().await;
    world.commits.script(HoldThenUnknown);
    let job = world.start_sync().await;
    world.wait_for_faults(1).await;
    job.abort();
    assert!(job.await.unwrap_err().is_cancelled(), "it ended before it was ended");
    world.commits.script(LATE);
    world.product.produce(3).good("produce");
    let second = world.start_sync().await;
    world.wait_for_faults(2).await;
    let landed = world.commits.land_held().await;
    assert!(matches!(landed.as_slice(), [Ok(CommitOutcome::Applied(_))]), "{landed:?}");
    // Both started from the same ledger and took the same generation: the one that is in stays.
    let ended = end_of(second).await;
    assert!(matches!(ended, Ok(Ended::Fenced(_))), "{ended:?}");
    assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)));
    world.check("a late commit between stage and commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f46_a_stop_ends_a_job_whose_catalog_does_not_answer() {
    let world = World::new().await;
    (0..1000).for_each(|_| world.commits.script(UnknownWithoutApplying));
    let stop = CancellationToken::new();
    let job = world.start(Goal::Follow(stop.clone())).await;
    world.wait_for_faults(2).await;
    stop.cancel();
    let stopped = Instant::now();
    let ended = end_of(job).await;
    assert!(matches!(ended, Ok(Ended::Stopped)), "{ended:?}");
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
    let tries = world.commits.fired().len();
    assert!(tries < 20, "{tries} tries");
    let world = world.opened_again().await;
    assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)));
    world.check("stopped while the catalog did not answer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_the_store_that_fail_are_made_good() {
    let kinds = [".parquet", "-m0.avro", "snap-", ".metadata.json"];
    let effects = [Effect::FailBefore, Effect::FailAfter, Effect::DiskFull];
    for (kind, effect) in kinds.iter().flat_map(|kind| effects.map(|effect| (*kind, effect))) {
        let replay = format!("{effect:?} at a put of {kind}");
        let world = World::new().await;
        world.requests.script(Fault::new(Operation::Put, effect).on_path(kind).times(2));
        let ended = world.sync().await;
        assert!(matches!(ended, Ok(Ended::CaughtUp)), "{replay}: {ended:?}");
        assert!(!world.requests.fired().is_empty(), "{replay}: the fault was not met");
        world.product.produce(4).good("produce");
        assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)), "{replay}");
        world.check(&replay).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_end_early_harm_nothing() {
    let kinds = ["-m0.avro", "snap-", ".metadata.json"];
    for (kind, times) in kinds.into_iter().flat_map(|kind| [(kind, 1), (kind, STORE_TRIES)]) {
        let replay = format!("{times} truncated gets of {kind}");
        let world = World::new().await;
        for _ in 0..COMMITS_BEFORE_A_MERGE {
            assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)), "{replay}");
            world.product.produce(2).good("produce");
        }
        let world = world.opened_again().await;
        world.requests.script(Fault::new(Operation::Get, Effect::Truncate(40)).on_path(kind).times(times));
        match (world.sync().await, kind, times) {
            // A one-shot job that cannot begin says so.
            (Err(error), ".metadata.json", STORE_TRIES) => {
                assert!(error.report().contains("came back torn"), "{error}")
            }
            (Ok(Ended::CaughtUp), "-m0.avro" | "snap-", _) | (Ok(Ended::CaughtUp), _, 1) => {}
            (ended, ..) => panic!("{replay}: {ended:?}"),
        }
        assert_eq!(world.requests.fired().len(), times as usize, "{replay}: every fault was met");
        assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)), "{replay}");
        world.check(&replay).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_jobs_on_one_table_one_is_fenced() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let jobs = [world.start(Goal::Follow(stop.clone())).await, world.start(Goal::Follow(stop.clone())).await];
    for _ in 0..20 {
        world.product.produce(6).good("produce");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.cancel();
    let [first, second] = jobs;
    let ended = [end_of(first).await.unwrap(), end_of(second).await.unwrap()];
    let fenced = ended.iter().filter(|ended| matches!(ended, Ended::Fenced(_))).count();
    assert_eq!(fenced, 1, "{ended:?}");
    assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)));
    world.check("two jobs on one table").await;
}
