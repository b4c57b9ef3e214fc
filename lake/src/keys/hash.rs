//! Keys as hashes.
//!
//! Owns [`Hash`] and [`KeyHasher`].
//! - I1: a key has one hash for ever: of whole numbers and fractions however wide, of texts however large their column.
//! - I2: keys that differ have the hashes of different bytes: the row format writes where each column ends.
//! - I3: a hash is seeded: nobody who does not know the seed can make keys that are alike.
//! - I4: hashes that are kept on disk are compared only with those of the same [`KeyHasher::way`].
//! - I5: a row that is no more the one in force of its key has the hash of none.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use arrow::row::{Row, RowConverter, SortField};
use tableflow_model::{Error, Result};
use twox_hash::XxHash3_128;

use super::shard::HASH_BITS;
use crate::arrow_error;

/// 96 bits of a key's hash: the first 12 say the part of the index, the others are kept there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(u128);

const SHARD_BITS: u32 = 12;

impl Hash {
    /// Parts of an index.
    pub const SHARDS: usize = 1 << SHARD_BITS;

    /// So many stand for a key.
    pub const BITS: u32 = SHARD_BITS + HASH_BITS;

    /// Of a row that no key has any more (I5).
    pub const NONE: Hash = Hash(0);

    /// The last 96 bits.
    pub fn new(bits: u128) -> Self {
        Hash(bits & ((1 << Self::BITS) - 1))
    }

    pub fn bits(self) -> u128 {
        self.0
    }

    /// Its first bits alone.
    #[must_use]
    pub fn first_bits(self, bits: u32) -> Self {
        let rest = Self::BITS - bits.min(Self::BITS);
        Hash(self.0 >> rest << rest)
    }

    pub(super) fn of_shard(shard: usize, in_shard: u128) -> Self {
        Hash::new((shard as u128) << HASH_BITS | in_shard)
    }

    pub fn shard(self) -> usize {
        (self.0 >> HASH_BITS) as usize
    }

    pub(super) fn in_shard(self) -> u128 {
        self.0 & ((1 << HASH_BITS) - 1)
    }
}

/// Hashes of the keys in some columns.
#[derive(Debug)]
pub struct KeyHasher {
    seed: u64,
    types: Vec<DataType>,
    converter: RowConverter,
    of_versions: bool,
}

impl KeyHasher {
    /// For keys of columns of these types.
    pub fn new(columns: &[&Field], seed: u64) -> Result<Self> {
        let types: Vec<DataType> = columns.iter().map(|column| widest(column.data_type())).collect();
        let fields = types.iter().cloned().map(SortField::new).collect();
        let converter = RowConverter::new(fields).map_err(|source| {
            let names: Vec<&str> = columns.iter().map(|column| column.name().as_str()).collect();
            Error::usage(format!("rows cannot be identified by {}", names.join(", ")))
                .with_hint("a key is of columns that can be compared: not of maps")
                .with_source(source)
        })?;
        Ok(KeyHasher { seed, types, converter, of_versions: false })
    }

    /// Rows may have one more column, which says until when they were in force (I5).
    #[must_use]
    pub fn of_versions(self) -> Self {
        KeyHasher { of_versions: true, ..self }
    }

    /// Whether they may.
    pub fn is_of_versions(&self) -> bool {
        self.of_versions
    }

    /// Of the same columns.
    pub fn with_seed(&self, seed: u64) -> Result<Self> {
        let fields = self.types.iter().cloned().map(SortField::new).collect();
        let converter = RowConverter::new(fields).map_err(arrow_error("hashing keys"))?;
        Ok(KeyHasher { seed, types: self.types.clone(), converter, of_versions: self.of_versions })
    }

