//! What the service counts, as Prometheus reads it.
//!
//! Owns the list of all metrics: of a job and its topic, of its tables, of the service. `exposition` writes them down.
//! - I1: every scrape reads the counters themselves; nothing is counted twice, and a table that is gone is gone
//!   from the next scrape.
//! - I2: what is counted of one job's records is of one moment, so that its books balance in every scrape.
//! - I3: a table has at most [`LINES_PER_TABLE_MAX`] lines and one for each reason its records became no rows for:
//!   partitions are in `status` alone.

mod exposition;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tableflow_connectors::registry::CacheCounts;
use tableflow_lake::upsert::KeyExtent;
use tableflow_model::{Millis, TableName};
use tableflow_store::MeterSnapshot;
use tokio::runtime::RuntimeMetrics;

use crate::growth::{Care, Growth};
use crate::pipeline::histogram::Histogram;
use crate::pipeline::lanes::Lane;
use crate::pipeline::progress::{Extent, Figures, State};
use crate::pipeline::supervise::{Board, Watched};
use crate::upkeep::service::Counts;
use exposition::{Exposition, Family, Labels};

/// I3.
#[cfg(test)]
const LINES_PER_TABLE_MAX: usize = 65;

/// What the whole service shares.
pub struct Shared {
    pub board: Board,
    pub lane: Arc<Lane>,
    pub upkeep: Arc<Counts>,
    pub growth: Arc<Growth>,
    pub schemas: CacheCounts,
    pub store: MeterSnapshot,
    pub runtime: RuntimeMetrics,
    pub now: Millis,
}

/// One job as a scrape sees it.
struct Job {
    table: Labels,
    table_and_topic: Labels,
    figures: Figures,
    state: State,
    buffered_bytes: u64,
    lag_records: u64,
    conflicts: u64,
    retries: u64,
    values_lost: u64,
    changes_left_out: u64,
    commit_age_seconds: Option<f64>,
}

impl Job {
    fn of(table: &str, watched: &Watched, now: Millis) -> Self {
        let Watched { topic, progress } = watched;
        let table = Labels::default().and("table", table);
        Job {
            table_and_topic: table.and("topic", topic),
            table,
            figures: progress.figures(),
            state: progress.state().0,
            buffered_bytes: progress.bytes_buffered.load(Relaxed),
            lag_records: progress.lag_records.load(Relaxed),
            conflicts: progress.conflicts.load(Relaxed),
            retries: progress.retries.load(Relaxed),
            values_lost: progress.values_lost.load(Relaxed),
            changes_left_out: progress.changes_left_out.load(Relaxed),
            commit_age_seconds: progress.last_commit_at().map(|at| (now.0 - at.0) as f64 / 1000.0),
        }
    }
}

type Read<T> = fn(&T) -> f64;
type Observed = fn(&Figures) -> &Histogram;

/// Of a job and its topic.
const OF_TOPICS: [(Family, Read<Job>); 3] = [
    (
        Family::counter(
            "tableflow_records_consumed_total",
            "records read, each once, however often an epoch is read again",
        ),
        |job| job.figures.account.records_read() as f64,
    ),
    (Family::counter("tableflow_bytes_consumed_total", "bytes of their keys, values and headers"), |job| {
        job.figures.account.bytes_read() as f64
    }),
    (Family::gauge("tableflow_consumer_lag_records", "records of the topic that were not read yet"), |job| {
        job.lag_records as f64
    }),
];

