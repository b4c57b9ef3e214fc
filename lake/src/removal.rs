//! Rows that go by what they are: too old, or of a key that is to be erased.
//!
//! Owns [`Which`] and [`prepare_removal`].
//! - I1: it is worked out on the base of the commit: rows that come later stay, whatever they are.
//! - I2: a file whose bounds say that it has none of the rows is not opened; one whose bounds say that all of its rows go
//!   is dropped unread.
//! - I3: what is erased is in no data file of the new snapshot, not even as a row that was deleted before; rows that only are too old may be deleted beside them, as
//!   the table has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, Scalar};
use arrow::compute::and;
use arrow::compute::kernels::cmp::{eq, lt};
use datafusion::scalar::ScalarValue;
use iceberg::spec::{Schema, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use crate::commit::{CommitContext, LiveFile, Prepared, Retention, RowDelta, manifests_of, prepare_row_delta};
use crate::read::{Bounds, ColumnBounds, ColumnReader, DeleteFiles, data_files, deleted_rows, side_by_side};
use crate::upsert::{KnownFile, copies_of, deletes_of};
use crate::write::FileNames;
use crate::{arrow_error, iceberg_error};

/// The rows that go.
#[derive(Clone, Debug)]
pub enum Which {
    /// Those whose value in the column of this id is less; rows without one stay.
    Before { column: i32, value: ScalarValue },
    /// Those that have these values in the columns of these ids (I3).
    Erased { values: Vec<(i32, ScalarValue)> },
}

/// A commit after which they are gone.
#[derive(Debug)]
pub struct Removed {
    pub prepared: Prepared,
    pub rows: u64,
    /// That were dropped, or became others.
    pub data_files: u64,
}

/// What the bounds of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    None,
    Some,
    All,
}

impl Which {
    fn columns(&self) -> Vec<i32> {
        match self {
            Which::Before { column, .. } => vec![*column],
            Which::Erased { values } => values.iter().map(|(column, _)| *column).collect(),
        }
    }

    /// I2.
    fn share(&self, of: &dyn Fn(i32) -> Option<ColumnBounds>) -> Share {
        match self {
            Which::Before { column, value } => match of(*column) {
                Some(ColumnBounds { min: Some(min), .. }) if min >= *value => Share::None,
                Some(ColumnBounds { max: Some(max), nulls: Some(0), .. }) if max < *value => Share::All,
                _ => Share::Some,
            },
            Which::Erased { values } => {
                let is_outside = |(column, value): &(i32, ScalarValue)| {
                    let Some(ColumnBounds { min, max, .. }) = of(*column) else { return false };
                    min.is_some_and(|min| min > *value) || max.is_some_and(|max| max < *value)
                };
                if values.iter().any(is_outside) { Share::None } else { Share::Some }
            }
        }
    }

    /// Which rows of a batch of those columns they are.
    fn mask(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let failed = arrow_error("comparing rows with those that go");
        let value = |value: &ScalarValue| {
            let array = value.to_array().map_err(|error| Error::internal("a value is none").with_source(error));
            array.map(Scalar::new)
        };
        match self {
            Which::Before { value: before, .. } => lt(batch.column(0), &value(before)?).map_err(failed),
            Which::Erased { values } => {
                let mut all = BooleanArray::from(vec![true; batch.num_rows()]);
                for (column, (_, wanted)) in batch.columns().iter().zip(values) {
                    all = and(&all, &eq(column, &value(wanted)?).map_err(failed)?).map_err(failed)?;
                }
                Ok(all)
            }
        }
    }
}

/// The commit on this base (I1); nothing where it has none of the rows.
pub async fn prepare_removal(
    context: CommitContext<'_>,
    base: &Arc<TableMetadata>,
    which: &Which,
    names: &mut FileNames,
    properties: BTreeMap<String, String>,
) -> Result<Option<Removed>> {
    let doomed = doomed(context.store, base, which).await?;
    if doomed.is_empty() {
        return Ok(None);
    }
    let rows = doomed.iter().map(|(known, rows)| (rows - &known.deleted).len()).sum();
    let is_whole = |(known, rows): &&(KnownFile, RoaringTreemap)| {
        known.deleted.len() + rows.len() == known.live.file.record_count() || matches!(which, Which::Erased { .. })
    };
    let (whole, parts): (Vec<_>, Vec<_>) = doomed.iter().partition(|one| is_whole(one));
    let mut deletes = copies_of(context.store, base, touched(whole), names).await?;
    deletes.merge(deletes_of(context.store, base, touched(parts), names).await?);
    let data_files = deletes.data_files_replaced();
    let delta = RowDelta { deletes, properties, retention: Retention::EVERYTHING, ..RowDelta::default() };
    let prepared = prepare_row_delta(context, base, &delta).await?;
    Ok(Some(Removed { prepared, rows, data_files }))
}

