//! Commits to a table of many files.
//!
//! Owns [`run`]: it makes a table, gives it the files, and measures commits of one file each, as ingest makes them:
//! a ledger with every commit, the embedded catalog, every object durable.
//! - I1: the files themselves do not exist: a commit looks at none. Their entries are those of a real small file.
//! - I2: the limit is the same number of bytes in three durable objects: what any commit to files must write.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use iceberg::spec::{DataFile, DataFileBuilder};
use serde::Serialize;
use tableflow_catalog::{Catalog, CommitOutcome, EmbeddedCatalog, LoadedTable, Properties, TableCreation};
use tableflow_lake::commit::{CommitContext, RowDelta, manifests_of, prepare_row_delta};
use tableflow_lake::layout::new_schema;
use tableflow_lake::write::{EpochName, Stager};
use tableflow_model::clock::{RandomIds, SystemClock};
use tableflow_model::protocol::{Cut, Epoch, FileName, Generation, Ledger, Positions, TopicPositions, WriterId};
use tableflow_model::{Error, Offset, Partition, Result, TableName, TopicId};
use tableflow_store::Store;
use tableflow_store::paths::{TablePaths, Warehouse};
use uuid::Uuid;

use crate::TOPIC;

const COMMITS: usize = 200;

/// So many files come with one commit while the table is filled.
const FILL_FILES: usize = 100;

const LIMIT_OBJECTS: usize = 3;

#[derive(Debug, Serialize)]
pub struct Commits {
    files_before: usize,
    commits: usize,
    p50_ms: f64,
    p99_ms: f64,
    bytes_median: u64,
    bytes_mean: f64,
    puts_mean: f64,
    manifests: usize,
    limit_p50_ms: f64,
    limit_p99_ms: f64,
}

struct Place {
    store: Store,
    catalog: EmbeddedCatalog,
    name: TableName,
    table: LoadedTable,
    entry: DataFile,
    epoch: u64,
}

/// What one commit took.
struct Cost {
    ms: f64,
    bytes: u64,
    puts: u64,
}

pub fn run(directory: &Path, files: usize) -> Result<Commits> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Error::unavailable("the threads cannot be started").with_source(error))?;
    runtime.block_on(async {
        let mut place = Place::new(directory, files).await?;
        let mut left = files;
        while left > 0 {
            let more = left.min(FILL_FILES);
            place.commit(more).await?;
            left -= more;
        }
        let mut costs = Vec::with_capacity(COMMITS);
        for _ in 0..COMMITS {
            costs.push(place.commit(1).await?);
        }
        place.summary(files, &costs).await
    })
}

impl Place {
    async fn new(directory: &Path, files: usize) -> Result<Self> {
        let failed = |error: std::io::Error| Error::unavailable("the directory cannot be made").with_source(error);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let directory = directory.canonicalize().map_err(failed)?;
        let (clock, ids) = (Arc::new(SystemClock), Arc::new(RandomIds));
        let store = Store::open(&directory.to_string_lossy(), clock.as_ref())?;
        let warehouse = Warehouse::new(&format!("{}/warehouse", store.root_uri()));
        let database = directory.join("catalog.db");
        let catalog = EmbeddedCatalog::open(&database, store.clone(), warehouse, clock, ids).await?;
        let name = TableName::new("bronze", &format!("files_{files}"))?;
        if !catalog.list_namespaces().await?.iter().any(|namespace| namespace == name.namespace()) {
            catalog.create_namespace(name.namespace(), &Properties::new()).await?;
        }
        let rows = sample()?;
        let schema = new_schema(rows.schema_ref().fields())?;
        let table = catalog.create_table(&name, TableCreation::new(schema)).await?;
        let entry = entry(&table, &rows).await?;
        Ok(Place { store, catalog, name, table, entry, epoch: 0 })
    }

    /// One commit of so many new files.
    async fn commit(&mut self, files: usize) -> Result<Cost> {
        self.epoch += 1;
        let ledger = self.ledger()?;
        let append = RowDelta {
            files: (0..files).map(|number| self.file(number)).collect::<Result<_>>()?,
            properties: [(Ledger::property(&self.name.ingest_job()), ledger)].into(),
            ..RowDelta::default()
        };
        let before = self.store.meter();
        let started = Instant::now();
        let context = CommitContext { store: &self.store, clock: &SystemClock, ids: &RandomIds };
        let prepared = prepare_row_delta(context, &self.table.metadata, &append).await?;
        let outcome = self.catalog.commit(&self.name, &self.table, prepared.requirements, prepared.updates).await?;
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        let CommitOutcome::Applied(table) = outcome else {
            return Err(Error::internal("a commit without a rival was not applied"));
        };
        self.table = table;
        let after = self.store.meter();
        Ok(Cost { ms, bytes: after.bytes_out - before.bytes_out, puts: after.puts - before.puts })
    }

