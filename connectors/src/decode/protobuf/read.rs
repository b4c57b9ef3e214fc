//! A message's bytes into the columns, as its program says.
//!
//! Owns the running of programs. Fields come in any order and any number of times: what a message has open in its
//! columns stays open, and `seal` closes it at the end of the record.
//! - I1: of a scalar that comes twice the last one counts; messages that come twice are one, lists and maps go on.
//! - I2: of a oneof the last field counts, and what the others wrote is taken back.
//! - I3: the depth of calls is that of the schema, which `bind` bounds; loops take a byte of the input each time round.

use super::program::{Entry, Field, Form, Message};
use super::scalar::Scalar;
use super::seal::seal;
use super::wire::{Tag, WireType};
use super::{json, time};
use crate::decode::binary::cursor::Cursor;
use crate::decode::binary::fault::{Fault, Read};
use crate::decode::columns::column::{Column, Values};
use crate::decode::columns::fields::Fields;
use crate::decode::columns::list::List;
use crate::decode::columns::map::Map;
use crate::decode::columns::place::Step;

/// Appends one record as row `row`.
pub(super) fn record(program: &Message, columns: &mut Fields, bytes: &[u8], row: usize) -> Read {
    message(program, columns, &mut Cursor::new(bytes), row)?;
    seal(program, columns, row)
}

/// Reads a message to the end of its bytes.
#[inline(always)]
pub(super) fn message(program: &Message, columns: &mut Fields, input: &mut Cursor<'_>, row: usize) -> Read {
    while input.left() > 0 {
        let tag = input.tag()?;
        match program.field(tag.number) {
            Some(part) => field(part, tag.wire, columns, input, row)?,
            None => input.skip(tag)?,
        }
    }
    Ok(())
}

/// Reads a message to the tag that ends its group.
fn group(program: &Message, columns: &mut Fields, input: &mut Cursor<'_>, row: usize, number: u32) -> Read {
    loop {
        let tag = input.tag()?;
        if tag == (Tag { number, wire: WireType::GroupEnd }) {
            return Ok(());
        }
        match program.field(tag.number) {
            Some(part) => field(part, tag.wire, columns, input, row)?,
            None => input.skip(tag)?,
        }
    }
}

#[inline(always)]
fn field(part: &Field, wire: WireType, columns: &mut Fields, input: &mut Cursor<'_>, row: usize) -> Read {
    if !part.rivals.is_empty() {
        clear(&part.rivals, columns, row);
    }
    let Some(column) = columns.column(part.column) else { return Err(Fault::unbound()) };
    let done = match &part.form {
        Form::Scalar(kind) => one(kind, wire, column, input, row),
        nested => self::nested(part, nested, wire, column, input, row),
    };
    done.map_err(|fault| fault.under(member(&part.name)))
}

#[cold]
pub(super) fn member(name: &str) -> Step {
    Step::Member(name.to_owned())
}

/// Takes back what other fields of a oneof wrote (I2).
#[cold]
fn clear(rivals: &[usize], columns: &mut Fields, row: usize) {
    for rival in rivals {
        if let Some(column) = columns.column(*rival)
            && column.len() > row
        {
            column.truncate(row);
        }
    }
}

/// A scalar: what it wrote before is taken back (I1).
#[inline(always)]
fn one(kind: &Scalar, wire: WireType, column: &mut Column, input: &mut Cursor<'_>, row: usize) -> Read {
    expect(kind.wire_type(), wire)?;
    append(kind, column, input, row)
}

#[inline(always)]
pub(super) fn append(kind: &Scalar, column: &mut Column, input: &mut Cursor<'_>, row: usize) -> Read {
    column.place(row);
    scalar(kind, &mut column.values, input)?;
    column.validity.append_value();
    Ok(())
}

#[inline(always)]
pub(super) fn expect(wanted: WireType, wire: WireType) -> Read {
    if wanted == wire { Ok(()) } else { Err(other_wire(wanted, wire)) }
}

#[cold]
fn other_wire(wanted: WireType, wire: WireType) -> Box<Fault> {
    Fault::foreign(format!("is written as {}, and its type as {}", wire.name(), wanted.name()))
}

fn nested(part: &Field, form: &Form, wire: WireType, column: &mut Column, input: &mut Cursor<'_>, row: usize) -> Read {
    let group = if let Form::Row { group: true, .. } = form { Some(part.number) } else { None };
    match (form, &mut column.values) {
        (Form::List(element), Values::List(_)) => {
            open(column, row);
            let Values::List(list) = &mut column.values else { return Err(Fault::unbound()) };
            items(part, element, wire, list, input)
        }
        (Form::Map(program), Values::Map(_)) => {
            open(column, row);
            let Values::Map(map) = &mut column.values else { return Err(Fault::unbound()) };
            expect(WireType::Run, wire)?;
            entry(program, map, &mut Cursor::new(input.delimited()?))
        }
        _ => value(form, group, wire, column, input, row),
    }
}

