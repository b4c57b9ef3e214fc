//! The catalog as DataFusion sees it.
//!
//! - I1: a namespace is a schema; a table is loaded when the statement first names it, and is that to the whole
//!   statement, whatever commits meanwhile.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use iceberg::spec::SchemaRef;
use tableflow_catalog::LoadedTable;
use tableflow_lake::read::{IcebergTable, schema_at};
use tableflow_model::TableName;

use super::travel::{Point, Travel};
use crate::home::Home;

/// All namespaces, listed once a statement.
#[derive(Debug)]
pub struct Namespaces {
    schemas: BTreeMap<String, Arc<Namespace>>,
    view: Arc<View>,
}

/// What a statement sees of the catalog.
#[derive(Debug)]
struct View {
    home: Home,
    travel: Travel,
    loaded: Mutex<HashMap<TableName, LoadedTable>>,
}

impl View {
    async fn load(&self, table: &TableName) -> tableflow_model::Result<LoadedTable> {
        let known = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let now = self.home.catalog.load_table(table).await?;
        // Whoever loaded it first decides for all (I1).
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(loaded.entry(table.clone()).or_insert(now).clone())
    }
}

impl Namespaces {
    pub async fn list(home: &Home, travel: Travel) -> tableflow_model::Result<Self> {
        let view = Arc::new(View { home: home.clone(), travel, loaded: Mutex::default() });
        let mut schemas = BTreeMap::new();
        for namespace in home.catalog.list_namespaces().await? {
            let tables = home.catalog.list_tables(&namespace).await?;
            let schema = Namespace { view: view.clone(), tables };
            schemas.insert(namespace, Arc::new(schema));
        }
        Ok(Namespaces { schemas, view })
    }

    /// The columns of a table wherever the statement may read it.
    pub async fn schemas(&self, table: &TableName) -> tableflow_model::Result<Vec<SchemaRef>> {
        let metadata = self.view.load(table).await?.metadata;
        let schema = |point: Option<Point>| match point {
            None => Some(metadata.current_schema().clone()),
            Some(point) => point.snapshot_of(table, &metadata).ok().map(|snapshot| schema_at(&metadata, &snapshot)),
        };
        Ok(self.view.travel.points().filter_map(schema).collect())
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
    view: Arc<View>,
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
        let Some((own_name, point)) = self.view.travel.find(name) else { return Ok(None) };
        let Some(table) = self.tables.iter().find(|table| table.name() == own_name) else { return Ok(None) };
        let external = |error: tableflow_model::Error| DataFusionError::External(Box::new(error));
        let loaded = self.view.load(table).await.map_err(external)?;
        let store = self.view.home.store.clone();
        let provider = match point {
            None => IcebergTable::current(store, loaded.metadata),
            Some(point) => {
                let snapshot = point.snapshot_of(table, &loaded.metadata).map_err(external)?;
                IcebergTable::at(store, loaded.metadata, snapshot)
            }
        };
        Ok(Some(Arc::new(provider.map_err(external)?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        let own_name = self.view.travel.find(name).map(|(own_name, _)| own_name);
        self.tables.iter().any(|table| Some(table.name()) == own_name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use iceberg::spec::{FormatVersion, NestedField, PrimitiveType, Schema, Type};
    use tableflow_catalog::{Properties, TableCreation};

    use super::*;

    #[tokio::test]
    async fn i1_a_statement_sees_one_state_of_a_table() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(&directory.path().join("data")).await.unwrap();
        let table = TableName::new("bronze", "t").unwrap();
        let column = NestedField::optional(1, "n", Type::Primitive(PrimitiveType::Long));
        let creation = TableCreation {
            location: None,
            schema: Schema::builder().with_fields([column.into()]).build().unwrap(),
            partition_spec: None,
            sort_order: None,
            properties: HashMap::new(),
            format_version: FormatVersion::V2,
        };
        home.catalog.create_namespace("bronze", &Properties::new()).await.unwrap();
        home.catalog.create_table(&table, creation.clone()).await.unwrap();

        let statement = Namespaces::list(&home, Travel::with_default(None)).await.unwrap();
        let first = statement.view.load(&table).await.unwrap();
        home.catalog.drop_table(&table).await.unwrap();
        home.catalog.create_table(&table, creation).await.unwrap();
        assert_eq!(statement.view.load(&table).await.unwrap().metadata.uuid(), first.metadata.uuid());
        let next = Namespaces::list(&home, Travel::with_default(None)).await.unwrap();
        assert_ne!(next.view.load(&table).await.unwrap().metadata.uuid(), first.metadata.uuid());
    }
}
