//! The suite itself: it takes a catalog at its word about its guard, and holds it to that word.

use std::sync::Mutex;

use async_trait::async_trait;
use tableflow_model::clock::{RandomIds, SystemClock};
use tableflow_model::protocol::Guard;
use tableflow_store::Store;
use tableflow_store::paths::Warehouse;
use tempfile::TempDir;

use super::*;
use crate::catalog::Properties;
use crate::embedded::EmbeddedCatalog;

/// Like a REST server: a commit is judged on the newest metadata, by its requirements alone.
#[derive(Debug)]
struct Rebasing {
    inner: EmbeddedCatalog,
    claims: Guard,
}

#[async_trait]
impl Catalog for Rebasing {
    fn guard(&self) -> Guard {
        self.claims
    }

    async fn commit(
        &self,
        table: &TableName,
        _base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> Result<CommitOutcome> {
        let newest = self.inner.load_table(table).await?;
        self.inner.commit(table, &newest, requirements, updates).await
    }

    async fn create_namespace(&self, namespace: &str, properties: &Properties) -> Result<()> {
        self.inner.create_namespace(namespace, properties).await
    }

    async fn list_namespaces(&self) -> Result<Vec<String>> {
        self.inner.list_namespaces().await
    }

    async fn load_namespace(&self, namespace: &str) -> Result<Properties> {
        self.inner.load_namespace(namespace).await
    }

    async fn update_namespace(&self, namespace: &str, updates: &Properties, removals: &[String]) -> Result<()> {
        self.inner.update_namespace(namespace, updates, removals).await
    }

    async fn drop_namespace(&self, namespace: &str) -> Result<()> {
        self.inner.drop_namespace(namespace).await
    }

    async fn create_table(&self, table: &TableName, creation: TableCreation) -> Result<LoadedTable> {
        self.inner.create_table(table, creation).await
    }

    async fn load_table(&self, table: &TableName) -> Result<LoadedTable> {
        self.inner.load_table(table).await
    }

    async fn list_tables(&self, namespace: &str) -> Result<Vec<TableName>> {
        self.inner.list_tables(namespace).await
    }

    async fn table_exists(&self, table: &TableName) -> Result<bool> {
        self.inner.table_exists(table).await
    }

    async fn rename_table(&self, from: &TableName, to: &TableName) -> Result<()> {
        self.inner.rename_table(from, to).await
    }

    async fn drop_table(&self, table: &TableName) -> Result<()> {
        self.inner.drop_table(table).await
    }
}

async fn run_on_a_rebasing_catalog(claims: Guard) -> Result<()> {
    let directories: Mutex<Vec<TempDir>> = Mutex::default();
    let make = || async {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().to_str().unwrap(), &SystemClock)?;
        let warehouse = Warehouse::new(&format!("{}/warehouse", store.root_uri()));
        let (database, clock) = (directory.path().join("catalog.db"), Arc::new(SystemClock));
        let inner = EmbeddedCatalog::open(&database, store, warehouse, clock, Arc::new(RandomIds)).await?;
        directories.lock().unwrap().push(directory);
        Ok(Arc::new(Rebasing { inner, claims }) as Arc<dyn Catalog>)
    };
    run(make).await
}

#[tokio::test]
async fn i1_a_catalog_is_held_to_the_guard_that_it_claims() {
    run_on_a_rebasing_catalog(Guard::Snapshot).await.unwrap_or_else(|error| panic!("{}", error.report()));
    let report = run_on_a_rebasing_catalog(Guard::Location).await.unwrap_err().report();
    assert!(report.contains("case=a_stale_location_is_refused_where_it_is_the_guard"), "{report}");
}
