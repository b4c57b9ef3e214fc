//! A table in a catalog: what it compares, what it refuses, what a commit makes of it.
//!
//! Two flavours. `Guard::Snapshot` (Iceberg REST) compares uuid and main's snapshot id, refuses a snapshot id twice
//! and, unless the snapshot has no parent, a sequence number that is not above the last. `Guard::Location` (Glue, SQL)
//! compares the metadata location and replaces it in one act.

use std::collections::{BTreeMap, BTreeSet};

use tableflow_model::protocol::{Assertion, Epoch, Guard, History, Ledger, Rule, Rules, SnapshotFacts, TableFacts};
use uuid::Uuid;

/// A data file as a snapshot names it; the tag stands for the content that its committer staged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileRef {
    pub folder: usize,
    pub name: String,
    pub tag: u64,
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub parent: Option<i64>,
    pub files: Vec<FileRef>,
    pub ledger: Option<String>,
    pub retained: bool,
    /// What the table's `forgiven` was when this became main.
    pub forgiven: BTreeSet<super::world::Row>,
}

#[derive(Clone, Debug)]
pub struct Table {
    pub folder: usize,
    pub uuid: Uuid,
    pub guard: Guard,
    pub version: u64,
    pub last_sequence_number: i64,
    pub main: Option<i64>,
    pub snapshots: BTreeMap<i64, Snapshot>,
    pub property: Option<String>,
    /// Somebody else moved main and nobody has answered to it yet.
    pub rolled_back: bool,
    /// Rows that a person or somebody else took out.
    pub forgiven: BTreeSet<super::world::Row>,
}

/// A commit on its way.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: i64,
    pub sink: usize,
    pub assertion: Assertion,
    pub files: Vec<FileRef>,
    pub ledger: Ledger,
    pub text: String,
    /// The catalog has compared and will replace whatever stands there (only where that is not one act).
    pub compared: bool,
}

impl Table {
    pub fn new(folder: usize, guard: Guard) -> Self {
        Table {
            folder,
            uuid: Uuid::from_u128(0xab1e_0000 + folder as u128),
            guard,
            version: 0,
            last_sequence_number: 0,
            main: None,
            snapshots: BTreeMap::new(),
            property: None,
            rolled_back: false,
            forgiven: BTreeSet::new(),
        }
    }

    pub fn location(&self) -> String {
        format!("{}/{}", self.uuid, self.version)
    }

    pub fn files(&self) -> &[FileRef] {
        self.main.and_then(|id| self.snapshots.get(&id)).map_or(&[], |snapshot| &snapshot.files)
    }

    /// Everything that a retained snapshot names.
    pub fn reachable(&self) -> BTreeSet<&FileRef> {
        self.snapshots.values().filter(|snapshot| snapshot.retained).flat_map(|snapshot| &snapshot.files).collect()
    }

    /// Those of the ledgers that a rollback may take the table back to.
    pub fn retained_epochs(&self) -> Vec<Epoch> {
        let retained = |id: i64| self.snapshots.get(&id).filter(|snapshot| snapshot.retained);
        let main = self.main.and_then(retained);
        let branch = std::iter::successors(main, |snapshot| snapshot.parent.and_then(retained));
        branch.filter_map(|snapshot| Some(Ledger::from_text(snapshot.ledger.as_deref()?).unwrap().epoch)).collect()
    }

    pub fn ledger(&self) -> Option<Ledger> {
        self.property.as_deref().map(|text| Ledger::from_text(text).unwrap())
    }

    pub fn history(&self, property: Option<&str>) -> History {
        self.history_from(property, self.main)
    }

    pub fn history_from(&self, property: Option<&str>, from: Option<i64>) -> History {
        History::trace(property, from, |id| {
            let snapshot = self.snapshots.get(&id).filter(|snapshot| snapshot.retained)?;
            Some(SnapshotFacts { parent: snapshot.parent, ledger: snapshot.ledger.as_deref() })
        })
    }

    /// The ledger of the nearest own snapshot at or before this one, where it is still known.
    pub fn ledger_at(&self, id: i64) -> Option<String> {
        match self.history_from(None, Some(id)) {
            History::Differs(text) => Some(text),
            _ => None,
        }
    }

    pub fn facts(&self, rules: Rules) -> TableFacts {
        let ledger = if rules.hold(Rule::LedgerIsProperty) {
            self.property.clone()
        } else {
            self.main.and_then(|id| self.ledger_at(id))
        };
        TableFacts {
            uuid: self.uuid,
            guard: self.guard,
            snapshot_id: self.main,
            last_sequence_number: self.last_sequence_number,
            metadata_location: self.location(),
            history: self.history(ledger.as_deref()),
            ledger,
        }
    }

    pub fn admits(&self, request: &Request, rules: Rules) -> bool {
        let asserted = &request.assertion;
        let known = self.snapshots.contains_key(&request.id);
        match self.guard {
            Guard::Location => {
                let same = asserted.metadata_location == self.location() || !rules.hold(Rule::AssertLocation);
                request.compared || same
            }
            Guard::Snapshot => {
                let uuid = asserted.uuid == self.uuid || !rules.hold(Rule::AssertUuid);
                let snapshot = asserted.snapshot_id == self.main || !rules.hold(Rule::AssertSnapshot);
                let fresh = asserted.snapshot_id.is_none()
                    || asserted.sequence_number > self.last_sequence_number
                    || !rules.hold(Rule::AssertSequence);
                uuid && snapshot && fresh && !known
            }
        }
    }

    /// The commit replaces main by its base's files plus its own.
    pub fn apply(&mut self, request: &Request, rules: Rules) {
        self.version += 1;
        self.property = Some(request.text.clone());
        if request.files.is_empty() && !rules.hold(Rule::LedgerMovesWithSnapshot) {
            return;
        }
        let parent = request.assertion.snapshot_id;
        let mut files = parent.and_then(|id| self.snapshots.get(&id)).map_or_else(Vec::new, |base| base.files.clone());
        files.extend(request.files.iter().cloned());
        let ledger = Some(request.text.clone());
        self.last_sequence_number = self.last_sequence_number.max(request.assertion.sequence_number);
        self.add(request.id, parent, files, ledger);
    }

    fn add(&mut self, id: i64, parent: Option<i64>, files: Vec<FileRef>, ledger: Option<String>) {
        let base = parent.and_then(|id| self.snapshots.get(&id)).filter(|_| ledger.is_none());
        let forgiven = base.map_or_else(|| self.forgiven.clone(), |base| base.forgiven.clone());
        self.snapshots.insert(id, Snapshot { parent, files, ledger, retained: true, forgiven });
        self.main = Some(id);
    }

    /// What is forgiven belongs to main as it stands.
    pub fn remember_forgiven(&mut self) {
        let forgiven = self.forgiven.clone();
        if let Some(snapshot) = self.main.and_then(|id| self.snapshots.get_mut(&id)) {
            snapshot.forgiven = forgiven;
        }
    }

    /// A snapshot of somebody else, or of an operator: on main, sequence number next.
    pub fn push(&mut self, id: i64, files: Vec<FileRef>, ledger: Option<String>) {
        self.version += 1;
        self.last_sequence_number += 1;
        if ledger.is_some() {
            self.property.clone_from(&ledger);
        }
        self.add(id, self.main, files, ledger);
    }

    /// Expiry drops every snapshot but one; a main that went with them is gone.
    pub fn expire_all_but(&mut self, kept: i64) {
        self.version += 1;
        for (id, snapshot) in &mut self.snapshots {
            snapshot.retained &= *id == kept;
        }
        if self.main != Some(kept) {
            self.main = None;
        }
    }
}
