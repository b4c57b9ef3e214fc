//! The table that DataFusion sees.
//!
//! Owns [`IcebergTable`]: one table at one snapshot. Partitions and files are pruned here; row groups, pages,
//! late filtering and the split into parallel ranges are done by DataFusion's own Parquet source, and so is leaving out
//! deleted rows, once they are known.
//! - I1: a provider shows one snapshot for its whole life, whatever commits meanwhile.
//! - I2: filters are pushed down as far as metadata goes and applied again on rows.
//! - I3: files without deleted rows are read as if no other file had some.
//! - I4: the table as it is now has the columns that it has now; as it was at a snapshot, those that it had then.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::SchemaRef as ArrowSchemaRef;
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
use datafusion::physical_expr::expressions::lit;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use iceberg::spec::{SchemaRef, Snapshot, SnapshotRef, TableMetadata};
use parquet::file::metadata::ParquetMetaData;
use tableflow_model::Error;
use tableflow_store::Store;

use super::adapt::ColumnsById;
use super::footers::Footers;
use super::plan::{PlannedFile, file_statistics, plan_files, statistics};
use super::prune::Pruner;
use super::selection::access_plan;
use super::side_by_side;
use super::unlimited::Unlimited;

/// How files are scanned.
struct How<'a> {
    projection: Option<&'a Vec<usize>>,
    limit: Option<usize>,
    partitions: usize,
    /// Those that were read already.
    footers: Option<Arc<Footers>>,
}

/// One table at one snapshot.
#[derive(Debug)]
pub struct IcebergTable {
    store: Store,
    metadata: Arc<TableMetadata>,
    snapshot: Option<SnapshotRef>,
    schema: SchemaRef,
    columns: ColumnsById,
}

/// The columns that the table had at a snapshot (I4); those of now where the snapshot does not say, or they are
/// forgotten.
pub fn schema_at(metadata: &TableMetadata, snapshot: &Snapshot) -> SchemaRef {
    let known = snapshot.schema_id().and_then(|id| metadata.schema_by_id(id));
    known.unwrap_or_else(|| metadata.current_schema()).clone()
}

impl IcebergTable {
    /// The table as it is now.
    pub fn current(store: Store, metadata: Arc<TableMetadata>) -> tableflow_model::Result<Self> {
        let (snapshot, schema) = (metadata.current_snapshot().cloned(), metadata.current_schema().clone());
        IcebergTable::new(store, metadata, snapshot, schema)
    }

    /// The table as it was at a snapshot (I4).
    pub fn at(store: Store, metadata: Arc<TableMetadata>, snapshot: SnapshotRef) -> tableflow_model::Result<Self> {
        let schema = schema_at(&metadata, &snapshot);
        IcebergTable::new(store, metadata, Some(snapshot), schema)
    }

    fn new(
        store: Store,
        metadata: Arc<TableMetadata>,
        snapshot: Option<SnapshotRef>,
        schema: SchemaRef,
    ) -> tableflow_model::Result<Self> {
        let columns = ColumnsById::new(&metadata, &schema)?;
        Ok(IcebergTable { store, metadata, snapshot, schema, columns })
    }

    fn arrow_schema(&self) -> &ArrowSchemaRef {
        self.columns.bare_schema()
    }

    fn filter(&self, state: &dyn Session, filters: &[Expr]) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(filter) = conjunction(filters.to_vec()) else { return Ok(None) };
        let schema = DFSchema::try_from(self.arrow_schema().as_ref().clone())?;
        state.create_physical_expr(filter, &schema).map(Some)
    }

    fn partitioned_file(&self, planned: &PlannedFile) -> Result<PartitionedFile> {
        let path = self.store.path(planned.live.file.file_path()).map_err(external)?;
        let mut file = PartitionedFile::new(path.to_string(), planned.live.file.file_size_in_bytes());
        file.object_meta.location = path;
        Ok(file.with_statistics(Arc::new(file_statistics(planned, self.arrow_schema()))))
    }

    /// The same file without its deleted rows, and its footer, which says where they are.
    async fn without_deleted(
        &self,
        planned: &PlannedFile,
    ) -> tableflow_model::Result<(PartitionedFile, Arc<ParquetMetaData>)> {
        let unreadable = |error| {
            Error::data("a file of the table cannot be read")
                .with_detail(planned.live.file.file_path())
                .with_source(error)
        };
        let file = self.partitioned_file(planned).map_err(unreadable)?;
        let footer = Footers::read(&self.store.object_store(), &file.object_meta).await.map_err(unreadable)?;
        let rows = footer.row_groups().iter().map(|group| u64::try_from(group.num_rows()).unwrap_or(0));
        Ok((file.with_extensions(Arc::new(access_plan(rows, &planned.deleted))), footer))
    }

    /// A scan of some of the files.
    fn scan_of(
        &self,
        files: Vec<PartitionedFile>,
        statistics: Statistics,
        how: &How<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // The filter comes by itself: DataFusion pushes it into the source where the session wants that.
        let mut source = ParquetSource::new(self.arrow_schema().clone());
        if self.columns.may_mislead() {
            // Without a filter, a file with the very columns of the table would be read unadapted.
            source = source.with_predicate(lit(true));
        }
        if let Some(footers) = &how.footers {
            source = source.with_parquet_file_reader_factory(footers.clone());
        }
        let url = ObjectStoreUrl::parse(self.store.base_url().map_err(external)?.as_str())?;
        let groups = FileGroup::new(files).split_files(how.partitions);
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(how.projection.cloned())?
            .with_limit(how.limit)
            .with_expr_adapter(Some(Arc::new(self.columns.clone())))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
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
        self.arrow_schema().clone()
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
        let pruner = Pruner::new(self.arrow_schema().clone(), filter)?;
        let files = match &self.snapshot {
            Some(snapshot) => {
                let planned = plan_files(&self.store, &self.metadata, snapshot, &self.schema, &pruner);
                planned.await.map_err(external)?
            }
            None => Vec::new(),
        };
        if files.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.arrow_schema().project(columns)?),
                None => self.arrow_schema().clone(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let (whole, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|planned| planned.deleted.is_empty());
        let partitions = state.config_options().execution.target_partitions;
        let mut scans = Vec::new();
        if !whole.is_empty() {
            let files = whole.iter().map(|planned| self.partitioned_file(planned)).collect::<Result<Vec<_>>>()?;
            let how = How { projection, limit, partitions, footers: None };
            scans.push(self.scan_of(files, statistics(&whole, self.arrow_schema()), &how)?);
        }
        if !others.is_empty() {
            let mut reads = Vec::new();
            for planned in &others {
                reads.push(self.without_deleted(planned));
            }
            let read = side_by_side(reads).await.map_err(external)?;
            let footers = read.iter().map(|(file, footer)| (file.object_meta.location.clone(), footer.clone()));
            let footers = Some(Arc::new(Footers::new(self.store.object_store(), footers.collect())));
            let files = read.into_iter().map(|(file, _)| file).collect();
            let how = How { projection, limit: None, partitions, footers };
            scans.push(Unlimited::over(self.scan_of(files, statistics(&others, self.arrow_schema()), &how)?));
        }
        UnionExec::try_new(scans)
    }

    fn statistics(&self) -> Option<Statistics> {
        None
    }
}
