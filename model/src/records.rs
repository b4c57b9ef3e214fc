//! What comes out of a topic.
//!
//! Owns [`Records`]: consecutive records of one topic partition, column by column over one shared buffer, so
//! that a batch of a hundred thousand records is a handful of allocations.
//! - I1: offsets rise strictly; `next_offset` is greater than every one of them (holes are legal).
//! - I2: every span lies inside the buffer; a null is [`Span::NULL`].
//! - I3: all columns have the same length; `header_ends` are cumulative.
//! - I4: what records of one batch of the log share is kept once for all neighbours that have it, so it costs nothing a
//!   record.

use std::ops::Range;

use bytes::Bytes;

use crate::source::{Offset, Partition};

/// A range of a batch's buffer, or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    /// `u32::MAX` is null: no value is that long, a buffer is at most 2 GiB.
    length: u32,
}

impl Span {
    pub const NULL: Span = Span { start: 0, length: u32::MAX };

    pub fn new(start: u32, length: u32) -> Self {
        Span { start, length }
    }

    pub fn is_null(self) -> bool {
        self.length == u32::MAX
    }

    /// How many bytes it has.
    pub fn bytes(self) -> u64 {
        if self.is_null() { 0 } else { u64::from(self.length) }
    }

    /// The bytes, or `None` for null. A span from another buffer reads as null rather than as other bytes.
    pub fn of(self, buffer: &[u8]) -> Option<&[u8]> {
        if self.is_null() {
            return None;
        }
        let start = self.start as usize;
        buffer.get(start..start + self.length as usize)
    }
}

/// Who gave a record its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer.
    CreateTime,
    /// The log.
    LogAppendTime,
}

impl TimestampType {
    /// As Kafka writes it.
    pub fn name(self) -> &'static str {
        match self {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        }
    }
}

/// How a record got into its log; what is not known is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Which leader of the partition took it in.
    pub leader_epoch: Option<i32>,
    pub timestamp_type: Option<TimestampType>,
}

/// How consecutive records got into their log, by stretches (I4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appendings(Vec<(usize, Appended)>);

impl Appendings {
    /// Says it of all records below `end` that nothing was said of.
    #[inline]
    pub fn push(&mut self, end: usize, appended: Appended) {
        match self.0.last_mut() {
            Some((last, known)) if *known == appended => *last = end,
            _ => self.0.push((end, appended)),
        }
    }

    pub fn of(&self, row: usize) -> Appended {
        let at = self.0.partition_point(|(end, _)| *end <= row);
        self.0.get(at).map(|(_, appended)| *appended).unwrap_or_default()
    }
}

/// Consecutive records of one partition of one topic.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub partition: Partition,
    pub buffer: Bytes,
    pub offsets: Vec<i64>,
    /// Milliseconds since the epoch, as the producer or the log gave them.
    pub timestamps: Vec<i64>,
    pub keys: Vec<Span>,
    pub values: Vec<Span>,
    /// Name and value of every header of every record, in order; names may repeat.
    pub headers: Vec<(Span, Span)>,
    /// For each record, the end of its headers in `headers`.
    pub header_ends: Vec<u32>,
    pub appendings: Appendings,
    /// Where to read on: past the last record and past any hole after it.
    pub next_offset: Offset,
}

impl Records {
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    pub fn key(&self, row: usize) -> Option<&[u8]> {
        self.keys.get(row)?.of(&self.buffer)
    }

    pub fn value(&self, row: usize) -> Option<&[u8]> {
        self.values.get(row)?.of(&self.buffer)
    }

    /// How many bytes the keys, values and headers of some of the records have.
    pub fn bytes_of(&self, rows: Range<usize>) -> u64 {
        let spans =
            |spans: &[Span]| spans.get(rows.clone()).unwrap_or_default().iter().map(|span| span.bytes()).sum::<u64>();
        let end_of_headers =
            |row: usize| row.checked_sub(1).and_then(|last| self.header_ends.get(last)).copied().unwrap_or(0);
        let headers = end_of_headers(rows.start) as usize..end_of_headers(rows.end) as usize;
        let headers = self.headers.get(headers).unwrap_or_default();
        let headers = headers.iter().map(|(name, value)| name.bytes() + value.bytes()).sum::<u64>();
        spans(&self.keys) + spans(&self.values) + headers
    }

