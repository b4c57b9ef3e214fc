//! A pass over a batch, record by record, and which of them became rows.
//!
//! Owns [`Pass`], which every format makes, and [`Taken`]: the records from one up to another, but for some that were
//! passed over.
//! - I1: the records taken come in order, and as often as the batch has rows.

use std::ops::Range;

use arrow::array::RecordBatch;
use tableflow_model::Records;
use tableflow_store::kill::{self, KillPoint};

use super::{BadRecords, Decoded, Origins, RecordError};
use crate::registry::SchemaKey;

/// Why a record did not become a row.
pub(super) enum Stop {
    Failed(Box<RecordError>),
    Needs(SchemaKey),
}

impl Stop {
    pub fn failed(error: RecordError) -> Self {
        Stop::Failed(Box::new(error))
    }
}

/// What a pass came to.
#[derive(Default)]
pub(super) struct Pass {
    taken: Taken,
    passed_over: Vec<RecordError>,
    failure: Option<RecordError>,
    needs: Option<SchemaKey>,
}

impl Pass {
    /// Reads records from `first` on; `record` is told which one, and which row it becomes.
    pub fn over(
        records: &Records,
        first: usize,
        bad: BadRecords,
        mut record: impl FnMut(usize, usize) -> Result<(), Stop>,
    ) -> Self {
        let mut pass = Pass { taken: Taken::none_from(first), ..Pass::default() };
        for index in first..records.len() {
            match record(index, pass.taken.len()) {
                Ok(()) => {
                    kill::at(KillPoint::Decode);
                    pass.taken.take();
                }
                Err(Stop::Failed(error)) if bad.passes_over(&error) => {
                    pass.taken.pass_over();
                    pass.passed_over.push(*error);
                }
                Err(Stop::Failed(error)) => {
                    pass.failure = Some(*error);
                    break;
                }
                Err(Stop::Needs(schema)) => {
                    pass.needs = Some(schema);
                    break;
                }
            }
        }
        pass
    }

    pub fn rows(&self) -> usize {
        self.taken.len()
    }

    /// The answer, with the rows.
    pub fn with(self, batch: RecordBatch, origins: Origins) -> Decoded {
        let Pass { taken, passed_over, failure, needs } = self;
        Decoded { batch, taken, passed_over, origins, failure, needs }
    }
}

/// Some of a batch's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    looked_at: Range<usize>,
    /// In order, each within the range.
    passed_over: Vec<usize>,
}

impl Taken {
    /// None yet, from this record on.
    fn none_from(first: usize) -> Self {
        Taken { looked_at: first..first, passed_over: Vec::new() }
    }

    /// These records, given in order.
    pub fn these(rows: &[usize]) -> Self {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Taken::default() };
        let mut wanted = rows.iter().peekable();
        let passed_over = (*first..=*last).filter(|row| wanted.next_if_eq(&row).is_none()).collect();
        Taken { looked_at: *first..*last + 1, passed_over }
    }

    /// The next record became a row.
    fn take(&mut self) {
        self.looked_at.end += 1;
    }

    fn pass_over(&mut self) {
        self.passed_over.push(self.looked_at.end);
        self.looked_at.end += 1;
    }

    /// The first record that was not looked at.
    pub fn end(&self) -> usize {
        self.looked_at.end
    }

    pub fn len(&self) -> usize {
        self.looked_at.len() - self.passed_over.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The range, where nothing was passed over.
    pub fn whole(&self) -> Option<Range<usize>> {
        self.passed_over.is_empty().then(|| self.looked_at.clone())
    }

    pub fn rows(&self) -> impl Iterator<Item = usize> {
        let mut passed_over = self.passed_over.iter().peekable();
        self.looked_at.clone().filter(move |row| passed_over.next_if_eq(&row).is_none())
    }
}

impl From<Range<usize>> for Taken {
    fn from(looked_at: Range<usize>) -> Self {
        Taken { looked_at, passed_over: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_rows_come_in_order_without_those_passed_over() {
        let mut taken = Taken::none_from(2);
        for pass_over in [true, false, false, true, true, false] {
            if pass_over { taken.pass_over() } else { taken.take() }
        }
        assert_eq!(taken.rows().collect::<Vec<_>>(), [3, 4, 7]);
        assert_eq!((taken.len(), taken.end(), taken.whole()), (3, 8, None));
        assert_eq!(Taken::these(&[3, 4, 7]).rows().collect::<Vec<_>>(), [3, 4, 7]);
        assert!(Taken::these(&[]).is_empty());
        assert_eq!(Taken::from(1..3).whole(), Some(1..3));
        assert!(Taken::none_from(5).is_empty());
    }
}
