//! How much tables have grown since they were last looked after, within this process.
//!
//! Owns [`Growth`]. Who feeds a table says what each commit left; who looks after it is woken where that is much; and who
//! feeds it waits longer between commits while it is too much.
//! - I1: only growth counts: a table of ten thousand partitions has as many files, and nothing is wrong with it.
//! - I2: a table that nobody looks after here has never grown too much.
//! - I3: a table that was looked after in vain, or just now, is not due for a while, however much it grows.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tableflow_model::{Millis, TableName};
use tokio::sync::Notify;
use tokio::time::Instant;

/// So many files more are worth a look before its time.
pub const MUCH: u64 = 64;

/// So many are more than readers should meet: commits become fewer and larger.
pub const TOO_MUCH: u64 = 1024;

/// A table is left alone for so many times as long as it was looked after (I3), within limits: so upkeep that was woken takes a fifth of the time at most.
const PAUSES_PER_LOOK: u32 = 4;
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// The files of a table, those of deletes too.
pub type Files = u64;

/// All tables that this process feeds or looks after.
#[derive(Debug, Default)]
pub struct Growth {
    tables: Mutex<HashMap<TableName, Grown>>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct Grown {
    /// Somebody here looks after it (I2).
    is_watched: bool,
    /// None until it is seen.
    now: Option<Files>,
    /// When it was looked after, or first seen.
    then: Files,
    looked_at: Option<Millis>,
    /// I3.
    not_before: Option<Instant>,
    failure: Option<String>,
}

impl Grown {
    fn files(&self) -> u64 {
        if self.is_watched { self.now.unwrap_or(0).saturating_sub(self.then) } else { 0 }
    }
}

/// What is known of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Care {
    /// That came since.
    pub files_since: u64,
    pub looked_at: Option<Millis>,
    /// Why the last look came to nothing.
    pub failure: Option<String>,
}

impl Care {
    pub fn is_too_much(&self) -> bool {
        self.files_since >= TOO_MUCH
    }
}

impl Growth {
    fn tables(&self) -> MutexGuard<'_, HashMap<TableName, Grown>> {
        // Whoever panicked left no table half done: each is a few assignments.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are looked after here, and no others (I2).
    pub fn watch(&self, watched: &HashSet<TableName>) {
        let mut tables = self.tables();
        for (table, grown) in tables.iter_mut() {
            grown.is_watched = watched.contains(table);
        }
        for table in watched {
            if !tables.contains_key(table) {
                tables.insert(table.clone(), Grown { is_watched: true, ..Grown::default() });
            }
        }
    }

    /// A commit, or a look, left it so.
    pub fn saw(&self, table: &TableName, files: Files) {
        let mut tables = self.tables();
        let grown = tables.entry(table.clone()).or_default();
        // Whoever made them fewer has looked after it, from wherever.
        grown.then = if grown.now.is_some() { grown.then.min(files) } else { files };
        grown.now = Some(files);
        if grown.files() >= MUCH {
            self.woken.notify_one();
        }
    }

    /// Upkeep took so long, and left it so.
    pub fn looked_after(&self, table: &TableName, files: Files, at: Millis, took: Duration) {
        let mut tables = self.tables();
        let grown = tables.entry(table.clone()).or_default();
        (grown.now, grown.then, grown.looked_at, grown.failure) = (Some(files), files, Some(at), None);
        grown.not_before = Some(Instant::now() + pause_after(took));
    }

    /// Upkeep came to nothing: it is as grown as it was.
    pub fn failed(&self, table: &TableName, reason: String, took: Duration) {
        let mut tables = self.tables();
        let grown = tables.entry(table.clone()).or_default();
        grown.failure = Some(reason);
        grown.not_before = Some(Instant::now() + pause_after(took));
    }

    /// It could not be looked at just now.
    pub fn passed_over(&self, table: &TableName) {
        self.tables().entry(table.clone()).or_default().not_before = Some(Instant::now() + PAUSE_MIN);
    }

    pub fn care_of(&self, table: &TableName) -> Option<Care> {
        let tables = self.tables();
        let grown = tables.get(table).filter(|grown| grown.is_watched)?;
        Some(Care { files_since: grown.files(), looked_at: grown.looked_at, failure: grown.failure.clone() })
    }

