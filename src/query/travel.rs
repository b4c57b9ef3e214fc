//! Which tables of a statement are read at which point in time.
//!
//! Owns [`Point`] and [`Travel`]: filled while the statement is read, only read from afterwards.
//! - I1: a name that carries a mark stands for the point of that mark, or for no table at all: never for the present.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use iceberg::spec::{SnapshotRef, TableMetadata};
use tableflow_model::{Error, Result, TableName};

/// Between a table's name and the number of its time-travel clause: no identifier holds it.
const MARK: char = '\u{1}';

/// A point in a table's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Snapshot(i64),
    TimeMs(i64),
}

impl FromStr for Point {
    type Err = Error;

    /// A whole number is a snapshot id; anything else is a time, UTC where it names no zone.
    fn from_str(text: &str) -> Result<Self> {
        Point::of_version(text).or_else(|_| Point::of_time(text)).map_err(|_| {
            Error::usage(format!("{text:?} is neither a snapshot id nor a time"))
                .with_hint("write a snapshot id from `tableflow history`, or a time such as 2026-01-31T12:00:00Z")
        })
    }
}

impl Point {
    pub fn of_version(text: &str) -> Result<Self> {
        text.trim().parse().map(Point::Snapshot).map_err(|_| {
            Error::usage(format!("{text:?} is not a snapshot id"))
                .with_hint("`tableflow history` lists them; a time goes with FOR SYSTEM_TIME AS OF")
        })
    }

    pub fn of_time(text: &str) -> Result<Self> {
        let text = text.trim();
        let local = |time: NaiveDateTime| time.and_utc().timestamp_millis();
        let time = DateTime::parse_from_rfc3339(text)
            .map(|time| time.timestamp_millis())
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").map(|time| time.timestamp_millis()))
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(local))
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(local))
            .or_else(|_| NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| local(day.into())));
        time.map(Point::TimeMs).map_err(|_| {
            Error::usage(format!("{text:?} is not a time"))
                .with_hint("write a time such as 2026-01-31T12:00:00Z; a snapshot id goes with FOR VERSION AS OF")
        })
    }

    /// The snapshot that was current then.
    pub fn snapshot_of(self, table: &TableName, metadata: &TableMetadata) -> Result<SnapshotRef> {
        let id = match self {
            Point::Snapshot(id) => Some(id),
            Point::TimeMs(time) => {
                let before = metadata.history().iter().rev().find(|entry| entry.timestamp_ms() <= time);
                before.map(|entry| entry.snapshot_id)
            }
        };
        let found = id.and_then(|id| metadata.snapshot_by_id(id)).cloned();
        found.ok_or_else(|| {
            let what = match self {
                Point::Snapshot(id) => format!("{table} has no snapshot {id}"),
                Point::TimeMs(_) => format!("{table} has no snapshot as old as that"),
            };
            Error::not_found(what).with_hint(format!("`tableflow history {table}` lists the snapshots that are kept"))
        })
    }
}

/// Which table names of a statement stand for an older state.
#[derive(Debug)]
pub struct Travel {
    points: BTreeMap<usize, Point>,
    /// For every table that has no clause of its own.
    default: Option<Point>,
}

impl Travel {
    pub fn with_default(default: Option<Point>) -> Self {
        Travel { points: BTreeMap::new(), default }
    }

    /// The name by which the statement asks for this point of the table.
    pub fn mark(&mut self, name: &str, point: Point) -> String {
        let number = self.points.len();
        self.points.insert(number, point);
        format!("{name}{MARK}{number}")
    }

    /// Every point at which the statement reads tables; nothing is the present.
    pub fn points(&self) -> impl Iterator<Item = Option<Point>> {
        std::iter::once(self.default).chain(self.points.values().copied().map(Some))
    }

    /// A name as written, and its mark.
    pub fn split(name: &str) -> (&str, &str) {
        name.split_at(name.find(MARK).unwrap_or(name.len()))
    }

    /// A table's own name, and the point in time to read it at (I1).
    pub fn find<'a>(&self, name: &'a str) -> Option<(&'a str, Option<Point>)> {
        match name.split_once(MARK) {
            None => Some((name, self.default)),
            Some((own_name, number)) => {
                let point = self.points.get(&number.parse().ok()?)?;
                Some((own_name, Some(*point)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_a_marked_name_is_its_point_or_nothing() {
        let (point, default) = (Point::Snapshot(7), Point::TimeMs(1));
        let mut travel = Travel::with_default(Some(default));
        let marked = travel.mark("clicks", point);
        assert_eq!(travel.find(&marked), Some(("clicks", Some(point))));
        assert_eq!(travel.find("clicks"), Some(("clicks", Some(default))));
        assert_eq!(Travel::split(&marked).0, "clicks");
        for unknown in [format!("{marked}1"), format!("clicks{MARK}"), format!("clicks{MARK}x")] {
            assert_eq!(travel.find(&unknown), None, "{unknown:?}");
        }
    }
}
