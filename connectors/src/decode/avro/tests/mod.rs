//! What the decoder must do, by rule: each file holds one kind.

mod bad_input;
mod changes;
mod evolution;
mod oracle;
mod passing;
mod types;

use arrow::datatypes::Schema as Table;
use tableflow_model::types::{flink_column, flink_type, parse_columns};

use super::*;
use crate::decode::Opened;
use crate::decode::binary::written::long;
use crate::decode::shown::{records, shown};
use crate::registry::NamedSchema;

/// The first byte of a value says which schema it has.
#[derive(Debug)]
struct FirstByte;

impl Framing for FirstByte {
    fn open<'a>(&self, records: &'a Records, row: usize) -> Result<Opened<'a>, RecordError> {
        let (key, payload) = records.value(row).unwrap().split_first().unwrap();
        Ok(Opened { schema: SchemaKey::id(u64::from(*key)), payload, header_rest: &[] })
    }
}

type Tested = AvroDecoder<FirstByte>;

fn text(schema: &str) -> ResolvedSchema {
    ResolvedSchema { text: schema.to_owned(), ..ResolvedSchema::default() }
}

fn referred(text: &str) -> NamedSchema {
    NamedSchema { name: "other".to_owned(), text: text.to_owned() }
}

/// A record schema with these fields.
fn record(fields: &str) -> ResolvedSchema {
    text(&format!(r#"{{"type":"record","name":"Order","namespace":"shop","fields":[{fields}]}}"#))
}

fn table(columns: &str) -> Tested {
    let columns = if columns.is_empty() { Vec::new() } else { parse_columns(columns).unwrap() };
    AvroDecoder::new(FirstByte, &Table::new(columns)).unwrap()
}

/// One whose columns take no null, whatever a schema says.
fn held(columns: &str) -> Tested {
    let schema = Table::new(parse_columns(columns).unwrap());
    let held = schema.fields().iter().map(|field| field.name().clone()).collect();
    table(columns).keep_to(&ColumnRules { held, ..ColumnRules::default() }, &schema)
}

/// A decoder for a table that does not exist yet, and what schema 1 brings.
fn decoder(schema: &ResolvedSchema) -> (Tested, Learned) {
    let mut decoder = table("");
    let learned = decoder.add_schema(SchemaKey::id(1), schema).unwrap();
    (decoder, learned)
}

fn columns(decoder: &Tested) -> String {
    decoder.schema().fields().iter().map(|field| flink_column(field)).collect::<Vec<_>>().join(", ")
}

fn notes(learned: &Learned) -> Vec<String> {
    learned.notes.iter().map(|note| format!("{}: {}", note.path, note.words)).collect()
}

/// A value of a schema: all parts, one behind the other.
fn value(key: u8, parts: &[&[u8]]) -> Vec<u8> {
    std::iter::once(key).chain(parts.concat()).collect()
}

/// A string, or bytes.
fn string(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [long(bytes.as_ref().len() as i64), bytes.as_ref().to_vec()].concat()
}

fn decode(decoder: &mut Tested, values: &[Vec<u8>]) -> Decoded {
    decoder.decode(&records(&values.iter().map(Some).collect::<Vec<_>>()))
}

/// All rows must decode; their cells as text.
fn rows(decoder: &mut Tested, values: &[Vec<u8>]) -> Vec<String> {
    let decoded = decode(decoder, values);
    assert_eq!((decoded.failure, decoded.needs), (None, None));
    shown(&decoded.batch)
}

/// The whole words of a refused schema.
fn refusal(decoder: &mut Tested, schema: &ResolvedSchema) -> String {
    let error = decoder.add_schema(SchemaKey::id(9), schema).unwrap_err();
    assert!(error.hint().is_some() || error.detail().is_some(), "{error}");
    error.report()
}
