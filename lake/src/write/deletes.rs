//! The delete files of a commit, in the form that the table's format version has.
//!
//! Owns [`DeleteWriter`].
//! - I1: version 2 has files of positions, of one data file or of several of a partition; from version 3 on each data
//!   file has one vector, with all its deleted rows, and nothing else may be added.
//! - I2: all vectors of a commit about data files of one partition spec are in one file, and one manifest names them in
//!   the order of their places (decision 28).

use std::collections::BTreeMap;

use iceberg::spec::{DataFile, FormatVersion, Struct, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};

use super::names::FileNames;
use super::positions::PositionFile;
use super::vectors::VectorFile;

/// A data file, and rows of it.
pub type RowsOf<'a> = (&'a str, &'a RoaringTreemap);

/// Delete files under way.
#[derive(Debug)]
pub struct DeleteWriter<'a> {
    names: &'a mut FileNames,
    /// By the spec of the data files, where the table has vectors.
    vectors: Option<BTreeMap<i32, VectorFile>>,
    added: BTreeMap<i32, Vec<DataFile>>,
}

impl<'a> DeleteWriter<'a> {
    /// For a commit on this table.
    pub fn new(table: &TableMetadata, names: &'a mut FileNames) -> Self {
        let vectors = (table.format_version() >= FormatVersion::V3).then(BTreeMap::new);
        DeleteWriter { names, vectors, added: BTreeMap::new() }
    }

    /// Whether several data files may share a delete file (I1).
    pub fn shares(&self) -> bool {
        self.vectors.is_none()
    }

    /// All deleted rows of a data file of this partition.
    pub async fn own(&mut self, of_partition: (i32, &Struct), (path, rows): RowsOf<'_>) -> Result<()> {
        match &mut self.vectors {
            Some(_) if rows.is_empty() => Ok(()),
            Some(vectors) => vectors.entry(of_partition.0).or_default().add(path, of_partition, rows),
            None => self.positions(of_partition, vec![(path, rows)]).await,
        }
    }

    /// Rows of several data files of one partition.
    pub async fn shared(&mut self, of_partition: (i32, &Struct), files: Vec<RowsOf<'_>>) -> Result<()> {
        if !self.shares() {
            return Err(Error::internal("data files of a table with vectors share no delete file"));
        }
        self.positions(of_partition, files).await
    }

    async fn positions(&mut self, (spec_id, partition): (i32, &Struct), files: Vec<RowsOf<'_>>) -> Result<()> {
        if let Some(encoded) = PositionFile::encode(files)? {
            let uri = self.names.put(&encoded.bytes).await?;
            self.added.entry(spec_id).or_default().push(encoded.describe(&uri, spec_id, partition)?);
        }
        Ok(())
    }

    /// By the spec of the data files that they are about.
    pub async fn finish(mut self) -> Result<BTreeMap<i32, Vec<DataFile>>> {
        for vectors in self.vectors.into_iter().flat_map(BTreeMap::into_values) {
            let bytes = vectors.encode().await?;
            let uri = self.names.put_vectors(&bytes).await?;
            for (spec_id, entry) in vectors.describe(&uri, bytes.len() as u64)? {
                self.added.entry(spec_id).or_default().push(entry);
            }
        }
        Ok(self.added)
    }
}
