//! Keys on disk.
//!
//! Owns [`Run`], a file of entries in the order of their hashes that never changes, [`RunFolder`], where the runs of
//! one index are, and [`RunNote`], by which a run is known again.
//! - I1: whatever is read is what was written: each page has a checksum, of its number too, and a note the checksum of
//!   all of them. Anything else is an error, never an entry.
//! - I2: a run that is open can be read to its end, whoever takes its name away.
//! - I3: a name is never given to a second run, not by another process either.
//!
//! Stores that keep keys on disk were looked at (fjall, redb): a record of theirs takes more than its 21 bytes here, and a
//! batch of probes in the order of the keys is what runs are made for.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};
use tableflow_model::{Error, Result};
use uuid::Uuid;

use super::merge::Entry;
use super::{Hash, Location, PARTITIONS_MAX};

const PAGE: usize = 4096;
/// The checksum, and the count of its entries.
const PAGE_HEAD: usize = 6;
/// 12 bytes of hash, 4 of row, 2 of partition, 3 of file.
const ENTRY: usize = 21;
const ENTRIES_PER_PAGE: usize = (PAGE - PAGE_HEAD) / ENTRY;

/// Read or written at a time by whoever goes through all of them.
const PAGES_AT_ONCE: usize = 64;

const SUFFIX: &str = "run";
const UNFINISHED: &str = "new";

type Page = [u8; PAGE];

/// Where an index's runs are.
#[derive(Clone, Debug)]
pub struct RunFolder {
    directory: PathBuf,
    /// Of this process and index (I3).
    nonce: Uuid,
    next: Arc<AtomicU32>,
    /// Runs that something on disk names.
    named: HashSet<String>,
}

