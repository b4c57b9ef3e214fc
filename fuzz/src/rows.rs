//! A batch's rows as text, so that rows of batches with other columns compare.
//!
//! - I1: null, and a column that is not there, read alike, and the order of columns does not count: schemas only grow.

use std::collections::BTreeMap;
use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Fields, Float32Type, Float64Type};
use arrow::util::display::array_value_to_string;
use serde_json::Value;

/// Whether a value without content is told from null.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Empties {
    Kept,
    /// Of JSON: `{}` and `[]`, and what has only such in it, tell no type, and are null while there is no column.
    AsNull,
}

/// One text for each row.
pub fn rows(batch: &RecordBatch, empties: Empties) -> Vec<String> {
    let schema = batch.schema();
    let row = |row| members(schema.fields(), batch.columns(), row, empties);
    (0..batch.num_rows()).map(row).collect()
}

/// The cells that are not null, by the names of their columns.
fn members(fields: &Fields, columns: &[ArrayRef], row: usize, empties: Empties) -> String {
    let cell = |column: &ArrayRef| column.is_valid(row).then(|| cell(column, row, empties));
    let cells = fields.iter().zip(columns).filter_map(|(field, column)| Some((field.name(), cell(column)?)));
    let cells: BTreeMap<_, _> = cells.filter(|(_, cell)| empties == Empties::Kept || !cell.is_empty()).collect();
    cells.into_iter().fold(String::new(), |mut text, (name, cell)| {
        let _ = write!(text, "{name:?}={cell},");
        text
    })
}

fn cell(array: &dyn Array, row: usize, empties: Empties) -> String {
    let (inner, brackets) = match array.data_type() {
        _ if array.is_null(row) => return String::new(),
        DataType::Struct(fields) => (members(fields, array.as_struct().columns(), row, empties), ['{', '}']),
        DataType::List(_) => (elements(&array.as_list::<i32>().value(row), empties), ['[', ']']),
        DataType::Map(..) => (elements(&array.as_map().value(row), empties), ['(', ')']),
        DataType::Float32 => return number(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => return number(array.as_primitive::<Float64Type>().value(row)),
        _ => {
            let value = array_value_to_string(array, row).unwrap_or_else(|error| error.to_string());
            if empties == Empties::AsNull && serde_json::from_str(&value).is_ok_and(|value| tells_nothing(&value)) {
                return String::new();
            }
            return value.escape_debug().to_string();
        }
    };
    if empties == Empties::AsNull && inner.chars().all(|char| char == ';') {
        return String::new();
    }
    let [opening, closing] = brackets;
    format!("{opening}{inner}{closing}")
}

/// A whole number reads alike in a column that became DOUBLE.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:?}") }
}

fn tells_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.iter().all(tells_nothing),
        Value::Object(members) => members.values().all(tells_nothing),
        _ => false,
    }
}

fn elements(array: &dyn Array, empties: Empties) -> String {
    (0..array.len()).fold(String::new(), |text, index| text + &cell(array, index, empties) + ";")
}