/// Makes the rows before this one null, so that items can come in.
fn open(column: &mut Column, row: usize) {
    let len = column.len();
    if len < row {
        column.pad(row - len);
    }
}

/// Appends one value that is not a list or a map, or goes on with the message that row `row` has.
fn value(
    form: &Form,
    group: Option<u32>,
    wire: WireType,
    column: &mut Column,
    input: &mut Cursor<'_>,
    row: usize,
) -> Read {
    match form {
        Form::Scalar(kind) => one(kind, wire, column, input, row),
        Form::Row { message: program, .. } => {
            expect(if group.is_some() { WireType::GroupStart } else { WireType::Run }, wire)?;
            if column.len() <= row {
                column.place(row);
                column.validity.append_value();
            }
            let Values::Row(columns) = &mut column.values else { return Err(Fault::unbound()) };
            match group {
                Some(number) => self::group(program, columns, input, row, number),
                None => message(program, columns, &mut Cursor::new(input.delimited()?), row),
            }
        }
        Form::Timestamp => {
            expect(WireType::Run, wire)?;
            time::timestamp(input.delimited()?, column, row)
        }
        Form::Wrapper(kind) => {
            expect(WireType::Run, wire)?;
            wrapped(kind, &mut Cursor::new(input.delimited()?), column, row)
        }
        Form::Json(shape) => {
            expect(WireType::Run, wire)?;
            json::text(*shape, input.delimited()?, column, row)
        }
        Form::List(_) | Form::Map(_) => Err(Fault::unbound()),
    }
}

/// The value in a message around it; without one it is the zero of its type.
fn wrapped(kind: &Scalar, input: &mut Cursor<'_>, column: &mut Column, row: usize) -> Read {
    if column.len() <= row {
        one(kind, kind.wire_type(), column, &mut Cursor::new(kind.zero()), row)?;
    }
    while input.left() > 0 {
        let tag = input.tag()?;
        match tag.number {
            1 => one(kind, tag.wire, column, input, row)?,
            _ => input.skip(tag)?,
        }
    }
    Ok(())
}

/// One item of a list, or several scalars in one run.
fn items(part: &Field, form: &Form, wire: WireType, list: &mut List, input: &mut Cursor<'_>) -> Read {
    match form {
        Form::Scalar(kind) if wire == WireType::Run && kind.wire_type() != WireType::Run => {
            let mut packed = Cursor::new(input.delimited()?);
            while packed.left() > 0 {
                item(part, form, kind.wire_type(), list, &mut packed)?;
            }
            Ok(())
        }
        _ => item(part, form, wire, list, input),
    }
}

fn item(part: &Field, form: &Form, wire: WireType, list: &mut List, input: &mut Cursor<'_>) -> Read {
    let row = list.element.len();
    let group = if let Form::Row { group: true, .. } = form { Some(part.number) } else { None };
    let done =
        value(form, group, wire, &mut list.element, input, row).and_then(|()| sealed(form, &mut list.element, row));
    done.map_err(|fault| fault.under(Step::Element(row - list.start())))
}

/// Closes what an item or an entry has open.
fn sealed(form: &Form, column: &mut Column, row: usize) -> Read {
    match (form, &mut column.values) {
        (Form::Row { message, .. }, Values::Row(columns)) => seal(message, columns, row),
        _ => Ok(()),
    }
}

/// An entry of a map: a message of key and value, each of which may be left out.
fn entry(program: &Entry, map: &mut Map, input: &mut Cursor<'_>) -> Read {
    let row = map.keys.len();
    while input.left() > 0 {
        let tag = input.tag()?;
        match tag.number {
            1 => one(&program.key, tag.wire, map.keys.column(), input, row)?,
            2 => {
                let done = value(&program.value, None, tag.wire, &mut map.value, input, row);
                done.map_err(|fault| fault.under(key_step(map, row)))?;
            }
            _ => input.skip(tag)?,
        }
    }
    if map.keys.len() == row {
        let zero = &mut Cursor::new(program.key.zero());
        one(&program.key, program.key.wire_type(), map.keys.column(), zero, row)?;
    }
    if map.value.len() == row {
        absent_value(&program.value, &mut map.value, row)?;
    }
    sealed(&program.value, &mut map.value, row).map_err(|fault| fault.under(key_step(map, row)))
}

