//! Verbs one by one: what they print, which exit code they end with.

use std::io::Read;

use serde_json::{Value, json};

use crate::world::World;

/// Fields of one table in `status` and `describe`, as docs/reference.md lists them. Fields may be added, never renamed.
const STATUS_FIELDS: [&str; 22] = [
    "table",
    "topic",
    "status",
    "reason",
    "mode",
    "format_version",
    "delete_encoding",
    "snapshot_id",
    "metadata_location",
    "schema_id",
    "partitions",
    "rows_committed",
    "rows_buffered",
    "rows_skipped",
    "rows_dead_lettered",
    "freshness_ms",
    "last_commit_at",
    "data_files",
    "delete_files",
    "bytes",
    "catalogs",
    "diverged",
];

const ORDERS: &str = r#"{"order_id":1,"ts":"2026-01-31T10:00:00Z","amount":"12.50","city":"Ulm"}
{"order_id":2,"ts":"2026-01-31T23:59:59.999Z","amount":7,"city":"Köln"}
{"order_id":3,"ts":1769904000000,"amount":0.05}
{"order_id":4,"ts":"2026-02-01T01:00:00+01:00","amount":"-1","city":null}
"#;

const COLUMNS: &str = "ts TIMESTAMP_LTZ(3), amount DECIMAL(10,2)";

/// Four orders in a table with a partition per day.
fn shop() -> World {
    let world = World::new();
    world.topic("orders", 4);
    let file = world.file("orders.ndjson", ORDERS);
    world.ok(&["produce", "orders", &file, "--key", "order_id"]);
    world.ok(&["enable", "orders", "--columns", COLUMNS, "--partition-by", "day(ts)"]);
    world
}

#[test]
fn a_topic_becomes_a_table_in_five_commands() {
    let world = World::new();
    let created = world.json(&["topic", "create", "orders", "--partitions", "4"]);
    assert_eq!(created["partitions"].as_array().unwrap().len(), 4);
    let file = world.file("orders.ndjson", ORDERS);
    let produced = world.json(&["produce", "orders", &file, "--key", "order_id"]);
    assert_eq!(produced["records"], 4);
    let plans = world.json(&["enable", "orders", "--columns", COLUMNS, "--partition-by", "day(ts)"]);
    assert_eq!(plans[0]["table"], "bronze.orders");
    let synced = world.json(&["sync"]);
    assert_eq!((&synced[0]["table"], &synced[0]["rows_committed"]), (&json!("bronze.orders"), &json!(4)));
    assert_eq!(
        world.ok(&["query", "select order_id, ts, amount, city from bronze.orders order by order_id", "-o", "csv"]),
        "order_id,ts,amount,city\n\
         1,2026-01-31T10:00:00Z,12.50,Ulm\n\
         2,2026-01-31T23:59:59.999Z,7.00,Köln\n\
         3,2026-02-01T00:00:00Z,0.05,\n\
         4,2026-02-01T00:00:00Z,-1.00,\n"
    );
    // The key decides the partition, so one key's records stay in order; each row says where it came from.
    let places = world
        .rows("select _tableflow_topic t, _tableflow_partition p, _tableflow_offset o, _tableflow_key k from orders");
    assert_eq!(places.len(), 4);
    for place in places {
        assert_eq!(place["t"], "orders");
        assert!((0..4).contains(&place["p"].as_i64().unwrap()));
        assert!((0..4).contains(&place["o"].as_i64().unwrap()));
        assert!(["MQ==", "Mg==", "Mw==", "NA=="].contains(&place["k"].as_str().unwrap()), "base64 of 1 to 4: {place}");
    }
    assert_eq!(world.json(&["sync"])[0]["rows_committed"], 0, "nothing new, nothing twice");
}

#[test]
fn a_dry_run_makes_nothing() {
    let world = World::new();
    world.topic("orders", 1);
    world.produce("orders", ORDERS);
    let plan = world.json(&["enable", "orders", "--dry-run"]);
    assert_eq!(plan[0]["table"], "bronze.orders");
    assert_eq!(world.json(&["list"]), json!([]));
    world.run(&["query", "select * from bronze.orders"]).failed(2, &["bronze.orders"]);
}

