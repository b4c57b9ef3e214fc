//! Records of every format that lie about themselves: each is counted, and costs no memory (numbers 4 to 6, 10 to 12,
//! 25, 28).

use serde_json::json;

use crate::world::World;

const ORDER: &str = r#"{"type":"record","name":"Order","fields":[{"name":"s","type":"string"},{"name":"l","type":{"type":"array","items":"long"}}]}"#;
const MESSAGE: &str = "syntax = \"proto3\"; message Order { string s = 2; repeated int64 l = 3; }";
const OBJECT: &str =
    r#"{"type":"object","properties":{"s":{"type":"string"},"l":{"type":"array","items":{"type":"integer"}}}}"#;

/// What a table of a few records takes without any lie.
const PEAK_BYTES_MAX: u64 = 160 << 20;

/// A number of 2^62, as Avro and as Protobuf write it.
const AVRO_2_62: &[u8] = &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
const PROTOBUF_2_62: &[u8] = &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];

/// A topic: how it is enabled, a good record, and bad ones with the reasons of their letters.
struct Format {
    topic: &'static str,
    words: &'static [&'static str],
    good: Vec<u8>,
    bad: Vec<(Vec<u8>, &'static str)>,
}

fn framed(id: u8, payload: &[&[u8]]) -> Vec<u8> {
    [&[0, 0, 0, 0, id][..], &payload.concat()].concat()
}

/// No record has a line feed, which would end its line. Schemas are registered as 1, 2 and 3.
fn formats() -> Vec<Format> {
    let unframed = |id: u8| {
        vec![
            (b"\x07x".to_vec(), "no-schema-id"),
            (b"\0\0\0".to_vec(), "no-schema-id"),
            (framed(99, &[b"\0"]), "schema-id-unknown"),
            (framed(id % 3 + 1, &[b"\0"]), "another-format"),
        ]
    };
    let avro = vec![
        (framed(1, &[AVRO_2_62, b"x"]), "truncated"),
        (framed(1, &[b"\x02x", AVRO_2_62, b"\x02"]), "truncated"),
        (framed(1, &[b"\x04a\xff\0"]), "invalid-utf8"),
        (framed(1, &[b"\x02x\0\0\0"]), "trailing-data"),
        (framed(1, &[b"\x02x\x02\x02"]), "truncated"),
    ];
    let protobuf = vec![
        (framed(2, &[b"\0\x12", PROTOBUF_2_62, b"x"]), "truncated"),
        (framed(2, &[b"\0\x1a", PROTOBUF_2_62, b"x"]), "truncated"),
        (framed(2, &[b"\0\x12\x02a\xff"]), "invalid-utf8"),
        (framed(2, &[b"\0\x12\x01x\0"]), "not-protobuf"),
        (framed(2, &[&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]), "not-protobuf"),
    ];
    let texts = [
        (&b"{\"s\":\"x\"}{}"[..], "trailing-data"),
        (b"{\"s\":\"x", "truncated"),
        (b"{\"s\":\"a\xff\"}", "invalid-utf8"),
        (b"[1]", "not-an-object"),
        (b"{\"l\":[9223372036854775808]}", "out-of-range"),
    ];
    let json = texts.map(|(text, reason)| (text.to_vec(), reason)).to_vec();
    let json_schema = texts.map(|(text, reason)| (framed(3, &[text]), reason)).to_vec();
    let good = b"{\"s\":\"x\",\"l\":[1]}";
    vec![
        Format { topic: "avro", words: &[], good: framed(1, &[b"\x02x\x02\x02\0"]), bad: [unframed(1), avro].concat() },
        Format {
            topic: "protobuf",
            words: &[],
            good: framed(2, &[b"\0\x12\x01x\x1a\x01\x01"]),
            bad: [unframed(2), protobuf].concat(),
        },
        Format { topic: "json_schema", words: &[], good: framed(3, &[good]), bad: [unframed(3), json_schema].concat() },
        Format { topic: "json", words: &["--columns", "s STRING, l ARRAY<BIGINT>"], good: good.to_vec(), bad: json },
        Format {
            topic: "raw",
            words: &["--format", "raw", "--columns", "`value` STRING"],
            good: b"x".to_vec(),
            bad: vec![(b"a\xff".to_vec(), "invalid-utf8")],
        },
    ]
}

/// Between good records; what is not a row is a letter with its reason, or counted.
#[test]
fn i3_records_of_every_format_that_lie_are_each_counted_once_and_cost_no_memory() {
    let world = World::new();
    for (topic, schema, kind) in
        [("avro", ORDER, "avro"), ("protobuf", MESSAGE, "protobuf"), ("json_schema", OBJECT, "json")]
    {
        let file = world.file(topic, schema);
        world.ok(&["schema", "register", &format!("{topic}-value"), &file, "--type", kind]);
    }
    let formats = formats();
    for Format { topic, words, good, bad } in &formats {
        world.topic(topic, 1);
        let good = [&good[..], b"\n"].concat();
        let lines: Vec<u8> = bad.iter().flat_map(|(record, _)| [&good[..], record, b"\n"].concat()).collect();
        world.produce_raw(topic, &[&lines[..], &good].concat());
        for (handling, table) in [("LOG", (*topic).to_owned()), ("SKIP", format!("{topic}_skips"))] {
            let enable = ["enable", topic, "--table", &table, "--error-handling", handling];
            world.ok(&[&enable, *words].concat());
        }
    }
    let (sync, peak) = world.run_measured(&["sync"]);
    sync.succeeded();
    assert!(peak < PEAK_BYTES_MAX, "{} MiB at the peak", peak >> 20);
    for Format { topic, bad, .. } in &formats {
        let (rows, bad_ones) = (bad.len() + 1, bad.len());
        for (table, counted_as) in
            [((*topic).to_owned(), "rows_dead_lettered"), (format!("{topic}_skips"), "rows_skipped")]
        {
            let status = world.status(&table);
            let counts = ["rows_committed", counted_as, "rows_buffered", "lag"].map(|name| status[name].clone());
            assert_eq!(counts, [json!(rows), json!(bad_ones), json!(0), json!(0)], "{table}: {status}");
            assert_eq!(world.numbers(&format!("select count(*) from {table}")), [rows as i64], "{table}");
        }
        let reasons = world.column(&format!("select reason from {topic}__dlq order by \"offset\""));
        let expected: Vec<_> = bad.iter().map(|(_, reason)| *reason).collect();
        assert_eq!(reasons, expected, "{topic}");
    }
}
