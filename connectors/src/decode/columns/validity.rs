//! Which rows of a column have a value.
//!
//! Owns [`Validity`].
//! - I1: no bit is kept before the first null.
//!
//! Arrow's `NullBufferBuilder` was looked at: it does the same, but asking its length is a call into another crate,
//! which a decoder makes for every value.

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::NullBuffer;

#[derive(Default)]
pub(in crate::decode) struct Validity {
    len: usize,
    bits: Option<BooleanBufferBuilder>,
}

impl Validity {
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn append_value(&mut self) {
        if let Some(bits) = &mut self.bits {
            bits.append(true);
        }
        self.len += 1;
    }

    pub fn append_nulls(&mut self, rows: usize) {
        let values = self.len;
        let bits = self.bits.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(values + rows);
            bits.append_n(values, true);
            bits
        });
        bits.append_n(rows, false);
        self.len += rows;
    }

    /// Forgets every row from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        if rows < self.len {
            if let Some(bits) = &mut self.bits {
                bits.truncate(rows);
            }
            self.len = rows;
        }
    }

    /// Of the rows from `first` on, keeps those that are marked.
    pub fn keep(&mut self, first: usize, marks: &[bool]) {
        let tail = first..self.len;
        let bits: Vec<bool> = match &self.bits {
            Some(bits) => tail.zip(marks).filter(|(_, mark)| **mark).map(|(row, _)| bits.get_bit(row)).collect(),
            None => vec![true; tail.zip(marks).filter(|(_, mark)| **mark).count()],
        };
        self.truncate(first);
        for bit in bits {
            if bit { self.append_value() } else { self.append_nulls(1) }
        }
    }

    /// The nulls, if there are any; no row is left.
    pub fn finish(&mut self) -> Option<NullBuffer> {
        self.len = 0;
        self.bits.take().map(|mut bits| NullBuffer::new(bits.finish()))
    }
}
