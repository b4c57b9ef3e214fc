//! The words of `enable` and `update`: Confluent's flag names and values, any case.
//!
//! Values that are not served yet are hidden from the help; `later` refuses them by name.

use clap::{Args, ValueEnum};
use tableflow_connectors::decode;
use tableflow_lake::layout::DeleteEncoding;
use tableflow_model::TopicName;

use super::upkeep::CompactionArguments;
use super::{TableArgument, topic_name};
use crate::definition;
use crate::pipeline::mode::asked::AskedMode;
use crate::pipeline::writing::{AskedWriting, Reader};
use crate::units::{CommitInterval, DataRetention};

#[derive(Clone, Debug, Args)]
pub struct EnableArguments {
    /// The topics, each of which fills a table of its own
    #[arg(value_name = "TOPIC", required_unless_present = "pattern", value_parser = topic_name)]
    pub topics: Vec<TopicName>,
    /// The topics whose whole name is like this, those to come too, but for internal ones (__..); not with --table,
    /// --log-target, --dlq-topic
    #[arg(long = "match", value_name = "REGEX", conflicts_with_all = ["topics", "table", "log_target", "dlq_topic"])]
    pub pattern: Option<String>,
    /// The namespace of the table [default: bronze]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The name of the table [default: the topic's]
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// Columns in Flink's type words, such as "ts TIMESTAMP_LTZ(3), amount DECIMAL(10,2)"; the rest is inferred
    #[arg(long, value_name = "COLUMNS")]
    pub columns: Option<String>,
    /// How records change the table
    #[arg(long, value_name = "MODE", value_enum, default_value_t, ignore_case = true)]
    pub mode: Mode,
    /// One row for each value of these columns [default with --mode upsert: those of --key-format, or else the key as it
    /// is]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', value_parser = super::values::column)]
    pub key: Vec<String>,
    /// What becomes of the row of a key that is deleted, where there is one row a key [default: hard]
    #[arg(long, value_name = "WORD", value_enum, ignore_case = true)]
    pub delete: Option<Deletes>,
    /// A record whose value in this column is lower than that of the row of its key is left out; of Debezium's changes
    /// `source` stands for where in their source they were made [default: the later record of a key counts]
    #[arg(long, value_name = "COLUMN", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub latest_by: Option<String>,
    /// What stands for a value that its source did not send again [default: __debezium_unavailable_value]
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub unavailable_value_placeholder: Option<String>,
    /// What readers the table is for
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        value_delimiter = ',',
        default_value = "ICEBERG",
        ignore_case = true
    )]
    pub table_formats: Vec<TableFormat>,
    #[command(flatten)]
    pub writing: WritingArguments,
    /// How files are parted, such as "day(ts), bucket(16, id)" [default: not at all]
    #[arg(long, value_name = "TRANSFORMS")]
    pub partition_by: Option<String>,
    /// How rows are sorted in each file, such as "ts, id desc" [default: as they come]
    #[arg(long, value_name = "COLUMNS")]
    pub sort_by: Option<String>,
    /// How records are decoded
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, ignore_case = true)]
    pub format: TopicFormat,
    /// How keys are decoded; their fields are columns then, but for names that the value has too [default: none]
    #[arg(long, value_name = "FORMAT", value_enum, ignore_case = true)]
    pub key_format: Option<KeyFormat>,
    /// Columns of keys, as --columns has those of values
    #[arg(long, value_name = "COLUMNS")]
    pub key_columns: Option<String>,
    /// Whether the columns follow the records and their schemas [default: additive]
    #[arg(long, value_name = "WORD", value_enum, ignore_case = true)]
    pub evolution: Option<Evolution>,
    /// What happens at a record that cannot be decoded [default: SUSPEND]
    #[arg(long, value_name = "WORD", value_enum, ignore_case = true)]
    pub error_handling: Option<ErrorHandling>,
    /// The table of dead letters, with --error-handling LOG [default: the table's name and __dlq]
    #[arg(long, value_name = "NAME")]
    pub log_target: Option<String>,
    /// Also send dead letters to this topic of the Kafka cluster, each once; needs --error-handling LOG and stays for
    /// good [default: none]
    #[arg(long, value_name = "TOPIC", value_parser = topic_name)]
    pub dlq_topic: Option<TopicName>,
    /// A table for each type of record, called after it: record-name (of its schema), header:NAME, or field:PATH of
    /// JSON
    #[arg(long, value_name = "BY", value_parser = super::values::with_hint::<definition::FanOutBy>)]
    pub fan_out: Option<definition::FanOutBy>,
    /// How long rows may wait before they are committed [default: 10s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub commit_interval: Option<CommitInterval>,
    /// Where in the topic the table starts [default: earliest]
    #[arg(long, value_name = "PLACE", value_enum, ignore_case = true)]
    pub from: Option<EnableFrom>,
    /// Keep snapshots for this long [default: 604800000, a week]
    #[arg(long, value_name = "MS", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
    pub retention_ms: Option<i64>,
    /// Keep rows for this long, by the time of their records; -1 keeps them for ever [default: -1]
    #[arg(long, value_name = "MS", allow_negative_numbers = true, value_parser = super::values::with_hint::<DataRetention>)]
    pub data_retention_ms: Option<DataRetention>,
    /// The columns that say where a row came from [default: portable]
    #[arg(long, value_name = "COLUMNS", value_enum, ignore_case = true)]
    pub metadata_columns: Option<MetadataColumns>,
    /// Print the plan and stop
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub compaction: CompactionArguments,
}

