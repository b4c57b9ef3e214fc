//! A record's bytes into the columns, as its program says.
//!
//! Owns the running of programs.
//! - I1: a record is taken whole, to its last byte, or fails; then half of it is left behind, for the caller to take
//!   back.
//! - I2: the depth of calls is that of the schema, which `bind` bounds; loops take a byte of the input each time round.

use arrow::datatypes::Decimal128Type;
use uuid::Uuid;

use super::program::{Branch, Chosen, Entry, Field, Null, Past, Program, Row, Step, Union};
use super::scalar::{Scalar, Unit};
use crate::decode::binary::cursor::Cursor;
use crate::decode::binary::fault::{Fault, Read};
use crate::decode::columns::column::{Column, Values};
use crate::decode::columns::fields::Fields;
use crate::decode::columns::leaf::{Misfit, Numbers};
use crate::decode::columns::list::List;
use crate::decode::columns::map::Map;
use crate::decode::columns::place;
use crate::decode::columns::temporal;

const MILLIS_A_DAY: i64 = 86_400_000;
const NANOS_A_MICRO: i64 = 1000;

/// Appends one record as row `number`.
pub(super) fn record(program: &Program, columns: &mut Fields, bytes: &[u8], number: usize) -> Read {
    let mut input = Cursor::new(bytes);
    match program {
        Program::Row(program) => row(program, columns, &mut input, number)?,
        Program::Optional(union, program) => {
            if is_null(*union, &mut input)? {
                return Err(Fault::no_row());
            }
            row(program, columns, &mut input, number)?;
        }
        Program::Chosen(chosen, program) => {
            choose(*chosen, &mut input)?;
            row(program, columns, &mut input, number)?;
        }
        Program::Union(program) => {
            if !union(program, columns, &mut input, number)? {
                return Err(Fault::no_row());
            }
        }
        // Of a change these are the bytes of its row.
        Program::Change(change) => row(&change.row, columns, &mut input, number)?,
    }
    input.end()
}

#[inline(always)]
fn row(program: &Row, columns: &mut Fields, input: &mut Cursor<'_>, number: usize) -> Read {
    for part in &program.fields {
        field(part, columns, input, number)?;
    }
    Ok(())
}

#[inline(always)]
fn field(program: &Field, columns: &mut Fields, input: &mut Cursor<'_>, number: usize) -> Read {
    let Some(column) = columns.column(program.column) else { return without_column(program, input) };
    column.place(number);
    cell(&program.step, column, input).map_err(|fault| fault.under(member(&program.name)))
}

#[cold]
fn without_column(program: &Field, input: &mut Cursor<'_>) -> Read {
    match &program.step {
        Step::Past(past) => self::past(past, input).map_err(|fault| fault.under(member(&program.name))),
        _ => Err(Fault::unbound()),
    }
}

/// Reads past a value.
pub(super) fn past(program: &Past, input: &mut Cursor<'_>) -> Read {
    match program {
        Past::Fixed(size) => input.fixed(*size, "a value that is read past").map(drop),
        Past::Number => input.long().map(drop),
        Past::Run => input.bytes().map(drop),
        Past::List(item) => items_past(input, |input| past(item, input)),
        Past::Map(value) => items_past(input, |input| {
            input.bytes()?;
            past(value, input)
        }),
        Past::Row(fields) => fields.iter().try_for_each(|field| past(field, input)),
        Past::Union(branches) => {
            let tag = input.long()?;
            match usize::try_from(tag).ok().and_then(|tag| branches.get(tag)) {
                Some(branch) => past(branch, input),
                None => Err(no_branch(tag, branches.len() as i64)),
            }
        }
    }
}

fn items_past(input: &mut Cursor<'_>, mut item: impl FnMut(&mut Cursor<'_>) -> Read) -> Read {
    loop {
        let block = input.block()?;
        if block.count == 0 {
            return Ok(());
        }
        for _ in 0..block.count {
            item(input)?;
        }
        input.close(&block)?;
    }
}

#[cold]
pub(super) fn member(name: &str) -> place::Step {
    place::Step::Member(name.to_owned())
}

/// Appends one value.
#[inline(always)]
fn cell(step: &Step, column: &mut Column, input: &mut Cursor<'_>) -> Read {
    match step {
        Step::Scalar(kind) => scalar(kind, &mut column.values, input)?,
        nested => return self::nested(nested, column, input),
    }
    column.validity.append_value();
    Ok(())
}

