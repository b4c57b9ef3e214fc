//! Which rows of a snapshot's data files are deleted.
//!
//! In flow order:
//!
//! ```text
//!  files     the delete files of a snapshot, by the data files that they apply to
//!  position  files of (data file, position)
//!  vector    deletion vectors: one data file's positions, in a Puffin file
//!  equality  rows deleted by the values of some columns
//! ```
//!
//! Owns [`deleted_rows`]: all of them as one bitmap of positions for each data file, whatever they are written as.
//! - I1: a row counts as deleted exactly if some delete file of the snapshot applies to its data file and names it.
//! - I2: each delete file is read once, and only where a data file that is asked for needs it.

mod equality;
mod files;
mod position;
mod vector;

use std::collections::{BTreeMap, HashMap};

use iceberg::spec::TableMetadata;
use roaring::RoaringTreemap;
use tableflow_model::Result;
use tableflow_store::Store;

pub use self::files::{Applying, DeleteFiles};
use super::side_by_side;
use crate::commit::LiveFile;

/// The positions of deleted rows, for each data file that has some.
pub type DeletedRows = HashMap<String, RoaringTreemap>;

/// The deleted rows of these data files.
pub async fn deleted_rows(
    store: &Store,
    table: &TableMetadata,
    deletes: &DeleteFiles,
    files: &[&LiveFile],
) -> Result<DeletedRows> {
    let mut deleted = DeletedRows::new();
    if deletes.is_empty() {
        return Ok(deleted);
    }
    let applying: Vec<(&LiveFile, Applying)> = files.iter().map(|file| (*file, deletes.applying_to(file))).collect();
    merge(&mut deleted, by_vectors(store, &applying).await?);
    merge(&mut deleted, position_rows(store, &applying, |_| true).await?);
    merge(&mut deleted, equality::deleted_rows(store, table, &applying).await?);
    for (live, _) in &applying {
        // A position behind the end of a file names no row.
        if let Some(rows) = deleted.get_mut(live.file.file_path()) {
            rows.remove_range(live.file.record_count()..);
        }
    }
    deleted.retain(|_, rows| !rows.is_empty());
    Ok(deleted)
}

fn merge(all: &mut DeletedRows, more: DeletedRows) {
    for (path, rows) in more {
        *all.entry(path).or_default() |= rows;
    }
}

async fn by_vectors(store: &Store, applying: &[(&LiveFile, Applying)]) -> Result<DeletedRows> {
    let (mut paths, mut reads) = (Vec::new(), Vec::new());
    for (live, applying) in applying {
        if let Some(vector) = &applying.vector {
            paths.push(live.file.file_path().to_owned());
            reads.push(vector::read(store, &vector.file));
        }
    }
    Ok(paths.into_iter().zip(side_by_side(reads).await?).collect())
}

/// What the files of positions among those that apply say, of which some are asked.
pub async fn position_rows(
    store: &Store,
    applying: &[(&LiveFile, Applying)],
    is_asked: impl Fn(&LiveFile) -> bool,
) -> Result<DeletedRows> {
    // By delete file: the data files that it applies to.
    let mut wanted: BTreeMap<&str, (&LiveFile, Vec<&str>)> = BTreeMap::new();
    for (live, applying) in applying {
        for delete in applying.positions.iter().filter(|delete| is_asked(delete)) {
            let (_, paths) = wanted.entry(delete.file.file_path()).or_insert_with(|| (delete, Vec::new()));
            paths.push(live.file.file_path());
        }
    }
    let mut reads = Vec::new();
    for (delete, paths) in wanted.into_values() {
        reads.push(position::read(store, &delete.file, paths));
    }
    let mut deleted = DeletedRows::new();
    side_by_side(reads).await?.into_iter().for_each(|more| merge(&mut deleted, more));
    Ok(deleted)
}
