//! Protobuf schemas: whether they compile, and whether one reads what another wrote.
//!
//! The rules of compatibility are those of Confluent's registry: a reader skips fields that it does not know and fills
//! in those that are missing, so most changes are fine; what is not is a type of another encoding at the same number, a
//! message that is gone, a required field that comes or goes, and a oneof that takes in what could stand beside each
//! other. What is found ends with Confluent's word for it.
//! - I1: messages that contain each other are compared once a pair; what was found of a pair counts wherever it is met.
//! - I2: names of fields do not count, their numbers do; the package counts, and so do the names of messages.
//!
//! `decode::protobuf` compiles the texts, with the same imports as for records.

use std::collections::{BTreeMap, HashSet};

use prost_reflect::{Cardinality, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, OneofDescriptor};

use super::super::refusal::Result;
use super::super::resolve::{NamedSchema, ResolvedSchema};
use super::super::schema::SchemaType;
use super::canon::{WithReferences, invalid};
use crate::decode::compile_protobuf;

/// What is wrong with two schemas, for people.
const MESSAGES_MAX: usize = 20;

pub(super) fn parse((schema, referenced): WithReferences<'_>) -> Result<FileDescriptor> {
    let references = referenced
        .iter()
        .map(|referenced| NamedSchema { name: referenced.name.clone(), text: referenced.schema.text.clone() })
        .collect();
    let resolved = ResolvedSchema { schema_type: SchemaType::Protobuf, text: schema.text.clone(), references };
    compile_protobuf(&resolved).map_err(|error| invalid(error.detail().unwrap_or_else(|| error.message()).to_owned()))
}

/// What keeps `reader` from reading what `writer` wrote.
pub(super) fn incompatibilities(reader: &FileDescriptor, writer: &FileDescriptor) -> Vec<String> {
    let mut comparison = Comparison::default();
    if reader.package_name() != writer.package_name() {
        let (was, is) = (writer.package_name(), reader.package_name());
        comparison.say(format!("the package was {was:?}, and is {is:?} (PACKAGE_CHANGED)"));
    }
    comparison.messages(reader.messages(), writer.messages());
    comparison.found
}

#[derive(Default)]
struct Comparison {
    /// The pairs that were met (I1).
    met: HashSet<(String, String)>,
    found: Vec<String>,
}

impl Comparison {
    fn say(&mut self, message: String) {
        if self.found.len() < MESSAGES_MAX {
            self.found.push(message);
        }
    }

    /// Messages of a file, or inside of a message; those that are new are no matter.
    fn messages(
        &mut self,
        readers: impl Iterator<Item = MessageDescriptor>,
        writers: impl Iterator<Item = MessageDescriptor>,
    ) {
        let readers: BTreeMap<String, _> = readers.map(|message| (message.name().to_owned(), message)).collect();
        for writer in writers.filter(|writer| !writer.is_map_entry()) {
            match readers.get(writer.name()) {
                Some(reader) => self.message(reader, &writer),
                None => self.say(format!("message {} is gone (MESSAGE_REMOVED)", writer.full_name())),
            }
        }
    }

    fn message(&mut self, reader: &MessageDescriptor, writer: &MessageDescriptor) {
        if !self.met.insert((reader.full_name().to_owned(), writer.full_name().to_owned())) {
            return;
        }
        for oneof in reader.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            self.oneof(&oneof, writer);
        }
        for field in writer.fields() {
            match reader.get_field(field.number()) {
                Some(now) => self.field(&now, &field),
                None if field.is_required() => {
                    self.say(format!("{}, which is required, is gone (REQUIRED_FIELD_REMOVED)", place(&field)))
                }
                None if stays_without(&field, reader) => {
                    self.say(format!("{} is gone from its oneof (ONEOF_FIELD_REMOVED)", place(&field)));
                }
                None => {}
            }
        }
        for field in reader.fields().filter(|field| writer.get_field(field.number()).is_none()) {
            if field.is_required() {
                self.say(format!("{} is required, and was not there (REQUIRED_FIELD_ADDED)", place(&field)));
            }
        }
        self.messages(reader.child_messages(), writer.child_messages());
    }

    /// Of what a oneof holds only one is read: fields that could stand beside each other would be lost.
    fn oneof(&mut self, oneof: &OneofDescriptor, writer: &MessageDescriptor) {
        let before: Vec<_> = oneof.fields().filter_map(|field| writer.get_field(field.number())).collect();
        let moved = before.iter().filter(|field| oneof_of(field).is_none()).count();
        if moved > 1 || moved == 1 && before.len() > 1 {
            let word = if moved > 1 { "MULTIPLE_FIELDS_MOVED_TO_ONEOF" } else { "FIELD_MOVED_TO_EXISTING_ONEOF" };
            let oneof = oneof.full_name();
            self.say(format!("oneof {oneof} takes in a field that could stand beside its others ({word})"));
        }
    }

    fn field(&mut self, reader: &FieldDescriptor, writer: &FieldDescriptor) {
        if reader.is_map() != writer.is_map() {
            return self.say(changed(reader, writer));
        }
        if let (true, Kind::Message(now), Kind::Message(then)) = (reader.is_map(), reader.kind(), writer.kind()) {
            self.kind(&now.map_entry_key_field(), &then.map_entry_key_field());
            return self.kind(&now.map_entry_value_field(), &then.map_entry_value_field());
        }
        let repeated = |field: &FieldDescriptor| field.cardinality() == Cardinality::Repeated;
        let is_number = encoding(&reader.kind()).is_some_and(|encoding| encoding != Encoding::Bytes);
        if repeated(reader) != repeated(writer) && is_number {
            return self.say(format!(
                "{} was {}, and is not (FIELD_NUMERIC_LABEL_CHANGED)",
                place(writer),
                label(repeated(writer))
            ));
        }
        self.kind(reader, writer);
    }

    fn kind(&mut self, reader: &FieldDescriptor, writer: &FieldDescriptor) {
        match (reader.kind(), writer.kind()) {
            (Kind::Message(now), Kind::Message(then)) => {
                if local_name(&now) != local_name(&then) {
                    return self.say(changed(reader, writer));
                }
                self.message(&now, &then);
            }
            (now, then) if encoding(&now).is_some() && encoding(&now) == encoding(&then) => {}
            _ => self.say(changed(reader, writer)),
        }
    }
}

