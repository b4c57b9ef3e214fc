//! Every change of a key, where a table keeps each version of its rows, or goes by a column.
//!
//! Owns [`Histories`], the changes of an epoch, and how they become rows of versions on the base of its commit.
//! - I1: a version begins with the time of its change, which its row says or else its record, or a microsecond behind the beginning of the one before it where that
//!   is later: of a key no two versions that follow each other begin at once, and none ends before it begins. None begins
//!   before one ended that the same epoch deleted.
//! - I2: a version ends where the next one of its key begins, or with the time of its delete, by the same rule; a delete
//!   makes no row.
//! - I3: the version that is in force on the base ends with the first change of its key: its row is written again. So
//!   all of an epoch's versions wait for the base (U1).
//! - I4: what a version keeps is what the one before it has, whether that is of the epoch or of the base.
//!
//! Neighbours: `collapse` collects changes, `complete` reads the rows in force; `ordered` takes the same changes where a
//! table goes by a column.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use tableflow_model::protocol::{Order, Rules};
use tableflow_model::{Error, Result};

use super::collapse::{Last, What};
use super::complete::{Before, Place};
use super::emptied::Emptied;
use super::partial::{Keeps, PartialRows, nullable, picked};
use crate::arrow_error;
use crate::keys::Hash;
use crate::layout::{VALID_FROM, VALID_TO, VERSION_OP, conform};

/// What [`VERSION_OP`] says of a version that follows another one, and of one that does not.
const UPDATED: &str = "u";
const CREATED: &str = "c";

/// One change of a key.
#[derive(Clone, Copy, Debug)]
struct Change {
    order: Order,
    /// Where its row is, or its key.
    what: What,
    ends: bool,
    /// It is that of all rows.
    all: bool,
    /// When it was, in microseconds.
    at: i64,
}

/// When the changes of a batch were, where they say so themselves.
type Times = Option<TimestampMicrosecondArray>;

/// The changes of an epoch, key by key.
#[derive(Debug)]
pub(super) struct Histories {
    /// The names of the key's columns.
    keys: Vec<String>,
    /// What a table goes by that keeps no versions.
    latest_by: Option<String>,
    changes: BTreeMap<Hash, Vec<Change>>,
    /// When the source emptied its table first: a key that is not known by then has no row from before.
    emptied: Option<(Order, i64)>,
    /// Of each batch of rows, and of each one of keys that are deleted.
    put: Vec<Times>,
    deleted: Vec<Times>,
    count: usize,
}

impl Histories {
    pub fn of_keys(keys: Vec<String>) -> Self {
        let (latest_by, changes, emptied, put, deleted, count) = Default::default();
        Histories { keys, latest_by, changes, emptied, put, deleted, count }
    }

    /// Of a table that goes by a column.
    pub fn latest_by(keys: Vec<String>, column: String) -> Self {
        Histories { latest_by: Some(column), ..Histories::of_keys(keys) }
    }

    pub fn keeps_versions(&self) -> bool {
        self.latest_by.is_none()
    }

    /// Without the changes so far, where those say nothing of rows to come.
    pub fn anew(&self) -> Option<Self> {
        self.latest_by.clone().map(|column| Histories::latest_by(self.keys.clone(), column))
    }

    /// The next batch of rows.
    pub fn hold_rows(&mut self, rows: &RecordBatch) {
        self.put.push(time_column(rows, VALID_FROM).ok().cloned());
    }

    /// The next batch of keys that are deleted.
    pub fn hold_keys(&mut self, keys: &RecordBatch) {
        self.deleted.push(time_column(keys, VALID_FROM).ok().cloned());
    }

    pub fn add(&mut self, key: Hash, Last { order, what }: Last) {
        let (times, row, ends) = match what {
            What::Put(batch, row) => (self.put.get(batch), row, false),
            What::Delete(batch, row) => (self.deleted.get(batch), row, true),
        };
        let own = times.and_then(Option::as_ref).filter(|times| times.is_valid(row)).map(|times| times.value(row));
        let at = own.unwrap_or_else(|| order.timestamp.saturating_mul(1000));
        let change = Change { order, what, ends, all: false, at };
        let emptied = self.emptied.map(|(order, at)| Change { order, ends: true, all: true, at, what });
        let changes = self.changes.entry(key).or_insert_with(|| emptied.into_iter().collect());
        let is_earlier = |it: &Change| change.order.is_after(it.order, Rules::law());
        let place = changes.iter().rposition(is_earlier).map_or(0, |place| place + 1);
        changes.insert(place, change);
        self.count += 1;
    }