impl RunFolder {
    pub fn new(directory: PathBuf, nonce: Uuid) -> Self {
        RunFolder { directory, nonce, next: Arc::default(), named: HashSet::new() }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A name that nobody else has.
    pub(super) fn beside(&self) -> PathBuf {
        self.directory.join(format!("{}.{UNFINISHED}", self.nonce.simple()))
    }

    /// These, in their order; nothing where there are none.
    pub(super) fn write(&self, mut next: impl FnMut() -> Result<Option<Entry>>) -> Result<Option<Run>> {
        let Some(first) = next()? else { return Ok(None) };
        std::fs::create_dir_all(&self.directory).map_err(|error| unwritable(&self.directory, error))?;
        let name = format!("{}-{}.{SUFFIX}", self.nonce.simple(), self.next.fetch_add(1, Ordering::Relaxed));
        let path = self.directory.join(&name);
        let written = RunWriter::create(&path).and_then(|mut writer| {
            writer.push(first)?;
            while let Some(entry) = next()? {
                writer.push(entry)?;
            }
            writer.finish(name)
        });
        if written.is_err() {
            // What was written of it is of no use.
            let _ = std::fs::remove_file(&path);
        }
        written.map(Some)
    }

    /// What a note says, looked through to its end (I1).
    pub(super) fn open(&self, note: &RunNote) -> Result<Run> {
        let path = self.directory.join(&note.name);
        let file = File::open(&path).map_err(|error| unreadable(&path, error))?;
        let pages = Vec::with_capacity(note.pages.min(1 << 20) as usize);
        let mut run = Run { file, path, note: RunNote { entries: 0, checksum: 0, ..note.clone() }, pages };
        let mut checksum = crc32fast::Hasher::new();
        for number in 0..note.pages {
            let page = run.page(number)?;
            let first = page_entries(&page).next().ok_or_else(|| damaged(&run.path))?;
            run.pages.push(first.0);
            run.note.entries += page_entries(&page).len() as u64;
            checksum.update(page.get(..4).unwrap_or_default());
        }
        run.note.checksum = checksum.finalize();
        if run.note == *note { Ok(run) } else { Err(damaged(&run.path)) }
    }

    /// From here on these are named on disk, and all others go.
    pub(super) fn name(&mut self, named: impl Iterator<Item = String>) {
        self.named = named.collect();
        let Ok(files) = std::fs::read_dir(&self.directory) else { return };
        for path in files.filter_map(|file| Some(file.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str());
            let is_ours = path.extension().is_some_and(|suffix| suffix == SUFFIX || suffix == UNFINISHED);
            if is_ours && name.is_some_and(|name| !self.named.contains(name)) {
                // One that stays is found again the next time.
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    /// Nothing on disk is of use.
    pub fn clear(&mut self) {
        self.name(std::iter::empty());
    }

    /// The index needs this run no more.
    pub(super) fn forget(&self, run: &Run) {
        if !self.named.contains(&run.note.name) {
            let _ = std::fs::remove_file(&run.path);
        }
    }
}

/// What a run is known again by (I1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunNote {
    pub name: String,
    pages: u32,
    entries: u64,
    checksum: u32,
}

/// A file of entries.
#[derive(Debug)]
pub struct Run {
    file: File,
    path: PathBuf,
    note: RunNote,
    /// The first hash of each page.
    pages: Vec<Hash>,
}

impl Run {
    pub fn note(&self) -> &RunNote {
        &self.note
    }

    pub fn len(&self) -> u64 {
        self.note.entries
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.pages.capacity() * size_of::<Hash>()
    }

    fn page(&self, number: u32) -> Result<Page> {
        let mut page = [0; PAGE];
        let read = self.file.read_exact_at(&mut page, u64::from(number) * PAGE as u64);
        read.map_err(|error| unreadable(&self.path, error))?;
        self.checked(number, &page)?;
        Ok(page)
    }

    fn checked(&self, number: u32, page: &Page) -> Result<()> {
        let said = page.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if said == checksum_of(number, page) { Ok(()) } else { Err(damaged(&self.path)) }
    }

    /// Those with one of these hashes, which are in their order.
    pub fn find(&self, hashes: &[Hash]) -> Result<Vec<Entry>> {
        let (mut found, mut at_hand): (Vec<Entry>, Option<(usize, Page)>) = (Vec::new(), None);
        for hash in hashes {
            // Entries of one hash may begin at the end of the page before the first that begins with it.
            let mut number = self.pages.partition_point(|first| first < hash).saturating_sub(1);
            while self.pages.get(number).is_some_and(|first| first <= hash) {
                let page = match &mut at_hand {
                    Some((at, page)) if *at == number => page,
                    other => &mut other.insert((number, self.page(u32::try_from(number).unwrap_or(u32::MAX))?)).1,
                };
                let entries = page_entries(page);
                let first = entries.partition_point(*hash);
                found.extend(entries.skip(first).take_while(|(of, _)| of == hash));
                number += 1;
            }
        }
        Ok(found)
    }

    /// All of them, in their order.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry>> + '_ {
        let pages = (0..self.note.pages).step_by(PAGES_AT_ONCE).flat_map(|first| self.pages_from(first));
        pages.flat_map(|page| {
            let (entries, error) = match page {
                Ok(page) => (page_entries(&page).collect(), None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            entries.into_iter().map(Ok).chain(error)
        })
    }

    fn pages_from(&self, first: u32) -> Vec<Result<Page>> {
        let count = (self.note.pages - first).min(PAGES_AT_ONCE as u32);
        let mut bytes = vec![0; count as usize * PAGE];
        if let Err(error) = self.file.read_exact_at(&mut bytes, u64::from(first) * PAGE as u64) {
            return vec![Err(unreadable(&self.path, error))];
        }
        let (pages, _) = bytes.as_chunks::<PAGE>();
        let checked = |(number, page): (u32, &Page)| self.checked(number, page).map(|()| *page);
        (first..).zip(pages).map(checked).collect()
    }
}

/// A run as it is written.
struct RunWriter {
    path: PathBuf,
    file: BufWriter<File>,
    page: Page,
    entries_in_page: usize,
    entries: u64,
    pages: Vec<Hash>,
    checksum: crc32fast::Hasher,
}

impl RunWriter {
    fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = file.map_err(|error| unwritable(path, error))?;
        Ok(RunWriter {
            path: path.to_owned(),
            file: BufWriter::with_capacity(PAGES_AT_ONCE * PAGE, file),
            page: [0; PAGE],
            entries_in_page: 0,
            entries: 0,
            pages: Vec::new(),
            checksum: crc32fast::Hasher::new(),
        })
    }

    fn push(&mut self, (hash, location): Entry) -> Result<()> {
        if self.entries_in_page == 0 {
            self.pages.push(hash);
        }
        let at = PAGE_HEAD + self.entries_in_page * ENTRY;
        if let Some(place) = self.page.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = entry_bytes(hash, location);
        }
        self.entries_in_page += 1;
        self.entries += 1;
        if self.entries_in_page == ENTRIES_PER_PAGE { self.end_page() } else { Ok(()) }
    }

    fn end_page(&mut self) -> Result<()> {
        let (count, number) = (self.entries_in_page as u16, u32::try_from(self.pages.len() - 1).unwrap_or(u32::MAX));
        if let Some(place) = self.page.get_mut(4..).and_then(|rest| rest.first_chunk_mut()) {
            *place = count.to_le_bytes();
        }
        let checksum = checksum_of(number, &self.page).to_le_bytes();
        if let Some(place) = self.page.first_chunk_mut() {
            *place = checksum;
        }
        self.checksum.update(&checksum);
        self.file.write_all(&self.page).map_err(|error| unwritable(&self.path, error))?;
        (self.page, self.entries_in_page) = ([0; PAGE], 0);
        Ok(())
    }

    fn finish(mut self, name: String) -> Result<Run> {
        if self.entries_in_page > 0 {
            self.end_page()?;
        }
        let file = self.file.into_inner().map_err(|error| unwritable(&self.path, error.into_error()))?;
        let pages = u32::try_from(self.pages.len()).unwrap_or(u32::MAX);
        let note = RunNote { name, pages, entries: self.entries, checksum: self.checksum.finalize() };
        Ok(Run { file, path: self.path, note, pages: self.pages })
    }
}

/// I1.
fn checksum_of(number: u32, page: &Page) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&number.to_le_bytes());
    checksum.update(page.get(4..).unwrap_or_default());
    checksum.finalize()
}

