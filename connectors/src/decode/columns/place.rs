//! Where in a record a value stands, and the declaration that would change its column.
//!
//! Owns [`Step`], the writing of JSON paths, and of the declaration that takes it.
//! - I1: a declaration names the whole top-level column: nested types are declared with it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use tableflow_model::types::{list_of_field, map_of_fields};

use super::column::map_parts;
use super::fields::Fields;

/// One step down into a record.
#[derive(Clone, Debug)]
pub(in crate::decode) enum Step {
    Member(String),
    Element(usize),
}

/// A path as people write it: `$.customer.address[3].zip`, odd names as `["odd name"]`.
pub(in crate::decode) fn written(path: &[Step]) -> String {
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

/// The column at the start of a path, with another field at its end. A column that is not there yet is declared whole.
pub(in crate::decode) fn declaration(record: &Fields, path: &[Step], at_end: Field) -> Option<Field> {
    let (Step::Member(name), inner) = path.split_first()? else { return None };
    match record.declared().into_iter().find(|field| field.name() == name) {
        Some(field) => replaced(&field, inner, at_end),
        None => inner.is_empty().then(|| at_end.with_name(name)),
    }
}

/// A field with another one at the end of a path.
fn replaced(field: &Field, path: &[Step], at_end: Field) -> Option<Field> {
    let Some((step, inner)) = path.split_first() else { return Some(at_end.with_name(field.name())) };
    let whole = match (field.data_type(), step) {
        (DataType::Struct(children), Step::Member(name)) => {
            let replace = |child: &Arc<Field>| match child.name() == name {
                true => replaced(child, inner, at_end.clone()).map(Arc::new),
                false => Some(child.clone()),
            };
            DataType::Struct(children.iter().map(replace).collect::<Option<_>>()?)
        }
        (DataType::List(element), Step::Element(_)) => list_of_field(replaced(element, inner, at_end)?),
        (DataType::Map(entries, _), Step::Member(_)) => {
            let (key, value) = map_parts(entries)?;
            map_of_fields(key.clone(), replaced(value, inner, at_end)?)
        }
        _ => return None,
    };
    Some(Field::new(field.name(), whole, field.is_nullable()))
}