    /// The source emptied its table: all versions end, or all rows are marked.
    pub fn empty(&mut self, order: Order, at: i64) {
        for changes in self.changes.values_mut() {
            let ended = changes.last().map(|last| Change { order, ends: true, all: true, at, what: last.what });
            changes.extend(ended);
        }
        self.emptied.get_or_insert((order, at));
    }

    pub fn len(&self) -> usize {
        self.changes.len()
    }

    pub fn memory(&self) -> usize {
        self.count * size_of::<Change>() + self.changes.len() * size_of::<(Hash, Vec<Change>)>()
    }

    /// As rows with these columns, the changes of a key one behind the other: what ends a version is a row that has
    /// nothing else.
    pub fn finish(
        self,
        (batches, deleted): (&[RecordBatch], &[RecordBatch]),
        (keeps, emptied): (&HashMap<(usize, usize), Keeps>, Option<&Emptied>),
        columns: &SchemaRef,
    ) -> Result<PartialRows> {
        let columns = nullable(columns);
        let all = batches.iter().chain(deleted).map(|batch| conform(batch, &columns)).collect::<Result<Vec<_>>>()?;
        let keeps_versions = self.keeps_versions();
        let of_versions = || [VALID_FROM, VALID_TO].map(str::to_owned).to_vec();
        let own = self.latest_by.map_or_else(of_versions, |column| vec![column]);
        let of_all = match emptied {
            Some(Emptied::Marked(mark)) if !keeps_versions => Some(mark.keeps(&self.keys)),
            _ => None,
        };
        let end = Keeps::AllBut(Arc::new(self.keys.into_iter().chain(own).collect::<BTreeSet<_>>()));
        let mut partial = PartialRows::none();
        let (mut places, mut times) = (Vec::with_capacity(self.count), Vec::with_capacity(self.count));
        for (key, changes) in self.changes {
            for change in changes {
                let place = match change.what {
                    What::Put(batch, row) => (batch, row),
                    What::Delete(batch, row) => (batches.len() + batch, row),
                };
                partial.keys.push(key);
                partial.keeps.push(match change.ends {
                    true => of_all.clone().filter(|_| change.all).unwrap_or_else(|| end.clone()),
                    false => keeps.get(&place).cloned().unwrap_or_default(),
                });
                places.push(place);
                times.push(change.at);
            }
        }
        if places.is_empty() {
            return Ok(partial);
        }
        let failed = arrow_error("the versions of an epoch do not fit together");
        let rows = interleave_record_batch(&all.iter().collect::<Vec<_>>(), &places).map_err(&failed)?;
        partial.rows = match keeps_versions {
            true => with_column(rows, VALID_FROM, times_of(times.into_iter().map(Some)))?,
            false => rows,
        };
        Ok(partial)
    }
}

/// A row of the table to come.
#[derive(Clone, Copy, Debug)]
struct Version {
    /// The row of the epoch, or else that of the base.
    from: Source,
    /// The one of its key before it, which it follows at once.
    follows: Option<usize>,
    begins: i64,
    ends: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Epoch(usize),
    Base(Place),
}

/// Versions as rows, and the keys whose row in force is one of them now.
pub(super) struct Versions {
    pub rows: RecordBatch,
    pub replaced: Vec<Hash>,
    /// Values that no row had.
    pub lost: u64,
}

/// The versions that come of these changes beside the rows in force, with these columns (I3).
pub(super) fn versions(partial: &PartialRows, before: &Before, columns: &SchemaRef) -> Result<Versions> {
    let columns = nullable(columns);
    let own = conform(&partial.rows, &columns)?;
    let batches = before.batches.iter().map(|batch| conform(batch, &columns)).collect::<Result<Vec<_>>>()?;
    let batches: Vec<RecordBatch> = [own].into_iter().chain(batches).collect();
    let (versions, replaced) = chained(partial, before, &batches)?;
    let (mut arrays, mut lost): (Vec<ArrayRef>, u64) = (Vec::with_capacity(columns.fields().len()), 0);
    for (index, field) in columns.fields().iter().enumerate() {
        let of: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(index)).collect();
        arrays.push(match field.name().as_str() {
            VALID_FROM => Arc::new(times_of(versions.iter().map(|version| Some(version.begins)))),
            VALID_TO => Arc::new(times_of(versions.iter().map(|version| version.ends))),
            VERSION_OP => Arc::new(ops(&versions, &of)),
            name => {
                let mut picks: Vec<Option<Place>> = Vec::with_capacity(versions.len());
                for version in &versions {
                    // Places of the base stand behind the epoch's own rows.
                    let pick = match version.from {
                        Source::Base((batch, row)) => Some((batch + 1, row)),
                        Source::Epoch(row) => match partial.keeps.get(row).is_some_and(|keeps| keeps.keeps(name)) {
                            false => Some((0, row)),
                            true => version.follows.and_then(|it| picks.get(it).copied().flatten()),
                        },
                    };
                    picks.push(pick);
                }
                lost += picks.iter().filter(|pick| pick.is_none()).count() as u64;
                picked(&of, field, &picks)?
            }
        });
    }
    let rows = RecordBatch::try_new(columns, arrays).map_err(arrow_error("the versions of rows"))?;
    Ok(Versions { rows, replaced, lost })
}