/// How a table is written.
#[derive(Clone, Debug, Args)]
pub struct WritingArguments {
    /// The version of the Iceberg format [default: 2, or what --delete-encoding or --readers needs]
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u8).range(2..=3))]
    pub format_version: Option<u8>,
    /// How rows that go are written: position (files beside the data files), dv (deletion vectors, of format version 3) or
    /// cow (copy-on-write: data files anew) [default: position, or what all of --readers read]
    #[arg(long, value_name = "WORD", value_parser = super::values::with_hint::<DeleteEncoding>, ignore_case = true)]
    pub delete_encoding: Option<DeleteEncoding>,
    /// The engines that the table is for, such as athena,spark,snowflake: it is written so that all of them read it
    #[arg(long, value_name = "ENGINE", value_delimiter = ',', value_parser = super::values::with_hint::<Reader>)]
    pub readers: Vec<Reader>,
}

impl From<&WritingArguments> for AskedWriting {
    fn from(arguments: &WritingArguments) -> Self {
        let (version, encoding) = (arguments.format_version, arguments.delete_encoding);
        AskedWriting { version, encoding, readers: arguments.readers.clone() }
    }
}

#[derive(Clone, Debug, Args)]
pub struct UpdateArguments {
    #[command(flatten)]
    pub table: TableArgument,
    /// How records change the table from now on; the rows that there are become one a key, or stay
    #[arg(long, value_name = "MODE", value_enum, ignore_case = true, help_heading = "What a record does")]
    pub mode: Option<TableMode>,
    /// With --mode upsert, one row for each value of these columns [default: those of before, or those of keys, or
    /// else the key as it is]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', value_parser = super::values::column, help_heading = "What a record does")]
    pub key: Vec<String>,
    /// With --mode, count what would go, and stop; no other setting goes with it
    #[arg(long, help_heading = "What a record does", requires = "mode", conflicts_with_all = ["evolution", "error_handling", "log_target", "dlq_topic",
        "commit_interval", "retention_ms", "data_retention_ms", "format_version", "delete_encoding", "readers", "partition_by"])]
    pub dry_run: bool,
    #[command(flatten, next_help_heading = "Files and readers")]
    pub writing: WritingArguments,
    /// How files are parted from now on, such as "day(ts), bucket(16, id)"; "" for not at all
    #[arg(long, value_name = "TRANSFORMS", help_heading = "Files and readers")]
    pub partition_by: Option<String>,
    /// Whether the columns follow the records and their schemas
    #[arg(long, value_name = "WORD", value_enum, ignore_case = true, help_heading = "Columns and bad records")]
    pub evolution: Option<Evolution>,
    /// What happens at a record that cannot be decoded
    #[arg(long, value_name = "WORD", value_enum, ignore_case = true, help_heading = "Columns and bad records")]
    pub error_handling: Option<ErrorHandling>,
    /// The table of dead letters, with --error-handling LOG [default: the table's name and __dlq]
    #[arg(long, value_name = "NAME", help_heading = "Columns and bad records")]
    pub log_target: Option<String>,
    /// Also send dead letters to this topic of the Kafka cluster from now on, each once; needs --error-handling LOG and
    /// stays for good
    #[arg(long, value_name = "TOPIC", value_parser = topic_name, help_heading = "Columns and bad records")]
    pub dlq_topic: Option<TopicName>,
    /// How long rows may wait before they are committed
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Times")]
    pub commit_interval: Option<CommitInterval>,
    /// Keep snapshots for this long
    #[arg(long, value_name = "MS", help_heading = "Times", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
    pub retention_ms: Option<i64>,
    /// Keep rows for this long, by the time of their records; -1 keeps them for ever
    #[arg(long, value_name = "MS", help_heading = "Times", allow_negative_numbers = true, value_parser = super::values::with_hint::<DataRetention>)]
    pub data_retention_ms: Option<DataRetention>,
    #[command(flatten)]
    pub compaction: CompactionArguments,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// upsert of a compacted topic, with --key, or with --format debezium; append of any other one
    #[default]
    Auto,
    /// Every record is a row
    Append,
    /// One row a key: a record puts it in place of the one before, a null value deletes it
    Upsert,
}

