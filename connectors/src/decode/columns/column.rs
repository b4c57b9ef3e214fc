//! One growing column of any type.
//!
//! Owns [`Column`]: values plus validity, and the nesting of lists, maps and rows.
//! - I1: values and validity have the same length.
//! - I2: `truncate` undoes every append since, at every level, also a half-written row or list.
//! - I3: a child of a row may lag behind it; what it lags is null. So a field that is absent costs nothing, and
//!   a column that appears late needs no back-filling.
//!
//! Arrow's builders were looked at: they cannot be truncated, and a nested one is a `dyn` to be cast back.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, MapArray, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType,
};
use tableflow_model::types::{
    Width, list_element, list_of, list_of_field, map_entries, map_of, map_of_fields, map_pair,
};

use super::fields::Fields;
use super::leaf::{Booleans, Fit, Leaf, Numbers, Store, check_text, take_offsets};
use super::runs::{Binaries, Runs, Texts};
use super::validity::Validity;

pub(in crate::decode) struct Column {
    pub nullable: bool,
    pub validity: Validity,
    pub values: Values,
}

pub(in crate::decode) enum Values {
    Boolean(Booleans),
    Int(Numbers<Int32Type>),
    Bigint(Numbers<Int64Type>),
    Float(Numbers<Float32Type>),
    Double(Numbers<Float64Type>),
    Decimal(Numbers<Decimal128Type>),
    Date(Numbers<Date32Type>),
    Time(Numbers<Time64MicrosecondType>),
    Timestamp(Numbers<TimestampMicrosecondType>),
    Text(Texts),
    Bytes(Binaries),
    List(List),
    Map(Map),
    Row(Fields),
}

pub(in crate::decode) struct List {
    pub offsets: Vec<i32>,
    pub element: Box<Column>,
}

pub(in crate::decode) struct Map {
    pub offsets: Vec<i32>,
    pub keys: Runs,
    pub key_width: Option<Width>,
    pub value: Box<Column>,
}

impl Column {
    /// An empty column, or `None` for a type that no format feeds. A declared column's texts take any value.
    pub fn new(data_type: &DataType, nullable: bool, declared: bool) -> Option<Self> {
        let values = match data_type {
            DataType::Boolean => Values::Boolean(Booleans::new()),
            DataType::Int32 => Values::Int(Numbers::new(data_type)),
            DataType::Int64 => Values::Bigint(Numbers::new(data_type)),
            DataType::Float32 => Values::Float(Numbers::new(data_type)),
            DataType::Float64 => Values::Double(Numbers::new(data_type)),
            DataType::Decimal128(..) => Values::Decimal(Numbers::new(data_type)),
            DataType::Date32 => Values::Date(Numbers::new(data_type)),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(Numbers::new(data_type)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Values::Timestamp(Numbers::new(data_type)),
            DataType::Utf8 => Values::Text(Texts::new(declared)),
            // Iceberg's binary comes back from a table with long offsets; the lake takes both.
            DataType::Binary | DataType::LargeBinary => Values::Bytes(Binaries::new()),
            DataType::List(element) => Values::List(List::new(Column::of(element, declared)?)),
            DataType::Map(entries, _) => {
                let (key, value) = map_parts(entries)?;
                Values::Map(Map::new(Width::of(key), Column::of(value, declared)?))
            }
            DataType::Struct(children) => Values::Row(Fields::of(children, declared).ok()?),
            _ => return None,
        };
        Some(Column { nullable, validity: Validity::default(), values })
    }

    pub fn of(field: &Field, declared: bool) -> Option<Self> {
        let mut column = Column::new(field.data_type(), field.is_nullable(), declared)?;
        column.narrow(Width::of(field));
        Some(column)
    }

    /// Holds a column of scalars to a declared width.
    pub fn narrow(&mut self, width: Option<Width>) {
        match &mut self.values {
            Values::Int(leaf) => leaf.width = width,
            Values::Text(leaf) => leaf.width = width,
            Values::Bytes(leaf) => leaf.width = width,
            _ => {}
        }
    }

    /// The column as it would be declared: its type with all widths.
    pub fn declared(&self, name: &str) -> Field {
        let (data_type, width) = match &self.values {
            Values::Int(leaf) => (leaf.data_type(), leaf.width),
            Values::Text(leaf) => (leaf.data_type(), leaf.width),
            Values::Bytes(leaf) => (leaf.data_type(), leaf.width),
            Values::List(list) => (list_of_field(list.element.declared("")), None),
            Values::Map(map) => {
                let key = with_width(Field::new("", DataType::Utf8, false), map.key_width);
                (map_of_fields(key, map.value.declared("")), None)
            }
            Values::Row(fields) => (DataType::Struct(fields.declared().into()), None),
            _ => (self.data_type(), None),
        };
        with_width(Field::new(name, data_type, self.nullable), width)
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.validity.len()
    }

    pub fn data_type(&self) -> DataType {
        match &self.values {
            Values::Boolean(leaf) => leaf.data_type(),
            Values::Int(leaf) => leaf.data_type(),
            Values::Bigint(leaf) => leaf.data_type(),
            Values::Float(leaf) => leaf.data_type(),
            Values::Double(leaf) => leaf.data_type(),
            Values::Decimal(leaf) => leaf.data_type(),
            Values::Date(leaf) => leaf.data_type(),
            Values::Time(leaf) => leaf.data_type(),
            Values::Timestamp(leaf) => leaf.data_type(),
            Values::Text(leaf) => leaf.data_type(),
            Values::Bytes(leaf) => leaf.data_type(),
            Values::List(list) => list.data_type(),
            Values::Map(map) => map.data_type(),
            Values::Row(fields) => fields.data_type(),
        }
    }

    /// Makes the next append write `row`: fills up with nulls, or takes back what a repeated key wrote.
    #[inline]
    pub fn place(&mut self, row: usize) {
        let len = self.len();
        if len < row {
            self.pad(row - len);
        } else if len > row {
            self.truncate(row);
        }
    }

    /// Adds rows that are null.
    pub fn pad(&mut self, rows: usize) {
        self.values.store().pad(rows);
        self.validity.append_nulls(rows);
    }

    /// Forgets every row from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.values.store().truncate(rows);
        self.validity.truncate(rows);
    }

