//! The words of what keeps tables quick to read, and of `erase`.

use clap::{Args, ValueEnum};

use super::TableReference;
use crate::units::{ByteSize, Interval};

#[derive(Clone, Debug, Args)]
pub struct CompactArguments {
    /// namespace.name, or the name alone where it is unique
    #[arg(required = true, value_name = "TABLE")]
    pub tables: Vec<TableReference>,
    /// How large files become
    #[arg(long, value_name = "SIZE", default_value = "128MiB")]
    pub target_file_size: ByteSize,
    /// How rows are put into the new files
    #[arg(long, value_name = "WORD", value_enum, default_value_t, ignore_case = true)]
    pub strategy: CompactStrategy,
    /// Only files that may have rows for which this is true
    #[arg(long = "where", value_name = "EXPR")]
    pub condition: Option<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CompactStrategy {
    /// In the order in which they came; each file in the order of --sort-by
    #[default]
    BinPack,
    /// All rows of a partition in the order of --sort-by, so that few files have a value
    Sort,
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