/// Of a job.
const OF_JOBS: [(Family, Read<Job>); 12] = [
    (Family::counter("tableflow_records_committed_total", "records that are rows of a committed snapshot"), |job| {
        job.figures.account.settled().rows as f64
    }),
    (
        Family::counter("tableflow_records_skipped_total", "records that could not be decoded and were left out"),
        |job| job.figures.account.settled().skipped as f64,
    ),
    (Family::counter("tableflow_deadletter_records_total", "records that became dead letters"), |job| {
        job.figures.account.settled().dead_lettered as f64
    }),
    (Family::gauge("tableflow_records_buffered", "records that were read and are not committed"), |job| {
        job.figures.account.buffered() as f64
    }),
    (Family::gauge("tableflow_buffered_bytes", "memory that the epoch takes which is being read"), |job| {
        job.buffered_bytes as f64
    }),
    (Family::counter("tableflow_files_written_total", "files that were committed"), |job| {
        job.figures.file_bytes.count() as f64
    }),
    (Family::counter("tableflow_commits_total", "commits that the catalog took"), |job| job.figures.commits as f64),
    (Family::counter("tableflow_commit_conflicts_total", "commits that another writer's came before"), |job| {
        job.conflicts as f64
    }),
    (
        Family::counter("tableflow_commit_retries_total", "failures outside on the way to a commit, each tried again"),
        |job| job.retries as f64,
    ),
    (
        Family::counter("tableflow_values_lost_total", "values not sent again that the table does not have: null"),
        |job| job.values_lost as f64,
    ),
    (
        Family::counter("tableflow_changes_left_out_total", "changes that were older than the rows of their keys"),
        |job| job.changes_left_out as f64,
    ),
    (
        Family::gauge("tableflow_backpressure_ratio", "share of the last epoch in which nothing could be taken in"),
        |job| job.figures.backpressure,
    ),
];

/// Of a job whose table has one row a key.
const OF_KEY_INDEXES: [(Family, Read<KeyExtent>); 3] = [
    (
        Family::gauge("tableflow_key_index_keys", "rows that the index of keys knows, with some that are gone"),
        |extent| extent.keys as f64,
    ),
    (Family::gauge("tableflow_key_index_disk_keys", "those of them that are on disk: memory has no room"), |extent| {
        extent.on_disk as f64
    }),
    (Family::gauge("tableflow_key_index_bytes", "memory that the index of keys takes"), |extent| extent.bytes as f64),
];

/// Of each of a job's tables.
const OF_TABLES: [(Family, Read<Extent>); 4] = [
    (Family::gauge("tableflow_snapshots", "snapshots that the table's metadata keep"), |extent| {
        extent.snapshots as f64
    }),
    (Family::gauge("tableflow_data_files", "data files of the current snapshot"), |extent| extent.data_files as f64),
    (Family::gauge("tableflow_delete_files", "delete files of the current snapshot"), |extent| {
        extent.delete_files as f64
    }),
    (Family::gauge("tableflow_table_bytes", "size of the current snapshot's files"), |extent| extent.bytes as f64),
];

/// Of each of a job's tables that upkeep looks after.
const OF_CARE: [(Family, Read<Care>); 2] = [
    (Family::gauge("tableflow_upkeep_files_since", "files that came since upkeep was there"), |care| {
        care.files_since as f64
    }),
    (
        Family::gauge("tableflow_upkeep_trouble", "1 while they are so many that commits wait longer, or upkeep fails"),
        |care| f64::from(u8::from(care.is_too_much() || care.failure.is_some())),
    ),
];

/// Of a job, where something was observed.
const OBSERVED: [(Family, Observed); 3] = [
    (Family::histogram("tableflow_commit_duration_seconds", "time that commits took in the catalog"), |figures| {
        &figures.commit_seconds
    }),
    (Family::histogram("tableflow_batch_rows", "rows of each commit"), |figures| &figures.batch_rows),
    (Family::histogram("tableflow_file_bytes", "sizes of the files that were committed"), |figures| {
        &figures.file_bytes
    }),
];

const FRESHNESS: Family = Family::histogram(
    "tableflow_freshness_seconds",
    "until a record can be seen in the catalog, of the oldest of each epoch: since its own time (event), since it was read (commit)",
);
const DECODE_ERRORS: Family = Family::counter(
    "tableflow_decode_errors_total",
    "records that were left out, that became dead letters, or that stopped the table, by reason",
);
const COMMIT_AGE: Family = Family::gauge("tableflow_commit_age_seconds", "time since the table's last commit");
const STATE: Family = Family::gauge("tableflow_table_state", "1 for the state that the table is in");

