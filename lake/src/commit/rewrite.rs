//! The same rows in other files: what compaction commits.
//!
//! - I1: rows that are rewritten are as old as the snapshot that they were read from (rule R1).
//! - I2: what it replaces goes in the same snapshot, the delete files that were about it too (R4); deletes that it adds
//!   are about rows that were deleted since (R3).

use std::collections::BTreeMap;

use iceberg::spec::{DataFile, ManifestContentType, Operation, TableMetadata};
use tableflow_model::Result;

use super::expire::Retention;
use super::files::{AddedFiles, FileChange, prepare_files};
use super::manifests::LiveFile;
use super::row_delta::Deletes;
use super::{CommitContext, Prepared};

/// What one step of a compaction does.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    /// By the partition spec that they were written with.
    pub files: BTreeMap<i32, Vec<DataFile>>,
    /// The sequence number of the snapshot that their rows were read from (I1).
    pub read_at: i64,
    /// Data files.
    pub replaced: Vec<LiveFile>,
    pub deletes: Deletes,
    /// The ledger of the compaction.
    pub properties: BTreeMap<String, String>,
}

/// Builds the snapshot on `base`.
pub async fn prepare_rewrite(context: CommitContext<'_>, base: &TableMetadata, rewrite: &Rewrite) -> Result<Prepared> {
    let data = rewrite.files.iter().map(|(spec_id, files)| AddedFiles {
        content: ManifestContentType::Data,
        spec_id: *spec_id,
        files: files.iter().map(|file| (file.clone(), Some(rewrite.read_at))).collect(),
    });
    let change = FileChange {
        operation: Operation::Replace,
        added: data.chain(rewrite.deletes.manifests()).collect(),
        removed: rewrite.replaced.iter().chain(&rewrite.deletes.replaced).cloned().collect(),
        schema: None,
        properties: &rewrite.properties,
        changes: None,
        retention: Retention::EVERYTHING,
    };
    prepare_files(context, base, &change).await
}
