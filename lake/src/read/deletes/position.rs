//! Files of positions: each row names a data file and a row of it.
//!
//! - I1: columns are found by the ids that the format reserves for them; what a file has beside them is not read.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use iceberg::metadata_columns::{RESERVED_FIELD_ID_DELETE_FILE_PATH, RESERVED_FIELD_ID_DELETE_FILE_POS};
use iceberg::spec::DataFile;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use super::DeletedRows;
use crate::read::shape::field_id;

/// What a delete file says of these data files.
pub async fn read(store: &Store, delete: &DataFile, paths: Vec<&str>) -> Result<DeletedRows> {
    let damaged = || Error::data("a file of deleted positions cannot be read").with_detail(delete.file_path());
    let bytes = store.get(delete.file_path()).await?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| damaged().with_source(error))?;
    let column = |id: i32| place_of(reader.schema(), id).ok_or_else(damaged);
    let (path, position) = (column(RESERVED_FIELD_ID_DELETE_FILE_PATH)?, column(RESERVED_FIELD_ID_DELETE_FILE_POS)?);
    let mask = ProjectionMask::roots(reader.parquet_schema(), [path, position]);
    let reader = reader.with_projection(mask).build().map_err(|error| damaged().with_source(error))?;
    let mut found: HashMap<&str, RoaringTreemap> =
        paths.into_iter().map(|path| (path, RoaringTreemap::new())).collect();
    // Those that are read stand in the file's order.
    let (path, position) = if path < position { (0, 1) } else { (1, 0) };
    for batch in reader {
        let batch = batch.map_err(|error| damaged().with_source(error))?;
        add(&mut found, &batch, path, position).ok_or_else(damaged)?;
    }
    Ok(found.into_iter().map(|(path, rows)| (path.to_owned(), rows)).collect())
}

fn place_of(schema: &Schema, id: i32) -> Option<usize> {
    schema.fields().iter().position(|field| field_id(field) == Some(id))
}

/// Nothing where a column is of another type, or has a null.
fn add(found: &mut HashMap<&str, RoaringTreemap>, batch: &RecordBatch, path: usize, position: usize) -> Option<()> {
    let paths = cast(batch.columns().get(path)?, &DataType::Utf8).ok()?;
    let paths: &StringArray = paths.as_string_opt()?;
    let positions = batch.columns().get(position)?.as_primitive_opt::<Int64Type>()?;
    if paths.null_count() + positions.null_count() > 0 {
        return None;
    }
    let mut start = 0;
    // Rows of one data file stand together.
    while start < paths.len() {
        let path = paths.value(start);
        let end = (start..paths.len()).find(|row| paths.value(*row) != path).unwrap_or(paths.len());
        if let Some(rows) = found.get_mut(path) {
            let values = positions.values().get(start..end)?;
            rows.extend(values.iter().map(|position| u64::try_from(*position)).collect::<Result<Vec<_>, _>>().ok()?);
        }
        start = end;
    }
    Some(())
}
