//! What people and other engines do to the table. Each act is one commit on the main of now.

use super::case::Act;
use super::table::{Change, NewSnapshot, Rows, Table};
use super::world::World;

impl World {
    pub fn act(&mut self, act: Act) {
        self.say(|| format!("act: {act:?}"));
        match act {
            Act::ForeignChange => {
                let mut rows = self.table.now.rows();
                for _ in 0..1 + self.rng.below(2) {
                    let key = self.key();
                    if rows.remove(&key).is_none() || self.rng.chance(50) {
                        rows.insert(key, self.id());
                    }
                }
                self.commit_now(NewSnapshot::of(rows));
            }
            Act::Compact if self.table.now.main.is_some() => {
                let new = NewSnapshot::of(self.table.now.rows());
                self.commit_now(NewSnapshot { has_same_rows: true, ..new });
            }
            Act::Rollback => {
                if let Some((_, rows)) = self.some_snapshot() {
                    self.commit_now(NewSnapshot::of(rows));
                }
            }
            Act::ForeignRollback => {
                let ancestors: Vec<i64> = self.table.now.branch().collect();
                if let Some(id) = ancestors.get(self.rng.below(ancestors.len())) {
                    self.table.now.main = Some(*id);
                    self.table.now.version += 1;
                }
            }
            Act::ForeignExpire => {
                let main = self.table.now.main;
                self.foreign_expired |= self.table.now.snapshots.len() > 1;
                self.table.now.snapshots.retain(|id, _| Some(*id) == main);
                self.table.now.version += 1;
            }
            Act::Compact => {}
            Act::Expire => self.start_expiry(),
            Act::Vacuum => self.start_vacuum(),
        }
    }

    fn some_snapshot(&mut self) -> Option<(i64, Rows)> {
        let ids: Vec<i64> = self.table.now.snapshots.keys().copied().collect();
        let id = *ids.get(self.rng.below(ids.len()))?;
        Some((id, self.table.now.snapshots[&id].rows.clone()))
    }

    fn commit_now(&mut self, new: NewSnapshot) {
        let assertion = Table::assertion(&self.table.now);
        assert!(self.table.publish(assertion, &Change::Snapshot(Box::new(new))), "nobody comes between");
    }
}
