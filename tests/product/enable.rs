//! `enable`: what it says it made is what there is, and what it refuses has a way that works.
//!
//! - I1: a table that exists keeps its layout; what is asked for and differs is refused.
//! - I2: a command that a hint names can be run as it stands, and leads on.
//! - I3: nothing that a declaration says is dropped: a width is kept to.
//! - I4: a record that cannot be a row never takes the rows before it along.
//! - I5: `latest` is where the topic ended when the table was enabled.
//! - I6: a table that is enabled again is as it was where nothing else is asked for.
//! - I7: topics that a pattern names become tables, those to come too; what a person decided about one stays.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::world::{World, wait_for};

const ORDERS: &str = "{\"id\":1,\"ts\":\"2026-01-31T10:00:00Z\"}\n{\"id\":2,\"ts\":\"2026-02-01T10:00:00Z\"}\n";

/// A table with a layout, filled and disabled.
fn disabled(words: &[&str]) -> World {
    let world = World::new();
    world.topic("o", 1);
    world.produce("o", ORDERS);
    world.ok(&[&["enable", "o", "--columns", "ts TIMESTAMP_LTZ(3), note STRING"], words].concat());
    world.ok(&["sync"]);
    world.ok(&["disable", "o"]);
    world
}

/// The command in a text, run by a shell that has the binary on its path.
#[track_caller]
fn run_named_command(world: &World, text: &str) -> String {
    let command = text.rsplit(": ").next().filter(|command| command.starts_with("tableflow "));
    let command = command.unwrap_or_else(|| panic!("no command in {text:?}"));
    let binary = Path::new(env!("CARGO_BIN_EXE_tableflow")).parent().unwrap();
    let output = Command::new("/bin/sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", binary)
        .env("TABLEFLOW_DATA_DIR", world.data_dir())
        .current_dir(world.data_dir())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    command.to_owned()
}

/// The table that a command names.
fn named_table(command: &str) -> String {
    let mut words = command.split_whitespace().skip_while(|word| *word != "--table");
    words.nth(1).unwrap().to_owned()
}

fn hint_of(world: &World, table: &str) -> String {
    let status = world.status(table);
    assert_eq!(status["status"], "Suspended", "{status}");
    status["hint"].as_str().unwrap().to_owned()
}

#[test]
fn i1_what_differs_from_a_table_that_exists_is_refused() {
    let world = disabled(&["--partition-by", "day(ts)", "--sort-by", "id"]);
    for (words, says) in [
        (&["--partition-by", "bucket(4, id)"][..], "--partition-by bucket(4, id) is not what it has: day(ts)"),
        (&["--partition-by", "hour(ts)"], "is not what it has: day(ts)"),
        (&["--sort-by", "id desc"], "--sort-by id desc is not what it has: id"),
        (&["--columns", "id STRING"], "column id is declared STRING, but the table has BIGINT"),
        (&["--columns", "id BIGINT NOT NULL"], "declared NOT NULL"),
        (&["--columns", "`ts_day` INT"], "the name ts_day belongs to a partition field"),
        (&["--metadata-columns", "none"], "--metadata-columns none is not what it has: portable"),
        (&["--from", "latest"], "goes on where it stands"),
    ] {
        for dry in [&["--dry-run"][..], &[]] {
            world.run(&[&["enable", "o"], words, dry].concat()).failed(2, &[says, "hint: "]);
        }
    }
    assert_eq!(world.json(&["list"]), json!([]), "nothing was enabled");
    let plan = world.json(&["enable", "o", "--partition-by", "DAYS(ts)", "--sort-by", "id asc"]);
    assert_eq!((&plan[0]["partition_by"], &plan[0]["sort_by"]), (&json!("day(ts)"), &json!("id")));
}

