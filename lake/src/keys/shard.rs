//! A part of the key index: entries of 19 bytes in the order of their hashes.
//!
//! Owns [`Shard`], an open-addressed table. An entry stands at the slot that its hash says, or as near behind it as
//! there is room; because a greater hash never says an earlier slot, all entries stand in order, a search ends at the
//! first greater one, and growing is a copy from front to back.
//! - I1: slots hold entries in ascending order of their words' hash, with gaps; no entry stands before its own slot.
//! - I2: entries of one hash may be several; they stand together.
//! - I3: at most [`FILL_MAX`] of the slots are filled, and after growing [`FILL_GROWN`]: what an entry takes all in.
//!
//! hashbrown was looked at: at 24 bytes an entry with alignment, growing by doubling, a key would take 27 to 55 bytes.

use super::{Hash, Location};

/// A word of 16 bytes (hash, row, partition) and 3 bytes of file.
const ENTRY: usize = 19;

const ROW_BITS: u32 = 30;
const PARTITION_BITS: u32 = 14;
const FILE_BITS: u32 = 24;

/// A word's bits above row and partition.
pub const HASH_BITS: u32 = 128 - ROW_BITS - PARTITION_BITS;

pub const ROWS_MAX: u32 = 1 << ROW_BITS;
pub const FILES_MAX: u32 = 1 << FILE_BITS;
/// Zero is an empty slot, and the last is "not known".
pub const PARTITIONS_MAX: u16 = (1 << PARTITION_BITS) - 2;

/// Slots behind the last one that a hash can say, so that a search needs no turn; more where hashes are much alike.
const SLACK: usize = 8;

/// In hundredths of the slots.
const FILL_MAX: usize = 88;
const FILL_GROWN: usize = 80;

/// One part of an index.
#[derive(Debug, Default)]
pub struct Shard {
    slots: Box<[u8]>,
    /// The slots that a hash can say.
    homes: usize,
    len: usize,
}

impl Shard {
    /// Bytes that it takes.
    pub fn memory(&self) -> usize {
        self.slots.len() + size_of::<Self>()
    }

    /// I1: monotone in the hash.
    fn home(&self, hash: u128) -> usize {
        let top = (hash >> (HASH_BITS - 64)) as u64;
        ((u128::from(top) * self.homes as u128) >> 64) as usize
    }

    fn word(&self, slot: usize) -> u128 {
        let bytes = self.slots.get(slot * ENTRY..).and_then(|rest| rest.first_chunk::<16>());
        bytes.map_or(0, |bytes| u128::from_le_bytes(*bytes))
    }

    fn location(&self, slot: usize) -> Location {
        let word = self.word(slot);
        let bytes = self.slots.get(slot * ENTRY + 16..).and_then(|rest| rest.first_chunk::<3>());
        let [a, b, c] = *bytes.unwrap_or(&[0; 3]);
        let row = (word >> PARTITION_BITS) as u32 & (ROWS_MAX - 1);
        let partition = (word as u16 & ((1 << PARTITION_BITS) - 1)) - 1;
        Location {
            file: u32::from_le_bytes([a, b, c, 0]),
            row,
            partition: (partition < PARTITIONS_MAX).then_some(partition),
        }
    }

    fn slots(&self) -> usize {
        self.slots.len() / ENTRY
    }

    fn slack(&self) -> usize {
        (self.slots() - self.homes).max(SLACK)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    fn filled_slots(&self) -> impl Iterator<Item = usize> {
        (0..self.slots()).filter(|slot| self.word(*slot) != 0)
    }

    fn entry(&self, slot: usize) -> [u8; ENTRY] {
        let bytes = self.slots.get(slot * ENTRY..).and_then(|rest| rest.first_chunk());
        bytes.copied().unwrap_or([0; ENTRY])
    }

    /// All of them, in the order of their hashes, which are without the part that the shard says.
    pub fn entries(&self) -> impl Iterator<Item = (u128, Location)> + '_ {
        self.filled_slots().map(|slot| (hash_of(self.word(slot)), self.location(slot)))
    }

    /// Those that stay take no more than they need.
    pub fn retain(&mut self, stays: impl Fn(Location) -> bool) {
        let stay = self.entries().filter(|(_, location)| stays(*location)).count();
        if stay < self.len {
            let staying =
                || self.filled_slots().filter(|slot| stays(self.location(*slot))).map(|slot| self.entry(slot));
            *self = Shard::of(staying, homes_for(stay), SLACK);
        }
    }

    /// Of entries that are in the order of their hashes.
    pub fn of_sorted(entries: &[(u128, Location)]) -> Self {
        let entries_of = || entries.iter().map(|(hash, location)| entry_of(*hash, *location));
        Shard::of(entries_of, homes_for(entries.len()), SLACK)
    }

    /// There is room for so many before it grows.
    pub fn reserve(&mut self, entries: usize) {
        if homes_for(entries) > self.homes {
            self.grow(homes_for(entries), self.slack());
        }
    }

