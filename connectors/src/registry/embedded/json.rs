//! JSON Schema: whether a reader of one takes what was written by another.
//!
//! The rules are those of Confluent's registry, for the words that say what a value is. An open object, one that takes
//! properties it does not name, may have had any value there: so a property that is new is a change that breaks, and
//! one that goes is none; of an object that takes no others it is the other way around.
//! - I1: a word that is not compared, and differs, is not called compatible; nor are schemas that make more work than
//!   [`STEPS_MAX`].
//! - I2: references that lead back are compared once on each way down.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::refusal::Result;
use super::canon::{WithReferences, invalid, json_value};

const STEPS_MAX: u32 = 100_000;
const MESSAGES_MAX: usize = 20;
/// References that lead from one to the next, and schemas inside of each other.
const DEPTH_MAX: usize = 100;

/// What says nothing about values, or is where references lead to.
const SILENT: [&str; 16] = [
    "$schema",
    "$id",
    "id",
    "$comment",
    "$anchor",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "readOnly",
    "writeOnly",
    "deprecated",
    "format",
    "$ref",
];
/// What says something about values, and is not compared (I1); words of nobody's are notes.
const NOT_COMPARED: [&str; 18] = [
    "patternProperties",
    "propertyNames",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "prefixItems",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$recursiveRef",
    "not",
    "pattern",
];
/// Bounds from above: a reader's may be the same, higher, or gone. Of those from below it is the other way around.
const FROM_ABOVE: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
const FROM_BELOW: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];

static ANYTHING: Value = Value::Bool(true);
static NOTHING: Value = Value::Bool(false);

/// A schema's text and those that it refers to, by their names.
#[derive(Debug)]
pub(super) struct JsonSchema {
    texts: Vec<(String, Value)>,
}

impl JsonSchema {
    pub fn parse((schema, referenced): WithReferences<'_>) -> Result<Self> {
        let mut texts = vec![(String::new(), json_value(&schema.text)?)];
        for reference in referenced {
            let text =
                json_value(&reference.schema.text).map_err(|error| invalid(format!("{}: {error}", reference.name)))?;
            texts.push((reference.name.clone(), text));
        }
        Ok(JsonSchema { texts })
    }

    fn root(&self) -> Node<'_> {
        Node { text: 0, schema: self.texts.first().map_or(&ANYTHING, |(_, schema)| schema) }
    }

    /// Where references from here lead to; none, if nowhere.
    fn follow<'s>(&'s self, mut node: Node<'s>) -> Option<Node<'s>> {
        for _ in 0..DEPTH_MAX {
            let Some(reference) = node.schema.get("$ref").and_then(Value::as_str) else { return Some(node) };
            let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
            let is_it =
                |(known, schema): &(String, Value)| known == name || schema.get("$id").is_some_and(|id| id == name);
            let text = if name.is_empty() { node.text } else { self.texts.iter().position(is_it)? };
            node = Node { text, schema: self.texts.get(text)?.1.pointer(pointer)? };
        }
        None
    }
}

/// A schema inside of a text.
#[derive(Clone, Copy)]
struct Node<'s> {
    text: usize,
    schema: &'s Value,
}

impl<'s> Node<'s> {
    fn inside(self, schema: &'s Value) -> Self {
        Node { schema, ..self }
    }

    fn get(self, word: &str) -> Option<&'s Value> {
        self.schema.get(word)
    }

    fn list(self, word: &str) -> Vec<Self> {
        let list = self.get(word).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().map(|schema| self.inside(schema)).collect()
    }

    fn property(self, name: &str) -> Option<&'s Value> {
        self.get("properties")?.get(name)
    }

    fn required(self) -> impl Iterator<Item = &'s str> {
        self.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// Those that it says anything about.
    fn named(self) -> impl Iterator<Item = &'s str> {
        let properties = self.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
        properties.map(String::as_str).chain(self.required())
    }

    fn alternatives(self) -> Vec<Self> {
        [self.list("anyOf"), self.list("oneOf")].concat()
    }

    /// What properties that have no schema of their own are: anything, nothing, or of a schema.
    fn others(self) -> Self {
        let others = self.get("additionalProperties").unwrap_or(&ANYTHING);
        self.inside(if is_anything(others) { &ANYTHING } else { others })
    }

    /// Without a word about values.
    fn is_anything(self) -> bool {
        is_anything(self.schema)
    }

    /// The types of values it takes, if it names them; a whole number is a number too.
    fn types(self) -> Option<BTreeSet<&'s str>> {
        let mut types: BTreeSet<&str> = match self.get("type")? {
            Value::String(name) => BTreeSet::from([name.as_str()]),
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        if self.get("nullable") == Some(&ANYTHING) {
            types.insert("null");
        }
        Some(types)
    }
}

