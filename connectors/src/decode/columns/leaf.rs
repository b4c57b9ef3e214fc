//! Scalar columns that grow: what each type takes, and how it is kept. Those of varying length are in `runs`.
//!
//! Owns the rules of conversion, so that the fast reader and the careful one cannot differ.
//! - I1: a value that is taken is kept exactly; only FLOAT and DOUBLE round, as they do everywhere.
//! - I2: a value that is refused leaves no trace that `truncate` does not remove.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use tableflow_model::types::Width;

use super::{decimal, temporal};

/// The most room that a column asks for ahead, from what the last batch needed.
const RESERVE_MAX: usize = 1 << 20;

/// Why a value does not fit a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode) enum Misfit {
    /// Another type altogether.
    Type,
    /// Text that does not read as this type: what it should look like.
    Form(&'static str),
    /// The right type, beyond what the column holds exactly: what the limit is.
    Range(&'static str),
    /// Text with a time zone for a column without one.
    Zone,
}

pub(in crate::decode) type Fit = Result<(), Misfit>;

/// What every growing column can do.
pub(in crate::decode) trait Store {
    fn data_type(&self) -> DataType;

    /// Adds rows that read as null.
    fn pad(&mut self, rows: usize);

    /// Forgets every row from `rows` on.
    fn truncate(&mut self, rows: usize);

    /// Of the rows from `first` on, keeps those that are marked.
    fn keep(&mut self, first: usize, marks: &[bool]);

    /// The array; the column is empty afterwards.
    fn finish(&mut self, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef;
}

/// Of the values from `first` on, keeps those that are marked; what has no mark is not there yet.
pub(super) fn keep<T>(values: &mut Vec<T>, first: usize, marks: &[bool]) {
    let tail = values.split_off(first.min(values.len()));
    values.extend(tail.into_iter().zip(marks).filter(|(_, mark)| **mark).map(|(value, _)| value));
}

/// A column of scalars: each method appends one value or refuses it.
pub(in crate::decode) trait Leaf: Store {
    fn boolean(&mut self, _value: bool) -> Fit {
        Err(Misfit::Type)
    }

    fn whole(&mut self, _value: i64) -> Fit {
        Err(Misfit::Type)
    }

    /// A number that is no 64-bit integer, as the nearest double.
    fn fraction(&mut self, _value: f64) -> Fit {
        Err(Misfit::Type)
    }

    fn text(&mut self, _value: &str) -> Fit {
        Err(Misfit::Type)
    }

    /// A number by its exact text. This default is for columns of whole numbers.
    fn number(&mut self, text: &str) -> Fit {
        match text.parse() {
            Ok(value) => self.whole(value),
            Err(_) if is_fraction(text) => Err(Misfit::Type),
            // Asking about a small number tells whether numbers are taken at all.
            Err(_) => self.whole(0).and(Err(Misfit::Range("it is outside the 64-bit range"))),
        }
    }
}

/// Whether the text of a number is written as a fraction: with a point or an exponent.
pub(in crate::decode) fn is_fraction(number: &str) -> bool {
    number.contains(['.', 'e', 'E'])
}

pub(in crate::decode) struct Booleans(Vec<bool>);

impl Booleans {
    pub fn new() -> Self {
        Booleans(Vec::new())
    }

    pub fn push(&mut self, value: bool) {
        self.0.push(value);
    }

    pub fn get(&self, row: usize) -> Option<bool> {
        self.0.get(row).copied()
    }
}

impl Store for Booleans {
    fn data_type(&self) -> DataType {
        DataType::Boolean
    }

    fn pad(&mut self, rows: usize) {
        self.0.resize(self.0.len() + rows, false);
    }

    fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows);
    }

    fn keep(&mut self, first: usize, marks: &[bool]) {
        keep(&mut self.0, first, marks);
    }

    fn finish(&mut self, _rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        let values = BooleanBuffer::from(self.0.as_slice());
        self.0.clear();
        Arc::new(BooleanArray::new(values, nulls))
    }
}

impl Leaf for Booleans {
    fn boolean(&mut self, value: bool) -> Fit {
        self.0.push(value);
        Ok(())
    }
}

/// Fixed-width values of one Arrow type.
pub(in crate::decode) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    data_type: DataType,
    pub width: Option<Width>,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub fn new(data_type: &DataType) -> Self {
        Numbers { values: Vec::new(), data_type: data_type.clone(), width: None }
    }

    pub fn copy(&self) -> Self {
        Numbers { width: self.width, ..Numbers::new(&self.data_type) }
    }

    #[inline]
    pub fn push(&mut self, value: T::Native) -> Fit {
        self.values.push(value);
        Ok(())
    }

    pub fn get(&self, row: usize) -> Option<T::Native> {
        self.values.get(row).copied()
    }
}

