//! Upkeep while the service runs: every table in its turn, without anybody asking.
//!
//! - I1: a table is looked after when its time has come, or when it has grown much since; one table after the other, each
//!   kind in turn: tables are fed first.
//! - I2: a table that nobody changed since is left alone, but for files that may go once their day is over.
//! - I3: a failure is told and tried again when the table's time comes, or after a pause where it has grown; it touches no other table, and no job.
//! - I4: a stop ends it at once: what a compaction has staged by then is nobody's.
//! - I5: a table that somebody else is to compact is not compacted here, nor does anybody wait for that ([`crate::growth`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tableflow_model::{Millis, Result, TableName};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::maintenance::{Report, Step, maintain};
use super::means::Means;
use super::tables::{Kept, kept_tables};
use super::vacuum::swept_at;
use crate::config::UpkeepConfig;
use crate::home::Home;
use crate::pipeline::budget::TableMemory;
use crate::pipeline::progress::Trouble;
use crate::pipeline::target::extent_of;
use crate::units::Every;

/// A service that was just started has other things to do; one that is started again and again gets to it all the same.
const FIRST_AFTER_MAX: Duration = Duration::from_secs(60);

/// Tables and settings that are new are known by then.
const DEFINITIONS_EVERY_MAX: Duration = Duration::from_secs(60);

/// What was done since the service began.
#[derive(Debug, Default)]
pub struct Counts {
    pub tables: AtomicU64,
    pub failures: AtomicU64,
    pub files_compacted: AtomicU64,
    pub bytes_compacted: AtomicU64,
    pub bytes_written: AtomicU64,
    pub files_deleted: AtomicU64,
}

impl Counts {
    fn add(&self, report: &Report) {
        self.tables.fetch_add(1, Ordering::Relaxed);
        self.files_compacted.fetch_add(report.files_read, Ordering::Relaxed);
        self.bytes_compacted.fetch_add(report.bytes_read, Ordering::Relaxed);
        self.bytes_written.fetch_add(report.bytes_written, Ordering::Relaxed);
        self.files_deleted.fetch_add(report.files_deleted, Ordering::Relaxed);
    }
}

/// Looks after the tables of a data directory.
#[derive(Debug)]
pub struct Upkeep {
    home: Home,
    config: UpkeepConfig,
    counts: Arc<Counts>,
    means: Means,
    tables: Vec<Kept>,
    /// When the tables are read again.
    tables_due: Instant,
    seen: HashMap<TableName, Seen>,
}

/// How a table was left.
#[derive(Debug)]
struct Seen {
    /// When its time comes.
    due: Instant,
    /// The version that nothing was left to do for.
    done: Option<String>,
}

impl Upkeep {
    pub fn new(home: Home, config: UpkeepConfig, counts: Arc<Counts>, memory: Arc<TableMemory>) -> Self {
        let means = Means { at_once: 1, memory };
        let first = Instant::now() + config.compact.every.duration().min(FIRST_AFTER_MAX);
        Upkeep { home, config, counts, means, tables: Vec::new(), tables_due: first, seen: HashMap::new() }
    }

    /// Until `stop` (I4).
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let next = self.next_at();
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.home.growth.woken() => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = self.look() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn next_at(&self) -> Instant {
        if self.grown().is_some() {
            return Instant::now();
        }
        let due = self.seen.values().map(|seen| seen.due);
        let grown = self.home.growth.due(Instant::now()).1;
        due.chain(grown).fold(self.tables_due, Instant::min)
    }

    /// One that has grown much, and one whose time has come: neither keeps the other waiting (I1).
    async fn look(&mut self) {
        if self.tables_due <= Instant::now() {
            if let Err(error) = self.read_tables().await {
                tracing::warn!(%error, "the tables to look after cannot be read, trying again");
            }
            self.tables_due = Instant::now() + self.config.compact.every.duration().min(DEFINITIONS_EVERY_MAX);
        }
        if let Some(kept) = self.grown().cloned() {
            self.look_after(&kept).await;
        }
        if let Some(kept) = self.due().cloned() {
            self.look_after(&kept).await;
        }
    }

    fn grown(&self) -> Option<&Kept> {
        let grown = self.home.growth.due(Instant::now()).0.into_iter();
        grown.filter_map(|table| self.tables.iter().find(|kept| kept.table == table)).next()
    }

