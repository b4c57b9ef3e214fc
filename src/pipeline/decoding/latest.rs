//! By which column the latest row of a key is told, and what changes have there.
//!
//! Owns [`Latest`].
//! - I1: a delete is ordered by the value of its own row, or by what its envelope says; a null value says none.
//! - I2: a row that says that it is deleted, and has no value there, is held against none: it keeps that of the row.

use arrow::array::{Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{FieldRef, Schema};
use iceberg::spec::TableMetadata;
use tableflow_lake::layout::{SOURCE_POSITION, latest_by};
use tableflow_lake::upsert::Keeps;
use tableflow_model::Result;

use super::Part;
use super::changes::unfit;
use super::versions::{Versioning, with_column};

/// The column, as the table has it.
#[derive(Debug)]
pub(super) struct Latest(FieldRef);

impl Latest {
    /// Of a table with these columns, if it goes by one.
    pub fn of(table: &TableMetadata, columns: &Schema) -> Result<Option<Self>> {
        let column = latest_by(table)?.and_then(|name| columns.fields().find(&name).map(|(_, field)| field.clone()));
        Ok(column.map(Latest))
    }

    fn is_of_source(&self) -> bool {
        self.0.name() == SOURCE_POSITION
    }

    /// The rows of a part, with where in their source they were made, where that is the column.
    pub fn rows(&self, says: &Versioning<'_>, part: &Part) -> Result<RecordBatch> {
        let rows = part.batch.clone();
        if !self.is_of_source() {
            return Ok(rows);
        }
        says.placed(rows, &part.taken.rows().collect::<Vec<_>>())
    }

    /// What these rows keep, of which some say that they are deleted (I2).
    pub fn kept(&self, rows: &RecordBatch, is_deleted: &[bool], mut keeps: Vec<Keeps>) -> Vec<Keeps> {
        let values = rows.column_by_name(self.0.name());
        let is_silent = |row: usize| values.is_none_or(|values| values.is_null(row));
        for (row, keeps) in keeps.iter_mut().enumerate() {
            if !self.is_of_source() && is_deleted.get(row) == Some(&true) && is_silent(row) {
                *keeps = keeps.with(self.0.name());
            }
        }
        keeps
    }

    /// What deletes keys, each by a row of the part or by a record alone, with what it is ordered by (I1).
    pub fn deletes(
        &self,
        keys: RecordBatch,
        says: &Versioning<'_>,
        (part, of): (&Part, &[(Option<u32>, usize)]),
    ) -> Result<RecordBatch> {
        if self.is_of_source() {
            return says.placed(keys, &of.iter().map(|(_, record)| *record).collect::<Vec<_>>());
        }
        let values = match part.batch.column_by_name(self.0.name()) {
            Some(values) => {
                let rows: UInt32Array = of.iter().map(|(row, _)| *row).collect();
                take(values, &rows, None).map_err(unfit)?
            }
            None => new_null_array(self.0.data_type(), of.len()),
        };
        with_column(keys, self.0.name(), values)
    }
}
