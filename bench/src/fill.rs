//! A topic of a real cluster, filled with the bids.
//!
//! Owns [`run`].

use serde::Serialize;
use std::collections::BTreeMap;

use clap::ValueEnum;
use tableflow_connectors::kafka::{KafkaTopics, Properties};
use tableflow_connectors::topics::{NewRecord, Topics};
use tableflow_model::{Error, Millis, Partition, Result};

use crate::avro;
use crate::bids::Bids;
use crate::framed::Bid;

const PARTITIONS: i32 = 4;

/// How a bid is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Json,
    /// With the first id of a registry before it.
    Avro,
}

#[derive(Debug, Serialize)]
pub struct Filled {
    bytes: u64,
    price_sum: i64,
    /// Of the records, where they have one.
    schema: &'static str,
}

#[tokio::main(flavor = "current_thread")]
pub async fn run(servers: &str, topic: &str, format: Format, rows: u64) -> Result<Filled> {
    let settings = BTreeMap::from([("bootstrap.servers".to_owned(), servers.to_owned())]);
    let (topics, topic) = (KafkaTopics::new(Box::new(move || Properties::new(&settings)))?, topic.parse()?);
    topics.create(&topic, PARTITIONS, &BTreeMap::new()).await?;
    let mut producer = topics.producer(&topic).await?;
    let mut filled = Filled { bytes: 0, price_sum: 0, schema: avro::SCHEMA };
    let (mut bids, mut json, mut framed) = (Bids::new(), Vec::new(), Vec::new());
    let unfit = |error| Error::internal("a bid is not as it should be").with_source(error);
    for partition in (0..PARTITIONS).cycle().take(usize::try_from(rows).unwrap_or(usize::MAX)) {
        let bid = bids.next(&mut json)?;
        let value = match format {
            Format::Json => &json,
            Format::Avro => {
                framed.clear();
                framed.extend([0, 0, 0, 0, 1]);
                avro::write(&serde_json::from_slice::<Bid<'_>>(&json).map_err(unfit)?, &mut framed);
                &framed
            }
        };
        filled.bytes += value.len() as u64;
        filled.price_sum += bid.price;
        producer.send(&NewRecord {
            value: Some(value),
            timestamp: Some(Millis(bid.time_ms)),
            partition: Some(Partition(partition)),
            ..NewRecord::default()
        })?;
    }
    producer.flush()?;
    Ok(filled)
}