const STATES: [(&str, State); 6] = [
    ("pending", State::Pending),
    ("backfilling", State::Backfilling),
    ("syncing", State::Syncing),
    ("paused", State::Paused),
    ("degraded", State::Degraded),
    ("suspended", State::Suspended),
];

/// Of the service.
const OF_SERVICE: [(Family, Read<Shared>); 20] = [
    (Family::counter("tableflow_upkeep_tables_total", "tables that were looked after"), |shared| {
        shared.upkeep.tables.load(Relaxed) as f64
    }),
    (Family::counter("tableflow_upkeep_failures_total", "tables that could not be, each tried again"), |shared| {
        shared.upkeep.failures.load(Relaxed) as f64
    }),
    (Family::counter("tableflow_compaction_files_total", "data files that became others"), |shared| {
        shared.upkeep.files_compacted.load(Relaxed) as f64
    }),
    (Family::counter("tableflow_compaction_read_bytes_total", "size of those files"), |shared| {
        shared.upkeep.bytes_compacted.load(Relaxed) as f64
    }),
    (Family::counter("tableflow_compaction_written_bytes_total", "size of the files that came of them"), |shared| {
        shared.upkeep.bytes_written.load(Relaxed) as f64
    }),
    (Family::counter("tableflow_garbage_files_total", "files that nobody needed any more, deleted"), |shared| {
        shared.upkeep.files_deleted.load(Relaxed) as f64
    }),
    (Family::gauge("tableflow_backfill_turns", "tables that catch up"), |shared| shared.lane.turns() as f64),
    (Family::gauge("tableflow_backfill_waiting", "tables that wait for their turn to catch up"), |shared| {
        shared.lane.waiting() as f64
    }),
    (Family::gauge("tableflow_backfill_fetch_bytes", "what those that catch up may hold fetched"), |shared| {
        shared.lane.bytes_taken() as f64
    }),
    (Family::counter("tableflow_schema_cache_hits_total", "schemas of records that were remembered"), |shared| {
        shared.schemas.hits as f64
    }),
    (Family::counter("tableflow_schema_cache_misses_total", "schemas that the registry was asked for"), |shared| {
        shared.schemas.misses as f64
    }),
    (Family::counter("tableflow_registry_failures_total", "schemas that the registry did not give"), |shared| {
        shared.schemas.failures as f64
    }),
    (Family::counter("tableflow_store_puts_total", "objects put"), |shared| shared.store.puts as f64),
    (Family::counter("tableflow_store_gets_total", "objects read, whole or in part"), |shared| {
        shared.store.gets as f64
    }),
    (Family::counter("tableflow_store_read_bytes_total", "bytes read from the store"), |shared| {
        shared.store.bytes_in as f64
    }),
    (Family::counter("tableflow_store_written_bytes_total", "bytes written to the store"), |shared| {
        shared.store.bytes_out as f64
    }),
    (Family::gauge("tableflow_runtime_workers", "threads that the service works with"), |shared| {
        shared.runtime.num_workers() as f64
    }),
    (Family::gauge("tableflow_runtime_tasks", "tasks that are alive"), |shared| {
        shared.runtime.num_alive_tasks() as f64
    }),
    (Family::gauge("tableflow_runtime_queued_tasks", "tasks that no thread has taken yet"), |shared| {
        shared.runtime.global_queue_depth() as f64
    }),
    (Family::counter("tableflow_runtime_busy_seconds_total", "time that all threads were at work"), |shared| {
        let busy = |worker| shared.runtime.worker_total_busy_duration(worker).as_secs_f64();
        (0..shared.runtime.num_workers()).map(busy).sum()
    }),
];

