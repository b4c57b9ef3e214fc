//! Rows that lack values: those are what the rows before them have.
//!
//! Owns [`Keeps`], what of a row that is, and [`PartialRows`], rows of which some is, beside all rows of a table that was
//! emptied.
//! - I1: what is kept is said by columns; whose values these are is found out on the base of the commit (U1).
//!
//! Neighbours: `compose` takes what the same epoch has before them, `complete` the rest from the table.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{Field, Schema, SchemaRef};
use tableflow_model::Result;

use super::emptied::Emptied;
use crate::arrow_error;
use crate::keys::Hash;

/// What of a row is as it was in the row of its key before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Keeps {
    #[default]
    Nothing,
    /// The values of these columns: their source did not send them again.
    Columns(Arc<BTreeSet<String>>),
    /// The values of all columns but these. It marks a row: where there is none, none is made.
    AllBut(Arc<BTreeSet<String>>),
}

impl Keeps {
    pub fn keeps(&self, column: &str) -> bool {
        match self {
            Keeps::Nothing => false,
            Keeps::Columns(columns) => columns.contains(column),
            Keeps::AllBut(columns) => !columns.contains(column),
        }
    }

    /// The same, and that column.
    #[must_use]
    pub fn with(&self, column: &str) -> Self {
        let also = |columns: &BTreeSet<String>| columns.iter().cloned().chain([column.to_owned()]).collect();
        match self {
            Keeps::Nothing => Keeps::Columns(Arc::new(also(&BTreeSet::new()))),
            Keeps::Columns(columns) => Keeps::Columns(Arc::new(also(columns))),
            Keeps::AllBut(columns) => {
                Keeps::AllBut(Arc::new(columns.iter().filter(|own| *own != column).cloned().collect()))
            }
        }
    }

    pub fn is_mark(&self) -> bool {
        matches!(self, Keeps::AllBut(_))
    }
}

/// Rows that are whole once they have what the rows before them have.
#[derive(Clone, Debug)]
pub struct PartialRows {
    /// The columns of the table. What a value is that is kept says nothing, and may be null in any column.
    pub rows: RecordBatch,
    pub keeps: Vec<Keeps>,
    pub keys: Vec<Hash>,
    /// Before them the table was emptied.
    pub emptied: Option<Emptied>,
}

impl Default for PartialRows {
    fn default() -> Self {
        Self::none()
    }
}

impl PartialRows {
    pub fn none() -> Self {
        let rows = RecordBatch::new_empty(Arc::new(Schema::empty()));
        PartialRows { rows, keeps: Vec::new(), keys: Vec::new(), emptied: None }
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.emptied.is_none()
    }
}

/// The same columns, of which each may be null.
pub(crate) fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}

/// Values of one column, each of them one of these arrays' or null.
pub(super) fn picked(arrays: &[&ArrayRef], of: &Field, picks: &[Option<(usize, usize)>]) -> Result<ArrayRef> {
    let null = new_null_array(of.data_type(), 1);
    let all: Vec<&dyn arrow::array::Array> = arrays.iter().map(|array| array.as_ref()).chain([null.as_ref()]).collect();
    let picks: Vec<(usize, usize)> = picks.iter().map(|pick| pick.unwrap_or((arrays.len(), 0))).collect();
    interleave(&all, &picks).map_err(arrow_error("values of a row and of the one before it do not fit together"))
}
