//! What records of a JSON Schema may have and belongs to no column.
//!
//! Owns [`Passed`].
//! - I1: where no column has one of the names, the fast reader serves: it gives up on a value without a column.

use std::collections::BTreeSet;

use crate::decode::columns::names::whole_names;
use crate::decode::value_columns::ValueColumns;

/// Of one schema.
#[derive(Debug, Default)]
pub(super) struct Passed {
    names: BTreeSet<String>,
    /// Whether one of them is that of a column, and in which version of the columns.
    is_a_column: (Option<u64>, bool),
}

impl Passed {
    pub fn new(names: BTreeSet<String>) -> Self {
        Passed { names, is_a_column: (None, false) }
    }

    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Whether the fast reader would take one of them for a column's (I1).
    pub fn needs_care(&mut self, columns: &ValueColumns) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let version = Some(columns.version());
        if self.is_a_column.0 != version {
            let columns = whole_names(columns.schema().fields());
            self.is_a_column = (version, self.names.iter().any(|name| columns.contains(name)));
        }
        self.is_a_column.1
    }
}
