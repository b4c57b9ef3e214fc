//! A snapshot and a filter -> the files to read.
//!
//! - I1: no file is read that the filter cannot match, and no manifest is opened that cannot hold one.
//! - I2: what this reader cannot read right it refuses: other file formats. It never returns rows that are deleted.
//! - I3: statistics are exact only where every file's are. Of a file with deleted rows the number of rows is; its
//!   nulls are not known, and its bounds are bounds of what is left.

use std::sync::Arc;

use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use iceberg::spec::{
    DataFileFormat, ManifestContentType, ManifestFile, PartitionSpec, Schema, SnapshotRef, TableMetadata,
};
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use super::bounds::{Bounds, ColumnBounds};
use super::deletes::{DeleteFiles, deleted_rows};
use super::prune::Pruner;
use super::side_by_side;
use crate::commit::{LiveFile, live_files_of, manifests_of};

/// A file to read, and what is known about it.
#[derive(Debug)]
pub struct PlannedFile {
    pub live: LiveFile,
    /// Of all its rows.
    pub bounds: Bounds,
    /// The positions of those that are deleted.
    pub deleted: RoaringTreemap,
}

impl PlannedFile {
    /// Those that are not.
    fn rows(&self) -> u64 {
        self.live.file.record_count().saturating_sub(self.deleted.len())
    }
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
    let deletes = DeleteFiles::of_manifests(store, table, &manifests).await?;
    let manifests = prune_manifests(table, schema, manifests, pruner)?;
    let mut reads = Vec::new();
    for manifest in manifests {
        reads.push(files_of(store, table, schema, manifest, pruner));
    }
    let mut files: Vec<PlannedFile> = side_by_side(reads).await?.into_iter().flatten().collect();
    let live: Vec<&LiveFile> = files.iter().map(|planned| &planned.live).collect();
    let mut deleted = deleted_rows(store, table, &deletes, &live).await?;
    for planned in &mut files {
        planned.deleted = deleted.remove(planned.live.file.file_path()).unwrap_or_default();
    }
    files.retain(|planned| planned.rows() > 0);
    Ok(files)
}

fn prune_manifests(
    table: &TableMetadata,
    schema: &Schema,
    manifests: Vec<ManifestFile>,
    pruner: &Pruner,
) -> Result<Vec<ManifestFile>> {
    let live: Vec<_> = manifests.into_iter().filter(has_data).collect();
    let bounds = live.iter().map(|manifest| Ok(Bounds::of_manifest(manifest, schema, spec(table, manifest)?)));
    let keep = pruner.keep(&bounds.collect::<Result<Vec<_>>>()?).map_err(pruning_failed)?;
    Ok(live.into_iter().zip(keep).filter_map(|(manifest, keep)| keep.then_some(manifest)).collect())
}

fn has_data(manifest: &ManifestFile) -> bool {
    manifest.content == ManifestContentType::Data && (manifest.has_added_files() || manifest.has_existing_files())
}

/// The live data files of these manifests (I2).
pub async fn data_files(store: &Store, manifests: &[ManifestFile]) -> Result<Vec<LiveFile>> {
    let mut reads = Vec::new();
    for manifest in manifests.iter().filter(|manifest| has_data(manifest)) {
        reads.push(readable_files_of(store, manifest));
    }
    Ok(side_by_side(reads).await?.into_iter().flatten().collect())
}

async fn readable_files_of(store: &Store, manifest: &ManifestFile) -> Result<Vec<LiveFile>> {
    let files = live_files_of(store, manifest).await?;
    let other = files.iter().map(|live| &live.file).find(|file| file.file_format() != DataFileFormat::Parquet);
    match other {
        None => Ok(files),
        Some(file) => Err(Error::usage(format!("the table has {} files, which are not read here", file.file_format()))
            .with_detail(file.file_path())),
    }
}

async fn files_of(
    store: &Store,
    table: &TableMetadata,
    schema: &Schema,
    manifest: ManifestFile,
    pruner: &Pruner,
) -> Result<Vec<PlannedFile>> {
    let spec = spec(table, &manifest)?;
    let files = readable_files_of(store, &manifest).await?;
    let bounds: Vec<Bounds> = files.iter().map(|live| Bounds::of_file(&live.file, schema, spec)).collect();
    let keep = pruner.keep(&bounds).map_err(pruning_failed)?;
    let planned = files.into_iter().zip(bounds).zip(keep);
    let planned = planned.filter_map(|((live, bounds), keep)| keep.then_some((live, bounds)));
    Ok(planned.map(|(live, bounds)| PlannedFile { live, bounds, deleted: RoaringTreemap::new() }).collect())
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
    let rows: u64 = files.iter().map(PlannedFile::rows).sum();
    let bytes: u64 = files.iter().map(|planned| planned.live.file.file_size_in_bytes()).sum();
    let whole = files.iter().all(|planned| planned.deleted.is_empty());
    let column = |name: &str| {
        let bounds: Option<Vec<&ColumnBounds>> = files.iter().map(|planned| planned.bounds.columns.get(name)).collect();
        bounds.map(|bounds| column_statistics(&bounds, whole)).unwrap_or_default()
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

/// Of files that are whole, or not (I3).
fn column_statistics(bounds: &[&ColumnBounds], whole: bool) -> ColumnStatistics {
    let mut statistics = ColumnStatistics::new_unknown();
    let nulls: Option<u64> = bounds.iter().map(|column| column.nulls).sum();
    if let Some(nulls) = nulls.filter(|_| whole) {
        statistics.null_count = Precision::Exact(usize::try_from(nulls).unwrap_or(usize::MAX));
    }
    let exact = whole && !bounds.is_empty() && bounds.iter().all(|column| column.exact);
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
