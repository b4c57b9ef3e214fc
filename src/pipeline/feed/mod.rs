//! A topic as a job reads it: where an epoch starts, when it is due, and when there is nothing left to do.
//!
//! Owns [`Feed`].
//! - I1: an epoch starts exactly where the ledger says; records that are gone by then end the job, unless somebody gave
//!   them up; they are never skipped in silence.
//! - I2: at a record that cannot be decoded its partition stands still; the epoch before it is due at once.
//! - I3: a stop is noticed within a poll; what was read by then is committed first.
//! - I4: no row is committed of a topic that may be another one than the ledger's.
//! - I5: a table that is far behind fetches only in its turn; one whose topic is quiet, or whose commit takes long,
//!   fetches nothing at all.
//! - I6: a step is taken once all that was read before it is committed. Where that epoch came to nothing it is read
//!   again first: behind the step its values would be late ones.
//! - I7: records that are there and do not come are told of.
//! - I8: of a table with one row a key what is younger than a record that stops its partition is read behind it.

mod in_time;
mod place;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tableflow_lake::write::FILE_BYTES_TARGET;
use tableflow_model::protocol::{Epoch, Positions, Tally, TopicPositions};
use tableflow_model::{Error, ErrorKind, Offset, Partition, Result, Source, TopicId, TopicName};
use tokio::time::Instant;

use self::in_time::InTime;
pub use self::place::LIVE_RECORDS_MAX;
use self::place::LOOK_AHEAD_EVERY_MIN;
use self::waits::Waits;
use crate::definition::{Definition, StartFrom};
use crate::growth::Growth;
use crate::home::Home;
use crate::pipeline::backpressure::Backpressure;
use crate::pipeline::budget::{Share, TableMemory};
use crate::pipeline::dispatch::{Dispatch, Halt, Rows};
use crate::pipeline::gaps::Places;
use crate::pipeline::gone::{deleted, is_gone};
use crate::pipeline::intake::{Intake, Start};
use crate::pipeline::job::{Ended, Goal};
use crate::pipeline::lanes::Turn;
use crate::pipeline::mirror::Step;
use crate::pipeline::pace::Pace;
use crate::pipeline::progress::Progress;
use crate::pipeline::staging::{EpochFiles, Reader};

/// An epoch of this many files is committed at once: a manifest must stay small (bad input: a partition value a row).
const EPOCH_FILES_MAX: usize = 1000;

