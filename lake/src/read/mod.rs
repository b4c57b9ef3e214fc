//! Snapshots become rows: the DataFusion provider over Iceberg metadata.
//!
//! In flow order:
//!
//! ```text
//!  bounds    what manifests say about a column: smallest, largest, nulls, as DataFusion's scalars
//!  prune     which manifests and files a filter cannot match
//!  plan      a snapshot and filters -> the files to read, with exact statistics
//!  imported  the ids of columns in files that carry none, by their names
//!  shape     a file's column in the table's shape, its parts found by field id
//!  adapt     expressions over the table for one file: its columns by field id, never by name
//!  provider  the table DataFusion sees; Parquet reading, page pruning and parallelism are DataFusion's
//!  file      the rows of one file, by its name
//! ```
//!
//! iceberg-datafusion was looked at: one output partition, no statistics, and a schema cached for ever.

mod adapt;
mod bounds;
mod file;
mod imported;
mod plan;
mod provider;
mod prune;
mod shape;

pub use file::FileRows;
pub use provider::{IcebergTable, schema_at};
