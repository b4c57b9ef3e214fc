//! The tables that a definition fills, as the catalog has them.
//!
//! Owns [`Filled`]: one look at all of them, and what they tell together.
//! - I1: how far the job is comes from the ledgers in the tables, and from epochs that are decided above them; one that
//!   is not yet in all of them does not count: what is said to be read can be seen.

use std::collections::BTreeMap;

use iceberg::spec::TableMetadata;
use tableflow_catalog::LoadedTable;
use tableflow_lake::commit::last_change;
use tableflow_model::protocol::{Ledger, SinkName};
use tableflow_model::{ErrorKind, Result, TableName};

use super::epochs::sink_name;
use super::fan_out::{FanOutTable, FanOutTables};
use super::manifests::Manifests;
use crate::definition::Definition;
use crate::home::Home;

/// One look at the tables of a definition.
#[derive(Debug)]
pub struct Filled {
    /// The one with the ledger.
    pub anchor: Option<LoadedTable>,
    pub of_fan_out: Vec<(FanOutTable, LoadedTable)>,
}

impl Filled {
    pub async fn load(home: &Home, definition: &Definition) -> Result<Self> {
        let anchor = found(home, definition.anchor()).await?;
        Ok(Filled { anchor, of_fan_out: fan_out_tables(home, definition).await? })
    }

    /// Each with its name.
    fn named<'a>(&'a self, definition: &'a Definition) -> impl Iterator<Item = (&'a TableName, &'a LoadedTable)> {
        let anchor = self.anchor.iter().map(|table| (definition.anchor(), table));
        anchor.chain(self.of_fan_out.iter().map(|(named, table)| (&named.table, table)))
    }

    /// Those whose rows are the topic's records.
    pub fn with_rows(&self, definition: &Definition) -> Vec<&TableMetadata> {
        match definition.fan_out {
            Some(_) => self.of_fan_out.iter().map(|(_, table)| table.metadata.as_ref()).collect(),
            None => self.anchor.iter().map(|table| table.metadata.as_ref()).collect(),
        }
    }

    pub fn property(&self, name: &str) -> Option<String> {
        self.anchor.as_ref()?.metadata.properties().get(name).cloned()
    }

    pub fn committed_at(&self, definition: &Definition) -> Option<i64> {
        let snapshots = self.with_rows(definition).into_iter().filter_map(last_change);
        snapshots.map(|snapshot| snapshot.timestamp_ms()).max()
    }

    /// How far the job is. With dead letters an epoch is decided before it is in the tables, one table after the other,
    /// and one without rows for a table leaves it as it is.
    pub async fn ledger(&self, home: &Home, definition: &Definition) -> Result<Option<Ledger>> {
        let letters = match &definition.dead_letters {
            Some(letters) => found(home, &letters.table).await?.map(|table| (&letters.table, table)),
            None => None,
        };
        let property = Ledger::property(&definition.job);
        let ledger = |table: &LoadedTable| Ledger::from_text(table.metadata.properties().get(&property)?).ok();
        let all = self.named(definition).chain(letters.iter().map(|(name, table)| (*name, table)));
        let ledgers: BTreeMap<SinkName, Ledger> =
            all.filter_map(|(name, table)| Some((sink_name(name), ledger(table)?))).collect();
        let newest = ledgers.values().max_by_key(|it| (it.generation, it.epoch)).cloned();
        match newest {
            Some(newest) if letters.is_some() => {
                let manifests = Manifests::of_topic(home.clone(), definition)?;
                let decided = manifests.decided_above(newest).await?;
                manifests.in_all_tables(decided, &ledgers).await
            }
            newest => Ok(newest),
        }
    }
}

async fn found(home: &Home, table: &TableName) -> Result<Option<LoadedTable>> {
    match home.catalog.load_table(table).await {
        Ok(table) => Ok(Some(table)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The tables of a fan-out that are there.
async fn fan_out_tables(home: &Home, definition: &Definition) -> Result<Vec<(FanOutTable, LoadedTable)>> {
    let mut tables = Vec::new();
    if definition.fan_out.is_some() {
        for named in FanOutTables::load(home, definition).await?.iter() {
            tables.extend(found(home, &named.table).await?.map(|table| (named.clone(), table)));
        }
    }
    Ok(tables)
}
