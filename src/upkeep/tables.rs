//! Which tables are kept, and how long their history is.
//!
//! Owns [`kept_tables`]: what definitions fill. A table that somebody else made in the same catalog is theirs.

use tableflow_lake::commit::Retention;
use tableflow_model::{Result, TableName};

use crate::definition::{CompactionPolicy, Definition, Wanted};
use crate::home::Home;
use crate::pipeline::fan_out::FanOutTables;

/// A table that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    pub table: TableName,
    pub retention: Retention,
    /// How long its rows stay, where that is said.
    pub rows_stay_ms: Option<i64>,
    pub compaction: CompactionPolicy,
}

/// The tables of all definitions: paused ones too, since what they hold is read.
pub async fn kept_tables(home: &Home) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for definition in home.definitions().look().await?.definitions {
        if definition.wanted != Wanted::Disabled {
            let retention = Retention { age_max_ms: definition.retention_ms, ..Retention::default() };
            // Dead letters stay until a person has seen them.
            let letters = definition.dead_letters.as_ref().map(|letters| letters.table.clone());
            for table in tables_of(home, &definition).await? {
                let rows_stay_ms = definition.data_retention_ms.filter(|_| letters.as_ref() != Some(&table));
                // They come in no order.
                let compaction = match letters.as_ref() == Some(&table) {
                    true => CompactionPolicy { strategy: None, ..definition.compaction.clone() },
                    false => definition.compaction.clone(),
                };
                kept.push(Kept { table, retention, rows_stay_ms, compaction });
            }
        }
    }
    kept.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(kept)
}

/// How long the history of a table is, and its rows stay, whoever made it.
pub async fn kept(home: &Home, table: TableName) -> Result<Kept> {
    let known = kept_tables(home).await?.into_iter().find(|kept| kept.table == table);
    Ok(known.unwrap_or(Kept {
        table,
        retention: Retention::default(),
        rows_stay_ms: None,
        compaction: CompactionPolicy::default(),
    }))
}

async fn tables_of(home: &Home, definition: &Definition) -> Result<Vec<TableName>> {
    let letters = definition.dead_letters.iter().map(|letters| letters.table.clone());
    let tables = match definition.fan_out {
        None => vec![definition.table.clone()],
        Some(_) => FanOutTables::load(home, definition).await?.iter().map(|named| named.table.clone()).collect(),
    };
    Ok(tables.into_iter().chain(letters).collect())
}
