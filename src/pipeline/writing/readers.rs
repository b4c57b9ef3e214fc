//! Which engines read what.
//!
//! Owns [`Reader`]. As engines were in November 2026: docs/reference.md has the same table.

use std::fmt;
use std::str::FromStr;

use iceberg::spec::FormatVersion;
use serde::{Deserialize, Serialize};
use tableflow_lake::layout::DeleteEncoding;
use tableflow_model::{Error, Result};

/// An engine that a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reader {
    Athena,
    BigQuery,
    ClickHouse,
    Daft,
    Databricks,
    DataFusion,
    DuckDb,
    PyIceberg,
    Snowflake,
    Spark,
    Trino,
}

impl Reader {
    pub const ALL: [Reader; 11] = [
        Reader::Athena,
        Reader::BigQuery,
        Reader::ClickHouse,
        Reader::Daft,
        Reader::Databricks,
        Reader::DataFusion,
        Reader::DuckDb,
        Reader::PyIceberg,
        Reader::Snowflake,
        Reader::Spark,
        Reader::Trino,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Reader::Athena => "athena",
            Reader::BigQuery => "bigquery",
            Reader::ClickHouse => "clickhouse",
            Reader::Daft => "daft",
            Reader::Databricks => "databricks",
            Reader::DataFusion => "datafusion",
            Reader::DuckDb => "duckdb",
            Reader::PyIceberg => "pyiceberg",
            Reader::Snowflake => "snowflake",
            Reader::Spark => "spark",
            Reader::Trino => "trino",
        }
    }

    /// Why it cannot read a table that is written so; nothing where it can.
    pub fn objection(self, version: FormatVersion, encoding: DeleteEncoding) -> Option<&'static str> {
        match (self, encoding) {
            (Reader::Athena, _) if version == FormatVersion::V3 => Some("reads no version 3 of the format"),
            (Reader::ClickHouse | Reader::Daft | Reader::DataFusion, DeleteEncoding::Vector) => {
                Some("reads no deletion vectors")
            }
            (Reader::BigQuery, DeleteEncoding::Vector) => {
                Some("reads deletion vectors by way of its own catalog alone")
            }
            (Reader::Databricks, DeleteEncoding::Position) => Some("may show rows that files of positions delete"),
            _ => None,
        }
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Reader {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let word = text.trim().to_lowercase();
        Reader::ALL.into_iter().find(|reader| reader.word() == word).ok_or_else(|| {
            let known: Vec<&str> = Reader::ALL.into_iter().map(Reader::word).collect();
            Error::usage(format!("nothing is known of a reader {text:?}"))
                .with_hint(format!("one of {}; or say --delete-encoding", known.join(", ")))
        })
    }
}
