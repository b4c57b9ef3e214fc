//! The decoder against prost-reflect: any message type, any message, whole or in parts, written and read by the one and
//! read by the other.

use std::collections::HashMap;
use std::fmt::Write;

use arrow::array::{RecordBatch, StructArray};
use proptest::prelude::*;
use proptest::test_runner::TestRng;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};

use super::*;
use crate::decode::shown::{cell, damaged};

const SCALARS: [&str; 16] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32",
    "sfixed64", "bool", "string", "bytes", "E",
];
const KEYS: [&str; 6] = ["int32", "uint32", "sint64", "uint64", "bool", "string"];
const WELL_KNOWN: [&str; 4] = [
    "google.protobuf.Timestamp",
    "google.protobuf.StringValue",
    "google.protobuf.UInt64Value",
    "google.protobuf.Duration",
];

/// Makes what the generator of random numbers says.
struct Maker(TestRng);

impl Maker {
    fn below(&mut self, limit: usize) -> usize {
        (self.0.next_u32() as usize) % limit
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }

    /// The fields of a message, and the messages inside of it.
    fn message(&mut self, depth: usize) -> String {
        let mut text = String::new();
        let count = 1 + self.below(5);
        for number in 1..=count {
            let value = match self.below(6) {
                0 if depth < 3 => {
                    let inner = self.message(depth + 1);
                    writeln!(text, "message M{number} {{ {inner} }}").unwrap();
                    format!("M{number}")
                }
                1 => self.pick(&WELL_KNOWN).to_owned(),
                _ => self.pick(&SCALARS).to_owned(),
            };
            // Numbers out of order, and some that are found by a search.
            let number = if number == 2 { 999 } else { 20 - number };
            let name = format!("f{number} = {number}");
            match self.below(6) {
                0 => writeln!(text, "repeated {value} {name};"),
                1 => writeln!(text, "map<{}, {value}> {name};", self.pick(&KEYS)),
                2 => writeln!(text, "optional {value} {name};"),
                3 => writeln!(
                    text,
                    "oneof o{number} {{ {value} {name}; int32 g{number} = {0}; E h{number} = {1}; }}",
                    number + 100,
                    number + 200
                ),
                _ => writeln!(text, "{value} {name};"),
            }
            .unwrap();
        }
        text
    }

    fn fill(&mut self, descriptor: &MessageDescriptor) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        if descriptor.full_name() == "google.protobuf.Timestamp" {
            message.set_field_by_name("seconds", Value::I64(i64::from(self.0.next_u32()) - (1 << 31)));
            message.set_field_by_name("nanos", Value::I32(self.below(1_000_000_000) as i32));
            return message;
        }
        for field in descriptor.fields() {
            if self.below(3) > 0 {
                let value = self.field(&field);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        let count = self.below(4);
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
                let entries = (0..count).map(|_| (self.key(&key.kind()), self.value(&value.kind())));
                Value::Map(entries.collect::<HashMap<_, _>>())
            }
            kind if field.is_list() => Value::List((0..count).map(|_| self.value(&kind)).collect()),
            kind => self.value(&kind),
        }
    }

    fn key(&mut self, kind: &Kind) -> MapKey {
        let small = self.0.next_u32() % 4;
        match kind {
            Kind::Bool => MapKey::Bool(small > 1),
            Kind::Int32 => MapKey::I32(small as i32 - 2),
            Kind::Sint64 => MapKey::I64(i64::from(small) - 2),
            Kind::Uint32 => MapKey::U32(small),
            Kind::Uint64 => MapKey::U64(u64::MAX - u64::from(small)),
            _ => MapKey::String(["", "k", "k\u{e9}y", "\u{1f600}"][small as usize].to_owned()),
        }
    }

    /// Any bits, of any length.
    fn bits(&mut self) -> u64 {
        self.0.next_u64() >> (self.0.next_u32() % 64)
    }

    fn value(&mut self, kind: &Kind) -> Value {
        let bits = if self.below(5) == 0 { 0 } else { self.bits() };
        let text = format!("{bits:x}{}", ["", "\u{e9}", "\0", "\u{1f600}\""][bits as usize % 4]);
        match kind {
            Kind::Double => Value::F64(f64::from_bits(bits)),
            Kind::Float => Value::F32(f32::from_bits(bits as u32)),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(bits as i32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(bits as i64),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(bits as u32),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(bits),
            Kind::Bool => Value::Bool(bits.is_multiple_of(2)),
            Kind::String => Value::String(if bits == 0 { String::new() } else { text }),
            Kind::Bytes => Value::Bytes(bits.to_be_bytes()[..bits as usize % 9].to_vec().into()),
            Kind::Enum(_) => Value::EnumNumber([0, 1, -7, 12][bits as usize % 4]),
            Kind::Message(message) => Value::Message(self.fill(message)),
        }
    }
}

/// A message as the row of its fields.
fn row(message: &DynamicMessage) -> String {
    let fields = message.descriptor();
    let fields = fields.descriptor_proto().field.iter().map(|field| fields.get_field_by_name(field.name()).unwrap());
    let cells: Vec<_> = fields.map(|field| format!("{}: {}", field.name(), field_cell(message, &field))).collect();
    format!("{{{}}}", cells.join(", "))
}

