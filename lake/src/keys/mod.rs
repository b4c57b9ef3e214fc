//! Where the row of each key is.
//!
//! In flow order:
//!
//! ```text
//!  hash     key columns -> hashes, the same for a column that became wider
//!  shard    a part of the packed keys: entries of 19 bytes in the order of their hashes
//!  packed   keys in memory, at most 24 bytes each
//!  run      keys on disk: pages of entries in the order of their hashes, each with its checksum
//!  merge    several of these become one
//!  memory   what all indexes of a process may take; beyond it one spills
//!  index    the packed keys and the runs of one table
//!  cache    an index on disk between two processes
//! ```
//!
//! The index is a cache of what the table says, never the truth: whoever has one knows which rows of the table are live.
//! With all 96 bits of their hashes two of 50 million keys are alike once in 60 trillion tables; an index with fewer bits
//! says so, and what it finds is to be checked ([`KeyIndex::is_exact`]).

mod cache;
mod hash;
mod index;
mod memory;
mod merge;
mod packed;
mod run;
mod shard;

pub(crate) use self::cache::{Cached, CachedFile};
pub use self::hash::{Hash, KeyHasher};
pub use self::index::KeyIndex;
pub use self::memory::{KeyMemory, KeyShare};
pub use self::run::RunFolder;
pub use self::shard::{FILES_MAX, PARTITIONS_MAX, ROWS_MAX};

/// A row of one of the table's data files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The number that its owner gave the file, below [`FILES_MAX`].
    pub file: u32,
    /// Below [`ROWS_MAX`].
    pub row: u32,
    /// Of the topic; below [`PARTITIONS_MAX`] where it is known.
    pub partition: Option<u16>,
}
