//! Which message of its schema a record has.
//!
//! Owns [`read`], for the index that Confluent's serializers write: how many numbers, then the place among the messages
//! of the file, then the places inside of it. One zero stands for the first message. In a header it stands behind the
//! id.
//! - I1: no more numbers are taken than messages may lie inside of each other.

use super::FIRST;
use crate::decode::Opened;
use crate::decode::binary::cursor::Cursor;
use crate::decode::binary::fault::{Fault, Read};

const NUMBERS_MAX: i64 = 32;

/// The index of a record, and the bytes of its message.
#[inline]
pub(in crate::decode) fn read<'a>(opened: &Opened<'a>, index: &mut Vec<u32>) -> Read<&'a [u8]> {
    if !opened.header_rest.is_empty() {
        numbers(&mut Cursor::new(opened.header_rest), index)?;
        return Ok(opened.payload);
    }
    match opened.payload {
        [0, message @ ..] => {
            first(index);
            Ok(message)
        }
        payload => {
            let mut input = Cursor::new(payload);
            numbers(&mut input, index)?;
            Ok(input.rest())
        }
    }
}

fn first(index: &mut Vec<u32>) {
    if index != FIRST {
        index.clear();
        index.extend_from_slice(FIRST);
    }
}

fn numbers(input: &mut Cursor<'_>, index: &mut Vec<u32>) -> Read {
    let count = input.long()?;
    if count == 0 {
        first(index);
        return Ok(());
    }
    if !(1..=NUMBERS_MAX).contains(&count) {
        return Err(Fault::foreign(format!("has a message index of {count} numbers")));
    }
    index.clear();
    for _ in 0..count {
        let number = input.long()?;
        let place = u32::try_from(number);
        index.push(place.map_err(|_| Fault::foreign(format!("has {number} in its message index")))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::SchemaKey;

    /// Index and message, or the words of the fault.
    fn of(payload: &[u8], header_rest: &[u8]) -> Result<(Vec<u32>, Vec<u8>), String> {
        let mut index = vec![9];
        let opened = Opened { schema: SchemaKey::id(1), payload, header_rest };
        let message =
            read(&opened, &mut index).map_err(|fault| fault.explain(0, crate::decode::Reason::NotProtobuf).message)?;
        Ok((index, message.to_vec()))
    }

    #[test]
    fn i1_the_index_is_before_the_message_or_in_the_header() {
        assert_eq!(of(&[0, 8, 1], &[]), Ok((vec![0], vec![8, 1])));
        assert_eq!(of(&[2, 0, 8, 1], &[]), Ok((vec![0], vec![8, 1])));
        assert_eq!(of(&[4, 2, 6, 8], &[]), Ok((vec![1, 3], vec![8])));
        assert_eq!(of(&[8, 1], &[0]), Ok((vec![0], vec![8, 1])));
        assert_eq!(of(&[0, 1], &[2, 4]), Ok((vec![2], vec![0, 1])));
        let faults = [
            (&[][..], "the value ends in the middle of a number"),
            (&[2], "the value ends in the middle of a number"),
            (&[1], "the value has a message index of -1 numbers"),
            (&[80, 0], "the value has a message index of 40 numbers"),
            (
                &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
                "the value has a message index of 9223372036854775807 numbers",
            ),
            (&[2, 1], "the value has -1 in its message index"),
            (&[2, 0x80, 0x80, 0x80, 0x80, 0x20], "the value has 4294967296 in its message index"),
        ];
        for (payload, message) in faults {
            assert_eq!(of(payload, &[]), Err(message.to_owned()), "{payload:?}");
        }
    }
}