fn is_anything(schema: &Value) -> bool {
    match schema {
        Value::Bool(takes) => *takes,
        Value::Object(words) => words.keys().all(|word| SILENT.contains(&word.as_str()) && word != "$ref"),
        _ => true,
    }
}

/// What keeps `reader` from taking what `writer` allowed; nothing, if it takes all of it.
pub(super) fn incompatibilities(reader: &JsonSchema, writer: &JsonSchema) -> Vec<String> {
    let mut comparison = Comparison { reader, writer, under_way: Vec::new(), steps: 0 };
    let mut found = comparison.compare(reader.root(), writer.root(), "the schema");
    if comparison.steps > STEPS_MAX {
        return vec!["the schemas are too large to compare".to_owned()];
    }
    found.truncate(MESSAGES_MAX);
    found
}

struct Comparison<'s> {
    reader: &'s JsonSchema,
    writer: &'s JsonSchema,
    /// The pairs of schemas down to here (I2).
    under_way: Vec<(*const Value, *const Value)>,
    steps: u32,
}

impl<'s> Comparison<'s> {
    fn compare(&mut self, reader: Node<'s>, writer: Node<'s>, place: &str) -> Vec<String> {
        let (Some(reader), Some(writer)) = (self.reader.follow(reader), self.writer.follow(writer)) else {
            return vec![format!("{place} refers to what is not there")];
        };
        self.steps += 1;
        if self.steps > STEPS_MAX || self.under_way.len() > DEPTH_MAX {
            self.steps = STEPS_MAX + 1;
            return vec![String::new()];
        }
        let pair = (std::ptr::from_ref(reader.schema), std::ptr::from_ref(writer.schema));
        if reader.is_anything() || *writer.schema == NOTHING || self.under_way.contains(&pair) {
            return Vec::new();
        }
        if *reader.schema == NOTHING {
            return vec![format!("{place} takes no value any more")];
        }
        self.under_way.push(pair);
        let found = self.compare_words(reader, writer, place);
        self.under_way.pop();
        found
    }

    fn compare_words(&mut self, reader: Node<'s>, writer: Node<'s>, place: &str) -> Vec<String> {
        let alternatives = writer.alternatives();
        if reader.alternatives().is_empty() && writer.types().is_none() && !alternatives.is_empty() {
            // Whatever was written is of one of them.
            return alternatives.into_iter().flat_map(|branch| self.compare(reader, branch, place)).collect();
        }
        let mut found = self.combinations(reader, writer, place);
        found.extend(types(reader, writer, place));
        found.extend(values(reader, writer, place));
        found.extend(bounds(reader, writer, place));
        found.extend(not_compared(reader, writer, place));
        found.extend(self.objects(reader, writer, place));
        found.extend(self.lists(reader, writer, place));
        found
    }

    /// Each alternative of the writer must be read by one of the reader's; what must hold for the reader must have held
    /// before.
    fn combinations(&mut self, reader: Node<'s>, writer: Node<'s>, place: &str) -> Vec<String> {
        let mut found = Vec::new();
        let several = writer.alternatives();
        if writer.list("anyOf").len() > 1 && !reader.list("oneOf").is_empty() {
            found.push(format!("{place} was any of several, and is exactly one of them (COMBINED_TYPE_CHANGED)"));
        }
        let readers = reader.alternatives();
        if !readers.is_empty() {
            for branch in if several.is_empty() { vec![writer] } else { several } {
                if !readers.iter().any(|now| self.compare(*now, branch, place).is_empty()) {
                    found.push(format!("{place} has an alternative that none takes any more (SUM_TYPE_NARROWED)"));
                }
            }
        }
        for now in reader.list("allOf") {
            let mut held = writer.list("allOf").into_iter().chain([writer]);
            if !held.any(|then| self.compare(now, then, place).is_empty()) {
                found.push(format!("{place} must hold to more than before (PRODUCT_TYPE_EXTENDED)"));
            }
        }
        found
    }

