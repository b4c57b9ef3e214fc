//! The keys that an epoch deletes, as a file of their columns.
//!
//! Owns [`KeyFile`]. No snapshot ever names such a file: an epoch manifest does, so that whoever finishes the epoch knows what
//! it deletes.
//! - I1: columns stand in the order of the key, in whatever width they came.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Struct, TableMetadata};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tableflow_model::{Error, Result};

use crate::{arrow_error, parquet_error};

/// A file of keys, but for its place.
#[derive(Debug)]
pub struct KeyFile {
    pub bytes: Bytes,
    rows: u64,
    ids: Vec<i32>,
}

impl KeyFile {
    /// Of these batches, which have the columns with these ids; none where there is no key.
    pub fn encode(keys: &[RecordBatch], ids: &[i32]) -> Result<Option<Self>> {
        let Some(first) = keys.first() else { return Ok(None) };
        let fields = first.schema_ref().fields().iter().zip(ids).map(|(field, id)| {
            let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
            Field::new(field.name(), field.data_type().clone(), field.is_nullable()).with_metadata(id)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let failed = parquet_error("encoding deleted keys");
        let level = ZstdLevel::try_new(1).map_err(&failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by(super::CREATED_BY.to_owned())
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties)).map_err(&failed)?;
        for batch in keys {
            let batch = RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
            writer.write(&batch.map_err(arrow_error("deleted keys do not fit together"))?).map_err(&failed)?;
        }
        writer.close().map_err(&failed)?;
        let rows = keys.iter().map(|batch| batch.num_rows() as u64).sum();
        Ok(Some(KeyFile { bytes: bytes.into(), rows, ids: ids.to_vec() }))
    }

    /// As a manifest names it, now that it has a place.
    pub fn describe(self, uri: &str, table: &TableMetadata) -> Result<DataFile> {
        let no_partition = table.default_partition_spec().fields().iter().map(|_| None);
        DataFileBuilder::default()
            .content(DataContentType::EqualityDeletes)
            .file_format(DataFileFormat::Parquet)
            .file_path(uri.to_owned())
            .file_size_in_bytes(self.bytes.len() as u64)
            .record_count(self.rows)
            .partition_spec_id(table.default_partition_spec_id())
            .partition(Struct::from_iter(no_partition))
            .equality_ids(Some(self.ids))
            .build()
            .map_err(|error| Error::internal("a file of keys lacks a field").with_source(error))
    }
}
