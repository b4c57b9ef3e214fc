//! Records coming in and going out.
//!
//! In flow order:
//!
//! ```text
//!  topics    where topics are kept, whoever keeps them
//!  local     the embedded topics: Kafka's record batches in files, no broker
//!  kafka     the topics of a Kafka cluster
//!  registry  which schema a record was written with: client of a schema registry, and one of our own
//!  decode    a record's bytes -> Arrow columns
//! ```
//!
//! Knows nothing of tables or of SQL: above it stands the trait `tableflow_model::Source`.

pub mod decode;
pub mod kafka;
pub mod local;
pub mod registry;
pub mod topics;
