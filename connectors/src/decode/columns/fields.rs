//! The columns of a row, found by name.
//!
//! Owns [`Fields`]: the record itself, and every object inside it that is a row.
//! - I1: columns are only ever added at the end; those added for a record that fails are taken back.
//! - I2: `finish` leaves every column empty.
//!
//! Records of a topic mostly have their keys in one order, so each column remembers which one came after it
//! the last time: one comparison finds the column, and only a surprise costs a hash.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use indexmap::IndexMap;

use super::column::Column;
use super::leaf::Store;

pub(in crate::decode) struct Fields {
    children: IndexMap<Box<str>, Column>,
    /// Which column came next the last time: first of all, then after each column.
    successors: Vec<usize>,
    /// Columns that every row must have, unless they became nullable since.
    required: Vec<usize>,
    /// How many columns outlast a failing record.
    settled: usize,
}

/// Where in a record's order of keys a reader stands.
#[derive(Clone, Copy, Default)]
pub(in crate::decode) struct Place(usize);

impl Fields {
    pub fn new() -> Self {
        Fields { children: IndexMap::new(), successors: vec![0], required: Vec::new(), settled: 0 }
    }

    /// Empty columns like these, or the first one that cannot be filled. What is `declared` takes any text.
    pub fn of<'a>(columns: impl IntoIterator<Item = &'a FieldRef>, declared: bool) -> Result<Self, &'a FieldRef> {
        let mut fields = Fields::new();
        for field in columns {
            fields.add(field.name(), Column::of(field, declared).ok_or(field)?);
        }
        fields.settle();
        Ok(fields)
    }

    /// Columns like these, without rows.
    pub fn copy(&self) -> Self {
        let mut copy = Fields::new();
        for (name, column) in &self.children {
            copy.add(name, column.copy());
        }
        copy.settle();
        copy
    }

    /// Adds a column at the end, or replaces nothing if there is one of that name.
    pub fn add(&mut self, name: &str, column: Column) -> usize {
        let nullable = column.nullable;
        let index = self.children.len();
        self.children.insert(name.into(), column);
        self.successors.push(index + 1);
        if !nullable {
            self.required.push(index);
        }
        index
    }

    /// The column of that name, looking first where it was the last time.
    pub fn find(&mut self, place: &mut Place, name: &str) -> Option<&mut Column> {
        let guess = self.successors.get(place.0).copied().unwrap_or_default();
        let hit = self.children.get_index(guess).is_some_and(|(known, _)| **known == *name);
        let index = if hit {
            guess
        } else {
            let index = self.children.get_index_of(name)?;
            if let Some(successor) = self.successors.get_mut(place.0) {
                *successor = index;
            }
            index
        };
        place.0 = index + 1;
        self.column(index)
    }

    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.children.get_index_of(name)
    }

    /// The column of that name, and where it is.
    pub fn find_index(&self, name: &str) -> Option<(usize, &Column)> {
        self.children.get_full(name).map(|(index, _, column)| (index, column))
    }

    pub fn column(&mut self, index: usize) -> Option<&mut Column> {
        self.children.get_index_mut(index).map(|(_, column)| column)
    }

    pub fn columns_mut(&mut self) -> impl Iterator<Item = (&str, &mut Column)> {
        self.children.iter_mut().map(|(name, column)| (&**name, column))
    }

    pub fn columns(&self) -> impl Iterator<Item = (&str, &Column)> {
        self.children.iter().map(|(name, column)| (&**name, column))
    }

    /// The column whose name differs from this one by case at most.
    pub fn namesake(&self, name: &str) -> Option<(&str, &Column)> {
        let folded = name.to_lowercase();
        self.columns().find(|(known, _)| known.to_lowercase() == folded)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns().map(|(name, _)| name)
    }

    /// The first column that must have a value in `row` and got none.
    pub fn missing(&self, row: usize) -> Option<(&str, &Column)> {
        let required = self.required.iter().filter_map(|index| self.children.get_index(*index));
        let required = required.map(|(name, column)| (&**name, column));
        required.into_iter().find(|(_, column)| !column.nullable && column.len() <= row)
    }

    pub fn leaves(&self) -> usize {
        self.children.values().map(Column::leaves).sum()
    }

    pub fn settle(&mut self) {
        self.settled = self.children.len();
        self.children.values_mut().for_each(Column::settle);
    }

    /// Lets none of the columns that are chosen become nullable.
    pub fn hold(&mut self, is_chosen: impl Fn(&str) -> bool) {
        let chosen = self.children.iter_mut().filter(|(name, _)| is_chosen(name));
        chosen.for_each(|(_, column)| column.hold());
    }

    /// Forgets the record that was written last, as row `rows`, and the columns added for it.
    pub fn roll_back(&mut self, rows: usize) {
        self.truncate(rows);
    }

    pub fn schema_fields(&self) -> Vec<FieldRef> {
        let fields = self.children.iter();
        fields.map(|(name, column)| Arc::new(Field::new(&**name, column.data_type(), column.nullable))).collect()
    }

    /// The columns as they would be declared.
    pub fn declared(&self) -> Vec<Field> {
        self.children.iter().map(|(name, column)| column.declared(name)).collect()
    }

    /// The columns as a batch of `rows` rows; `schema` is made from these columns.
    #[expect(clippy::expect_used, reason = "the schema is made from the same columns, each `rows` long")]
    pub fn finish_batch(&mut self, schema: &SchemaRef, rows: usize) -> RecordBatch {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema.clone(), self.finish_columns(rows), &options)
            .expect("columns that match their own schema")
    }

    /// The columns as arrays of `rows` rows.
    pub fn finish_columns(&mut self, rows: usize) -> Vec<ArrayRef> {
        self.children.values_mut().map(|column| column.finish(rows)).collect()
    }
}

impl Store for Fields {
    fn data_type(&self) -> DataType {
        DataType::Struct(self.schema_fields().into())
    }

    /// Nothing to do: columns may lag behind their row.
    fn pad(&mut self, _rows: usize) {}

    fn truncate(&mut self, rows: usize) {
        self.children.truncate(self.settled);
        self.successors.truncate(self.settled + 1);
        self.required.retain(|index| *index < self.settled);
        for column in self.children.values_mut().filter(|column| column.len() >= rows) {
            column.truncate(rows);
        }
    }

    /// A column that lags keeps what it has of them.
    fn keep(&mut self, first: usize, marks: &[bool]) {
        self.children.values_mut().for_each(|column| column.keep(first, marks));
    }

    fn finish(&mut self, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        if self.children.is_empty() {
            return Arc::new(StructArray::new_empty_fields(rows, nulls));
        }
        let fields = self.schema_fields().into();
        Arc::new(StructArray::new(fields, self.finish_columns(rows), nulls))
    }
}