    fn objects(&mut self, reader: Node<'s>, writer: Node<'s>, place: &str) -> Vec<String> {
        if !may_be(reader, "object") || !may_be(writer, "object") {
            return Vec::new();
        }
        let names: BTreeSet<&str> = reader.named().chain(writer.named()).collect();
        let mut found: Vec<String> = names
            .into_iter()
            .flat_map(|name| self.property(reader, writer, name, &format!("{place}.{name}")))
            .collect();
        found.extend(self.compare(reader.others(), writer.others(), &format!("another property of {place}")));
        found
    }

    fn property(&mut self, reader: Node<'s>, writer: Node<'s>, name: &str, place: &str) -> Vec<String> {
        let (now, then) = (reader.property(name), writer.property(name));
        let of = |node: Node<'s>, own: Option<&'s Value>| own.map_or_else(|| node.others(), |own| node.inside(own));
        let requires = |node: Node<'s>| node.required().any(|required| required == name);
        let mut found = self.compare(of(reader, now), of(writer, then), place);
        if !found.is_empty() && then.is_none() && writer.others().is_anything() {
            let needed = if requires(reader) { "REQUIRED" } else { "OPTIONAL" };
            let word = format!("{needed}_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL");
            found = vec![format!(
                "{place} is new, and could have had any value: the object took other properties ({word})"
            )];
        } else if !found.is_empty() && now.is_none() && *reader.others().schema == NOTHING {
            found = vec![format!(
                "{place} is gone, and the object takes no others (PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL)"
            )];
        }
        let by_pattern = [reader, writer].iter().any(|node| node.get("patternProperties").is_some());
        if by_pattern && now.is_some() != then.is_some() {
            found.push(format!("{place} may be one of \"patternProperties\", which are not compared"));
        }
        if requires(reader) && !requires(writer) && now.and_then(|now| now.get("default")).is_none() {
            let word = match then {
                Some(_) => "REQUIRED_ATTRIBUTE_ADDED",
                None if writer.others().is_anything() => "REQUIRED_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL",
                None => "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL",
            };
            found.push(format!("{place} is required, and was not, and has no default ({word})"));
        }
        found
    }

    fn lists(&mut self, reader: Node<'s>, writer: Node<'s>, place: &str) -> Vec<String> {
        if !may_be(reader, "array") || !may_be(writer, "array") {
            return Vec::new();
        }
        let item = |node: Node<'s>, index: usize| match node.get("items") {
            Some(Value::Array(items)) => {
                node.inside(items.get(index).or_else(|| node.get("additionalItems")).unwrap_or(&ANYTHING))
            }
            items => node.inside(items.unwrap_or(&ANYTHING)),
        };
        let count = |node: Node<'s>| node.get("items").and_then(Value::as_array).map_or(0, Vec::len);
        // The one behind the last is for all that follow.
        let last = count(reader).max(count(writer));
        let places = 0..=last;
        let mut found: Vec<String> = places
            .flat_map(|index| {
                self.compare(item(reader, index), item(writer, index), &format!("item {index} of {place}"))
            })
            .collect();
        if reader.get("uniqueItems") == Some(&ANYTHING) && writer.get("uniqueItems") != Some(&ANYTHING) {
            found.push(format!("items of {place} must differ, and needed not (UNIQUE_ITEMS_ADDED)"));
        }
        found
    }
}

fn may_be(node: Node<'_>, name: &str) -> bool {
    node.types().is_none_or(|types| types.contains(name))
}

fn types(reader: Node<'_>, writer: Node<'_>, place: &str) -> Option<String> {
    let (reader, writer) = (reader.types()?, writer.types());
    let Some(writer) = writer else {
        return Some(format!("{place} could have any type, and is {} (TYPE_NARROWED)", joined(&reader)));
    };
    let reads = |name: &&str| reader.contains(name) || *name == "integer" && reader.contains("number");
    let missing: BTreeSet<&str> = writer.iter().copied().filter(|name| !reads(name)).collect();
    let overlap = |name: &&str| reader.contains(name) || *name == "number" && reader.contains("integer");
    let word = if writer.iter().any(overlap) { "TYPE_NARROWED" } else { "TYPE_CHANGED" };
    (!missing.is_empty())
        .then(|| format!("{place} was {}, which {} does not read ({word})", joined(&missing), joined(&reader)))
}

