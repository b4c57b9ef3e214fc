//! Bytes, read from the front.
//!
//! Owns [`Cursor`]: numbers as Avro and Protobuf have them, and runs of bytes. Each format adds its own words.
//! - I1: nothing is allocated, and no length is believed before so many bytes are there.
//! - I2: a number of more bits than its type has is refused, never cut.

use super::fault::{Fault, Read};

pub(in crate::decode) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor(bytes)
    }

    /// What was not read.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    #[inline(always)]
    pub fn left(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    pub fn int(&mut self) -> Read<i32> {
        let long = self.long()?;
        i32::try_from(long).map_err(|_| Fault::foreign(format!("is an int of {long}, which has more than 32 bits")))
    }

    /// A number with its sign in the lowest bit.
    #[inline(always)]
    pub fn long(&mut self) -> Read<i64> {
        let bits = self.varint()?;
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }

    /// So many bytes.
    #[inline(always)]
    pub fn run(&mut self, length: u64) -> Read<&'a [u8]> {
        match usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length)) {
            Some((bytes, rest)) => {
                self.0 = rest;
                Ok(bytes)
            }
            None => Err(self.too_long(length)),
        }
    }

    /// The bytes, if they are text.
    #[inline(always)]
    pub fn checked(bytes: &'a [u8]) -> Read<&'a [u8]> {
        // Most texts are ASCII, and that is quicker to see.
        if !bytes.is_ascii() {
            std::str::from_utf8(bytes).map_err(|error| Fault::not_unicode(error.valid_up_to()))?;
        }
        Ok(bytes)
    }

    /// The bytes of a value that always has so many.
    pub fn fixed(&mut self, size: usize, what: &str) -> Read<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(size).ok_or_else(|| self.too_short(size, what))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub fn end(&self) -> Read {
        if self.0.is_empty() { Ok(()) } else { Err(Fault::trailing(self.left())) }
    }

    #[inline(always)]
    pub fn exactly<const SIZE: usize>(&mut self, what: &str) -> Read<[u8; SIZE]> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(|| self.too_short(SIZE, what))?;
        self.0 = rest;
        Ok(*bytes)
    }

    /// A number without a sign, seven bits a byte.
    #[inline(always)]
    pub fn varint(&mut self) -> Read<u64> {
        match self.0 {
            [byte @ 0..0x80, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    /// Seven bits a byte, the lowest first; the last byte has no high bit.
    #[inline]
    fn long_varint(&mut self) -> Read<u64> {
        if let Some(chunk) = self.0.first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            let ends = !word & 0x8080_8080_8080_8080;
            if ends != 0 {
                let length = ends.trailing_zeros() as usize / 8 + 1;
                self.0 = self.0.get(length..).unwrap_or_default();
                return Ok(packed(word & (ends ^ (ends - 1))));
            }
        }
        self.slow_varint()
    }

    #[cold]
    fn slow_varint(&mut self) -> Read<u64> {
        let mut bits = 0_u64;
        for (index, byte) in self.0.iter().enumerate().take(10) {
            // The tenth byte has room for one bit.
            if index == 9 && *byte > 1 {
                return Err(Fault::foreign("has a number of more than 64 bits"));
            }
            bits |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.0 = self.0.get(index + 1..).unwrap_or_default();
                return Ok(bits);
            }
        }
        Err(Fault::truncated("ends in the middle of a number"))
    }

    #[cold]
    pub fn too_long(&self, length: u64) -> Box<Fault> {
        Fault::truncated(format!("says that {length} bytes follow, and {} are left", self.left()))
    }

    #[cold]
    fn too_short(&self, size: usize, what: &str) -> Box<Fault> {
        Fault::truncated(format!("is {what} of {size} bytes, and {} are left", self.left()))
    }
}

/// The low seven bits of each byte, side by side.
#[inline]
fn packed(word: u64) -> u64 {
    let word = word & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = (word & 0x007f_007f_007f_007f) | ((word & 0x7f00_7f00_7f00_7f00) >> 1);
    let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
    (fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::binary::written::long;

    #[test]
    fn i2_numbers_of_every_length_read_back_wherever_they_end() {
        let edges =
            (0..64).flat_map(|bit| [1_i64 << bit, (1_i64 << bit).wrapping_sub(1), (1_i64 << bit).wrapping_neg()]);
        for value in edges.chain([0, -1, i64::MAX, i64::MIN]) {
            for behind in 0..12 {
                let mut bytes = long(value);
                bytes.extend(std::iter::repeat_n(0xff, behind));
                let mut cursor = Cursor::new(&bytes);
                assert_eq!((cursor.long().unwrap(), cursor.left()), (value, behind));
            }
        }
    }

    #[test]
    fn i2_what_is_no_number_is_refused() {
        for bytes in
            [&[][..], &[0x80], &[0xff; 9], &[0xff; 10], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]]
        {
            assert!(Cursor::new(bytes).long().is_err(), "{bytes:?}");
        }
        assert!(Cursor::new(&long(1 << 31)).int().is_err());
        assert_eq!(Cursor::new(&long(-1 << 31)).int().unwrap(), i32::MIN);
    }
}
