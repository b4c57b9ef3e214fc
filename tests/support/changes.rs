//! A producer of changes by key, and the plain map that they make.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

/// Keys that changes are of: few, so that they come again.
const KEYS: u64 = 40;

/// Inserts, updates and deletes by lot, the same for a seed. The day of a row follows from its value, so that rows move
/// between partitions.
#[derive(Debug)]
pub struct Changes {
    seed: u64,
    kind: Kind,
    /// That of the last row that was put; each is one more than the one before.
    pub last_value: i64,
    next_id: i64,
    deleted: Vec<i64>,
    /// Whether rows have a note, which is not always sent again.
    leaves_out: bool,
    /// Whether changes come late, each with a lower value than its row has; deletes have values then.
    comes_late: bool,
    /// How many did.
    pub late: u64,
    /// What is there, by its id.
    pub expected: BTreeMap<i64, i64>,
    /// The notes of what is there, as far as they were ever sent.
    pub notes: BTreeMap<i64, String>,
}

/// As Debezium sends a value that did not change, where its source keeps it by itself.
pub const NOT_SENT: &str = "__debezium_unavailable_value";

/// What changes are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of few keys, which come again and again; one in ten deletes.
    Few,
    /// Six in ten insert, now and then a key that was deleted; three update, now and then so that the key is another one;
    /// one deletes. All keys alike, or the oldest much more often than others.
    Mixed { skewed: bool },
}

impl Changes {
    pub fn by_lot(seed: u64) -> Self {
        Changes::of(Kind::Few, seed)
    }

    pub fn of(kind: Kind, seed: u64) -> Self {
        Changes {
            seed,
            kind,
            last_value: 0,
            next_id: 0,
            deleted: Vec::new(),
            leaves_out: false,
            comes_late: false,
            late: 0,
            expected: BTreeMap::new(),
            notes: BTreeMap::new(),
        }
    }

    /// Rows have notes from now on; one in three puts leaves its own as it was.
    pub fn leaving_out(mut self) -> Self {
        self.leaves_out = true;
        self
    }

    /// Now and then a change comes late from now on.
    pub fn with_late_ones(mut self) -> Self {
        self.comes_late = true;
        self
    }

    fn lot(&mut self, of: u64) -> i64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.seed >> 33) % of) as i64
    }

    /// Lines of `--envelope`.
    pub fn lines(&mut self, key: fn(i64) -> Value, count: usize) -> String {
        let mut lines = String::new();
        for _ in 0..count {
            for (id, puts) in self.next() {
                let value = if puts { self.put(id) } else { self.delete(id) };
                writeln!(lines, "{}", json!({"key": key(id), "value": value})).unwrap();
                if let Some(value) = self.late_one(id) {
                    writeln!(lines, "{}", json!({"key": key(id), "value": value})).unwrap();
                }
            }
        }
        lines
    }

    /// The ids of the next change, and whether they are put.
    fn next(&mut self) -> Vec<(i64, bool)> {
        let Kind::Mixed { skewed } = self.kind else { return vec![(self.lot(KEYS), self.lot(10) > 0)] };
        let what = self.lot(10);
        if what < 6 || self.expected.is_empty() {
            let again = self.lot(4) == 0 && !self.deleted.is_empty();
            let place = if again { self.lot(self.deleted.len() as u64) as usize } else { 0 };
            return vec![(if again { self.deleted.swap_remove(place) } else { self.fresh() }, true)];
        }
        let id = self.one_of_all(skewed);
        match what {
            9 => vec![(id, false)],
            8 if self.lot(4) == 0 => vec![(id, false), (self.fresh(), true)],
            _ => vec![(id, true)],
        }
    }

    fn fresh(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    fn one_of_all(&mut self, skewed: bool) -> i64 {
        let count = self.expected.len() as u64;
        let mut place = self.lot(count) as u64;
        for _ in 0..if skewed { 3 } else { 0 } {
            place = place * self.lot(count) as u64 / count;
        }
        *self.expected.keys().nth(place as usize).unwrap()
    }

    /// Somebody else took the row.
    pub fn forget(&mut self, id: i64) {
        self.delete(id);
    }

    fn put(&mut self, id: i64) -> Value {
        self.last_value += 1;
        self.expected.insert(id, self.last_value);
        let mut row = json!({"id": id, "half": id / 2, "v": self.last_value, "day": self.last_value % 3});
        if self.leaves_out {
            row["note"] = json!(self.note(id));
        }
        row
    }

    fn delete(&mut self, id: i64) -> Value {
        if self.expected.remove(&id).is_some() {
            self.deleted.push(id);
        }
        self.notes.remove(&id);
        if !self.comes_late {
            return Value::Null;
        }
        self.last_value += 1;
        json!({"id": id, "v": self.last_value, "__deleted": true})
    }

    /// A change of a row that is there, from before it.
    fn late_one(&mut self, id: i64) -> Option<Value> {
        let now = *self.expected.get(&id).filter(|_| self.comes_late)?;
        let before = now - 1 - self.lot(5);
        self.late += 1;
        Some(match self.lot(4) {
            0 => json!({"id": id, "v": before, "__deleted": true}),
            1 => json!({"id": id, "v": null, "note": "late"}),
            _ => json!({"id": id, "half": id / 2, "v": before, "day": 7, "note": "late"}),
        })
    }

    fn note(&mut self, id: i64) -> String {
        if self.lot(3) == 0 {
            return NOT_SENT.to_owned();
        }
        let note = format!("note {}", self.last_value);
        self.notes.insert(id, note.clone());
        note
    }
}
