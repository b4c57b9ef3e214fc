//! What every verb that touches data opens first.

use tableflow_model::{Result, TableName};

use super::args::{GlobalArguments, TableReference};
use crate::config::{Config, Layers};
use crate::home::Home;
use crate::output::Format;
use crate::pipeline::definition::{Definition, Wanted};

/// The settings in force and the data directory, opened.
#[derive(Debug)]
pub struct Session {
    pub config: Config,
    pub home: Home,
    pub format: Format,
    pub quiet: bool,
}

impl Session {
    pub async fn open(global: &GlobalArguments) -> Result<Self> {
        let mut config = Config::load(&Layers::standard(global.config.clone(), std::env::vars().collect()))?;
        if let Some(directory) = &global.data_dir {
            config.data_dir.clone_from(directory);
        }
        let home = Home::open(&config.data_dir).await?;
        Ok(Session { config, home, format: global.output, quiet: global.quiet })
    }

    /// How much all jobs and queries of this process may hold.
    pub fn memory_bytes_max(&self) -> u64 {
        self.config.memory.budget.bytes(machine_bytes())
    }

    /// The enabled tables, in the order of their names.
    pub async fn enabled(&self) -> Result<Vec<Definition>> {
        let mut definitions = self.home.definitions().list().await?;
        definitions.retain(|definition| definition.wanted != Wanted::Disabled);
        definitions.sort_by(|a, b| a.table.cmp(&b.table));
        Ok(definitions)
    }

    /// The enabled table that a person means.
    pub async fn enabled_table(&self, reference: &TableReference) -> Result<TableName> {
        let enabled = self.enabled().await?;
        reference.resolve(enabled.iter().map(|definition| &definition.table))
    }

    /// Any table of the catalog that a person means.
    pub async fn catalog_table(&self, reference: &TableReference) -> Result<TableName> {
        let mut tables = Vec::new();
        for namespace in self.home.catalog.list_namespaces().await? {
            tables.extend(self.home.catalog.list_tables(&namespace).await?);
        }
        reference.resolve(&tables)
    }
}

/// The machine's memory as Linux tells it; elsewhere a modest machine's.
fn machine_bytes() -> u64 {
    const MODEST: u64 = 4 * 1024 * 1024 * 1024;
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    total.map_or(MODEST, |kibibytes| kibibytes * 1024)
}
