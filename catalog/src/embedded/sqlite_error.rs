//! What SQLite's errors mean.
//!
//! Owns their translation and the allow-list of those that certainly had no effect.
//! - I1: [`had_no_effect`] is an allow-list (C4): SQLite gives these back before a statement changes anything. An
//!   I/O error, a full disk or a lost worker is not on it: the log may hold the change.
//!
//! Neighbours: `rows` asks for every error it meets.

use std::path::Path;

use sqlx::Error as SqlError;
use tableflow_model::Error;

const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;
const NOTADB: u32 = 26;
const CONSTRAINT: u32 = 19;

/// The primary result code; the extended one carries it in its low byte.
fn code(error: &SqlError) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

pub(super) fn is_taken(error: &SqlError) -> bool {
    code(error) == Some(CONSTRAINT)
}

/// I1.
pub(super) fn had_no_effect(error: &SqlError) -> bool {
    match error {
        SqlError::PoolTimedOut | SqlError::PoolClosed => true,
        _ => matches!(code(error), Some(BUSY | LOCKED | READONLY | CANTOPEN | NOTADB | CONSTRAINT)),
    }
}

pub(super) fn translate(database: &Path, error: SqlError) -> Error {
    let file = database.display();
    let translated = match code(&error) {
        Some(NOTADB) => Error::data(format!("{file} is not a catalog database")).with_hint(
            "restore it from a backup, or move it away to begin with an empty catalog; tables' files are not touched",
        ),
        Some(CORRUPT) => Error::data(format!("the catalog database {file} is damaged")).with_hint(
            "restore it from a backup, or mend it with: sqlite3 FILE .recover; tables' files are not touched",
        ),
        Some(BUSY | LOCKED) => Error::unavailable(format!("the catalog database {file} is locked"))
            .with_detail("another process has kept it locked"),
        Some(FULL) => Error::unavailable(format!("the catalog database {file} cannot grow"))
            .with_detail("the disk is full")
            .with_hint("free some space"),
        Some(READONLY) => Error::unavailable(format!("the catalog database {file} cannot be written"))
            .with_hint("give this user the right to write the file and its directory"),
        Some(CANTOPEN) => Error::unavailable(format!("the catalog database {file} cannot be opened"))
            .with_hint("its directory must exist, and this user needs the right to write in it"),
        _ => Error::unavailable(format!("the catalog database {file} does not answer")),
    };
    translated.with_source(error)
}
