//! `sync`: one shot, up to the ends that the topics have now.
//!
//! Where a service runs on the same data directory, it does the work and this waits for it: two writers of one
//! table would only take it from each other.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tableflow_model::protocol::Ledger;
use tableflow_model::{Error, Result, TableName};
use tokio::task::JoinSet;

use super::args::SyncArguments;
use super::session::Session;
use crate::definition::{Definition, Listing, Wanted};
use crate::exit::Exit;
use crate::home::Home;
use crate::lease::live_service;
use crate::output;
use crate::pipeline::budget::TableMemory;
use crate::pipeline::matching::Matching;
use crate::pipeline::progress::{Progress, State};
use crate::pipeline::status::{TableStatus, status_of};
use crate::pipeline::supervise::catch_up;

/// How many tables are synced at the same time: enough to keep the cores busy.
const JOBS_MAX: usize = 8;

const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Serialize)]
struct Synced {
    table: String,
    #[serde(flatten)]
    came: Came,
    error: Option<String>,
    hint: Option<String>,
}

/// What became of the records that were read.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Came {
    rows_committed: u64,
    rows_skipped: u64,
    rows_dead_lettered: u64,
    commits: u64,
}

/// A table's line, and its error whole.
type Outcome = (Synced, Option<Error>);

fn outcome(table: String, came: Came, error: Option<Error>) -> Outcome {
    let hint = error.as_ref().and_then(Error::hint).map(str::to_owned);
    let text = error.as_ref().map(ToString::to_string);
    (Synced { table, came, error: text, hint }, error)
}

pub async fn run(arguments: &SyncArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let mut outcomes = Vec::new();
    let definitions = match arguments.tables.as_slice() {
        [] => {
            Matching::new(session.home.clone()).look().await?;
            all(session, &mut outcomes).await?
        }
        references => {
            let mut named = Vec::new();
            for reference in references {
                named.push(session.enabled_table(reference).await?);
            }
            named_ones(session, &named, &mut outcomes).await?
        }
    };
    match live_service(&session.home).await {
        Some(_) => {
            session.remark("a service runs here and does the work: waiting for its commits");
            wait_for_service(session, &definitions, &mut outcomes).await;
        }
        None => sync_all(session, definitions, &mut outcomes).await,
    }
    outcomes.sort_by(|a, b| a.0.table.cmp(&b.0.table));
    let synced: Vec<&Synced> = outcomes.iter().map(|(synced, _)| synced).collect();
    output::documents(session.format, &synced, &shown(&synced), out)?;
    match outcomes.into_iter().find_map(|(_, error)| error) {
        Some(error) => Err(error),
        None => Ok(Exit::Done),
    }
}

/// What a table shows: of what was put aside only where something was.
fn shown(synced: &[&Synced]) -> Vec<&'static str> {
    let any = |count: fn(&Came) -> u64| synced.iter().any(|it| count(&it.came) > 0);
    let skipped = any(|came| came.rows_skipped).then_some("rows_skipped");
    let dead_lettered = any(|came| came.rows_dead_lettered).then_some("rows_dead_lettered");
    let first = ["table", "rows_committed"].into_iter().chain(skipped).chain(dead_lettered);
    first.chain(["commits", "error", "hint"]).collect()
}

/// Every table that runs. Paused ones are left out aloud; those that cannot be read are errors already.
async fn all(session: &Session, outcomes: &mut Vec<Outcome>) -> Result<Vec<Definition>> {
    let Listing { definitions, unreadable } = session.enabled().await?;
    if definitions.is_empty() && unreadable.is_empty() {
        session.remark_on_no_tables();
    }
    outcomes.extend(unreadable.into_iter().map(|it| outcome(it.table, Came::default(), Some(it.error))));
    let (running, paused): (Vec<_>, Vec<_>) = definitions.into_iter().partition(|it| it.wanted == Wanted::Running);
    if !paused.is_empty() {
        let names: Vec<String> = paused.iter().map(|definition| definition.table.to_string()).collect();
        session.remark(&format!("left out, being paused: {}", names.join(", ")));
    }
    Ok(running)
}

/// The tables that were named; a paused one among them is an error, since its rows stay where they are.
async fn named_ones(session: &Session, named: &[TableName], outcomes: &mut Vec<Outcome>) -> Result<Vec<Definition>> {
    let mut definitions = session.enabled().await?.definitions;
    definitions.retain(|definition| named.contains(&definition.table));
    let (running, paused): (Vec<_>, Vec<_>) = definitions.into_iter().partition(|it| it.wanted == Wanted::Running);
    for definition in paused {
        let status = status_of(&session.home, &definition).await?;
        outcomes.push(outcome(status.table.clone(), Came::default(), Some(stopped("paused", &status))));
    }
    Ok(running)
}

