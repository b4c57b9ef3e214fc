//! The whole command line in one definition: parser, help, man page and completions come from here.
//!
//! In flow order:
//!
//! ```text
//!  topic   the words of `topic`, `produce` and `consume`
//!  schema  the words of `schema`
//!  enable  the words of `enable` and `update`
//!  upkeep  the words of what keeps tables quick to read
//!  values  words that are more than text: names of tables, addresses
//!  later   what is understood and not served: refused by name, with what to use instead
//! ```
//!
//! Owns the words a person types; what they do is in `cli/<verb>.rs`. Names are a contract: scripts call them.
//! - I1: every verb has an example in its help, every argument and value a line.
//! - I2: a value that Confluent's command line or a later release knows, and this one does not serve, is parsed and
//!   then refused by name with what to use instead (`later`), never ignored.
//! - I3: sizes, times and names are checked while parsing; wrong ones end with exit code 2.

mod enable;
mod later;
mod schema;
mod topic;
mod upkeep;
mod values;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use tableflow_model::{JobName, TopicName};

pub use enable::{
    EnableArguments, EnableFrom, ErrorHandling, Evolution, MetadataColumns, Mode, TableFormat, TopicFormat,
    UpdateArguments,
};
pub use schema::{CheckArguments, Reference, RegisterArguments, SchemaFormat, SchemaVerb, ShowArguments};
pub use topic::{ConsumeArguments, ConsumeFrom, ProduceArguments, ProduceFormat, TopicSetting, TopicVerb};
pub use upkeep::{
    CompactArguments, CompactStrategy, CompactionArguments, EraseArguments, ExpireArguments, MaintainArguments,
    RewriteManifestsArguments, VacuumArguments,
};
pub use values::TableReference;

use crate::pipeline::letters_topic::answer::Answer;
use crate::query::Point;

use crate::output::Format;

/// Turns topics into Iceberg tables, exactly once.
#[derive(Clone, Debug, Parser)]
#[command(name = "tableflow", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Start with:\n  tableflow demo\n\nEnvironment, files and exit codes:\n  tableflow man | man -l -"
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: GlobalArguments,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct GlobalArguments {
    /// Settings of this file come after those of the usual places
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder of everything embedded [default: ./tableflow-data]
    #[arg(long, global = true, value_name = "DIR", env = "TABLEFLOW_DATA_DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
    /// How results are printed
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t, ignore_case = true)]
    pub output: Format,
    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more on stderr; -vv and -vvv still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// How the log on stderr is written
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        ignore_case = true,
        env = "TABLEFLOW_LOG_FORMAT",
        hide_env_values = true
    )]
    pub log_format: LogFormat,
}