#[test]
fn status_has_every_field_of_the_contract() {
    let world = shop();
    world.ok(&["sync"]);
    world.produce("orders", "{\"order_id\":5}\n");
    let description = world.json(&["describe", "orders"]);
    for (field, value) in [("partition_by", "day(ts)"), ("sort_by", ""), ("metadata_columns", "portable")] {
        assert_eq!(description[field], value, "{field}");
    }
    for words in [&["status", "bronze.orders"][..], &["describe", "orders"]] {
        let status = world.json(words);
        for field in STATUS_FIELDS {
            assert!(status.get(field).is_some(), "{words:?} has no {field}");
        }
        assert_eq!(status["rows_committed"], 4);
        assert_eq!(status["mode"], "append");
        assert_eq!(status["format_version"], 2);
        assert_eq!(status["data_files"], 2, "one for each day");
        assert_eq!(status["delete_files"], 0);
        assert_eq!(status["catalogs"], json!([{"name": "tableflow", "state": "Registered", "error": null}]));
        let partitions = status["partitions"].as_array().unwrap();
        let sum = |field: &str| partitions.iter().map(|partition| partition[field].as_i64().unwrap()).sum::<i64>();
        assert_eq!((partitions.len(), sum("next_offset"), sum("end_offset"), sum("lag")), (4, 4, 5, 1));
    }
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    let world = shop();
    for (code, words) in [
        (0, &["status", "--check"][..]),
        (0, &["--help"]),
        (0, &["version"]),
        (1, &["describe", "nothing"]),
        (1, &["sync", "nothing"]),
        (1, &["produce", "nothing", "/dev/null"]),
        (1, &["topic", "create", "orders"]),
        (1, &["enable", "orders"]),
        (2, &["status", "--chek"]),
        (2, &["frobnicate"]),
        (2, &[]),
        (2, &["query", "selec 1"]),
        (2, &["query", "select nope from bronze.orders"]),
        (2, &["enable", "orders", "--table", "other", "--partition-by", "weekly(ts)"]),
        (2, &["enable", "orders", "--table", "other", "--columns", "ts MOMENT"]),
        (2, &["enable", "orders", "--format-version", "4"]),
        (2, &["update", "orders", "--commit-interval", "-1s"]),
        (2, &["topic", "create", "a/b"]),
        (2, &["up", "--listen", "0.0.0.0:0"]),
    ] {
        let outcome = world.run(words);
        assert_eq!(outcome.code, code, "{words:?}: {outcome:?}");
        if code != 0 {
            assert_eq!(outcome.stdout, "", "{words:?}: results alone are on stdout");
            assert!(!outcome.stderr.is_empty(), "{words:?}");
        }
    }
    world.produce("orders", "{\"order_id\":\"five\"}\n");
    world.run(&["sync"]).failed(3, &["$.order_id", "hint: "]);
    world.run(&["status", "--check"]).failed(4, &[]);
    world.run(&["status"]).succeeded();
}

#[test]
fn an_error_is_one_line_then_detail_and_hint() {
    let outcome = shop().run(&["describe", "bronze.orderz"]);
    assert_eq!(outcome.stderr, "error: there is no table bronze.orderz\n  hint: did you mean bronze.orders?\n");
}

