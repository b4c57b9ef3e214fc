//! Rows as bytes.
//!
//! Owns [`Comparer`].
//! - I1: two rows have the same bytes exactly if they have the same values; a map is its entries in their order, which
//!   is how engines write a value that they did not change.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::row::{RowConverter, Rows, SortField};
use tableflow_model::Result;

use crate::arrow_error;

/// Compares some columns.
#[derive(Debug)]
pub struct Comparer {
    converter: RowConverter,
}

impl Comparer {
    pub fn new<'f>(columns: impl Iterator<Item = &'f FieldRef>) -> Result<Self> {
        let fields = columns.map(|field| SortField::new(without_maps(field.data_type()))).collect();
        let converter = RowConverter::new(fields).map_err(arrow_error("rows of the table cannot be compared"))?;
        Ok(Comparer { converter })
    }

    pub fn rows(&self, columns: &[ArrayRef]) -> Result<Rows> {
        let columns = columns.iter().map(entries_of_maps).collect::<Result<Vec<_>>>()?;
        self.converter.convert_columns(&columns).map_err(arrow_error("comparing rows of the table"))
    }
}

/// A map as a list of pairs, at every depth.
fn without_maps(of: &DataType) -> DataType {
    let inside = |field: &FieldRef| Arc::new(inner(field));
    match of {
        DataType::Map(entries, _) => DataType::List(inside(entries)),
        DataType::List(element) => DataType::List(inside(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inside).collect()),
        plain => plain.clone(),
    }
}

fn inner(field: &Field) -> Field {
    Field::new(field.name(), without_maps(field.data_type()), field.is_nullable())
}

fn entries_of_maps(array: &ArrayRef) -> Result<ArrayRef> {
    let failed = arrow_error("comparing nested values");
    let list = |element: &FieldRef, offsets, values: &ArrayRef, nulls| {
        let list = ListArray::try_new(Arc::new(inner(element)), offsets, entries_of_maps(values)?, nulls);
        Ok::<ArrayRef, tableflow_model::Error>(Arc::new(list.map_err(failed)?))
    };
    match array.data_type() {
        DataType::Map(entries, _) => {
            let map = array.as_map();
            let values: ArrayRef = Arc::new(map.entries().clone());
            list(entries, map.offsets().clone(), &values, map.nulls().cloned())
        }
        DataType::List(element) => {
            let of: &ListArray = array.as_list();
            list(element, of.offsets().clone(), of.values(), of.nulls().cloned())
        }
        DataType::Struct(fields) => {
            let of = array.as_struct();
            let fields = fields.iter().map(|field| Arc::new(inner(field))).collect();
            let columns = of.columns().iter().map(entries_of_maps).collect::<Result<_>>()?;
            let of = StructArray::try_new_with_length(fields, columns, of.nulls().cloned(), of.len());
            Ok(Arc::new(of.map_err(failed)?))
        }
        _ => Ok(array.clone()),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Builder, MapBuilder, StringBuilder};

    use super::*;

    #[test]
    fn i1_maps_are_compared_by_their_entries() {
        let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        for entries in [&[("a", 1), ("b", 2)][..], &[("a", 1), ("b", 3)], &[("a", 1), ("b", 2)], &[]] {
            for (key, value) in entries {
                builder.keys().append_value(key);
                builder.values().append_value(*value);
            }
            builder.append(true).unwrap();
        }
        builder.append(false).unwrap();
        let maps: ArrayRef = Arc::new(builder.finish());
        let field = Arc::new(Field::new("m", maps.data_type().clone(), true));
        let rows = Comparer::new(std::iter::once(&field)).unwrap().rows(&[maps]).unwrap();
        assert_eq!(rows.row(0), rows.row(2));
        for (one, other) in [(0, 1), (0, 3), (3, 4)] {
            assert_ne!(rows.row(one), rows.row(other));
        }
    }
}
