//! How a table is doing, as its job knows it.
//!
//! Owns [`Progress`], shared between a running job and whoever asks (metrics, status), and [`Report`], its form
//! on disk for other processes.
//! - I1: a report is a courtesy: the table's ledger is the truth about what is committed.
//! - I2: what is counted of records is read at one moment ([`Figures`]), so that the books of every scrape balance.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tableflow_lake::upsert::KeyExtent;
use tableflow_model::protocol::{Epoch, Positions};
use tableflow_model::{Error, Millis, TableName};
use tokio::time::Instant;

use super::account::{Account, Counts};
use super::histogram::Histogram;
use crate::growth::Growth;

/// In seconds: from a commit interval of one second to a topic that nobody read for a while. Each bound is a line of
/// every table, in every scrape.
const FRESHNESS_BOUNDS: [f64; 6] = [1.0, 5.0, 10.0, 30.0, 60.0, 600.0];
const COMMIT_BOUNDS: [f64; 5] = [0.1, 0.5, 2.5, 10.0, 60.0];
/// In bytes: below the second one a file is small, above the last one it is as large as they are made.
const FILE_BOUNDS: [f64; 3] = [1_048_576.0, 16_777_216.0, 67_108_864.0];
const BATCH_BOUNDS: [f64; 4] = [100.0, 10_000.0, 100_000.0, 1_000_000.0];

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
    /// What is asked about the topic of dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letters: Option<LettersDoubt>,
}

impl Trouble {
    pub fn of(error: &Error) -> Self {
        let words = [vec![error.to_string()], error.details()].concat().join("; ");
        // One line, for a cell of a table.
        let reason = words.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Trouble { reason, hint: error.hint().map(str::to_owned), letters: LettersDoubt::of(error) }
    }
}

/// Which epoch the topic of dead letters is at, by what a person answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LettersDoubt {
    /// What its group said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Epoch>,
    pub sent: Epoch,
    pub missing: Epoch,
}

impl LettersDoubt {
    const NAMES: [&str; 3] = ["letters_recorded", "letters_sent", "letters_missing"];

    /// An error takes it along.
    fn of(error: &Error) -> Option<Self> {
        let [recorded, sent, missing] = Self::NAMES.map(|name| error.context(name)?.parse().ok().map(Epoch));
        Some(LettersDoubt { recorded, sent: sent?, missing: missing? })
    }

    pub fn in_error(self, error: Error) -> Error {
        let [recorded, sent, missing] = Self::NAMES;
        let error = error.with_context(sent, self.sent).with_context(missing, self.missing);
        match self.recorded {
            Some(epoch) => error.with_context(recorded, epoch),
            None => error,
        }
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
    /// How old the oldest record of the last commit was when it could be seen. Older reports do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness_ms: Option<i64>,
    /// Of the index of a table with one row a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_index: Option<KeyIndexReport>,
    /// Where the service looks after the job's tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upkeep: Option<UpkeepReport>,
    pub reported_at: Millis,
}

/// How large an index of keys is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyIndexReport {
    pub keys: u64,
    /// Those of them that memory has no room for.
    pub keys_on_disk: u64,
    /// Of memory.
    pub bytes: u64,
}

/// How the tables of a job are looked after: of several, the one that is worst off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpkeepReport {
    /// Files that came since upkeep was there.
    pub files_since: u64,
    /// They are so many that commits wait longer.
    pub is_behind: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<Millis>,
    /// Why upkeep came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl UpkeepReport {
    /// Nothing where nobody here looks after them.
    pub fn of(growth: &Growth, tables: &[TableName]) -> Option<Self> {
        let worst = tables
            .iter()
            .filter_map(|table| growth.care_of(table))
            .max_by_key(|care| (care.failure.is_some(), care.files_since))?;
        Some(UpkeepReport {
            files_since: worst.files_since,
            is_behind: worst.is_too_much(),
            looked_at: worst.looked_at,
            failure: worst.failure,
        })
    }
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
            freshness_ms: None,
            key_index: None,
            upkeep: None,
            reported_at: now,
        }
    }
}

/// What a commit added.
#[derive(Clone, Debug)]
pub struct Content {
    pub rows: u64,
    /// Of each file.
    pub bytes: Vec<u64>,
}

/// A table as its last commit, or the last look at it, left it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    pub snapshots: u64,
    pub data_files: u64,
    pub delete_files: u64,
    pub bytes: u64,
}

impl Extent {
    pub fn files(&self) -> u64 {
        self.data_files + self.delete_files
    }
}

/// What a job counts, at one moment (I2).
#[derive(Clone, Debug)]
pub struct Figures {
    pub account: Account,
    pub commits: u64,
    pub batch_rows: Histogram,
    pub file_bytes: Histogram,
    pub commit_seconds: Histogram,
    /// From a record's own time until it can be seen, of the oldest one of each epoch.
    pub event_freshness: Histogram,
    /// The same from when the epoch's first record was read.
    pub commit_freshness: Histogram,
    /// Records that stopped the table, by reason.
    pub stopped_by: BTreeMap<String, u64>,
    pub backpressure: f64,
    /// Those of several, and that of dead letters, each by itself.
    pub extents: BTreeMap<TableName, Extent>,
    /// Where there is one.
    pub key_index: Option<KeyExtent>,
    freshness_ms: Option<i64>,
    /// The time of the oldest record in hand, and when the first one was read.
    oldest: Option<Millis>,
    held_since: Option<Instant>,
}

