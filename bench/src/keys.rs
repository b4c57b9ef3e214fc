//! The index of keys of a table with one row a key.
//!
//! Owns [`run`]: a table of so many keys is made, if it is not there, and its index is made of the key's column, kept on
//! disk, and read from there. Then keys are looked for in an index of as many, and changed.
//! - I1: the same numbers are the same keys.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use cpu_time::ProcessTime;
use serde::Serialize;
use tableflow::home::Home;
use tableflow_catalog::{CommitOutcome, LoadedTable, Properties, TableCreation};
use tableflow_lake::commit::{RowDelta, prepare_row_delta};
use tableflow_lake::keys::{Hash, KeyIndex, KeyMemory, Location, RunFolder};
use tableflow_lake::layout::new_schema;
use tableflow_lake::upsert::KeyedTable;
use tableflow_lake::write::{EpochName, Stager};
use tableflow_model::protocol::{Epoch, Generation};
use tableflow_model::{Error, ErrorKind, Result, TableName};

const ROWS_PER_FILE: u64 = 1_000_000;
const SEED: u64 = 14;

/// Keys of a commit.
const PROBES: usize = 100_000;
const COMMITS: u64 = 20;

/// How long it took.
#[derive(Debug, Serialize)]
struct Took {
    seconds: f64,
    cpu_seconds: f64,
}

