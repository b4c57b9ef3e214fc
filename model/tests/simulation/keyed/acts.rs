//! What people and other engines do to the table. Each act is one commit on the main of now, right by definition.

use std::collections::BTreeSet;

use tableflow_model::protocol::reset::replay;
use tableflow_model::protocol::{Epoch, Guard, History, Rules, WriterId};
use uuid::Uuid;

use super::case::Act;
use super::compaction::Task;
use super::table::{Content, Expected, Files, Key, Live, Object, Origin, Row, data_files, live_rows, own_deletes};
use super::world::{Flight, World};

/// More than any age that a collection asks for.
const DAYS_MS: i64 = 2 * 24 * 60 * 60 * 1000;

impl World {
    pub fn act(&mut self, act: Act) {
        match act {
            Act::ForeignAppend => self.foreign_append(),
            Act::ForeignDelete => self.foreign_delete(),
            Act::ForeignErase => self.foreign_erase(),
            Act::ForeignRewrite => self.foreign_rewrite(),
            Act::ForeignRollback => self.foreign_rollback(),
            Act::Replay => self.replay_to_some_snapshot(),
            Act::Compact if self.processes.len() < 5 => {
                self.start_compaction(&[Task::Rewrite, Task::Tidy, Task::Rewrite]);
            }
            Act::Compact => {}
            Act::Expire => {
                if let Some(planned) = self.table.main {
                    let location = self.table.location();
                    self.flight.push(Flight::Expire { planned, location });
                }
            }
            Act::Vacuum => {
                if self.rng.chance(50) {
                    self.a_day_passes();
                }
                self.start_vacuum();
            }
        }
    }

    pub fn a_day_passes(&mut self) {
        self.clock += DAYS_MS;
    }

    fn main_files(&self) -> Files {
        self.table.files(self.table.main)
    }

    fn main_rows(&self) -> Vec<Live> {
        live_rows(&self.objects, &self.main_files())
    }

    fn put_foreign(&mut self, content: Content) -> String {
        let name = format!("foreign-{}", self.id());
        self.say(|| format!("  wrote {name} {content:?}"));
        self.objects.insert(name.clone(), Object { content, modified: self.clock });
        name
    }

    /// Another engine's commit.
    pub fn commit_foreign(&mut self, gone: &BTreeSet<String>, added: Option<String>, expected: Expected) {
        let id = self.id() as i64;
        let list = format!("foreign-list-{id}");
        self.lists.insert(list.clone());
        let stays = self.main_files().into_iter().filter(|(name, _)| !gone.contains(name));
        let mut files: std::collections::BTreeMap<_, _> = stays.map(|(name, age)| (name, Some(age))).collect();
        files.extend(added.map(|name| (name, None)));
        self.table.push((id, list), files, None, expected);
        self.dirty = true;
    }

    /// Of one key or two; a key that has a row already has two from then on.
    fn foreign_append(&mut self) {
        let keys: BTreeSet<Key> =
            (0..1 + self.rng.below(2)).map(|_| self.rng.below(self.mix.keys + 2) as Key).collect();
        let rows: Vec<Row> = keys.into_iter().map(|key| Row { key, origin: Origin::Foreign(self.id()) }).collect();
        let mut expected = self.table.expected();
        for row in &rows {
            expected.entry(row.key).or_default().rows.push(row.origin);
        }
        let name = self.put_foreign(Content::Rows(rows));
        self.commit_foreign(&BTreeSet::new(), Some(name), expected);
    }

    fn foreign_delete(&mut self) {
        let mut deleted = self.main_rows();
        deleted.retain(|_| self.rng.chance(30));
        if deleted.is_empty() {
            return;
        }
        let mut expected = self.table.expected();
        let mut positions = std::collections::BTreeMap::<_, roaring::RoaringTreemap>::new();
        for live in deleted {
            positions.entry(live.file).or_default().insert(live.place);
            if let Some(expectation) = expected.get_mut(&live.row.key) {
                expectation.rows.retain(|origin| *origin != live.row.origin);
            }
        }
        expected.retain(|_, expectation| !expectation.rows.is_empty());
        let name = self.put_foreign(Content::Positions(positions));
        self.commit_foreign(&BTreeSet::new(), Some(name), expected);
    }

