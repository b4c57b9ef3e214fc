//! `dlq`: the records that a table could not take.

use std::io::Write;

use serde::Serialize;
use tableflow_model::{Error, Result};

use super::args::{DlqListArguments, DlqVerb, TableReference};
use super::query;
use super::session::Session;
use crate::definition::{DeadLetters, Definition, ErrorHandling};
use crate::exit::Exit;
use crate::output;
use crate::pipeline::budget::TableMemory;
use crate::pipeline::replay::{Stay, outstanding, refused_condition, replay};
use crate::pipeline::status::{TableStatus, status_of};

/// What is shown of a letter, without its bytes.
const LISTED: &str = "\"partition\", \"offset\", \"timestamp\", value_schema, reason, message";
/// Bytes that are text are shown as text; others as they are, which JSON has as base64.
const SHOWN: &str = "\"partition\", \"offset\", \"timestamp\", \
    TRY_CAST(\"key\" AS VARCHAR) AS \"key\", CASE WHEN TRY_CAST(\"key\" AS VARCHAR) IS NULL THEN \"key\" END AS key_bytes, \
    TRY_CAST(\"value\" AS VARCHAR) AS \"value\", CASE WHEN TRY_CAST(\"value\" AS VARCHAR) IS NULL THEN \"value\" END AS value_bytes, \
    headers, value_schema, reason, path, message";

/// How many letters of a table are no rows yet.
#[derive(Debug, Serialize)]
struct Letters {
    table: String,
    topic: String,
    dead_letters: u64,
}

impl Letters {
    fn of(status: TableStatus) -> Self {
        Letters { table: status.table, topic: status.topic, dead_letters: status.rows_dead_lettered }
    }
}

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
        DlqVerb::List(DlqListArguments { table: None, .. }) => count_all(&session, out).await,
        DlqVerb::List(DlqListArguments { table: Some(table), condition }) => {
            show((table, condition.as_deref()), LISTED, session, out).await
        }
        DlqVerb::Show(words) => show((&words.table.table, words.condition.as_deref()), SHOWN, session, out).await,
        DlqVerb::Replay(words) => {
            let definition = definition(&words.table.table, &session).await?;
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

async fn definition(table: &TableReference, session: &Session) -> Result<Definition> {
    let table = session.enabled_table(table).await?;
    session.home.definitions().get(&table).await
}

/// How many letters each table has that has any.
async fn count_all(session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let definitions = session.enabled().await?.definitions;
    let mut counted = Vec::new();
    for definition in &definitions {
        if definition.dead_letters.is_some() {
            counted.extend(Some(status_of(&session.home, definition).await?).filter(|it| it.rows_dead_lettered > 0));
        }
    }
    let counted: Vec<Letters> = counted.into_iter().map(Letters::of).collect();
    if counted.is_empty() {
        session.remark("no table has dead letters");
    }
    output::documents(session.format, &counted, &["table", "topic", "dead_letters"], out)?;
    Ok(Exit::Done)
}

/// Letters that are no rows yet.
async fn show(
    (table, condition): (&TableReference, Option<&str>),
    columns: &str,
    session: Session,
    out: &mut dyn Write,
) -> Result<Exit> {
    let definition = definition(table, &session).await?;
    let Some(DeadLetters { table, .. }) = definition.dead_letters else {
        return Err(Error::usage(format!("{} keeps no dead letters", definition.table))
            .with_detail(match definition.error_handling {
                ErrorHandling::Skip => "records that cannot be decoded are passed over and counted",
                _ => "it stops at a record that cannot be decoded",
            })
            .with_hint(format!("`tableflow update {} --error-handling LOG` keeps them", definition.table)));
    };
    let sql = format!(
        "SELECT {columns} FROM ({}) AS letters WHERE {} ORDER BY \"partition\", \"offset\"",
        outstanding(&table),
        condition.unwrap_or("true")
    );
    match condition {
        None => query::print(&sql, None, session, out).await?,
        Some(condition) => {
            query::print(&sql, None, session, out).await.map_err(|error| refused_condition(condition, error))?
        }
    };
    Ok(Exit::Done)
}
