//! A growing column of maps.
//!
//! Owns [`Map`], and [`Keys`], which are scalars that can be told apart.
//! - I1: entries behind the last offset belong to a map that is still open.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, MapArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field};
use tableflow_model::types::{Width, map_entries, map_of, map_pair};

use super::column::{Column, Values};
use super::leaf::{Fit, Leaf, Misfit, Store, take_offsets};
use super::list::{keep_offsets, last, repeat_last, truncate_offsets};

pub(in crate::decode) struct Map {
    offsets: Vec<i32>,
    pub keys: Keys,
    pub value: Box<Column>,
}

impl Map {
    pub fn new(keys: Keys, value: Column) -> Self {
        Map { offsets: vec![0], keys, value: Box::new(value) }
    }

    /// Whether the map that is open has a key twice.
    pub fn has_repeats(&self) -> bool {
        self.keys.has_repeats(last(&self.offsets))
    }

    /// Of entries with one key in the map that is open, keeps the last.
    pub fn keep_last(&mut self) {
        if self.has_repeats() {
            let first = last(&self.offsets);
            let marks = self.keys.last_of_each(first);
            self.keys.0.keep(first, &marks);
            self.value.keep(first, &marks);
        }
    }

    /// Ends a map at the last entry.
    pub fn close(&mut self) -> Option<()> {
        self.offsets.push(i32::try_from(self.keys.len()).ok()?);
        Some(())
    }
}

impl Store for Map {
    fn data_type(&self) -> DataType {
        map_of(self.keys.0.data_type(), self.value.data_type(), self.value.nullable)
    }

    fn pad(&mut self, rows: usize) {
        repeat_last(&mut self.offsets, rows);
    }

    fn truncate(&mut self, rows: usize) {
        let entries = truncate_offsets(&mut self.offsets, rows);
        self.keys.0.truncate(entries);
        self.value.truncate(entries);
    }

    fn keep(&mut self, first: usize, marks: &[bool]) {
        let (start, entry_marks) = keep_offsets(&mut self.offsets, first, marks);
        self.keys.0.keep(start, &entry_marks);
        self.value.keep(start, &entry_marks);
    }

    fn finish(&mut self, _rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        let fields = map_pair(self.keys.0.data_type(), self.value.data_type(), self.value.nullable);
        let entries = self.keys.len();
        let value = self.value.finish(entries);
        let pairs = StructArray::new(fields.clone(), vec![self.keys.0.finish(entries), value], None);
        Arc::new(MapArray::new(map_entries(fields), take_offsets(&mut self.offsets), pairs, nulls, false))
    }
}

/// Up to so many keys are compared each with each.
const PAIRWISE_MAX: usize = 16;

pub(in crate::decode) struct Keys(Box<Column>);

/// A key, to compare it.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Text(&'a [u8]),
    Whole(i128),
}

impl Keys {
    /// Keys of this type, if it is one that can be compared.
    pub fn of(key: &Field) -> Option<Self> {
        let column = Column::of(&key.clone().with_nullable(false), false)?;
        match &column.values {
            Values::Text(_) | Values::Boolean(_) | Values::Int(_) | Values::Bigint(_) | Values::Decimal(_) => {
                Some(Keys(Box::new(column)))
            }
            _ => None,
        }
    }

    pub fn copy(&self) -> Self {
        Keys(Box::new(self.0.copy()))
    }

    pub fn declared(&self) -> Field {
        self.0.declared("")
    }

