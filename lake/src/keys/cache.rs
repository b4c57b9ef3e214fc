//! A key index on disk, from one process to the next.
//!
//! Owns [`Cached`]: of which table and snapshot an index is, by which seed its keys are hashed, its runs, and the data files
//! that it knows with their deleted rows.
//! - I1: whatever is read is what was written, else it counts as nothing: the head has a checksum, and so have runs.
//! - I2: an index is never taken for another table's, nor where keys are other columns or are hashed in another way.
//! - I3: a file's rows are taken from it only where each row that lives in the table was live when it was written.
//!   Since data files never change this is all that there is to ask, whatever snapshots came between, or went.

use std::path::Path;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use tableflow_model::{Error, Result};
use uuid::Uuid;

use super::run::{RunNote, unwritable};
use super::{KeyHasher, KeyIndex};

const MAGIC: [u8; 8] = *b"tfkeys01";
const HEAD: &str = "index";

/// The part that has no bitmaps.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    table: Uuid,
    snapshot: Option<i64>,
    key: Vec<i32>,
    way: String,
    seed: u64,
    /// Of files that were given out so far.
    numbers: u32,
    runs: Vec<RunNote>,
    /// Number and path, in the order of their bitmaps.
    files: Vec<(u32, String)>,
}

/// A data file that an index knows.
#[derive(Clone, Debug)]
pub struct CachedFile {
    pub number: u32,
    pub path: String,
    pub deleted: RoaringTreemap,
}

/// What there is on disk.
#[derive(Debug)]
pub struct Cached {
    head: Head,
    pub files: Vec<CachedFile>,
}

impl Cached {
    /// That of these columns of this table, if there is one (I1, I2).
    pub fn read(directory: &Path, table: Uuid, (key, hasher): (&[i32], &KeyHasher)) -> Option<Self> {
        let path = directory.join(HEAD);
        let refused = |why: &str| tracing::warn!(path = %path.display(), why, "a key index on disk is not used");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                refused(&error.to_string());
                return None;
            }
        };
        let Some(cached) = decode(&bytes) else {
            refused("it is not what was written");
            return None;
        };
        let head = &cached.head;
        if (head.table, head.key.as_slice(), &head.way) != (table, key, &hasher.way()) {
            refused("it is of another table, or of other keys");
            return None;
        }
        Some(cached)
    }

    pub fn seed(&self) -> u64 {
        self.head.seed
    }

    pub fn snapshot(&self) -> Option<i64> {
        self.head.snapshot
    }

    /// Of files that were given out.
    pub fn numbers(&self) -> u32 {
        self.head.numbers
    }

    /// Fills an empty index.
    pub fn load(&self, index: &mut KeyIndex, room: u64) -> Result<()> {
        index.load(&self.head.runs, room)?;
        index.named(&self.head.runs);
        Ok(())
    }

    /// Writes an index beside the one that is there, and then in its place.
    pub fn write(
        index: &mut KeyIndex,
        (table, snapshot): (Uuid, Option<i64>),
        (key, hasher): (&[i32], &KeyHasher),
        (numbers, files): (u32, &[CachedFile]),
    ) -> Result<()> {
        let Some(folder) = index.folder().cloned() else { return Ok(()) };
        let runs = index.save()?;
        let named = files.iter().map(|file| (file.number, file.path.clone())).collect();
        let (key, way, seed) = (key.to_vec(), hasher.way(), hasher.seed());
        let head = Head { table, snapshot, key, way, seed, numbers, runs, files: named };
        let bytes = encode(&head, files)?;
        let (path, beside) = (folder.directory().join(HEAD), folder.beside());
        let put = || {
            std::fs::create_dir_all(folder.directory())?;
            std::fs::write(&beside, &bytes)?;
            std::fs::rename(&beside, &path)
        };
        put().map_err(|error| unwritable(&path, error))?;
        index.named(&head.runs);
        Ok(())
    }
}

fn encode(head: &Head, files: &[CachedFile]) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| Error::internal("a key index has no form on disk").with_source(error);
    let json = serde_json::to_vec(head).map_err(|error| failed(error.into()))?;
    let mut rest = (json.len() as u64).to_le_bytes().to_vec();
    rest.extend(json);
    for file in files {
        file.deleted.serialize_into(&mut rest).map_err(failed)?;
    }
    let checksum = crc32fast::hash(&rest).to_le_bytes();
    Ok([MAGIC.as_slice(), &checksum, &rest].concat())
}

fn decode(bytes: &[u8]) -> Option<Cached> {
    let (magic, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    if *magic != MAGIC || u32::from_le_bytes(*checksum) != crc32fast::hash(rest) {
        return None;
    }
    let (length, rest) = rest.split_first_chunk()?;
    let (json, mut bitmaps) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let head: Head = serde_json::from_slice(json).ok()?;
    let mut files = Vec::with_capacity(head.files.len());
    for (number, path) in &head.files {
        let deleted = RoaringTreemap::deserialize_from(&mut bitmaps).ok()?;
        files.push(CachedFile { number: *number, path: path.clone(), deleted });
    }
    Some(Cached { head, files })
}
