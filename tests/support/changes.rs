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
    /// What is there, by its id.
    pub expected: BTreeMap<i64, i64>,
}

impl Changes {
    pub fn by_lot(seed: u64) -> Self {
        Changes { seed, next_value: 0, expected: BTreeMap::new() }
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
                Value::Null
            } else {
                self.next_value += 1;
                self.expected.insert(id, self.next_value);
                json!({"id": id, "half": id / 2, "v": self.next_value, "day": self.next_value % 3})
            };
            writeln!(lines, "{}", json!({"key": key(id), "value": value})).unwrap();
        }
        lines
    }
}
