//! Manifests and manifest lists, written and read.
//!
//! - I1: every object is put create-only under a name with the commit's own uuid.
//! - I2: an entry that is carried over keeps its snapshot id and both sequence numbers.
//! - I3: a manifest that joins others has their spec and the table's current schema. Readers take bounds by field id,
//!   and nobody asks for those of columns that the table has no more; every other bound is kept.

use std::sync::Arc;

use iceberg::spec::{
    DataFile, FormatVersion, ManifestContentType, ManifestEntry, ManifestFile, ManifestListWriter, ManifestWriter,
    ManifestWriterBuilder, PartitionSpec, SchemaRef, SnapshotRef, TableMetadata,
};
use tableflow_model::{Error, Result};
use tableflow_store::Store;
use tableflow_store::bridge::file_io;
use tableflow_store::paths::TablePaths;
use uuid::Uuid;

use crate::iceberg_error;

/// The manifests of a snapshot.
pub async fn manifests_of(store: &Store, table: &TableMetadata, snapshot: &SnapshotRef) -> Result<Vec<ManifestFile>> {
    let bytes = store.get(snapshot.manifest_list()).await?;
    let list = iceberg::spec::ManifestList::parse_with_version(&bytes, table.format_version())
        .map_err(iceberg_error("a manifest list cannot be read"))?;
    Ok(list.consume_entries().into_iter().collect())
}

/// The live entries of a manifest, with what they inherit from the list.
pub async fn live_entries(store: &Store, manifest: &ManifestFile) -> Result<(Vec<ManifestEntry>, SchemaRef)> {
    let loaded = manifest.load_manifest(&file_io(store)).await.map_err(iceberg_error("a manifest cannot be read"))?;
    let schema = loaded.metadata().schema().clone();
    let (entries, _) = loaded.into_parts();
    let live = entries.into_iter().filter(|entry| entry.is_alive()).map(Arc::unwrap_or_clone).collect();
    Ok((live, schema))
}

/// Every live data file of a snapshot.
pub async fn live_files(store: &Store, table: &TableMetadata, snapshot: &SnapshotRef) -> Result<Vec<DataFile>> {
    let mut files = Vec::new();
    for manifest in manifests_of(store, table, snapshot).await? {
        if manifest.content == ManifestContentType::Data {
            let (entries, _) = live_entries(store, &manifest).await?;
            files.extend(entries.into_iter().map(|entry| entry.data_file().clone()));
        }
    }
    Ok(files)
}

/// Writes the objects of one commit, each under its own name (I1).
#[derive(Debug)]
pub(super) struct CommitObjects<'a> {
    store: &'a Store,
    paths: TablePaths,
    id: Uuid,
    snapshot_id: i64,
    next_manifest: u32,
}

impl<'a> CommitObjects<'a> {
    pub fn new(store: &'a Store, table: &TableMetadata, id: Uuid, snapshot_id: i64) -> Self {
        CommitObjects { store, paths: TablePaths::at(table.location()), id, snapshot_id, next_manifest: 0 }
    }

    fn writer(&mut self, schema: SchemaRef, spec: PartitionSpec) -> Result<ManifestWriter> {
        let uri = self.paths.manifest(self.id, self.next_manifest);
        self.next_manifest += 1;
        let output = file_io(self.store).new_output(uri).map_err(iceberg_error("naming a manifest"))?;
        Ok(ManifestWriterBuilder::new(output, Some(self.snapshot_id), schema, spec).build_v2_data())
    }

    /// A manifest of files that are new in this snapshot; they inherit its sequence number.
    pub async fn added(&mut self, files: &[DataFile], schema: SchemaRef, spec: PartitionSpec) -> Result<ManifestFile> {
        let mut writer = self.writer(schema, spec)?;
        for file in files {
            let inherited = -1;
            writer.add_file(file.clone(), inherited).map_err(iceberg_error("adding a file to a manifest"))?;
        }
        writer.write_manifest_file().await.map_err(iceberg_error("writing a manifest"))
    }

    /// A manifest of entries carried over from others (I2, I3).
    pub async fn existing(
        &mut self,
        entries: Vec<ManifestEntry>,
        schema: SchemaRef,
        spec: PartitionSpec,
    ) -> Result<ManifestFile> {
        let mut writer = self.writer(schema, spec)?;
        for entry in entries {
            let (Some(snapshot), Some(sequence)) = (entry.snapshot_id(), entry.sequence_number()) else {
                return Err(Error::data("a manifest entry has no sequence number").with_detail(entry.file_path()));
            };
            let file_sequence = entry.file_sequence_number;
            writer
                .add_existing_file(entry.data_file().clone(), snapshot, sequence, file_sequence)
                .map_err(iceberg_error("carrying a file over"))?;
        }
        writer.write_manifest_file().await.map_err(iceberg_error("writing a manifest"))
    }

    pub async fn list(
        &self,
        manifests: Vec<ManifestFile>,
        parent: Option<i64>,
        sequence_number: i64,
    ) -> Result<String> {
        let first_attempt = 0;
        let uri = self.paths.manifest_list(self.snapshot_id, first_attempt, self.id);
        let output = file_io(self.store).new_output(&uri).map_err(iceberg_error("naming a manifest list"))?;
        let failed = iceberg_error("writing a manifest list");
        let output = output.writer().await.map_err(&failed)?;
        let mut writer = ManifestListWriter::v2(output, self.snapshot_id, parent, sequence_number);
        writer.add_manifests(manifests.into_iter()).map_err(&failed)?;
        writer.close().await.map_err(&failed)?;
        Ok(uri)
    }
}

/// This version writes format version 2 only; a table that somebody upgraded is left alone.
pub(super) fn check_format(table: &TableMetadata) -> Result<()> {
    if table.format_version() == FormatVersion::V2 {
        return Ok(());
    }
    Err(Error::usage(format!("the table has format version {}, this program writes version 2", table.format_version()))
        .with_hint("enable the topic into another table"))
}
