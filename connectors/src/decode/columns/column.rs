//! One growing column of any type.
//!
//! Owns [`Column`]: values plus validity, whatever their type.
//! - I1: values and validity have the same length.
//! - I2: `truncate` undoes every append since, at every level, also a half-written row or list.
//! - I3: a child of a row may lag behind it; what it lags is null. So a field that is absent costs nothing, and
//!   a column that appears late needs no back-filling.
//!
//! Arrow's builders were looked at: they cannot be truncated, and a nested one is a `dyn` to be cast back.

use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType,
};
use tableflow_model::types::{Width, list_of_field, map_of_fields};

use super::fields::Fields;
use super::leaf::{Booleans, Leaf, Numbers, Store};
use super::list::List;
use super::map::{Keys, Map};
use super::runs::{Binaries, Texts};
use super::validity::Validity;

pub(in crate::decode) struct Column {
    pub nullable: bool,
    /// Whether it takes no null, if it does not, whatever a schema says.
    pub held: bool,
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

/// Whether a column takes the values of a schema's type.
#[derive(Debug, PartialEq)]
pub(in crate::decode) enum Taking {
    Takes,
    /// It would, with this type.
    Widened(DataType),
    Never,
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
                Values::Map(Map::new(Keys::of(key)?, Column::of(value, declared)?))
            }
            DataType::Struct(children) => Values::Row(Fields::of(children, declared).ok()?),
            _ => return None,
        };
        Some(Column { nullable, held: false, validity: Validity::default(), values })
    }

    pub fn of(field: &Field, declared: bool) -> Option<Self> {
        let mut column = Column::new(field.data_type(), field.is_nullable(), declared)?;
        column.narrow(Width::of(field));
        Some(column)
    }

    /// A column like this one, without rows.
    pub fn copy(&self) -> Self {
        let Column { nullable, held, values, .. } = self;
        let (nullable, held, validity) = (*nullable, *held, Validity::default());
        let values = match values {
            Values::Boolean(_) => Values::Boolean(Booleans::new()),
            Values::Int(leaf) => Values::Int(leaf.copy()),
            Values::Bigint(leaf) => Values::Bigint(leaf.copy()),
            Values::Float(leaf) => Values::Float(leaf.copy()),
            Values::Double(leaf) => Values::Double(leaf.copy()),
            Values::Decimal(leaf) => Values::Decimal(leaf.copy()),
            Values::Date(leaf) => Values::Date(leaf.copy()),
            Values::Time(leaf) => Values::Time(leaf.copy()),
            Values::Timestamp(leaf) => Values::Timestamp(leaf.copy()),
            Values::Text(leaf) => Values::Text(leaf.copy()),
            Values::Bytes(leaf) => Values::Bytes(leaf.copy()),
            Values::List(list) => Values::List(List::new(list.element.copy())),
            Values::Map(map) => Values::Map(Map::new(map.keys.copy(), map.value.copy())),
            Values::Row(fields) => Values::Row(fields.copy()),
        };
        Column { nullable, held, validity, values }
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

    /// Lets neither the column nor one inside of it become nullable.
    pub fn hold(&mut self) {
        self.held = true;
        match &mut self.values {
            Values::List(list) => list.element.hold(),
            Values::Map(map) => map.value.hold(),
            Values::Row(fields) => fields.hold(|_| true),
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
            Values::Map(map) => (map_of_fields(map.keys.declared(), map.value.declared("")), None),
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

    /// Of the rows from `first` on, keeps those that are marked.
    pub fn keep(&mut self, first: usize, marks: &[bool]) {
        self.values.store().keep(first, marks);
        self.validity.keep(first, marks);
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

fn with_width(field: Field, width: Option<Width>) -> Field {
    match width {
        Some(width) => width.on(field),
        None => field,
    }
}

/// Key and value of a map.
pub(in crate::decode) fn map_parts(entries: &Field) -> Option<(&Field, &Field)> {
    let DataType::Struct(fields) = entries.data_type() else { return None };
    match fields.as_ref() {
        [key, value] => Some((key, value)),
        _ => None,
    }
}

/// Whether all maps inside of a type have keys that are text, the only ones of some formats.
pub(in crate::decode) fn has_text_keys(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(children) => children.iter().all(|child| has_text_keys(child.data_type())),
        DataType::List(element) => has_text_keys(element.data_type()),
        DataType::Map(entries, _) => map_parts(entries)
            .is_some_and(|(key, value)| *key.data_type() == DataType::Utf8 && has_text_keys(value.data_type())),
        _ => true,
    }
}
