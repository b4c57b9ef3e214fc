//! Manifests and manifest lists, written and read.
//!
//! - I1: every object is put create-only under a name with the commit's own uuid.
//! - I2: an entry that is carried over keeps its snapshot id, both sequence numbers and its row ids.
//! - I3: a manifest that joins others has their spec and the table's current schema. Readers take bounds by field id,
//!   and nobody asks for those of columns that the table has no more; every other bound is kept.

use std::sync::Arc;

use iceberg::spec::{
    DataFile, FormatVersion, ManifestContentType, ManifestEntry, ManifestFile, ManifestListWriter, ManifestWriter,
    ManifestWriterBuilder, PartitionField, PartitionSpec, SchemaRef, SnapshotRef, TableMetadata,
};
use tableflow_model::{Error, Result};
use tableflow_store::Store;
use tableflow_store::bridge::file_io;
use tableflow_store::paths::TablePaths;
use uuid::Uuid;

use super::files::AddedFiles;
use super::row_ids;
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
    let live = entries.into_iter().filter(|entry| entry.is_alive()).map(Arc::unwrap_or_clone);
    let mut live: Vec<ManifestEntry> = live.collect();
    row_ids::inherit(manifest, &mut live)?;
    Ok((live, schema))
}

/// A file that is live in a snapshot.
#[derive(Clone, Debug)]
pub struct LiveFile {
    pub file: DataFile,
    /// Of the partition spec that it was written with.
    pub spec_id: i32,
    /// When its rows, or its deletes, came.
    pub sequence: i64,
}

/// The live files of a manifest.
pub async fn live_files_of(store: &Store, manifest: &ManifestFile) -> Result<Vec<LiveFile>> {
    let (entries, _) = live_entries(store, manifest).await?;
    let live = |entry: &ManifestEntry| match entry.sequence_number() {
        Some(sequence) => {
            Ok(LiveFile { file: entry.data_file().clone(), spec_id: manifest.partition_spec_id, sequence })
        }
        None => Err(no_sequence_number(entry)),
    };
    entries.iter().map(live).collect()
}

fn no_sequence_number(entry: &ManifestEntry) -> Error {
    Error::data("a manifest entry has no sequence number").with_detail(entry.file_path())
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
    /// From version 3 of the format on: the id of the first row that has none yet.
    next_row_id: Option<u64>,
}

/// The manifest list of a snapshot.
#[derive(Debug)]
pub(super) struct WrittenList {
    pub uri: String,
    /// The first row id that it gave out, and how many, where rows have ids.
    pub row_ids: Option<(u64, u64)>,
}

impl<'a> CommitObjects<'a> {
    pub fn new(store: &'a Store, table: &TableMetadata, id: Uuid, snapshot_id: i64) -> Self {
        let next_row_id = (table.format_version() >= FormatVersion::V3).then(|| table.next_row_id());
        let paths = TablePaths::at(table.location());
        CommitObjects { store, paths, id, snapshot_id, next_manifest: 0, next_row_id }
    }

    fn writer(
        &mut self,
        content: ManifestContentType,
        schema: SchemaRef,
        spec: PartitionSpec,
    ) -> Result<ManifestWriter> {
        let uri = self.paths.manifest(self.id, self.next_manifest);
        self.next_manifest += 1;
        let output = file_io(self.store).new_output(uri).map_err(iceberg_error("naming a manifest"))?;
        let builder = ManifestWriterBuilder::new(output, Some(self.snapshot_id), schema, spec);
        Ok(match (content, self.next_row_id) {
            (ManifestContentType::Data, None) => builder.build_v2_data(),
            (ManifestContentType::Deletes, None) => builder.build_v2_deletes(),
            (ManifestContentType::Data, Some(_)) => builder.build_v3_data(),
            (ManifestContentType::Deletes, Some(_)) => builder.build_v3_deletes(),
        })
    }

    /// A manifest of files that are new in this snapshot. Files that have no sequence number of their own inherit its.
    /// `schema` is the table's with this commit.
    pub async fn added(
        &mut self,
        table: &TableMetadata,
        schema: &SchemaRef,
        added: &AddedFiles,
    ) -> Result<ManifestFile> {
        let spec = table.partition_spec_by_id(added.spec_id);
        let spec = spec.ok_or_else(|| Error::data(format!("the table has no partition spec {}", added.spec_id)))?;
        let schema = schema_for(table, schema, spec)?;
        let mut writer = self.writer(added.content, schema, spec.as_ref().clone())?;
        let inherited = -1;
        for (file, sequence) in &added.files {
            let added = writer.add_file(file.clone(), sequence.unwrap_or(inherited));
            added.map_err(iceberg_error("adding a file to a manifest"))?;
        }
        writer.write_manifest_file().await.map_err(iceberg_error("writing a manifest"))
    }

