//! A message type and the columns of a table into a program.
//!
//! Owns the evolution: [`bind`] adds the columns that the type brings, and says what the table does not keep of it.
//! - I1: a field goes into the column of its name, else into the one where an earlier type of the same name had its
//!   number.
//! - I2: what tells nothing gets no column: a message without fields.
//! - I3: a field without presence always has a value; one with presence may be null, lists and maps may be empty.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use tableflow_model::types::{UTC, list_of, map_of};
use tableflow_model::{Error, Result};

use super::default::default_bytes;
use super::program::{Absent, Entry, Field, Form, Message, Shapeless};
use super::scalar::Scalar;
use crate::decode::binary::binding::Binding;
use crate::decode::columns::column::{Column, Taking, Values};
use crate::decode::columns::fields::Fields;
use crate::decode::columns::temporal::FINER;
use crate::decode::{Learned, Passing, SchemaFault};

const NANOS_HINT: &str = "a column ROW<seconds BIGINT, nanos INT> keeps all";
const JSON_NOTE: &str = "may have any shape, and becomes STRING, as JSON";

/// What earlier schemas told: by place and message, the column where a field's number was.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(HashMap<String, HashMap<u32, String>>);

/// The program of a message type, for these columns, which it may add to or widen. If it fails, they are of no use.
pub(super) fn bind(
    message: &MessageDescriptor,
    passing: Option<&Passing>,
    columns: &mut Fields,
    known: &mut Known,
) -> Result<(Message, Learned)> {
    let mut binder = Binder { known, at: Binding::but(passing) };
    let program = binder.row(message, columns)?;
    Ok((program, binder.at.finish(columns)?))
}

pub(super) struct Binder<'k> {
    pub known: &'k mut Known,
    pub at: Binding,
}

