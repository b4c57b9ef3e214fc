//! What a table lets its columns become.
//!
//! Owns [`ColumnRules`], which whoever knows the table gives to its decoder.

use serde::{Deserialize, Serialize};

use super::MetadataColumns;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnRules {
    /// Whose names no value column has.
    pub metadata: MetadataColumns,
    /// The names of the table's partition fields, which no new column gets.
    pub partition_fields: Vec<String>,
    /// The whole names of the columns that those are made from: their type does not change.
    pub partition_sources: Vec<String>,
    /// The names of columns that stay NOT NULL, with all inside of them, if they are.
    pub held: Vec<String>,
    pub evolution: Evolution,
}

/// Whether the columns follow the topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evolution {
    /// They stay as they are.
    Strict,
    /// New ones are added, and those that there are become wider, or nullable.
    #[default]
    Additive,
    /// The same, and one that the newest schema no longer has is dropped.
    Mirror,
}