    /// A manifest of entries carried over from others (I2, I3).
    pub async fn existing(
        &mut self,
        content: ManifestContentType,
        entries: Vec<ManifestEntry>,
        schema: SchemaRef,
        spec: PartitionSpec,
    ) -> Result<ManifestFile> {
        let mut writer = self.writer(content, schema, spec)?;
        for entry in entries {
            carry_over(&mut writer, entry)?;
        }
        writer.write_manifest_file().await.map_err(iceberg_error("writing a manifest"))
    }

    /// A manifest as another one was, but for entries that are gone in this snapshot (I2).
    pub async fn without(
        &mut self,
        content: ManifestContentType,
        (stay, gone): (Vec<ManifestEntry>, Vec<ManifestEntry>),
        schema: SchemaRef,
        spec: PartitionSpec,
    ) -> Result<ManifestFile> {
        let mut writer = self.writer(content, schema, spec)?;
        for entry in stay {
            carry_over(&mut writer, entry)?;
        }
        for entry in gone {
            let sequence = entry.sequence_number().ok_or_else(|| no_sequence_number(&entry))?;
            let removed = writer.add_delete_file(entry.data_file().clone(), sequence, entry.file_sequence_number);
            removed.map_err(iceberg_error("taking a file out of a manifest"))?;
        }
        writer.write_manifest_file().await.map_err(iceberg_error("writing a manifest"))
    }

    pub async fn list(
        &self,
        manifests: Vec<ManifestFile>,
        parent: Option<i64>,
        sequence_number: i64,
    ) -> Result<WrittenList> {
        let first_attempt = 0;
        let uri = self.paths.manifest_list(self.snapshot_id, first_attempt, self.id);
        let output = file_io(self.store).new_output(&uri).map_err(iceberg_error("naming a manifest list"))?;
        let failed = iceberg_error("writing a manifest list");
        let output = output.writer().await.map_err(&failed)?;
        let mut writer = match self.next_row_id {
            None => ManifestListWriter::v2(output, self.snapshot_id, parent, sequence_number),
            first => ManifestListWriter::v3(output, self.snapshot_id, parent, sequence_number, first),
        };
        writer.add_manifests(manifests.into_iter()).map_err(&failed)?;
        let row_ids = self.next_row_id.zip(writer.next_row_id()).map(|(first, next)| (first, next - first));
        writer.close().await.map_err(&failed)?;
        Ok(WrittenList { uri, row_ids })
    }
}

fn carry_over(writer: &mut ManifestWriter, entry: ManifestEntry) -> Result<()> {
    let (Some(snapshot), Some(sequence)) = (entry.snapshot_id(), entry.sequence_number()) else {
        return Err(no_sequence_number(&entry));
    };
    let file_sequence = entry.file_sequence_number;
    let carried = writer.add_existing_file(entry.data_file().clone(), snapshot, sequence, file_sequence);
    carried.map_err(iceberg_error("carrying a file over"))
}

/// A schema that a manifest of the spec can be read by: the current one, or the newest that has the spec's columns.
fn schema_for(table: &TableMetadata, current: &SchemaRef, spec: &PartitionSpec) -> Result<SchemaRef> {
    let mut schemas: Vec<&SchemaRef> = table.schemas_iter().collect();
    schemas.sort_by_key(|schema| std::cmp::Reverse(schema.schema_id()));
    let mut schemas = std::iter::once(current).chain(schemas);
    let fits = schemas.find(|schema| reads_back(spec, schema));
    fits.cloned()
        .ok_or_else(|| Error::data(format!("no schema of the table has the columns of spec {}", spec.spec_id())))
}

/// Whether a manifest with this spec and schema can be read again.
pub(super) fn reads_back(spec: &PartitionSpec, schema: &SchemaRef) -> bool {
    let fields = spec.fields().iter().cloned().map(PartitionField::into_unbound);
    PartitionSpec::builder(schema.clone()).add_unbound_fields(fields).is_ok()
}

/// Version 1 of the format has no deletes and no sequence numbers: a table of others that still has it is left alone.
pub(super) fn check_format(table: &TableMetadata) -> Result<()> {
    if table.format_version() >= FormatVersion::V2 {
        return Ok(());
    }
    Err(Error::usage(format!("the table has format version {}, which is not written here", table.format_version()))
        .with_hint("upgrade it to version 2 or 3 with the engine that made it, or enable the topic into another table"))
}
