//! Values, and what each format makes of them.

use super::Cell::{Bad, Cannot, Row};
use super::{Avro, Case, Cell, Format, Json, JsonSchema, Protobuf, Raw, Sent, WITH, framed};
use crate::decode::binary::written::{long, varint};

/// A JSON object, with the id of its schema where it has one.
fn json(format: Format, declares: &'static str, record: &[u8]) -> Sent {
    let record = if format == JsonSchema { framed(WITH, record) } else { record.to_vec() };
    Sent { declares, record: Some(record) }
}

/// The value behind the field `before`.
fn avro(declares: &'static str, value: impl AsRef<[u8]>) -> Sent {
    Sent { declares, record: Some(framed(WITH, &[b"\x02x", value.as_ref()].concat())) }
}

/// Fields of the first message.
fn protobuf(declares: &'static str, fields: impl AsRef<[u8]>) -> Sent {
    Sent { declares, record: Some(framed(WITH, &[&[0], fields.as_ref()].concat())) }
}

fn raw(record: &[u8]) -> Sent {
    Sent { declares: "", record: Some(record.to_vec()) }
}

fn whole(declares: &'static str, record: impl Into<Option<Vec<u8>>>) -> Sent {
    Sent { declares, record: record.into() }
}

/// A Timestamp of so many seconds as field 1.
fn timestamp(seconds: i64) -> Vec<u8> {
    let seconds = varint(seconds);
    [&[10, seconds.len() as u8 + 1, 8], &seconds[..]].concat()
}

const INTEGER: &str = r#"{"type":"integer"}"#;
const NUMBER: &str = r#"{"type":"number"}"#;
const STRING: &str = r#"{"type":"string"}"#;
const POINT: &str = r#"{"type":"object","properties":{"x":{"type":"integer"}}}"#;
const INSTANT: &str = r#"{"type":"integer","title":"org.apache.kafka.connect.data.Timestamp"}"#;
const DAY: &str = r#"{"type":"integer","title":"org.apache.kafka.connect.data.Date"}"#;
const DECIMAL: &str = r#"{"type":"number","title":"org.apache.kafka.connect.data.Decimal","connect.parameters":{"scale":"0","connect.decimal.precision":"38"}}"#;
const AVRO_MILLIS: &str = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
const AVRO_MICROS: &str = r#"{"type":"long","logicalType":"timestamp-micros"}"#;
const AVRO_NANOS: &str = r#"{"type":"long","logicalType":"timestamp-nanos"}"#;
const AVRO_LOCAL: &str = r#"{"type":"long","logicalType":"local-timestamp-millis"}"#;
const AVRO_DAY: &str = r#"{"type":"int","logicalType":"date"}"#;
const AVRO_DECIMAL: &str = r#"{"type":"bytes","logicalType":"decimal","precision":38}"#;
const PB_INSTANT: &str = "google.protobuf.Timestamp";

const NO_LENGTHS: &str = "JSON says no lengths";
const ANY_BYTES: &str = "whatever the bytes are, they are the value";
const BY_SCHEMA: &str = "the schema says how deep a record is";

pub(super) fn cases() -> Vec<Case> {
    [framing(), wholes(), texts(), numbers(), shapes(), decimals(), times()].into_iter().flatten().collect()
}

fn case(number: u32, what: &'static str, cells: Vec<(Format, Cell)>) -> Case {
    Case { number, what, cells }
}

