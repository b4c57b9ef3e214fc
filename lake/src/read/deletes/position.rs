//! Files of positions: each row names a data file and a row of it.
//!
//! - I1: columns are found by the ids that the format reserves for them; what a file has beside them is not read.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, Schema};
use iceberg::metadata_columns::{RESERVED_FIELD_ID_DELETE_FILE_PATH, RESERVED_FIELD_ID_DELETE_FILE_POS};
use iceberg::spec::DataFile;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use super::DeletedRows;
use crate::read::shape::field_id;

/// Rows at a time: two numbers each.
const BATCH_ROWS: usize = 1 << 15;

/// What a delete file says of these data files.
pub async fn read(store: &Store, delete: &DataFile, paths: Vec<&str>) -> Result<DeletedRows> {
    let damaged = || Error::data("a file of deleted positions cannot be read").with_detail(delete.file_path());
    let unreadable = |error: ParquetError| damaged().with_source(error);
    let bytes = store.get(delete.file_path()).await?;
    let footer = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new()).map_err(unreadable)?;
    let column = |id: i32| place_of(footer.schema(), id).ok_or_else(damaged);
    let (path, position) = (column(RESERVED_FIELD_ID_DELETE_FILE_PATH)?, column(RESERVED_FIELD_ID_DELETE_FILE_POS)?);
    // Where other columns are odd they are read as they are.
    let footer = with_paths_once(&footer, path).unwrap_or(footer);
    let mask = ProjectionMask::roots(footer.parquet_schema(), [path, position]);
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, footer).with_batch_size(BATCH_ROWS);
    let reader = reader.with_projection(mask).build().map_err(unreadable)?;
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

fn of_paths() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// A path is a hundred bytes, and the same in many rows: it is kept as the file keeps it.
fn with_paths_once(footer: &ArrowReaderMetadata, path: usize) -> Result<ArrowReaderMetadata, ParquetError> {
    let fields = footer.schema().fields().iter().enumerate().map(|(place, field)| {
        let is_text = place == path && *field.data_type() == DataType::Utf8;
        if is_text { Arc::new(field.as_ref().clone().with_data_type(of_paths())) } else { field.clone() }
    });
    let schema = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), footer.schema().metadata().clone()));
    ArrowReaderMetadata::try_new(footer.metadata().clone(), ArrowReaderOptions::new().with_schema(schema))
}

/// Nothing where a column is of another type, or has a null.
fn add(found: &mut HashMap<&str, RoaringTreemap>, batch: &RecordBatch, path: usize, position: usize) -> Option<()> {
    let paths = cast(batch.columns().get(path)?, &of_paths()).ok()?;
    let paths = paths.as_dictionary_opt::<Int32Type>()?;
    let positions = batch.columns().get(position)?.as_primitive_opt::<Int64Type>()?;
    if paths.null_count() + positions.null_count() > 0 {
        return None;
    }
    let names: &StringArray = paths.values().as_string_opt()?;
    let mut start = 0;
    // Rows of one data file stand together.
    for run in paths.keys().values().chunk_by(|a, b| a == b) {
        let end = start + run.len();
        let path = names.value(usize::try_from(*run.first()?).ok()?);
        if let Some(rows) = found.get_mut(path) {
            note(rows, positions.values().get(start..end)?)?;
        }
        start = end;
    }
    Some(())
}

/// Nothing where one is no position. They come in order, as the format asks for, or do not.
fn note(rows: &mut RoaringTreemap, positions: &[i64]) -> Option<()> {
    if positions.iter().any(|position| *position < 0) {
        return None;
    }
    let positions = positions.iter().map(|position| position.cast_unsigned());
    if let Err(out_of_order) = rows.append(positions.clone()) {
        rows.extend(positions.skip(usize::try_from(out_of_order.valid_until()).ok()?));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_in_whatever_order_they_come() {
        let mut rows = RoaringTreemap::new();
        for positions in [[3, 5, 8], [9, 1 << 40, 10], [4, 5, 6], [7, 7, 2]] {
            note(&mut rows, &positions).unwrap();
        }
        assert_eq!(rows.iter().collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8, 9, 10, 1 << 40]);
        assert_eq!(note(&mut rows, &[11, -1]), None);
    }
}
