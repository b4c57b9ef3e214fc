//! Keys packed in memory.
//!
//! Owns [`PackedKeys`]: hash -> places, in [`Shard`]s.
//! - I1: a key takes at most 24 bytes, all in, once there are enough of them to fill the parts.
//! - I2: keys with one hash are kept beside each other.

use super::shard::Shard;
use super::{Hash, Location};

/// Of a part, below which growing costs nothing.
const RESERVED_MIN: usize = 64;

/// Places of rows, by their keys' hashes.
#[derive(Debug)]
pub struct PackedKeys {
    shards: Box<[Option<Box<Shard>>]>,
    keys: u64,
    /// Of the shards.
    bytes: usize,
}

impl Default for PackedKeys {
    fn default() -> Self {
        PackedKeys { shards: (0..Hash::SHARDS).map(|_| None).collect(), keys: 0, bytes: 0 }
    }
}

impl PackedKeys {
    pub fn len(&self) -> u64 {
        self.keys
    }

    /// Bytes that it takes.
    pub fn memory(&self) -> usize {
        self.bytes + size_of_val(self.shards.as_ref())
    }

    /// As a rule one, or none (I2).
    pub fn find(&self, hash: Hash) -> impl Iterator<Item = Location> + '_ {
        let shard = self.shards.get(hash.shard()).and_then(Option::as_deref);
        shard.into_iter().flat_map(move |shard| shard.find(hash))
    }

    pub fn insert(&mut self, hash: Hash, location: Location) {
        if let Some(shard) = self.shards.get_mut(hash.shard()) {
            let before = shard.as_ref().map_or(0, |shard| shard.memory());
            let shard = shard.get_or_insert_default();
            shard.insert(hash, location);
            self.keys += 1;
            self.bytes = self.bytes - before + shard.memory();
        }
    }

    /// So many more come: no part grows again and again. Fewer than there are make a part grow once at most, by themselves.
    pub fn reserve(&mut self, keys: u64) {
        if keys < self.keys {
            return;
        }
        let in_each = usize::try_from((self.keys + keys) / Hash::SHARDS as u64).unwrap_or(0);
        if in_each < RESERVED_MIN {
            return;
        }
        self.bytes = 0;
        for shard in &mut self.shards {
            let shard = shard.get_or_insert_default();
            shard.reserve(in_each);
            self.bytes += shard.memory();
        }
    }

    /// All of a part that has none yet, in the order of their hashes.
    pub fn fill(&mut self, entries: &[(Hash, Location)]) {
        let Some((first, _)) = entries.first() else { return };
        if let Some(place) = self.shards.get_mut(first.shard()) {
            let in_shard: Vec<_> = entries.iter().map(|(hash, location)| (hash.in_shard(), *location)).collect();
            let shard = Shard::of_sorted(&in_shard);
            self.keys += shard.len() as u64;
            self.bytes += shard.memory();
            *place = Some(Box::new(shard));
        }
    }

    /// Takes that row of the key away; false where it is not there.
    pub fn remove(&mut self, hash: Hash, location: Location) -> bool {
        let shard = self.shards.get_mut(hash.shard()).and_then(Option::as_deref_mut);
        let removed = shard.is_some_and(|shard| shard.remove(hash, location));
        self.keys -= u64::from(removed);
        removed
    }

    /// In the order of their hashes.
    pub fn entries(&self) -> impl Iterator<Item = (Hash, Location)> + '_ {
        let shards = self.shards.iter().enumerate();
        let filled = shards.filter_map(|(number, shard)| Some((number, shard.as_deref()?)));
        let entries = |(number, shard): (usize, _)| {
            Shard::entries(shard).map(move |(hash, location)| (Hash::of_shard(number, hash), location))
        };
        filled.flat_map(entries)
    }

    /// Gives back what those took that do not stay.
    pub fn retain(&mut self, stays: impl Fn(Location) -> bool) {
        for shard in &mut self.shards {
            if let Some(filled) = shard {
                filled.retain(&stays);
                if filled.len() == 0 {
                    *shard = None;
                }
            }
        }
        let shards = || self.shards.iter().flatten();
        self.keys = shards().map(|shard| shard.len() as u64).sum();
        self.bytes = shards().map(|shard| shard.memory()).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{FILES_MAX, PARTITIONS_MAX, ROWS_MAX};
    use super::*;

    fn location(random: &mut fastrand::Rng) -> Location {
        let partition = random.bool().then(|| random.u16(..PARTITIONS_MAX));
        Location { file: random.u32(..FILES_MAX), row: random.u32(..ROWS_MAX), partition }
    }

    /// The oracle: what a plain set says after the same changes.
    fn check_against_a_set(random: &mut fastrand::Rng, steps: usize, hash: impl Fn(&mut fastrand::Rng) -> Hash) {
        let (mut index, mut set) = (PackedKeys::default(), BTreeSet::new());
        for _ in 0..steps {
            let hash = hash(random);
            let there: Vec<(Hash, Location)> = set.range((hash, FIRST)..=(hash, LAST)).copied().collect();
            let mut found: Vec<(Hash, Location)> = index.find(hash).map(|location| (hash, location)).collect();
            found.sort();
            assert_eq!(found, there);
            match random.choice(&there) {
                Some((_, location)) if random.u8(..) < 150 => {
                    assert!(index.remove(hash, *location));
                    assert!(!index.remove(hash, *location));
                    set.remove(&(hash, *location));
                }
                _ => {
                    let location = location(random);
                    index.insert(hash, location);
                    set.insert((hash, location));
                }
            }
            assert_eq!(index.len(), set.len() as u64);
        }
        for (hash, location) in set {
            assert!(index.find(hash).any(|found| found == location));
            assert!(index.remove(hash, location));
        }
        assert_eq!(index.len(), 0);
    }

    const FIRST: Location = Location { file: 0, row: 0, partition: None };
    const LAST: Location = Location { file: u32::MAX, row: u32::MAX, partition: Some(u16::MAX) };

    #[test]
    fn an_index_answers_as_a_plain_set_does() {
        let mut random = fastrand::Rng::with_seed(7);
        // Keys that come again, in many parts and in few, hashes at both ends, and many keys of one hash.
        check_against_a_set(&mut random, 20_000, |random| Hash::new(u128::from(random.u16(..)) * (1 << 83)));
        check_against_a_set(&mut random, 20_000, |random| Hash::new(u128::from(random.u16(..4000)) << 70));
        check_against_a_set(&mut random, 5_000, |random| Hash::new(u128::MAX - u128::from(random.u16(..300))));
        check_against_a_set(&mut random, 5_000, |random| Hash::new(u128::from(random.u16(..300))));
        check_against_a_set(&mut random, 3_000, |random| Hash::new(u128::from(random.u8(..3))));
    }

    #[test]
    fn parts_that_are_filled_at_once_or_have_their_room_before_are_as_those_that_grew() {
        let mut random = fastrand::Rng::with_seed(8);
        // Spread over all parts; all in one; and all with nearly one hash.
        for mask in [u128::MAX, u128::MAX >> 44, u128::from(u16::MAX)] {
            let entry = |row| (Hash::new(random.u128(..) & mask), Location { row, ..FIRST });
            let mut entries: Vec<(Hash, Location)> =
                (0..400_000_u32 >> mask.leading_zeros().min(4)).map(entry).collect();
            let (mut grown, mut roomy, mut filled) =
                (PackedKeys::default(), PackedKeys::default(), PackedKeys::default());
            roomy.reserve(entries.len() as u64);
            for (hash, location) in &entries {
                grown.insert(*hash, *location);
                roomy.insert(*hash, *location);
            }
            entries.sort();
            entries.chunk_by(|a, b| a.0.shard() == b.0.shard()).for_each(|part| filled.fill(part));
            for index in [&grown, &roomy, &filled] {
                let mut found: Vec<(Hash, Location)> = index.entries().collect();
                assert!(found.is_sorted_by_key(|(hash, _)| *hash));
                found.sort();
                assert_eq!((found.len() as u64, &found), (index.len(), &entries));
                let one = entries[entries.len() / 3];
                assert!(index.find(one.0).any(|location| location == one.1));
            }
            if mask == u128::MAX {
                let most = filled.memory().max(roomy.memory());
                assert!(most < entries.len() * 28, "{most} bytes of {} keys", entries.len());
            }
        }
    }

    #[test]
    fn i1_a_key_takes_at_most_24_bytes() {
        let mut random = fastrand::Rng::with_seed(9);
        let (mut index, mut worst) = (PackedKeys::default(), 0.0_f64);
        for keys in 1..=3_000_000_u64 {
            // In a sixteenth of the parts: as 32 to 48 million in all of them.
            index.insert(Hash::new(random.u128(..) >> 36), Location { row: keys as u32, ..FIRST });
            if keys > 2_000_000 && keys % 100_000 == 0 {
                worst = worst.max(index.memory() as f64 / keys as f64);
            }
        }
        assert!(worst <= 24.0, "{worst} bytes a key");
    }
}