impl Default for Figures {
    fn default() -> Self {
        Figures {
            account: Account::default(),
            commits: 0,
            batch_rows: Histogram::new(&BATCH_BOUNDS),
            file_bytes: Histogram::new(&FILE_BOUNDS),
            commit_seconds: Histogram::new(&COMMIT_BOUNDS),
            event_freshness: Histogram::new(&FRESHNESS_BOUNDS),
            commit_freshness: Histogram::new(&FRESHNESS_BOUNDS),
            stopped_by: BTreeMap::new(),
            backpressure: 0.0,
            extents: BTreeMap::new(),
            key_index: None,
            freshness_ms: None,
            oldest: None,
            held_since: None,
        }
    }
}

impl Figures {
    /// What was in hand can be seen from `now` on.
    fn seen(&mut self, now: Millis) {
        if let Some(since) = self.held_since.take() {
            self.commit_freshness.observe(since.elapsed().as_secs_f64());
        }
        if let Some(oldest) = self.oldest.take() {
            let age_ms = (now.0 - oldest.0).max(0);
            self.event_freshness.observe(age_ms as f64 / 1000.0);
            self.freshness_ms = Some(age_ms);
        }
    }
}

/// Counters of a running job; cheap to touch, read at any time.
#[derive(Debug, Default)]
pub struct Progress {
    pub bytes_buffered: AtomicU64,
    pub conflicts: AtomicU64,
    pub retries: AtomicU64,
    /// Values that their source did not send again, and nobody had.
    pub values_lost: AtomicU64,
    /// Changes that were older than the rows of their keys.
    pub changes_left_out: AtomicU64,
    pub lag_records: AtomicU64,
    /// Zero: none yet.
    last_commit_at_ms: AtomicI64,
    state: Mutex<Option<(State, Option<Trouble>)>>,
    figures: Mutex<Figures>,
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

    /// I2.
    pub fn figures(&self) -> Figures {
        self.counted().clone()
    }

    fn counted(&self) -> MutexGuard<'_, Figures> {
        // Whoever panicked left no sum half done: each is one assignment.
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit to one of the job's tables went through.
    pub fn committed(&self, content: &Content, took: Duration, at: Millis) {
        let mut figures = self.counted();
        figures.commits += 1;
        figures.batch_rows.observe(content.rows as f64);
        content.bytes.iter().for_each(|bytes| figures.file_bytes.observe(*bytes as f64));
        figures.commit_seconds.observe(took.as_secs_f64());
        self.last_commit_at_ms.store(at.0, Ordering::Relaxed);
    }

    /// An epoch begins where the ledger stands.
    pub fn begins(&self, positions: Option<&Positions>) {
        let mut figures = self.counted();
        figures.account.begin(positions);
        (figures.oldest, figures.held_since) = (None, None);
        self.bytes_buffered.store(0, Ordering::Relaxed);
    }

    /// The epoch holds that by now, in so much memory.
    pub fn holds(&self, hand: Counts, oldest: Option<Millis>, memory: u64) {
        let mut figures = self.counted();
        if hand.records() > 0 {
            figures.held_since.get_or_insert_with(Instant::now);
        }
        figures.oldest = oldest;
        figures.account.hold(hand);
        self.bytes_buffered.store(memory, Ordering::Relaxed);
    }

    /// The epoch ends there, once it is committed.
    pub fn ends_at(&self, positions: Positions) {
        self.counted().account.end_at(positions);
    }

    /// The ledger stands there, in all of the job's tables.
    pub fn settled(&self, positions: &Positions, now: Millis) {
        let mut figures = self.counted();
        if figures.account.settle(positions) {
            figures.seen(now);
            self.bytes_buffered.store(0, Ordering::Relaxed);
        }
    }

    /// A record stops the table.
    pub fn stopped_by(&self, reason: &str) {
        *self.counted().stopped_by.entry(reason.to_owned()).or_default() += 1;
    }

    pub fn held_up(&self, ratio: f64) {
        self.counted().backpressure = ratio;
    }

    pub fn saw(&self, table: &TableName, extent: Extent) {
        self.counted().extents.insert(table.clone(), extent);
    }

    /// Those that were seen.
    pub fn tables(&self) -> Vec<TableName> {
        self.counted().extents.keys().cloned().collect()
    }

    pub fn indexes(&self, extent: KeyExtent) {
        self.counted().key_index = Some(extent);
    }

    /// The table's newest snapshot is that old: age is counted from it until the job commits.
    pub fn found_commit_of(&self, at: Millis) {
        let _ = self.last_commit_at_ms.compare_exchange(0, at.0, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn last_commit_at(&self) -> Option<Millis> {
        match self.last_commit_at_ms.load(Ordering::Relaxed) {
            0 => None,
            at => Some(Millis(at)),
        }
    }

    pub fn report(&self, definition_version: u32, now: Millis) -> Report {
        let (state, trouble) = self.state();
        let figures = self.counted();
        Report {
            definition_version,
            state,
            trouble,
            rows_buffered: figures.account.buffered(),
            last_commit_at: self.last_commit_at(),
            freshness_ms: figures.freshness_ms,
            key_index: figures.key_index.map(|of| KeyIndexReport {
                keys: of.keys,
                keys_on_disk: of.on_disk,
                bytes: of.bytes,
            }),
            upkeep: None,
            reported_at: now,
        }
    }
}
