//! What one epoch does to a table: rows that come, rows that go, and a new ledger, in one snapshot.
//!
//! - I1: rows that come are written into partitions that the table can still have, or refused.
//! - I2: a delete file that another one stands in for is gone in the same snapshot.

use std::collections::BTreeMap;

use iceberg::spec::{DataFile, ManifestContentType, Operation, TableMetadata};
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

/// Delete files that come, and those that they stand in for.
#[derive(Clone, Debug, Default)]
pub struct Deletes {
    /// By the spec of the data files that they are about.
    pub added: BTreeMap<i32, Vec<DataFile>>,
    pub replaced: Vec<LiveFile>,
}

impl Deletes {
    /// A manifest for each spec.
    pub(super) fn manifests(&self) -> impl Iterator<Item = AddedFiles> + '_ {
        let content = ManifestContentType::Deletes;
        let of_spec = |(spec_id, files): (&i32, &Vec<DataFile>)| (*spec_id, files.clone());
        let added = self.added.iter().map(of_spec);
        added.map(move |(spec_id, files)| AddedFiles { content, spec_id, files, sequence: None })
    }
}

/// Builds the snapshot on `base`.
pub async fn prepare_row_delta(context: CommitContext<'_>, base: &TableMetadata, delta: &RowDelta) -> Result<Prepared> {
    let mut added = Vec::new();
    if !delta.files.is_empty() {
        check_spec(base, delta.spec_id, &schema_updates(base, delta.schema.as_ref()).0)?;
        let (content, files) = (ManifestContentType::Data, delta.files.clone());
        added.push(AddedFiles { content, spec_id: delta.spec_id, files, sequence: None });
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
    match (delta.deletes.added.is_empty(), delta.files.is_empty()) {
        (true, _) => Operation::Append,
        (false, true) => Operation::Delete,
        (false, false) => Operation::Overwrite,
    }
}
