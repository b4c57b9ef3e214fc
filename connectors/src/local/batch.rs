//! Kafka's record batch, version 2: its header, and the builder that writes one.
//!
//! ```text
//!  0 base offset i64 | 8 length of what follows i32 | 12 leader epoch i32 | 16 magic i8 = 2 | 17 crc32c u32
//!  21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64
//!  43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 record count i32 | 61 records
//!  record: length, attributes i8, timestamp delta, offset delta, key, value, headers (all varints)
//! ```
//! - I1: the checksum covers everything from the attributes on, so the base offset is set last, under the lock.
//! - I2: pushing allocates nothing per record: one buffer grows and is used again.
//! - I3: a record or batch that a reader would refuse for its size is refused here first.
//!
//! Neighbours: `decode` reads the records, `partition_log` writes the bytes.

use tableflow_model::{Appended, Error, Millis, Offset, Result, TimestampType};

use super::varint;
use crate::topics::HeaderField;

pub(super) const HEADER_BYTES: usize = 61;

/// Base offset and length: what precedes the bytes that the length counts.
const LENGTH_PREFIX_BYTES: usize = 12;

/// The first byte under the checksum.
const CHECKED_FROM: usize = 21;

/// Above this a record is refused: a reader holds a batch whole, and eight of these still fit a small machine.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// One record of the greatest size beside a batch that was nearly full; a longer length is damage.
pub(super) const BATCH_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;

const MAGIC: u8 = 2;
const COMPRESSION_BITS: i16 = 0b111;
const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
const CONTROL_BIT: i16 = 1 << 5;

/// What the first 61 bytes of a batch say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub base_offset: i64,
    /// Of the whole batch, this header included.
    pub total_bytes: usize,
    leader_epoch: i32,
    attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub count: usize,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

impl Header {
    /// The header at the start of `bytes`, or `None` where no batch of ours or of Kafka's can start like that.
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        if *bytes.get(16)? != MAGIC {
            return None;
        }
        let length = usize::try_from(i32::from_be_bytes(field(bytes, 8)?)).ok()?;
        let header = Header {
            base_offset: i64::from_be_bytes(field(bytes, 0)?),
            total_bytes: LENGTH_PREFIX_BYTES + length,
            leader_epoch: i32::from_be_bytes(field(bytes, 12)?),
            attributes: i16::from_be_bytes(field(bytes, 21)?),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)?),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)?),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)?),
            count: usize::try_from(i32::from_be_bytes(field(bytes, 57)?)).ok()?,
        };
        let size_is_possible = (HEADER_BYTES..=BATCH_BYTES_MAX).contains(&header.total_bytes);
        let offsets_are_possible = (0..=i64::MAX - (1 << 32)).contains(&header.base_offset);
        (size_is_possible && offsets_are_possible && header.last_offset_delta >= 0).then_some(header)
    }

    /// The offset after this batch, past any hole at its end.
    pub fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta) + 1
    }

    pub fn is_compressed(&self) -> bool {
        self.attributes & COMPRESSION_BITS != 0
    }

    /// A transaction's marker: it takes an offset but is no record of the user's.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// The one timestamp of all records, where the log and not the producer gave it.
    pub fn log_append_time(&self) -> Option<i64> {
        (self.attributes & LOG_APPEND_TIME_BIT != 0).then_some(self.max_timestamp)
    }

    /// How its records got into the log.
    pub fn appended(&self) -> Appended {
        let by_log = self.attributes & LOG_APPEND_TIME_BIT != 0;
        Appended {
            leader_epoch: (self.leader_epoch >= 0).then_some(self.leader_epoch),
            timestamp_type: Some(if by_log { TimestampType::LogAppendTime } else { TimestampType::CreateTime }),
        }
    }
}

/// Whether a whole batch is as it was written (I1).
pub(super) fn checksum_is_right(batch: &[u8]) -> bool {
    let stored = field(batch, 17).map(u32::from_be_bytes);
    let computed = batch.get(CHECKED_FROM..).map(crc32c::crc32c);
    stored.is_some() && stored == computed
}

