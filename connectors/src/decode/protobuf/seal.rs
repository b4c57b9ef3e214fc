//! The end of a record: what is open is closed, and what is absent is said.
//!
//! Owns [`seal`].
//! - I1: afterwards every list and map of the row is closed, and every field without presence has a value.

use super::program::{Absent, Field, Form, Message};
use super::read::append;
use crate::decode::binary::cursor::Cursor;
use crate::decode::binary::fault::{Fault, Read};
use crate::decode::columns::column::{Column, Values};
use crate::decode::columns::fields::Fields;
use crate::decode::columns::leaf::Misfit;
use crate::decode::columns::place::Step;

/// Closes row `row` of a message.
#[inline(always)]
pub(super) fn seal(program: &Message, columns: &mut Fields, row: usize) -> Read {
    for part in &program.fields {
        let Some(column) = columns.column(part.column) else { return Err(Fault::unbound()) };
        if column.len() > row && matches!(part.form, Form::Scalar(_)) {
            continue;
        }
        rest(part, column, row).map_err(|fault| fault.under(Step::Member(part.name.to_string())))?;
    }
    Ok(())
}

fn rest(part: &Field, column: &mut Column, row: usize) -> Read {
    let there = column.len() > row;
    match (&part.form, &mut column.values) {
        (Form::Row { message, .. }, Values::Row(columns)) if there => seal(message, columns, row),
        (Form::List(_), Values::List(_)) | (Form::Map(_), Values::Map(_)) => close(column, row),
        _ if there => Ok(()),
        _ => absent(part, column, row),
    }
}

fn close(column: &mut Column, row: usize) -> Read {
    column.place(row);
    let closed = match &mut column.values {
        Values::List(list) => list.close(),
        Values::Map(map) => {
            map.keep_last();
            map.close()
        }
        _ => None,
    };
    closed.ok_or(Misfit::Range("a batch holds 2^31 items of one column"))?;
    column.validity.append_value();
    Ok(())
}

fn absent(part: &Field, column: &mut Column, row: usize) -> Read {
    match (&part.absent, &part.form) {
        (Absent::Default(bytes), Form::Scalar(kind)) => append(kind, column, &mut Cursor::new(bytes), row),
        (Absent::Refused, _) => Err(Fault::required()),
        _ if !column.nullable => Err(Fault::missing(column)),
        _ => Ok(()),
    }
}
