//! A topic as a job reads it: where an epoch starts, when it is due, and when there is nothing left to do.
//!
//! Owns [`Feed`].
//! - I1: an epoch starts exactly where the ledger says; records that are gone by then end the job, they are never
//!   skipped in silence.
//! - I2: at a record that cannot be decoded its partition stands still; the epoch before it is due at once.
//! - I3: a stop is noticed within a poll; what was read by then is committed first.
//! - I4: no row is committed of a topic that may be another one than the ledger's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tableflow_lake::write::FILE_BYTES_TARGET;
use tableflow_model::protocol::{Epoch, Positions, Tally, TopicPositions};
use tableflow_model::source::Range;
use tableflow_model::{Error, ErrorKind, Offset, Partition, Result, TopicId, TopicName};
use tokio::time::Instant;

use super::budget::{Share, TableMemory};
use super::dispatch::{Dispatch, Halt, Rows};
use super::intake::{Intake, Start};
use super::job::{Ended, Goal};
use super::progress::{Progress, State};
use super::staging::{EpochFiles, Reader};
use crate::definition::{Definition, StartFrom};
use crate::home::Home;

/// How often a quiet topic is looked at: each look is a few `stat` calls, which add up over a thousand tables. The pause
/// doubles while the topic stays quiet, and never exceeds the commit interval.
const IDLE_PAUSE_MIN: Duration = Duration::from_millis(50);
const IDLE_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Asking a topic for its ends costs more than a small poll. The pause doubles while the topic stays quiet.
const LOOK_AHEAD_EVERY_MIN: Duration = Duration::from_millis(500);
const LOOK_AHEAD_EVERY_MAX: Duration = Duration::from_secs(30);

/// An epoch of this many files is committed at once: a manifest must stay small (bad input: a partition value a row).
const EPOCH_FILES_MAX: usize = 1000;

/// One topic, read by one job.
#[derive(Debug)]
pub struct Feed {
    topic: TopicName,
    topic_id: TopicId,
    from: StartFrom,
    from_offsets: Option<BTreeMap<Partition, Offset>>,
    interval: Duration,
    reader: Reader,
    goal: Goal,
    /// Where a [`Goal::CatchUp`] ends: where the topic ended when the job first looked.
    ends: Option<BTreeMap<Partition, Offset>>,
    /// What the ledger counts before this epoch.
    tally: Tally,
    /// A record that cannot be decoded: the epoch before it is committed, then the job ends (I2).
    failure: Option<Error>,
    /// A table was made for the next record: the epoch before it is committed, then the job begins again with it.
    grows: bool,
    progress: Arc<Progress>,
    memory: Share,
    looked_ahead: Option<Instant>,
    look_every: Duration,
}

