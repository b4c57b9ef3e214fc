//! The bodies of the targets.
//!
//! ```text
//!  framing          one byte of options | headers' count | headers, the value: each behind its length
//!  avro, protobuf   the number of a pair of schemas | records; the first byte of each says which of the two it has
//!  json             the number of a list of declared columns | records, one a line
//!  *_schema         a schema's text, 0, another's, 0 | records as above
//!  *_change         the same, of envelopes around rows that changed
//!  raw              0 for bytes, 1 for text | records
//! ```

use arrow::datatypes::{DataType, Schema};
use serde_json::value::RawValue;
use tableflow_connectors::decode::{
    AvroDecoder, Decoder, Framing, JsonDecoder, Opened, ProtobufDecoder, RawDecoder, Reason, RecordError,
    RegistryFraming, Remedy,
};
use tableflow_connectors::registry::framing::{Framed, PrefixLength, frame};
use tableflow_connectors::registry::{RecordPart, ResolvedSchema, SchemaKey};
use tableflow_model::Records;
use tableflow_model::types::parse_columns;

use crate::input::{Input, Value, records};
use crate::laws::{give, hold};
use crate::rows::Empties;
use crate::schemas;

/// The first byte of a value says which of two schemas it has: its lowest bit.
#[derive(Debug)]
struct FirstByte;

impl Framing for FirstByte {
    fn open<'a>(&self, records: &'a Records, row: usize) -> Result<Opened<'a>, RecordError> {
        match records.value(row).and_then(<[u8]>::split_first) {
            Some((byte, payload)) => {
                Ok(Opened { schema: SchemaKey::id(u64::from(byte & 1)), payload, header_rest: &[] })
            }
            None => Err(RecordError {
                row,
                reason: Reason::NoSchemaId,
                path: "$".to_owned(),
                message: "the value is empty".to_owned(),
                remedy: Remedy::Produce(String::new()),
            }),
        }
    }
}

pub fn framing(input: &[u8]) {
    let mut input = Input(input);
    let options = input.byte();
    let prefix = if options & 1 == 0 { PrefixLength::Four } else { PrefixLength::Eight };
    let part = if options & 2 == 0 { RecordPart::Value } else { RecordPart::Key };
    let headers: Vec<(&[u8], Value)> = (0..input.byte() % 8).map(|_| header(&mut input)).collect();
    let value = input.value().unwrap_or_default();
    let wanted = headers.iter().rev().find(|(name, _)| *name == part.id_header());
    match frame(value, headers.iter().copied(), part, prefix) {
        Ok(Framed { schema, payload, header_rest }) => {
            assert_eq!(payload.end, value.len(), "the payload is the value's end");
            let bytes = match wanted {
                Some((_, header)) => without_end(header.unwrap_or_default(), header_rest),
                None => without_end(value, value.get(payload).unwrap_or_default()),
            };
            let expected = match schema {
                SchemaKey::Guid(guid) => [&[1][..], guid.as_bytes()].concat(),
                SchemaKey::Id(id) => {
                    let wide = wanted.is_none() && prefix == PrefixLength::Eight;
                    [&[0], id.0.to_be_bytes().get(if wide { 0.. } else { 4.. }).unwrap_or_default()].concat()
                }
            };
            assert_eq!(bytes, expected, "the id is what stands before the rest");
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
    let given = records(&[Some(value)], &[headers]);
    let framing = RegistryFraming { prefix, part: RecordPart::Value };
    match framing.open(&given, 0) {
        Ok(opened) => assert!(value.ends_with(opened.payload)),
        Err(error) => assert_eq!(error.row, 0),
    }
}

fn header<'a>(input: &mut Input<'a>) -> (&'a [u8], Value<'a>) {
    let name = match input.byte() {
        0 => RecordPart::Value.id_header(),
        1 => RecordPart::Key.id_header(),
        length => input.take(usize::from(length)),
    };
    (name, input.value())
}

/// What stands before this end.
fn without_end<'a>(bytes: &'a [u8], end: &[u8]) -> &'a [u8] {
    assert!(bytes.ends_with(end));
    bytes.get(..bytes.len() - end.len()).unwrap_or_default()
}

fn avro_decoder() -> Option<Box<dyn Decoder>> {
    Some(Box::new(AvroDecoder::new(FirstByte, &Schema::empty()).ok()?))
}