fn field_cell(message: &DynamicMessage, field: &FieldDescriptor) -> String {
    if field.supports_presence() && !message.has_field(field) {
        return "-".to_owned();
    }
    match (message.get_field(field).as_ref(), field.kind()) {
        (Value::List(items), kind) => {
            let items: Vec<_> = items.iter().map(|item| value_cell(item, &kind)).collect();
            format!("[{}]", items.join(", "))
        }
        (Value::Map(entries), Kind::Message(entry)) => {
            let kind = entry.map_entry_value_field().kind();
            let entry = |(key, value)| format!("{} => {}; ", key_cell(key), value_cell(value, &kind));
            let mut entries: Vec<_> = entries.iter().map(entry).collect();
            entries.sort();
            format!("({})", entries.concat())
        }
        (value, kind) => value_cell(value, &kind),
    }
}

fn key_cell(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => format!("{key}e-0"),
        MapKey::String(key) => format!("{key:?}"),
    }
}

fn value_cell(value: &Value, kind: &Kind) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => format!("{value}e-0"),
        Value::F32(value) => format!("{value:?}"),
        Value::F64(value) => format!("{value:?}"),
        Value::String(value) => format!("{value:?}"),
        Value::Bytes(value) => format!("{:?}", value.to_vec()),
        Value::EnumNumber(number) => match kind.as_enum().unwrap().get_value(*number) {
            Some(name) => format!("{:?}", name.name()),
            None => format!("\"{number}\""),
        },
        Value::Message(message) => message_cell(message),
        other => unreachable!("{other:?} is no single value"),
    }
}

fn message_cell(message: &DynamicMessage) -> String {
    let part = |name: &str| message.get_field_by_name(name).unwrap().into_owned();
    match message.descriptor().full_name() {
        "google.protobuf.Timestamp" => {
            format!(
                "{}us",
                part("seconds").as_i64().unwrap() * 1_000_000 + i64::from(part("nanos").as_i32().unwrap()) / 1000
            )
        }
        name if name.ends_with("Value") => {
            value_cell(&part("value"), &message.descriptor().get_field(1).unwrap().kind())
        }
        _ => row(message),
    }
}

/// A schema, and records of it, some in two parts; then their rows, as prost-reflect reads them.
fn records_of_one_schema() -> impl Strategy<Value = (ResolvedSchema, Vec<Vec<u8>>, Vec<String>)> {
    Just(()).prop_perturb(|(), rng| {
        let mut maker = Maker(rng);
        let body = maker.message(0);
        let schema = proto3(&format!("message Order {{ {body} }} enum E {{ NONE = 0; ONE = 1; MINUS = -7; }}"));
        let descriptor = Schema::parse(&schema).and_then(|schema| schema.message(FIRST)).unwrap();
        let mut values = Vec::new();
        for _ in 0..=maker.below(5) {
            let mut bytes = maker.fill(&descriptor).encode_to_vec();
            if maker.below(2) == 0 {
                maker.fill(&descriptor).encode_raw(&mut bytes);
            }
            values.push(bytes);
        }
        let read = |bytes: &Vec<u8>| row(&DynamicMessage::decode(descriptor.clone(), bytes.as_slice()).unwrap());
        let expected = values.iter().map(read).collect();
        (schema, values.iter().map(|bytes| value(1, &[bytes])).collect(), expected)
    })
}

fn cells(batch: &RecordBatch) -> Vec<String> {
    let row = StructArray::from(batch.clone());
    (0..batch.num_rows()).map(|index| cell(&row, index)).collect()
}

const SCHEMA: &str = r#"syntax = "proto3"; package p; import "google/protobuf/timestamp.proto";
    message Order { int32 a = 1; repeated Part b = 2 [deprecated = true]; map<string, E> c = 3; oneof o { Part d = 4; bytes e = 5; }
    google.protobuf.Timestamp f = 6; reserved 7 to 9; message Part { optional sint64 x = 1; } } enum E { A = 0; B = -1; }"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_prost_writes_and_reads_is_what_is_read((schema, values, expected) in records_of_one_schema()) {
        let (mut decoder, _) = decoder(&schema);
        for _ in 0..2 {
            let decoded = decode(&mut decoder, &values);
            prop_assert_eq!(decoded.failure, None, "{}", schema.text);
            prop_assert_eq!(cells(&decoded.batch), expected.clone(), "{}", schema.text);
        }
    }

    #[test]
    fn i2_no_damage_makes_it_panic_or_spoils_other_records(
        (schema, values, expected) in records_of_one_schema(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..4),
    ) {
        let (mut decoder, _) = decoder(&schema);
        let mut bad = values[0].clone();
        for (place, byte, cut) in damage {
            let place = 2 + place.index(bad.len());
            match bad.get_mut(place) {
                Some(old) if !cut => *old = byte,
                _ => bad.truncate(place),
            }
        }
        let records = records(&[Some(&values[0]), Some(&bad), Some(&values[0])]);
        let decoded = decoder.decode(&records);
        prop_assert_eq!(&cells(&decoded.batch)[0], &expected[0]);
        match decoded.failure {
            Some(failure) => {
                prop_assert_eq!((decoded.taken.len(), failure.row), (1, 1));
                let decoded = decoder.decode_from(&records, 2, BadRecords::Stop);
                prop_assert_eq!(&cells(&decoded.batch)[0], &expected[0]);
            }
            None => prop_assert_eq!(&cells(&decoded.batch)[2], &expected[0]),
        }
    }

    #[test]
    fn no_schema_makes_it_panic(schema in damaged(SCHEMA)) {
        let mut decoder = table("");
        if decoder.add_schema(SchemaKey::id(1), &text(&schema)).is_err() {
            prop_assert_eq!(decoder.schema().fields().len(), 0);
        }
    }
}
