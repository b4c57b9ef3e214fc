//! Topics into tables: what is declared, and the jobs that make it true.
//!
//! In flow order:
//!
//! ```text
//!  enable      a topic becomes a table: validated, planned, made
//!  matching    topics that patterns name become tables, as they come
//!  job         what every job has: a goal, an end, patience
//!  intake      what a job takes its rows from
//!  lanes       turns for those who are far behind
//!  pace        when a topic is looked at, and when an epoch is due
//!  feed        a topic as a job reads it
//!  gone        what became of records and topics that are not there
//!  replay      dead letters through the decoder again
//!  format      how a topic's records are written, asked for and registered
//!  decoding    records -> columns, by the schemas that they name
//!  dispatch    records -> rows of a job's tables
//!  fan_out     the same of a topic with many types of records
//!  staging     one epoch: records -> rows -> files
//!  check       what a schema that nobody registered yet would do to a table
//!  way_on      what to type at a record that cannot be decoded
//!  dead_letters  the table for them
//!  target      a job's table: looked at, committed to
//!  ingest      a job with one table: the driver of the protocol's direct writer
//!  epochs      a job with several: the driver of its epoch manifests
//!  rollback    an old snapshot becomes the newest one
//!  drop        a table goes, its files too
//!  progress    how a job is doing
//!  budget      one memory budget for all jobs
//!  supervise   all jobs on one pool
//!  status      a table as `status` and `describe` show it
//! ```

pub mod budget;
pub mod check;
pub mod dead_letters;
mod decoding;
pub mod dispatch;
pub mod drop;
pub mod enable;
pub mod epochs;
pub mod fan_out;
mod feed;
mod format;
mod gone;
pub mod ingest;
mod intake;
pub mod job;
pub mod lanes;
pub mod matching;
mod pace;
pub mod progress;
pub mod replay;
pub mod rollback;
pub mod staging;
pub mod status;
pub mod supervise;
pub mod target;
mod way_on;
