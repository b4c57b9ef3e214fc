//! Topics into tables: what is declared, and the jobs that make it true.
//!
//! The way of a record:
//!
//! ```text
//!  supervise -> ingest (one table) | epochs (several)     a job: the driver of its protocol's machine
//!    -> feed -> staging::Reader -> the source's poll       records
//!      -> dispatch (one table | fan_out) -> decoding       columns, by the schemas that they name
//!        -> staging::EpochFiles                            files
//!          -> target                                       the table, committed
//! ```
//!
//! What people declare:
//!
//! ```text
//!  enable      a topic becomes a table: validated, planned, made
//!  matching    topics that patterns name become tables, as they come
//!  format      how a topic's records are written, asked for and registered
//!  check       what a schema that nobody registered yet would do to a table
//!  mode        every record a row, or every key one: a table that exists changes
//!  writing     the format version of a table, and what becomes of rows that go
//!  rollback    an old snapshot becomes the newest one
//!  drop        a table goes, its files too
//! ```
//!
//! Jobs:
//!
//! ```text
//!  supervise   all jobs on one pool
//!  job         what every job has: a goal, an end, patience
//!  ingest      a job with one table: the driver of the protocol's direct writer
//!  epochs      a job with several: the driver of its epoch manifests
//!  manifests   the objects that decide its epochs, put, read and collected
//!  budget      one memory budget for all jobs
//!  lanes       turns for those who are far behind
//!  pace        when a topic is looked at, and when an epoch is due
//! ```
//!
//! What they read, decode and write:
//!
//! ```text
//!  intake      what a job takes its rows from
//!  feed        a topic as a job reads it
//!  gone        what became of records and topics that are not there
//!  gaps        records that are gone before they were read, and the leave to go on
//!  replay      dead letters through the decoder again
//!  decoding    records -> columns, by the schemas that they name
//!  dispatch    records -> rows of a job's tables
//!  fan_out     the same of a topic with many types of records
//!  mirror      columns that go when the newest schema no longer has them
//!  staging     one epoch: records -> rows -> files
//!  target      a job's table: looked at, committed to
//!  identity    whether its rows are identified by what they were
//!  left_out    how many changes were older than the rows of their keys
//!  dead_letters  the table for records that cannot be decoded
//!  letters_topic  the topic that they go to as well
//!  way_on      what to type at such a record
//! ```
//!
//! What is told of them:
//!
//! ```text
//!  progress    how a job is doing
//!  account     what became of the records that a job has read
//!  histogram   how often a measured value was at most so large
//!  backpressure  how much of its time a job takes nothing in because it cannot
//!  filled      the tables that a definition fills, as the catalog has them
//!  status      a table as `status` and `describe` show it
//! ```

pub mod account;
mod backpressure;
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
mod filled;
mod format;
pub mod gaps;
mod gone;
pub mod histogram;
mod identity;
pub mod ingest;
mod intake;
pub mod job;
pub mod lanes;
mod left_out;
pub mod letters_topic;
pub mod manifests;
pub mod matching;
pub mod mirror;
pub mod mode;
mod pace;
pub mod progress;
pub mod replay;
pub mod rollback;
pub mod staging;
pub mod status;
pub mod supervise;
pub mod target;
mod way_on;
pub mod writing;

pub(crate) use self::decoding::first_key;
