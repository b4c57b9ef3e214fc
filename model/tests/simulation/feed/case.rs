//! What a world of feeds is made of: [`Case`], the named configurations, and [`Mix`], what a seed makes of one.

use tableflow_model::protocol::Guard;

use crate::rng::Rng;

/// An act of somebody else: a person, another engine, upkeep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Rows come, go, or are overwritten.
    ForeignChange,
    ForeignRollback,
    /// Another engine forgets every snapshot but main, and asks nobody.
    ForeignExpire,
    /// Ours: the old content as a new snapshot.
    Rollback,
    /// The same rows in other files.
    Compact,
    Expire,
    Vacuum,
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub acts: &'static [Act],
    pub consumers: usize,
    /// Schedules under the law; mutants look at no more.
    pub seeds: u64,
}

pub const CASES: &[Case] = &[
    Case {
        name: "feed",
        acts: &[Act::ForeignChange, Act::Compact, Act::Expire, Act::Vacuum],
        consumers: 1,
        seeds: 3000,
    },
    Case {
        name: "feed-rollback",
        acts: &[Act::ForeignChange, Act::Compact, Act::ForeignRollback, Act::Rollback, Act::Expire, Act::Vacuum],
        consumers: 1,
        seeds: 4000,
    },
    Case { name: "feed-two", acts: &[Act::Expire, Act::Vacuum, Act::Rollback], consumers: 2, seeds: 3000 },
    Case {
        name: "feed-foreign",
        acts: &[Act::ForeignChange, Act::ForeignRollback, Act::ForeignExpire, Act::Expire, Act::Vacuum],
        consumers: 2,
        seeds: 2000,
    },
];

/// Rates in percent and weights, drawn from the seed.
#[derive(Clone, Debug)]
pub struct Mix {
    pub guard: Guard,
    pub steps: u64,
    pub acts: Vec<(Act, u64)>,
    pub consumers: usize,
    /// A request fails before it has any effect.
    pub failed: u64,
    /// It takes effect and the reply is lost.
    pub lost: u64,
    /// It stays in flight, to land later or never.
    pub late: u64,
    pub crash: u64,
    /// Consumers come after so many steps.
    pub quiet: u64,
    /// A consumer starts from an older snapshot.
    pub old_start: u64,
    /// Commits of the job forget as well.
    pub commits_forget: bool,
    /// Snapshots of main that are kept.
    pub kept: usize,
    pub keys: usize,
}

impl Mix {
    pub fn draw(case: &Case, rng: &mut Rng) -> Mix {
        let rate = |rng: &mut Rng| [0, 0, 5, 15, 30][rng.below(5)];
        let weight = |rng: &mut Rng| [0, 1, 2, 5, 10][rng.below(5)];
        Mix {
            guard: if rng.chance(60) { Guard::Snapshot } else { Guard::Location },
            steps: 40 + rng.below(160) as u64,
            acts: case.acts.iter().map(|&act| (act, weight(rng))).collect(),
            consumers: case.consumers,
            failed: rate(rng),
            lost: rate(rng),
            late: rate(rng),
            crash: rate(rng),
            quiet: [0, 15, 40][rng.below(3)],
            old_start: [0, 30, 80][rng.below(3)],
            commits_forget: rng.chance(50),
            kept: 1 + rng.below(3),
            keys: 1 + rng.below(4),
        }
    }
}
