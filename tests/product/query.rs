//! SQL from the command line: what is read when, how names are found, what is refused.

use std::time::Duration;

use serde_json::json;

use crate::world::World;

/// One topic with capitals in its names, committed twice.
fn clicks() -> World {
    let world = World::with_table("Clicks", "{\"userId\":1,\"page\":{\"urlPath\":\"/a\"}}\n");
    // Snapshots have the time in milliseconds: two of one millisecond could not be told apart by time.
    std::thread::sleep(Duration::from_millis(20));
    world.produce("Clicks", "{\"userId\":2}\n");
    world.ok(&["sync"]);
    world
}

#[test]
fn a_table_is_read_as_it_was() {
    let world = clicks();
    let history = world.json(&["history", "Clicks"]);
    let first = &history[1];
    let (id, time) = (first["snapshot_id"].to_string(), first["committed_at"].as_str().unwrap());
    let sql = "select count(*) from Clicks";
    for point in [id.as_str(), time] {
        assert_eq!(world.ok(&["query", sql, "-o", "csv", "--as-of", point]), "count(*)\n1\n", "{point}");
    }
    for clause in [
        format!("for version as of {id}"),
        format!("version as of {id}"),
        format!("for system_time as of '{time}'"),
        format!("FOR SYSTEM_TIME AS OF timestamp '{time}'"),
        format!("for timestamp as of '{time}'"),
    ] {
        assert_eq!(world.numbers(&format!("{sql} {clause}")), [1], "{clause}");
    }
    assert_eq!(world.numbers(sql), [2]);
    // Each mention of a table has its own point in time.
    let both = format!("select (select count(*) from Clicks) - count(*) from Clicks for version as of {id}");
    assert_eq!(world.numbers(&both), [1]);
    let joined = format!(
        "select a.userId from Clicks a left join Clicks for version as of {id} b on a.userId = b.userId where b.userId is null"
    );
    assert_eq!(world.numbers(&joined), [2]);
}

#[test]
fn time_travel_that_cannot_be_is_refused() {
    let world = clicks();
    for (code, clause, word) in [
        (1, "for version as of 42", "no snapshot 42"),
        (1, "for system_time as of '2000-01-01'", "as old as that"),
        (2, "for system_time as of now()", "now()"),
        (2, "for version as of 'main'", "'main'"),
        (2, "for version as of '2026-01-31'", "a time goes with for system_time as of"),
        (2, "for system_time as of 'yesterday'", "yesterday"),
        (2, "for version as of null", "null"),
        (2, "for system_time between '2026-01-01' and '2026-01-02'", ""),
        (2, "at (timestamp => '2026-01-01')", ""),
        (2, "before (statement => '1')", ""),
    ] {
        let outcome = world.run(&["query", &format!("select count(*) from Clicks {clause}")]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, ""), "{clause}: {outcome:?}");
        assert!(outcome.stderr.to_lowercase().contains(word), "{clause}: {}", outcome.stderr);
    }
    world.run(&["query", "select 1", "--as-of", "soon"]).failed(2, &["neither a snapshot id nor a time"]);
}

#[test]
fn names_are_found_without_case_when_only_one_fits() {
    let world = clicks();
    for sql in [
        "select userId from Clicks where USERID = 2",
        "select USERID from clicks where userid = 2",
        "select c.uSeRiD from BRONZE.CLICKS c where c.userId = 2",
        "select \"userId\" from bronze.\"Clicks\" where \"userId\" = 2",
        "select userid from clicks group by userid having max(userid) = 2 order by userid",
        "with x as (select userid from clicks) select userid from x where userid = 2",
        "select userid from clicks where userid in (select max(userid) from clicks)",
    ] {
        assert_eq!(world.numbers(sql), [2], "{sql}");
    }
    assert_eq!(world.column("select page['urlPath'] from clicks where userid = 1"), ["/a"]);
    world.topic("clicks", 1);
    world.produce("clicks", "{\"a\":1}\n");
    world.run(&["enable", "clicks"]).failed(2, &["differs only by case"]);
    world.ok(&["enable", "clicks", "--namespace", "silver"]);
    world
        .run(&["query", "select * from CLICKS"])
        .failed(2, &["table CLICKS is ambiguous", "bronze.Clicks, silver.clicks"]);
}

