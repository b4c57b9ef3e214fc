//! What a scheduler calls: history forgotten, files that nobody needs deleted, nothing else.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::changes::Changes;
use crate::days::{a_day_passes, files_below};
use crate::upserts::check;
use crate::world::{World, wait_for};

fn warehouse(world: &World) -> PathBuf {
    world.data_dir().join("warehouse")
}

fn vacuum(world: &World, table: &str) -> Value {
    world.json(&["vacuum", table])
}

fn a_table_of_changes(world: &World, producer: &mut Changes) {
    world.topic("t", 2);
    world.produce_envelopes("t", &producer.lines(|id| json!(id), 30));
    world.ok(&["enable", "t", "--key", "id", "--partition-by", "day"]);
    for _ in 0..6 {
        world.produce_envelopes("t", &producer.lines(|id| json!(id), 30));
        world.ok(&["sync"]);
    }
}

#[test]
fn what_no_snapshot_needs_goes_a_day_after_it_was_found_and_nothing_else() {
    let world = World::new();
    let mut producer = Changes::by_lot(3);
    a_table_of_changes(&world, &mut producer);
    let of_others = warehouse(&world).join("bronze/notes.txt");
    fs::write(&of_others, "not ours").unwrap();
    let mut files = files_below(&warehouse(&world)).into_iter();
    let one = files.find(|file| file.parent().unwrap().ends_with("data")).unwrap();
    let foreign = one.with_file_name("00000-0-foreign.parquet");
    fs::write(&foreign, "of another engine").unwrap();

    // All of it is needed by some snapshot.
    a_day_passes(&world.data_dir());
    let report = vacuum(&world, "t");
    assert_eq!((&report["files_deleted"], &report["files_waiting"]), (&json!(0), &json!(0)), "{report}");
    assert_eq!(report["files_foreign"], 1, "{report}");

    world.ok(&["compact", "t"]);
    let before = files_below(&warehouse(&world));
    let dry = world.json(&["expire", "t", "--keep", "1", "--dry-run"]);
    let snapshots = || world.json(&["history", "t"]).as_array().unwrap().len();
    assert_eq!(dry["snapshots_before"], snapshots());
    assert_eq!(world.json(&["expire", "t", "--keep", "1"]), dry);
    assert_eq!((snapshots(), &dry["snapshots_after"]), (1, &json!(1)));

    // Found now, however old it is.
    let report = vacuum(&world, "t");
    assert_eq!(report["files_deleted"], 0, "{report}");
    assert!(report["files_waiting"].as_u64().unwrap() > 20, "{report}");
    assert_eq!(vacuum(&world, "t")["files_deleted"], 0, "a day has not passed");
    a_day_passes(&world.data_dir());
    let data_only = world.json(&["vacuum", "t", "--dry-run"]);
    // A list of manifests may be published until main moves.
    world.produce_envelopes("t", &producer.lines(|id| json!(id), 10));
    world.ok(&["sync"]);
    a_day_passes(&world.data_dir());
    let dry = world.json(&["vacuum", "t", "--dry-run"]);
    assert_eq!(files_below(&warehouse(&world)).intersection(&before).count(), before.len(), "nothing went yet");
    let report = vacuum(&world, "t");
    assert_eq!((&report["files_deleted"], &report["bytes_deleted"]), (&dry["files_deleted"], &dry["bytes_deleted"]));
    assert!(report["files_deleted"].as_u64() > data_only["files_deleted"].as_u64(), "{report} {data_only}");
    assert!(foreign.exists() && of_others.exists());
    check(&world, "t", &producer.expected);
    let after = files_below(&warehouse(&world));
    assert!(after.len() * 2 < before.len(), "{} of {} files are left", after.len(), before.len());
    assert_eq!(vacuum(&world, "t")["files_deleted"], 0);
}

