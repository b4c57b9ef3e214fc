//! Changes become table files, and table files become rows again.
//!
//! In flow order:
//!
//! ```text
//!  layout   columns with stable ids, partitioning, sort order, batches in the table's shape
//!  write    batches -> Parquet data files, partitioned, sized by bytes, with exact metrics
//!  keys     where the row of each key is
//!  upsert   a table with one row a key: what a commit of changes deletes
//!  commit   data files + ledger -> manifests, snapshot, (requirements, updates) for the catalog
//!  compact  the same rows in fewer, larger files
//!  removal  rows that go by what they are: too old, or to be erased
//!  vector   the blob of a deletion vector
//!  read     snapshot -> rows: the DataFusion provider that plans from manifests
//!  feed     what changed between two snapshots
//!  reach    which files the retained snapshots name
//! ```
//!
//! Knows neither SQL text nor topics. Publishing is the catalog's: this crate prepares, the catalog swaps.

pub mod commit;
pub mod compact;
pub mod feed;
pub mod keys;
pub mod layout;
pub mod reach;
pub mod read;
pub mod removal;
pub mod upsert;
mod vector;
pub mod write;

#[cfg(test)]
mod tests;

use tableflow_model::Error;

/// Wraps an error of the iceberg crate: what we were doing, and its own words as the detail. An error of our store
/// that went through the crate comes out as it was: whether trying again may help is in its kind.
pub(crate) fn iceberg_error(doing: &'static str) -> impl Fn(iceberg::Error) -> Error {
    move |source| {
        if let Some(ours) = std::error::Error::source(&source).and_then(|inner| inner.downcast_ref::<Error>()) {
            return ours.restated();
        }
        let error = match source.kind() {
            iceberg::ErrorKind::DataInvalid => Error::data(doing),
            iceberg::ErrorKind::FeatureUnsupported => Error::usage(doing),
            _ => Error::internal(doing),
        };
        error.with_detail(source.message().to_owned())
    }
}

/// Wraps an error of arrow.
pub(crate) fn arrow_error(doing: &'static str) -> impl Fn(arrow::error::ArrowError) -> Error + Copy {
    move |source| Error::data(doing).with_source(source)
}

/// Wraps an error of parquet.
pub(crate) fn parquet_error(doing: &'static str) -> impl Fn(parquet::errors::ParquetError) -> Error {
    move |source| Error::data(doing).with_source(source)
}
