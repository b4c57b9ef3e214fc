//! How rows that go are written, as a table says it.
//!
//! Owns [`DeleteEncoding`] and its words.
//! - I1: the table's format version and its own properties say it all: every writer and every compaction reads it there,
//!   at each commit.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use iceberg::spec::{FormatVersion, TableMetadata};
use serde::{Deserialize, Serialize};
use tableflow_model::{Error, Result};

/// Engines look at one of these, by what they do.
const MODES: [&str; 3] = ["write.delete.mode", "write.update.mode", "write.merge.mode"];

/// What changes by keys do.
const MODE: &str = "write.merge.mode";

const COPY_ON_WRITE: &str = "copy-on-write";

const MERGE_ON_READ: &str = "merge-on-read";

/// How rows that go are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeleteEncoding {
    /// Files of positions, beside the data files: version 2 of the format.
    #[serde(rename = "position")]
    Position,
    /// A bitmap for each data file: version 3.
    #[serde(rename = "dv")]
    Vector,
    /// Each data file becomes another one without them.
    #[serde(rename = "cow")]
    Copy,
}

impl DeleteEncoding {
    /// I1.
    pub fn of(table: &TableMetadata) -> Self {
        match (copies_on_write(table), table.format_version()) {
            (true, _) => DeleteEncoding::Copy,
            (false, FormatVersion::V3) => DeleteEncoding::Vector,
            (false, _) => DeleteEncoding::Position,
        }
    }

    /// The version that has it; nothing where each of ours does.
    pub fn format_version(self) -> Option<FormatVersion> {
        match self {
            DeleteEncoding::Position => Some(FormatVersion::V2),
            DeleteEncoding::Vector => Some(FormatVersion::V3),
            DeleteEncoding::Copy => None,
        }
    }

    /// What a table says of it beside its version.
    pub fn properties(self) -> HashMap<String, String> {
        let mode = if self == DeleteEncoding::Copy { COPY_ON_WRITE } else { MERGE_ON_READ };
        MODES.iter().map(|name| ((*name).to_owned(), mode.to_owned())).collect()
    }

    pub fn word(self) -> &'static str {
        match self {
            DeleteEncoding::Position => "position",
            DeleteEncoding::Vector => "dv",
            DeleteEncoding::Copy => "cow",
        }
    }
}

impl fmt::Display for DeleteEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for DeleteEncoding {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let all = [DeleteEncoding::Position, DeleteEncoding::Vector, DeleteEncoding::Copy];
        all.into_iter().find(|encoding| encoding.word() == word).ok_or_else(|| {
            Error::usage(format!("{word:?} is no way to write deleted rows"))
                .with_hint("one of position, dv (deletion vectors), cow (copy-on-write)")
        })
    }
}

/// Where nothing is said, rows are deleted beside the data files.
pub fn copies_on_write(table: &TableMetadata) -> bool {
    table.properties().get(MODE).is_some_and(|mode| mode == COPY_ON_WRITE)
}
