//! What a table looks like: its columns, its partitioning, and a batch in its shape.
//!
//! In flow order:
//!
//! ```text
//!  schema     Arrow columns -> Iceberg columns with stable ids, and columns that are added
//!  drop       columns that go
//!  partition  `--partition-by` and `--sort-by` -> partition spec and sort order, and back to text
//!  deletes    how rows that go are written, as a table says it
//!  versions   the columns that say which version of its key a row is
//!  latest_by  the column that says which row of a key is the latest
//!  conform    a decoded batch -> a batch with exactly the table's columns
//! ```

mod conform;
mod deletes;
mod drop;
mod latest_by;
mod partition;
mod schema;
mod versions;

pub use conform::conform;
pub use deletes::DeleteEncoding;
pub(crate) use deletes::copies_on_write;
pub use drop::drop_columns;
pub use latest_by::{SOURCE_POSITION, latest_by, latest_by_property};
pub use partition::{parse_partition_by, parse_sort_by, partition_text, sort_text};
pub use schema::{
    Evolution, arrow_schema, evolve, identified_by, identifying_columns, identity_ids, key_ids, new_schema,
    unidentified,
};
pub use versions::{VALID_FROM, VALID_TO, VERSION_OP, VersionIds, version_columns};
