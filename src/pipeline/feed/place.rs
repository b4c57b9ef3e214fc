//! Where a feed stands in its topic: where an epoch starts, what lies behind it, and whose turn it is to fetch that.
//!
//! Rules I1, I5 and I7 of the folder.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tableflow_model::source::Range;
use tableflow_model::{Error, ErrorKind, Offset, Partition, Result, TopicId};
use tokio::time::Instant;

use super::Feed;
use crate::definition::StartFrom;
use crate::pipeline::dispatch::Rows;
use crate::pipeline::intake::Intake as _;
use crate::pipeline::job::Goal;
use crate::pipeline::lanes::Turn;
use crate::pipeline::progress::{State, Trouble};

/// A table that is behind by more is far behind, unless so much came in since its last epoch began: then it keeps up.
pub const LIVE_RECORDS_MAX: u64 = 1_000;

/// Asking a topic for its ends costs more than a small poll. The pause doubles while the topic stays quiet.
pub(super) const LOOK_AHEAD_EVERY_MIN: Duration = Duration::from_millis(500);
const LOOK_AHEAD_EVERY_MAX: Duration = Duration::from_secs(30);

/// A topic that is not there is looked for so often, and so far apart, before it counts as deleted.
const GONE_LOOKS: u32 = 4;
const GONE_PAUSE: Duration = Duration::from_millis(500);

/// What lies between a place and the topic's ends.
#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    records: u64,
    ends_sum: i64,
}

impl Feed {
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
    pub(super) async fn enter(
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
            self.waits.begin(Instant::now());
        }
        self.progress.set_state(State::Backfilling, None);
        self.turn.is_some()
    }

    /// One that follows its topic: there are times when it has nothing to do.
    pub(super) fn follows(&self) -> bool {
        matches!(self.goal, Goal::Follow(_))
    }

    /// What is there, decoded. A topic that rests is asked whether there is something; if so it is read from here on,
    /// in its turn if that is much (I5).
    pub(super) async fn look(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<Vec<Rows>> {
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
        // What waits there is to come at once: whether it does is looked at soon.
        self.look_every = LOOK_AHEAD_EVERY_MIN;
        self.reader.poll().await
    }

    /// The id that the topic has. One that is being made again is not there for a moment.
    pub(super) async fn found_id(&mut self) -> Result<TopicId> {
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

    /// Looks now and then how many records wait behind what this epoch holds. True where a partition is new: the next
    /// epoch reads it too.
    pub(super) async fn look_ahead(&mut self, positions: &BTreeMap<Partition, Offset>, idle: bool) -> Result<bool> {
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
        let place = |(partition, range): (&Partition, &Range)| {
            let next = positions.get(partition).copied().unwrap_or(range.start);
            (*partition, next, u64::try_from(range.end.0 - next.0).unwrap_or(0))
        };
        let lag = ranges.iter().map(place).map(|(_, _, behind)| behind).sum();
        self.note_lag(lag);
        if lag <= LIVE_RECORDS_MAX {
            self.turn = None;
        }
        let comes = |partition: Partition| !self.reader.keeps_back(partition);
        let waiting = ranges.iter().map(place).filter(|(partition, _, behind)| *behind > 0 && comes(*partition));
        self.tell_waits(&waiting.map(|(partition, next, _)| (partition, next)).collect())?;
        Ok(ranges.keys().any(|partition| !positions.contains_key(partition)))
    }

    /// I7: a service says so, and reads on; who is to catch up ends.
    fn tell_waits(&mut self, waiting: &BTreeMap<Partition, Offset>) -> Result<()> {
        let waits_too_long = self.waits.look(waiting, Instant::now());
        if self.waits.is_long() {
            self.reader.source().look_again();
        }
        let Some(partition) = waits_too_long else {
            if std::mem::take(&mut self.waits.is_told) && !waiting.is_empty() {
                self.progress.set_state(State::Backfilling, None);
            }
            return Ok(());
        };
        let error = Error::unavailable(format!("the records of partition {partition} of topic {} do not come", self.topic))
            .with_detail("they are there, and for half a minute none of them came, nor a reason")
            .with_hint(
                "its leader has to be reached from here, and to hand them out: `kafka-console-consumer` shows whether it does; a batch \
                 that no client unpacks keeps a core busy here",
            );
        if !self.follows() {
            // It is tried a few times more, each with a look of its own.
            self.look_every = LOOK_AHEAD_EVERY_MIN;
            return Err(error);
        }
        let trouble = Trouble::of(&error);
        if !std::mem::replace(&mut self.waits.is_told, true) {
            tracing::warn!(table = %self.reader.table(), reason = trouble.reason, hint = trouble.hint, "no records come");
        }
        self.progress.set_state(State::Degraded, Some(trouble));
        Ok(())
    }

    fn note_lag(&self, records: u64) {
        self.progress.lag_records.store(records, Ordering::Relaxed);
        if records == 0 {
            self.progress.set_state(State::Syncing, None);
        }
    }
}
