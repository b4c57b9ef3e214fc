//! Every verb is parsed as help and docs/reference.md write it, and what cannot be meant is refused.

use clap::CommandFactory;

use super::*;

fn read(line: &str) -> Result<Arguments, Refusal> {
    Arguments::read(std::iter::once("tableflow").chain(line.split('|')).map(OsString::from))
}

fn words(line: &str) -> Arguments {
    read(line).unwrap_or_else(|refusal| panic!("{line}: {refusal:?}"))
}

/// What is said about a line that is refused, and the code it ends with.
fn refused(line: &str) -> (String, i32) {
    match read(line).map(|arguments| arguments.verb) {
        Ok(verb) => panic!("{line} was taken as {verb:?}"),
        Err(Refusal::Grammar(error)) => (error.to_string(), error.exit_code()),
        Err(Refusal::Value(error)) => (error.report(), i32::from(crate::exit::Exit::from(&error).code())),
    }
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

/// A line, and the verb it is.
const VERBS: &[(&str, &str)] = &[
    ("demo", "Demo(DemoArguments { rows: 50000, keep: false })"),
    ("demo|--rows|7|--keep", "Demo(DemoArguments { rows: 7, keep: true })"),
    (
        "topic|create|orders|--partitions|3|-c|cleanup.policy=compact",
        "Topic(Create { name: TopicName(\"orders\"), partitions: 3, settings: \
             [TopicSetting { key: \"cleanup.policy\", value: \"compact\" }] })",
    ),
    ("topic|list", "Topic(List)"),
    ("topic|describe|a.b", "Topic(Describe { name: TopicName(\"a.b\") })"),
    ("topic|delete|a", "Topic(Delete { name: TopicName(\"a\") })"),
    (
        "produce|orders|--key|a,b",
        "Produce(ProduceArguments { topic: TopicName(\"orders\"), file: \"-\", key: [\"a\", \"b\"], \
             envelope: false, format: Json })",
    ),
    (
        "produce|orders|x.ndjson|--format|RAW",
        "Produce(ProduceArguments { topic: TopicName(\"orders\"), file: \"x.ndjson\", key: [], \
             envelope: false, format: Raw })",
    ),
    (
        "consume|orders|--from|17|-n|5|--follow",
        "Consume(ConsumeArguments { topic: TopicName(\"orders\"), from: Offset(Offset(17)), limit: Some(5), \
             follow: true })",
    ),
    (
        "schema|register|orders-value|order.avsc|--reference|n.Zip=zip-value:3|--normalize",
        "Schema(Register(RegisterArguments { subject: \"orders-value\", file: \"order.avsc\", schema_type: None, \
             references: [Reference(SchemaReference { name: \"n.Zip\", subject: \"zip-value\", version: Version(3) })], \
             normalize: true }))",
    ),
    ("schema|list", "Schema(List { prefix: \"\", deleted: false })"),
    (
        "schema|show|orders-value|--version|2",
        "Schema(Show(ShowArguments { subject: Some(\"orders-value\"), version: Number(Version(2)), id: None }))",
    ),
    ("schema|show|--id|7", "Schema(Show(ShowArguments { subject: None, version: Latest, id: Some(7) }))"),
    ("schema|diff|s|--from|1", "Schema(Diff { subject: \"s\", from: Some(Number(Version(1))), to: Latest })"),
    ("disable|t|--drop", "Disable(DisableArguments { table: Some(TableReference(\"t\")), pattern: None, drop: true })"),
    ("pause|bronze.orders", "Pause(TableArgument { table: TableReference(\"bronze.orders\") })"),
    (
        "resume|t|--past-gap",
        "Resume(ResumeArguments { table: TableArgument { table: TableReference(\"t\") }, letters: None, \
         past_gap: true })",
    ),
    (
        "resume|t|--letters|SENT",
        "Resume(ResumeArguments { table: TableArgument { table: TableReference(\"t\") }, letters: Some(Sent), \
         past_gap: false })",
    ),
    ("describe|t", "Describe(TableArgument { table: TableReference(\"t\") })"),
    ("history|t", "History(TableArgument { table: TableReference(\"t\") })"),
    ("files|t", "Files(TableArgument { table: TableReference(\"t\") })"),
    ("list", "List(ListArguments { patterns: false })"),
    ("status|--check", "Status(StatusArguments { table: None, check: true })"),
    ("sync|a|b", "Sync(SyncArguments { tables: [TableReference(\"a\"), TableReference(\"b\")] })"),
    ("up|--listen|127.0.0.1:0", "Up(UpArguments { listen: Some(127.0.0.1:0) })"),
    ("up|--listen|8080", "Up(UpArguments { listen: Some(127.0.0.1:8080) })"),
    ("up|--listen|localhost:8080", "Up(UpArguments { listen: Some(127.0.0.1:8080) })"),
    (
        "query|select 1|--as-of|42",
        "Query(QueryArguments { sql: Some(\"select 1\"), file: None, as_of: Some(Snapshot(42)) })",
    ),
    ("query|-", "Query(QueryArguments { sql: Some(\"-\"), file: None, as_of: None })"),
    ("query|-f|x.sql", "Query(QueryArguments { sql: None, file: Some(\"x.sql\"), as_of: None })"),
    (
        "compact|t|b.u|--where|day > 3|--target-file-size|64MiB|--dry-run",
        "Compact(CompactArguments { tables: [TableReference(\"t\"), TableReference(\"b.u\")], \
         target_file_size: Some(FileSize(ByteSize(67108864))), strategy: None, condition: Some(\"day > 3\"), dry_run: true })",
    ),
    (
        "compact|t|--strategy|SORT",
        "Compact(CompactArguments { tables: [TableReference(\"t\")], target_file_size: None, \
         strategy: Some(Sort), condition: None, dry_run: false })",
    ),
    (
        "rollback|t|--to|9|--keep-offsets",
        "Rollback(RollbackArguments { table: TableArgument { table: TableReference(\"t\") }, to: 9, replay: false, \
         keep_offsets: true })",
    ),
    ("completion|bash", "Completion(CompletionArguments { shell: Bash })"),
    ("man", "Man"),
    ("version", "Version"),
];

#[test]
fn verbs_are_parsed_as_the_contract_writes_them() {
    for (line, verb) in VERBS {
        assert_eq!(&format!("{:?}", words(line).verb), verb, "{line}");
    }
}

#[test]
fn enable_takes_confluents_words_in_any_case() {
    let line = "enable|orders|payments|--namespace|raw|--columns|ts TIMESTAMP(3), a DECIMAL(10,2)|--mode|APPEND\
                |--table-formats|iceberg|--format-version|2|--partition-by|day(ts)|--sort-by|ts|--format|JSON\
                |--error-handling|log|--log-target|bad|--commit-interval|500ms|--from|LATEST|--retention-ms|604800000\
                |--metadata-columns|None|--evolution|STRICT|--dry-run";
    let Verb::Enable(enable) = words(line).verb else { panic!("another verb") };
    let names: Vec<&str> = enable.topics.iter().map(TopicName::as_str).collect();
    assert_eq!(names, ["orders", "payments"]);
    assert_eq!(enable.columns.as_deref(), Some("ts TIMESTAMP(3), a DECIMAL(10,2)"));
    assert_eq!((enable.mode, enable.format, enable.from), (Mode::Append, TopicFormat::Json, Some(EnableFrom::Latest)));
    assert_eq!(enable.table_formats, [TableFormat::Iceberg]);
    assert_eq!(enable.commit_interval.map(|interval| interval.as_ms()), Some(500));
    assert_eq!((enable.retention_ms, enable.metadata_columns), (Some(604_800_000), Some(MetadataColumns::None)));
    assert_eq!((enable.error_handling, enable.log_target.as_deref()), (Some(ErrorHandling::Log), Some("bad")));
    assert_eq!(enable.evolution, Some(Evolution::Strict));
    assert!(enable.dry_run);
}

#[test]
fn enable_alone_means_its_defaults() {
    let Verb::Enable(enable) = words("enable|orders").verb else { panic!("another verb") };
    assert_eq!((enable.mode, enable.format, enable.from), (Mode::Auto, TopicFormat::Auto, None));
    assert_eq!(
        (enable.table_formats.as_slice(), enable.writing.format_version),
        ([TableFormat::Iceberg].as_slice(), None)
    );
    assert_eq!((enable.error_handling, enable.metadata_columns), (None, None));
    assert_eq!((enable.namespace.as_deref(), enable.commit_interval), (None, None));
}

#[test]
fn global_flags_stand_anywhere() {
    for line in
        ["-o|json|--data-dir|/d|--config|c.toml|-vv|list", "list|-vv|--config|c.toml|--output|JSON|--data-dir|/d"]
    {
        let global = words(line).global;
        assert_eq!((global.output, global.verbose, global.quiet), (Format::Json, 2, false), "{line}");
        assert_eq!(global.data_dir, Some("/d".into()));
        assert_eq!(global.config, Some("c.toml".into()));
    }
    assert_eq!(words("list").global.output, Format::Table);
}

#[test]
fn i1_every_verb_has_an_example_and_every_word_its_help() {
    fn check(command: &clap::Command) {
        for verb in command.get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Example:\n  tableflow "), "{} has no example", verb.get_name());
            assert!(verb.get_about().is_some(), "{} says nothing about itself", verb.get_name());
            for arg in verb.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {} has no help", verb.get_name(), arg.get_id());
                if !arg.get_action().takes_values() {
                    continue;
                }
                let values = arg.get_possible_values();
                let silent = values.iter().find(|value| !value.is_hide_set() && value.get_help().is_none());
                let shells = arg.get_id() == "shell";
                assert!(shells || silent.is_none(), "{} {}: {silent:?} has no help", verb.get_name(), arg.get_id());
            }
            check(verb);
        }
    }
    check(&Arguments::command());
}

