//! What every verb that touches data opens first.

use std::io::{Write, stderr};
use std::sync::Arc;

use tableflow_connectors::kafka::KafkaTopics;
use tableflow_connectors::registry::RegistryClient;
use tableflow_model::{Error, ErrorKind, Result, TableName, TopicName};

use super::args::{GlobalArguments, TableReference};
use crate::config::{Config, Layers};
use crate::definition::{Definition, Listing, Wanted};
use crate::home::Home;
use crate::output::Format;
use crate::pipeline::fan_out::FanOutTables;

/// The settings in force and the data directory, opened.
#[derive(Debug)]
pub struct Session {
    pub config: Config,
    pub home: Home,
    pub format: Format,
    pub quiet: bool,
}

impl Session {
    /// For the verbs that are about what is there.
    pub async fn open(global: &GlobalArguments) -> Result<Self> {
        let config = Self::config(global)?;
        // Topics that are kept elsewhere need no verb that makes a directory first.
        let home = match config.kafka {
            Some(_) => Home::open(&config.data_dir).await?,
            None => Home::open_existing(&config.data_dir).await?,
        };
        Self::new(global, config, home)
    }

    /// For the verbs that begin something: the directory is made if it is not there.
    pub async fn begin(global: &GlobalArguments) -> Result<Self> {
        let config = Self::config(global)?;
        let home = Home::open(&config.data_dir).await?;
        Self::new(global, config, home)
    }

    /// For the demo: nothing outside the directory is touched, whatever is configured.
    pub async fn begin_embedded(global: &GlobalArguments) -> Result<Self> {
        let config = Config { kafka: None, ..Self::config(global)? };
        let home = Home::open(&config.data_dir).await?;
        Self::new(global, config, home)
    }

    fn new(global: &GlobalArguments, config: Config, home: Home) -> Result<Self> {
        let home = match &config.kafka {
            Some(kafka) => {
                let kafka = kafka.clone();
                let settings = move || kafka.properties(|name| std::env::var(name).ok());
                home.with_topics(Arc::new(KafkaTopics::new(Box::new(settings))?))
            }
            None => home,
        };
        let registry = config.registry.client_options(|name| std::env::var(name).ok())?;
        let home = match registry {
            Some(options) => {
                let (name, fingerprint) = (options.addresses(), options.fingerprint());
                let client = Arc::new(RegistryClient::new(options)?);
                home.with_registry(client, name, &fingerprint).with_ids(config.registry.id_prefix())
            }
            None => home,
        };
        Ok(Session { config, home, format: global.output, quiet: global.quiet })
    }

    /// The settings in force.
    pub fn config(global: &GlobalArguments) -> Result<Config> {
        let mut config = Config::load(&Layers::standard(global.config.clone(), std::env::vars().collect()))?;
        if let Some(directory) = &global.data_dir {
            config.data_dir.clone_from(directory);
        }
        Ok(config)
    }

    /// A word to the person beside the result.
    pub fn remark(&self, words: &str) {
        if !self.quiet {
            // Whoever closed stderr does not want to read it.
            let _ = writeln!(stderr(), "{words}");
        }
    }

    /// How much all jobs and queries of this process may hold.
    pub fn memory_bytes_max(&self) -> u64 {
        self.config.memory.budget.bytes(machine_bytes())
    }

    /// The enabled tables, in the order of their names.
    pub async fn enabled(&self) -> Result<Listing> {
        let mut listing = self.home.definitions().look().await?;
        listing.definitions.retain(|definition| definition.wanted != Wanted::Disabled);
        listing.definitions.sort_by(|a, b| a.table.cmp(&b.table));
        Ok(listing)
    }

