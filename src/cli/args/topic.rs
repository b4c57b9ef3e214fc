//! The words of `topic`, `produce` and `consume`.

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use tableflow_connectors::local::PARTITIONS_MAX;
use tableflow_model::{Error, Offset, Result, TopicName};

use super::topic_name;

#[derive(Clone, Debug, Subcommand)]
pub enum TopicVerb {
    /// Create a topic
    #[command(after_help = "Example:\n  tableflow topic create orders --partitions 6 -c cleanup.policy=compact")]
    Create {
        /// The topic's name
        #[arg(value_parser = topic_name)]
        name: TopicName,
        /// How many partitions it has
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=PARTITIONS_MAX as i64))]
        partitions: u32,
        /// A setting of the topic, under Kafka's name
        #[arg(short = 'c', value_name = "KEY=VALUE")]
        settings: Vec<TopicSetting>,
    },
    /// List the topics
    #[command(after_help = "Example:\n  tableflow topic list -o json")]
    List,
    /// Show a topic: partitions, offsets, settings
    #[command(after_help = "Example:\n  tableflow topic describe orders")]
    Describe {
        /// The topic's name
        #[arg(value_parser = topic_name)]
        name: TopicName,
    },
    /// Delete a topic and its records; its table stays
    #[command(after_help = "Example:\n  tableflow topic delete orders")]
    Delete {
        /// The topic's name
        #[arg(value_parser = topic_name)]
        name: TopicName,
    },
}

/// `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSetting {
    pub key: String,
    pub value: String,
}

impl FromStr for TopicSetting {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(TopicSetting { key: key.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err(Error::usage("a setting is written key=value")),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct ProduceArguments {
    /// The topic, which must be there
    #[arg(value_parser = topic_name)]
    pub topic: TopicName,
    /// The lines; - is stdin
    #[arg(default_value = "-")]
    pub file: String,
    /// The field that is the record's key; several make an object of them
    #[arg(long, value_name = "FIELD", value_delimiter = ',', conflicts_with = "envelope")]
    pub key: Vec<String>,
    /// Lines are {"key":..,"value":..,"headers":{..},"timestamp":ms,"partition":n}
    #[arg(long)]
    pub envelope: bool,
    /// What a line is
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, ignore_case = true)]
    pub format: ProduceFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProduceFormat {
    /// One JSON value
    #[default]
    Json,
    /// Bytes, sent as they are
    Raw,
    #[value(hide = true)]
    Avro,
    #[value(hide = true)]
    Protobuf,
    #[value(hide = true)]
    JsonSchema,
}

#[derive(Clone, Debug, Args)]
pub struct ConsumeArguments {
    /// The topic
    #[arg(value_parser = topic_name)]
    pub topic: TopicName,
    /// Where to start: earliest, latest, or an offset of every partition
    #[arg(long, value_name = "PLACE", default_value = "earliest", allow_negative_numbers = true)]
    pub from: ConsumeFrom,
    /// Stop after this many records [default: at the end]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Wait for more at the end, until Ctrl-C
    #[arg(long)]
    pub follow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeFrom {
    Earliest,
    Latest,
    Offset(Offset),
}

impl FromStr for ConsumeFrom {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "earliest" => Ok(ConsumeFrom::Earliest),
            "latest" => Ok(ConsumeFrom::Latest),
            number => match number.parse::<i64>() {
                Ok(offset @ 0..) => Ok(ConsumeFrom::Offset(Offset(offset))),
                _ => Err(Error::usage("a place is earliest, latest or an offset from 0 on")),
            },
        }
    }
}
