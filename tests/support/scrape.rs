//! One scrape of `/metrics`, as Prometheus' own client reads it, and whether its books balance.
//!
//! Owns [`Scrape`] and [`Books`].
//! - I1: what is added up is of one answer: of two, each would be of its own moment.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::python::Engines;

/// A sample: its name, and its labels by name.
type Sample = (String, BTreeMap<String, String>);

const COUNTERS: [&str; 4] = [
    "tableflow_records_consumed_total",
    "tableflow_records_committed_total",
    "tableflow_records_skipped_total",
    "tableflow_deadletter_records_total",
];
const BUFFERED: &str = "tableflow_records_buffered";

#[derive(Debug)]
pub struct Scrape {
    pub kinds: BTreeMap<String, String>,
    pub samples: BTreeMap<Sample, f64>,
}

impl Scrape {
    pub fn of(text: &str, engines: &Engines) -> Self {
        let parsed = engines.ask("metrics", json!({"text": text}));
        let mut scrape = Scrape { kinds: BTreeMap::new(), samples: BTreeMap::new() };
        for (name, family) in parsed.as_object().unwrap() {
            scrape.kinds.insert(name.clone(), family["type"].as_str().unwrap().to_owned());
            for sample in family["samples"].as_array().unwrap() {
                let labels = serde_json::from_value(sample[1].clone()).unwrap();
                let name = sample[0].as_str().unwrap().to_owned();
                scrape.samples.insert((name, labels), sample[2].as_f64().unwrap());
            }
        }
        let is = |name: &str, kind: &str| scrape.kinds.get(name).is_none_or(|it| it == kind);
        assert!(COUNTERS.iter().all(|name| is(name, "counter")) && is(BUFFERED, "gauge"), "{:?}", scrape.kinds);
        scrape
    }

    /// The sum over all lines of a table.
    pub fn of_table(&self, table: &str, name: &str) -> u64 {
        let lines = self
            .samples
            .iter()
            .filter(|((of, labels), _)| of == name && labels.get("table").map(String::as_str) == Some(table));
        lines.map(|(_, value)| *value as u64).sum()
    }

    /// Read, committed, skipped, dead-lettered, buffered.
    pub fn books(&self, table: &str) -> [u64; 5] {
        let [read, committed, skipped, dead_lettered] = COUNTERS;
        [read, committed, skipped, dead_lettered, BUFFERED].map(|name| self.of_table(table, name))
    }

    /// Every record that was read is somewhere, once.
    #[track_caller]
    pub fn check_i8(&self, tables: &[&str]) {
        for table in tables {
            let [read, committed, skipped, dead_lettered, buffered] = self.books(table);
            assert_eq!(read, committed + skipped + dead_lettered + buffered, "{table}: {:?}", self.books(table));
        }
    }
}

/// The books of some tables of one process, scrape by scrape.
#[derive(Debug)]
pub struct Books<'t> {
    tables: &'t [&'t str],
    last: Vec<[u64; 5]>,
    pub scrapes: u64,
    /// Those of the tables that held records which were neither rows nor put aside yet.
    pub seen_buffered: BTreeSet<&'t str>,
}

impl<'t> Books<'t> {
    pub fn of(tables: &'t [&'t str]) -> Self {
        Books { tables, last: vec![[0; 5]; tables.len()], scrapes: 0, seen_buffered: BTreeSet::new() }
    }

    /// Each table has rows that this process committed.
    pub fn all_moved(&self) -> bool {
        self.last.iter().all(|[_, committed, ..]| *committed > 0)
    }

    /// They balance, and nothing that was counted is taken back.
    #[track_caller]
    pub fn check(&mut self, scrape: &Scrape) {
        scrape.check_i8(self.tables);
        for (table, last) in self.tables.iter().zip(&mut self.last) {
            let books = scrape.books(table);
            assert!(last.iter().zip(&books).take(4).all(|(before, now)| before <= now), "{last:?} {books:?}");
            if books[4] > 0 {
                self.seen_buffered.insert(table);
            }
            *last = books;
        }
        self.scrapes += 1;
    }
}
