//! Where in a record a value stands, and the declaration that would change its column.
//!
//! Owns [`Step`], the writing of JSON paths, and the hint `--columns "name TYPE"`.
//! - I1: a declaration names the whole top-level column: nested types are declared with it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use tableflow_model::types::{flink_column, list_of, map_of};

use super::fields::Fields;

/// One step down into a record.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

/// A path as people write it: `$.customer.address[3].zip`, odd names as `["odd name"]`.
pub(super) fn written(path: &[Step]) -> String {
    let mut text = "$".to_owned();
    for step in path {
        match step {
            Step::Element(index) => text.push_str(&format!("[{index}]")),
            Step::Member(name) if is_plain(name) => text.push_str(&format!(".{name}")),
            Step::Member(name) => text.push_str(&format!("[{name:?}]")),
        }
    }
    text
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The declaration of the column at the start of a path, with another type at its end.
pub(super) fn declaration(record: &Fields, path: &[Step], data_type: DataType, nullable: bool) -> Option<String> {
    let (Step::Member(name), inner) = path.split_first()? else { return None };
    let field = record.schema_fields().into_iter().find(|field| field.name() == name)?;
    Some(flink_column(&replaced(&field, inner, data_type, nullable)?))
}

/// A field with another type at the end of a path.
fn replaced(field: &Field, path: &[Step], data_type: DataType, nullable: bool) -> Option<Field> {
    let Some((step, inner)) = path.split_first() else {
        return Some(Field::new(field.name(), data_type, nullable));
    };
    let whole = match (field.data_type(), step) {
        (DataType::Struct(children), Step::Member(name)) => {
            let replace = |child: &Arc<Field>| match child.name() == name {
                true => replaced(child, inner, data_type.clone(), nullable).map(Arc::new),
                false => Some(child.clone()),
            };
            DataType::Struct(children.iter().map(replace).collect::<Option<_>>()?)
        }
        (DataType::List(element), Step::Element(_)) => {
            let element = replaced(element, inner, data_type, nullable)?;
            list_of(element.data_type().clone(), element.is_nullable())
        }
        (DataType::Map(entries, _), Step::Member(_)) => {
            let DataType::Struct(pair) = entries.data_type() else { return None };
            let value = replaced(pair.get(1)?, inner, data_type, nullable)?;
            map_of(DataType::Utf8, value.data_type().clone(), value.is_nullable())
        }
        _ => return None,
    };
    Some(Field::new(field.name(), whole, field.is_nullable()))
}
