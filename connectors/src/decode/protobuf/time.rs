//! `google.protobuf.Timestamp` into a column of timestamps.
//!
//! Owns [`timestamp`].
//! - I1: a time is cut to the microsecond at or before it, as everywhere: `columns::temporal`.
//! - I2: one that comes in two parts is one: what the second does not say is the first's.

use super::wire::WireType;
use crate::decode::binary::cursor::Cursor;
use crate::decode::binary::fault::{Fault, Read};
use crate::decode::columns::column::{Column, Values};
use crate::decode::columns::leaf::Misfit;
use crate::decode::columns::temporal;

const MICROS_A_SECOND: i64 = 1_000_000;
const NANOS_A_SECOND: i64 = 1_000_000_000;
const NANOS_A_MICRO: i64 = 1000;

pub(super) fn timestamp(bytes: &[u8], column: &mut Column, row: usize) -> Read {
    let Values::Timestamp(numbers) = &mut column.values else { return Err(Fault::unbound()) };
    let earlier = numbers.get(row).unwrap_or_default();
    let (mut seconds, mut nanos) =
        (earlier.div_euclid(MICROS_A_SECOND), earlier.rem_euclid(MICROS_A_SECOND) * NANOS_A_MICRO);
    let mut input = Cursor::new(bytes);
    while input.left() > 0 {
        let tag = input.tag()?;
        match (tag.number, tag.wire) {
            (1, WireType::Varint) => seconds = input.varint()?.cast_signed(),
            (2, WireType::Varint) => nanos = i64::from(input.varint()? as i32),
            (1 | 2, _) => return Err(Fault::foreign("is a Timestamp whose parts are no numbers")),
            _ => input.skip(tag)?,
        }
    }
    let micros = micros(seconds, nanos)?;
    column.place(row);
    let Values::Timestamp(numbers) = &mut column.values else { return Err(Fault::unbound()) };
    numbers.push(micros)?;
    column.validity.append_value();
    Ok(())
}

fn micros(seconds: i64, nanos: i64) -> Result<i64, Misfit> {
    if !(0..NANOS_A_SECOND).contains(&nanos) {
        return Err(Misfit::Range("a Timestamp has 0 to 999999999 nanoseconds"));
    }
    let whole = seconds.checked_mul(MICROS_A_SECOND).and_then(|micros| micros.checked_add(nanos / NANOS_A_MICRO));
    temporal::timestamp_of_micros(whole.unwrap_or(i64::MAX))
}