fn nested(step: &Step, column: &mut Column, input: &mut Cursor<'_>) -> Read {
    let number = column.len();
    match (step, &mut column.values) {
        (Step::Optional(union, step), _) => {
            return if is_null(*union, input)? { null(column) } else { cell(step, column, input) };
        }
        (Step::Row(program), Values::Row(columns)) => row(program, columns, input, number)?,
        (Step::Branch(program), Values::Row(columns)) => field(program, columns, input, number)?,
        (Step::Union(program), Values::Row(columns)) => {
            if !union(program, columns, input, number)? {
                return null(column);
            }
        }
        (Step::List(element), Values::List(list)) => self::list(element, list, input)?,
        (Step::Map(entry), Values::Map(map)) => self::map(entry, map, input)?,
        (Step::Scalar(kind), values) => scalar(kind, values, input)?,
        _ => return Err(Fault::unbound()),
    }
    column.validity.append_value();
    Ok(())
}

fn null(column: &mut Column) -> Read {
    if !column.nullable {
        return Err(Fault::missing(column));
    }
    column.pad(1);
    Ok(())
}

/// Whether a value that may be null is.
#[inline]
pub(super) fn is_null(union: Null, input: &mut Cursor<'_>) -> Read<bool> {
    let tag = input.long()?;
    if (0..union.branches).contains(&tag) { Ok(tag == union.tag) } else { Err(no_branch(tag, union.branches)) }
}

/// Which of so many branches of its schema's union a record is, for whoever deals records out before they are decoded.
pub(in crate::decode) fn branch_of(record: &[u8], branches: usize) -> Read<usize> {
    let tag = Cursor::new(record).long()?;
    let branch = usize::try_from(tag).ok().filter(|branch| *branch < branches);
    branch.ok_or_else(|| no_branch(tag, branches as i64))
}

/// Reads which branch it is, which must be that of the table.
fn choose(union: Chosen, input: &mut Cursor<'_>) -> Read {
    match input.long()? {
        tag if tag == union.tag => Ok(()),
        tag if (0..union.branches).contains(&tag) => {
            Err(Fault::foreign(format!("is branch {tag} of a union, and the table is of branch {}", union.tag)))
        }
        tag => Err(no_branch(tag, union.branches)),
    }
}

#[cold]
fn no_branch(tag: i64, count: i64) -> Box<Fault> {
    Fault::foreign(format!("is branch {tag} of a union, which has {count}"))
}

/// Appends the branch that is there; answers whether it is any but null.
fn union(program: &Union, columns: &mut Fields, input: &mut Cursor<'_>, number: usize) -> Read<bool> {
    let tag = input.long()?;
    match usize::try_from(tag).ok().and_then(|tag| program.branches.get(tag)) {
        Some(Branch::Null) => Ok(false),
        Some(Branch::Empty) => Ok(true),
        Some(Branch::Field(program)) => field(program, columns, input, number).map(|()| true),
        None => Err(no_branch(tag, program.branches.len() as i64)),
    }
}

fn list(element: &Step, list: &mut List, input: &mut Cursor<'_>) -> Read {
    loop {
        let block = input.block()?;
        if block.count == 0 {
            break;
        }
        for _ in 0..block.count {
            let index = list.element.len() - list.start();
            cell(element, &mut list.element, input).map_err(|fault| fault.under(place::Step::Element(index)))?;
        }
        input.close(&block)?;
    }
    Ok(list.close().ok_or(Misfit::Range("a batch holds 2^31 elements of one column"))?)
}

fn map(entry: &Entry, map: &mut Map, input: &mut Cursor<'_>) -> Read {
    loop {
        let block = input.block()?;
        if block.count == 0 {
            break;
        }
        for _ in 0..block.count {
            let row = map.keys.len();
            let keys = map.keys.column();
            scalar(&entry.key, &mut keys.values, input)?;
            keys.validity.append_value();
            cell(&entry.value, &mut map.value, input).map_err(|fault| fault.under(member(&map.keys.shown(row))))?;
        }
        input.close(&block)?;
    }
    if map.has_repeats() {
        return Err(Fault::repeated_key());
    }
    Ok(map.close().ok_or(Misfit::Range("a batch holds 2^31 entries of one column"))?)
}

/// Appends a value without its validity.
#[inline(always)]
fn scalar(kind: &Scalar, values: &mut Values, input: &mut Cursor<'_>) -> Read {
    match (kind, values) {
        (Scalar::Long, Values::Bigint(numbers)) => numbers.push(input.long()?)?,
        (Scalar::Text, Values::Text(texts)) => texts.runs.push(input.text()?)?,
        (Scalar::Int, Values::Int(numbers)) => numbers.push(input.int()?)?,
        (Scalar::Double, Values::Double(numbers)) => numbers.push(input.double()?)?,
        (Scalar::Boolean, Values::Boolean(booleans)) => booleans.push(input.boolean()?),
        (Scalar::Timestamp { unit, .. }, Values::Timestamp(numbers)) => {
            numbers.push(timestamp(*unit, input.long()?)?)?
        }
        (Scalar::Bytes, Values::Bytes(bytes)) => bytes.runs.push(input.bytes()?)?,
        (kind, values) => return rare(kind, values, input),
    }
    Ok(())
}

