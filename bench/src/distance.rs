//! Objects that are as far away as those of S3.
//!
//! Owns [`Distance`]: any object store, each of whose requests takes the time of a fixed model.
//! - I1: a request takes its time, whatever the store below took of it: what is asked for at once waits at once.
//! - I2: the bytes of an object go over a stream of their own, as fast as [`BYTES_PER_SECOND`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use tokio::time::{Instant, sleep, sleep_until};

/// To the reply; a deletion is as long.
const PUT: Duration = Duration::from_millis(60);
/// To the first byte.
const GET: Duration = Duration::from_millis(25);
const LIST: Duration = Duration::from_millis(50);
const BYTES_PER_SECOND: u64 = 90_000_000;

#[derive(Debug)]
pub struct Distance {
    inner: Arc<dyn ObjectStore>,
}

impl Distance {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Distance { inner })
    }
}

/// How long so many bytes are under way (I2).
fn way_of(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND)
}

/// Replies that begin to come after a while.
fn after<T: 'static>(wait: Duration, replies: BoxStream<'static, T>) -> BoxStream<'static, T> {
    async move {
        sleep(wait).await;
        replies
    }
    .flatten_stream()
    .boxed()
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from afar", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Distance {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let there = Instant::now() + PUT + way_of(payload.content_length() as u64);
        let result = self.inner.put_opts(location, payload, options).await;
        sleep_until(there).await;
        result
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (asked, head) = (Instant::now(), options.head);
        let result = self.inner.get_opts(location, options).await;
        let bytes = match &result {
            Ok(found) if !head => found.range.end.saturating_sub(found.range.start),
            _ => 0,
        };
        sleep_until(asked + GET + way_of(bytes)).await;
        result
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        after(PUT, self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        after(LIST, self.inner.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let there = Instant::now() + LIST;
        let result = self.inner.list_with_delimiter(prefix).await;
        sleep_until(there).await;
        result
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let there = Instant::now() + PUT;
        let result = self.inner.copy_opts(from, to, options).await;
        sleep_until(there).await;
        result
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn i1_i2_a_request_takes_the_models_time() {
        let store = Distance::new(Arc::new(InMemory::new()));
        let (path, began) = (Path::from("a"), Instant::now());
        let mut least = 0;
        let mut took = |ms| {
            least += ms;
            assert!(began.elapsed() >= Duration::from_millis(least), "{:?} of {least} ms", began.elapsed());
        };
        store.put(&path, vec![b'x'; 900_000].into()).await.unwrap();
        took(70);
        store.get(&path).await.unwrap();
        took(35);
        store.head(&path).await.unwrap();
        took(25);
        assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 1);
        took(50);
        store.delete(&path).await.unwrap();
        took(60);
    }
}