impl Feed {
    /// A feed of the defined topic.
    pub async fn new(
        home: &Home,
        definition: &Definition,
        dispatch: Box<dyn Dispatch>,
        goal: Goal,
        progress: Arc<Progress>,
        memory: &Arc<TableMemory>,
    ) -> Result<Self> {
        let topic = definition.topic.clone();
        let source = match home.source(&topic).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(deleted(&topic)),
            source => source?,
        };
        Ok(Feed {
            topic,
            topic_id: definition.topic_id,
            from: definition.from,
            from_offsets: definition.from_offsets.clone(),
            interval: Duration::from_millis(definition.commit_interval_ms),
            reader: Reader::new(source, dispatch),
            goal,
            ends: None,
            tally: Tally::default(),
            failure: None,
            grows: false,
            progress,
            memory: memory.share(),
            looked_ahead: None,
            look_every: LOOK_AHEAD_EVERY_MIN,
        })
    }

    fn named(&self, positions: TopicPositions) -> Positions {
        Positions(BTreeMap::from([(self.topic.clone(), positions)]))
    }

    async fn offsets(&mut self, known: Option<BTreeMap<Partition, Offset>>) -> Result<BTreeMap<Partition, Offset>> {
        let known = known.or_else(|| self.from_offsets.clone());
        // A definition of the first release does not say where `latest` was.
        let latest = known.is_none() && self.from == StartFrom::Latest;
        let partitions_known = known.is_some();
        let mut offsets = known.unwrap_or_default();
        let ranges = self.reader.source().ranges().await?;
        self.ends.get_or_insert_with(|| ranges.iter().map(|(partition, range)| (*partition, range.end)).collect());
        for (partition, range) in ranges {
            let first = match (latest, partitions_known) {
                (true, _) => range.end,
                // One that came later is read from its beginning, which may be gone by now.
                (false, true) => Offset(0),
                (false, false) => range.start,
            };
            let offset = *offsets.entry(partition).or_insert(first);
            self.check_within(partition, range, offset)?;
        }
        Ok(offsets)
    }

    fn check_within(&self, partition: Partition, range: Range, offset: Offset) -> Result<()> {
        if offset < range.start {
            return Err(Error::data(format!(
                "records {offset} to {} of partition {partition} of topic {} are gone before they were read",
                range.start.0 - 1,
                self.topic
            ))
            .with_hint(format!(
                "the topic keeps records for less than the table was late; a table of what is there: `tableflow enable \
                 {} --table NAME`",
                self.topic
            )));
        }
        if offset > range.end {
            return Err(Error::data(format!(
                "partition {partition} of topic {} ends at {}, before offset {offset} that the table has read",
                self.topic, range.end
            ))
            .with_hint(format!(
                "the topic lost records that the table has; restore it, or fill another table from what is there: \
                 `tableflow enable {} --table NAME`",
                self.topic
            )));
        }
        Ok(())
    }

    /// The topic was deleted, perhaps made again. What was read of it is the table's, and is committed first; where
    /// the next epoch is to start it is found out what became of the topic.
    fn gone(&self, error: Error, files: &EpochFiles) -> Result<Option<Ended>> {
        if files.moved {
            return Ok(None);
        }
        Err(Error::conflict(format!("topic {} is no longer the one that was read", self.topic)).with_source(error))
    }

    /// One poll into the files.
    async fn take(&mut self, polled: Vec<Rows>, files: &mut EpochFiles) -> Result<()> {
        let mut halted = BTreeSet::new();
        for rows in polled {
            // What follows in its partition must wait behind it.
            if halted.contains(&rows.partition) {
                continue;
            }
            files.write(&rows).await?;
            match rows.halt {
                None => {}
                Some(Halt::Failed(failure)) => {
                    halted.insert(rows.partition);
                    self.failure.get_or_insert(failure);
                }
                Some(Halt::NewTable) => {
                    halted.insert(rows.partition);
                    self.grows = true;
                }
            }
        }
        Ok(())
    }

    /// Looks now and then how many records wait behind what this epoch holds. True where a partition is new: the next
    /// epoch reads it too.
    async fn look_ahead(&mut self, positions: &BTreeMap<Partition, Offset>, idle: bool) -> Result<bool> {
        if !idle {
            self.look_every = LOOK_AHEAD_EVERY_MIN;
        }
        if self.looked_ahead.is_some_and(|at| at.elapsed() < self.look_every) {
            return Ok(false);
        }
        self.looked_ahead = Some(Instant::now());
        if idle {
            self.look_every = (self.look_every * 2).min(LOOK_AHEAD_EVERY_MAX);
        }
        let ranges = self.reader.source().ranges().await?;
        let behind = |(partition, range): (&Partition, &Range)| {
            let next = positions.get(partition).copied().unwrap_or(range.start);
            u64::try_from(range.end.0 - next.0).unwrap_or(0)
        };
        let lag = ranges.iter().map(behind).sum();
        self.progress.lag_records.store(lag, Ordering::Relaxed);
        if lag == 0 {
            self.progress.set_state(State::Syncing, None);
        }
        Ok(ranges.keys().any(|partition| !positions.contains_key(partition)))
    }

    fn is_full(&self, files: &EpochFiles) -> bool {
        files.file_bytes() >= FILE_BYTES_TARGET || files.files_done() >= EPOCH_FILES_MAX || self.memory.must_flush()
    }

    /// I3. Asked before every poll, so that a busy topic cannot keep a job from ending.
    fn goal_reached(&self, files: &EpochFiles) -> Option<Ended> {
        if self.goal.is_stopped() {
            return Some(Ended::Stopped);
        }
        if self.grows {
            return Some(Ended::Grown);
        }
        let reached = |(partition, end): (&Partition, &Offset)| files.positions.get(partition) >= Some(end);
        let all_reached = self.ends.as_ref().is_some_and(|ends| ends.iter().all(reached));
        let caught_up = matches!(self.goal, Goal::CatchUp(_)) && all_reached;
        caught_up.then_some(Ended::CaughtUp)
    }
}

