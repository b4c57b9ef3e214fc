//! Reading one partition while others append to it.
//!
//! Owns [`PartitionReader`]: how far the log can be read, where an offset is, and the next chunk of records.
//! - I1: nothing beyond the published end is handed out (see `log_end`). If the files go beyond it and no writer is
//!   at work, a writer died: the reader settles the end itself, and cuts nothing.
//! - I2: memory is one chunk: `bytes_max`, or one batch where that is larger.
//! - I3: a bad batch before the end is an error with file and position, and the good ones before it come first.
//! - I4: an end is believed if it explains the files, or was settled, or moved while it was watched. One that a crash
//!   left behind may lie before records that were read already, and a reader that believed it would call them lost.
//!
//! Nothing stays open between polls, so a thousand idle partitions cost no descriptors, and nothing is opened while
//! nothing is appended.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tableflow_model::source::Range;
use tableflow_model::{Error, Offset, Partition, Records, Result};

use super::batch::{HEADER_BYTES, Header};
use super::decode::{BadBatch, Expected, decode};
use super::disk::{Disk, damaged, failed};
use super::log_end::{LOCK_PAUSE, Locked, LogEnd, Place};
use super::recovery::settle;
use super::segment::{self, Segment};
use super::watch::Watch;

/// Spans are 32 bits wide: a chunk stays well below.
const CHUNK_BYTES_MAX: usize = 1 << 30;

/// An append takes milliseconds and ends with a published end. This long a reader that knows none waits for one, or for
/// the lock.
const FIRST_END_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct PartitionReader {
    pub partition: Partition,
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    segments: Vec<Segment>,
    /// Up to where it can be read; none before the first look.
    end: Option<Place>,
    /// Where a torn tail was found, and the size of the file then: no need to look at it again.
    torn: Option<(Place, u64)>,
    /// Where to read on; none before the first seek.
    cursor: Option<Place>,
}

impl PartitionReader {
    pub fn new(partition: Partition, directory: PathBuf, disk: Arc<dyn Disk>) -> PartitionReader {
        let segments = Vec::new();
        PartitionReader { partition, directory, disk, segments, end: None, torn: None, cursor: None }
    }

    /// What can be read now.
    pub fn range(&mut self, watch: &Watch) -> Result<Range> {
        let end = self.find_end(watch)?;
        let start = self.segments.first().map_or(end.next_offset, |first| first.base_offset);
        Ok(Range { start: Offset(start), end: Offset(end.next_offset) })
    }

    /// How many bytes there are to read, or at least one where there is anything.
    pub fn pending_bytes(&mut self, watch: &Watch) -> Result<u64> {
        let end = self.find_end(watch)?;
        let Some(cursor) = self.cursor.filter(|cursor| cursor.next_offset < end.next_offset) else {
            return Ok(0);
        };
        if cursor.segment == end.segment {
            return Ok((end.position - cursor.position).max(1));
        }
        Ok(u64::MAX)
    }

    pub fn stop(&mut self) {
        self.cursor = None;
    }

    pub fn seek(&mut self, offset: Offset, watch: &Watch) -> Result<()> {
        let range = self.range(watch)?;
        if !(range.start..=range.end).contains(&offset) {
            return Err(Error::data(format!("partition {} has no offset {offset}", self.partition))
                .with_detail(format!("it holds offsets {} up to {}", range.start, range.end))
                .with_context("log", self.directory.display())
                .with_hint("the log is not the one that was read before: decide where to go on, and seek there"));
        }
        let end = self.end.unwrap_or_default();
        self.cursor = Some(if offset == range.end { end } else { self.locate(offset.0, end)? });
        Ok(())
    }

    /// How far the log can be read. While nothing is appended this looks at the names of two files and opens none.
    fn find_end(&mut self, watch: &Watch) -> Result<Place> {
        if let Some(end) = self.end
            && self.nothing_follows(end)?
        {
            return Ok(end);
        }
        let end = self.look_for_end(watch)?;
        self.end = Some(end);
        Ok(end)
    }

    /// An append makes the file in which the log ends longer, or makes the next one, named by the next offset.
    fn nothing_follows(&self, end: Place) -> Result<bool> {
        let last = size_of(&segment::path_of(&self.directory, end.segment))?;
        if last.unwrap_or(0) != end.position {
            return Ok(false);
        }
        Ok(end.position == 0 || size_of(&segment::path_of(&self.directory, end.next_offset))?.is_none())
    }

