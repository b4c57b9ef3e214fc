//! The jobs' counters as Prometheus reads them.
//!
//! - I1: every scrape reads the counters themselves; nothing is counted twice, and a table that is gone is gone
//!   from the next scrape.

use std::sync::atomic::Ordering::Relaxed;

use metrics::{Label, counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;
use tableflow_model::{Millis, TableName};

use crate::pipeline::lanes::Lane;
use crate::pipeline::progress::{Progress, State};
use crate::pipeline::supervise::Board;

/// The text of one scrape.
pub fn render(board: &Board, lane: &Lane, now: Millis) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let jobs: Vec<_> = match board.lock() {
        Ok(board) => board.iter().map(|(table, progress)| (table.clone(), progress.clone())).collect(),
        Err(_) => Vec::new(),
    };
    with_local_recorder(&recorder, || {
        gauge!("tableflow_tables").set(jobs.len() as f64);
        gauge!("tableflow_backfill_turns").set(lane.turns() as f64);
        gauge!("tableflow_backfill_waiting").set(lane.waiting() as f64);
        gauge!("tableflow_backfill_fetch_bytes").set(lane.bytes_taken() as f64);
        for (table, progress) in &jobs {
            record(table, progress, now);
        }
    });
    recorder.handle().render()
}

fn record(table: &TableName, progress: &Progress, now: Millis) {
    let labels = || vec![Label::new("table", table.to_plain_string())];
    counter!("tableflow_records_committed_total", labels()).absolute(progress.rows_committed.load(Relaxed));
    counter!("tableflow_records_skipped_total", labels()).absolute(progress.rows_skipped.load(Relaxed));
    counter!("tableflow_records_dead_lettered_total", labels()).absolute(progress.rows_dead_lettered.load(Relaxed));
    counter!("tableflow_files_written_total", labels()).absolute(progress.files_written.load(Relaxed));
    counter!("tableflow_file_bytes_total", labels()).absolute(progress.bytes_written.load(Relaxed));
    counter!("tableflow_commits_total", labels()).absolute(progress.commits.load(Relaxed));
    counter!("tableflow_commit_conflicts_total", labels()).absolute(progress.conflicts.load(Relaxed));
    counter!("tableflow_commit_retries_total", labels()).absolute(progress.retries.load(Relaxed));
    let commit_seconds = progress.commit_ms_total.load(Relaxed) as f64 / 1000.0;
    gauge!("tableflow_commit_duration_seconds_sum", labels()).set(commit_seconds);
    gauge!("tableflow_records_buffered", labels()).set(progress.rows_buffered.load(Relaxed) as f64);
    gauge!("tableflow_buffered_bytes", labels()).set(progress.bytes_buffered.load(Relaxed) as f64);
    gauge!("tableflow_consumer_lag_records", labels()).set(progress.lag_records.load(Relaxed) as f64);
    if let Some(at) = progress.last_commit_at() {
        gauge!("tableflow_commit_age_seconds", labels()).set((now.0 - at.0) as f64 / 1000.0);
    }
    let (state, _) = progress.state();
    for (name, which) in [
        ("pending", State::Pending),
        ("backfilling", State::Backfilling),
        ("syncing", State::Syncing),
        ("paused", State::Paused),
        ("degraded", State::Degraded),
        ("suspended", State::Suspended),
    ] {
        let mut labels = labels();
        labels.push(Label::new("state", name));
        gauge!("tableflow_table_state", labels).set(f64::from(u8::from(state == which)));
    }
}
