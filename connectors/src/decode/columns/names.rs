//! Which names columns may have.
//!
//! Owns the rules that hold for every format.
//! - I1: names that begin as those of the table's metadata columns do belong to them.
//! - I2: no two columns of a table have one name when it is written whole, as `a.b`: neither as Iceberg writes it,
//!   where a list's element is `l.element`, nor as Parquet does, where it is `l.list.element`.
//! - I3: no column that the table lacks gets the name of one of its partition fields: Iceberg refuses that.
//! - I4: no value brings a column of a name that the table's keys fill, however its letters' case.

use std::collections::HashSet;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use tableflow_model::types::flink_name;

use super::column::map_parts;
use super::place::Step;
use crate::decode::{ColumnRules, MetadataColumns};

/// Whether a name at the top of a table belongs to our own metadata columns (I1).
pub(in crate::decode) fn is_reserved(name: &str) -> bool {
    MetadataColumns::None.reserves(name).is_some()
}

/// Why no column can be called that, if none can.
pub(in crate::decode) fn flaw(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("has an empty name")
    } else if name.chars().any(char::is_control) {
        Some("has a control character in its name")
    } else {
        None
    }
}

/// Names that no new column gets.
#[derive(Debug, Default)]
pub(in crate::decode) struct TakenNames {
    metadata: MetadataColumns,
    /// Of partition fields (I3).
    partition_fields: HashSet<String>,
    /// Of columns that keys fill, in lower case (I4).
    of_keys: HashSet<String>,
}

impl TakenNames {
    /// A partition by the values of a column has the column's own name.
    pub fn new(rules: &ColumnRules, table: &Schema) -> Self {
        let known = whole_names(table.fields());
        let partition_fields = rules.partition_fields.iter().filter(|name| !known.contains(*name)).cloned().collect();
        TakenNames { metadata: rules.metadata, partition_fields, of_keys: HashSet::new() }
    }

    /// These are columns that keys fill, from now on (I4).
    pub fn leave_to_keys(&mut self, names: &[String]) {
        self.of_keys.extend(names.iter().map(|name| name.to_lowercase()));
    }

    /// Whether a name at the top of the table is one of those (I4).
    pub fn is_of_keys(&self, name: &str) -> bool {
        !self.of_keys.is_empty() && self.of_keys.contains(&name.to_lowercase())
    }

    /// How a name begins that belongs to the metadata columns, at the top of the table (I1).
    pub fn reserved(&self, name: &str) -> Option<&'static str> {
        self.metadata.reserves(name)
    }
}

/// A name that cannot be twice, or not at all.
pub(in crate::decode) struct Clash {
    name: String,
    with: &'static str,
}

impl Clash {
    /// The whole name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is the matter with a field that brings such a name.
    pub fn words(&self) -> String {
        format!("makes a column whose whole name, {}, belongs to {}", flink_name(&self.name), self.with)
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

/// The first name that stands in the way of a table with these columns (I2, I3).
pub(in crate::decode) fn clash(columns: &[FieldRef], taken: &TakenNames) -> Option<Clash> {
    let WholeNames { in_iceberg, in_parquet } = WholeNames::of(columns);
    if let Some(name) = in_iceberg.iter().find(|name| taken.partition_fields.contains(*name)) {
        return Some(Clash { name: name.clone(), with: "a partition field of the table" });
    }
    let name = [in_iceberg, in_parquet].into_iter().find_map(|names| {
        let mut seen = HashSet::new();
        names.into_iter().find(|name| !seen.insert(name.clone()))
    })?;
    Some(Clash { name, with: "another column" })
}

/// The names of columns and of what is inside them, written whole as Iceberg does.
pub(in crate::decode) fn whole_names<'a>(columns: impl IntoIterator<Item = &'a FieldRef>) -> HashSet<String> {
    WholeNames::of(columns).in_iceberg.into_iter().collect()
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
