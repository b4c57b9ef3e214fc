//! The one form of many spellings of an Avro schema.
//!
//! Keys are sorted, names are full, `{"type":"int"}` is `"int"`. What has a meaning to people or programs stays: doc,
//! aliases, defaults, logical types, properties of others. (The specification's own canonical form drops them.)

use serde_json::{Map, Value};

use super::Primitive;
use super::parse::full_name;

/// Of a schema that was parsed: its form is known to be right.
pub(in super::super) fn normalized(schema: &Value) -> Value {
    of_type(schema, "")
}

fn of_type(json: &Value, namespace: &str) -> Value {
    match json {
        Value::String(name) => Value::String(of_name(name, namespace)),
        Value::Array(branches) => branches.iter().map(|branch| of_type(branch, namespace)).collect(),
        Value::Object(object) => of_object(object, namespace),
        other => other.clone(),
    }
}

fn of_name(name: &str, namespace: &str) -> String {
    if Primitive::of(name).is_some() { name.to_owned() } else { full_name(name, namespace) }
}

fn of_object(object: &Map<String, Value>, namespace: &str) -> Value {
    let inner = object.get("type").unwrap_or(&Value::Null);
    if object.len() == 1 {
        return of_type(inner, namespace);
    }
    let mut normal = object.clone();
    match inner.as_str() {
        Some("record" | "error" | "enum" | "fixed") => define(&mut normal, namespace),
        Some("array") => replace(&mut normal, "items", |items| of_type(items, namespace)),
        Some("map") => replace(&mut normal, "values", |values| of_type(values, namespace)),
        _ => replace(&mut normal, "type", |inner| of_type(inner, namespace)),
    }
    Value::Object(normal)
}

fn define(object: &mut Map<String, Value>, enclosing: &str) {
    let own = object.remove("namespace");
    let namespace = own.as_ref().and_then(Value::as_str).unwrap_or(enclosing);
    let name = full_name(object.get("name").and_then(Value::as_str).unwrap_or_default(), namespace);
    let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
    object.insert("name".to_owned(), Value::String(name));
    replace(object, "aliases", |aliases| {
        let aliases = aliases.as_array().into_iter().flatten().filter_map(Value::as_str);
        aliases.map(|alias| Value::String(full_name(alias, &namespace))).collect()
    });
    replace(object, "fields", |fields| {
        fields.as_array().into_iter().flatten().map(|field| of_field(field, &namespace)).collect()
    });
}

fn of_field(field: &Value, namespace: &str) -> Value {
    let mut normal = field.as_object().cloned().unwrap_or_default();
    replace(&mut normal, "type", |field_type| of_type(field_type, namespace));
    Value::Object(normal)
}

fn replace(object: &mut Map<String, Value>, name: &str, change: impl FnOnce(&Value) -> Value) {
    if let Some(value) = object.get_mut(name) {
        *value = change(value);
    }
}
