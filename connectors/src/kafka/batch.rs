//! What was fetched of one partition, as records over one buffer.
//!
//! Owns [`BatchOfRecords`].
//! - I1: a record is in whole or not at all; spans lie inside the buffer.
//! - I2: a batch ends between records, where whoever asks [`BatchOfRecords::bytes`] has enough.

use tableflow_model::records::Span;
use tableflow_model::{Appendings, Error, Offset, Partition, Records, Result};

use super::native::Record;

#[derive(Debug, Default)]
pub(super) struct BatchOfRecords {
    buffer: Vec<u8>,
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    keys: Vec<Span>,
    values: Vec<Span>,
    headers: Vec<(Span, Span)>,
    header_ends: Vec<u32>,
    appendings: Appendings,
}

impl BatchOfRecords {
    /// Room for what a poll may bring.
    pub fn with_capacity(bytes: usize, records: usize) -> Self {
        BatchOfRecords {
            buffer: Vec::with_capacity(bytes),
            offsets: Vec::with_capacity(records),
            timestamps: Vec::with_capacity(records),
            keys: Vec::with_capacity(records),
            values: Vec::with_capacity(records),
            headers: Vec::new(),
            header_ends: Vec::with_capacity(records),
            appendings: Appendings::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    pub fn push(&mut self, record: &Record<'_>) -> Result<()> {
        let key = self.copy(record.key)?;
        let value = self.copy(record.value)?;
        let mut failed = None;
        record.headers(|name, value| match (self.copy(Some(name)), self.copy(value)) {
            (Ok(name), Ok(value)) => self.headers.push((name, value)),
            (Err(error), _) | (_, Err(error)) => failed = Some(error),
        });
        if let Some(error) = failed {
            return Err(error);
        }
        self.offsets.push(record.offset);
        self.appendings.push(self.offsets.len(), record.appended);
        self.timestamps.push(record.timestamp_ms);
        self.keys.push(key);
        self.values.push(value);
        self.header_ends.push(u32::try_from(self.headers.len()).map_err(|_| too_large())?);
        Ok(())
    }

    fn copy(&mut self, bytes: Option<&[u8]>) -> Result<Span> {
        let Some(bytes) = bytes else { return Ok(Span::NULL) };
        let start = self.buffer.len();
        if start + bytes.len() > i32::MAX as usize {
            return Err(too_large());
        }
        self.buffer.extend_from_slice(bytes);
        Ok(Span::new(
            u32::try_from(start).map_err(|_| too_large())?,
            u32::try_from(bytes.len()).map_err(|_| too_large())?,
        ))
    }

    pub fn finish(self, partition: Partition, next_offset: Offset) -> Records {
        Records {
            partition,
            buffer: self.buffer.into(),
            offsets: self.offsets,
            timestamps: self.timestamps,
            keys: self.keys,
            values: self.values,
            headers: self.headers,
            header_ends: self.header_ends,
            appendings: self.appendings,
            next_offset,
        }
    }
}

/// Cannot be: a record has less, and no more is taken behind one so large (I3 of `native::queue`).
fn too_large() -> Error {
    Error::internal("what was fetched at once exceeds 2 GiB")
}
