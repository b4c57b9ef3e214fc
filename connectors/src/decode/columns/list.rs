//! A growing column of lists.
//!
//! Owns [`List`], and the offsets that maps have too.
//! - I1: elements behind the last offset belong to a list that is still open.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use tableflow_model::types::{list_element, list_of};

use super::column::Column;
use super::leaf::{Store, take_offsets};

pub(in crate::decode) struct List {
    offsets: Vec<i32>,
    pub element: Box<Column>,
}

impl List {
    pub fn new(element: Column) -> Self {
        List { offsets: vec![0], element: Box::new(element) }
    }

    /// Where the list begins that is open.
    pub fn start(&self) -> usize {
        last(&self.offsets)
    }

    /// Ends a list at the last element.
    pub fn close(&mut self) -> Option<()> {
        self.offsets.push(i32::try_from(self.element.len()).ok()?);
        Some(())
    }
}

impl Store for List {
    fn data_type(&self) -> DataType {
        list_of(self.element.data_type(), self.element.nullable)
    }

    fn pad(&mut self, rows: usize) {
        repeat_last(&mut self.offsets, rows);
    }

    fn truncate(&mut self, rows: usize) {
        self.element.truncate(truncate_offsets(&mut self.offsets, rows));
    }

    fn keep(&mut self, first: usize, marks: &[bool]) {
        let (start, item_marks) = keep_offsets(&mut self.offsets, first, marks);
        self.element.keep(start, &item_marks);
    }

    fn finish(&mut self, _rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        let field = list_element(self.element.data_type(), self.element.nullable);
        let element = self.element.finish(self.element.len());
        Arc::new(ListArray::new(field, take_offsets(&mut self.offsets), element, nulls))
    }
}

/// Where the last list ends.
pub(super) fn last(offsets: &[i32]) -> usize {
    offsets.last().copied().unwrap_or_default() as usize
}

pub(super) fn repeat_last(offsets: &mut Vec<i32>, rows: usize) {
    let end = offsets.last().copied().unwrap_or_default();
    offsets.resize(offsets.len() + rows, end);
}

/// Forgets the lists from `rows` on; answers how many elements are left.
pub(super) fn truncate_offsets(offsets: &mut Vec<i32>, rows: usize) -> usize {
    offsets.truncate(rows + 1);
    last(offsets)
}

/// Of the lists from `first` on, keeps those that are marked; answers the first of their elements, and marks for all.
pub(super) fn keep_offsets(offsets: &mut Vec<i32>, first: usize, marks: &[bool]) -> (usize, Vec<bool>) {
    let ends = offsets.split_off((first + 1).min(offsets.len()));
    let start = last(offsets);
    let mut item_marks = Vec::new();
    let (mut before, mut end) = (start as i32, start as i32);
    for (list_end, mark) in ends.into_iter().zip(marks) {
        let length = list_end - before;
        item_marks.resize(item_marks.len() + length as usize, *mark);
        if *mark {
            end += length;
            offsets.push(end);
        }
        before = list_end;
    }
    (start, item_marks)
}
