//! What can be configured, and the layers it comes from.
//!
//! Owns [`Config`] and its reading. The compiled-in `tableflow.default.toml` is the list of all settings and the
//! place of their defaults; a layer above it may only name keys that stand there.
//! - I1: later layers win key by key: defaults, system file, user file, ./tableflow.toml, --config, environment.
//!   Flags come last; the command line applies them.
//! - I2: a key that is not in the defaults is refused, with the layer's name and the nearest key.
//! - I3: the keys of `[kafka]` are Kafka's: who makes a client of them checks them.
//! - I4: a file that was asked for by --config must exist; the others may be absent.
//! - I5: what may be a secret is in no error and in no `Debug`.

mod kafka;
mod layers;
mod registry;
mod secret;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tableflow_model::{Error, Result};

use crate::units::{ByteSize, CommitInterval, Interval};
pub use kafka::KafkaConfig;
pub use layers::{DEFAULTS, Layers};
pub use registry::RegistryConfig;

/// All settings, in force.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Config {
    /// The folder of everything embedded.
    pub data_dir: PathBuf,
    pub service: ServiceConfig,
    pub defaults: TableDefaults,
    pub memory: MemoryConfig,
    pub upkeep: UpkeepConfig,
    /// Absent: the embedded topics.
    #[serde(default)]
    pub kafka: Option<KafkaConfig>,
    pub registry: RegistryConfig,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ServiceConfig {
    pub listen: SocketAddr,
}

/// What `enable` takes when a flag is not given.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TableDefaults {
    pub namespace: String,
    pub commit_interval: CommitInterval,
}

/// What the service does for tables without being asked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct UpkeepConfig {
    #[serde(deserialize_with = "yes_or_no")]
    pub enabled: bool,
    pub compact: Scheduled,
    pub vacuum: Scheduled,
}

/// The environment has texts alone.
fn yes_or_no<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Plain(bool),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Plain(word) => Ok(word),
        Written::Text(text) => {
            text.parse().map_err(|_| D::Error::custom(format!("{text:?} is neither true nor false")))
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Scheduled {
    pub every: Interval,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct MemoryConfig {
    pub budget: MemoryBudget,
}

/// A fixed size, or a share of the machine's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum MemoryBudget {
    Size(ByteSize),
    Percent(u8),
}

impl MemoryBudget {
    pub fn bytes(self, machine_bytes: u64) -> u64 {
        match self {
            MemoryBudget::Size(size) => size.bytes(),
            MemoryBudget::Percent(percent) => machine_bytes / 100 * u64::from(percent),
        }
    }
}

impl FromStr for MemoryBudget {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(MemoryBudget::Size);
        };
        match percent.trim().parse() {
            Ok(percent @ 1..=100) => Ok(MemoryBudget::Percent(percent)),
            _ => Err(Error::usage(format!("{text:?} is not a share from 1% to 100%"))
                .with_hint("write a share of the machine's memory such as 25%, or a size such as 2GiB")),
        }
    }
}

impl TryFrom<String> for MemoryBudget {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl Config {
    /// The settings that the layers of this process give.
    pub fn load(layers: &Layers) -> Result<Config> {
        layers.merge()
    }
}

#[cfg(test)]
mod tests;
