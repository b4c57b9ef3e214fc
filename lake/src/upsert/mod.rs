//! A table with one row a key: what a commit has to delete.
//!
//! In flow order:
//!
//! ```text
//!  partial   rows that lack values, and what they keep of the rows before them
//!  collapse  the changes of an epoch -> the last one of each key
//!  compose   changes of a key that build on each other -> one
//!  emptied   what becomes of all rows where their source deleted them at once
//!  history   all changes of a key -> rows of versions, where a table keeps each
//!  ordered   all changes of a key -> the latest row by a column, where a table goes by one
//!  files     the table's data files as the key index numbers them, and their deleted rows
//!  deletes   rows that a commit deletes -> delete files, or data files without them
//!  reading   the keys of data files, several files at once
//!  keyed     keys -> rows of the table as it is in one snapshot; what a commit deletes
//!  catch_up  the same in another snapshot
//!  kept      what its index may take of memory, and what is left of it on disk
//!  complete  rows that lack values -> whole ones, by those that the table has
//!  origins   rows with where they came from, as they are sorted
//!  latest    a table of every record becomes one with one row a key: which of its rows go
//! ```
//!
//! - I1: work that is staged says which keys change; which rows those are is found out on the base of the commit, by
//!   whoever commits it (rule U1).

mod catch_up;
mod collapse;
mod complete;
mod compose;
mod deletes;
mod emptied;
mod files;
mod history;
mod kept;
mod keyed;
mod latest;
mod ordered;
mod origins;
mod partial;
mod reading;

pub use tableflow_model::protocol::Order;

pub use self::collapse::{Collapse, Collapsed};
pub use self::complete::Completed;
pub(crate) use self::deletes::{OWN_DELETES_MAX, copies_of, deletes_of};
pub use self::emptied::{Emptied, Mark};
pub(crate) use self::files::KnownFile;
pub use self::kept::KeyExtent;
pub use self::keyed::{KeyedTable, Resolved, StagedKeys};
pub use self::latest::{Superseded, count_superseded, superseded, without_values};
pub use self::origins::Origins;
pub(crate) use self::partial::nullable;
pub use self::partial::{Keeps, PartialRows};
