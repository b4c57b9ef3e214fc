//! What keeps tables quick to read.
//!
//! ```text
//!  compaction  small files become large ones, deleted rows go
//! ```
//!
//! - I1: upkeep is a job of its own in each table, with a ledger of its own: it moves no position, and whoever feeds the
//!   table goes on beside it.

pub mod compaction;
