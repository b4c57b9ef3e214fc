//! Some columns of a data file, as the table has them.
//!
//! Owns [`ColumnReader`], for those who need each row of a file in its place: what is deleted, keys, compaction.
//! - I1: batches follow each other in the file's order, and together have each row of it.
//! - I2: columns are found by their ids and come in the table's types, as in a query (`adapt`).

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr_adapter::PhysicalExprAdapterFactory;
use futures::TryStreamExt;
use iceberg::spec::{DataFile, SchemaRef, TableMetadata};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use super::adapt::ColumnsById;

/// Of a batch.
const ROWS_AT_ONCE: usize = 8 * 1024;

/// Reads these columns of any of a table's files.
#[derive(Debug)]
pub struct ColumnReader {
    columns: ColumnsById,
}

impl ColumnReader {
    /// The columns of `schema`, which may be some of the table's.
    pub fn new(table: &TableMetadata, schema: &SchemaRef) -> Result<Self> {
        Ok(ColumnReader { columns: ColumnsById::new(table, schema)? })
    }

    /// Of the batches.
    pub fn schema(&self) -> &ArrowSchemaRef {
        self.columns.bare_schema()
    }

    pub async fn open(&self, store: &Store, file: &DataFile) -> Result<FileBatches> {
        self.open_selected(store, file, None).await
    }

    /// Of these rows alone, in their order.
    pub async fn open_rows(&self, store: &Store, file: &DataFile, rows: &BTreeSet<u32>) -> Result<FileBatches> {
        let ranges = rows.iter().map(|row| *row as usize..*row as usize + 1);
        let all = usize::try_from(file.record_count()).unwrap_or(usize::MAX);
        self.open_selected(store, file, Some(RowSelection::from_consecutive_ranges(ranges, all))).await
    }

    async fn open_selected(&self, store: &Store, file: &DataFile, rows: Option<RowSelection>) -> Result<FileBatches> {
        let path = file.file_path();
        let unreadable = |error: DataFusionError| unreadable(path, error);
        let reader = ParquetObjectReader::new(store.object_store(), store.path(file.file_path())?);
        let reader = reader.with_file_size(file.file_size_in_bytes());
        let builder = ParquetRecordBatchStreamBuilder::new(reader).await;
        let builder = builder.map_err(|error| unreadable(error.into()))?;
        let columns = self.expressions(builder.schema()).map_err(unreadable)?;
        let needed = columns.iter().flat_map(collect_columns).map(|column| column.index());
        let mask = ProjectionMask::roots(builder.parquet_schema(), needed);
        let builder = builder.with_projection(mask).with_batch_size(ROWS_AT_ONCE);
        let stream = match rows {
            Some(rows) => builder.with_row_selection(rows),
            None => builder,
        }
        .build()
        .map_err(|error| unreadable(error.into()))?;
        let read = stream.schema().clone();
        let columns = columns.into_iter().map(|column| reassign_expr_columns(column, &read));
        let columns = columns.collect::<Result<_, DataFusionError>>().map_err(unreadable)?;
        Ok(FileBatches { path: path.to_owned(), stream, columns, schema: self.schema().clone() })
    }

    /// How each column is made of those of a file.
    fn expressions(&self, file: &ArrowSchemaRef) -> Result<Vec<Arc<dyn PhysicalExpr>>, DataFusionError> {
        let adapter = self.columns.create(self.schema().clone(), file.clone())?;
        let column = |(place, field): (usize, &arrow::datatypes::FieldRef)| {
            adapter.rewrite(Arc::new(Column::new(field.name(), place)))
        };
        self.schema().fields().iter().enumerate().map(column).collect()
    }
}

/// A file under way.
pub struct FileBatches {
    path: String,
    stream: ParquetRecordBatchStream<ParquetObjectReader>,
    columns: Vec<Arc<dyn PhysicalExpr>>,
    schema: ArrowSchemaRef,
}

impl std::fmt::Debug for FileBatches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileBatches").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FileBatches {
    /// The next rows (I1).
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let path = &self.path;
        let unreadable = |error: DataFusionError| unreadable(path, error);
        let batch = self.stream.try_next().await.map_err(|error| unreadable(error.into()))?;
        let Some(batch) = batch else { return Ok(None) };
        let rows = batch.num_rows();
        let columns = self.columns.iter().map(|column| column.evaluate(&batch)?.into_array(rows));
        let columns = columns.collect::<Result<_, DataFusionError>>().map_err(unreadable)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        batch.map(Some).map_err(|error| unreadable(error.into()))
    }
}

/// What a store says for the moment is no fault of the file; where the file is gone its table has others by now.
fn unreadable(path: &str, error: DataFusionError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut of_store = None;
    while let (Some(one), None) = (cause, of_store) {
        of_store = one.downcast_ref::<object_store::Error>();
        cause = one.source();
    }
    let failed = match of_store {
        None => Error::data("a file of the table cannot be read"),
        Some(object_store::Error::NotFound { .. }) => Error::not_found("a file of the table is gone"),
        Some(_) => Error::unavailable("the object store does not hand out a file of the table"),
    };
    failed.with_detail(path).with_source(error)
}

#[cfg(test)]
mod tests {
    use parquet::errors::ParquetError;
    use tableflow_model::ErrorKind;

    use super::*;

    #[test]
    fn an_outage_is_no_fault_of_the_file() {
        let of_store = |error: object_store::Error| ParquetError::External(Box::new(error)).into();
        let source = || Box::new(std::io::Error::other("too many open files"));
        let generic = object_store::Error::Generic { store: "file", source: source() };
        let gone = object_store::Error::NotFound { path: "f".to_owned(), source: source() };
        for (error, kind) in [
            (of_store(generic), ErrorKind::Unavailable),
            (of_store(gone), ErrorKind::NotFound),
            (ParquetError::General("no magic".to_owned()).into(), ErrorKind::Data),
        ] {
            assert_eq!(unreadable("f", error).kind(), kind);
        }
    }
}