/// Hash and row are one word.
fn entry_bytes(hash: Hash, location: Location) -> [u8; ENTRY] {
    let word = hash.bits() | u128::from(location.row) << Hash::BITS;
    let partition = location.partition.unwrap_or(PARTITIONS_MAX);
    let rest = u64::from(location.file) << 16 | u64::from(partition);
    let mut bytes = [0; ENTRY];
    if let Some((first, last)) = bytes.split_first_chunk_mut::<16>() {
        *first = word.to_le_bytes();
        last.iter_mut().zip(rest.to_le_bytes()).for_each(|(place, byte)| *place = byte);
    }
    bytes
}

fn entry_of(bytes: &[u8; ENTRY]) -> Entry {
    let [low, high, file @ ..] = *bytes.last_chunk::<5>().unwrap_or(&[0; 5]);
    let [first, second, third] = file;
    let partition = u16::from_le_bytes([low, high]);
    let location = Location {
        file: u32::from_le_bytes([first, second, third, 0]),
        row: (word_of(bytes) >> Hash::BITS) as u32,
        partition: (partition < PARTITIONS_MAX).then_some(partition),
    };
    (hash_of(bytes), location)
}

fn hash_of(bytes: &[u8; ENTRY]) -> Hash {
    Hash::new(word_of(bytes))
}

fn word_of(bytes: &[u8; ENTRY]) -> u128 {
    bytes.first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

/// The entries of a page.
#[derive(Clone)]
struct PageEntries<'a>(&'a [[u8; ENTRY]]);

fn page_entries(page: &Page) -> PageEntries<'_> {
    let (entries, _) = page.get(PAGE_HEAD..).unwrap_or_default().as_chunks::<ENTRY>();
    let count = page.get(4..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes));
    PageEntries(entries.get(..count.into()).unwrap_or(entries))
}

impl PageEntries<'_> {
    /// How many have a smaller hash.
    fn partition_point(&self, hash: Hash) -> usize {
        self.0.partition_point(|entry| hash_of(entry) < hash)
    }
}

impl Iterator for PageEntries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(entry_of(first))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }

    fn nth(&mut self, count: usize) -> Option<Entry> {
        self.0 = self.0.get(count..).unwrap_or_default();
        self.next()
    }
}

impl ExactSizeIterator for PageEntries<'_> {}

/// Of this kind is whatever makes an index void; what could not be written leaves it as it was.
fn damaged(path: &Path) -> Error {
    Error::internal("a part of the key index on disk is not what was written")
        .with_detail(path.display().to_string())
        .with_hint("it is built anew from the table; if that comes again, look after the disk")
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::internal("a part of the key index on disk cannot be read")
        .with_detail(path.display().to_string())
        .with_source(error)
}

pub(super) fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable("the key index cannot be written to disk")
        .with_detail(path.display().to_string())
        .with_source(error)
        .with_hint("make room there, or raise memory.budget so that it stays in memory")
}
