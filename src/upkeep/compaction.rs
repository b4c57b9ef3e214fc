//! One table's files become fewer and larger.
//!
//! Owns how a compaction is asked for and what it tells; `run` does it, step by step.
//! - I1: one plan a run: files that come meanwhile are the next run's.
//! - I2: delete files are tidied up last: what was rewritten needs none.

use std::sync::Arc;

use iceberg::spec::TableMetadata;
use serde::Serialize;
use tableflow_lake::compact::{Plan, Rewritten, Strategy, Thresholds, plan};
use tableflow_model::{Error, Result, TableName};
use tokio::time::Instant;

use super::means::Means;
use super::run::Run;
use super::step::Task;
use crate::definition::{CompactionPolicy, CompactionStrategy};
use crate::home::Home;
use crate::pipeline::budget::sorting_bytes;
use crate::query::files_with;
use crate::units::FileSize;

/// How large files become where nobody says it.
const TARGET_BYTES: u64 = 128 * 1024 * 1024;

/// Files that are written without anybody's asking take such a part of it at most, one part in so many: each is in memory until it is put.
const FILE_SHARE: u64 = 4;

/// How a table is compacted.
#[derive(Clone, Debug)]
pub struct Options {
    pub thresholds: Thresholds,
    pub strategy: CompactionStrategy,
    /// For rows that are sorted, of all groups; others are on disk.
    sorting_bytes: usize,
    /// Only files that may have rows for which it is true.
    pub condition: Option<String>,
    pub means: Means,
}

impl Options {
    /// What a person asks for.
    pub fn asked(policy: &CompactionPolicy, condition: Option<String>, means: Means) -> Self {
        let sorts = policy.strategy == Some(CompactionStrategy::Sort);
        let thresholds = Thresholds::new(policy.target_file_size.map_or(TARGET_BYTES, FileSize::bytes));
        let options = Options::of(policy, Thresholds { sorts, ..thresholds }, means);
        // Nobody feeds tables beside it.
        let sorting_bytes = options.sorting_bytes * 2;
        Options { condition, sorting_bytes, ..options }
    }

    /// What is worth doing by itself. Where rows are to be sorted, those of small files are, together: not all that there are.
    pub fn due(policy: &CompactionPolicy, means: Means) -> Self {
        let target_bytes = policy.target_file_size.map_or(TARGET_BYTES, FileSize::bytes);
        let mut thresholds = Thresholds::due(target_bytes.min(means.memory.bytes_max() / FILE_SHARE));
        if let Some(files) = policy.small_files {
            thresholds.files_min = files as usize;
        }
        Options::of(policy, thresholds, means)
    }

    fn of(policy: &CompactionPolicy, mut thresholds: Thresholds, means: Means) -> Self {
        if let Some(percent) = policy.deleted_percent {
            thresholds.deleted_min = percent.into();
        }
        let (strategy, sorting_bytes) = (policy.strategy.unwrap_or_default(), sorting_bytes(means.memory.bytes_max()));
        Options { thresholds, strategy, sorting_bytes, condition: None, means }
    }

    /// For so many groups: those that are rewritten at the same time share the memory.
    fn strategy_for(&self, groups: usize) -> Strategy {
        let at_once = self.means.at_once.min(groups).max(1);
        match self.strategy {
            CompactionStrategy::BinPack => Strategy::BinPack,
            CompactionStrategy::Sort => Strategy::Sort { memory_bytes: self.sorting_bytes / at_once },
        }
    }
}

/// What a compaction did, or would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub table: String,
    /// Parts of partitions that were rewritten, each as one.
    pub groups: u64,
    /// Those that others changed for good meanwhile: the next compaction takes them.
    pub groups_given_up: u64,
    pub files_read: u64,
    pub files_written: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub rows_written: u64,
    /// Deleted rows that are gone from the files.
    pub rows_dropped: u64,
    /// Delete files that became fewer without their data files being rewritten.
    pub delete_files_merged: u64,
    pub delete_files_written: u64,
    /// Rows that were deleted while their files were rewritten.
    pub deletes_moved: u64,
    pub commits: u64,
    pub requests: u64,
    pub seconds: f64,
    /// Bytes written in all for each byte that the files that were read had, the first time included.
    pub write_amplification: f64,
}

/// Plans, and changes nothing.
pub async fn dry_run(home: &Home, table: &TableName, options: &Options) -> Result<Report> {
    let base = home.catalog.load_table(table).await?;
    let plan = planned(home, table, &base.metadata, options).await?;
    let mut report = Report { table: table.to_plain_string(), ..Report::default() };
    for group in &plan.groups {
        report.groups += 1;
        report.files_read += group.files.len() as u64;
        report.files_written += group.outputs;
        report.bytes_read += group.bytes();
        report.rows_dropped += group.files.iter().map(|input| input.deleted).sum::<u64>();
        report.rows_written += group.files.iter().map(|input| input.rows() - input.deleted).sum::<u64>();
        report.bytes_written += group.file_bytes * group.outputs;
    }
    report.amplified();
    Ok(report)
}

/// Whether its rows could be sorted, as a person asks for.
pub async fn check_sorted(home: &Home, table: &TableName) -> Result<()> {
    match home.catalog.load_table(table).await?.metadata.default_sort_order().is_unsorted() {
        true => Err(Error::usage(format!("{table} has no order that its rows could be sorted by"))
            .with_hint("a table has one with `tableflow enable --sort-by`; leave --strategy out for another")),
        false => Ok(()),
    }
}

async fn planned(home: &Home, table: &TableName, metadata: &TableMetadata, options: &Options) -> Result<Plan> {
    let thresholds = options.thresholds;
    match &options.condition {
        None => plan(&home.store, metadata, |_| true, thresholds).await,
        Some(condition) => {
            let files = files_with(home, table, condition, options.means.memory.bytes_max()).await?;
            let is_wanted = |uri: &str| home.store.path(uri).is_ok_and(|path| files.contains(path.as_ref()));
            plan(&home.store, metadata, |file| is_wanted(file.file_path()), thresholds).await
        }
    }
}

/// Compacts a table to the end of its plan (I1).
pub async fn compact(home: &Home, table: &TableName, options: &Options) -> Result<Report> {
    let started = Instant::now();
    let before = home.store.meter();
    let base = home.catalog.load_table(table).await?;
    let plan = Arc::new(planned(home, table, &base.metadata, options).await?);
    let strategy = options.strategy_for(plan.groups.len());
    let run = Run::new(home, table, (base, plan), [Task::Rewrite, Task::Tidy]);
    let done = run.by(strategy, options.means.clone()).finish().await?;
    let (mut report, after) = (done.compaction, home.store.meter());
    report.requests = after.requests() - before.requests();
    report.seconds = started.elapsed().as_millis() as f64 / 1000.0;
    report.amplified();
    Ok(report)
}

impl Report {
    fn amplified(&mut self) {
        if self.bytes_read > 0 {
            let amplification = 1.0 + self.bytes_written as f64 / self.bytes_read as f64;
            self.write_amplification = (amplification * 100.0).round() / 100.0;
        }
    }

    pub(super) fn add(&mut self, rewritten: &Rewritten) {
        let files = &rewritten.group.files;
        let rows_read: u64 = files.iter().map(|input| input.rows()).sum();
        self.groups += 1;
        self.files_read += files.len() as u64;
        self.files_written += rewritten.files.len() as u64;
        self.bytes_read += rewritten.group.bytes();
        self.bytes_written += rewritten.bytes();
        self.rows_written += rewritten.rows();
        self.rows_dropped += rows_read - rewritten.rows();
    }
}
