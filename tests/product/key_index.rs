//! The index of keys of a table with one row a key: on disk, for the next process and where memory has no room.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::world::{World, outcome};

const KEYS: i64 = 4000;

/// Less than the index of so many keys takes.
const BUDGET: &str = "512KiB";

fn lines(keys: impl Iterator<Item = i64>, value: i64) -> String {
    let mut lines = String::new();
    for id in keys {
        writeln!(lines, "{}", json!({"key": id, "value": {"id": id, "v": value}})).unwrap();
    }
    lines
}

/// What it says, with so much memory for everything.
fn sync(world: &World, budget: &str) -> String {
    let mut command = world.command(&["-v", "sync"]);
    let ended = outcome(command.env("TABLEFLOW__MEMORY__BUDGET", budget).output().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.stderr
}

fn folders(world: &World) -> Vec<PathBuf> {
    let Ok(folders) = std::fs::read_dir(world.data_dir().join("state/keys")) else { return Vec::new() };
    folders.map(|folder| folder.unwrap().path()).collect()
}

#[track_caller]
fn check(world: &World, changed: i64) {
    let sums = world.rows("select count(*) as rows, count(distinct id) as keys, sum(v) as v from bronze.t");
    assert_eq!(sums, [json!({"rows": KEYS, "keys": KEYS, "v": changed})]);
}

#[test]
fn an_index_outlives_its_process_and_may_have_no_room_in_memory() {
    let world = World::new();
    world.topic("t", 1);
    world.produce_envelopes("t", &lines(0..KEYS, 0));
    world.ok(&["enable", "t", "--key", "id"]);
    for (round, budget) in (1..).zip(["1GiB", BUDGET, BUDGET, "1GiB"]) {
        let log = sync(&world, budget);
        assert_eq!(log.contains("the key index was read from disk"), round > 1, "round {round}: {log}");
        assert!(!log.contains("is not used") && !log.contains("built anew"), "round {round}: {log}");
        check(&world, (round - 1) * 300);
        world.produce_envelopes("t", &lines((0..KEYS).step_by(13).take(300), round));
    }
    let [folder] = folders(&world).try_into().unwrap();
    // Somebody's disk is at fault.
    std::fs::write(folder.join("index"), "no index").unwrap();
    assert!(sync(&world, BUDGET).contains("is not used"));
    check(&world, 4 * 300);

    let up = world.up_with(&[("TABLEFLOW__MEMORY__BUDGET", BUDGET)]);
    world.produce_envelopes("t", &lines((0..KEYS).step_by(13).take(300), 5));
    world.wait_for_status("t", "lag", 0);
    let index = |field: &str| world.status("t")["key_index"][field].as_u64().unwrap_or(0);
    let seen = crate::world::wait_for(|| index("keys_on_disk"), |keys| *keys > 0);
    assert!(seen >= 3000 && index("keys") >= 4000 && index("bytes") > 30_000, "{}", world.status("t"));
    let (_, metrics) = up.get("/metrics");
    let line = metrics.lines().find(|line| line.starts_with("tableflow_key_index_disk_keys{table=\"bronze.t\"}"));
    assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    up.terminate();
    check(&world, 5 * 300);
    assert_eq!(world.status("t")["key_index"], Value::Null, "nobody keeps one");

    world.ok(&["disable", "t", "--drop"]);
    assert_eq!(folders(&world), Vec::<PathBuf>::new());
}
