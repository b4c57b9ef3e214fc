//! What id stands for what schema, remembered.
//!
//! Owns [`SchemaCache`]: memory, then disk, then the registry.
//! - I1: an id means one schema for ever. One that the registry gives another meaning (it was restored from elsewhere,
//!   or the address leads to another one) is refused: rows decoded by a wrong schema are worse than none.
//! - I2: what is remembered serves when the registry does not answer. While it does, every id is asked for again after
//!   [`VERIFY_EVERY_MS`], and once after a start, for the sake of I1.
//! - I3: that the registry does not know an id is not remembered: its schema may be registered a moment later, and a
//!   record that was written then must not be taken for a bad one.
//! - I4: a file that is damaged is warned of, fetched again and replaced.
//! - I5: one request at a time: a thousand records with one new id ask once.
//!
//! A directory belongs to one registry: ids of another mean other schemas.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tableflow_model::{Clock, Error, Millis};

use super::refusal::Result;
use super::registry::SchemaRegistry;
use super::resolve::{ResolvedSchema, resolve};
use super::schema::{Fingerprint, SchemaKey};

/// How long a wrong meaning of an id may go unnoticed.
pub const VERIFY_EVERY_MS: i64 = 10 * 60 * 1_000;

/// How long a registry that does not answer is left alone about an id that is remembered.
pub const RETRY_MS: i64 = 15 * 1_000;

/// The form of the files; another number is another form.
const FORM: u32 = 1;

#[derive(Debug)]
pub struct SchemaCache {
    registry: Arc<dyn SchemaRegistry>,
    clock: Arc<dyn Clock>,
    directory: Option<PathBuf>,
    memory: Mutex<Memory>,
    /// I5.
    fetching: tokio::sync::Mutex<()>,
    hits: AtomicU64,
    misses: AtomicU64,
    failures: AtomicU64,
}

/// How often a schema was asked for, since the cache was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// It was in memory.
    pub hits: u64,
    /// The registry was asked.
    pub misses: u64,
    /// And gave none: it does not answer, or does not know it.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct Memory {
    known: HashMap<SchemaKey, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    schema: Arc<ResolvedSchema>,
    fingerprint: Fingerprint,
    /// When the registry is to be asked again (I2).
    verify_at: Millis,
}

#[derive(Serialize, Deserialize)]
struct File {
    form: u32,
    fingerprint: String,
    schema: ResolvedSchema,
}

impl SchemaCache {
    /// Without a directory nothing outlives the process.
    pub fn new(registry: Arc<dyn SchemaRegistry>, clock: Arc<dyn Clock>, directory: Option<PathBuf>) -> Self {
        let (memory, fetching) = Default::default();
        let (hits, misses, failures) = Default::default();
        SchemaCache { registry, clock, directory, memory, fetching, hits, misses, failures }
    }

