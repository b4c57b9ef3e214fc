//! The columns of keys beside those of values.
//!
//! Owns [`Keys`]: the decoder of a table's keys, and which of their fields are columns.
//! - I1: a column is filled from one part of the records for as long as the table lives. A field that both have is the
//!   value's if that has it when the field first comes, however its letters' case: then the key's copy is hidden.
//! - I2: which columns are the keys' is kept in the definition before the first row has them.
//! - I3: a record without a key is a row whose key columns are null; one whose key cannot be decoded is a bad record,
//!   as one whose value cannot.
//! - I4: keys of bad values are not looked at, so that they leave no trace.

use std::collections::BTreeSet;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow::error::ArrowError;
use tableflow_connectors::decode::{BadRecords, ColumnRules, Note, RecordError, RegistryFraming, Taken};
use tableflow_connectors::registry::RecordPart;
use tableflow_model::types::flink_column;
use tableflow_model::{Error, Records, Result};

use super::learning::{KEY_COLUMN, Learning, Reading};
use super::{KeyTerms, Part, Stopped};
use crate::definition::{self, Envelope, Format, declared_columns};
use crate::home::Home;

const HIDDEN: &str = "is in keys and in values: the column has the value's copy";

/// What reads a table's keys.
#[derive(Debug)]
pub(super) struct Keys {
    learning: Learning,
    format: Format,
    /// As given to `--key-columns`.
    declared: String,
    own: Vec<String>,
    /// Of hidden fields, in lower case.
    hidden: BTreeSet<String>,
    /// Up to which version of the decoder's columns they were told apart.
    sorted: Option<u64>,
    is_to_be_kept: bool,
}

