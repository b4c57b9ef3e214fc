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