fn joined(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(" or ")
}

/// The values themselves, where they are listed.
fn values(reader: Node<'_>, writer: Node<'_>, place: &str) -> Option<String> {
    let listed = |node: Node<'_>| match (node.get("enum").and_then(Value::as_array), node.get("const")) {
        (Some(values), _) => Some(values.clone()),
        (None, Some(value)) => Some(vec![value.clone()]),
        (None, None) => None,
    };
    let readers = listed(reader)?;
    let Some(writers) = listed(writer) else {
        return Some(format!("{place} could have other values than those listed"));
    };
    let missing: Vec<String> =
        writers.iter().filter(|value| !readers.contains(value)).map(ToString::to_string).collect();
    let narrowed = readers.iter().all(|value| writers.contains(value));
    let word = if narrowed { "ENUM_ARRAY_NARROWED" } else { "ENUM_ARRAY_CHANGED" };
    (!missing.is_empty()).then(|| format!("{place} could be {}, and cannot any more ({word})", missing.join(" or ")))
}

fn bounds(reader: Node<'_>, writer: Node<'_>, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut bound = |word: &str, is_wider: fn(f64, f64) -> bool| {
        let (Some(now), then) = (reader.get(word), writer.get(word)) else { return };
        let numbers = now.as_f64().zip(then.and_then(Value::as_f64));
        if Some(now) != then && !numbers.is_some_and(|(now, then)| is_wider(now, then)) {
            let code = bound_changed(word, then.is_none());
            let then = then.map_or("none".to_owned(), Value::to_string);
            found.push(format!("{word} of {place} was {then}, and is {now} ({code})"));
        }
    };
    FROM_ABOVE.iter().for_each(|word| bound(word, |now, then| now >= then));
    FROM_BELOW.iter().for_each(|word| bound(word, |now, then| now <= then));
    bound("multipleOf", |now, then| then % now == 0.0);
    found
}

/// Confluent's word for a bound that lets in less: `MAX_LENGTH_DECREASED` of `maxLength`.
fn bound_changed(word: &str, is_new: bool) -> String {
    let mut code = String::new();
    for letter in word.chars() {
        if letter.is_ascii_uppercase() {
            code.push('_');
        }
        code.push(letter.to_ascii_uppercase());
    }
    let change = match () {
        () if is_new => "ADDED",
        () if FROM_ABOVE.contains(&word) => "DECREASED",
        () if FROM_BELOW.contains(&word) => "INCREASED",
        () => "CHANGED",
    };
    format!("{code}_{change}")
}

