//! The append taken apart: each part alone, in one thread, on the same bytes, by the thread's CPU time.
//!
//! Owns [`run`]. The parts are read (the topic's files to records), decode (JSON to columns) and encode (columns to
//! Parquet files with their metrics, put into memory). What a whole append could reach at best follows from their
//! sum.
//! - I1: every repetition of a part counts its rows: a part that lost some has no rate.
//! - I2: parts are fed from memory, [`ROWS_IN_MEMORY_MAX`] rows at most; only read touches the disk's cache.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use cpu_time::ThreadTime;
use iceberg::spec::{TableMetadata, TableMetadataBuilder};
use serde::Serialize;
use tableflow_connectors::decode::{Decoder, JsonDecoder};
use tableflow_connectors::local::{LocalSource, LocalTopics};
use tableflow_lake::layout::new_schema;
use tableflow_lake::write::{EpochName, Stager};
use tableflow_model::clock::SystemClock;
use tableflow_model::protocol::{Epoch, Generation};
use tableflow_model::{Error, Records, Result};
use tableflow_store::Store;

use crate::TOPIC;

/// About a gigabyte in all its forms together.
const ROWS_IN_MEMORY_MAX: usize = 1_000_000;

/// As much as ingest reads at once: the parts get the batches that they get in the product.
pub const POLL_BYTES: usize = 1 << 20;

const REPETITIONS: usize = 5;

/// Rows in a second of CPU time.
#[derive(Debug, Serialize)]
pub struct Rate {
    median: f64,
    min: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
pub struct Parts {
    rows_in_memory: usize,
    read: Rate,
    decode: Rate,
    encode: Rate,
    /// Of the medians of read, decode and encode: 1 / sum(1 / rate).
    composed: f64,
    parquet_bytes_per_row: f64,
}

pub fn run(directory: &Path) -> Result<Parts> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Error::unavailable("the thread cannot be prepared").with_source(error))?;
    let topics = LocalTopics::open(directory);
    let read = measure(|| read(&topics, usize::MAX, |_| ()))?;
    let mut records = Vec::new();
    read_some(&topics, &mut records)?;
    let (batches, schema) = decode(&records)?;
    let decode = measure(|| Ok(rows_of(&decode(&records)?.0)))?;
    let table = table(&schema)?;
    let mut bytes = 0;
    let encode = measure(|| {
        let (rows, encoded_bytes) = runtime.block_on(encode(&table, &batches))?;
        bytes = encoded_bytes;
        Ok(rows)
    })?;
    let composed = 1.0 / [&read, &decode, &encode].map(|rate| 1.0 / rate.median).iter().sum::<f64>();
    let rows_in_memory = rows_of(&batches);
    let parquet_bytes_per_row = bytes as f64 / rows_in_memory as f64;
    Ok(Parts { rows_in_memory, read, decode, encode, composed, parquet_bytes_per_row })
}

/// Runs a part several times; it answers how many rows it did (I1).
pub fn measure(mut part: impl FnMut() -> Result<usize>) -> Result<Rate> {
    let mut rates = Vec::with_capacity(REPETITIONS);
    let mut rows_before = None;
    for _ in 0..REPETITIONS {
        let started = ThreadTime::now();
        let rows = part()?;
        rates.push(rows as f64 / started.elapsed().as_secs_f64());
        if *rows_before.get_or_insert(rows) != rows || rows == 0 {
            return Err(Error::internal("a part did not do the same rows each time"));
        }
    }
    rates.sort_by(f64::total_cmp);
    let at = |position: usize| rates.get(position).copied().unwrap_or_default();
    Ok(Rate { median: at(REPETITIONS / 2), min: at(0), max: at(REPETITIONS - 1) })
}

/// Reads the topic from its start until so many rows have come, or all.
fn read(topics: &LocalTopics, rows_max: usize, mut take: impl FnMut(Records)) -> Result<usize> {
    let mut source = LocalSource::open(topics, &TOPIC.parse()?)?;
    let starts: BTreeMap<_, _> = source.ranges()?.into_iter().map(|(number, range)| (number, range.start)).collect();
    source.seek(&starts)?;
    let mut rows = 0;
    while rows < rows_max {
        let polled = source.poll(POLL_BYTES)?;
        if polled.is_empty() {
            break;
        }
        for records in polled {
            rows += records.len();
            take(records);
        }
    }
    Ok(rows)
}

/// I2.
fn read_some(topics: &LocalTopics, records: &mut Vec<Records>) -> Result<usize> {
    read(topics, ROWS_IN_MEMORY_MAX, |more| records.push(more))
}

fn decode(records: &[Records]) -> Result<(Vec<RecordBatch>, SchemaRef)> {
    let mut decoder = JsonDecoder::new(&[], &Schema::empty())?;
    let batches = records.iter().map(|records| decoder.decode(records).batch).collect();
    Ok((batches, decoder.schema()))
}

fn rows_of(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// A table of these columns that no catalog knows.
pub fn table(schema: &Schema) -> Result<TableMetadata> {
    let creation = iceberg::TableCreation::builder()
        .name(TOPIC.to_owned())
        .location("memory:///warehouse/bids".to_owned())
        .schema(new_schema(schema.fields())?)
        .build();
    let built = TableMetadataBuilder::from_table_creation(creation).and_then(TableMetadataBuilder::build);
    let failed = |error: iceberg::Error| Error::internal("the table cannot be described").with_source(error);
    Ok(built.map_err(failed)?.metadata)
}

async fn encode(table: &TableMetadata, batches: &[RecordBatch]) -> Result<(usize, u64)> {
    let store = Store::open("memory:///warehouse", &SystemClock)?;
    let name = EpochName { job: TOPIC.parse()?, generation: Generation(1), epoch: Epoch(1) };
    let mut stager = Stager::new(store, table, table.current_schema().clone(), name)?;
    for batch in batches {
        stager.write(batch).await?;
    }
    let files = stager.finish().await?.files;
    let rows: u64 = files.iter().map(|file| file.record_count()).sum();
    Ok((usize::try_from(rows).unwrap_or(0), files.iter().map(|file| file.file_size_in_bytes()).sum()))
}