fn touched(files: Vec<&(KnownFile, RoaringTreemap)>) -> Vec<(&KnownFile, &RoaringTreemap)> {
    files.into_iter().map(|(known, rows)| (known, rows)).collect()
}

/// The rows that go, of each file that has some. What is erased goes where it was deleted before, too (I3).
async fn doomed(store: &Store, base: &Arc<TableMetadata>, which: &Which) -> Result<Vec<(KnownFile, RoaringTreemap)>> {
    let Some(snapshot) = base.current_snapshot() else { return Ok(Vec::new()) };
    let manifests = manifests_of(store, base, snapshot).await?;
    let deletes = DeleteFiles::of_manifests(store, base, &manifests).await?;
    let mut files = Vec::new();
    for live in data_files(store, &manifests).await? {
        match share_of(base, which, &live)? {
            Share::None => {}
            share => files.push((live, share)),
        }
    }
    let live: Vec<&LiveFile> = files.iter().map(|(live, _)| live).collect();
    let mut deleted = deleted_rows(store, base, &deletes, &live).await?;
    let reader = ColumnReader::new(base, &schema_of(base, &which.columns())?)?;
    let reads = files.iter().map(|(live, share)| matching(store, &reader, which, (live, *share))).collect();
    let matching: Vec<RoaringTreemap> = side_by_side(reads).await?;
    let doomed = files.into_iter().zip(matching).map(|((live, _), rows)| {
        let deleted = deleted.remove(live.file.file_path()).unwrap_or_default();
        let own_deletes = deletes.of_one_file(live.file.file_path());
        let rows = if matches!(which, Which::Before { .. }) { rows - &deleted } else { rows };
        (KnownFile { live, deleted, own_deletes }, rows)
    });
    Ok(doomed.filter(|(_, rows)| !rows.is_empty()).collect())
}

fn share_of(base: &TableMetadata, which: &Which, live: &LiveFile) -> Result<Share> {
    let schema = base.current_schema();
    let spec = base.partition_spec_by_id(live.spec_id);
    let spec = spec.ok_or_else(|| Error::data(format!("the table has no partition spec {}", live.spec_id)))?;
    let bounds = Bounds::of_file(&live.file, schema, spec);
    Ok(which.share(&|id| bounds.columns.get(schema.name_by_field_id(id)?).cloned()))
}

async fn matching(
    store: &Store,
    reader: &ColumnReader,
    which: &Which,
    (live, share): (&LiveFile, Share),
) -> Result<RoaringTreemap> {
    let mut rows = RoaringTreemap::new();
    if share == Share::All {
        rows.insert_range(..live.file.record_count());
        return Ok(rows);
    }
    let (mut batches, mut first) = (reader.open(store, &live.file).await?, 0);
    while let Some(batch) = batches.next().await? {
        let mask = which.mask(&batch)?;
        rows.extend((first..).zip(mask.iter()).filter(|(_, goes)| *goes == Some(true)).map(|(row, _)| row));
        first += batch.num_rows() as u64;
    }
    Ok(rows)
}

/// The columns that tell.
fn schema_of(table: &TableMetadata, ids: &[i32]) -> Result<iceberg::spec::SchemaRef> {
    let fields = ids.iter().map(|id| {
        let field = table.current_schema().as_struct().field_by_id(*id);
        field.cloned().ok_or_else(|| Error::data("a column that tells which rows go is gone"))
    });
    let schema = Schema::builder().with_fields(fields.collect::<Result<Vec<_>>>()?).build();
    schema.map(Arc::new).map_err(iceberg_error("the columns that tell which rows go make no schema"))
}
