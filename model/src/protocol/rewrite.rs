//! The same rows in other files (rules R, U3).
//!
//! Owns the judgement of one replaced file on the base of the commit ([`judge`]), and how old the new files are
//! ([`sequence`]). A compaction is a job as any other: a
//! [`DirectWriter`](super::direct::DirectWriter) without positions drives it, its ledger is an entry of its own, and so
//! its files are decided like those of others (G2).
//! - I1: what is replaced is live on the base: a file that somebody else rewrote or dropped is not replaced twice (R2).
//! - I2: no row that was left out comes back, and none that was left out is missing: where a row lives again that the
//!   plan saw as deleted, the rewritten file is given up (U3).
//! - I3: rows that were deleted since are deleted in the new files (R3).
//! - I4: no row becomes younger than one that was written after it was read: of two rows with one key the same one goes,
//!   and what deletes rows by their values deletes those that it did (R1).

use roaring::RoaringTreemap;

use super::rules::{Rule, Rules};

/// A file as the base has it.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    pub deleted: &'a RoaringTreemap,
}

/// What becomes of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Judged {
    /// The new files stand in for it, without these rows of it (I3).
    Publish { deleted_since: RoaringTreemap },
    /// It is not there any more (I1).
    Replaced,
    /// A row of it lives again (I2).
    Revived,
}

/// Judges a file of which these rows were left out; `now` is nothing where the base does not have it.
pub fn judge(left_out: &RoaringTreemap, now: Option<Now<'_>>, rules: Rules) -> Judged {
    match now {
        None if rules.hold(Rule::ReplaceTheLive) => Judged::Replaced,
        Some(Now { deleted }) if !left_out.is_subset(deleted) && rules.hold(Rule::NoneRevived) => Judged::Revived,
        Some(Now { deleted }) if rules.hold(Rule::MoveDeletes) => Judged::Publish { deleted_since: deleted - left_out },
        _ => Judged::Publish { deleted_since: RoaringTreemap::new() },
    }
}

/// The data sequence number of files whose rows were read from the snapshot of this number (I4); `commit` is that of
/// the commit that publishes them.
pub fn sequence(read_at: i64, commit: i64, rules: Rules) -> i64 {
    if rules.hold(Rule::AsOldAsRead) { read_at } else { commit }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[u64]) -> RoaringTreemap {
        rows.iter().copied().collect()
    }

    #[test]
    fn a_file_is_replaced_as_it_is_now_or_not_at_all() {
        let judged = |left_out: &[u64], now: Option<&[u64]>| {
            let now = now.map(rows);
            judge(&rows(left_out), now.as_ref().map(|deleted| Now { deleted }), Rules::law())
        };
        let publish = |since: &[u64]| Judged::Publish { deleted_since: rows(since) };
        assert_eq!(judged(&[], Some(&[])), publish(&[]));
        assert_eq!(judged(&[1, 2], Some(&[1, 2])), publish(&[]));
        assert_eq!(judged(&[1], Some(&[1, 7])), publish(&[7]));
        assert_eq!(judged(&[1, 2], Some(&[1, 7])), Judged::Revived);
        assert_eq!(judged(&[], None), Judged::Replaced);
    }

    #[test]
    fn i4_new_files_are_as_old_as_what_was_read() {
        assert_eq!(sequence(4, 9, Rules::law()), 4);
    }
}
