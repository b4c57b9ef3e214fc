//! What changed between snapshots of a table.
//!
//! In flow order:
//!
//! ```text
//!  versions    the changes of an epoch, each of them -> a change file beside its data
//!  steps       snapshots as the protocol's decisions see them; which steps lead from one to another
//!  plan        two snapshots -> the rows of which files came and went
//!  rows        those rows
//!  same        rows as bytes: two with the same values are the same
//!  difference  rows that came and rows that went -> changes
//!  told        a change file and the rows that it replaced -> changes
//! ```
//!
//! Owns [`Changes`], a step's changes as batches.
//! - I1: the rows of the first snapshot, with the changes applied, are those of the second: as a multiset, whoever wrote
//!   them and however their deletes are written.
//! - I2: where both have a row with the same values nothing is said of it, whatever file it is in.
//! - I3: of a table with one row a key, a row that another one stands in for and that one follow each other (`-U`, `+U`).
//! - I4: a step costs what its snapshots do not share: files that both name in the same manifests are not looked at.
//!
//! Rows come in the table's columns as they were at the second snapshot, all of which may be null here: a change file
//! knows of a key that goes no more than the key.

mod difference;
mod plan;
mod rows;
mod same;
mod steps;
mod told;
mod versions;

use std::sync::Arc;

use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use iceberg::spec::{NestedField, Schema, SchemaRef, TableMetadata};
use tableflow_model::{ChangeBatch, Result};
use tableflow_store::Store;

use self::difference::Difference;
use self::plan::{Plan, Which, plan};
use self::rows::PartRows;
use self::told::Told;
use crate::iceberg_error;
use crate::layout::identity_ids;
use crate::read::ColumnReader;

pub use self::steps::{Step, fed, position_of, step_after};
pub use self::versions::{CHANGES, Version, Versions, changes_of, path_of};

/// Of a batch.
const ROWS_AT_ONCE: usize = 8 * 1024;

/// The changes of one step.
#[derive(Debug)]
pub enum Changes {
    Difference(Box<Difference>),
    Told(Box<Told>),
}

impl Changes {
    /// Begins to read. `schema` is that of the rows.
    pub async fn open(store: &Store, table: &TableMetadata, schema: &SchemaRef, step: Step) -> Result<Self> {
        let (key, schema) = (identity_ids(schema), nullable(schema)?);
        let Plan { removed, added } = plan(store, table, step).await?;
        // Where whole files went rows that stay went with them, into others.
        let are_copied = removed.iter().any(|part| matches!(part.rows, Which::AllBut(_)));
        let removed = PartRows::new(store, table, &schema, removed)?;
        if let Some(text) = step.change_file(table).filter(|_| !key.is_empty() && !are_copied) {
            let told = Told::open(store, table, (&schema, &key), &versions::file_of(text)?, removed).await?;
            return Ok(Changes::Told(Box::new(told)));
        }
        let added = PartRows::new(store, table, &schema, added)?;
        Ok(Changes::Difference(Box::new(Difference::open(&schema, &key, removed, added).await?)))
    }

    pub async fn next(&mut self) -> Result<Option<ChangeBatch>> {
        match self {
            Changes::Difference(difference) => difference.next().await,
            Changes::Told(told) => told.next().await,
        }
    }
}

/// The columns of the changes' rows, as batches have them.
pub fn rows_schema(table: &TableMetadata, schema: &SchemaRef) -> Result<ArrowSchemaRef> {
    Ok(ColumnReader::new(table, &nullable(schema)?)?.schema().clone())
}

/// The same columns, each of which may be null.
fn nullable(schema: &SchemaRef) -> Result<SchemaRef> {
    let optional = |field: &Arc<NestedField>| Arc::new(NestedField { required: false, ..field.as_ref().clone() });
    let fields: Vec<_> = schema.as_struct().fields().iter().map(optional).collect();
    let schema = Schema::builder().with_schema_id(schema.schema_id()).with_fields(fields).build();
    schema.map(SchemaRef::new).map_err(iceberg_error("the columns of a feed make no schema"))
}
