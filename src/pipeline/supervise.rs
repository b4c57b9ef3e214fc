//! All enabled tables of a data directory, each as a task of one pool.
//!
//! Owns [`Supervisor`]: what is declared is compared with what runs, and jobs are started and stopped. Beside it
//! [`catch_up`], one job to its end, for those who do not stay.
//! - I1: one table's end, error or panic touches no other table.
//! - I2: a job that ended stays ended, with its reason, until a person changes the definition (`resume` does).
//! - I3: a change made by another process is noticed within [`LOOK_EVERY`]; with so many tables that their definitions
//!   take long to list, within [`LOOK_EVERY_MAX`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use tableflow_model::{Error, ErrorKind, Millis, Result, TableName, TopicName};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::budget::TableMemory;
use super::epochs::Epochs;
use super::ingest::Ingest;
use super::job::{Ended, Goal, verdict};
use super::lanes::Lane;
use super::mode::conversion::Conversion;
use super::mode::{self, Standing};
use super::progress::{Progress, Report, State, Trouble, UpkeepReport};
use super::status::{put_report, status_of};
use super::target;
use crate::definition::{Definition, Definitions, Wanted};
use crate::home::Home;

/// How often definitions are looked at: a listing, no reads where nothing changed.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Ten thousand tables take a while to list: the pause after a look is so many times as long as the look was, up to a
/// limit.
const PAUSES_PER_LOOK: u32 = 30;
pub const LOOK_EVERY_MAX: Duration = Duration::from_secs(10);

/// Long enough that a job which cannot begin costs nothing.
const BEGIN_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// A table's report is written at once when its state changes, else this often.
const REPORT_EVERY_MS: i64 = 5_000;

/// A thousand busy tables have a report each every few seconds, and changes of definitions wait for none of them long.
const REPORTS_AT_ONCE: usize = 32;

/// What the world can see of the running jobs.
pub type Board = Arc<Mutex<BTreeMap<TableName, Watched>>>;

/// A running job, from outside.
#[derive(Clone, Debug)]
pub struct Watched {
    pub topic: TopicName,
    pub progress: Arc<Progress>,
}

struct Job {
    definition: Definition,
    progress: Arc<Progress>,
    stop: CancellationToken,
    /// `None` once it has ended.
    task: Option<JoinHandle<Result<Ended>>>,
    reported: Option<Report>,
}

/// Keeps the running jobs in step with the definitions.
pub struct Supervisor {
    home: Home,
    definitions: Definitions,
    memory: Arc<TableMemory>,
    board: Board,
    jobs: HashMap<TableName, Job>,
    /// Definitions already read, by the URI of their version.
    known: HashMap<String, Definition>,
    /// The URIs of those that cannot be read: said once each.
    unreadable: HashSet<String>,
    /// The URIs of those whose table is to rest, and does: reported once each.
    resting: HashSet<String>,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("jobs", &self.jobs.len()).finish_non_exhaustive()
    }
}

impl Supervisor {
    pub fn new(home: Home, memory: Arc<TableMemory>) -> Self {
        let definitions = home.definitions();
        let (board, jobs) = (Board::default(), HashMap::new());
        let (known, unreadable, resting) = (HashMap::new(), HashSet::new(), HashSet::new());
        Supervisor { home, definitions, memory, board, jobs, known, unreadable, resting }
    }

