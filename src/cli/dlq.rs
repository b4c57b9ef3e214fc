//! `dlq`: the records that a table could not take.

use std::io::Write;

use serde::Serialize;
use tableflow_model::{Error, Result};

use super::args::{DlqArguments, DlqVerb};
use super::query;
use super::session::Session;
use crate::definition::{DeadLetters, Definition, ErrorHandling};
use crate::exit::Exit;
use crate::output;
use crate::pipeline::budget::TableMemory;
use crate::pipeline::replay::{Stay, outstanding, refused_condition, replay};

/// What is shown of a letter, without its bytes.
const LISTED: &str = "\"partition\", \"offset\", \"timestamp\", value_schema, reason, message";
/// Bytes that are text are shown as text; others as they are, which JSON has as base64.
const SHOWN: &str = "\"partition\", \"offset\", \"timestamp\", \
    TRY_CAST(\"key\" AS VARCHAR) AS \"key\", CASE WHEN TRY_CAST(\"key\" AS VARCHAR) IS NULL THEN \"key\" END AS key_bytes, \
    TRY_CAST(\"value\" AS VARCHAR) AS \"value\", CASE WHEN TRY_CAST(\"value\" AS VARCHAR) IS NULL THEN \"value\" END AS value_bytes, \
    headers, value_schema, reason, path, message";

#[derive(Debug, Serialize)]
struct Outcome {
    table: String,
    /// Letters that became rows.
    rows_replayed: u64,
    /// Letters that are no rows yet, asked for or not.
    letters_left: u64,
    /// Why those that were asked for stay.
    stay: Vec<Stay>,
}

pub async fn run(verb: &DlqVerb, session: Session, out: &mut dyn Write) -> Result<Exit> {
    match verb {
        DlqVerb::List(words) => show(words, LISTED, session, out).await,
        DlqVerb::Show(words) => show(words, SHOWN, session, out).await,
        DlqVerb::Replay(words) => {
            let definition = definition(words, &session).await?;
            let memory = TableMemory::new(session.memory_bytes_max());
            let replayed = replay(&session.home, &definition, words.condition.as_deref(), memory).await?;
            let outcome = Outcome {
                table: definition.table.to_plain_string(),
                rows_replayed: replayed.rows,
                letters_left: replayed.left(),
                stay: replayed.stay,
            };
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
        return Err(Error::usage(format!("{} keeps no dead letters", definition.table))
            .with_detail(match definition.error_handling {
                ErrorHandling::Skip => "records that cannot be decoded are passed over and counted",
                _ => "it stops at a record that cannot be decoded",
            })
            .with_hint(format!("`tableflow update {} --error-handling LOG` keeps them", definition.table)));
    };
    let condition = words.condition.as_deref().unwrap_or("true");
    let sql = format!(
        "SELECT {columns} FROM ({}) AS letters WHERE {condition} ORDER BY \"partition\", \"offset\"",
        outstanding(&table)
    );
    match &words.condition {
        None => query::print(&sql, None, session, out).await?,
        Some(condition) => {
            query::print(&sql, None, session, out).await.map_err(|error| refused_condition(condition, error))?
        }
    };
    Ok(Exit::Done)
}
