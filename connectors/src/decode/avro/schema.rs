//! An Avro schema as its text says, names resolved.
//!
//! Owns the reading of schemas. What a type becomes in a table is for `bind`.
//! - I1: a name means the same as in Avro: one with points is whole, another is of the namespace around it.
//! - I2: a definition that is not as Avro wants it is refused with the place; what Avro does not know is passed over.
//! - I3: no text makes it panic: the depth of the JSON is bounded by serde_json, definitions are never followed.
//!
//! The schema parsers of apache-avro and arrow-avro were looked at: the first drops logical types that
//! it does not know, the second does not show what it parsed.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tableflow_model::{Error, Result};

use crate::decode::SchemaFault;
use crate::registry::ResolvedSchema;

const CONNECT_ENTRY: &str = "io.confluent.connect.avro.MapEntry";

#[derive(Debug)]
pub(super) struct Schema {
    pub root: Type,
    named: HashMap<String, Named>,
}

#[derive(Clone, Debug)]
pub(super) enum Type {
    Null,
    Boolean,
    Int(Option<Logical>),
    Long(Option<Logical>),
    Float(Option<Logical>),
    Double(Option<Logical>),
    Bytes(Option<Logical>),
    Text(Option<Logical>),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    Reference(Reference),
}

/// What a logical type says; what it may say is for those who use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logical {
    pub name: String,
    pub precision: Option<u64>,
    pub scale: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Reference {
    name: String,
    namespace: Option<String>,
}

/// A definition with a name.
#[derive(Debug)]
pub(super) struct Named {
    pub full_name: String,
    /// Other names, whole.
    pub aliases: Vec<String>,
    /// An entry of a map, as Kafka Connect writes maps whose keys are not text.
    pub is_entry: bool,
    pub form: Form,
}

#[derive(Debug)]
pub(super) enum Form {
    Record(Vec<Member>),
    Enum(Arc<[Box<str>]>),
    Fixed { size: usize, logical: Option<Logical> },
}

#[derive(Debug)]
pub(super) struct Member {
    pub name: String,
    pub aliases: Vec<String>,
    pub member_type: Type,
}

impl Schema {
    pub fn parse(text: &ResolvedSchema) -> Result<Self> {
        let mut parser = Parser::default();
        for reference in &text.references {
            parser.document(&reference.text).map_err(|error| error.with_context("in", &reference.name))?;
        }
        let root = parser.document(&text.text)?;
        Ok(Schema { root, named: parser.named })
    }

    fn is_of_records(&self, avro: &Type) -> bool {
        match avro {
            Type::Reference(reference) => {
                self.named(reference).is_ok_and(|named| matches!(named.form, Form::Record(_)))
            }
            Type::Union(branches) => branches.iter().any(|branch| self.is_of_records(branch)),
            _ => false,
        }
    }

    /// The definition that a name means.
    pub fn named(&self, reference: &Reference) -> Result<&Named> {
        let within = reference.namespace.as_ref().map(|namespace| format!("{namespace}.{}", reference.name));
        let found = within.and_then(|name| self.named.get(&name)).or_else(|| self.named.get(&reference.name));
        found.ok_or_else(|| {
            SchemaFault::UnresolvedTypeRef
                .of(Error::data(format!("the Avro schema refers to {}, which is not defined", reference.name)))
                .with_hint("register the schema with its references")
        })
    }
}

impl Reference {
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The full names of the records that a schema describes.
pub(in crate::decode) enum RecordNames {
    One(String),
    /// Of each branch of a union, in their order.
    Union(Vec<std::result::Result<String, NoRecord>>),
}

/// A branch of a union that is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode) enum NoRecord {
    Null,
    AnotherType,
}

