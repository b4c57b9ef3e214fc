//! A table with one row a key: what a commit has to delete.
//!
//! In flow order:
//!
//! ```text
//!  collapse  the changes of an epoch -> the last one of each key
//!  files     the table's data files as the key index numbers them, and their deleted rows
//!  reading   the keys of data files, several files at once
//!  keyed     keys -> rows of the table as it is in one snapshot; what a commit deletes
//!  catch_up  the same in another snapshot
//!  kept      what its index may take of memory, and what is left of it on disk
//! ```
//!
//! - I1: work that is staged says which keys change; which rows those are is found out on the base of the commit, by
//!   whoever commits it (rule U1).

mod catch_up;
mod collapse;
mod files;
mod kept;
mod keyed;
mod reading;

pub use tableflow_model::protocol::Order;

pub use self::collapse::{Collapse, Collapsed};
pub use self::kept::KeyExtent;
pub(crate) use self::keyed::OWN_DELETES_MAX;
pub use self::keyed::{KeyedTable, Resolved, StagedKeys};
