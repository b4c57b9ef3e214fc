//! Files of deleted positions, as version 2 of the format has them.
//!
//! - I1: rows are sorted by data file and position.
//! - I2: bounds are exact: a reader that looks for one data file's deletes passes over every file that has none.
//! - I3: a file that is about one data file says so.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use iceberg::metadata_columns::{RESERVED_FIELD_ID_DELETE_FILE_PATH, RESERVED_FIELD_ID_DELETE_FILE_POS};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Struct};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};

use crate::{arrow_error, parquet_error};

const PATH: &str = "file_path";
const POSITION: &str = "pos";

/// Positions encoded at a time.
const ROWS_AT_ONCE: usize = 64 * 1024;

/// A file of positions, but for its place.
#[derive(Debug)]
pub struct PositionFile {
    pub bytes: Bytes,
    rows: u64,
    bounds: [(String, u64); 2],
    /// The one data file that it is about (I3).
    only: Option<String>,
}

impl PositionFile {
    /// Of these data files (I1); none where there is nothing to delete.
    pub fn encode(mut deletes: Vec<(&str, &RoaringTreemap)>) -> Result<Option<Self>> {
        deletes.retain(|(_, positions)| !positions.is_empty());
        deletes.sort_by_key(|(path, _)| *path);
        let (Some((first, _)), Some((last, _))) = (deletes.first(), deletes.last()) else { return Ok(None) };
        let all = || deletes.iter().map(|(_, positions)| positions);
        let lowest = all().filter_map(|positions| positions.min()).min().unwrap_or_default();
        let highest = all().filter_map(|positions| positions.max()).max().unwrap_or_default();
        let bounds = [((*first).to_owned(), lowest), ((*last).to_owned(), highest)];
        let only = (first == last).then(|| (*first).to_owned());
        let rows = all().map(|positions| positions.len()).sum();
        let schema = schema();
        let mut bytes = Vec::new();
        let failed = parquet_error("encoding deleted positions");
        let writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties()?));
        let mut writer = writer.map_err(&failed)?;
        for (path, positions) in &deletes {
            let mut positions = positions.iter();
            loop {
                let some: Vec<i64> = positions.by_ref().take(ROWS_AT_ONCE).map(u64::cast_signed).collect();
                if some.is_empty() {
                    break;
                }
                let paths = StringArray::from_iter_values(std::iter::repeat_n(path, some.len()));
                let columns = vec![Arc::new(paths) as _, Arc::new(Int64Array::from(some)) as _];
                let batch = RecordBatch::try_new(schema.clone(), columns);
                writer.write(&batch.map_err(arrow_error("deleted positions"))?).map_err(&failed)?;
            }
        }
        writer.close().map_err(&failed)?;
        Ok(Some(PositionFile { bytes: bytes.into(), rows, bounds, only }))
    }

    /// What the manifest says, now that the file has a place, of a partition of one of the table's specs.
    pub fn describe(self, uri: &str, spec_id: i32, partition: &Struct) -> Result<DataFile> {
        let bound = |(path, position): (String, u64)| {
            let position = Datum::long(position.cast_signed());
            let path = Datum::string(path);
            HashMap::from([(RESERVED_FIELD_ID_DELETE_FILE_PATH, path), (RESERVED_FIELD_ID_DELETE_FILE_POS, position)])
        };
        let [lower, upper] = self.bounds;
        DataFileBuilder::default()
            .content(DataContentType::PositionDeletes)
            .file_format(DataFileFormat::Parquet)
            .file_path(uri.to_owned())
            .file_size_in_bytes(self.bytes.len() as u64)
            .record_count(self.rows)
            .partition_spec_id(spec_id)
            .partition(partition.clone())
            .lower_bounds(bound(lower))
            .upper_bounds(bound(upper))
            .referenced_data_file(self.only)
            .build()
            .map_err(|error| Error::internal("a delete file lacks a field").with_source(error))
    }
}

fn schema() -> SchemaRef {
    let field = |name: &str, of: DataType, id: i32| {
        let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
        Field::new(name, of, false).with_metadata(id)
    };
    let path = field(PATH, DataType::Utf8, RESERVED_FIELD_ID_DELETE_FILE_PATH);
    let position = field(POSITION, DataType::Int64, RESERVED_FIELD_ID_DELETE_FILE_POS);
    Arc::new(Schema::new(vec![path, position]))
}

/// A path once, positions as their differences.
fn properties() -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(1).map_err(parquet_error("zstd level 1"))?;
    let position = ColumnPath::from(POSITION);
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by(super::CREATED_BY.to_owned())
        .set_statistics_truncate_length(None)
        .set_column_index_truncate_length(None)
        .set_column_dictionary_enabled(position.clone(), false)
        .set_column_encoding(position, Encoding::DELTA_BINARY_PACKED)
        .build())
}