    /// The same entries, in their order, as often as it takes to find all a place.
    fn of<E: Iterator<Item = [u8; ENTRY]>>(entries: impl Fn() -> E, homes: usize, mut slack: usize) -> Self {
        loop {
            if let Some(filled) = Shard::filled(entries(), homes, slack) {
                return filled;
            }
            slack *= 2;
        }
    }

    /// Nothing where an entry finds no place.
    fn filled(entries: impl Iterator<Item = [u8; ENTRY]>, homes: usize, slack: usize) -> Option<Self> {
        let slots = vec![0; (homes + slack) * ENTRY].into_boxed_slice();
        let mut filled = Shard { slots, homes, len: 0 };
        let mut next = 0;
        for entry in entries {
            let word = entry.first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes));
            let slot = filled.home(hash_of(word)).max(next);
            filled.slots.get_mut(slot * ENTRY..(slot + 1) * ENTRY)?.copy_from_slice(&entry);
            next = slot + 1;
            filled.len += 1;
        }
        Some(filled)
    }

    /// The first slot at or behind the hash's own that is empty or has a hash that is not smaller.
    fn seek(&self, hash: u128) -> usize {
        let mut slot = self.home(hash);
        while slot < self.slots() {
            let word = self.word(slot);
            if word == 0 || hash_of(word) >= hash {
                break;
            }
            slot += 1;
        }
        slot
    }

    /// Where rows with this hash are (I2).
    pub fn find(&self, hash: Hash) -> impl Iterator<Item = Location> + '_ {
        let hash = hash.in_shard();
        let first = self.seek(hash);
        let is_of = move |slot: &usize| matches!(self.word(*slot), word if word != 0 && hash_of(word) == hash);
        (first..self.slots()).take_while(is_of).map(|slot| self.location(slot))
    }

    pub fn insert(&mut self, hash: Hash, location: Location) {
        if (self.len + 1) * 100 > self.homes * FILL_MAX {
            self.grow(homes_for(self.len + 1), self.slack());
        }
        let entry = entry_of(hash.in_shard(), location);
        while !self.place(hash.in_shard(), entry) {
            self.grow(self.homes, 2 * self.slack());
        }
        self.len += 1;
    }

    /// False where the slack is used up.
    fn place(&mut self, hash: u128, entry: [u8; ENTRY]) -> bool {
        let slot = self.seek(hash);
        let mut end = slot;
        while end < self.slots() && self.word(end) != 0 {
            end += 1;
        }
        if end >= self.slots() {
            return false;
        }
        self.slots.copy_within(slot * ENTRY..end * ENTRY, (slot + 1) * ENTRY);
        if let Some(place) = self.slots.get_mut(slot * ENTRY..(slot + 1) * ENTRY) {
            place.copy_from_slice(&entry);
        }
        true
    }

    /// Takes an entry away; false where there is none.
    pub fn remove(&mut self, hash: Hash, location: Location) -> bool {
        let (hash, wanted) = (hash.in_shard(), (location.file, location.row));
        let mut slot = self.seek(hash);
        while slot < self.slots() && self.word(slot) != 0 && hash_of(self.word(slot)) == hash {
            let found = self.location(slot);
            if (found.file, found.row) == wanted {
                self.close_gap(slot);
                self.len -= 1;
                return true;
            }
            slot += 1;
        }
        false
    }

    /// Entries behind a gap move up, as far as their own slots let them (I1).
    fn close_gap(&mut self, gap: usize) {
        let mut end = gap + 1;
        while end < self.slots() && self.word(end) != 0 && self.home(hash_of(self.word(end))) < end {
            end += 1;
        }
        self.slots.copy_within((gap + 1) * ENTRY..end * ENTRY, gap * ENTRY);
        if let Some(last) = self.slots.get_mut((end - 1) * ENTRY..end * ENTRY) {
            last.fill(0);
        }
    }

    /// I3.
    fn grow(&mut self, homes: usize, slack: usize) {
        *self = Shard::of(|| self.filled_slots().map(|slot| self.entry(slot)), homes, slack);
    }
}

fn homes_for(entries: usize) -> usize {
    (entries * 100).div_ceil(FILL_GROWN).max(8)
}

fn hash_of(word: u128) -> u128 {
    word >> (ROW_BITS + PARTITION_BITS)
}

fn entry_of(hash: u128, location: Location) -> [u8; ENTRY] {
    let partition = location.partition.filter(|it| *it < PARTITIONS_MAX).unwrap_or(PARTITIONS_MAX) + 1;
    let row = u128::from(location.row & (ROWS_MAX - 1));
    let word = hash << (ROW_BITS + PARTITION_BITS) | row << PARTITION_BITS | u128::from(partition);
    let mut entry = [0; ENTRY];
    if let Some((first, last)) = entry.split_first_chunk_mut::<16>() {
        *first = word.to_le_bytes();
        let file = location.file.to_le_bytes();
        last.iter_mut().zip(file).for_each(|(place, byte)| *place = byte);
    }
    entry
}
