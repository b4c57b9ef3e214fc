//! An input's bytes taken apart into schemas and records.
//!
//! Owns [`Input`], whose forms a person can write by hand, and [`records`].
//! - I1: every sequence of bytes is an input; what is missing at its end is empty.

use tableflow_model::{Offset, Records, Span};

/// Enough for what one record may do to its neighbours.
const RECORDS_MAX: usize = 64;

/// A record of an input; none is a null.
pub type Value<'a> = Option<&'a [u8]>;

/// What is left of an input.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// As many bytes, or those that are left.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A text up to the next byte 0.
    pub fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = String::from_utf8_lossy(self.take(end)).into_owned();
        self.byte();
        text
    }

    /// Bytes behind their length: one byte, 254 and two more, or 255 for null.
    pub fn value(&mut self) -> Value<'a> {
        let length = match self.byte() {
            255 => return None,
            254 => usize::from(self.byte()) | usize::from(self.byte()) << 8,
            length => usize::from(length),
        };
        Some(self.take(length))
    }

    /// The rest as records, each behind its length.
    pub fn values(mut self) -> Vec<Value<'a>> {
        let mut values = Vec::new();
        while !self.0.is_empty() && values.len() < RECORDS_MAX {
            values.push(self.value());
        }
        values
    }

    /// The rest as lines; one with a single byte 0 is null.
    pub fn lines(self) -> Vec<Value<'a>> {
        let lines = self.0.split(|byte| *byte == b'\n').take(RECORDS_MAX);
        lines.map(|line| (line != b"\0").then_some(line)).collect()
    }
}

/// Records with these values and headers.
pub fn records<'a>(values: &[Value<'a>], headers: &[Vec<(&'a [u8], Value<'a>)>]) -> Records {
    let mut buffer = Vec::new();
    let mut span = |bytes: Value| match bytes {
        Some(bytes) => {
            let start = buffer.len() as u32;
            buffer.extend_from_slice(bytes);
            Span::new(start, bytes.len() as u32)
        }
        None => Span::NULL,
    };
    let mut together = Records::default();
    for (index, value) in values.iter().enumerate() {
        together.values.push(span(*value));
        for (name, value) in headers.get(index).into_iter().flatten() {
            together.headers.push((span(Some(name)), span(*value)));
        }
        together.header_ends.push(together.headers.len() as u32);
        together.offsets.push(index as i64);
        together.timestamps.push(0);
        together.keys.push(Span::NULL);
    }
    together.next_offset = Offset(values.len() as i64);
    together.buffer = buffer.into();
    together
}
