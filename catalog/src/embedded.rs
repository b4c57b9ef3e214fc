//! The embedded catalog: SQLite in one file, in the layout of PyIceberg's SqlCatalog, which opens it as it is.
//!
//! Owns [`EmbeddedCatalog`]. iceberg-catalog-sql was looked at: its commits come only from iceberg's own
//! transactions, it writes through its own FileIO, and its pool opens SQLite without the durability below.
//! - I1: a commit is one `UPDATE .. WHERE metadata_location = <base>`: SQLite's lock decides the race, between
//!   threads, processes and PyIceberg alike.
//! - I2: the order is: metadata file on disk, row on disk, reply. A row never names a file that a power cut can lose.
//! - I3: a metadata file whose row was not written is deleted only when that is certain; old ones only after the
//!   commit that dropped them from the log was applied.
//! - I4: metadata files never change, so what was read once from a location is kept (bounded, `CACHE_BYTES_MAX`).
//!
//! Journal: WAL with `synchronous=FULL`. A commit is then one fsync of the log and survives a power cut when it
//! returns. A rollback journal would need `EXTRA` for that (with `FULL` a journal that was unlinked may come back
//! and undo the commit), and a reader such as PyIceberg would hold off the committer, and the reverse. The price:
//! a backup takes the `-wal` file along, and the file cannot live on a network file system.
//!
//! Neighbours: `rows` holds all SQL, `commit` the compare-and-swap, `sqlite_error` what SQLite's errors mean;
//! `metadata` decides without I/O; the metadata files go through `tableflow_store`.

mod commit;
mod rows;
mod sqlite_error;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use iceberg::spec::TableMetadata;
use iceberg::{TableRequirement, TableUpdate};
use moka::future::Cache;
use tableflow_model::protocol::Guard;
use tableflow_model::{Clock, Error, Ids, Result, TableName};
use tableflow_store::kill::{self, KillPoint};
use tableflow_store::paths::{TablePaths, Warehouse};
use tableflow_store::{PutOutcome, Store};

use crate::catalog::{Catalog, CommitOutcome, LoadedTable, Properties, TableCreation};
use crate::metadata;
use rows::{Rows, Written};

/// The catalog's name in the layout's first column: PyIceberg is told the same one.
pub const CATALOG_NAME: &str = "tableflow";

/// Of metadata as JSON; parsed it takes a few times as much.
const CACHE_BYTES_MAX: u64 = 32 << 20;

/// SQLite on the local disk.
pub struct EmbeddedCatalog {
    rows: Rows,
    store: Store,
    warehouse: Warehouse,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    /// By metadata location (I4).
    cache: Cache<String, Cached>,
}

#[derive(Clone)]
struct Cached {
    metadata: Arc<TableMetadata>,
    length: u32,
}

impl fmt::Debug for EmbeddedCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedCatalog").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl EmbeddedCatalog {
    /// Opens the database file, made if missing; new tables go below `warehouse`, which the store must reach.
    pub async fn open(
        database: &Path,
        store: Store,
        warehouse: Warehouse,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<Self> {
        store.path(warehouse.uri())?;
        let rows = Rows::open(database).await?;
        let cache =
            Cache::builder().max_capacity(CACHE_BYTES_MAX).weigher(|_: &String, cached: &Cached| cached.length).build();
        Ok(EmbeddedCatalog { rows, store, warehouse, clock, ids, cache })
    }

    async fn load_at(&self, metadata_location: &str) -> Result<Arc<TableMetadata>> {
        if let Some(cached) = self.cache.get(metadata_location).await {
            return Ok(cached.metadata);
        }
        let bytes = self.store.get(metadata_location).await?;
        let metadata = Arc::new(metadata::parse(metadata_location, &bytes)?);
        self.remember(metadata_location, &metadata, metadata::json_length(&bytes)).await;
        Ok(metadata)
    }

    async fn remember(&self, metadata_location: &str, metadata: &Arc<TableMetadata>, length: usize) {
        let cached = Cached { metadata: Arc::clone(metadata), length: u32::try_from(length).unwrap_or(u32::MAX) };
        self.cache.insert(metadata_location.to_owned(), cached).await;
    }

    /// Writes a metadata file under a new name; returns its location and the length of its JSON.
    async fn write(&self, metadata: &TableMetadata, version: u32) -> Result<(String, usize)> {
        let (paths, id) = (TablePaths::at(metadata.location()), self.ids.uuid());
        let packed = metadata::is_packed(metadata);
        let location = if packed { paths.metadata_gzip(version, id) } else { paths.metadata(version, id) };
        let bytes = Bytes::from(metadata::serialize(metadata)?);
        let length = metadata::json_length(&bytes);
        match self.store.put_new(&location, bytes).await? {
            PutOutcome::Created | PutOutcome::Identical => Ok((location, length)),
            PutOutcome::Taken => Err(Error::internal(format!("{location} exists already with other content"))),
        }
    }

    /// Deletes a metadata file that no row names and none will (I3). A failure leaves garbage, no harm.
    async fn discard(&self, metadata_location: &str) {
        if let Err(error) = self.store.delete(metadata_location).await {
            tracing::warn!(metadata_location, %error, "an unused metadata file stays behind");
        }
    }

    async fn location_of(&self, table: &TableName) -> Result<String> {
        self.rows.metadata_location(table).await?.ok_or_else(|| no_such_table(table))
    }

    async fn require_namespace(&self, namespace: &str) -> Result<()> {
        if self.rows.namespace_exists(namespace).await? {
            return Ok(());
        }
        Err(no_such_namespace(namespace))
    }
}

