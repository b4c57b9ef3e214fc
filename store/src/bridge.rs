//! Iceberg's FileIO on top of the store.
//!
//! Owns [`file_io`]. The crate `iceberg-storage-opendal` was looked at: it would be a second client with its own
//! credentials, without fsync, create-only puts, confinement or meter.
//! - I1: everything iceberg reads and writes passes through [`Store`], so its invariants hold.
//! - I2: a written file is new: a name that holds other bytes is an error. It is kept in memory until it is closed
//!   (manifests and lists are small; data files are put by their writer).
//!
//! Neighbours: `store` below; the crates that read or write manifests with iceberg's own types above.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
    StorageFactory,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tableflow_model::{Error, ErrorKind};

use crate::store::{PutOutcome, Store};

/// The store as iceberg sees it.
pub fn file_io(store: &Store) -> FileIO {
    FileIOBuilder::new(Arc::new(Bridge(store.clone()))).build()
}

#[derive(Clone)]
struct Bridge(Store);

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Iceberg wants to send storages to other processes; there are none here.
impl Serialize for Bridge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.root_uri())
    }
}

impl<'de> Deserialize<'de> for Bridge {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("an open store cannot be sent to another process"))
    }
}

#[typetag::serde(name = "tableflow")]
impl StorageFactory for Bridge {
    fn build(&self, _config: &StorageConfig) -> iceberg::Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "tableflow")]
impl Storage for Bridge {
    async fn exists(&self, path: &str) -> iceberg::Result<bool> {
        match self.0.head(path).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(translate(error)),
        }
    }

    async fn metadata(&self, path: &str) -> iceberg::Result<FileMetadata> {
        let info = self.0.head(path).await.map_err(translate)?;
        Ok(FileMetadata { size: info.size })
    }

    async fn read(&self, path: &str) -> iceberg::Result<Bytes> {
        self.0.get(path).await.map_err(translate)
    }

    async fn reader(&self, path: &str) -> iceberg::Result<Box<dyn FileRead>> {
        self.0.path(path).map_err(translate)?;
        Ok(Box::new(Reader { store: self.0.clone(), uri: path.to_owned() }))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> iceberg::Result<()> {
        put(&self.0, path, bytes).await
    }

    async fn writer(&self, path: &str) -> iceberg::Result<Box<dyn FileWrite>> {
        self.0.path(path).map_err(translate)?;
        Ok(Box::new(Writer { store: self.0.clone(), uri: path.to_owned(), buffer: Some(BytesMut::new()) }))
    }

    async fn delete(&self, path: &str) -> iceberg::Result<()> {
        self.0.delete(path).await.map_err(translate)
    }

    async fn delete_prefix(&self, path: &str) -> iceberg::Result<()> {
        let mut objects = self.0.list(path).map_err(translate)?;
        while let Some(object) = objects.next().await {
            self.0.delete(&object.map_err(translate)?.uri).await.map_err(translate)?;
        }
        Ok(())
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> iceberg::Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> iceberg::Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> iceberg::Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

async fn put(store: &Store, uri: &str, bytes: Bytes) -> iceberg::Result<()> {
    match store.put_new(uri, bytes).await.map_err(translate)? {
        PutOutcome::Created | PutOutcome::Identical => Ok(()),
        PutOutcome::Taken => Err(translate(Error::already_exists(format!("{uri} exists already with other content")))),
    }
}

struct Reader {
    store: Store,
    uri: String,
}

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> iceberg::Result<Bytes> {
        self.store.get_range(&self.uri, range).await.map_err(translate)
    }
}

struct Writer {
    store: Store,
    uri: String,
    /// `None` once it is closed.
    buffer: Option<BytesMut>,
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> iceberg::Result<()> {
        let Some(buffer) = &mut self.buffer else { return Err(closed(&self.uri)) };
        buffer.extend_from_slice(&bytes);
        Ok(())
    }

    async fn close(&mut self) -> iceberg::Result<()> {
        let Some(buffer) = self.buffer.take() else { return Err(closed(&self.uri)) };
        put(&self.store, &self.uri, buffer.freeze()).await
    }
}

fn closed(uri: &str) -> iceberg::Error {
    iceberg::Error::new(iceberg::ErrorKind::Unexpected, format!("{uri} is closed already"))
}

/// Our error travels as the source, so that nothing of it is lost on the way up.
fn translate(error: Error) -> iceberg::Error {
    let kind = match error.kind() {
        ErrorKind::Data | ErrorKind::Usage => iceberg::ErrorKind::DataInvalid,
        _ => iceberg::ErrorKind::Unexpected,
    };
    iceberg::Error::new(kind, error.message().to_owned()).with_source(error)
}

#[cfg(test)]
mod tests {
    use tableflow_model::clock::SystemClock;

    use super::*;

    #[tokio::test]
    async fn i2_what_is_written_is_read_back_and_never_replaced() {
        let store = Store::open("memory:///w", &SystemClock).unwrap();
        let io = file_io(&store);
        let mut writer = io.new_output("memory:///w/t/a").unwrap().writer().await.unwrap();
        writer.write(Bytes::from_static(b"one ")).await.unwrap();
        writer.write(Bytes::from_static(b"two")).await.unwrap();
        assert!(!io.exists("memory:///w/t/a").await.unwrap(), "nothing is visible before close");
        writer.close().await.unwrap();
        assert!(writer.close().await.is_err());
        let input = io.new_input("memory:///w/t/a").unwrap();
        assert_eq!(input.metadata().await.unwrap().size, 7);
        assert_eq!(input.read().await.unwrap(), "one two");
        assert_eq!(input.reader().await.unwrap().read(4..7).await.unwrap(), "two");
        assert!(io.new_output("memory:///w/t/a").unwrap().write(Bytes::from_static(b"x")).await.is_err());
        assert_eq!(input.read().await.unwrap(), "one two");
        io.delete_prefix("memory:///w/t").await.unwrap();
        assert!(!io.exists("memory:///w/t/a").await.unwrap());
    }

    #[tokio::test]
    async fn i1_iceberg_is_confined_too() {
        let store = Store::open("memory:///w", &SystemClock).unwrap();
        let io = file_io(&store);
        assert!(io.new_input("memory:///other/a").unwrap().read().await.is_err());
        assert!(io.new_output("memory:///w/../a").unwrap().write(Bytes::new()).await.is_err());
    }
}