    /// The array of `rows` rows; the column is empty afterwards.
    pub fn finish(&mut self, rows: usize) -> ArrayRef {
        self.place(rows);
        let nulls = self.validity.finish();
        self.values.store().finish(rows, nulls)
    }

    /// Keeps the columns that were added for the last record.
    pub fn settle(&mut self) {
        match &mut self.values {
            Values::Row(fields) => fields.settle(),
            Values::List(list) => list.element.settle(),
            Values::Map(map) => map.value.settle(),
            _ => {}
        }
    }

    /// How many scalar columns this one comes to.
    pub fn leaves(&self) -> usize {
        match &self.values {
            Values::Row(fields) => fields.leaves(),
            Values::List(list) => list.element.leaves(),
            Values::Map(map) => 1 + map.value.leaves(),
            _ => 1,
        }
    }
}

impl Values {
    /// The column as a scalar one, if it is.
    pub fn leaf(&mut self) -> Option<&mut dyn Leaf> {
        Some(match self {
            Values::Boolean(leaf) => leaf,
            Values::Int(leaf) => leaf,
            Values::Bigint(leaf) => leaf,
            Values::Float(leaf) => leaf,
            Values::Double(leaf) => leaf,
            Values::Decimal(leaf) => leaf,
            Values::Date(leaf) => leaf,
            Values::Time(leaf) => leaf,
            Values::Timestamp(leaf) => leaf,
            Values::Text(leaf) => leaf,
            Values::Bytes(leaf) => leaf,
            Values::List(_) | Values::Map(_) | Values::Row(_) => return None,
        })
    }

    fn store(&mut self) -> &mut dyn Store {
        match self {
            Values::Boolean(leaf) => leaf,
            Values::Int(leaf) => leaf,
            Values::Bigint(leaf) => leaf,
            Values::Float(leaf) => leaf,
            Values::Double(leaf) => leaf,
            Values::Decimal(leaf) => leaf,
            Values::Date(leaf) => leaf,
            Values::Time(leaf) => leaf,
            Values::Timestamp(leaf) => leaf,
            Values::Text(leaf) => leaf,
            Values::Bytes(leaf) => leaf,
            Values::List(list) => list,
            Values::Map(map) => map,
            Values::Row(fields) => fields,
        }
    }
}

impl List {
    fn new(element: Column) -> Self {
        List { offsets: vec![0], element: Box::new(element) }
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

    fn finish(&mut self, _rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        let field = list_element(self.element.data_type(), self.element.nullable);
        let element = self.element.finish(self.element.len());
        Arc::new(ListArray::new(field, take_offsets(&mut self.offsets), element, nulls))
    }
}

impl Map {
    fn new(key_width: Option<Width>, value: Column) -> Self {
        Map { offsets: vec![0], keys: Runs::new(), key_width, value: Box::new(value) }
    }

    pub fn key(&mut self, key: &str) -> Fit {
        if let Some(width) = self.key_width {
            check_text(width, key)?;
        }
        self.keys.push(key.as_bytes())
    }

    /// Ends a map at the last entry.
    pub fn close(&mut self) -> Option<()> {
        self.offsets.push(i32::try_from(self.keys.len()).ok()?);
        Some(())
    }
}

impl Store for Map {
    fn data_type(&self) -> DataType {
        map_of(DataType::Utf8, self.value.data_type(), self.value.nullable)
    }

    fn pad(&mut self, rows: usize) {
        repeat_last(&mut self.offsets, rows);
    }

    fn truncate(&mut self, rows: usize) {
        let entries = truncate_offsets(&mut self.offsets, rows);
        self.keys.truncate(entries);
        self.value.truncate(entries);
    }

    fn finish(&mut self, _rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        let fields = map_pair(DataType::Utf8, self.value.data_type(), self.value.nullable);
        let value = self.value.finish(self.keys.len());
        let (offsets, bytes) = self.keys.finish();
        let keys = Arc::new(StringArray::new(offsets, bytes.into(), None));
        let pairs = StructArray::new(fields.clone(), vec![keys, value], None);
        Arc::new(MapArray::new(map_entries(fields), take_offsets(&mut self.offsets), pairs, nulls, false))
    }
}

fn with_width(field: Field, width: Option<Width>) -> Field {
    match width {
        Some(width) => width.on(field),
        None => field,
    }
}

/// Key and value of a map with text keys, the only keys that JSON has.
pub(in crate::decode) fn map_parts(entries: &Field) -> Option<(&Field, &Field)> {
    let DataType::Struct(fields) = entries.data_type() else { return None };
    match fields.as_ref() {
        [key, value] if *key.data_type() == DataType::Utf8 => Some((key, value)),
        _ => None,
    }
}

fn repeat_last(offsets: &mut Vec<i32>, rows: usize) {
    let end = offsets.last().copied().unwrap_or_default();
    offsets.resize(offsets.len() + rows, end);
}

/// Forgets the lists from `rows` on; answers how many elements are left.
fn truncate_offsets(offsets: &mut Vec<i32>, rows: usize) -> usize {
    offsets.truncate(rows + 1);
    offsets.last().copied().unwrap_or_default() as usize
}
