//! All that is due for one table: rows that are too old, compaction, then expiry, then what nobody needs any more.
//!
//! - I1: what fails is said, and the rest is done all the same.

use serde::Serialize;
use tableflow_model::protocol::garbage::AGE_MIN_MS;
use tableflow_model::{Error, ErrorKind, Result};

use super::compaction::{self, Options};
use super::manifests::{are_many, rewrite_manifests};
use super::means::Means;
use super::removal::remove_aged;
use super::tables::Kept;
use super::{expiry, vacuum};
use crate::home::Home;

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Rows that are too old go.
    Age,
    Compact,
    /// Manifests become fewer.
    Join,
    Expire,
    Vacuum,
}

impl Step {
    /// In this order: rows that are too old need no compaction, and a compaction makes snapshots that expire, and files that nobody needs then.
    pub const ALL: [Step; 5] = [Step::Age, Step::Compact, Step::Join, Step::Expire, Step::Vacuum];
}

/// What was done, or would be.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub table: String,
    /// Rows that were too old.
    pub rows_aged: u64,
    pub files_read: u64,
    pub files_written: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub rows_dropped: u64,
    /// By so many they are fewer.
    pub manifests_joined: u64,
    pub snapshots_forgotten: u64,
    pub files_deleted: u64,
    pub bytes_deleted: u64,
    pub requests: u64,
    pub seconds: f64,
}

/// These steps of it; with `dry_run` nothing is changed.
pub async fn maintain(
    home: &Home,
    kept: &Kept,
    steps: &[Step],
    means: &Means,
    dry_run: bool,
) -> (Report, Option<Error>) {
    let mut report = Report { table: kept.table.to_plain_string(), ..Report::default() };
    let (started, requests) = (tokio::time::Instant::now(), home.store.meter().requests());
    let mut failed = None;
    for step in steps {
        if let Err(error) = step.run(home, kept, (means, dry_run), &mut report).await {
            // A table that is not made yet needs nothing.
            if error.kind() == ErrorKind::NotFound && home.catalog.load_table(&kept.table).await.is_err() {
                break;
            }
            failed = failed.or(Some(error.with_context("table", kept.table.to_plain_string())));
        }
    }
    report.requests = home.store.meter().requests() - requests;
    report.seconds = started.elapsed().as_millis() as f64 / 1000.0;
    (report, failed)
}

impl Step {
    async fn run(self, home: &Home, kept: &Kept, (means, dry_run): (&Means, bool), report: &mut Report) -> Result<()> {
        match self {
            // How many rows or manifests those would be is known when it is done.
            Step::Age | Step::Join if dry_run => {}
            Step::Age => {
                if let Some(max_age_ms) = kept.rows_stay_ms {
                    report.rows_aged = remove_aged(home, &kept.table, max_age_ms).await?;
                }
            }
            Step::Join => {
                if are_many(home, &kept.table).await? {
                    let joined = rewrite_manifests(home, &kept.table).await?;
                    report.manifests_joined = joined.manifests_before - joined.manifests_after;
                }
            }
            Step::Compact => {
                let options = Options::due(&kept.compaction, means.clone());
                let compacted = match dry_run {
                    true => compaction::dry_run(home, &kept.table, &options).await?,
                    false => compaction::compact(home, &kept.table, &options).await?,
                };
                report.files_read = compacted.files_read;
                report.files_written = compacted.files_written;
                report.bytes_read = compacted.bytes_read;
                report.bytes_written = compacted.bytes_written;
                report.rows_dropped = compacted.rows_dropped;
            }
            Step::Expire => {
                let expired = expiry::expire(home, &kept.table, kept.retention, dry_run).await?;
                report.snapshots_forgotten = expired.snapshots_before - expired.snapshots_after;
            }
            Step::Vacuum => {
                let collected = vacuum::vacuum(home, &kept.table, AGE_MIN_MS, dry_run).await?;
                report.files_deleted = collected.files_deleted;
                report.bytes_deleted = collected.bytes_deleted;
            }
        }
        Ok(())
    }
}
