//! Protobuf's bytes: tags, what follows them, and what is passed over.
//!
//! Owns [`Tag`] and [`WireType`].
//! - I1: passing over takes no calls inside of calls, however deep groups lie.
//! - I2: every tag takes a byte at least, so that no loop over tags outlasts its bytes.

use crate::decode::binary::cursor::Cursor;
use crate::decode::binary::fault::{Fault, Read};

/// Numbers beyond it no compiler takes.
const NUMBER_MAX: u64 = (1 << 29) - 1;
/// Groups inside of each other that no field knows; compilers read a hundred.
const GROUPS_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Eight,
    /// A length, and so many bytes.
    Run,
    GroupStart,
    GroupEnd,
    Four,
}

impl WireType {
    pub fn name(self) -> &'static str {
        match self {
            WireType::Varint => "a varint",
            WireType::Eight => "8 bytes",
            WireType::Run => "a run of bytes",
            WireType::GroupStart => "a group",
            WireType::GroupEnd => "the end of a group",
            WireType::Four => "4 bytes",
        }
    }
}

/// What a field's bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub number: u32,
    pub wire: WireType,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(super) fn tag(&mut self) -> Read<Tag> {
        let bits = self.varint()?;
        let wire = match bits & 7 {
            0 => WireType::Varint,
            1 => WireType::Eight,
            2 => WireType::Run,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Four,
            other => return Err(Fault::foreign(format!("has a field of wire type {other}, which is none"))),
        };
        match bits >> 3 {
            number @ 1..=NUMBER_MAX => Ok(Tag { number: number as u32, wire }),
            number => Err(Fault::foreign(format!("has a field of number {number}, which none has"))),
        }
    }

    /// A length, and so many bytes.
    #[inline(always)]
    pub(super) fn delimited(&mut self) -> Read<&'a [u8]> {
        let length = self.varint()?;
        self.run(length)
    }

    /// Passes over what follows a tag.
    pub(super) fn skip(&mut self, tag: Tag) -> Read {
        let mut open = Vec::new();
        let mut tag = tag;
        loop {
            match tag.wire {
                WireType::Varint => drop(self.varint()?),
                WireType::Eight => drop(self.fixed(8, "a number")?),
                WireType::Four => drop(self.fixed(4, "a number")?),
                WireType::Run => drop(self.delimited()?),
                WireType::GroupStart if open.len() == GROUPS_MAX => {
                    return Err(Fault::too_deep(format!("has more than {GROUPS_MAX} groups inside of each other")));
                }
                WireType::GroupStart => open.push(tag.number),
                WireType::GroupEnd if open.pop() == Some(tag.number) => {}
                WireType::GroupEnd => {
                    return Err(Fault::foreign(format!("ends group {}, which is not open", tag.number)));
                }
            }
            if open.is_empty() {
                return Ok(());
            }
            tag = self.tag()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_field_knows_is_passed_over_to_its_end() {
        let group = [0x0b, 0x08, 0x96, 0x01, 0x13, 0x14, 0x1a, 1, 7, 0x0c];
        for (bytes, left) in [
            (&[0x08, 0x96, 0x01, 9][..], 1),
            (&[0x09, 1, 2, 3, 4, 5, 6, 7, 8], 0),
            (&[0x0a, 3, 1, 2, 3, 9, 9], 2),
            (&[0x0d, 1, 2, 3, 4, 9], 1),
            (&group, 0),
        ] {
            let mut cursor = Cursor::new(bytes);
            let tag = cursor.tag().unwrap();
            cursor.skip(tag).unwrap();
            assert_eq!((tag.number, cursor.left()), (1, left), "{bytes:?}");
        }
        for bytes in [&[0x0a, 3, 1][..], &[0x0b, 0x14], &[0x0c], &[0x0b], &[0x09, 1], &[0x0b; 101], &[0x0f], &[0x00]] {
            let mut cursor = Cursor::new(bytes);
            let skipped = cursor.tag().and_then(|tag| cursor.skip(tag));
            assert!(skipped.is_err(), "{bytes:?}");
        }
    }
}
