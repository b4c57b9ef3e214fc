//! An Avro schema from its JSON.
//!
//! - I1: every name stands for one definition; a name that is defined twice, or never, is refused.
//! - I2: defaults fit their fields, for a reader would fail at the first record without one.

use std::collections::HashMap;

use serde_json::{Map, Value};

pub(in super::super) struct AvroSchema {
    pub(super) root: Type,
    pub(super) definitions: Vec<Definition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

impl Primitive {
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "null" => Primitive::Null,
            "boolean" => Primitive::Boolean,
            "int" => Primitive::Int,
            "long" => Primitive::Long,
            "float" => Primitive::Float,
            "double" => Primitive::Double,
            "bytes" => Primitive::Bytes,
            "string" => Primitive::String,
            _ => return None,
        })
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Primitive::Null => "null",
            Primitive::Boolean => "boolean",
            Primitive::Int => "int",
            Primitive::Long => "long",
            Primitive::Float => "float",
            Primitive::Double => "double",
            Primitive::Bytes => "bytes",
            Primitive::String => "string",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Type {
    Primitive(Primitive),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    /// Where in the schema's definitions it stands.
    Named(usize),
}

/// A type that has a name.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    /// With its namespace.
    pub(super) name: String,
    /// With theirs.
    pub(super) aliases: Vec<String>,
    pub(super) shape: Shape,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    Record(Vec<Field>),
    Enum { symbols: Vec<String>, has_default: bool },
    Fixed { size: u64 },
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) field_type: Type,
    pub(super) has_default: bool,
}

/// Reads a schema; `referenced` are the schemas that it may name, dependencies first.
pub(in super::super) fn parse(schema: &Value, referenced: &[Value]) -> Result<AvroSchema, String> {
    let mut parser = Parser::default();
    for other in referenced {
        parser.type_of(other, "")?;
    }
    let root = parser.type_of(schema, "")?;
    let schema = AvroSchema { root, definitions: parser.definitions };
    for (field_type, default, place) in &parser.defaults {
        if !schema.fits(field_type, default) {
            return Err(format!("the default {default} of {place} is not of its type"));
        }
    }
    Ok(schema)
}

impl AvroSchema {
    pub(super) fn definition(&self, index: usize) -> Option<&Definition> {
        self.definitions.get(index)
    }

    /// I2. A union's default may be of any of its branches, as Java has it.
    fn fits(&self, field_type: &Type, value: &Value) -> bool {
        match field_type {
            Type::Primitive(primitive) => match primitive {
                Primitive::Null => value.is_null(),
                Primitive::Boolean => value.is_boolean(),
                Primitive::Int => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
                Primitive::Long => value.is_i64(),
                Primitive::Float | Primitive::Double => value.is_number(),
                Primitive::Bytes | Primitive::String => value.is_string(),
            },
            Type::Array(items) => value.as_array().is_some_and(|all| all.iter().all(|item| self.fits(items, item))),
            Type::Map(values) => value.as_object().is_some_and(|all| all.values().all(|item| self.fits(values, item))),
            Type::Union(branches) => branches.iter().any(|branch| self.fits(branch, value)),
            Type::Named(index) => match self.definition(*index).map(|definition| &definition.shape) {
                Some(Shape::Enum { symbols, .. }) => {
                    value.as_str().is_some_and(|text| symbols.iter().any(|symbol| symbol == text))
                }
                Some(Shape::Fixed { .. }) => value.is_string(),
                Some(Shape::Record(fields)) => value.as_object().is_some_and(|object| {
                    fields.iter().all(|field| match object.get(&field.name) {
                        Some(value) => self.fits(&field.field_type, value),
                        None => field.has_default,
                    })
                }),
                None => false,
            },
        }
    }
}

#[derive(Default)]
struct Parser {
    definitions: Vec<Definition>,
    names: HashMap<String, usize>,
    /// Checked last: a record's own default may name what comes after it.
    defaults: Vec<(Type, Value, String)>,
}

impl Parser {
    fn type_of(&mut self, json: &Value, namespace: &str) -> Result<Type, String> {
        match json {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.object(object, namespace),
            other => Err(format!("{other} is not a type")),
        }
    }