#[test]
fn i1_a_plan_over_a_table_that_exists_is_what_the_next_sync_leaves() {
    let world = disabled(&["--partition-by", "bucket(4, id)", "--sort-by", "ts desc"]);
    let plan = &world.json(&["enable", "o", "--columns", "note STRING, more DECIMAL(5,2)"])[0];
    let facts = [&plan["partition_by"], &plan["sort_by"], &plan["exists"]];
    assert_eq!(facts, [&json!("bucket(4, id)"), &json!("ts desc"), &json!(true)]);
    world.produce("o", "{\"id\":3,\"ts\":0,\"note\":7,\"more\":\"1.25\"}\n");
    world.ok(&["sync"]);
    let description = world.json(&["describe", "o"]);
    assert_eq!(description["columns"], plan["columns"]);
    assert_eq!(world.rows("select note, more from o where id = 3"), [json!({"note": "7", "more": 1.25})]);

    // What was declared stays so without being said again: `note` takes any value.
    world.ok(&["disable", "o"]);
    let again = &world.json(&["enable", "o"])[0];
    assert_eq!(again["columns"], plan["columns"]);
    world.produce("o", "{\"id\":4,\"ts\":0,\"note\":[1]}\n");
    world.ok(&["sync"]);
    assert_eq!(world.column("select note from o where id = 4"), ["[1]"]);
}

