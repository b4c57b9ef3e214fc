//! Upkeep while the service runs: every table in its turn, without anybody asking.
//!
//! - I1: a table is looked after once a round at most, one table after the other: tables are fed first.
//! - I2: a table that nobody changed since is left alone, but for files that may go once their day is over.
//! - I3: a failure is told and tried again in the next round; it touches no other table, and no job.
//! - I4: a stop ends it at once: what a compaction has staged by then is nobody's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tableflow_model::{Millis, Result, TableName};
use tokio_util::sync::CancellationToken;

use super::maintenance::{Report, Step, maintain};
use super::tables::{Kept, kept_tables};
use super::vacuum::swept_at;
use crate::config::UpkeepConfig;
use crate::home::Home;

/// A service that was just started has other things to do; one that is started again and again gets to it all the same.
const FIRST_AFTER_MAX: Duration = Duration::from_secs(60);

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
    /// The version of each table that nothing was left to do for.
    kept: HashMap<TableName, String>,
}

impl Upkeep {
    pub fn new(home: Home, config: UpkeepConfig, counts: Arc<Counts>) -> Self {
        Upkeep { home, config, counts, kept: HashMap::new() }
    }

    /// Rounds until `stop` (I4).
    pub async fn run(mut self, stop: CancellationToken) {
        let every = self.config.compact.every.duration();
        let mut pause = every.min(FIRST_AFTER_MAX);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                round = self.round() => if let Err(error) = round {
                    tracing::warn!(%error, "the tables to look after cannot be read, trying again");
                },
                () = stop.cancelled() => return,
            }
            pause = every;
        }
    }

    async fn round(&mut self) -> Result<()> {
        let tables = kept_tables(&self.home).await?;
        self.kept.retain(|table, _| tables.iter().any(|kept| kept.table == *table));
        for kept in &tables {
            if let Err(error) = self.look_after(kept).await {
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(table = %kept.table, %error, hint = error.hint(), "upkeep failed, and is tried again");
            }
        }
        Ok(())
    }

    async fn look_after(&mut self, kept: &Kept) -> Result<()> {
        let Ok(loaded) = self.home.catalog.load_table(&kept.table).await else {
            // It is not made yet, or the catalog does not answer, which its job tells.
            return Ok(());
        };
        let mut steps = Vec::new();
        // Rows become too old though nobody changes anything.
        steps.extend(kept.rows_stay_ms.map(|_| Step::Age));
        if self.kept.get(&kept.table) != Some(&loaded.metadata_location) {
            steps.extend([Step::Compact, Step::Join, Step::Expire]);
        }
        let due_at =
            swept_at(&self.home, loaded.metadata.uuid()).await?.0 + self.config.vacuum.every.as_ms().cast_signed();
        if self.home.clock.now() >= Millis(due_at) {
            steps.push(Step::Vacuum);
        }
        if steps.is_empty() {
            return Ok(());
        }
        let (report, failed) = maintain(&self.home, kept, &steps, 1, false).await;
        self.counts.add(&report);
        tell(&report);
        match failed {
            Some(error) => Err(error),
            None => {
                if report.files_read == 0 && report.rows_aged == 0 {
                    self.kept.insert(kept.table.clone(), loaded.metadata_location);
                }
                Ok(())
            }
        }
    }
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
