//! The memory budget bounds what all tables hold together: sorted ones too, and those of many columns in many files.

use std::fmt::Write;

use serde_json::json;

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

const WIDE_TABLES: usize = 4;
const WIDE_ROWS: u64 = 200;
const WIDE_COLUMNS: u64 = 500;

/// The budget, and what the allocator keeps beside it of files that have ended. Without a limit it is 2 GiB.
const WIDE_PEAK_BYTES_MAX: u64 = 1408 << 20;

/// Rows come to all of 64 partitions of each table: few rows, and 32,000 encoders in each if all its files stayed open.
#[test]
fn f29_rows_of_500_columns_in_many_partitions_stay_near_a_budget_of_512_mib() {
    let world = World::new();
    let config = world.file("budget.toml", "[memory]\nbudget = \"512MiB\"\n");
    let line = |id: u64| {
        let fields = (1..WIDE_COLUMNS).fold(format!("{{\"id\":{id}"), |mut line, column| {
            let value = id * 7919 + column;
            write!(line, ",\"c{column}\":").unwrap();
            if column % 2 == 0 { write!(line, "{value}") } else { write!(line, "\"text {value}\"") }.unwrap();
            line
        });
        fields + "}\n"
    };
    let lines = world.file("rows.ndjson", (0..WIDE_ROWS).map(line).collect::<String>());
    for table in 0..WIDE_TABLES {
        let name = &format!("w{table}");
        world.topic(name, 1);
        world.ok(&["produce", name, &lines]);
        world.ok(&["enable", name, "--partition-by", "bucket(64, id)"]);
    }
    let (sync, peak) = world.run_measured(&["--config", &config, "sync"]);
    sync.succeeded();
    let last = WIDE_COLUMNS - 2;
    let wanted = (WIDE_ROWS * (WIDE_ROWS - 1) / 2 * 7919 + WIDE_ROWS * last) as i64;
    for table in 0..WIDE_TABLES {
        let sql = format!("select count(*) n, count(distinct id) ids, sum(c{last}) total from w{table}");
        assert_eq!(world.rows(&sql), [json!({"n": WIDE_ROWS, "ids": WIDE_ROWS, "total": wanted})]);
    }
    assert!(peak < WIDE_PEAK_BYTES_MAX, "{} MiB at the peak", peak >> 20);
}
