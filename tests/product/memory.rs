//! The memory budget bounds what all tables hold together, sorted ones too.

use super::world::World;

const TABLES: usize = 6;
const ROWS: u64 = 300_000;
const BUDGET: &str = "[memory]\nbudget = \"32MiB\"\n";

/// The budget, the program itself, and what decoding, encoding and SQLite take beside it.
const PEAK_BYTES_MAX: u64 = 160 << 20;

#[test]
fn sorted_tables_commit_early_rather_than_hold_more_than_the_budget() {
    let world = World::new();
    let config = world.file("budget.toml", BUDGET);
    let line = |id: u64| format!("{{\"id\":{},\"name\":\"customer {}\",\"v\":{id}}}\n", id * 7919 % ROWS, id % 1000);
    let lines = world.file("rows.ndjson", (0..ROWS).map(line).collect::<String>());
    for table in 0..TABLES {
        let name = &format!("t{table}");
        world.topic(name, 2);
        world.ok(&["produce", name, &lines, "--key", "id"]);
        world.ok(&["enable", name, "--sort-by", "id"]);
    }
    let (sync, peak) = world.run_measured(&["--config", &config, "sync"]);
    sync.succeeded();
    for table in 0..TABLES {
        let count = world.json(&["query", &format!("select count(distinct id) as n from t{table}")]);
        assert_eq!(count[0]["n"], ROWS);
    }
    assert!(peak < PEAK_BYTES_MAX, "{} MiB at the peak", peak >> 20);
}
