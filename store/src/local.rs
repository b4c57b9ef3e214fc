//! The local disk as an object store that survives a power cut.
//!
//! Owns [`DurableLocalStore`]. `object_store::local::LocalFileSystem` does the reading, listing and deleting; its
//! writes are not taken, because it never calls fsync: a table that was committed could lose its files.
//! - I1: when a write returns, the bytes, the directory entry and every directory above it are on disk.
//! - I2: an object is there whole or not at all: it is written beside (`staging`), synced, then linked into place.
//!   A create is a hard link, which fails if the name is taken; an overwrite is a rename.
//! - I3: a write that fails leaves nothing visible; what a killed process staged is never listed, and is swept by
//!   a later open.
//! - I4: no request leaves the root, through symbolic links neither.
//!
//! Power-cut model: what fsync returned for is kept, all else may be lost, names and contents independently.
//! The order per object is: sync the bytes, link, sync the directory, acknowledge. So whatever a catalog row or
//! an acknowledged object names is readable after the cut. Deletes are not synced: a deleted object that comes
//! back is garbage again.
//!
//! Paths are absolute (the store's root is `/`), as DataFusion expects of the store it knows as `file://`.
//!
//! Neighbours: `store` opens it; `directories` and `staging` are its parts.

mod directories;
mod staging;

use std::fmt;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tableflow_model::Clock;

use directories::Directories;
use staging::Staged;

pub use directories::create_directory;

/// The name under which errors and DataFusion know it.
const STORE_NAME: &str = "local store";

/// What the operating system said, and about which file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub(crate) struct DiskError {
    pub(crate) action: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

impl DiskError {
    pub(crate) fn of(action: &'static str, path: &FilePath) -> impl FnOnce(io::Error) -> DiskError {
        move |source| DiskError { action, path: path.to_owned(), source }
    }
}

impl From<DiskError> for object_store::Error {
    fn from(error: DiskError) -> Self {
        let path = error.path.display().to_string();
        // Only of the object itself: a file where a directory belongs exists already, too.
        if error.action == staging::LINK && error.source.kind() == io::ErrorKind::AlreadyExists {
            return object_store::Error::AlreadyExists { path, source: error.into() };
        }
        object_store::Error::Generic { store: STORE_NAME, source: error.into() }
    }
}

/// Local directories as an object store.
#[derive(Debug)]
pub struct DurableLocalStore {
    inner: LocalFileSystem,
    directories: Arc<Directories>,
}

impl DurableLocalStore {
    /// Opens the root, which must exist, and sweeps what killed processes staged there (I3).
    pub fn open(root: &FilePath, clock: &dyn Clock) -> io::Result<Self> {
        let directories = Directories::new(root)?;
        staging::sweep(directories.root(), clock.now())?;
        Ok(DurableLocalStore { inner: LocalFileSystem::new(), directories: Arc::new(directories) })
    }

    fn refuse(&self, operation: &str) -> object_store::Error {
        object_store::Error::NotImplemented { operation: operation.to_owned(), implementer: self.to_string() }
    }
}

impl fmt::Display for DurableLocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE_NAME)
    }
}

#[async_trait]
impl ObjectStore for DurableLocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if matches!(opts.mode, PutMode::Update(_)) || !opts.attributes.is_empty() {
            return Err(self.refuse("put with a version or with attributes"));
        }
        let target = self.inner.path_to_filesystem(location)?;
        let directories = Arc::clone(&self.directories);
        let written = tokio::task::spawn_blocking(move || {
            let staged = Staged::create(&directories, &target)?;
            staged.write(&payload)?;
            staged.publish(&directories, &opts.mode)
        });
        written.await??;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, _at: &Path, _options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(self.refuse("put part by part: objects are put whole"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.directories.check(&self.inner.path_to_filesystem(location)?)?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, directories) = (self.inner.clone(), Arc::clone(&self.directories));
        let checked = locations.map(move |location| {
            let location = location?;
            directories.check(&inner.path_to_filesystem(&location)?)?;
            Ok(location)
        });
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(self.refuse("copy: objects are written once and never moved"))
    }
}

#[cfg(test)]
mod tests;
