//! What every job has, whatever machine drives it: a goal, an end, and patience with what fails outside.
//!
//! Owns [`Goal`], [`Ended`] and what it means for the table ([`verdict`]), and [`Patience`].
//! - I1: whatever fails outside is tried again with growing pauses; a one-shot job gives up after a while and says
//!   why: what it staged is read again by the next one.
//! - I2: a stop ends every pause at once, and what still fails then is tried a few times more, not for ever.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tableflow_model::{Error, ErrorKind, Result, TableName};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::mirror::Step;
use super::progress::{Progress, State, Trouble};

/// Pauses after failures: doubled up to the largest.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// What comes back after an hour is noticed as soon as what comes back after a minute: a look at a cluster that is
/// known to be dead costs nothing, and a thousand tables ask a store two hundred times a second.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A one-shot job fails after so many failures in a row: about ten seconds.
const ONE_SHOT_FAILURES_MAX: u32 = 6;

/// So often is it tried again once the job was told to stop.
const FAILURES_AFTER_STOP_MAX: u32 = 5;

/// When a job is done.
#[derive(Clone, Debug)]
pub enum Goal {
    /// Follow the topic until told to stop.
    Follow(CancellationToken),
    /// Up to the ends that the topic has when the job starts.
    CatchUp(CancellationToken),
}

impl Goal {
    pub fn is_stopped(&self) -> bool {
        let (Goal::Follow(stop) | Goal::CatchUp(stop)) = self;
        stop.is_cancelled()
    }

    /// Until the job is told to stop.
    pub async fn stopped(&self) {
        let (Goal::Follow(stop) | Goal::CatchUp(stop)) = self;
        stop.cancelled().await;
    }

    /// Until then, or until the job is told to stop (I2).
    pub async fn wait(&self, until: Instant) {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = self.stopped() => {}
        }
    }
}

/// How a job ended.
#[derive(Debug)]
pub enum Ended {
    CaughtUp,
    Stopped,
    /// A table is there or is otherwise for records that come next: the job goes on once it is begun again.
    Grown,
    /// The same, once the table has taken this step.
    Follows(Box<Step>),
    /// Another process took the table over.
    Fenced(Error),
    /// A person has to decide.
    Suspended(Error),
}

/// The state that an end leaves the table in, and why; `None` where it ended as it should.
pub fn verdict(ended: Result<Ended>) -> Option<(State, Error)> {
    match ended {
        Ok(Ended::CaughtUp | Ended::Stopped | Ended::Grown | Ended::Follows(_)) => None,
        Ok(Ended::Fenced(error)) => Some((State::Paused, error)),
        // The next one goes on by itself.
        Err(error) if error.kind() == ErrorKind::Unavailable => Some((State::Degraded, error)),
        Ok(Ended::Suspended(error)) | Err(error) => Some((State::Suspended, error)),
    }
}

/// How often in a row something outside has failed.
#[derive(Debug)]
pub struct Patience {
    /// Whose job is waiting, for the log.
    table: TableName,
    goal: Goal,
    progress: Arc<Progress>,
    failures: u32,
    failures_after_stop: u32,
}

impl Patience {
    pub fn new(table: TableName, goal: Goal, progress: Arc<Progress>) -> Self {
        Patience { table, goal, progress, failures: 0, failures_after_stop: 0 }
    }

    /// I1. Gives the error back when it has come too often.
    pub async fn pause_after(&mut self, error: Error) -> Result<()> {
        let trouble = Trouble::of(&error);
        tracing::warn!(table = %self.table, reason = trouble.reason, hint = trouble.hint, "trying again");
        self.progress.set_state(State::Degraded, Some(trouble));
        self.progress.retries.fetch_add(1, Ordering::Relaxed);
        self.failures += 1;
        if matches!(self.goal, Goal::CatchUp(_)) && self.failures >= ONE_SHOT_FAILURES_MAX {
            return Err(error);
        }
        if self.goal.is_stopped() {
            self.failures_after_stop += 1;
            if self.failures_after_stop >= FAILURES_AFTER_STOP_MAX {
                return Err(error);
            }
            tokio::time::sleep(PAUSE_MIN).await;
            return Ok(());
        }
        let pause = PAUSE_MIN * 2_u32.pow(self.failures.min(10) - 1);
        self.goal.wait(Instant::now() + pause.min(PAUSE_MAX)).await;
        Ok(())
    }

    /// Something went through.
    pub fn renew(&mut self) {
        self.failures = 0;
        if self.progress.state().0 == State::Degraded {
            self.progress.set_state(State::Backfilling, None);
        }
    }
}
