//! The blob of a deletion vector: the positions of one data file's deleted rows.
//!
//! - I1: a blob is believed only if its length, its marks and its checksum are right.
//!
//! The crate iceberg has Puffin files, and keeps what is inside a vector to itself.

use roaring::RoaringTreemap;

/// What stands before a vector's bitmap.
const MAGIC: [u8; 4] = [0xD1, 0xD3, 0x39, 0x64];

/// The length of mark and bitmap, the mark, the bitmap, a checksum of mark and bitmap; nothing where it is too long.
pub fn encode(rows: &RoaringTreemap) -> Option<Vec<u8>> {
    let length = u32::try_from(MAGIC.len() + rows.serialized_size()).ok()?;
    let mut blob = Vec::with_capacity(length as usize + 8);
    blob.extend(length.to_be_bytes());
    blob.extend(MAGIC);
    rows.serialize_into(&mut blob).ok()?;
    let checksum = crc32fast::hash(blob.get(4..)?);
    blob.extend(checksum.to_be_bytes());
    Some(blob)
}

/// I1.
pub fn decode(blob: &[u8]) -> Result<RoaringTreemap, &'static str> {
    let (length, rest) = blob.split_first_chunk::<4>().ok_or("it is too short")?;
    let (marked, checksum) = rest.split_last_chunk::<4>().ok_or("it is too short")?;
    if u32::from_be_bytes(*length) as usize != marked.len() {
        return Err("its length is another one than it says");
    }
    let bitmap = marked.strip_prefix(&MAGIC).ok_or("it does not begin as one")?;
    if crc32fast::hash(marked) != u32::from_be_bytes(*checksum) {
        return Err("its checksum is wrong");
    }
    RoaringTreemap::deserialize_from(bitmap).map_err(|_| "its bitmap is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: rows 1, 3 and 2^32 + 7, as the specification lays them out.
    fn by_hand() -> Vec<u8> {
        let run_free = 12346_u32.to_le_bytes();
        let bitmap = |key: u32, values: &[u16]| {
            let mut bytes = key.to_le_bytes().to_vec();
            bytes.extend(run_free);
            bytes.extend(1_u32.to_le_bytes());
            bytes.extend([0, 0]);
            bytes.extend((values.len() as u16 - 1).to_le_bytes());
            bytes.extend(16_u32.to_le_bytes());
            values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
            bytes
        };
        let mut marked = vec![0xD1, 0xD3, 0x39, 0x64];
        marked.extend(2_u64.to_le_bytes());
        marked.extend(bitmap(0, &[1, 3]));
        marked.extend(bitmap(1, &[7]));
        let mut blob = (marked.len() as u32).to_be_bytes().to_vec();
        blob.extend(&marked);
        blob.extend(crc32fast::hash(&marked).to_be_bytes());
        blob
    }

    #[test]
    fn i1_a_vector_is_read_and_a_damaged_one_is_not() {
        let blob = by_hand();
        assert_eq!(encode(&[1, 3, (1 << 32) + 7].into_iter().collect()).as_deref(), Some(blob.as_slice()));
        assert_eq!(decode(&blob).unwrap().iter().collect::<Vec<_>>(), [1, 3, (1 << 32) + 7]);
        for place in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[place] ^= 0x10;
            assert!(decode(&damaged).is_err(), "byte {place}");
            assert!(decode(&blob[..place]).is_err(), "the first {place} bytes");
        }
    }
}