    /// The enabled table that a person means.
    pub async fn enabled_table(&self, reference: &TableReference) -> Result<TableName> {
        let Listing { definitions, unreadable } = self.home.definitions().look().await?;
        let (disabled, enabled): (Vec<_>, Vec<_>) =
            definitions.iter().partition(|definition| definition.wanted == Wanted::Disabled);
        let not_found = match reference.resolve(enabled.iter().map(|definition| &definition.table)) {
            Err(error) if error.kind() == ErrorKind::NotFound => error,
            resolved => return resolved,
        };
        if let Some(unreadable) = unreadable.into_iter().find(|it| reference.may_mean_text(&it.table)) {
            return Err(unreadable.error);
        }
        for definition in enabled.iter().filter(|definition| definition.fan_out.is_some()) {
            let tables = FanOutTables::load(&self.home, definition).await?;
            if let Ok(one) = reference.resolve(tables.iter().map(|named| &named.table)) {
                return Err(one_of(&one, definition));
            }
        }
        Err(self.known_otherwise(reference, &disabled).await.unwrap_or(not_found))
    }

    /// What a name stands for that is no enabled table's.
    async fn known_otherwise(&self, reference: &TableReference, disabled: &[&Definition]) -> Option<Error> {
        if let Ok(table) = reference.resolve(disabled.iter().map(|definition| &definition.table)) {
            let definition = disabled.iter().find(|definition| definition.table == table)?;
            return Some(self.rests(definition).await);
        }
        let topic: TopicName = reference.text().parse().ok()?;
        self.home.topics.describe(&topic).await.ok()?;
        let hint = format!("`tableflow enable {topic}` makes it one");
        Some(Error::not_found(format!("topic {topic} is not a table yet")).with_hint(hint))
    }

    /// A hint names nothing that is gone.
    async fn rests(&self, definition: &Definition) -> Error {
        let Definition { table, topic, .. } = definition;
        let is_gone = |error: Error| error.kind() == ErrorKind::NotFound;
        let no_topic = self.home.topics.describe(topic).await.is_err_and(is_gone);
        let no_table = self.home.catalog.load_table(definition.anchor()).await.is_err_and(is_gone);
        let error = |how| Error::not_found(format!("{table} {how}"));
        match (no_table, no_topic) {
            (true, true) => error("was dropped").with_hint("`tableflow list` shows the tables"),
            (true, false) => error("was dropped").with_hint(format!("`tableflow enable {topic}` makes it anew")),
            (false, true) => error("is disabled")
                .with_detail(format!("topic {topic}, which filled it, is not there any more"))
                .with_hint(format!("`tableflow disable {table} --drop` deletes it")),
            (false, false) => error("is disabled").with_hint(format!(
                "`tableflow enable {topic}` feeds it again, `tableflow disable {table} --drop` deletes it"
            )),
        }
    }

    /// Nothing to show is seldom what somebody looked for.
    pub fn remark_on_no_tables(&self) {
        self.remark("no table is enabled here; `tableflow enable TOPIC` makes one");
    }

    /// Any table of the catalog that a person means.
    pub async fn catalog_table(&self, reference: &TableReference) -> Result<TableName> {
        let mut tables = Vec::new();
        for namespace in self.home.catalog.list_namespaces().await? {
            tables.extend(self.home.catalog.list_tables(&namespace).await?);
        }
        let not_found = match reference.resolve(&tables) {
            Err(error) if error.kind() == ErrorKind::NotFound => error,
            resolved => return resolved,
        };
        let fan_outs = self.enabled().await?.definitions;
        let fan_outs: Vec<&Definition> = fan_outs.iter().filter(|definition| definition.fan_out.is_some()).collect();
        let Ok(table) = reference.resolve(fan_outs.iter().map(|definition| &definition.table)) else {
            return Err(not_found);
        };
        match fan_outs.into_iter().find(|definition| definition.table == table) {
            Some(definition) => {
                let tables = FanOutTables::load(&self.home, definition).await?;
                Err(Error::not_found(format!("{table} is several tables, one for each type of record"))
                    .with_hint(tables.hint()))
            }
            None => Err(not_found),
        }
    }
}

/// What is declared of a fan-out is declared of all its tables.
fn one_of(table: &TableName, definition: &Definition) -> Error {
    let all = &definition.table;
    Error::not_found(format!("{table} is one of the tables of {all}")).with_hint(format!(
        "say {all}, which they are declared, fed and described by; `tableflow query`, `history` and `files` take {table}"
    ))
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
