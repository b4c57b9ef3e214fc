//! What a newcomer meets: an interrupt, a misspelt directory, a table that rests, a word of a later version.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::{World, wait_for};

/// A topic `name` of one partition with one row, enabled.
fn enable(world: &World, name: &str) {
    world.topic(name, 1);
    world.produce(name, "{\"n\":1}\n");
    world.ok(&["enable", name, "--commit-interval", "50ms"]);
}

fn interrupt(child: &Child) {
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

#[test]
fn an_interrupt_ends_a_verb_whatever_it_is_busy_with() {
    let lines: String = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let world = World::with_table("numbers", &lines);
    let heavy = "select count(*) from numbers a, numbers b, numbers c where a.n * b.n + c.n = -1";
    for words in [
        &["produce", "numbers"][..],
        &["query", "-"],
        &["query", heavy],
        &["consume", "numbers", "--follow"],
        &["demo", "--rows", "5000000"],
    ] {
        // Its standard input stays open and silent, as a terminal's does: `wait` would close it before the verb ends.
        let mut child = world
            .command(words)
            .env("TMPDIR", world.data_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_secs(1));
        let stdin = child.stdin.take();
        assert!(child.try_wait().unwrap().is_none(), "{words:?} did not wait");
        let started = Instant::now();
        interrupt(&child);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{words:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{words:?} took {:?}", started.elapsed());
        drop(stdin);
    }
    let left = std::fs::read_dir(world.data_dir()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("tableflow-demo")).collect();
    assert!(left.is_empty(), "the demo left {left:?}");
}

#[test]
fn a_misspelt_data_directory_is_said_and_not_made() {
    let world = World::new();
    for words in [
        &["status"][..],
        &["list"],
        &["query", "select 1"],
        &["describe", "t"],
        &["sync"],
        &["history", "t"],
        &["files", "t"],
        &["consume", "t"],
        &["produce", "t", "/dev/null"],
        &["enable", "t"],
        &["disable", "t"],
        &["topic", "list"],
        &["schema", "list"],
        &["rollback", "t", "--to", "1", "--replay"],
    ] {
        let outcome = world.run(words);
        outcome.failed(2, &["there is no data directory", "--data-dir", "tableflow topic create"]);
        assert!(!world.data_dir().exists(), "{words:?} made it");
    }
    // A folder of other things is none either, and stays as it is.
    std::fs::create_dir(world.data_dir()).unwrap();
    world.run(&["status"]).failed(2, &["there is no data directory"]);
    assert_eq!(std::fs::read_dir(world.data_dir()).unwrap().count(), 0);
    world.up().terminate();
    world.ok(&["status"]);
}

#[test]
fn nothing_to_show_comes_with_a_hint() {
    let world = World::new();
    world.topic("orders", 1);
    for verb in ["list", "status", "sync"] {
        let outcome = world.run(&[verb, "-o", "json"]);
        outcome.failed(0, &["tableflow enable TOPIC"]);
        assert_eq!(outcome.stdout, "[]\n");
        assert_eq!(world.run(&[verb, "-q"]).stderr, "");
    }
}

#[test]
fn a_table_that_rests_says_why_and_how_it_goes_on() {
    let world = World::new();
    enable(&world, "orders");
    enable(&world, "clicks");
    world.ok(&["sync"]);
    let first = world.status("orders")["snapshot_id"].to_string();
    let paused = world.json(&["pause", "orders"]);
    assert_eq!((&paused["status"], &paused["reason"]), (&json!("Paused"), &json!("paused by a person")));
    let hint = json!("`tableflow resume bronze.orders` feeds it again");
    assert_eq!(paused["hint"], hint);
    let outcome = world.run(&["sync", "orders", "clicks", "-o", "json"]);
    outcome.failed(3, &["bronze.orders is paused", "paused by a person", "tableflow resume bronze.orders"]);
    let synced: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let of = |table: &str, field: &str| {
        synced.as_array().unwrap().iter().find(|row| row["table"] == table).unwrap()[field].clone()
    };
    assert_eq!((of("bronze.orders", "error"), of("bronze.orders", "hint")), (json!("bronze.orders is paused"), hint));
    assert_eq!(of("bronze.clicks", "error"), json!(null), "the other one is synced");
    let outcome = world.run(&["sync", "-o", "json"]);
    outcome.failed(0, &["left out, being paused: bronze.orders"]);
    world.ok(&["resume", "orders"]);
    world.ok(&["rollback", "orders", "--to", &first, "--replay"]);
    assert_eq!(world.status("orders")["reason"], json!(format!("rolled back to {first}")));
}

#[test]
fn a_status_counts_no_row_twice_and_shows_what_is_behind() {
    let world = World::new();
    enable(&world, "orders");
    let service = world.up();
    for rows in 2..8 {
        world.produce("orders", "{\"n\":1}\n");
        // Both numbers are of one look at the table: together they are never more than there is.
        let seen = wait_for(
            || world.status("orders"),
            |status| {
                let (committed, buffered) = (&status["rows_committed"], &status["rows_buffered"]);
                assert!(committed.as_i64().unwrap() + buffered.as_i64().unwrap() <= rows, "{status}");
                *committed == rows
            },
        );
        assert_eq!((&seen["lag"], &seen["rows_buffered"]), (&json!(0), &json!(0)));
    }
    assert!(service.terminate().success());
    world.produce("orders", "{\"n\":1}\n");
    assert_eq!(world.status("orders")["lag"], 1);
    let shown = world.ok(&["status"]);
    assert!(shown.contains("| lag |") && shown.contains("| diverged |"), "{shown}");
}

#[test]
fn json_is_asked_for_and_json_comes() {
    let world = World::new();
    enable(&world, "orders");
    assert_eq!(
        world.json(&["disable", "orders"]),
        json!({"table": "bronze.orders", "status": "Disabled", "dropped": false})
    );
    assert_eq!(world.json(&["topic", "delete", "orders"]), json!({"topic": "orders", "status": "Deleted"}));
    let demo = world.json(&["demo", "--rows", "100"]);
    assert_eq!((&demo["orders"], &demo["data_dir"]), (&json!(100), &json!(null)));
    let of = |name: &str| demo["tables"].as_array().unwrap().iter().find(|table| table["table"] == name).unwrap();
    let orders = of("bronze.orders");
    // One was cancelled; those that were paid are one row all the same.
    assert_eq!((&orders["topic"], &orders["rows"]), (&json!("orders"), &json!(99)));
    // They moved, and were compacted.
    let customers = of("bronze.customers");
    let expected = [("rows", 20), ("data_files", 1), ("delete_files", 0)];
    assert!(expected.iter().all(|(name, count)| customers[name] == *count), "{customers}");
    assert_eq!(world.ok(&["demo", "--rows", "10", "-q"]), "");
}

#[test]
fn records_come_as_they_are_written_or_the_format_is_refused() {
    let world = World::new();
    world.topic("orders", 1);
    world.produce("orders", "{\"n\":1}\n{\"n\":2}\n");
    let all = world.ok(&["consume", "orders", "-o", "csv"]);
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "partition,offset,timestamp,key,value,headers"), "{all}");
    for format in ["json", "yaml"] {
        world.run(&["consume", "orders", "--follow", "-o", format]).failed(2, &["use -o ndjson"]);
    }
    let yaml = world.ok(&["consume", "orders", "-o", "yaml"]);
    assert!(yaml.contains("\"n\": 2") && !yaml.contains("serde"), "{yaml}");
    let followed = world.json(&["consume", "orders", "--follow", "-n", "2"]);
    assert_eq!(followed[1]["value"], json!({"n": 2}));

    let mut child = world.command(&["consume", "orders", "--follow", "-o", "csv"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        line
    };
    assert!(next().starts_with("partition,"));
    assert!(next().contains("n"));
    assert!(next().contains("n"));
    world.produce("orders", "{\"n\":3}\n");
    assert!(next().starts_with("0,2,"), "no names again");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_sync_beside_a_service_is_no_success_for_a_topic_that_is_gone() {
    let world = World::new();
    enable(&world, "orders");
    enable(&world, "clicks");
    let _service = world.up();
    world.wait_for_status("orders", "rows_committed", 1);
    world.ok(&["topic", "delete", "orders"]);
    let outcome = world.run(&["sync", "-o", "json"]);
    assert_ne!(outcome.code, 0, "{outcome:?}");
    let synced: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&synced[0]["table"], &synced[0]["error"]), (&json!("bronze.clicks"), &json!(null)));
    assert_eq!(synced[1]["table"], "bronze.orders");
    assert!(synced[1]["error"].is_string(), "{synced}");
    // What status says of it is its own trouble, and the others' lines are there.
    let status = world.wait_for_status("orders", "status", "Suspended");
    assert!(status["reason"].is_string(), "{status}");
    assert_eq!(world.json(&["status"]).as_array().unwrap().len(), 2);
}

