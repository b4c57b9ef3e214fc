//! The reading of a cluster's topic alone: what librdkafka fetched becomes batches of records, and nothing more.
//!
//! Owns [`run`].
//! - I1: the CPU time is that of the whole process: the threads of librdkafka do most of the work.

use std::collections::BTreeMap;
use std::time::Duration;

use cpu_time::ProcessTime;
use serde::Serialize;
use tableflow_connectors::kafka::{KafkaTopics, Properties};
use tableflow_connectors::topics::Topics;
use tableflow_model::Result;

use crate::parts::POLL_BYTES;

/// Where nothing has come yet.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Debug, Serialize)]
pub struct Fetched {
    rows: usize,
    cpu_seconds: f64,
}

#[tokio::main(flavor = "current_thread")]
pub async fn run(servers: &str, topic: &str) -> Result<Fetched> {
    let settings = BTreeMap::from([("bootstrap.servers".to_owned(), servers.to_owned())]);
    let topics = KafkaTopics::new(Box::new(move || Properties::new(&settings)))?;
    let mut source = topics.source(&topic.parse()?).await?;
    source.topic_id().await?;
    let ranges = source.ranges().await?;
    let starts: BTreeMap<_, _> = ranges.iter().map(|(partition, range)| (*partition, range.start)).collect();
    let mut left: BTreeMap<_, _> = ranges.iter().map(|(partition, range)| (*partition, range.end)).collect();
    left.retain(|partition, end| starts.get(partition) != Some(end));
    let mut rows = 0;
    let started = ProcessTime::now();
    source.seek(&starts).await?;
    while !left.is_empty() {
        let polled = source.poll(POLL_BYTES)?;
        if polled.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        for records in polled {
            rows += records.len();
            left.retain(|partition, end| *partition != records.partition || records.next_offset < *end);
        }
    }
    Ok(Fetched { rows, cpu_seconds: started.elapsed().as_secs_f64() })
}
