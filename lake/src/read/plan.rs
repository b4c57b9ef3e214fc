//! A snapshot and a filter -> the files to read.
//!
//! - I1: no file is read that the filter cannot match, and no manifest is opened that cannot hold one.
//! - I2: what this reader cannot read right it refuses: delete files, other file formats. It never returns rows that
//!   are deleted.
//! - I3: statistics are exact only where every file's are.

use std::sync::Arc;

use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{
    DataFile, DataFileFormat, ManifestContentType, ManifestFile, PartitionSpec, Schema, SnapshotRef, TableMetadata,
};
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use super::bounds::{Bounds, ColumnBounds};
use super::prune::Pruner;
use crate::commit::{live_entries, manifests_of};

/// Manifests read at the same time: hides the store's latency without flooding it.
const MANIFESTS_IN_FLIGHT_MAX: usize = 16;

/// A file to read, and what is known about it.
#[derive(Debug)]
pub struct PlannedFile {
    pub file: DataFile,
    pub bounds: Bounds,
}

/// The live files of a snapshot that may hold rows for the filter over the columns of `schema`.
pub async fn plan_files(
    store: &Store,
    table: &TableMetadata,
    snapshot: &SnapshotRef,
    schema: &Schema,
    pruner: &Pruner,
) -> Result<Vec<PlannedFile>> {
    let manifests = manifests_of(store, table, snapshot).await?;
    let manifests = prune_manifests(table, schema, manifests, pruner)?;
    let read = manifests.into_iter().map(|manifest| files_of(store, table, schema, manifest, pruner));
    let files: Vec<Vec<PlannedFile>> = stream::iter(read).buffered(MANIFESTS_IN_FLIGHT_MAX).try_collect().await?;
    Ok(files.into_iter().flatten().collect())
}

fn prune_manifests(
    table: &TableMetadata,
    schema: &Schema,
    manifests: Vec<ManifestFile>,
    pruner: &Pruner,
) -> Result<Vec<ManifestFile>> {
    let live: Vec<_> = manifests.into_iter().filter(|m| m.has_added_files() || m.has_existing_files()).collect();
    if live.iter().any(|manifest| manifest.content == ManifestContentType::Deletes) {
        return Err(Error::usage("the table has delete files, which this version does not read yet")
            .with_hint("read it with the engine that deleted the rows, or compact the table there first"));
    }
    let bounds = live.iter().map(|manifest| Ok(Bounds::of_manifest(manifest, schema, spec(table, manifest)?)));
    let keep = pruner.keep(&bounds.collect::<Result<Vec<_>>>()?).map_err(pruning_failed)?;
    Ok(live.into_iter().zip(keep).filter_map(|(manifest, keep)| keep.then_some(manifest)).collect())
}

async fn files_of(
    store: &Store,
    table: &TableMetadata,
    schema: &Schema,
    manifest: ManifestFile,
    pruner: &Pruner,
) -> Result<Vec<PlannedFile>> {
    let spec = spec(table, &manifest)?;
    let (entries, _) = live_entries(store, &manifest).await?;
    let files: Vec<DataFile> = entries.iter().map(|entry| entry.data_file().clone()).collect();
    if let Some(file) = files.iter().find(|file| file.file_format() != DataFileFormat::Parquet) {
        return Err(Error::usage(format!("the table has {} files, which are not read here", file.file_format()))
            .with_detail(file.file_path()));
    }
    let bounds: Vec<Bounds> = files.iter().map(|file| Bounds::of_file(file, schema, spec)).collect();
    let keep = pruner.keep(&bounds).map_err(pruning_failed)?;
    let planned = files.into_iter().zip(bounds).zip(keep);
    Ok(planned.filter_map(|((file, bounds), keep)| keep.then_some(PlannedFile { file, bounds })).collect())
}

fn spec<'a>(table: &'a TableMetadata, manifest: &ManifestFile) -> Result<&'a PartitionSpec> {
    table
        .partition_spec_by_id(manifest.partition_spec_id)
        .map(Arc::as_ref)
        .ok_or_else(|| Error::data("a manifest names a partition spec that the table does not have"))
}

fn pruning_failed(error: datafusion::error::DataFusionError) -> Error {
    Error::internal("holding the filter against the files' bounds").with_source(error)
}

/// I3: what the planned files say together.
pub fn statistics(files: &[PlannedFile], schema: &ArrowSchemaRef) -> Statistics {
    let rows: u64 = files.iter().map(|planned| planned.file.record_count()).sum();
    let bytes: u64 = files.iter().map(|planned| planned.file.file_size_in_bytes()).sum();
    let column = |name: &str| {
        let bounds: Option<Vec<&ColumnBounds>> = files.iter().map(|planned| planned.bounds.columns.get(name)).collect();
        bounds.map(|bounds| column_statistics(&bounds)).unwrap_or_default()
    };
    Statistics {
        num_rows: Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX)),
        total_byte_size: Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)),
        column_statistics: schema.fields().iter().map(|field| column(field.name())).collect(),
    }
}

/// What one file says.
pub fn file_statistics(planned: &PlannedFile, schema: &ArrowSchemaRef) -> Statistics {
    statistics(std::slice::from_ref(planned), schema)
}

fn column_statistics(bounds: &[&ColumnBounds]) -> ColumnStatistics {
    let mut statistics = ColumnStatistics::new_unknown();
    let nulls: Option<u64> = bounds.iter().map(|column| column.nulls).sum();
    if let Some(nulls) = nulls {
        statistics.null_count = Precision::Exact(usize::try_from(nulls).unwrap_or(usize::MAX));
    }
    let exact = !bounds.is_empty() && bounds.iter().all(|column| column.exact);
    let wrap = |value| if exact { Precision::Exact(value) } else { Precision::Inexact(value) };
    let min = bounds.iter().map(|column| column.min.clone()).collect::<Option<Vec<_>>>();
    let max = bounds.iter().map(|column| column.max.clone()).collect::<Option<Vec<_>>>();
    let smallest = min.and_then(|all| all.into_iter().reduce(|a, b| if b < a { b } else { a }));
    let largest = max.and_then(|all| all.into_iter().reduce(|a, b| if b > a { b } else { a }));
    if let (Some(smallest), Some(largest)) = (smallest, largest) {
        statistics.min_value = wrap(smallest);
        statistics.max_value = wrap(largest);
    }
    statistics
}
