//! Avro's bytes, read from the front.
//!
//! Owns [`Cursor`]: numbers, lengths and runs of bytes.
//! - I1: nothing is allocated, and no length is believed before so many bytes are there.
//! - I2: a number of more bits than its type has is refused, never cut.

use super::fault::{Fault, Read};

pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor(bytes)
    }

    pub fn left(&self) -> usize {
        self.0.len()
    }

    pub fn boolean(&mut self) -> Read<bool> {
        match self.exactly::<1>("a boolean")? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Fault::foreign(format!("is a boolean of byte {other}"))),
        }
    }

    #[inline(always)]
    pub fn int(&mut self) -> Read<i32> {
        let long = self.long()?;
        i32::try_from(long).map_err(|_| Fault::foreign(format!("is an int of {long}, which has more than 32 bits")))
    }

    #[inline(always)]
    pub fn long(&mut self) -> Read<i64> {
        let bits = self.varint()?;
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }

    pub fn float(&mut self) -> Read<f32> {
        Ok(f32::from_le_bytes(self.exactly("a float")?))
    }

    pub fn double(&mut self) -> Read<f64> {
        Ok(f64::from_le_bytes(self.exactly("a double")?))
    }

    /// A length, and so many bytes.
    #[inline(always)]
    pub fn bytes(&mut self) -> Read<&'a [u8]> {
        let length = self.long()?;
        match usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length)) {
            Some((bytes, rest)) => {
                self.0 = rest;
                Ok(bytes)
            }
            None => Err(self.bad_length(length)),
        }
    }

    /// The bytes of a text.
    #[inline(always)]
    pub fn text(&mut self) -> Read<&'a [u8]> {
        let bytes = self.bytes()?;
        // Most texts are ASCII, and that is quicker to see.
        if !bytes.is_ascii() {
            std::str::from_utf8(bytes).map_err(|error| Fault::not_unicode(error.valid_up_to()))?;
        }
        Ok(bytes)
    }

    pub fn fixed(&mut self, size: usize) -> Read<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(size).ok_or_else(|| self.too_short(size, "a fixed"))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// How many items follow; after the last ones, none. Each takes a byte at least.
    pub fn block(&mut self) -> Read<Block> {
        let count = self.long()?;
        let end = if count < 0 { Some(self.block_end()?) } else { None };
        match usize::try_from(count.unsigned_abs()) {
            Ok(count) if count <= self.left() => Ok(Block { count, end }),
            _ => {
                let (count, left) = (count.unsigned_abs(), self.left());
                Err(Fault::truncated(format!("says that {count} items follow, and {left} bytes are left")))
            }
        }
    }

    /// How many bytes will be left behind a block that says its size.
    fn block_end(&mut self) -> Read<usize> {
        let size = self.long()?;
        let end = usize::try_from(size).ok().and_then(|size| self.left().checked_sub(size));
        end.ok_or_else(|| self.bad_length(size))
    }

    /// Checks that a block ends where it said.
    pub fn close(&self, block: &Block) -> Read {
        match block.end {
            Some(end) if end != self.left() => Err(Fault::foreign("has a block of another size than it says")),
            _ => Ok(()),
        }
    }

    pub fn end(&self) -> Read {
        if self.0.is_empty() { Ok(()) } else { Err(Fault::trailing(self.left())) }
    }

    fn exactly<const SIZE: usize>(&mut self, what: &str) -> Read<[u8; SIZE]> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(|| self.too_short(SIZE, what))?;
        self.0 = rest;
        Ok(*bytes)
    }

    #[inline(always)]
    fn varint(&mut self) -> Read<u64> {
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
    fn bad_length(&self, length: i64) -> Box<Fault> {
        if length < 0 {
            return Fault::foreign(format!("has a length of {length}"));
        }
        Fault::truncated(format!("says that {length} bytes follow, and {} are left", self.left()))
    }

    #[cold]
    fn too_short(&self, size: usize, what: &str) -> Box<Fault> {
        Fault::truncated(format!("is {what} of {size} bytes, and {} are left", self.left()))
    }
}

/// Some items of an array or a map.
pub(super) struct Block {
    pub count: usize,
    end: Option<usize>,
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

    /// Avro's own words for it: zigzag, then seven bits a byte.
    fn written(value: i64) -> Vec<u8> {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        let mut bytes = Vec::new();
        while rest > 127 {
            bytes.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        bytes.push(rest as u8);
        bytes
    }

    #[test]
    fn i2_numbers_of_every_length_read_back_wherever_they_end() {
        let edges =
            (0..64).flat_map(|bit| [1_i64 << bit, (1_i64 << bit).wrapping_sub(1), (1_i64 << bit).wrapping_neg()]);
        for value in edges.chain([0, -1, i64::MAX, i64::MIN]) {
            for behind in 0..12 {
                let mut bytes = written(value);
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
        assert!(Cursor::new(&written(1 << 31)).int().is_err());
        assert_eq!(Cursor::new(&written(-1 << 31)).int().unwrap(), i32::MIN);
    }
}
