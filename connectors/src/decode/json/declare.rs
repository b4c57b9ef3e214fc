//! The columns that a decoder starts with.
//!
//! Owns the joining of what the table has with what the user declares.
//! - I1: the table's columns come first, in its order; declared ones that it has not come after them.
//! - I2: what is declared has the type that the table has, or it is refused.

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use tableflow_model::types::{Width, flink_column, flink_field_type, flink_name, flink_type};
use tableflow_model::{Error, Result};

use crate::decode::columns::column::{Column, Values, has_text_keys, map_parts};
use crate::decode::columns::fields::Fields;
use crate::decode::columns::names::{self, TakenNames, is_reserved};
use crate::decode::columns::temporal::FINER;
use crate::decode::{Note, RESERVED_PREFIX};

/// The value columns of a table (its metadata columns are passed over) and of a declaration.
pub(super) fn columns(declared: &[Field], table: &Schema) -> Result<Fields> {
    let mut fields = Fields::new();
    let value_columns = table.fields().iter().filter(|field| !is_reserved(field.name()));
    for field in value_columns {
        fields.add(field.name(), column(field, false)?);
    }
    let is_new = fields.names().next().is_none();
    declare(&mut fields, declared, is_new)?;
    check_names(&fields, &TakenNames::default())?;
    fields.settle();
    Ok(fields)
}

fn column(field: &Field, declared: bool) -> Result<Column> {
    let column = Column::of(field, declared).filter(|_| has_text_keys(field.data_type()));
    column.ok_or_else(|| {
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
        (Values::Map(map), DataType::Map(entries, _)) => match map_parts(entries) {
            Some((key, value)) => {
                map.keys.narrow(Width::of(key));
                mark(&mut map.value, value, is_new)
            }
            None => Err(unlike(declared, &table_type)),
        },
        (Values::Text(texts), DataType::Utf8) => {
            texts.declared = true;
            texts.width = Width::of(declared);
            Ok(())
        }
        (_, declared_type) if *declared_type == table_type => {
            column.narrow(Width::of(declared));
            Ok(())
        }
        _ => Err(unlike(declared, &table_type)),
    }
}

/// What columns do not keep of what may be written for them.
pub(super) fn notes(columns: &[FieldRef]) -> Vec<Note> {
    let mut notes = Vec::new();
    columns.iter().for_each(|column| note(column, column.name(), &mut notes));
    notes
}

fn note(field: &Field, path: &str, notes: &mut Vec<Note>) {
    match field.data_type() {
        DataType::Timestamp(..) | DataType::Time64(_) => {
            notes.push(Note { path: path.to_owned(), words: FINER.to_owned() });
        }
        DataType::Struct(children) => {
            children.iter().for_each(|child| note(child, &format!("{path}.{}", child.name()), notes));
        }
        DataType::List(element) => note(element, &format!("{path}.element"), notes),
        DataType::Map(entries, _) => {
            if let Some((_, value)) = map_parts(entries) {
                note(value, &format!("{path}.value"), notes);
            }
        }
        _ => {}
    }
}

/// Whether the columns can all be in one table.
pub(super) fn check_names(fields: &Fields, taken: &TakenNames) -> Result<()> {
    match names::clash(&fields.schema_fields(), taken) {
        Some(clash) => Err(Error::usage(clash.message()).with_hint("declare the column under another name")),
        None => Ok(()),
    }
}

fn unlike(declared: &Field, table_type: &DataType) -> Error {
    let (name, declared_type) = (flink_name(declared.name()), flink_field_type(declared));
    let table_type = flink_type(table_type);
    Error::usage(format!("column {name} is declared {declared_type}, but the table has {table_type}"))
        .with_hint("a column keeps its type: declare it as it is, or enable the topic into another table with --table")
}
