//! Columns of older files in the shape that the table has now.
//!
//! Owns [`NestedAdapterFactory`]. DataFusion's own adapter adds columns and fields of structs that a file lacks, but
//! gives up where the struct is inside a list or a map; those columns are conformed here, all others are left to it.
//! - I1: a column reaches the query in the table's type, whatever schema its file was written with.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

use crate::layout::conform_array;

/// An adapter for each file.
#[derive(Debug)]
pub struct NestedAdapterFactory;

impl PhysicalExprAdapterFactory for NestedAdapterFactory {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let mut conformed = Vec::new();
        let field = |wanted: &FieldRef| match file.field_with_name(wanted.name()) {
            Ok(have) if have.data_type() != wanted.data_type() && is_nested_deep(wanted.data_type()) => {
                conformed.push(wanted.clone());
                Arc::new(have.clone())
            }
            _ => wanted.clone(),
        };
        // The default adapter sees those columns as the file has them, and lets them be.
        let fields: Vec<FieldRef> = table.fields().iter().map(field).collect();
        let seen = Arc::new(Schema::new_with_metadata(fields, table.metadata().clone()));
        let others = DefaultPhysicalExprAdapterFactory.create(seen, file)?;
        Ok(if conformed.is_empty() { others } else { Arc::new(NestedAdapter { conformed, others }) })
    }
}

/// Is there a list or a map in it?
fn is_nested_deep(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(_) | DataType::Map(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| is_nested_deep(field.data_type())),
        _ => false,
    }
}

#[derive(Debug)]
struct NestedAdapter {
    /// As the table has them.
    conformed: Vec<FieldRef>,
    others: Arc<dyn PhysicalExprAdapter>,
}

impl PhysicalExprAdapter for NestedAdapter {
    fn rewrite(&self, expression: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let conform = |node: Arc<dyn PhysicalExpr>| {
            let column = node.as_any().downcast_ref::<Column>();
            let wanted = column.and_then(|column| self.conformed.iter().find(|field| field.name() == column.name()));
            Ok(match wanted {
                Some(wanted) => Transformed::yes(Arc::new(Conformed { column: node, wanted: wanted.clone() }) as _),
                None => Transformed::no(node),
            })
        };
        // Upwards: the column inside a new expression is not visited again.
        Ok(self.others.rewrite(expression)?.transform_up(conform)?.data)
    }
}

/// A file's column in the table's type.
#[derive(Debug, Eq)]
struct Conformed {
    column: Arc<dyn PhysicalExpr>,
    wanted: FieldRef,
}

// Both by hand: a derived comparison of trait objects does not compile (rust-lang/rust issue 78808).
impl PartialEq for Conformed {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.wanted == other.wanted
    }
}

impl Hash for Conformed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.wanted.hash(state);
    }
}

impl fmt::Display for Conformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.column.fmt(f)
    }
}

impl PhysicalExpr for Conformed {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn return_field(&self, _input: &Schema) -> Result<FieldRef> {
        Ok(self.wanted.clone())
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let conformed = conform_array(&array, self.wanted.data_type());
        conformed.map(ColumnarValue::Array).map_err(|error| DataFusionError::External(Box::new(error)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let column = children.into_iter().next().unwrap_or_else(|| self.column.clone());
        Ok(Arc::new(Conformed { column, wanted: self.wanted.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.column.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, Fields, Int64Type};

    use super::*;

    fn list_of(names: &[&str]) -> Field {
        let fields: Fields = names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
        Field::new("lines", DataType::new_list(DataType::Struct(fields), true), true)
    }

    #[test]
    fn i1_a_field_added_inside_a_list_is_null_in_older_files() {
        let file = Arc::new(Schema::new(vec![list_of(&["a"])]));
        let table = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), list_of(&["b", "a"])]));
        let DataType::List(element) = file.field(0).data_type().clone() else { panic!("a list") };
        let DataType::Struct(fields) = element.data_type().clone() else { panic!("of structs") };
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = Arc::new(StructArray::new(fields, vec![values], None));
        let lists: ArrayRef = Arc::new(ListArray::new(element, OffsetBuffer::from_lengths([2, 0, 1]), rows, None));
        let batch = RecordBatch::try_new(file.clone(), vec![lists]).unwrap();

        let adapter = NestedAdapterFactory.create(table.clone(), file).unwrap();
        let rewritten = adapter.rewrite(Arc::new(Column::new("lines", 1))).unwrap();
        let seen = rewritten.evaluate(&batch).unwrap().into_array(3).unwrap();
        assert_eq!(seen.data_type(), table.field(1).data_type());
        let lists = seen.as_list::<i32>();
        assert_eq!(lists.value_offsets(), [0, 2, 2, 3]);
        let rows = lists.values().as_struct();
        assert_eq!(rows.column(0).null_count(), 3, "the file knows no b");
        assert_eq!(rows.column(1).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    }
}
