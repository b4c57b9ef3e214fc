//! Bad inputs as every format meets them, by their numbers in the list of reliability.
//!
//! Owns the machinery of the matrix; what one format alone knows is with that format's own tests.
//!
//! ```text
//!  cases    a value, and what each format makes of it
//!  schemas  the same of schemas, and of names
//! ```
//! - I1: each number has a cell for each format; one that cannot send such a thing says why.
//! - I2: records in are rows and bad records, each counted once, whether a bad one stops the table or is put aside;
//!   those around it are rows as without it.

mod cases;
mod schemas;

use std::panic::catch_unwind;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use tableflow_model::types::parse_columns;

use self::cases::cases;
use super::shown::{cell, records, shown};
use super::{AvroDecoder, BadRecords, Decoder, JsonDecoder, ProtobufDecoder, RawDecoder, RegistryFraming, Remedy};
use crate::registry::{ResolvedSchema, SchemaKey};

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    JsonSchema,
    Avro,
    Protobuf,
    /// Text as it is.
    Raw,
}

use Format::{Avro, Json, JsonSchema, Protobuf, Raw};

const FORMATS: [Format; 5] = [Json, JsonSchema, Avro, Protobuf, Raw];

/// What one format makes of an input.
#[derive(Debug)]
enum Cell {
    /// A row, whose column `v` reads so.
    Row(Sent, &'static str),
    /// A bad record: its reason's code, and its message.
    Bad(Sent, &'static str, &'static str),
    /// Nobody can send that.
    Cannot(&'static str),
}

/// The type of field `v`, as the format declares it, and a record with it.
#[derive(Debug)]
struct Sent {
    declares: &'static str,
    /// The whole record; `None` is a null.
    record: Option<Vec<u8>>,
}

/// One number of the list.
#[derive(Debug)]
struct Case {
    number: u32,
    what: &'static str,
    cells: Vec<(Format, Cell)>,
}

/// Of the schema with the field `v`, and of the one without.
const WITH: u8 = 1;
const WITHOUT: u8 = 2;

/// A record's value behind the id of its schema.
fn framed(schema: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, schema], payload].concat()
}

fn text(text: String) -> ResolvedSchema {
    ResolvedSchema { text, ..ResolvedSchema::default() }
}

