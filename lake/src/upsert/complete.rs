//! Rows that lack values become whole ones, by the rows of their keys that the table has.
//!
//! Owns [`Completed`].
//! - I1: what a row keeps is read on the base of the commit, with every try anew (U1).
//! - I2: a row that is to be marked and is not there is not made; of any other one a value that nobody has is null, and
//!   counted.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use iceberg::spec::{DataFile, Schema, SchemaRef, TableMetadata};
use tableflow_model::{Error, Result};

use super::emptied::Emptied;
use super::history::{Versions, versions};
use super::keyed::{KeyedTable, StagedKeys};
use super::ordered::{Order, Ordered};
use super::partial::{Keeps, PartialRows, nullable, picked};
use crate::keys::Hash;
use crate::layout::{arrow_schema, conform, latest_by};
use crate::read::ColumnReader;
use crate::write::{FileNames, PartialContent, PartialFile, Stager};
use crate::{arrow_error, iceberg_error};

/// Whole rows, staged.
#[derive(Debug, Default)]
pub struct Completed {
    pub files: Vec<DataFile>,
    /// Of each file's rows.
    pub keys: Vec<Vec<Hash>>,
    /// Keys whose rows were written again, and go where they are.
    pub deleted: Vec<Hash>,
    /// Values that no row had (I2).
    pub lost: u64,
    /// Changes that are older than the rows of their keys.
    pub left_out: u64,
}

/// A row of a batch.
pub(super) type Place = (usize, usize);

/// The rows before, as far as they are there.
pub(super) struct Before {
    pub batches: Vec<RecordBatch>,
    /// Of each partial row the place of the one before it.
    pub places: Vec<Option<Place>>,
}

impl KeyedTable {
    /// Makes these rows whole (I1), beside others that were staged with them, in files with the columns of `schema`,
    /// parted by that spec of the table. The index stands for `table`.
    pub async fn complete(
        &mut self,
        table: &TableMetadata,
        (partial, others): (&PartialRows, &StagedKeys),
        (schema, spec_id): (&SchemaRef, i32),
        names: &mut FileNames,
    ) -> Result<Completed> {
        if partial.is_empty() {
            return Ok(Completed::default());
        }
        let spec = table.partition_spec_by_id(spec_id);
        let spec = spec.ok_or_else(|| Error::internal("rows are for a partition spec that the table does not have"))?;
        let order = latest_by(table)?.map(|column| Ok::<_, Error>(Order::by(column, self.key_names(table)?)));
        let order = order.transpose()?;
        let before = self.before(table, partial, order.as_ref()).await?;
        let columns = arrow_schema(schema)?;
        let Ordered { rows, replaced: mut deleted, lost, left_out } = match (self.versions, &order) {
            (Some(_), _) => {
                let Versions { rows, replaced, lost } = versions(partial, &before, &columns)?;
                Ordered { rows, replaced, lost, left_out: 0 }
            }
            (None, Some(order)) => order.apply(partial, &before, &columns)?,
            (None, None) => {
                let (rows, lost) = whole(partial, &before, &columns)?;
                Ordered { rows, replaced: Vec::new(), lost, left_out: 0 }
            }
        };
        let stager = Stager::under(names.clone(), table, schema.clone(), spec)?;
        let mut stager = stager.with_keys(self.columns().to_vec(), self.hasher().clone());
        if let Some(Emptied::Marked(mark)) = &partial.emptied {
            let but: HashSet<Hash> = others.all().chain(&partial.keys).copied().collect();
            let marked = self.mark_all(table, (mark, &columns), &but, &mut stager).await?;
            deleted.extend(marked);
        }
        stager.write(&rows).await?;
        let staged = stager.finish().await?;
        *names = staged.names;
        Ok(Completed { files: staged.files, keys: staged.keys, deleted, lost, left_out })
    }

    /// The rows that lack values of work that somebody staged.
    pub async fn partial(&self, table: &TableMetadata, files: &[DataFile]) -> Result<PartialRows> {
        let Some(file) = files.first() else { return Ok(PartialRows::none()) };
        let PartialContent { rows, keeps, emptied } = PartialFile::read(&self.reader.store, table, file).await?;
        let column = |name: &String| rows.column_by_name(name).cloned().ok_or_else(key_gone);
        let columns = self.key_names(table)?.iter().map(column).collect::<Result<Vec<_>>>()?;
        let keys = self.hasher().hashes(&columns)?;
        Ok(PartialRows { rows, keeps, keys, emptied })
    }