impl Binder<'_> {
    /// A message that is a whole row.
    pub fn row(&mut self, message: &MessageDescriptor, columns: &mut Fields) -> Result<Message> {
        let program = self.message(message, columns)?;
        if program.fields.is_empty() && in_order(message).all(|field| is_empty(&field.kind())) {
            let what = format!("message {} has no fields that a table holds", message.full_name());
            let error = SchemaFault::EmptyStruct.of(Error::data(what));
            return Err(error.with_hint("a row comes from a message with fields"));
        }
        Ok(program)
    }

    fn message(&mut self, message: &MessageDescriptor, columns: &mut Fields) -> Result<Message> {
        self.at.enter(format!("message {}", message.full_name()))?;
        let names: Vec<String> = in_order(message).map(|field| field.name().to_owned()).collect();
        let mut fields: Vec<Field> = Vec::new();
        for field in in_order(message) {
            self.at.down(field.name())?;
            match is_empty(&field.kind()) {
                true => self.at.note("holds nothing, and gets no column"),
                // As an unknown field is, by its number.
                false if self.at.is_passed() => {}
                false => fields.push(self.field(&field, message, &names, columns)?),
            }
            self.at.up();
        }
        self.at.leave();
        let given: Vec<usize> = fields.iter().map(|field| field.column).collect();
        self.at.check_required(columns, &given)?;
        find_rivals(message, &mut fields);
        Ok(Message::new(fields))
    }

    fn field(
        &mut self,
        field: &FieldDescriptor,
        message: &MessageDescriptor,
        names: &[String],
        columns: &mut Fields,
    ) -> Result<Field> {
        let index = match self.place(field, message, names, columns) {
            Some(index) => index,
            None => self.add(field, columns)?,
        };
        self.at.fills();
        let Some(column) = columns.column(index) else {
            return Err(Error::internal("a column that was found is not there"));
        };
        let form = self.form(field, column)?;
        let absent = absent(field, &form);
        if matches!(absent, Absent::Null) {
            self.at.may_lack(column);
        }
        Ok(Field {
            name: field.name().into(),
            number: field.number(),
            column: index,
            form,
            absent,
            rivals: Box::default(),
        })
    }

    /// The column that a field goes into (I1).
    fn place(
        &mut self,
        field: &FieldDescriptor,
        message: &MessageDescriptor,
        names: &[String],
        columns: &Fields,
    ) -> Option<usize> {
        let at = format!("{} {}", message.full_name(), self.at.beside(""));
        let known = self.known.0.entry(at).or_default();
        let mut column = field.name().to_owned();
        let mut index = columns.index_of(&column);
        if index.is_none()
            && let Some(earlier) = known.get(&field.number()).filter(|earlier| !names.contains(earlier))
            && let Some((place, held)) = columns.find_index(earlier)
            && suits(field, &held.data_type())
        {
            index = Some(place);
            column.clone_from(earlier);
            self.at.goes_into(&column);
        }
        // A column has one number at a time.
        known.retain(|_, known| *known != column);
        known.insert(field.number(), column);
        index
    }

    fn add(&mut self, field: &FieldDescriptor, columns: &mut Fields) -> Result<usize> {
        self.at.check_new(columns)?;
        let data_type = first_type(field);
        let column = Column::new(&data_type, true, false);
        let column =
            column.ok_or_else(|| Error::internal(format!("{} has a column that nothing fills", self.at.path())))?;
        Ok(columns.add(field.name(), column))
    }

    fn form(&mut self, field: &FieldDescriptor, column: &mut Column) -> Result<Form> {
        if let Some((key, value)) = map_fields(field) {
            let Values::Map(map) = &mut column.values else { return Err(self.at.unfit(column, "a map")) };
            self.at.down("key")?;
            let key_scalar = Scalar::of(&key.kind()).ok_or_else(|| Error::internal("a map's key is no scalar"))?;
            self.at.key(key_scalar.fits(&map.keys.column().data_type()), map, &type_name(&key.kind()))?;
            self.at.up();
            self.at.down("value")?;
            let value = self.value(&value, &mut map.value)?;
            self.at.up();
            return Ok(Form::Map(Box::new(Entry { key: key_scalar, value })));
        }
        if field.is_list() {
            let Values::List(list) = &mut column.values else { return Err(self.at.unfit(column, "a repeated field")) };
            self.at.down("element")?;
            let element = self.value(field, &mut list.element)?;
            self.at.up();
            return Ok(Form::List(Box::new(element)));
        }
        self.value(field, column)
    }

    /// A value by itself: of a field, an item or an entry.
    fn value(&mut self, field: &FieldDescriptor, column: &mut Column) -> Result<Form> {
        let kind = field.kind();
        let Kind::Message(message) = &kind else {
            let scalar = Scalar::of(&kind).ok_or_else(|| Error::internal("a field is neither message nor scalar"))?;
            self.at.scalar(scalar.fits(&column.data_type()), column, &type_name(&kind))?;
            return Ok(Form::Scalar(scalar));
        };
        if let Values::Row(columns) = &mut column.values {
            if is_empty(&kind) {
                return Err(self.holds_nothing(message));
            }
            return Ok(Form::Row { message: self.message(message, columns)?, group: field.is_group() });
        }
        self.well_known(message, column)?.ok_or_else(|| match is_empty(&kind) {
            true => self.holds_nothing(message),
            false => self.at.unfit(column, &type_name(&kind)),
        })
    }

    fn holds_nothing(&self, message: &MessageDescriptor) -> Error {
        let what = format!("{} is {}, which holds nothing", self.at.path(), message.full_name());
        self.at
            .fault(SchemaFault::EmptyStruct, what)
            .with_hint("a table has no type for it: give it a field, or another type")
    }

    /// A message that everyone knows, in a column of its own kind.
    fn well_known(&mut self, message: &MessageDescriptor, column: &mut Column) -> Result<Option<Form>> {
        let name = message.full_name();
        if let Some(scalar) = wrapped(message) {
            self.at.scalar(scalar.fits(&column.data_type()), column, name)?;
            return Ok(Some(Form::Wrapper(scalar)));
        }
        let (form, note, own) = match (name, shapeless(message)) {
            ("google.protobuf.Timestamp", _) => (Form::Timestamp, format!("{FINER}; {NANOS_HINT}"), timestamp()),
            (_, Some(shapeless)) => (Form::Json(shapeless), JSON_NOTE.to_owned(), DataType::Utf8),
            _ => return Ok(None),
        };
        let taking = if column.data_type() == own { Taking::Takes } else { Taking::Never };
        self.at.scalar(taking, column, name)?;
        self.at.note(note);
        Ok(Some(form))
    }
}

