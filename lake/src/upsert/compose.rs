//! Changes of one key that build on each other become one, as far as an epoch has them.
//!
//! Owns [`Chain`] and [`compose`].
//! - I1: a value that a change keeps is that of the change before it, down to one that has it, or to the table's row.
//! - I2: behind a delete there is no row before: a value that is kept from there is lost, null, and counted.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use tableflow_model::Result;

use super::partial::{Keeps, PartialRows, nullable, picked};
use crate::arrow_error;
use crate::keys::Hash;
use crate::layout::conform;

/// The changes of a key, the last one first, down to one that builds on nothing.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub key: Hash,
    pub links: Vec<Link>,
    /// Whether a delete is before them.
    pub behind_delete: bool,
}

impl Chain {
    /// Marks of a row that is gone mark nothing: the key is deleted.
    pub fn marks_nothing(&self) -> bool {
        self.behind_delete && self.links.iter().all(|link| link.keeps.is_mark())
    }
}

/// A change: a row of a batch.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub batch: usize,
    pub row: usize,
    pub keeps: Keeps,
}

impl Chain {
    /// The change that has this column's value (I1).
    fn value(&self, column: &str) -> Option<(usize, usize)> {
        let link = self.links.iter().find(|link| !link.keeps.keeps(column))?;
        Some((link.batch, link.row))
    }

    /// What is still kept of these columns.
    fn keeps(&self, columns: &[&str]) -> Keeps {
        let own = || columns.iter().filter(|column| self.value(column).is_some());
        if self.behind_delete || own().count() == columns.len() {
            return Keeps::Nothing;
        }
        if self.links.iter().all(|link| link.keeps.is_mark()) {
            return Keeps::AllBut(Arc::new(own().map(|column| (*column).to_owned()).collect()));
        }
        let kept: BTreeSet<String> =
            columns.iter().filter(|column| self.value(column).is_none()).map(|column| (*column).to_owned()).collect();
        Keeps::Columns(Arc::new(kept))
    }
}

/// What came of chains.
#[derive(Debug)]
pub(super) struct Composed {
    /// Those that are whole.
    pub rows: RecordBatch,
    /// Those that build on the table's rows.
    pub partial: PartialRows,
    /// I2.
    pub lost: u64,
}

/// One row each, with these columns.
pub(super) fn compose(batches: &[RecordBatch], chains: &[Chain], columns: &SchemaRef) -> Result<Composed> {
    let columns = nullable(columns);
    let mut places = HashMap::new();
    let mut used = Vec::new();
    for link in chains.iter().flat_map(|chain| &chain.links) {
        if let (None, Some(batch)) = (places.get(&link.batch), batches.get(link.batch)) {
            places.insert(link.batch, used.len());
            used.push(conform(batch, &columns)?);
        }
    }
    let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
    let keeps: Vec<Keeps> = chains.iter().map(|chain| chain.keeps(&names)).collect();
    let (mut arrays, mut lost) = (Vec::with_capacity(names.len()), 0);
    for (index, field) in columns.fields().iter().enumerate() {
        let of: Vec<&ArrayRef> = used.iter().map(|batch| batch.column(index)).collect();
        let place = |(batch, row): (usize, usize)| Some((*places.get(&batch)?, row));
        let picks: Vec<_> = chains.iter().map(|chain| chain.value(field.name()).and_then(place)).collect();
        let is_lost = |(chain, pick): (&Chain, &Option<_>)| chain.behind_delete && pick.is_none();
        lost += chains.iter().zip(&picks).filter(|it| is_lost(*it)).count() as u64;
        arrays.push(picked(&of, field, &picks)?);
    }
    let failed = arrow_error("changes that build on each other");
    let all = RecordBatch::try_new(columns, arrays).map_err(&failed)?;
    let whole: BooleanArray = keeps.iter().map(|keeps| Some(*keeps == Keeps::Nothing)).collect();
    let partial = arrow::compute::not(&whole).map_err(&failed)?;
    let (rows, partly) = (filter_record_batch(&all, &whole), filter_record_batch(&all, &partial));
    let partials = keeps.into_iter().zip(chains).filter(|(keeps, _)| *keeps != Keeps::Nothing);
    let (keeps, keys) = partials.map(|(keeps, chain)| (keeps, chain.key)).unzip();
    Ok(Composed {
        rows: rows.map_err(&failed)?,
        partial: PartialRows { rows: partly.map_err(&failed)?, keeps, keys, emptied: None },
        lost,
    })
}
