//! The columns that a decoder starts with.
//!
//! Owns the joining of what the table has with what the user declares.
//! - I1: the table's columns come first, in its order; declared ones that it has not come after them.
//! - I2: what is declared has the type that the table has, or it is refused.

use arrow::datatypes::{DataType, Field, Schema};
use tableflow_model::types::{flink_column, flink_name, flink_type};
use tableflow_model::{Error, Result};

use super::column::{Column, Values};
use super::fields::Fields;
use super::names::is_reserved;
use crate::decode::RESERVED_PREFIX;

/// The value columns of a table (its metadata columns are passed over) and of a declaration.
pub(super) fn columns(declared: &[Field], table: &Schema) -> Result<Fields> {
    let mut fields = Fields::new();
    let value_columns = table.fields().iter().filter(|field| !is_reserved(field.name()));
    for field in value_columns {
        fields.add(field.name(), column(field, false)?);
    }
    let is_new = fields.names().next().is_none();
    declare(&mut fields, declared, is_new)?;
    fields.settle();
    Ok(fields)
}

fn column(field: &Field, declared: bool) -> Result<Column> {
    Column::of(field, declared).ok_or_else(|| {
        Error::usage(format!("JSON cannot fill the column {}", flink_column(field)))
            .with_hint("keys of JSON objects are text, so a map is MAP<STRING, ...>; timestamps have microseconds")
    })
}

/// Marks what is declared among the columns of a row, and adds what is not there.
fn declare(fields: &mut Fields, declared: &[Field], is_new: bool) -> Result<()> {
    for field in declared {
        let name = field.name();
        if is_reserved(name) {
            return Err(Error::usage(format!("column {} cannot be declared", flink_name(name)))
                .with_hint(format!("names that begin with {RESERVED_PREFIX} belong to the metadata columns")));
        }
        let index = fields.index_of(name);
        if let Some(known) = index.and_then(|index| fields.column(index)) {
            mark(known, field, is_new)?;
            continue;
        }
        if let Some(twin) = fields.names().find(|known| known.to_lowercase() == name.to_lowercase()) {
            let message = format!("column {} differs only by case from {}", flink_name(name), flink_name(twin));
            return Err(Error::usage(message).with_hint("engines cannot tell them apart: use one spelling"));
        }
        if !field.is_nullable() && !is_new {
            return Err(Error::usage(format!("column {} cannot be added as NOT NULL", flink_name(name)))
                .with_hint("the rows that the table has already would have no value: declare it without NOT NULL"));
        }
        fields.add(name, column(field, true)?);
    }
    Ok(())
}

/// Marks a column as declared, down to its leaves.
fn mark(column: &mut Column, declared: &Field, is_new: bool) -> Result<()> {
    let table_type = column.data_type();
    match (&mut column.values, declared.data_type()) {
        (Values::Row(fields), DataType::Struct(children)) => {
            let children: Vec<Field> = children.iter().map(|child| child.as_ref().clone()).collect();
            declare(fields, &children, is_new)
        }
        (Values::List(list), DataType::List(element)) => mark(&mut list.element, element, is_new),
        (Values::Map(map), DataType::Map(entries, _)) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                pair.get(1).map_or(Ok(()), |value| mark(&mut map.value, value, is_new))
            }
            _ => Ok(()),
        },
        (Values::Text(texts), DataType::Utf8) => {
            texts.declared = true;
            Ok(())
        }
        (_, declared_type) if *declared_type == table_type => Ok(()),
        (_, declared_type) => {
            let (declared_type, table_type) = (flink_type(declared_type), flink_type(&table_type));
            let name = flink_name(declared.name());
            Err(Error::usage(format!("column {name} is declared {declared_type}, but the table has {table_type}"))
                .with_hint("a column keeps its type: declare it as it is, or enable the topic as another table"))
        }
    }
}
