//! The table that DataFusion sees.
//!
//! Owns [`IcebergTable`]: one table at one snapshot. Partitions and files are pruned here; row groups, pages,
//! late filtering and the split into parallel ranges are done by DataFusion's own Parquet source.
//! - I1: a provider shows one snapshot for its whole life, whatever commits meanwhile.
//! - I2: filters are pushed down as far as metadata goes and applied again on rows.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use iceberg::spec::{SnapshotRef, TableMetadata};
use tableflow_store::Store;

use super::adapt::NestedAdapterFactory;
use super::plan::{PlannedFile, file_statistics, plan_files, statistics};
use super::prune::Pruner;
use crate::layout::arrow_schema;

/// One table at one snapshot.
#[derive(Debug)]
pub struct IcebergTable {
    store: Store,
    metadata: Arc<TableMetadata>,
    snapshot: Option<SnapshotRef>,
    schema: ArrowSchemaRef,
}

impl IcebergTable {
    /// The table as it is now.
    pub fn current(store: Store, metadata: Arc<TableMetadata>) -> tableflow_model::Result<Self> {
        let snapshot = metadata.current_snapshot().cloned();
        IcebergTable::at(store, metadata, snapshot)
    }

    /// The table as a snapshot shows it, with the columns it has now (an added column is null in old rows).
    pub fn at(
        store: Store,
        metadata: Arc<TableMetadata>,
        snapshot: Option<SnapshotRef>,
    ) -> tableflow_model::Result<Self> {
        let schema = arrow_schema(metadata.current_schema())?;
        // Field ids are the files' matter: with them in the schema every expression would carry them.
        let fields: Vec<_> = schema.fields().iter().map(|field| without_metadata(field)).collect();
        Ok(IcebergTable { store, metadata, snapshot, schema: Arc::new(ArrowSchema::new(fields)) })
    }

    fn filter(&self, state: &dyn Session, filters: &[Expr]) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(filter) = conjunction(filters.to_vec()) else { return Ok(None) };
        let schema = DFSchema::try_from(self.schema.as_ref().clone())?;
        state.create_physical_expr(filter, &schema).map(Some)
    }

    fn partitioned_file(&self, planned: &PlannedFile) -> Result<PartitionedFile> {
        let path = self.store.path(planned.file.file_path()).map_err(external)?;
        let mut file = PartitionedFile::new(path.to_string(), planned.file.file_size_in_bytes());
        file.object_meta.location = path;
        Ok(file.with_statistics(Arc::new(file_statistics(planned, &self.schema))))
    }
}

/// At every depth: operators that put columns together compare types, metadata and all.
fn without_metadata(field: &Field) -> Field {
    let bare = |child: &FieldRef| Arc::new(without_metadata(child));
    let data_type = match field.data_type() {
        DataType::List(element) => DataType::List(bare(element)),
        DataType::Map(entries, sorted) => DataType::Map(bare(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(bare).collect()),
        plain => plain.clone(),
    };
    Field::new(field.name(), data_type, field.is_nullable())
}

fn external(error: tableflow_model::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[async_trait]
impl TableProvider for IcebergTable {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> ArrowSchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// I2.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let filter = self.filter(state, filters)?;
        let pruner = Pruner::new(self.schema.clone(), filter)?;
        let files = match &self.snapshot {
            Some(snapshot) => plan_files(&self.store, &self.metadata, snapshot, &pruner).await.map_err(external)?,
            None => Vec::new(),
        };
        if files.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema.project(columns)?),
                None => self.schema.clone(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        // The filter comes by itself: DataFusion pushes it into the source where the session wants that.
        let source = ParquetSource::new(self.schema.clone());
        let url = ObjectStoreUrl::parse(self.store.base_url().map_err(external)?.as_str())?;
        let group = files.iter().map(|planned| self.partitioned_file(planned)).collect::<Result<Vec<_>>>()?;
        let groups = FileGroup::new(group).split_files(state.config_options().execution.target_partitions);
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics(&files, &self.schema))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(NestedAdapterFactory)))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn statistics(&self) -> Option<Statistics> {
        None
    }
}
