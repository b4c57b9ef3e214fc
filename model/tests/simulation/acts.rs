//! What people, other engines and upkeep do to a table.

use std::collections::BTreeSet;

use tableflow_model::TopicId;
use tableflow_model::protocol::reset::{keep_offsets, replay};
use tableflow_model::protocol::{Epoch, Guard, Intent, Ledger, Positions, Rule, WriterId, unbroken};
use uuid::Uuid;

use super::case::Act;
use super::table::{FileRef, Table};
use super::world::{Flight, Shape, Topic, World};

/// More than any age that a sweep asks for.
const SKEW_MS: i64 = 10 * 24 * 60 * 60 * 1000;

impl World {
    pub fn perform_act(&mut self, act: Act) {
        let sink = self.rng.below(self.tables.len());
        match act {
            Act::ForeignAppend => {
                let (id, tag) = (self.id() as i64, self.id());
                let table = &mut self.tables[sink];
                let mut files = table.files().to_vec();
                files.push(FileRef { folder: table.folder, name: format!("foreign-{tag}"), tag });
                let file = super::world::DataFile { rows: Vec::new(), tag, modified: self.clock };
                self.files.insert((table.folder, format!("foreign-{tag}")), file);
                table.push(id, files, None);
                self.dirty = true;
            }
            Act::SetProperty => self.tables[sink].version += 1,
            Act::Expire => self.plan_expiry(sink),
            Act::ForeignRollback => self.foreign_rollback(sink),
            Act::Replay => self.replay_to_some_snapshot(sink),
            Act::KeepOffsets => self.roll_back_and_keep_offsets(sink),
            Act::RecreateTable => self.recreate_table(),
            Act::RecreateTopic => self.recreate_topic(),
            Act::AddPartition => {
                if self.topic().partitions.len() < 3 {
                    self.topics.last_mut().unwrap().partitions.push(Vec::new());
                }
            }
            Act::Sweep => {
                let skew = if self.rng.chance(70) { SKEW_MS } else { 0 };
                if self.sweeps.len() < 2 {
                    self.start_sweep(sink, skew);
                }
            }
            Act::CollectManifests => {
                if let Some(collection) = self.decide_collection() {
                    self.flight.push(Flight::Collect(collection));
                }
            }
            Act::ForgetOffset => self.letters.forget_offset(),
            Act::DeleteLetters => {
                let place = self.rng.below(self.letters.log.len() + 1);
                self.letters.delete_before(place);
            }
            Act::TimeOut => self.letters.time_out(),
            Act::Grow => self.shape = Shape::Epochs,
        }
    }

    fn plan_expiry(&mut self, sink: usize) {
        let table = &self.tables[sink];
        let Some(planned) = table.main else { return };
        let flight = Flight::Expire { sink, uuid: table.uuid, planned, location: table.location() };
        self.flight.push(flight);
    }

    pub fn land_expiry(&mut self, sink: usize, uuid: Uuid, planned: i64, location: &str) {
        let table = &mut self.tables[sink];
        let same = match table.guard {
            Guard::Snapshot => table.main == Some(planned),
            Guard::Location => table.location() == location,
        };
        // Somebody who rolls back, appends and expires everything older between two looks of ours leaves no trace in
        // the metadata; `History::Expired` cannot tell it from plain expiry. The world does not go that far.
        if table.rolled_back {
            return;
        }
        if table.uuid == uuid && (same || !self.rules.hold(Rule::ExpiryAsserts)) {
            table.expire_all_but(planned);
            self.dirty = true;
            self.say(|| format!("expiry of sink {sink} keeps {planned} alone"));
        }
    }

    /// Ancestors of main that are still retained, main excluded.
    fn ancestors(&self, sink: usize) -> Vec<i64> {
        let table = &self.tables[sink];
        let mut found = Vec::new();
        let mut next = table.main.and_then(|id| table.snapshots[&id].parent);
        while let Some(id) = next.filter(|id| table.snapshots.get(id).is_some_and(|snapshot| snapshot.retained)) {
            found.push(id);
            next = table.snapshots[&id].parent;
        }
        found
    }

    fn some_ancestor(&mut self, sink: usize) -> Option<i64> {
        let ancestors = self.ancestors(sink);
        (!ancestors.is_empty()).then(|| ancestors[self.rng.below(ancestors.len())])
    }

    fn foreign_rollback(&mut self, sink: usize) {
        let Some(target) = self.some_ancestor(sink) else { return };
        if self.tables[sink].ledger().is_none() {
            return;
        }
        let before: BTreeSet<_> = self.visible(sink).into_iter().collect();
        let table = &mut self.tables[sink];
        table.main = Some(target);
        table.version += 1;
        let history = table.history(table.property.as_deref());
        table.rolled_back |= history != tableflow_model::protocol::History::Agrees;
        let after: BTreeSet<_> = self.visible(sink).into_iter().collect();
        let forgiven = &mut self.tables[sink].forgiven;
        forgiven.extend(before.difference(&after));
        forgiven.retain(|row| !after.contains(row));
        self.dirty = true;
        self.say(|| format!("somebody sets main of sink {sink} back to {target}"));
    }

    fn operator(&mut self) -> WriterId {
        WriterId(Uuid::from_u128(0x09e8_0000 + u128::from(self.id())))
    }