impl Format {
    fn schema(self, fields: &str) -> ResolvedSchema {
        text(match self {
            Avro => format!(r#"{{"type":"record","name":"Order","fields":[{fields}]}}"#),
            JsonSchema => format!(r#"{{"type":"object","properties":{{{fields}}}}}"#),
            Protobuf => format!(
                "syntax = \"proto3\"; import \"google/protobuf/struct.proto\"; import \"google/protobuf/timestamp.proto\"; \
                 message Order {{ {fields} }} message Point {{ int32 x = 1; }}"
            ),
            Json | Raw => String::new(),
        })
    }

    /// One for a new table.
    fn empty(self) -> Box<dyn Decoder> {
        let table = Schema::empty();
        match self {
            Json => Box::new(JsonDecoder::new(&[], &table).unwrap()),
            JsonSchema => Box::new(JsonDecoder::new(&[], &table).unwrap().framed(RegistryFraming::default())),
            Avro => Box::new(AvroDecoder::new(RegistryFraming::default(), &table).unwrap()),
            Protobuf => Box::new(ProtobufDecoder::new(RegistryFraming::default(), &table).unwrap()),
            Raw => Box::new(RawDecoder::new(Some(&DataType::Utf8), &table).unwrap()),
        }
    }

    /// One that knows the field `v`, behind a text `before`.
    fn decoder(self, declares: &str) -> Box<dyn Decoder> {
        let (before, with) = match self {
            Json => {
                let columns = parse_columns(&format!("before STRING, v {declares}")).unwrap();
                return Box::new(JsonDecoder::new(&columns, &Schema::empty()).unwrap());
            }
            Raw => return self.empty(),
            JsonSchema => (r#""before":{"type":"string"}"#, format!(r#""v":{declares}"#)),
            Avro => (r#"{"name":"before","type":"string"}"#, format!(r#"{{"name":"v","type":{declares}}}"#)),
            Protobuf => ("string before = 15;", format!("{declares} v = 1;")),
        };
        let between = if self == Protobuf { " " } else { "," };
        let mut decoder = self.empty();
        for (id, fields) in [(WITH, format!("{before}{between}{with}")), (WITHOUT, before.to_owned())] {
            decoder.add_schema(SchemaKey::id(u64::from(id)), &self.schema(&fields)).unwrap();
        }
        decoder
    }

    /// A record that is a row, without the field.
    fn good(self) -> Vec<u8> {
        match self {
            Json => br#"{"before":"x"}"#.to_vec(),
            JsonSchema => framed(WITHOUT, br#"{"before":"x"}"#),
            Avro => framed(WITHOUT, b"\x02x"),
            Protobuf => framed(WITHOUT, b"\0\x7a\x01x"),
            Raw => b"x".to_vec(),
        }
    }

    /// The column that a case is about.
    fn column(self) -> &'static str {
        if self == Raw { "value" } else { "v" }
    }
}

fn column_of(batch: &RecordBatch, name: &str, row: usize) -> String {
    cell(batch.column_by_name(name).unwrap() as &dyn Array, row)
}

impl Sent {
    /// Between two good records: I2.
    fn is_a_row(&self, format: Format, expected: &str, what: &str) {
        let batch = records(&[Some(format.good()), self.record.clone(), Some(format.good())]);
        let decoded = format.decoder(self.declares).decode(&batch);
        assert_eq!((decoded.failure, decoded.needs), (None, None), "{what}");
        assert_eq!(decoded.batch.num_rows(), 3, "{what}");
        assert_eq!(column_of(&decoded.batch, format.column(), 1), expected, "{what}");
    }

    fn is_bad(&self, format: Format, reason: &str, message: &str, what: &str) {
        let good = Some(format.good());
        let batch = records(&[good.clone(), self.record.clone(), good.clone()]);
        let alone = shown(&format.decoder(self.declares).decode(&records(&[good.clone(), good])).batch);

        let mut stopping = format.decoder(self.declares);
        let first = stopping.decode(&batch);
        let failure = first.failure.unwrap_or_else(|| panic!("{what}: it is a row: {:?}", shown(&first.batch)));
        assert_eq!((failure.row, failure.reason.code(), failure.message.as_str()), (1, reason, message), "{what}");
        assert!(!matches!(&failure.remedy, Remedy::Produce(words) if words.is_empty()), "{what}: no remedy");
        let rest = stopping.decode_from(&batch, 2, BadRecords::Stop);
        assert_eq!(first.taken.len() + 1 + rest.taken.len(), batch.len(), "{what}: I2");
        assert_eq!([shown(&first.batch), shown(&rest.batch)].concat(), alone, "{what}: I2");

        let passing = format.decoder(self.declares).decode_from(&batch, 0, BadRecords::PassOver);
        assert_eq!((passing.failure, passing.needs), (None, None), "{what}");
        assert_eq!(passing.taken.len() + passing.passed_over.len(), batch.len(), "{what}: I2");
        assert_eq!(passing.passed_over.first(), Some(&failure), "{what}");
        assert_eq!(shown(&passing.batch), alone, "{what}: I2");
    }
}

#[test]
fn every_format_takes_or_names_every_bad_input() {
    let mut failed = Vec::new();
    for Case { number, what, cells } in cases() {
        for format in FORMATS {
            assert!(cells.iter().any(|(of, _)| *of == format), "I1: number {number}, {what}: no cell of {format:?}");
        }
        for (format, cell) in cells {
            let what = format!("number {number}, {what}, {format:?}");
            let held = catch_unwind(|| match &cell {
                Cell::Row(sent, expected) => sent.is_a_row(format, expected, &what),
                Cell::Bad(sent, reason, message) => sent.is_bad(format, reason, message, &what),
                Cell::Cannot(why) => assert!(!why.is_empty(), "{what}"),
            });
            failed.extend(held.is_err().then_some(what));
        }
    }
    assert_eq!(failed, Vec::<String>::new(), "each was shown above");
}

/// Number 29: nothing is copied more often than once, and nobody gives up.
#[test]
fn n29_a_text_of_64_mib_is_a_row_of_every_format() {
    let text = vec![b'x'; 64 << 20];
    let length = |prefix: &[u8], zigzag: u32| {
        let mut rest = text.len() << zigzag;
        let mut bytes = prefix.to_vec();
        while rest > 127 {
            bytes.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        bytes.push(rest as u8);
        bytes
    };
    let json = [b"{\"v\":\"", &text[..], b"\"}"].concat();
    for (format, declares, record) in [
        (JsonSchema, r#"{"type":"string"}"#, framed(WITH, &json)),
        (Avro, "\"string\"", framed(WITH, &[&b"\x02x"[..], &length(&[], 1), &text].concat())),
        (Protobuf, "string", framed(WITH, &[&length(&[0, 10], 0)[..], &text].concat())),
        (Raw, "", text.clone()),
    ] {
        let decoded = format.decoder(declares).decode(&records(&[Some(record), Some(format.good())]));
        assert_eq!((decoded.taken.len(), decoded.failure), (2, None), "{format:?}");
        let column = decoded.batch.column_by_name(format.column()).unwrap();
        assert_eq!(arrow::array::AsArray::as_string::<i32>(column).value_length(0), 64 << 20, "{format:?}");
    }
}