/// The text of one scrape.
pub fn render(shared: &Shared) -> String {
    let watched: Vec<(String, Watched)> = match shared.board.lock() {
        Ok(board) => board.iter().map(|(table, watched)| (table.to_plain_string(), watched.clone())).collect(),
        Err(_) => Vec::new(),
    };
    let jobs: Vec<Job> = watched.iter().map(|(table, watched)| Job::of(table, watched, shared.now)).collect();
    let (mut out, unlabelled) = (Exposition::default(), Labels::default());
    let tables = Family::gauge("tableflow_tables", "tables that the service has a job for, suspended ones too");
    out.family(tables, [(&unlabelled, jobs.len() as f64)]);
    for (family, read) in OF_SERVICE {
        out.family(family, [(&unlabelled, read(shared))]);
    }
    for (family, read) in OF_TOPICS {
        out.family(family, jobs.iter().map(|job| (&job.table_and_topic, read(job))));
    }
    for (family, read) in OF_JOBS {
        out.family(family, jobs.iter().map(|job| (&job.table, read(job))));
    }
    for (family, read) in OF_KEY_INDEXES {
        out.family(family, jobs.iter().filter_map(|job| Some((&job.table, read(&job.figures.key_index?)))));
    }
    for (family, read) in OBSERVED {
        let observed = jobs.iter().map(|job| (&job.table, read(&job.figures)));
        out.histograms(family, observed.filter(|(_, histogram)| histogram.count() > 0));
    }
    write_freshness(&mut out, &jobs);
    write_decode_errors(&mut out, &jobs);
    write_states(&mut out, &jobs);
    write_extents(&mut out, &jobs, &shared.growth);
    out.text()
}

fn write_freshness(out: &mut Exposition, jobs: &[Job]) {
    out.family(COMMIT_AGE, jobs.iter().filter_map(|job| Some((&job.table, job.commit_age_seconds?))));
    let of = |job| {
        let Job { table, figures, .. }: &Job = job;
        let kinds = [("event", &figures.event_freshness), ("commit", &figures.commit_freshness)];
        kinds.map(|(kind, histogram)| (table.and("kind", kind), histogram))
    };
    let observed: Vec<(Labels, &Histogram)> =
        jobs.iter().flat_map(of).filter(|(_, histogram)| histogram.count() > 0).collect();
    out.histograms(FRESHNESS, observed.iter().map(|(labels, histogram)| (labels, *histogram)));
}

fn write_decode_errors(out: &mut Exposition, jobs: &[Job]) {
    let of = |job: &Job| {
        let put_aside = job.figures.account.settled().reasons.iter().map(|(reason, count)| (*reason, *count));
        let stopped_by = job.figures.stopped_by.iter().map(|(reason, count)| (reason.as_str(), *count));
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        put_aside.chain(stopped_by).for_each(|(reason, count)| *counts.entry(reason).or_default() += count);
        let line = |(reason, count)| (job.table.and("reason", reason), count as f64);
        counts.into_iter().map(line).collect::<Vec<(Labels, f64)>>()
    };
    let lines: Vec<(Labels, f64)> = jobs.iter().flat_map(of).collect();
    out.family(DECODE_ERRORS, lines.iter().map(|(labels, count)| (labels, *count)));
}

fn write_states(out: &mut Exposition, jobs: &[Job]) {
    let is = |job: &Job, state| f64::from(u8::from(job.state == state));
    let of = |job: &Job| STATES.map(|(name, state)| (job.table.and("state", name), is(job, state)));
    let lines: Vec<(Labels, f64)> = jobs.iter().flat_map(of).collect();
    out.family(STATE, lines.iter().map(|(labels, is)| (labels, *is)));
}

fn write_extents(out: &mut Exposition, jobs: &[Job], growth: &Growth) {
    let label = |table: &TableName| Labels::default().and("table", table.to_plain_string());
    let extents = jobs.iter().flat_map(|job| &job.figures.extents);
    let extents: Vec<(Labels, Extent)> = extents.map(|(table, extent)| (label(table), *extent)).collect();
    for (family, read) in OF_TABLES {
        out.family(family, extents.iter().map(|(labels, extent)| (labels, read(extent))));
    }
    let tables = jobs.iter().flat_map(|job| job.figures.extents.keys());
    let cared: Vec<(Labels, Care)> = tables.filter_map(|table| Some((label(table), growth.care_of(table)?))).collect();
    for (family, read) in OF_CARE {
        out.family(family, cared.iter().map(|(labels, care)| (labels, read(care))));
    }
}

#[cfg(test)]
mod tests;
