//! The words that a definition is written in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tableflow_connectors::decode::Evolution;
use tableflow_model::{Error, Result};

/// Whether the table is to be kept fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    Running,
    Paused,
    /// The table stays, the topic no longer fills it.
    Disabled,
}

/// Where a new table starts to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartFrom {
    Earliest,
    Latest,
}

/// How the values of a topic's records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A JSON object each, without a schema.
    #[default]
    Json,
    /// By a schema of the registry, as the following ones.
    Avro,
    JsonSchema,
    Protobuf,
    /// As they are.
    Raw,
}

/// What is around the rows of a topic's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Envelope {
    /// Changes of a database's rows, as Debezium's connectors send them.
    Debezium,
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Envelope::Debezium => "debezium",
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Json => "json",
            Format::Avro => "avro",
            Format::JsonSchema => "json-schema",
            Format::Protobuf => "protobuf",
            Format::Raw => "raw",
        })
    }
}

impl Format {
    /// Do records name schemas of a registry?
    pub fn has_schemas(self) -> bool {
        matches!(self, Format::Avro | Format::JsonSchema | Format::Protobuf)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_json(&self) -> bool {
        *self == Format::Json
    }
}

/// The column that says whether a row is deleted, as Debezium's flattened records have it.
pub const DELETED_COLUMN: &str = "__deleted";

/// What becomes of a row whose key is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deletes {
    /// It goes.
    #[default]
    Hard,
    /// It stays, and [`DELETED_COLUMN`] says so.
    Soft,
    /// Each version of it stays, with the times from when until when it was.
    History,
}

impl fmt::Display for Deletes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deletes::Hard => "hard",
            Deletes::Soft => "soft",
            Deletes::History => "history",
        })
    }
}

impl Deletes {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_hard(&self) -> bool {
        *self == Deletes::Hard
    }
}

/// What becomes of a record that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ErrorHandling {
    /// The table stops at it.
    #[default]
    Suspend,
    /// It is counted, and left out.
    Skip,
    /// It becomes a row of the table of dead letters.
    Log,
}

impl fmt::Display for ErrorHandling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorHandling::Suspend => "SUSPEND",
            ErrorHandling::Skip => "SKIP",
            ErrorHandling::Log => "LOG",
        })
    }
}

impl ErrorHandling {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_suspend(&self) -> bool {
        *self == ErrorHandling::Suspend
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_additive(evolution: &Evolution) -> bool {
    *evolution == Evolution::Additive
}

/// What of a record says which of several tables it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FanOutBy {
    /// The name of the type that its schema describes.
    RecordName,
    Header(String),
    /// Names joined by points, from the record down.
    Field(String),
}

impl FanOutBy {
    /// As a sentence has it.
    pub fn words(&self) -> String {
        match self {
            FanOutBy::RecordName => "the name of its type".to_owned(),
            FanOutBy::Header(name) => format!("header {name}"),
            FanOutBy::Field(path) => format!("field {path}"),
        }
    }
}

impl fmt::Display for FanOutBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FanOutBy::RecordName => f.write_str("record-name"),
            FanOutBy::Header(name) => write!(f, "header:{name}"),
            FanOutBy::Field(path) => write!(f, "field:{path}"),
        }
    }
}

impl FromStr for FanOutBy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text.eq_ignore_ascii_case("record-name") => Ok(FanOutBy::RecordName),
            Some(("header", name)) if !name.is_empty() => Ok(FanOutBy::Header(name.to_owned())),
            Some(("field", path)) if path.split('.').all(|name| !name.is_empty()) => {
                Ok(FanOutBy::Field(path.to_owned()))
            }
            _ => Err(Error::usage(format!("{text:?} does not say what tells the records of a topic apart"))
                .with_hint("use record-name, header:NAME or field:PATH")),
        }
    }
}

impl TryFrom<String> for FanOutBy {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<FanOutBy> for String {
    fn from(by: FanOutBy) -> Self {
        by.to_string()
    }
}
