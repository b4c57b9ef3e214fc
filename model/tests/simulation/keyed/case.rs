//! What a world of keyed tables is made of: [`Case`], the named configurations, and [`Mix`], what a seed makes of one.
//!
//! As in the other world most seeds leave most faults out, so that the few they have come often enough to meet.

use tableflow_model::protocol::Guard;

use crate::rng::Rng;

/// An act of somebody else: a person, another engine, upkeep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    ForeignAppend,
    /// Rows are deleted by their positions.
    ForeignDelete,
    /// Rows are deleted by their values.
    ForeignErase,
    ForeignRewrite,
    ForeignRollback,
    /// A person takes the table back, or answers to a rollback of somebody else.
    Replay,
    Compact,
    Expire,
    /// As like as not a day after the one before: what that one found is old enough to go.
    Vacuum,
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub acts: &'static [Act],
    /// Schedules under the law; mutants look at no more.
    pub seeds: u64,
}

pub const CASES: &[Case] = &[
    Case {
        name: "keyed",
        acts: &[Act::ForeignAppend, Act::ForeignDelete, Act::ForeignErase, Act::ForeignRewrite],
        seeds: 500,
    },
    Case {
        name: "keyed-compact",
        acts: &[Act::Compact, Act::ForeignAppend, Act::ForeignDelete, Act::ForeignErase, Act::ForeignRewrite],
        seeds: 1000,
    },
    Case {
        name: "keyed-rollback",
        acts: &[
            Act::Compact,
            Act::ForeignAppend,
            Act::ForeignDelete,
            Act::ForeignErase,
            Act::ForeignRollback,
            Act::Replay,
        ],
        seeds: 1000,
    },
    // A compaction has to sleep for as long as two collections take, a day apart: rare.
    Case { name: "keyed-collect", acts: &[Act::Compact, Act::Expire, Act::Vacuum, Act::ForeignRewrite], seeds: 2500 },
    Case {
        name: "keyed-forget",
        acts: &[Act::Compact, Act::Expire, Act::Vacuum, Act::ForeignDelete, Act::ForeignRollback, Act::Replay],
        seeds: 2000,
    },
];

/// Rates in percent and weights, drawn from the seed.
#[derive(Clone, Debug)]
pub struct Mix {
    pub guard: Guard,
    pub steps: u64,
    pub acts: Vec<(Act, u64)>,
    /// A request fails before it has any effect.
    pub failed: u64,
    /// It takes effect and the reply is lost.
    pub lost: u64,
    /// It stays in flight, to land later or never.
    pub late: u64,
    /// A process falls asleep.
    pub sleep: u64,
    /// For at most this many turns.
    pub nap_turns: usize,
    pub crash: u64,
    /// A change takes its key away.
    pub tombstone: u64,
    pub keys: usize,
    pub partitions: usize,
}

impl Mix {
    pub fn draw(case: &Case, rng: &mut Rng) -> Mix {
        let rate = |rng: &mut Rng| [0, 0, 5, 15, 30][rng.below(5)];
        let weight = |rng: &mut Rng| [0, 1, 2, 5, 10][rng.below(5)];
        Mix {
            guard: if rng.chance(50) { Guard::Snapshot } else { Guard::Location },
            steps: 40 + rng.below(160) as u64,
            acts: case.acts.iter().map(|&act| (act, weight(rng))).collect(),
            failed: rate(rng),
            lost: rate(rng),
            late: rate(rng),
            sleep: rate(rng),
            nap_turns: [12, 60, 120][rng.below(3)],
            crash: [0, 1, 3][rng.below(3)],
            tombstone: [0, 20, 40][rng.below(3)],
            keys: 2 + rng.below(6),
            partitions: 1 + rng.below(2),
        }
    }
}
