//! The words of the system and its pure decisions: no I/O; time and ids come in as arguments.
//!
//! In flow order:
//!
//! ```text
//!  name      what topics, tables and jobs are called
//!  segment   such a name in an object's path
//!  records   what comes out of a topic: records of one partition, column by column
//!  source    the trait every topic reader implements
//!  types     Flink's type words and the Arrow types they mean
//!  change    what became of rows: came, went, became others
//!  protocol  exactly once: ledger, commits, epochs, garbage, as facts in and decisions out
//!  secret    a text that nobody may see
//!  clock     the traits through which time and ids come in, and the machine's own, which only the product passes
//!  error     the one public error: what happened, detail, hint
//! ```
//!
//! Every other crate may use this one; it knows none of them.

pub mod change;
pub mod clock;
pub mod error;
pub mod name;
pub mod protocol;
pub mod records;
pub mod secret;
pub mod segment;
pub mod source;
pub mod types;

pub use change::{ChangeBatch, ChangeKind};
pub use clock::{Clock, Ids, Millis};
pub use error::{Error, ErrorKind, Result};
pub use name::{JobName, TableName, TopicName};
pub use records::{Appended, Appendings, Records, Span, TimestampType};
pub use secret::Secret;
pub use segment::Segment;
pub use source::{Offset, Partition, Source, TopicId};
