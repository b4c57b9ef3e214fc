//! A topic of changes by key.
//!
//! Owns [`run`]: keys that are put once each, or changes of them, and what a table with one row a key holds then.
//! - I1: the same numbers are the same changes, so that changes go on from the keys that were put before.
//! - I2: at a rate, changes can be read a fiftieth of a second after they were due, at most.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;
use tableflow_connectors::local::{LocalProducer, LocalTopics};
use tableflow_connectors::topics::NewRecord;
use tableflow_model::clock::SystemClock;
use tableflow_model::{Partition, Result};

/// The topic of the changes, in any data directory.
const TOPIC: &str = "customers";
const PARTITIONS: usize = 4;
const SEED: u64 = 10;

/// In hundredths of the changes; the others delete.
const INSERTS: u8 = 60;
const UPDATES: u8 = 30;

/// I2.
const FLUSHES_PER_SECOND: usize = 50;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// That there are, or are put.
    pub keys: usize,
    pub changes: usize,
    pub chosen: Chosen,
    /// What would be a delete puts a value too.
    pub puts: bool,
    /// All at once where none is said.
    pub per_second: Option<usize>,
}

/// Which of the keys are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Chosen {
    /// None yet: each is put.
    Preload,
    Uniform,
    /// A few of them again and again.
    Zipf,
}

/// What was sent, and what a table with one row a key holds after all of it.
#[derive(Debug, Serialize)]
pub struct Changed {
    records: u64,
    bytes: u64,
    /// Of all values that were sent.
    sent_sum: i64,
    rows: u64,
    value_sum: i64,
}

pub fn run(directory: &Path, asked: Asked) -> Result<Changed> {
    let Asked { keys, changes, chosen, puts, per_second } = asked;
    let topics = LocalTopics::open(directory);
    let mut producer = LocalProducer::open(&topics, &TOPIC.parse()?, Arc::new(SystemClock))?;
    let mut rows: Vec<Option<i64>> = (0..keys).map(first_value).map(Some).collect();
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut changed = Changed { records: 0, bytes: 0, sent_sum: 0, rows: 0, value_sum: 0 };
    let began = Instant::now();
    let mut send = |key: usize, value: Option<i64>| -> Result<()> {
        let (of_key, of_value) = (key.to_string(), value.map(|value| text(key, value)));
        changed.records += 1;
        changed.sent_sum += value.unwrap_or(0);
        changed.bytes += (of_key.len() + of_value.as_ref().map_or(0, String::len)) as u64;
        producer.send(&NewRecord {
            key: Some(of_key.as_bytes()),
            value: of_value.as_deref().map(str::as_bytes),
            partition: Some(Partition((key % PARTITIONS) as i32)),
            ..NewRecord::default()
        })?;
        match per_second {
            Some(rate) if changed.records.is_multiple_of((rate / FLUSHES_PER_SECOND).max(1) as u64) => {
                producer.flush()?;
                let due = Duration::from_secs_f64(changed.records as f64 / rate as f64);
                std::thread::sleep(due.saturating_sub(began.elapsed()));
                Ok(())
            }
            _ => Ok(()),
        }
    };
    if chosen == Chosen::Preload {
        for (key, value) in rows.iter().enumerate() {
            send(key, *value)?;
        }
    } else {
        for _ in 0..changes {
            let lot = random.u8(..100);
            let value = Some(random.i64(0..1_000_000_000));
            let (key, value) = match lot {
                lot if lot < INSERTS => (rows.len(), value),
                lot if lot < INSERTS + UPDATES => (one_of(rows.len(), chosen, &mut random), value),
                _ => (one_of(rows.len(), chosen, &mut random), value.filter(|_| puts)),
            };
            send(key, value)?;
            match rows.get_mut(key) {
                Some(row) => *row = value,
                None => rows.push(value),
            }
        }
    }
    producer.flush()?;
    changed.rows = rows.iter().flatten().count() as u64;
    changed.value_sum = rows.iter().flatten().sum();
    Ok(changed)
}

fn first_value(key: usize) -> i64 {
    key as i64 * 7 % 1_000_003
}

fn text(key: usize, value: i64) -> String {
    format!(r#"{{"id":{key},"value":{value},"name":"customer {key:012}","city":"city {}","active":true}}"#, key % 1000)
}

/// By a law of Zipf the logarithm of the rank is uniform, as near as makes no difference here. Ranks are spread over the
/// keys, which files hold in their order.
fn one_of(keys: usize, chosen: Chosen, random: &mut fastrand::Rng) -> usize {
    match chosen {
        Chosen::Zipf => {
            let rank = (random.f64() * (keys as f64).ln()).exp() as usize;
            rank.wrapping_mul(2_654_435_761) % keys
        }
        _ => random.usize(..keys),
    }
}

#[cfg(test)]
mod tests {
    use tableflow_model::clock::RandomIds;

    use super::*;

    #[test]
    fn what_is_put_and_what_is_changed_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let topics = LocalTopics::open(directory.path());
        let settings = std::collections::BTreeMap::new();
        let topic = TOPIC.parse().unwrap();
        topics.create(&topic, PARTITIONS as i32, &settings, &SystemClock, &RandomIds).unwrap();
        let asked = |changes, chosen, per_second| Asked { keys: 100, changes, chosen, puts: false, per_second };
        let preloaded = run(directory.path(), asked(0, Chosen::Preload, None)).unwrap();
        assert_eq!((preloaded.records, preloaded.rows), (100, 100));
        assert_eq!(preloaded.value_sum, (0..100).map(first_value).sum::<i64>());
        let began = Instant::now();
        let changed = run(directory.path(), asked(1000, Chosen::Zipf, Some(10_000))).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
        assert!(changed.records == 1000 && (500..700).contains(&changed.rows), "{changed:?}");
    }
}
