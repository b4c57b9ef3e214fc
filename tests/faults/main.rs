//! Exactly once, while things go wrong: processes die at every step or stand still; replies get lost,
//! others write.
//!
//! What must be in a table is known from the producer's side alone: every record names its partition, and its offset
//! is its place in the order sent. After every fault each (partition, offset) is there once, with every field of its
//! value, and none is missing: so say our `query`, PyIceberg and DuckDB, each for itself.
//!
//! ```text
//!  product       a data directory, the real binary on it, and what its table must hold
//!  kill_points   kill -9 at every named place of the commit path
//!  random_kills  kill -9 of the service at random moments under load
//!  processes     two writers on one table, signals, a full disk
//!  world         the job in this process, over a catalog and a store that fail on purpose
//!  replies       lost, late and failing requests
//!  foreign       somebody else changes the table or the topic
//!  foreign_keyed the same of a table with one row a key
//!  kafka         a real broker: transactions, holes, outages
//!  several       one topic into several tables, killed and failing between them
//!  fan_out       a topic of many types of records into a table for each
//!  mirror        columns that go when the newest schema no longer has them
//!  upserts       one row a key, killed and raced for
//!  versions      a row for each version of a key, killed
//!  latest_by     the latest row of a key by a column, killed
//!  encodings     the same, in each way that rows that go are written
//!  modes         a table of every record becomes one of them, and back, killed on the way
//!  followed      a consumer of its changes, while its job is killed
//!  compaction    the same, while files are rewritten, killed and raced for
//!  upkeep        a table that cannot be looked after, beside others
//!  put_aside     records that cannot be decoded, skipped or written to a table of dead letters
//!  unregistered  dead letters whose schemas are registered later, also between a kill and the next start
//!  registry_away a registry that is away, fails, or is another one behind the same address
//!  door          an address that leads to a server, to another one, or nowhere
//!  python        the other readers
//!  scrape        what /metrics says, and whether its books balance
//!  alone         processes that hold nothing of the test's
//!  changes       a producer of changes by key, and what they make
//!  days          days that pass without anybody waiting
//! ```
//!
//! `TABLEFLOW_KILL_ROUNDS=n` kills more often at random, `TABLEFLOW_KILL_SEED=s` plays a failed run's moments again.
//! Power cuts are modelled below: the log's in `connectors`, the object's and the catalog's by their own tests.

#![expect(clippy::print_stdout, reason = "a matrix shows which of its cells were reached")]

#[cfg(test)]
#[path = "../support/alone.rs"]
mod alone;
#[cfg(test)]
#[path = "../support/changes.rs"]
mod changes;
#[cfg(test)]
mod compaction;
#[cfg(test)]
#[path = "../support/days.rs"]
mod days;
#[cfg(test)]
mod door;
#[cfg(test)]
mod encodings;
#[cfg(test)]
mod fan_out;
#[cfg(test)]
mod followed;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod foreign_keyed;
#[cfg(test)]
mod kafka;
#[cfg(test)]
mod kill_points;
#[cfg(test)]
mod latest_by;
#[cfg(test)]
mod mirror;
#[cfg(test)]
mod modes;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod product;
#[cfg(test)]
mod put_aside;
#[cfg(test)]
#[path = "../python/engines.rs"]
mod python;
#[cfg(test)]
mod random_kills;
#[cfg(test)]
mod registry_away;
#[cfg(test)]
mod replies;
#[cfg(test)]
#[path = "../support/scrape.rs"]
mod scrape;
#[cfg(test)]
mod several;
#[cfg(test)]
mod unregistered;
#[cfg(test)]
mod upkeep;
#[cfg(test)]
mod upserts;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod world;
