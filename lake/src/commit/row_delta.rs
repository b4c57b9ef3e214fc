//! What one epoch does to a table: rows that come, rows that go, and a new ledger, in one snapshot.
//!
//! - I1: rows that come are written into partitions that the table can still have, or refused.
//! - I2: a delete file, or a data file, that another one stands in for is gone in the same snapshot.
//! - I3: rows that are copied from one data file into another are as old as they were: which of two rows is the younger
//!   one stays the same, and what else is deleted by values is.

use std::collections::BTreeMap;

use iceberg::spec::{DataContentType, DataFile, ManifestContentType, Operation, TableMetadata};
use tableflow_model::Result;

use super::columns::schema_updates;
use super::expire::Retention;
use super::files::{AddedFiles, FileChange, check_spec, prepare_files};
use super::manifests::LiveFile;
use super::{CommitContext, Prepared};
use crate::layout::Evolution;

/// What one epoch does to one table.
#[derive(Clone, Debug, Default)]
pub struct RowDelta {
    pub files: Vec<DataFile>,
    /// The partition spec that the files were written with.
    pub spec_id: i32,
    pub deletes: Deletes,
    /// The schema the files were written with, when it has columns that the table lacks.
    pub schema: Option<Evolution>,
    /// Set as table properties and repeated in the snapshot's summary: the ledger.
    pub properties: BTreeMap<String, String>,
    /// How the snapshot names the epoch's change file, where it has one.
    pub changes: Option<String>,
    pub retention: Retention,
}

/// Rows that go: files that come, and those that they stand in for.
#[derive(Clone, Debug, Default)]
pub struct Deletes {
    /// Delete files, by the spec of the data files that they are about.
    pub added: BTreeMap<i32, Vec<DataFile>>,
    /// Data files without the rows that go, by their spec, with the sequence number of the rows that stay (I3).
    pub copied: BTreeMap<i32, Vec<(DataFile, i64)>>,
    pub replaced: Vec<LiveFile>,
}

impl Deletes {
    /// Those of another part of the same commit as well.
    pub(crate) fn merge(&mut self, more: Deletes) {
        for (spec_id, files) in more.added {
            self.added.entry(spec_id).or_default().extend(files);
        }
        for (spec_id, files) in more.copied {
            self.copied.entry(spec_id).or_default().extend(files);
        }
        self.replaced.extend(more.replaced);
    }

    pub(crate) fn data_files_replaced(&self) -> u64 {
        let is_data = |replaced: &&LiveFile| replaced.file.content_type() == DataContentType::Data;
        self.replaced.iter().filter(is_data).count() as u64
    }

    /// Whether data files go: rows that stay have other places then, if any stay.
    pub(crate) fn moves_rows(&self) -> bool {
        self.data_files_replaced() > 0
    }

    /// A manifest for each spec and content.
    pub(super) fn manifests(&self) -> impl Iterator<Item = AddedFiles> + '_ {
        let added = self.added.iter().map(|(spec_id, files)| AddedFiles {
            content: ManifestContentType::Deletes,
            spec_id: *spec_id,
            files: files.iter().map(|file| (file.clone(), None)).collect(),
        });
        let copied = self.copied.iter().map(|(spec_id, files)| AddedFiles {
            content: ManifestContentType::Data,
            spec_id: *spec_id,
            files: files.iter().map(|(file, sequence)| (file.clone(), Some(*sequence))).collect(),
        });
        added.chain(copied)
    }
}

/// Builds the snapshot on `base`.
pub async fn prepare_row_delta(context: CommitContext<'_>, base: &TableMetadata, delta: &RowDelta) -> Result<Prepared> {
    let mut added = Vec::new();
    if !delta.files.is_empty() {
        check_spec(base, delta.spec_id, &schema_updates(base, delta.schema.as_ref()).0)?;
        let files = delta.files.iter().map(|file| (file.clone(), None)).collect();
        added.push(AddedFiles { content: ManifestContentType::Data, spec_id: delta.spec_id, files });
    }
    added.extend(delta.deletes.manifests());
    let change = FileChange {
        operation: operation(delta),
        added,
        removed: delta.deletes.replaced.clone(),
        schema: delta.schema.as_ref(),
        properties: &delta.properties,
        changes: delta.changes.as_deref(),
        retention: delta.retention,
    };
    prepare_files(context, base, &change).await
}

/// What other engines understand of it.
fn operation(delta: &RowDelta) -> Operation {
    let nothing_goes = delta.deletes.added.is_empty() && delta.deletes.replaced.is_empty();
    match (nothing_goes, delta.files.is_empty() && delta.deletes.copied.is_empty()) {
        (true, _) => Operation::Append,
        (false, true) => Operation::Delete,
        (false, false) => Operation::Overwrite,
    }
}
