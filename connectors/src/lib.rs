//! Records coming in and going out.
//!
//! In flow order:
//!
//! ```text
//!  local     the embedded topics: Kafka's record batches in files, no broker
//!  registry  which schema a record was written with: client of a schema registry, and one of our own
//!  decode    a record's bytes -> Arrow columns
//! ```
//!
//! Knows nothing of tables or of SQL: above it stands the trait `tableflow_model::Source`.

pub mod decode;
pub mod local;
pub mod registry;