/// A record that cannot be a row, and whether another column takes it.
const BAD: [(&str, &str, &str, bool); 22] = [
    ("fraction", "", r#"{"n":2.5}"#, true),
    ("words", "", r#"{"n":"two"}"#, true),
    ("beyond_long", "", r#"{"n":9223372036854775808}"#, true),
    ("beyond_int", "i INT", r#"{"n":2,"i":2147483648}"#, true),
    ("beyond_double", "d DOUBLE", r#"{"n":2,"d":1e400}"#, true),
    ("too_fine", "m DECIMAL(10,2)", r#"{"m":0.125}"#, true),
    ("year_10000", "t TIMESTAMP_LTZ(3)", r#"{"t":253402300800000}"#, true),
    ("zone", "t TIMESTAMP(3)", r#"{"t":"2026-02-03T00:00:00+01:00"}"#, true),
    ("inside", "o ROW<x BIGINT, w TINYINT>", r#"{"n":2,"o":{"x":"a"}}"#, true),
    ("odd_name", "`it's $1` INT", r#"{"it's $1":"a"}"#, true),
    ("missing", "k TINYINT NOT NULL", r#"{"n":2}"#, true),
    ("tiny", "k SMALLINT, w TINYINT", r#"{"n":2,"w":300}"#, true),
    ("long_text", "w VARCHAR(3)", r#"{"n":2,"w":"abcdef"}"#, true),
    ("empty", "", "", false),
    ("not_json", "", "n=2", false),
    ("array", "", "[1,2]", false),
    ("byte_order_mark", "", "\u{feff}{\"n\":2}", false),
    ("case_twin", "", r#"{"n":2,"N":3}"#, false),
    ("reserved", "", r#"{"n":2,"_tableflow_offset":3}"#, false),
    ("empty_name", "", r#"{"n":2,"":3}"#, false),
    ("lone_surrogate", "", r#"{"n":2,"s":"\ud800"}"#, false),
    ("two_values", "", r#"{"n":2}{"n":3}"#, false),
];

#[test]
fn i2_the_command_that_a_bad_record_names_leads_on() {
    let world = World::new();
    for (topic, columns, record, _) in BAD {
        world.topic(topic, 1);
        let good = |n: u32| {
            if columns.contains("NOT NULL") { format!("{{\"n\":{n},\"k\":1}}\n") } else { format!("{{\"n\":{n}}}\n") }
        };
        world.produce_raw(topic, format!("{}{record}\n{}", good(1), good(3)).as_bytes());
        let columns = if columns.is_empty() { "n BIGINT".to_owned() } else { format!("n BIGINT, {columns}") };
        world.ok(&["enable", topic, "--columns", &columns, "--sort-by", "n"]);
    }
    world.run(&["sync"]).failed(3, &["cannot be decoded"]);
    for (topic, columns, _, takes) in BAD {
        let hint = hint_of(&world, topic);
        for never in ["SKIP", "--format", "upsert", "--from"] {
            assert!(!hint.contains(never), "{topic}: {never} is no way on: {hint}");
        }
        let command = run_named_command(&world, &hint);
        world.produce(topic, if columns.contains("NOT NULL") { "{\"n\":4,\"k\":1}\n" } else { "{\"n\":4}\n" });
        if takes {
            let table = named_table(&command);
            world.ok(&["sync", &table]);
            assert_eq!(world.numbers(&format!("select count(*) from {table}")), [4], "{topic}: {command}");
            assert_eq!(world.numbers(&format!("select count(*) from {topic}")), [1], "{topic}");
        } else {
            assert_eq!(command, format!("tableflow update bronze.{topic} --error-handling LOG"));
            world.ok(&["sync", topic]);
            assert_eq!(world.numbers(&format!("select count(*) from {topic}")), [3], "{topic}");
            assert_eq!(world.numbers(&format!("select count(*) from {topic}__dlq")), [1], "{topic}");
        }
    }
    // What the table was declared with is kept, widths too.
    let columns = &world.json(&["describe", "tiny_2"])["declared_columns"];
    assert_eq!(columns, &json!("n BIGINT, k SMALLINT, w INT"));
    let columns = &world.json(&["describe", "inside_2"])["declared_columns"];
    assert_eq!(columns, &json!("n BIGINT, o ROW<x STRING, w TINYINT>"));
}

#[test]
fn i2_a_tombstone_names_a_way_on_that_puts_it_aside() {
    let world = World::new();
    world.topic("t", 1);
    world.produce_envelopes("t", "{\"value\":{\"n\":1}}\n{\"key\":\"k\",\"value\":null}\n");
    world.ok(&[
        "enable",
        "t",
        "--namespace",
        "silver",
        "--partition-by",
        "bucket(2, n)",
        "--sort-by",
        "n desc",
        "--metadata-columns",
        "none",
    ]);
    world
        .run(&["sync"])
        .failed(3, &["reason=tombstone", "hint: an append table has no keys to delete", "update TABLE --mode upsert"]);
    let command = run_named_command(&world, &hint_of(&world, "silver.t"));
    assert_eq!(command, "tableflow update silver.t --error-handling LOG");
    world.produce_envelopes("t", "{\"key\":\"k\",\"value\":{\"n\":3}}\n");
    world.ok(&["sync", "silver.t"]);
    assert_eq!(world.rows("select * from silver.t order by n"), [json!({"n": 1}), json!({"n": 3})]);
    assert_eq!(world.rows("select reason from silver.t__dlq"), [json!({"reason": "tombstone"})]);
}

#[test]
fn i2_a_way_on_says_what_of_the_layout_it_cannot_keep() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"n\":1}\n{\"n\":0.5}\n");
    world.ok(&["enable", "t", "--columns", "n BIGINT", "--partition-by", "bucket(4, n)", "--sort-by", "n"]);
    world.run(&["sync"]).failed(3, &["reason=type-mismatch"]);
    let hint = hint_of(&world, "t");
    assert!(hint.contains("takes it, without --partition-by \"bucket(4, n)\" (`tableflow disable"), "{hint}");
    let command = run_named_command(&world, &hint);
    assert!(command.contains("--sort-by n") && !command.contains("--partition-by"), "{command}");
    world.ok(&["sync", "t_2"]);
    assert_eq!(world.column("select n from t_2 order by n"), ["0.5", "1.0"]);
}

#[test]
fn i2_a_declared_name_that_differs_by_case_is_found_before_anything_is_made() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"eventTime\":0}\n");
    let says = ["column eventtime is declared, and the records spell it eventTime", "hint: declare it as the records"];
    world.run(&["enable", "t", "--columns", "eventtime TIMESTAMP(3)"]).failed(2, &says);
    assert_eq!(world.json(&["list"]), json!([]));
    world.ok(&["enable", "t", "--columns", "eventTime TIMESTAMP(3)"]);
    world.ok(&["sync"]);
    assert_eq!(world.column("select eventtime from t"), ["1970-01-01T00:00:00"]);

    // Where the topic was empty the first record says it.
    world.topic("later", 1);
    world.ok(&["enable", "later", "--columns", "eventtime TIMESTAMP(3)"]);
    world.produce("later", "{\"eventTime\":0}\n");
    world.run(&["sync", "later"]).failed(3, &["reason=case-collision"]);
    let command = run_named_command(&world, &hint_of(&world, "later"));
    assert!(command.contains("eventTime TIMESTAMP("), "{command}");
    world.ok(&["sync", "later_2"]);
    assert_eq!(world.numbers("select count(*) from later_2"), [1]);
}

#[test]
fn a_dotted_name_is_asked_for_twice() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"n\":1}\n");
    let says = ["silver.t is a name with a dot", "hint: --namespace silver --table t; "];
    world.run(&["enable", "t", "--table", "silver.t"]).failed(2, &says);
    world.ok(&["enable", "t", "--namespace", "bronze", "--table", "silver.t"]);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select n from bronze.\"silver.t\""), [1]);
}

#[test]
fn i6_a_table_enabled_again_is_as_it_was() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"n\":1}\n");
    let settings = |world: &World| {
        let it = world.json(&["describe", "t"]);
        ["metadata_columns", "commit_interval_ms", "retention_ms"].map(|name| it[name].clone())
    };
    let words =
        ["--metadata-columns", "none", "--commit-interval", "7s", "--retention-ms", "1234567", "--from", "latest"];
    world.ok(&[&["enable", "t"], &words[..]].concat());
    let before = settings(&world);
    assert_eq!(before, [json!("none"), json!(7_000), json!(1_234_567)]);

    // Nothing is committed yet: where it starts is as it was, too.
    world.produce("t", "{\"n\":2}\n");
    world.ok(&["disable", "t"]);
    assert!(world.ok(&["enable", "t", "--dry-run"]).contains("topic t would fill again table bronze.t"));
    assert!(world.ok(&["enable", "t"]).contains("topic t fills again table bronze.t"));
    assert_eq!(settings(&world), before);
    world.ok(&["sync"]);
    assert_eq!(world.rows("select * from t"), [json!({"n": 2})]);

    world.ok(&["disable", "t"]);
    world
        .run(&["enable", "t", "--from", "earliest"])
        .failed(2, &["goes on where it stands in topic t, not at the earliest record", "--table NAME --from earliest"]);
    world.ok(&["enable", "t"]);

    // What is asked for counts.
    world.ok(&["disable", "t"]);
    world.ok(&["enable", "t", "--metadata-columns", "portable", "--commit-interval", "8s"]);
    assert_eq!(settings(&world), [json!("portable"), json!(8_000), json!(1_234_567)]);
    world.produce("t", "{\"n\":3}\n");
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select _tableflow_offset from t where n = 3"), [2]);
    assert_eq!(world.numbers("select count(*) from t where _tableflow_offset is null"), [1]);
}

#[test]
fn a_nested_field_is_no_sort_column() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"in\":{\"v\":1}}\n");
    world
        .run(&["enable", "t", "--sort-by", "in.v"])
        .failed(2, &["in.v is inside a column", "hint: sort by a column of the table's top level"]);
    world.run(&["enable", "t", "--sort-by", "in"]).failed(2, &["has no order"]);
    assert_eq!(world.json(&["list"]), json!([]));
}

#[test]
fn i3_a_width_is_kept_to_before_and_after_the_table_exists() {
    let columns = "a TINYINT, b SMALLINT, c CHAR(3), d VARCHAR(3), e VARBINARY(2), l ARRAY<TINYINT>, \
                   m MAP<VARCHAR(2), BIGINT>, r ROW<x VARCHAR(1)>";
    let good = [
        r#"{"a":-128,"b":32767,"c":"abc","d":"äöü","e":"AAA=","l":[127],"m":{"kk":1},"r":{"x":"x"}}"#,
        r#"{"a":127,"b":-32768,"c":"","d":123,"e":"","l":[],"m":{},"r":{}}"#,
    ];
    let bad = [
        (r#"{"a":128}"#, "$.a is the number 128, its column is TINYINT: it is outside -128 to 127"),
        (r#"{"a":-129}"#, "its column is TINYINT"),
        (r#"{"b":32768}"#, "its column is SMALLINT: it is outside -32768 to 32767"),
        (r#"{"c":"abcd"}"#, "its column is CHAR(3): it has more characters"),
        (r#"{"d":"äöüß"}"#, "its column is VARCHAR(3): it has more characters"),
        (r#"{"d":1234}"#, "$.d is the number 1234, its column is VARCHAR(3)"),
        (r#"{"e":"AAAA"}"#, "its column is VARBINARY(2): it has more bytes"),
        (r#"{"l":[1,300]}"#, "$.l[1] is the number 300, its column is TINYINT"),
        (r#"{"m":{"kkk":1}}"#, "$.m.kkk is no key of its map: it has more characters"),
        (r#"{"r":{"x":"xy"}}"#, "$.r.x is the text \"xy\", its column is VARCHAR(1)"),
    ];
    let world = World::new();
    for (n, (record, says)) in bad.iter().enumerate() {
        let topic = format!("t{n}");
        world.topic(&topic, 1);
        world.produce(&topic, &format!("{}\n", good[0]));
        world.ok(&["enable", &topic, "--columns", columns]);
        // From here on the table has INT and STRING; the definition has the widths.
        world.ok(&["sync", &topic]);
        world.produce(&topic, &format!("{}\n{record}\n{}\n", good[1], good[1]));
        let offset = format!("record 2 of partition 0 of topic {topic} cannot be decoded");
        world.run(&["sync", &topic]).failed(3, &[says, &offset, "reason=out-of-range"]);
        assert_eq!(world.numbers(&format!("select count(*) from {topic}")), [2], "{record}");
    }
}

/// The topic's first record, the flags, the record that cannot be, the name that it clashes with.
const CLASHES: [(&str, &str, &[&str], &str, &str); 7] = [
    ("dotted", r#"{"a":{"b":1}}"#, &[], r#"{"a.b":3}"#, "a.b"),
    ("undotted", r#"{"a.b":1}"#, &[], r#"{"a":{"b":3}}"#, "a.b"),
    ("element", r#"{"l":[1]}"#, &[], r#"{"l.element":3}"#, "l.element"),
    ("parquet", r#"{"l":[1]}"#, &[], r#"{"l.list.element":3}"#, "l.list.element"),
    ("map", r#"{"m":{"k":1}}"#, &["--columns", "m MAP<STRING, BIGINT>"], r#"{"m.value":3}"#, "m.value"),
    (
        "partition",
        r#"{"ts":"2026-01-31T10:00:00Z"}"#,
        &["--columns", "ts TIMESTAMP_LTZ(3)", "--partition-by", "day(ts)"],
        r#"{"ts_day":5}"#,
        "ts_day",
    ),
    ("bucket", r#"{"id":1}"#, &["--partition-by", "bucket(4, id), id"], r#"{"id_bucket":5}"#, "id_bucket"),
];

#[test]
fn i4_a_name_that_no_table_can_have_stops_at_its_record() {
    let world = World::new();
    for (topic, first, words, _, _) in CLASHES {
        world.topic(topic, 1);
        world.produce(topic, &format!("{first}\n"));
        world.ok(&[&["enable", topic], words].concat());
        world.ok(&["sync", topic]);
    }
    for (topic, first, _, bad, name) in CLASHES {
        // Before, at and after; the one before brings a column of its own.
        let before = format!("{},\"new\":1}}", &first[..first.len() - 1]);
        world.produce(topic, &format!("{before}\n{bad}\n{first}\n"));
        let clash = if name.contains('.') {
            format!("`{name}`, belongs to another")
        } else {
            format!("{name}, belongs to a partition")
        };
        world.run(&["sync", topic]).failed(3, &["reason=bad-name", "record 2 of partition 0", &clash]);
        assert_eq!(world.numbers(&format!("select count(*) from {topic}")), [2], "{topic}");
        assert_eq!(world.numbers(&format!("select sum(new) from {topic}")), [1], "{topic}");
        run_named_command(&world, &hint_of(&world, topic));
        world.produce(topic, &format!("{first}\n"));
        world.ok(&["sync", topic]);
        assert_eq!(world.numbers(&format!("select count(*) from \"{topic}\"")), [4], "{topic}");
        assert_eq!(world.numbers(&format!("select count(*) from \"{topic}__dlq\"")), [1], "{topic}");
    }
    // The sample that a new table's columns are taken from has such a record.
    world.ok(&[
        "enable",
        "partition",
        "--table",
        "again",
        "--columns",
        "ts TIMESTAMP_LTZ(3)",
        "--partition-by",
        "day(ts)",
    ]);
    world.run(&["sync", "again"]).failed(3, &["reason=bad-name", "record 2 of partition 0"]);
    assert_eq!(world.numbers("select count(*) from again"), [2]);
    world
        .run(&[
            "enable",
            "partition",
            "--table",
            "no",
            "--columns",
            "ts TIMESTAMP_LTZ(3), ts_day INT",
            "--partition-by",
            "day(ts)",
        ])
        .failed(2, &["the name ts_day belongs to a partition field", "hint: declare"]);
    // Two in one record, and two in one declaration.
    world.topic("both", 1);
    world.produce("both", "{\"n\":1}\n{\"a\":{\"b\":1},\"a.b\":2}\n");
    world.ok(&["enable", "both"]);
    world.run(&["sync", "both"]).failed(3, &["reason=bad-name", "record 1 of partition 0"]);
    assert_eq!(world.numbers("select n from both"), [1]);
    world
        .run(&["enable", "both", "--table", "declared", "--columns", "a ROW<b INT>, `a.b` INT"])
        .failed(2, &["the name `a.b` belongs to another column"]);
}

#[test]
fn i2_a_topic_made_again_has_two_ways_on_that_work() {
    let world = World::with_table("orders", "{\"n\":1}\n{\"n\":2}\n");
    world.ok(&["topic", "delete", "orders"]);
    world.topic("orders", 1);
    world.produce("orders", "{\"n\":3}\n");
    world.run(&["sync"]).failed(3, &["topic orders was re-created"]);
    let hint = hint_of(&world, "orders");
    assert!(hint.contains("--table NAME") && hint.contains("--drop") && !hint.contains("reset"), "{hint}");

    // Filling the table again is none.
    world.ok(&["disable", "orders"]);
    for dry in [&["--dry-run"][..], &[]] {
        world.run(&[&["enable", "orders"], dry].concat()).failed(
            1,
            &["was filled from another topic orders", "--table NAME", "tableflow disable bronze.orders --drop"],
        );
    }
    world.ok(&["enable", "orders", "--table", "NAME"]);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select n from \"NAME\""), [3]);
    assert_eq!(world.numbers("select n from bronze.orders order by n"), [1, 2]);

    world.ok(&["disable", "bronze.orders", "--drop"]);
    world.ok(&["enable", "orders"]);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select n from bronze.orders"), [3]);
}

#[test]
fn i5_latest_is_where_the_topic_ended_when_it_was_enabled() {
    let world = World::new();
    world.topic("t", 2);
    world.produce_envelopes("t", "{\"value\":{\"n\":1},\"partition\":0}\n{\"value\":{\"n\":2},\"partition\":1}\n");
    world.ok(&["enable", "t", "--from", "latest"]);
    world.produce_envelopes("t", "{\"value\":{\"n\":3},\"partition\":0}\n{\"value\":{\"n\":4},\"partition\":1}\n");
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select n from t order by n"), [3, 4]);
}

#[test]
fn i5_rows_after_latest_outlive_a_service_that_never_committed() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"n\":1}\n");
    world.ok(&["enable", "t", "--from", "latest", "--commit-interval", "10m"]);
    let service = world.up();
    world.produce("t", "{\"n\":2}\n{\"n\":3}\n");
    wait_for(|| service.get("/metrics").1, |text| text.contains("tableflow_records_buffered{table=\"bronze.t\"} 2"));
    // Dropped: the process is killed without a word.
    drop(service);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(world.numbers("select count(*) from t"), [0]);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select n from t order by n"), [2, 3]);
}

#[test]
fn a_topic_whose_first_record_makes_no_row_is_refused_with_a_way_on() {
    let world = World::new();
    for (topic, value, words, way_on) in [
        (
            "big",
            "{\"n\":123456789012345678901234567890}",
            "outside the 64-bit range",
            &["--columns", "n DECIMAL(30, 0)"][..],
        ),
        ("list", "[{\"a\":1}]", "an array, not an object", &["--from", "latest"]),
    ] {
        world.topic(topic, 1);
        world.produce(topic, &format!("{value}\n"));
        for metadata in ["none", "portable"] {
            let enable = ["enable", topic, "--metadata-columns", metadata];
            world.run(&enable).failed(3, &["record 0 of partition 0", words, "hint", way_on[1]]);
        }
        world.ok(&[&["enable", topic], way_on].concat());
        world.ok(&["sync"]);
    }
    assert_eq!(world.column("select n from big"), ["123456789012345678901234567890"]);
}

/// The tables of the world, by name.
fn tables(world: &World) -> Vec<String> {
    world.json(&["list"]).as_array().unwrap().iter().map(|table| table["table"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn i7_topics_that_a_pattern_names_become_tables_as_they_come() {
    let world = World::new();
    for topic in ["shop.orders", "shop.items", "other"] {
        world.topic(topic, 1);
        world.produce(topic, "{\"id\":1}\n");
    }
    world.ok(&["topic", "create", "shop.kept", "-c", "cleanup.policy=compact"]);
    world.ok(&["topic", "create", "shop.empty"]);
    world.ok(&["enable", "shop.items", "--table", "goods"]);
    world.run(&["disable", "--match", "shop"]).failed(1, &["no pattern shop is declared"]);
    world.run(&["enable", "--match", ""]).failed(2, &["an empty pattern matches no topic"]);
    world.run(&["enable", "--match", "z.*", "--columns", "id FOO"]).failed(2, &["FOO"]);
    let nothing = world.run(&["enable", "--match", "shop", "--dry-run"]);
    assert!(nothing.stderr.contains("a pattern is of whole names"), "{nothing:?}");
    world.run(&["enable", "--match", "shop.("]).failed(2, &["\"shop.(\" is not a pattern"]);
    let said = world.run(&["enable", "--match", r"shop\..*", "--namespace", "shop", "--from", "latest"]);
    assert!(said.stderr.contains("topic shop.kept is left out for now"), "{said:?}");
    assert!(said.stderr.contains("topic shop.empty is left out for now"), "{said:?}");
    said.succeeded();
    assert_eq!(tables(&world), ["bronze.goods", "shop.shop.orders"]);

    // The pattern began behind what was there; what came after it is read from the beginning, empty topics too.
    world.topic("shop.late", 1);
    world.produce("shop.late", "{\"id\":1}\n{\"id\":2}\n");
    world.produce("shop.empty", "{\"id\":1}\n");
    world.ok(&["sync"]);
    assert_eq!(tables(&world), ["bronze.goods", "shop.shop.empty", "shop.shop.late", "shop.shop.orders"]);
    for (table, rows) in [("shop.shop.late", 2), ("shop.shop.empty", 1), ("shop.shop.orders", 0)] {
        assert_eq!(world.status(table)["rows_committed"], rows, "{table}");
    }

    // What a person disabled stays so, and a pattern that was ended names nothing.
    world.ok(&["disable", "shop.shop.late"]);
    world.ok(&["disable", "--match", r"shop\..*"]);
    world.topic("shop.later", 1);
    world.produce("shop.later", "{\"id\":1}\n");
    world.ok(&["sync"]);
    assert_eq!(tables(&world), ["bronze.goods", "shop.shop.empty", "shop.shop.orders"]);
    world.run(&["disable", "--match", "shop"]).failed(1, &["no pattern shop is declared"]);
}

#[test]
fn i7_the_service_looks_for_topics_to_come() {
    let world = World::new();
    world.ok(&["topic", "create", "first"]);
    world.ok(&["enable", "--match", ".*", "--commit-interval", "100ms"]);
    let patterns = world.json(&["list", "--patterns"]);
    assert_eq!((&patterns[0]["pattern"], &patterns[0]["tables"]), (&json!(".*"), &json!([])));
    let _service = world.up();
    world.produce("first", "{\"id\":1}\n");
    wait_for(|| tables(&world), |tables| tables == &["bronze.first"]);
    world.wait_for_status("first", "rows_committed", 1);
}
