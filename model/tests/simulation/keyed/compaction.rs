//! What a compaction does: it plans on a snapshot, reads it in a later turn, and publishes on the base of then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use roaring::RoaringTreemap;
use tableflow_model::protocol::rewrite::{Judged, Now, judge, sequence};
use tableflow_model::protocol::{Assertion, Positions, Rule};

use super::process::{EpochName, Prepared, Staging};
use super::table::{Content, Files, Row, applies, content, data_files, deleted_rows, own_deletes};
use super::world::{What, World};

/// What a commit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Some data files become one.
    Rewrite,
    /// Delete files that are about nothing go.
    Tidy,
    /// Nothing but the ledger moves.
    Decide,
}

#[derive(Clone, Debug)]
pub struct Compaction {
    tasks: VecDeque<Task>,
    plan: Option<Plan>,
    staged: Option<Staged>,
}

#[derive(Clone, Debug)]
struct Plan {
    read_at: i64,
    /// Of the snapshot.
    files: Files,
    /// Data files, the oldest first.
    inputs: Vec<String>,
    /// They, and what deletes rows.
    needed: Vec<String>,
    /// What is gone shows when the last of them has been read.
    turns: usize,
}

#[derive(Clone, Debug)]
struct Staged {
    name: EpochName,
    inputs: Vec<Input>,
    output: Option<String>,
    read: BTreeSet<Row>,
}

/// A file as it was read.
#[derive(Clone, Debug)]
struct Input {
    name: String,
    left_out: RoaringTreemap,
    /// Where the rows that were left are in the new file.
    moved: BTreeMap<u64, u64>,
}

impl Compaction {
    pub fn new(tasks: &[Task]) -> Self {
        Compaction { tasks: tasks.iter().copied().collect(), plan: None, staged: None }
    }

    pub fn stage(&mut self, world: &mut World, own: EpochName, looked: Option<i64>) -> Staging {
        let name = named(world, own);
        let nothing = Staged { name: name.clone(), inputs: Vec::new(), output: None, read: BTreeSet::new() };
        match (self.tasks.front(), &mut self.plan) {
            (None, _) => return Staging::Done,
            (Some(Task::Rewrite), None) => {
                self.plan = plan(world, looked);
                if self.plan.is_none() {
                    self.tasks.pop_front();
                }
                return Staging::Goes;
            }
            (Some(Task::Rewrite), Some(plan)) if plan.turns > 0 => {
                plan.turns -= 1;
                return Staging::Goes;
            }
            (Some(Task::Rewrite), Some(plan)) => match read(world, plan, name) {
                Some(staged) => self.staged = Some(staged),
                None => {
                    world.say(|| "  what the plan reads is gone".to_owned());
                    if world.rules.hold(Rule::GiveUpGone) {
                        self.plan = None;
                    }
                    return Staging::Failed;
                }
            },
            (Some(Task::Tidy | Task::Decide), _) => self.staged = Some(nothing),
        }
        Staging::Staged(Positions::default())
    }

    /// Nothing where the task is not to be done on this base.
    pub fn prepare(&mut self, world: &mut World, assertion: &Assertion) -> Option<Prepared> {
        let base = world.table.files(assertion.snapshot_id);
        let prepared = match self.tasks.front()? {
            Task::Rewrite => self.prepare_rewrite(world, assertion, &base),
            Task::Tidy => prepare_tidying(world, &base),
            Task::Decide => Some(Prepared::on(&base, &[], &[], What::Nothing)),
        };
        if prepared.is_none() {
            self.task_is_over();
        }
        prepared
    }