pub(in crate::decode) fn record_names(text: &ResolvedSchema) -> Result<RecordNames> {
    let schema = Schema::parse(text)?;
    if let Type::Union(branches) = &schema.root {
        let names = branch_records(&schema, branches)?.into_iter().zip(branches);
        let named: Vec<_> = names
            .map(|(name, branch)| match (name, branch) {
                (Some(name), _) => Ok(name.to_owned()),
                (None, Type::Null) => Err(NoRecord::Null),
                (None, _) => Err(NoRecord::AnotherType),
            })
            .collect();
        if named.iter().any(Result::is_ok) {
            return Ok(RecordNames::Union(named));
        }
    }
    let only = branch_records(&schema, std::slice::from_ref(&schema.root))?;
    match only.as_slice() {
        [Some(name)] => Ok(RecordNames::One((*name).to_owned())),
        _ => Err(SchemaFault::NotARecord.of(Error::data("the schema is not of a record type")).with_hint(
            "records have a name where each is written with a schema of its own record type, or of a union of them",
        )),
    }
}

/// Of each type the full name, where it is a record.
pub(super) fn branch_records<'s>(schema: &'s Schema, branches: &'s [Type]) -> Result<Vec<Option<&'s str>>> {
    let name = |branch: &'s Type| match branch {
        Type::Reference(reference) => match schema.named(reference)? {
            Named { full_name, form: Form::Record(_), .. } => Ok(Some(full_name.as_str())),
            _ => Ok(None),
        },
        _ => Ok(None),
    };
    branches.iter().map(name).collect()
}

/// A schema that has a row: that of anything but a record becomes one of a record with one field of this name, which is
/// written with the same bytes.
pub fn in_a_record(text: &ResolvedSchema, field: &str) -> Result<ResolvedSchema> {
    let schema = Schema::parse(text)?;
    if schema.is_of_records(&schema.root) {
        return Ok(text.clone());
    }
    // As the parser reads it: a schema that is only a name is mostly written without quotes.
    let inner = serde_json::from_str(&text.text).unwrap_or_else(|_| Value::from(text.text.trim()));
    let record =
        json!({"type": "record", "name": format!("tableflow_{field}"), "fields": [{"name": field, "type": inner}]});
    Ok(ResolvedSchema { text: record.to_string(), ..text.clone() })
}

/// A name without its namespace.
pub(super) fn short(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, short)| short)
}

#[derive(Default)]
struct Parser {
    named: HashMap<String, Named>,
}