/// Records on their way into one batch.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    /// Empty, or a header's place followed by records.
    bytes: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

fn bytes_length(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::length(bytes.len() as i64) + bytes.len())
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

impl BatchBuilder {
    pub fn new() -> Self {
        BatchBuilder::default()
    }

    pub fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The size of the batch so far.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the records and keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// Adds a record; a refused one leaves the batch as it was.
    pub fn push(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Millis,
        headers: &[HeaderField<'_>],
    ) -> Result<()> {
        let base_timestamp = if self.is_empty() { timestamp.0 } else { self.base_timestamp };
        // Wrapping, as in Java: the reader wraps back, so even the most distant timestamps survive.
        let timestamp_delta = timestamp.0.wrapping_sub(base_timestamp);
        let offset_delta = i64::from(self.count);
        let headers_length: usize =
            headers.iter().map(|(name, value)| bytes_length(Some(name)) + bytes_length(*value)).sum();
        let length = 1
            + varint::length(timestamp_delta)
            + varint::length(offset_delta)
            + bytes_length(key)
            + bytes_length(value)
            + varint::length(headers.len() as i64)
            + headers_length;
        self.check_room(length)?;

        if self.is_empty() {
            self.bytes.resize(HEADER_BYTES, 0);
            (self.base_timestamp, self.max_timestamp) = (timestamp.0, timestamp.0);
        }
        let out = &mut self.bytes;
        varint::put(out, length as i64);
        out.push(0);
        varint::put(out, timestamp_delta);
        varint::put(out, offset_delta);
        put_bytes(out, key);
        put_bytes(out, value);
        varint::put(out, headers.len() as i64);
        for (name, value) in headers {
            put_bytes(out, Some(name));
            put_bytes(out, *value);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp.0);
        self.count += 1;
        Ok(())
    }

    fn check_room(&self, record_bytes: usize) -> Result<()> {
        if record_bytes > RECORD_BYTES_MAX {
            return Err(Error::usage(format!("a record of {record_bytes} bytes is too large"))
                .with_detail(format!("a record has at most {RECORD_BYTES_MAX} bytes: key, value and headers together"))
                .with_hint("put the large part into an object store and send its address"));
        }
        let batch_bytes = self.bytes.len().max(HEADER_BYTES) + varint::length(record_bytes as i64) + record_bytes;
        if batch_bytes > BATCH_BYTES_MAX || self.count == i32::MAX {
            return Err(Error::usage("the batch is full")
                .with_detail(format!("a batch has at most {BATCH_BYTES_MAX} bytes"))
                .with_hint("append it, clear it and push the record again"));
        }
        Ok(())
    }

    /// The batch as it goes to disk, its first record at `base_offset`. May be called again with another offset.
    pub(super) fn seal(&mut self, base_offset: Offset) -> &[u8] {
        let length = self.bytes.len().saturating_sub(LENGTH_PREFIX_BYTES) as i32;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&base_offset.0.to_be_bytes());
        header.extend_from_slice(&length.to_be_bytes());
        header.extend_from_slice(&0_i32.to_be_bytes());
        header.push(MAGIC);
        header.extend_from_slice(&0_u32.to_be_bytes());
        header.extend_from_slice(&0_i16.to_be_bytes());
        header.extend_from_slice(&(self.count - 1).to_be_bytes());
        header.extend_from_slice(&self.base_timestamp.to_be_bytes());
        header.extend_from_slice(&self.max_timestamp.to_be_bytes());
        // Producer id, epoch and sequence: none.
        header.extend_from_slice(&[0xff; 14]);
        header.extend_from_slice(&self.count.to_be_bytes());
        overwrite(&mut self.bytes, 0, &header);
        let checksum = crc32c::crc32c(self.bytes.get(CHECKED_FROM..).unwrap_or_default());
        overwrite(&mut self.bytes, 17, &checksum.to_be_bytes());
        &self.bytes
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + with.len()) {
        place.copy_from_slice(with);
    }
}
