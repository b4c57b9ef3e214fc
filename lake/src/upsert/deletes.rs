//! Rows that a commit deletes become files.
//!
//! Owns [`deletes_of`].
//! - I1: a delete file that is about one data file has all its deleted rows, and replaces those before it.
//! - I2: up to [`OWN_DELETES_MAX`] data files of a partition get one each; more share one, where the format lets them.
//! - I3: a table that copies on write gets no delete file: each data file becomes another one without those rows, and
//!   without all that were deleted before.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{Struct, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::Result;
use tableflow_store::Store;

use super::files::KnownFile;
use crate::commit::Deletes;
use crate::compact::{Plan, Rewriter, Strategy};
use crate::layout::copies_on_write;
use crate::write::{DeleteWriter, FileNames, RowsOf};

/// Up to so many data files of a partition get a delete file each; more share one.
pub const OWN_DELETES_MAX: usize = 64;

/// A partition of one of the table's specs.
type Partition<'a> = (i32, &'a Struct);

/// A data file, and rows that are to be deleted of it.
pub type Touched<'a> = (&'a KnownFile, &'a RoaringTreemap);

/// The files of a commit on this table, put under the epoch's names.
pub async fn deletes_of(
    store: &Store,
    table: &Arc<TableMetadata>,
    touched: Vec<Touched<'_>>,
    names: &mut FileNames,
) -> Result<Deletes> {
    if copies_on_write(table) {
        copies_of(store, table, touched, names).await
    } else {
        marked(table, touched, names).await
    }
}

/// I1, I2.
async fn marked(table: &TableMetadata, touched: Vec<Touched<'_>>, names: &mut FileNames) -> Result<Deletes> {
    let mut writer = DeleteWriter::new(table, names);
    let mut deletes = Deletes::default();
    for (partition, files) in by_partition(touched) {
        if writer.shares() && files.len() > OWN_DELETES_MAX {
            let named: Vec<RowsOf<'_>> =
                files.iter().map(|(known, rows)| (known.live.file.file_path(), *rows)).collect();
            writer.shared(partition, named).await?;
            continue;
        }
        for (known, rows) in files {
            writer.own(partition, (known.live.file.file_path(), &(&known.deleted | rows))).await?;
            deletes.replaced.extend(known.own_deletes.iter().cloned());
        }
    }
    deletes.added = writer.finish().await?;
    Ok(deletes)
}

/// The same without delete files, however the table is written (I3).
pub async fn copies_of(
    store: &Store,
    table: &Arc<TableMetadata>,
    touched: Vec<Touched<'_>>,
    names: &mut FileNames,
) -> Result<Deletes> {
    let mut deletes = Deletes::default();
    if touched.is_empty() {
        return Ok(deletes);
    }
    let nothing_planned = (Arc::new(Plan::of_nothing(table)), Strategy::BinPack);
    let rewriter = Arc::new(Rewriter::new(store.clone(), table.clone(), nothing_planned, names.clone())?);
    for (known, rows) in touched {
        let live = &known.live;
        for copy in rewriter.copy(live, &known.deleted | rows).await? {
            deletes.copied.entry(live.spec_id).or_default().push((copy, live.sequence));
        }
        deletes.replaced.push(live.clone());
        deletes.replaced.extend(known.own_deletes.iter().cloned());
    }
    *names = rewriter.names().await;
    Ok(deletes)
}

/// In the order in which they come.
fn by_partition(touched: Vec<Touched<'_>>) -> Vec<(Partition<'_>, Vec<Touched<'_>>)> {
    let mut partitions: Vec<(Partition<'_>, Vec<Touched<'_>>)> = Vec::new();
    let mut places = HashMap::new();
    for (known, rows) in touched {
        let partition = (known.live.spec_id, known.live.file.partition());
        let place = *places.entry(partition).or_insert_with(|| {
            partitions.push((partition, Vec::new()));
            partitions.len() - 1
        });
        if let Some((_, files)) = partitions.get_mut(place) {
            files.push((known, rows));
        }
    }
    partitions
}