impl Parser {
    fn document(&mut self, text: &str) -> Result<Type> {
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            // A schema that is only a name is mostly written without quotes.
            Err(_) if is_name(text.trim()) => Value::from(text.trim()),
            Err(error) => return Err(refused("it is not JSON").with_source(error)),
        };
        self.parse(&value, None)
    }

    fn parse(&mut self, value: &Value, namespace: Option<&str>) -> Result<Type> {
        match value {
            Value::String(name) => Ok(primitive(name, None).unwrap_or_else(|| reference(name, namespace))),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.parse(branch, namespace));
                Ok(Type::Union(branches.collect::<Result<_>>()?))
            }
            Value::Object(object) => self.object(object, namespace),
            other => Err(refused(format!("{other} is no type"))),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: Option<&str>) -> Result<Type> {
        let word = match object.get("type") {
            Some(Value::String(word)) => word.as_str(),
            Some(inner) => return self.parse(inner, namespace),
            None => return Err(refused("a type has no \"type\"")),
        };
        match word {
            "array" => Ok(Type::Array(Box::new(self.part(object, "items", namespace)?))),
            "map" => Ok(Type::Map(Box::new(self.part(object, "values", namespace)?))),
            "record" | "error" | "enum" | "fixed" => self.definition(word, object, namespace),
            _ => Ok(primitive(word, logical(object)).unwrap_or_else(|| reference(word, namespace))),
        }
    }

    fn part(&mut self, object: &Map<String, Value>, key: &str, namespace: Option<&str>) -> Result<Type> {
        let value = object.get(key).ok_or_else(|| refused(format!("a type has no {key:?}")))?;
        self.parse(value, namespace)
    }

    fn definition(&mut self, word: &str, object: &Map<String, Value>, around: Option<&str>) -> Result<Type> {
        let name = text(object, "name").ok_or_else(|| refused(format!("a type {word} has no name")))?;
        let full_name = match (name.contains('.'), text(object, "namespace").or(around)) {
            (false, Some(namespace)) if !namespace.is_empty() => format!("{namespace}.{name}"),
            _ => name.to_owned(),
        };
        let namespace = full_name.rsplit_once('.').map(|(namespace, _)| namespace.to_owned());
        let form = match word {
            "enum" => Form::Enum(symbols(object, &full_name)?),
            "fixed" => Form::Fixed { size: size(object, &full_name)?, logical: logical(object) },
            _ => Form::Record(self.members(object, &full_name, namespace.as_deref())?),
        };
        let aliases = names(object, "aliases").into_iter().map(|alias| match &namespace {
            Some(namespace) if !alias.contains('.') => format!("{namespace}.{alias}"),
            _ => alias,
        });
        let is_entry = full_name == CONNECT_ENTRY || text(object, "connect.internal.type") == Some("MapEntry");
        let named = Named { full_name: full_name.clone(), aliases: aliases.collect(), is_entry, form };
        if self.named.insert(full_name.clone(), named).is_some() {
            return Err(refused(format!("{full_name} is defined twice")));
        }
        Ok(Type::Reference(Reference { name: full_name, namespace: None }))
    }

    fn members(&mut self, object: &Map<String, Value>, record: &str, namespace: Option<&str>) -> Result<Vec<Member>> {
        let Some(Value::Array(fields)) = object.get("fields") else {
            return Err(refused(format!("record {record} has no fields")));
        };
        fields.iter().map(|field| self.member(field, record, namespace)).collect()
    }

    fn member(&mut self, field: &Value, record: &str, namespace: Option<&str>) -> Result<Member> {
        let field = field.as_object().ok_or_else(|| refused(format!("a field of {record} is no object")))?;
        let name = text(field, "name").ok_or_else(|| refused(format!("a field of {record} has no name")))?;
        let within = |error: Error| error.with_context("field", format!("{record}.{name}"));
        let value = field.get("type").ok_or_else(|| within(refused("it has no type")))?;
        let member_type = self.parse(value, namespace).map_err(within)?;
        Ok(Member { name: name.to_owned(), aliases: names(field, "aliases"), member_type })
    }
}

fn primitive(word: &str, logical: Option<Logical>) -> Option<Type> {
    Some(match word {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int(logical),
        "long" => Type::Long(logical),
        "float" => Type::Float(logical),
        "double" => Type::Double(logical),
        "bytes" => Type::Bytes(logical),
        "string" => Type::Text(logical),
        _ => return None,
    })
}

fn reference(name: &str, namespace: Option<&str>) -> Type {
    let namespace = namespace.filter(|_| !name.contains('.')).map(str::to_owned);
    Type::Reference(Reference { name: name.to_owned(), namespace })
}

fn logical(object: &Map<String, Value>) -> Option<Logical> {
    let number = |key: &str| object.get(key).and_then(Value::as_u64);
    let name = text(object, "logicalType")?.to_owned();
    Some(Logical { name, precision: number("precision"), scale: number("scale") })
}

fn symbols(object: &Map<String, Value>, name: &str) -> Result<Arc<[Box<str>]>> {
    let Some(Value::Array(symbols)) = object.get("symbols") else {
        return Err(refused(format!("enum {name} has no symbols")));
    };
    let symbols = symbols.iter().map(|symbol| symbol.as_str().map(Box::from));
    symbols.collect::<Option<_>>().ok_or_else(|| refused(format!("a symbol of enum {name} is no text")))
}

fn size(object: &Map<String, Value>, name: &str) -> Result<usize> {
    let size = object.get("size").and_then(Value::as_u64).and_then(|size| u32::try_from(size).ok());
    Ok(size.ok_or_else(|| refused(format!("fixed {name} has no size")))? as usize)
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

fn names(object: &Map<String, Value>, key: &str) -> Vec<String> {
    let names = object.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

fn refused(why: impl Into<String>) -> Error {
    SchemaFault::InvalidSchema.of(Error::data("the schema is no Avro schema").with_detail(why))
}
