//! Object storage for all: the files of tables and the service's own state are named, written, read and listed through
//! this crate. Topics and the catalog's database are no objects: they are files of their own.
//!
//! In flow order:
//!
//! ```text
//!  paths   the one type family that builds every object path
//!  uri     a URI taken apart, and whether it lies under a root
//!  store   create-only puts, checked reads, listing: what the other crates call
//!  local   the local disk with fsync, below `store`
//!  meter   counts requests and bytes, below `store`
//!  bridge  iceberg's FileIO on top of `store`
//!  kill    named places where a test may end the process
//!  fault   an object store that fails on purpose, for tests of every crate
//!  error   what a store's error means to the caller
//! ```
//!
//! It knows of tables and jobs how their objects are called, and no more.

pub mod bridge;
mod error;
pub mod fault;
pub mod kill;
pub mod local;
pub mod meter;
pub mod paths;
mod store;
mod uri;

pub use kill::KillPoint;
pub use meter::MeterSnapshot;
pub use store::{ObjectInfo, PutOutcome, Store};