#[test]
fn a_definition_that_cannot_be_read_holds_up_no_other_table() {
    let world = World::new();
    enable(&world, "a");
    enable(&world, "b");
    world.ok(&["sync"]);
    let directory = world.data_dir().join("state/tables/bronze.a");
    std::fs::write(directory.join("00000009.json"), "{\"form\": 2}").unwrap();
    world.produce("b", "{\"n\":2}\n");
    assert_eq!(world.json(&["sync", "b"])[0]["rows_committed"], 1);
    world.run(&["sync", "a"]).failed(3, &["definition"]);
    world.run(&["sync"]).failed(3, &["definition"]);
    let statuses = world.json(&["status"]);
    assert_eq!((&statuses[0]["table"], &statuses[0]["status"]), (&json!("bronze.a"), &json!("Suspended")));
    assert!(statuses[0]["reason"].as_str().unwrap().contains("definition"), "{statuses}");
    assert_eq!((&statuses[1]["table"], &statuses[1]["rows_committed"]), (&json!("bronze.b"), &json!(2)));
    assert_eq!(world.run(&["status", "--check"]).code, 4);

    // Neither are others enabled or disabled with less ease.
    enable(&world, "c");
    world.ok(&["disable", "c", "--drop"]);
    world.run(&["enable", "a"]).failed(3, &["definition"]);

    let mut child = world.command(&["up", "--listen", "0"]).spawn().unwrap();
    world.produce("b", "{\"n\":3}\n");
    world.wait_for_status("b", "rows_committed", 3);
    let stop = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stop.success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(said.matches("a table is not fed").count(), 1, "{said}");
}

