//! Which names a field may have to become a column.
//!
//! Owns the check of names that come with the data.
//! - I1: no two columns of one row differ only by case.
//! - I2: names that begin with the reserved prefix belong to the metadata columns.

use std::collections::HashMap;

use tableflow_model::types::flink_name;

use super::fault::Fault;
use super::fields::Fields;
use super::shape::Shape;
use crate::decode::{RESERVED_PREFIX, Reason};

/// What is wrong with a new field's name among its siblings, or with a name inside of it.
pub(super) fn check(name: &str, siblings: &Fields, shape: &Shape, top_level: bool) -> Option<Fault> {
    if top_level && is_reserved(name) {
        let message = format!("has a name that begins with {RESERVED_PREFIX}, as metadata columns do");
        return Some(Fault::new(Reason::ReservedName, message, "rename the field where it is produced"));
    }
    let folded = name.to_lowercase();
    if let Some(twin) = siblings.names().find(|known| known.to_lowercase() == folded) {
        return Some(collision(name, twin));
    }
    bad(name).or_else(|| inside(shape))
}

pub(super) fn is_reserved(name: &str) -> bool {
    name.to_lowercase().starts_with(RESERVED_PREFIX)
}

fn bad(name: &str) -> Option<Fault> {
    let message = if name.is_empty() {
        "has an empty name"
    } else if name.chars().any(char::is_control) {
        "has a control character in its name"
    } else {
        return None;
    };
    Some(Fault::new(Reason::BadName, message, "rename the field where it is produced: no column can be called that"))
}

fn collision(name: &str, twin: &str) -> Fault {
    let (name, twin) = (flink_name(name), flink_name(twin));
    let message = format!("differs only by case from column {twin}");
    let hint = format!("engines cannot tell {name} and {twin} apart: use one spelling where they are produced");
    Fault::new(Reason::CaseCollision, message, hint)
}

/// The first bad name among the fields inside a shape. Fields that tell nothing get no column, so no check.
fn inside(shape: &Shape) -> Option<Fault> {
    match shape {
        Shape::Array(element) => inside(element),
        Shape::Object(members) => {
            let mut seen = HashMap::new();
            let telling = members.iter().filter(|(_, shape)| shape.data_type().is_some());
            telling.into_iter().find_map(|(name, shape)| {
                let fault = match seen.insert(name.to_lowercase(), name) {
                    Some(twin) => Some(collision(name, twin)),
                    None => bad(name).or_else(|| inside(shape)),
                };
                fault.map(|fault| fault.about(name))
            })
        }
        _ => None,
    }
}