impl Keys {
    pub async fn new(
        home: &Home,
        (KeyTerms { subjects, keys }, envelope): (KeyTerms<'_>, Option<Envelope>),
        table: &Schema,
        rules: &ColumnRules,
        values: &mut Learning,
    ) -> Result<Self> {
        let definition::Keys { format, columns, own, hidden } = keys.clone();
        let mut declared = declared_columns(&columns)?;
        let hidden = declared_columns(&hidden)?;
        let is_own = |field: &&FieldRef| own.contains(field.name());
        let mut known: Vec<FieldRef> = table.fields().iter().filter(is_own).cloned().collect();
        let others: Vec<Field> =
            hidden.iter().filter(|field| declared.iter().all(|it| it.name() != field.name())).cloned().collect();
        match format {
            // What nobody sees may be anything.
            Format::Json => declared.extend(others.iter().map(|field| Field::new(field.name(), DataType::Utf8, true))),
            _ => known.extend(others.into_iter().map(FieldRef::from)),
        }
        let is_owns = |path: &String| own.iter().any(|name| path == name || path.starts_with(&format!("{name}.")));
        let sources = rules.partition_sources.iter().filter(|path| is_owns(path)).cloned().collect();
        // A partition by a column's own values has the column's name: that of values is no matter of a key's hidden
        // copy.
        let is_a_column = |path: &String| {
            table.fields().iter().any(|it| path == it.name() || path.starts_with(&format!("{}.", it.name())))
        };
        let fields = rules.partition_fields.iter().filter(|path| !is_a_column(path)).cloned().collect();
        let rules = ColumnRules { partition_sources: sources, partition_fields: fields, ..rules.clone() };
        let reading = Reading {
            part: RecordPart::Key,
            subjects,
            format,
            envelope,
            declared: &declared,
            left_out: &[],
            bare: KEY_COLUMN,
            mirror: None,
            tells_origins: false,
        };
        let learning = Learning::new(home, reading, &Schema::new(known), &rules).await?;
        let hidden = hidden.iter().map(|field| field.name().to_lowercase()).collect();
        let (sorted, is_to_be_kept) = (None, false);
        let mut keys = Keys { learning, format, declared: columns, own, hidden, sorted, is_to_be_kept };
        keys.sort(values);
        Ok(keys)
    }

    /// Says of each field of keys that is new whether it is a column (I1).
    fn sort(&mut self, values: &mut Learning) {
        let version = Some(self.learning.schema_version());
        if self.sorted == version {
            return;
        }
        self.sorted = version;
        let of_values: BTreeSet<String> =
            values.schema().fields().iter().map(|field| field.name().to_lowercase()).collect();
        for field in self.learning.schema().fields() {
            let folded = field.name().to_lowercase();
            if self.own.contains(field.name()) || self.hidden.contains(&folded) {
                continue;
            }
            if of_values.contains(&folded) {
                self.hidden.insert(folded);
            } else {
                self.own.push(field.name().clone());
            }
            self.is_to_be_kept = true;
        }
        values.leave_to_keys(&self.own);
    }

    fn is_own(&self, field: &Field) -> bool {
        self.own.contains(field.name())
    }

    pub fn columns(&self) -> Vec<FieldRef> {
        self.learning.schema().fields().iter().filter(|field| self.is_own(field)).cloned().collect()
    }

    pub fn notes(&self) -> Vec<Note> {
        let schema = self.learning.schema();
        let hidden = schema.fields().iter().filter(|field| !self.is_own(field));
        let hidden = hidden.map(|field| Note { path: field.name().clone(), words: HIDDEN.to_owned() });
        // What a column that nobody sees does not keep is nobody's matter.
        let own = self.learning.notes().iter().filter(|note| {
            self.own.iter().any(|name| note.path == *name || note.path.starts_with(&format!("{name}.")))
        });
        own.cloned().chain(hidden).collect()
    }

    pub fn take_refusal(&mut self) -> Option<Error> {
        self.learning.take_refusal()
    }

    pub fn framing(&self) -> Option<RegistryFraming> {
        self.learning.framing()
    }

    /// As a definition keeps it (I2).
    pub fn found(&self) -> definition::Keys {
        let schema = self.learning.schema();
        let hidden = schema.fields().iter().filter(|field| !self.is_own(field));
        let hidden: Vec<String> = hidden.map(|field| flink_column(field)).collect();
        definition::Keys {
            format: self.format,
            columns: self.declared.clone(),
            own: self.own.clone(),
            hidden: hidden.join(", "),
        }
    }

    pub fn is_to_be_kept(&self) -> bool {
        self.is_to_be_kept
    }

    pub fn are_kept(&mut self) {
        self.is_to_be_kept = false;
    }

    /// The same parts, with the columns of keys.
    pub async fn beside(
        &mut self,
        values: Vec<Part>,
        records: &Records,
        bad: BadRecords,
        learning: &mut Learning,
    ) -> Result<Vec<Part>> {
        let mut joined = Vec::with_capacity(values.len());
        for part in values {
            let pairs = Pairs::of(&part, records);
            let decoded = self.learning.decode(&records.of_keys(&pairs.records()), bad).await?;
            self.sort(learning);
            let parts = pairs.join(part, decoded, &self.own)?;
            let stopped = parts.last().is_some_and(|last| last.stopped.is_some());
            joined.extend(parts);
            if stopped {
                break;
            }
        }
        Ok(joined)
    }
}

/// The rows of a part of values, and which of them have keys.
#[derive(Debug)]
struct Pairs {
    /// The record of each row.
    rows: Vec<usize>,
    /// The row of each key.
    keyed: Vec<usize>,
}

/// What became of the keys of consecutive rows.
#[derive(Debug, Default)]
struct Kept {
    /// The rows that stay, and where the key of each is among those decoded.
    rows: Vec<u32>,
    keys: Vec<Option<u32>>,
    /// Each has its key, in order.
    is_even: bool,
}

impl Pairs {
    fn of(part: &Part, records: &Records) -> Self {
        let rows: Vec<usize> = part.taken.rows().collect();
        let has_key = |(_, record): &(usize, &usize)| records.key(**record).is_some();
        let keyed = rows.iter().enumerate().filter(has_key).map(|(row, _)| row).collect();
        Pairs { rows, keyed }
    }

    /// The records that have keys.
    fn records(&self) -> Vec<usize> {
        self.keyed.iter().filter_map(|row| self.rows.get(*row).copied()).collect()
    }

    /// The record of a key.
    fn record_of(&self, key: usize) -> Option<usize> {
        self.rows.get(*self.keyed.get(key)?).copied()
    }

