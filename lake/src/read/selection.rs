//! Deleted rows as what Parquet is to read of a file.
//!
//! - I1: of each row group exactly the rows that are not deleted are read; a group without any is not opened.

use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use roaring::RoaringTreemap;

/// For a file whose row groups have these numbers of rows.
pub fn access_plan(groups: impl Iterator<Item = u64>, deleted: &RoaringTreemap) -> ParquetAccessPlan {
    let mut start = 0;
    let access = groups.map(|rows| {
        let group = start..start + rows;
        start = group.end;
        match deleted.range_cardinality(group.clone()) {
            0 => RowGroupAccess::Scan,
            all if all == rows => RowGroupAccess::Skip,
            _ => RowGroupAccess::Selection(selection(group, deleted)),
        }
    });
    ParquetAccessPlan::new(access.collect())
}

fn selection(group: std::ops::Range<u64>, deleted: &RoaringTreemap) -> RowSelection {
    let mut selectors: Vec<RowSelector> = Vec::new();
    let mut place = group.start;
    let rows = |from: u64, to: u64| usize::try_from(to - from).unwrap_or(usize::MAX);
    let mut positions = deleted.iter();
    positions.advance_to(group.start);
    for position in positions.take_while(|position| *position < group.end) {
        if position > place {
            selectors.push(RowSelector::select(rows(place, position)));
        }
        match selectors.last_mut() {
            Some(last) if last.skip => last.row_count += 1,
            _ => selectors.push(RowSelector::skip(1)),
        }
        place = position + 1;
    }
    if place < group.end {
        selectors.push(RowSelector::select(rows(place, group.end)));
    }
    RowSelection::from(selectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_of_each_group_what_is_not_deleted_is_read() {
        let deleted: RoaringTreemap = [0, 1, 4, 5, 6, 7, 8, 15].into_iter().collect();
        let plan = access_plan([5, 3, 4, 4].into_iter(), &deleted);
        let [first, second, third, fourth] = plan.inner() else { panic!("{plan:?}") };
        let select = |selectors: Vec<RowSelector>| RowGroupAccess::Selection(RowSelection::from(selectors));
        assert_eq!(*first, select(vec![RowSelector::skip(2), RowSelector::select(2), RowSelector::skip(1)]));
        assert_eq!(*second, RowGroupAccess::Skip);
        assert_eq!(*third, select(vec![RowSelector::skip(1), RowSelector::select(3)]));
        assert_eq!(*fourth, select(vec![RowSelector::select(3), RowSelector::skip(1)]));
        let plan = access_plan([3].into_iter(), &RoaringTreemap::from_iter([3]));
        assert_eq!(plan.inner(), [RowGroupAccess::Scan]);
    }
}
