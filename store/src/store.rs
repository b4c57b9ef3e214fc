//! What the other crates call: create-only puts, checked reads, listing, all below one root.
//!
//! Owns [`Store`].
//! - I1: every URI is confined: it must lie under the root.
//! - I2: objects are written once (G1). [`Store::put_new`] tells apart created, there already with the same bytes
//!   (a reply was lost: ours), and taken by somebody else. [`Store::put_overwrite`] is for status objects, whose
//!   loss or mix-up harms nobody.
//! - I3: a read returns as many bytes as the store says the object has, or fails; a torn body is read again and
//!   never handed on.
//! - I4: retries are bounded ([`ATTEMPTS_MAX`]).
//!
//! An error of `put_new` that is not definite means unknown: the object may still appear. Who decides something
//! by an object's existence stops then, and looks again when it starts (rule M1).
//!
//! Neighbours: `uri` parses, `paths` names, `local` and `meter` lie below, `bridge` and the catalogs on top.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tableflow_model::{Clock, Error, Millis, Result};
use url::Url;

use crate::error::{is_definite, translate};
use crate::kill::{self, KillPoint};
use crate::local::{DurableLocalStore, create_directory};
use crate::meter::{Meter, MeterSnapshot, MeteredStore};
use crate::paths::ObjectKind;
use crate::uri::Location;

/// A fault that outlives this many tries is reported: the caller knows better what can wait.
const ATTEMPTS_MAX: u32 = 4;

/// Doubled after each try.
const RETRY_PAUSE_MS: u64 = 25;

/// What became of a create-only put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object was made by this call.
    Created,
    /// The object is there with exactly these bytes: an earlier try of the same put, or the same content.
    Identical,
    /// The name holds other bytes.
    Taken,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    pub uri: String,
    pub size: u64,
    /// By the store's clock.
    pub modified: Millis,
}

