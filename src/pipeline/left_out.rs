//! How many changes were older than the rows of their keys, and left out.
//!
//! - I1: the count is a property of the table, and moves with the commit that leaves them out: it counts each once.

use iceberg::spec::TableMetadata;
use tableflow_lake::layout::latest_by;

/// The table property with the count.
const PROPERTY: &str = "tableflow.changes-left-out";

/// The property of a commit onto this base that leaves out so many (I1).
pub fn counted(base: &TableMetadata, more: u64) -> Option<(String, String)> {
    (more > 0).then(|| (PROPERTY.to_owned(), (count(base) + more).to_string()))
}

/// How many they are, of a table that goes by a column.
pub fn known(table: &TableMetadata) -> Option<u64> {
    matches!(latest_by(table), Ok(Some(_)) | Err(_)).then(|| count(table))
}

fn count(table: &TableMetadata) -> u64 {
    table.properties().get(PROPERTY).and_then(|count| count.parse().ok()).unwrap_or_default()
}
