//! One row a key (rules U).
//!
//! Owns [`Order`], which says which of a key's changes stays. What an epoch stages are files and the keys that it
//! deletes; which rows of the table these are is found on the base of each try to commit, by whoever has an index of it
//! (U1, R6).
//! - I1: of changes of one partition the one of the greater offset is later; of several partitions the one of the
//!   greater time, then partition, then offset (U2). Where times never fall within a partition, that is one order of
//!   all changes, however they are read.

use super::rules::{Rule, Rules};

/// Where a change stands among those of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub timestamp: i64,
    pub partition: i32,
    pub offset: i64,
}

impl Order {
    /// I1. With the rule off the one that is read last stays.
    pub fn is_after(self, other: Order, rules: Rules) -> bool {
        if self.partition == other.partition {
            return self.offset > other.offset;
        }
        let later = (self.timestamp, self.partition, self.offset) > (other.timestamp, other.partition, other.offset);
        later || !rules.hold(Rule::LastChangeStays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_in_one_partition_offsets_decide_and_across_several_times_do() {
        let at = |timestamp, partition, offset| Order { timestamp, partition, offset };
        let after = |one: Order, other: Order| one.is_after(other, Rules::law());
        assert!(after(at(1, 0, 8), at(9, 0, 7)) && !after(at(9, 0, 7), at(1, 0, 8)));
        assert!(after(at(2, 0, 1), at(1, 1, 9)) && !after(at(1, 1, 9), at(2, 0, 1)));
        assert!(after(at(1, 1, 1), at(1, 0, 9)) && !after(at(1, 0, 9), at(1, 1, 1)));
    }
}
