//! How results are printed: rows of a query, and documents such as a table's status.
//!
//! Owns the formats of `-o`. Every function writes to the writer it is given, which is stdout's in the binary:
//! machine output goes there alone.
//! - I1: numbers keep every digit: 64-bit integers and decimals are JSON numbers with all of theirs.
//! - I2: zoned timestamps are RFC 3339 in UTC, zoneless ones the same without the Z, bytes are base64, floats that
//!   JSON has no number for are the texts "NaN", "Infinity", "-Infinity". Nulls are written, so that every object
//!   of a result has the same fields.
//! - I3: json, ndjson and csv rows are written batch by batch, in constant memory; a table shows the first rows and
//!   says how many there are.
//! - I4: a closed stdout (`| head`) is noticed by [`Stdout`], so that it ends the process well.

mod document;
mod json;
pub mod progress;
mod rows;
mod stdout;
mod table;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use tableflow_model::{Error, Result};

pub use document::{document, documents};
pub use rows::Rows;
pub use stdout::Stdout;

/// The values of `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One document
    Json,
    /// One document; not for rows
    Yaml,
    /// One JSON object a line
    Ndjson,
    /// For spreadsheets; nested values are JSON
    Csv,
}

/// The error of a result that could not be printed.
pub fn printed<T>(outcome: Result<T, impl std::error::Error + Send + Sync + 'static>) -> Result<T> {
    outcome.map_err(|error| Error::unavailable("the result could not be printed").with_source(error))
}

/// A time of metadata, as `query` prints times with a zone.
pub fn rfc3339(millis: i64) -> Option<String> {
    let time = chrono::DateTime::from_timestamp_millis(millis)?;
    Some(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

/// Bytes as people read them: the text where it is text, else base64.
pub fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", STANDARD.encode(bytes)),
    }
}

#[cfg(test)]
mod tests;