    /// The key's columns, as the table calls them.
    pub(super) fn key_names(&self, table: &TableMetadata) -> Result<Vec<String>> {
        let name = |id: &i32| table.current_schema().name_by_field_id(*id).map(str::to_owned).ok_or_else(key_gone);
        let until = self.versions.map(|versions| versions.valid_to);
        self.columns().iter().filter(|id| until != Some(**id)).map(name).collect()
    }

    /// The columns that any of the rows keeps, of the rows before them.
    async fn before(&mut self, table: &TableMetadata, partial: &PartialRows, order: Option<&Order>) -> Result<Before> {
        let mut before = Before { batches: Vec::new(), places: vec![None; partial.keys.len()] };
        if matches!(partial.emptied, Some(Emptied::Deleted)) {
            return Ok(before);
        }
        let is_kept = |name: &str| match order {
            _ if self.versions.is_some() => true,
            Some(order) => order.needs(name, partial),
            None => partial.keeps.iter().any(|keeps| keeps.keeps(name)),
        };
        let fields = table.current_schema().as_struct().fields().iter();
        let kept = Schema::builder().with_fields(fields.filter(|field| is_kept(&field.name)).cloned()).build();
        let kept = kept.map(SchemaRef::new).map_err(iceberg_error("the columns that rows keep make no schema"))?;
        let reader = ColumnReader::new(table, &kept)?;
        let rows_of = self.live_rows(&partial.keys).await?;
        // By the number of the data file, and the place in it.
        let mut files: BTreeMap<u32, BTreeMap<u32, Vec<usize>>> = BTreeMap::new();
        for (row, key) in partial.keys.iter().enumerate() {
            if let Some(location) = rows_of.get(key) {
                files.entry(location.file).or_default().entry(location.row).or_default().push(row);
            }
        }
        for (number, rows) in files {
            let Some(file) = self.file(number) else { continue };
            let places: BTreeSet<u32> = rows.keys().copied().collect();
            let mut batches = reader.open_rows(&self.reader.store, file, &places).await?;
            let mut rows = rows.into_values();
            while let Some(batch) = batches.next().await? {
                for (place, of) in (0..batch.num_rows()).zip(rows.by_ref()) {
                    for row in of {
                        if let Some(found) = before.places.get_mut(row) {
                            *found = Some((before.batches.len(), place));
                        }
                    }
                }
                before.batches.push(batch);
            }
        }
        Ok(before)
    }
}

fn key_gone() -> Error {
    Error::data("a column that rows are identified by is gone")
}

/// The rows with what they keep, and how many values nobody had (I2).
fn whole(partial: &PartialRows, before: &Before, columns: &arrow::datatypes::SchemaRef) -> Result<(RecordBatch, u64)> {
    let columns = nullable(columns);
    let own = conform(&partial.rows, &columns)?;
    let found = || before.places.iter().zip(&partial.keeps);
    let is_there: BooleanArray = found().map(|(place, keeps)| Some(place.is_some() || !keeps.is_mark())).collect();
    let batches = before.batches.iter().map(|batch| conform(batch, &columns)).collect::<Result<Vec<_>>>()?;
    let (mut arrays, mut lost) = (Vec::with_capacity(columns.fields().len()), 0);
    for (index, (field, own)) in columns.fields().iter().zip(own.columns()).enumerate() {
        if !partial.keeps.iter().any(|keeps| keeps.keeps(field.name())) {
            arrays.push(own.clone());
            continue;
        }
        let of: Vec<&ArrayRef> = [own].into_iter().chain(batches.iter().map(|batch| batch.column(index))).collect();
        // What the rows have themselves comes first.
        let pick = |row: usize, place: &Option<Place>, keeps: &Keeps| match keeps.keeps(field.name()) {
            false => Some((0, row)),
            true => place.map(|(batch, row)| (batch + 1, row)),
        };
        let picks: Vec<Option<Place>> =
            found().enumerate().map(|(row, (place, keeps))| pick(row, place, keeps)).collect();
        lost +=
            picks.iter().zip(is_there.values()).filter(|(pick, is_there)| pick.is_none() && *is_there).count() as u64;
        arrays.push(picked(&of, field, &picks)?);
    }
    let failed = arrow_error("making rows whole");
    let all = RecordBatch::try_new(columns, arrays).map_err(&failed)?;
    Ok((filter_record_batch(&all, &is_there).map_err(&failed)?, lost))
}