#[test]
fn results_have_the_form_that_was_asked_for() {
    let world = shop();
    world.ok(&["sync"]);
    let sql = "select order_id, city, amount from orders where order_id < 3 order by 1";
    for (format, text) in [
        ("csv", "order_id,city,amount\n1,Ulm,12.50\n2,Köln,7.00\n"),
        (
            "ndjson",
            "{\"order_id\":1,\"city\":\"Ulm\",\"amount\":12.50}\n{\"order_id\":2,\"city\":\"Köln\",\"amount\":7.00}\n",
        ),
    ] {
        assert_eq!(world.ok(&["query", sql, "-o", format]), text);
    }
    let document: Value = serde_json::from_str(&world.ok(&["query", sql, "-o", "json"])).unwrap();
    assert_eq!(
        document,
        json!([{"order_id": 1, "city": "Ulm", "amount": 12.5}, {"order_id": 2, "city": "Köln", "amount": 7.0}])
    );
    let table = world.ok(&["query", sql, "-o", "table"]);
    for word in ["order_id", "Köln", "12.50", "(2 rows)"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    world.run(&["query", sql, "-o", "yaml"]).failed(2, &["yaml"]);
    assert!(world.ok(&["list", "-o", "yaml"]).contains("table: bronze.orders"));
    assert!(world.ok(&["list", "-o", "csv"]).starts_with("table,"));
    assert_eq!(world.ok(&["list", "-o", "ndjson"]).lines().count(), 1);
    assert!(world.ok(&["list"]).contains("bronze.orders"));
}

#[test]
fn a_reader_that_stops_reading_is_no_failure() {
    let lines: String = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let world = World::with_table("numbers", &lines);
    for words in [&["query", "select * from numbers", "-o", "ndjson"][..], &["consume", "numbers"]] {
        let mut child = world.command(words).spawn().unwrap();
        let mut first = [0; 1];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        assert_eq!(&first, b"{");
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
    }
}

#[test]
fn consume_shows_records_with_their_metadata() {
    let world = World::new();
    world.topic("events", 2);
    world.produce_envelopes(
        "events",
        r#"{"key":"k","value":{"a":1},"headers":{"trace":"t-1","none":null},"timestamp":1700000000123,"partition":1}
{"key":{"id":7},"value":null,"partition":1,"timestamp":1700000000124}
{"key":null,"value":[1,2],"partition":0,"timestamp":-5}
{"value":{"a":2},"partition":0,"timestamp":0}
{"value":{"a":3},"partition":0,"timestamp":1}
"#,
    );
    let records = |words: &[&str]| -> Vec<Value> {
        let text = world.ok(&[&["consume", "events"], words].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let mut all = records(&[]);
    all.sort_by_key(|record| (record["partition"].as_i64(), record["offset"].as_i64()));
    let record = |partition, offset, timestamp: i64, key: Value, value: Value, headers: Value| json!({"partition": partition, "offset": offset, "timestamp": timestamp, "key": key, "value": value, "headers": headers});
    assert_eq!(
        all,
        [
            record(0, 0, -5, json!(null), json!([1, 2]), json!([])),
            record(0, 1, 0, json!(null), json!({"a": 2}), json!([])),
            record(0, 2, 1, json!(null), json!({"a": 3}), json!([])),
            record(1, 0, 1_700_000_000_123, json!("k"), json!({"a": 1}), json!([["trace", "t-1"], ["none", null]])),
            record(1, 1, 1_700_000_000_124, json!({"id": 7}), json!(null), json!([])),
        ]
    );
    assert_eq!(records(&["-n", "2"]).len(), 2);
    assert_eq!(records(&["--from", "latest"]).len(), 0);
    let later = records(&["--from", "1"]);
    assert_eq!(later.len(), 3, "offsets 1 and 2 of partition 0, offset 1 of partition 1");
    assert!(later.iter().all(|record| record["offset"].as_i64() >= Some(1)));
    world.run(&["consume", "events", "--from", "-1"]).failed(2, &["a place is earliest, latest or an offset"]);
}

#[test]
fn envelopes_are_rows_with_their_headers_and_times() {
    let world = World::new();
    world.topic("events", 3);
    world.produce_envelopes(
        "events",
        r#"{"key":"k","value":{"a":1},"headers":{"trace":"t-1"},"timestamp":1700000000123,"partition":2}
"#,
    );
    world.ok(&["enable", "events"]);
    world.ok(&["sync"]);
    // Bytes are base64 in JSON: "k" with its quotes is ImsiZg..., the header's text t-1 is dC0x.
    assert_eq!(
        world.rows("select a, _tableflow_partition, _tableflow_offset, _tableflow_timestamp, _tableflow_key, _tableflow_headers from events"),
        [json!({
            "a": 1,
            "_tableflow_partition": 2,
            "_tableflow_offset": 0,
            "_tableflow_timestamp": "2023-11-14T22:13:20.123Z",
            "_tableflow_key": "Imsi",
            "_tableflow_headers": [{"key": "trace", "value": "dC0x"}]
        })]
    );
}

#[test]
fn keys_of_an_envelope_may_be_any_bytes() {
    let world = World::new();
    world.topic("events", 1);
    world.produce_envelopes(
        "events",
        "{\"key_base64\":\"AP8B\",\"value\":{\"a\":1}}\n{\"key_base64\":\"\",\"value\":{\"a\":2}}\n",
    );
    world.ok(&["enable", "events"]);
    world.ok(&["sync"]);
    let keys = world.rows("select _tableflow_key as k from events order by a");
    assert_eq!(keys, [json!({"k": "AP8B"}), json!({"k": ""})]);
}

#[test]
fn produce_acknowledges_what_went_before_a_bad_line() {
    let world = World::new();
    world.topic("events", 1);
    let bad = b"{\"a\":1}\nnot json\n{\"a\":3}\n";
    let outcome = world.run_with_input(&["produce", "events", "-o", "json"], bad);
    outcome.failed(3, &["line=2", "lines before this one were sent"]);
    assert_eq!(serde_json::from_str::<Value>(&outcome.stdout).unwrap()["records"], 1);
    for (words, line) in [
        (&["--key", "b"][..], "{\"a\":1}"),
        (&["--envelope"], "{\"valeu\":1}"),
        (&["--envelope"], "{\"value\":1,\"partition\":9}"),
        (&["--envelope"], "[]"),
        (&["--envelope"], "{\"key_base64\":\"?\",\"value\":1}"),
        (&["--envelope"], "{\"key\":1,\"key_base64\":\"AA==\",\"value\":1}"),
    ] {
        let outcome = world.run_with_input(&[&["produce", "events"], words].concat(), line.as_bytes());
        outcome.failed(3, &["line=1"]);
    }
    for (text, way_on) in [
        ("\u{feff}{\"a\":1}\n", "byte order mark"),
        ("{\n\"a\":1\n}\n", "jq -c ."),
        ("id,name\n", "make JSON of it first"),
    ] {
        world.run_with_input(&["produce", "events"], text.as_bytes()).failed(3, &["line=1", way_on]);
    }
    let array = world.run_with_input(&["produce", "events"], b"[1]\n");
    assert!(array.stderr.contains("no table makes a row of it"), "{array:?}");
    assert_eq!(world.ok(&["consume", "events"]).lines().count(), 2);
}

#[test]
fn history_and_files_tell_what_a_table_is_made_of() {
    let world = shop();
    assert_eq!(world.json(&["history", "orders"]), json!([]));
    world.ok(&["sync"]);
    world.produce("orders", "{\"order_id\":5,\"ts\":\"2026-01-31T00:00:00Z\"}\n");
    world.ok(&["sync"]);
    let history = world.json(&["history", "orders"]);
    let counts: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            (
                s["added_records"].as_i64().unwrap(),
                s["total_records"].as_i64().unwrap(),
                s["current"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(counts, [(1, 5, true), (4, 4, false)], "newest first");
    assert_eq!(history[0]["parent_id"], history[1]["snapshot_id"]);
    let files = world.json(&["files", "bronze.orders"]);
    let mut partitions: Vec<_> = files
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["partition"].as_str().unwrap(), f["records"].as_i64().unwrap()))
        .collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [("ts_day=2026-01-31", 1), ("ts_day=2026-01-31", 2), ("ts_day=2026-02-01", 2)]);
}

#[test]
fn a_rollback_that_replays_gives_the_same_rows_again() {
    let world = shop();
    world.ok(&["sync"]);
    let first = world.status("orders")["snapshot_id"].clone();
    for id in 5..9 {
        world.produce("orders", &format!("{{\"order_id\":{id}}}\n"));
        world.ok(&["sync"]);
    }
    let all = "select order_id from orders order by 1";
    assert_eq!(world.numbers(all), [1, 2, 3, 4, 5, 6, 7, 8]);
    world.run(&["rollback", "orders", "--to", "1", "--replay"]).failed(1, &["no snapshot 1", "tableflow history"]);
    assert_eq!(world.status("orders")["status"], "Pending", "a refused rollback pauses nothing");
    let rolled = world.json(&["rollback", "orders", "--to", &first.to_string(), "--replay"]);
    assert_eq!(rolled["status"], "Paused");
    assert_eq!(world.numbers(all), [1, 2, 3, 4]);
    assert_eq!(world.json(&["sync"]), json!([]), "a paused table is not filled");
    world.ok(&["resume", "orders"]);
    assert_eq!(world.json(&["sync"])[0]["rows_committed"], 4);
    assert_eq!(world.numbers(all), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(world.status("orders")["diverged"], false);
}

#[test]
fn a_rollback_that_keeps_the_offsets_leaves_rows_out_and_says_so() {
    let world = shop();
    world.ok(&["sync"]);
    let first = world.status("orders")["snapshot_id"].to_string();
    world.produce("orders", "{\"order_id\":5}\n");
    world.ok(&["sync"]);
    world.ok(&["rollback", "orders", "--to", &first, "--keep-offsets"]);
    world.ok(&["resume", "orders"]);
    world.produce("orders", "{\"order_id\":6}\n");
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select order_id from orders order by 1"), [1, 2, 3, 4, 6]);
    assert_eq!(world.status("orders")["diverged"], true);
    world.run(&["rollback", "orders", "--to", &first]).failed(2, &["--replay", "--keep-offsets"]);

    // Read again from before the gap, the table is what its topic says.
    world.ok(&["rollback", "orders", "--to", &first, "--replay"]);
    world.ok(&["resume", "orders"]);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select order_id from orders order by 1"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(world.status("orders")["diverged"], false);
}

#[test]
fn a_disabled_table_keeps_its_rows_unless_it_is_dropped() {
    let world = shop();
    world.ok(&["sync"]);
    world.ok(&["disable", "orders"]);
    assert_eq!(world.json(&["list"]), json!([]));
    assert_eq!(world.numbers("select count(*) from bronze.orders"), [4]);
    world
        .run(&["describe", "orders"])
        .failed(1, &["bronze.orders is disabled", "`tableflow enable orders` feeds it again"]);
    world.topic("other", 1);
    world
        .run(&["sync", "other"])
        .failed(1, &["topic other is not a table yet", "`tableflow enable other` makes it one"]);
    world.produce("orders", "{\"order_id\":5}\n");
    world.ok(&["enable", "orders"]);
    world.ok(&["sync"]);
    assert_eq!(
        world.numbers("select order_id from bronze.orders order by 1"),
        [1, 2, 3, 4, 5],
        "it goes on where it stood"
    );
    world.ok(&["disable", "orders", "--drop"]);
    world.run(&["query", "select * from bronze.orders"]).failed(2, &["bronze.orders"]);
    assert_eq!(walk(&world.data_dir().join("warehouse")), Vec::<String>::new(), "no file stays");
    world.ok(&["enable", "orders", "--columns", COLUMNS]);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select count(*) from bronze.orders"), [5]);
}

/// Every file below a directory.
fn walk(directory: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

#[test]
fn a_topic_fills_two_tables_and_a_table_has_one_topic() {
    let world = shop();
    world.ok(&["enable", "orders", "--namespace", "raw", "--table", "all_orders", "--columns", COLUMNS]);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select count(*) from raw.all_orders"), [4]);
    assert_eq!(world.numbers("select count(*) from bronze.orders"), [4]);
    world.topic("others", 1);
    world.produce("others", "{\"a\":1}\n");
    world.run(&["enable", "others", "--table", "orders"]).failed(1, &["is filled by topic orders already", "--table"]);
    world.run(&["enable", "others", "--table", "Orders"]).failed(2, &["differs only by case", "--table"]);
    let namespace = &["namespace Bronze differs only by case from bronze", "--namespace bronze"];
    world.run(&["enable", "others", "--namespace", "Bronze"]).failed(2, namespace);
    world.run(&["enable", "others", "--namespace", "bronze", "--table", ".."]).failed(2, &["is not a table name"]);
    world
        .run(&["enable", "orders"])
        .failed(1, &["is filled by topic orders already", "`tableflow update bronze.orders`"]);
}

#[test]
fn a_topic_with_dots_is_a_table_of_that_name() {
    let world = World::new();
    world.topic("pg.public.orders", 1);
    world.produce("pg.public.orders", "{\"a\":1}\n");
    world.ok(&["enable", "pg.public.orders"]);
    world.ok(&["sync", "bronze.\"pg.public.orders\""]);
    assert_eq!(world.numbers("select a from bronze.\"pg.public.orders\""), [1]);
    assert_eq!(world.status("pg.public.orders")["rows_committed"], 1);
}

#[test]
fn from_latest_starts_at_the_end() {
    let world = shop();
    world.ok(&["enable", "orders", "--table", "new_orders", "--from", "latest", "--columns", COLUMNS]);
    world.ok(&["sync"]);
    world.produce("orders", "{\"order_id\":5}\n");
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select order_id from new_orders"), [5]);
}
