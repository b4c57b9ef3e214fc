//! Columns of a file, found by their field ids.
//!
//! Owns [`ColumnsById`]: what expressions over the table become for one file. DataFusion's own adapter finds columns by
//! name; it prunes row groups and pages by the expressions that come out of here, so those go by ids, too.
//! - I1: a column reaches the query in the table's type, whatever schema its file was written with.
//! - I2: a column is the file's column with its id, and with no other. Its name in the file means nothing.
//! - I3: a column that the file lacks is its default, or null.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastColumnExpr, Column, lit};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use datafusion::scalar::ScalarValue;
use iceberg::spec::{Literal, SchemaRef, TableMetadata, Type};
use tableflow_model::Error;

use super::bounds::to_scalar;
use super::imported::{NamesOfIds, have_ids};
use super::shape::{Shape, Shaped, bare, field_id};
use crate::layout::arrow_schema;

/// The columns of a table as files are to be read; makes an adapter for each file.
#[derive(Clone, Debug)]
pub struct ColumnsById {
    table: Arc<Table>,
}

#[derive(Debug)]
struct Table {
    /// With field ids at every depth.
    schema: ArrowSchemaRef,
    /// As the query sees it.
    bare: ArrowSchemaRef,
    /// What columns have in files from before them; nothing where the value is of a type that is not read here.
    defaults: HashMap<i32, Option<ScalarValue>>,
    names: NamesOfIds,
}

impl ColumnsById {
    pub fn new(metadata: &TableMetadata, schema: &SchemaRef) -> tableflow_model::Result<Self> {
        let with_ids = arrow_schema(schema)?;
        let fields: Vec<Field> = with_ids.fields().iter().map(|field| bare(field)).collect();
        let (bare, names) = (Arc::new(ArrowSchema::new(fields)), NamesOfIds::of(metadata, schema));
        let default = |id: &i32| {
            let field = schema.field_by_id(*id)?;
            let value = match (field.initial_default.as_ref()?, field.field_type.as_ref()) {
                (Literal::Primitive(value), Type::Primitive(of)) => to_scalar(value, of),
                _ => None,
            };
            Some((*id, value))
        };
        let defaults = schema.field_id_to_name_map().keys().filter_map(default).collect();
        Ok(ColumnsById { table: Arc::new(Table { schema: with_ids, bare, defaults, names }) })
    }

    /// Without field ids: with them in the schema every expression would carry them.
    pub fn bare_schema(&self) -> &ArrowSchemaRef {
        &self.table.bare
    }

    /// Whether a file that looks like the table has to be looked at all the same.
    pub fn may_mislead(&self) -> bool {
        self.table.names.may_mislead()
    }
}

impl PhysicalExprAdapterFactory for ColumnsById {
    fn create(&self, _table: ArrowSchemaRef, file: ArrowSchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let ids = if have_ids(file.fields()) {
            file.clone()
        } else {
            let given = self.table.names.give_ids(&file);
            Arc::new(given.map_err(|error| DataFusionError::External(Box::new(error)))?)
        };
        let place = |(place, field): (usize, &FieldRef)| Some((field_id(field)?, place));
        let places = ids.fields().iter().enumerate().filter_map(place).collect();
        Ok(Arc::new(FileColumns { table: self.table.clone(), file, ids, places }))
    }
}

/// One file's columns.
#[derive(Debug)]
struct FileColumns {
    table: Arc<Table>,
    /// As they are read.
    file: ArrowSchemaRef,
    /// The same with their ids.
    ids: ArrowSchemaRef,
    places: HashMap<i32, usize>,
}

impl PhysicalExprAdapter for FileColumns {
    fn rewrite(&self, expression: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let adapt = |node: Arc<dyn PhysicalExpr>| match node.as_any().downcast_ref::<Column>() {
            Some(column) => self.column(column).map(Transformed::yes),
            None => Ok(Transformed::no(node)),
        };
        // Upwards: the file's column inside a new expression is not visited again.
        Ok(expression.transform_up(adapt)?.data)
    }
}

impl FileColumns {
    fn column(&self, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let index = match self.table.bare.fields().get(column.index()) {
            Some(field) if field.name() == column.name() => column.index(),
            _ => self.table.bare.index_of(column.name())?,
        };
        let (wanted, seen) = (self.table.schema.field(index), self.table.bare.field(index));
        let absent = |field: &Field| self.table.absent(field);
        let Some(place) = field_id(wanted).and_then(|id| self.places.get(&id)).copied() else {
            return Ok(lit(absent(wanted)?));
        };
        let have = self.file.field(place);
        if is_bytes(wanted.data_type()) && is_text(have.data_type()) {
            return refused(taken_for_text(wanted, have));
        }
        let source = Arc::new(Column::new(have.name(), place));
        Ok(match Shape::of(self.ids.field(place), wanted, &absent)? {
            Shape::Same => source,
            // Statistics are held against casts of this kind.
            Shape::Cast(_) => {
                let (have, wanted) = (Arc::new(have.clone()), Arc::new(seen.clone()));
                Arc::new(CastColumnExpr::new(source, have, wanted, None))
            }
            shape => Arc::new(Shaped { column: source, shape, wanted: Arc::new(seen.clone()) }),
        })
    }
}

impl Table {
    /// I3.
    fn absent(&self, field: &Field) -> Result<ScalarValue> {
        match field_id(field).and_then(|id| self.defaults.get(&id)) {
            Some(Some(value)) => Ok(value.clone()),
            Some(None) => refused(Error::usage(format!(
                "column {} has a default of type {}, which this version does not read",
                field.name(),
                field.data_type()
            ))),
            None if field.is_nullable() => ScalarValue::try_new_null(bare(field).data_type()),
            None => refused(Error::data(format!("column {} must have values, and a file has none", field.name()))),
        }
    }
}

/// DataFusion reads a file's bytes as text where the table has a text of that name, before it asks for an adapter.
fn taken_for_text(wanted: &Field, have: &Field) -> Error {
    let (column, before) = (wanted.name(), have.name());
    Error::usage(format!("column {column} was called {before}, and a text has that name now"))
        .with_detail("files from before hold bytes, which would be taken for text")
        .with_hint(format!("leave {column} out, or rename {before} with the engine that gave it the name"))
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn refused<T>(error: Error) -> Result<T> {
    Err(DataFusionError::External(Box::new(error)))
}
