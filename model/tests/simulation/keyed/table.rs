//! A table with one row a key in a catalog: files that have an age, deletes by position and by value, what readers see.
//!
//! Owns [`Table`], [`Objects`] (the store) and the two ways in which the format deletes rows: by position in files that
//! are at most as young as the delete, by value in files that are older.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringTreemap;
use tableflow_model::JobName;
use tableflow_model::protocol::{Assertion, Guard, History, Ledger, SnapshotFacts, TableFacts};
use uuid::Uuid;

pub type Key = u8;

/// Which change a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Log { partition: i32, offset: i64 },
    Foreign(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub key: Key,
    pub origin: Origin,
}

#[derive(Clone, Debug)]
pub enum Content {
    Rows(Vec<Row>),
    /// Deletes, by data file.
    Positions(BTreeMap<String, RoaringTreemap>),
    /// Deletes by value.
    Keys(BTreeSet<Key>),
}

#[derive(Clone, Debug)]
pub struct Object {
    pub content: Content,
    pub modified: i64,
}

pub type Objects = BTreeMap<String, Object>;

/// Names with data sequence numbers.
pub type Files = BTreeMap<String, i64>;

/// Where a live row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    pub file: String,
    pub sequence: i64,
    pub place: u64,
    pub row: Row,
}

/// What should be live: of each key its rows, the youngest last.
pub type Expected = BTreeMap<Key, Expectation>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    pub rows: Vec<Origin>,
    /// Which of them is the youngest cannot be told any more: a rewrite took some of them and left others.
    pub any: bool,
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub parent: Option<i64>,
    pub sequence: i64,
    pub files: Files,
    /// Its manifest list.
    pub list: String,
    /// In the summary: whose ledger it moved.
    pub ledger: Option<(JobName, String)>,
    pub retained: bool,
    pub expected: Expected,
}

#[derive(Clone, Debug)]
pub struct Table {
    pub uuid: Uuid,
    pub guard: Guard,
    pub version: u64,
    pub last_sequence_number: i64,
    pub main: Option<i64>,
    pub snapshots: BTreeMap<i64, Snapshot>,
    pub properties: BTreeMap<JobName, String>,
    /// Somebody else moved main and nobody has answered to it yet.
    pub rolled_back: bool,
}

impl Table {
    pub fn new(guard: Guard) -> Self {
        Table {
            uuid: Uuid::from_u128(0xab1e_0000),
            guard,
            version: 0,
            last_sequence_number: 0,
            main: None,
            snapshots: BTreeMap::new(),
            properties: BTreeMap::new(),
            rolled_back: false,
        }
    }

    pub fn location(&self) -> String {
        format!("{}/{}", self.uuid, self.version)
    }

    pub fn snapshot(&self, id: Option<i64>) -> Option<&Snapshot> {
        self.snapshots.get(&id?)
    }

    pub fn files(&self, id: Option<i64>) -> Files {
        self.snapshot(id).map(|snapshot| snapshot.files.clone()).unwrap_or_default()
    }

    pub fn expected(&self) -> Expected {
        self.snapshot(self.main).map(|snapshot| snapshot.expected.clone()).unwrap_or_default()
    }

    pub fn retained(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.values().filter(|snapshot| snapshot.retained)
    }

    pub fn ledger(&self, job: &JobName) -> Option<Ledger> {
        self.properties.get(job).map(|text| Ledger::from_text(text).unwrap())
    }

    pub fn history(&self, job: &JobName, property: Option<&str>, from: Option<i64>) -> History {
        History::trace(property, from, |id| {
            let snapshot = self.snapshots.get(&id).filter(|snapshot| snapshot.retained)?;
            let own = snapshot.ledger.as_ref().filter(|(of, _)| of == job);
            Some(SnapshotFacts { parent: snapshot.parent, ledger: own.map(|(_, text)| text.as_str()) })
        })
    }

    /// The ledger of the nearest own snapshot at or before this one, where it is still known.
    pub fn ledger_at(&self, job: &JobName, id: i64) -> Option<Ledger> {
        match self.history(job, None, Some(id)) {
            History::Differs(text) => Some(Ledger::from_text(&text).unwrap()),
            _ => None,
        }
    }

    pub fn facts(&self, job: &JobName) -> TableFacts {
        let ledger = self.properties.get(job).cloned();
        TableFacts {
            uuid: self.uuid,
            guard: self.guard,
            snapshot_id: self.main,
            last_sequence_number: self.last_sequence_number,
            metadata_location: self.location(),
            history: self.history(job, ledger.as_deref(), self.main),
            ledger,
        }
    }

