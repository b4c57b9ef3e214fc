//! Schema texts in one form, and what is wrong with them.
//!
//! Owns the way from what a person registers to what is kept ([`prepare`]), and what a level has against a change
//! ([`compare`]), for all types of schemas. Pure.
//! - I1: white space makes no other schema. The normal form makes none of the order of keys, nor of a namespace that
//!   is written once or in every name.
//! - I2: what cannot be compared is not called compatible: a guess here breaks readers elsewhere. No crate compares
//!   JSON Schema and Protobuf as Confluent does.

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::refusal::{Reason, RegistryError, Result};
use super::super::registry::{Compatibility, Form};
use super::super::schema::{Schema, SchemaType};
use super::avro::{self, AvroSchema};
use super::{json, protobuf};

/// A schema that another one refers to, by its name there.
#[derive(Clone, Debug)]
pub(super) struct Referenced<'a> {
    pub(super) name: String,
    pub(super) schema: &'a Schema,
}

/// A schema and what it refers to, dependencies first.
pub(super) type WithReferences<'a> = (&'a Schema, &'a [Referenced<'a>]);

pub(super) fn invalid(message: impl std::fmt::Display) -> RegistryError {
    RegistryError::refused(Reason::InvalidSchema, format!("Invalid schema: {message}"))
}

pub(super) fn prepare(schema: &Schema, referenced: &[Referenced<'_>], form: Form) -> Result<Schema> {
    let text = match schema.schema_type {
        SchemaType::Avro => {
            parse((schema, referenced))?;
            match form {
                Form::Given => compact(&schema.text)?,
                Form::Normalized => avro::normalized(&json_value(&schema.text)?).to_string(),
            }
        }
        SchemaType::Json => {
            let value = json_value(&schema.text)?;
            if !matches!(value, Value::Object(_) | Value::Bool(_)) {
                return Err(invalid("a JSON schema is an object or a boolean"));
            }
            match form {
                Form::Given => compact(&schema.text)?,
                // Objects print sorted.
                Form::Normalized => value.to_string(),
            }
        }
        SchemaType::Protobuf => {
            let text = schema.text.trim();
            if text.is_empty() {
                return Err(invalid("it is empty"));
            }
            protobuf::parse((schema, referenced))?;
            text.to_owned()
        }
    };
    Ok(Schema { text, ..schema.clone() })
}

/// What the level has against `new` after `before`.
pub(super) fn compare(
    new: WithReferences<'_>,
    before: WithReferences<'_>,
    level: Compatibility,
) -> Result<Vec<String>> {
    let types = (new.0.schema_type, before.0.schema_type);
    if types.0 != types.1 {
        return Ok(vec![format!("it is {}, and the new schema is {}", types.1, types.0)]);
    }
    // What one schema has against another one's records.
    let reads: Box<dyn Fn(bool) -> Vec<String>> = match types.0 {
        SchemaType::Avro => {
            let (new, before) = (parse(new)?, parse(before)?);
            Box::new(move |back| match back {
                true => avro::incompatibilities(&new, &before),
                false => avro::incompatibilities(&before, &new),
            })
        }
        SchemaType::Json => {
            let (new, before) = (json::JsonSchema::parse(new)?, json::JsonSchema::parse(before)?);
            Box::new(move |back| match back {
                true => json::incompatibilities(&new, &before),
                false => json::incompatibilities(&before, &new),
            })
        }
        SchemaType::Protobuf => {
            let (new, before) = (protobuf::parse(new)?, protobuf::parse(before)?);
            Box::new(move |back| match back {
                true => protobuf::incompatibilities(&new, &before),
                false => protobuf::incompatibilities(&before, &new),
            })
        }
    };
    let mut found = Vec::new();
    if level.looks_backward() {
        found.extend(reads(true).into_iter().map(|message| format!("the new schema cannot read it: {message}")));
    }
    if level.looks_forward() {
        found.extend(reads(false).into_iter().map(|message| format!("it cannot read the new schema: {message}")));
    }
    Ok(found)
}

fn parse((schema, referenced): WithReferences<'_>) -> Result<AvroSchema> {
    let mut texts = Vec::new();
    for Referenced { name, schema } in referenced {
        texts.push(json_value(&schema.text).map_err(|error| invalid(format!("{name}: {error}")))?);
    }
    avro::parse(&json_value(&schema.text)?, &texts).map_err(invalid)
}

pub(super) fn json_value(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| invalid(format!("it is not JSON: {error}")))
}