    /// The rows with their keys beside them, in as many parts as the keys have; behind a key that stops there are none.
    fn join(&self, value: Part, keys: Vec<Part>, own: &[String]) -> Result<Vec<Part>> {
        let Part { batch, mut passed_over, mut origins, mut stopped, next: value_next, .. } = value;
        let (mut parts, mut start, mut first_key, last) = (Vec::new(), 0, 0, keys.len().saturating_sub(1));
        for (place, key) in keys.into_iter().enumerate() {
            let is_last = place == last && key.stopped.is_none();
            let end = match is_last {
                true => self.rows.len(),
                false => self.keyed.get(key.next).copied().unwrap_or(self.rows.len()),
            };
            let next = if is_last { value_next } else { self.rows.get(end).copied().unwrap_or(value_next) };
            let kept = self.kept(start..end, first_key, &key.taken);
            let mut aside: Vec<RecordError> = passed_over.extract_if(.., |failure| failure.row < next).collect();
            aside.extend(key.passed_over.into_iter().map(|failure| self.of_key(failure)));
            aside.sort_by_key(|failure| failure.row);
            let behind = origins.split_off(next);
            let taken: Vec<usize> = kept.rows.iter().filter_map(|row| self.rows.get(*row as usize).copied()).collect();
            let halts = match key.stopped {
                Some(Stopped::Record(failure)) => Some(Stopped::Record(self.of_key(failure))),
                Some(Stopped::Schema(error)) => Some(Stopped::Schema(error.with_context("part", "key"))),
                Some(follows @ Stopped::Follows(_)) => Some(follows),
                None if is_last => stopped.take(),
                None => None,
            };
            parts.push(Part {
                batch: side_by_side(&batch, &key.batch, &kept, own)?,
                taken: Taken::these(&taken),
                passed_over: aside,
                origins: std::mem::replace(&mut origins, behind),
                stopped: halts,
                next,
            });
            (start, first_key) = (end, key.next);
        }
        Ok(parts)
    }

    fn of_key(&self, failure: RecordError) -> RecordError {
        let record = self.record_of(failure.row).unwrap_or_default();
        failure.of_key(record)
    }

    /// Which of these rows stay, by what became of the keys from `first_key` on.
    fn kept(&self, rows: std::ops::Range<usize>, first_key: usize, taken: &Taken) -> Kept {
        let mut kept = Kept { is_even: true, ..Kept::default() };
        let (mut key, mut decoded, mut of_taken) = (first_key, 0, taken.rows().peekable());
        for row in rows {
            let place = match self.keyed.get(key) {
                Some(keyed) if *keyed == row => {
                    key += 1;
                    if of_taken.next_if_eq(&(key - 1)).is_none() {
                        continue;
                    }
                    decoded += 1;
                    Some(decoded - 1)
                }
                _ => {
                    kept.is_even = false;
                    None
                }
            };
            kept.rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            kept.keys.push(place);
        }
        kept
    }
}

/// The rows that stay, with those columns of their keys that are the table's.
fn side_by_side(values: &RecordBatch, keys: &RecordBatch, kept: &Kept, own: &[String]) -> Result<RecordBatch> {
    let unfit =
        |error: ArrowError| Error::internal("the columns of keys do not fit beside the values").with_source(error);
    let values = rows_of(values, &kept.rows).map_err(unfit)?;
    let (mut fields, mut columns) = (values.schema().fields().to_vec(), values.columns().to_vec());
    let places = UInt32Array::from(if kept.is_even { Vec::new() } else { kept.keys.clone() });
    let shown = keys.schema();
    for (field, column) in shown.fields().iter().zip(keys.columns()).filter(|(field, _)| own.contains(field.name())) {
        fields.push(field.clone());
        columns.push(if kept.is_even { column.clone() } else { take(column, &places, None).map_err(unfit)? });
    }
    batch_of(fields, columns, kept.rows.len()).map_err(unfit)
}

fn batch_of(fields: Vec<FieldRef>, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Schema::new(Fields::from(fields)).into(), columns, &options)
}

/// These rows of a batch, of which nothing is copied where they follow each other.
pub(super) fn rows_of(batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch, ArrowError> {
    match (rows.first(), rows.last()) {
        (Some(first), Some(last)) if (last - first) as usize + 1 == rows.len() => {
            Ok(batch.slice(*first as usize, rows.len()))
        }
        (None, _) => Ok(batch.slice(0, 0)),
        // Of no columns nothing can be taken.
        _ if batch.num_columns() == 0 => Ok(batch.slice(0, rows.len())),
        _ => take_record_batch(batch, &UInt32Array::from(rows.to_vec())),
    }
}

#[cfg(test)]
mod tests;
