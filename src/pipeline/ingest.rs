//! One topic into one table: the driver of the protocol's [`DirectWriter`].
//!
//! The machine decides, this file does: load the table, stage an epoch, publish it, tell the machine what
//! happened. No decision about offsets, conflicts or generations is taken here.
//! - I1: what the machine is told about a table is what the next commit is built on (one base, rule S1).
//! - I2: whatever fails outside is tried again with growing pauses; what only a person can mend ends the job with
//!   a reason.
//! - I3: a stop is noticed within a poll; what was staged by then is committed first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use iceberg::spec::DataFile;
use tableflow_catalog::{CommitOutcome, LoadedTable};
use tableflow_lake::commit::{Append, Prepared, Retention, prepare_append};
use tableflow_lake::write::{EpochName, FILE_BYTES_TARGET};
use tableflow_model::protocol::{
    Assertion, CommitReply, DirectEvent, DirectStep, DirectWriter, Epoch, Generation, Ledger, Positions, Rules,
    TopicPositions, WriterId,
};
use tableflow_model::source::Range;
use tableflow_model::{Error, ErrorKind, Offset, Partition, Result};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::budget::MemoryBudget;
use super::definition::{Definition, StartFrom};
use super::facts::table_facts;
use super::progress::{Progress, State, Trouble};
use super::staging::{EpochFiles, Reader, StagedFiles};
use crate::home::Home;

/// How often a quiet topic is looked at. Each look is a few `stat` calls.
const IDLE_PAUSE: Duration = Duration::from_millis(100);

/// Asking a topic for its ends costs more than a small poll.
const MEASURE_LAG_EVERY: Duration = Duration::from_secs(1);

/// Pauses after failures outside: doubled up to the largest.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(200);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(15);

/// A one-shot job fails after so many failures in a row: about ten seconds.
const ONE_SHOT_FAILURES_MAX: u32 = 6;

/// An epoch of this many files is committed at once: a manifest must stay small (bad input: a partition value a row).
const EPOCH_FILES_MAX: usize = 1000;

/// When a job is done.
#[derive(Clone, Debug)]
pub enum Goal {
    /// Follow the topic until told to stop.
    Follow(CancellationToken),
    /// Up to the ends that the topic has when the job starts.
    CatchUp(CancellationToken),
}

/// How a job ended.
#[derive(Debug)]
pub enum Ended {
    CaughtUp,
    Stopped,
    /// Another process took the table over.
    Fenced(Error),
    /// A person has to decide.
    Suspended(Error),
}

/// One running job.
#[derive(Debug)]
pub struct Ingest {
    home: Home,
    definition: Definition,
    reader: Reader,
    progress: Arc<Progress>,
    budget: Arc<MemoryBudget>,
    goal: Goal,
    writer: WriterId,
    base: Option<LoadedTable>,
    staged: Option<Staged>,
    /// Where a [`Goal::CatchUp`] ends.
    ends: BTreeMap<Partition, Offset>,
    /// A record that cannot be decoded: the epoch before it is committed, then the job ends.
    failure: Option<Error>,
    failures_in_a_row: u32,
    lag_measured: Option<Instant>,
}

/// An epoch's files, from staging until the machine is done with them.
#[derive(Debug)]
struct Staged {
    content: StagedFiles,
    rows: u64,
    /// The table as it was when they were staged.
    schema_id: i32,
    spec_id: i32,
    /// The commit last sent, to be sent again unchanged (C4).
    sent: Option<(LoadedTable, Prepared)>,
}

enum Stage {
    Cut(Positions),
    Ended(Ended),
}