/// What of a oneof is gone while others of it are there: that one of them was set would be read as none.
fn stays_without(field: &FieldDescriptor, reader: &MessageDescriptor) -> bool {
    oneof_of(field).is_some_and(|oneof| reader.oneofs().any(|now| !now.is_synthetic() && now.name() == oneof.name()))
}

fn oneof_of(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field.containing_oneof().filter(|oneof| !oneof.is_synthetic())
}

/// How scalars are written: those of one encoding read each other's values, as far as they fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Number,
    SignedNumber,
    Bytes,
    Fixed32,
    Fixed64,
    Float,
    Double,
}

fn encoding(kind: &Kind) -> Option<Encoding> {
    Some(match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => Encoding::Number,
        Kind::Sint32 | Kind::Sint64 => Encoding::SignedNumber,
        Kind::String | Kind::Bytes => Encoding::Bytes,
        Kind::Fixed32 | Kind::Sfixed32 => Encoding::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 => Encoding::Fixed64,
        Kind::Float => Encoding::Float,
        Kind::Double => Encoding::Double,
        Kind::Message(_) => return None,
    })
}

/// Without the package, which is compared by itself.
fn local_name(message: &MessageDescriptor) -> String {
    let package = format!("{}.", message.package_name());
    message.full_name().strip_prefix(&package).unwrap_or(message.full_name()).to_owned()
}

fn place(field: &FieldDescriptor) -> String {
    format!("field {} of {} (number {})", field.name(), field.parent_message().full_name(), field.number())
}

fn changed(reader: &FieldDescriptor, writer: &FieldDescriptor) -> String {
    let word = match (reader.kind(), writer.kind()) {
        _ if reader.is_map() != writer.is_map() => "FIELD_KIND_CHANGED",
        (Kind::Message(_), Kind::Message(_)) => "FIELD_NAMED_TYPE_CHANGED",
        (Kind::Message(_), _) | (_, Kind::Message(_)) => "FIELD_KIND_CHANGED",
        _ => "FIELD_SCALAR_KIND_CHANGED",
    };
    format!("{} was {}, which {} does not read ({word})", place(writer), type_name(writer), type_name(reader))
}

fn type_name(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(_) if field.is_map() => "a map".to_owned(),
        Kind::Message(message) => message.full_name().to_owned(),
        kind => format!("{kind:?}"),
    }
}

fn label(repeated: bool) -> &'static str {
    if repeated { "repeated" } else { "single" }
}

#[cfg(test)]
mod tests {
    use super::super::super::schema::Schema;
    use super::*;

    fn file(body: &str) -> FileDescriptor {
        let syntax = if body.contains("required") { "proto2" } else { "proto3" };
        let package = if body.contains("package") { "" } else { "package p;" };
        let schema = Schema::new(SchemaType::Protobuf, format!("syntax = \"{syntax}\"; {package} {body}"));
        parse((&schema, &[])).unwrap()
    }

