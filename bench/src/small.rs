//! A table of many small files, as commits every few seconds leave them.
//!
//! Owns [`run`]: it makes the table, its files and, where it is asked to, files of deleted positions of each.
//! - I1: the same numbers are the same rows.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use roaring::RoaringTreemap;
use serde::Serialize;
use tableflow::home::Home;
use tableflow_catalog::{CommitOutcome, LoadedTable, Properties, TableCreation};
use tableflow_lake::commit::{RowDelta, prepare_row_delta};
use tableflow_lake::layout::{new_schema, parse_sort_by};
use tableflow_lake::write::{DeleteWriter, EpochName, Stager};
use tableflow_model::protocol::{Cut, Epoch, Generation, Ledger, Positions, WriterId};
use tableflow_model::{Error, Result, TableName};
use uuid::Uuid;

use crate::bids::FIRST_TIME_MS;

const FILES_A_COMMIT: usize = 100;
const SEED: u64 = 12;

/// What is in the table.
#[derive(Debug, Default, Serialize)]
pub struct Small {
    files: usize,
    bytes: u64,
    rows: u64,
    price_sum: i64,
}

/// How it is made.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub files: usize,
    /// Of each file.
    pub rows: usize,
    /// In hundredths of the rows.
    pub deleted: u8,
    pub sorted: bool,
}

#[tokio::main]
pub async fn run(directory: &Path, table: &str, asked: Asked) -> Result<Small> {
    let home = Home::open(directory).await?;
    let name = TableName::new("bronze", table)?;
    if !home.catalog.list_namespaces().await?.iter().any(|namespace| namespace == name.namespace()) {
        home.catalog.create_namespace(name.namespace(), &Properties::new()).await?;
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let schema = new_schema(rows(&mut random, 0, 0)?.schema().fields())?;
    let mut creation = TableCreation::new(schema);
    if asked.sorted {
        creation.sort_order = Some(parse_sort_by("bidder", &creation.schema)?);
    }
    let mut loaded = home.catalog.create_table(&name, creation).await?;
    let mut small = Small::default();
    let mut epoch = 0;
    while small.files < asked.files {
        epoch += 1;
        let delta = small.commit(&home, &name, (&loaded, epoch), asked, &mut random).await?;
        let prepared = prepare_row_delta(home.commit_context(), &loaded.metadata, &delta).await?;
        let outcome = home.catalog.commit(&name, &loaded, prepared.requirements, prepared.updates).await?;
        let CommitOutcome::Applied(table) = outcome else {
            return Err(Error::internal("a commit without a rival was not applied"));
        };
        loaded = table;
    }
    Ok(small)
}

impl Small {
    async fn commit(
        &mut self,
        home: &Home,
        name: &TableName,
        (table, epoch): (&LoadedTable, u64),
        asked: Asked,
        random: &mut fastrand::Rng,
    ) -> Result<RowDelta> {
        let job = name.ingest_job();
        let ledger = Ledger {
            generation: Generation(1),
            epoch: Epoch(epoch),
            writer: WriterId(Uuid::nil()),
            cut: Cut::Commit,
            positions: Positions::default(),
        };
        let mut delta = RowDelta {
            properties: [(Ledger::property(&job), ledger.to_text()?)].into(),
            spec_id: table.metadata.default_partition_spec_id(),
            ..RowDelta::default()
        };
        for number in 0..FILES_A_COMMIT.min(asked.files - self.files) {
            // An epoch of its own for each file's name; the commit's is the last of them.
            let name = EpochName { job: job.clone(), generation: Generation(epoch), epoch: Epoch(number as u64) };
            let schema = table.metadata.current_schema().clone();
            let mut stager = Stager::new(home.store.clone(), &table.metadata, schema, name)?;
            let batch = rows(random, self.rows as usize, asked.rows)?;
            stager.write(&batch).await?;
            let mut staged = stager.finish().await?;
            let prices: &Int64Array = batch.column(2).as_any().downcast_ref().ok_or_else(unfit)?;
            let gone: RoaringTreemap = (0..asked.rows as u64).filter(|_| random.u8(..100) < asked.deleted).collect();
            let left = (0..asked.rows).filter(|row| !gone.contains(*row as u64));
            // Where files are sorted their rows stand elsewhere: nothing is deleted of those.
            self.price_sum += left.map(|row| prices.value(row)).sum::<i64>();
            self.rows += asked.rows as u64;
            self.files += staged.files.len();
            for file in &staged.files {
                self.bytes += file.file_size_in_bytes();
                let mut deletes = DeleteWriter::new(&table.metadata, &mut staged.names);
                deletes.own((delta.spec_id, file.partition()), (file.file_path(), &gone)).await?;
                for (spec_id, files) in deletes.finish().await? {
                    delta.deletes.added.entry(spec_id).or_default().extend(files);
                }
            }
            delta.files.extend(staged.files);
        }
        Ok(delta)
    }
}

fn unfit() -> Error {
    Error::internal("the rows are not as they should be")
}

/// Bids, from this number on.
fn rows(random: &mut fastrand::Rng, first: usize, count: usize) -> Result<RecordBatch> {
    let mut numbers = |low: i64, high: i64| {
        Arc::new(Int64Array::from_iter_values((0..count).map(|_| random.i64(low..high)))) as ArrayRef
    };
    let (auction, bidder, price) = (numbers(1_000, 100_000), numbers(1_000, 100_000), numbers(1, 100_000_000));
    let times = (first..first + count).map(|row| FIRST_TIME_MS + row as i64);
    let channels = ["Google", "Facebook", "Baidu", "Apple"].into_iter().cycle().take(count);
    let mut letters = |length: usize| -> String { (0..length).map(|_| random.lowercase()).collect() };
    let urls: Vec<String> =
        (0..count).map(|_| format!("https://www.nexmark.com/{}/item.htm?query=1", letters(16))).collect();
    let extras: Vec<String> = (0..count).map(|_| letters(53)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("auction", auction, true),
        ("bidder", bidder, true),
        ("price", price, true),
        ("channel", Arc::new(StringArray::from_iter_values(channels)) as ArrayRef, true),
        ("url", Arc::new(StringArray::from_iter_values(urls)) as ArrayRef, true),
        ("dateTime", Arc::new(Int64Array::from_iter_values(times)) as ArrayRef, true),
        ("extra", Arc::new(StringArray::from_iter_values(extras)) as ArrayRef, true),
    ])
    .map_err(|error| unfit().with_source(error))
}