impl Ingest {
    pub async fn new(
        home: Home,
        definition: Definition,
        progress: Arc<Progress>,
        budget: Arc<MemoryBudget>,
        goal: Goal,
    ) -> Result<Self> {
        let table = match home.catalog.load_table(&definition.table).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(dropped(&definition)),
            loaded => loaded?,
        };
        let source = home.source(&definition.topic)?;
        let columns = &definition.columns;
        let mut reader =
            Reader::new(definition.topic.clone(), source, columns, definition.metadata_columns, &table.metadata)?;
        let ends = reader.source().ranges()?.into_iter().map(|(partition, range)| (partition, range.end)).collect();
        let writer = WriterId(home.ids.uuid());
        let (base, staged, failure, failures_in_a_row) = (None, None, None, 0);
        Ok(Ingest {
            home,
            definition,
            reader,
            progress,
            budget,
            goal,
            writer,
            base,
            staged,
            ends,
            failure,
            failures_in_a_row,
            lag_measured: None,
        })
    }

    /// Runs until the goal is reached, somebody else takes over, or a person has to decide; an error is also that.
    pub async fn run(mut self) -> Result<Ended> {
        let mut machine = DirectWriter::new(self.writer, Some(self.definition.table_uuid), Rules::law());
        let mut event = DirectEvent::Start;
        self.progress.set_state(State::Backfilling, None);
        loop {
            event = match machine.next(event)? {
                DirectStep::Load => match self.load().await? {
                    Ok(event) => event,
                    Err(ended) => return Ok(ended),
                },
                DirectStep::Stage { from, generation, epoch } => match self.stage(from, generation, epoch).await {
                    Ok(Stage::Cut(positions)) => DirectEvent::Staged(positions),
                    Ok(Stage::Ended(ended)) => return Ok(ended),
                    // A conflict: the topic was re-created meanwhile, which the next look at its id says better.
                    Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Conflict) => {
                        self.pause_after(error).await?;
                        DirectEvent::StageFailed
                    }
                    Err(error) => return Err(error),
                },
                DirectStep::Publish { assertion, ledger } => self.publish(&assertion, &ledger).await?,
                DirectStep::PublishIdentical => self.publish_again().await?,
                DirectStep::Committed { .. } => match self.after_commit() {
                    Some(failure) => return Ok(Ended::Suspended(failure)),
                    None => DirectEvent::Continue,
                },
                DirectStep::Stop(stop) => return Ok(Ended::Fenced(stop.into_error())),
                DirectStep::Suspend(suspend) => return Ok(Ended::Suspended(suspend.into_error())),
            };
        }
    }

    async fn load(&mut self) -> Result<Result<DirectEvent, Ended>> {
        match self.home.catalog.load_table(&self.definition.table).await {
            Ok(table) => {
                let facts = table_facts(&table, &self.definition.job);
                self.base = Some(table);
                Ok(Ok(DirectEvent::Loaded(Box::new(facts))))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Err(Ended::Suspended(dropped(&self.definition)))),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.pause_after(error).await?;
                Ok(Ok(DirectEvent::LoadFailed))
            }
            Err(error) => Ok(Err(Ended::Suspended(error))),
        }
    }

    /// I2. A one-shot job gives up after a while and says why; what it staged is read again by the next one.
    async fn pause_after(&mut self, error: Error) -> Result<()> {
        let trouble = Trouble::of(&error);
        tracing::warn!(table = %self.definition.table, reason = trouble.reason, hint = trouble.hint, "trying again");
        self.progress.set_state(State::Degraded, Some(trouble));
        self.progress.retries.fetch_add(1, Ordering::Relaxed);
        self.failures_in_a_row += 1;
        if matches!(self.goal, Goal::CatchUp(_)) && self.failures_in_a_row >= ONE_SHOT_FAILURES_MAX {
            return Err(error);
        }
        let pause = RETRY_PAUSE_MIN * 2_u32.pow(self.failures_in_a_row.min(10) - 1);
        wait(&self.goal, Instant::now() + pause.min(RETRY_PAUSE_MAX)).await;
        Ok(())
    }

    fn base(&self) -> Result<&LoadedTable> {
        self.base.as_ref().ok_or_else(|| Error::internal("a commit was decided before the table was loaded"))
    }

    /// Reads and writes one epoch; waits as long as there is nothing to read.
    async fn stage(&mut self, from: Option<Positions>, generation: Generation, epoch: Epoch) -> Result<Stage> {
        self.staged = None;
        let fresh = from.is_none();
        let positions = match self.start(from)? {
            Ok(positions) => positions,
            Err(stage) => return Ok(stage),
        };
        self.reader.source().seek(&positions)?;
        let table = self.base()?.metadata.clone();
        let name = EpochName { job: self.definition.job.clone(), generation: generation.0, epoch: epoch.0 };
        let mut files = EpochFiles::new(self.home.store.clone(), &table, name, positions)?;
        let ended = self.fill(&mut files).await?;
        // A table that has no ledger yet gets one at once: its start is pinned, whatever comes.
        let empty = !files.moved && !fresh;
        if let (true, Some(ended)) = (empty, ended) {
            return Ok(Stage::Ended(ended));
        }
        let (rows, positions) = (files.rows(), files.positions.clone());
        let content = files.finish().await?;
        let (schema_id, spec_id) = (table.current_schema_id(), table.default_partition_spec_id());
        self.staged = Some(Staged { content, rows, schema_id, spec_id, sent: None });
        Ok(Stage::Cut(self.named(positions, self.definition.topic_id)))
    }

    fn named(&self, offsets: BTreeMap<Partition, Offset>, id: tableflow_model::TopicId) -> Positions {
        let topic = TopicPositions { id, offsets, leader_epochs: BTreeMap::new() };
        Positions(BTreeMap::from([(self.definition.topic.clone(), topic)]))
    }

    /// Where the epoch starts: the ledger's positions, and the beginning of partitions that it does not know.
    fn start(&mut self, from: Option<Positions>) -> Result<Result<BTreeMap<Partition, Offset>, Stage>> {
        let found = match self.reader.source().topic_id() {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let gone = Error::data(format!("topic {} was deleted", self.definition.topic))
                    .with_hint("`tableflow disable` the table; its rows stay");
                return Ok(Err(Stage::Ended(Ended::Suspended(gone))));
            }
            Err(error) => return Err(error),
        };
        let known = from.and_then(|mut from| from.0.remove(&self.definition.topic));
        if found != self.definition.topic_id {
            let Some(known) = known else {
                let recreated = Error::data(format!(
                    "topic {} was re-created: it was {} and is {found}",
                    self.definition.topic, self.definition.topic_id
                ))
                .with_hint("`tableflow disable` the table and enable the topic again");
                return Ok(Err(Stage::Ended(Ended::Suspended(recreated))));
            };
            // The machine compares the ids and says what is wrong.
            return Ok(Err(Stage::Cut(self.named(known.offsets, found))));
        }
        let ranges = self.reader.source().ranges()?;
        let mut positions = known.map(|known| known.offsets);
        let first = positions.is_none() && self.definition.from == StartFrom::Latest;
        let positions = positions.get_or_insert_default();
        for (partition, range) in ranges {
            let offset = *positions.entry(partition).or_insert(if first { range.end } else { range.start });
            if offset < range.start {
                return Err(Error::data(format!(
                    "records {offset} to {} of partition {partition} of topic {} are gone before they were read",
                    range.start.0 - 1,
                    self.definition.topic
                ))
                .with_hint(
                    "the topic's retention is shorter than the table's delay; re-enable to go on without them",
                ));
            }
            if offset > range.end {
                return Err(Error::data(format!(
                    "partition {partition} of topic {} ends at {}, before offset {offset} that the table has read",
                    self.definition.topic, range.end
                ))
                .with_hint("the topic lost records that the table has; restore it, or start a new table"));
            }
        }
        Ok(Ok(positions.clone()))
    }

    /// Takes rows until the epoch is due. Answers how the job ends, if it does after this epoch.
    async fn fill(&mut self, files: &mut EpochFiles) -> Result<Option<Ended>> {
        let interval = Duration::from_millis(self.definition.commit_interval_ms);
        let mut due: Option<Instant> = None;
        loop {
            if let Some(ended) = self.goal_reached(files) {
                return Ok(Some(ended));
            }
            let polled = self.reader.poll()?;
            let nothing = polled.is_empty();
            let mut failed = BTreeSet::new();
            for rows in polled {
                // What follows a failed record in its partition must wait behind it.
                if failed.contains(&rows.partition) {
                    continue;
                }
                files.write(&rows).await?;
                if let Some(failure) = rows.failure {
                    failed.insert(rows.partition);
                    self.failure.get_or_insert(failure);
                }
            }
            self.progress.buffered(files.rows(), files.bytes_buffered() as u64);
            if files.moved {
                due.get_or_insert_with(|| Instant::now() + interval);
            }
            if self.failure.is_some() {
                let at_once = !files.moved;
                return Ok(at_once.then(|| self.failure.take().map(Ended::Suspended)).flatten());
            }
            if nothing {
                self.caught_up();
            } else {
                self.measure_lag(files)?;
            }
            if due.is_some_and(|due| Instant::now() >= due) || self.is_full(files) {
                return Ok(None);
            }
            if nothing {
                let until = due.unwrap_or_else(|| Instant::now() + IDLE_PAUSE);
                wait(&self.goal, until.min(Instant::now() + IDLE_PAUSE)).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    fn caught_up(&mut self) {
        self.progress.lag_records.store(0, Ordering::Relaxed);
        self.progress.set_state(State::Syncing, None);
    }

    /// How many records wait behind what this epoch holds.
    fn measure_lag(&mut self, files: &EpochFiles) -> Result<()> {
        if self.lag_measured.is_some_and(|at| at.elapsed() < MEASURE_LAG_EVERY) {
            return Ok(());
        }
        self.lag_measured = Some(Instant::now());
        let ranges = self.reader.source().ranges()?;
        let behind = |(partition, range): (&Partition, &Range)| {
            let next = files.positions.get(partition).copied().unwrap_or(range.start);
            u64::try_from(range.end.0 - next.0).unwrap_or(0)
        };
        self.progress.lag_records.store(ranges.iter().map(behind).sum(), Ordering::Relaxed);
        Ok(())
    }

    fn is_full(&self, files: &EpochFiles) -> bool {
        let bytes = files.bytes_buffered();
        bytes >= FILE_BYTES_TARGET || files.files_done() >= EPOCH_FILES_MAX || self.budget.must_flush(bytes)
    }

    /// I3. Asked before every poll, so that a busy topic cannot keep a job from ending.
    fn goal_reached(&self, files: &EpochFiles) -> Option<Ended> {
        match &self.goal {
            Goal::Follow(stop) => stop.is_cancelled().then_some(Ended::Stopped),
            Goal::CatchUp(stop) if stop.is_cancelled() => Some(Ended::Stopped),
            Goal::CatchUp(_) => {
                let reached = |(partition, end): (&Partition, &Offset)| files.positions.get(partition) >= Some(end);
                self.ends.iter().all(reached).then_some(Ended::CaughtUp)
            }
        }
    }

    /// Builds the commit on the base that the machine decided with (I1), and sends it.
    async fn publish(&mut self, assertion: &Assertion, ledger: &Ledger) -> Result<DirectEvent> {
        let base = self.base()?.clone();
        if base.metadata_location != assertion.metadata_location {
            return Err(Error::internal("a commit was decided on another base than the loaded one"));
        }
        let Some(mut staged) = self.staged.take() else {
            return Err(Error::internal("a commit was decided without staged files"));
        };
        let same_schema = staged.schema_id == base.metadata.current_schema_id();
        if !same_schema || staged.spec_id != base.metadata.default_partition_spec_id() {
            return Ok(DirectEvent::StagedUnfit);
        }
        let append = Append {
            files: staged.content.files.clone(),
            schema: staged.content.schema.clone(),
            properties: BTreeMap::from([(Ledger::property(&self.definition.job), ledger.to_text()?)]),
            retention: Retention { age_max_ms: self.definition.retention_ms, ..Retention::default() },
        };
        let prepared = prepare_append(self.home.commit_context(), &base.metadata, &append).await;
        match prepared {
            Ok(prepared) => staged.sent = Some((base, prepared)),
            Err(error) if error.kind() != ErrorKind::Unavailable => return Err(error),
            Err(error) => {
                // Nothing was sent: the table is as it was, and the same files can go onto it again.
                self.staged = Some(staged);
                self.pause_after(error).await?;
                return Ok(DirectEvent::Published(CommitReply::Rejected));
            }
        }
        self.staged = Some(staged);
        self.publish_again().await
    }

    async fn publish_again(&mut self) -> Result<DirectEvent> {
        let Some((base, prepared)) = self.staged.as_ref().and_then(|staged| staged.sent.clone()) else {
            return Err(Error::internal("there is no commit to send again"));
        };
        let started = Instant::now();
        let outcome =
            self.home.catalog.commit(&self.definition.table, &base, prepared.requirements, prepared.updates).await;
        let reply = match outcome {
            Ok(CommitOutcome::Applied(table)) => {
                let facts = table_facts(&table, &self.definition.job);
                self.base = Some(table);
                self.count_commit(started.elapsed());
                CommitReply::Applied(Box::new(facts))
            }
            Ok(CommitOutcome::Conflict { reason }) => {
                tracing::info!(table = %self.definition.table, reason, "somebody else committed first");
                self.progress.conflicts.fetch_add(1, Ordering::Relaxed);
                CommitReply::Rejected
            }
            Ok(CommitOutcome::Unknown { error }) | Err(error) => {
                self.pause_after(error).await?;
                CommitReply::Unknown
            }
        };
        Ok(DirectEvent::Published(reply))
    }

    fn count_commit(&self, took: Duration) {
        let Some(staged) = &self.staged else { return };
        let files = &staged.content.files;
        let bytes = files.iter().map(DataFile::file_size_in_bytes).sum();
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.progress.committed(staged.rows, files.len() as u64, bytes, took_ms, self.home.clock.now());
    }

    /// The epoch is in. A record that stopped it ends the job.
    fn after_commit(&mut self) -> Option<Error> {
        self.staged = None;
        self.failures_in_a_row = 0;
        if self.progress.state().0 == State::Degraded {
            self.progress.set_state(State::Backfilling, None);
        }
        self.failure.take()
    }
}

fn dropped(definition: &Definition) -> Error {
    Error::data(format!("table {} was dropped", definition.table))
        .with_hint("`tableflow disable` it, then enable the topic again to make a new table")
}

/// Until then, or until the job is told to stop.
async fn wait(goal: &Goal, until: Instant) {
    let (Goal::Follow(stop) | Goal::CatchUp(stop)) = goal;
    tokio::select! {
        () = tokio::time::sleep_until(until) => {}
        () = stop.cancelled() => {}
    }
}
