//! A topic as a job reads it: where an epoch starts, when it is due, and when there is nothing left to do.
//!
//! Owns [`Feed`].
//! - I1: an epoch starts exactly where the ledger says; records that are gone by then end the job, unless somebody gave them
//!   up; they are never skipped in silence.
//! - I2: at a record that cannot be decoded its partition stands still; the epoch before it is due at once.
//! - I3: a stop is noticed within a poll; what was read by then is committed first.
//! - I4: no row is committed of a topic that may be another one than the ledger's.
//! - I5: a table that is far behind fetches only in its turn; one whose topic is quiet, or whose commit takes long,
//!   fetches nothing at all.
//! - I6: a step is taken once all that was read before it is committed. Where that epoch came to nothing it is read
//!   again first: behind the step its values would be late ones.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tableflow_lake::write::FILE_BYTES_TARGET;
use tableflow_model::protocol::{Epoch, Positions, Tally, TopicPositions};
use tableflow_model::source::Range;
use tableflow_model::{Error, ErrorKind, Offset, Partition, Result, TopicId, TopicName};
use tokio::time::Instant;

use super::backpressure::Backpressure;
use super::budget::{Share, TableMemory};
use super::dispatch::{Dispatch, Halt, Rows};
use super::gaps::Places;
use super::gone::{deleted, is_gone};
use super::intake::{Intake, Start};
use super::job::{Ended, Goal};
use super::lanes::Turn;
use super::mirror::Step;
use super::pace::Pace;
use super::progress::{Progress, State, Trouble};
use super::staging::{EpochFiles, Reader};
use crate::definition::{Definition, StartFrom};
use crate::home::Home;

/// A table that is behind by more is far behind, unless so much came in since its last epoch began: then it keeps up.
const LIVE_RECORDS_MAX: u64 = 1_000;

/// Asking a topic for its ends costs more than a small poll. The pause doubles while the topic stays quiet.
const LOOK_AHEAD_EVERY_MIN: Duration = Duration::from_millis(500);
const LOOK_AHEAD_EVERY_MAX: Duration = Duration::from_secs(30);

