//! The catalog as DataFusion sees it.
//!
//! - I1: a namespace is a schema; tables are loaded when a statement names them, as they are at that moment.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use tableflow_lake::read::IcebergTable;
use tableflow_model::TableName;

use super::travel::Travel;
use crate::home::Home;

/// All namespaces, listed once a session.
#[derive(Debug)]
pub struct Namespaces {
    schemas: BTreeMap<String, Arc<Namespace>>,
}

impl Namespaces {
    pub async fn list(home: &Home, travel: Travel) -> tableflow_model::Result<Self> {
        let travel = Arc::new(travel);
        let mut schemas = BTreeMap::new();
        for namespace in home.catalog.list_namespaces().await? {
            let tables = home.catalog.list_tables(&namespace).await?;
            let schema = Namespace { home: home.clone(), travel: travel.clone(), tables };
            schemas.insert(namespace, Arc::new(schema));
        }
        Ok(Namespaces { schemas })
    }

    /// Every table of every namespace.
    pub fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.schemas.values().flat_map(|schema| schema.tables.iter())
    }
}

impl CatalogProvider for Namespaces {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema_names(&self) -> Vec<String> {
        self.schemas.keys().cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.schemas.get(name).map(|schema| schema.clone() as Arc<dyn SchemaProvider>)
    }
}

/// One namespace.
#[derive(Debug)]
pub struct Namespace {
    home: Home,
    travel: Arc<Travel>,
    tables: Vec<TableName>,
}

#[async_trait]
impl SchemaProvider for Namespace {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn table_names(&self) -> Vec<String> {
        self.tables.iter().map(|table| table.name().to_owned()).collect()
    }

    /// A travelled table's name is its own, followed by the mark that the statement gave it.
    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some((own_name, point)) = self.travel.find(name) else { return Ok(None) };
        let Some(table) = self.tables.iter().find(|table| table.name() == own_name) else { return Ok(None) };
        let external = |error: tableflow_model::Error| DataFusionError::External(Box::new(error));
        let loaded = self.home.catalog.load_table(table).await.map_err(external)?;
        let store = self.home.store.clone();
        let provider = match point {
            None => IcebergTable::current(store, loaded.metadata),
            Some(point) => {
                let snapshot = point.snapshot_of(table, &loaded.metadata).map_err(external)?;
                IcebergTable::at(store, loaded.metadata, Some(snapshot))
            }
        };
        Ok(Some(Arc::new(provider.map_err(external)?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        let own_name = self.travel.find(name).map(|(own_name, _)| own_name);
        self.tables.iter().any(|table| Some(table.name()) == own_name)
    }
}
