//! `changes`: what came and what went between two snapshots, or since a consumer looked last.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef as ArrowSchemaRef, TimeUnit};
use iceberg::spec::{SchemaRef, TableMetadata};
use serde::Serialize;
use tableflow_lake::feed::{Changes, Step, rows_schema};
use tableflow_lake::read::schema_at;
use tableflow_model::{ChangeBatch, ChangeKind, Error, Result};

use super::args::ChangesArguments;
use super::session::Session;
use crate::changes::{Follower, between};
use crate::exit::Exit;
use crate::output::{self, Rows};

/// As Iceberg's changelog views call them; the time of the record has no column there.
const TYPE: &str = "_change_type";
const SNAPSHOT: &str = "_commit_snapshot_id";
const ROWTIME: &str = "_change_rowtime";

#[derive(Debug, Serialize)]
struct Left {
    table: String,
    consumer: String,
    followed: bool,
}

pub async fn run(arguments: &ChangesArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let table = session.catalog_table(&arguments.table.table).await?;
    let Some(consumer) = &arguments.consumer else {
        let loaded = session.home.catalog.load_table(&table).await?;
        let steps = between(&loaded.metadata, arguments.from, arguments.to)?;
        let last = arguments.to.or(loaded.metadata.current_snapshot_id());
        print(session, &loaded.metadata, (&steps, last), out).await?;
        return Ok(Exit::Done);
    };
    let follower = Follower::new(session.home.clone(), table.clone(), consumer.clone());
    if arguments.leave {
        let (table, consumer) = (table.to_plain_string(), consumer.to_string());
        let left = Left { table, consumer, followed: follower.leave().await? };
        output::document(session.format, &left, out)?;
        return Ok(Exit::Done);
    }
    let due = follower.due().await?;
    print(session, &due.loaded.metadata, (&due.steps, due.to.snapshot), out).await?;
    out.flush().map_err(|error| Error::unavailable("the changes cannot be printed").with_source(error))?;
    follower.took(due.to).await?;
    Ok(Exit::Done)
}

/// Rows in the columns of the last snapshot.
async fn print(
    session: &Session,
    table: &TableMetadata,
    (steps, last): (&[Step], Option<i64>),
    out: &mut dyn Write,
) -> Result<()> {
    let snapshot = last.and_then(|id| table.snapshot_by_id(id));
    let schema = snapshot.map_or_else(|| table.current_schema().clone(), |snapshot| schema_at(table, snapshot));
    let columns = printed_columns(table, &schema)?;
    let mut rows = Rows::new(session.format, &columns, out)?;
    for step in steps {
        let mut changes = Changes::open(&session.home.store, table, &schema, *step).await?;
        while let Some(batch) = changes.next().await? {
            rows.write(&printed(batch, step.to, &columns)?)?;
        }
    }
    rows.finish()
}

fn printed_columns(table: &TableMetadata, schema: &SchemaRef) -> Result<ArrowSchemaRef> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let told = [
        Field::new(TYPE, DataType::Utf8, false),
        Field::new(SNAPSHOT, DataType::Int64, true),
        Field::new(ROWTIME, time, true),
    ];
    let rows = rows_schema(table, schema)?;
    let fields = told.into_iter().map(Arc::new).chain(rows.fields().iter().cloned());
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

fn printed(batch: ChangeBatch, snapshot: Option<i64>, columns: &ArrowSchemaRef) -> Result<RecordBatch> {
    let count = batch.rows.num_rows();
    let told: [ArrayRef; 3] = [
        Arc::new(StringArray::from_iter(batch.kinds().map(|kind| kind.map(name)))),
        Arc::new(Int64Array::from_iter(std::iter::repeat_n(snapshot, count))),
        Arc::new(batch.rowtimes),
    ];
    let columns_of = told.into_iter().chain(batch.rows.columns().iter().cloned()).collect();
    RecordBatch::try_new(columns.clone(), columns_of)
        .map_err(|error| Error::internal("changes do not fit their columns").with_source(error))
}

fn name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Insert => "INSERT",
        ChangeKind::UpdateBefore => "UPDATE_BEFORE",
        ChangeKind::UpdateAfter => "UPDATE_AFTER",
        ChangeKind::Delete => "DELETE",
    }
}