    pub fn lane(&self) -> Arc<Lane> {
        self.memory.lane().clone()
    }

    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// Runs until `stop`, then drains: every job commits what it holds.
    pub async fn run(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.collect().await;
            let looked_at = Instant::now();
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the definitions cannot be read, trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(pause_after(looked_at.elapsed())) => {}
                () = stop.cancelled() => {}
            }
        }
        for job in self.jobs.values() {
            job.stop.cancel();
        }
        for table in self.tables() {
            self.join(&table).await;
        }
        self.report(Due::Always).await;
        self.home.topics.tell_positions().await;
    }

    /// Starts, restarts and stops jobs as the definitions say (I3). A table whose definition cannot be read is not
    /// fed: nobody knows what is wanted of it. The others are (I1).
    pub async fn look(&mut self) -> Result<()> {
        let mut known = HashMap::new();
        for uri in self.definitions.newest_uris().await? {
            let definition = match self.known.remove(&uri) {
                Some(definition) => definition,
                None => match self.definitions.read(&uri).await {
                    Ok(definition) => definition,
                    Err(error) if error.kind() == ErrorKind::Data => {
                        if self.unreadable.insert(uri) {
                            let Trouble { reason, hint, .. } = Trouble::of(&error);
                            tracing::error!(reason, hint, "a table is not fed");
                        }
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            known.insert(uri, definition);
        }
        let wanted: HashMap<&TableName, &Definition> =
            known.values().map(|definition| (&definition.table, definition)).collect();
        for table in self.tables() {
            let changed = wanted.get(&table).copied() != self.jobs.get(&table).map(|job| &job.definition);
            if changed {
                self.stop(&table);
            }
        }
        for (table, definition) in wanted {
            if definition.wanted == Wanted::Running && !self.jobs.contains_key(table) {
                self.start(definition.clone());
            }
        }
        self.known = known;
        self.report_resting().await;
        Ok(())
    }

    /// Tells who paused or disabled a table that its job has ended.
    async fn report_resting(&mut self) {
        self.resting.retain(|uri| self.known.contains_key(uri));
        for (uri, definition) in &self.known {
            let rests = definition.wanted != Wanted::Running && !self.jobs.contains_key(&definition.table);
            if !rests || !self.resting.insert(uri.clone()) {
                continue;
            }
            let report = Report::of_rest(definition.version, self.home.clock.now());
            if let Err(error) = put_report(&self.home, &definition.table, &report).await {
                tracing::warn!(table = %definition.table, %error, "its status was not written");
            }
        }
    }

    fn tables(&self) -> Vec<TableName> {
        self.jobs.keys().cloned().collect()
    }

    fn start(&mut self, definition: Definition) {
        let progress = Arc::new(Progress::default());
        let stop = CancellationToken::new();
        let task = tokio::spawn(run_job(
            self.home.clone(),
            definition.clone(),
            progress.clone(),
            self.memory.clone(),
            Goal::Follow(stop.clone()),
        ));
        if let Ok(mut board) = self.board.lock() {
            let watched = Watched { topic: definition.topic.clone(), progress: progress.clone() };
            board.insert(definition.table.clone(), watched);
        }
        let (table, topic) = (&definition.table, &definition.topic);
        tracing::info!(%table, %topic, "the table is fed");
        let job = Job { progress, stop, task: Some(task), reported: None, definition };
        self.jobs.insert(job.definition.table.clone(), job);
    }

    /// Asks a job to end; one that has ended makes room for its successor. Nothing waits for it here (I1).
    fn stop(&mut self, table: &TableName) {
        let Some(job) = self.jobs.get(table) else { return };
        job.stop.cancel();
        if job.task.is_some() {
            return;
        }
        self.jobs.remove(table);
        if let Ok(mut board) = self.board.lock() {
            board.remove(table);
        }
    }

    /// Waits for a job's end and notes why it ended (I1, I2).
    async fn join(&mut self, table: &TableName) {
        let Some(job) = self.jobs.get_mut(table) else { return };
        let Some(task) = job.task.take() else { return };
        let Some((state, error)) = end_of(table, task).await else { return };
        let trouble = Trouble::of(&error);
        let [partition, offset, reason] = ["partition", "offset", "reason"].map(|name| error.context(name));
        let (topic, detail, hint) = (&job.definition.topic, &trouble.reason, &trouble.hint);
        tracing::error!(%table, %topic, partition, offset, reason, detail, hint, "the table stopped");
        job.progress.set_state(state, Some(trouble));
        // What waits is waiting still, and nobody measures it any more.
        if let Ok(status) = status_of(&self.home, &job.definition).await {
            job.progress.lag_records.store(u64::try_from(status.lag).unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Takes note of jobs that ended by themselves, and reports.
    async fn collect(&mut self) {
        let ended = |job: &Job| job.task.as_ref().is_some_and(JoinHandle::is_finished);
        let finished: Vec<_> = self.jobs.iter().filter(|(_, job)| ended(job)).map(|(table, _)| table.clone()).collect();
        for table in finished {
            self.join(&table).await;
        }
        self.report(Due::WhenChanged).await;
    }

    async fn report(&mut self, due: Due) {
        let now = self.home.clock.now();
        let home = &self.home;
        let due = self.jobs.values_mut().filter_map(|job| {
            let upkeep = UpkeepReport::of(&home.growth, &job.progress.tables());
            let report = Report { upkeep, ..job.progress.report(job.definition.version, now) };
            (due == Due::Always || is_due(job.reported.as_ref(), &report, now)).then_some((job, report))
        });
        let putting = futures::stream::iter(due).for_each_concurrent(REPORTS_AT_ONCE, |(job, report)| async move {
            match put_report(home, &job.definition.table, &report).await {
                Ok(()) => job.reported = Some(report),
                Err(error) => tracing::warn!(table = %job.definition.table, %error, "its status was not written"),
            }
        });
        putting.await;
    }
}

/// I3.
fn pause_after(look: Duration) -> Duration {
    (look * PAUSES_PER_LOOK).clamp(LOOK_EVERY, LOOK_EVERY_MAX)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    WhenChanged,
    Always,
}

fn is_due(before: Option<&Report>, report: &Report, now: Millis) -> bool {
    let Some(before) = before else { return true };
    let state_changed = (before.state, &before.trouble) != (report.state, &report.trouble);
    let anything_changed = Report { reported_at: before.reported_at, ..report.clone() } != *before;
    state_changed || (anything_changed && now.0 - before.reported_at.0 >= REPORT_EVERY_MS)
}

/// Waits for a job's end; a panic is one too, with a reason.
async fn end_of(table: &TableName, task: JoinHandle<Result<Ended>>) -> Option<(State, Error)> {
    verdict(task.await.unwrap_or_else(|panic| {
        Err(Error::internal(format!("the job of {table} failed inside"))
            .with_detail(panic.to_string())
            .with_hint("report it with the log; `tableflow resume` tries again"))
    }))
}

/// Brings one table up to the ends that its topic has, and leaves a report of it (I1).
pub async fn catch_up(
    home: &Home,
    definition: Definition,
    progress: Arc<Progress>,
    memory: Arc<TableMemory>,
) -> Result<()> {
    let (table, version) = (definition.table.clone(), definition.version);
    let goal = Goal::CatchUp(CancellationToken::new());
    let task = tokio::spawn(run_job(home.clone(), definition, progress.clone(), memory, goal));
    let verdict = end_of(&table, task).await;
    let (state, trouble) = match &verdict {
        Some((state, error)) => (*state, Some(Trouble::of(error))),
        None => (State::Syncing, None),
    };
    progress.set_state(state, trouble);
    if let Err(error) = put_report(home, &table, &progress.report(version, home.clock.now())).await {
        tracing::warn!(%table, %error, "its status was not written");
    }
    verdict.map_or(Ok(()), |(_, error)| Err(error))
}

/// One job from its definition to its end. One that follows its topic is begun again when something outside does
/// not answer; a one-shot job fails.
pub async fn run_job(
    home: Home,
    mut definition: Definition,
    progress: Arc<Progress>,
    memory: Arc<TableMemory>,
    goal: Goal,
) -> Result<Ended> {
    loop {
        let ended = run_driver(home.clone(), &mut definition, progress.clone(), memory.clone(), goal.clone()).await;
        match (ended, &goal) {
            (Err(error), Goal::Follow(stop)) if error.kind() == ErrorKind::Unavailable && !stop.is_cancelled() => {
                tracing::warn!(table = %definition.table, %error, "the job is begun again");
                progress.set_state(State::Degraded, Some(Trouble::of(&error)));
                tokio::select! {
                    () = tokio::time::sleep(BEGIN_AGAIN_AFTER) => {}
                    () = stop.cancelled() => return Ok(Ended::Stopped),
                }
            }
            // What was not committed is read again by the next service.
            (Err(error), Goal::Follow(_)) if error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(table = %definition.table, %error, "stopped without its last commit");
                return Ok(Ended::Stopped);
            }
            (ended, _) => return ended,
        }
    }
}

/// A table alone is committed by itself; of several, one of dead letters among them, an epoch is decided first. A job
/// is begun again whenever a new type of record has come, or a schema that drops columns: with the newest definition,
/// since with an older one it might take from a table what nobody wants dropped any more, or fill one again that was
/// rolled back meanwhile.
async fn run_driver(
    home: Home,
    definition: &mut Definition,
    progress: Arc<Progress>,
    memory: Arc<TableMemory>,
    goal: Goal,
) -> Result<Ended> {
    loop {
        let (of_job, watched) = (home.clone(), (progress.clone(), memory.clone()));
        let (wanted, goal) = (definition.clone(), goal.clone());
        let ended = match definition.dead_letters.clone() {
            None => run_one_table(of_job, wanted, watched, goal).await?,
            Some(letters) => Epochs::of_topic(of_job, wanted, letters, watched, goal).await?.run().await?,
        };
        match ended {
            Ended::Grown => *definition = home.definitions().newest_of(definition.clone()).await?,
            ended => return Ok(ended),
        }
        if definition.wanted != Wanted::Running {
            let table = definition.table.to_plain_string();
            return Ok(Ended::Fenced(
                Error::conflict(format!("{table} was paused, rolled back or disabled while it was filled"))
                    .with_hint(format!("`tableflow resume {table}` goes on")),
            ));
        }
    }
}

/// A table alone: filled, or changed first.
async fn run_one_table(
    home: Home,
    definition: Definition,
    watched: (Arc<Progress>, Arc<TableMemory>),
    goal: Goal,
) -> Result<Ended> {
    let table = target::load(&home, &definition.table).await?;
    match Standing::of(&definition, &table.metadata) {
        Standing::AsDeclared => Ingest::new(home, (definition, table), watched, goal).await?.run().await,
        Standing::Due(change) => Conversion::new(home, (definition, change), watched, goal).run().await,
        Standing::Ahead => {
            let newest = home.definitions().newest_of(definition).await?;
            match Standing::of(&newest, &table.metadata) {
                Standing::Ahead => Err(mode::unknown_change(&newest.table)),
                _ => Ok(Ended::Grown),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn i1_a_panic_is_an_end_with_the_tables_name_and_a_reason() {
        let table = TableName::new("bronze", "orders").unwrap();
        let (state, error) = end_of(&table, tokio::spawn(async { panic!("one in a million") })).await.unwrap();
        assert_eq!((state, error.message()), (State::Suspended, "the job of bronze.orders failed inside"));
        assert!(error.detail().unwrap().contains("one in a million"), "{}", error.report());
        assert!(end_of(&table, tokio::spawn(async { Ok(Ended::CaughtUp) })).await.is_none());
    }
}
