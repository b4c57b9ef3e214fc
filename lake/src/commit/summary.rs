//! What a snapshot says of itself.
//!
//! - I1: totals follow from the parent's totals and this commit's files, never from reading the table.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{DataContentType, DataFile, DataFileFormat, Struct, TableMetadata};

use super::files::FileChange;
use crate::feed::CHANGES;

/// I1; the properties that change with it stand in it, too.
pub(super) fn summary(base: &TableMetadata, change: &FileChange) -> HashMap<String, String> {
    let added = Counted::of(change.added.iter().flat_map(|added| &added.files).map(|(file, _)| file));
    let removed = Counted::of(change.removed.iter().map(|removed| &removed.file));
    let mut summary: HashMap<String, String> = change.properties.clone().into_iter().collect();
    summary.extend(change.changes.map(|named| (CHANGES.to_owned(), named.to_owned())));
    let mut say = |name: &str, count: u64| {
        if count > 0 {
            summary.insert(name.to_owned(), count.to_string());
        }
    };
    say("added-data-files", added.data_files);
    say("added-records", added.records);
    say("added-delete-files", added.delete_files);
    say("added-dvs", added.vectors);
    say("added-position-deletes", added.positions);
    say("added-files-size", added.bytes);
    say("deleted-data-files", removed.data_files);
    say("deleted-records", removed.records);
    say("removed-delete-files", removed.delete_files);
    say("removed-dvs", removed.vectors);
    say("removed-position-deletes", removed.positions);
    say("removed-files-size", removed.bytes);
    say("changed-partition-count", added.partitions.union(&removed.partitions).count() as u64);
    for (name, more, less) in [
        ("total-data-files", added.data_files, removed.data_files),
        ("total-records", added.records, removed.records),
        ("total-files-size", added.bytes, removed.bytes),
        ("total-delete-files", added.delete_files, removed.delete_files),
        ("total-position-deletes", added.positions, removed.positions),
        ("total-equality-deletes", 0, 0),
    ] {
        summary.insert(name.to_owned(), (parent_total(base, name) + more).saturating_sub(less).to_string());
    }
    summary
}

/// Files, counted.
#[derive(Default)]
struct Counted<'a> {
    data_files: u64,
    records: u64,
    delete_files: u64,
    /// Of those.
    vectors: u64,
    positions: u64,
    bytes: u64,
    partitions: HashSet<&'a Struct>,
}

impl<'a> Counted<'a> {
    fn of(files: impl Iterator<Item = &'a DataFile>) -> Self {
        let mut counted = Counted::default();
        for file in files {
            let (files, records) = match file.content_type() {
                DataContentType::Data => (&mut counted.data_files, &mut counted.records),
                _ => (&mut counted.delete_files, &mut counted.positions),
            };
            *files += 1;
            counted.vectors += u64::from(file.file_format() == DataFileFormat::Puffin);
            *records += file.record_count();
            // Of a file with several vectors each entry has its own part.
            let size = file.content_size_in_bytes().and_then(|bytes| u64::try_from(bytes).ok());
            counted.bytes += size.unwrap_or_else(|| file.file_size_in_bytes());
            counted.partitions.insert(file.partition());
        }
        counted
    }
}

fn parent_total(base: &TableMetadata, name: &str) -> u64 {
    let parent = base.current_snapshot();
    let total = parent.and_then(|snapshot| snapshot.summary().additional_properties.get(name));
    total.and_then(|text| text.parse().ok()).unwrap_or(0)
}