/// JSON without the white space between its tokens.
fn compact(text: &str) -> Result<String> {
    let json: &RawValue = serde_json::from_str(text).map_err(|error| invalid(format!("it is not JSON: {error}")))?;
    let (mut compact, mut in_text, mut is_escaped) = (String::with_capacity(text.len()), false, false);
    for c in json.get().chars() {
        if !in_text && c.is_ascii_whitespace() {
            continue;
        }
        compact.push(c);
        in_text = if c == '"' && !is_escaped { !in_text } else { in_text };
        is_escaped = c == '\\' && !is_escaped;
    }
    Ok(compact)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(schema_type: SchemaType, text: &str, form: Form) -> Result<String, String> {
        prepare(&Schema::new(schema_type, text), &[], form).map(|schema| schema.text).map_err(|error| error.to_string())
    }

    #[test]
    fn i1_white_space_and_spelling_make_no_other_schema() {
        let given = "{ \"type\" : \"record\",\n\t\"name\": \"a.b.R\", \"fields\": [ {\"default\": \"x \\\" y\\\\\", \
                     \"name\": \"s\", \"type\": \"string\"}, {\"name\":\"next\",\"type\":[\"null\",\"R\"]} ] }";
        let compact = r#"{"type":"record","name":"a.b.R","fields":[{"default":"x \" y\\","name":"s","type":"string"},{"name":"next","type":["null","R"]}]}"#;
        assert_eq!(prepared(SchemaType::Avro, given, Form::Given).unwrap(), compact);
        let respelled = r#"{"name":"R","namespace":"a.b","type":"record","fields":[{"name":"s","type":{"type":"string"},"default":"x \" y\\"},{"name":"next","type":["null","a.b.R"]}]}"#;
        let normal = prepared(SchemaType::Avro, given, Form::Normalized).unwrap();
        assert_eq!(prepared(SchemaType::Avro, respelled, Form::Normalized).unwrap(), normal);
        assert_eq!(prepared(SchemaType::Avro, &normal, Form::Normalized).unwrap(), normal);
        assert_ne!(prepared(SchemaType::Avro, respelled, Form::Given).unwrap(), compact);

        let sorted = r#"{"a":[1,2],"b":{"c":1,"d":2}}"#;
        let given = " {\"b\" : {\"d\":2,\"c\":1}, \"a\":[1, 2]}";
        assert_eq!(prepared(SchemaType::Json, given, Form::Normalized).unwrap(), sorted);
        assert_eq!(prepared(SchemaType::Json, given, Form::Given).unwrap(), r#"{"b":{"d":2,"c":1},"a":[1,2]}"#);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let deep = format!("{}\"int\"{}", "{\"type\":\"array\",\"items\":".repeat(5_000), "}".repeat(5_000));
        let cases = [
            (SchemaType::Avro, "{nope", "not JSON"),
            (SchemaType::Avro, "", "not JSON"),
            (SchemaType::Avro, "7", "7 is not a type"),
            (SchemaType::Avro, &deep, "recursion limit"),
            (SchemaType::Json, "[]", "an object or a boolean"),
            (SchemaType::Json, "{\"a\":1,}", "not JSON"),
            (SchemaType::Protobuf, " \n", "it is empty"),
            (SchemaType::Protobuf, "syntax = \"proto3\"; message M { Missing a = 1; }", "Missing"),
            (SchemaType::Protobuf, "syntax = \"proto3\"; import \"missing.proto\";", "missing.proto"),
        ];
        for (schema_type, text, words) in cases {
            let error = prepared(schema_type, text, Form::Given).unwrap_err();
            assert!(error.contains(words) && error.contains("(42201)"), "{text:.40}: {error}");
        }
    }

    #[test]
    fn i2_what_cannot_be_compared_is_not_called_compatible() {
        let of = |schema_type, text| Schema::new(schema_type, text);
        let json = (of(SchemaType::Json, r#"{"if":true}"#), of(SchemaType::Json, r#"{"if":false}"#));
        let found = compare((&json.0, &[]), (&json.1, &[]), Compatibility::Backward).unwrap();
        assert!(found[0].contains("\"if\" of the schema changed, which is not compared"), "{found:?}");
        assert!(compare((&json.0, &[]), (&json.0, &[]), Compatibility::Full).unwrap().is_empty());
        let avro = of(SchemaType::Avro, "\"int\"");
        let found = compare((&avro, &[]), (&json.0, &[]), Compatibility::Forward).unwrap();
        assert_eq!(found, ["it is JSON, and the new schema is AVRO"]);
    }
}
