//! Keys of JSON, and the columns that are left to keys.

use super::*;
use crate::decode::{Framing, Opened};
use crate::registry::{ResolvedSchema, SchemaKey};

#[test]
fn a_bare_value_is_the_one_field_of_a_row() {
    for (keys, column, cells) in [
        ("7\n-1\n 8 ", "key BIGINT", ["7", "-1", "8"]),
        ("1\n2\n2.5", "key DOUBLE", ["1.0", "2.0", "2.5"]),
        ("\"a\"\nnull\n\"b\"", "key STRING", ["\"a\"", "-", "\"b\""]),
        ("[1]\n[]\nnull", "key ARRAY<BIGINT>", ["[1]", "[]", "-"]),
        ("{\"id\":1}\n{}\n{\"id\":2}", "id BIGINT", ["1", "-", "2"]),
    ] {
        let mut decoder = decoder("").bare_as("key");
        assert_eq!(rows(&mut decoder, keys), cells, "{keys}");
        assert_eq!(columns(&decoder), column, "{keys}");
    }
}

#[test]
fn what_is_no_json_or_fits_no_column_says_so_of_the_value_as_it_came() {
    for (key, reason, path, message) in [
        ("1,\"x\":2", "trailing-data", "$", "the value has more than one value"),
        ("", "empty-value", "$", "the value is empty"),
        ("abc", "not-json", "$", "the value is not JSON"),
        ("\"a\"", "type-mismatch", "$.key", "$.key is the text \"a\", its column is BIGINT"),
    ] {
        let mut decoder = decoder("key BIGINT").bare_as("key");
        let failure = failure(&mut decoder, key);
        assert_eq!((failure.reason.code(), failure.path.as_str()), (reason, path), "{key}");
        assert!(failure.message.starts_with(message), "{key}: {}", failure.message);
    }
}

#[test]
fn no_value_brings_a_column_that_is_left_to_keys() {
    let mut decoder = decoder("id BIGINT");
    decoder.leave_to_keys(&["Region".to_owned()]);
    assert_eq!(rows(&mut decoder, "{\"id\":1,\"region\":null,\"r\":{\"region\":2}}"), ["1 | {region: 2}"]);
    for name in ["region", "Region"] {
        let failure = failure(&mut decoder, format!("{{\"id\":1,\"{name}\":\"eu\"}}"));
        assert_eq!((failure.reason.code(), failure.path), ("key-column", format!("$.{name}")));
        assert_eq!(failure.message, format!("$.{name} has the name of a column that the records' keys fill"));
    }
    assert_eq!(columns(&decoder), "id BIGINT, r ROW<region BIGINT>");
    let text = r#"{"type":"object","properties":{"REGION":{"type":"string"}}}"#;
    let schema = ResolvedSchema { text: text.to_owned(), ..ResolvedSchema::default() };
    let refused = decoder.add_schema(SchemaKey::id(1), &schema).unwrap_err();
    assert_eq!(refused.message(), "the schema has a field REGION, and the records' keys fill column REGION");
}

#[derive(Debug)]
struct Whole;

impl Framing for Whole {
    fn open<'a>(&self, records: &'a Records, row: usize) -> Result<Opened<'a>, RecordError> {
        Ok(Opened { schema: SchemaKey::id(1), payload: records.value(row).unwrap(), header_rest: &[] })
    }
}

#[test]
fn a_schema_of_a_bare_value_declares_its_field() {
    for (schema, column, key, cell) in [
        (r#"{"type":"integer"}"#, "key BIGINT", "7", "7"),
        (r#"{"type":"string"}"#, "key STRING", "\"a\"", "\"a\""),
        (r#"{"type":"array","items":{"type":"number"}}"#, "key ARRAY<DOUBLE>", "[1]", "[1.0]"),
        (r#"{"type":"object","properties":{"id":{"type":"integer"}}}"#, "id BIGINT", "{\"id\":1}", "1"),
    ] {
        let text = ResolvedSchema { text: schema.to_owned(), ..ResolvedSchema::default() };
        let mut keys = decoder("").bare_as("key").framed(Whole);
        keys.add_schema(SchemaKey::id(1), &text).unwrap();
        assert_eq!(columns(&keys), column, "{schema}");
        assert_eq!(rows(&mut keys, key), [cell], "{schema}");
        let mut values = decoder("").framed(Whole);
        assert_eq!(values.add_schema(SchemaKey::id(1), &text).is_ok(), schema.contains("object"), "{schema}");
    }
}
