//! Schema registries: which schema a record was written with.
//!
//! In flow order:
//!
//! ```text
//!  framing      a record's bytes and headers -> the id of its schema, and where its payload is
//!  cache        that id -> the schema and all it refers to: memory, disk, registry
//!  resolve      a schema's references, followed
//!  registry     the trait every registry implements, in the words of Confluent's API
//!  client       a registry elsewhere, over HTTP
//!  embedded     one in the data directory
//!  schema       what a registry holds
//!  part         which part of a record that is
//!  refusal      why it said no
//!  conformance  the suite every implementation must pass
//! ```
//!
//! schema_registry_converter and schema-registry-client were looked at for the client: the first has neither GUIDs nor
//! several versions of a subject's rules, the second brings a second rule engine, Protobuf and JSON Schema stack along.

pub mod cache;
pub mod client;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod embedded;
pub mod framing;
mod part;
mod refusal;
#[expect(clippy::module_inception, reason = "the trait and the folder of its implementations have the same noun")]
mod registry;
pub mod resolve;
mod schema;

pub use cache::{CacheCounts, SchemaCache};
pub use client::RegistryClient;
pub use embedded::EmbeddedRegistry;
pub use framing::PrefixLength;
pub use part::RecordPart;
pub use refusal::{Reason, Refusal, RegistryError};
pub use registry::{Compatibility, Deletion, Form, Include, SchemaRegistry};
pub use resolve::{NamedSchema, ResolvedSchema};
pub use schema::{
    Fingerprint, RegisteredSchema, Schema, SchemaId, SchemaKey, SchemaReference, SchemaType, SubjectVersion, Version,
    VersionWanted,
};
