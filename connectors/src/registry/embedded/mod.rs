//! A registry in the data directory.
//!
//! ```text
//!  state   the registry as of its last event, and what it decides: pure
//!  log     the events, numbered and put once
//!  canon   schema texts in one form, and what is wrong with them
//!  avro, json, protobuf  whether one schema reads what another wrote
//! ```
//!
//! Owns [`EmbeddedRegistry`]: the trait's calls, each decided on the newest state.
//! - I1: a change is one event, and an event is one create-only object whose number is the next one. Two processes that
//!   decide at once race for one number; who loses reads the winner's event and decides again. So no id is given out
//!   twice, and no compatibility rule is passed by two changes that each were fine alone.
//! - I2: every answer is of a state that has all events whose puts had ended when the question came.

mod avro;
mod canon;
mod json;
mod log;
mod protobuf;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use tableflow_model::{Clock, Error};
use tableflow_store::Store;
use tableflow_store::paths::StatePaths;
use tokio::sync::Mutex;

use super::refusal::Result;
use super::registry::{Compatibility, Deletion, Form, Include, SchemaRegistry};
use super::schema::{RegisteredSchema, Schema, SchemaId, SchemaKey, SubjectVersion, Version, VersionWanted};
use log::EventLog;
pub use state::Mode;
use state::{Decision, State};

/// Who loses this many races in a row is not one of a few people who change schemas.
const CHANGE_ATTEMPTS_MAX: u32 = 100;

/// The registry of a data directory. Clones share its state.
#[derive(Clone, Debug)]
pub struct EmbeddedRegistry {
    log: EventLog,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

impl EmbeddedRegistry {
    /// Nothing is read yet, and nothing made.
    pub fn new(store: Store, paths: StatePaths, clock: Arc<dyn Clock>) -> Self {
        EmbeddedRegistry { log: EventLog::new(store, paths), clock, state: Arc::default() }
    }

    /// I2.
    async fn look<T>(&self, answer: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock().await;
        self.log.catch_up(&mut state).await?;
        answer(&state)
    }

    /// I1.
    async fn change<T>(&self, decide: impl Fn(&State) -> Result<Decision<T>>) -> Result<T> {
        let mut state = self.state.lock().await;
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            self.log.catch_up(&mut state).await?;
            let Decision { event, answer } = decide(&state)?;
            let Some(event) = event else { return Ok(answer) };
            if self.log.append(&mut state, event, self.clock.now()).await? {
                return Ok(answer);
            }
        }
        Err(Error::conflict("the schema registry is changed by others all the time").with_hint("try again").into())
    }

    /// The level of a subject itself, if it has one.
    pub async fn own_compatibility(&self, subject: &str) -> Result<Compatibility> {
        self.look(|state| state.own_compatibility(subject)).await
    }

    /// The subject follows the registry's level again; what its own was.
    pub async fn reset_compatibility(&self, subject: Option<&str>) -> Result<Compatibility> {
        self.change(|state| state.reset_compatibility(subject)).await
    }

    /// The mode in force.
    pub async fn mode(&self, subject: Option<&str>) -> Result<Mode> {
        self.look(|state| Ok(state.mode(subject))).await
    }

    pub async fn own_mode(&self, subject: &str) -> Result<Mode> {
        self.look(|state| state.own_mode(subject)).await
    }

    pub async fn set_mode(&self, subject: Option<&str>, mode: Mode) -> Result<()> {
        self.change(|state| Ok(state.set_mode(subject, mode))).await
    }

    pub async fn reset_mode(&self, subject: &str) -> Result<Mode> {
        self.change(|state| state.reset_mode(subject)).await
    }

    /// The ids of the schemas that refer to a version.
    pub async fn referenced_by(&self, subject: &str, version: VersionWanted) -> Result<Vec<SchemaId>> {
        self.look(|state| state.referenced_by(subject, version)).await
    }

    /// The ids that a GUID has here: one.
    pub async fn ids(&self, guid: uuid::Uuid) -> Result<Vec<SchemaId>> {
        self.look(|state| state.id_of(guid).map(|id| vec![id])).await
    }

    /// The GUID of an id.
    pub async fn guid(&self, id: SchemaId) -> Result<uuid::Uuid> {
        self.look(|state| state.guid_of(id)).await
    }

    /// The highest id given out.
    pub async fn id_max(&self) -> Result<SchemaId> {
        self.look(|state| Ok(state.id_max())).await
    }

    /// The places of an id, soft-deleted ones too if they count.
    pub async fn places_with(&self, id: SchemaId, include: Include) -> Result<Vec<SubjectVersion>> {
        self.look(|state| state.places(id, include)).await
    }
}

#[async_trait]
impl SchemaRegistry for EmbeddedRegistry {
    async fn schema(&self, key: SchemaKey, _subject: Option<&str>) -> Result<Schema> {
        self.look(|state| state.schema(key).cloned()).await
    }

    async fn places(&self, id: SchemaId) -> Result<Vec<SubjectVersion>> {
        self.places_with(id, Include::Live).await
    }

    async fn subjects(&self, prefix: &str, include: Include) -> Result<Vec<String>> {
        self.look(|state| Ok(state.subjects(prefix, include))).await
    }

    async fn versions(&self, subject: &str, include: Include) -> Result<Vec<Version>> {
        self.look(|state| state.versions(subject, include)).await
    }

    async fn version(&self, subject: &str, version: VersionWanted, include: Include) -> Result<RegisteredSchema> {
        self.look(|state| state.version(subject, version, include)).await
    }

    async fn lookup(&self, subject: &str, schema: &Schema, form: Form, include: Include) -> Result<RegisteredSchema> {
        self.look(|state| state.lookup(subject, schema, form, include)).await
    }

    async fn register(&self, subject: &str, schema: &Schema, form: Form) -> Result<RegisteredSchema> {
        self.change(|state| state.register(subject, schema, form)).await
    }

    async fn incompatibilities(
        &self,
        subject: &str,
        version: Option<VersionWanted>,
        schema: &Schema,
    ) -> Result<Vec<String>> {
        self.look(|state| state.incompatibilities(subject, version, schema)).await
    }

    async fn delete_subject(&self, subject: &str, deletion: Deletion) -> Result<Vec<Version>> {
        self.change(|state| state.delete_subject(subject, deletion)).await
    }

    async fn delete_version(&self, subject: &str, version: VersionWanted, deletion: Deletion) -> Result<Version> {
        self.change(|state| state.delete_version(subject, version, deletion)).await
    }

    async fn compatibility(&self, subject: Option<&str>) -> Result<Compatibility> {
        self.look(|state| Ok(state.compatibility(subject))).await
    }

    async fn set_compatibility(&self, subject: Option<&str>, level: Compatibility) -> Result<()> {
        self.change(|state| Ok(state.set_compatibility(subject, level))).await
    }
}

#[cfg(test)]
mod tests;