    /// Some of the records, in their order, over the same buffer.
    #[must_use]
    pub fn only(&self, rows: &[usize]) -> Records {
        let some = |values: &[i64]| rows.iter().filter_map(|row| values.get(*row).copied()).collect();
        let spans = |spans: &[Span]| rows.iter().filter_map(|row| spans.get(*row).copied()).collect();
        let mut some = Records {
            partition: self.partition,
            buffer: self.buffer.clone(),
            offsets: some(&self.offsets),
            timestamps: some(&self.timestamps),
            keys: spans(&self.keys),
            values: spans(&self.values),
            headers: Vec::new(),
            header_ends: Vec::with_capacity(rows.len()),
            appendings: Appendings::default(),
            next_offset: self.next_offset,
        };
        for (place, row) in rows.iter().enumerate() {
            some.appendings.push(place + 1, self.appendings.of(*row));
            some.headers.extend_from_slice(self.header_spans(*row));
            some.header_ends.push(u32::try_from(some.headers.len()).unwrap_or(u32::MAX));
        }
        some
    }

    /// Those before a row, and those from it on, over the same buffer.
    #[must_use]
    pub fn split_at(&self, row: usize) -> (Records, Records) {
        let (before, after): (Vec<usize>, Vec<usize>) = (0..self.len()).partition(|at| *at < row);
        let mut before = self.only(&before);
        if let Some(next) = self.offsets.get(row) {
            before.next_offset = Offset(*next);
        }
        (before, self.only(&after))
    }

    /// Some of the records, with their keys where their values were: for those who decode values.
    #[must_use]
    pub fn of_keys(&self, rows: &[usize]) -> Records {
        let mut of_keys = if rows.len() == self.len() { self.clone() } else { self.only(rows) };
        std::mem::swap(&mut of_keys.keys, &mut of_keys.values);
        of_keys
    }

    fn header_spans(&self, row: usize) -> &[(Span, Span)] {
        let start = row.checked_sub(1).and_then(|before| self.header_ends.get(before)).copied().unwrap_or(0);
        let end = self.header_ends.get(row).copied().unwrap_or(start);
        self.headers.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Names and values of a record's headers.
    pub fn headers(&self, row: usize) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.header_spans(row)
            .iter()
            .map(|(name, value)| (name.of(&self.buffer).unwrap_or_default(), value.of(&self.buffer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_keys_values_and_headers() {
        let span = |length| Span::new(0, length);
        let records = Records {
            keys: vec![Span::NULL, span(2), span(3)],
            values: vec![span(10), Span::NULL, span(20)],
            headers: vec![(span(1), span(4)), (span(1), Span::NULL), (span(2), span(5))],
            header_ends: vec![2, 2, 3],
            ..Records::default()
        };
        let bytes = [0..3, 0..1, 1..2, 2..3, 0..0].map(|rows| records.bytes_of(rows));
        assert_eq!(bytes, [48, 16, 2, 30, 0]);
    }

    #[test]
    fn i1_what_is_before_a_row_is_read_up_to_it() {
        let offsets = vec![3, 5, 9];
        let records = Records { timestamps: vec![30, 50, 90], offsets, next_offset: Offset(12), ..Records::default() };
        for (row, next) in [(0, 3), (1, 5), (2, 9), (3, 12)] {
            let (before, after) = records.split_at(row);
            assert_eq!((before.len(), before.next_offset, after.next_offset), (row, Offset(next), Offset(12)));
            assert_eq!([before.timestamps, after.timestamps].concat(), records.timestamps);
            assert_eq!([before.offsets, after.offsets].concat(), records.offsets);
        }
    }

    #[test]
    fn i4_neighbours_share_how_they_were_appended() {
        let by = |leader_epoch| Appended { leader_epoch: Some(leader_epoch), ..Appended::default() };
        let mut appendings = Appendings::default();
        for (end, epoch) in [(2, 1), (3, 1), (4, 2), (4, 3), (6, 1)] {
            appendings.push(end, by(epoch));
        }
        assert_eq!(
            (0..7).map(|row| appendings.of(row).leader_epoch).collect::<Vec<_>>(),
            [1, 1, 1, 2, 1, 1, 0].map(|epoch| (epoch > 0).then_some(epoch))
        );
        assert_eq!(appendings.0.len(), 4);
        let all = Records { offsets: (0..6).collect(), appendings, ..Records::default() };
        let some = all.only(&[0, 3, 5]);
        assert_eq!([0, 1, 2].map(|row| some.appendings.of(row).leader_epoch), [Some(1), Some(2), Some(1)]);
    }
}
