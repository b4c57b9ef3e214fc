//! Which columns get a dictionary: decided per file from a sample of its first batch.
//!
//! A dictionary pays where values repeat; where they do not it costs time twice (hashing, then falling back)
//! and bytes once. The sample is a run of consecutive rows, because that is what a row group sees.
//! - I1: columns are named by their Parquet path, in the order Parquet stores the leaves.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tableflow_model::Result;

use crate::{arrow_error, parquet_error};

/// Enough rows to tell an id from a category, few enough to cost nothing.
const SAMPLE_ROWS_MAX: usize = 4096;

/// At most this part of the sampled values may be distinct for a dictionary to pay.
const DISTINCT_SHARE_MAX: f64 = 0.25;

/// Row groups of about this size, encoded: large enough to compress, small enough to prune and to read in parallel.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

/// Longer values give no bound in the manifest: a bound is exact or it is not there, and 64 MiB texts must not
/// become metadata.
const BOUND_BYTES_MAX: usize = 256;

/// How a file that begins with `sample` is written.
pub fn writer_properties(sample: &RecordBatch) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(1).map_err(parquet_error("zstd level 1"))?;
    let descriptor = ArrowSchemaConverter::new()
        .convert(sample.schema_ref())
        .map_err(parquet_error("the columns have no Parquet form"))?;
    let mut leaves = Vec::new();
    let sample = sample.slice(0, sample.num_rows().min(SAMPLE_ROWS_MAX));
    sample.columns().iter().for_each(|column| collect_leaves(column, &mut leaves));
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by(super::CREATED_BY.to_owned())
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(BOUND_BYTES_MAX))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_dictionary_enabled(false);
    for (column, leaf) in descriptor.columns().iter().zip(&leaves) {
        if dictionary_pays(leaf)? {
            builder = builder.set_column_dictionary_enabled(column.path().clone(), true);
        }
    }
    Ok(builder.build())
}

/// I1: depth first, as Parquet orders them.
fn collect_leaves(array: &ArrayRef, leaves: &mut Vec<ArrayRef>) {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|child| collect_leaves(child, leaves)),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (start, end) = (list.value_offsets().first(), list.value_offsets().last());
            let (start, end) = (start.copied().unwrap_or(0) as usize, end.copied().unwrap_or(0) as usize);
            collect_leaves(&list.values().slice(start, end - start), leaves);
        }
        DataType::Map(_, _) => {
            collect_leaves(array.as_map().keys(), leaves);
            collect_leaves(array.as_map().values(), leaves);
        }
        _ => leaves.push(array.clone()),
    }
}

fn dictionary_pays(leaf: &ArrayRef) -> Result<bool> {
    if matches!(leaf.data_type(), DataType::Boolean) || leaf.len() == leaf.null_count() {
        return Ok(false);
    }
    let leaf = leaf.slice(0, leaf.len().min(SAMPLE_ROWS_MAX));
    let failed = arrow_error("sampling a column");
    let converter = RowConverter::new(vec![SortField::new(leaf.data_type().clone())]).map_err(failed)?;
    let rows = converter.convert_columns(std::slice::from_ref(&leaf)).map_err(failed)?;
    let hasher = RandomState::new();
    let distinct: HashSet<u64> = rows.iter().map(|row| hasher.hash_one(row.as_ref())).collect();
    Ok(distinct.len() as f64 <= rows.num_rows() as f64 * DISTINCT_SHARE_MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;
    use parquet::schema::types::ColumnPath;

    use super::*;

    #[test]
    fn a_dictionary_where_values_repeat_and_none_where_they_do_not() {
        let ids = Int64Array::from_iter_values(0..1000);
        let kinds = StringArray::from_iter_values((0..1000).map(|i| ["click", "view", "order"][i % 3]));
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>((0..1000).map(|i| Some([Some(i % 7)])));
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(ids) as ArrayRef),
            ("kind", Arc::new(kinds) as ArrayRef),
            ("few", Arc::new(lists) as ArrayRef),
        ])
        .unwrap();
        let properties = writer_properties(&batch).unwrap();
        let path = |parts: &[&str]| ColumnPath::new(parts.iter().map(|part| (*part).to_owned()).collect());
        assert!(!properties.dictionary_enabled(&path(&["id"])));
        assert!(properties.dictionary_enabled(&path(&["kind"])));
        assert!(properties.dictionary_enabled(&path(&["few", "list", "item"])));
    }
}
