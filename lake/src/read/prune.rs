//! Which containers a filter cannot match.
//!
//! - I1: a container is dropped only where its bounds prove that no row of it passes the filter.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt64Array, new_null_array};
use arrow::datatypes::SchemaRef;
use datafusion::common::Column;
use datafusion::common::pruning::PruningStatistics;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicate;
use datafusion::scalar::ScalarValue;

use super::bounds::{Bounds, ColumnBounds};

/// A filter over a table's columns, ready to be held against bounds; `None` keeps everything.
#[derive(Debug)]
pub struct Pruner {
    schema: SchemaRef,
    predicate: Option<PruningPredicate>,
}

impl Pruner {
    pub fn new(schema: SchemaRef, filter: Option<Arc<dyn PhysicalExpr>>) -> Result<Self> {
        let predicate = filter.map(|filter| PruningPredicate::try_new(filter, schema.clone())).transpose()?;
        Ok(Pruner { schema, predicate: predicate.filter(|predicate| !predicate.always_true()) })
    }

    /// For each container: may it hold a row that passes?
    pub fn keep(&self, containers: &[Bounds]) -> Result<Vec<bool>> {
        match &self.predicate {
            Some(predicate) => predicate.prune(&Containers { schema: &self.schema, bounds: containers }),
            None => Ok(vec![true; containers.len()]),
        }
    }
}

struct Containers<'a> {
    schema: &'a SchemaRef,
    bounds: &'a [Bounds],
}

impl Containers<'_> {
    /// One value a container, null where it is not known; `None` where no container knows it.
    fn values(&self, column: &Column, pick: impl Fn(&ColumnBounds) -> Option<ScalarValue>) -> Option<ArrayRef> {
        let data_type = self.schema.field_with_name(column.name()).ok()?.data_type();
        let null = ScalarValue::try_from(data_type).ok()?;
        let known = |bounds: &Bounds| bounds.columns.get(column.name()).and_then(&pick);
        let values = self.bounds.iter().map(|bounds| {
            let value = known(bounds).unwrap_or_else(|| null.clone());
            value.cast_to(data_type).unwrap_or_else(|_| null.clone())
        });
        let array = ScalarValue::iter_to_array(values).unwrap_or_else(|_| new_null_array(data_type, self.bounds.len()));
        (array.null_count() < array.len()).then_some(array)
    }
}

impl PruningStatistics for Containers<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| bounds.min.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| bounds.max.clone())
    }

    fn num_containers(&self) -> usize {
        self.bounds.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let nulls = self.bounds.iter().map(|bounds| bounds.columns.get(column.name()).and_then(|column| column.nulls));
        Some(Arc::new(UInt64Array::from_iter(nulls)))
    }

    fn row_counts(&self, _column: &Column) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter(self.bounds.iter().map(|bounds| bounds.rows))))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
