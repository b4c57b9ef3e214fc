//! A table with one row a key: what a commit has to delete.
//!
//! In flow order:
//!
//! ```text
//!  collapse  the changes of an epoch -> the last one of each key
//!  files     the table's data files as the key index numbers them, and their deleted rows
//!  deletes   rows that a commit deletes -> delete files, or data files without them
//!  keyed     keys -> rows of the table as it is in one snapshot; what a commit deletes
//! ```
//!
//! - I1: work that is staged says which keys change; which rows those are is found out on the base of the commit, by
//!   whoever commits it (rule U1).

mod collapse;
mod deletes;
mod files;
mod keyed;

pub use tableflow_model::protocol::Order;

pub use self::collapse::{Collapse, Collapsed};
pub(crate) use self::deletes::{OWN_DELETES_MAX, copies_of, deletes_of};
pub(crate) use self::files::KnownFile;
pub use self::keyed::{KeyedTable, Resolved, StagedKeys};