impl<T: ArrowPrimitiveType> Store for Numbers<T> {
    fn data_type(&self) -> DataType {
        self.data_type.clone()
    }

    fn pad(&mut self, rows: usize) {
        self.values.resize(self.values.len() + rows, T::Native::default());
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
    }

    fn keep(&mut self, first: usize, marks: &[bool]) {
        keep(&mut self.values, first, marks);
    }

    fn finish(&mut self, _rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        let values = take(&mut self.values);
        let array = PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls);
        Arc::new(array.with_data_type(self.data_type.clone()))
    }
}

impl Leaf for Numbers<Int32Type> {
    fn whole(&mut self, value: i64) -> Fit {
        if let Some(width) = self.width {
            check_number(width, value)?;
        }
        let value = i32::try_from(value).map_err(|_| Misfit::Range("it is outside the 32-bit range"))?;
        self.push(value)
    }
}

impl Leaf for Numbers<Int64Type> {
    fn whole(&mut self, value: i64) -> Fit {
        self.push(value)
    }
}

impl Leaf for Numbers<Float32Type> {
    fn whole(&mut self, value: i64) -> Fit {
        self.fraction(value as f64)
    }

    fn fraction(&mut self, value: f64) -> Fit {
        let value = value as f32;
        if value.is_finite() { self.push(value) } else { Err(Misfit::Range("it is beyond the largest FLOAT")) }
    }

    fn number(&mut self, text: &str) -> Fit {
        self.fraction(text.parse().map_err(|_| Misfit::Type)?)
    }
}

impl Leaf for Numbers<Float64Type> {
    fn whole(&mut self, value: i64) -> Fit {
        self.push(value as f64)
    }

    fn fraction(&mut self, value: f64) -> Fit {
        if value.is_finite() { self.push(value) } else { Err(Misfit::Range("it is beyond the largest DOUBLE")) }
    }

    fn number(&mut self, text: &str) -> Fit {
        self.fraction(text.parse().map_err(|_| Misfit::Type)?)
    }
}

impl Leaf for Numbers<Decimal128Type> {
    fn text(&mut self, value: &str) -> Fit {
        self.number(value)
    }

    fn number(&mut self, text: &str) -> Fit {
        let DataType::Decimal128(precision, scale) = self.data_type else { return Err(Misfit::Type) };
        let value = decimal::parse(text, precision, scale)?;
        self.push(value)
    }
}

impl Leaf for Numbers<Date32Type> {
    fn whole(&mut self, value: i64) -> Fit {
        let value = temporal::date_of_days(value)?;
        self.push(value)
    }

    fn text(&mut self, value: &str) -> Fit {
        let value = temporal::date(value)?;
        self.push(value)
    }
}

impl Leaf for Numbers<Time64MicrosecondType> {
    fn whole(&mut self, value: i64) -> Fit {
        let value = temporal::time_of_millis(value)?;
        self.push(value)
    }

    fn text(&mut self, value: &str) -> Fit {
        let value = temporal::time(value)?;
        self.push(value)
    }
}

impl Leaf for Numbers<TimestampMicrosecondType> {
    fn whole(&mut self, value: i64) -> Fit {
        let value = temporal::timestamp_of_millis(value)?;
        self.push(value)
    }

    fn text(&mut self, value: &str) -> Fit {
        let zoned = matches!(self.data_type, DataType::Timestamp(_, Some(_)));
        let value = temporal::timestamp(value, zoned)?;
        self.push(value)
    }
}

// Widths are rare: their checks stay out of the way of columns without one.

#[cold]
fn check_number(width: Width, value: i64) -> Fit {
    if width.takes_number(value) { Ok(()) } else { Err(Misfit::Range(too_wide(width))) }
}

/// Whether a text is as short as its column, or the key of its map, is declared.
#[cold]
pub(in crate::decode) fn check_text(width: Width, value: &str) -> Fit {
    if width.takes_text(value) { Ok(()) } else { Err(Misfit::Range(too_wide(width))) }
}

pub(in crate::decode) fn too_wide(width: Width) -> &'static str {
    match width {
        Width::Tinyint => "it is outside -128 to 127",
        Width::Smallint => "it is outside -32768 to 32767",
        Width::Char(_) | Width::Varchar(_) => "it has more characters",
        Width::Binary(_) | Width::Varbinary(_) => "it has more bytes",
    }
}

/// Takes what a column gathered, and leaves room for a batch like it, and an eighth more.
pub(in crate::decode) fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let reserve = (values.len() + values.len() / 8).min(RESERVE_MAX / size_of::<T>().max(1));
    std::mem::replace(values, Vec::with_capacity(reserve))
}

pub(in crate::decode) fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let taken = take(offsets);
    offsets.push(0);
    OffsetBuffer::new(ScalarBuffer::from(taken))
}
