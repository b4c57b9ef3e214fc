//! Rows that are deleted by the values of some columns.
//!
//! - I1: a row is deleted by a delete file that is younger than its data file and has its values in the columns that
//!   the delete file names; nulls are alike.
//! - I2: both sides are read in the table's types, a column that is no longer the table's among them.
//! - I3: each delete file and each data file is read once for all delete files that name the same columns.
//!
//! Nobody here writes such deletes; other engines do.

use std::collections::{BTreeMap, HashMap};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema as ArrowSchema;
use arrow::row::{RowConverter, Rows, SortField};
use iceberg::spec::{NestedFieldRef, Schema, SchemaRef, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use super::DeletedRows;
use super::files::Applying;
use crate::arrow_error;
use crate::commit::LiveFile;
use crate::iceberg_error;
use crate::read::columns::ColumnReader;

/// Deleted values, and the sequence number of the youngest file that has them.
type Deleted = HashMap<Box<[u8]>, i64>;

/// By the ids of the columns that they name: the data files, and the delete files that apply to them.
type ByColumns<'a> = BTreeMap<Vec<i32>, Vec<(&'a LiveFile, Vec<&'a LiveFile>)>>;

pub async fn deleted_rows(
    store: &Store,
    table: &TableMetadata,
    applying: &[(&LiveFile, Applying)],
) -> Result<DeletedRows> {
    let mut by_columns = ByColumns::new();
    for (live, applying) in applying {
        let mut deletes: BTreeMap<Vec<i32>, Vec<&LiveFile>> = BTreeMap::new();
        for delete in &applying.equality {
            deletes.entry(columns_of(delete)?).or_default().push(delete);
        }
        for (columns, deletes) in deletes {
            by_columns.entry(columns).or_default().push((live, deletes));
        }
    }
    let mut found = DeletedRows::new();
    for (columns, files) in by_columns {
        let reader = ValueReader::new(store, table, &columns)?;
        // Data files of one partition have the same deletes, but for the oldest of them.
        let mut read: HashMap<Vec<&str>, Deleted> = HashMap::new();
        for (live, deletes) in files {
            let names: Vec<&str> = deletes.iter().map(|delete| delete.file.file_path()).collect();
            if !read.contains_key(&names) {
                read.insert(names.clone(), reader.deleted(&deletes).await?);
            }
            let Some(deleted) = read.get(&names) else { continue };
            *found.entry(live.file.file_path().to_owned()).or_default() |= reader.rows(live, deleted).await?;
        }
    }
    Ok(found)
}

fn columns_of(delete: &LiveFile) -> Result<Vec<i32>> {
    let mut columns = delete.file.equality_ids().unwrap_or_default();
    columns.sort_unstable();
    if columns.is_empty() {
        return Err(Error::data("an equality delete names no columns").with_detail(delete.file.file_path()));
    }
    Ok(columns)
}

/// Reads the values of some columns, of data files and of delete files.
struct ValueReader<'a> {
    store: &'a Store,
    columns: ColumnReader,
    converter: RowConverter,
}

impl<'a> ValueReader<'a> {
    fn new(store: &'a Store, table: &TableMetadata, columns: &[i32]) -> Result<Self> {
        let columns = ColumnReader::new(table, &schema_of(table, columns)?)?;
        let converter = converter(columns.schema())?;
        Ok(ValueReader { store, columns, converter })
    }

    async fn deleted(&self, deletes: &[&LiveFile]) -> Result<Deleted> {
        let mut deleted = Deleted::new();
        for delete in deletes {
            let mut batches = self.columns.open(self.store, &delete.file).await?;
            while let Some(batch) = batches.next().await? {
                for row in &self.values(&batch)? {
                    let youngest = deleted.entry(row.as_ref().into()).or_insert(delete.sequence);
                    *youngest = delete.sequence.max(*youngest);
                }
            }
        }
        Ok(deleted)
    }

    async fn rows(&self, live: &LiveFile, deleted: &Deleted) -> Result<RoaringTreemap> {
        let (mut rows, mut position) = (RoaringTreemap::new(), 0);
        let mut batches = self.columns.open(self.store, &live.file).await?;
        while let Some(batch) = batches.next().await? {
            for row in &self.values(&batch)? {
                if deleted.get(row.as_ref()).is_some_and(|sequence| *sequence > live.sequence) {
                    rows.insert(position);
                }
                position += 1;
            }
        }
        Ok(rows)
    }

    fn values(&self, batch: &RecordBatch) -> Result<Rows> {
        self.converter.convert_columns(batch.columns()).map_err(arrow_error("comparing deleted values"))
    }
}

fn converter(schema: &ArrowSchema) -> Result<RowConverter> {
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
    RowConverter::new(fields.collect()).map_err(arrow_error("rows are deleted by columns that cannot be compared"))
}

/// The columns, those that the table has no more as they last were (I2).
fn schema_of(table: &TableMetadata, ids: &[i32]) -> Result<SchemaRef> {
    let fields = ids.iter().map(|id| {
        let current = std::iter::once(table.current_schema());
        let mut all: Vec<&SchemaRef> = table.schemas_iter().collect();
        all.sort_by_key(|schema| std::cmp::Reverse(schema.schema_id()));
        let field: Option<&NestedFieldRef> = current.chain(all).find_map(|schema| schema.as_struct().field_by_id(*id));
        field.cloned().ok_or_else(|| {
            Error::usage(format!("rows are deleted by field {id}, which is no column by itself"))
                .with_detail("a field within another one, or one that no schema of the table has")
                .with_hint("compact the table with the engine that deleted them")
        })
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    let schema = Schema::builder().with_fields(fields).build();
    schema.map(SchemaRef::new).map_err(iceberg_error("rows are deleted by columns that make no schema"))
}