async fn sync_all(session: &Session, definitions: Vec<Definition>, outcomes: &mut Vec<Outcome>) {
    let memory = TableMemory::new(session.memory_bytes_max());
    let mut waiting = definitions.into_iter();
    let mut running = JoinSet::new();
    let bar = output::progress::rows(session.quiet);
    let mut watched: Vec<Arc<Progress>> = Vec::new();
    loop {
        while running.len() < JOBS_MAX
            && let Some(definition) = waiting.next()
        {
            let progress = Arc::new(Progress::default());
            watched.push(progress.clone());
            running.spawn(sync_one(session.home.clone(), definition, progress, memory.clone()));
        }
        tokio::select! {
            joined = running.join_next() => match joined {
                Some(Ok(outcome)) => outcomes.push(outcome),
                // Nothing in it panics or is cancelled: the job is a task of its own.
                Some(Err(error)) => tracing::error!(%error, "a table's outcome is lost"),
                None => break,
            },
            () = tokio::time::sleep(LOOK_EVERY) => {
                bar.set_position(watched.iter().map(|progress| progress.figures().account.settled().rows).sum());
            }
        }
    }
    bar.finish_and_clear();
    session.home.topics.tell_positions().await;
}

async fn sync_one(home: Home, definition: Definition, progress: Arc<Progress>, memory: Arc<TableMemory>) -> Outcome {
    let table = definition.table.to_plain_string();
    let error = catch_up(&home, definition, progress.clone(), memory).await.err();
    let error = error.map(|error| error.with_context("table", &table));
    let figures = progress.figures();
    let settled = figures.account.settled();
    let came = Came {
        rows_committed: settled.rows,
        rows_skipped: settled.skipped,
        rows_dead_lettered: settled.dead_lettered,
        commits: figures.commits,
    };
    outcome(table, came, error)
}

async fn wait_for_service(session: &Session, definitions: &[Definition], outcomes: &mut Vec<Outcome>) {
    for definition in definitions {
        let mut came = Came::default();
        let epoch_before = epoch(&session.home, definition).await;
        let error = wait_for(&session.home, definition, &mut came).await.err();
        came.commits = epoch(&session.home, definition).await.saturating_sub(epoch_before);
        outcomes.push(outcome(definition.table.to_plain_string(), came, error));
    }
}

/// Where the table's ledger stands: its job counts its commits there.
async fn epoch(home: &Home, definition: &Definition) -> u64 {
    let Ok(table) = home.catalog.load_table(definition.anchor()).await else { return 0 };
    let text = table.metadata.properties().get(&Ledger::property(&definition.job));
    text.and_then(|text| Ledger::from_text(text).ok()).map_or(0, |ledger| ledger.epoch.0)
}

/// Waits until a table has what its topic has now, and says what came meanwhile.
async fn wait_for(home: &Home, definition: &Definition, came: &mut Came) -> Result<()> {
    let ends = home.source_of(definition).await?.ranges().await?;
    let before = status_of(home, definition).await?;
    loop {
        // Read anew: somebody may pause it meanwhile.
        let now = status_of(home, &home.definitions().get(&definition.table).await?).await?;
        came.rows_committed = now.rows_committed.saturating_sub(before.rows_committed);
        came.rows_skipped = now.rows_skipped.saturating_sub(before.rows_skipped);
        came.rows_dead_lettered = now.rows_dead_lettered.saturating_sub(before.rows_dead_lettered);
        let next = |partition: i32| now.partitions.iter().find(|it| it.partition == partition).map(|it| it.next_offset);
        let reached = ends.iter().all(|(partition, range)| next(partition.0) >= Some(range.end.0));
        let gone = live_service(home).await.is_none();
        match now.status {
            State::Suspended => return Err(stopped("suspended", &now)),
            _ if reached => return Ok(()),
            State::Paused => return Err(stopped("paused", &now)),
            _ if gone => {
                return Err(Error::unavailable("the service ended before the table was in step")
                    .with_hint("run sync again: without a service it does the work itself"));
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn stopped(how: &str, status: &TableStatus) -> Error {
    let reason = status.reason.as_deref().unwrap_or("no reason is known");
    let error = Error::data(format!("{} is {how}", status.table)).with_detail(reason);
    status.hint.iter().fold(error, |error, hint| error.with_hint(hint))
}
