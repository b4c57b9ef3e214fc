//! The fast reader: one pass over a record's bytes, straight into the columns.
//!
//! Owns what each type of column takes of it. It takes what fits and gives up on anything else without saying why: the
//! careful reader then looks at the same record again, and either takes it or explains.
//! - I1: what it takes, the careful reader takes too, with the same result.
//! - I2: nothing is dropped: a key without a column is passed over only if its value says nothing.
//! - I3: of a repeated key the last value counts.

use arrow::datatypes::Decimal128Type;

use super::cursor::{Cursor, Number};
use crate::decode::columns::column::{Column, Values};
use crate::decode::columns::fields::{Fields, Place};
use crate::decode::columns::leaf::{Leaf, Numbers};
use crate::decode::columns::list::List;
use crate::decode::columns::map::Map;
use crate::decode::columns::runs::Texts;

/// Appends one record as row `row`, or gives up and leaves half of it behind.
pub(super) fn read(fields: &mut Fields, value: &[u8], row: usize, unescaped: &mut String) -> Option<()> {
    // Checked once as a whole: texts and keys are then taken without a check of each.
    let mut json = Cursor::new(std::str::from_utf8(value).ok()?, unescaped);
    members(&mut json, fields, row, 0)?;
    json.is_at_end().then_some(())
}

/// The members of an object that is inside of `depth` others, each into its column.
#[inline]
fn members(json: &mut Cursor<'_>, fields: &mut Fields, row: usize, depth: usize) -> Option<()> {
    if json.peek()? != b'{' {
        return None;
    }
    let mut place = Place::default();
    json.inside(depth, b'}', |json, depth| {
        let column = fields.find(&mut place, json.text()?);
        json.expect(b':')?;
        match column {
            Some(column) => {
                column.place(row);
                cell(json, column, depth)
            }
            None => silence(json, depth),
        }
    })?;
    fields.missing(row).is_none().then_some(())
}

/// One value of one column.
#[inline]
fn cell(json: &mut Cursor<'_>, column: &mut Column, depth: usize) -> Option<()> {
    let first = json.peek()?;
    if first == b'n' {
        json.word("null")?;
        column.nullable.then(|| column.pad(1))?;
        return Some(());
    }
    let row = column.len();
    match &mut column.values {
        Values::Boolean(leaf) => scalar(json, leaf, first),
        Values::Int(leaf) => scalar(json, leaf, first),
        Values::Bigint(leaf) => scalar(json, leaf, first),
        Values::Float(leaf) => scalar(json, leaf, first),
        Values::Double(leaf) => scalar(json, leaf, first),
        Values::Date(leaf) => scalar(json, leaf, first),
        Values::Time(leaf) => scalar(json, leaf, first),
        Values::Timestamp(leaf) => scalar(json, leaf, first),
        Values::Bytes(leaf) => scalar(json, leaf, first),
        Values::Text(leaf) if leaf.mixed => any_text(json, leaf, first, depth),
        Values::Text(leaf) => scalar(json, leaf, first),
        Values::Decimal(leaf) => decimal(json, leaf, first),
        Values::List(list) => elements(json, list, first, depth),
        Values::Map(map) => entries(json, map, first, depth),
        Values::Row(fields) => members(json, fields, row, depth),
    }?;
    column.validity.append_value();
    Some(())
}

#[inline]
fn scalar<L: Leaf>(json: &mut Cursor<'_>, leaf: &mut L, first: u8) -> Option<()> {
    let fit = match first {
        b'"' => leaf.text(json.text()?),
        b't' => json.word("true").map(|()| leaf.boolean(true))?,
        b'f' => json.word("false").map(|()| leaf.boolean(false))?,
        _ => match json.number()? {
            Number::Whole(value) => leaf.whole(value),
            Number::Fraction(value) => leaf.fraction(value),
            Number::Other(text) => leaf.number(text),
        },
    };
    fit.ok()
}

/// A decimal by its exact text.
fn decimal(json: &mut Cursor<'_>, leaf: &mut Numbers<Decimal128Type>, first: u8) -> Option<()> {
    let fit = match first {
        b'"' => leaf.text(json.text()?),
        b'-' | b'0'..=b'9' => leaf.number(json.raw(0)?),
        _ => return None,
    };
    fit.ok()
}

/// Any value for a declared STRING: text as it is, anything else as its JSON text.
fn any_text(json: &mut Cursor<'_>, leaf: &mut Texts, first: u8, depth: usize) -> Option<()> {
    let fit = match first {
        b'"' => leaf.text(json.text()?),
        _ => leaf.text(json.raw(depth)?),
    };
    fit.ok()
}

fn elements(json: &mut Cursor<'_>, list: &mut List, first: u8, depth: usize) -> Option<()> {
    if first != b'[' {
        return None;
    }
    json.inside(depth, b']', |json, depth| cell(json, &mut list.element, depth))?;
    list.close()
}

fn entries(json: &mut Cursor<'_>, map: &mut Map, first: u8, depth: usize) -> Option<()> {
    if first != b'{' {
        return None;
    }
    json.inside(depth, b'}', |json, depth| {
        map.keys.text(json.text()?).ok()?;
        json.expect(b':')?;
        cell(json, &mut map.value, depth)
    })?;
    if map.has_repeats() { None } else { map.close() }
}

/// A value that tells nothing about its type: null, an empty object or array, or one of nothing else.
fn silence(json: &mut Cursor<'_>, depth: usize) -> Option<()> {
    match json.peek()? {
        b'n' => json.word("null"),
        b'[' => json.inside(depth, b']', silence),
        b'{' => json.inside(depth, b'}', |json, depth| {
            json.text()?;
            json.expect(b':')?;
            silence(json, depth)
        }),
        _ => None,
    }
}