    /// Epochs from the target's on whose manifest and files are there, ascending, and the newest manifest.
    fn kept_manifests(&self, from: Epoch) -> (Vec<Epoch>, Epoch) {
        let newest = self.manifests.keys().map(|key| key.0).max().unwrap_or_default();
        let there = |epoch: &Epoch| {
            let Some(manifest) = self.manifest(*epoch, None) else { return false };
            let Intent::Work { sinks, .. } = &manifest.intent else { return true };
            sinks.iter().all(|(name, work)| {
                let folder = self.tables[self.sink(name)].folder;
                let file = |text: &String| (folder, text.split('#').next().unwrap().to_owned());
                work.files.iter().all(|text| self.files.contains_key(&file(text)))
            })
        };
        let found: Vec<_> = (from.0..=newest.0).filter_map(|epoch| self.manifest(Epoch(epoch), None)).collect();
        let found: Vec<_> = found.into_iter().cloned().collect();
        let linked = unbroken(&found, self.rules).iter().map(|manifest| manifest.epoch);
        (linked.filter(there).collect(), newest)
    }

    fn replay_to_some_snapshot(&mut self, sink: usize) {
        if self.tables[sink].rolled_back {
            return self.answer_rollback(sink);
        }
        let Some(target) = self.some_ancestor(sink) else { return };
        self.replay_to(sink, target);
    }

    /// `rollback --replay`: false where it is refused or nothing is known of the target's ledger.
    fn replay_to(&mut self, sink: usize, target: i64) -> bool {
        let table = &self.tables[sink];
        let (Some(current), Some(text)) = (table.ledger(), table.ledger_at(target)) else { return false };
        let old = Ledger::from_text(&text).unwrap();
        let (kept, newest) = self.kept_manifests(old.epoch);
        let writer = self.operator();
        let Ok(ledger) = replay(&current, &old, &kept, newest, writer, self.rules) else { return false };
        self.say(|| format!("operator rolls sink {sink} back to {target} with --replay: {ledger:?}"));
        let below = self.rows_below(&ledger.positions);
        self.tables[sink].forgiven = &self.tables[sink].snapshots[&target].forgiven & &below;
        self.reset(sink, target, &ledger);
        true
    }

    fn reset(&mut self, sink: usize, target: i64, ledger: &Ledger) {
        let id = self.id() as i64;
        let text = ledger.to_text().unwrap();
        let table = &mut self.tables[sink];
        table.rolled_back = false;
        self.dirty = true;
        if !self.rules.hold(Rule::RollbackIsSnapshot) {
            table.main = Some(target);
            table.version += 1;
            table.property = Some(text);
            return;
        }
        let files = table.snapshots[&target].files.clone();
        if table.main == Some(target) && !self.rules.hold(Rule::LedgerMovesWithSnapshot) {
            table.version += 1;
            table.property = Some(text);
            return;
        }
        table.push(id, files, Some(text));
    }

    fn roll_back_and_keep_offsets(&mut self, sink: usize) {
        if self.tables[sink].rolled_back {
            return self.answer_rollback(sink);
        }
        let (Some(target), Some(current)) = (self.some_ancestor(sink), self.tables[sink].ledger()) else { return };
        let before: BTreeSet<_> = self.visible(sink).into_iter().collect();
        let Some(old) = self.tables[sink].ledger_at(target) else { return };
        let writer = self.operator();
        let Ok(ledger) = keep_offsets(&current, &Ledger::from_text(&old).unwrap(), writer) else { return };
        self.say(|| format!("operator rolls sink {sink} back to {target} with --keep-offsets: {ledger:?}"));
        self.reset(sink, target, &ledger);
        self.forgive_lost(sink, &before, &ledger);
    }

    /// Rows taken out are forgiven; rows that come back from beyond the ledger are none of a person's wishes.
    fn forgive_lost(&mut self, sink: usize, before: &BTreeSet<super::world::Row>, ledger: &Ledger) {
        let after: BTreeSet<_> = self.visible(sink).into_iter().collect();
        let below = self.rows_below(&ledger.positions);
        let table = &mut self.tables[sink];
        table.forgiven.extend(before.difference(&after));
        table.forgiven.retain(|row| below.contains(row) && !after.contains(row));
        table.remember_forgiven();
    }

    /// A person follows the hint of a suspended table.
    pub fn answer_rollback(&mut self, sink: usize) {
        let Some(main) = self.tables[sink].main else { return };
        if self.replay_to(sink, main) {
            return;
        }
        let Some(current) = self.tables[sink].ledger() else { return };
        let writer = self.operator();
        // Main may stand before every snapshot of the job: then it has none of its rows.
        let old = self.tables[sink].ledger_at(main).map(|text| Ledger::from_text(&text).unwrap());
        let old = old.unwrap_or_else(|| Ledger { positions: Positions::default(), ..current.clone() });
        let Ok(ledger) = keep_offsets(&current, &old, writer) else { return };
        let visible: BTreeSet<_> = self.visible(sink).into_iter().collect();
        let below = self.rows_below(&current.positions);
        self.say(|| format!("operator accepts sink {sink} as it is: {ledger:?}"));
        self.reset(sink, main, &ledger);
        let lost: BTreeSet<_> =
            if self.tables.len() == 1 { below.difference(&visible).copied().collect() } else { BTreeSet::new() };
        self.tables[sink].forgiven.extend(lost);
        self.tables[sink].forgiven.retain(|row| below.contains(row));
        self.tables[sink].remember_forgiven();
    }

    fn recreate_table(&mut self) {
        let folder = self.tables.iter().map(|table| table.folder).max().unwrap_or_default() + 1;
        if folder > 2 || self.tables.len() > 1 {
            return;
        }
        self.tables[0] = Table::new(folder, self.mix.guard);
        self.dirty = true;
    }

    fn recreate_topic(&mut self) {
        if self.topics.len() > 1 {
            return;
        }
        let id = TopicId(Uuid::from_u128(0x70_0001));
        let partitions = vec![Vec::new(); self.topic().partitions.len()];
        self.topics.push(Topic { id, partitions });
        for _ in 0..self.rng.below(12) {
            self.append();
        }
    }
}
