//! Where a table is registered, and the compare-and-swap that publishes a commit.
//!
//! In flow order:
//!
//! ```text
//!  catalog      the trait, what it loads and what becomes of a commit
//!  metadata     table metadata: read, made, changed; no I/O
//!  embedded     SQLite, in the layout of PyIceberg's SqlCatalog
//!  fault        a catalog whose replies get lost, for tests of every crate
//!  conformance  the suite every implementation must pass
//! ```
//!
//! It knows neither Parquet nor SQL statements of users.

mod catalog;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod embedded;
pub mod fault;
mod metadata;

pub use catalog::{Catalog, CommitOutcome, LoadedTable, Properties, TableCreation};
pub use embedded::EmbeddedCatalog;
