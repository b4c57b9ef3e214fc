//! Tables with one row a key: a job that feeds one, compactions, other engines and a collector, in each other's way.
//!
//! The machine is `DirectWriter`, for feeders and compactions alike; what is judged beside it are `rewrite`, `upsert`
//! and `garbage`. What the catalog and the log do to a writer is the matter of the other world; here both keep their
//! law.
//!
//! ```text
//!  case        the cases, and what a seed makes of one
//!  table       files with an age, two kinds of deletes, what a reader sees
//!  world       the scheduler, and what should be live after a commit
//!  process     a machine and its driver
//!  feeder      what a feeder stages, and the rows that its keys are on the base of a commit
//!  compaction  what a compaction reads, and what it publishes
//!  acts        other engines, people
//!  collect     the collector
//!  checks      the invariants
//! ```

mod acts;
mod case;
mod checks;
mod collect;
mod compaction;
mod feeder;
mod process;
mod table;
mod world;

pub use self::case::{CASES, Case};
pub use self::world::World;