/// For people, or for what collects logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line of words
    #[default]
    Text,
    /// One object a line: timestamp, level, message, target, and fields such as table, topic, partition
    Json,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// A shop's topics become tables, and a query over each
    #[command(after_help = "Example:\n  tableflow demo --rows 100000 --keep")]
    Demo(DemoArguments),
    /// Create, list, describe and delete topics
    #[command(subcommand, after_help = "Example:\n  tableflow topic create orders --partitions 6")]
    Topic(TopicVerb),
    /// Write lines to a topic, one JSON value each
    #[command(after_help = "Example:\n  tableflow produce orders orders.ndjson --key order_id")]
    Produce(ProduceArguments),
    /// Print a topic's records with their metadata
    #[command(after_help = "Example:\n  tableflow consume orders --from earliest -n 10")]
    Consume(ConsumeArguments),
    /// Register, list, show, check and compare schemas
    #[command(subcommand, after_help = "Example:\n  tableflow schema register orders-value order.avsc")]
    Schema(SchemaVerb),
    /// A topic becomes a table
    #[command(
        override_usage = "tableflow enable [OPTIONS] <TOPIC>...\n       tableflow enable [OPTIONS] --match <REGEX>",
        after_help = "Example:\n  tableflow enable orders --columns \"ts TIMESTAMP_LTZ(3), amount DECIMAL(10,2)\" \
                            --partition-by \"day(ts)\""
    )]
    Enable(Box<EnableArguments>),
    /// The table is fed no more; its data stays unless --drop
    #[command(
        override_usage = "tableflow disable [OPTIONS] <TABLE>\n       tableflow disable [OPTIONS] --match <REGEX>",
        after_help = "Example:\n  tableflow disable bronze.orders"
    )]
    Disable(DisableArguments),
    /// Stop feeding a table for a while
    #[command(after_help = "Example:\n  tableflow pause bronze.orders")]
    Pause(TableArgument),
    /// Feed a paused or suspended table again, from where it stood
    #[command(after_help = "Example:\n  tableflow resume bronze.orders")]
    Resume(ResumeArguments),
    /// Change a table's settings
    #[command(after_help = "Example:\n  tableflow update bronze.orders --commit-interval 1m")]
    Update(UpdateArguments),
    /// List the tables
    #[command(after_help = "Example:\n  tableflow list -o json")]
    List(ListArguments),
    /// Show a table: columns, settings, source
    #[command(after_help = "Example:\n  tableflow describe bronze.orders")]
    Describe(TableArgument),
    /// Show how far tables are, and what holds them up
    #[command(after_help = "Example:\n  tableflow status --check   # exit code 4 when a table needs a look")]
    Status(StatusArguments),
    /// Read up to the ends the topics have now, commit, exit
    #[command(after_help = "Example:\n  tableflow sync bronze.orders   # for cron; without a name, every table")]
    Sync(SyncArguments),
    /// List, show and replay the records that a table could not take
    #[command(
        subcommand,
        after_help = "Example:\n  tableflow dlq replay payments --where \"reason = 'schema-id-unknown'\""
    )]
    Dlq(DlqVerb),
    /// Run the service: every table, and HTTP
    #[command(after_help = "Example:\n  tableflow up --listen 127.0.0.1:8080")]
    Up(UpArguments),
    /// Run SQL over the tables
    #[command(after_help = "Example:\n  tableflow query \"select count(*) from bronze.orders\" -o csv")]
    Query(QueryArguments),
    /// List a table's snapshots
    #[command(after_help = "Example:\n  tableflow history bronze.orders")]
    History(TableArgument),
    /// List a table's live files
    #[command(after_help = "Example:\n  tableflow files bronze.orders -o ndjson")]
    Files(TableArgument),
    /// Print what changed between two snapshots, or since a consumer looked last
    #[command(after_help = "Example:\n  tableflow changes bronze.orders --consumer audit -o ndjson")]
    Changes(ChangesArguments),
    /// Rewrite small files into large ones, without deleted rows
    #[command(after_help = "Example:\n  tableflow compact bronze.orders --where \"day >= DATE '2026-01-31'\"")]
    Compact(CompactArguments),
    /// Forget old snapshots
    #[command(after_help = "Example:\n  tableflow expire bronze.orders --older-than 2d --keep 10")]
    Expire(ExpireArguments),
    /// Delete files that no snapshot needs any more
    #[command(after_help = "Example:\n  tableflow vacuum bronze.orders --dry-run")]
    Vacuum(VacuumArguments),
    /// Write a table's manifests anew, as few as can be
    #[command(after_help = "Example:\n  tableflow rewrite-manifests bronze.orders")]
    RewriteManifests(RewriteManifestsArguments),
    /// Take the rows of a key out of a table and out of its history
    #[command(after_help = "Example:\n  tableflow erase bronze.customers --key 42")]
    Erase(EraseArguments),
    /// Do all that is due: old rows, compact, manifests, expire, vacuum
    #[command(after_help = "Example:\n  tableflow maintain --all   # for cron; `tableflow up` does it by itself")]
    Maintain(MaintainArguments),
    /// Write an old snapshot's content as a new one, and pause the table
    #[command(after_help = "Example:\n  tableflow rollback bronze.orders --to 4511836127356128302 --replay")]
    Rollback(RollbackArguments),
    /// Look at everything that tables need: brokers, rights, registry, disk
    #[command(after_help = "Example:\n  tableflow doctor -o json   # exit code 3 when a check failed")]
    Doctor,
    /// Print a completion script
    #[command(after_help = "Example:\n  tableflow completion bash > /etc/bash_completion.d/tableflow")]
    Completion(CompletionArguments),
    /// Print the manual page
    #[command(after_help = "Example:\n  tableflow man | man -l -")]
    Man,
    /// Print the version
    #[command(after_help = "Example:\n  tableflow version -o json")]
    Version,
}

