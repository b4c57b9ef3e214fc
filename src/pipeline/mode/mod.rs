//! A table that exists changes its mode: of every record a row, or of every key one.
//!
//! ```text
//!  asked       what `update --mode` asks for: checked, counted, declared
//!  staying     which rows and columns stay
//!  conversion  the commit that makes it so, by the table's job
//! ```
//!
//! Owns [`Standing`], where a table stands beside its definition.
//! - I1: a change of mode is declared with a number, and made by one commit, which says that number in the table: it is
//!   made once, by whoever comes first.
//! - I2: a job writes to a table only where both numbers are the same: neither one that was told of an older mode nor
//!   one that begins before the change is made.
//! - I3: rows of either mode are never mixed: the columns that identify rows come and go in the commit that leaves one
//!   row of each key, and the ledger with it.

pub mod asked;
pub mod conversion;
mod staying;

use std::cmp::Ordering;

use iceberg::spec::TableMetadata;
use tableflow_model::{Error, TableName};

use crate::definition::{Definition, ModeChange};

/// The table property that counts the changes of mode that were made.
pub const PROPERTY: &str = "tableflow.mode-changes";

/// As they are called.
pub fn word(upserts: bool) -> &'static str {
    if upserts { "upsert" } else { "append" }
}

/// A table beside its definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    AsDeclared,
    /// The table is still what it was before.
    Due(ModeChange),
    /// The table was changed by who knows a newer definition.
    Ahead,
}

impl Standing {
    pub fn of(definition: &Definition, table: &TableMetadata) -> Self {
        Standing::between(definition.mode_change.as_ref(), made(table))
    }

    fn between(declared: Option<&ModeChange>, made: u32) -> Self {
        match (declared, made) {
            (Some(change), made) => match change.number.cmp(&made) {
                Ordering::Greater => Standing::Due(change.clone()),
                Ordering::Equal => Standing::AsDeclared,
                Ordering::Less => Standing::Ahead,
            },
            (None, 0) => Standing::AsDeclared,
            (None, _) => Standing::Ahead,
        }
    }
}

/// How many changes were made.
pub fn made(table: &TableMetadata) -> u32 {
    table.properties().get(PROPERTY).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What a definition of an existing table keeps of what the one before said, or else of what the table says.
pub fn kept(before: Option<ModeChange>, table: &TableMetadata) -> Option<ModeChange> {
    newer(before, made(table))
}

fn newer(before: Option<ModeChange>, made: u32) -> Option<ModeChange> {
    match before {
        Some(before) if before.number >= made => Some(before),
        _ => (made > 0).then(|| ModeChange { number: made, key: Vec::new() }),
    }
}

/// A job that keeps dead letters in step does not change modes.
pub fn is_not_made(table: &TableName) -> Error {
    Error::conflict(format!("the mode of table {table} is not what its definition says"))
        .with_detail("a table with dead letters keeps its mode")
        .with_hint("enable the topic into another table with --table and --mode")
}

/// No definition that is here is as new as the table.
pub fn unknown_change(table: &TableName) -> Error {
    Error::conflict(format!("the mode of table {table} was changed, and its definition does not say so"))
        .with_detail("the definitions are of another data directory, or of before the change")
        .with_hint(format!("`tableflow disable {}`, then enable its topic again", table.to_plain_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_i2_a_change_is_made_once_and_nobody_writes_by_an_older_one() {
        let change = |number| ModeChange { number, key: vec!["id".to_owned()] };
        for (declared, made, standing) in [
            (None, 0, Standing::AsDeclared),
            (None, 1, Standing::Ahead),
            (Some(1), 0, Standing::Due(change(1))),
            (Some(1), 1, Standing::AsDeclared),
            (Some(1), 2, Standing::Ahead),
            (Some(4), 2, Standing::Due(change(4))),
        ] {
            let declared = declared.map(change);
            assert_eq!(Standing::between(declared.as_ref(), made), standing, "{declared:?} of {made}");
            // Who enables the topic again is never behind, and forgets nothing that is due.
            let kept = newer(declared.clone(), made);
            let due = matches!(standing, Standing::Due(_));
            assert_eq!(matches!(Standing::between(kept.as_ref(), made), Standing::Due(_)), due);
            assert_ne!(Standing::between(kept.as_ref(), made), Standing::Ahead);
        }
    }
}
