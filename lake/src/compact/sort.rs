//! All rows of a group in the order of the table, on disk where they are more than memory may hold.
//!
//! Owns [`sorted`]: DataFusion's external sort over rows that are read once, each with the number that it came with; and
//! [`sorted_by`], the same of any rows.
//! - I1: rows that are alike in every column of the order stand as they came.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::EmptyRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::prelude::{SessionConfig, SessionContext};
use iceberg::spec::{NullOrder, Schema, SortDirection, SortOrder};
use tableflow_model::{Error, Result};

/// What is kept back for merging what is on disk takes one part in so many at most.
const MERGE_SHARE: usize = 4;

/// Sorts rows by the table's order, and at last by their last column, the number that they came with (I1).
pub fn sorted(
    rows: SendableRecordBatchStream,
    (order, table): (&SortOrder, &Schema),
    memory_bytes: usize,
) -> Result<SendableRecordBatchStream> {
    let by = ordering(order, table, &rows.schema())?;
    sorted_by(rows, by, memory_bytes)
}

/// Sorts rows, on disk where they are more than so many bytes.
pub fn sorted_by(
    rows: SendableRecordBatchStream,
    by: LexOrdering,
    memory_bytes: usize,
) -> Result<SendableRecordBatchStream> {
    let schema = rows.schema();
    let once = Arc::new(Once { schema: schema.clone(), rows: Mutex::new(Some(rows)) });
    let input = StreamingTableExec::try_new(schema, vec![once], None, [], false, None).map_err(failed)?;
    let sort = SortExec::new(by, Arc::new(input));
    let pool = Arc::new(FairSpillPool::new(memory_bytes));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().map_err(failed)?;
    let config = SessionConfig::new();
    let reserved = config.options().execution.sort_spill_reservation_bytes.min(memory_bytes / MERGE_SHARE);
    let context = SessionContext::new_with_config_rt(config.with_sort_spill_reservation_bytes(reserved), runtime);
    sort.execute(0, context.task_ctx()).map_err(failed)
}

/// What went wrong while rows were sorted, in our own words where we said it.
pub fn failed(error: DataFusionError) -> Error {
    if let DataFusionError::External(inner) = error.find_root()
        && let Some(ours) = inner.downcast_ref::<Error>()
    {
        return ours.restated();
    }
    Error::unavailable("rows cannot be sorted")
        .with_hint("what memory cannot hold goes into the system's folder for temporary files: it may be full")
        .with_source(error)
}

fn ordering(order: &SortOrder, table: &Schema, rows: &ArrowSchemaRef) -> Result<LexOrdering> {
    let mut by = Vec::with_capacity(order.fields.len() + 1);
    let column =
        |place: usize, name: &str, options| PhysicalSortExpr { expr: Arc::new(Column::new(name, place)), options };
    for field in &order.fields {
        let name = table.name_by_field_id(field.source_id).unwrap_or_default();
        let place = rows.index_of(name).map_err(|_| Error::internal("a sort column is gone").with_detail(name))?;
        let options = SortOptions {
            descending: field.direction == SortDirection::Descending,
            nulls_first: field.null_order == NullOrder::First,
        };
        by.push(column(place, name, options));
    }
    if let Some((last, field)) = rows.fields().iter().enumerate().next_back() {
        by.push(column(last, field.name(), SortOptions::default()));
    }
    LexOrdering::new(by).ok_or_else(|| Error::internal("rows are to be sorted by nothing"))
}

/// A stream that can be read once.
struct Once {
    schema: ArrowSchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &ArrowSchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        rows.unwrap_or_else(|| Box::pin(EmptyRecordBatchStream::new(self.schema.clone())))
    }
}
