//! What a table looks like: its columns, its partitioning, and a batch in its shape.

mod conform;
mod partition;
mod schema;

pub use conform::conform;
pub(crate) use conform::conform_array;
pub use partition::{parse_partition_by, parse_sort_by, partition_text, sort_text};
pub use schema::{Evolution, arrow_schema, evolve, new_schema};