#[rustfmt::skip]
fn framing() -> Vec<Case> {
    let no_id = |why: &'static str| Bad(whole(INTEGER, b"\x01\0\0\0\x01{}".to_vec()), "no-schema-id", why);
    let magic = "the value has no schema id: its first byte is 1 where a schema id begins with 0";
    let short = "the value has no schema id: it has 4 bytes, and the schema id before it alone has 5";
    let empty = "the value has no schema id: it is empty: there is no schema id before it";
    let null = "the value is null: a tombstone, which deletes a key";
    let three = |format, declares| (format, Bad(whole(declares, b"\0\0\0\x01".to_vec()), "no-schema-id", short));
    let nothing = |format, declares| (format, Bad(whole(declares, Vec::new()), "empty-value", empty));
    let tombstone = |format, declares| (format, Bad(whole(declares, None), "tombstone", null));
    vec![
        case(1, "a value of no bytes", vec![
            (Json, Bad(whole("BIGINT", Vec::new()), "empty-value", "the value is empty")),
            nothing(JsonSchema, INTEGER), nothing(Avro, "\"long\""), nothing(Protobuf, "int64"),
            (Raw, Row(raw(b""), "\"\"")),
        ]),
        case(1, "an id, and nothing behind it", vec![
            (Json, Cannot("there is no id before it")),
            (JsonSchema, Bad(json(JsonSchema, INTEGER, b""), "empty-value", "the value is empty")),
            (Avro, Bad(whole("\"long\"", framed(WITH, b"")), "truncated", "$.before ends in the middle of a number")),
            (Protobuf, Bad(whole("int64", framed(WITH, b"")), "truncated", "the value ends in the middle of a number")),
            (Raw, Row(raw(b"\0\0\0\0\x01"), "\"\\0\\0\\0\\0\\u{1}\"")),
        ]),
        case(2, "a null value", vec![
            tombstone(Json, "BIGINT"), tombstone(JsonSchema, INTEGER), tombstone(Avro, "\"long\""), tombstone(Protobuf, "int64"), tombstone(Raw, ""),
        ]),
        case(4, "a first byte that is not 0", vec![
            (Json, Bad(whole("BIGINT", b"\x01\0\0\0\x01{}".to_vec()), "not-json", "the value is not JSON: expected value at line 1 column 1")),
            (JsonSchema, no_id(magic)),
            (Avro, Bad(whole("\"long\"", b"\x01\0\0\0\x01{}".to_vec()), "no-schema-id", magic)),
            (Protobuf, Bad(whole("int64", b"\x01\0\0\0\x01{}".to_vec()), "no-schema-id", magic)),
            (Raw, Row(raw(b"\x01{}"), "\"\\u{1}{}\"")),
        ]),
        case(5, "fewer bytes than an id has", vec![
            (Json, Bad(whole("BIGINT", b"\0\0\0\x01".to_vec()), "not-json", "the value is not JSON: expected value at line 1 column 1")),
            three(JsonSchema, INTEGER), three(Avro, "\"long\""), three(Protobuf, "int64"),
            (Raw, Row(raw(b"\0\x01"), "\"\\0\\u{1}\"")),
        ]),
        case(7, "the bytes of another format behind the id", vec![
            (Json, Bad(whole("BIGINT", framed(WITH, b"\x02x\x02")), "not-json", "the value is not JSON: expected value at line 1 column 1")),
            (JsonSchema, Bad(json(JsonSchema, INTEGER, b"\x02x\x02"), "not-json", "the value is not JSON: expected value at line 1 column 1")),
            (Avro, Bad(whole("\"long\"", framed(WITH, b"{\"v\":1}")), "not-avro", "$.before has a length of -62")),
            (Protobuf, Bad(whole("int64", framed(WITH, b"{\"v\":1}")), "not-protobuf", "the value has a message index of -62 numbers")),
            (Raw, Row(raw(b"\0\0\0\0\x01x"), "\"\\0\\0\\0\\0\\u{1}x\"")),
        ]),
    ]
}

