//! Where a log really ends.
//!
//! Owns [`settle`]: under the lock, it finds the end of the last good batch, makes everything before it durable and
//! publishes it. Both writers and readers call it when the published end does not explain the files.
//! - I1: a bad batch with nothing good after it is a torn tail: an append that a crash cut short and nobody was
//!   promised. A bad batch with a good one after it is damage: an error with file and position, never cut.
//! - I2: what [`settle`] answers is on disk before it answers.
//! - I3: the scan starts at the published end where there is one, so its cost is that of what came after.
//! - I4: the last batch is written again before it is flushed. Whoever wrote it may have met a flush that failed: the
//!   system then takes the pages for clean, and flushing clean pages does nothing.
//!
//! I1 and I4 rest on the writer: every batch is flushed before the next one is written, whoever writes it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tableflow_model::Result;

use super::batch::{HEADER_BYTES, Header, checksum_is_right};
use super::disk::{Disk, damaged, failed, sync_directory};
use super::log_end::{Locked, LogEnd, Place};
use super::segment::{self, Segment};

/// The search for a batch after damage reads this much at a time.
const SEARCH_WINDOW_BYTES: usize = 1 << 20;

/// The end of a log and what lies behind it.
#[derive(Debug)]
pub(super) struct Settled {
    pub place: Place,
    /// Bytes after the end: a torn tail.
    pub torn_bytes: u64,
    pub segments: Vec<Segment>,
}

pub(super) fn settle(partition: &Path, log_end: &LogEnd, lock: &Locked<'_>, disk: &dyn Disk) -> Result<Settled> {
    let segments = segment::list(partition)?;
    let Some(last) = segments.last() else {
        return Ok(Settled { place: Place::default(), torn_bytes: 0, segments });
    };
    let file = last.open()?;
    let size = last.size()?;
    let published = log_end.read()?;
    let start = published
        .filter(|place| place.segment == last.base_offset && place.position <= size)
        .unwrap_or(Place::start_of_segment(last.base_offset));
    let (place, last_batch) = scan(&file, &last.path, start, size)?;
    if published != Some(place) {
        make_durable(&last.path, &last_batch, place, disk)?;
        sync_directory(partition)?;
        log_end.publish(lock, place);
    }
    Ok(Settled { place, torn_bytes: size - place.position, segments })
}

/// I4.
fn make_durable(path: &Path, last_batch: &[u8], end: Place, disk: &dyn Disk) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path).map_err(|error| failed("open", path, error))?;
    let position = end.position - last_batch.len() as u64;
    disk.write_all_at(&file, last_batch, position).map_err(|error| failed("write again the end of", path, error))?;
    disk.sync_data(&file).map_err(|error| failed("flush", path, error))
}

/// Walks from batch to batch, checksums included, to the last good one. Answers its end and its bytes; there are none
/// where nothing follows `start`.
fn scan(file: &File, path: &Path, start: Place, size: u64) -> Result<(Place, Vec<u8>)> {
    let mut place = start;
    let (mut bytes, mut last_batch) = (Vec::new(), Vec::new());
    while let Some(header) = read_good_batch(file, path, place.position, size, &mut bytes)? {
        // The checksum does not cover the base offset: it must be the next one.
        if header.base_offset != place.next_offset {
            break;
        }
        place.position += header.total_bytes as u64;
        place.next_offset = header.next_offset();
        std::mem::swap(&mut bytes, &mut last_batch);
    }
    if let Some(good) = find_good_batch_after(file, path, place, size)? {
        let reason = format!("the batch there is bad, but the one at byte {good} is good");
        return Err(damaged(path, place.position, &reason));
    }
    Ok((place, last_batch))
}

/// The header of the batch at `position`, if all of it is there and its checksum is right.
fn read_good_batch(file: &File, path: &Path, position: u64, size: u64, bytes: &mut Vec<u8>) -> Result<Option<Header>> {
    if position + HEADER_BYTES as u64 > size {
        return Ok(None);
    }
    read_exact(file, path, position, HEADER_BYTES, bytes)?;
    let Some(header) = Header::parse(bytes) else { return Ok(None) };
    if position + header.total_bytes as u64 > size {
        return Ok(None);
    }
    read_exact(file, path, position, header.total_bytes, bytes)?;
    Ok(checksum_is_right(bytes).then_some(header))
}

fn read_exact(file: &File, path: &Path, position: u64, length: usize, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.resize(length, 0);
    file.read_exact_at(bytes, position).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(path, position, "the file became shorter while it was read"),
        _ => failed("read", path, error),
    })
}

/// Looks at every byte after `place` for a batch that could have been appended after it.
fn find_good_batch_after(file: &File, path: &Path, place: Place, size: u64) -> Result<Option<u64>> {
    let mut window = Vec::new();
    let mut candidate_bytes = Vec::new();
    let mut window_start = place.position + 1;
    while window_start + HEADER_BYTES as u64 <= size {
        let length = (size - window_start).min(SEARCH_WINDOW_BYTES as u64) as usize;
        read_exact(file, path, window_start, length, &mut window)?;
        for at in 0..=length - HEADER_BYTES {
            let Some(header) = window.get(at..).and_then(Header::parse) else { continue };
            let position = window_start + at as u64;
            // A record has several bytes, so offsets cannot have advanced by more than the bytes between.
            let offset_max = place.next_offset.saturating_add_unsigned(position - place.position);
            if !(place.next_offset..=offset_max).contains(&header.base_offset) {
                continue;
            }
            if read_good_batch(file, path, position, size, &mut candidate_bytes)?.is_some() {
                return Ok(Some(position));
            }
        }
        window_start += (length - HEADER_BYTES + 1) as u64;
    }
    Ok(None)
}
