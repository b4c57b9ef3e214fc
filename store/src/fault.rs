//! An object store that fails on purpose, for the tests of every crate.
//!
//! Owns [`FaultStore`]: it wraps any object store and applies [`Fault`]s, either scripted (the nth request of a
//! kind whose path contains a text) or drawn from a seed.
//! - I1: without faults it is the store below.
//! - I2: the same script or seed over the same requests gives the same faults.
//! - I3: what happened is told: [`FaultStore::fired`] names each fault, so a test can assert that it met one.
//!
//! ```text
//! let faults = FaultStore::new(Arc::new(InMemory::new()));
//! faults.script(Fault::new(Operation::Put, Effect::FailAfter).on_path(".metadata.json"));
//! let store = Store::with_object_store("memory:///w", faults.clone())?;
//! ```
//!
//! Neighbours: goes below `store`.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Put,
    Get,
    List,
    Delete,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The request never arrives.
    FailBefore,
    /// The request is done, the reply is lost.
    FailAfter,
    /// A get delivers this many bytes and ends as if that were all.
    Truncate(usize),
    /// A put finds no space left.
    DiskFull,
    /// A listing lacks the object that was modified last.
    StaleList,
    /// The request takes this much longer.
    Delay(Duration),
}

/// One thing that will go wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    operation: Operation,
    effect: Effect,
    path_contains: String,
    skip: u32,
    times: u32,
}

impl Fault {
    /// Once, at the next request of this kind.
    pub fn new(operation: Operation, effect: Effect) -> Self {
        Fault { operation, effect, path_contains: String::new(), skip: 0, times: 1 }
    }

    /// Only requests whose path contains this.
    #[must_use]
    pub fn on_path(mut self, contains: &str) -> Self {
        contains.clone_into(&mut self.path_contains);
        self
    }

    /// After this many that match.
    #[must_use]
    pub fn after(mut self, matching: u32) -> Self {
        self.skip = matching;
        self
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

/// Faults drawn at random: one request in `one_in`, of the kinds that fit its operation.
#[derive(Debug)]
struct Draw {
    state: u64,
    one_in: u64,
}

impl Draw {
    /// splitmix64: a sequence that a seed fixes for ever, which a crate's default generator does not promise.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn effect(&mut self, operation: Operation) -> Option<Effect> {
        if !self.next().is_multiple_of(self.one_in.max(1)) {
            return None;
        }
        let pick = self.next();
        Some(match (operation, pick % 3) {
            (_, 0) => Effect::FailBefore,
            (Operation::Get, 1) => Effect::Truncate((pick >> 8) as usize % 64),
            (Operation::List, 1) => Effect::StaleList,
            (Operation::Put | Operation::Delete, 1) => Effect::FailAfter,
            _ => Effect::Delay(Duration::from_millis(1)),
        })
    }
}

#[derive(Debug, Default)]
struct Plan {
    script: Vec<Fault>,
    draw: Option<Draw>,
    fired: Vec<(Operation, Effect, String)>,
}

/// An object store that fails on purpose.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    plan: Mutex<Plan>,
}

impl FaultStore {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(FaultStore { inner, plan: Mutex::default() })
    }

    /// Besides the script, one request in `one_in` fails, by this seed.
    pub fn seeded(inner: Arc<dyn ObjectStore>, seed: u64, one_in: u64) -> Arc<Self> {
        let plan = Plan { draw: Some(Draw { state: seed, one_in }), ..Plan::default() };
        Arc::new(FaultStore { inner, plan: Mutex::new(plan) })
    }

    pub fn script(&self, fault: Fault) {
        self.plan().script.push(fault);
    }

    /// What has gone wrong so far (I3).
    pub fn fired(&self) -> Vec<(Operation, Effect, String)> {
        self.plan().fired.clone()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, operation: Operation, path: &str) -> Option<Effect> {
        let mut plan = self.plan();
        let effect = scripted(&mut plan.script, operation, path)
            .or_else(|| plan.draw.as_mut().and_then(|draw| draw.effect(operation)))?;
        plan.fired.push((operation, effect, path.to_owned()));
        Some(effect)
    }

    /// Fails or waits before the request; returns what is left to do with its reply.
    async fn before(&self, operation: Operation, path: &str) -> Result<Option<Effect>> {
        match self.draw(operation, path) {
            Some(Effect::FailBefore) => Err(lost(operation, path, "the request was lost")),
            Some(Effect::DiskFull) => {
                let full = io::Error::from(io::ErrorKind::StorageFull);
                Err(object_store::Error::Generic { store: "fault store", source: full.into() })
            }
            Some(Effect::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(None)
            }
            effect => Ok(effect),
        }
    }
}

