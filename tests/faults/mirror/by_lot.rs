//! Versions, records and kills by lot, beside a plain reckoning of what has to come of them.
//!
//! A field that versions in a row have is one column, and a version without it ends that one: what comes back under its
//! name is another column, of another type by lot. So a row's value is in the table where every version from its record's
//! to the newest one that was read has the field, and nowhere else.

use crate::random_kills::draw;

use super::*;

const FIELDS: [&str; 4] = ["a", "b", "c", "d"];
const VERSIONS: u64 = 7;
const RECORDS: u8 = 24;
const POINTS: [&str; 4] = ["metadata-before", "catalog-swap-before", "catalog-swap-after", "epoch-after"];

/// What comes next to a number whose byte ends a line.
const LINE_FEED: u8 = 10;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Number,
    Text,
}

/// The fields of a version, in the order of its schema.
type Version = Vec<(&'static str, Kind)>;

struct Lot {
    state: u64,
    table: Table,
    versions: Vec<Version>,
    /// The version of each record, and its values.
    records: Vec<(usize, BTreeMap<&'static str, Value>)>,
    /// The newest version that a record of was sent.
    newest: usize,
}

impl Lot {
    fn new(seed: u64) -> Self {
        let mut state = seed;
        let product = Product::without_topic("t");
        product.run(&["topic", "create", "t", "--partitions", "1"]).good("topic create");
        let versions = vec![vec![("a", Kind::Number)]];
        let words: &[&str] = if draw(&mut state, 2) == 0 { &[] } else { &["--error-handling", "LOG"] };
        let lot = Lot { state, table: Table { product }, versions, records: Vec::new(), newest: 0 };
        lot.register();
        lot.table.enable(words);
        lot
    }

    fn draw(&mut self, below: u64) -> u64 {
        draw(&mut self.state, below)
    }

    /// The newest version.
    fn register(&self) {
        let field = |(name, kind): &(&str, Kind)| {
            let kind = if *kind == Kind::Number { "int" } else { "string" };
            format!(r#"{{"name":"{name}","type":["null","{kind}"],"default":null}}"#)
        };
        let fields: Vec<String> = self.versions.last().unwrap().iter().map(field).collect();
        // No version is one that was there before: then it would be that one again.
        let number = format!(r#"{{"name":"id","type":"int","doc":"{}"}}"#, self.versions.len());
        let fields: Vec<&str> = std::iter::once(number.as_str()).chain(fields.iter().map(String::as_str)).collect();
        self.table.register(&fields);
    }

    /// One version more. A field keeps its type as long as it stays.
    fn evolve(&mut self) {
        let before = self.versions.last().unwrap().clone();
        let mut version = Version::new();
        for name in FIELDS {
            if self.draw(3) == 0 {
                continue;
            }
            let by_lot = if self.draw(2) == 0 { Kind::Number } else { Kind::Text };
            let kind = before.iter().find(|(had, _)| *had == name).map_or(by_lot, |(_, kind)| *kind);
            let place = self.draw(version.len() as u64 + 1) as usize;
            version.insert(place, (name, kind));
        }
        self.versions.push(version);
        self.register();
    }

    /// A record of any version that there is, of the newest one most often.
    fn record(&mut self) -> Vec<u8> {
        let last = self.versions.len() - 1;
        let version = if self.draw(2) == 0 { last } else { self.draw(self.versions.len() as u64) as usize };
        let id = self.records.len() as u8 + u8::from(self.records.len() >= 5);
        let (mut body, mut values) = (vec![whole(id)], BTreeMap::new());
        for (name, kind) in self.versions[version].clone() {
            let number = 20 + self.draw(20) as u8;
            match (self.draw(4), kind) {
                (0, _) => body.push(0),
                (_, Kind::Number) => {
                    body.extend([2, whole(number)]);
                    values.insert(name, json!(number));
                }
                (_, Kind::Text) => {
                    body.extend([2, whole(3), b't']);
                    body.extend(number.to_string().as_bytes());
                    values.insert(name, json!(format!("t{number}")));
                }
            }
        }
        self.records.push((version, values));
        self.newest = self.newest.max(version);
        assert!(!body.contains(&LINE_FEED), "{body:?}");
        framed(version as u8 + 1, &body)
    }

    /// With a kill on the way now and then.
    fn sync(&mut self, what: &str) {
        if self.draw(2) == 0 {
            let (point, nth) = (POINTS[self.draw(4) as usize], 1 + self.draw(3) as u32);
            self.table.product.run_until(&["sync"], point, nth);
        }
        self.table.sync(what);
    }

    fn expected(&self) -> Vec<Fields> {
        let newest = &self.versions[self.newest];
        let has = |version: &Version, name: &str| version.iter().any(|(had, _)| *had == name);
        let row = |(version, values): &(usize, BTreeMap<&'static str, Value>)| {
            let value = |name: &str| {
                let stayed = self.versions[*version..=self.newest].iter().all(|version| has(version, name));
                values.get(name).filter(|_| stayed).cloned().unwrap_or_default()
            };
            newest.iter().map(|(name, _)| ((*name).to_owned(), value(name))).collect()
        };
        self.records.iter().map(row).collect()
    }

    fn check(&self, what: &str) {
        let mut names: Vec<&str> = self.versions[self.newest].iter().map(|(name, _)| *name).collect();
        names.push("id");
        names.sort_unstable();
        assert_eq!(self.table.names(), names, "{what}");
        let expected = self.expected();
        for reader in READERS {
            let mut rows = self.table.product.rows_by(reader, "t", what);
            rows.sort_by_key(|row| row["id"].as_u64());
            let own = |row: &Fields| {
                let value = |name: &&str| ((*name).to_owned(), row.get(*name).cloned().unwrap_or_default());
                names.iter().filter(|name| **name != "id").map(value).collect()
            };
            let seen: Vec<Fields> = rows.iter().map(own).collect();
            assert_eq!(
                seen, expected,
                "{what}, read by {reader}; versions {:?}; records {:?}",
                self.versions, self.records
            );
        }
    }
}

#[test]
fn versions_and_records_by_lot_have_their_values_in_the_columns_that_a_plain_reckoning_says() {
    for seed in 1..=12 {
        let mut lot = Lot::new(seed);
        for number in 0..RECORDS {
            if (lot.versions.len() as u64) < VERSIONS && lot.draw(3) == 0 {
                lot.evolve();
            }
            let record = lot.record();
            lot.table.produce(&[record]);
            if lot.draw(4) == 0 {
                lot.sync(&format!("seed {seed}, record {number}"));
            }
        }
        let what = format!("seed {seed}");
        lot.sync(&what);
        lot.check(&what);
    }
}
