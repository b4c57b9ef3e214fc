//! Avro's own words among bytes.
//!
//! Owns the reading of Avro's values and of the blocks of arrays and maps.
//! - I1: no count is believed that the bytes left could not hold: every item takes a byte at least.

use crate::decode::binary::cursor::Cursor;
use crate::decode::binary::fault::{Fault, Read};

impl<'a> Cursor<'a> {
    pub(super) fn boolean(&mut self) -> Read<bool> {
        match self.exactly::<1>("a boolean")? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Fault::foreign(format!("is a boolean of byte {other}"))),
        }
    }

    pub(super) fn float(&mut self) -> Read<f32> {
        Ok(f32::from_le_bytes(self.exactly("a float")?))
    }

    pub(super) fn double(&mut self) -> Read<f64> {
        Ok(f64::from_le_bytes(self.exactly("a double")?))
    }

    /// A length, and so many bytes.
    #[inline(always)]
    pub(super) fn bytes(&mut self) -> Read<&'a [u8]> {
        let length = self.long()?;
        match u64::try_from(length) {
            Ok(length) => self.run(length),
            Err(_) => Err(negative(length)),
        }
    }

    /// The bytes of a text.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Read<&'a [u8]> {
        Cursor::checked(self.bytes()?)
    }

    /// How many items follow; after the last ones, none.
    pub(super) fn block(&mut self) -> Read<Block> {
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
        let size = u64::try_from(size).map_err(|_| negative(size))?;
        let end = usize::try_from(size).ok().and_then(|size| self.left().checked_sub(size));
        end.ok_or_else(|| self.too_long(size))
    }

    /// Checks that a block ends where it said.
    pub(super) fn close(&self, block: &Block) -> Read {
        match block.end {
            Some(end) if end != self.left() => Err(Fault::foreign("has a block of another size than it says")),
            _ => Ok(()),
        }
    }
}

/// Some items of an array or a map.
pub(super) struct Block {
    pub count: usize,
    end: Option<usize>,
}

#[cold]
fn negative(length: i64) -> Box<Fault> {
    Fault::foreign(format!("has a length of {length}"))
}
