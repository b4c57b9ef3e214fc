//! When versions of rows begin and end, and what made them, as their records say; and where in their source changes were
//! made.
//!
//! Owns [`Versioning`], which gives the changes of a part the columns that say so.
//! - I1: a change is of the time that its envelope says, or that it has in fields of its own, as Debezium's flattened
//!   changes do, or of its record's.
//! - I2: what a change says of itself in `__op` stays; else it is what its envelope says, or nothing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use tableflow_connectors::decode::{Origins, Unit};
use tableflow_lake::layout::{SOURCE_POSITION, VALID_FROM, VERSION_OP, version_columns};
use tableflow_model::{Records, Result};

use super::Part;
use super::changes::unfit;

/// The fields by which flattened changes say when they were: the source's time first, and the finer one.
const TIMES: [(&str, Unit); 6] = [
    ("__source_ts_us", Unit::Micros),
    ("__source_ts_ns", Unit::Nanos),
    ("__source_ts_ms", Unit::Millis),
    ("__ts_us", Unit::Micros),
    ("__ts_ns", Unit::Nanos),
    ("__ts_ms", Unit::Millis),
];

/// What a batch's records say of their changes.
pub(super) struct Versioning<'a> {
    records: &'a Records,
    origins: &'a Origins,
    /// The columns of flattened changes.
    own: Vec<(&'a ArrayRef, Unit)>,
}

impl<'a> Versioning<'a> {
    /// Of these records, of which some are rows of this batch.
    pub fn of(records: &'a Records, origins: &'a Origins, batch: &'a RecordBatch) -> Self {
        let own = TIMES.iter().filter_map(|(name, unit)| Some((batch.column_by_name(name)?, *unit)));
        Versioning { records, origins, own: own.collect() }
    }

    /// When a change was, in microseconds, that is a row of the batch or none (I1).
    fn at(&self, row: Option<u32>, record: usize) -> i64 {
        let own = |row: u32| self.own.iter().find_map(|(column, unit)| time_in(column, *unit, row as usize));
        let said = self.origins.of(record).at.or_else(|| row.and_then(own));
        said.unwrap_or_else(|| self.records.timestamps.get(record).copied().unwrap_or_default().saturating_mul(1000))
    }

    /// These rows, of these records, with their positions.
    pub fn placed(&self, rows: RecordBatch, of: &[usize]) -> Result<RecordBatch> {
        let positions: Int64Array = of.iter().map(|record| self.origins.of(*record).position).collect();
        with_column(rows, SOURCE_POSITION, Arc::new(positions))
    }

    /// What deletes keys, each by a row of the batch or by a record alone, with its time.
    pub fn times(&self, keys: RecordBatch, of: &[(Option<u32>, usize)]) -> Result<RecordBatch> {
        self.timed(keys, of.iter().map(|(row, record)| self.at(*row, *record)))
    }

    /// These rows with their times.
    fn timed(&self, rows: RecordBatch, times: impl Iterator<Item = i64>) -> Result<RecordBatch> {
        let times: TimestampMicrosecondArray = times.map(Some).collect();
        with_column(rows, VALID_FROM, Arc::new(times.with_timezone("+00:00")))
    }

    /// The rows of a part with what each says of its version.
    pub fn rows(&self, part: &Part) -> Result<RecordBatch> {
        let records: Vec<usize> = part.taken.rows().collect();
        let times = (0_u32..).zip(&records).map(|(row, record)| self.at(Some(row), *record));
        self.told(self.timed(part.batch.clone(), times)?, &records)
    }

    /// These rows, of these records, with what made them (I2).
    fn told(&self, rows: RecordBatch, of: &[usize]) -> Result<RecordBatch> {
        let ops: Vec<Option<&str>> = of.iter().map(|record| self.origins.of(*record).op).collect();
        if ops.iter().all(Option::is_none) {
            return Ok(rows);
        }
        let own = rows.column_by_name(VERSION_OP).and_then(|column| column.as_string_opt::<i32>());
        let own = |row: usize| own.filter(|own| own.is_valid(row)).map(|own| own.value(row));
        let ops: StringArray = ops.iter().enumerate().map(|(row, op)| own(row).or(*op)).collect();
        with_column(rows, VERSION_OP, Arc::new(ops))
    }
}

/// A time of a flattened change.
fn time_in(column: &ArrayRef, unit: Unit, row: usize) -> Option<i64> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Int64 => unit.micros(column.as_primitive::<Int64Type>().value(row)),
        // As it was declared, it is a time already.
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Unit::Micros.micros(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        _ => None,
    }
}

/// The column in place of the one of its name, or behind all others.
pub(super) fn with_column(rows: RecordBatch, name: &str, column: ArrayRef) -> Result<RecordBatch> {
    let (schema, mut columns, _) = rows.into_parts();
    let mut fields = schema.fields().to_vec();
    let known = version_columns().into_iter().find(|field| field.name() == name);
    let field = known.unwrap_or_else(|| Arc::new(Field::new(name, column.data_type().clone(), true)));
    match schema.index_of(name).ok().and_then(|at| Some((columns.get_mut(at)?, fields.get_mut(at)?))) {
        Some(own) => (*own.0, *own.1) = (column, field),
        None => {
            columns.push(column);
            fields.push(field);
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(unfit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times of rows that have these fields, of records at 5 ms.
    fn times(columns: Vec<(&str, ArrayRef)>) -> Vec<i64> {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, it)| (name, it, true)));
        let batch = batch.unwrap();
        let records = Records { timestamps: vec![5; batch.num_rows()], ..Records::default() };
        let origins = Origins::default();
        let versioning = Versioning::of(&records, &origins, &batch);
        (0..batch.num_rows()).map(|row| versioning.at(Some(row as u32), row)).collect()
    }

    fn longs(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(values.iter().copied().collect::<Int64Array>())
    }

    #[test]
    fn i1_flattened_changes_are_of_the_time_that_their_fields_say_or_else_of_their_records() {
        let source = longs(&[Some(7), None, Some(0), None]);
        let own = longs(&[Some(8), Some(9), Some(9), None]);
        assert_eq!(times(vec![("__ts_ms", own), ("__source_ts_ms", source)]), [7000, 9000, 9000, 5000]);
        let (fine, coarse) = (longs(&[Some(7_001_999)]), longs(&[Some(7)]));
        assert_eq!(times(vec![("__source_ts_ms", coarse), ("__source_ts_ns", fine)]), [7001]);
        let texts = Arc::new(StringArray::from(vec!["7"]));
        assert_eq!(times(vec![("__source_ts_ms", texts)]), [5000]);
        let declared = Arc::new(TimestampMicrosecondArray::from(vec![7500]));
        assert_eq!(times(vec![("__source_ts_ms", declared)]), [7500]);
    }
}
