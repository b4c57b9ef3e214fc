//! Messages of any shape as JSON text: `google.protobuf.Struct`, `Value` and `ListValue`.
//!
//! Owns [`text`].
//! - I1: what comes in two parts is one: the text so far is read again, and the second part goes into it.
//! - I2: no deeper than compilers read.

use serde_json::{Map, Number, Value};

use super::program::Shapeless;
use super::wire::WireType;
use crate::decode::binary::cursor::Cursor;
use crate::decode::binary::fault::{Fault, Read};
use crate::decode::columns::column::{Column, Values};

const DEPTH_MAX: usize = 100;
/// Beyond it doubles are whole numbers apart.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

pub(super) fn text(shape: Shapeless, bytes: &[u8], column: &mut Column, row: usize) -> Read {
    let Values::Text(texts) = &mut column.values else { return Err(Fault::unbound()) };
    let earlier = texts.runs.get(row).and_then(|text| serde_json::from_slice(text).ok());
    let mut value = earlier.unwrap_or_else(|| empty(shape));
    any(shape, &mut Cursor::new(bytes), &mut value, 0)?;
    column.place(row);
    let Values::Text(texts) = &mut column.values else { return Err(Fault::unbound()) };
    texts.runs.push(value.to_string().as_bytes())?;
    column.validity.append_value();
    Ok(())
}

fn empty(shape: Shapeless) -> Value {
    match shape {
        Shapeless::Struct => Value::Object(Map::new()),
        Shapeless::List => Value::Array(Vec::new()),
        Shapeless::Value => Value::Null,
    }
}

fn any(shape: Shapeless, input: &mut Cursor<'_>, into: &mut Value, depth: usize) -> Read {
    if depth > DEPTH_MAX {
        return Err(Fault::too_deep(format!("is nested more than {DEPTH_MAX} levels deep")));
    }
    while input.left() > 0 {
        let tag = input.tag()?;
        match (shape, tag.number, tag.wire) {
            (Shapeless::Struct, 1, WireType::Run) => entry(&mut Cursor::new(input.delimited()?), into, depth)?,
            (Shapeless::List, 1, WireType::Run) => {
                let mut item = Value::Null;
                any(Shapeless::Value, &mut Cursor::new(input.delimited()?), &mut item, depth + 1)?;
                if let Value::Array(items) = into {
                    items.push(item);
                }
            }
            (Shapeless::Value, 1..=6, wire) => one(tag.number, wire, input, into, depth)?,
            (_, 1, _) => return Err(Fault::foreign("is a Struct whose parts are no messages")),
            _ => input.skip(tag)?,
        }
    }
    Ok(())
}

fn entry(input: &mut Cursor<'_>, into: &mut Value, depth: usize) -> Read {
    let (mut key, mut value) = (String::new(), Value::Null);
    while input.left() > 0 {
        let tag = input.tag()?;
        match (tag.number, tag.wire) {
            (1, WireType::Run) => key = own_text(input)?,
            (2, WireType::Run) => {
                any(Shapeless::Value, &mut Cursor::new(input.delimited()?), &mut value, depth + 1)?;
            }
            (1 | 2, _) => return Err(Fault::foreign("is a Struct whose parts are no messages")),
            _ => input.skip(tag)?,
        }
    }
    if let Value::Object(members) = into {
        members.insert(key, value);
    }
    Ok(())
}

/// One of the kinds of a value: it takes the place of another kind, and goes on with its own.
fn one(number: u32, wire: WireType, input: &mut Cursor<'_>, into: &mut Value, depth: usize) -> Read {
    match (number, wire) {
        (1, WireType::Varint) => {
            input.varint()?;
            *into = Value::Null;
        }
        (2, WireType::Eight) => *into = Value::Number(self::number(f64::from_le_bytes(input.exactly("a double")?))?),
        (3, WireType::Run) => *into = Value::String(own_text(input)?),
        (4, WireType::Varint) => *into = Value::Bool(input.varint()? != 0),
        (5 | 6, WireType::Run) => {
            let shape = if number == 5 { Shapeless::Struct } else { Shapeless::List };
            let fits = if number == 5 { into.is_object() } else { into.is_array() };
            if !fits {
                *into = empty(shape);
            }
            any(shape, &mut Cursor::new(input.delimited()?), into, depth + 1)?;
        }
        _ => return Err(Fault::foreign("is a Value of a kind that is written otherwise")),
    }
    Ok(())
}

fn own_text(input: &mut Cursor<'_>) -> Read<String> {
    Ok(String::from_utf8_lossy(Cursor::checked(input.delimited()?)?).into_owned())
}

/// A double as JSON writes it: whole ones without a point.
fn number(value: f64) -> Read<Number> {
    if value.fract() == 0.0 && value.abs() < WHOLE_MAX && !(value == 0.0 && value.is_sign_negative()) {
        return Ok(Number::from(value as i64));
    }
    Number::from_f64(value)
        .ok_or_else(|| Fault::out_of_range(format!("has the number {value}, which JSON does not have")))
}
