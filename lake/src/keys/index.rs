//! The keys of one table.
//!
//! Owns [`KeyIndex`]: hash of a key -> places of rows, in memory, and beyond that in runs on disk.
//! - I1: a place that was put is found until it is taken out or does not stay: [`KeyIndex::remove`] takes it out of
//!   memory, from a run it goes when runs are merged. So what is found may be a row that is live no more, and whoever
//!   asks knows which ones are.
//! - I2: nothing is lost by a failure: a run is whole before what it stands for is given up.
//! - I3: a run has more than twice the entries of the next one, so that there are few: an entry is written anew
//!   once each time that its run becomes half as large again.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::available_parallelism;

use tableflow_model::{Error, Result};

use super::merge::{Entries, Entry, Merged};
use super::packed::PackedKeys;
use super::run::{Run, RunFolder, RunNote};
use super::{Hash, Location};

/// I3.
const GROWTH: u64 = 2;

/// A thread of its own is worth it for so many probes.
const PROBES_PER_THREAD: usize = 2048;

/// An entry in memory, with room to grow.
const BYTES_PER_KEY: u64 = 24;

/// Hash -> places.
#[derive(Debug)]
pub struct KeyIndex {
    packed: PackedKeys,
    /// I3.
    runs: Vec<Arc<Run>>,
    /// Of a hash, that are kept.
    bits: u32,
    /// Where it may go on on disk.
    folder: Option<RunFolder>,
}

impl Default for KeyIndex {
    fn default() -> Self {
        KeyIndex::with_bits(Hash::BITS)
    }
}

impl KeyIndex {
    /// One that keeps so many bits of each hash.
    pub fn with_bits(bits: u32) -> Self {
        KeyIndex { packed: PackedKeys::default(), runs: Vec::new(), bits, folder: None }
    }

    #[must_use]
    pub fn in_folder(self, folder: RunFolder) -> Self {
        KeyIndex { folder: Some(folder), ..self }
    }

    pub fn folder(&self) -> Option<&RunFolder> {
        self.folder.as_ref()
    }

    /// Another one of the same kind, with nothing in it.
    #[must_use]
    pub fn emptied(&self) -> Self {
        KeyIndex { folder: self.folder.clone(), ..KeyIndex::with_bits(self.bits) }
    }

    /// Whether a hash that is found stands for its key. With fewer bits it may be a stranger's.
    pub fn is_exact(&self) -> bool {
        self.bits >= Hash::BITS
    }

    /// Places, live ones or not.
    pub fn len(&self) -> u64 {
        self.packed.len() + self.on_disk()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that are in runs.
    pub fn on_disk(&self) -> u64 {
        self.runs.iter().map(|run| run.len()).sum()
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> u64 {
        (self.packed.memory() + self.runs.iter().map(|run| run.memory()).sum::<usize>()) as u64
    }

    /// So many more come: where they have that much room in memory, they find their places sooner.
    pub fn reserve(&mut self, keys: u64, room: u64) {
        if keys * BYTES_PER_KEY <= room {
            self.packed.reserve(keys);
        }
    }

    pub fn insert(&mut self, hash: Hash, location: Location) {
        self.packed.insert(hash.first_bits(self.bits), location);
    }

    /// I1.
    pub fn remove(&mut self, hash: Hash, location: Location) {
        self.packed.remove(hash.first_bits(self.bits), location);
    }

    /// Of those that are in memory.
    pub fn find_in_memory(&self, hash: Hash) -> impl Iterator<Item = Location> + '_ {
        self.packed.find(hash.first_bits(self.bits))
    }

    /// Of those that are in runs.
    pub async fn find_on_disk(&self, hashes: &[Hash]) -> Result<HashMap<Hash, Vec<Location>>> {
        if self.runs.is_empty() || hashes.is_empty() {
            return Ok(HashMap::new());
        }
        let (runs, bits) = (self.runs.clone(), self.bits);
        let mut wanted: Vec<Hash> = hashes.iter().map(|hash| hash.first_bits(bits)).collect();
        let found = tokio::task::spawn_blocking(move || {
            wanted.sort_unstable();
            wanted.dedup();
            find_in(&runs, &wanted)
        });
        let found =
            found.await.map_err(|error| Error::internal("a search of keys failed inside").with_source(error))??;
        let mut places: HashMap<Hash, Vec<Location>> = HashMap::new();
        for (hash, location) in found {
            places.entry(hash).or_default().push(location);
        }
        // By the whole hashes, as they were asked for.
        Ok(hashes.iter().filter_map(|hash| Some((*hash, places.get(&hash.first_bits(bits))?.clone()))).collect())
    }

    /// With the places of each, in the order of the hashes.
    pub async fn find(&self, hashes: &[Hash]) -> Result<Vec<Entry>> {
        let on_disk = self.find_on_disk(hashes).await?;
        let mut found = Vec::new();
        for hash in hashes {
            found.extend(self.find_in_memory(*hash).map(|location| (*hash, location)));
            found.extend(on_disk.get(hash).into_iter().flatten().map(|location| (*hash, *location)));
        }
        Ok(found)
    }

    /// What is in memory goes to disk, if it stays.
    pub fn spill(&mut self, stays: impl Fn(Location) -> bool) -> Result<()> {
        let (mut entries, mut first) = (self.packed.len(), self.runs.len());
        while let Some(last) = first.checked_sub(1).and_then(|last| self.runs.get(last)) {
            if last.len() > entries * GROWTH {
                break;
            }
            entries += last.len();
            first -= 1;
        }
        self.merge_from(first, true, stays)
    }

    /// What does not stay goes.
    pub fn purge(&mut self, stays: impl Fn(Location) -> bool) -> Result<()> {
        self.packed.retain(&stays);
        if self.runs.is_empty() { Ok(()) } else { self.merge_from(0, false, stays) }
    }

    /// These runs become one (I2).
    fn merge_from(&mut self, first: usize, with_packed: bool, stays: impl Fn(Location) -> bool) -> Result<()> {
        let run = self.merged(first, with_packed, stays)?;
        if with_packed {
            self.packed = PackedKeys::default();
        }
        for merged in self.runs.drain(first..) {
            self.folder.iter().for_each(|folder| folder.forget(&merged));
        }
        self.runs.extend(run.map(Arc::new));
        Ok(())
    }

    fn merged(&self, first: usize, with_packed: bool, stays: impl Fn(Location) -> bool) -> Result<Option<Run>> {
        let runs = self.runs.get(first..).unwrap_or_default();
        let mut sources: Vec<Entries<'_>> = runs.iter().map(|run| Box::new(run.entries()) as Entries<'_>).collect();
        if with_packed {
            sources.push(Box::new(self.packed.entries().map(Ok)));
        }
        let mut sources = Merged::of(sources)?;
        folder_of(self.folder.as_ref())?.write(|| {
            while let Some((hash, location)) = sources.next()? {
                if stays(location) {
                    return Ok(Some((hash, location)));
                }
            }
            Ok(None)
        })
    }

