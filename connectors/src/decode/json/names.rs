//! Which names a field may have to become a column.
//!
//! Owns the check of names that come with the data; the rules that hold for every format are in `columns`.
//! - I1: no two columns of one row differ only by case.
//! - I2: names that begin with the reserved prefix belong to the metadata columns, and some others to the records'
//!   keys.

use std::collections::HashMap;

use tableflow_model::types::flink_name;

use super::fault::Fault;
use super::shape::Shape;
use crate::decode::Reason;
use crate::decode::columns::fields::Fields;
use crate::decode::columns::names::{Clash, TakenNames, flaw};

/// What is wrong with the name of a field that is new in `row`, among its siblings, or with a name inside of it; at the
/// top of the table some names are taken.
pub(super) fn check(
    name: &str,
    siblings: &Fields,
    shape: &Shape,
    top_level: Option<&TakenNames>,
    row: usize,
) -> Option<Fault> {
    if let Some(prefix) = top_level.and_then(|taken| taken.reserved(name)) {
        let message = format!("has a name that begins with {prefix}, as metadata columns do");
        return Some(Fault::new(Reason::ReservedName, message, "rename the field where it is produced"));
    }
    if top_level.is_some_and(|taken| taken.is_of_keys(name)) {
        let message = "has the name of a column that the records' keys fill".to_owned();
        let hint = "rename the field where it is produced; a table that is made anew takes it from the value";
        return Some(Fault::new(Reason::KeyColumn, message, hint));
    }
    if let Some((twin, column)) = siblings.namesake(name) {
        let fault = collision(name, twin);
        // In a record that has both, neither spelling helps.
        let respelt = top_level.is_some() && column.len() <= row;
        return Some(if respelt { fault.respelt(column.declared(name)) } else { fault });
    }
    bad(name).or_else(|| inside(shape))
}

fn bad(name: &str) -> Option<Fault> {
    let hint = "rename the field where it is produced: no column can be called that";
    flaw(name).map(|flaw| Fault::new(Reason::BadName, flaw, hint))
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

/// What is wrong with a field that brings a whole name twice.
pub(super) fn clash(clash: &Clash) -> Fault {
    Fault::new(Reason::BadName, clash.words(), "rename the field where it is produced")
}
