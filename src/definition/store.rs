//! The definitions of a data directory: numbered versions per table, of which the highest counts.
//!
//! Owns [`Definitions`], and with it the rules of the folder.

use tableflow_model::{Error, ErrorKind, Result, TableName};
use tableflow_store::Store;
use tableflow_store::paths::StatePaths;

use super::{Definition, FORM, NewDefinition, Wanted};
use crate::versions;

/// Somebody who changes a table this often at the same time does it by mistake.
const CHANGE_ATTEMPTS_MAX: u32 = 10;

/// What a look at the newest version of every table gave, disabled ones included.
#[derive(Debug, Default)]
pub struct Listing {
    pub definitions: Vec<Definition>,
    pub unreadable: Vec<Unreadable>,
}

/// A definition that is there and cannot be read (I2).
#[derive(Debug)]
pub struct Unreadable {
    /// As the object's path has it.
    pub table: String,
    pub error: Error,
}

/// All definitions of a data directory.
#[derive(Clone, Debug)]
pub struct Definitions {
    store: Store,
    paths: StatePaths,
}

impl Definitions {
    pub fn new(store: Store, paths: StatePaths) -> Self {
        Definitions { store, paths }
    }

    /// Table by table: one that cannot be read says nothing about the others.
    pub async fn look(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        for (directory, uri) in versions::newest(&self.store, &self.paths.definitions()).await? {
            match self.read(&uri).await {
                Ok(definition) => listing.definitions.push(definition),
                Err(error) if error.kind() == ErrorKind::Data => {
                    let table = directory.rsplit('/').next().unwrap_or_default().to_owned();
                    listing.unreadable.push(Unreadable { table, error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(listing)
    }

    /// The newest version of one table, or `None` if it was never enabled.
    pub async fn find(&self, table: &TableName) -> Result<Option<Definition>> {
        match versions::newest(&self.store, &self.paths.definition_versions(table)).await?.into_values().next() {
            Some(uri) => self.read(&uri).await.map(Some),
            None => Ok(None),
        }
    }

    /// What is wanted of the same table by now, if it is: for whoever begins again with what it was told long ago.
    pub async fn newest_of(&self, definition: Definition) -> Result<Definition> {
        let newest = self.find(&definition.table).await?;
        Ok(newest.filter(|newest| newest.table_uuid == definition.table_uuid).unwrap_or(definition))
    }

    /// The newest version of a table that is enabled.
    pub async fn get(&self, table: &TableName) -> Result<Definition> {
        let found = self.find(table).await?.filter(|definition| definition.wanted != Wanted::Disabled);
        found.ok_or_else(|| {
            Error::not_found(format!("{table} is not enabled"))
                .with_hint("`tableflow list` shows the enabled tables, `tableflow enable TOPIC` makes one")
        })
    }

    /// The URI of the newest version of every table: what changed is seen without reading anything.
    pub async fn newest_uris(&self) -> Result<Vec<String>> {
        Ok(versions::newest(&self.store, &self.paths.definitions()).await?.into_values().collect())
    }

    pub async fn read(&self, uri: &str) -> Result<Definition> {
        let bytes = self.store.get(uri).await?;
        let unreadable = |error| {
            Error::data("a table's definition cannot be read")
                .with_context("object", uri)
                .with_source(error)
                .with_hint("it was written by a newer tableflow, or it is damaged")
        };
        let definition: Definition = serde_json::from_slice(&bytes).map_err(unreadable)?;
        if definition.form == FORM {
            return Ok(definition);
        }
        Err(Error::data(format!("a table's definition has form {}, this program knows {FORM}", definition.form))
            .with_context("object", uri)
            .with_hint("use the tableflow that wrote it, or a newer one"))
    }

    /// Puts a definition of a table that has none, or whose last one is disabled.
    pub async fn create(&self, new: NewDefinition) -> Result<Definition> {
        let mut definition = Definition::from(new);
        match self.find(&definition.table).await? {
            Some(before) if before.wanted != Wanted::Disabled => return Err(already_enabled(&before)),
            Some(before) => definition.version = before.version + 1,
            None => {}
        }
        if self.put(&definition).await? {
            return Ok(definition);
        }
        Err(already_enabled(&definition))
    }

    /// Puts the next version: `change` is applied to whatever is newest.
    pub async fn change(&self, table: &TableName, change: impl Fn(&mut Definition)) -> Result<Definition> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            let mut definition = self.get(table).await?;
            definition.version += 1;
            change(&mut definition);
            if self.put(&definition).await? {
                return Ok(definition);
            }
        }
        Err(Error::conflict(format!("the definition of {table} is changed by others all the time"))
            .with_hint("try again"))
    }

    /// False if somebody else put this version first.
    async fn put(&self, definition: &Definition) -> Result<bool> {
        let uri = self.paths.definition(&definition.table, definition.version);
        versions::put(&self.store, &uri, definition).await
    }
}

fn already_enabled(definition: &Definition) -> Error {
    Error::already_exists(format!("{} is enabled already, filled by topic {}", definition.table, definition.topic))
        .with_hint("choose another with --table or --namespace, or change it with `tableflow update`")
}