#[cold]
fn key_step(map: &Map, row: usize) -> Step {
    Step::Member(map.keys.shown(row))
}

/// An entry without a value has the zero of its type, or a message without fields.
fn absent_value(form: &Form, column: &mut Column, row: usize) -> Read {
    let (bytes, wire) = match form {
        Form::Scalar(kind) => (kind.zero(), kind.wire_type()),
        _ => (&[0][..], WireType::Run),
    };
    value(form, None, wire, column, &mut Cursor::new(bytes), row)
}

/// Appends a value without its validity.
#[inline(always)]
fn scalar(kind: &Scalar, values: &mut Values, input: &mut Cursor<'_>) -> Read {
    match (kind, values) {
        (Scalar::Int64, Values::Bigint(numbers)) => numbers.push(input.varint()?.cast_signed())?,
        (Scalar::Text, Values::Text(texts)) => texts.runs.push(Cursor::checked(input.delimited()?)?)?,
        (Scalar::Int32, Values::Int(numbers)) => numbers.push(low_bits(input)?)?,
        (Scalar::Double, Values::Double(numbers)) => numbers.push(f64::from_le_bytes(input.exactly("a double")?))?,
        (Scalar::Bool, Values::Boolean(booleans)) => booleans.push(input.varint()? != 0),
        (Scalar::Bytes, Values::Bytes(bytes)) => bytes.runs.push(input.delimited()?)?,
        (kind, values) => return rare(kind, values, input),
    }
    Ok(())
}

/// A number of 32 bits, of which writers may send 64.
#[inline(always)]
fn low_bits(input: &mut Cursor<'_>) -> Read<i32> {
    Ok(input.varint()? as i32)
}

/// The scalars that messages have less often, and those whose column is wider.
fn rare(kind: &Scalar, values: &mut Values, input: &mut Cursor<'_>) -> Read {
    match kind {
        Scalar::Text => return run(Cursor::checked(input.delimited()?)?, values),
        Scalar::Bytes => {
            let bytes = input.delimited()?;
            return run(if matches!(values, Values::Text(_)) { Cursor::checked(bytes)? } else { bytes }, values);
        }
        Scalar::Enum(symbols) => {
            let number = low_bits(input)?;
            return match symbols.get(number) {
                Some(name) => run(name.as_bytes(), values),
                // As JSON has it: a newer writer knows more names.
                None => run(number.to_string().as_bytes(), values),
            };
        }
        Scalar::Float => {
            let number = f32::from_le_bytes(input.exactly("a float")?);
            match values {
                Values::Float(numbers) => numbers.push(number)?,
                Values::Double(numbers) => numbers.push(number.into())?,
                _ => return Err(Fault::unbound()),
            }
        }
        whole => return whole_number(whole_value(whole, input)?, values),
    }
    Ok(())
}

fn run(bytes: &[u8], values: &mut Values) -> Read {
    match values {
        Values::Text(texts) => Ok(texts.runs.push(bytes)?),
        Values::Bytes(binaries) => Ok(binaries.runs.push(bytes)?),
        _ => Err(Fault::unbound()),
    }
}

/// A whole number of any width: no column that `bind` chose is too narrow.
fn whole_number(number: i128, values: &mut Values) -> Read {
    match values {
        Values::Int(numbers) => numbers.push(number as i32)?,
        Values::Bigint(numbers) => numbers.push(number as i64)?,
        Values::Double(numbers) => numbers.push(number as f64)?,
        Values::Decimal(numbers) => numbers.push(number)?,
        _ => return Err(Fault::unbound()),
    }
    Ok(())
}

fn whole_value(kind: &Scalar, input: &mut Cursor<'_>) -> Read<i128> {
    Ok(match kind {
        Scalar::Int32 => low_bits(input)?.into(),
        Scalar::Sint32 => unzigzag(u64::from(low_bits(input)?.cast_unsigned())).into(),
        Scalar::Sfixed32 => i32::from_le_bytes(input.exactly("a number")?).into(),
        Scalar::Uint32 => low_bits(input)?.cast_unsigned().into(),
        Scalar::Fixed32 => u32::from_le_bytes(input.exactly("a number")?).into(),
        Scalar::Int64 => input.varint()?.cast_signed().into(),
        Scalar::Sint64 => unzigzag(input.varint()?).into(),
        Scalar::Sfixed64 => i64::from_le_bytes(input.exactly("a number")?).into(),
        Scalar::Uint64 => input.varint()?.into(),
        Scalar::Fixed64 => u64::from_le_bytes(input.exactly("a number")?).into(),
        _ => return Err(Fault::unbound()),
    })
}

fn unzigzag(bits: u64) -> i64 {
    (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()
}
