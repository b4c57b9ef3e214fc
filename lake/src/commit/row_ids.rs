//! The ids that rows have from version 3 of the format on.
//!
//! - I1: a data file that has no first row id of its own inherits it: the manifest's, and the rows of the files before it
//!   in the manifest that inherit theirs, too.
//! - I2: an entry that goes into another manifest says it itself (rule R7): there it would inherit another one.

use iceberg::spec::{DataFile, DataFileBuilder, ManifestContentType, ManifestEntry, ManifestFile};
use tableflow_model::{Error, Result};

/// What the entries of a manifest inherit of its first row id, in their order (I1).
pub(super) fn inherit(manifest: &ManifestFile, entries: &mut [ManifestEntry]) -> Result<()> {
    let (ManifestContentType::Data, Some(first)) = (manifest.content, manifest.first_row_id) else { return Ok(()) };
    let mut next = first;
    for entry in entries.iter_mut().filter(|entry| entry.data_file.first_row_id().is_none()) {
        let id = i64::try_from(next).map_err(|_| Error::data("the table's row ids have run out"))?;
        next = next.saturating_add(entry.data_file.record_count());
        entry.data_file = with_first_row_id(&entry.data_file, manifest.partition_spec_id, id)?;
    }
    Ok(())
}

/// The crate has no setter.
fn with_first_row_id(file: &DataFile, spec_id: i32, id: i64) -> Result<DataFile> {
    let mut copy = DataFileBuilder::default();
    copy.content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .column_sizes(file.column_sizes().clone())
        .value_counts(file.value_counts().clone())
        .null_value_counts(file.null_value_counts().clone())
        .nan_value_counts(file.nan_value_counts().clone())
        .lower_bounds(file.lower_bounds().clone())
        .upper_bounds(file.upper_bounds().clone())
        .key_metadata(file.key_metadata().map(<[u8]>::to_vec))
        .split_offsets(file.split_offsets().map(<[i64]>::to_vec))
        .equality_ids(file.equality_ids())
        .first_row_id(Some(id))
        .partition_spec_id(spec_id)
        .referenced_data_file(file.referenced_data_file())
        .content_offset(file.content_offset())
        .content_size_in_bytes(file.content_size_in_bytes());
    if let Some(order) = file.sort_order_id() {
        copy.sort_order_id(order);
    }
    copy.build().map_err(|error| Error::internal("a data file lacks a field").with_source(error))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use iceberg::spec::{DataContentType, DataFileFormat, Datum, Literal, ManifestStatus, Struct};

    use super::*;

    fn full(rows: u64, first_row_id: Option<i64>) -> DataFile {
        let counts = || HashMap::from([(1, rows)]);
        let mut file = DataFileBuilder::default();
        file.content(DataContentType::Data).file_format(DataFileFormat::Parquet).file_path("memory:/f".to_owned());
        file.partition(Struct::from_iter([Some(Literal::int(3))])).partition_spec_id(2).record_count(rows);
        file.file_size_in_bytes(9).column_sizes(counts()).value_counts(counts()).null_value_counts(counts());
        file.nan_value_counts(counts()).lower_bounds(HashMap::from([(1, Datum::int(4))]));
        file.upper_bounds(HashMap::from([(1, Datum::int(5))])).key_metadata(Some(vec![1])).sort_order_id(7);
        file.split_offsets(Some(vec![4])).equality_ids(Some(vec![1])).first_row_id(first_row_id);
        file.referenced_data_file(Some("d".to_owned())).content_offset(Some(1)).content_size_in_bytes(Some(2));
        file.build().unwrap()
    }

    fn entry(rows: u64, first_row_id: Option<i64>) -> ManifestEntry {
        let entry = ManifestEntry::builder().status(ManifestStatus::Added).data_file(full(rows, first_row_id));
        entry.build()
    }

    fn manifest(content: ManifestContentType, first_row_id: Option<u64>) -> ManifestFile {
        ManifestFile {
            manifest_path: String::new(),
            manifest_length: 0,
            partition_spec_id: 2,
            content,
            sequence_number: 1,
            min_sequence_number: 1,
            added_snapshot_id: 1,
            added_files_count: None,
            existing_files_count: None,
            deleted_files_count: None,
            added_rows_count: None,
            existing_rows_count: None,
            deleted_rows_count: None,
            partitions: None,
            key_metadata: None,
            first_row_id,
        }
    }

    #[test]
    fn i1_a_file_begins_where_those_before_it_end_unless_it_says_another_place() {
        let ids = |manifest: &ManifestFile| {
            let mut entries = vec![entry(10, None), entry(5, Some(1000)), entry(7, None), entry(1, None)];
            inherit(manifest, &mut entries).unwrap();
            entries.iter().map(|entry| entry.data_file.first_row_id()).collect::<Vec<_>>()
        };
        let of = |ids: [i64; 4]| ids.map(Some).to_vec();
        assert_eq!(ids(&manifest(ManifestContentType::Data, Some(100))), of([100, 1000, 110, 117]));
        let none = vec![None, Some(1000), None, None];
        assert_eq!(ids(&manifest(ManifestContentType::Data, None)), none, "a table without row ids");
        assert_eq!(ids(&manifest(ManifestContentType::Deletes, Some(100))), none, "deletes have none");
    }

    #[test]
    fn nothing_else_of_a_file_changes() {
        assert_eq!(with_first_row_id(&full(10, None), 2, 8).unwrap(), full(10, Some(8)));
    }
}
