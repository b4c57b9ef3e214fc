//! The words of what keeps tables quick to read, and of `erase`.

use clap::{Args, ValueEnum};

use super::TableReference;
use crate::definition::{CompactionPolicy, CompactionStrategy};
use crate::units::{Every, FileSize, Interval};

/// How the service compacts a table.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Compaction by the service")]
pub struct CompactionArguments {
    /// How often the service looks what is to be compacted, or never [default: upkeep.compact.every, 10m]
    #[arg(long, value_name = "TIME", value_parser = super::values::with_hint::<Every>)]
    pub compact_every: Option<Every>,
    /// How rows are put into new files [default: bin-pack]
    #[arg(long, value_name = "WORD", value_enum, ignore_case = true)]
    pub compact_strategy: Option<CompactStrategy>,
    /// So many small files of a partition are put together [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub compact_files: Option<u32>,
    /// A file is written anew once so many percent of its rows are deleted [default: 30]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub compact_deleted: Option<u8>,
    /// How large files become [default: 128MiB]
    #[arg(long, value_name = "SIZE", value_parser = super::values::with_hint::<FileSize>)]
    pub target_file_size: Option<FileSize>,
}

impl CompactionArguments {
    pub fn policy(&self) -> CompactionPolicy {
        CompactionPolicy {
            every: self.compact_every,
            strategy: self.compact_strategy.map(Into::into),
            small_files: self.compact_files,
            deleted_percent: self.compact_deleted,
            target_file_size: self.target_file_size,
        }
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
    #[arg(required_unless_present = "all", value_name = "TABLE")]
    pub tables: Vec<TableReference>,
    /// Every table that is enabled
    #[arg(long, conflicts_with = "tables")]
    pub all: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}