    fn named(&self, name: &str, namespace: &str) -> Result<Type, String> {
        if let Some(primitive) = Primitive::of(name) {
            return Ok(Type::Primitive(primitive));
        }
        // A name without a namespace is one of the enclosing namespace, else of none.
        let found = self.names.get(&full_name(name, namespace)).or_else(|| self.names.get(name));
        found.map(|index| Type::Named(*index)).ok_or_else(|| format!("the type {name:?} is not defined"))
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<Type, String> {
        let mut types: Vec<Type> = Vec::new();
        for branch in branches {
            let branch = self.type_of(branch, namespace)?;
            if matches!(branch, Type::Union(_)) {
                return Err("a union stands directly in a union".to_owned());
            }
            if types.iter().any(|other| is_same_branch(other, &branch)) {
                return Err("a union has the same type twice".to_owned());
            }
            types.push(branch);
        }
        Ok(Type::Union(types))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<Type, String> {
        let inner = object.get("type").ok_or("a type has no \"type\"")?;
        let Value::String(word) = inner else { return self.type_of(inner, namespace) };
        let part = |name: &str| object.get(name).ok_or_else(|| format!("{word} has no {name:?}"));
        match word.as_str() {
            "array" => Ok(Type::Array(Box::new(self.type_of(part("items")?, namespace)?))),
            "map" => Ok(Type::Map(Box::new(self.type_of(part("values")?, namespace)?))),
            "record" | "error" | "enum" | "fixed" => self.define(word, object, namespace),
            name => self.named(name, namespace),
        }
    }

    fn define(&mut self, word: &str, object: &Map<String, Value>, namespace: &str) -> Result<Type, String> {
        let name = text(object, "name")?.ok_or_else(|| format!("{word} has no \"name\""))?;
        let name = full_name(name, text(object, "namespace")?.unwrap_or(namespace));
        check_full_name(&name)?;
        let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let aliases = names(object, "aliases")?.iter().map(|alias| full_name(alias, &namespace)).collect();
        let index = self.definitions.len();
        if self.names.insert(name.clone(), index).is_some() {
            return Err(format!("the type {name:?} is defined twice"));
        }
        // Its place is taken before its fields are read: they may name it.
        self.definitions.push(Definition { name: name.clone(), aliases, shape: Shape::Record(Vec::new()) });
        let shape = match word {
            "enum" => enumeration(object, &name)?,
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64);
                Shape::Fixed { size: size.ok_or_else(|| format!("{name} has no \"size\""))? }
            }
            _ => Shape::Record(self.fields(object, &name, &namespace)?),
        };
        if let Some(definition) = self.definitions.get_mut(index) {
            definition.shape = shape;
        }
        Ok(Type::Named(index))
    }

    fn fields(&mut self, object: &Map<String, Value>, record: &str, namespace: &str) -> Result<Vec<Field>, String> {
        let list =
            object.get("fields").and_then(Value::as_array).ok_or_else(|| format!("{record} has no \"fields\""))?;
        let mut fields: Vec<Field> = Vec::new();
        for json in list {
            let json = json.as_object().ok_or_else(|| format!("a field of {record} is no object"))?;
            let name = text(json, "name")?.ok_or_else(|| format!("a field of {record} has no \"name\""))?.to_owned();
            check_name(&name)?;
            if fields.iter().any(|field| field.name == name) {
                return Err(format!("{record} has two fields {name:?}"));
            }
            let place = format!("field {name:?} of {record}");
            let field_type = json.get("type").ok_or_else(|| format!("{place} has no \"type\""))?;
            let field_type = self.type_of(field_type, namespace).map_err(|error| format!("{place}: {error}"))?;
            if let Some(default) = json.get("default") {
                self.defaults.push((field_type.clone(), default.clone(), place));
            }
            let (aliases, has_default) = (names(json, "aliases")?, json.contains_key("default"));
            fields.push(Field { name, aliases, field_type, has_default });
        }
        Ok(fields)
    }
}

fn enumeration(object: &Map<String, Value>, name: &str) -> Result<Shape, String> {
    if !object.contains_key("symbols") {
        return Err(format!("{name} has no \"symbols\""));
    }
    let symbols = names(object, "symbols")?;
    for (index, symbol) in symbols.iter().enumerate() {
        check_name(symbol)?;
        if symbols.iter().take(index).any(|other| other == symbol) {
            return Err(format!("{name} has the symbol {symbol:?} twice"));
        }
    }
    let default = text(object, "default")?;
    if let Some(default) = default.filter(|default| !symbols.iter().any(|symbol| symbol == default)) {
        return Err(format!("the default {default:?} of {name} is none of its symbols"));
    }
    let has_default = default.is_some();
    Ok(Shape::Enum { symbols, has_default })
}

/// Two branches that a reader could not tell apart.
fn is_same_branch(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Primitive(one), Type::Primitive(other)) => one == other,
        (Type::Named(one), Type::Named(other)) => one == other,
        (Type::Array(_), Type::Array(_)) | (Type::Map(_), Type::Map(_)) => true,
        _ => false,
    }
}

pub(super) fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn check_full_name(name: &str) -> Result<(), String> {
    name.split('.').try_for_each(check_name).map_err(|_| format!("{name:?} is not a name"))
}

fn check_name(name: &str) -> Result<(), String> {
    let mut letters = name.chars();
    let begins = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let goes_on = letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if begins && goes_on { Ok(()) } else { Err(format!("{name:?} is not a name")) }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| format!("{name:?} is {value}, which is no text")),
    }
}