fn protobuf_decoder() -> Option<Box<dyn Decoder>> {
    Some(Box::new(ProtobufDecoder::new(FirstByte, &Schema::empty()).ok()?))
}

fn framed_json_decoder() -> Option<Box<dyn Decoder>> {
    Some(Box::new(JsonDecoder::new(&[], &Schema::empty()).ok()?.framed(FirstByte)))
}

pub fn avro(input: &[u8]) {
    of_known(avro_decoder, schemas::AVRO, Input(input));
}

pub fn protobuf(input: &[u8]) {
    of_known(protobuf_decoder, schemas::PROTOBUF, Input(input));
}

pub fn avro_schema(input: &[u8]) {
    of_any(avro_decoder, Empties::Kept, Input(input));
}

pub fn protobuf_schema(input: &[u8]) {
    of_any(protobuf_decoder, Empties::Kept, Input(input));
}

pub fn avro_change(input: &[u8]) {
    let new = || -> Option<Box<dyn Decoder>> {
        Some(Box::new(AvroDecoder::new(FirstByte, &Schema::empty()).ok()?.telling_origins()))
    };
    of_any(new, Empties::Kept, Input(input));
}

pub fn protobuf_change(input: &[u8]) {
    let new = || -> Option<Box<dyn Decoder>> {
        Some(Box::new(ProtobufDecoder::new(FirstByte, &Schema::empty()).ok()?.telling_origins()))
    };
    of_any(new, Empties::Kept, Input(input));
}

pub fn json_schema(input: &[u8]) {
    of_any(framed_json_decoder, Empties::AsNull, Input(input));
}

fn of_known(new: fn() -> Option<Box<dyn Decoder>>, pairs: &[[&str; 2]], mut input: Input) {
    let pair = usize::from(input.byte()) % pairs.len();
    let Some([first, second]) = pairs.get(pair) else { return };
    of_pair(new, Empties::Kept, [(*first).to_owned(), (*second).to_owned()], &input.values());
}

fn of_any(new: fn() -> Option<Box<dyn Decoder>>, empties: Empties, mut input: Input) {
    let texts = [input.text(), input.text()];
    let values = input.values();
    // Both given at once, as for a table whose schemas are known before its first record.
    if let Some(mut decoder) = new() {
        for (id, text) in texts.iter().enumerate() {
            give(decoder.as_mut(), SchemaKey::id(id as u64), &schema(text));
        }
    }
    of_pair(new, empties, texts, &values);
}

fn of_pair(new: fn() -> Option<Box<dyn Decoder>>, empties: Empties, [first, second]: [String; 2], values: &[Value]) {
    let schemas = |key| Some(schema(if key == SchemaKey::id(0) { &first } else { &second }));
    hold(&new, &schemas, empties, values);
}

fn schema(text: &str) -> ResolvedSchema {
    ResolvedSchema { text: text.to_owned(), ..ResolvedSchema::default() }
}

pub fn json(input: &[u8]) {
    let mut input = Input(input);
    let lists = schemas::DECLARED;
    let list = usize::from(input.byte()) % lists.len();
    let columns = lists.get(list).copied().unwrap_or_default();
    let declared = if columns.is_empty() { Vec::new() } else { parse_columns(columns).unwrap_or_default() };
    let values = input.lines();
    let new = || -> Option<Box<dyn Decoder>> { Some(Box::new(JsonDecoder::new(&declared, &Schema::empty()).ok()?)) };
    hold(&new, &|_| None, Empties::AsNull, &values);
    // A reader that looks at the syntax alone has to take what became a row.
    for value in values.into_iter().flatten() {
        let Some(mut decoder) = new() else { return };
        if decoder.decode(&records(&[Some(value)], &[])).failure.is_none() {
            let read = serde_json::from_slice::<&RawValue>(value);
            assert!(read.as_ref().is_ok_and(|raw| raw.get().starts_with('{')), "a row of {read:?}");
        }
    }
}

pub fn raw(input: &[u8]) {
    let mut input = Input(input);
    let wanted = if input.byte() & 1 == 0 { DataType::Binary } else { DataType::Utf8 };
    let new = || -> Option<Box<dyn Decoder>> { Some(Box::new(RawDecoder::new(Some(&wanted), &Schema::empty()).ok()?)) };
    hold(&new, &|_| None, Empties::Kept, &input.values());
}