/// When each version begins and ends (I1, I2), and the keys of those that the base has.
fn chained(partial: &PartialRows, before: &Before, batches: &[RecordBatch]) -> Result<(Vec<Version>, Vec<Hash>)> {
    let begins = batches.iter().map(|batch| time_column(batch, VALID_FROM)).collect::<Result<Vec<_>>>()?;
    let begin = |(batch, row): Place| {
        let times = begins.get(batch).filter(|times| times.is_valid(row));
        times.map(|times| times.value(row)).ok_or_else(|| Error::data("a version of a row has no beginning"))
    };
    let (mut versions, mut replaced): (Vec<Version>, Vec<Hash>) = Default::default();
    // Of each key the last one, in force or not.
    let mut last_of: HashMap<Hash, Option<usize>> = HashMap::new();
    for (row, (key, keeps)) in partial.keys.iter().zip(&partial.keeps).enumerate() {
        if !last_of.contains_key(key) {
            let place = before.places.get(row).copied().flatten();
            if let Some((batch, row)) = place {
                let begins = begin((batch + 1, row))?;
                versions.push(Version { from: Source::Base((batch, row)), follows: None, begins, ends: None });
                replaced.push(*key);
            }
            last_of.insert(*key, place.map(|_| versions.len() - 1));
        }
        let last = last_of.get(key).copied().flatten();
        let (mut at, mut follows) = (begin((0, row))?, None);
        if let Some(before) = last.and_then(|last| versions.get_mut(last)) {
            match before.ends {
                Some(ends) => at = at.max(ends),
                None => {
                    at = ended(at, before.begins);
                    before.ends = Some(at);
                    follows = last;
                }
            }
        }
        if !keeps.is_mark() {
            last_of.insert(*key, Some(versions.len()));
            versions.push(Version { from: Source::Epoch(row), follows, begins: at, ends: None });
        }
    }
    Ok((versions, replaced))
}

/// When a version ends that begins then, of which a record of this time says so (I1, I2).
fn ended(at: i64, begins: i64) -> i64 {
    at.max(begins.saturating_add(1))
}

/// What its source says of each version, or else what is seen of it.
fn ops(versions: &[Version], of: &[&ArrayRef]) -> StringArray {
    let own = |(batch, row): Place| {
        let texts = of.get(batch)?.as_string_opt::<i32>()?;
        texts.is_valid(row).then(|| texts.value(row))
    };
    let op = |version: &Version| match version.from {
        Source::Base((batch, row)) => own((batch + 1, row)),
        Source::Epoch(row) => own((0, row)).or(Some(if version.follows.is_some() { UPDATED } else { CREATED })),
    };
    versions.iter().map(op).collect()
}

/// Rows in force that all end, of which a record of this time says so.
pub(super) fn all_ended(rows: RecordBatch, at: i64) -> Result<RecordBatch> {
    let begins = time_column(&rows, VALID_FROM)?;
    let ends = times_of(begins.iter().map(|begins| begins.map(|begins| ended(at, begins))));
    with_column(rows, VALID_TO, ends)
}

/// The times of a column of these rows.
pub(super) fn time_column<'b>(rows: &'b RecordBatch, name: &str) -> Result<&'b TimestampMicrosecondArray> {
    let column = rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    column.ok_or_else(|| {
        Error::data(format!("the table has no column {name} any more"))
            .with_hint("undo that where it was done, or enable the topic into another table with --table")
    })
}

fn times_of(times: impl Iterator<Item = Option<i64>>) -> TimestampMicrosecondArray {
    times.collect::<TimestampMicrosecondArray>().with_timezone("+00:00")
}

fn with_column(rows: RecordBatch, name: &str, column: TimestampMicrosecondArray) -> Result<RecordBatch> {
    let (schema, mut columns, _) = rows.into_parts();
    if let Some(place) = schema.index_of(name).ok().and_then(|index| columns.get_mut(index)) {
        *place = Arc::new(column);
    }
    RecordBatch::try_new(schema, columns).map_err(arrow_error("the times of versions"))
}
