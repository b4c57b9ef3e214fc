//! What keeps tables quick to read.
//!
//! ```text
//!  run         one run on one table: the driver of its protocol's machine
//!  step        one commit of it, on the base of now
//!  means       how much of the machine it may take
//!  removal     rows that are too old, or erased
//!  compaction  small files become large ones, deleted rows go
//!  manifests   manifests become fewer
//!  expiry      old snapshots are forgotten
//!  vacuum      files that nobody needs any more go
//!  maintenance all that is due of these, for one table
//!  service     the same for every table, again and again, while `up` runs
//!  aside       the thread on which that is done
//!  tables      which tables are kept, and how long their history is
//! ```
//!
//! - I1: upkeep is a job of its own in each table, with a ledger of its own: it moves no position, and whoever feeds the
//!   table goes on beside it.

pub mod aside;
pub mod compaction;
pub mod expiry;
pub mod maintenance;
pub mod manifests;
pub mod means;
pub mod removal;
mod run;
pub mod service;
mod step;
pub mod tables;
pub mod vacuum;
