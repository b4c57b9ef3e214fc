//! `history` and `files`: what a table is made of.

use std::io::Write;

use serde::Serialize;
use tableflow_lake::commit::live_files;
use tableflow_model::Result;

use super::args::TableArgument;
use super::session::Session;
use crate::exit::Exit;
use crate::output::{self, rfc3339};

#[derive(Debug, Serialize)]
struct SnapshotDocument {
    snapshot_id: i64,
    parent_id: Option<i64>,
    sequence_number: i64,
    committed_at: Option<String>,
    operation: String,
    added_records: u64,
    total_records: u64,
    total_data_files: u64,
    current: bool,
}

#[derive(Debug, Serialize)]
struct FileDocument {
    path: String,
    partition: String,
    records: u64,
    bytes: u64,
}

/// Newest first.
pub async fn history(arguments: &TableArgument, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let table = session.catalog_table(&arguments.table).await?;
    let loaded = session.home.catalog.load_table(&table).await?;
    let current = loaded.metadata.current_snapshot_id();
    let mut snapshots: Vec<_> = loaded.metadata.snapshots().collect();
    snapshots.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.sequence_number()));
    let documents = snapshots.into_iter().map(|snapshot| {
        let summary = &snapshot.summary().additional_properties;
        let count = |name: &str| summary.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        SnapshotDocument {
            snapshot_id: snapshot.snapshot_id(),
            parent_id: snapshot.parent_snapshot_id(),
            sequence_number: snapshot.sequence_number(),
            committed_at: rfc3339(snapshot.timestamp_ms()),
            operation: snapshot.summary().operation.as_str().to_owned(),
            added_records: count("added-records"),
            total_records: count("total-records"),
            total_data_files: count("total-data-files"),
            current: current == Some(snapshot.snapshot_id()),
        }
    });
    let columns = ["snapshot_id", "committed_at", "operation", "added_records", "total_records", "total_data_files"];
    output::documents(session.format, &documents.collect::<Vec<_>>(), &columns, out)?;
    Ok(Exit::Done)
}

pub async fn files(arguments: &TableArgument, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let table = session.catalog_table(&arguments.table).await?;
    let loaded = session.home.catalog.load_table(&table).await?;
    let metadata = &loaded.metadata;
    let files = match metadata.current_snapshot() {
        Some(snapshot) => live_files(&session.home.store, metadata, snapshot).await?,
        None => Vec::new(),
    };
    let documents = files.iter().map(|file| {
        let spec = metadata.default_partition_spec();
        let partitioned = !file.partition().fields().is_empty();
        let path = || spec.partition_to_path(file.partition(), metadata.current_schema().clone());
        FileDocument {
            path: file.file_path().to_owned(),
            partition: if partitioned { path() } else { String::new() },
            records: file.record_count(),
            bytes: file.file_size_in_bytes(),
        }
    });
    let columns = ["path", "partition", "records", "bytes"];
    output::documents(session.format, &documents.collect::<Vec<_>>(), &columns, out)?;
    Ok(Exit::Done)
}
