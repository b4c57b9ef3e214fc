//! A batch's bytes -> records, in place.
//!
//! Owns [`decode`]: it appends the records of one batch to [`Records`] whose buffer is the chunk that was read.
//! - I1: nothing is copied and nothing is allocated per record; spans point into the chunk.
//! - I2: a batch is taken whole or not at all: a bad one leaves the records as they were.
//! - I3: control batches give no records; records below the offset asked for are left out.
//!
//! Neighbours: `batch` describes the bytes, `reader` reads chunks and turns [`BadBatch`] into an error.

use tableflow_model::{Records, Span};

use super::batch::{Header, checksum_is_right};
use super::varint::Cursor;

/// Why a batch cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadBatch {
    Header,
    Checksum,
    Records,
    Compressed,
    OutOfOrder,
}

impl BadBatch {
    pub fn reason(self) -> &'static str {
        match self {
            BadBatch::Header => "no record batch starts there, or it is cut short",
            BadBatch::Checksum => "the batch's checksum is wrong",
            BadBatch::Records => "the batch's checksum is right but its records are malformed",
            BadBatch::Compressed => "the batch is compressed",
            BadBatch::OutOfOrder => "the batch's offsets do not follow those before it",
        }
    }
}

/// Where the batch must stand: the base offset is not under the checksum, so only its place can vouch for it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    /// The batch holds this offset; records below it are left out.
    Holds(i64),
    /// The batch starts with this offset.
    Starts(i64),
}

impl Expected {
    fn first_offset(self) -> i64 {
        match self {
            Expected::Holds(offset) | Expected::Starts(offset) => offset,
        }
    }

    fn is_met_by(self, header: &Header) -> bool {
        match self {
            Expected::Holds(offset) => (header.base_offset..header.next_offset()).contains(&offset),
            Expected::Starts(offset) => header.base_offset == offset,
        }
    }
}

/// Appends the batch at `start` of `chunk` and answers its header.
pub(super) fn decode(
    chunk: &[u8],
    start: usize,
    expected: Expected,
    records: &mut Records,
) -> std::result::Result<Header, BadBatch> {
    let header = chunk.get(start..).and_then(Header::parse).ok_or(BadBatch::Header)?;
    let end = start + header.total_bytes;
    let batch = chunk.get(start..end).ok_or(BadBatch::Header)?;
    if !checksum_is_right(batch) {
        return Err(BadBatch::Checksum);
    }
    if !expected.is_met_by(&header) {
        return Err(BadBatch::OutOfOrder);
    }
    if header.is_control() {
        return Ok(header);
    }
    if header.is_compressed() {
        return Err(BadBatch::Compressed);
    }
    let rows_before = records.len();
    let headers_before = records.headers.len();
    let body = chunk.get(..end).unwrap_or_default();
    if decode_records(body, start + super::batch::HEADER_BYTES, &header, expected.first_offset(), records).is_none() {
        truncate(records, rows_before, headers_before);
        return Err(BadBatch::Records);
    }
    records.appendings.push(records.len(), header.appended());
    Ok(header)
}

fn truncate(records: &mut Records, rows: usize, headers: usize) {
    records.offsets.truncate(rows);
    records.timestamps.truncate(rows);
    records.keys.truncate(rows);
    records.values.truncate(rows);
    records.header_ends.truncate(rows);
    records.headers.truncate(headers);
}

fn reserve(records: &mut Records, rows: usize) {
    records.offsets.reserve(rows);
    records.timestamps.reserve(rows);
    records.keys.reserve(rows);
    records.values.reserve(rows);
    records.header_ends.reserve(rows);
}

/// A record has at least seven bytes: a count that promises more records than that is a lie.
const RECORD_BYTES_MIN: usize = 7;

fn decode_records(body: &[u8], start: usize, header: &Header, from: i64, records: &mut Records) -> Option<()> {
    if header.count > body.len().saturating_sub(start) / RECORD_BYTES_MIN {
        return None;
    }
    reserve(records, header.count);
    let log_append_time = header.log_append_time();
    let mut cursor = Cursor::new(body, start);
    let mut previous_delta = -1;
    for _ in 0..header.count {
        let length = usize::try_from(cursor.varint()?).ok()?;
        let end = cursor.position.checked_add(length)?;
        cursor.byte()?;
        let timestamp_delta = cursor.varint()?;
        let offset_delta = cursor.varint()?;
        if offset_delta <= previous_delta || offset_delta > i64::from(header.last_offset_delta) {
            return None;
        }
        previous_delta = offset_delta;
        let key = span(&mut cursor)?;
        let value = span(&mut cursor)?;
        let headers_before = records.headers.len();
        decode_headers(&mut cursor, &mut records.headers)?;
        if cursor.position != end {
            return None;
        }
        let offset = header.base_offset + offset_delta;
        if offset < from {
            records.headers.truncate(headers_before);
            continue;
        }
        records.offsets.push(offset);
        records.timestamps.push(log_append_time.unwrap_or(header.base_timestamp.wrapping_add(timestamp_delta)));
        records.keys.push(key);
        records.values.push(value);
        records.header_ends.push(records.headers.len() as u32);
    }
    (cursor.position == body.len()).then_some(())
}

#[inline]
fn decode_headers(cursor: &mut Cursor<'_>, headers: &mut Vec<(Span, Span)>) -> Option<()> {
    let count = cursor.varint()?;
    for _ in 0..u32::try_from(count).ok()? {
        let name = span(cursor)?;
        if name.is_null() {
            return None;
        }
        headers.push((name, span(cursor)?));
    }
    Some(())
}

/// A byte string's place; a chunk is shorter than 4 GiB, so its places fit.
#[inline]
fn span(cursor: &mut Cursor<'_>) -> Option<Span> {
    let length = cursor.varint()?;
    if length == -1 {
        return Some(Span::NULL);
    }
    let length = u32::try_from(length).ok()?;
    let start = cursor.skip(length as usize)?;
    Some(Span::new(start as u32, length))
}
