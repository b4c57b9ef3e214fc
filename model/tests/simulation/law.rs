//! The tests: the law holds, and every rule of it bites.

use std::collections::BTreeMap;

use tableflow_model::protocol::{Rule, Rules};

use super::case::{CASES, Case};
use super::world::{Violation, World};
use super::{feed, keyed};

/// A case of one of the worlds.
#[derive(Clone, Copy)]
enum Play {
    Topics(&'static Case),
    Keyed(&'static keyed::Case),
    Feed(&'static feed::Case),
}

impl Play {
    fn all() -> impl Iterator<Item = Play> {
        let keyed = keyed::CASES.iter().map(Play::Keyed);
        CASES.iter().map(Play::Topics).chain(keyed).chain(feed::CASES.iter().map(Play::Feed))
    }

    fn name(self) -> &'static str {
        match self {
            Play::Topics(case) => case.name,
            Play::Keyed(case) => case.name,
            Play::Feed(case) => case.name,
        }
    }

    fn seeds(self) -> u64 {
        let own = match self {
            Play::Topics(case) => case.seeds,
            Play::Keyed(case) => case.seeds,
            Play::Feed(case) => case.seeds,
        };
        number("TABLEFLOW_SIM_SEEDS").unwrap_or(own)
    }

    fn run(self, seed: u64, rules: Rules, trace: bool) -> Outcome {
        match self {
            Play::Topics(case) => run_topics(case, seed, rules, trace),
            Play::Keyed(case) => {
                let mut world = keyed::World::new(case, seed, rules, trace);
                world.play();
                let (violation, trace) = (world.violation, world.trace.unwrap_or_default());
                Outcome { violation, trace, commits: world.commits }
            }
            Play::Feed(case) => {
                let mut world = feed::World::new(case, seed, rules, trace);
                world.play();
                let (violation, trace) = (world.violation, world.trace.unwrap_or_default());
                Outcome { violation, trace, commits: world.commits }
            }
        }
    }

    fn replay(self, seed: u64, rules: Rules) -> String {
        let outcome = self.run(seed, rules, true);
        format!("{}\n{:?}", outcome.trace.join("\n"), outcome.violation)
    }
}

struct Outcome {
    violation: Option<Violation>,
    trace: Vec<String>,
    commits: u64,
}

fn run_topics(case: &Case, seed: u64, rules: Rules, trace: bool) -> Outcome {
    let mut world = World::new(case, seed, rules, trace);
    for _ in 0..world.mix.steps {
        world.step();
        world.check();
        if world.violation.is_some() {
            break;
        }
    }
    if world.violation.is_none() {
        world.drain();
    }
    Outcome { violation: world.violation, trace: world.trace.unwrap_or_default(), commits: world.commits }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn the_law_holds_in_every_schedule() {
    let only = number("TABLEFLOW_SIM_SEED");
    let wanted = std::env::var("TABLEFLOW_SIM_CASE").ok();
    let (mut schedules, mut commits) = (0, 0);
    for case in Play::all().filter(|case| wanted.as_deref().is_none_or(|wanted| wanted == case.name())) {
        for seed in only.map_or(0..case.seeds(), |seed| seed..seed + 1) {
            let outcome = case.run(seed, Rules::law(), false);
            schedules += 1;
            commits += outcome.commits;
            if let Some(violation) = outcome.violation {
                let trace = case.replay(seed, Rules::law());
                panic!(
                    "{trace}\n{} broke in case {} with seed {seed}: {}\nreplay: TABLEFLOW_SIM_SEED={seed} \
                     TABLEFLOW_SIM_CASE={} cargo test -p tableflow-model --test simulation the_law",
                    violation.invariant,
                    case.name(),
                    violation.text,
                    case.name()
                );
            }
        }
    }
    if only.is_none() {
        assert!(commits > schedules, "{schedules} schedules commit too little to say anything: {commits}");
    }
}

/// Rules that others cover. The claim makes a zombie stop at its next put instead of the one after; one writer per
/// generation ends a fight in which both sides only ever commit what is due. What is kept for rollbacks leaves no name
/// free that one would read, so that nobody meets a manifest under a name that was won again.
const BELTS: &[Rule] = &[Rule::ClaimFirst, Rule::OneWriterPerGeneration, Rule::LinkedManifests];

/// The first cases to try for a rule; the others follow.
fn cases_for(rule: Rule) -> Vec<Play> {
    let first = match rule {
        Rule::ForeignRollbackSuspends | Rule::AssertSequence => "direct-rollback",
        Rule::AssertUuid | Rule::RecreatedTableSuspends | Rule::RecreatedTopicSuspends => "direct-recreate",
        Rule::FenceFirst | Rule::HigherGenerationStops => "grows",
        Rule::StateByNewestWork => "stateful",
        Rule::LinkedManifests | Rule::KeepForRollback => "replay-collect",
        Rule::Continuity => "epochs-reset",
        Rule::ForgottenSuspends => "topic-pipelined",
        Rule::OneTransactionalId
        | Rule::FenceThenRead
        | Rule::RecordInTransaction
        | Rule::RowsDecide
        | Rule::TopicsFirst
        | Rule::StartOver => "topic",
        Rule::RowsByBase | Rule::LastChangeStays => "keyed",
        Rule::AsOldAsRead | Rule::ReplaceTheLive | Rule::MoveDeletes | Rule::DropDeletes | Rule::FindAnew => {
            "keyed-compact"
        }
        Rule::NoneRevived => "keyed-rollback",
        Rule::GiveUpGone | Rule::MetadataWaits => "keyed-collect",
        Rule::RegisterFirst
        | Rule::DifferenceWithoutFile
        | Rule::FloorFirst
        | Rule::RefuseBelowFloor
        | Rule::MoveAfterCommit
        | Rule::ChangesAreNamed
        | Rule::KeepForConsumers => "feed",
        Rule::OwnRegistration => "feed-two",
        Rule::FollowParents | Rule::DifferenceOffBranch => "feed-rollback",
        Rule::CompactionHasLedger => "keyed-forget",
        _ => "direct-rest",
    };
    let mut cases: Vec<Play> = Play::all().collect();
    cases.sort_by_key(|case| case.name() != first);
    cases
}

struct Bite {
    case: Play,
    seed: u64,
    violation: Violation,
}

fn bite(rule: Rule) -> Option<Bite> {
    let rules = Rules::law().except(rule);
    cases_for(rule).into_iter().find_map(|case| {
        (0..case.seeds()).find_map(|seed| {
            let violation = case.run(seed, rules, false).violation?;
            Some(Bite { case, seed, violation })
        })
    })
}

#[test]
fn every_rule_bites() {
    let wanted = std::env::var("TABLEFLOW_SIM_OFF").ok();
    let mut table = String::new();
    let mut toothless = Vec::new();
    let mut invariants: BTreeMap<&str, usize> = BTreeMap::new();
    for &rule in Rule::ALL {
        if wanted.as_deref().is_some_and(|wanted| wanted != format!("{rule:?}")) {
            continue;
        }
        let found = bite(rule);
        let line = match &found {
            Some(bite) => {
                *invariants.entry(bite.violation.invariant).or_default() += 1;
                let (case, seeds, violation) = (bite.case.name(), bite.seed + 1, &bite.violation);
                format!("{case:16} {seeds:5} {} {}", violation.invariant, violation.text)
            }
            None => "covered by others".to_owned(),
        };
        table.push_str(&format!("{:3} {:24} {line}\n", rule.letter(), format!("{rule:?}")));
        match found {
            None if !BELTS.contains(&rule) => toothless.push(rule),
            Some(bite) if wanted.is_some() => table.push_str(&bite.case.replay(bite.seed, Rules::law().except(rule))),
            _ => {}
        }
    }
    show(&table);
    assert!(toothless.is_empty(), "no schedule needs these rules: {toothless:?}\n{table}");
}

#[expect(clippy::print_stderr, reason = "the table is what the test has to say")]
fn show(table: &str) {
    eprintln!("{table}");
}
