//! A file's column in the shape that the table gives it.
//!
//! Owns [`Shape`], found out once a file, and [`Shaped`], the expression that gives it to every batch.
//! - I1: parts of a column are found by field id, at every depth: one that another column took the name of is not it.
//! - I2: a part that the file does not have is the column's default, or null; where it must be there the file is
//!   refused.
//! - I3: nothing is copied but what has another type: nested values are taken apart and put together again.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::scalar::ScalarValue;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use tableflow_model::Error;

/// What a column has where a file lacks it (I2).
pub type Absent<'a> = &'a dyn Fn(&Field) -> Result<ScalarValue>;

/// How a file's values become the table's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    Same,
    Cast(DataType),
    Struct { fields: Fields, parts: Vec<Part> },
    List { have: DataType, element: FieldRef, values: Box<Shape> },
    Map { entries: FieldRef, sorted: bool, pair: Fields, key: Box<Shape>, value: Box<Shape> },
}

/// Where a field of a struct comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    At(usize, Shape),
    Absent(ScalarValue),
}

/// The field's id, where it has one.
pub fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok()
}

/// Without metadata at every depth: operators that put columns together compare types, metadata and all.
pub fn bare(field: &Field) -> Field {
    Field::new(field.name(), bare_type(field.data_type()), field.is_nullable())
}

fn bare_type(data_type: &DataType) -> DataType {
    let inside = |child: &FieldRef| Arc::new(bare(child));
    match data_type {
        DataType::List(element) => DataType::List(inside(element)),
        DataType::Map(entries, sorted) => DataType::Map(inside(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inside).collect()),
        plain => plain.clone(),
    }
}

impl Shape {
    /// From what a file has to what the table wants; both with their field ids.
    pub fn of(have: &Field, wanted: &Field, absent: Absent<'_>) -> Result<Self> {
        let values = |have: &Field, wanted: &Field| Shape::of(have, wanted, absent).map(Box::new);
        Ok(match (have.data_type(), wanted.data_type()) {
            (have, wanted) if have == wanted && !wanted.is_nested() => Shape::Same,
            (DataType::Struct(has), DataType::Struct(fields)) => {
                let part = |field: &FieldRef| part(has, field, absent);
                let parts = fields.iter().map(part).collect::<Result<_>>()?;
                Shape::Struct { fields: fields.iter().map(|field| Arc::new(bare(field))).collect(), parts }
            }
            (
                DataType::List(item)
                | DataType::LargeList(item)
                | DataType::FixedSizeList(item, _)
                | DataType::ListView(item)
                | DataType::LargeListView(item),
                DataType::List(element),
            ) => {
                let have = DataType::List(item.clone());
                Shape::List { have, element: Arc::new(bare(element)), values: values(item, element)? }
            }
            (DataType::Map(has, _), DataType::Map(entries, sorted)) => {
                let (DataType::Struct(has), DataType::Struct(fields)) = (has.data_type(), entries.data_type()) else {
                    return Err(mismatch(have, wanted));
                };
                let ([has_key, has_value], [key, value]) = (has.as_ref(), fields.as_ref()) else {
                    return Err(mismatch(have, wanted));
                };
                Shape::Map {
                    entries: Arc::new(bare(entries)),
                    sorted: *sorted,
                    pair: fields.iter().map(|field| Arc::new(bare(field))).collect(),
                    key: values(has_key, key)?,
                    value: values(has_value, value)?,
                }
            }
            (DataType::Null, wanted) => Shape::Cast(bare_type(wanted)),
            (has, wants) if has.is_nested() || wants.is_nested() => return Err(mismatch(have, wanted)),
            (_, wanted) => Shape::Cast(wanted.clone()),
        })
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self {
            Shape::Same => array.clone(),
            Shape::Cast(wanted) => exact_cast(array, wanted)?,
            Shape::Struct { fields, parts } => {
                let have = array.as_struct_opt().ok_or_else(damaged)?;
                let columns = parts.iter().map(|part| part.of(have)).collect::<Result<_>>()?;
                let nulls = have.nulls().cloned();
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, have.len())?)
            }
            Shape::List { have, element, values } => {
                let array = if array.data_type() == have { array.clone() } else { exact_cast(array, have)? };
                let list: &ListArray = array.as_list_opt().ok_or_else(damaged)?;
                let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
                Arc::new(ListArray::try_new(element.clone(), offsets, values.apply(list.values())?, nulls)?)
            }
            Shape::Map { entries, sorted, pair, key, value } => {
                let map = array.as_map_opt().ok_or_else(damaged)?;
                let columns = vec![key.apply(map.keys())?, value.apply(map.values())?];
                let rows = StructArray::try_new(pair.clone(), columns, None)?;
                let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
                Arc::new(MapArray::try_new(entries.clone(), offsets, rows, nulls, *sorted)?)
            }
        })
    }
}

impl Part {
    fn of(&self, have: &StructArray) -> Result<ArrayRef> {
        match self {
            Part::At(place, shape) => shape.apply(have.columns().get(*place).ok_or_else(damaged)?),
            Part::Absent(value) => value.to_array_of_size(have.len()),
        }
    }
}

/// I1.
fn part(has: &Fields, wanted: &Field, absent: Absent<'_>) -> Result<Part> {
    let id = field_id(wanted);
    let found = has.iter().enumerate().find(|(_, field)| id.is_some() && field_id(field) == id);
    Ok(match found {
        Some((place, field)) => Part::At(place, Shape::of(field, wanted, absent)?),
        None => Part::Absent(absent(wanted)?),
    })
}

/// A value that the type does not hold is an error, not null.
fn exact_cast(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    Ok(cast_with_options(array, wanted, &CastOptions { safe: false, ..CastOptions::default() })?)
}

fn mismatch(have: &Field, wanted: &Field) -> DataFusionError {
    let (name, has, wants) = (wanted.name(), have.data_type(), wanted.data_type());
    let error = Error::data(format!("column {name} has another type in a file than in the table"));
    DataFusionError::External(Box::new(error.with_detail(format!("{has} there, {wants} here"))))
}

fn damaged() -> DataFusionError {
    DataFusionError::External(Box::new(Error::internal("a column is not of the type that its file says")))
}

/// A file's column in the table's shape.
#[derive(Debug, Eq)]
pub struct Shaped {
    pub column: Arc<dyn PhysicalExpr>,
    pub shape: Shape,
    /// As the table has it, bare.
    pub wanted: FieldRef,
}

// Both by hand: a derived comparison of trait objects does not compile (rust-lang/rust issue 78808).
impl PartialEq for Shaped {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.shape == other.shape && self.wanted == other.wanted
    }
}

impl Hash for Shaped {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.shape.hash(state);
        self.wanted.hash(state);
    }
}

impl fmt::Display for Shaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.column.fmt(f)
    }
}

impl PhysicalExpr for Shaped {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn return_field(&self, _input: &Schema) -> Result<FieldRef> {
        Ok(self.wanted.clone())
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        self.shape.apply(&array).map(ColumnarValue::Array)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let column = children.into_iter().next().unwrap_or_else(|| self.column.clone());
        Ok(Arc::new(Shaped { column, shape: self.shape.clone(), wanted: self.wanted.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.column.fmt_sql(f)
    }
}
