//! Keys, headers and times that are odd: kept as they are, for every reader.

use serde_json::{Value, json};

use super::batches::{Record, batch, lay};
use crate::world::World;

/// What all readers see of the metadata columns: bytes as hexadecimal text, times as ISO text.
#[track_caller]
fn seen_by_all(world: &World, table: &str) -> Value {
    let engines = world.engines();
    let columns = ["_tableflow_offset", "_tableflow_timestamp", "_tableflow_key", "_tableflow_headers"];
    let ask = |reader: &str| {
        let order = json!({"reader": reader, "table": format!("bronze.{table}"), "columns": columns});
        engines.ask("values", order)
    };
    let (pyiceberg, duckdb) = (ask("pyiceberg"), ask("duckdb"));
    assert_eq!(pyiceberg, duckdb);
    pyiceberg
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

type Headers = Vec<(String, Option<String>)>;

/// Headers as the producer writes them, the same as pairs, the timestamp, and the time that engines read.
fn odd_metadata() -> Vec<(String, Headers, i64, Option<&'static str>)> {
    let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    let many: Headers = (0..1000).map(|n| (format!("h{:04}", 999 - n), Some(n.to_string()))).collect();
    let many_text: Vec<String> = (0..1000).map(|n| format!("\"h{:04}\":\"{n}\"", 999 - n)).collect();
    let large = "v".repeat(1 << 20);
    let repeated = vec![pair("z", Some("1")), pair("a", Some("2")), pair("z", Some("3")), pair("z", None)];
    let pairs = vec![pair("z", Some("1")), pair("a", Some("")), pair("z", Some("1"))];
    let text = str::to_owned;
    vec![
        (format!("{{{}}}", many_text.join(",")), many, -86_400_000, Some("1969-12-31T00:00:00+00:00")),
        // The last millisecond that every engine has a word for, and the one after it.
        (
            format!("{{\"large\":\"{large}\"}}"),
            vec![pair("large", Some(&large))],
            253_402_300_799_999,
            Some("9999-12-31T23:59:59.999000+00:00"),
        ),
        (text(r#"{"z":"1","a":"2","z":"3","z":null}"#), repeated, 253_402_300_800_000, None),
        // From there on they fall.
        (text(r#"[["z","1"],["a",""],["z","1"]]"#), pairs, 0, Some("1970-01-01T00:00:00+00:00")),
        (
            text(r#"{"":"","null":null}"#),
            vec![pair("", Some("")), pair("null", None)],
            -1,
            Some("1969-12-31T23:59:59.999000+00:00"),
        ),
        (text("{}"), vec![], i64::MIN, None),
    ]
}

#[test]
fn i4_odd_times_and_headers_are_kept() {
    let world = World::new();
    world.topic("odd", 1);
    let cases = odd_metadata();
    let line = |(n, (text, _, timestamp, _)): (usize, &(String, Headers, i64, Option<&str>))| {
        format!("{{\"value\":{{\"n\":{n}}},\"timestamp\":{timestamp},\"headers\":{text}}}\n")
    };
    world.produce_envelopes("odd", &cases.iter().enumerate().map(line).collect::<String>());
    let consumed = world.json(&["consume", "odd"]);
    let mut expected = Vec::new();
    for (n, (_, headers, timestamp, time)) in cases.iter().enumerate() {
        let record = &consumed[n];
        assert_eq!((&record["headers"], &record["timestamp"]), (&json!(headers), &json!(timestamp)), "{n}");
        let value = |value: &Option<String>| value.as_ref().map(|value| hex(value.as_bytes()));
        let pairs: Vec<Value> = headers.iter().map(|(name, v)| json!({"key": name, "value": value(v)})).collect();
        expected.push(json!({
            "_tableflow_offset": n,
            "_tableflow_timestamp": time,
            "_tableflow_key": null,
            "_tableflow_headers": pairs,
        }));
    }
    world.ok(&["enable", "odd"]);
    world.ok(&["sync"]);
    assert!(seen_by_all(&world, "odd") == json!(expected), "a megabyte of difference is not worth printing");
    assert_eq!(
        world.rows(
            "select n, _tableflow_timestamp t, array_length(_tableflow_headers) h from odd where n < 3 order by n"
        ),
        [
            json!({"n": 0, "t": "1969-12-31T00:00:00Z", "h": 1000}),
            json!({"n": 1, "t": "9999-12-31T23:59:59.999Z", "h": 1}),
            json!({"n": 2, "t": null, "h": 4}),
        ]
    );
}

#[test]
fn i4_keys_and_headers_that_are_no_text_are_kept() {
    let world = World::new();
    world.topic("bytes", 1);
    let key = b"\xff\x00\xc3\x28k";
    let headers: [(&[u8], Option<&[u8]>); 2] = [(b"h\xff", Some(b"\x80\x00")), (b"h", None)];
    let record = Record { key: Some(key), value: Some(b"{\"n\":1}"), headers: &headers, ..Record::default() };
    let empty = Record { offset_delta: 1, key: Some(b""), headers: &[], ..record };
    let none = Record { offset_delta: 2, key: None, ..empty };
    lay(&world, "bytes", &batch(0, 2, &[record, empty, none]));
    world.ok(&["enable", "bytes"]);
    world.ok(&["sync"]);
    let row = |offset: i64, key: Value, headers: Value| json!({"_tableflow_offset": offset, "_tableflow_timestamp": "1970-01-01T00:00:00+00:00", "_tableflow_key": key, "_tableflow_headers": headers});
    let kept = json!([{"key": "h\u{fffd}", "value": "8000"}, {"key": "h", "value": null}]);
    assert_eq!(
        seen_by_all(&world, "bytes"),
        json!([row(0, json!("ff00c3286b"), kept), row(1, json!(""), json!([])), row(2, Value::Null, json!([]))])
    );
    let consumed = world.json(&["consume", "bytes"]);
    assert_eq!(consumed[0]["key"], "base64:/wDDKGs=");
    assert_eq!((&consumed[1]["key"], &consumed[2]["key"]), (&json!(""), &Value::Null));
    assert_eq!(consumed[0]["headers"], json!([["base64:aP8=", "base64:gAA="], ["h", null]]));
}