    pub fn admits(&self, asserted: &Assertion, id: i64) -> bool {
        match self.guard {
            Guard::Location => asserted.metadata_location == self.location(),
            Guard::Snapshot => {
                let fresh = asserted.snapshot_id.is_none() || asserted.sequence_number > self.last_sequence_number;
                asserted.uuid == self.uuid
                    && asserted.snapshot_id == self.main
                    && fresh
                    && !self.snapshots.contains_key(&id)
            }
        }
    }

    /// A new snapshot on main; a file without a number is as old as the snapshot.
    pub fn push(
        &mut self,
        (id, list): (i64, String),
        files: BTreeMap<String, Option<i64>>,
        ledger: Option<(JobName, String)>,
        expected: Expected,
    ) {
        self.version += 1;
        self.last_sequence_number += 1;
        let sequence = self.last_sequence_number;
        if let Some((job, text)) = ledger.clone() {
            self.properties.insert(job, text);
        }
        let files = files.into_iter().map(|(name, number)| (name, number.unwrap_or(sequence))).collect();
        let parent = self.main;
        let snapshot = Snapshot { parent, sequence, files, list, ledger, retained: true, expected };
        self.snapshots.insert(id, snapshot);
        self.main = Some(id);
    }

    pub fn expire_all_but_main(&mut self) {
        self.version += 1;
        for (id, snapshot) in &mut self.snapshots {
            snapshot.retained &= Some(*id) == self.main;
        }
    }
}

/// The rows of a data file that these files delete.
pub fn deleted_rows(objects: &Objects, files: &Files, data: &str) -> RoaringTreemap {
    let mut deleted = RoaringTreemap::new();
    let (Some(age), Some(Content::Rows(rows))) = (files.get(data), content(objects, data)) else { return deleted };
    for (name, sequence) in files {
        match content(objects, name) {
            Some(Content::Positions(by_file)) if sequence >= age => {
                by_file.get(data).into_iter().for_each(|more| deleted |= more);
            }
            Some(Content::Keys(keys)) if sequence > age => {
                let of_keys = (0_u64..).zip(rows).filter(|(_, row)| keys.contains(&row.key));
                deleted.extend(of_keys.map(|(place, _)| place));
            }
            _ => {}
        }
    }
    deleted
}

pub fn content<'a>(objects: &'a Objects, name: &str) -> Option<&'a Content> {
    objects.get(name).map(|object| &object.content)
}

/// Those of the files that have rows, the oldest first.
pub fn data_files(objects: &Objects, files: &Files) -> Vec<(String, i64)> {
    let is_data = |name: &str| matches!(content(objects, name), Some(Content::Rows(_)));
    let mut data: Vec<(String, i64)> =
        files.iter().filter(|(name, _)| is_data(name)).map(|(name, age)| (name.clone(), *age)).collect();
    data.sort_by_key(|(_, sequence)| *sequence);
    data
}

/// What a reader of these files sees, the oldest rows first.
pub fn live_rows(objects: &Objects, files: &Files) -> Vec<Live> {
    let mut live = Vec::new();
    for (file, sequence) in data_files(objects, files) {
        let deleted = deleted_rows(objects, files, &file);
        let Some(Content::Rows(rows)) = content(objects, &file) else { continue };
        for (place, row) in (0_u64..).zip(rows).filter(|(place, _)| !deleted.contains(*place)) {
            live.push(Live { file: file.clone(), sequence, place, row: *row });
        }
    }
    live
}

/// Delete files about one data file alone.
pub fn own_deletes(objects: &Objects, files: &Files, data: &str) -> Vec<String> {
    let is_own = |name: &str| match content(objects, name) {
        Some(Content::Positions(by_file)) => by_file.len() == 1 && by_file.contains_key(data),
        _ => false,
    };
    files.keys().filter(|name| is_own(name)).cloned().collect()
}

/// Does a delete file say something of a data file that is live?
pub fn applies(objects: &Objects, files: &Files, delete: &str) -> bool {
    let Some(sequence) = files.get(delete) else { return false };
    match content(objects, delete) {
        Some(Content::Positions(by_file)) => by_file.keys().any(|data| files.contains_key(data)),
        Some(Content::Keys(_)) => data_files(objects, files).iter().any(|(_, age)| age < sequence),
        _ => true,
    }
}
