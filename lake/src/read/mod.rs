//! Snapshots become rows: the DataFusion provider over Iceberg metadata.
//!
//! In flow order:
//!
//! ```text
//!  bounds    what manifests say about a column: smallest, largest, nulls, as DataFusion's scalars
//!  prune     which manifests and files a filter cannot match
//!  plan      a snapshot and filters -> the files to read, with exact statistics
//!  adapt     columns of older files in the table's shape, where DataFusion's own adapter gives up
//!  provider  the table DataFusion sees; Parquet reading, page pruning and parallelism are DataFusion's
//! ```
//!
//! iceberg-datafusion was looked at: one output partition, no statistics, and a schema cached for ever.

mod adapt;
mod bounds;
mod plan;
mod provider;
mod prune;

pub use provider::IcebergTable;
