//! The table that is followed, and what the catalog admits.
//!
//! A catalog that compares snapshots does not see that a property changed meanwhile; one that compares metadata does.

use std::collections::{BTreeMap, BTreeSet};

use tableflow_model::protocol::Guard;
use tableflow_model::protocol::feed::{Fed, Link, Registration};

pub type Key = u8;
/// One row a key; no value comes twice.
pub type Rows = BTreeMap<Key, u64>;

/// The versions of an epoch, in order; nothing where the key goes.
pub type Versions = Vec<(Key, Option<u64>)>;

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub link: Link,
    pub rows: Rows,
    /// The change file that it names.
    pub changes: Option<u64>,
}

/// One version of the metadata.
#[derive(Clone, Debug)]
pub struct Metadata {
    pub version: u64,
    pub main: Option<i64>,
    pub last_sequence: i64,
    pub snapshots: BTreeMap<i64, Snapshot>,
    pub floor: i64,
    pub registered: BTreeMap<usize, Registration>,
    /// The epoch of the job that fills it.
    pub epoch: u64,
}

impl Metadata {
    pub fn empty() -> Metadata {
        let (snapshots, registered) = Default::default();
        Metadata { version: 0, main: None, last_sequence: 0, snapshots, floor: 0, registered, epoch: 0 }
    }

    pub fn rows(&self) -> Rows {
        self.main.map(|id| self.snapshots[&id].rows.clone()).unwrap_or_default()
    }

    pub fn with_feed<T>(&self, look: impl FnOnce(Fed<'_>) -> T) -> T {
        let link = |id: i64| self.snapshots.get(&id).map(|snapshot| snapshot.link);
        look(Fed { main: self.main, link: &link, floor: self.floor })
    }

    /// Main's ancestors, the newest first.
    pub fn branch(&self) -> impl Iterator<Item = i64> + '_ {
        let parent =
            |id: &i64| self.snapshots.get(id)?.link.parent.filter(|parent| self.snapshots.contains_key(parent));
        std::iter::successors(self.main, parent)
    }

    pub fn registrations(&self) -> Vec<Registration> {
        self.registered.values().copied().collect()
    }
}

/// What a commit asserts.
#[derive(Clone, Copy, Debug)]
pub struct Assertion {
    pub main: Option<i64>,
    pub version: u64,
    pub last_sequence: i64,
}

#[derive(Clone, Debug)]
pub enum Change {
    Snapshot(Box<NewSnapshot>),
    /// A consumer's property. With `all`, the property that everybody shares, as its writer saw it.
    Register {
        consumer: usize,
        registration: Registration,
        all: Option<BTreeMap<usize, Registration>>,
    },
    Floor(i64),
    Forget(BTreeSet<i64>),
}

#[derive(Clone, Debug)]
pub struct NewSnapshot {
    pub rows: Rows,
    pub changes: Option<u64>,
    pub has_same_rows: bool,
    pub epoch: Option<u64>,
    pub floor: Option<i64>,
    pub forget: BTreeSet<i64>,
}

impl NewSnapshot {
    pub fn of(rows: Rows) -> NewSnapshot {
        let (changes, epoch, floor, forget) = Default::default();
        NewSnapshot { rows, changes, has_same_rows: false, epoch, floor, forget }
    }
}

/// The newest metadata, and every snapshot that ever was.
#[derive(Clone, Debug)]
pub struct Table {
    pub guard: Guard,
    pub now: Metadata,
    pub ever: BTreeMap<i64, Snapshot>,
}

impl Table {
    pub fn assertion(of: &Metadata) -> Assertion {
        Assertion { main: of.main, version: of.version, last_sequence: of.last_sequence }
    }

    pub fn publish(&mut self, assertion: Assertion, change: &Change) -> bool {
        let now = &mut self.now;
        let moved = self.guard == Guard::Location && assertion.version != now.version;
        let stale = matches!(change, Change::Snapshot(_)) && assertion.last_sequence != now.last_sequence;
        if assertion.main != now.main || moved || stale {
            return false;
        }
        now.version += 1;
        match change {
            Change::Snapshot(new) => {
                now.last_sequence += 1;
                let id = now.last_sequence;
                let link = Link {
                    parent: now.main,
                    sequence: id,
                    has_same_rows: new.has_same_rows,
                    has_changes: new.changes.is_some(),
                };
                let snapshot = Snapshot { link, rows: new.rows.clone(), changes: new.changes };
                self.ever.insert(id, snapshot.clone());
                now.snapshots.insert(id, snapshot);
                now.main = Some(id);
                now.epoch = new.epoch.unwrap_or(now.epoch);
                now.floor = new.floor.unwrap_or(now.floor);
                now.snapshots.retain(|id, _| !new.forget.contains(id));
            }
            Change::Register { consumer, registration, all } => {
                if let Some(all) = all {
                    now.registered = all.clone();
                }
                now.registered.insert(*consumer, *registration);
            }
            Change::Floor(floor) => now.floor = now.floor.max(*floor),
            Change::Forget(ids) => now.snapshots.retain(|id, _| !ids.contains(id)),
        }
        true
    }
}