#[test]
fn a_table_of_a_compacted_topic_has_one_row_a_key_unless_every_record_is_asked_for() {
    let world = World::new();
    world.ok(&["topic", "create", "users", "-c", "cleanup.policy=compact"]);
    let lines = [(1, "{\"n\":1}"), (2, "{\"n\":2}"), (1, "{\"n\":3}"), (2, "null")];
    let lines = lines.map(|(key, value)| format!("{{\"key\":{key},\"value\":{value}}}\n"));
    world.produce_envelopes("users", &lines[..3].concat());
    world.ok(&["enable", "users"]);
    world.ok(&["enable", "users", "--table", "changes", "--mode", "append"]);
    world.ok(&["sync"]);
    assert_eq!(world.numbers("select n from users order by n"), [2, 3]);
    assert_eq!(world.numbers("select n from changes order by n"), [1, 2, 3]);
    world.produce_envelopes("users", &lines[3]);
    world.ok(&["sync", "users"]);
    assert_eq!(world.numbers("select n from users"), [3]);
    world.run(&["sync", "changes"]).failed(3, &["tombstone", "--mode upsert"]);
}

#[test]
fn a_word_of_a_later_version_is_known() {
    let world = World::new();
    for verb in ["jobs", "run", "catalog"] {
        world.run(&[verb, "x"]).failed(2, &[&format!("{verb} comes later"), "hint: "]);
    }
}

