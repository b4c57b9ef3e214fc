//! Batches that our producer never writes and a topic may hold: offsets with holes, nothing in them, markers.
//!
//! Owns [`batch`], which lays Kafka's record batch, version 2, from Kafka's description of it and not from our
//! code, so that the two check each other.

use std::fs::OpenOptions;
use std::io::Write;

use serde_json::json;

use crate::world::World;

/// Everything of a batch before its records.
const HEADER_BYTES: usize = 61;

/// Attributes of a transaction's marker: transactional, control.
const MARKER: i16 = 0x30;

/// A record and how far behind the batch's first offset it stands.
#[derive(Clone, Copy, Default)]
pub struct Record<'a> {
    pub offset_delta: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

/// A batch from `base_offset` on that ends `last_offset_delta` behind it, whatever records are left in it.
pub fn batch(base_offset: i64, last_offset_delta: i32, records: &[Record<'_>]) -> Vec<u8> {
    batch_with(0, base_offset, last_offset_delta, records)
}

fn batch_with(attributes: i16, base_offset: i64, last_offset_delta: i32, records: &[Record<'_>]) -> Vec<u8> {
    // From the attributes on, this is what the checksum covers.
    let mut checked = Vec::new();
    checked.extend(attributes.to_be_bytes());
    checked.extend(last_offset_delta.to_be_bytes());
    checked.extend([0; 16]); // first and largest timestamp
    checked.extend([0xff; 14]); // producer's id, epoch and sequence
    checked.extend((records.len() as i32).to_be_bytes());
    for record in records {
        let mut body = vec![0]; // attributes
        put_number(&mut body, 0); // timestamp
        put_number(&mut body, record.offset_delta);
        put_bytes(&mut body, record.key);
        put_bytes(&mut body, record.value);
        put_number(&mut body, record.headers.len() as i64);
        for (name, value) in record.headers {
            put_bytes(&mut body, Some(name));
            put_bytes(&mut body, *value);
        }
        put_number(&mut checked, body.len() as i64);
        checked.extend(body);
    }
    let mut bytes = Vec::new();
    bytes.extend(base_offset.to_be_bytes());
    bytes.extend((9 + checked.len() as i32).to_be_bytes()); // what follows: leader epoch, magic, checksum, the rest
    bytes.extend([0; 4]);
    bytes.push(2);
    bytes.extend(crc32c(&checked).to_be_bytes());
    bytes.extend(checked);
    bytes
}

/// Zigzag, then seven bits a byte, the lowest first.
fn put_number(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_number(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend(bytes.unwrap_or_default());
}

/// Castagnoli's, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

/// Puts a batch at the end of partition 0 of a topic that has one segment, and looks at the topic: who looks first
/// publishes the new end, and readers beside it go on with the old one.
#[track_caller]
pub fn lay(world: &World, topic: &str, batch: &[u8]) {
    let segment = world.data_dir().join(format!("topics/{topic}/0/{:020}.log", 0));
    OpenOptions::new().create(true).append(true).open(segment).unwrap().write_all(batch).unwrap();
    world.ok(&["topic", "describe", topic]);
}

#[test]
fn the_checksum_is_that_of_the_standard() {
    // RFC 3720, B.4: 32 bytes of zeros, and 0 to 31.
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&(0..32).collect::<Vec<_>>()), 0x46dd_794e);
    assert_eq!(batch(0, 0, &[]).len(), HEADER_BYTES);
}

fn record(offset_delta: i64, value: &[u8]) -> Record<'_> {
    Record { offset_delta, value: Some(value), ..Record::default() }
}

#[track_caller]
fn check_place(world: &World, table: &str, next_offset: i64, end_offset: i64, offsets: &[i64]) {
    let lag = end_offset - next_offset;
    assert_eq!(
        world.status(table)["partitions"],
        json!([{"partition": 0, "next_offset": next_offset, "end_offset": end_offset, "lag": lag}]),
        "{table}"
    );
    assert_eq!(world.numbers(&format!("select _tableflow_offset from {table} order by 1")), offsets, "{table}");
}

#[test]
fn i3_offsets_with_holes_are_read_once_and_resumed_behind_each() {
    let world = World::new();
    world.topic("holes", 1);
    world.ok(&["enable", "holes"]);
    let row = b"{\"n\":1}";
    let marker = Record { key: Some(b"\0\0\0\x01"), value: Some(b"\0\0\0\0\0\0"), ..Record::default() };
    for (what, bytes, next_offset, offsets) in [
        ("inside and at the end", batch(0, 9, &[record(0, row), record(1, row), record(5, row)]), 10, &[0, 1, 5][..]),
        ("nothing left", batch(10, 4, &[]), 15, &[0, 1, 5]),
        ("a marker", batch_with(MARKER, 15, 0, &[marker]), 16, &[0, 1, 5]),
        ("at the start", batch(16, 8, &[record(3, row), record(8, row)]), 25, &[0, 1, 5, 19, 24]),
    ] {
        lay(&world, "holes", &bytes);
        // Each is a process of its own, which resumes right behind the hole that the one before met.
        world.ok(&["sync"]);
        assert_eq!(world.status("holes")["partitions"][0]["next_offset"], next_offset, "{what}");
        check_place(&world, "holes", next_offset, next_offset, offsets);
    }
    // Our own producer goes on behind them.
    world.produce("holes", "{\"n\":2}\n");
    world.ok(&["sync"]);
    let mut offsets = vec![0, 1, 5, 19, 24, 25];
    check_place(&world, "holes", 26, 26, &offsets);

    // A table that reads it all at once, and a person, see the same; a place in a hole is the next record's.
    world.ok(&["enable", "holes", "--table", "at_once"]);
    world.ok(&["sync"]);
    check_place(&world, "at_once", 26, 26, &offsets);
    for (from, expected) in [("0", &offsets[..]), ("2", &offsets[2..]), ("6", &offsets[3..]), ("15", &offsets[3..])] {
        let consumed = world.json(&["consume", "holes", "--from", from]);
        let seen: Vec<i64> = consumed.as_array().unwrap().iter().map(|r| r["offset"].as_i64().unwrap()).collect();
        assert_eq!(seen, expected, "from {from}");
    }

    // A record that is none, right behind a hole: the table stands at it, however often it is resumed.
    lay(&world, "holes", &batch(26, 9, &[record(2, row), record(6, b"no json"), record(8, row)]));
    offsets.push(28);
    for _ in 0..2 {
        world.run(&["sync"]).failed(3, &["record 32 of partition 0 of topic holes cannot be decoded"]);
        for table in ["holes", "at_once"] {
            check_place(&world, table, 32, 36, &offsets);
            world.ok(&["resume", table]);
        }
    }
    let statements = ["select _tableflow_offset from {table} order by 1"];
    let expected: Vec<_> = offsets.iter().map(|offset| json!([offset.to_string()])).collect();
    let theirs = world.engines().ask("duckdb_rows", json!({"table": "bronze.holes", "statements": statements}));
    assert_eq!(theirs, json!([expected]));
}