    pub fn counts(&self) -> CacheCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheCounts { hits: read(&self.hits), misses: read(&self.misses), failures: read(&self.failures) }
    }

    /// The schema that a record names, with all it refers to.
    pub async fn get(&self, key: SchemaKey, subject: Option<&str>) -> Result<Arc<ResolvedSchema>> {
        if let Some(answer) = self.remembered(key) {
            return answer;
        }
        let _one = self.fetching.lock().await;
        match self.remembered(key) {
            Some(answer) => answer,
            None => self.fetch(key, subject).await,
        }
    }

    /// What needs no request.
    fn remembered(&self, key: SchemaKey) -> Option<Result<Arc<ResolvedSchema>>> {
        let now = self.clock.now();
        let memory = self.memory();
        let known = memory.known.get(&key).filter(|known| now < known.verify_at)?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(Ok(Arc::clone(&known.schema)))
    }

    async fn fetch(&self, key: SchemaKey, subject: Option<&str>) -> Result<Arc<ResolvedSchema>> {
        let in_memory = self.memory().known.get(&key).cloned();
        let known = match in_memory {
            Some(known) => Some(known),
            None => self.read(key).await,
        };
        let fetched = match self.registry.schema(key, subject).await {
            Ok(schema) => resolve(self.registry.as_ref(), schema).await,
            Err(error) => Err(error),
        };
        self.misses.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(u64::from(fetched.is_err()), Ordering::Relaxed);
        match (fetched, known) {
            (Ok(schema), known) => self.settle(key, schema, known).await,
            // I2.
            (Err(error), Some(known)) => {
                tracing::warn!(%key, %error, "a schema is used as it is remembered, without the registry");
                Ok(self.remember(key, known.schema, known.fingerprint, RETRY_MS))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// I1.
    async fn settle(
        &self,
        key: SchemaKey,
        schema: ResolvedSchema,
        known: Option<Known>,
    ) -> Result<Arc<ResolvedSchema>> {
        let fingerprint = schema.fingerprint();
        match known {
            Some(known) if known.fingerprint != fingerprint => {
                return Err(self.changed(key, known.fingerprint, fingerprint).into());
            }
            Some(_) => {}
            None => self.write(key, &schema, fingerprint).await,
        }
        Ok(self.remember(key, Arc::new(schema), fingerprint, VERIFY_EVERY_MS))
    }

    fn changed(&self, key: SchemaKey, known: Fingerprint, fetched: Fingerprint) -> Error {
        let error = Error::data(format!("the schema of {key} is not the one it was"))
            .with_detail("the registry has another schema under it than the one that records were decoded with")
            .with_context("was", known)
            .with_context("is", fetched);
        match self.path(key) {
            Some(path) => error.with_hint(format!(
                "was the registry restored, or is its url another one's? If it is right as it is, delete {} and start again",
                path.display()
            )),
            None => error.with_hint("was the registry restored, or is its url another one's?"),
        }
    }

    fn remember(
        &self,
        key: SchemaKey,
        schema: Arc<ResolvedSchema>,
        fingerprint: Fingerprint,
        for_ms: i64,
    ) -> Arc<ResolvedSchema> {
        let verify_at = Millis(self.clock.now().0.saturating_add(for_ms));
        let mut memory = self.memory();
        memory.known.insert(key, Known { schema: Arc::clone(&schema), fingerprint, verify_at });
        schema
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing that holds it can panic half-way through a change.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: SchemaKey) -> Option<PathBuf> {
        let name = match key {
            SchemaKey::Id(id) => format!("id-{id}.json"),
            SchemaKey::Guid(guid) => format!("guid-{guid}.json"),
        };
        Some(self.directory.as_ref()?.join(name))
    }

    /// I4.
    async fn read(&self, key: SchemaKey) -> Option<Known> {
        let path = self.path(key)?;
        let bytes = match tokio::fs::read(&path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a remembered schema cannot be read");
                return None;
            }
        };
        match understand(&bytes) {
            Ok(schema) => {
                let fingerprint = schema.fingerprint();
                Some(Known { schema: Arc::new(schema), fingerprint, verify_at: Millis(0) })
            }
            Err(damage) => {
                tracing::warn!(file = %path.display(), damage, "a remembered schema is damaged: it is fetched again");
                None
            }
        }
    }

    /// Not being able to remember is no reason to stop.
    async fn write(&self, key: SchemaKey, schema: &ResolvedSchema, fingerprint: Fingerprint) {
        let Some(path) = self.path(key) else { return };
        let file = File { form: FORM, fingerprint: fingerprint.to_string(), schema: schema.clone() };
        let written = match serde_json::to_vec(&file) {
            Ok(json) => replace(&path, &json).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            tracing::warn!(file = %path.display(), %error, "a schema cannot be remembered on disk");
        }
    }
}

fn understand(bytes: &[u8]) -> Result<ResolvedSchema, String> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if file.form != FORM {
        return Err(format!("it has form {}", file.form));
    }
    if file.schema.fingerprint().to_string() != file.fingerprint {
        return Err("its fingerprint is another one's".to_owned());
    }
    Ok(file.schema)
}

/// Readers see the old file or this one; a name of the process's own, so that two never write one file together.
async fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        tokio::fs::create_dir_all(directory).await?;
    }
    let staged = path.with_extension(format!("{}.part", std::process::id()));
    tokio::fs::write(&staged, bytes).await?;
    tokio::fs::rename(&staged, path).await
}

#[cfg(test)]
mod tests;
