//! A decoded batch as the table's files hold it.
//!
//! - I1: the result has exactly the table's Arrow schema: names, order, types, field ids.
//! - I2: columns are found by name; one that the batch lacks is null (and must be optional).
//! - I3: nothing is copied where the layout is the same; only widening casts change values' form.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields, SchemaRef};
use tableflow_model::{Error, Result};

use crate::arrow_error;

/// `batch` in the shape of `schema`.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = conform_fields(schema.fields(), batch.schema_ref().fields(), batch.columns(), batch.num_rows())?;
    RecordBatch::try_new(schema.clone(), columns).map_err(arrow_error("the rows do not fit the table's columns"))
}

fn conform_fields(wanted: &Fields, have: &Fields, columns: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>> {
    let find = |name: &str| have.find(name).and_then(|(index, _)| columns.get(index));
    wanted
        .iter()
        .map(|field| match find(field.name()) {
            Some(column) => conform_array(column, field.data_type()),
            None if field.is_nullable() => Ok(new_null_array(field.data_type(), rows)),
            None => Err(Error::data(format!("column {} is required and the rows have none", field.name()))),
        })
        .collect()
}

/// One column's values in the shape of `wanted`.
fn conform_array(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    if array.data_type() == wanted {
        return Ok(array.clone());
    }
    let damaged = arrow_error("nested rows do not fit the table's columns");
    match (array.data_type(), wanted) {
        (DataType::Struct(have), DataType::Struct(fields)) => {
            let parts = array.as_struct();
            let columns = conform_fields(fields, have, parts.columns(), parts.len())?;
            let nulls = parts.nulls().cloned();
            let conformed = StructArray::try_new_with_length(fields.clone(), columns, nulls, parts.len());
            Ok(Arc::new(conformed.map_err(damaged)?))
        }
        (DataType::List(_), DataType::List(element)) => {
            let list: &ListArray = array.as_list();
            let values = conform_array(list.values(), element.data_type())?;
            let conformed = ListArray::try_new(element.clone(), list.offsets().clone(), values, list.nulls().cloned());
            Ok(Arc::new(conformed.map_err(damaged)?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let DataType::Struct(pair) = entries.data_type() else {
                return Err(Error::internal("a map's entries are no struct"));
            };
            let mut columns = Vec::with_capacity(2);
            for (column, field) in [map.keys(), map.values()].into_iter().zip(pair) {
                columns.push(conform_array(column, field.data_type())?);
            }
            let rows = StructArray::try_new(pair.clone(), columns, None).map_err(&damaged)?;
            let nulls = map.nulls().cloned();
            let conformed = MapArray::try_new(entries.clone(), map.offsets().clone(), rows, nulls, *sorted);
            Ok(Arc::new(conformed.map_err(damaged)?))
        }
        _ => cast(array, wanted).map_err(damaged),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    #[test]
    fn i1_i2_columns_are_matched_by_name_and_missing_ones_are_null() {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("ann"), None]));
        let person = StructArray::from(vec![(Arc::new(Field::new("name", DataType::Utf8, true)), names)]);
        let batch = RecordBatch::try_from_iter([
            ("key", Arc::new(BinaryArray::from_vec(vec![b"a", b"b"])) as ArrayRef),
            ("person", Arc::new(person) as ArrayRef),
            ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ])
        .unwrap();
        let wide = DataType::Struct(
            vec![Field::new("age", DataType::Int64, true), Field::new("name", DataType::Utf8, true)].into(),
        );
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("person", wide, true),
            Field::new("note", DataType::Utf8, true),
            Field::new("key", DataType::LargeBinary, true),
        ]));
        let conformed = conform(&batch, &schema).unwrap();
        assert_eq!(conformed.schema(), schema);
        assert_eq!(conformed.column(0).as_primitive::<arrow::datatypes::Int64Type>().values(), &[1, 2]);
        assert_eq!(conformed.column(2).null_count(), 2);
        let person = conformed.column(1).as_struct();
        assert_eq!(person.column(0).null_count(), 2);
        assert_eq!(person.column(1).as_string::<i32>().value(0), "ann");
        assert_eq!(conformed.column(3).as_binary::<i64>().value(1), b"b");
    }

    #[test]
    fn i2_a_missing_required_column_is_refused() {
        let batch = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("must", DataType::Int64, false)]));
        assert_eq!(conform(&batch, &schema).unwrap_err().to_string(), "column must is required and the rows have none");
    }
}