    /// I4: the end that is published and explains the files; or as it is settled here; or as a writer that is at work
    /// has published it.
    fn look_for_end(&mut self, watch: &Watch) -> Result<Place> {
        let log_end = LogEnd::open(&self.directory)?;
        let at_first = log_end.read()?;
        let mut published = at_first;
        for _ in 0..FIRST_END_WAIT.as_millis() / LOCK_PAUSE.as_millis() {
            if let Some(place) = published
                && (self.explains_the_files(place)? || published != at_first)
            {
                return Ok(place);
            }
            if let Some(lock) = log_end.try_lock()? {
                return self.settle(&log_end, &lock, watch);
            }
            if let Some(known) = self.end {
                // A writer is at work: what it published is good, what it has not will come.
                return Ok(published.filter(|place| place.next_offset >= known.next_offset).unwrap_or(known));
            }
            std::thread::sleep(LOCK_PAUSE);
            published = log_end.read()?;
        }
        Err(Error::unavailable(format!("the end of {} is not known yet", self.directory.display()))
            .with_detail("a process holds its lock and has not published an end")
            .with_hint("try again; if it stays so, find the process that produces to this topic, and end it"))
    }

    fn settle(&mut self, log_end: &LogEnd, lock: &Locked<'_>, watch: &Watch) -> Result<Place> {
        // Settling writes: only into the topic that the lock is of (I5 of `topic`).
        watch.check()?;
        let settled = settle(&self.directory, log_end, lock, self.disk.as_ref())?;
        self.adopt(settled.segments);
        self.torn = Some((settled.place, settled.place.position + settled.torn_bytes));
        Ok(settled.place)
    }

    /// Whether the published end is where the last file ends, or where its known torn tail begins.
    fn explains_the_files(&mut self, published: Place) -> Result<bool> {
        if self.segments.last().is_none_or(|last| last.base_offset != published.segment) {
            let listed = segment::list(&self.directory)?;
            self.adopt(listed);
        }
        let Some(last) = self.segments.last().filter(|last| last.base_offset == published.segment) else {
            return Ok(false);
        };
        // A next file that nobody has published: the mark is older than the files.
        if published.position > 0 && size_of(&segment::path_of(&self.directory, published.next_offset))?.is_some() {
            return Ok(false);
        }
        let size = last.size()?;
        Ok(size == published.position || self.torn == Some((published, size)))
    }

    /// Takes a fresh listing, with what is known of the files that were there before.
    fn adopt(&mut self, mut listed: Vec<Segment>) {
        for segment in &mut listed {
            let known = self.segments.binary_search_by_key(&segment.base_offset, |known| known.base_offset);
            if let Some(known) = known.ok().and_then(|at| self.segments.get_mut(at)) {
                segment.adopt_index(known);
            }
        }
        self.segments = listed;
    }

    /// The batch that holds `offset`. Reads headers only.
    fn locate(&mut self, offset: i64, end: Place) -> Result<Place> {
        let after = self.segments.partition_point(|segment| segment.base_offset <= offset);
        let Some(segment) = after.checked_sub(1).and_then(|at| self.segments.get_mut(at)) else {
            return Ok(end);
        };
        let file = segment.open()?;
        let limit = readable_bytes(segment, end)?;
        let mut position = segment.walk_start(offset);
        let mut header_bytes = [0; HEADER_BYTES];
        while position < limit {
            file.read_exact_at(&mut header_bytes, position)
                .map_err(|error| cut_short(&segment.path, position, error))?;
            let header = Header::parse(&header_bytes)
                .ok_or_else(|| damaged(&segment.path, position, BadBatch::Header.reason()))?;
            if header.next_offset() > offset {
                break;
            }
            segment.note(header.base_offset, position);
            position += header.total_bytes as u64;
        }
        Ok(Place { segment: segment.base_offset, position, next_offset: offset })
    }

    /// The next records and where to read on, or `None` where there is nothing yet.
    pub fn read(&mut self, bytes_max: usize) -> Result<Option<(Records, Place)>> {
        let Some(mut cursor) = self.cursor else { return Ok(None) };
        let Some((at, limit)) = self.next_extent(&mut cursor)? else { return Ok(None) };
        let Some(segment) = self.segments.get_mut(at) else { return Ok(None) };
        let chunk = read_chunk(segment, cursor.position, limit, bytes_max.min(CHUNK_BYTES_MAX))?;
        let mut records = Records { partition: self.partition, ..Records::default() };
        let read = decode_chunk(&chunk, segment, cursor, &mut records)?;
        records.buffer = Bytes::from(chunk);
        records.next_offset = Offset(read.next_offset);
        Ok(Some((records, read)))
    }

