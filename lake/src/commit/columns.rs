//! New columns: published with the files that have them, or ahead of them; and columns that go.
//!
//! - I1: columns that are published ahead get the field ids that the staged files already carry, or none at all: the
//!   change asserts the schema and the last field id that they were given out on.
//! - I2: columns go on the schema and the snapshot that it was decided on, together with what the table remembers of
//!   it.

use std::collections::HashMap;

use iceberg::spec::{MAIN_BRANCH, SchemaRef, TableMetadata};
use iceberg::{TableRequirement, TableUpdate};

use crate::layout::Evolution;

/// The schema the snapshot is written with, its id, and the updates that make it the table's.
pub(super) fn schema_updates(
    base: &TableMetadata,
    evolution: Option<&Evolution>,
) -> (SchemaRef, i32, Vec<TableUpdate>) {
    let Some(evolution) = evolution else {
        return (base.current_schema().clone(), base.current_schema_id(), Vec::new());
    };
    let highest = base.schemas_iter().map(|schema| schema.schema_id()).max().unwrap_or(0);
    let schema_id = highest + 1;
    let schema = evolution.schema.clone().into_builder().with_schema_id(schema_id).build();
    let schema = schema.unwrap_or_else(|_| evolution.schema.clone());
    let last_added = -1;
    let updates = vec![
        TableUpdate::AddSchema { schema: schema.clone() },
        TableUpdate::SetCurrentSchema { schema_id: last_added },
    ];
    (SchemaRef::new(schema), schema_id, updates)
}

/// A change of the table's columns alone, without a snapshot (I1).
pub fn prepare_columns(base: &TableMetadata, evolution: &Evolution) -> (Vec<TableRequirement>, Vec<TableUpdate>) {
    let (_, _, updates) = schema_updates(base, Some(evolution));
    (requirements(base), updates)
}

/// A change of the table's columns, where there is one, and of its properties (I2).
pub fn prepare_change(
    base: &TableMetadata,
    columns: Option<&Evolution>,
    properties: HashMap<String, String>,
    removals: Vec<String>,
) -> (Vec<TableRequirement>, Vec<TableUpdate>) {
    let (_, _, mut updates) = schema_updates(base, columns);
    if !properties.is_empty() {
        updates.push(TableUpdate::SetProperties { updates: properties });
    }
    if !removals.is_empty() {
        updates.push(TableUpdate::RemoveProperties { removals });
    }
    (requirements(base), updates)
}

fn requirements(base: &TableMetadata) -> Vec<TableRequirement> {
    vec![
        TableRequirement::UuidMatch { uuid: base.uuid() },
        TableRequirement::RefSnapshotIdMatch { r#ref: MAIN_BRANCH.to_owned(), snapshot_id: base.current_snapshot_id() },
        TableRequirement::CurrentSchemaIdMatch { current_schema_id: base.current_schema_id() },
        TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: base.last_column_id() },
    ]
}