/// Of a table that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableMode {
    /// Every record is a row
    Append,
    /// One row a key
    Upsert,
}

impl UpdateArguments {
    pub(super) fn asks_nothing(&self) -> bool {
        let of_texts = [&self.partition_by, &self.log_target].iter().all(|asked| asked.is_none());
        let of_words = self.evolution.is_none() && self.error_handling.is_none() && self.dlq_topic.is_none();
        let of_times =
            self.commit_interval.is_none() && self.retention_ms.is_none() && self.data_retention_ms.is_none();
        let of_files = AskedWriting::from(&self.writing).is_nothing() && self.compaction.is_nothing();
        self.asked_mode().is_none() && of_texts && of_words && of_times && of_files
    }

    /// What is asked of the table's mode.
    pub fn asked_mode(&self) -> Option<AskedMode> {
        let upserts = self.mode.map(|mode| mode == TableMode::Upsert);
        let is_asked = upserts.is_some() || !self.key.is_empty();
        is_asked.then(|| AskedMode { upserts, key: self.key.clone() })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Deletes {
    /// It goes
    Hard,
    /// It stays, with true in column __deleted
    Soft,
    /// Each version of each row stays, with the times from when until when it was
    History,
}

impl From<Deletes> for definition::Deletes {
    fn from(word: Deletes) -> Self {
        match word {
            Deletes::Hard => definition::Deletes::Hard,
            Deletes::Soft => definition::Deletes::Soft,
            Deletes::History => definition::Deletes::History,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Iceberg's format version 2
    #[value(name = "ICEBERG")]
    Iceberg,
    #[value(name = "DELTA", hide = true)]
    Delta,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TopicFormat {
    /// By the schema that the registry has for the topic; JSON where it has none
    #[default]
    Auto,
    /// A JSON object a record, without a schema
    Json,
    /// Avro, by the registry's schemas
    Avro,
    /// JSON, by the registry's schemas
    JsonSchema,
    /// Protobuf, by the registry's schemas
    Protobuf,
    /// Records as they are, in one column
    Raw,
    /// Changes of a database's rows, as Debezium sends them in any of these: the table has the rows
    Debezium,
}

impl TopicFormat {
    /// What is around the rows.
    pub fn envelope(self) -> Option<definition::Envelope> {
        (self == TopicFormat::Debezium).then_some(definition::Envelope::Debezium)
    }

    /// None: what the registry says.
    pub fn as_definition(self) -> Option<definition::Format> {
        match self {
            TopicFormat::Auto | TopicFormat::Debezium => None,
            TopicFormat::Json => Some(definition::Format::Json),
            TopicFormat::Avro => Some(definition::Format::Avro),
            TopicFormat::JsonSchema => Some(definition::Format::JsonSchema),
            TopicFormat::Protobuf => Some(definition::Format::Protobuf),
            TopicFormat::Raw => Some(definition::Format::Raw),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyFormat {
    /// Keys become no columns; their bytes are in a metadata column
    None,
    /// By the schema that the registry has for the topic's keys; raw where it has none
    Auto,
    /// A JSON value, without a schema: an object, or the column key
    Json,
    /// Avro, by the registry's schemas: a record, or the column key
    Avro,
    /// JSON, by the registry's schemas
    JsonSchema,
    /// Protobuf, by the registry's schemas
    Protobuf,
    /// Keys as they are, in the column key
    Raw,
}

impl From<KeyFormat> for definition::KeyFormat {
    fn from(word: KeyFormat) -> Self {
        use definition::Format;
        match word {
            KeyFormat::None => definition::KeyFormat::None,
            KeyFormat::Auto => definition::KeyFormat::Auto,
            KeyFormat::Json => definition::KeyFormat::As(Format::Json),
            KeyFormat::Avro => definition::KeyFormat::As(Format::Avro),
            KeyFormat::JsonSchema => definition::KeyFormat::As(Format::JsonSchema),
            KeyFormat::Protobuf => definition::KeyFormat::As(Format::Protobuf),
            KeyFormat::Raw => definition::KeyFormat::As(Format::Raw),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Evolution {
    /// Columns stay: a schema that would change them stops the table, a new JSON field makes its record a bad one
    Strict,
    /// New fields become columns, columns become wider
    Additive,
    /// As additive, and columns go that the topic's newest schema no longer has; needs schemas, refuses --fan-out
    Mirror,
}

impl From<Evolution> for decode::Evolution {
    fn from(word: Evolution) -> Self {
        match word {
            Evolution::Strict => decode::Evolution::Strict,
            Evolution::Additive => decode::Evolution::Additive,
            Evolution::Mirror => decode::Evolution::Mirror,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ErrorHandling {
    /// The table stops at the record, with the reason; nothing is lost
    #[value(name = "SUSPEND")]
    Suspend,
    /// The record is counted and left out
    #[value(name = "SKIP")]
    Skip,
    /// The record becomes a row of a table of dead letters
    #[value(name = "LOG")]
    Log,
}

impl From<ErrorHandling> for definition::ErrorHandling {
    fn from(word: ErrorHandling) -> Self {
        match word {
            ErrorHandling::Suspend => definition::ErrorHandling::Suspend,
            ErrorHandling::Skip => definition::ErrorHandling::Skip,
            ErrorHandling::Log => definition::ErrorHandling::Log,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EnableFrom {
    /// With its first record
    Earliest,
    /// With the first record that comes
    Latest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MetadataColumns {
    /// _tableflow_topic, _partition, _offset, _timestamp, _key, _headers
    Portable,
    /// Rows do not say it
    None,
    /// Confluent's, with the names of its PORTABLE: cflt_metadata_topic and so on
    Cflt,
    /// Confluent's, with the names of its DEFAULT: $$topic and so on
    Confluent,
}
