//! Topics into tables: what is declared, and the jobs that make it true.
//!
//! In flow order:
//!
//! ```text
//!  definition  what people declared, versioned
//!  enable      a topic becomes a table: validated, planned, made
//!  staging     one epoch: records -> batches -> files
//!  facts       the catalog's table as the protocol sees it
//!  ingest      one job: the driver of the exactly-once machine
//!  progress    how a job is doing
//!  budget      one memory budget for all jobs
//!  supervise   all jobs on one pool
//!  status      a table as `status` and `describe` show it
//! ```

pub mod budget;
pub mod definition;
pub mod enable;
mod facts;
pub mod ingest;
pub mod progress;
mod staging;
pub mod status;
pub mod supervise;

pub use facts::table_facts;