#[derive(Clone, Debug, Args)]
pub struct DemoArguments {
    /// How many orders the shop has
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub rows: u64,
    /// Leave the topics and tables in the data directory; else nothing stays
    #[arg(long)]
    pub keep: bool,
}

/// The one table a verb is about.
#[derive(Clone, Debug, Args)]
pub struct TableArgument {
    /// namespace.name, or the name alone where it is unique
    pub table: TableReference,
}

#[derive(Clone, Debug, Args)]
pub struct ResumeArguments {
    #[command(flatten)]
    pub table: TableArgument,
    /// Answer to a table that is suspended since nobody knows whether its dead letters are in their topic
    #[arg(long, value_name = "WORD", value_enum, ignore_case = true)]
    pub letters: Option<Letters>,
    /// Go on without records that were gone before the table read them
    #[arg(long)]
    pub past_gap: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Letters {
    /// Consumers of the topic have them: they are not sent
    Sent,
    /// They have not: they are sent now
    Missing,
}

impl From<Letters> for Answer {
    fn from(word: Letters) -> Self {
        match word {
            Letters::Sent => Answer::Sent,
            Letters::Missing => Answer::Missing,
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct DisableArguments {
    /// namespace.name, or the name alone where it is unique
    #[arg(required_unless_present = "pattern")]
    pub table: Option<TableReference>,
    /// A pattern that was enabled: topics to come become no tables any more; those that are stay
    #[arg(long = "match", value_name = "REGEX", conflicts_with_all = ["table", "drop"])]
    pub pattern: Option<String>,
    /// Also delete the table and its data
    #[arg(long)]
    pub drop: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ListArguments {
    /// The patterns of topics that were enabled with --match, in place of the tables
    #[arg(long)]
    pub patterns: bool,
}

#[derive(Clone, Debug, Args)]
pub struct StatusArguments {
    /// Without it, every table
    pub table: Option<TableReference>,
    /// End with exit code 4 when a table is degraded or suspended
    #[arg(long)]
    pub check: bool,
}

#[derive(Clone, Debug, Args)]
pub struct SyncArguments {
    /// Without it, every table
    #[arg(value_name = "TABLE")]
    pub tables: Vec<TableReference>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum DlqVerb {
    /// Where the records are and why they are there
    #[command(after_help = "Example:\n  tableflow dlq list payments   # without a name, how many each table has")]
    List(DlqListArguments),
    /// The records whole: key, value, headers
    #[command(after_help = "Example:\n  tableflow dlq show payments --where '\"offset\" = 17' -o json")]
    Show(DlqArguments),
    /// Decode the records again, and make rows of those that can be by now
    #[command(after_help = "Example:\n  tableflow dlq replay payments")]
    Replay(DlqArguments),
}

#[derive(Clone, Debug, Args)]
pub struct DlqListArguments {
    /// Without it, how many records each table has put aside
    pub table: Option<TableReference>,
    /// Only those that this is true of, over the columns of the dead letters
    #[arg(long = "where", value_name = "EXPR", requires = "table")]
    pub condition: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct DlqArguments {
    #[command(flatten)]
    pub table: TableArgument,
    /// Only those that this is true of, over the columns of the dead letters
    #[arg(long = "where", value_name = "EXPR")]
    pub condition: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct UpArguments {
    /// Where HTTP is answered: a port, or host:port; port 0 picks one and prints it [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", value_parser = values::listen_address)]
    pub listen: Option<SocketAddr>,
}

#[derive(Clone, Debug, Args)]
pub struct QueryArguments {
    /// The statement; - reads it from stdin
    #[arg(value_name = "SQL", required_unless_present = "file", conflicts_with = "file")]
    pub sql: Option<String>,
    /// Read the statement from a file
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Read tables as they were: a snapshot id, or a time such as 2026-01-31T12:00:00Z (UTC where it names no zone)
    #[arg(long, value_name = "SNAPSHOT|TIME", value_parser = values::with_hint::<Point>)]
    pub as_of: Option<Point>,
}

#[derive(Clone, Debug, Args)]
pub struct ChangesArguments {
    #[command(flatten)]
    pub table: TableArgument,
    /// The snapshot that it begins after; the one before --to
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "consumer")]
    pub from: Option<i64>,
    /// The snapshot that it ends with; the newest one
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "consumer")]
    pub to: Option<i64>,
    /// Register under this name: the whole table first, then what changed since the last time
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<JobName>,
    /// Take the registration back: nothing is kept for the consumer any more
    #[arg(long, requires = "consumer")]
    pub leave: bool,
}

#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("offsets").args(["replay", "keep_offsets"]).required(true))]
pub struct RollbackArguments {
    #[command(flatten)]
    pub table: TableArgument,
    /// The snapshot whose content comes back
    #[arg(long, value_name = "SNAPSHOT")]
    pub to: i64,
    /// Read again what was committed since
    #[arg(long)]
    pub replay: bool,
    /// Go on from the newest offsets: what was committed since stays out
    #[arg(long)]
    pub keep_offsets: bool,
}

#[derive(Clone, Debug, Args)]
pub struct CompletionArguments {
    /// The shell that is to complete
    #[arg(value_enum, ignore_case = true)]
    pub shell: clap_complete::Shell,
}

impl Verb {
    /// Does the verb make the data directory where there is none? The others are about what is in it.
    pub fn begins_a_directory(&self) -> bool {
        matches!(self, Verb::Demo(_) | Verb::Up(_) | Verb::Topic(TopicVerb::Create { .. }))
    }

    /// What the verb reads from standard input, for whoever sits before it.
    pub fn reads_from_stdin(&self) -> Option<&'static str> {
        match self {
            Verb::Produce(words) if words.file == "-" => Some("lines"),
            Verb::Schema(SchemaVerb::Register(words)) if words.file == "-" => Some("a schema"),
            Verb::Schema(SchemaVerb::Check(words)) if words.file == "-" => Some("a schema"),
            Verb::Query(words) if words.sql.as_deref() == Some("-") => Some("a statement"),
            _ => None,
        }
    }

    /// Does the verb take an interrupt itself, to commit what it holds before it ends?
    pub fn drains_on_interrupt(&self) -> bool {
        matches!(self, Verb::Up(_))
    }
}

/// Why a command line cannot be carried out.
#[derive(Debug)]
pub enum Refusal {
    /// Help, version and errors of the grammar: clap's own words and exit code.
    Grammar(clap::Error),
    /// A value that is known and not served (I2), or values that do not go together.
    Value(tableflow_model::Error),
}

impl Arguments {
    /// The whole command line, understood and served, or a refusal.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, Refusal> {
        let arguments = Arguments::try_parse_from(words).map_err(|error| match later::unknown_word(&error) {
            Some(refusal) => Refusal::Value(refusal),
            None => Refusal::Grammar(error),
        })?;
        later::check(&arguments.verb).map_err(Refusal::Value)?;
        Ok(arguments)
    }
}

fn topic_name(text: &str) -> Result<TopicName, String> {
    text.parse().map_err(|error: tableflow_model::Error| match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.to_string(),
    })
}

#[cfg(test)]
mod tests;
