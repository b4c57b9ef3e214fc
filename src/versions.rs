//! Documents that change: numbered versions, each put create-only, of which the newest counts.
//!
//! So two people who change one document at once cannot overwrite each other, on any object store.
//! - I1: a version, once put, never changes; a change is the next version.
//!
//! Neighbours: `definition` and `pattern` keep what people declared this way.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use tableflow_model::{Error, Result};
use tableflow_store::{PutOutcome, Store};

/// The URI of the newest version of every document below a prefix, by its directory.
pub async fn newest(store: &Store, prefix: &str) -> Result<BTreeMap<String, String>> {
    let mut newest = BTreeMap::new();
    // Version numbers have a fixed width, so the listing's order is theirs.
    for object in store.list_all(prefix).await? {
        if let Some((directory, name)) = object.uri.rsplit_once('/')
            && name.ends_with(".json")
        {
            newest.insert(directory.to_owned(), object.uri.clone());
        }
    }
    Ok(newest)
}

/// Puts a version. False if somebody else put this one first.
pub async fn put(store: &Store, uri: &str, document: &impl Serialize) -> Result<bool> {
    let json = serde_json::to_vec_pretty(document);
    let json = json.map_err(|error| Error::internal("a declaration has no JSON form").with_source(error))?;
    Ok(store.put_new(uri, Bytes::from(json)).await? == PutOutcome::Created)
}
