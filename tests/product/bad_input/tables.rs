//! Topics and tables that somebody took away.

use std::time::Duration;

use serde_json::json;

use crate::world::{World, wait_for};

/// F22.
#[test]
fn a_topic_made_again_suspends_its_table() {
    let world = World::with_table("orders", "{\"n\":1}\n{\"n\":2}\n");
    world.ok(&["topic", "delete", "orders"]);
    world.run(&["sync"]).failed(3, &["topic orders was deleted", "another table"]);
    world.topic("orders", 1);
    world.produce("orders", "{\"n\":3}\n");
    let outcome = world.run(&["sync"]);
    assert_eq!(outcome.code, 3, "{outcome:?}");
    let status = world.status("orders");
    assert_eq!(status["status"], "Suspended", "{status}");
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("topic orders was re-created"), "{reason}");
    assert!(!status["hint"].is_null(), "{status}");
    assert_eq!(world.numbers("select n from orders order by n"), [1, 2], "the new topic's records are not mixed in");
}

/// F12.
#[test]
fn a_table_dropped_by_somebody_else_suspends() {
    let world = World::new();
    for topic in ["orders", "clicks"] {
        world.topic(topic, 1);
        world.produce(topic, "{\"n\":1}\n");
        world.ok(&["enable", topic, "--commit-interval", "50ms"]);
    }
    let service = world.up();
    world.wait_for_status("orders", "rows_committed", 1);
    world.engines().ask("drop", json!({"table": "bronze.orders"}));
    world.produce("orders", "{\"n\":2}\n");
    let status = world.wait_for_status("orders", "status", "Suspended");
    assert!(status["reason"].as_str().unwrap().contains("was dropped"), "{status}");
    assert!(status["hint"].as_str().unwrap().contains("tableflow disable"), "{status}");
    world.produce("clicks", "{\"n\":2}\n");
    world.wait_for_status("clicks", "rows_committed", 2);
    world.run(&["status", "--check"]).failed(4, &[]);
    // The way out that the hint names.
    world.ok(&["disable", "orders"]);
    world.ok(&["enable", "orders", "--commit-interval", "50ms"]);
    wait_for(
        || world.run(&["query", "select n from orders order by n", "-o", "csv"]).stdout,
        |text| text == "n\n1\n2\n",
    );
    assert_eq!(service.terminate().code(), Some(0));
}

#[test]
fn i3_a_suspended_table_goes_on_once_its_trouble_is_mended() {
    let world = World::new();
    world.topic("orders", 1);
    world.produce("orders", "{\"n\":1}\n");
    world.ok(&["enable", "orders", "--commit-interval", "50ms"]);
    let _service = world.up();
    world.wait_for_status("orders", "rows_committed", 1);
    let warehouse = world.data_dir().join("warehouse");
    let away = world.data_dir().join("warehouse.away");
    // Storage goes away, rows come, storage comes back.
    std::fs::rename(&warehouse, &away).unwrap();
    std::fs::write(&warehouse, "in the way").unwrap();
    world.produce("orders", "{\"n\":2}\n");
    std::thread::sleep(Duration::from_millis(700));
    std::fs::remove_file(&warehouse).unwrap();
    std::fs::rename(&away, &warehouse).unwrap();
    let status = wait_for(|| world.status("orders"), |s| s["rows_committed"] == 2 || s["status"] == "Suspended");
    if status["status"] == "Suspended" {
        world.ok(&["resume", "orders"]);
    }
    world.wait_for_status("orders", "rows_committed", 2);
    assert_eq!(world.numbers("select n from orders order by n"), [1, 2]);
}

/// Another engine may give a column a name that we, or Iceberg, keep for ourselves.
#[test]
fn i3_a_column_renamed_to_a_reserved_name_loses_no_row_and_is_never_read_as_another() {
    let world = World::new();
    let engines = world.engines();
    for (table, renamed) in [("ours", "_tableflow_place"), ("icebergs", "_pos")] {
        world.topic(table, 1);
        world.produce(table, "{\"s\":\"a\",\"n\":1}\n");
        world.ok(&["enable", table]);
        world.ok(&["sync", table]);
        let name = format!("bronze.{table}");
        engines.ask("alter", json!({"table": name, "changes": [["rename", "n", renamed]]}));
        world.produce(table, "{\"s\":\"b\",\"n\":2}\n");
        world.ok(&["sync", table]);
        let columns = ["s", renamed, "n"];
        let seen = engines.ask("values", json!({"reader": "pyiceberg", "table": name, "columns": columns}));
        assert_eq!(seen, json!([{"s": "a", renamed: 1, "n": null}, {"s": "b", renamed: null, "n": 2}]), "{table}");
        let ours = world.rows(&format!("select s, \"{renamed}\", n from {table} order by s"));
        assert_eq!(json!(ours), seen, "{table}");
    }
}
