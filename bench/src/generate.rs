//! The records that everything is measured on.
//!
//! Owns [`run`]: it fills the topic, writes a file of lines with the same rows, and answers what a table of them
//! must hold.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tableflow_connectors::local::{LocalProducer, LocalTopics};
use tableflow_connectors::topics::NewRecord;
use tableflow_model::clock::SystemClock;
use tableflow_model::{Error, Millis, Partition, Result};

use crate::TOPIC;
use crate::bids::{Bids, FIRST_TIME_MS};

const PARTITIONS: i32 = 4;

/// What was made.
#[derive(Debug, Serialize)]
pub struct Generated {
    rows: u64,
    /// Of the values, without what the topic adds.
    bytes: u64,
    price_sum: i64,
    first_time_ms: i64,
}

pub fn run(directory: &Path, rows: u64) -> Result<Generated> {
    let topics = LocalTopics::open(directory);
    let topic = TOPIC.parse()?;
    let mut producer = LocalProducer::open(&topics, &topic, Arc::new(SystemClock))?;
    let failed = |error| Error::unavailable("the file of lines cannot be written").with_source(error);
    let mut lines = BufWriter::new(File::create(directory.join("bids.ndjson")).map_err(failed)?);
    let mut generated = Generated { rows, bytes: 0, price_sum: 0, first_time_ms: FIRST_TIME_MS };
    let (mut bids, mut json) = (Bids::new(), Vec::new());
    for partition in (0..PARTITIONS).cycle().take(usize::try_from(rows).unwrap_or(usize::MAX)) {
        let bid = bids.next(&mut json)?;
        producer.send(&NewRecord {
            value: Some(&json),
            timestamp: Some(Millis(bid.time_ms)),
            partition: Some(Partition(partition)),
            ..NewRecord::default()
        })?;
        generated.bytes += json.len() as u64;
        generated.price_sum += bid.price;
        json.push(b'\n');
        lines.write_all(&json).map_err(failed)?;
    }
    producer.flush()?;
    lines.flush().map_err(failed)?;
    Ok(generated)
}
