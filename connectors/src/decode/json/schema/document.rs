//! A JSON Schema's text and those that it refers to.
//!
//! Owns [`Document`]: references are followed, combinations are taken apart, and each place tells its [`Type`].
//! - I1: a reference means a place of the schema's own text or of a text that was given with it.
//! - I2: no text makes it run without an end: chains of references and combinations are bounded.

use std::collections::HashSet;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, TimeUnit};
use serde_json::Value;
use tableflow_model::{Error, Result};

use super::timestamp;
use crate::decode::SchemaFault;
use crate::registry::ResolvedSchema;

/// How many references and combinations may lead from one to the next.
const CHAIN_MAX: usize = 64;
/// What a DECIMAL is where only its scale is known.
const PRECISION_DEFAULT: u8 = 38;

#[derive(Debug)]
pub(super) struct Document {
    /// The schema itself first, then those that it refers to, with their names.
    texts: Vec<(String, Value)>,
}

/// A place of a schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'s> {
    text: usize,
    schema: &'s Value,
}

/// A named place of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Property<'s> {
    pub name: &'s str,
    pub node: Node<'s>,
    /// Every object has it.
    pub required: bool,
}

/// What values a place allows, null aside.
#[derive(Debug)]
pub(super) enum Type<'s> {
    Scalar(DataType),
    List(Node<'s>),
    Map(Node<'s>),
    Row(Vec<Property<'s>>),
    /// No one type: why.
    Any(&'static str),
}

impl Type<'_> {
    pub fn name(&self) -> &'static str {
        match self {
            Type::Scalar(_) => "a scalar",
            Type::List(_) => "an array",
            Type::Map(_) => "an object of any keys",
            Type::Row(_) => "an object",
            Type::Any(_) => "values of several types",
        }
    }
}

const ANY: &str = "may be of any type: becomes STRING, what is no text as JSON";
const SEVERAL: &str = "may be of several types: becomes STRING, what is no text as JSON";
const TUPLE: &str = "is an array with a type for each place: becomes STRING, as JSON";

impl Document {
    pub fn parse(schema: &ResolvedSchema) -> Result<Self> {
        let mut texts = vec![(String::new(), parse(&schema.text)?)];
        for reference in &schema.references {
            let text = parse(&reference.text).map_err(|error| error.with_context("in", &reference.name))?;
            texts.push((reference.name.clone(), text));
        }
        Ok(Document { texts })
    }

    pub fn root(&self) -> Node<'_> {
        static ANYTHING: Value = Value::Bool(true);
        Node { text: 0, schema: self.texts.first().map_or(&ANYTHING, |(_, schema)| schema) }
    }

    /// The name of what a place refers to, if it does.
    pub fn definition(&self, node: Node<'_>) -> Option<String> {
        let reference = node.schema.get("$ref").and_then(Value::as_str)?;
        let (text, _) = self.texts.get(node.text)?;
        Some(if reference.starts_with('#') { format!("{text}{reference}") } else { reference.to_owned() })
    }

    /// The type of a place.
    pub fn type_of<'s>(&'s self, node: Node<'s>) -> Result<Type<'s>> {
        let mut parts = Vec::new();
        self.gather(node, &mut parts, 0)?;
        match type_names(&parts).as_slice() {
            [] => self.without_a_name(&parts),
            ["object"] => Ok(object(&parts)),
            ["array"] => Ok(array(&parts)),
            ["boolean"] => Ok(Type::Scalar(DataType::Boolean)),
            ["string"] => Ok(Type::Scalar(connect(&parts)?.unwrap_or(DataType::Utf8))),
            ["integer"] => Ok(Type::Scalar(connect(&parts)?.unwrap_or(DataType::Int64))),
            ["number"] | ["integer", "number"] => Ok(Type::Scalar(connect(&parts)?.unwrap_or(DataType::Float64))),
            _ => Ok(Type::Any(SEVERAL)),
        }
    }

    /// Whether a value of the place may be null.
    pub fn may_be_null(&self, node: Node<'_>) -> Result<bool> {
        let mut parts = Vec::new();
        self.gather(node, &mut parts, 0)?;
        let says_null = |value: &Value| match value {
            Value::String(name) => name == "null",
            Value::Array(names) => names.iter().any(|name| name.as_str() == Some("null")),
            _ => false,
        };
        let is_null = |branch: &Value| branch.get("type").is_some_and(says_null);
        let types: Vec<&Value> = parts.iter().filter_map(|part| part.schema.get("type")).collect();
        let mut branches = parts.iter().flat_map(|part| ["oneOf", "anyOf"].map(|word| part.schema.get(word))).flatten();
        let untyped = types.is_empty() && matches!(self.type_of(node)?, Type::Any(_));
        let in_a_branch = branches.any(|several| several.as_array().is_some_and(|all| all.iter().any(is_null)));
        Ok(untyped || in_a_branch || types.into_iter().any(says_null))
    }

    fn without_a_name<'s>(&'s self, parts: &[Node<'s>]) -> Result<Type<'s>> {
        let has = |word: &str| parts.iter().any(|part| part.schema.get(word).is_some());
        let symbols: Vec<&Value> =
            parts.iter().filter_map(|part| part.schema.get("enum")?.as_array()).flatten().collect();
        let is_text = !symbols.is_empty() && symbols.iter().all(|symbol| symbol.is_string() || symbol.is_null());
        let several = parts.iter().any(|part| alternatives(part.schema).is_some_and(|branches| branches.len() > 1));
        Ok(match () {
            () if has("properties") => object(parts),
            () if is_text => Type::Scalar(DataType::Utf8),
            () if several || !symbols.is_empty() => Type::Any(SEVERAL),
            () => Type::Any(ANY),
        })
    }

    /// The place itself, what it refers to, and all that must hold beside it.
    fn gather<'s>(&'s self, node: Node<'s>, parts: &mut Vec<Node<'s>>, chain: usize) -> Result<()> {
        if chain > CHAIN_MAX || parts.len() > CHAIN_MAX {
            return Err(refused("references lead from one to the next without an end"));
        }
        parts.push(node);
        if let Some(reference) = node.schema.get("$ref").and_then(Value::as_str) {
            self.gather(self.resolve(node, reference)?, parts, chain + 1)?;
        }
        for inner in node.schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.gather(Node { schema: inner, ..node }, parts, chain + 1)?;
        }
        // One alternative beside null, or alone, is as if it stood here.
        if let Some([only]) = alternatives(node.schema).as_deref() {
            self.gather(Node { schema: only, ..node }, parts, chain + 1)?;
        }
        Ok(())
    }

    fn resolve<'s>(&'s self, node: Node<'s>, reference: &str) -> Result<Node<'s>> {
        let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let text = match name {
            "" => Some(node.text),
            name => self
                .texts
                .iter()
                .position(|(known, schema)| known == name || schema.get("$id").and_then(Value::as_str) == Some(name)),
        };
        let found = text.and_then(|text| Some(Node { text, schema: self.texts.get(text)?.1.pointer(pointer)? }));
        found.ok_or_else(|| {
            SchemaFault::UnresolvedTypeRef
                .of(Error::data(format!("the JSON Schema refers to {reference}, which is not there")))
                .with_hint("register the schema with its references")
        })
    }
}