/// A topic that is not there is looked for so often, and so far apart, before it counts as deleted.
const GONE_LOOKS: u32 = 4;
const GONE_PAUSE: Duration = Duration::from_millis(500);

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
    turn_at: Option<TurnAt>,
    /// Where everything stands that was read before it (I6).
    turn_from: BTreeMap<Partition, Offset>,
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
            reader: Reader::new(definition, source, dispatch),
            backpressure: Backpressure::new(Instant::now()),
            turn: None,
            resting: false,
            ends_sum: None,
            goal,
            ends: None,
            tally: Tally::default(),
            leader_epochs: BTreeMap::new(),
            failure: None,
            turn_at: None,
            turn_from: BTreeMap::new(),
            progress,
            memory,
            looked_ahead: None,
            look_every: LOOK_AHEAD_EVERY_MIN,
        })
    }

    fn named(&self, positions: TopicPositions) -> Positions {
        Positions(BTreeMap::from([(self.topic.clone(), positions)]))
    }

    /// Where the epoch starts, and how far that is from the topic's ends.
    async fn offsets(
        &mut self,
        known: Option<BTreeMap<Partition, Offset>>,
    ) -> Result<(BTreeMap<Partition, Offset>, Ahead)> {
        let known = known.or_else(|| self.from_offsets.clone());
        // A definition of the first release does not say where `latest` was.
        let latest = known.is_none() && self.from == StartFrom::Latest;
        let partitions_known = known.is_some();
        let mut offsets = known.unwrap_or_default();
        let mut ahead = Ahead::default();
        let ranges = self.reader.source().ranges().await?;
        self.ends.get_or_insert_with(|| ranges.iter().map(|(partition, range)| (*partition, range.end)).collect());
        for (partition, range) in ranges {
            let first = match (latest, partitions_known) {
                (true, _) => range.end,
                // One that came later is read from its beginning, which may be gone by now.
                (false, true) => Offset(0),
                (false, false) => range.start,
            };
            let place = offsets.entry(partition).or_insert(first);
            *place = self.places.go_on(partition, range, *place)?;
            ahead.records += u64::try_from(range.end.0 - place.0).unwrap_or(0);
            ahead.ends_sum += range.end.0;
        }
        Ok((offsets, ahead))
    }

    /// Goes to where the epoch starts, in its turn if that is far behind (I5); `None` where the job is stopped first.
    async fn enter(
        &mut self,
        known: Option<BTreeMap<Partition, Offset>>,
    ) -> Result<Option<BTreeMap<Partition, Offset>>> {
        if self.turn.as_ref().is_some_and(Turn::is_wanted) {
            self.rest();
        }
        let (mut offsets, mut ahead) = self.offsets(known.clone()).await?;
        let came_in = self.ends_sum.map_or(0, |before| u64::try_from(ahead.ends_sum - before).unwrap_or(0));
        let far_behind = ahead.records > LIVE_RECORDS_MAX.max(came_in);
        let bytes = self.queued_bytes(&offsets);
        if !far_behind {
            self.turn = None;
        } else if !self.turn.as_ref().is_some_and(|turn| turn.is_enough_for(bytes)) {
            if !self.wait_for_turn(bytes).await {
                return Ok(None);
            }
            // Records may be gone by now, and others have come.
            (offsets, ahead) = self.offsets(known).await?;
        }
        self.ends_sum = Some(ahead.ends_sum);
        self.note_lag(ahead.records);
        self.looked_ahead = Some(Instant::now());
        self.resting = ahead.records == 0 && (self.resting || came_in == 0) && self.follows();
        match self.resting {
            true => self.rest(),
            false => self.reader.source().seek(&offsets).await?,
        }
        Ok(Some(offsets))
    }

    /// What may be fetched ahead of these places.
    fn queued_bytes(&mut self, places: &BTreeMap<Partition, Offset>) -> u64 {
        self.reader.source().queued_bytes_max() * places.len() as u64
    }

    /// False where the job is stopped first.
    async fn wait_for_turn(&mut self, bytes: u64) -> bool {
        // A part of the lane is held by nobody who waits for the whole.
        self.rest();
        let lane = self.memory.lane().clone();
        let mut turn = pin!(lane.turn(bytes));
        self.turn = tokio::select! {
            biased;
            turn = &mut turn => turn,
            () = std::future::ready(()) => None,
        };
        if self.turn.is_none() {
            let reason = format!("it waits for its turn to catch up: {} tables have theirs", lane.turns());
            self.progress.set_state(State::Pending, Some(Trouble { reason, hint: None, letters: None }));
            self.backpressure.hold_up(Instant::now());
            self.turn = tokio::select! {
                turn = &mut turn => turn,
                () = self.goal.stopped() => None,
            };
            self.backpressure.go_on(Instant::now());
        }
        self.progress.set_state(State::Backfilling, None);
        self.turn.is_some()
    }

    /// One that follows its topic: there are times when it has nothing to do.
    fn follows(&self) -> bool {
        matches!(self.goal, Goal::Follow(_))
    }

    /// What is there, decoded. A topic that rests is asked whether there is something; if so it is read from here on,
    /// in its turn if that is much (I5).
    async fn look(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<Vec<Rows>> {
        if !self.resting {
            return self.reader.poll().await;
        }
        let behind = self.reader.source().records_behind(positions).await?;
        if behind == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.queued_bytes(positions);
        if behind > LIVE_RECORDS_MAX && !self.wait_for_turn(bytes).await {
            return Ok(Vec::new());
        }
        // Nothing was fetched for long: what it was to be fetched from may be gone (I1).
        self.offsets(Some(positions.clone())).await?;
        // And what was read before it may have been cut off meanwhile.
        self.reader.source().expect_leader_epochs(&self.leader_epochs);
        self.reader.source().seek(positions).await?;
        self.resting = false;
        self.pace.found(Instant::now());
        self.reader.poll().await
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

    /// The id that the topic has. One that is being made again is not there for a moment.
    async fn found_id(&mut self) -> Result<TopicId> {
        for _ in 0..GONE_LOOKS {
            match self.reader.source().topic_id().await {
                Err(error) if error.kind() == ErrorKind::NotFound && self.follows() => {
                    self.goal.wait(Instant::now() + GONE_PAUSE).await;
                }
                found => return found,
            }
        }
        self.reader.source().topic_id().await
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
                    self.progress.stopped_by(failure.context("reason").unwrap_or("schema"));
                    self.failure.get_or_insert(failure);
                }
                Some(Halt::NewTable) => {
                    halted.insert(rows.partition);
                    self.turn_at.get_or_insert(TurnAt::NewTable);
                }
                Some(Halt::Follows(step)) => {
                    halted.insert(rows.partition);
                    self.turn_at.get_or_insert(TurnAt::Follows(step));
                }
            }
        }
        if self.turn_at.is_some() {
            self.turn_from.clone_from(&files.positions);
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
        self.note_lag(lag);
        if lag <= LIVE_RECORDS_MAX {
            self.turn = None;
        }
        Ok(ranges.keys().any(|partition| !positions.contains_key(partition)))
    }

    fn note_lag(&self, records: u64) {
        self.progress.lag_records.store(records, Ordering::Relaxed);
        if records == 0 {
            self.progress.set_state(State::Syncing, None);
        }
    }

    fn is_full(&self, files: &EpochFiles) -> bool {
        files.file_bytes() >= FILE_BYTES_TARGET || files.files_done() >= EPOCH_FILES_MAX || self.memory.must_flush()
    }

    /// Waits until the next look. A topic that is quiet need not be fetched (I5).
    async fn idle(&mut self, looked_at: Instant, has_rows: bool) {
        if !self.resting && self.pace.is_quiet(looked_at) {
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
        if let Some(turn) = &self.turn_at {
            return Some(turn.clone().into());
        }
        let reached = |(partition, end): (&Partition, &Offset)| files.positions.get(partition) >= Some(end);
        let all_reached = self.ends.as_ref().is_some_and(|ends| ends.iter().all(reached));
        let caught_up = matches!(self.goal, Goal::CatchUp(_)) && all_reached;
        caught_up.then_some(Ended::CaughtUp)
    }
}

