//! Columns of texts and of bytes: values of varying length, one behind the other.
//!
//! Owns [`Runs`], and the two columns over it.
//! - I1: a value that is refused leaves no trace that `truncate` does not remove.

use std::sync::Arc;

use arrow::array::{ArrayRef, GenericByteArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{BinaryType, ByteArrayType, DataType, Utf8Type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tableflow_model::types::Width;

use super::leaf::{Fit, Leaf, Misfit, Store, check_text, take, take_offsets, too_wide};

/// Values of varying length in one run of bytes.
pub(in crate::decode) struct Runs {
    bytes: Vec<u8>,
    /// Where each value starts, and where the last one ends.
    offsets: Vec<i32>,
}

impl Runs {
    pub fn new() -> Self {
        Runs { bytes: Vec::new(), offsets: vec![0] }
    }

    pub fn push(&mut self, value: &[u8]) -> Fit {
        self.bytes.extend_from_slice(value);
        self.close()
    }

    /// Ends a value at the last byte.
    fn close(&mut self) -> Fit {
        let end = i32::try_from(self.bytes.len()).map_err(|_| Misfit::Range("a batch holds 2 GiB of one column"))?;
        self.offsets.push(end);
        Ok(())
    }

    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let (start, end) = (*self.offsets.get(row)?, *self.offsets.get(row + 1)?);
        self.bytes.get(start as usize..end as usize)
    }

    pub fn pad(&mut self, rows: usize) {
        let end = self.offsets.last().copied().unwrap_or_default();
        self.offsets.resize(self.offsets.len() + rows, end);
    }

    pub fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.bytes.truncate(self.offsets.last().copied().unwrap_or_default() as usize);
    }

    pub fn keep(&mut self, first: usize, marks: &[bool]) {
        let ends = self.offsets.split_off((first + 1).min(self.offsets.len()));
        let start = self.offsets.last().copied().unwrap_or_default();
        let tail = self.bytes.split_off(start as usize);
        let mut before = start;
        for (end, mark) in ends.into_iter().zip(marks) {
            if *mark {
                let value = tail.get((before - start) as usize..(end - start) as usize).unwrap_or_default();
                self.bytes.extend_from_slice(value);
                self.offsets.push(self.bytes.len() as i32);
            }
            before = end;
        }
    }

    pub fn finish(&mut self) -> (OffsetBuffer<i32>, Vec<u8>) {
        (take_offsets(&mut self.offsets), take(&mut self.bytes))
    }
}

/// A column that is runs, and says what else it takes.
trait OverRuns {
    type Arrow: ByteArrayType<Offset = i32>;

    fn runs(&mut self) -> &mut Runs;
}

impl<C: OverRuns> Store for C {
    fn data_type(&self) -> DataType {
        C::Arrow::DATA_TYPE
    }

    fn pad(&mut self, rows: usize) {
        self.runs().pad(rows);
    }

    fn truncate(&mut self, rows: usize) {
        self.runs().truncate(rows);
    }

    fn keep(&mut self, first: usize, marks: &[bool]) {
        self.runs().keep(first, marks);
    }

    fn finish(&mut self, _rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        let (offsets, bytes) = self.runs().finish();
        Arc::new(GenericByteArray::<C::Arrow>::new(offsets, bytes.into(), nulls))
    }
}

pub(in crate::decode) struct Texts {
    pub runs: Runs,
    /// Declared by the user: takes any JSON value, what is no text as its JSON text.
    pub declared: bool,
    /// Has met something other than text: values are read as JSON text from the start.
    pub mixed: bool,
    pub width: Option<Width>,
}

impl Texts {
    pub fn new(declared: bool) -> Self {
        Texts { runs: Runs::new(), declared, mixed: false, width: None }
    }

    pub fn copy(&self) -> Self {
        Texts { runs: Runs::new(), ..*self }
    }
}

impl OverRuns for Texts {
    type Arrow = Utf8Type;

    fn runs(&mut self) -> &mut Runs {
        &mut self.runs
    }
}

impl Leaf for Texts {
    fn text(&mut self, value: &str) -> Fit {
        if let Some(width) = self.width {
            check_text(width, value)?;
        }
        self.runs.push(value.as_bytes())
    }

    fn number(&mut self, _text: &str) -> Fit {
        Err(Misfit::Type)
    }
}

/// Bytes, which JSON carries as base64 text.
pub(in crate::decode) struct Binaries {
    pub runs: Runs,
    pub width: Option<Width>,
}

impl Binaries {
    pub fn new() -> Self {
        Binaries { runs: Runs::new(), width: None }
    }

    pub fn copy(&self) -> Self {
        Binaries { runs: Runs::new(), width: self.width }
    }
}

impl OverRuns for Binaries {
    type Arrow = BinaryType;

    fn runs(&mut self) -> &mut Runs {
        &mut self.runs
    }
}

impl Leaf for Binaries {
    fn text(&mut self, value: &str) -> Fit {
        let before = self.runs.bytes.len();
        STANDARD
            .decode_vec(value, &mut self.runs.bytes)
            .map_err(|_| Misfit::Form("bytes are base64 text with padding"))?;
        let length = self.runs.bytes.len() - before;
        match self.width {
            Some(width) if !width.takes_bytes(length) => Err(Misfit::Range(too_wide(width))),
            _ => self.runs.close(),
        }
    }
}