/// The scalars that records have less often, and those whose column is wider.
fn rare(kind: &Scalar, values: &mut Values, input: &mut Cursor<'_>) -> Read {
    match (kind, values) {
        (Scalar::Int, Values::Bigint(numbers)) => numbers.push(input.int()?.into())?,
        (Scalar::Int, Values::Double(numbers)) => numbers.push(input.int()?.into())?,
        (Scalar::Timestamp { unit: Unit::Nanos, .. }, Values::Bigint(numbers)) => numbers.push(input.long()?)?,
        (Scalar::Float, Values::Float(numbers)) => numbers.push(input.float()?)?,
        (Scalar::Float, Values::Double(numbers)) => numbers.push(input.float()?.into())?,
        (Scalar::Text, Values::Bytes(bytes)) => bytes.runs.push(input.text()?)?,
        (Scalar::Bytes, Values::Text(texts)) => texts.runs.push(input.text()?)?,
        (Scalar::Fixed(size), Values::Bytes(bytes)) => bytes.runs.push(input.fixed(*size, "a fixed")?)?,
        (Scalar::Uuid, Values::Text(texts)) => {
            let uuid = Uuid::from_slice(input.fixed(16, "a uuid")?).unwrap_or_default();
            texts.runs.push(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes())?;
        }
        (Scalar::Enum(symbols), Values::Text(texts)) => texts.runs.push(symbol(symbols, input)?.as_bytes())?,
        (Scalar::Enum(symbols), Values::Bytes(bytes)) => bytes.runs.push(symbol(symbols, input)?.as_bytes())?,
        (Scalar::Decimal { size, precision, .. }, Values::Decimal(numbers)) => {
            decimal(*size, *precision, numbers, input)?;
        }
        (Scalar::Date, Values::Date(numbers)) => numbers.push(temporal::date_of_days(input.int()?.into())?)?,
        (Scalar::TimeMillis, Values::Time(numbers)) => numbers.push(time(input.int()?.into(), 1)?)?,
        (Scalar::TimeMicros, Values::Time(numbers)) => numbers.push(time(input.long()?, 1000)?)?,
        _ => return Err(Fault::unbound()),
    }
    Ok(())
}

fn timestamp(unit: Unit, value: i64) -> Result<i64, Misfit> {
    match unit {
        Unit::Millis => temporal::timestamp_of_millis(value),
        Unit::Micros => temporal::timestamp_of_micros(value),
        Unit::Nanos => temporal::timestamp_of_micros(value.div_euclid(NANOS_A_MICRO)),
    }
}

/// Microseconds of a day, from a time of so many units a millisecond.
fn time(value: i64, units_a_milli: i64) -> Result<i64, Misfit> {
    if (0..MILLIS_A_DAY * units_a_milli).contains(&value) {
        Ok(value * (1000 / units_a_milli))
    } else {
        Err(Misfit::Range("a time of day lies between 00:00 and 24:00"))
    }
}

fn symbol<'a>(symbols: &'a [Box<str>], input: &mut Cursor<'_>) -> Read<&'a str> {
    let index = input.int()?;
    let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
    symbol
        .map(|symbol| &**symbol)
        .ok_or_else(|| Fault::foreign(format!("is symbol {index} of an enum, which has {}", symbols.len())))
}

/// A whole number in two's complement, its highest byte first.
fn decimal(size: Option<usize>, precision: u8, numbers: &mut Numbers<Decimal128Type>, input: &mut Cursor<'_>) -> Read {
    let bytes = match size {
        Some(size) => input.fixed(size, "a fixed")?,
        None => input.bytes()?,
    };
    let fill = match bytes.first() {
        Some(0x80..) => 0xff,
        Some(_) => 0,
        None => return Err(Fault::foreign("is a decimal without digits")),
    };
    // Bytes that only repeat the sign may be any number.
    let padding = bytes.iter().take_while(|byte| **byte == fill).count();
    let digits = bytes.get(padding..).unwrap_or_default();
    let too_wide = || Fault::out_of_range(format!("is a decimal of more than the {precision} digits of its schema"));
    if digits.len() > size_of::<i128>() {
        return Err(too_wide());
    }
    let start = if fill == 0 { 0_i128 } else { -1 };
    // Sixteen bytes of the other sign would wrap: the sign tells.
    let value = digits.iter().fold(start, |value, byte| (value << 8) | i128::from(*byte));
    if (value < 0) != (fill == 0xff) || !is_within(value, precision) {
        return Err(too_wide());
    }
    Ok(numbers.push(value)?)
}

fn is_within(value: i128, precision: u8) -> bool {
    10_i128.checked_pow(precision.into()).is_some_and(|limit| -limit < value && value < limit)
}
