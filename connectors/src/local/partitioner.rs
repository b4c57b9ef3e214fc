//! Which partition a keyed record goes to: Kafka's default, so that a topic written here and one written by a
//! Java client put a key in the same place.
//!
//! Owns [`murmur2`] and [`partition_of_key`]. The crate `murmur2` was looked at: one release and no tests of its
//! own against Kafka's values; the hash is thirty lines.
//! - I1: the hash equals that of Kafka's `Utils.murmur2` for every byte string.

use tableflow_model::Partition;

const SEED: u32 = 0x9747_b28c;
const MIX: u32 = 0x5bd1_e995;

/// The partition of a key among `partitions`.
pub fn partition_of_key(key: &[u8], partitions: i32) -> Partition {
    // As Kafka's `toPositive`: the sign bit is dropped, not the sign.
    let positive = (murmur2(key) & 0x7fff_ffff) as i32;
    Partition(positive.checked_rem(partitions).unwrap_or(0))
}

/// Kafka's 32-bit murmur2 with its fixed seed.
fn murmur2(bytes: &[u8]) -> u32 {
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MIX);
        k ^= k >> 24;
        hash = hash.wrapping_mul(MIX) ^ k.wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_the_hash_is_kafkas() {
        // The values of Kafka's own UtilsTest.
        let cases = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_negative_hash_loses_its_sign_bit_only() {
        // -973932308 & 0x7fffffff = 1173551340; 1173551340 mod 7 = 1173551340 - 7 * 167650191 = 3.
        assert_eq!(partition_of_key(b"21", 7), Partition(3));
        assert_eq!(partition_of_key(b"21", 1), Partition(0));
    }
}
