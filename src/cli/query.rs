//! `query`: SQL over the tables.

use std::io::{Read, Write, stdin};

use futures::StreamExt;
use tableflow_model::{Error, Result};

use super::args::QueryArguments;
use super::session::Session;
use crate::exit::Exit;
use crate::output::Rows;
use crate::query::{Point, QuerySession, query_error};

pub async fn run(arguments: &QueryArguments, session: Session, out: &mut dyn Write) -> Result<Exit> {
    let sql = text(arguments)?;
    print(&sql, arguments.as_of, session, out).await?;
    Ok(Exit::Done)
}

/// The rows of a statement.
pub async fn print(sql: &str, as_of: Option<Point>, session: Session, out: &mut dyn Write) -> Result<()> {
    let format = session.format;
    let memory_bytes_max = session.memory_bytes_max();
    let query = QuerySession::new(session.home, memory_bytes_max);
    let mut stream = query.stream(sql, as_of).await?;
    let mut rows = Rows::new(format, &stream.schema(), out)?;
    while let Some(batch) = stream.next().await {
        rows.write(&batch.map_err(query_error)?)?;
    }
    rows.finish()
}

fn text(arguments: &QueryArguments) -> Result<String> {
    let cannot_read = |what: String| move |error| Error::usage(format!("{what} cannot be read")).with_source(error);
    match (&arguments.file, arguments.sql.as_deref()) {
        (Some(path), _) => std::fs::read_to_string(path).map_err(cannot_read(path.display().to_string())),
        (None, Some("-") | None) => {
            let mut sql = String::new();
            stdin().read_to_string(&mut sql).map_err(cannot_read("stdin".to_owned()))?;
            Ok(sql)
        }
        (None, Some(sql)) => Ok(sql.to_owned()),
    }
}
