//! The files of a partition's log: named by the offset they start with, in offset order.
//!
//! Owns [`Segment`], its name, the listing of a partition, and the sparse index that is built while reading.
//! - I1: names sort as their offsets do; anything else in the folder is not a segment.
//! - I2: the index only ever shortens a walk: an entry is the offset and position of a batch that was seen there.
//! - I3: the index has an entry at most every [`INDEX_SPACING_BYTES`]: its size follows the segment's, not the
//!   number of records.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tableflow_model::Result;

use super::disk::failed;

const SUFFIX: &str = ".log";
const NAME_DIGITS: usize = 20;

/// A walk of 1 MiB reads at most some ten thousand headers: a few milliseconds.
const INDEX_SPACING_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub base_offset: i64,
    pub path: PathBuf,
    /// Base offset and position of some batches, in order.
    index: Vec<(i64, u64)>,
}

pub(super) fn path_of(partition: &Path, base_offset: i64) -> PathBuf {
    partition.join(format!("{base_offset:0NAME_DIGITS$}{SUFFIX}"))
}

fn base_offset_of(name: &str) -> Option<i64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let all_digits = digits.len() == NAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

/// The segments of a partition, in offset order.
pub(super) fn list(partition: &Path) -> Result<Vec<Segment>> {
    let reading = |error| failed("list", partition, error);
    let mut segments = Vec::new();
    for entry in fs::read_dir(partition).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        if let Some(base_offset) = entry.file_name().to_str().and_then(base_offset_of) {
            segments.push(Segment { base_offset, path: entry.path(), index: Vec::new() });
        }
    }
    segments.sort_by_key(|segment| segment.base_offset);
    Ok(segments)
}

impl Segment {
    pub fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| failed("open", &self.path, error))
    }

    pub fn size(&self) -> Result<u64> {
        fs::metadata(&self.path).map(|metadata| metadata.len()).map_err(|error| failed("read", &self.path, error))
    }

    /// Remembers that a batch starts there (I3).
    pub fn note(&mut self, base_offset: i64, position: u64) {
        let last = self.index.last().map_or(0, |(_, position)| *position);
        if position >= last + INDEX_SPACING_BYTES {
            self.index.push((base_offset, position));
        }
    }

    /// Where to start a walk that looks for `offset`.
    pub fn walk_start(&self, offset: i64) -> u64 {
        let after = self.index.partition_point(|(base_offset, _)| *base_offset <= offset);
        after.checked_sub(1).and_then(|at| self.index.get(at)).map_or(0, |(_, position)| *position)
    }

    /// Takes over what an older listing knew of the same file.
    pub fn adopt_index(&mut self, older: &mut Segment) {
        if older.base_offset == self.base_offset {
            self.index = std::mem::take(&mut older.index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_only_twenty_digits_and_the_suffix_name_a_segment() {
        let directory = tempfile::tempdir().unwrap();
        let legal = ["00000000000000000000.log", "00000000000000000101.log", "00000000000000000020.log"];
        for name in legal.iter().chain(&["log-end", "20.log", "0000000000000000002x.log", "00000000000000000020.tmp"]) {
            fs::write(directory.path().join(name), b"").unwrap();
        }
        let bases: Vec<i64> = list(directory.path()).unwrap().iter().map(|segment| segment.base_offset).collect();
        assert_eq!(bases, [0, 20, 101]);
        assert_eq!(path_of(directory.path(), 101), directory.path().join(legal[1]));
    }

    #[test]
    fn i2_i3_the_index_is_sparse_and_never_overshoots() {
        let mut segment = Segment { base_offset: 0, path: PathBuf::new(), index: Vec::new() };
        for batch in 0..4_000_i64 {
            segment.note(batch * 10, batch as u64 * 1_000);
        }
        assert_eq!(segment.index.len(), 3, "3.999 MB are three entries, the start needs none");
        for offset in [0, 9, 10_489, 10_490, 10_499, 39_999] {
            let start = segment.walk_start(offset);
            assert!(start <= offset as u64 / 10 * 1_000, "offset {offset}: {start}");
            assert!(offset as u64 / 10 * 1_000 - start <= INDEX_SPACING_BYTES + 1_000, "offset {offset}: {start}");
        }
    }
}
