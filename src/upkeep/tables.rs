//! Which tables are kept, and how long their history is.
//!
//! Owns [`kept_tables`]: what definitions fill. A table that somebody else made in the same catalog is theirs.

use tableflow_lake::commit::Retention;
use tableflow_model::{Result, TableName};

use crate::definition::{Definition, Wanted};
use crate::home::Home;
use crate::pipeline::fan_out::FanOutTables;

/// A table that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    pub table: TableName,
    pub retention: Retention,
}

/// The tables of all definitions: paused ones too, since what they hold is read.
pub async fn kept_tables(home: &Home) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for definition in home.definitions().look().await?.definitions {
        if definition.wanted != Wanted::Disabled {
            let retention = Retention { age_max_ms: definition.retention_ms, ..Retention::default() };
            let tables = tables_of(home, &definition).await?;
            kept.extend(tables.into_iter().map(|table| Kept { table, retention }));
        }
    }
    kept.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(kept)
}

/// How long the history of a table is, whoever made it.
pub async fn retention_of(home: &Home, table: &TableName) -> Result<Retention> {
    let kept = kept_tables(home).await?.into_iter().find(|kept| kept.table == *table);
    Ok(kept.map(|kept| kept.retention).unwrap_or_default())
}

async fn tables_of(home: &Home, definition: &Definition) -> Result<Vec<TableName>> {
    let letters = definition.dead_letters.iter().map(|letters| letters.table.clone());
    let tables = match definition.fan_out {
        None => vec![definition.table.clone()],
        Some(_) => FanOutTables::load(home, definition).await?.iter().map(|named| named.table.clone()).collect(),
    };
    Ok(tables.into_iter().chain(letters).collect())
}
