//! What a world is made of: which kind of job, which catalogs, which acts from outside.
//!
//! Owns [`Case`], the named configurations, and [`Mix`], what one seed makes of one of them. Every seed draws its own
//! fault rates and weights (swarm testing): most seeds leave most faults out, so that the few they have come often
//! enough to meet.

use tableflow_model::protocol::Guard;

use super::rng::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One sink, no state.
    Direct,
    /// Main table and dead letters.
    TwoSinks,
    /// One sink and state.
    Stateful,
    /// Main table, dead letters, and a topic that the dead letters go to as well.
    Topic,
    /// Starts as `Direct`, is given dead letters in mid-run.
    Grows,
}

/// An act of somebody else: a person, another engine, upkeep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    ForeignAppend,
    SetProperty,
    Expire,
    ForeignRollback,
    Replay,
    KeepOffsets,
    RecreateTable,
    RecreateTopic,
    AddPartition,
    Sweep,
    CollectManifests,
    /// What the topic records expires.
    ForgetOffset,
    /// The topic's oldest letters are deleted, as retention does.
    DeleteLetters,
    /// A transaction takes too long.
    TimeOut,
    Grow,
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub kind: Kind,
    /// None: the seed decides.
    pub guard: Option<Guard>,
    pub acts: &'static [Act],
    pub pending_max: usize,
    /// Schedules under the law; mutants look at no more.
    pub seeds: u64,
}

/// What a case gets as a rule.
const SEEDS: u64 = 1500;

const UPKEEP: &[Act] = &[Act::ForeignAppend, Act::SetProperty, Act::Expire, Act::Sweep, Act::AddPartition, Act::Replay];
const LETTERS: &[Act] = &[
    Act::ForeignAppend,
    Act::Expire,
    Act::Sweep,
    Act::CollectManifests,
    Act::ForgetOffset,
    Act::DeleteLetters,
    Act::TimeOut,
];
const EPOCHS: &[Act] = &[Act::ForeignAppend, Act::SetProperty, Act::Expire, Act::Sweep, Act::CollectManifests];

pub const CASES: &[Case] = &[
    Case {
        name: "direct-rest",
        kind: Kind::Direct,
        guard: Some(Guard::Snapshot),
        acts: UPKEEP,
        pending_max: 1,
        seeds: SEEDS,
    },
    Case {
        name: "direct-location",
        kind: Kind::Direct,
        guard: Some(Guard::Location),
        acts: UPKEEP,
        pending_max: 1,
        seeds: SEEDS,
    },
    Case {
        name: "direct-rollback",
        kind: Kind::Direct,
        guard: None,
        acts: &[Act::ForeignAppend, Act::Expire, Act::ForeignRollback, Act::Replay, Act::KeepOffsets, Act::Sweep],
        pending_max: 1,
        seeds: SEEDS,
    },
    Case {
        name: "direct-recreate",
        kind: Kind::Direct,
        guard: None,
        acts: &[Act::ForeignAppend, Act::RecreateTable, Act::RecreateTopic],
        pending_max: 1,
        seeds: SEEDS,
    },
    Case { name: "two-sinks", kind: Kind::TwoSinks, guard: None, acts: EPOCHS, pending_max: 1, seeds: SEEDS },
    Case { name: "pipelined", kind: Kind::TwoSinks, guard: None, acts: EPOCHS, pending_max: 3, seeds: SEEDS },
    Case { name: "stateful", kind: Kind::Stateful, guard: None, acts: EPOCHS, pending_max: 1, seeds: SEEDS },
    Case {
        name: "epochs-reset",
        kind: Kind::TwoSinks,
        guard: None,
        acts: &[
            Act::ForeignAppend,
            Act::ForeignRollback,
            Act::Replay,
            Act::KeepOffsets,
            Act::CollectManifests,
            Act::Sweep,
            Act::Expire,
        ],
        pending_max: 1,
        seeds: SEEDS,
    },
    Case {
        name: "replay-collect",
        kind: Kind::TwoSinks,
        guard: None,
        acts: &[Act::Replay, Act::CollectManifests],
        pending_max: 1,
        // A name has to be collected, won again and replayed over: rare.
        seeds: 8000,
    },
    Case { name: "topic", kind: Kind::Topic, guard: None, acts: LETTERS, pending_max: 1, seeds: SEEDS },
    Case {
        name: "topic-replay",
        kind: Kind::Topic,
        guard: None,
        acts: &[Act::Replay, Act::CollectManifests, Act::ForgetOffset, Act::DeleteLetters, Act::TimeOut],
        pending_max: 1,
        seeds: SEEDS / 2,
    },
    Case { name: "topic-pipelined", kind: Kind::Topic, guard: None, acts: LETTERS, pending_max: 3, seeds: SEEDS / 2 },
    Case {
        name: "grows",
        kind: Kind::Grows,
        guard: None,
        acts: &[Act::ForeignAppend, Act::Expire, Act::Sweep, Act::Grow, Act::CollectManifests],
        pending_max: 1,
        seeds: SEEDS,
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
    pub poison: u64,
    pub hole: u64,
    pub stale_list: u64,
    pub partitions: usize,
}

impl Mix {
    pub fn draw(case: &Case, rng: &mut Rng) -> Mix {
        let rate = |rng: &mut Rng| [0, 0, 5, 15, 30][rng.below(5)];
        // A case of few acts is about them: none of them is left out.
        let weights: &[u64] = if case.acts.len() > 2 { &[0, 0, 1, 2, 5] } else { &[2, 5, 10] };
        let weight = |rng: &mut Rng| weights[rng.below(weights.len())];
        Mix {
            guard: case.guard.unwrap_or(if rng.chance(50) { Guard::Snapshot } else { Guard::Location }),
            steps: 40 + rng.below(120) as u64,
            acts: case.acts.iter().map(|&act| (act, weight(rng))).collect(),
            failed: rate(rng),
            lost: rate(rng),
            late: rate(rng),
            sleep: rate(rng),
            nap_turns: [12, 12, 60][rng.below(3)],
            crash: [0, 1, 3][rng.below(3)],
            poison: [0, 30, 60][rng.below(3)],
            hole: [0, 20][rng.below(2)],
            stale_list: [0, 40][rng.below(2)],
            partitions: 1 + rng.below(2),
        }
    }
}
