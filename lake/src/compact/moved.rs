//! Where the rows of rewritten files are now.
//!
//! Owns [`Moved`]. Rows are written in the order of the files that they come from, so a few runs and the deleted rows of
//! those files say it all; where a new file is sorted, its order does, and where all are, the place of each row.
//! - I1: a row that was not deleted when it was read has exactly one place; one that was has none.

use roaring::RoaringTreemap;

/// A place in one of the new files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// By its number.
    pub output: usize,
    pub row: u64,
}

/// Rows of one input that stand behind each other in one output.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The first of them, in the input.
    first: u64,
    /// Rows of the input before it that are not deleted.
    kept_before: u64,
    at: Place,
}

/// An input, as it was read.
#[derive(Debug, Default)]
struct Source {
    deleted: RoaringTreemap,
    runs: Vec<Run>,
}

/// The rows of one group.
#[derive(Debug, Default)]
pub struct Moved {
    sources: Vec<Source>,
    /// Of each output whose rows do not stand as they came: the place of each.
    orders: Vec<Option<Vec<u32>>>,
    /// Of each row as it came, where rows of all inputs are sorted together: an output and a row of it.
    placed: Option<Vec<(u32, u32)>>,
}

impl Moved {
    /// The next input.
    pub fn source(&mut self, deleted: RoaringTreemap) {
        self.sources.push(Source { deleted, runs: Vec::new() });
    }

    /// From this row of the last input on, rows come to this place.
    pub fn run(&mut self, first: u64, at: Place) {
        if let Some(source) = self.sources.last_mut() {
            let kept_before = first - source.deleted.range_cardinality(..first);
            source.runs.push(Run { first, kept_before, at });
        }
    }

    /// The next output: its rows as they came, in the order in which they stand.
    pub fn output(&mut self, order: Option<Vec<u32>>) {
        let places = order.map(|order| {
            let mut places = vec![0; order.len()];
            for (place, came) in (0_u32..).zip(order) {
                if let Some(slot) = places.get_mut(came as usize) {
                    *slot = place;
                }
            }
            places
        });
        self.orders.push(places);
    }

    /// Where all rows went, in the order in which they came; runs say which number they came with, as a row of the first
    /// output.
    pub fn placed(&mut self, places: Vec<(u32, u32)>) {
        self.placed = Some(places);
    }

    /// The rows of an input that were deleted when it was read.
    pub fn deleted(&self, input: usize) -> Option<&RoaringTreemap> {
        self.sources.get(input).map(|source| &source.deleted)
    }

    /// Where these rows of an input are (I1).
    pub fn places<'a>(&'a self, input: usize, rows: &'a RoaringTreemap) -> impl Iterator<Item = Place> + 'a {
        let source = self.sources.get(input);
        rows.iter().filter_map(move |row| self.place(source?, row))
    }

    fn place(&self, source: &Source, row: u64) -> Option<Place> {
        if source.deleted.contains(row) {
            return None;
        }
        let run = source.runs.partition_point(|run| run.first <= row).checked_sub(1)?;
        let Run { kept_before, at, .. } = *source.runs.get(run)?;
        let came = at.row + (row - source.deleted.range_cardinality(..row)) - kept_before;
        if let Some(placed) = &self.placed {
            let (output, row) = *placed.get(usize::try_from(came).ok()?)?;
            return Some(Place { output: output as usize, row: row.into() });
        }
        let row = match self.orders.get(at.output)? {
            None => came,
            Some(places) => places.get(usize::try_from(came).ok()?).copied()?.into(),
        };
        Some(Place { output: at.output, row })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The oracle: every row written by hand into lists.
    #[test]
    fn i1_every_row_that_was_left_has_its_place_and_no_other_has_one() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let (mut moved, mut outputs) = (Moved::default(), vec![Vec::new()]);
            let inputs: Vec<u64> = (0..random.usize(1..5)).map(|_| random.u64(0..50)).collect();
            for (input, rows) in inputs.iter().copied().enumerate() {
                moved.source((0..rows).filter(|_| random.bool()).collect());
                let mut begins = true;
                for row in 0..rows {
                    if random.u8(..20) == 0 {
                        outputs.push(Vec::new());
                        begins = true;
                    }
                    if begins {
                        let (output, at) = (outputs.len() - 1, outputs.last().unwrap().len() as u64);
                        moved.run(row, Place { output, row: at });
                        begins = false;
                    }
                    if !moved.deleted(input).unwrap().contains(row) {
                        outputs.last_mut().unwrap().push((input, row));
                    }
                }
            }
            for output in &mut outputs {
                let mut order: Vec<u32> = (0..output.len() as u32).collect();
                random.shuffle(&mut order);
                let sorted = random.bool().then_some(order);
                if let Some(order) = &sorted {
                    *output = order.iter().map(|came| output[*came as usize]).collect();
                }
                moved.output(sorted);
            }
            for (input, rows) in inputs.into_iter().enumerate() {
                let rows: RoaringTreemap = (0..rows).collect();
                let found: Vec<(usize, u64)> =
                    moved.places(input, &rows).map(|at| outputs[at.output][at.row as usize]).collect();
                let left: Vec<(usize, u64)> =
                    outputs.iter().flatten().filter(|(of, _)| *of == input).copied().collect();
                assert_eq!(found.len(), left.len());
                assert!(left.iter().all(|row| found.contains(row)));
            }
        }
    }
}