    fn ledger(&self) -> Result<String> {
        let offset = Offset(i64::try_from(self.epoch).unwrap_or(0) * 1_000_000);
        let offsets = (0..4).map(|partition| (Partition(partition), offset)).collect();
        let topic = TopicPositions::new(TopicId(Uuid::nil()), offsets);
        let ledger = Ledger {
            generation: Generation(1),
            epoch: Epoch(self.epoch),
            writer: WriterId(Uuid::nil()),
            cut: Cut::Commit,
            positions: Positions([(TOPIC.parse()?, topic)].into()),
        };
        ledger.to_text()
    }

    /// I1.
    fn file(&self, number: usize) -> Result<DataFile> {
        let entry = &self.entry;
        let name = FileName::new(&self.name.ingest_job(), Generation(1), Epoch(self.epoch), number as u64);
        DataFileBuilder::default()
            .content(entry.content_type())
            .file_path(TablePaths::at(self.table.metadata.location()).data_file(&name))
            .file_format(entry.file_format())
            .partition(entry.partition().clone())
            .record_count(entry.record_count())
            .file_size_in_bytes(entry.file_size_in_bytes())
            .column_sizes(entry.column_sizes().clone())
            .value_counts(entry.value_counts().clone())
            .null_value_counts(entry.null_value_counts().clone())
            .lower_bounds(entry.lower_bounds().clone())
            .upper_bounds(entry.upper_bounds().clone())
            .split_offsets(entry.split_offsets().map(<[i64]>::to_vec))
            .partition_spec_id(0)
            .build()
            .map_err(|error| Error::internal("a data file lacks a field").with_source(error))
    }

    async fn summary(&self, files_before: usize, costs: &[Cost]) -> Result<Commits> {
        let snapshot = self.table.metadata.current_snapshot().ok_or_else(|| Error::internal("no commit was made"))?;
        let manifests = manifests_of(&self.store, &self.table.metadata, snapshot).await?;
        let times: Vec<f64> = costs.iter().map(|cost| cost.ms).collect();
        let mut bytes: Vec<u64> = costs.iter().map(|cost| cost.bytes).collect();
        bytes.sort_unstable();
        let bytes_median = bytes.get(bytes.len() / 2).copied().unwrap_or(0);
        let limit = self.limit(bytes_median).await?;
        let mean = |total: u64| total as f64 / costs.len() as f64;
        Ok(Commits {
            files_before,
            commits: costs.len(),
            p50_ms: percentile(&times, 50),
            p99_ms: percentile(&times, 99),
            bytes_median,
            bytes_mean: mean(bytes.iter().sum()),
            puts_mean: mean(costs.iter().map(|cost| cost.puts).sum()),
            manifests: manifests.len(),
            limit_p50_ms: percentile(&limit, 50),
            limit_p99_ms: percentile(&limit, 99),
        })
    }

    /// I2.
    async fn limit(&self, bytes: u64) -> Result<Vec<f64>> {
        let object = Bytes::from(vec![b'x'; usize::try_from(bytes).unwrap_or(0) / LIMIT_OBJECTS]);
        let mut times = Vec::with_capacity(COMMITS);
        for turn in 0..COMMITS {
            let started = Instant::now();
            for number in 0..LIMIT_OBJECTS {
                let uri = format!("{}/limit/{}/{turn}-{number}", self.store.root_uri(), self.name.name());
                self.store.put_new(&uri, object.clone()).await?;
            }
            times.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(times)
    }
}

/// Nearest rank.
fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn sample() -> Result<RecordBatch> {
    let numbers = |first: i64| Arc::new(Int64Array::from_iter_values(first..first + 100)) as ArrayRef;
    let texts =
        |text: &str| Arc::new(StringArray::from_iter_values((0..100).map(|row| format!("{text}{row}")))) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([
        ("auction", numbers(1_000), true),
        ("bidder", numbers(2_000), true),
        ("price", numbers(3_000), true),
        ("channel", texts("channel-"), true),
        ("url", texts("https://www.nexmark.com/item.htm?query="), true),
        ("dateTime", numbers(1_767_225_600_000), true),
        ("extra", texts("extra"), true),
    ])
    .map_err(|error| Error::internal("the sample cannot be made").with_source(error))
}

/// What a real file of the sample's rows would say in a manifest.
async fn entry(table: &LoadedTable, rows: &RecordBatch) -> Result<DataFile> {
    let store = Store::open("memory:///", &SystemClock)?;
    let name = EpochName { job: TOPIC.parse()?, generation: Generation(1), epoch: Epoch(1) };
    let described = crate::parts::table(rows.schema_ref())?;
    debug_assert_eq!(described.current_schema().as_struct(), table.metadata.current_schema().as_struct());
    let mut stager = Stager::new(store, &described, described.current_schema().clone(), name)?;
    stager.write(rows).await?;
    stager.finish().await?.files.pop().ok_or_else(|| Error::internal("the sample gave no file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (100.0, 198.0));
        assert_eq!(percentile(&[7.0], 99), 7.0);
    }

    #[test]
    fn commits_to_a_small_table_are_applied_and_counted() {
        let directory = tempfile::tempdir().unwrap();
        let commits = run(directory.path(), 30).unwrap();
        assert_eq!(commits.commits, COMMITS);
        assert!(commits.puts_mean >= 3.0 && commits.bytes_median > 1000, "{commits:?}");
    }
}