#[test]
fn records_that_name_no_schema_have_no_newest_one_to_mirror() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"n\":1}\n");
    for words in [&["--format", "json"][..], &["--format", "raw"], &["--fan-out", "field:n"]] {
        let words = [&["enable", "t", "--evolution", "mirror"], words].concat();
        world.run(&words).failed(2, &["--evolution mirror", "hint: use additive"]);
    }
    world.ok(&["enable", "t"]);
    world.run(&["update", "t", "--evolution", "MIRROR"]).failed(2, &["--evolution mirror", "hint: use additive"]);
}

#[test]
fn dead_letters_are_shown_as_what_they_are_and_lie_in_a_table_of_their_own() {
    let world = World::new();
    for topic in ["letters", "none"] {
        world.topic(topic, 1);
        world.produce(topic, "{\"n\":1}\n{\"n\":\"two\"}\n");
    }
    for (target, says, hint) in [
        ("letters", "bronze.letters cannot hold its own dead letters", "letters__dlq"),
        ("bronze.bad", "--log-target bronze.bad is a name with a dot", "--log-target bad"),
    ] {
        let words = ["enable", "letters", "--error-handling", "LOG", "--log-target", target];
        world.run(&words).failed(2, &[says, hint]);
    }
    // A topic that is no table is not taken for a misspelling of one.
    world.topic("letter", 1);
    world.ok(&["enable", "letters", "--error-handling", "LOG"]);
    world.run(&["query", "select * from letter"]).failed(2, &["letter is a topic", "`tableflow enable letter`"]);
    world.ok(&["enable", "none", "--error-handling", "SKIP"]);
    world.produce_raw("letters", b"\xff\xfe\n");
    world.ok(&["sync"]);
    let listed = world.ok(&["list"]);
    assert!(listed.contains("rows_skipped") && listed.contains("rows_dead_lettered"), "{listed}");
    let shown = world.json(&["dlq", "show", "letters"]);
    assert_eq!((&shown[0]["value"], &shown[0]["value_bytes"]), (&json!("{\"n\":\"two\"}"), &Value::Null));
    assert_eq!((&shown[1]["value"], &shown[1]["value_bytes"]), (&Value::Null, &json!("//4=")));
    world.run(&["dlq", "list", "none"]).failed(2, &["none keeps no dead letters", "passed over and counted", "LOG"]);
    let wrong = world.run(&["dlq", "list", "letters", "--where", "reson = 'x'"]);
    wrong.failed(2, &["--where \"reson = 'x'\" is no condition", "their columns are topic, partition"]);
}

#[test]
fn a_name_with_a_dot_is_answered_with_its_quotes() {
    let world = World::with_table("pg.public.orders", "{\"n\":1}\n");
    for table in
        ["bronze.pg.public.orders", "pg.public.orders", "Bronze.PG.public.orders", "bronze.pg.public.\"orders\""]
    {
        let sql = format!("select n from {table}");
        world.run(&["query", &sql]).failed(2, &["there is no table", "write bronze.\"pg.public.orders\""]);
    }
    assert_eq!(world.numbers("select n from bronze.\"pg.public.orders\""), [1]);
    assert_eq!(world.numbers("select n from \"pg.public.orders\""), [1]);
    assert!(!world.rows("select table_name from information_schema.tables").is_empty());
}

#[test]
fn an_update_says_what_it_changed() {
    let world = World::with_table("t", "{\"n\":1}\n");
    let words = ["update", "t", "--commit-interval", "1m", "--error-handling", "log"];
    let updated = world.json(&words);
    assert_eq!(
        updated["changed"],
        json!([
            {"setting": "commit_interval_ms", "before": 10_000, "after": 60_000},
            {"setting": "error_handling", "before": "SUSPEND", "after": "LOG"},
            {"setting": "dead_letters", "before": null, "after": "bronze.t__dlq"},
        ])
    );
    assert_eq!(updated["table"], "bronze.t");
    let again = world.run(&words);
    assert!(again.stderr.contains("nothing is changed"), "{again:?}");
    let shown = world.ok(&["update", "t", "--evolution", "strict"]);
    assert!(shown.contains("additive") && shown.contains("strict"), "{shown}");
}

