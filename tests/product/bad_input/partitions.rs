//! Partition values that make bad folders, and too many of them.

use std::collections::BTreeSet;

use serde_json::json;

use crate::engines::{check_readers, expected_of};
use crate::world::World;

#[test]
fn odd_partition_values_are_found_again() {
    let world = World::new();
    world.topic("odd", 1);
    let long = "k".repeat(4096);
    let values = [
        "",
        "a/b",
        "..",
        "a%2Fb",
        "a=b",
        "a\0b",
        "%",
        ".",
        "../../x",
        "a\nb",
        "null",
        "__HIVE_DEFAULT_PARTITION__",
        "ü",
        " ",
        "\\",
        &long,
    ];
    let lines: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(n, value)| json!({"n": n, "s": value}).to_string())
        .chain([json!({"n": 99}).to_string()])
        .collect();
    world.produce("odd", &lines.join("\n"));
    world.ok(&["enable", "odd", "--partition-by", "s"]);
    world.ok(&["sync"]);
    assert_eq!(
        world.json(&["files", "odd"]).as_array().unwrap().len(),
        values.len() + 1,
        "a file for each value, null among them"
    );
    for (n, value) in values.iter().enumerate() {
        if value.contains('\0') {
            // No argument of a process can hold it.
            continue;
        }
        assert_eq!(world.numbers(&format!("select n from odd where s = '{value}'")), [n as i64], "{value:?}");
    }
    assert_eq!(world.numbers("select n from odd where s is null"), [99]);
    let engines = world.engines();
    let file = world.file("odd.ndjson", lines.join("\n"));
    let expected = expected_of(&engines, &[file], "");
    check_readers(&world, &engines, "bronze.odd", &expected);
    let statements = ["select n from {table} where s = ''", "select n from {table} where s is null"];
    let theirs = engines.ask("duckdb_rows", json!({"table": "bronze.odd", "statements": statements}));
    assert_eq!(theirs, json!([[["0"]], [["99"]]]), "an empty text is not null");
}

/// Partition values of the worst table that a few seconds are enough for; with `TABLEFLOW_DEEP=1` there are more.
const DISTINCT_VALUES: u64 = 2_500;
const DISTINCT_VALUES_DEEP: u64 = 1_000_000;

fn distinct_values() -> u64 {
    let deep = std::env::var_os("TABLEFLOW_DEEP").is_some_and(|value| value == "1");
    if deep { DISTINCT_VALUES_DEEP } else { DISTINCT_VALUES }
}

/// An epoch ends at 1,000 files, but the records of one poll, 1 MiB, are in one epoch.
const FILES_PER_COMMIT_MAX: u64 = 1_000 + (1 << 20) / 16;

const PEAK_BYTES_MAX: u64 = 1 << 30;

#[test]
fn a_partition_value_for_every_row_is_slow_and_right_and_said() {
    let world = World::new();
    let values = distinct_values();
    world.topic("many", 1);
    let lines: String = (0..values).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    world.produce("many", &lines);
    world.ok(&["enable", "many", "--partition-by", "n"]);
    let (outcome, peak) = world.run_measured(&["sync"]);
    for word in ["nearly as many values as there are rows", "job=bronze.many", "bucket(N, column)"] {
        assert!(outcome.stderr.contains(word), "{word:?} is not said: {}", outcome.stderr);
    }
    outcome.succeeded();
    assert!((1 << 20..PEAK_BYTES_MAX).contains(&peak), "{peak} bytes");
    let mut files_before = 0;
    for commit in world.json(&["history", "many"]).as_array().unwrap().iter().rev() {
        let files = commit["total_data_files"].as_u64().unwrap();
        assert!(files - files_before <= FILES_PER_COMMIT_MAX, "{commit}");
        files_before = files;
    }
    assert_eq!(files_before, values);
    // A plan of all files is no small thing: a few places, each as large as the small table.
    let last = values - DISTINCT_VALUES;
    for first in BTreeSet::from([0, last / 2, last]) {
        let end = first + DISTINCT_VALUES;
        let select = "select count(*) c, count(distinct n) d, min(n) a, max(n) b from many";
        assert_eq!(
            world.rows(&format!("{select} where n >= {first} and n < {end}")),
            [json!({"c": DISTINCT_VALUES, "d": DISTINCT_VALUES, "a": first, "b": end - 1})]
        );
    }
}

/// Partition fields are names in the Avro files of the manifests, and Avro takes few.
#[test]
fn a_column_of_any_name_parts_a_table_through_merges_of_its_manifests() {
    let world = World::new();
    for (topic, name) in
        [("dash", "order-id"), ("dot", "a.b"), ("blank", "a b"), ("digit", "1st"), ("letter", "日ä"), ("sign", "$v")]
    {
        world.topic(topic, 1);
        // More commits than a manifest is left alone for.
        let commits = if topic == "dash" { 18 } else { 1 };
        for n in 0..commits {
            world.produce(topic, &format!("{{\"n\":{n},\"{name}\":\"v{n}\"}}\n"));
            if n == 0 {
                world.ok(&["enable", topic, "--partition-by", &format!("`{name}`, bucket(4, `{name}`)")]);
            }
            world.ok(&["sync", topic]);
        }
        assert_eq!(
            world.numbers(&format!("select count(*) from {topic} where \"{name}\" >= 'v'")),
            [commits],
            "{name}"
        );
        assert_eq!(world.json(&["files", topic]).as_array().unwrap().len(), commits as usize, "{name}");
        let layout = &world.json(&["describe", topic])["partition_by"];
        world.ok(&["disable", topic]);
        world.ok(&["enable", topic, "--partition-by", layout.as_str().unwrap()]);
    }
}