    /// Who waits longest.
    fn due(&self) -> Option<&Kept> {
        let now = Instant::now();
        let due = self.tables.iter().filter_map(|kept| Some((self.seen.get(&kept.table)?.due, kept)));
        due.filter(|(due, _)| *due <= now).min_by_key(|(due, _)| *due).map(|(_, kept)| kept)
    }

    async fn read_tables(&mut self) -> Result<()> {
        self.tables = kept_tables(&self.home).await?;
        let named: HashSet<&TableName> = self.tables.iter().map(|kept| &kept.table).collect();
        self.seen.retain(|table, _| named.contains(table));
        let now = Instant::now();
        for kept in &self.tables {
            let soon = now + every(&self.config, kept);
            let seen = self.seen.entry(kept.table.clone()).or_insert(Seen { due: now, done: None });
            // It may be looked at more often than was said when it was last.
            seen.due = seen.due.min(soon);
        }
        let compacted = self.tables.iter().filter(|kept| compacts(kept));
        self.home.growth.watch(&compacted.map(|kept| kept.table.clone()).collect());
        Ok(())
    }

    /// I3.
    async fn look_after(&mut self, kept: &Kept) {
        let started = Instant::now();
        let looked = self.do_what_is_due(kept).await;
        if let Err(error) = &looked {
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
            let hint = error.hint();
            tracing::warn!(table = %kept.table, %error, hint, "upkeep failed, and is tried again");
            self.home.growth.failed(&kept.table, Trouble::of(error).reason, started.elapsed());
        }
        let due = Instant::now() + every(&self.config, kept);
        self.seen.insert(kept.table.clone(), Seen { due, done: looked.unwrap_or_default() });
    }

    /// Answers with the version that nothing is left to do for.
    async fn do_what_is_due(&self, kept: &Kept) -> Result<Option<String>> {
        let started = Instant::now();
        let Ok(loaded) = self.home.catalog.load_table(&kept.table).await else {
            // It is not made yet, or the catalog does not answer, which its job tells.
            self.home.growth.passed_over(&kept.table);
            return Ok(None);
        };
        let done = self.seen.get(&kept.table).and_then(|seen| seen.done.as_ref());
        let steps = self.steps(kept, loaded.metadata.uuid(), done == Some(&loaded.metadata_location)).await?;
        let mut left = loaded;
        let mut is_done = true;
        if !steps.is_empty() {
            let (report, failed) = maintain(&self.home, kept, &steps, &self.means, false).await;
            self.counts.add(&report);
            tell(&report);
            if let Some(error) = failed {
                return Err(error);
            }
            is_done = report.files_read == 0 && report.rows_aged == 0;
            if !is_done {
                left = self.home.catalog.load_table(&kept.table).await?;
            }
        }
        let (files, now) = (extent_of(&left.metadata).files(), self.home.clock.now());
        self.home.growth.looked_after(&kept.table, files, now, started.elapsed());
        Ok(is_done.then_some(left.metadata_location))
    }

    /// I2.
    async fn steps(&self, kept: &Kept, uuid: Uuid, is_unchanged: bool) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        // Rows become too old though nobody changes anything.
        steps.extend(kept.rows_stay_ms.map(|_| Step::Age));
        if !is_unchanged {
            steps.extend(compacts(kept).then_some(Step::Compact));
            steps.extend([Step::Join, Step::Expire]);
        }
        let due_at = swept_at(&self.home, uuid).await?.0 + self.config.vacuum.every.as_ms().cast_signed();
        steps.extend((self.home.clock.now() >= Millis(due_at)).then_some(Step::Vacuum));
        Ok(steps)
    }
}

fn every(config: &UpkeepConfig, kept: &Kept) -> Duration {
    match kept.compaction.every {
        Some(Every(Some(every))) => every,
        Some(Every(None)) | None => config.compact.every,
    }
    .duration()
}

/// I5.
fn compacts(kept: &Kept) -> bool {
    kept.compaction.every != Some(Every(None))
}

fn tell(report: &Report) {
    let Report {
        table,
        rows_aged,
        files_read,
        files_written,
        rows_dropped,
        snapshots_forgotten,
        files_deleted,
        seconds,
        ..
    } = report;
    if rows_aged + files_read + snapshots_forgotten + files_deleted > 0 {
        tracing::info!(
            table,
            rows_aged,
            files_read,
            files_written,
            rows_dropped,
            snapshots_forgotten,
            files_deleted,
            seconds,
            "the table was looked after"
        );
    }
}