fn scripted(script: &mut [Fault], operation: Operation, path: &str) -> Option<Effect> {
    let matches = |fault: &&mut Fault| fault.operation == operation && path.contains(&fault.path_contains);
    for fault in script.iter_mut().filter(matches) {
        if fault.skip > 0 {
            fault.skip -= 1;
        } else if fault.times > 0 {
            fault.times -= 1;
            return Some(fault.effect);
        }
    }
    None
}

fn lost(operation: Operation, path: &str, what: &str) -> object_store::Error {
    object_store::Error::Generic { store: "fault store", source: format!("{operation:?} {path}: {what}").into() }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults over {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let effect = self.before(Operation::Put, location.as_ref()).await?;
        let result = self.inner.put_opts(location, payload, opts).await?;
        match effect {
            Some(Effect::FailAfter) => Err(lost(Operation::Put, location.as_ref(), "the reply was lost")),
            _ => Ok(result),
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.before(Operation::Put, location.as_ref()).await?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let effect = self.before(Operation::Get, location.as_ref()).await?;
        let result = self.inner.get_opts(location, options).await?;
        match effect {
            Some(Effect::FailAfter) => Err(lost(Operation::Get, location.as_ref(), "the reply was lost")),
            Some(Effect::Truncate(length)) => truncate(result, length).await,
            _ => Ok(result),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // The stream outlives this borrow: what becomes of each path is decided when the first one is asked for.
        let effect = self.draw(Operation::Delete, "");
        let failed = move |result: Result<Path>| match (result, effect) {
            (Ok(path), Some(Effect::FailAfter)) => Err(lost(Operation::Delete, path.as_ref(), "the reply was lost")),
            (result, _) => result,
        };
        match effect {
            Some(Effect::FailBefore) => {
                stream::iter([Err(lost(Operation::Delete, "", "the request was lost"))]).boxed()
            }
            _ => self.inner.delete_stream(locations).map(failed).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let path = prefix.map(ToString::to_string).unwrap_or_default();
        let objects = self.inner.list(prefix);
        match self.draw(Operation::List, &path) {
            Some(Effect::StaleList) => stream::once(without_newest(objects)).try_flatten().boxed(),
            Some(Effect::FailBefore | Effect::FailAfter) => {
                stream::iter([Err(lost(Operation::List, &path, "the reply was lost"))]).boxed()
            }
            _ => objects,
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

async fn truncate(result: GetResult, length: usize) -> Result<GetResult> {
    let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
    let bytes = result.bytes().await?;
    let body: Bytes = bytes.slice(..length.min(bytes.len()));
    let payload = GetResultPayload::Stream(stream::iter([Ok(body)]).boxed());
    Ok(GetResult { payload, meta, range, attributes })
}

async fn without_newest(
    objects: BoxStream<'static, Result<ObjectMeta>>,
) -> Result<impl futures::Stream<Item = Result<ObjectMeta>>> {
    let mut objects: Vec<ObjectMeta> = objects.try_collect().await?;
    objects.sort_by_key(|meta| meta.last_modified);
    objects.pop();
    Ok(stream::iter(objects.into_iter().map(Ok)))
}
