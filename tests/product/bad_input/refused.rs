//! What a person asks for and cannot have: refused before anything is made, and said why.

use serde_json::json;

use crate::world::World;

#[test]
fn columns_that_cannot_be_are_refused_before_anything_is_made() {
    let world = World::new();
    world.topic("t", 1);
    world.produce("t", "{\"n\":1}\n");
    for (words, says) in [
        (&["--columns", "a INT, A INT"][..], "differ only by case"),
        (&["--columns", "_tableflow_key STRING"], "_tableflow_"),
        (&["--columns", "a DECIMAL(39,2)"], "DECIMAL"),
        (&["--columns", "a DECIMAL(5,6)"], "DECIMAL"),
        (&["--columns", "a"], "expected a"),
        (&["--columns", "t TIMESTAMP(9)"], "a table cannot keep 9 digits after the second"),
        (
            &["--columns", "d DOUBLE", "--partition-by", "d"],
            "hint: partition by a whole number, a text or a time; floats",
        ),
        (&["--columns", "f FLOAT", "--partition-by", "f"], "column f is float and cannot be partitioned by identity"),
        (&["--columns", "f FLOAT", "--partition-by", "bucket(4, f)"], "column f is float and cannot be partitioned"),
        (&["--columns", "d DOUBLE", "--partition-by", "truncate(2, d)"], "column d is double and cannot be"),
        (&["--partition-by", "bucket(0, n)"], "bucket"),
        (&["--partition-by", "bucket(-1, n)"], "bucket"),
        (&["--partition-by", "bucket(99999999999, n)"], "bucket"),
        (&["--partition-by", "truncate(0, n)"], "truncate"),
        (&["--partition-by", "day(n)"], "day"),
        (&["--partition-by", "nope"], "nope"),
        (&["--partition-by", "n, n"], ""),
        (&["--sort-by", "nope"], "nope"),
        (&["--sort-by", "n upwards"], "upwards"),
        (&["--commit-interval", "0s"], "0s"),
        (&["--commit-interval", "99999999999999999999s"], "99999999999999999999s"),
        (&["--retention-ms", "-1"], "-1"),
        (&["--retention-ms", "99999999999999999999"], "99999999999999999999"),
        (&["--namespace", "a/b"], "a/b"),
        (&["--table", ""], ""),
    ] {
        let outcome = world.run(&[&["enable", "t"], words].concat());
        outcome.failed(2, &[says]);
    }
    assert_eq!(world.json(&["list"]), json!([]));
    assert_eq!(world.numbers("select count(*) from information_schema.tables where table_schema = 'bronze'"), [0]);
}

#[test]
fn a_setting_that_is_not_known_or_not_possible_is_refused() {
    let world = World::new();
    for (text, says) in [
        ("comit_interval = \"1s\"\n", "comit_interval"),
        ("[memory]\nbuget = \"1GiB\"\n", "buget"),
        ("[memory]\nbudget = \"-1GiB\"\n", "-1GiB"),
        ("[memory]\nbudget = \"0\"\n", "not between 1 byte and 8EiB"),
        ("[memory]\nbudget = \"1e30\"\n", "is not a size such as 64MiB"),
        ("[defaults]\ncommit_interval = \"-1s\"\n", "-1s"),
        ("[defaults]\ncommit_interval = \"99999999999999999999s\"\n", "99999999999999999999s"),
        ("[memory]\nbudget = \"99999999999GiB\"\n", "99999999999GiB"),
        ("[memory\n", "line 1, column 8"),
    ] {
        let file = world.file("settings.toml", text);
        world.run(&["--config", &file, "list"]).failed(2, &[says]);
    }
    world.run(&["--config", "/no/such.toml", "list"]).failed(2, &["/no/such.toml"]);
}

#[test]
fn a_topic_that_cannot_be_is_refused_before_anything_is_made() {
    let world = World::new();
    for (words, says) in [
        (&["--partitions", "0"][..], "0 is not in 1..=1000"),
        (&["--partitions", "99999999999"], "99999999999 is not in 1..=1000"),
        (&["-c", "segment.bytes=-1"], "from 1 to 2147483647"),
        (&["-c", "segment.bytes=99999999999999999999"], "from 1 to 2147483647"),
        (&["-c", "max.message.bytes=1000"], "have no option \"max.message.bytes\""),
    ] {
        world.run(&[&["topic", "create", "t"], words].concat()).failed(2, &[says]);
    }
    assert_eq!(world.json(&["topic", "list"]), json!([]));
}

#[test]
fn two_topics_never_fill_one_table_however_its_name_is_spelled() {
    let world = World::new();
    for topic in ["orders", "others", "Orders"] {
        world.topic(topic, 1);
        world.produce(topic, "{\"n\":1}\n");
    }
    world.ok(&["enable", "orders"]);
    for (topic, words, code, says) in [
        ("others", &["--table", "orders"][..], 1, "is filled by topic orders already"),
        ("others", &["--table", "ORDERS"], 2, "differs only by case"),
        ("Orders", &[], 2, "differs only by case"),
    ] {
        world.run(&[&["enable", topic], words].concat()).failed(code, &[says, "--table"]);
    }
    // Of two that are asked for at once the second is refused, and neither is made.
    world.topic("Others", 1);
    world.produce("Others", "{\"n\":1}\n");
    world.run(&["enable", "others", "Others"]).failed(2, &["bronze.Others differs only by case from bronze.others"]);
    world.run(&["enable", "others", "others"]).failed(1, &["is filled by topic others already"]);
    world.ok(&["sync"]);
    assert_eq!(world.rows("select n, _tableflow_topic t from orders"), [json!({"n": 1, "t": "orders"})]);
    assert_eq!(world.json(&["list"]).as_array().unwrap().len(), 1);
}