/// One topic, read by one job.
#[derive(Debug)]
pub struct Feed {
    topic: TopicName,
    topic_id: TopicId,
    from: StartFrom,
    from_offsets: Option<BTreeMap<Partition, Offset>>,
    places: Places,
    pace: Pace,
    backpressure: Backpressure,
    /// Dropped before the turn: what is given to the next one is free by then.
    reader: Reader,
    turn: Option<Turn>,
    /// Nothing is fetched: it is asked now and then whether there is something (I5).
    resting: bool,
    /// The sum of the topic's ends when the last epoch began.
    ends_sum: Option<i64>,
    goal: Goal,
    /// Where a [`Goal::CatchUp`] ends: where the topic ended when the job first looked.
    ends: Option<BTreeMap<Partition, Offset>>,
    /// What the ledger counts before this epoch.
    tally: Tally,
    /// What it says of the last records before it.
    leader_epochs: BTreeMap<Partition, i32>,
    /// A record that cannot be decoded: the epoch before it is committed, then the job ends (I2).
    failure: Option<Error>,
    /// What is to be done before the next record: the epoch before it is committed, then the job begins again.
    begin_again: Option<BeginAgain>,
    /// Where everything stands that was read before it (I6).
    begin_again_from: BTreeMap<Partition, Offset>,
    progress: Arc<Progress>,
    memory: Share,
    looked_ahead: Option<Instant>,
    look_every: Duration,
    waits: Waits,
    growth: Arc<Growth>,
    /// The topic is read in the order of time.
    is_in_time: bool,
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
        let source = match home.source_of(definition).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(deleted(&topic, &definition.table)),
            source => source?,
        };
        let memory = memory.share();
        let interval = Duration::from_millis(definition.commit_interval_ms);
        let pace = match goal {
            Goal::Follow(_) => Pace::in_turn(interval, memory.jobs_before(), Instant::now()),
            Goal::CatchUp(_) => Pace::new(interval, Instant::now()),
        };
        Ok(Feed {
            topic,
            topic_id: definition.topic_id,
            from: definition.from,
            from_offsets: definition.from_offsets.clone(),
            places: Places::of(definition),
            pace,
            reader: Reader::new(definition, in_order(definition, source), dispatch),
            backpressure: Backpressure::new(Instant::now()),
            turn: None,
            resting: false,
            ends_sum: None,
            goal,
            ends: None,
            tally: Tally::default(),
            leader_epochs: BTreeMap::new(),
            failure: None,
            begin_again: None,
            begin_again_from: BTreeMap::new(),
            progress,
            memory,
            looked_ahead: None,
            look_every: LOOK_AHEAD_EVERY_MIN,
            waits: Waits::default(),
            growth: home.growth.clone(),
            is_in_time: definition.upsert.is_some(),
        })
    }

    /// Commits of a table that has grown too much come seldomer.
    fn is_upkeep_behind(&self) -> bool {
        self.progress.tables().iter().filter_map(|table| self.growth.care_of(table)).any(|care| care.is_too_much())
    }

    fn named(&self, positions: TopicPositions) -> Positions {
        Positions(BTreeMap::from([(self.topic.clone(), positions)]))
    }

    /// The topic was deleted, perhaps made again. What was read of it is the table's, and is committed first; where
    /// the next epoch is to start it is found out what became of the topic.
    fn gone(&self, error: Error, files: &EpochFiles) -> Result<Option<Ended>> {
        if files.moved {
            return Ok(None);
        }
        Err(self.another(error))
    }

    fn another(&self, error: Error) -> Error {
        Error::conflict(format!("topic {} is no longer the one that was read", self.topic)).with_source(error)
    }

    /// One poll into the files.
    async fn take(&mut self, polled: Vec<Rows>, files: &mut EpochFiles) -> Result<()> {
        if self.is_in_time && self.stops_amid(&polled) {
            // Nothing that is younger is to be before it (I8).
            return self.reader.source().seek(&files.positions).await;
        }
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
                    self.progress.stopped_by(failure.context("reason").unwrap_or("schema"));
                    self.failure.get_or_insert(failure);
                }
                Some(Halt::NewTable) => {
                    halted.insert(rows.partition);
                    self.begin_again.get_or_insert(BeginAgain::NewTable);
                }
                Some(Halt::Follows(step)) => {
                    halted.insert(rows.partition);
                    self.begin_again.get_or_insert(BeginAgain::Follows(step));
                }
            }
        }
        if self.begin_again.is_some() {
            self.begin_again_from.clone_from(&files.positions);
        }
        Ok(())
    }

    /// Whether a record stops its partition while others handed theirs out. It is to come alone then.
    fn stops_amid(&mut self, polled: &[Rows]) -> bool {
        let alone = polled.iter().all(|rows| polled.first().is_some_and(|first| first.partition == rows.partition));
        let stops: Vec<(Partition, Offset)> =
            polled.iter().filter(|rows| rows.halt.is_some()).map(|rows| (rows.partition, rows.next_offset)).collect();
        if alone || stops.is_empty() {
            return false;
        }
        stops.into_iter().for_each(|(partition, offset)| self.reader.source().stop_before(partition, offset));
        true
    }

    fn is_full(&self, files: &EpochFiles) -> bool {
        files.file_bytes() >= FILE_BYTES_TARGET || files.files_done() >= EPOCH_FILES_MAX || self.memory.must_flush()
    }

    /// Waits until the next look. A topic that is quiet need not be fetched (I5).
    async fn idle(&mut self, looked_at: Instant, has_rows: bool) {
        if !self.resting && self.pace.is_quiet(looked_at) && !self.reader.keeps_some_back() {
            match has_rows {
                // What it has is soon committed; whoever waits for the turn need not wait for that.
                true => self.turn = None,
                false if self.follows() => self.rest(),
                false => {}
            }
        }
        let next = self.pace.found_nothing(looked_at, Instant::now(), self.resting);
        self.goal.wait(next).await;
    }

    /// I3. Asked before every poll, so that a busy topic cannot keep a job from ending.
    fn goal_reached(&self, files: &EpochFiles) -> Option<Ended> {
        if self.goal.is_stopped() {
            return Some(Ended::Stopped);
        }
        if let Some(why) = &self.begin_again {
            return Some(why.clone().into());
        }
        let reached = |(partition, end): (&Partition, &Offset)| files.positions.get(partition) >= Some(end);
        let all_reached = self.ends.as_ref().is_some_and(|ends| ends.iter().all(reached));
        let caught_up = matches!(self.goal, Goal::CatchUp(_)) && all_reached;
        caught_up.then_some(Ended::CaughtUp)
    }
}

/// Of one row a key the last one by time is to be read last, whatever partitions they are in.
fn in_order(definition: &Definition, source: Box<dyn Source>) -> Box<dyn Source> {
    match definition.upsert {
        Some(_) => Box::new(InTime::new(source)),
        None => source,
    }
}

/// Why a job begins again, with other tables than it had.
#[derive(Clone, Debug)]
enum BeginAgain {
    /// A table was made.
    NewTable,
    /// The table is to take this step.
    Follows(Box<Step>),
}

