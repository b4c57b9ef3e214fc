//! What the decoder must do, by rule: each file holds one kind.

mod bad_input;
mod changes;
mod evolution;
mod merging;
mod oracle;
mod passing;
mod types;

use arrow::datatypes::Schema as Table;
use tableflow_model::types::{flink_column, parse_columns};

use super::*;
use crate::decode::Opened;
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

type Tested = ProtobufDecoder<FirstByte>;

/// A file of proto3 with these definitions.
fn proto3(definitions: &str) -> ResolvedSchema {
    let imports: String = ["any", "duration", "empty", "struct", "timestamp", "wrappers"]
        .map(|name| format!("import \"google/protobuf/{name}.proto\";\n"))
        .concat();
    text(&format!("syntax = \"proto3\";\npackage shop;\n{imports}{definitions}"))
}

fn proto2(definitions: &str) -> ResolvedSchema {
    text(&format!("syntax = \"proto2\";\npackage shop;\n{definitions}"))
}

fn text(schema: &str) -> ResolvedSchema {
    ResolvedSchema { text: schema.to_owned(), ..ResolvedSchema::default() }
}

fn table(columns: &str) -> Tested {
    let columns = if columns.is_empty() { Vec::new() } else { parse_columns(columns).unwrap() };
    ProtobufDecoder::new(FirstByte, &Table::new(columns)).unwrap()
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

/// A record of a schema's first message: all parts, one behind the other.
fn value(key: u8, parts: &[&[u8]]) -> Vec<u8> {
    [key, 0].into_iter().chain(parts.concat()).collect()
}

/// A field of bytes: a text, a message, packed numbers.
fn run(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    assert!(number < 16 && bytes.len() < 128);
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

/// A field of a small whole number.
fn whole(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
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