    fn foreign_erase(&mut self) {
        if self.table.main.is_none() {
            return;
        }
        let keys: BTreeSet<Key> = (0..1 + self.rng.below(2)).map(|_| self.rng.below(self.mix.keys) as Key).collect();
        let mut expected = self.table.expected();
        expected.retain(|key, _| !keys.contains(key));
        let name = self.put_foreign(Content::Keys(keys));
        self.commit_foreign(&BTreeSet::new(), Some(name), expected);
    }

    /// Which of two rows of a key is younger, it does not care about.
    fn foreign_rewrite(&mut self) {
        let files = self.main_files();
        let mut gone: BTreeSet<String> = data_files(&self.objects, &files).into_iter().map(|(name, _)| name).collect();
        gone.retain(|_| self.rng.chance(60));
        let rows: Vec<Row> =
            self.main_rows().into_iter().filter(|live| gone.contains(&live.file)).map(|live| live.row).collect();
        if rows.is_empty() {
            return;
        }
        if self.rng.chance(50) {
            let about = gone.iter().flat_map(|name| own_deletes(&self.objects, &files, name)).collect::<Vec<_>>();
            gone.extend(about);
        }
        let mut expected = self.table.expected();
        expected.values_mut().for_each(|expectation| expectation.any |= expectation.rows.len() > 1);
        let name = self.put_foreign(Content::Rows(rows));
        self.say(|| format!("  in place of {gone:?}"));
        self.commit_foreign(&gone, Some(name), expected);
    }

    /// An ancestor of main that is retained, and at which the feeder's ledger is known.
    fn some_ancestor(&mut self) -> Option<i64> {
        let mut found = Vec::new();
        let retained = |id: &i64| self.table.snapshots.get(id).is_some_and(|snapshot| snapshot.retained);
        let parent = |id: i64| self.table.snapshots.get(&id).and_then(|snapshot| snapshot.parent).filter(retained);
        let mut next = self.table.main.and_then(parent);
        while let Some(id) = next {
            found.extend(Some(id).filter(|id| self.table.ledger_at(&self.feeder, *id).is_some()));
            next = parent(id);
        }
        (!found.is_empty()).then(|| found[self.rng.below(found.len())])
    }

    fn foreign_rollback(&mut self) {
        let Some(target) = self.some_ancestor() else { return };
        self.table.main = Some(target);
        self.table.version += 1;
        let property = self.table.properties.get(&self.feeder).cloned();
        let history = self.table.history(&self.feeder, property.as_deref(), Some(target));
        self.table.rolled_back |= history != History::Agrees;
        self.dirty = true;
        self.say(|| format!("  somebody sets main back to {target}"));
    }

    fn replay_to_some_snapshot(&mut self) {
        if self.table.rolled_back {
            return self.answer_rollback();
        }
        if let Some(target) = self.some_ancestor() {
            self.reset(target);
        }
    }

    /// A person follows the hint of a suspended table.
    pub fn answer_rollback(&mut self) {
        if let Some(main) = self.table.main {
            self.reset(main);
        }
    }

    /// The content of that snapshot, as a new one, with the ledger that it had.
    fn reset(&mut self, target: i64) {
        let (Some(current), Some(old)) = (self.table.ledger(&self.feeder), self.table.ledger_at(&self.feeder, target))
        else {
            return;
        };
        let id = self.id() as i64;
        let operator = WriterId(Uuid::from_u128(0x09e8_0000 + u128::from(self.id())));
        let Ok(ledger) = replay(&current, &old, &[], Epoch(0), operator, Rules::law()) else { return };
        self.say(|| format!("  operator takes the table back to {target}: {ledger:?}"));
        let list = format!("list-{id}");
        self.lists.insert(list.clone());
        let files = self.table.files(Some(target)).into_iter().map(|(name, age)| (name, Some(age))).collect();
        let expected = self.table.snapshots[&target].expected.clone();
        let moved = Some((self.feeder.clone(), ledger.to_text().unwrap()));
        self.table.push((id, list), files, moved, expected);
        self.table.rolled_back = false;
        self.dirty = true;
    }

    pub fn land_expiry(&mut self, planned: i64, location: &str) {
        let same = match self.table.guard {
            Guard::Snapshot => self.table.main == Some(planned),
            Guard::Location => self.table.location() == location,
        };
        // Somebody who rolls back and expires what is newer leaves no trace: the world does not go that far.
        if same && !self.table.rolled_back {
            self.table.expire_all_but_main();
            self.dirty = true;
            self.say(|| format!("expiry keeps {planned} alone"));
        }
    }
}