#[test]
fn records_that_were_put_aside_are_told_of() {
    let world = World::new();
    for (topic, handling, bad) in [("a", "LOG", 2), ("b", "SKIP", 1), ("c", "LOG", 0)] {
        world.topic(topic, 1);
        world.ok(&["enable", topic, "--format", "json", "--error-handling", handling]);
        world.produce_raw(topic, format!("{{\"n\":1}}\n{}", "{\n".repeat(bad)).as_bytes());
    }
    let none = world.run(&["dlq", "list"]);
    assert!(none.stderr.contains("no table has dead letters"), "{none:?}");
    let synced = world.json(&["sync"]);
    let counts =
        |field: &str| synced.as_array().unwrap().iter().map(|it| it[field].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(counts("rows_committed"), [1, 1, 1]);
    assert_eq!((counts("rows_skipped"), counts("rows_dead_lettered")), (vec![0, 1, 0], vec![2, 0, 0]));
    let plain = world.ok(&["sync"]);
    assert!(!plain.contains("rows_skipped"), "where nothing was put aside nothing is said of it: {plain}");
    world.produce_raw("b", b"{\n");
    let said = world.ok(&["sync"]);
    assert!(said.contains("rows_skipped") && !said.contains("rows_dead_lettered"), "{said}");
    assert_eq!(world.json(&["dlq", "list"]), json!([{"table": "bronze.a", "topic": "a", "dead_letters": 2}]));
    world.run(&["dlq", "list", "--where", "true"]).failed(2, &["TABLE"]);
    // The same beside a service.
    let service = world.up();
    world.ok(&["update", "a", "--commit-interval", "1s"]);
    world.wait_for_status("a", "status", "Syncing");
    world.produce_raw("a", b"{\n{\n{\"n\":2}\n");
    let synced = world.json(&["sync", "a"]);
    assert_eq!((&synced[0]["rows_committed"], &synced[0]["rows_dead_lettered"]), (&json!(1), &json!(2)));
    assert_eq!(service.terminate().code(), Some(0));
}

#[test]
fn a_hint_names_nothing_that_is_gone() {
    let world = World::with_table("t", "{\"n\":1}\n");
    world.ok(&["disable", "t"]);
    world.run(&["status", "t"]).failed(1, &["bronze.t is disabled", "`tableflow enable t`", "disable bronze.t --drop"]);
    world.ok(&["disable", "t", "--drop"]);
    let dropped = world.run(&["status", "t"]);
    dropped.failed(1, &["bronze.t was dropped", "`tableflow enable t` makes it anew"]);
    assert!(!dropped.stderr.contains("--drop"), "{dropped:?}");
    world.ok(&["enable", "t"]);
    world.ok(&["disable", "t"]);
    world.ok(&["topic", "delete", "t"]);
    let disabled = world.run(&["status", "t"]);
    disabled.failed(1, &["bronze.t is disabled", "topic t, which filled it, is not there any more", "--drop"]);
    assert!(!disabled.stderr.contains("enable t"), "{disabled:?}");
    world.ok(&["disable", "t", "--drop"]);
    let dropped = world.run(&["status", "t"]);
    dropped.failed(1, &["bronze.t was dropped", "tableflow list"]);
    assert!(!dropped.stderr.contains("enable t"), "{dropped:?}");
}

#[test]
fn a_pattern_that_is_declared_again_says_what_it_is_about() {
    let world = World::with_table("shop.orders", "{\"n\":1}\n");
    let declare = |words: &[&str]| world.run(&[&["enable", "--match", r"shop\..*"], words].concat()).stderr;
    let again = "what it asks now is for tables to come";
    assert!(!declare(&[]).contains(again));
    assert!(!declare(&[]).contains(again), "nothing is different");
    assert!(declare(&["--commit-interval", "1s"]).contains(again));
    world.ok(&["disable", "--match", r"shop\..*"]);
    assert!(!declare(&[]).contains(again), "it was ended meanwhile");
    for verb in ["enable", "disable"] {
        let help = world.ok(&[verb, "--help"]);
        assert!(help.contains(&format!("tableflow {verb} [OPTIONS] --match <REGEX>")), "{help}");
    }
}

#[test]
fn a_log_for_machines_is_an_object_a_line() {
    let world = World::new();
    for (topic, handling) in [("a", "SKIP"), ("b", "SUSPEND"), ("c", "LOG")] {
        world.topic(topic, 1);
        world.ok(&["enable", topic, "--format", "json", "--error-handling", handling]);
        world.produce_raw(topic, b"{\n");
    }
    // Nobody answers at port 1, and nobody is to know who asked.
    let mut command = world.command(&["sync", "--log-format", "json", "-vvv"]);
    let registry = [("URL", "http://127.0.0.1:1"), ("BASIC__AUTH__USER__INFO", "me:canary")];
    command.envs(registry.map(|(name, value)| (format!("TABLEFLOW__REGISTRY__{name}"), value)));
    let outcome = crate::world::outcome(command.output().unwrap());
    assert_eq!(outcome.code, 3, "{outcome:?}");
    assert!(!outcome.stderr.contains("canary"), "{outcome:?}");
    let lines: Vec<Value> = outcome.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let is_text = |name: &str| line[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(["timestamp", "level", "target"].into_iter().all(is_text), "{line}");
        // Libraries may have fields alone.
        let ours = line["target"].as_str().unwrap().starts_with("tableflow");
        assert!(line["message"].is_string() && (!ours || is_text("message")), "{line}");
    }
    let said = |message: &str| lines.iter().find(|line| line["message"].as_str().unwrap().contains(message)).unwrap();
    for (message, topic) in [("records are left out", "a"), ("records become dead letters", "c")] {
        let (line, table) = (said(message), format!("bronze.{topic}"));
        assert_eq!((&line["table"], &line["topic"], &line["level"]), (&json!(table), &json!(topic), &json!("WARN")));
        assert_eq!((&line["partition"], &line["offset"], &line["reason"]), (&json!(0), &json!(0), &json!("truncated")));
    }
    let end = lines.last().unwrap();
    assert_eq!((&end["level"], &end["table"], &end["partition"]), (&json!("ERROR"), &json!("bronze.b"), &json!(0)));
    assert_eq!((&end["offset"], &end["reason"]), (&json!(0), &json!("truncated")), "{end}");
    assert!(end["hint"].as_str().unwrap().contains("--error-handling"), "{end}");
    assert!(said("committed")["rows"].is_number());
}

/// A registry whose clock is years ahead, and a record that claims to be.
#[test]
fn doctor_compares_clocks() {
    let world = World::with_table("t", "{\"n\":1}\n");
    let told = |world: &World, check: &str, registry: &str| {
        let mut command = world.command(&["doctor", "-o", "json"]);
        let outcome = crate::world::outcome(command.env("TABLEFLOW__REGISTRY__URL", registry).output().unwrap());
        let checks: Vec<Value> = serde_json::from_str(&outcome.stdout).unwrap();
        checks.into_iter().find(|it| it["check"].as_str().unwrap().starts_with(check))
    };
    assert_eq!(told(&world, "clock of registry", ""), None, "the embedded one has this machine's");
    let service = world.up();
    let other = World::with_table("t", "{\"n\":1}\n");
    let url = service.url("/registry");
    assert_eq!(told(&other, "clock of registry", &url).unwrap()["outcome"], "ok");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ahead = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head =
                "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2099 00:00:00 GMT\r\nContent-Length: 2\r\nConnection: close";
            let _ = std::io::Write::write_all(&mut stream, format!("{head}\r\n\r\n[]").as_bytes());
        }
    });
    let clock = told(&other, "clock of registry", &ahead).unwrap();
    assert_eq!(clock["outcome"], "warning", "{clock}");
    assert!(clock["detail"].as_str().unwrap().contains("ahead of this machine's"), "{clock}");
    other.produce_envelopes("t", "{\"value\":{\"n\":2},\"timestamp\":4070908800000}\n");
    let topic = told(&other, "topic t", &url).unwrap();
    assert_eq!(topic["outcome"], "warning", "{topic}");
    assert!(topic["detail"].as_str().unwrap().contains("ahead of this machine's clock"), "{topic}");
}