/// What there is after a step.
#[derive(Debug, Serialize)]
struct Step {
    took: Took,
    keys: u64,
    keys_on_disk: u64,
    index_bytes: u64,
    /// Of the process, at most so far.
    resident_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Changes {
    probes_per_second: f64,
    probes_per_cpu_second: f64,
    updates_per_second: f64,
    keys: u64,
    keys_on_disk: u64,
    index_bytes: u64,
    resident_bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct Keys {
    keys: u64,
    made_anew: Step,
    saved: Step,
    read_from_disk: Step,
    changed: Changes,
}

#[tokio::main]
pub async fn run(directory: &Path, keys: u64, memory_bytes: u64) -> Result<Keys> {
    let home = Home::open(directory).await?;
    let table = table_of(&home, keys).await?;
    let folder = home.key_index(table.metadata.uuid());
    // What an earlier run left.
    let _ = std::fs::remove_dir_all(&folder);
    let memory = KeyMemory::new(memory_bytes);
    let (mut keyed, mut steps) = (begun(&home, &table, &memory).await?, Vec::new());
    let begun_at = begin();
    keyed.catch_up(&table.metadata).await?;
    steps.push(step(begun_at, &keyed));
    let begun_at = begin();
    keyed.end().await;
    steps.push(step(begun_at, &keyed));
    drop(keyed);
    let mut keyed = begun(&home, &table, &memory).await?;
    let begun_at = begin();
    keyed.catch_up(&table.metadata).await?;
    steps.push(step(begun_at, &keyed));
    drop(keyed);
    let changed = changed(keys, &memory, folder.join("bench")).await?;
    let mut steps = steps.into_iter();
    let (Some(made_anew), Some(saved), Some(read_from_disk)) = (steps.next(), steps.next(), steps.next()) else {
        return Err(Error::internal("a step is missing"));
    };
    Ok(Keys { keys, made_anew, saved, read_from_disk, changed })
}

async fn begun(home: &Home, table: &LoadedTable, memory: &Arc<KeyMemory>) -> Result<KeyedTable> {
    let metadata = &table.metadata;
    let keyed = KeyedTable::new(home.store.clone(), metadata, vec![1], SEED)?;
    keyed.kept_in(memory, (home.key_index(metadata.uuid()), home.ids.uuid()), metadata.uuid()).await
}

fn begin() -> (Instant, ProcessTime) {
    (Instant::now(), ProcessTime::now())
}

fn took((wall, cpu): (Instant, ProcessTime)) -> Took {
    Took { seconds: wall.elapsed().as_secs_f64(), cpu_seconds: cpu.elapsed().as_secs_f64() }
}

fn step(begun_at: (Instant, ProcessTime), keyed: &KeyedTable) -> Step {
    let (took, extent) = (took(begun_at), keyed.extent());
    let (keys, keys_on_disk, index_bytes) = (extent.keys, extent.on_disk, extent.bytes);
    Step { took, keys, keys_on_disk, index_bytes, resident_bytes: resident_bytes() }
}

/// As Linux counts it; zero elsewhere.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn hash(key: u64) -> Hash {
    let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Hash::new(u128::from(spread) << 32 | u128::from(key & 0xffff_ffff))
}

/// Each commit looks for keys, half of them new ones, and puts all of them elsewhere.
async fn changed(keys: u64, memory: &Arc<KeyMemory>, folder: std::path::PathBuf) -> Result<Changes> {
    let (mut share, mut random) = (memory.share(), fastrand::Rng::with_seed(SEED));
    let mut index = KeyIndex::default().in_folder(RunFolder::new(folder, uuid::Uuid::nil()));
    for key in 0..keys {
        let (file, row) = ((key / ROWS_PER_FILE) as u32, (key % ROWS_PER_FILE) as u32);
        index.insert(hash(key), Location { file, row, partition: None });
        if key % ROWS_PER_FILE == 0 {
            share.hold(index.memory());
            if share.must_spill() {
                index.spill(|_| true)?;
            }
        }
    }
    let (mut looked, mut looked_cpu, mut updated) = (0.0, 0.0, 0.0);
    for commit in 0..COMMITS {
        let file = u32::MAX >> 8 & (1_000_000 + commit as u32);
        let mut wanted: Vec<u64> = (0..PROBES).map(|_| random.u64(..2 * keys)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let hashes: Vec<Hash> = wanted.into_iter().map(hash).collect();
        let begun_at = begin();
        let found = index.find(&hashes).await?;
        let looking = took(begun_at);
        (looked, looked_cpu) = (looked + looking.seconds, looked_cpu + looking.cpu_seconds);
        let begun_at = begin();
        for (hash, location) in found {
            index.remove(hash, location);
        }
        for (row, hash) in (0..).zip(hashes) {
            index.insert(hash, Location { file, row, partition: None });
        }
        share.hold(index.memory());
        if share.must_spill() {
            index.spill(|_| true)?;
        }
        updated += took(begun_at).seconds;
    }
    let probes = (PROBES as u64 * COMMITS) as f64;
    Ok(Changes {
        probes_per_second: probes / looked,
        probes_per_cpu_second: probes / looked_cpu,
        updates_per_second: probes / updated,
        keys: index.len(),
        keys_on_disk: index.on_disk(),
        index_bytes: index.memory(),
        resident_bytes: resident_bytes(),
    })
}

/// With rows of so many keys.
async fn table_of(home: &Home, keys: u64) -> Result<LoadedTable> {
    let name = TableName::new("bronze", &format!("keys_{keys}"))?;
    match home.catalog.load_table(&name).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        loaded => return loaded,
    }
    if !home.catalog.list_namespaces().await?.iter().any(|namespace| namespace == name.namespace()) {
        home.catalog.create_namespace(name.namespace(), &Properties::new()).await?;
    }
    let creation = TableCreation::new(new_schema(rows(0, 0)?.schema().fields())?);
    let loaded = home.catalog.create_table(&name, creation).await?;
    let epoch = EpochName { job: name.ingest_job(), generation: Generation(1), epoch: Epoch(1) };
    let schema = loaded.metadata.current_schema().clone();
    let (mut files, spec_id) = (Vec::new(), loaded.metadata.default_partition_spec_id());
    for (number, first) in (0..keys).step_by(ROWS_PER_FILE as usize).enumerate() {
        let name = EpochName { epoch: Epoch(number as u64 + 1), ..epoch.clone() };
        let mut stager = Stager::new(home.store.clone(), &loaded.metadata, schema.clone(), name)?;
        stager.write(&rows(first, ROWS_PER_FILE.min(keys - first))?).await?;
        files.extend(stager.finish().await?.files);
    }
    let delta = RowDelta { files, spec_id, ..RowDelta::default() };
    let prepared = prepare_row_delta(home.commit_context(), &loaded.metadata, &delta).await?;
    match home.catalog.commit(&name, &loaded, prepared.requirements, prepared.updates).await? {
        CommitOutcome::Applied(table) => Ok(table),
        _ => Err(Error::internal("a commit without a rival was not applied")),
    }
}

/// Keys from this one on, spread over all numbers.
fn rows(first: u64, count: u64) -> Result<RecordBatch> {
    let ids = (first..first + count).map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed());
    let values = (first..first + count).map(u64::cast_signed);
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from_iter_values(ids)) as ArrayRef, true),
        ("value", Arc::new(Int64Array::from_iter_values(values)) as ArrayRef, true),
    ])
    .map_err(|error| Error::internal("the rows are not as they should be").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_of_the_table_is_read_from_disk() {
        let directory = tempfile::tempdir().unwrap();
        let keys = run(directory.path(), 100_000, 1 << 20).unwrap();
        assert_eq!((keys.made_anew.keys, keys.read_from_disk.keys), (100_000, 100_000));
        assert!(keys.read_from_disk.keys_on_disk == 100_000 && keys.changed.keys > 1_000_000, "{keys:?}");
    }
}