    /// Holds the keys to a declared width.
    pub fn narrow(&mut self, width: Option<Width>) {
        self.0.narrow(width);
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn column(&mut self) -> &mut Column {
        &mut self.0
    }

    pub fn text(&mut self, key: &str) -> Fit {
        let Values::Text(texts) = &mut self.0.values else { return Err(Misfit::Type) };
        texts.text(key)?;
        self.0.validity.append_value();
        Ok(())
    }

    /// A key as people write it.
    pub fn shown(&self, row: usize) -> String {
        match self.key(row) {
            Some(Key::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            Some(Key::Whole(number)) => number.to_string(),
            None => String::new(),
        }
    }

    fn key(&self, row: usize) -> Option<Key<'_>> {
        Some(match &self.0.values {
            Values::Text(texts) => Key::Text(texts.runs.get(row)?),
            Values::Boolean(values) => Key::Whole(values.get(row)?.into()),
            Values::Int(values) => Key::Whole(values.get(row)?.into()),
            Values::Bigint(values) => Key::Whole(values.get(row)?.into()),
            Values::Decimal(values) => Key::Whole(values.get(row)?),
            _ => return None,
        })
    }

    /// Whether a key occurs twice from `first` on.
    fn has_repeats(&self, first: usize) -> bool {
        let all = || (first..self.len()).filter_map(|row| self.key(row));
        if self.len() - first <= PAIRWISE_MAX {
            return all().enumerate().any(|(count, key)| all().take(count).any(|earlier| earlier == key));
        }
        let mut seen = HashSet::new();
        !all().all(|key| seen.insert(key))
    }

    /// From `first` on, marks of each key the last one.
    fn last_of_each(&self, first: usize) -> Vec<bool> {
        let mut seen = HashSet::new();
        let mut marks: Vec<bool> =
            (first..self.len()).rev().map(|row| self.key(row).is_some_and(|key| seen.insert(key))).collect();
        marks.reverse();
        marks
    }
}

#[cfg(test)]
mod tests {
    use tableflow_model::types::parse_columns;

    use super::*;
    use crate::decode::shown::cell;

    fn map_column(columns: &str) -> Column {
        Column::of(&parse_columns(columns).unwrap()[0], false).unwrap()
    }

    #[test]
    fn of_entries_with_one_key_the_last_is_kept_at_any_depth() {
        let mut column = map_column("m MAP<INT, ARRAY<ROW<t STRING, n ARRAY<BIGINT>>>>");
        let Values::Map(map) = &mut column.values else { panic!() };
        for (key, lists) in [(1, &["a", "b"][..]), (2, &["c"]), (1, &[]), (3, &["d", "e"]), (2, &["f"])] {
            let Values::Int(keys) = &mut map.keys.column().values else { panic!() };
            keys.push(key).unwrap();
            map.keys.column().validity.append_value();
            let Values::List(list) = &mut map.value.values else { panic!() };
            for text in lists {
                let row = list.element.len();
                let Values::Row(fields) = &mut list.element.values else { panic!() };
                let text_column = fields.column(0).unwrap();
                text_column.place(row);
                text_column.values.leaf().unwrap().text(text).unwrap();
                text_column.validity.append_value();
                if *text > "c" {
                    let numbers = fields.column(1).unwrap();
                    numbers.place(row);
                    let Values::List(list) = &mut numbers.values else { panic!() };
                    list.element.values.leaf().unwrap().whole(row as i64).unwrap();
                    list.element.validity.append_value();
                    list.close().unwrap();
                    numbers.validity.append_value();
                }
                list.element.validity.append_value();
            }
            list.close().unwrap();
            map.value.validity.append_value();
        }
        map.keep_last();
        map.close().unwrap();
        column.validity.append_value();
        let shown = "(1 => []; 2 => [{t: \"f\", n: [5]}]; 3 => [{t: \"d\", n: [3]}, {t: \"e\", n: [4]}]; )";
        assert_eq!(cell(&column.finish(1), 0), shown);
    }

    #[test]
    fn many_keys_are_told_apart_too() {
        let mut column = map_column("m MAP<STRING, INT>");
        let Values::Map(map) = &mut column.values else { panic!() };
        for number in 0..100 {
            map.keys.text(&(number % 60).to_string()).unwrap();
            map.value.values.leaf().unwrap().whole(number).unwrap();
            map.value.validity.append_value();
        }
        map.keep_last();
        assert_eq!((map.keys.len(), map.value.len(), map.has_repeats()), (60, 60, false));
        assert_eq!((map.keys.shown(0), map.keys.shown(20)), ("40".to_owned(), "0".to_owned()));
    }
}