fn object<'s>(parts: &[Node<'s>]) -> Type<'s> {
    let mut members: Vec<Property<'s>> = Vec::new();
    let required: HashSet<&str> = parts
        .iter()
        .filter_map(|part| part.schema.get("required")?.as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut known = HashSet::new();
    for part in parts {
        for (name, schema) in part.schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if known.insert(name) {
                members.push(Property {
                    name,
                    node: Node { schema, ..*part },
                    required: required.contains(name.as_str()),
                });
            }
        }
    }
    if !members.is_empty() {
        // Kafka Connect says the order; others come behind it.
        members
            .sort_by_key(|member| member.node.schema.get("connect.index").and_then(Value::as_u64).unwrap_or(u64::MAX));
        return Type::Row(members);
    }
    let values = |part: &Node<'s>| {
        let schema = part.schema.get("additionalProperties")?;
        schema.is_object().then_some(Node { schema, ..*part })
    };
    parts.iter().find_map(values).map_or(Type::Any(ANY), Type::Map)
}

fn array<'s>(parts: &[Node<'s>]) -> Type<'s> {
    let items = parts.iter().find_map(|part| Some(Node { schema: part.schema.get("items")?, ..*part }));
    let is_tuple = parts.iter().any(|part| part.schema.get("prefixItems").is_some());
    match items {
        Some(items) if items.schema.is_object() && !is_tuple => Type::List(items),
        Some(_) => Type::Any(TUPLE),
        None if is_tuple => Type::Any(TUPLE),
        None => Type::Any("is an array of anything: becomes STRING, as JSON"),
    }
}

