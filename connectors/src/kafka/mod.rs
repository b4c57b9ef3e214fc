//! The topics of a Kafka cluster.
//!
//! In flow order:
//!
//! ```text
//!  properties  what people call the settings: Java's names, into librdkafka's
//!  jaas        Java's way to write a login
//!  stores      files with keys and certificates
//!  certificate until when one is good
//!  settings    those in force, read again while the process runs
//!  client      one connection to the cluster, shared by all that reads from it
//!  said        what librdkafka says beside its answers
//!  failure     what went wrong, in our words
//!  native      the calls that the safe crate lacks; the only `unsafe`
//!  together    many questions of a kind in few calls
//!  questions   what topics are, and where they begin and end
//!  group       how far tables have come, for the tools that watch lag
//!  source      one topic, read
//!  partition   one partition of it, as it is fetched
//!  batch       what was fetched, as records over one buffer
//!  delivery    what becomes of records that are sent
//!  producer    records to a topic
//!  epochs      epochs of a job to a topic, each in a transaction
//!  recorded    which of them are there
//!  topics      the cluster as a keeper of topics
//! ```
//!
//! The promises, tested against a real broker in `tests/faults/kafka`:
//! - P1: only committed records are read; aborted ones, control records and holes move the place and make no rows.
//! - P2: partitions are assigned by us, never by a consumer group: nothing here rebalances, and no offset is ever
//!   chosen by librdkafka (`auto.offset.reset` is `error`).
//! - P3: rows of a topic that was deleted and made again are never taken for those of the old one.
//! - P4: what waits in memory is bounded by partition, as it is packed: librdkafka unpacks all that a fetch brought, and
//!   bounds only what zstd makes of one batch.
//!
//! The crate `rdkafka` is used where it serves. Its way of polling makes one shared object a record and hides where a
//! partition ends; `native` takes whole arrays instead.

mod batch;
mod certificate;
mod client;
mod delivery;
mod epochs;
mod failure;
mod group;
mod jaas;
mod native;
mod partition;
mod producer;
mod properties;
mod questions;
mod recorded;
mod said;
mod settings;
mod source;
mod stores;
mod together;
mod topics;

pub use certificate::Validity;
pub use properties::Properties;
pub use recorded::{EPOCH_HEADER, JOB_HEADER};
pub use settings::ReadSettings;
pub use topics::KafkaTopics;
