//! Exactly once, as facts in and decisions out.
//!
//! A table is its own ledger: the property `tableflow.ledger.<job>` says how far the job has read its topics, and it
//! moves in the same commit that adds the rows. A job with state or several sinks cannot move them all in one commit;
//! it decides an epoch by creating one object, the manifest, and the commits that follow can be finished by anybody.
//!
//! ```text
//!  rules     the law, clause by clause
//!  ledger    how far a job has come in a table
//!  commit    one commit to one table: assertions, three outcomes, what a reload means      C
//!  direct    the machine of a job with one sink and no state                               S
//!  manifest  the object that decides an epoch, and what may be collected                   M1, M6
//!  epochs    the machine of a job with state or several sinks                              M, S3
//!  topic     what a topic says of the epochs that are in it                                T
//!  reset     what a rollback of ours does to the ledger                                    C5
//!  feed      what changed in a table, told to those who registered for it               F
//!  rewrite   what becomes of a file that compaction replaces                             R, U3
//!  upsert    which of a key's changes stays                                                U
//!  file_name what data files are called                                                    G1
//!  garbage   which of them may be deleted                                                  G2, G3
//!  halt      why a job stops or waits for a person
//! ```
//!
//! The machines do no I/O. A driver asks for the next step, does it, and hands back what happened, failures included;
//! back-off, time-outs and concurrency are the driver's. The simulation in `model/tests/simulation` is a second driver
//! over a world in memory that crashes, delays, duplicates and interferes; both run the same machines.
//!
//! - I1: nothing here reads a clock, draws a random number or panics.
//! - I2: no step deletes a data file; only a `garbage` sweep does.

pub mod commit;
pub mod direct;
pub mod epochs;
pub mod feed;
pub mod file_name;
pub mod garbage;
pub mod halt;
pub mod ledger;
pub mod manifest;
pub mod reset;
pub mod rewrite;
pub mod rules;
pub mod topic;
pub mod upsert;

pub use commit::{Assertion, CommitReply, Guard, History, SnapshotFacts, TableFacts};
pub use direct::{DirectEvent, DirectStep, DirectWriter};
pub use epochs::{EpochEvent, EpochJob, EpochOptions, EpochStep, PutReply, StagedEpoch};
pub use file_name::FileName;
pub use garbage::{Listed, Reachable, Seen, Sweep, SweepEvent, SweepStep, Verdict, judge_metadata};
pub use halt::{Stop, Suspend, Whose};
pub use ledger::{Cut, Epoch, Generation, Ledger, Positions, Setback, Tally, TopicPositions, WriterId};
pub use manifest::{Collection, EpochManifest, Intent, SinkName, SinkWork, unbroken};
pub use rules::{Rule, Rules};
pub use topic::{ProduceReply, Recorded};
pub use upsert::Order;
