//! Deletion vectors: the positions of one data file's deleted rows, as a blob in a Puffin file.
//!
//! - I1: a vector is believed only if its blob is whole, and has as many rows as the manifest says.

use iceberg::spec::DataFile;
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};
use tableflow_store::Store;

use crate::vector::decode;

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
