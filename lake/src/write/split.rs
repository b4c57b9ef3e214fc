//! Rows to partitions.
//!
//! - I1: every row goes to exactly one partition, the one its transforms give.
//! - I2: rows of a partition keep their order; a batch of one partition is passed on uncopied.
//!
//! iceberg's `RecordBatchPartitionSplitter` was looked at: it builds a literal on the heap for every row and a
//! filter as long as the batch for every partition. Its calculator does the transforms; grouping is ours, over
//! Arrow's row format, with one literal a partition.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use iceberg::arrow::{PartitionValueCalculator, arrow_struct_to_literal};
use iceberg::spec::{Literal, PartitionSpec, Schema, Struct};
use tableflow_model::{Error, Result};

use crate::{arrow_error, iceberg_error};

/// Splits batches of one table by its partition spec.
#[derive(Debug)]
pub struct Splitter {
    /// `None` for a table without partitions.
    by: Option<By>,
}

struct By {
    calculator: PartitionValueCalculator,
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
        Ok(Splitter { by: Some(By { calculator, rows }) })
    }

    pub fn split(&self, batch: RecordBatch) -> Result<Vec<Part>> {
        let Some(by) = &self.by else {
            return Ok(vec![Part { key: None, partition: Struct::empty(), rows: batch }]);
        };
        let values = by.calculator.calculate(&batch).map_err(iceberg_error("computing partition values"))?;
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

fn literal(values: &ArrayRef, index: usize, calculator: &PartitionValueCalculator) -> Result<Struct> {
    let one: ArrayRef = std::sync::Arc::new(values.as_struct().slice(index, 1));
    let literals = arrow_struct_to_literal(&one, calculator.partition_type())
        .map_err(iceberg_error("a partition value has no literal"))?;
    match literals.into_iter().next().flatten() {
        Some(Literal::Struct(partition)) => Ok(partition),
        _ => Err(Error::internal("a partition value is no struct")),
    }
}
