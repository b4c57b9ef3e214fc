//! Deletion vectors: the positions of one data file's deleted rows, as a blob in a Puffin file.
//!
//! - I1: a vector is believed only if its length, its marks and its checksum are right, and it has as many rows as the
//!   manifest says.
//!
//! The crate iceberg has Puffin files, and keeps what is inside a vector to itself.

use iceberg::spec::DataFile;
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};
use tableflow_store::Store;

/// What stands before a vector's bitmap.
const MAGIC: [u8; 4] = [0xD1, 0xD3, 0x39, 0x64];

/// The vector that a manifest's entry names.
pub async fn read(store: &Store, vector: &DataFile) -> Result<RoaringTreemap> {
    let damaged = |why: &str| {
        Error::data("a deletion vector cannot be read").with_detail(format!("{why}, in {}", vector.file_path()))
    };
    let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let (Some(start), Some(length)) = (number(vector.content_offset()), number(vector.content_size_in_bytes())) else {
        return Err(damaged("the manifest does not say where it is"));
    };
    let end = start.checked_add(length).filter(|end| *end <= vector.file_size_in_bytes());
    let blob =
        store.get_range(vector.file_path(), start..end.ok_or_else(|| damaged("it ends behind its file"))?).await?;
    let rows = decode(&blob).map_err(damaged)?;
    if rows.len() != vector.record_count() {
        return Err(damaged("it has another number of rows than the manifest says"));
    }
    Ok(rows)
}

/// The blob: the length of mark and bitmap, the mark, the bitmap, a checksum of mark and bitmap.
fn decode(blob: &[u8]) -> Result<RoaringTreemap, &'static str> {
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
        assert_eq!(decode(&blob).unwrap().iter().collect::<Vec<_>>(), [1, 3, (1 << 32) + 7]);
        for place in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[place] ^= 0x10;
            assert!(decode(&damaged).is_err(), "byte {place}");
            assert!(decode(&blob[..place]).is_err(), "the first {place} bytes");
        }
    }
}