    fn prepare_rewrite(&self, world: &mut World, assertion: &Assertion, base: &Files) -> Option<Prepared> {
        let (staged, plan) = (self.staged.as_ref()?, self.plan.as_ref()?);
        let mut since = RoaringTreemap::new();
        let mut gone = Vec::new();
        for input in &staged.inputs {
            let deleted = deleted_rows(&world.objects, base, &input.name);
            let now = base.contains_key(&input.name).then_some(Now { deleted: &deleted });
            match judge(&input.left_out, now, world.rules) {
                Judged::Publish { deleted_since } => {
                    since.extend(deleted_since.iter().filter_map(|row| input.moved.get(&row)));
                }
                given_up => {
                    world.say(|| format!("  gives up {}: {given_up:?}", input.name));
                    return None;
                }
            }
            gone.push(input.name.clone());
            if world.rules.hold(Rule::DropDeletes) {
                gone.extend(own_deletes(&world.objects, base, &input.name));
            }
        }
        let mut added = Vec::new();
        if let Some(output) = staged.output.clone().filter(|_| !since.is_empty()) {
            added.push(world.write(&staged.name, Content::Positions([(output, since)].into())));
        }
        let what = What::Rewrite { read: staged.read.clone(), read_at: plan.read_at };
        let mut prepared = Prepared::on(base, &gone, &added, what);
        let age = sequence(plan.read_at, assertion.sequence_number, world.rules);
        prepared.files.extend(staged.output.clone().map(|output| (output, Some(age))));
        Some(prepared)
    }

    /// Done or given up.
    pub fn task_is_over(&mut self) {
        self.tasks.pop_front();
        (self.plan, self.staged) = (None, None);
    }
}

/// Without a ledger of its own its files are those of the feeder's next epoch.
fn named(world: &World, own: EpochName) -> EpochName {
    if world.rules.hold(Rule::CompactionHasLedger) {
        return own;
    }
    let (generation, epoch) = world.feeder_stands();
    EpochName { job: world.feeder.clone(), generation, epoch: epoch.next() }
}

fn plan(world: &mut World, looked: Option<i64>) -> Option<Plan> {
    let snapshot = world.table.snapshot(looked)?;
    let (read_at, files) = (snapshot.sequence, snapshot.files.clone());
    let all = world.rng.chance(60);
    let mut inputs: Vec<String> = data_files(&world.objects, &files).into_iter().map(|(name, _)| name).collect();
    inputs.retain(|_| all || world.rng.chance(60));
    world.say(|| format!("  plans {inputs:?} as of {read_at}"));
    let is_data = |name: &String| matches!(content(&world.objects, name), Some(Content::Rows(_)));
    let turns = if world.faults { world.rng.below(12) } else { 0 };
    let needed = files.keys().filter(|name| inputs.contains(name) || !is_data(name)).cloned().collect();
    (!inputs.is_empty()).then_some(Plan { read_at, files, inputs, needed, turns })
}

/// Nothing where something of it is gone.
fn read(world: &mut World, plan: &Plan, name: EpochName) -> Option<Staged> {
    if !plan.needed.iter().all(|file| world.objects.contains_key(file)) {
        return None;
    }
    let (mut inputs, mut rows) = (Vec::new(), Vec::new());
    for input in &plan.inputs {
        let Some(Content::Rows(all)) = content(&world.objects, input) else { return None };
        let left_out = deleted_rows(&world.objects, &plan.files, input);
        let mut moved = BTreeMap::new();
        for (place, row) in (0_u64..).zip(all).filter(|(place, _)| !left_out.contains(*place)) {
            moved.insert(place, rows.len() as u64);
            rows.push(*row);
        }
        inputs.push(Input { name: input.clone(), left_out, moved });
    }
    let read = rows.iter().copied().collect();
    let output = (!rows.is_empty()).then(|| world.write(&name, Content::Rows(rows)));
    Some(Staged { name, inputs, output, read })
}

/// Delete files that are about no live file go, whoever left them.
fn prepare_tidying(world: &World, base: &Files) -> Option<Prepared> {
    let is_idle = |name: &&String| !applies(&world.objects, base, name);
    let gone: Vec<String> = base.keys().filter(is_idle).cloned().collect();
    let wanted = !gone.is_empty() && world.rules.hold(Rule::DropDeletes);
    wanted.then(|| Prepared::on(base, &gone, &[], What::Nothing))
}
