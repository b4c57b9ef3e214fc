//! How a table is doing, as its job knows it.
//!
//! Owns [`Progress`], shared between a running job and whoever asks (metrics, status), and [`Report`], its form
//! on disk for other processes.
//! - I1: a report is a courtesy: the table's ledger is the truth about what is committed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tableflow_model::protocol::Tally;
use tableflow_model::{Error, Millis};

/// The words people know from Confluent's console, and two more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Enabled, and nothing has read it yet.
    #[default]
    Pending,
    /// Reading what was there when it started.
    Backfilling,
    Syncing,
    Paused,
    /// Something outside does not answer; it is tried again.
    Degraded,
    /// A person has to decide.
    Suspended,
}

/// Why a table is not syncing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Trouble {
    pub fn of(error: &Error) -> Self {
        let words = [vec![error.to_string()], error.details()].concat().join("; ");
        // One line, for a cell of a table.
        let reason = words.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Trouble { reason, hint: error.hint().map(str::to_owned) }
    }
}

/// What a job says about itself, on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which version of the definition this is about.
    pub definition_version: u32,
    pub state: State,
    pub trouble: Option<Trouble>,
    pub rows_buffered: u64,
    pub last_commit_at: Option<Millis>,
    pub reported_at: Millis,
}

impl Report {
    /// Of a table that nobody feeds, since a person wants it so.
    pub fn of_rest(definition_version: u32, now: Millis) -> Self {
        Report {
            definition_version,
            state: State::Paused,
            trouble: None,
            rows_buffered: 0,
            last_commit_at: None,
            reported_at: now,
        }
    }
}

/// What a commit added.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    pub rows: u64,
    pub files: u64,
    pub bytes: u64,
}

/// Counters of a running job; cheap to touch, read at any time.
#[derive(Debug, Default)]
pub struct Progress {
    pub rows_buffered: AtomicU64,
    pub bytes_buffered: AtomicU64,
    pub rows_committed: AtomicU64,
    /// As the ledger counts them.
    pub rows_skipped: AtomicU64,
    pub rows_dead_lettered: AtomicU64,
    pub files_written: AtomicU64,
    pub bytes_written: AtomicU64,
    pub commits: AtomicU64,
    pub conflicts: AtomicU64,
    pub retries: AtomicU64,
    pub commit_ms_total: AtomicU64,
    pub lag_records: AtomicU64,
    /// Zero: none yet.
    last_commit_at_ms: AtomicI64,
    state: Mutex<Option<(State, Option<Trouble>)>>,
}

impl Progress {
    pub fn set_state(&self, state: State, trouble: Option<Trouble>) {
        if let Ok(mut slot) = self.state.lock() {
            *slot = Some((state, trouble));
        }
    }

    pub fn state(&self) -> (State, Option<Trouble>) {
        self.state.lock().ok().and_then(|slot| slot.clone()).unwrap_or((State::Pending, None))
    }

    pub fn committed(&self, content: Content, took: Duration, at: Millis) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.rows_committed.fetch_add(content.rows, Ordering::Relaxed);
        self.files_written.fetch_add(content.files, Ordering::Relaxed);
        self.bytes_written.fetch_add(content.bytes, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commit_ms_total.fetch_add(took_ms, Ordering::Relaxed);
        self.last_commit_at_ms.store(at.0, Ordering::Relaxed);
        self.buffered(0, 0);
    }

    pub fn counted(&self, tally: Tally) {
        self.rows_skipped.store(tally.skipped, Ordering::Relaxed);
        self.rows_dead_lettered.store(tally.dead_lettered, Ordering::Relaxed);
    }

    /// The table's newest snapshot is that old: age is counted from it until the job commits.
    pub fn found_commit_of(&self, at: Millis) {
        let _ = self.last_commit_at_ms.compare_exchange(0, at.0, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn buffered(&self, rows: u64, bytes: u64) {
        self.rows_buffered.store(rows, Ordering::Relaxed);
        self.bytes_buffered.store(bytes, Ordering::Relaxed);
    }

    pub fn last_commit_at(&self) -> Option<Millis> {
        match self.last_commit_at_ms.load(Ordering::Relaxed) {
            0 => None,
            at => Some(Millis(at)),
        }
    }

    pub fn report(&self, definition_version: u32, now: Millis) -> Report {
        let (state, trouble) = self.state();
        Report {
            definition_version,
            state,
            trouble,
            rows_buffered: self.rows_buffered.load(Ordering::Relaxed),
            last_commit_at: self.last_commit_at(),
            reported_at: now,
        }
    }
}
