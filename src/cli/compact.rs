//! `compact`: small files become large ones.

use std::io::Write;

use tableflow_model::{Error, Result};

use super::args::CompactArguments;
use super::session::Session;
use crate::exit::Exit;
use crate::output;
use crate::upkeep::compaction::{Options, Report, compact, dry_run};

/// What a table of several reports shows; the report of one table is shown whole.
const COLUMNS: [&str; 6] = ["table", "files_read", "files_written", "bytes_read", "bytes_written", "seconds"];

/// Each table by itself: the error of one does not keep the others from being compacted.
pub async fn run(arguments: &CompactArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let mut tables = Vec::new();
    for reference in &arguments.tables {
        tables.push(session.catalog_table(reference).await?);
    }
    let options = Options {
        target_bytes: arguments.target_file_size.bytes(),
        condition: arguments.condition.clone(),
        at_once: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes_max: session.memory_bytes_max(),
    };
    let (mut reports, mut failed): (Vec<Report>, Option<Error>) = (Vec::new(), None);
    for table in &tables {
        let done = match arguments.dry_run {
            true => dry_run(&session.home, table, &options).await,
            false => compact(&session.home, table, &options).await,
        };
        match done {
            Ok(report) => reports.push(report),
            Err(error) => failed = failed.or(Some(error.with_context("table", table.to_plain_string()))),
        }
    }
    match reports.as_slice() {
        [] => {}
        [one] if tables.len() == 1 => output::document(session.format, one, out)?,
        several => output::documents(session.format, several, &COLUMNS, out)?,
    }
    failed.map_or(Ok(Exit::Done), Err)
}