    /// Those that are worth a look now, the most grown first; and when the next one may be.
    pub fn due(&self, now: Instant) -> (Vec<TableName>, Option<Instant>) {
        let tables = self.tables();
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for (table, grown) in tables.iter().filter(|(_, grown)| grown.files() >= MUCH) {
            match grown.not_before.filter(|not_before| *not_before > now) {
                None => due.push((grown.files(), table.clone())),
                Some(later) => next = Some(next.map_or(later, |next| next.min(later))),
            }
        }
        due.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        (due.into_iter().map(|(_, table)| table).collect(), next)
    }

    /// Until some table has grown much.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }
}

/// I3.
fn pause_after(took: Duration) -> Duration {
    (took * PAUSES_PER_LOOK).clamp(PAUSE_MIN, PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const AT: Millis = Millis(1);

    fn table(name: &str) -> TableName {
        TableName::new("bronze", name).unwrap()
    }

    fn watching(names: &[&str]) -> Growth {
        let growth = Growth::default();
        growth.watch(&names.iter().map(|name| table(name)).collect());
        growth
    }

    fn due(growth: &Growth, after: Duration) -> Vec<String> {
        growth.due(Instant::now() + after).0.iter().map(|table| table.name().to_owned()).collect()
    }

    #[test]
    fn i1_what_a_table_had_when_it_was_first_seen_is_not_grown() {
        let growth = watching(&["t"]);
        growth.saw(&table("t"), 10_000);
        assert_eq!(due(&growth, Duration::ZERO), [""; 0]);
        growth.saw(&table("t"), 10_000 + MUCH - 1);
        assert!(growth.woken().now_or_never().is_none());
        growth.saw(&table("t"), 10_000 + MUCH);
        assert_eq!(due(&growth, Duration::ZERO), ["t"]);
        assert!(growth.woken().now_or_never().is_some());
        // Another process compacted it.
        growth.saw(&table("t"), 20);
        assert_eq!(due(&growth, Duration::ZERO), [""; 0]);
        growth.saw(&table("t"), 20 + TOO_MUCH);
        assert!(growth.care_of(&table("t")).unwrap().is_too_much());
    }

    #[test]
    fn i2_nobody_waits_for_upkeep_that_is_not_done_here() {
        let growth = watching(&["t", "u"]);
        growth.saw(&table("t"), 0);
        for watched in [true, false] {
            growth.saw(&table("t"), 2 * TOO_MUCH);
            assert_eq!(growth.care_of(&table("t")).is_some_and(|care| care.is_too_much()), watched);
            growth.watch(&HashSet::from([table("u")]));
        }
        assert_eq!(due(&growth, Duration::ZERO), [""; 0]);
        growth.saw(&table("other"), 0);
        growth.saw(&table("other"), 2 * TOO_MUCH);
        assert_eq!(growth.care_of(&table("other")), None);
    }

    #[test]
    fn i3_a_table_is_left_alone_for_a_while_and_the_most_grown_is_next() {
        let growth = watching(&["t", "u"]);
        for name in ["t", "u"] {
            growth.saw(&table(name), 1);
            growth.looked_after(&table(name), 1, AT, Duration::from_secs(10));
        }
        growth.saw(&table("t"), 1 + MUCH);
        growth.saw(&table("u"), 2 + MUCH);
        let (now, next) = growth.due(Instant::now());
        assert!(now.is_empty());
        let waits = next.unwrap() - Instant::now();
        assert!(waits > Duration::from_secs(39) && waits <= Duration::from_secs(40), "{waits:?}");
        assert_eq!(due(&growth, Duration::from_secs(41)), ["u", "t"]);
        growth.passed_over(&table("u"));
        assert_eq!((due(&growth, Duration::ZERO), due(&growth, PAUSE_MIN * 2)), (vec![], vec!["u".to_owned()]));
        growth.failed(&table("u"), "the disk is full".to_owned(), Duration::from_secs(3600));
        assert_eq!(due(&growth, Duration::from_secs(41)), ["t"]);
        assert_eq!(due(&growth, PAUSE_MAX + Duration::from_secs(1)), ["u", "t"]);
        let care = growth.care_of(&table("u")).unwrap();
        assert_eq!((care.files_since, care.failure.as_deref()), (1 + MUCH, Some("the disk is full")));
    }
}
