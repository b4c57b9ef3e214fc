//! What a record leaves of the row before it.
//!
//! Owns [`Partly`], which knows values that a source did not send again and, of a table whose rows are only marked as
//! deleted, the mark; and [`Marks`].
//! - I1: a value that was not sent is never a value: the row keeps what it had.
//! - I2: a column that lacks a value may be null from then on, for there may be no row before; one that has to stay NOT
//!   NULL makes the record a bad one.
//! - I3: of a table with marks every row says whether it is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use tableflow_connectors::decode::{Evolution, Reason, RecordError, Remedy, Unavailable};
use tableflow_lake::upsert::{Keeps, Order};
use tableflow_model::{Error, Result};

use super::Part;
use crate::definition::{DELETED_COLUMN, Definition, Deletes, Upsert, declared_columns};

/// Rows that are marked as deleted.
#[derive(Clone, Debug)]
pub struct Marks {
    /// What they have; all else stays as it is.
    pub rows: RecordBatch,
    /// The record of each.
    pub records: Vec<usize>,
    pub orders: Vec<Order>,
}

impl Marks {
    pub fn keeps(&self) -> Keeps {
        let names = self.rows.schema_ref().fields().iter().map(|field| field.name().clone());
        Keeps::AllBut(Arc::new(names.collect()))
    }
}

/// What rows keep, of one table.
#[derive(Debug)]
pub(super) struct Partly {
    unavailable: Unavailable,
    /// The type of the column that says whether a row is deleted, where there is to be one.
    deleted: Option<DataType>,
    /// Columns that have a value of each record's own.
    keys: BTreeSet<String>,
    evolution: Evolution,
    /// Columns that were declared NOT NULL.
    held: BTreeSet<String>,
}

/// What the rows of a batch keep.
pub(super) struct Kept {
    pub batch: RecordBatch,
    pub keeps: Vec<Keeps>,
}

impl Partly {
    pub fn new(definition: &Definition, upsert: &Upsert, keys: &Schema, table: &Schema) -> Result<Self> {
        let deleted = match upsert.deletes {
            Deletes::Hard | Deletes::History => None,
            Deletes::Soft => {
                let column = table.field_with_name(DELETED_COLUMN).map_err(|_| {
                    Error::data(format!("table {} has no column {DELETED_COLUMN} any more", definition.table))
                        .with_hint("undo that where it was done, or enable the topic into another table with --table")
                })?;
                Some(column.data_type().clone())
            }
        };
        let declared = declared_columns(&definition.columns)?;
        Ok(Partly {
            unavailable: Unavailable::new(upsert.unavailable_value.as_deref()),
            deleted,
            keys: keys.fields().iter().map(|field| field.name().clone()).collect(),
            evolution: definition.evolution,
            held: declared.iter().filter(|it| !it.is_nullable()).map(|it| it.name().clone()).collect(),
        })
    }

    /// Whether rows are marked, and stay.
    pub fn marks(&self) -> bool {
        self.deleted.is_some()
    }

    /// The columns of values that were not sent, with the rows.
    fn unavailable<'b>(&self, batch: &'b RecordBatch) -> impl Iterator<Item = (&'b Field, Vec<usize>)> {
        let columns = batch.schema_ref().fields().iter().zip(batch.columns());
        let columns = columns.filter(|(field, _)| !self.keys.contains(field.name()));
        let found = columns.map(|(field, column)| (field.as_ref(), self.unavailable.rows(column)));
        found.filter(|(_, rows)| !rows.is_empty())
    }

    /// The records that lack a value which has to be there (I2).
    pub fn without_value(&self, part: &Part) -> Vec<RecordError> {
        let records: Vec<usize> = part.taken.rows().collect();
        let is_held = |field: &Field| self.evolution == Evolution::Strict || self.held.contains(field.name());
        let mut bad = BTreeMap::new();
        for (field, rows) in self.unavailable(&part.batch).filter(|(field, _)| !field.is_nullable() && is_held(field)) {
            for record in rows.into_iter().filter_map(|row| records.get(row).copied()) {
                bad.entry(record).or_insert_with(|| not_sent(record, field.name()));
            }
        }
        bad.into_values().collect()
    }

    /// What each row keeps (I1). A column that one of them lacks may be null (I2).
    pub fn keeps(&self, batch: RecordBatch) -> Result<Kept> {
        let mut columns: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        let mut lacking = BTreeSet::new();
        for (field, rows) in self.unavailable(&batch) {
            lacking.insert(field.name().clone());
            for row in rows {
                columns.entry(row).or_default().insert(field.name().clone());
            }
        }
        let mut keeps = vec![Keeps::Nothing; batch.num_rows()];
        let mut same: BTreeMap<BTreeSet<String>, Keeps> = BTreeMap::new();
        for (row, names) in columns {
            let of = same.entry(names.clone()).or_insert_with(|| Keeps::Columns(Arc::new(names)));
            if let Some(keeps) = keeps.get_mut(row) {
                *keeps = of.clone();
            }
        }
        let field = |field: &Arc<Field>| match lacking.contains(field.name()) {
            true => Arc::new(field.as_ref().clone().with_nullable(true)),
            false => field.clone(),
        };
        let schema = Schema::new(batch.schema_ref().fields().iter().map(field).collect::<Vec<_>>());
        Ok(Kept { batch: batch.with_schema(Arc::new(schema)).map_err(super::changes::unfit)?, keeps })
    }

    /// The rows with what each says of itself (I3).
    pub fn told(&self, batch: RecordBatch, is_deleted: &[bool]) -> Result<RecordBatch> {
        let Some(of) = &self.deleted else { return Ok(batch) };
        let (schema, mut columns, _) = batch.into_parts();
        let mut fields = schema.fields().to_vec();
        let field = Arc::new(Field::new(DELETED_COLUMN, of.clone(), true));
        match schema.index_of(DELETED_COLUMN).ok().and_then(|at| Some((columns.get_mut(at)?, fields.get_mut(at)?))) {
            Some((column, known)) => (*column, *known) = (words(of, is_deleted), field),
            None => {
                columns.push(words(of, is_deleted));
                fields.push(field);
            }
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(super::changes::unfit)
    }

    /// What marks any row, where rows are marked.
    pub fn mark_of_all(&self) -> Result<Option<RecordBatch>> {
        if !self.marks() {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options);
        self.told(row.map_err(super::changes::unfit)?, &[true]).map(Some)
    }

    /// What marks the rows of these keys; a key that is the record's own comes with the columns of its origin.
    pub fn mark(&self, keys: &RecordBatch, is_the_records: bool) -> Result<RecordBatch> {
        let columns: Vec<usize> = (0..keys.num_columns()).filter(|_| !is_the_records).collect();
        let keys = keys.project(&columns).map_err(super::changes::unfit)?;
        let rows = keys.num_rows();
        self.told(keys, &vec![true; rows])
    }
}

/// As flattened changes have it.
fn words(of: &DataType, is_deleted: &[bool]) -> ArrayRef {
    match of {
        DataType::Utf8 => {
            let word = |deleted: &bool| Some(if *deleted { "true" } else { "false" });
            Arc::new(is_deleted.iter().map(word).collect::<StringArray>())
        }
        _ => Arc::new(BooleanArray::from(is_deleted.to_vec())),
    }
}

fn not_sent(row: usize, column: &str) -> RecordError {
    RecordError {
        row,
        reason: Reason::MissingValue,
        path: format!("$.{column}"),
        message: format!("$.{column} was not sent again by its source, and column {column} stays NOT NULL"),
        remedy: Remedy::Produce("let the table's columns follow, or the source send all values".to_owned()),
    }
}
