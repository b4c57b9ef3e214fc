//! Local topics: the embedded default where no Kafka is configured.
//!
//! ```text
//!  DIR/topics/<topic>/topic.json                     id, partitions, options
//!  DIR/topics/<topic>/<partition>/<base offset>.log  record batches, version 2, exactly as Kafka keeps them
//!  DIR/topics/<topic>/<partition>/log-end            how far the log is durable; also the writers' lock
//! ```
//!
//! In flow order: `topic` and `options` (what there is), `producer`, `partitioner` (which partition), `batch`,
//! `varint` (bytes), `partition_log` (append), `disk` (durable writes), `log_end`, `recovery` (where a log ends),
//! `segment`, `watch` (which topic it is), `reader`, `decode` (bytes to records), `source`, `topics` (all of it as one
//! keeper).
//!
//! The promises, each tested in `tests/`:
//! - P1: an acknowledged record survives `kill -9` and a power cut; nothing half-written is ever read.
//! - P2: a record that was read is durable: it is still there, at its offset, after a power cut.
//! - P3: several processes may append and read at once; offsets have no gaps and no repeats.
//! - P4: damage is reported with its place and never cut away.
//!
//! Kafka's own layout was chosen so that any tool that knows it can read the files, and so that what works here works
//! against a broker. The crate `kafka-protocol` was looked at for it: its decoder keeps a record's headers in a map,
//! so repeated names are lost, and it allocates for each record. It serves as the oracle of the tests instead, in both
//! directions.
//!
//! Out of scope: compression, transactions, and removing old records.

mod batch;
mod decode;
mod disk;
mod log_end;
mod options;
mod partition_log;
mod partitioner;
mod producer;
mod reader;
mod recovery;
mod segment;
mod source;
mod topic;
mod topics;
mod varint;
mod watch;

pub use batch::{BatchBuilder, RECORD_BYTES_MAX};
pub use options::{CleanupPolicy, TopicOptions};
pub use partitioner::partition_of_key;
pub use producer::LocalProducer;
pub use source::LocalSource;
pub use topic::{LocalTopics, PARTITIONS_MAX, Topic};
pub use topics::EmbeddedTopics;

#[cfg(test)]
mod tests;
