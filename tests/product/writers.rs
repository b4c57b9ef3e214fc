//! Somebody else commits to the table that a topic fills (F9): both sides' rows are in, each exactly once.

use serde_json::{Value, json};

use crate::world::World;

fn rows(values: impl Iterator<Item = i64>) -> Value {
    values.map(|n| json!({"n": n})).collect()
}

fn world() -> World {
    let world = World::new();
    world.topic("events", 2);
    world.ok(&["enable", "events", "--columns", "n BIGINT", "--commit-interval", "20ms"]);
    world
}

fn lines(values: impl Iterator<Item = i64>) -> String {
    values.map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

#[test]
fn another_writer_and_sync_take_turns() {
    let world = world();
    let engines = world.engines();
    for round in 0..5 {
        world.produce("events", &lines(round * 10..round * 10 + 10));
        world.ok(&["sync"]);
        engines.ask("append", json!({"table": "bronze.events", "rows": rows(1000 + round..=1000 + round)}));
    }
    world.ok(&["sync"]);
    let wanted: Vec<i64> = (0..50).chain(1000..1005).collect();
    assert_eq!(world.numbers("select n from events order by n"), wanted);
    let file = world.file("wanted.ndjson", lines(wanted.iter().copied()));
    let expected = engines.ask("expect", json!({"files": [file], "columns": "n BIGINT"}));
    for reader in ["pyiceberg", "duckdb"] {
        assert_eq!(engines.ask("document", json!({"reader": reader, "table": "bronze.events"})), expected);
    }
}

#[test]
fn another_writer_races_the_service() {
    let world = world();
    let service = world.up();
    let engines = world.engines();
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            for round in 0..40 {
                world.produce("events", &lines(round * 5..round * 5 + 5));
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        });
        let appended = engines.ask("append", json!({"table": "bronze.events", "rows": rows(1000..1025)}));
        assert_eq!(appended, 25);
        producer.join().unwrap();
    });
    assert_eq!(service.terminate().code(), Some(0));
    // A stop commits what was read by then; the rest is read by whoever comes next.
    world.ok(&["sync"]);
    let status = world.status("events");
    assert_ne!(status["status"], "Suspended", "{status}");
    let wanted: Vec<i64> = (0..200).chain(1000..1025).collect();
    assert_eq!(world.numbers("select n from events order by n"), wanted);
}