    /// All of it on disk, as notes say.
    pub(super) fn save(&self) -> Result<Vec<RunNote>> {
        let mut entries = self.packed.entries();
        let packed = folder_of(self.folder.as_ref())?.write(|| Ok(entries.next()))?;
        Ok(self.runs.iter().map(|run| run.note()).chain(packed.iter().map(Run::note)).cloned().collect())
    }

    /// These are named on disk now: whatever else is in the folder goes.
    pub(super) fn named(&mut self, notes: &[RunNote]) {
        if let Some(folder) = &mut self.folder {
            folder.name(notes.iter().map(|run| run.name.clone()));
        }
    }

    /// What [`KeyIndex::save`] left, in memory if there is room.
    pub(super) fn load(&mut self, notes: &[RunNote], room: u64) -> Result<()> {
        let folder = folder_of(self.folder.as_ref())?;
        let runs: Vec<Run> = notes.iter().map(|note| folder.open(note)).collect::<Result<_>>()?;
        if runs.iter().map(Run::len).sum::<u64>() * BYTES_PER_KEY > room {
            self.runs = runs.into_iter().map(Arc::new).collect();
            return Ok(());
        }
        let mut merged = Merged::of(runs.iter().map(|run| Box::new(run.entries()) as Entries<'_>).collect())?;
        let mut of_shard: Vec<Entry> = Vec::new();
        while let Some(entry) = merged.next()? {
            if of_shard.first().is_some_and(|(first, _)| first.shard() != entry.0.shard()) {
                self.packed.fill(&of_shard);
                of_shard.clear();
            }
            of_shard.push(entry);
        }
        self.packed.fill(&of_shard);
        Ok(())
    }
}

fn folder_of(folder: Option<&RunFolder>) -> Result<&RunFolder> {
    folder.ok_or_else(|| Error::internal("a key index without a folder goes to disk"))
}

/// Side by side, where there are many.
fn find_in(runs: &[Arc<Run>], hashes: &[Hash]) -> Result<Vec<Entry>> {
    let of_all = |hashes: &[Hash]| -> Result<Vec<Entry>> {
        let found = runs.iter().map(|run| run.find(hashes)).collect::<Result<Vec<_>>>()?;
        Ok(found.into_iter().flatten().collect())
    };
    let threads = available_parallelism().map_or(1, usize::from);
    let part = hashes.len().div_ceil(threads).max(PROBES_PER_THREAD);
    std::thread::scope(|scope| {
        let searches: Vec<_> = hashes.chunks(part).map(|part| scope.spawn(move || of_all(part))).collect();
        let mut found = Vec::new();
        for search in searches {
            found.extend(search.join().map_err(|_| Error::internal("a search of keys failed inside"))??);
        }
        Ok(found)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::KeyMemory;
    use super::*;

    const ROWS_PER_COMMIT: u32 = 20_000;

    /// The oracle: a plain map.
    #[derive(Default)]
    struct Oracle {
        rows: HashMap<u64, Location>,
        /// Of each commit: which of its rows live.
        live: Vec<Vec<bool>>,
    }

    impl Oracle {
        fn lives(&self, location: Location) -> bool {
            self.live[location.file as usize][location.row as usize]
        }

        /// Deletes a key's row, and puts another one.
        fn change(&mut self, key: u64, row: Option<Location>) {
            let before = match row {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
            if let Some(before) = before {
                self.live[before.file as usize][before.row as usize] = false;
            }
        }
    }

    fn hash(key: u64) -> Hash {
        Hash::new(u128::from(key.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 32 | u128::from(key))
    }

    /// Changes of a million keys, while there is memory for a fifth of them.
    #[tokio::test]
    async fn i1_what_has_no_room_in_memory_is_found_on_disk() {
        const MEMORY: u64 = 4 << 20;
        let (mut random, folder) = (fastrand::Rng::with_seed(3), tempfile::tempdir().unwrap());
        let in_folder = || RunFolder::new(folder.path().to_owned(), uuid::Uuid::nil());
        let mut index = KeyIndex::default().in_folder(in_folder());
        let memory = KeyMemory::new(MEMORY);
        let (mut share, mut oracle, mut runs_most, mut memory_most) = (memory.share(), Oracle::default(), 0, 0);
        for commit in 0..60 {
            // The first half puts a million keys, then they change.
            let key = |row: u32, random: &mut fastrand::Rng| match commit < 50 {
                true => u64::from(commit * ROWS_PER_COMMIT + row),
                false => random.u64(..1_100_000),
            };
            let mut keys: Vec<u64> = (0..ROWS_PER_COMMIT).map(|row| key(row, &mut random)).collect();
            keys.sort_unstable();
            keys.dedup();
            let hashes: Vec<Hash> = keys.iter().map(|key| hash(*key)).collect();
            let mut found = index.find(&hashes).await.unwrap();
            found.retain(|(_, location)| oracle.lives(*location));
            let there = keys.iter().filter_map(|key| Some((hash(*key), *oracle.rows.get(key)?)));
            assert_eq!(found, there.collect::<Vec<_>>(), "commit {commit}");
            for (hash, location) in found {
                index.remove(hash, location);
            }
            oracle.live.push(vec![true; ROWS_PER_COMMIT as usize]);
            for (row, key) in (0..).zip(keys) {
                let location = Location { file: commit, row, partition: None };
                let put = commit < 50 || random.u8(..10) > 2;
                oracle.change(key, put.then_some(location));
                if put {
                    index.insert(hash(key), location);
                }
            }
            share.hold(index.memory());
            memory_most = memory_most.max(index.memory());
            if share.must_spill() {
                index.spill(|location| oracle.lives(location)).unwrap();
                share.hold(index.memory());
            }
            runs_most = runs_most.max(index.runs.len());
        }
        assert!(index.on_disk() > 700_000 && (2..6).contains(&runs_most), "{} keys, {runs_most} runs", index.on_disk());
        // What one commit adds comes on top.
        assert!(memory_most < MEMORY + u64::from(ROWS_PER_COMMIT) * 40, "{memory_most} bytes");
        index.purge(|location| oracle.lives(location)).unwrap();
        assert_eq!(index.len(), oracle.rows.len() as u64);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), index.runs.len(), "no run is left over");
    }

    /// Whole pages of them, at every place of a page.
    #[tokio::test]
    async fn keys_with_one_hash_are_all_found_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        for many in [1_u32, 193, 194, 195, 1000] {
            let mut index = KeyIndex::default();
            index = index.in_folder(RunFolder::new(folder.path().to_owned(), uuid::Uuid::from_u128(many.into())));
            for key in 0..600 {
                let count = if key == 300 { many } else { 1 };
                (0..count).for_each(|row| index.insert(hash(key), Location { file: 7, row, partition: Some(3) }));
            }
            index.spill(|_| true).unwrap();
            assert_eq!(index.memory() as usize, PackedKeys::default().memory() + index.runs[0].memory());
            for key in 0..601 {
                let found = index.find(&[hash(key)]).await.unwrap();
                let count = if key == 300 { many } else { u32::from(key < 600) };
                let mut rows: Vec<u32> = found.iter().map(|(_, location)| location.row).collect();
                rows.sort_unstable();
                assert_eq!(rows, (0..count).collect::<Vec<_>>(), "key {key} of {many}");
                assert!(found.iter().all(|(_, location)| (location.file, location.partition) == (7, Some(3))));
            }
        }
    }
}