#[test]
fn i2_values_that_come_later_are_refused_by_name() {
    let cases = [
        ("enable|t|--table-formats|ICEBERG,delta", "error: --table-formats DELTA comes later\n  hint: use ICEBERG"),
        ("produce|t|--format|protobuf", "error: --format protobuf comes later\n  hint: use json or raw"),
        (
            "enable|t|--schema-mode|x",
            "error: --schema-mode comes later\n  hint: columns are inferred, or declared with --columns",
        ),
        ("plan", "error: plan comes later\n  hint: `tableflow enable TOPIC --dry-run` prints the plan of one table"),
        (
            "--data-dir|d|catalog|--all",
            "error: catalog comes later\n  hint: `tableflow list` shows the tables; other engines open DIR/catalog.db",
        ),
    ];
    for (line, report) in cases {
        assert_eq!(refused(line), (report.to_owned(), 2), "{line}");
    }
}

#[test]
fn i2_no_verb_or_flag_of_later_is_one_that_there_is() {
    let command = Arguments::command();
    for (verb, hint) in later::VERBS {
        assert!(command.find_subcommand(verb).is_none(), "{verb} is served");
        assert_eq!(refused(verb), (format!("error: {verb} comes later\n  hint: {hint}"), 2));
    }
    for (flag, hint) in later::FLAGS {
        assert_eq!(refused(&format!("enable|t|{flag}|x")), (format!("error: {flag} comes later\n  hint: {hint}"), 2));
    }
    // Elsewhere a flag of this name is unknown, no more.
    assert!(refused("list|--match|x").0.contains("unexpected argument"));
}