#[test]
fn a_name_that_is_not_there_is_said() {
    let world = clicks();
    world.run(&["query", "select usrId from Clicks"]).failed(2, &["usrid", "userId"]);
    world.run(&["query", "select * from Klicks"]).failed(2, &["klicks", "did you mean bronze.Clicks?"]);
    world.run(&["query", "select * from orders"]).failed(2, &["orders", "`tableflow list`"]);
    world
        .run(&["query", "select *\nfrom my-topic"])
        .failed(2, &["found: -", "line 2, column 8", "       ^", "double quotes"]);
    world.run(&["query", "selct 1"]).failed(2, &["    selct 1\n    ^^^^^\n"]);
    world.run(&["query", ";"]).failed(2, &["no statement"]);
    world.run(&["query", "select \"USERID\" from Clicks"]).failed(2, &["USERID"]);
}

#[test]
fn nothing_but_reads_is_done() {
    let world = clicks();
    let target = world.data_dir().join("out.csv").display().to_string();
    for sql in [
        "insert into Clicks select * from Clicks",
        "update Clicks set userId = 1",
        "delete from Clicks",
        "drop table Clicks",
        "create table t as select 1",
        "create view v as select 1",
        "create external table t stored as csv location '/etc/passwd'",
        "set datafusion.execution.batch_size = 1",
        "begin",
        &format!("copy Clicks to '{target}'"),
        &format!("copy (select 1) to '{target}'"),
        "explain analyze insert into Clicks select * from Clicks",
        "select 1; select 2",
        "",
    ] {
        let outcome = world.run(&["query", sql]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{sql}: {outcome:?}");
    }
    assert_eq!(world.numbers("select userId from Clicks order by 1"), [1, 2]);
    assert!(!std::path::Path::new(&target).exists());
}

#[test]
fn statements_come_from_words_files_and_stdin() {
    let world = clicks();
    let file = world.file("q.sql", "-- how many\nselect count(*) as n from Clicks;\n");
    assert_eq!(world.ok(&["query", "-f", &file, "-o", "csv"]), "n\n2\n");
    let piped = world.run_with_input(&["query", "-", "-o", "csv"], b"select 40 + 2 as n");
    assert_eq!(piped.succeeded(), "n\n42\n");
    world.run(&["query", "-f", "/no/such/file"]).failed(2, &["/no/such/file"]);
}

#[test]
fn the_information_schema_lists_tables_and_columns() {
    let world = clicks();
    assert_eq!(
        world.rows("select table_schema, table_name from information_schema.tables where table_schema = 'bronze'"),
        [json!({"table_schema": "bronze", "table_name": "Clicks"})]
    );
    let columns = world.column(
        "select column_name from information_schema.columns where table_name = 'Clicks' order by ordinal_position",
    );
    assert_eq!(columns.iter().take(2).collect::<Vec<_>>(), ["userId", "page"]);
    assert_eq!(world.column("show tables").len(), world.column("select 1 from information_schema.tables").len());
}

#[test]
fn results_that_cannot_be_told_apart_are_refused_where_names_are_keys() {
    let world = clicks();
    let sql = "select userId as n, userId + 1 as n from Clicks";
    world
        .run(&["query", "select a.userId, b.userId from Clicks a, Clicks b", "-o", "json"])
        .failed(2, &["userId", "AS"]);
    assert_ne!(world.run(&["query", sql, "-o", "ndjson"]).code, 0);
}

#[test]
fn what_a_statement_defines_comes_before_the_tables() {
    let world = World::with_table("orders", "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n");
    for (sql, number) in [
        ("with orders as (select * from bronze.orders where id < 3) select count(*) from orders", 2),
        ("with ORDERS as (select 7 as id) select min(id) from orders", 7),
        ("with orders as (select * from orders where id > 2) select count(*) from orders", 1),
        (
            "with x as (select * from orders), orders as (select 9 as id) select count(*) + min(o.id) from x, orders o",
            12,
        ),
        ("select count(*) from (with orders as (select 1) select * from orders) a, orders b", 3),
        (
            "with a as (with orders as (select 5 as id) select id from orders) select a.id + count(*) from a, orders group by a.id",
            8,
        ),
        (
            "with recursive orders as (select 1 as id union all select id + 1 from orders where id < 4) select sum(id) from orders",
            10,
        ),
        ("with o as (select 1 as n) select count(*) from \"orders\"", 3),
    ] {
        assert_eq!(world.numbers(sql), [number], "{sql}");
    }
    let sql = "with \"bronze.orders\" as (select 7 as id) select id from orders";
    world.run(&["query", sql]).failed(2, &["bronze.orders is a table", "hint"]);
    let deep = (0..12)
        .fold("select 1 as id".to_owned(), |inner, depth| format!("with c{depth} as ({inner}) select * from c{depth}"));
    assert_eq!(world.numbers(&deep), [1]);
    let sql = "with orders as (select 1) select * from orders for version as of 1";
    world.run(&["query", sql]).failed(2, &["orders is defined by the statement itself", "hint"]);
}

#[test]
fn a_name_as_written_comes_before_one_without_case() {
    let world = World::new();
    for (topic, record) in [
        ("upper", "{\"Id\":10,\"Amount\":1}\n{\"Id\":20,\"Amount\":3}\n{\"Id\":30,\"Amount\":2}\n"),
        ("lower", "{\"id\":1}\n"),
        ("both", "{\"ID\":1,\"n\":{\"In\":5}}\n"),
        ("twice", "{\"uid\":1,\"ctx\":{\"UID\":4}}\n"),
    ] {
        world.topic(topic, 1);
        world.produce(topic, record);
        world.ok(&["enable", topic, "--metadata-columns", "none"]);
    }
    world.ok(&["sync"]);
    for (sql, expected) in [
        // The alias, not the column behind it.
        ("select -Amount as amount from upper order by amount limit 1", -3),
        ("select amount from (select -Amount as amount from upper) order by amount limit 1", -3),
        ("with a as (select -Amount as amount from upper) select min(amount) from a", -3),
        // The one that is there as written.
        ("select min(id) from (select 1 as id) t, upper", 1),
        ("with t as (select id from lower) select min(id) from t cross join upper", 1),
        // Each table's own spelling.
        ("select x.id from (select id from lower) x join upper on true limit 1", 1),
        ("select l.id + u.id from lower l cross join upper u order by 1 limit 1", 11),
        ("select sum(upper.amount) from upper join lower on UPPER.ID > Lower.Id", 6),
        ("select max(UPPER.amount) from UPPER where upper.id in (select ID * 10 from both)", 1),
        ("select b.N.IN from both B", 5),
        ("select w.uid + w.ctx.uid from twice w", 5),
        ("select count(distinct ID) from upper group by amount having AMOUNT = 2", 1),
    ] {
        assert_eq!(world.numbers(sql), [expected], "{sql}");
    }
    world.run(&["query", "select iD from upper, both"]).failed(2, &["is ambiguous", "\"ID\"", "\"Id\""]);
}

#[test]
fn clauses_that_would_be_dropped_are_refused() {
    let world = clicks();
    for clause in [
        "tablesample (1 rows)",
        "tablesample bernoulli (1)",
        "with (nolock)",
        "partition (p0)",
        "with ordinality",
        ", (select 1) as s tablesample bernoulli (0)",
        "group by userId with rollup",
        "group by userId with cube",
        "group by all with totals",
    ] {
        let sql = format!("select count(*) from Clicks {clause}");
        let outcome = world.run(&["query", &sql]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{clause}: {outcome:?}");
    }
    for sql in [
        "select * from Clicks for update",
        "select top 1 * from Clicks",
        "select * into t from Clicks",
        "select * from Clicks fetch first 1 rows with ties",
        "select * from Clicks limit 1 by userId",
        "select * from Clicks lateral view explode(page) x",
        "select * from Clicks sort by userId",
        "select * from Clicks cluster by userId",
        "select * from Clicks distribute by userId",
        "from Clicks prewhere userId = 1 select *",
    ] {
        let outcome = world.run(&["query", sql]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{sql}: {outcome:?}");
    }
}

#[test]
fn a_text_beside_a_column_is_read_as_the_columns_type() {
    let world = World::new();
    world.topic("t", 1);
    let lines = [
        r#"{"n":9,"d":9.0,"m":"9.50","ts":"2026-01-01T00:00:00Z","tm":"00:00:00","s":"9"}"#,
        r#"{"n":10,"d":10.0,"m":"10.50","ts":"2026-01-02T00:00:00Z","tm":"12:00:00","s":"10"}"#,
        r#"{"n":-3,"d":-3.5,"m":"-3.25","ts":"9999-12-31T23:59:59Z","tm":"23:59:59.5","s":"x"}"#,
    ];
    world.produce("t", &format!("{}\n", lines.join("\n")));
    world.ok(&["enable", "t", "--columns", "m DECIMAL(10, 2), ts TIMESTAMP_LTZ(3), tm TIME(3), s STRING"]);
    world.ok(&["sync"]);
    for (filter, wanted) in [
        ("n > '9'", &[10][..]),
        ("'9' < n", &[10]),
        ("n in ('10', '-3')", &[-3, 10]),
        ("n between '-5' and '9'", &[-3, 9]),
        ("n is distinct from '9'", &[-3, 10]),
        ("d = '10'", &[10]),
        ("d < '-3.25'", &[-3]),
        ("m = '10.5'", &[10]),
        ("m > '10.499'", &[10]),
        ("m <> '10.50'", &[-3, 9]),
        ("ts < '9999-12-31'", &[9, 10]),
        ("ts = '9999-12-31T23:59:59Z'", &[-3]),
        ("ts >= '2026-01-02' and ts < '2026-01-03'", &[10]),
        ("tm = '00:00:00'", &[9]),
        ("tm > '12:00:00'", &[-3]),
        ("s = '10'", &[10]),
        ("exists (select 1 from t o where o.n > '9' and o.n = t.n)", &[10]),
    ] {
        assert_eq!(world.numbers(&format!("select n from t where {filter} order by n")), wanted, "{filter}");
    }
    let named = world.ok(&["query", "select n > '9' from t where n = '10'", "-o", "csv"]);
    assert_eq!(named, "\"bronze.t.n > Utf8(\"\"9\"\")\"\ntrue\n", "the column is called as it was written");
    world
        .run(&["query", "select * from t where n = 'ten'"])
        .failed(2, &["'ten' is compared with BIGINT and is none", "hint: write a value of that type"]);
}

#[test]
fn what_a_function_cannot_take_is_an_error_and_never_a_wrong_row() {
    let world = World::new();
    world.topic("t", 1);
    let wide = "9999999999999999999999999999.9999999999";
    world.produce("t", &format!("{{\"d\":\"{wide}\",\"ts\":\"9999-12-31T00:00:00Z\"}}\n{{\"d\":\"1E27\",\"ts\":0}}\n"));
    world.ok(&["enable", "t", "--columns", "d DECIMAL(38, 10), ts TIMESTAMP_LTZ(3)"]);
    world.ok(&["sync"]);
    assert_eq!(world.column("select max(d) from t"), [wide]);
    world.run(&["query", "select sum(d) from t"]).failed(3, &["has more digits than DECIMAL(38, 10)", "hint: "]);
    world
        .run(&["query", "select date_trunc('month', ts) from t"])
        .failed(1, &["the query failed inside", "hint: leave far values out"]);
    assert_eq!(world.numbers("select count(*) from t where ts < '2026-01-01'"), [1]);
    for format in ["table", "csv", "json", "ndjson"] {
        world.ok(&["query", "select null as a, array[null] as b, struct(null) as c", "-o", format]);
    }
}
