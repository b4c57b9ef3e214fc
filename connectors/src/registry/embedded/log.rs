//! The registry's events: numbered objects, each put once.
//!
//! Owns [`Event`], its JSON, and [`EventLog`].
//! - I1: an event, once put, never changes; the next one has the next number, so that there are no holes.
//! - I2: a log is read whole or not at all: an event that cannot be understood may have given out an id.

use bytes::Bytes;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tableflow_model::{Error, ErrorKind, Millis, Result};
use tableflow_store::paths::StatePaths;
use tableflow_store::{PutOutcome, Store};

use super::super::registry::{Compatibility, Deletion};
use super::super::schema::{Schema, SchemaId, Version};
use super::state::{Mode, State};

/// The form of the JSON; another number is another form.
const FORM: u32 = 1;

/// Events under way at once when many are read, as after a start.
const READ_AHEAD: u64 = 16;

/// What happened to the registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Event {
    Registered {
        subject: String,
        version: Version,
        id: SchemaId,
        schema: Schema,
    },
    VersionDeleted {
        subject: String,
        version: Version,
        how: Deletion,
    },
    SubjectDeleted {
        subject: String,
        how: Deletion,
    },
    /// Without a subject it is the registry's own; without a level the default is in force again.
    CompatibilitySet {
        subject: Option<String>,
        level: Option<Compatibility>,
    },
    ModeSet {
        subject: Option<String>,
        mode: Option<Mode>,
    },
}

#[derive(Serialize, Deserialize)]
struct Entry {
    form: u32,
    at: Millis,
    #[serde(flatten)]
    event: Event,
}

#[derive(Clone, Debug)]
pub(super) struct EventLog {
    store: Store,
    paths: StatePaths,
}

impl EventLog {
    pub(super) fn new(store: Store, paths: StatePaths) -> Self {
        EventLog { store, paths }
    }

    /// Applies the events that the state does not have yet.
    pub(super) async fn catch_up(&self, state: &mut State) -> Result<()> {
        // Mostly there is none: one look costs one request.
        while let Some(event) = self.read(state.events()).await? {
            state.apply(event);
            let ahead = state.events()..state.events() + READ_AHEAD;
            let mut events = stream::iter(ahead).map(|number| self.read(number)).buffered(READ_AHEAD as usize);
            while let Some(Some(event)) = events.next().await.transpose()? {
                state.apply(event);
            }
        }
        Ok(())
    }

    async fn read(&self, number: u64) -> Result<Option<Event>> {
        let uri = self.paths.registry_event(number);
        let bytes = match self.store.get(&uri).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let unreadable = || {
            Error::data("an event of the schema registry cannot be read")
                .with_context("object", &uri)
                .with_hint("it was written by a newer tableflow, or it is damaged")
        };
        let entry: Entry = serde_json::from_slice(&bytes).map_err(|error| unreadable().with_source(error))?;
        if entry.form != FORM {
            return Err(unreadable().with_detail(format!("it has form {}, this program knows {FORM}", entry.form)));
        }
        Ok(Some(entry.event))
    }

    /// False if somebody else put an event of that number first.
    pub(super) async fn append(&self, state: &mut State, event: Event, at: Millis) -> Result<bool> {
        let uri = self.paths.registry_event(state.events());
        let json = serde_json::to_vec(&Entry { form: FORM, at, event: event.clone() });
        let json = json.map_err(|error| Error::internal("an event has no JSON form").with_source(error))?;
        match self.store.put_new(&uri, Bytes::from(json)).await? {
            // Identical is the same change, made by an earlier try or by somebody else in the same instant.
            PutOutcome::Created | PutOutcome::Identical => {
                state.apply(event);
                Ok(true)
            }
            PutOutcome::Taken => Ok(false),
        }
    }
}
