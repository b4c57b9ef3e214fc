//! How the service compacts a table, where a person declared it.

use serde::{Deserialize, Serialize};
use tableflow_model::{Error, Result};

use crate::units::{Every, FileSize};

/// What is absent is as the service does it where nobody says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompactionPolicy {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Every>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<CompactionStrategy>,
    /// Small files of a partition that are put together are at least so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub small_files: Option<u32>,
    /// A file with so many of its rows deleted, in hundredths, is written anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_percent: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_file_size: Option<FileSize>,
}

impl CompactionPolicy {
    pub fn is_nothing(&self) -> bool {
        *self == CompactionPolicy::default()
    }

    /// Rows are sorted by the table's order, where it has one.
    pub fn check(&self, sort_by: &str) -> Result<()> {
        match self.strategy {
            Some(CompactionStrategy::Sort) if sort_by.is_empty() => Err(Error::usage(
                "--compact-strategy sort needs an order that rows are sorted by",
            )
            .with_hint("a table has one with `tableflow enable --sort-by`; leave --compact-strategy out for bin-pack")),
            _ => Ok(()),
        }
    }

    /// With what was said later in place of this.
    #[must_use]
    pub fn with(&self, later: &CompactionPolicy) -> Self {
        CompactionPolicy {
            every: later.every.or(self.every),
            strategy: later.strategy.or(self.strategy),
            small_files: later.small_files.or(self.small_files),
            deleted_percent: later.deleted_percent.or(self.deleted_percent),
            target_file_size: later.target_file_size.or(self.target_file_size),
        }
    }
}

/// How rows are put into new files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompactionStrategy {
    /// In the order in which they came.
    #[default]
    BinPack,
    /// In the order of the table.
    Sort,
}
