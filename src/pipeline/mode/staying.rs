//! Which rows of a table stay in the mode that its definition says, and what of its columns.
//!
//! - I1: what goes is told by the rows alone: each has a key, and says where it came from, or a person is told how many do not.
//! - I2: columns that identify rows have values; others take null again, but for those that a person declared NOT NULL.
//!
//! Neighbours: `asked` refuses by this what cannot be made, `conversion` commits it.

use std::collections::BTreeMap;
use std::sync::Arc;

use iceberg::spec::{Schema, TableMetadata};
use tableflow_lake::layout::{identified_by, unidentified};
use tableflow_lake::upsert::{Origins, Superseded, count_superseded, superseded, without_values};
use tableflow_lake::write::FileNames;
use tableflow_model::{Error, Result};

use crate::definition::{Definition, ModeChange, declared_columns};
use crate::home::Home;
use crate::pipeline::decoding::{MARKS, says_deleted};

/// What goes so that the table is what its definition says (I1).
pub(super) async fn goes(
    home: &Home,
    (definition, change): (&Definition, &ModeChange),
    table: &Arc<TableMetadata>,
    memory_bytes: usize,
    names: &mut FileNames,
) -> Result<Superseded> {
    if definition.upsert.is_none() {
        return Ok(Superseded::default());
    }
    check_values(home, (definition, change), table).await?;
    let origins = origins(definition, table)?;
    superseded(&home.store, table, (&change.key, &origins), memory_bytes, names).await
}

/// The columns of the table afterwards.
pub(super) fn schema_after((definition, change): (&Definition, &ModeChange), table: &TableMetadata) -> Result<Schema> {
    let schema = unidentified(table.current_schema().as_ref().clone(), &held(definition)?)?;
    if definition.upsert.is_some() { identified_by(schema, &change.key) } else { Ok(schema) }
}

/// The columns that a person declared to have a value.
fn held(definition: &Definition) -> Result<Vec<String>> {
    let mut declared = declared_columns(&definition.columns)?;
    if let Some(keys) = &definition.keys {
        declared.extend(declared_columns(&keys.columns)?);
    }
    Ok(declared.into_iter().filter(|it| !it.is_nullable()).map(|it| it.name().clone()).collect())
}

/// Where the table's rows came from.
pub(super) fn origins(definition: &Definition, table: &TableMetadata) -> Result<Origins> {
    let Some([topic, partition, offset, timestamp]) = definition.metadata_columns.origin_columns() else {
        return Err(without_origins(definition));
    };
    let schema = table.current_schema();
    let has = |name: &str| schema.as_struct().fields().iter().any(|field| field.name == name);
    let marks = MARKS.into_iter().filter(|name| has(name)).map(str::to_owned).collect();
    Ok(Origins { topic, partition, offset, timestamp, marks, is_deleted: says_deleted })
}

/// Each row has a key, and says where it came from.
pub(super) async fn check_values(
    home: &Home,
    (definition, change): (&Definition, &ModeChange),
    table: &TableMetadata,
) -> Result<()> {
    let Origins { topic, partition, offset, .. } = origins(definition, table)?;
    let columns: Vec<String> = change.key.iter().cloned().chain([topic, partition, offset]).collect();
    let counts = without_values(&home.store, table, &columns).await?;
    let missing = columns.iter().zip(counts).enumerate().find(|(_, (_, count))| *count > 0);
    let Some((place, (column, count))) = missing else { return Ok(()) };
    let (table, is_of_key) = (definition.table.to_plain_string(), place < change.key.len());
    let rows = if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
    let error = Error::data(format!("{rows} of table {table} have no value in column {column}"));
    Err(match is_of_key {
        true => error.with_detail("rows with one row a key are identified by it").with_hint(format!(
            "name other columns with --key, or delete those rows with another engine; until then: tableflow update {table} --mode append"
        )),
        false => error.with_detail("so it cannot be told which row of a key is the last one").with_hint(format!(
            "another engine wrote those rows, or they are of before there were metadata columns: enable the topic into another table with --table; until then: tableflow update {table} --mode append"
        )),
    })
}

pub(super) fn without_origins(definition: &Definition) -> Error {
    Error::usage(format!("rows of table {} do not say where they came from", definition.table))
        .with_detail("which row of a key is the last one is told by the metadata columns, which it does not have")
        .with_hint("enable the topic into another table with --table and --mode upsert")
}

pub(super) fn never_filled(definition: &Definition) -> Error {
    let table = definition.table.to_plain_string();
    Error::usage(format!("table {table} was never filled"))
        .with_detail("its mode changes with a commit of its job, which has not made one yet")
        .with_hint(format!("`tableflow sync {table}` makes the first one"))
}

/// What would go, and what would stay: nothing is changed.
pub(super) async fn counted(
    home: &Home,
    (definition, change): (&Definition, &ModeChange),
    table: &Arc<TableMetadata>,
    memory_bytes: usize,
) -> Result<BTreeMap<&'static str, u64>> {
    let (kept, gone) = match definition.upsert {
        None => return Ok(BTreeMap::new()),
        Some(_) => {
            let origins = origins(definition, table)?;
            count_superseded(&home.store, table, (&change.key, &origins), memory_bytes).await?
        }
    };
    Ok(BTreeMap::from([("rows_kept", kept), ("rows_gone", gone)]))
}