fn no_such_table(table: &TableName) -> Error {
    Error::not_found(format!("there is no table {table}"))
}

fn no_such_namespace(namespace: &str) -> Error {
    Error::not_found(format!("there is no namespace {namespace}")).with_hint("make it first")
}

fn table_exists_already(table: &TableName) -> Error {
    Error::already_exists(format!("the table {table} exists already"))
}

#[async_trait]
impl Catalog for EmbeddedCatalog {
    /// I1.
    fn guard(&self) -> Guard {
        Guard::Location
    }

    async fn create_namespace(&self, namespace: &str, properties: &Properties) -> Result<()> {
        // A namespace is what a table's name may begin with.
        TableName::new(namespace, "t")?;
        if self.rows.create_namespace(namespace, properties).await? {
            return Ok(());
        }
        Err(Error::already_exists(format!("the namespace {namespace} exists already")))
    }

    async fn list_namespaces(&self) -> Result<Vec<String>> {
        self.rows.namespaces().await
    }

    async fn load_namespace(&self, namespace: &str) -> Result<Properties> {
        self.require_namespace(namespace).await?;
        self.rows.namespace_properties(namespace).await
    }

    async fn update_namespace(&self, namespace: &str, updates: &Properties, removals: &[String]) -> Result<()> {
        if self.rows.update_namespace(namespace, updates, removals).await? {
            return Ok(());
        }
        Err(no_such_namespace(namespace))
    }

    async fn drop_namespace(&self, namespace: &str) -> Result<()> {
        if self.rows.drop_namespace(namespace).await? {
            return Ok(());
        }
        self.require_namespace(namespace).await?;
        Err(Error::conflict(format!("the namespace {namespace} is not empty")).with_hint("drop its tables first"))
    }

    async fn create_table(&self, table: &TableName, creation: TableCreation) -> Result<LoadedTable> {
        self.require_namespace(table.namespace()).await?;
        if self.table_exists(table).await? {
            return Err(table_exists_already(table));
        }
        let uuid = self.ids.uuid();
        let location = match &creation.location {
            Some(location) => location.trim_end_matches('/').to_owned(),
            None => self.warehouse.table(table, uuid).location().to_owned(),
        };
        let metadata = Arc::new(metadata::create(table, creation, location, uuid, self.clock.now())?);
        let (metadata_location, length) = self.write(&metadata, 0).await?;
        kill::at(KillPoint::CatalogCreateBefore);
        match self.rows.create_table(table, &metadata_location).await {
            Ok(Written::Done) => {}
            Ok(Written::Refused) => {
                self.discard(&metadata_location).await;
                self.require_namespace(table.namespace()).await?;
                return Err(table_exists_already(table));
            }
            Err(error) => return Err(error),
        }
        kill::at(KillPoint::CatalogCreateAfter);
        self.remember(&metadata_location, &metadata, length).await;
        Ok(LoadedTable { metadata, metadata_location })
    }

    async fn load_table(&self, table: &TableName) -> Result<LoadedTable> {
        let mut metadata_location = self.location_of(table).await?;
        loop {
            match self.load_at(&metadata_location).await {
                Ok(metadata) => return Ok(LoadedTable { metadata, metadata_location }),
                Err(error) => {
                    // A commit may have moved on and deleted the file since the row was read.
                    let current = self.location_of(table).await?;
                    if current == metadata_location {
                        return Err(error.with_context("table", table));
                    }
                    metadata_location = current;
                }
            }
        }
    }

    async fn list_tables(&self, namespace: &str) -> Result<Vec<TableName>> {
        self.require_namespace(namespace).await?;
        let mut tables = Vec::new();
        for name in self.rows.table_names(namespace).await? {
            match TableName::new(namespace, &name) {
                Ok(table) => tables.push(table),
                Err(error) => tracing::warn!(namespace, name, %error, "a table that another engine named is left out"),
            }
        }
        Ok(tables)
    }

    async fn table_exists(&self, table: &TableName) -> Result<bool> {
        Ok(self.rows.metadata_location(table).await?.is_some())
    }

    async fn rename_table(&self, from: &TableName, to: &TableName) -> Result<()> {
        self.require_namespace(to.namespace()).await?;
        if from != to && self.table_exists(to).await? {
            return Err(table_exists_already(to));
        }
        match self.rows.rename_table(from, to).await? {
            Written::Done => Ok(()),
            Written::Refused if self.table_exists(from).await? => Err(table_exists_already(to)),
            Written::Refused => Err(no_such_table(from)),
        }
    }

    async fn drop_table(&self, table: &TableName) -> Result<()> {
        kill::at(KillPoint::CatalogDropBefore);
        match self.rows.drop_table(table).await? {
            Written::Done => {
                kill::at(KillPoint::CatalogDropAfter);
                Ok(())
            }
            Written::Refused => Err(no_such_table(table)),
        }
    }

    async fn commit(
        &self,
        table: &TableName,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> Result<CommitOutcome> {
        commit::commit(self, table, base, &requirements, updates).await
    }
}

#[cfg(test)]
mod tests;