/// The alternatives of a place, null aside, if it has any.
fn alternatives(schema: &Value) -> Option<Vec<&Value>> {
    let branches = ["oneOf", "anyOf"].into_iter().find_map(|word| schema.get(word)?.as_array())?;
    let is_null = |branch: &&Value| branch.get("type").and_then(Value::as_str) == Some("null");
    Some(branches.iter().filter(|branch| !is_null(branch)).collect())
}

/// The names of the types that all parts allow, null aside.
fn type_names<'s>(parts: &[Node<'s>]) -> Vec<&'s str> {
    let mut names: Vec<&str> = Vec::new();
    for part in parts {
        match part.schema.get("type") {
            Some(Value::String(name)) => names.push(name),
            Some(Value::Array(several)) => names.extend(several.iter().filter_map(Value::as_str)),
            _ => {}
        }
    }
    names.retain(|name| *name != "null");
    names.sort_unstable();
    names.dedup();
    names
}

/// The type that Kafka Connect says it wrote.
fn connect(parts: &[Node<'_>]) -> Result<Option<DataType>> {
    let word = |key: &str| parts.iter().find_map(|part| part.schema.get(key)?.as_str());
    Ok(match (word("title"), word("connect.type")) {
        (Some("org.apache.kafka.connect.data.Date"), _) => Some(DataType::Date32),
        (Some("org.apache.kafka.connect.data.Time"), _) => Some(DataType::Time64(TimeUnit::Microsecond)),
        (Some("org.apache.kafka.connect.data.Timestamp"), _) => Some(timestamp()),
        (Some("org.apache.kafka.connect.data.Decimal"), _) => decimal(parts)?,
        (_, Some("int8" | "int16" | "int32")) => Some(DataType::Int32),
        (_, Some("int64")) => Some(DataType::Int64),
        (_, Some("float32")) => Some(DataType::Float32),
        (_, Some("float64")) => Some(DataType::Float64),
        (_, Some("bytes")) => Some(DataType::Binary),
        _ => None,
    })
}

fn decimal(parts: &[Node<'_>]) -> Result<Option<DataType>> {
    let parameter = |key: &str| {
        let found = parts.iter().find_map(|part| part.schema.get("connect.parameters")?.get(key))?;
        found.as_str().and_then(|text| text.parse().ok()).or_else(|| found.as_u64())
    };
    let scale = parameter("scale").unwrap_or(0);
    let precision = parameter("connect.decimal.precision").unwrap_or(PRECISION_DEFAULT.into());
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(digits @ 1..=DECIMAL128_MAX_PRECISION), Ok(places)) if scale <= precision => {
            Ok(Some(DataType::Decimal128(digits, places)))
        }
        _ => Err(SchemaFault::PrecisionOutOfRange
            .of(Error::data(format!("decimal({precision}, {scale}) has no type in an Iceberg table")))
            .with_hint("a DECIMAL has 1 to 38 digits, and no more of them after the point")),
    }
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| refused("it is not JSON").with_source(error))
}

fn refused(why: &str) -> Error {
    SchemaFault::InvalidSchema.of(Error::data("the schema is no JSON Schema").with_detail(why))
}
