//! The real binary, seen from outside: processes, files, and engines that are not ours.
//!
//! Nothing here links the product, so every expectation comes from the producer's side, from a reader of another
//! house (PyIceberg, DuckDB), or by hand.
//!
//! ```text
//!  world      a data directory, the binary, a running service
//!  columns    which columns a table has, and whether they follow the topic
//!  cli        verbs, their output and exit codes
//!  enable     what is asked of a table, and the ways on that hints name
//!  fan_out    a topic of many types of records
//!  ease       what a newcomer meets
//!  service    `up`: what changes while it runs, and how it ends
//!  metrics    what a scrape says, and whether its books balance
//!  memory     how much is held before it is committed
//!  query      time travel, names, what is refused
//!  encodings  how rows that go are written
//!  modes      every record a row, or every key one: a table changes
//!  engines    what went in is what every engine reads
//!  upserts    one row a key, whatever is sent
//!  database   changes that say less than a whole row, rows that are marked as deleted
//!  latest_by  changes that are older than the rows of their keys
//!  truncated  sources that empty their tables
//!  versions   tables that keep each version of their rows
//!  compaction fewer files, the same rows
//!  removal    rows that go by what they are
//!  upkeep     history forgotten, files that nobody needs deleted
//!  growth     tables that grow fast, and how each is compacted
//!  followed   what went and came, told to who follows a table
//!  key_index  the index of keys, beyond memory and across processes
//!  altered    columns that another engine renamed, dropped, added again
//!  registry   the embedded schema registry, over HTTP and by verbs
//!  schema_check  what a new schema would do, and that it does
//!  writers    somebody else commits to the same table
//!  bad_input  records, topics and tables that are wrong
//!  python     PyIceberg and DuckDB, for both suites of the binary
//!  scrape     what /metrics says, and whether its books balance
//!  alone      processes that hold nothing of the test's
//!  changes    a producer of changes by key, and what they make
//!  days       days that pass without anybody waiting
//! ```
//!
//! `TABLEFLOW_PYTHON` names a Python that has `tests/python/requirements.txt`; `make test` sets it.
//! `TABLEFLOW_DEEP=1` partitions a table by a million values instead of a few thousand: half an hour and more.

#[cfg(test)]
#[path = "../support/alone.rs"]
mod alone;
#[cfg(test)]
mod altered;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
#[path = "../support/changes.rs"]
mod changes;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod columns;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod database;
#[cfg(test)]
#[path = "../support/days.rs"]
mod days;
#[cfg(test)]
mod ease;
#[cfg(test)]
mod enable;
#[cfg(test)]
mod encodings;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod fan_out;
#[cfg(test)]
mod followed;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod key_index;
#[cfg(test)]
mod latest_by;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod modes;
#[cfg(test)]
#[path = "../python/engines.rs"]
mod python;
#[cfg(test)]
mod query;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod removal;
#[cfg(test)]
mod schema_check;
#[cfg(test)]
#[path = "../support/scrape.rs"]
mod scrape;
#[cfg(test)]
mod service;
#[cfg(test)]
mod truncated;
#[cfg(test)]
mod upkeep;
#[cfg(test)]
mod upserts;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod world;
#[cfg(test)]
mod writers;
