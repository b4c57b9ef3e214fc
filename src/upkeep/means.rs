//! How much of the machine upkeep may take.
//!
//! Owns [`Means`].
//! - I1: a file that is written is in memory until it is put: those that are written at the same time take half of the budget
//!   at most, or one of them is written alone.
//! - I2: what they take, and what rows are sorted in, is of the budget that whoever feeds tables shares.

use std::collections::VecDeque;
use std::sync::Arc;

use tableflow_lake::compact::{Group, Strategy};

use crate::pipeline::budget::{TableMemory, Upkeeping};

/// I1: one part in so many.
const FILES_SHARE: u64 = 2;

/// Of a process.
#[derive(Clone, Debug)]
pub struct Means {
    /// Groups that are rewritten at the same time.
    pub at_once: usize,
    pub memory: Arc<TableMemory>,
}

impl Means {
    /// The groups that come next, and what they take while they are rewritten.
    pub fn next(&self, waiting: &mut VecDeque<Group>, strategy: Strategy) -> (Vec<Group>, Upkeeping) {
        let room = self.memory.bytes_max() / FILES_SHARE;
        let (mut groups, mut bytes) = (Vec::new(), 0);
        while groups.len() < self.at_once.max(1)
            && let Some(next) = waiting.pop_front_if(|next| groups.is_empty() || bytes + next.file_bytes_most() <= room)
        {
            bytes += next.file_bytes_most();
            groups.push(next);
        }
        let sorted = match strategy {
            Strategy::Sort { memory_bytes } => memory_bytes as u64 * groups.len() as u64,
            Strategy::BinPack => 0,
        };
        (groups, self.memory.upkeeping(bytes + sorted))
    }
}

#[cfg(test)]
mod tests {
    use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, Struct};
    use tableflow_lake::commit::LiveFile;
    use tableflow_lake::compact::Input;

    use super::*;

    const BUDGET: u64 = 8_000;

    /// One that becomes files of so many bytes.
    fn group(file_bytes: u64) -> Group {
        let mut file = DataFileBuilder::default();
        file.content(DataContentType::Data).file_format(DataFileFormat::Parquet).file_path("f".to_owned());
        file.record_count(1).file_size_in_bytes(10 * file_bytes).partition_spec_id(0).partition(Struct::empty());
        let live = LiveFile { file: file.build().unwrap(), spec_id: 0, sequence: 1 };
        let files = vec![Input { live, deleted: 0, delete_files: 0 }];
        Group { spec_id: 0, partition: Struct::empty(), files, file_bytes, outputs: 10 }
    }

    /// How those that wait are taken, some at a time.
    fn taken(at_once: usize, file_bytes: &[u64]) -> Vec<Vec<u64>> {
        let means = Means { at_once, memory: TableMemory::new(BUDGET) };
        let mut waiting = file_bytes.iter().map(|bytes| group(*bytes)).collect();
        let mut taken = Vec::new();
        loop {
            let (groups, _takes) = means.next(&mut waiting, Strategy::BinPack);
            if groups.is_empty() {
                return taken;
            }
            taken.push(groups.iter().map(Group::file_bytes_most).collect());
        }
    }

    #[test]
    fn i1_files_that_are_written_at_the_same_time_take_half_of_the_budget_or_one_is_alone() {
        assert_eq!(taken(4, &[1_000, 3_000, 1, 3_999]), [[1_000, 3_000], [1, 3_999]]);
        assert_eq!(taken(4, &[1_000, 3_001]), [[1_000], [3_001]]);
        assert_eq!(taken(4, &[1_000, 9_000, 9_000, 500]), [[1_000], [9_000], [9_000], [500]]);
        assert_eq!(taken(2, &[1, 2, 3]), [vec![1, 2], vec![3]]);
        assert_eq!(taken(0, &[1, 2]), [[1], [2]]);
        assert_eq!(taken(4, &[]), [[0; 0]; 0]);
    }

    #[test]
    fn i2_what_they_take_is_not_there_for_those_who_feed_tables() {
        let sorted = Strategy::Sort { memory_bytes: 300 };
        for (strategy, takes) in [(Strategy::BinPack, 3_000), (sorted, 3_600)] {
            let means = Means { at_once: 2, memory: TableMemory::new(BUDGET) };
            let staged_max = BUDGET / 4 * 3;
            let mut staged = means.memory.share();
            let (groups, taken) = means.next(&mut [group(1_000), group(2_000)].into(), strategy);
            assert_eq!(groups.len(), 2);
            for (bytes, must_flush) in [(staged_max - takes - 1, false), (staged_max - takes, true)] {
                staged.hold(bytes);
                assert_eq!(staged.must_flush(), must_flush, "{bytes} staged beside {strategy:?}");
            }
            drop(taken);
            assert!(!staged.must_flush(), "it is given back");
        }
    }
}
