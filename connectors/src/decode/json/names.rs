//! Which names a field may have to become a column.
//!
//! Owns the check of names that come with the data.
//! - I1: no two columns of one row differ only by case.
//! - I2: names that begin with the reserved prefix belong to the metadata columns.
//! - I3: no two columns of a table have one name when it is written whole, as `a.b`: neither as Iceberg writes it, where
//!   a list's element is `l.element`, nor as Parquet does, where it is `l.list.element`.
//! - I4: no column that the table lacks gets the name of one of its partition fields: Iceberg refuses that.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::{DataType, Field, FieldRef, Schema};

use tableflow_model::types::flink_name;

use super::column::map_parts;
use super::fault::Fault;
use super::fields::Fields;
use super::place::Step;
use super::shape::Shape;
use crate::decode::{RESERVED_PREFIX, Reason};

/// What is wrong with the name of a field that is new in `row`, among its siblings, or with a name inside of it.
pub(super) fn check(name: &str, siblings: &Fields, shape: &Shape, top_level: bool, row: usize) -> Option<Fault> {
    if top_level && is_reserved(name) {
        let message = format!("has a name that begins with {RESERVED_PREFIX}, as metadata columns do");
        return Some(Fault::new(Reason::ReservedName, message, "rename the field where it is produced"));
    }
    let folded = name.to_lowercase();
    if let Some((twin, column)) = siblings.columns().find(|(known, _)| known.to_lowercase() == folded) {
        let fault = collision(name, twin);
        // In a record that has both, neither spelling helps.
        let respelt = top_level && column.len() <= row;
        return Some(if respelt { fault.respelt(column.declared(name)) } else { fault });
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

/// Names of partition fields that no column has (I4).
#[derive(Debug, Default)]
pub(super) struct TakenNames(HashSet<String>);

impl TakenNames {
    /// A partition by the values of a column has the column's own name.
    pub fn new(names: impl IntoIterator<Item = String>, table: &Schema) -> Self {
        let known: HashSet<String> = WholeNames::of(table.fields()).in_iceberg.into_iter().collect();
        TakenNames(names.into_iter().filter(|name| !known.contains(name)).collect())
    }
}

/// A name that cannot be twice, or not at all.
pub(super) struct Clash {
    name: String,
    with: &'static str,
}

impl Clash {
    pub fn fault(&self) -> Fault {
        let message = format!("makes a column whose whole name, {}, belongs to {}", flink_name(&self.name), self.with);
        Fault::new(Reason::BadName, message, "rename the field where it is produced")
    }

    /// Whether the name may be that of a column at this place.
    pub fn is_at(&self, path: &[Step]) -> bool {
        let parts = path.iter().map(|step| match step {
            Step::Member(name) => name.as_str(),
            Step::Element(_) => ELEMENT,
        });
        self.name.starts_with(&parts.collect::<Vec<_>>().join("."))
    }

    pub fn message(&self) -> String {
        format!("the name {} belongs to {}", flink_name(&self.name), self.with)
    }
}

/// The first name that stands in the way of a table with these columns (I3, I4).
pub(super) fn clash(columns: &[FieldRef], taken: &TakenNames) -> Option<Clash> {
    let WholeNames { in_iceberg, in_parquet } = WholeNames::of(columns);
    if let Some(name) = in_iceberg.iter().find(|name| taken.0.contains(*name)) {
        return Some(Clash { name: name.clone(), with: "a partition field of the table" });
    }
    let name = [in_iceberg, in_parquet].into_iter().find_map(|names| {
        let mut seen = HashSet::new();
        names.into_iter().find(|name| !seen.insert(name.clone()))
    })?;
    Some(Clash { name, with: "another column" })
}

const ELEMENT: &str = "element";

/// The names of columns and of what is inside them.
#[derive(Default)]
struct WholeNames {
    in_iceberg: Vec<String>,
    in_parquet: Vec<String>,
}

impl WholeNames {
    fn of<'a>(columns: impl IntoIterator<Item = &'a FieldRef>) -> Self {
        let mut names = WholeNames::default();
        columns.into_iter().for_each(|column| names.add(column, column.name().clone(), column.name().clone()));
        names
    }

    fn add(&mut self, field: &Field, in_iceberg: String, in_parquet: String) {
        let mut inside = |field: &Field, name: &str, parquet_name: &str| {
            self.add(field, format!("{in_iceberg}.{name}"), format!("{in_parquet}.{parquet_name}"));
        };
        match field.data_type() {
            DataType::Struct(children) => children.iter().for_each(|child| inside(child, child.name(), child.name())),
            DataType::List(element) => inside(element, ELEMENT, "list.element"),
            DataType::Map(entries, _) => {
                if let Some((key, value)) = map_parts(entries) {
                    inside(key, "key", "key_value.key");
                    inside(value, "value", "key_value.value");
                }
            }
            // Parquet has names for scalars only.
            _ => self.in_parquet.push(in_parquet),
        }
        self.in_iceberg.push(in_iceberg);
    }
}
