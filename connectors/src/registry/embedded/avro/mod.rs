//! Avro schemas: read, brought into one form, compared.
//!
//! ```text
//!  parse          JSON -> types, every name resolved, every rule of the specification checked
//!  normal         the one form of many spellings
//!  compatibility  whether one schema reads what another wrote
//! ```
//!
//! apache-avro was looked at: its check of compatibility calls a pair of types compatible the second time it meets it,
//! whatever it found the first time, knows no aliases of types and no default of an enum, and forgets the name of a
//! fixed below a uuid or a duration. So types are read here; what decodes records is another crate's parser.

mod compatibility;
mod normal;
mod parse;

pub(super) use compatibility::incompatibilities;
pub(super) use normal::normalized;
pub(super) use parse::{AvroSchema, parse};
use parse::{Definition, Field, Primitive, Shape, Type};
