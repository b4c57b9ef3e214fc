//! Fields that a table reads past.
//!
//! Owns [`Passing`]: the fields whose columns a table has dropped, as one schema has them.
//! - I1: a field of a schema that is older than the drop is read past, whatever column has its name by now.
//! - I2: a schema that is not older and has the field brings a new column; a record that has it without its schema's
//!   saying so (JSON) brings none.
//!
//! Neighbours: whoever knows the versions of schemas says which of them are older.

use std::collections::BTreeSet;

/// Whole names of fields, as `a.b`, `l.element.b`: what is inside of a column goes by the column's name. A column with
/// a dot in its own name is never dropped, so that none of these is of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passing {
    /// Of which the schema is older than the drop (I1).
    pub older: BTreeSet<String>,
    /// All others that the table has dropped.
    pub others: BTreeSet<String>,
}

impl Passing {
    /// What records of the schema may have and belongs to no column; its fields go into these ones (I2).
    pub(super) fn in_records(&self, filled: &BTreeSet<String>) -> BTreeSet<String> {
        self.older.iter().chain(self.others.difference(filled)).cloned().collect()
    }
}
