//! Rows to partitions.
//!
//! - I1: every row goes to exactly one partition, the one its transforms give.
//! - I2: rows of a partition keep their order; a batch of one partition is passed on uncopied.
//!
//! iceberg's `RecordBatchPartitionSplitter` was looked at: it builds a literal on the heap for every row and a
//! filter as long as the batch for every partition. Its calculator does the transforms; grouping is ours, over
//! Arrow's row format, with one literal a partition.
//!
//! Days are counted here: iceberg 0.10.1 puts a time with a fraction in the last second of a day before 1970 into
//! the next day.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, RecordBatch, StructArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Int32Type, TimeUnit, TimestampMicrosecondType};
use arrow::row::{OwnedRow, RowConverter, SortField};
use iceberg::arrow::{PartitionValueCalculator, arrow_struct_to_literal};
use iceberg::spec::{Literal, PartitionSpec, Schema, Struct, StructType, Transform, Type};
use tableflow_model::{Error, Result};

use crate::{arrow_error, iceberg_error};

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// Splits batches of one table by its partition spec.
#[derive(Debug)]
pub struct Splitter {
    /// `None` for a table without partitions.
    by: Option<By>,
}

struct By {
    calculator: PartitionValueCalculator,
    /// The partition columns that are days, with the names that lead to the column they are the days of.
    days: Vec<(usize, Vec<String>)>,
    rows: RowConverter,
}

impl std::fmt::Debug for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("By").field("type", self.calculator.partition_arrow_type()).finish()
    }
}

/// The rows of one partition.
#[derive(Debug)]
pub struct Part {
    /// Equal for equal partitions; cheap to hash.
    pub key: Option<OwnedRow>,
    pub partition: Struct,
    pub rows: RecordBatch,
}

impl Splitter {
    pub fn new(spec: &PartitionSpec, schema: &Schema) -> Result<Self> {
        if spec.is_unpartitioned() {
            return Ok(Splitter { by: None });
        }
        let calculator = PartitionValueCalculator::try_new(spec, schema)
            .map_err(iceberg_error("the partition columns do not fit the table"))?;
        let field = SortField::new(calculator.partition_arrow_type().clone());
        let rows = RowConverter::new(vec![field]).map_err(arrow_error("the partition columns"))?;
        let days = spec.fields().iter().enumerate().filter(|(_, field)| field.transform == Transform::Day);
        let days =
            days.filter_map(|(place, field)| Some((place, path(schema.as_struct(), field.source_id)?))).collect();
        Ok(Splitter { by: Some(By { calculator, days, rows }) })
    }

    pub fn split(&self, batch: RecordBatch) -> Result<Vec<Part>> {
        let Some(by) = &self.by else {
            return Ok(vec![Part { key: None, partition: Struct::empty(), rows: batch }]);
        };
        let values = by.values(&batch)?;
        let rows = by.rows.convert_columns(std::slice::from_ref(&values)).map_err(arrow_error("partition values"))?;
        let mut groups: HashMap<arrow::row::Row<'_>, Vec<u32>> = HashMap::new();
        for (index, row) in (0_u32..).zip(rows.iter()) {
            groups.entry(row).or_default().push(index);
        }
        let mut parts = Vec::with_capacity(groups.len());
        for (row, indices) in groups {
            let first = indices.first().copied().unwrap_or(0);
            let partition = literal(&values, first as usize, &by.calculator)?;
            let rows = if indices.len() == batch.num_rows() {
                batch.clone()
            } else {
                take_record_batch(&batch, &UInt32Array::from(indices)).map_err(arrow_error("splitting a batch"))?
            };
            parts.push(Part { key: Some(row.owned()), partition, rows });
        }
        // A stable order of files whatever the hash: a replay names them alike.
        parts.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(parts)
    }
}

impl By {
    /// The partition values of every row.
    fn values(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let values = self.calculator.calculate(batch).map_err(iceberg_error("computing partition values"))?;
        if self.days.is_empty() {
            return Ok(values);
        }
        let (fields, mut columns, nulls) = values.as_struct().clone().into_parts();
        for (place, path) in &self.days {
            if let (Some(times), Some(column)) = (times(batch, path), columns.get_mut(*place)) {
                *column = cast(&days(&times), column.data_type()).map_err(arrow_error("counting days"))?;
            }
        }
        let values = StructArray::try_new(fields, columns, nulls).map_err(arrow_error("partition values"))?;
        Ok(Arc::new(values))
    }
}

/// The names that lead to a field; each may have a dot in it.
fn path(fields: &StructType, id: i32) -> Option<Vec<String>> {
    fields.fields().iter().find_map(|field| {
        let inside = match field.field_type.as_ref() {
            _ if field.id == id => Some(Vec::new()),
            Type::Struct(children) => path(children, id),
            _ => None,
        };
        inside.map(|rest| std::iter::once(field.name.clone()).chain(rest).collect())
    })
}

/// A column of microseconds, by the names that lead to it; null where one of the structs around it is.
fn times(batch: &RecordBatch, path: &[String]) -> Option<TimestampMicrosecondArray> {
    let (first, rest) = path.split_first()?;
    let mut column = batch.column_by_name(first)?.clone();
    let mut nulls: Option<NullBuffer> = None;
    for name in rest {
        nulls = NullBuffer::union(nulls.as_ref(), column.nulls());
        column = column.as_struct_opt()?.column_by_name(name)?.clone();
    }
    if !matches!(column.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)) {
        return None;
    }
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let nulls = NullBuffer::union(nulls.as_ref(), times.nulls());
    Some(TimestampMicrosecondArray::new(times.values().clone(), nulls))
}

/// The day of each time, counted from 1970-01-01, before it too.
fn days(times: &TimestampMicrosecondArray) -> ArrayRef {
    Arc::new(times.unary::<_, Int32Type>(|time| time.div_euclid(DAY_MICROS) as i32) as Int32Array)
}

fn literal(values: &ArrayRef, index: usize, calculator: &PartitionValueCalculator) -> Result<Struct> {
    let one: ArrayRef = Arc::new(values.as_struct().slice(index, 1));
    let literals = arrow_struct_to_literal(&one, calculator.partition_type())
        .map_err(iceberg_error("a partition value has no literal"))?;
    match literals.into_iter().next().flatten() {
        Some(Literal::Struct(partition)) => Ok(partition),
        _ => Err(Error::internal("a partition value is no struct")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_before_1970_ends_at_midnight() {
        // From 1969-12-30T23:59:59.5 to 1970-01-01.
        let times = [-86_400_500_000, -86_400_000_000, -1, 0, 86_399_999_999];
        let days = days(&TimestampMicrosecondArray::from(times.to_vec()));
        assert_eq!(days.as_primitive::<Int32Type>().values(), &[-2, -1, -1, 0, 0]);
    }
}