/// Object storage below one root. Clones share everything.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    root: Location,
    object_store: Arc<dyn ObjectStore>,
    meter: Arc<Meter>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("root", &self.root_uri()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a directory (made if missing), a `file:` URI, or `memory:///` for tests.
    pub fn open(root: &str, clock: &dyn Clock) -> Result<Self> {
        if !root.contains(':') {
            return open_local(root, clock);
        }
        match Location::parse(root)?.scheme() {
            "file" => open_local(root, clock),
            "memory" => Store::with_object_store(root, Arc::new(InMemory::new())),
            scheme => Err(Error::usage(format!("{root} is not a store that can be opened"))
                .with_detail(format!("this build has no object store for {scheme}:"))
                .with_hint("use a directory")),
        }
    }

    /// Any object store; its paths are the URIs' paths: the key in a bucket, the absolute path of a file.
    pub fn with_object_store(root: &str, object_store: Arc<dyn ObjectStore>) -> Result<Self> {
        let root = Location::parse(root)?;
        let meter = Arc::new(Meter::default());
        let object_store = Arc::new(MeteredStore::new(object_store, Arc::clone(&meter)));
        Ok(Store { inner: Arc::new(Inner { root, object_store, meter }) })
    }

    /// The root, without a slash at the end.
    pub fn root_uri(&self) -> String {
        self.inner.root.to_uri()
    }

    /// Where DataFusion registers [`Store::object_store`].
    pub fn base_url(&self) -> Result<Url> {
        let base = self.inner.root.base();
        Url::parse(&format!("{base}/")).map_err(|error| Error::usage(format!("{base} is not a URL")).with_source(error))
    }

    /// The store below, metered. It knows no confinement except a local store's own.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner.object_store)
    }

    pub fn meter(&self) -> MeterSnapshot {
        self.inner.meter.snapshot()
    }

    /// The path of an object in the store below; refuses what lies outside the root (I1).
    pub fn path(&self, uri: &str) -> Result<Path> {
        let location = Location::parse(uri)?;
        if location.is_under(&self.inner.root) {
            return location.to_path();
        }
        Err(Error::usage(format!("{uri} lies outside of {}", self.root_uri()))
            .with_hint("the paths in a table are absolute: a data directory that was moved must go back to its place"))
    }

    /// Writes an object that must not exist (I2).
    pub async fn put_new(&self, uri: &str, bytes: Bytes) -> Result<PutOutcome> {
        let path = self.path(uri)?;
        let kind = ObjectKind::of(uri);
        pass(KillPoint::before_put(kind));
        let outcome = self.create(uri, &path, &bytes).await?;
        pass(KillPoint::after_put(kind));
        Ok(outcome)
    }

    async fn create(&self, uri: &str, path: &Path, bytes: &Bytes) -> Result<PutOutcome> {
        let mut attempt = 1;
        loop {
            let payload = PutPayload::from_bytes(bytes.clone());
            let error = match self.inner.object_store.put_opts(path, payload, PutMode::Create.into()).await {
                Ok(_) => return Ok(PutOutcome::Created),
                Err(error) => error,
            };
            if is_definite(&error) {
                return Err(translate("write", uri, error));
            }
            // Taken, or a lost reply: what is there tells whose it is.
            match self.compare(uri, path, bytes).await {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) | Err(_) if attempt < ATTEMPTS_MAX => pause(attempt).await,
                Ok(None) => return Err(translate("write", uri, error)),
                Err(unreadable) => return Err(unreadable),
            }
            attempt += 1;
        }
    }

    /// Length first, then the bytes; `None` if nothing is there.
    async fn compare(&self, uri: &str, path: &Path, bytes: &Bytes) -> Result<Option<PutOutcome>> {
        let there = match self.inner.object_store.head(path).await {
            Ok(meta) => meta,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(translate("read", uri, error)),
        };
        if there.size != bytes.len() as u64 || self.get(uri).await? != *bytes {
            return Ok(Some(PutOutcome::Taken));
        }
        Ok(Some(PutOutcome::Identical))
    }

    /// Replaces a small status object; readers see the old one or this one.
    pub async fn put_overwrite(&self, uri: &str, bytes: Bytes) -> Result<()> {
        let path = self.path(uri)?;
        let kind = ObjectKind::of(uri);
        pass(KillPoint::before_put(kind));
        let put = self.inner.object_store.put_opts(&path, PutPayload::from_bytes(bytes), PutMode::Overwrite.into());
        put.await.map_err(|error| translate("write", uri, error))?;
        pass(KillPoint::after_put(kind));
        Ok(())
    }

    /// The whole object (I3).
    pub async fn get(&self, uri: &str) -> Result<Bytes> {
        self.read(uri, None).await
    }

    /// A part of the object, exactly as long as asked for (I3).
    pub async fn get_range(&self, uri: &str, range: Range<u64>) -> Result<Bytes> {
        self.read(uri, Some(range)).await
    }

    async fn read(&self, uri: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        let path = self.path(uri)?;
        let mut attempt = 1;
        loop {
            let error = match self.read_once(&path, range.clone()).await {
                Ok(ReadOutcome::Whole(bytes)) => return Ok(bytes),
                Ok(ReadOutcome::Torn { expected, received }) => torn(uri, expected, received),
                Err(error) if is_definite(&error) || matches!(error, object_store::Error::NotFound { .. }) => {
                    return Err(translate("read", uri, error));
                }
                Err(error) => translate("read", uri, error),
            };
            if attempt == ATTEMPTS_MAX {
                return Err(error);
            }
            pause(attempt).await;
            attempt += 1;
        }
    }

    async fn read_once(&self, path: &Path, range: Option<Range<u64>>) -> object_store::Result<ReadOutcome> {
        let asked = range.as_ref().map(|range| range.end.saturating_sub(range.start));
        let options = GetOptions { range: range.map(Into::into), ..GetOptions::default() };
        let result = self.inner.object_store.get_opts(path, options).await?;
        let expected = asked.unwrap_or(result.meta.size);
        let bytes = result.bytes().await?;
        let received = bytes.len() as u64;
        Ok(if received == expected { ReadOutcome::Whole(bytes) } else { ReadOutcome::Torn { expected, received } })
    }

    /// Size and age of an object.
    pub async fn head(&self, uri: &str) -> Result<ObjectInfo> {
        let meta = self.inner.object_store.head(&self.path(uri)?).await;
        meta.map(|meta| self.info(meta)).map_err(|error| translate("read", uri, error))
    }

    /// Everything below a directory, in no order. A listing may lag behind: it never proves that a name is free.
    pub fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectInfo>>> {
        let path = self.path(prefix)?;
        let (store, prefix) = (self.clone(), prefix.to_owned());
        let objects = self.inner.object_store.list(Some(&path));
        Ok(objects
            .map(move |meta| meta.map(|meta| store.info(meta)).map_err(|error| translate("list", &prefix, error)))
            .boxed())
    }

    /// [`Store::list`] for directories known to be small, in the order of their names.
    pub async fn list_all(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let mut objects: Vec<ObjectInfo> = self.list(prefix)?.try_collect().await?;
        objects.sort_by(|a, b| a.uri.cmp(&b.uri));
        Ok(objects)
    }

    /// Deletes an object; one that is not there is fine.
    pub async fn delete(&self, uri: &str) -> Result<()> {
        let kind = ObjectKind::of(uri);
        pass(KillPoint::before_delete(kind));
        match self.inner.object_store.delete(&self.path(uri)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(translate("delete", uri, error)),
        }
        pass(KillPoint::after_delete(kind));
        Ok(())
    }

    fn info(&self, meta: ObjectMeta) -> ObjectInfo {
        let uri = format!("{}/{}", self.inner.root.base(), meta.location);
        ObjectInfo { uri, size: meta.size, modified: Millis(meta.last_modified.timestamp_millis()) }
    }
}

enum ReadOutcome {
    Whole(Bytes),
    Torn { expected: u64, received: u64 },
}

fn torn(uri: &str, expected: u64, received: u64) -> Error {
    Error::unavailable(format!("{uri} came back torn"))
        .with_detail(format!("{received} bytes were received where {expected} were expected"))
}

async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(RETRY_PAUSE_MS << attempt.min(ATTEMPTS_MAX))).await;
}

fn pass(point: Option<KillPoint>) {
    if let Some(point) = point {
        kill::at(point);
    }
}

/// The real path of the directory becomes the root: what a symbolic link above it says is settled once.
fn open_local(root: &str, clock: &dyn Clock) -> Result<Store> {
    let directory = local_directory(root)?;
    let disk = DurableLocalStore::open(&directory, clock)
        .map_err(|error| Error::unavailable(format!("cannot open the directory {root}")).with_source(error))?;
    Store::with_object_store(&directory_uri(&directory)?, Arc::new(disk))
}

fn local_directory(uri: &str) -> Result<PathBuf> {
    let path =
        if uri.contains(':') { PathBuf::from(format!("/{}", Location::parse(uri)?.to_path()?)) } else { uri.into() };
    create_directory(&path)
        .map_err(|error| Error::unavailable(format!("cannot make the directory {}", path.display())).with_source(error))
}

fn directory_uri(path: &std::path::Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| {
        Error::usage(format!("the directory {} cannot be written as a URI", path.display()))
            .with_detail("its name is not UTF-8")
    })?;
    Ok(Location::parse(text)?.to_uri())
}

#[cfg(test)]
mod tests;