/// The fields as the schema lists them.
fn in_order(message: &MessageDescriptor) -> impl Iterator<Item = FieldDescriptor> + '_ {
    message.descriptor_proto().field.iter().filter_map(|field| message.get_field_by_name(field.name()))
}

/// Of each field, the columns of the other members of its oneof.
fn find_rivals(message: &MessageDescriptor, fields: &mut [Field]) {
    let oneof_of = |number: u32| {
        let oneof = message.get_field(number)?.containing_oneof()?;
        (!oneof.is_synthetic()).then(|| oneof.name().to_owned())
    };
    let members: Vec<_> = fields.iter().map(|field| (oneof_of(field.number), field.column)).collect();
    for (field, (oneof, column)) in fields.iter_mut().zip(&members) {
        if oneof.is_some() {
            let rivals = members.iter().filter(|(other, other_column)| other == oneof && other_column != column);
            field.rivals = rivals.map(|(_, column)| *column).collect();
        }
    }
}

fn absent(field: &FieldDescriptor, form: &Form) -> Absent {
    match form {
        _ if field.is_required() => Absent::Refused,
        Form::Scalar(scalar) => match default_bytes(field, scalar) {
            Some(bytes) => Absent::Default(bytes),
            None => Absent::Null,
        },
        _ => Absent::Null,
    }
}

fn map_fields(field: &FieldDescriptor) -> Option<(FieldDescriptor, FieldDescriptor)> {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => Some((entry.map_entry_key_field(), entry.map_entry_value_field())),
        _ => None,
    }
}

/// Whether a column may be an earlier one of this field, and not of another that had its number.
fn suits(field: &FieldDescriptor, held: &DataType) -> bool {
    match (&first_type(field), held) {
        (DataType::Struct(_), DataType::Struct(_))
        | (DataType::List(_), DataType::List(_))
        | (DataType::Map(..), DataType::Map(..)) => true,
        (wanted, held) if wanted == held => true,
        _ if field.is_list() => false,
        _ => Scalar::of(&field.kind()).is_some_and(|scalar| scalar.fits(held) != Taking::Never),
    }
}

/// The type that a column begins with: rows still without columns, which the binding adds.
fn first_type(field: &FieldDescriptor) -> DataType {
    match map_fields(field) {
        Some((key, value)) => map_of(value_type(&key.kind()), value_type(&value.kind()), true),
        None if field.is_list() => list_of(value_type(&field.kind()), true),
        None => value_type(&field.kind()),
    }
}

fn value_type(kind: &Kind) -> DataType {
    let Kind::Message(message) = kind else {
        return Scalar::of(kind).map_or(DataType::Null, |scalar| scalar.data_type());
    };
    if let Some(scalar) = wrapped(message) {
        return scalar.data_type();
    }
    match message.full_name() {
        "google.protobuf.Timestamp" => timestamp(),
        _ if shapeless(message).is_some() => DataType::Utf8,
        _ => DataType::Struct(Default::default()),
    }
}

fn timestamp() -> DataType {
    DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some(UTC.into()))
}

/// Whether a message says nothing but that it is there.
fn is_empty(kind: &Kind) -> bool {
    matches!(kind, Kind::Message(message) if message.fields().len() == 0)
}

/// What one of the messages around a value is around.
fn wrapped(message: &MessageDescriptor) -> Option<Scalar> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    let names = ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"];
    let known = names.contains(&name.strip_suffix("Value")?);
    if known { Scalar::of(&message.get_field(1)?.kind()) } else { None }
}

fn shapeless(message: &MessageDescriptor) -> Option<Shapeless> {
    match message.full_name() {
        "google.protobuf.Struct" => Some(Shapeless::Struct),
        "google.protobuf.Value" => Some(Shapeless::Value),
        "google.protobuf.ListValue" => Some(Shapeless::List),
        _ => None,
    }
}

/// A type as a schema writes it.
pub(super) fn type_name(kind: &Kind) -> String {
    format!("{kind:?}")
}
