//! A Protobuf schema from its text, imports and types resolved.
//!
//! Owns the reading of schemas, and which of its messages a record means.
//! - I1: what a schema imports is among its references, or is a file that every compiler or Confluent's serializers
//!   have.
//! - I2: no text makes it panic or run deep: protox bounds messages inside of messages, the depth of options is bounded
//!   here.
//! - I3: a schema that was registered as a descriptor is the same as its text.
//!
//! protox reads and links; prost-reflect, which it builds on, shows the result. rust-protobuf's parser was looked at:
//! it does not check what it parsed.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{FileDescriptor, MessageDescriptor};
use protox::Compiler;
use protox::file::{File, FileResolver, GoogleFileResolver};
use tableflow_model::{Error, Result};

use crate::decode::SchemaFault;
use crate::registry::ResolvedSchema;

/// How deep braces may lie inside of each other: options are read by calls of that depth.
const BRACES_MAX: usize = 200;

/// What Confluent's serializers know without a reference.
const CONFLUENT: &[(&str, &str)] = &[
    ("confluent/meta.proto", include_str!("confluent_meta.proto")),
    ("confluent/type/decimal.proto", include_str!("confluent_decimal.proto")),
];

/// A schema's own file, if it compiles.
pub fn compile(schema: &ResolvedSchema) -> Result<FileDescriptor> {
    Schema::parse(schema).map(|schema| schema.file)
}

#[derive(Debug)]
pub(in crate::decode) struct Schema {
    file: FileDescriptor,
}

impl Schema {
    pub fn parse(schema: &ResolvedSchema) -> Result<Self> {
        let name = own_name(schema);
        for text in schema.references.iter().map(|reference| &reference.text).chain([&schema.text]) {
            check_depth(text)?;
        }
        let files = Files { name: name.clone(), schema: schema.clone(), google: GoogleFileResolver::new() };
        let mut compiler = Compiler::with_file_resolver(files);
        compiler.open_file(Path::new(&name)).map_err(refused)?;
        let file = compiler.descriptor_pool().get_file_by_name(&name);
        Ok(Schema { file: file.ok_or_else(|| Error::internal("a schema is not among its own files"))? })
    }

    /// The message at a place of the file, then at places inside of it.
    pub fn message(&self, index: &[u32]) -> Result<MessageDescriptor> {
        let (first, inner) = index.split_first().unwrap_or((&0, &[]));
        let found = self.file.messages().nth(*first as usize);
        let found = inner.iter().fold(found, |message, place| message?.child_messages().nth(*place as usize));
        found.filter(|message| !message.is_map_entry()).ok_or_else(|| {
            let index = index.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            SchemaFault::NotARecord
                .of(Error::data(format!("the schema has no message at [{index}]")))
                .with_detail(format!("it has {} messages, counted from 0", self.file.messages().count()))
                .with_hint("write records with the schema that they name")
        })
    }
}

/// A name for the schema's own file that no reference has.
fn own_name(schema: &ResolvedSchema) -> String {
    let mut name = "schema.proto".to_owned();
    while schema.references.iter().any(|reference| reference.name == name) {
        name.insert(0, '_');
    }
    name
}

/// Braces in comments and texts count too: so many of them no schema has.
fn check_depth(text: &str) -> Result<()> {
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'<' | b'(' => depth += 1,
            b'}' | b']' | b'>' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > BRACES_MAX {
            let error = Error::data("the schema is no Protobuf schema that can be read");
            let error = error.with_detail(format!("its braces lie more than {BRACES_MAX} deep"));
            return Err(SchemaFault::InvalidSchema.of(error));
        }
    }
    Ok(())
}

fn refused(error: protox::Error) -> Error {
    let refusal = Error::data("the schema is no Protobuf schema").with_detail(format!("{error:?}"));
    match error.is_file_not_found() {
        true => SchemaFault::UnresolvedTypeRef.of(refusal).with_hint("register the schema with its references"),
        false => SchemaFault::InvalidSchema.of(refusal),
    }
}

/// A schema as it was registered: its text, or its descriptor, as some serializers have it.
fn file(name: &str, text: &str) -> std::result::Result<File, protox::Error> {
    match descriptor(text) {
        Some(descriptor) => {
            Ok(File::from_file_descriptor_proto(FileDescriptorProto { name: Some(name.to_owned()), ..descriptor }))
        }
        None => File::from_source(name, text),
    }
}

/// No text of a schema is base64: it has blanks.
fn descriptor(text: &str) -> Option<FileDescriptorProto> {
    let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
    FileDescriptorProto::decode(bytes.as_slice()).ok()
}

/// The files that a schema can import.
struct Files {
    name: String,
    schema: ResolvedSchema,
    google: GoogleFileResolver,
}

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> std::result::Result<File, protox::Error> {
        if name == self.name {
            return file(name, &self.schema.text);
        }
        if let Some(reference) = self.schema.references.iter().find(|reference| reference.name == name) {
            return file(name, &reference.text);
        }
        match CONFLUENT.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => File::from_source(name, text),
            None => self.google.open_file(name),
        }
    }
}
