//! Old snapshots are forgotten.
//!
//! - I1: a commit that forgets asserts main (rule C3); what a branch or a tag names, and main, stay.
//! - I2: what is to be forgotten is announced first, as the floor of the table's feed; who registered meanwhile is seen
//!   (rule F3).
//! - I3: files stay: whether anybody needs them is for `vacuum` to find out.

use std::time::Duration;

use serde::Serialize;
use tableflow_catalog::CommitOutcome;
use tableflow_lake::commit::{Retention, prepare_expiry};
use tableflow_model::{Error, Result, TableName};

use crate::home::Home;

const TRIES_MAX: u32 = 8;
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// What an expiry did, or would do.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub table: String,
    pub snapshots_before: u64,
    pub snapshots_after: u64,
}

/// Forgets what the retention does not keep; with `dry_run` it is counted alone.
pub async fn expire(home: &Home, table: &TableName, retention: Retention, dry_run: bool) -> Result<Report> {
    let (mut failed, mut snapshots_first) = (None, None);
    for tried in 0..TRIES_MAX {
        if tried > 0 && failed.is_some() {
            tokio::time::sleep(PAUSE_MIN * 2_u32.pow(tried - 1)).await;
        }
        let base = home.catalog.load_table(table).await?;
        let snapshots = base.metadata.snapshots().len() as u64;
        let snapshots_before = *snapshots_first.get_or_insert(snapshots);
        let mut report = Report { table: table.to_plain_string(), snapshots_before, snapshots_after: snapshots };
        let Some(expiry) = prepare_expiry(&base.metadata, retention, home.clock.now())? else { return Ok(report) };
        report.snapshots_after -= expiry.forgotten;
        if dry_run {
            return Ok(report);
        }
        match home.catalog.commit(table, &base, expiry.requirements, expiry.updates).await {
            Ok(CommitOutcome::Applied(_)) if expiry.is_announced => failed = None,
            Ok(CommitOutcome::Applied(_)) => return Ok(report),
            Ok(CommitOutcome::Conflict { reason }) => failed = Some(Error::conflict(reason)),
            // What is forgotten twice is forgotten.
            Ok(CommitOutcome::Unknown { error }) | Err(error) => failed = Some(error),
        }
    }
    let failed = failed.unwrap_or_else(|| Error::internal("no expiry was tried"));
    Err(failed.with_hint("others commit to the table all the time, or the catalog does not answer: run it again"))
}
