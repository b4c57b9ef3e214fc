//! `dlq`: the records that a table could not take.

use std::io::Write;

use serde::Serialize;
use tableflow_model::{Error, Result};

use super::args::{DlqArguments, DlqVerb};
use super::query;
use super::session::Session;
use crate::definition::{DeadLetters, Definition};
use crate::exit::Exit;
use crate::output;
use crate::pipeline::budget::TableMemory;
use crate::pipeline::replay::{Replayed, outstanding, replay};

/// What is shown of a letter, without its bytes.
const LISTED: &str = "\"partition\", \"offset\", \"timestamp\", value_schema, reason, message";
const SHOWN: &str =
    "\"partition\", \"offset\", \"timestamp\", \"key\", \"value\", headers, value_schema, reason, path, message";

#[derive(Debug, Serialize)]
struct Outcome {
    table: String,
    /// Letters that became rows.
    rows_replayed: u64,
    /// Letters that cannot be decoded still.
    letters_left: u64,
}

pub async fn run(verb: &DlqVerb, session: Session, out: &mut dyn Write) -> Result<Exit> {
    match verb {
        DlqVerb::List(words) => show(words, LISTED, session, out).await,
        DlqVerb::Show(words) => show(words, SHOWN, session, out).await,
        DlqVerb::Replay(words) => {
            let definition = definition(words, &session).await?;
            let memory = TableMemory::new(session.memory_bytes_max());
            let Replayed { rows, left } =
                replay(&session.home, &definition, words.condition.as_deref(), memory).await?;
            let outcome =
                Outcome { table: definition.table.to_plain_string(), rows_replayed: rows, letters_left: left };
            output::document(session.format, &outcome, out)?;
            Ok(Exit::Done)
        }
    }
}

async fn definition(words: &DlqArguments, session: &Session) -> Result<Definition> {
    let table = session.enabled_table(&words.table.table).await?;
    session.home.definitions().get(&table).await
}

/// Letters that are no rows yet.
async fn show(words: &DlqArguments, columns: &str, session: Session, out: &mut dyn Write) -> Result<Exit> {
    let definition = definition(words, &session).await?;
    let Some(DeadLetters { table, .. }) = definition.dead_letters else {
        return Err(Error::usage(format!("{} has no dead letters", definition.table))
            .with_hint(format!("`tableflow update {} --error-handling LOG` keeps them", definition.table)));
    };
    let condition = words.condition.as_deref().unwrap_or("true");
    let sql = format!(
        "SELECT {columns} FROM ({}) AS letters WHERE {condition} ORDER BY \"partition\", \"offset\"",
        outstanding(&table)
    );
    query::print(&sql, None, session, out).await?;
    Ok(Exit::Done)
}
