//! The same rows in fewer, larger files.
//!
//! In flow order:
//!
//! ```text
//!  plan     a snapshot -> groups of files that are worth rewriting
//!  moved    where the rows of rewritten files are now
//!  lineage  the ids of rows that are written anew
//!  sort     the rows of a group in the order of the table
//!  rewrite  a group -> new files without deleted rows, staged
//!  publish  staged files onto the base of now: what was deleted meanwhile is deleted in the new files, too
//!  deletes  fewer delete files, where data files stay as they are
//! ```
//!
//! - I1: what is rewritten is read from one snapshot, with every delete that it has, and is as old as that (rule R1).
//! - I2: a step is published only if every file that it replaces is live, and no row that its plan saw as deleted is
//!   live again; else its files are given up (R2, U3).
//! - I3: whatever else was committed meanwhile stands: a compaction fails nobody, and loses no change (R3).
//! - I4: memory is bounded by the files that are written at the same time, and by the deleted rows of the groups that
//!   are not yet published; not by the table, nor by how many delete files it has.

mod deletes;
mod lineage;
mod moved;
mod plan;
mod publish;
mod rewrite;
mod sort;

pub use deletes::{Tidied, prepare_tidying};
#[cfg(test)]
pub(crate) use lineage::Lineage;
pub use plan::{Group, Input, Plan, Thresholds, plan};
pub use publish::{Published, prepare_step};
pub use rewrite::{Rewriter, Rewritten, Strategy};
pub(crate) use sort::{failed, sorted_by};
