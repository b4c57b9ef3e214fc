//! Whether a reader of one Avro schema reads what a writer of another one wrote.
//!
//! The rules are those of the specification's schema resolution, as Java's `SchemaCompatibility` checks them: logical
//! types do not count, names of types are compared without their namespace, a reader's aliases count.
//! What is found ends with the word that Java's check has for it.
//! - I1: types that contain themselves are compared once on each way down; an answer is never kept for another way,
//!   where it might rest on an assumption that did not hold.
//! - I2: the work is bounded: schemas that make more of it than [`STEPS_MAX`] are not called compatible.

use super::{AvroSchema, Definition, Field, Primitive, Shape, Type};

/// A thousand fields of a thousand branches each.
const STEPS_MAX: u32 = 1_000_000;

/// What is wrong with two schemas, for people.
const MESSAGES_MAX: usize = 20;

/// What keeps `reader` from reading what `writer` wrote; nothing, if it reads all of it.
pub(in super::super) fn incompatibilities(reader: &AvroSchema, writer: &AvroSchema) -> Vec<String> {
    let mut comparison = Comparison { reader, writer, under_way: Vec::new(), steps: 0 };
    let mut found = comparison.compare(&reader.root, &writer.root, "the schema");
    if comparison.steps > STEPS_MAX {
        return vec!["the schemas are too large to compare".to_owned()];
    }
    found.truncate(MESSAGES_MAX);
    found
}

struct Comparison<'a> {
    reader: &'a AvroSchema,
    writer: &'a AvroSchema,
    /// The pairs of definitions from the root down to here (I1).
    under_way: Vec<(usize, usize)>,
    steps: u32,
}

impl<'a> Comparison<'a> {
    fn compare(&mut self, reader: &Type, writer: &Type, place: &str) -> Vec<String> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return vec![String::new()];
        }
        match (reader, writer) {
            // Whatever was written must be readable.
            (_, Type::Union(branches)) => {
                branches.iter().flat_map(|branch| self.compare(reader, branch, place)).collect()
            }
            (Type::Union(branches), _) => {
                if branches.iter().any(|branch| self.compare(branch, writer, place).is_empty()) {
                    return Vec::new();
                }
                vec![format!(
                    "{place} was {}, which no branch of the union reads (MISSING_UNION_BRANCH)",
                    self.name(self.writer, writer)
                )]
            }
            (Type::Primitive(to), Type::Primitive(from)) if reads(*to, *from) => Vec::new(),
            (Type::Array(reader), Type::Array(writer)) => self.compare(reader, writer, &format!("an item of {place}")),
            (Type::Map(reader), Type::Map(writer)) => self.compare(reader, writer, &format!("a value of {place}")),
            (Type::Named(to), Type::Named(from)) => self.compare_named(*to, *from, place),
            _ => vec![self.mismatch(reader, writer, place)],
        }
    }

    fn mismatch(&self, reader: &Type, writer: &Type, place: &str) -> String {
        format!(
            "{place} was {}, which {} does not read (TYPE_MISMATCH)",
            self.name(self.writer, writer),
            self.name(self.reader, reader)
        )
    }

    fn compare_named(&mut self, to: usize, from: usize, place: &str) -> Vec<String> {
        if self.under_way.contains(&(to, from)) {
            return Vec::new();
        }
        let (readers, writers): (&'a AvroSchema, &'a AvroSchema) = (self.reader, self.writer);
        let (Some(reader), Some(writer)) = (readers.definition(to), writers.definition(from)) else {
            return Vec::new();
        };
        if !has_name_of(reader, writer) {
            return vec![format!("{place} was {}, and is {} (NAME_MISMATCH)", writer.name, reader.name)];
        }
        match (&reader.shape, &writer.shape) {
            (Shape::Record(readers), Shape::Record(writers)) => {
                self.under_way.push((to, from));
                let found = readers.iter().flat_map(|field| self.compare_field(field, writers, &reader.name)).collect();
                self.under_way.pop();
                found
            }
            (Shape::Enum { symbols: readers, has_default }, Shape::Enum { symbols: writers, .. }) => {
                let missing: Vec<&str> =
                    writers.iter().filter(|symbol| !readers.contains(symbol)).map(String::as_str).collect();
                if missing.is_empty() || *has_default {
                    return Vec::new();
                }
                vec![format!(
                    "{} has no symbol {}, and no default (MISSING_ENUM_SYMBOLS)",
                    reader.name,
                    missing.join(", ")
                )]
            }
            (Shape::Fixed { size: to }, Shape::Fixed { size: from }) if to == from => Vec::new(),
            (Shape::Fixed { size: to }, Shape::Fixed { size: from }) => {
                vec![format!("{} had {from} bytes, and has {to} (FIXED_SIZE_MISMATCH)", reader.name)]
            }
            _ => vec![self.mismatch(&Type::Named(to), &Type::Named(from), place)],
        }
    }

    fn compare_field(&mut self, field: &Field, writers: &[Field], record: &str) -> Vec<String> {
        let names = || std::iter::once(&field.name).chain(&field.aliases);
        let place = format!("field {:?} of {record}", field.name);
        match names().find_map(|name| writers.iter().find(|writer| writer.name == *name)) {
            Some(writer) => self.compare(&field.field_type, &writer.field_type, &place),
            None if field.has_default => Vec::new(),
            None => vec![format!("{place} was not there, and has no default (READER_FIELD_MISSING_DEFAULT_VALUE)")],
        }
    }

    fn name(&self, schema: &AvroSchema, of: &Type) -> String {
        match of {
            Type::Primitive(primitive) => primitive.word().to_owned(),
            Type::Array(_) => "an array".to_owned(),
            Type::Map(_) => "a map".to_owned(),
            Type::Union(_) => "a union".to_owned(),
            Type::Named(index) => schema.definition(*index).map(|it| it.name.clone()).unwrap_or_default(),
        }
    }
}

