//! Kafka's variable-length integers: zig-zag, seven bits a byte, lowest first.
//!
//! Owns the encoding of one number and [`Cursor`], which reads numbers and byte strings of a batch in place.
//! - I1: what [`put`] writes, [`Cursor::varint`] reads, and [`length`] is its number of bytes.
//! - I2: a cursor never reads outside its bytes and never loops past ten bytes a number.

/// Bytes of the longest number: 64 bits in groups of seven.
const VARINT_BYTES_MAX: u32 = 10;

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// How many bytes `value` takes.
pub(super) fn length(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

pub(super) fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Reads forward through `bytes`; every method answers `None` where the bytes end too early.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub position: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], position: usize) -> Self {
        Cursor { bytes, position }
    }

    #[inline]
    pub fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.position)?;
        self.position += 1;
        Some(byte)
    }

    #[inline]
    pub fn varint(&mut self) -> Option<i64> {
        let first = self.byte()?;
        let mut value = u64::from(first & 0x7f);
        if first >= 0x80 {
            value |= self.varint_rest()?;
        }
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn varint_rest(&mut self) -> Option<u64> {
        let mut value = 0;
        for group in 1..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * group);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Steps over `length` bytes and answers where they start.
    #[inline]
    pub fn skip(&mut self, length: usize) -> Option<usize> {
        let start = self.position;
        let end = start.checked_add(length)?;
        if end > self.bytes.len() {
            return None;
        }
        self.position = end;
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_numbers_have_kafkas_bytes() {
        // By hand from the zig-zag rule: 0, -1, 1, -2 become 0, 1, 2, 3; 64 is 128, the first of two bytes.
        let cases: [(i64, &[u8]); 8] = [
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (64, &[0x80, 0x01]),
            (-65, &[0x81, 0x01]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ];
        for (value, bytes) in cases {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(length(value), bytes.len(), "{value}");
            assert_eq!(Cursor::new(bytes, 0).varint(), Some(value));
        }
    }

    #[test]
    fn i2_endless_and_cut_numbers_are_refused() {
        assert_eq!(Cursor::new(&[0xff; 20], 0).varint(), None);
        assert_eq!(Cursor::new(&[0x80], 0).varint(), None);
        assert_eq!(Cursor::new(&[1, 2, 3], 1).skip(3), None);
        assert_eq!(Cursor::new(&[1, 2, 3], 1).skip(usize::MAX), None);
    }
}