#[rustfmt::skip]
fn wholes() -> Vec<Case> {
    let trailing = |format, declares| (format, Bad(json(format, declares, b"{\"v\":1} {\"v\":2}"), "trailing-data", "the value has more than one value: trailing characters at line 1 column 9"));
    let ends = |format, declares| (format, Bad(json(format, declares, b"{\"v\":1"), "truncated", "the value ends in the middle: EOF while parsing an object at line 1 column 6"));
    let huge = |of: &str| if of == "avro" { long(1 << 62) } else { [vec![10], varint(1 << 62)].concat() };
    vec![
        case(10, "bytes behind the record", vec![
            trailing(Json, "BIGINT"), trailing(JsonSchema, INTEGER),
            (Avro, Bad(avro("\"long\"", [2, 0, 0]), "trailing-data", "the value ends 2 bytes before the record does")),
            (Protobuf, Bad(protobuf("int64", [8, 1, 0, 0]), "not-protobuf", "the value has a field of number 0, which none has")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
        case(12, "a text that says it has 2^62 bytes", vec![
            (Json, Cannot(NO_LENGTHS)), (JsonSchema, Cannot(NO_LENGTHS)),
            (Avro, Bad(avro("\"string\"", huge("avro")), "truncated", "$.v says that 4611686018427387904 bytes follow, and 0 are left")),
            (Protobuf, Bad(protobuf("string", huge("protobuf")), "truncated", "$.v says that 4611686018427387904 bytes follow, and 0 are left")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
        case(28, "a record that ends in the middle", vec![
            ends(Json, "BIGINT"), ends(JsonSchema, INTEGER),
            (Avro, Bad(avro("\"string\"", b"\x06ab"), "truncated", "$.v says that 3 bytes follow, and 2 are left")),
            (Protobuf, Bad(protobuf("string", b"\x0a\x03ab"), "truncated", "$.v says that 3 bytes follow, and 2 are left")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
    ]
}

#[rustfmt::skip]
fn texts() -> Vec<Case> {
    // In each: `a`, and the bytes.
    let json_bad = |format, declares, bytes: &[u8], message| {
        (format, Bad(json(format, declares, &[b"{\"v\":\"a", bytes, b"\"}"].concat()), "invalid-utf8", message))
    };
    let from_7 = "the value is not UTF-8 from byte 7 on";
    let not_text = "$.v has a text that is not UTF-8 from byte 1 on";
    let row = |format, declares, text: &[u8], shown| (format, Row(json(format, declares, &[b"{\"v\":\"", text, b"\"}"].concat()), shown));
    let surrogate = b"\xed\xa0\x80";
    vec![
        case(25, "a byte that is no UTF-8", vec![
            json_bad(Json, "STRING", b"\xff", from_7), json_bad(JsonSchema, STRING, b"\xff", from_7),
            (Avro, Bad(avro("\"string\"", b"\x04a\xff"), "invalid-utf8", not_text)),
            (Protobuf, Bad(protobuf("string", b"\x0a\x02a\xff"), "invalid-utf8", not_text)),
            (Raw, Bad(raw(b"a\xff"), "invalid-utf8", "the value is not UTF-8 from byte 1 on")),
        ]),
        case(25, "half of a surrogate pair in UTF-8", vec![
            json_bad(Json, "STRING", surrogate, from_7), json_bad(JsonSchema, STRING, surrogate, from_7),
            (Avro, Bad(avro("\"string\"", [b"\x08a", &surrogate[..]].concat()), "invalid-utf8", not_text)),
            (Protobuf, Bad(protobuf("string", [b"\x0a\x04a", &surrogate[..]].concat()), "invalid-utf8", not_text)),
            (Raw, Bad(raw(&[b"a", &surrogate[..]].concat()), "invalid-utf8", "the value is not UTF-8 from byte 1 on")),
        ]),
        case(25, "half of a surrogate pair, escaped", vec![
            (Json, Bad(json(Json, "STRING", br#"{"v":"\udc00"}"#), "invalid-utf8", "$.v has a text that is no Unicode: lone leading surrogate in hex escape at line 1 column 7")),
            (JsonSchema, Bad(json(JsonSchema, STRING, br#"{"v":"\udc00"}"#), "invalid-utf8", "$.v has a text that is no Unicode: lone leading surrogate in hex escape at line 1 column 7")),
            (Avro, Row(avro("\"string\"", br"\udc00".iter().fold(vec![12], |all, byte| [all, vec![*byte]].concat())), "\"\\\\udc00\"")),
            (Protobuf, Row(protobuf("string", br"\udc00".iter().fold(vec![10, 6], |all, byte| [all, vec![*byte]].concat())), "\"\\\\udc00\"")),
            (Raw, Row(raw(br"\udc00"), "\"\\\\udc00\"")),
        ]),
        case(25, "a NUL in a text", vec![
            row(Json, "STRING", br"a\u0000b", "\"a\\0b\""), row(JsonSchema, STRING, br"a\u0000b", "\"a\\0b\""),
            (Avro, Row(avro("\"string\"", b"\x06a\0b"), "\"a\\0b\"")),
            (Protobuf, Row(protobuf("string", b"\x0a\x03a\0b"), "\"a\\0b\"")),
            (Raw, Row(raw(b"a\0b"), "\"a\\0b\"")),
        ]),
        case(25, "a byte order mark before the text", vec![
            (Json, Bad(json(Json, "STRING", b"\xef\xbb\xbf{}"), "not-json", "the value starts with a byte order mark")),
            (JsonSchema, Bad(json(JsonSchema, STRING, b"\xef\xbb\xbf{}"), "not-json", "the value starts with a byte order mark")),
            (Avro, Row(avro("\"string\"", b"\x08\xef\xbb\xbfb"), "\"\\u{feff}b\"")),
            (Protobuf, Row(protobuf("string", b"\x0a\x04\xef\xbb\xbfb"), "\"\\u{feff}b\"")),
            (Raw, Row(raw(b"\xef\xbb\xbfb"), "\"\\u{feff}b\"")),
        ]),
    ]
}

#[rustfmt::skip]
fn numbers() -> Vec<Case> {
    let record = |value: &str| format!("{{\"v\":{value}}}").into_bytes();
    let nan = |format, declares| (format, Bad(json(format, declares, b"{\"v\":NaN}"), "not-json", "the value is not JSON: expected value at line 1 column 6"));
    let over = |format, declares| (format, Bad(json(format, declares, &record("9223372036854775808")), "out-of-range", "$.v is the number 9223372036854775808, its column is BIGINT: it is outside the 64-bit range"));
    let far = |format, declares| (format, Bad(json(format, declares, &record("1e400")), "out-of-range", "$.v is the number 1e400, its column is DOUBLE: it is beyond the largest DOUBLE"));
    let too_long = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
    let double = |value: f64| value.to_le_bytes();
    vec![
        case(23, "a whole number of more than 64 bits", vec![
            over(Json, "BIGINT"), over(JsonSchema, INTEGER),
            (Avro, Bad(avro("\"long\"", too_long), "not-avro", "$.v has a number of more than 64 bits")),
            (Protobuf, Bad(protobuf("int64", [&[8], &too_long[..]].concat()), "not-protobuf", "$.v has a number of more than 64 bits")),
            (Raw, Row(raw(b"9223372036854775808"), "\"9223372036854775808\"")),
        ]),
        case(23, "the whole numbers at the edge", vec![
            (Json, Row(json(Json, "BIGINT", &record("-9223372036854775808")), "-9223372036854775808")),
            (JsonSchema, Row(json(JsonSchema, INTEGER, &record("-9223372036854775808")), "-9223372036854775808")),
            (Avro, Row(avro("\"long\"", long(i64::MIN)), "-9223372036854775808")),
            (Protobuf, Row(protobuf("int64", [vec![8], varint(i64::MIN)].concat()), "-9223372036854775808")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
        case(23, "1e400", vec![
            far(Json, "DOUBLE"), far(JsonSchema, NUMBER),
            (Avro, Cannot("a double has 64 bits")), (Protobuf, Cannot("a double has 64 bits")), (Raw, Cannot(ANY_BYTES)),
        ]),
        case(23, "-0.0", vec![
            (Json, Row(json(Json, "DOUBLE", &record("-0.0")), "-0.0")),
            (JsonSchema, Row(json(JsonSchema, NUMBER, &record("-0.0")), "-0.0")),
            (Avro, Row(avro("\"double\"", double(-0.0)), "-0.0")),
            (Protobuf, Row(protobuf("double", [&[9], &double(-0.0)[..]].concat()), "-0.0")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
        case(24, "NaN", vec![
            nan(Json, "DOUBLE"), nan(JsonSchema, NUMBER),
            (Avro, Row(avro("\"double\"", double(f64::NAN)), "NaN")),
            (Protobuf, Row(protobuf("double", [&[9], &double(f64::NAN)[..]].concat()), "NaN")),
            (Raw, Row(raw(b"NaN"), "\"NaN\"")),
        ]),
    ]
}

#[rustfmt::skip]
fn shapes() -> Vec<Case> {
    let deep = |levels: usize| format!("{{\"v\":{}{}}}", "[".repeat(levels), "]".repeat(levels)).into_bytes();
    let list = |format, declares| (format, Bad(json(format, declares, b"[1]"), "not-an-object", "the value is an array, not an object"));
    let text = |format, declares| (format, Bad(json(format, declares, b"{\"v\":\"1\"}"), "type-mismatch", "$.v is the text \"1\", its column is BIGINT"));
    let twice = |format, declares| (format, Row(json(format, declares, br#"{"v":{"x":1,"x":2}}"#), "{x: 2}"));
    let too_deep = "$.v is nested more than 127 levels deep";
    // A list in a list, and so on, as Values.
    let values = (0..1000).fold(vec![8, 0], |inner: Vec<u8>, _| {
        let inner = [vec![10], varint(inner.len() as i64), inner].concat();
        [vec![50], varint(inner.len() as i64), inner].concat()
    });
    let values = [vec![10], varint(values.len() as i64), values].concat();
    vec![
        case(21, "a field twice in an object", vec![
            twice(Json, "ROW<x BIGINT>"), twice(JsonSchema, POINT),
            (Avro, Cannot("fields have no names in a record")),
            (Protobuf, Row(protobuf("Point", [10, 4, 8, 1, 8, 2]), "{x: 2}")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
        case(36, "a key twice in a map", vec![
            (Json, Row(json(Json, "MAP<STRING, BIGINT>", br#"{"v":{"k":1,"k":2}}"#), "(\"k\" => 2; )")),
            (JsonSchema, Row(json(JsonSchema, r#"{"type":"object","additionalProperties":{"type":"integer"}}"#, br#"{"v":{"k":1,"k":2}}"#), "(\"k\" => 2; )")),
            (Avro, Bad(avro(r#"{"type":"map","values":"long"}"#, [4, 2, b'k', 2, 2, b'k', 4, 0]), "repeated-key", "$.v is a map that has a key twice")),
            (Protobuf, Row(protobuf("map<string, int64>", [10, 5, 10, 1, b'k', 16, 1, 10, 5, 10, 1, b'k', 16, 2]), "(\"k\" => 2; )")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
        case(22, "10,000 levels, where the schema does not say how many", vec![
            (Json, Bad(json(Json, "STRING", &deep(10_000)), "too-deep", too_deep)),
            (JsonSchema, Bad(json(JsonSchema, "{}", &deep(10_000)), "too-deep", too_deep)),
            (Avro, Cannot(BY_SCHEMA)),
            (Protobuf, Bad(protobuf("google.protobuf.Value", values), "too-deep", "$.v is nested more than 100 levels deep")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
        case(27, "an array where the record is to be an object", vec![
            list(Json, "BIGINT"), list(JsonSchema, INTEGER),
            (Avro, Cannot(BY_SCHEMA)), (Protobuf, Cannot(BY_SCHEMA)), (Raw, Row(raw(b"[1]"), "\"[1]\"")),
        ]),
        case(30, "a text where numbers were", vec![
            text(Json, "BIGINT"), text(JsonSchema, INTEGER),
            (Avro, Cannot("its schema says so: see `schemas`")),
            (Protobuf, Bad(protobuf("int64", [10, 1, b'1']), "not-protobuf", "$.v is written as a run of bytes, and its type as a varint")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
    ]
}

#[rustfmt::skip]
fn decimals() -> Vec<Case> {
    // 10^38 and one below, as big-endian bytes.
    let bytes = |number: i128| [&[32], &number.to_be_bytes()[..]].concat();
    let over = 10_i128.pow(38);
    let ones = |format, declares| (format, Row(json(format, declares, format!("{{\"v\":{}}}", over - 1).as_bytes()), "99999999999999999999999999999999999999e-0"));
    let zeros = |format, declares| (format, Bad(json(format, declares, b"{\"v\":1e38}"), "out-of-range", "$.v is the number 1e38, its column is DECIMAL(38, 0): it has more digits before the decimal point than the column"));
    vec![
        case(54, "38 digits", vec![
            ones(Json, "DECIMAL(38, 0)"), ones(JsonSchema, DECIMAL),
            (Avro, Row(avro(AVRO_DECIMAL, bytes(over - 1)), "99999999999999999999999999999999999999e-0")),
            (Protobuf, Row(protobuf("uint64", [vec![8], varint(-1)].concat()), "18446744073709551615e-0")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
        case(54, "39 digits", vec![
            zeros(Json, "DECIMAL(38, 0)"), zeros(JsonSchema, DECIMAL),
            (Avro, Bad(avro(AVRO_DECIMAL, bytes(over)), "out-of-range", "$.v is a decimal of more than the 38 digits of its schema")),
            (Protobuf, Cannot("its largest number has 20 digits")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
    ]
}

#[rustfmt::skip]
fn times() -> Vec<Case> {
    // The first instant after year 9999, and the one before year 1, in milliseconds.
    const AFTER: i64 = 253_402_300_800_000;
    const BEFORE: i64 = -62_135_596_800_001;
    let record = |value: i64| format!("{{\"v\":{value}}}").into_bytes();
    let years = "$.v cannot be kept: years run from 0001 to 9999";
    let taken = |ms: i64, micros: &'static str| vec![
        (Json, Row(json(Json, "TIMESTAMP_LTZ(3)", &record(ms)), micros)),
        (JsonSchema, Row(json(JsonSchema, INSTANT, &record(ms)), micros)),
        (Avro, Row(avro(AVRO_MILLIS, long(ms)), micros)),
        (Avro, Row(avro(AVRO_MICROS, long(ms * 1000)), micros)),
        (Protobuf, Cannot("it has seconds: see below")), (Raw, Cannot(ANY_BYTES)),
    ];
    let refused = |ms: i64, message: &'static str| vec![
        (Json, Bad(json(Json, "TIMESTAMP_LTZ(3)", &record(ms)), "out-of-range", message)),
        (JsonSchema, Bad(json(JsonSchema, INSTANT, &record(ms)), "out-of-range", message)),
        (Avro, Bad(avro(AVRO_MILLIS, long(ms)), "out-of-range", years)),
        (Avro, Bad(avro(AVRO_MICROS, long(ms * 1000)), "out-of-range", years)),
        (Protobuf, Bad(protobuf(PB_INSTANT, timestamp(ms.div_euclid(1000))), "out-of-range", years)),
        (Raw, Cannot(ANY_BYTES)),
    ];
    vec![
        case(55, "the first instant after year 9999", refused(AFTER, "$.v is the number 253402300800000, its column is TIMESTAMP_LTZ(6): years run from 0001 to 9999")),
        case(55, "the last instant before year 1", refused(BEFORE, "$.v is the number -62135596800001, its column is TIMESTAMP_LTZ(6): years run from 0001 to 9999")),
        case(55, "the last millisecond of year 9999", taken(AFTER - 1, "253402300799999000us")),
        case(55, "the first millisecond of year 1", taken(BEFORE + 1, "-62135596800000000us")),
        case(55, "the seconds at both edges", vec![
            (Json, Row(json(Json, "TIMESTAMP_LTZ(6)", b"{\"v\":\"9999-12-31T23:59:59Z\"}"), "253402300799000000us")),
            (JsonSchema, Cannot("it has milliseconds: see above")),
            (Avro, Row(avro(AVRO_LOCAL, long(AFTER - 1000)), "253402300799000000us")),
            (Protobuf, Row(protobuf(PB_INSTANT, timestamp(AFTER / 1000 - 1)), "253402300799000000us")),
            (Protobuf, Row(protobuf(PB_INSTANT, timestamp((BEFORE + 1) / 1000)), "-62135596800000000us")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
        case(55, "a day of the year 10000", vec![
            (Json, Bad(json(Json, "DATE", &record(2_932_897)), "out-of-range", "$.v is the number 2932897, its column is DATE: years run from 0001 to 9999")),
            (JsonSchema, Bad(json(JsonSchema, DAY, &record(2_932_897)), "out-of-range", "$.v is the number 2932897, its column is DATE: years run from 0001 to 9999")),
            (Avro, Bad(avro(AVRO_DAY, long(2_932_897)), "out-of-range", years)),
            (Protobuf, Cannot("it has no days")), (Raw, Cannot(ANY_BYTES)),
        ]),
        // One nanosecond before 1970 is the microsecond before it.
        case(55, "a time finer than microseconds", vec![
            (Json, Row(json(Json, "TIMESTAMP_LTZ(6)", b"{\"v\":\"1969-12-31T23:59:59.999999999Z\"}"), "-1us")),
            (JsonSchema, Cannot("it has milliseconds")),
            (Avro, Row(avro(AVRO_NANOS, long(-1)), "-1us")),
            (Protobuf, Row(protobuf(PB_INSTANT, [&[10, 17, 8], &varint(-1)[..], &[16, 0xff, 0x93, 0xeb, 0xdc, 3]].concat()), "-1us")),
            (Raw, Cannot(ANY_BYTES)),
        ]),
        // Half past two of the night in which Europe's clocks went from two to three.
        case(56, "a local time that no clock showed", vec![
            (Json, Row(json(Json, "TIMESTAMP(6)", b"{\"v\":\"2026-03-29T02:30:00\"}"), "1774751400000000us")),
            (JsonSchema, Cannot("its times are instants")),
            (Avro, Row(avro(AVRO_LOCAL, long(1_774_751_400_000)), "1774751400000000us")),
            (Protobuf, Cannot("its times are instants")), (Raw, Row(raw(b"2026-03-29T02:30:00"), "\"2026-03-29T02:30:00\"")),
        ]),
    ]
}