impl From<BeginAgain> for Ended {
    fn from(why: BeginAgain) -> Self {
        match why {
            BeginAgain::NewTable => Ended::Grown,
            BeginAgain::Follows(step) => Ended::Follows(step),
        }
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
        self.pace.begin(Instant::now(), self.is_upkeep_behind());
        self.progress.held_up(self.backpressure.next_epoch(Instant::now()));
        self.progress.begins(from.as_ref());
        self.memory.hold(0);
        let found = match self.found_id().await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let gone = deleted(&self.topic, self.reader.table());
                return Ok(Start::Ended(Ended::Suspended(gone)));
            }
            Err(error) => return Err(error),
        };
        let known = from.and_then(|mut from| from.0.remove(&self.topic));
        let is_committed = known.as_ref().is_some_and(|known| known.offsets == self.begin_again_from);
        if matches!(self.begin_again, Some(BeginAgain::Follows(_))) && !is_committed {
            self.begin_again = None;
        }
        match known {
            // A table that was enabled again may know another topic of that name.
            Some(known) if found != self.topic_id || found != known.id => {
                Ok(Start::Elsewhere(self.named(TopicPositions { id: found, ..known })))
            }
            None if found != self.topic_id => {
                let recreated = format!("topic {} was re-created: it was {} and is {found}", self.topic, self.topic_id);
                let hint = format!("`tableflow disable {}`, then enable the topic again", self.reader.table());
                Ok(Start::Ended(Ended::Suspended(Error::data(recreated).with_hint(hint))))
            }
            known => {
                // Told again where nothing was committed since: a group may have forgotten it.
                if let Some(known) = &known {
                    self.reader.source().note_committed(&known.offsets);
                }
                self.tally = known.as_ref().map(|known| known.tally).unwrap_or_default();
                self.leader_epochs = known.as_ref().map(|known| known.leader_epochs.clone()).unwrap_or_default();
                self.reader.source().expect_leader_epochs(&self.leader_epochs);
                let entered = match self.enter(known.map(|known| known.offsets)).await {
                    // It went since its id was asked for: the next start says what became of it.
                    Err(error) if is_gone(&error) => return Err(self.another(error)),
                    entered => entered?,
                };
                Ok(entered.map_or(Start::Ended(Ended::Stopped), Start::At))
            }
        }
    }

    /// Takes rows until the epoch is due. Answers how the job ends, if it does after this epoch.
    async fn fill(&mut self, files: &mut EpochFiles) -> Result<Option<Ended>> {
        files.limit_encoders(self.memory.encoders_bytes_max());
        self.waits.begin(Instant::now());
        loop {
            if let Some(ended) = self.goal_reached(files) {
                return Ok(Some(ended));
            }
            let looked_at = Instant::now();
            let polled = match self.look(&files.positions).await {
                Err(error) if is_gone(&error) => return self.gone(error, files),
                // Whoever fails behind what was read fails again where the next epoch starts.
                Err(_) if files.moved => return Ok(None),
                polled => polled?,
            };
            let nothing = polled.is_empty();
            let taken_at = Instant::now();
            self.take(polled, files).await?;
            self.waits.hold_up(taken_at.elapsed());
            self.memory.hold(files.memory() as u64);
            self.progress.holds(files.counts(), files.oldest(), files.memory() as u64);
            if !nothing {
                self.pace.found(looked_at);
            }
            if self.failure.is_some() {
                let at_once = !files.moved;
                return Ok(at_once.then(|| self.take_failure().map(Ended::Suspended)).flatten());
            }
            if let Some(why) = &self.begin_again {
                return Ok(Some(why.clone().into()));
            }
            match self.look_ahead(&files.positions, nothing).await {
                Ok(true) => return Ok(None),
                Err(error) if is_gone(&error) && self.resting => return self.gone(error, files),
                Err(error) if !is_gone(&error) => return Err(error),
                _ => {}
            }
            if files.moved && (self.pace.is_due(Instant::now()) || self.is_full(files)) {
                return Ok(None);
            }
            if nothing {
                self.idle(looked_at, files.moved).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Makes sure of what was read, before it is committed (I4).
    async fn confirm(&mut self) -> Result<()> {
        self.pace.staged(Instant::now());
        self.backpressure.hold_up(Instant::now());
        self.reader.source().confirm().await
    }

    /// Where an epoch ends in this topic, as the ledger writes it.
    fn positions(&self, files: &EpochFiles) -> Positions {
        let mut tally = self.tally;
        tally += files.tally;
        let mut leader_epochs = self.leader_epochs.clone();
        for (partition, epoch) in &files.leader_epochs {
            match epoch {
                Some(epoch) => leader_epochs.insert(*partition, *epoch),
                None => leader_epochs.remove(partition),
            };
        }
        let positions = TopicPositions::new(self.topic_id, files.positions.clone());
        self.named(TopicPositions { tally, leader_epochs, ..positions })
    }

    fn note_committed(&mut self, positions: &Positions) {
        if let Some(known) = positions.0.get(&self.topic) {
            self.reader.source().note_committed(&known.offsets);
        }
    }

    /// The record that ended the last epoch, if one did.
    fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Gives back what it fetches from, and then the turn.
    fn rest(&mut self) {
        if let Err(error) = self.reader.source().rest() {
            tracing::warn!(topic = %self.topic, %error, "partitions were not given back");
        }
        self.turn = None;
        self.resting = true;
    }
}
