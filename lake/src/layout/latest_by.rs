//! Tables in which the row of a key stays that is the latest by a column.
//!
//! Owns [`latest_by`], and what a table says of it.
//! - I1: the table says which column it is, by its id and its name: whoever commits to it goes by the same one. Where it is
//!   called something else by now, records would fill another one, and all of them be late: a person is asked.
//! - I2: a catalog that makes a table gives its columns ids anew, those of the top before all that is inside of them: the
//!   id is told by the place.

use iceberg::spec::{PrimitiveType, Schema, TableMetadata, Type};
use tableflow_model::{Error, Result};

/// The table property with the id of the column, and its name behind it.
const PROPERTY: &str = "tableflow.latest-by";

/// Where in its source a change was made, where that is what rows are ordered by.
pub const SOURCE_POSITION: &str = "__source_position";

/// The column, of a table that has one (I1).
pub fn latest_by(table: &TableMetadata) -> Result<Option<String>> {
    let Some(told) = table.properties().get(PROPERTY) else { return Ok(None) };
    let (id, name) = told.split_once(' ').unwrap_or((told, ""));
    let fields = table.current_schema().as_struct().fields();
    let changed = match fields.iter().find(|field| field.id.to_string() == id) {
        Some(field) if field.name == name => return Ok(Some(field.name.clone())),
        Some(field) => {
            Error::data(format!("column {name}, by which the latest row of a key is told, is called {}", field.name))
        }
        None => Error::data(format!("column {name} is gone, by which the latest row of a key is told")),
    };
    Err(changed
        .with_detail(format!("{PROPERTY} of the table says that it has id {id}"))
        .with_hint("undo that where it was done, or enable the topic into another table with --table"))
}

/// Whether a table goes by the column of this id.
pub(super) fn goes_by(table: &TableMetadata, id: i32) -> bool {
    table.properties().get(PROPERTY).and_then(|told| told.split(' ').next()).is_some_and(|own| own == id.to_string())
}

/// The property of a table to be made that is to go by this column (I2).
pub fn latest_by_property(schema: &Schema, column: &str) -> Result<(String, String)> {
    let found = (1_i32..).zip(schema.as_struct().fields()).find(|(_, field)| field.name == column);
    let (id, field) = found.ok_or_else(|| {
        Error::usage(format!("there is no column {column} to tell the latest row of a key by"))
            .with_hint("columns are what the records have, or what --columns and --key-columns declare; `source`, where a database made a change, is for --format debezium")
    })?;
    let has_order = matches!(
        &*field.field_type,
        Type::Primitive(
            PrimitiveType::Int
                | PrimitiveType::Long
                | PrimitiveType::Decimal { .. }
                | PrimitiveType::Date
                | PrimitiveType::Timestamp
                | PrimitiveType::Timestamptz
                | PrimitiveType::String
        )
    );
    if !has_order {
        return Err(Error::usage(format!(
            "column {column} cannot tell the latest row of a key: it is {}",
            field.field_type
        ))
        .with_detail("whole numbers, decimals, dates, timestamps and texts have an order that can be told")
        .with_hint("name another column with --latest-by, or declare another type with --columns"));
    }
    if schema.identifier_field_ids().any(|id| id == field.id) {
        return Err(Error::usage(format!(
            "column {column} cannot tell the latest row of a key: it is part of the key"
        ))
        .with_detail("all rows of a key have the same value there")
        .with_hint("name another column with --latest-by"));
    }
    Ok((PROPERTY.to_owned(), format!("{id} {column}")))
}
