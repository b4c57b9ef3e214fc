//! The deletion vectors of a commit, as version 3 of the format has them: blobs of one Puffin file.
//!
//! - I1: the file says of each blob which data file it is about, and how many rows it has; so does its manifest entry.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use iceberg::io::{MemoryStorage, OutputFile, Storage};
use iceberg::metadata_columns::RESERVED_FIELD_ID_POS;
use iceberg::puffin::{Blob, CompressionCodec, DELETION_VECTOR_V1, PuffinWriter};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Struct};
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};

use crate::iceberg_error;
use crate::vector::encode;

/// The name inside the memory storage; the real one is known when the file is put.
const IN_MEMORY: &str = "memory:/vectors.puffin";

/// What stands before the first blob of a Puffin file.
const HEADER_BYTES: i64 = 4;

/// A vector's snapshot and sequence number are those of its manifest entry: the format has these say so.
const INHERITED: i64 = -1;

/// Vectors under way.
#[derive(Debug, Default)]
pub struct VectorFile {
    vectors: Vec<Vector>,
    bytes: i64,
}

#[derive(Debug)]
struct Vector {
    of: String,
    spec_id: i32,
    partition: Struct,
    rows: u64,
    offset: i64,
    blob: Vec<u8>,
}

impl VectorFile {
    /// All deleted rows of a data file, which is of this partition.
    pub fn add(&mut self, of: &str, (spec_id, partition): (i32, &Struct), rows: &RoaringTreemap) -> Result<()> {
        let too_long = || Error::usage("a data file has more deleted rows than a vector can say").with_detail(of);
        let blob = encode(rows).ok_or_else(too_long)?;
        let offset = HEADER_BYTES + self.bytes;
        self.bytes += i64::try_from(blob.len()).unwrap_or(i64::MAX);
        let (of, partition, rows) = (of.to_owned(), partition.clone(), rows.len());
        self.vectors.push(Vector { of, spec_id, partition, rows, offset, blob });
        Ok(())
    }

    /// The file (I1).
    pub async fn encode(&self) -> Result<Bytes> {
        let failed = iceberg_error("encoding deletion vectors");
        let storage = Arc::new(MemoryStorage::new());
        let output = OutputFile::new(storage.clone(), IN_MEMORY.to_owned());
        let created_by = HashMap::from([("created-by".to_owned(), super::CREATED_BY.to_owned())]);
        let mut writer = PuffinWriter::new(&output, created_by, false).await.map_err(&failed)?;
        for vector in &self.vectors {
            let properties = [("referenced-data-file", vector.of.clone()), ("cardinality", vector.rows.to_string())];
            let blob = Blob::builder()
                .r#type(DELETION_VECTOR_V1.to_owned())
                .fields(vec![RESERVED_FIELD_ID_POS])
                .snapshot_id(INHERITED)
                .sequence_number(INHERITED)
                .data(vector.blob.clone())
                .properties(properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
                .build();
            writer.add(blob, CompressionCodec::None).await.map_err(&failed)?;
        }
        writer.close().await.map_err(&failed)?;
        storage.read(IN_MEMORY).await.map_err(failed)
    }

    /// What the manifests say, now that the file has a place: entries with their specs.
    pub fn describe(&self, uri: &str, file_bytes: u64) -> Result<Vec<(i32, DataFile)>> {
        let entry = |vector: &Vector| {
            let entry = DataFileBuilder::default()
                .content(DataContentType::PositionDeletes)
                .file_format(DataFileFormat::Puffin)
                .file_path(uri.to_owned())
                .file_size_in_bytes(file_bytes)
                .record_count(vector.rows)
                .partition_spec_id(vector.spec_id)
                .partition(vector.partition.clone())
                .referenced_data_file(Some(vector.of.clone()))
                .content_offset(Some(vector.offset))
                .content_size_in_bytes(i64::try_from(vector.blob.len()).ok())
                .build();
            let entry = entry.map_err(|error| Error::internal("a delete file lacks a field").with_source(error))?;
            Ok((vector.spec_id, entry))
        };
        self.vectors.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use iceberg::puffin::PuffinReader;
    use object_store::memory::InMemory;
    use tableflow_store::Store;
    use tableflow_store::bridge::file_io;

    use super::*;

    /// As the crate's own reader finds them.
    #[tokio::test]
    async fn i1_file_and_manifest_say_the_same_of_each_vector() {
        let store = Store::with_object_store("memory:///lake", Arc::new(InMemory::new())).unwrap();
        let mut file = VectorFile::default();
        for (number, rows) in [vec![1_u64, 5], (0..100_000).collect(), vec![1 << 33]].into_iter().enumerate() {
            let of = format!("memory:///lake/{number}.parquet");
            file.add(&of, (0, &Struct::empty()), &rows.into_iter().collect()).unwrap();
        }
        let bytes = file.encode().await.unwrap();
        let uri = "memory:///lake/v.puffin";
        store.put_new(uri, bytes.clone()).await.unwrap();
        let entries = file.describe(uri, bytes.len() as u64).unwrap();
        let reader = PuffinReader::new(file_io(&store).new_input(uri).unwrap());
        let metadata = reader.file_metadata().await.unwrap();
        assert_eq!(metadata.blobs().len(), entries.len());
        for (blob, (_, entry)) in metadata.blobs().iter().zip(entries) {
            assert_eq!(Some(blob.offset() as i64), entry.content_offset());
            assert_eq!(Some(blob.length() as i64), entry.content_size_in_bytes());
            assert_eq!(blob.properties().get("referenced-data-file"), entry.referenced_data_file().as_ref());
            assert_eq!(blob.properties()["cardinality"], entry.record_count().to_string());
        }
    }
}
