//! The world of one schedule: a table, its change files, the job that fills it, consumers, and what is on its way.

use std::collections::BTreeMap;

use tableflow_model::protocol::Rules;

use super::case::{Case, Mix};
use super::consumer::Consumer;
use super::producer::Producer;
use super::table::{Assertion, Change, Key, Metadata, Table, Versions};
use super::upkeep::{Expiry, Vacuum};
use crate::rng::Rng;
use crate::world::Violation;

/// What its sender knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Applied,
    Refused,
    Unknown,
}

pub struct World {
    pub mix: Mix,
    pub rules: Rules,
    pub rng: Rng,
    pub table: Table,
    /// By number, with the epoch that staged them.
    pub files: BTreeMap<u64, (u64, Versions)>,
    pub flight: Vec<(Assertion, Change)>,
    pub producer: Producer,
    pub consumers: Vec<Consumer>,
    pub expiries: Vec<Expiry>,
    pub vacuums: Vec<Vacuum>,
    /// Somebody forgot snapshots without asking.
    pub foreign_expired: bool,
    ids: u64,
    pub faults: bool,
    pub violation: Option<Violation>,
    /// Steps in words, only when a failing seed is played again.
    pub trace: Option<Vec<String>>,
    pub commits: u64,
}

impl World {
    pub fn new(case: &Case, seed: u64, rules: Rules, trace: bool) -> World {
        let mut rng = Rng::new(seed);
        let mix = Mix::draw(case, &mut rng);
        World {
            rules,
            table: Table { guard: mix.guard, now: Metadata::empty(), ever: BTreeMap::new() },
            files: BTreeMap::new(),
            flight: Vec::new(),
            producer: Producer::default(),
            consumers: (0..mix.consumers).map(Consumer::new).collect(),
            expiries: Vec::new(),
            vacuums: Vec::new(),
            foreign_expired: false,
            ids: 0,
            faults: true,
            violation: None,
            trace: trace.then(Vec::new),
            commits: 0,
            mix,
            rng,
        }
    }

    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    pub fn fail(&mut self, invariant: &'static str, text: impl Into<String>) {
        if self.violation.is_none() {
            self.violation = Some(Violation { invariant, text: text.into() });
        }
    }

    pub fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub fn key(&mut self) -> Key {
        self.rng.below(self.mix.keys) as Key
    }

    pub fn fault(&mut self, percent: u64) -> bool {
        self.faults && self.rng.chance(percent)
    }

    /// The whole schedule.
    pub fn play(&mut self) {
        for step in 0..self.mix.steps {
            self.step(step >= self.mix.quiet);
            self.check_named();
            if self.violation.is_some() {
                return;
            }
        }
        self.drain();
    }

    /// One act of chance.
    fn step(&mut self, with_consumers: bool) {
        let total: u64 = self.mix.acts.iter().map(|(_, weight)| weight).sum();
        let pick = self.rng.below(100 + 2 * total as usize) as u64;
        match pick {
            0..30 => self.run_producer(),
            30..40 => self.land(),
            40..55 if !self.expiries.is_empty() => self.run_expiry(),
            40..60 if !self.vacuums.is_empty() => self.run_vacuum(),
            40..100 if !with_consumers => {}
            40..100 => {
                let place = self.rng.below(self.consumers.len());
                self.run_consumer(place);
            }
            _ => {
                let mut rest = (pick - 100) / 2;
                let chosen = self.mix.acts.iter().find(|(_, weight)| {
                    let hit = rest < *weight;
                    rest = rest.saturating_sub(*weight);
                    hit
                });
                if let Some(&(act, _)) = chosen {
                    self.act(act);
                }
            }
        }
    }

    /// Something in flight takes effect.
    pub fn land(&mut self) {
        if self.flight.is_empty() {
            return;
        }
        let place = self.rng.below(self.flight.len());
        let (assertion, change) = self.flight.swap_remove(place);
        let landed = self.table.publish(assertion, &change);
        self.say(|| format!("late {change:?} {}", ["refused", "lands"][usize::from(landed)]));
    }

    /// Sends a request; what becomes of it is the matter of chance.
    pub fn send(&mut self, base: &Metadata, change: Change) -> Reply {
        let assertion = Table::assertion(base);
        if self.fault(self.mix.failed) {
            return Reply::Unknown;
        }
        if self.fault(self.mix.late) {
            self.say(|| format!("  in flight: {change:?}"));
            self.flight.push((assertion, change));
            return Reply::Unknown;
        }
        let applied = self.table.publish(assertion, &change);
        self.commits += u64::from(applied);
        self.say(|| format!("  {} {change:?}", ["refused", "applied"][usize::from(applied)]));
        match applied {
            true if self.fault(self.mix.lost) => Reply::Unknown,
            true => Reply::Applied,
            false => Reply::Refused,
        }
    }
}