/// I1. What goes away lets in more, but where others rest on it.
fn not_compared(reader: Node<'_>, writer: Node<'_>, place: &str) -> Vec<String> {
    let goes = |word: &str| matches!(word, "pattern" | "not") && reader.get(word).is_none();
    let differs = |word: &&&str| reader.get(word) != writer.get(word) && !goes(word);
    let changed = NOT_COMPARED.iter().filter(differs);
    changed.map(|word| format!("{word:?} of {place} changed, which is not compared")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::schema::{Schema, SchemaType};
    use super::*;

    fn parse(text: &str) -> JsonSchema {
        JsonSchema::parse((&Schema::new(SchemaType::Json, text), &[])).unwrap()
    }

    /// What was written by, what reads it, and words of what keeps it from that; by Confluent's table of rules.
    #[rustfmt::skip]
    const CASES: &[(&str, &str, &str)] = &[
        // Properties of open and of closed objects.
        (r#"{"type":"object","properties":{"a":{"type":"string"}}}"#, r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}}}"#, "any value: the object took other properties (OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL)"),
        (r#"{"type":"object","properties":{"a":{"type":"string"}}}"#, r#"{"type":"object","properties":{"a":{"type":"string"},"b":{}}}"#, ""),
        (r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}}}"#, r#"{"type":"object","properties":{"a":{"type":"string"}}}"#, ""),
        (r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#, r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},"additionalProperties":false}"#, ""),
        (r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#, r#"{"type":"object","properties":{},"additionalProperties":false}"#, "the schema.a is gone, and the object takes no others"),
        (r#"{"type":"object","properties":{},"additionalProperties":false}"#, r#"{"type":"object","properties":{"b":{"type":"integer"}},"required":["b"],"additionalProperties":false}"#, "(REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL)"),
        (r#"{"type":"object","properties":{},"additionalProperties":false}"#, r#"{"type":"object","properties":{"b":{"type":"integer","default":1}},"required":["b"],"additionalProperties":false}"#, ""),
        (r#"{"type":"object","additionalProperties":{"type":"integer"}}"#, r#"{"type":"object","properties":{"a":{"type":"number"}},"additionalProperties":{"type":"integer"}}"#, ""),
        (r#"{"type":"object","additionalProperties":{"type":"integer"}}"#, r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":{"type":"integer"}}"#, "the schema.a was integer, which string does not read (TYPE_CHANGED)"),
        (r#"{"type":"object"}"#, r#"{"type":"object","additionalProperties":false}"#, "another property of the schema takes no value"),
        (r#"{"type":"object","additionalProperties":false}"#, r#"{"type":"object"}"#, ""),
        (r#"{"type":"object","properties":{"a":{"type":"string"}}}"#, r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#, "has no default (REQUIRED_ATTRIBUTE_ADDED)"),
        (r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#, r#"{"type":"object","properties":{"a":{"type":"string"}}}"#, ""),
        // Types and values.
        (r#"{"type":"integer"}"#, r#"{"type":"number"}"#, ""),
        (r#"{"type":"number"}"#, r#"{"type":"integer"}"#, "was number, which integer does not read (TYPE_NARROWED)"),
        (r#"{"type":"string"}"#, r#"{"type":["string","null"]}"#, ""),
        (r#"{"type":["string","null"]}"#, r#"{"type":"string"}"#, "was null, which string"),
        (r#"{}"#, r#"{"type":"string"}"#, "could have any type"),
        (r#"{"type":"string"}"#, r#"{"title":"t"}"#, ""),
        (r#"{"enum":["a"]}"#, r#"{"enum":["a","b"]}"#, ""),
        (r#"{"enum":["a","b"]}"#, r#"{"enum":["a"]}"#, "could be \"b\", and cannot any more (ENUM_ARRAY_NARROWED)"),
        (r#"{"type":"string"}"#, r#"{"type":"string","enum":["a"]}"#, "other values"),
        (r#"{"const":1}"#, r#"{"enum":[1,2]}"#, ""),
        // Bounds.
        (r#"{"type":"string","maxLength":5}"#, r#"{"type":"string","maxLength":6}"#, ""),
        (r#"{"type":"string","maxLength":5}"#, r#"{"type":"string","maxLength":4}"#, "maxLength of the schema was 5, and is 4 (MAX_LENGTH_DECREASED)"),
        (r#"{"type":"string"}"#, r#"{"type":"string","minLength":1}"#, "minLength of the schema was none, and is 1 (MIN_LENGTH_ADDED)"),
        (r#"{"type":"number","minimum":1}"#, r#"{"type":"number","minimum":0.5}"#, ""),
        (r#"{"type":"number","minimum":1}"#, r#"{"type":"number","minimum":2}"#, "(MINIMUM_INCREASED)"),
        (r#"{"type":"integer","multipleOf":6}"#, r#"{"type":"integer","multipleOf":3}"#, ""),
        (r#"{"type":"integer","multipleOf":3}"#, r#"{"type":"integer","multipleOf":6}"#, "(MULTIPLE_OF_CHANGED)"),
        (r#"{"type":"string","pattern":"a"}"#, r#"{"type":"string"}"#, ""),
        (r#"{"type":"string"}"#, r#"{"type":"string","pattern":"a"}"#, "\"pattern\" of the schema changed"),
        // Lists.
        (r#"{"type":"array","items":{"type":"integer"}}"#, r#"{"type":"array","items":{"type":"number"}}"#, ""),
        (r#"{"type":"array","items":{"type":"number"}}"#, r#"{"type":"array","items":{"type":"integer"}}"#, "item 0 of the schema was number"),
        (r#"{"type":"array","items":[{"type":"number"}],"additionalItems":false}"#, r#"{"type":"array","items":[{"type":"number"},{"type":"string"}],"additionalItems":false}"#, ""),
        (r#"{"type":"array","items":[{"type":"number"}]}"#, r#"{"type":"array","items":[{"type":"number"},{"type":"string"}]}"#, "item 1 of the schema could have any type"),
        (r#"{"type":"array"}"#, r#"{"type":"array","uniqueItems":true}"#, "must differ"),
        // Combinations.
        (r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#, r#"{"oneOf":[{"type":"string"},{"type":"number"},{"type":"null"}]}"#, ""),
        (r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#, r#"{"oneOf":[{"type":"string"}]}"#, "none takes any more"),
        (r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#, r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#, ""),
        (r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#, r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#, "exactly one"),
        (r#"{"type":"string"}"#, r#"{"oneOf":[{"type":"null"},{"type":"string"}]}"#, ""),
        (r#"{"oneOf":[{"type":"null"},{"type":"string"}]}"#, r#"{"type":["string","null"]}"#, ""),
        (r#"{"oneOf":[{"type":"null"},{"type":"string"}]}"#, r#"{"type":"string"}"#, "was null, which string"),
        (r#"{"allOf":[{"type":"string"},{"maxLength":3}]}"#, r#"{"allOf":[{"type":"string"}]}"#, ""),
        (r#"{"allOf":[{"type":"string"}]}"#, r#"{"allOf":[{"type":"string"},{"maxLength":3}]}"#, "must hold to more"),
        // References, also to itself; words that are not compared.
        (r##"{"$ref":"#/definitions/a","definitions":{"a":{"type":"integer"}}}"##, r##"{"$ref":"#/$defs/b","$defs":{"b":{"type":"number"}}}"##, ""),
        (r##"{"type":"object","properties":{"next":{"$ref":"#"}},"additionalProperties":false}"##, r##"{"type":"object","properties":{"next":{"$ref":"#"},"x":{"type":"string"}},"additionalProperties":false}"##, ""),
        (r##"{"$ref":"#/nowhere"}"##, r#"{"type":"string"}"#, "refers to what is not there"),
        (r#"{"type":"object","patternProperties":{"^x":{"type":"integer"}},"additionalProperties":false}"#, r#"{"type":"object","properties":{"xa":{"type":"string"}},"patternProperties":{"^x":{"type":"integer"}},"additionalProperties":false}"#, "patternProperties"),
        (r#"true"#, r#"false"#, "takes no value"),
        (r#"false"#, r#"{"type":"string"}"#, ""),
        (r#"{"type":"string","connect.index":1,"title":"a"}"#, r#"{"type":"string","connect.index":2,"description":"b"}"#, ""),
    ];

    #[test]
    fn what_reads_what() {
        for (writer, reader, expected) in CASES {
            let found = incompatibilities(&parse(reader), &parse(writer));
            assert_eq!(found.is_empty(), expected.is_empty(), "{writer} -> {reader}: {found:?}");
            assert!(
                expected.is_empty() || found.iter().any(|message| message.contains(expected)),
                "{reader}: {found:?}"
            );
            if !writer.contains("nowhere") {
                assert_eq!(incompatibilities(&parse(writer), &parse(writer)), Vec::<String>::new(), "{writer}");
            }
        }
    }

    #[test]
    fn i1_schemas_that_double_are_not_compared_for_ever() {
        let level = |n: u32| {
            format!(
                r##""L{n}":{{"type":"object","properties":{{"a":{{"$ref":"#/$defs/L{0}"}},"b":{{"$ref":"#/$defs/L{0}"}}}}}}"##,
                n - 1
            )
        };
        let levels: Vec<String> = (1..50).map(level).collect();
        let schema = |leaf: &str| {
            format!(r##"{{"$ref":"#/$defs/L49","$defs":{{"L0":{{"type":"{leaf}"}},{}}}}}"##, levels.join(","))
        };
        let found = incompatibilities(&parse(&schema("number")), &parse(&schema("integer")));
        assert_eq!(found, ["the schemas are too large to compare"]);
    }
}