    /// What was read up to there was handed out.
    pub fn advance(&mut self, next: Place) {
        self.cursor = Some(next);
    }

    /// The segment that the cursor stands in and how far it can be read; moves the cursor over the end of a segment.
    fn next_extent(&self, cursor: &mut Place) -> Result<Option<(usize, u64)>> {
        let end = self.end.unwrap_or_default();
        while cursor.next_offset < end.next_offset {
            let found = self.segments.binary_search_by_key(&cursor.segment, |segment| segment.base_offset);
            let at = found.unwrap_or_else(|next| next);
            let Some(segment) = self.segments.get(at) else { return Ok(None) };
            let limit = readable_bytes(segment, end)?;
            if found.is_ok() && cursor.position < limit {
                return Ok(Some((at, limit)));
            }
            let next = if found.is_ok() { self.segments.get(at + 1) } else { Some(segment) };
            let Some(next) = next else { return Ok(None) };
            *cursor = Place { segment: next.base_offset, position: 0, next_offset: cursor.next_offset };
        }
        Ok(None)
    }
}

/// Of a file that may not be there.
fn size_of(path: &Path) -> Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

/// How much of a segment lies before the log's end.
fn readable_bytes(segment: &Segment, end: Place) -> Result<u64> {
    match segment.base_offset.cmp(&end.segment) {
        std::cmp::Ordering::Less => segment.size(),
        std::cmp::Ordering::Equal => Ok(end.position),
        std::cmp::Ordering::Greater => Ok(0),
    }
}

/// At most `bytes_max` bytes, but the first batch whole (I2).
fn read_chunk(segment: &Segment, position: u64, limit: u64, bytes_max: usize) -> Result<Vec<u8>> {
    let file = segment.open()?;
    let there = usize::try_from(limit - position).unwrap_or(CHUNK_BYTES_MAX);
    let mut chunk = vec![0; bytes_max.max(HEADER_BYTES).min(there)];
    let path = &segment.path;
    file.read_exact_at(&mut chunk, position).map_err(|error| cut_short(path, position, error))?;
    let first = Header::parse(&chunk).map_or(0, |header| header.total_bytes);
    if first > chunk.len() && first <= there {
        read_rest(&file, &mut chunk, first, position).map_err(|error| cut_short(path, position, error))?;
    }
    Ok(chunk)
}

fn read_rest(file: &File, chunk: &mut Vec<u8>, length: usize, position: u64) -> io::Result<()> {
    let read = chunk.len();
    chunk.resize(length, 0);
    file.read_exact_at(chunk.get_mut(read..).unwrap_or_default(), position + read as u64)
}

fn cut_short(path: &Path, position: u64, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return damaged(path, position, "the file ends before the log does");
    }
    failed("read", path, error)
}

fn unreadable(bad: BadBatch, path: &Path, position: u64) -> Error {
    match bad {
        BadBatch::Compressed => {
            Error::data(format!("the batch at byte {position} of {} is compressed", path.display()))
                .with_detail("local topics hold uncompressed batches only")
                .with_hint("produce the records again, with tableflow")
        }
        _ => damaged(path, position, bad.reason()),
    }
}

/// Decodes the whole batches of a chunk that was read at `cursor`; answers where to read on.
fn decode_chunk(chunk: &[u8], segment: &mut Segment, cursor: Place, records: &mut Records) -> Result<Place> {
    let mut read = cursor;
    let mut at = 0;
    let mut expected = Expected::Holds(cursor.next_offset);
    while at < chunk.len() {
        let header = match decode(chunk, at, expected, records) {
            Ok(header) => header,
            // Perhaps only cut by the chunk's end; a bad one is met again as the first of the next chunk (I3).
            Err(_) if at > 0 => break,
            Err(bad) => return Err(unreadable(bad, &segment.path, read.position)),
        };
        segment.note(header.base_offset, read.position);
        at += header.total_bytes;
        read.position += header.total_bytes as u64;
        read.next_offset = header.next_offset();
        expected = Expected::Starts(read.next_offset);
    }
    Ok(read)
}
