//! A table that others follow: a job that fills it, consumers that follow its feed exactly once into tables of their
//! own, expiry, a collector, other engines and people, in each other's way.
//!
//! What is judged is `protocol::feed`. The job that fills the table is a plain loop here: its machines are the matter
//! of the other worlds.
//!
//! ```text
//!  case      the cases, and what a seed makes of one
//!  table     snapshots, registrations, what the catalog admits
//!  world     the scheduler
//!  producer  epochs, with change files and without
//!  consumer  a driver of `feed::next`, and its own table
//!  upkeep    expiry and the collector, slow between their steps
//!  acts      other engines, people
//!  checks    the invariants
//! ```

mod acts;
mod case;
mod checks;
mod consumer;
mod producer;
mod table;
mod upkeep;
mod world;

pub use self::case::{CASES, Case};
pub use self::world::World;