    /// How many it looks at: the key's, and the one that says until when.
    pub fn columns(&self) -> usize {
        self.types.len() + usize::from(self.of_versions)
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What hashes of a seed depend on beside the key (I4): the types, and how arrow writes a row.
    pub fn way(&self) -> String {
        format!("{:?}, arrow {}", self.types, arrow::ARROW_VERSION)
    }

    /// One for each row.
    pub fn hashes(&self, columns: &[ArrayRef]) -> Result<Vec<Hash>> {
        let failed = arrow_error("hashing keys");
        let normal = columns.iter().zip(&self.types).map(|(column, of)| match column.data_type() == of {
            true => Ok(Arc::clone(column)),
            false => cast(column, of).map_err(failed),
        });
        let rows = self.converter.convert_columns(&normal.collect::<Result<Vec<_>>>()?).map_err(failed)?;
        let ends = columns.get(self.types.len()).filter(|_| self.of_versions);
        let has_ended = |row: usize| ends.is_some_and(|ends| ends.is_valid(row));
        let hash = |bytes: &[u8]| match Hash::new(XxHash3_128::oneshot_with_seed(self.seed, bytes)) {
            Hash::NONE => Hash(1),
            hash => hash,
        };
        let hash = |(row, of): (usize, Row<'_>)| if has_ended(row) { Hash::NONE } else { hash(of.as_ref()) };
        Ok(rows.iter().enumerate().map(hash).collect())
    }
}

/// The type that a column of keys is hashed as (I1): the widest that the format lets it become.
fn widest(of: &DataType) -> DataType {
    match of {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Utf8 => DataType::LargeUtf8,
        DataType::Binary => DataType::LargeBinary,
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
        same => same.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, Decimal128Array, Int32Array, Int64Array, LargeStringArray, StringArray};

    use super::*;

    fn hashes(columns: &[ArrayRef], seed: u64) -> Vec<Hash> {
        let fields: Vec<Field> =
            columns.iter().map(|column| Field::new("k", column.data_type().clone(), true)).collect();
        KeyHasher::new(&fields.iter().collect::<Vec<_>>(), seed).unwrap().hashes(columns).unwrap()
    }

    #[test]
    fn i1_a_wider_column_has_the_same_hashes() {
        let same = |a: ArrayRef, b: ArrayRef| assert_eq!(hashes(&[a], 3), hashes(&[b], 3));
        same(Arc::new(Int32Array::from(vec![-1, 0, 7])), Arc::new(Int64Array::from(vec![-1, 0, 7])));
        same(Arc::new(StringArray::from(vec!["", "é"])), Arc::new(LargeStringArray::from(vec!["", "é"])));
        let decimal = |precision| Decimal128Array::from(vec![1234]).with_precision_and_scale(precision, 2).unwrap();
        same(Arc::new(decimal(9)), Arc::new(decimal(20)));
    }

    #[test]
    fn i2_keys_of_every_type_are_told_apart_wherever_they_stand() {
        use arrow::array::{
            BooleanArray, Date32Array, FixedSizeBinaryArray, Float64Array, StructArray, Time64MicrosecondArray,
            TimestampMicrosecondArray,
        };
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![i32::MIN, 0, 1]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["", "\0", "\0\0"]));
        let parts = |columns: &[&ArrayRef]| {
            let field =
                |(nth, column): (usize, &&ArrayRef)| Field::new(nth.to_string(), column.data_type().clone(), true);
            let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
            StructArray::new(fields.into(), columns.iter().map(|column| Arc::clone(column)).collect(), None)
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(BooleanArray::from(vec![Some(false), Some(true), None])),
            Arc::new(Date32Array::from(vec![-1, 0, 1])),
            Arc::new(Time64MicrosecondArray::from(vec![0, 1, 2])),
            Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN, 0, i64::MAX]).with_timezone("+00:00")),
            Arc::new(Float64Array::from(vec![f64::NEG_INFINITY, 0.5, f64::NAN])),
            Arc::new(FixedSizeBinaryArray::from(vec![&[0_u8; 16], &[1; 16], &[2; 16]])),
            Arc::new(parts(&[&numbers, &texts])),
            numbers,
            texts,
        ];
        for column in &columns {
            let all = hashes(std::slice::from_ref(column), 3);
            assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "{}", column.data_type());
            assert_eq!(hashes(&[column.slice(1, 2)], 3), all[1..], "{}", column.data_type());
        }
        assert_eq!(hashes(&columns, 3).len(), 3, "all of them as one key");
    }

    #[test]
    fn i2_i3_other_keys_and_other_seeds_have_other_hashes() {
        let texts = |values: [&str; 3]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let pairs = hashes(&[texts(["a", "ab", ""]), texts(["bc", "c", "abc"])], 3);
        assert!(pairs[0] != pairs[1] && pairs[1] != pairs[2] && pairs[0] != pairs[2]);
        assert_ne!(hashes(&[texts(["a", "b", "c"])], 3), hashes(&[texts(["a", "b", "c"])], 4));
        let long = vec![7_u8; 100_000];
        let longer = [long.as_slice(), &[7]].concat();
        let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![&long, &longer, &long]));
        let found = hashes(&[bytes], 3);
        assert!(found[0] == found[2] && found[0] != found[1]);
    }
}