#[test]
fn i3_what_cannot_be_meant_ends_with_2() {
    let cases = [
        ("enable|t|--commit-interval|-5s", "\"-5s\" is not a length of time"),
        ("enable|t|--commit-interval=-5s", "\"-5s\" is not a length of time"),
        ("enable|t|--commit-interval|99999999999999999999s", "is not a length of time"),
        ("enable|t|--commit-interval|1ms", "is not between 10ms and 1day"),
        ("enable|t|--retention-ms|0", "0 is not in 1.."),
        ("enable|t|--retention-ms|-1", "-1 is not in 1.."),
        ("enable|t|--retention-ms|99999999999999999999", "number too large"),
        ("enable|t|--format-version|4", "4 is not in 2..=3"),
        ("enable|t|--mode|merge", "invalid value 'merge'"),
        ("enable", "<TOPIC>..."),
        ("enable|a b", "a topic name is 1 to 249 letters"),
        ("enable|a|b|--table|t", "--table names one table"),
        ("enable|t|--moed|append", "a similar argument exists: '--mode'"),
        ("enabel|t", "similar subcommands exist: 'erase', 'enable'"),
        ("topic|create|t|--partitions|0", "0 is not in 1..=1000"),
        ("topic|create|t|-c|compact", "a setting is written key=value"),
        ("consume|t|--from|-1", "a place is earliest, latest or an offset"),
        ("consume|t|-n|0", "0 is not in 1.."),
        ("produce|t|--key|a|--envelope", "cannot be used with"),
        ("produce|t|--format|raw|--key|a", "raw lines have no fields"),
        ("query", "required arguments were not provided"),
        ("query|select 1|-f|x.sql", "cannot be used with"),
        ("query| ", "the statement is empty"),
        ("query|select 1|--as-of|yesterday", "neither a snapshot id nor a time"),
        ("rollback|t|--to|1", "required arguments were not provided"),
        ("rollback|t|--to|1|--replay|--keep-offsets", "cannot be used with"),
        ("update|t", "nothing is asked of the table\n  hint: `tableflow update --help`"),
        ("update|t|--compact-files|1", "neither default nor a whole number from 2 to"),
        ("update|t|--compact-deleted|101", "neither default nor a whole number from 1 to 100"),
        ("enable|t|--compact-files|default", "leave the flag out; `tableflow update TABLE` takes it back"),
        ("maintain", "no TABLE is named\n  hint: --all is every table"),
        ("maintain|t|--all", "cannot be used with"),
        ("query|select 1|--as-of|yesterday", "a time such as 2026-01-31T12:00:00Z"),
        ("up|--listen|example.com", "write a port such as 8080, or an address such as 127.0.0.1:8080"),
        ("list|-q|-v", "cannot be used with"),
        ("list|-o|xml", "possible values: table, json, yaml, ndjson, csv"),
        ("demo|--rows|0", "0 is not in 1..=100000000"),
    ];
    for (line, part) in cases {
        let (text, code) = refused(line);
        assert!(text.contains(part), "{line}: {text}");
        assert_eq!(code, 2, "{line}");
    }
}

#[test]
fn help_is_no_error_and_hides_what_is_not_served() {
    let (text, code) = refused("enable|--help");
    assert_eq!(code, 0);
    assert!(text.contains("[possible values: auto, append, upsert]") || text.contains("- append:"), "{text}");
    assert!(!text.contains("DELTA"), "it is offered: {text}");
    // What a table is asked for by one of many flags stands in groups, not in the line of usage.
    let (text, _) = refused("update|--help");
    let headings = [
        "What a record does:",
        "Files and readers:",
        "Columns and bad records:",
        "Times:",
        "Compaction by the service:",
    ];
    assert!(headings.iter().all(|heading| text.contains(heading)), "{text}");
    assert!(text.contains("Usage: tableflow update [OPTIONS] <TABLE>\n"), "{text}");
}