#[async_trait]
impl Intake for Feed {
    /// Goes to where the epoch starts: the ledger's positions, and the beginning of partitions that it does not
    /// know (I1).
    async fn start(&mut self, from: Option<Positions>, epoch: Epoch) -> Result<Start> {
        // One of an epoch that came to nothing is met again where it stands.
        self.failure = None;
        self.reader.begin(epoch);
        let found = match self.reader.source().topic_id().await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let gone = deleted(&self.topic);
                return Ok(Start::Ended(Ended::Suspended(gone)));
            }
            Err(error) => return Err(error),
        };
        let known = from.and_then(|mut from| from.0.remove(&self.topic));
        match known {
            Some(known) if found != self.topic_id => {
                Ok(Start::Elsewhere(self.named(TopicPositions { id: found, ..known })))
            }
            None if found != self.topic_id => {
                let recreated = format!("topic {} was re-created: it was {} and is {found}", self.topic, self.topic_id);
                let recreated =
                    Error::data(recreated).with_hint("`tableflow disable` the table and enable the topic again");
                Ok(Start::Ended(Ended::Suspended(recreated)))
            }
            known => {
                self.tally = known.as_ref().map(|known| known.tally).unwrap_or_default();
                self.progress.counted(self.tally);
                let offsets = self.offsets(known.map(|known| known.offsets)).await?;
                self.reader.source().seek(&offsets).await?;
                Ok(Start::At(offsets))
            }
        }
    }

    /// Takes rows until the epoch is due. Answers how the job ends, if it does after this epoch.
    async fn fill(&mut self, files: &mut EpochFiles) -> Result<Option<Ended>> {
        let mut due: Option<Instant> = None;
        let idle_pause_max = self.interval.clamp(IDLE_PAUSE_MIN, IDLE_PAUSE_MAX);
        let mut idle_pause = IDLE_PAUSE_MIN;
        loop {
            if let Some(ended) = self.goal_reached(files) {
                return Ok(Some(ended));
            }
            let polled = match self.reader.poll().await {
                Err(error) if is_gone(&error) => return self.gone(error, files),
                // Whoever fails behind what was read fails again where the next epoch starts.
                Err(_) if files.moved => return Ok(None),
                polled => polled?,
            };
            let nothing = polled.is_empty();
            self.take(polled, files).await?;
            self.memory.hold(files.memory() as u64);
            self.progress.buffered(files.records(), files.memory() as u64);
            if files.moved {
                due.get_or_insert_with(|| Instant::now() + self.interval);
            }
            if self.failure.is_some() {
                let at_once = !files.moved;
                return Ok(at_once.then(|| self.take_failure().map(Ended::Suspended)).flatten());
            }
            if self.grows {
                return Ok(Some(Ended::Grown));
            }
            match self.look_ahead(&files.positions, nothing).await {
                Ok(true) => return Ok(None),
                Err(error) if !is_gone(&error) => return Err(error),
                _ => {}
            }
            if due.is_some_and(|due| Instant::now() >= due) || self.is_full(files) {
                return Ok(None);
            }
            if nothing {
                let idle = Instant::now() + idle_pause;
                self.goal.wait(due.map_or(idle, |due| due.min(idle))).await;
                idle_pause = (idle_pause * 2).min(idle_pause_max);
            } else {
                idle_pause = IDLE_PAUSE_MIN;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Makes sure of what was read, before it is committed (I4).
    async fn confirm(&mut self) -> Result<()> {
        self.reader.source().confirm().await
    }

    /// Where an epoch ends in this topic, as the ledger writes it.
    fn positions(&self, files: &EpochFiles) -> Positions {
        let mut tally = self.tally;
        tally += files.tally;
        self.named(TopicPositions { tally, ..TopicPositions::new(self.topic_id, files.positions.clone()) })
    }

    /// The record that ended the last epoch, if one did.
    fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }
}

/// What a table whose topic is gone says. To make the topic again is no way on: it would be another one.
pub fn deleted(topic: &TopicName) -> Error {
    Error::data(format!("topic {topic} was deleted"))
        .with_hint("`tableflow disable` the table; its rows stay. A topic made again fills another table")
}

/// Does a source say so of its topic?
fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict)
}
