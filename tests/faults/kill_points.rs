//! kill -9 at every named place of the commit path (F6, F7).

use std::os::unix::process::ExitStatusExt;

use tableflow_store::KillPoint;

use super::product::Product;

const SIGKILL: i32 = 9;

/// A point is passed so often at most by one `sync` of one table.
const PASSES_MAX: u32 = 20;

/// Nothing trims metadata before its log is full.
const COMMITS_BEFORE: usize = 11;

/// Jobs with several tables pass these (`several`, `put_aside`).
const NOT_PASSED: [KillPoint; 4] =
    [KillPoint::EpochBefore, KillPoint::EpochAfter, KillPoint::EpochDeleteBefore, KillPoint::EpochDeleteAfter];

/// Passed by `enable` alone.
const OF_ENABLE: [KillPoint; 4] = [
    KillPoint::CatalogCreateBefore,
    KillPoint::CatalogCreateAfter,
    KillPoint::DefinitionBefore,
    KillPoint::DefinitionAfter,
];

fn assert_feature() {
    let on = cfg!(feature = "kill-points");
    assert!(on, "the kill points are not built in: run with `--features kill-points`, as `make test` does");
}

#[test]
fn a_sync_killed_at_any_point_loses_and_doubles_nothing() {
    assert_feature();
    let product = Product::with_table();
    for _ in 0..COMMITS_BEFORE {
        product.produce(1).good("produce");
        product.run(&["sync"]).good("sync");
    }
    let of_sync = KillPoint::of_jobs().filter(|point| !OF_ENABLE.contains(point));
    for point in of_sync {
        let kills = kill_at_every_pass(&product, point.name());
        println!("{point}: {kills} kills of sync");
        assert_eq!(kills == 0, NOT_PASSED.contains(point), "{point} was hit {kills} times");
    }
}

/// Each process leaves files of the same epoch behind: the next one finds other names, however many there were.
#[test]
fn a_job_that_dies_again_and_again_goes_on_once_it_does_not() {
    assert_feature();
    let product = Product::with_table();
    for _ in 0..30 {
        // The same bytes would be the same file.
        product.produce(1).good("produce");
        let killed = product.run_until(&["sync"], KillPoint::MetadataBefore.name(), 1);
        assert_eq!(killed.status.signal(), Some(SIGKILL), "{}", killed.stderr);
    }
    product.sync_and_check("the last one is not killed");
}

fn kill_at_every_pass(product: &Product, point: &str) -> u32 {
    for nth in 1..=PASSES_MAX {
        let replay = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow sync");
        product.produce(3 + u64::from(nth)).good("produce");
        let killed = product.run_until(&["sync"], point, nth);
        if killed.status.signal() != Some(SIGKILL) {
            killed.good(&replay);
            product.check(&replay);
            return nth - 1;
        }
        if nth % 2 == 0 {
            product.produce(2).good("produce");
        }
        product.sync_and_check(&replay);
    }
    panic!("{point} was passed more than {PASSES_MAX} times");
}

#[test]
fn an_enable_killed_at_any_point_can_be_repeated() {
    assert_feature();
    let mut hit = Vec::new();
    for point in KillPoint::of_jobs() {
        for nth in 1..=PASSES_MAX {
            let replay = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow enable t");
            let product = Product::with_topic();
            let killed = product.run_until(&["enable", "t"], point.name(), nth);
            if killed.status.signal() != Some(SIGKILL) {
                killed.good(&replay);
                println!("{point}: {} kills of enable", nth - 1);
                break;
            }
            hit.push(*point);
            let again = product.run(&["enable", "t"]);
            let enabled_already = again.stderr.contains("is filled by topic t already");
            assert!(again.status.success() || enabled_already, "{replay}: {}", again.stderr);
            product.sync_and_check(&replay);
        }
    }
    assert!(OF_ENABLE.iter().all(|point| hit.contains(point)), "only {hit:?} were hit");
}
