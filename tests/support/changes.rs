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
    next_value: i64,
    /// Whether rows have a note, which is not always sent again.
    leaves_out: bool,
    /// What is there, by its id.
    pub expected: BTreeMap<i64, i64>,
    /// The notes of what is there, as far as they were ever sent.
    pub notes: BTreeMap<i64, String>,
}

/// As Debezium sends a value that did not change, where its source keeps it by itself.
pub const NOT_SENT: &str = "__debezium_unavailable_value";

impl Changes {
    pub fn by_lot(seed: u64) -> Self {
        Changes { seed, next_value: 0, leaves_out: false, expected: BTreeMap::new(), notes: BTreeMap::new() }
    }

    /// Rows have notes from now on; one in three puts leaves its own as it was.
    pub fn leaving_out(mut self) -> Self {
        self.leaves_out = true;
        self
    }

    fn lot(&mut self, of: u64) -> i64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.seed >> 33) % of) as i64
    }

    /// Lines of `--envelope`; one in ten deletes.
    pub fn lines(&mut self, key: fn(i64) -> Value, count: usize) -> String {
        let mut lines = String::new();
        for _ in 0..count {
            let id = self.lot(KEYS);
            let value = if self.lot(10) == 0 {
                self.expected.remove(&id);
                self.notes.remove(&id);
                Value::Null
            } else {
                self.next_value += 1;
                self.expected.insert(id, self.next_value);
                let mut row = json!({"id": id, "half": id / 2, "v": self.next_value, "day": self.next_value % 3});
                if self.leaves_out {
                    row["note"] = json!(self.note(id));
                }
                row
            };
            writeln!(lines, "{}", json!({"key": key(id), "value": value})).unwrap();
        }
        lines
    }

    fn note(&mut self, id: i64) -> String {
        if self.lot(3) == 0 {
            return NOT_SENT.to_owned();
        }
        let note = format!("note {}", self.next_value);
        self.notes.insert(id, note.clone());
        note
    }
}
