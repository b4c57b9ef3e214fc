//! The words of what keeps tables quick to read, and of `erase`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use tableflow_model::Error;

use super::TableReference;
use crate::definition::{CompactionPolicy, CompactionStrategy};
use crate::units::{Every, FileSize, Interval};

/// How the service compacts a table; `default` in place of a value takes back what `update` or `enable` declared.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Compaction by the service")]
pub struct CompactionArguments {
    /// How often the service looks what is to be compacted, or never [default: upkeep.compact.every, 10m]
    #[arg(long, value_name = "TIME", value_parser = or_default::<Every>)]
    pub compact_every: Option<OrDefault<Every>>,
    /// How rows are put into new files [default: bin-pack]
    #[arg(long, value_name = "WORD", value_enum, ignore_case = true)]
    pub compact_strategy: Option<CompactStrategy>,
    /// So many small files of a partition are put together [default: 5]
    #[arg(long, value_name = "N", value_parser = files_or_default)]
    pub compact_files: Option<OrDefault<u32>>,
    /// A file is written anew once so many percent of its rows are deleted [default: 30]
    #[arg(long, value_name = "PERCENT", value_parser = percent_or_default)]
    pub compact_deleted: Option<OrDefault<u8>>,
    /// How large files become [default: 128MiB]
    #[arg(long, value_name = "SIZE", value_parser = or_default::<FileSize>)]
    pub target_file_size: Option<OrDefault<FileSize>>,
}

/// A value, or the word that takes back what was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrDefault<T> {
    Default,
    Is(T),
}

const DEFAULT: &str = "default";

fn read_or_default<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<OrDefault<T>, String> {
    if text.trim().eq_ignore_ascii_case(DEFAULT) { Ok(OrDefault::Default) } else { read(text).map(OrDefault::Is) }
}

fn or_default<T: FromStr<Err = Error>>(text: &str) -> Result<OrDefault<T>, String> {
    read_or_default(text, super::values::with_hint)
}

fn number_or_default<T>(text: &str, of: RangeInclusive<T>) -> Result<OrDefault<T>, String>
where
    T: FromStr + PartialOrd + Display,
{
    let refused = || format!("{text:?} is neither {DEFAULT} nor a whole number from {} to {}", of.start(), of.end());
    read_or_default(text, |text| text.parse().ok().filter(|number| of.contains(number)).ok_or_else(refused))
}

fn files_or_default(text: &str) -> Result<OrDefault<u32>, String> {
    number_or_default(text, 2..=u32::MAX)
}

fn percent_or_default(text: &str) -> Result<OrDefault<u8>, String> {
    number_or_default(text.trim_end_matches('%'), 1..=100)
}

/// What is asked, and whether the word takes back what was declared.
fn told<T: Copy>(asked: Option<OrDefault<T>>) -> (Option<T>, bool) {
    match asked {
        None => (None, false),
        Some(OrDefault::Default) => (None, true),
        Some(OrDefault::Is(value)) => (Some(value), false),
    }
}

impl CompactionArguments {
    /// What is asked for by a value.
    pub fn policy(&self) -> CompactionPolicy {
        CompactionPolicy {
            every: told(self.compact_every).0,
            strategy: self.compact_strategy.map(Into::into),
            small_files: told(self.compact_files).0,
            deleted_percent: told(self.compact_deleted).0,
            target_file_size: told(self.target_file_size).0,
        }
    }

    /// What was declared before, with all of it.
    pub fn after(&self, before: &CompactionPolicy) -> CompactionPolicy {
        let after = before.with(&self.policy());
        CompactionPolicy {
            every: after.every.filter(|_| !told(self.compact_every).1),
            strategy: after.strategy,
            small_files: after.small_files.filter(|_| !told(self.compact_files).1),
            deleted_percent: after.deleted_percent.filter(|_| !told(self.compact_deleted).1),
            target_file_size: after.target_file_size.filter(|_| !told(self.target_file_size).1),
        }
    }

    pub(super) fn takes_back(&self) -> bool {
        told(self.compact_every).1
            || told(self.compact_files).1
            || told(self.compact_deleted).1
            || told(self.target_file_size).1
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.policy().is_nothing() && !self.takes_back()
    }
}

#[derive(Clone, Debug, Args)]
pub struct CompactArguments {
    /// namespace.name, or the name alone where it is unique
    #[arg(required = true, value_name = "TABLE")]
    pub tables: Vec<TableReference>,
    /// How large files become [default: as the table was enabled, 128MiB]
    #[arg(long, value_name = "SIZE", value_parser = super::values::with_hint::<FileSize>)]
    pub target_file_size: Option<FileSize>,
    /// How rows are put into the new files [default: as the table was enabled, bin-pack]
    #[arg(long, value_name = "WORD", value_enum, ignore_case = true)]
    pub strategy: Option<CompactStrategy>,
    /// Only files that may have rows for which this is true
    #[arg(long = "where", value_name = "EXPR")]
    pub condition: Option<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompactStrategy {
    /// In the order in which they came; each file in the order of --sort-by
    BinPack,
    /// All rows of a partition in the order of --sort-by, so that few files have a value
    Sort,
}

impl From<CompactStrategy> for CompactionStrategy {
    fn from(word: CompactStrategy) -> Self {
        match word {
            CompactStrategy::BinPack => CompactionStrategy::BinPack,
            CompactStrategy::Sort => CompactionStrategy::Sort,
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct ExpireArguments {
    /// namespace.name, or the name alone where it is unique
    #[arg(required = true, value_name = "TABLE")]
    pub tables: Vec<TableReference>,
    /// Forget those that are older [default: what --retention-ms of the table says, a week]
    #[arg(long, value_name = "TIME")]
    pub older_than: Option<Interval>,
    /// How many are kept at most, however young they are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, Args)]
pub struct VacuumArguments {
    /// namespace.name, or the name alone where it is unique
    #[arg(required = true, value_name = "TABLE")]
    pub tables: Vec<TableReference>,
    /// Files go when they have been needed by nobody for so long: a day at least, for whoever reads old snapshots
    #[arg(long, value_name = "TIME", default_value = "1day")]
    pub older_than: Interval,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, Args)]
pub struct RewriteManifestsArguments {
    /// namespace.name, or the name alone where it is unique
    #[arg(required = true, value_name = "TABLE")]
    pub tables: Vec<TableReference>,
}

#[derive(Clone, Debug, Args)]
pub struct EraseArguments {
    /// namespace.name, or the name alone where it is unique
    #[arg(value_name = "TABLE")]
    pub table: TableReference,
    /// The value of the column that identifies rows, or an object of columns and their values: '{"id": 42}'
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub key: String,
}

#[derive(Clone, Debug, Args)]
pub struct MaintainArguments {
    /// namespace.name, or the name alone where it is unique
    #[arg(value_name = "TABLE")]
    pub tables: Vec<TableReference>,
    /// Every table that is enabled
    #[arg(long, conflicts_with = "tables")]
    pub all: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}
