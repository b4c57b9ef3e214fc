//! The product: what a person starts, wired from the crates below.
//!
//! In flow order:
//!
//! ```text
//!  cli         the words a person types, one file a verb
//!  config      the settings, and the layers they come from
//!  home        the data directory, opened: topics, catalog, store
//!  definition  what people declared of tables
//!  pattern     what they declared of topics by the topics' names
//!  versions    how both are kept
//!  lease       who runs the service of that directory
//!  pipeline    topics into tables: the jobs that make the definitions true
//!  query       SQL over the tables
//!  changes     who follows a table, and what they read next
//!  upkeep      what keeps tables quick to read
//!  growth      how much tables have grown since somebody looked after them
//!  turns       whose turn it is to commit to a table
//!  doctor      what tables need, and what of it is missing
//!  serve       the service: every table, and HTTP beside them
//!  demo        the shop
//!  output      how results are printed
//!  log         what the process says about itself on stderr
//!  units       lengths of time and sizes, as people write them
//!  exit        how the process ends
//! ```
//!
//! One record's way: `connectors` reads and decodes it, `pipeline` asks `model::protocol` what to do, `lake` writes
//! the file and builds the commit, `catalog` publishes it, `query` reads it back.

pub mod changes;
pub mod cli;
pub mod config;
pub mod definition;
pub mod demo;
pub mod doctor;
pub mod exit;
pub mod growth;
pub mod home;
pub mod lease;
pub mod log;
pub mod output;
pub mod pattern;
pub mod pipeline;
pub mod query;
pub mod serve;
pub mod turns;
pub mod units;
pub mod upkeep;
pub mod versions;