fn names(object: &Map<String, Value>, name: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("{name:?} is no list of texts");
    let Some(list) = object.get(name) else { return Ok(Vec::new()) };
    let list = list.as_array().ok_or_else(wrong)?;
    list.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn i1_i2_what_breaks_a_rule_is_refused() {
        let record = |fields: Value| json!({"type": "record", "name": "n.R", "fields": fields});
        let field =
            |field_type: Value, default: Value| record(json!([{"name": "f", "type": field_type, "default": default}]));
        let cases = [
            (json!("nope"), "\"nope\" is not defined"),
            (json!({"type": "nope"}), "\"nope\" is not defined"),
            (json!({"items": "int"}), "no \"type\""),
            (json!({"type": "array"}), "array has no \"items\""),
            (json!({"type": "map"}), "map has no \"values\""),
            (json!(["int", "int"]), "the same type twice"),
            (json!(["int", ["null"]]), "a union stands directly in a union"),
            (json!([{"type": "array", "items": "int"}, {"type": "array", "items": "long"}]), "the same type twice"),
            (json!({"type": "fixed", "name": "F"}), "no \"size\""),
            (json!({"type": "fixed", "name": "F", "size": -1}), "no \"size\""),
            (json!({"type": "enum", "name": "E"}), "no \"symbols\""),
            (json!({"type": "enum", "name": "E", "symbols": ["A", "A"]}), "\"A\" twice"),
            (json!({"type": "enum", "name": "E", "symbols": ["a-b"]}), "\"a-b\" is not a name"),
            (json!({"type": "enum", "name": "E", "symbols": ["A"], "default": "B"}), "none of its symbols"),
            (json!({"type": "record", "fields": []}), "no \"name\""),
            (json!({"type": "record", "name": "1R", "fields": []}), "\"1R\" is not a name"),
            (json!({"type": "record", "name": "a..R", "fields": []}), "\"a..R\" is not a name"),
            (json!({"type": "record", "name": "R"}), "no \"fields\""),
            (record(json!([{"name": "f"}])), "field \"f\" of n.R has no \"type\""),
            (record(json!([{"type": "int"}])), "has no \"name\""),
            (record(json!([{"name": "f", "type": "int"}, {"name": "f", "type": "int"}])), "two fields \"f\""),
            (record(json!([{"name": "f", "type": "S"}])), "field \"f\" of n.R: the type \"S\" is not defined"),
            (record(json!([{"name": "f", "type": {"type": "enum", "name": "R", "symbols": []}}])), "defined twice"),
            (field(json!("int"), json!("x")), "the default \"x\" of field \"f\" of n.R is not of its type"),
            (field(json!("int"), json!(2_147_483_648_i64)), "not of its type"),
            (field(json!("long"), json!(1.5)), "not of its type"),
            (field(json!(["null", "int"]), json!("x")), "not of its type"),
            (field(json!({"type": "array", "items": "int"}), json!([null])), "not of its type"),
            (field(json!({"type": "map", "values": "int"}), json!({"a": "b"})), "not of its type"),
            (field(json!({"type": "enum", "name": "E", "symbols": ["A"]}), json!("B")), "not of its type"),
            (
                field(json!({"type": "record", "name": "S", "fields": [{"name": "a", "type": "int"}]}), json!({})),
                "not of",
            ),
        ];
        for (schema, words) in cases {
            let error = parse(&schema, &[]).err().unwrap_or_else(|| panic!("{schema} was read"));
            assert!(error.contains(words), "{schema}: {error}");
        }
    }

    #[test]
    fn i1_names_are_found_where_they_are_defined() {
        let address = json!({"type": "record", "name": "shop.Address", "fields": [{"name": "zip", "type": "string"}]});
        let customer = json!({"type": "record", "name": "Customer", "namespace": "shop", "aliases": ["Client"], "fields": [
            {"name": "home", "type": "Address"},
            {"name": "work", "type": ["null", "shop.Address"], "default": null},
            {"name": "friends", "type": {"type": "array", "items": "Customer"}, "default": []},
            {"name": "tier", "type": {"type": "enum", "name": "other.Tier", "symbols": ["A", "B"]}, "default": "A"},
            {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 16}},
            {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9}, "default": "\u{0}"},
        ]});
        let schema = parse(&customer, std::slice::from_ref(&address)).unwrap();
        let seen: Vec<_> = schema.definitions.iter().map(|definition| definition.name.as_str()).collect();
        assert_eq!(seen, ["shop.Address", "shop.Customer", "other.Tier", "shop.Hash"]);
        assert_eq!(schema.definitions[1].aliases, ["shop.Client"]);
        assert!(matches!(schema.root, Type::Named(1)));
        assert!(parse(&customer, &[]).err().unwrap().contains("\"Address\" is not defined"));
    }
}