/// Numbers widen, texts and bytes are each other's.
fn reads(to: Primitive, from: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    to == from
        || matches!(
            (from, to),
            (Int, Long | Float | Double) | (Long, Float | Double) | (Float, Double) | (String, Bytes) | (Bytes, String)
        )
}

fn has_name_of(reader: &Definition, writer: &Definition) -> bool {
    let last = |name: &'_ str| name.rsplit_once('.').map_or(name.to_owned(), |(_, last)| last.to_owned());
    last(&reader.name) == last(&writer.name) || reader.aliases.contains(&writer.name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::parse;
    use super::*;

    fn found(reader: &Value, writer: &Value) -> Vec<String> {
        incompatibilities(&parse(reader, &[]).unwrap(), &parse(writer, &[]).unwrap())
    }

    fn record(fields: Value) -> Value {
        json!({"type": "record", "name": "n.R", "fields": fields})
    }

    /// Expectations by the specification, section Schema Resolution.
    #[test]
    fn what_reads_what() {
        let symbols = |symbols: Value| json!({"type": "enum", "name": "E", "symbols": symbols});
        let fixed = |size: u32| json!({"type": "fixed", "name": "F", "size": size});
        let list = |items: Value| json!({"type": "array", "items": items});
        let map = |values: Value| json!({"type": "map", "values": values});
        let a = json!({"name": "a", "type": "int"});
        let b = json!({"name": "b", "type": "int", "default": 0});
        let cases: Vec<(Value, Value, bool)> = vec![
            (json!("long"), json!("int"), true),
            (json!("int"), json!("long"), false),
            (json!("double"), json!("long"), true),
            (json!("float"), json!("double"), false),
            (json!("float"), json!("long"), true),
            (json!("bytes"), json!("string"), true),
            (json!("string"), json!("bytes"), true),
            (json!("string"), json!("int"), false),
            (json!({"type": "long", "logicalType": "timestamp-millis"}), json!("long"), true),
            (list(json!("long")), list(json!("int")), true),
            (list(json!("int")), list(json!("string")), false),
            (map(json!("long")), map(json!("int")), true),
            (map(json!("int")), list(json!("int")), false),
            (json!(["null", "long"]), json!("int"), true),
            (json!(["null", "string"]), json!("int"), false),
            (json!("int"), json!(["int"]), true),
            (json!("int"), json!(["null", "int"]), false),
            (json!(["string", "null", "long"]), json!(["null", "int"]), true),
            (json!(["null"]), json!(["null", "int"]), false),
            (symbols(json!(["A", "B"])), symbols(json!(["A"])), true),
            (symbols(json!(["A"])), symbols(json!(["A", "B"])), false),
            (json!({"type": "enum", "name": "E", "symbols": ["A"], "default": "A"}), symbols(json!(["A", "B"])), true),
            (fixed(4), fixed(4), true),
            (fixed(4), fixed(5), false),
            (record(json!([a, b])), record(json!([a])), true),
            (record(json!([a, {"name": "b", "type": "int"}])), record(json!([a])), false),
            (record(json!([a])), record(json!([a, b])), true),
            (record(json!([{"name": "x", "aliases": ["a"], "type": "long"}])), record(json!([a])), true),
            (record(json!([{"name": "a", "type": "string"}])), record(json!([a])), false),
            // Names of types: the namespace does not count, aliases do.
            (json!({"type": "record", "name": "m.R", "fields": []}), record(json!([])), true),
            (json!({"type": "record", "name": "n.S", "fields": []}), record(json!([])), false),
            (json!({"type": "record", "name": "n.S", "aliases": ["R"], "fields": []}), record(json!([])), true),
            (json!({"type": "record", "name": "n.S", "aliases": ["m.R"], "fields": []}), record(json!([])), false),
        ];
        for (reader, writer, expected) in cases {
            let found = found(&reader, &writer);
            assert_eq!(found.is_empty(), expected, "{reader} reads {writer}: {found:?}");
        }
    }

    /// The words of Java's `SchemaIncompatibilityType`.
    #[test]
    fn what_is_wrong_has_javas_word() {
        let of = |name: &str, word: &str, value: Value| json!({"type": name, "name": "N", word: value});
        for (reader, writer, word) in [
            (json!("int"), json!("string"), "TYPE_MISMATCH"),
            (json!(["null", "string"]), json!("int"), "MISSING_UNION_BRANCH"),
            (of("enum", "symbols", json!(["A"])), of("enum", "symbols", json!(["B"])), "MISSING_ENUM_SYMBOLS"),
            (of("fixed", "size", json!(4)), of("fixed", "size", json!(5)), "FIXED_SIZE_MISMATCH"),
            (of("record", "fields", json!([])), record(json!([])), "NAME_MISMATCH"),
            (record(json!([{"name": "a", "type": "int"}])), record(json!([])), "READER_FIELD_MISSING_DEFAULT_VALUE"),
        ] {
            let found = found(&reader, &writer);
            assert!(
                found.iter().all(|message| message.ends_with(&format!(" ({word})"))) && found.len() == 1,
                "{found:?}"
            );
        }
    }

    #[test]
    fn i1_an_answer_is_not_kept_for_another_way() {
        let inner = |kind: &str| json!({"type": "record", "name": "I", "fields": [{"name": "v", "type": kind}]});
        let twice = |kind: &str| {
            record(json!([
                {"name": "one", "type": [inner(kind), "null"]},
                {"name": "two", "type": "I"},
                {"name": "next", "type": ["null", "R"], "default": null},
            ]))
        };
        assert_eq!(found(&twice("long"), &twice("int")), Vec::<String>::new());
        assert_eq!(
            found(&twice("int"), &twice("string")),
            [
                "field \"one\" of n.R was n.I, which no branch of the union reads (MISSING_UNION_BRANCH)",
                "field \"v\" of n.I was string, which int does not read (TYPE_MISMATCH)",
            ]
        );
    }

    #[test]
    fn i2_schemas_that_make_endless_work_are_not_called_compatible() {
        // Each record has two fields of the next one: 2 to the power of 40 ways down.
        let chain = |last: &str| {
            (0..40).rev().fold(json!(last), |inner, number| {
                let fields = json!([{"name": "a", "type": inner}, {"name": "b", "type": if number == 39 { json!(last) } else { json!(format!("R{}", number + 1)) }}]);
                json!({"type": "record", "name": format!("R{number}"), "fields": fields})
            })
        };
        assert_eq!(found(&chain("int"), &chain("int")), ["the schemas are too large to compare"]);
    }
}
