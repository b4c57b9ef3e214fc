//! Schemas that make no table, and those that just do, in every format that has schemas.

use arrow::datatypes::DataType;

use super::{Avro, Format, JsonSchema, Protobuf, framed, records};
use crate::registry::SchemaKey;

const FORMATS: [Format; 3] = [JsonSchema, Avro, Protobuf];

/// A field that holds a whole number, or fields of another one.
fn field(format: Format, name: &str, number: usize, inner: Option<&str>) -> String {
    match (format, inner) {
        (Avro, None) => format!(r#"{{"name":"{name}","type":"long"}}"#),
        (Avro, Some(inner)) => {
            format!(r#"{{"name":"{name}","type":{{"type":"record","name":"R{number}","fields":[{inner}]}}}}"#)
        }
        (Protobuf, None) => format!("int64 {name} = {number};"),
        (Protobuf, Some(inner)) => format!("message R{number} {{ {inner} }} R{number} {name} = {number};"),
        (_, None) => format!(r#""{name}":{{"type":"integer"}}"#),
        (_, Some(inner)) => format!(r#""{name}":{{"type":"object","properties":{{{inner}}}}}"#),
    }
}

fn joined(format: Format, fields: &[String]) -> String {
    fields.join(if format == Protobuf { " " } else { "," })
}

fn whole_numbers(format: Format, names: &[&str]) -> String {
    let fields: Vec<_> = names.iter().enumerate().map(|(index, name)| field(format, name, index + 1, None)).collect();
    joined(format, &fields)
}

/// Fields, and how each format refuses them; what a format's own grammar does not let through has no cell.
type Refused = (u32, &'static [&'static str], &'static [(Format, &'static str)]);

const RESERVED: &str = "error: the schema has a field _tableflow_offset, a name of the metadata columns";
const TWINS: &str = "error: field ID differs only by case from column id";
/// The properties of a JSON Schema have no order: they are taken by name.
const TWINS_BY_NAME: &str = "error: field id differs only by case from column ID";
/// Protobuf itself has no such fields.
const UNGRAMMATICAL: &str = "error: the schema is no Protobuf schema";
const NAMELESS: &str = "error: a field of the schema has an empty name";

const REFUSED: &[Refused] = &[
    (61, &["_tableflow_offset"], &[(JsonSchema, RESERVED), (Avro, RESERVED), (Protobuf, RESERVED)]),
    (20, &["id", "ID"], &[(JsonSchema, TWINS_BY_NAME), (Avro, TWINS), (Protobuf, UNGRAMMATICAL)]),
    (20, &[""], &[(JsonSchema, NAMELESS), (Avro, NAMELESS), (Protobuf, UNGRAMMATICAL)]),
];

#[test]
fn n20_n61_names_that_no_column_can_have_are_refused_with_the_name() {
    for (number, names, cells) in REFUSED {
        for (format, expected) in *cells {
            let mut decoder = format.empty();
            let schema = format.schema(&whole_numbers(*format, names));
            let error = decoder.add_schema(SchemaKey::id(1), &schema).unwrap_err().report();
            assert!(error.starts_with(expected), "number {number}, {format:?}, {names:?}: {error}");
            assert_eq!((decoder.schema().fields().len(), decoder.schema_version()), (0, 0), "{format:?}, {names:?}");
        }
    }
}

/// 61: the hidden columns of other engines are none of ours.
#[test]
fn n61_names_of_hidden_columns_are_columns() {
    for format in FORMATS {
        let mut decoder = format.empty();
        let schema = format.schema(&whole_numbers(format, &["_pos", "_file", "_row_id"]));
        decoder.add_schema(SchemaKey::id(1), &schema).unwrap();
        assert_eq!(decoder.schema().fields().len(), 3, "{format:?}");
    }
}

#[test]
fn n60_a_schema_of_500_columns_and_20_levels_makes_a_table() {
    for format in FORMATS {
        let names: Vec<String> = (1..=500).map(|number| format!("c{number}")).collect();
        let mut decoder = format.empty();
        let schema = format.schema(&whole_numbers(format, &names.iter().map(String::as_str).collect::<Vec<_>>()));
        decoder.add_schema(SchemaKey::id(1), &schema).unwrap();
        assert_eq!(decoder.schema().fields().len(), 500, "{format:?}");

        let inmost = field(format, "l20", 20, None);
        let nested =
            (1..20).rev().fold(inmost, |inner, level| field(format, &format!("l{level}"), level, Some(&inner)));
        let mut decoder = format.empty();
        decoder.add_schema(SchemaKey::id(1), &format.schema(&nested)).unwrap();
        let (mut levels, schema) = (1, decoder.schema());
        let mut column = schema.field(0).clone();
        while let DataType::Struct(fields) = column.data_type().clone() {
            (levels, column) = (levels + 1, fields[0].as_ref().clone());
        }
        assert_eq!((levels, column.name().as_str()), (20, "l20"), "{format:?}");
    }
}

/// 26, 60: a column more than a table can have.
#[test]
fn n26_a_schema_of_1001_columns_is_refused() {
    for format in FORMATS {
        let names: Vec<String> = (1..=1001).map(|number| format!("c{number}")).collect();
        let schema = format.schema(&whole_numbers(format, &names.iter().map(String::as_str).collect::<Vec<_>>()));
        let error = format.empty().add_schema(SchemaKey::id(1), &schema).unwrap_err().report();
        assert!(error.contains("more than the 1000 columns"), "{format:?}: {error}");
    }
}

/// 6: what is not known is asked for, before it is anybody's fault.
#[test]
fn n06_an_id_that_is_not_known_is_asked_for_by_every_format() {
    for format in FORMATS {
        let decoded = format.empty().decode(&records(&[Some(framed(7, b"\0"))]));
        assert_eq!((decoded.needs, decoded.failure), (Some(SchemaKey::id(7)), None), "{format:?}");
    }
}

/// 30: a schema in which a number became a text.
#[test]
fn n30_a_schema_that_gives_a_column_another_type_is_refused_and_changes_nothing() {
    for (format, text, expected) in [
        (JsonSchema, r#""v":{"type":"string"}"#, "error: column v is BIGINT, and the schema has STRING"),
        (Avro, r#"{"name":"v","type":"string"}"#, "error: column v is BIGINT, and the schema has string"),
        (Protobuf, "string v = 1;", "error: column v is BIGINT, and the schema has string"),
    ] {
        let mut decoder = format.empty();
        decoder.add_schema(SchemaKey::id(1), &format.schema(&whole_numbers(format, &["v"]))).unwrap();
        let before = (decoder.schema(), decoder.schema_version());
        let error = decoder.add_schema(SchemaKey::id(2), &format.schema(text)).unwrap_err().report();
        assert!(error.starts_with(expected), "{format:?}: {error}");
        assert_eq!((decoder.schema(), decoder.schema_version()), before, "{format:?}");
    }
}