#[test]
fn all_that_is_due_is_done_for_every_table() {
    let world = World::new();
    let mut producer = Changes::by_lot(4);
    a_table_of_changes(&world, &mut producer);
    world.topic("events", 1);
    world.produce("events", "{\"n\":1}\n");
    world.ok(&["enable", "events", "--error-handling", "log"]);
    world.ok(&["sync"]);
    let dry = world.json(&["maintain", "--all", "--dry-run"]);
    let reports = world.json(&["maintain", "--all"]);
    let of = |reports: &Value, table: &str| {
        let reports = reports.as_array().unwrap();
        reports.iter().find(|report| report["table"] == table).unwrap_or_else(|| panic!("{reports:?}")).clone()
    };
    assert_eq!(reports.as_array().unwrap().len(), 3, "{reports}");
    assert_eq!(of(&dry, "bronze.t")["files_read"], of(&reports, "bronze.t")["files_read"]);
    assert!(of(&reports, "bronze.t")["files_read"].as_u64().unwrap() >= 15, "{reports}");
    assert_eq!(of(&reports, "bronze.events")["files_read"], 0, "{reports}");
    check(&world, "t", &producer.expected);
    let one = world.json(&["maintain", "t"]);
    assert_eq!((&one["files_read"], &one["snapshots_forgotten"]), (&json!(0), &json!(0)), "nothing is due any more");
}

/// Nobody asks for it: tables stay few files, and what is forgotten goes once its day is over.
#[test]
fn a_service_looks_after_its_tables_by_itself() {
    let world = World::new();
    let mut producer = Changes::by_lot(6);
    world.file("tableflow.toml", "[upkeep]\ncompact.every = '1s'\nvacuum.every = '1s'\n");
    world.topic("t", 2);
    world.produce_envelopes("t", &producer.lines(|id| json!(id), 30));
    world.ok(&["enable", "t", "--key", "id", "--commit-interval", "50ms", "--retention-ms", "1000"]);
    let up = world.up();
    for _ in 0..40 {
        world.produce_envelopes("t", &producer.lines(|id| json!(id), 20));
    }
    world.wait_for_status("t", "lag", 0);
    let few = |status: &Value| status["data_files"].as_u64() < Some(5) && status["delete_files"].as_u64() < Some(5);
    wait_for(|| world.status("t"), few);
    check(&world, "t", &producer.expected);
    let before = files_below(&warehouse(&world)).len();
    let asked = Cell::new(0);
    let fewer = || {
        // Now and then main moves.
        if asked.replace(asked.get() + 1) % 20 == 0 {
            world.produce_envelopes("t", "{\"key\":1000,\"value\":null}\n");
        }
        a_day_passes(&world.data_dir());
        files_below(&warehouse(&world)).len()
    };
    wait_for(fewer, |now| *now < before / 2);
    let counted = || {
        let (_, metrics) = up.get("/metrics");
        ["compaction_files_total", "garbage_files_total", "upkeep_failures_total"].map(|name| {
            let line = metrics.lines().find(|line| line.starts_with(&format!("tableflow_{name} ")));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        })
    };
    // They are counted when the table's turn is over.
    let [.., failures] = wait_for(counted, |[compacted, garbage, _]| *compacted > Some(1.0) && *garbage > Some(1.0));
    assert_eq!(failures, Some(0.0));
    check(&world, "t", &producer.expected);
    assert!(up.terminate().success());
}

#[test]
fn what_cannot_be_kept_is_said() {
    let world = World::with_table("t", "{\"n\":1}\n");
    world.run(&["vacuum", "t", "--older-than", "23h"]).failed(2, &["86400000", "readers of older snapshots"]);
    world.run(&["vacuum", "nothing"]).failed(1, &["there is no table nothing"]);
    world.run(&["expire", "t", "--keep", "0"]).failed(2, &["--keep"]);
    world.run(&["maintain"]).failed(2, &["TABLE", "--all"]);
    world.engines().ask("alter", json!({"table": "bronze.t", "changes": [["set", "gc.enabled", "false"]]}));
    world.run(&["vacuum", "t"]).failed(2, &["shares its files", "gc.enabled"]);
}