    /// A writer's schema, a reader's, and words of what keeps it from reading; by Confluent's table of rules.
    #[rustfmt::skip]
    const CASES: &[(&str, &str, &str)] = &[
        ("message M { int32 a = 1; }", "message M { int32 a = 1; string b = 2; }", ""),
        ("message M { int32 a = 1; string b = 2; }", "message M { int32 a = 1; }", ""),
        ("message M { int32 a = 1; }", "message M { int32 other = 1; }", ""),
        ("message M { int32 a = 1; }", "message M { int64 a = 1; }", ""),
        ("message M { int32 a = 1; }", "message M { bool a = 1; }", ""),
        ("message M { int32 a = 1; }", "message M { E a = 1; } enum E { X = 0; }", ""),
        ("message M { string a = 1; }", "message M { bytes a = 1; }", ""),
        ("message M { fixed32 a = 1; }", "message M { sfixed32 a = 1; }", ""),
        ("message M { int32 a = 1; }", "message M { sint32 a = 1; }", "field a of p.M (number 1) was int32, which sint32 does not read (FIELD_SCALAR_KIND_CHANGED)"),
        ("message M { int32 a = 1; }", "message M { string a = 1; }", "was int32, which string does not read (FIELD_SCALAR_KIND_CHANGED)"),
        ("message M { float a = 1; }", "message M { double a = 1; }", "was float, which double"),
        ("message M { int32 a = 1; }", "message M { N a = 1; } message N { int32 x = 1; }", "was int32, which p.N does not read (FIELD_KIND_CHANGED)"),
        ("message M { N a = 1; } message N { int32 x = 1; }", "message M { O a = 1; } message N { int32 x = 1; } message O { int32 x = 1; }", "was p.N, which p.O does not read (FIELD_NAMED_TYPE_CHANGED)"),
        ("message M { N a = 1; } message N { int32 x = 1; }", "message M { N a = 1; } message N { string x = 1; }", "field x of p.N"),
        ("message M { N a = 1; message N { int32 x = 1; } }", "message M { N a = 1; message N { bytes x = 1; } }", "field x of p.M.N"),
        ("message M { map<string, int32> a = 1; }", "message M { map<string, int64> a = 1; }", ""),
        ("message M { map<string, int32> a = 1; }", "message M { map<string, string> a = 1; }", "was int32, which string"),
        ("message M { map<string, int32> a = 1; }", "message M { string a = 1; }", "was a map, which string does not read (FIELD_KIND_CHANGED)"),
        ("message M { string a = 1; }", "message M { repeated string a = 1; }", ""),
        ("message M { int32 a = 1; }", "message M { repeated int32 a = 1; }", "was single, and is not"),
        ("message M { int32 a = 1; } message N {}", "message M { int32 a = 1; }", "message p.N is gone"),
        ("message M { int32 a = 1; }", "message N {} message M { int32 a = 1; }", ""),
        ("message M { int32 a = 1; message N {} }", "message M { int32 a = 1; }", "message p.M.N is gone"),
        ("enum E { X = 0; Y = 1; } message M { E a = 1; }", "enum E { X = 0; } message M { E a = 1; }", ""),
        ("message M { int32 a = 1; }", "package q; message M { int32 a = 1; }", "the package was \"p\", and is \"q\""),
        ("message M { oneof o { int32 a = 1; int32 b = 2; } }", "message M { oneof o { int32 a = 1; } }", "field b of p.M (number 2) is gone from its oneof"),
        ("message M { oneof o { int32 a = 1; int32 b = 2; } }", "message M { oneof o { int32 a = 1; } int32 b = 2; }", ""),
        ("message M { oneof o { int32 a = 1; int32 b = 2; } }", "message M {}", ""),
        ("message M { oneof o { int32 a = 1; } }", "message M { oneof o { int32 a = 1; int32 b = 2; } }", ""),
        ("message M { int32 a = 1; }", "message M { oneof o { int32 a = 1; int32 b = 2; } }", ""),
        ("message M { int32 a = 1; int32 b = 2; }", "message M { oneof o { int32 a = 1; int32 b = 2; } }", "oneof p.M.o takes in a field"),
        ("message M { oneof o { int32 a = 1; } int32 b = 2; }", "message M { oneof o { int32 a = 1; int32 b = 2; } }", "oneof p.M.o takes in a field"),
        ("message M { int32 a = 1; }", "message M { optional int32 a = 1; }", ""),
        ("message M { required int32 a = 1; }", "message M { required int32 a = 1; required int32 b = 2; }", "field b of p.M (number 2) is required, and was not there"),
        ("message M { required int32 a = 1; required int32 b = 2; }", "message M { required int32 a = 1; }", "field b of p.M (number 2), which is required, is gone"),
        ("message M { M next = 1; int32 a = 2; }", "message M { M next = 1; int64 a = 2; }", ""),
    ];

    #[test]
    fn what_reads_what() {
        for (writer, reader, expected) in CASES {
            let found = incompatibilities(&file(reader), &file(writer));
            assert_eq!(found.is_empty(), expected.is_empty(), "{writer} -> {reader}: {found:?}");
            assert!(found.iter().all(|message| message.contains(expected)), "{writer} -> {reader}: {found:?}");
            assert_eq!(incompatibilities(&file(writer), &file(writer)), Vec::<String>::new(), "{writer}");
        }
    }
}
