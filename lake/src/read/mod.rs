//! Snapshots become rows: the DataFusion provider over Iceberg metadata.
//!
//! In flow order:
//!
//! ```text
//!  bounds    what manifests say about a column: smallest, largest, nulls, as DataFusion's scalars
//!  prune     which manifests and files a filter cannot match
//!  columns   some columns of a file, each row in its place
//!  deletes   which rows of files are deleted, however they were
//!  plan      a snapshot and filters -> the files to read, with exact statistics
//!  imported  the ids of columns in files that carry none, by their names
//!  shape     a file's column in the table's shape, its parts found by field id
//!  adapt     expressions over the table for one file: its columns by field id, never by name
//!  selection deleted rows -> what Parquet reads of a file
//!  footers   where the row groups of files are, read once for a scan
//!  unlimited a scan that no limit reaches
//!  provider  the table DataFusion sees; Parquet reading, page pruning and parallelism are DataFusion's
//!  file      the rows of one file, by its name
//! ```
//!
//! iceberg-datafusion was looked at: one output partition, no statistics, and a schema cached for ever.

mod adapt;
mod bounds;
mod columns;
mod deletes;
mod file;
mod footers;
mod imported;
mod plan;
mod provider;
mod prune;
mod selection;
mod shape;
mod unlimited;

use futures::{StreamExt, TryStreamExt, stream};
use tableflow_model::Result;

pub(crate) use bounds::{Bounds, ColumnBounds};
pub use columns::{ColumnReader, FileBatches};
pub(crate) use deletes::{Applying, DeleteFiles, DeletedRows, deleted_rows, position_rows};
pub use file::FileRows;
pub(crate) use plan::data_files;
pub use provider::{IcebergTable, schema_at};

/// Objects read at the same time: hides the store's latency without flooding it.
const IN_FLIGHT_MAX: usize = 16;

/// Does these side by side; what they give comes in their order.
pub(crate) async fn side_by_side<T>(reads: Vec<impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    stream::iter(reads).buffered(IN_FLIGHT_MAX).try_collect().await
}
