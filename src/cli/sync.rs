//! `sync`: one shot, up to the ends that the topics have now.
//!
//! Where a service runs on the same data directory, it does the work and this waits for it: two writers of one
//! table would only take it from each other.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::Serialize;
use tableflow_model::{Error, Result};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::args::SyncArguments;
use super::session::Session;
use crate::exit::Exit;
use crate::home::Home;
use crate::lease::live_service;
use crate::output;
use crate::pipeline::budget::TableMemory;
use crate::pipeline::definition::{Definition, Wanted};
use crate::pipeline::job::{Ended, Goal};
use crate::pipeline::progress::{Progress, State, Trouble};
use crate::pipeline::status::{put_report, status_of};
use crate::pipeline::supervise::run_job;

/// How many tables are synced at the same time: enough to keep the cores busy.
const JOBS_MAX: usize = 8;

const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Serialize)]
struct Synced {
    table: String,
    rows_committed: u64,
    commits: u64,
    error: Option<String>,
}

pub async fn run(arguments: &SyncArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let mut definitions = session.enabled().await?;
    let mut wanted = Vec::new();
    for reference in &arguments.tables {
        wanted.push(session.enabled_table(reference).await?);
    }
    definitions.retain(|definition| definition.wanted == Wanted::Running);
    definitions.retain(|definition| wanted.is_empty() || wanted.contains(&definition.table));
    let outcomes = match live_service(&session.home).await {
        Some(_) => wait_for_service(session, &definitions).await?,
        None => sync_all(session, definitions).await,
    };
    let synced: Vec<&Synced> = outcomes.iter().map(|(synced, _)| synced).collect();
    output::documents(session.format, &synced, &["table", "rows_committed", "commits", "error"], out)?;
    match outcomes.into_iter().find_map(|(_, error)| error) {
        Some(error) => Err(error),
        None => Ok(Exit::Done),
    }
}

type Outcome = (Synced, Option<Error>);

async fn sync_all(session: &Session, definitions: Vec<Definition>) -> Vec<Outcome> {
    let memory = TableMemory::new(session.memory_bytes_max());
    let mut waiting = definitions.into_iter();
    let mut running = JoinSet::new();
    let mut outcomes = Vec::new();
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
        let joined = tokio::select! {
            joined = running.join_next() => joined,
            () = tokio::time::sleep(LOOK_EVERY) => {
                bar.set_position(watched.iter().map(|progress| progress.rows_committed.load(Relaxed)).sum());
                continue;
            }
        };
        match joined {
            Some(Ok(outcome)) => outcomes.push(outcome),
            Some(Err(panic)) => {
                let error = Error::internal("the job of a table failed inside").with_detail(panic.to_string());
                let synced =
                    Synced { table: "?".to_owned(), rows_committed: 0, commits: 0, error: Some(error.to_string()) };
                outcomes.push((synced, Some(error)));
            }
            None => break,
        }
    }
    bar.finish_and_clear();
    outcomes.sort_by(|a, b| a.0.table.cmp(&b.0.table));
    outcomes
}

async fn sync_one(home: Home, definition: Definition, progress: Arc<Progress>, memory: Arc<TableMemory>) -> Outcome {
    let goal = Goal::CatchUp(CancellationToken::new());
    let table = definition.table.to_plain_string();
    let version = definition.version;
    let name = definition.table.clone();
    let ended = run_job(home.clone(), definition, progress.clone(), memory, goal).await;
    let (state, error) = match ended {
        Ok(Ended::CaughtUp | Ended::Stopped) => (State::Syncing, None),
        Ok(Ended::Fenced(error)) => (State::Paused, Some(error)),
        Ok(Ended::Suspended(error)) | Err(error) => (State::Suspended, Some(error)),
    };
    progress.set_state(state, error.as_ref().map(Trouble::of));
    if let Err(error) = put_report(&home, &name, &progress.report(version, home.clock.now())).await {
        tracing::warn!(table, %error, "its status was not written");
    }
    let error = error.map(|error| error.with_context("table", &table));
    let (rows_committed, commits) = (progress.rows_committed.load(Relaxed), progress.commits.load(Relaxed));
    (Synced { table, rows_committed, commits, error: error.as_ref().map(ToString::to_string) }, error)
}

async fn wait_for_service(session: &Session, definitions: &[Definition]) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for definition in definitions {
        let ends = status_of(&session.home, definition).await?;
        let outcome = loop {
            let now = status_of(&session.home, definition).await?;
            let reached =
                now.partitions.iter().zip(&ends.partitions).all(|(now, end)| now.next_offset >= end.end_offset);
            let gone = live_service(&session.home).await.is_none();
            let error = match now.status {
                _ if reached => None,
                State::Suspended => Some(stopped(&now.table, "suspended", now.reason.as_deref(), now.hint.as_deref())),
                State::Paused => Some(stopped(&now.table, "paused", now.reason.as_deref(), now.hint.as_deref())),
                _ if gone => Some(
                    Error::unavailable("the service ended before the table was in step")
                        .with_hint("run sync again: without a service it does the work itself"),
                ),
                _ => {
                    tokio::time::sleep(LOOK_EVERY).await;
                    continue;
                }
            };
            let rows_committed = now.rows_committed.saturating_sub(ends.rows_committed);
            let text = error.as_ref().map(ToString::to_string);
            break (Synced { table: now.table, rows_committed, commits: 0, error: text }, error);
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn stopped(table: &str, how: &str, reason: Option<&str>, hint: Option<&str>) -> Error {
    let error = Error::data(format!("{table} is {how}")).with_detail(reason.unwrap_or("no reason is known"));
    hint.into_iter().fold(error, |error, hint| error.with_hint(hint))
}