/// Where a job turns back to its beginning, with other tables than it had.
#[derive(Clone, Debug)]
enum TurnAt {
    /// A table was made.
    NewTable,
    /// The table is to take this step.
    Follows(Box<Step>),
}

impl From<TurnAt> for Ended {
    fn from(turn: TurnAt) -> Self {
        match turn {
            TurnAt::NewTable => Ended::Grown,
            TurnAt::Follows(step) => Ended::Follows(step),
        }
    }
}

/// What lies between a place and the topic's ends.
#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    records: u64,
    ends_sum: i64,
}

#[async_trait]
impl Intake for Feed {
    /// Goes to where the epoch starts: the ledger's positions, and the beginning of partitions that it does not
    /// know (I1).
    async fn start(&mut self, from: Option<Positions>, epoch: Epoch) -> Result<Start> {
        // One of an epoch that came to nothing is met again where it stands.
        self.failure = None;
        self.reader.begin(epoch);
        self.pace.begin(Instant::now());
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
        let is_committed = known.as_ref().is_some_and(|known| known.offsets == self.turn_from);
        if matches!(self.turn_at, Some(TurnAt::Follows(_))) && !is_committed {
            self.turn_at = None;
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
            self.take(polled, files).await?;
            self.memory.hold(files.memory() as u64);
            self.progress.holds(files.counts(), files.oldest(), files.memory() as u64);
            if !nothing {
                self.pace.found(looked_at);
            }
            if self.failure.is_some() {
                let at_once = !files.moved;
                return Ok(at_once.then(|| self.take_failure().map(Ended::Suspended)).flatten());
            }
            if let Some(turn) = &self.turn_at {
                return Ok(Some(turn.clone().into()));
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
