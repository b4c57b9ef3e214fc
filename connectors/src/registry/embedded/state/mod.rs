//! The registry as of its last event, and what it decides.
//!
//! ```text
//!  registering  what may become a subject's next version
//!  deleting     what may go
//!  settings     levels and modes
//! ```
//!
//! Owns [`State`]. Pure: events in, answers and further events out; `log` puts and reads them.
//! - I1: an id is given to one content only, and a content keeps its id, even over a permanent deletion.
//! - I2: a version's number grows with each that a subject gets; only a subject that is permanently gone begins again.
//! - I3: what is referred to cannot be deleted, so that every schema that is readable can be resolved.

mod deleting;
mod registering;
mod settings;

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::super::refusal::{Reason, RegistryError, Result};
use super::super::registry::{Compatibility, Deletion, Form, Include};
use super::super::schema::{
    Fingerprint, RegisteredSchema, Schema, SchemaId, SchemaKey, SubjectVersion, Version, VersionWanted,
};
use super::log::Event;
pub use settings::Mode;

/// An event that is to happen, if any has to, and the answer once it has.
#[derive(Debug)]
pub(super) struct Decision<T> {
    pub(super) event: Option<Event>,
    pub(super) answer: T,
}

impl<T> Decision<T> {
    fn of(event: Event, answer: T) -> Self {
        Decision { event: Some(event), answer }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    events: u64,
    /// Whatever had an id once.
    schemas: BTreeMap<SchemaId, Known>,
    ids: HashMap<Fingerprint, SchemaId>,
    subjects: BTreeMap<String, Subject>,
    compatibility: Compatibility,
    mode: Mode,
}

#[derive(Debug)]
struct Known {
    schema: Schema,
    guid: Uuid,
}

#[derive(Debug, Default)]
struct Subject {
    versions: BTreeMap<Version, Registered>,
    version_max: u32,
    compatibility: Option<Compatibility>,
    mode: Option<Mode>,
}

#[derive(Clone, Copy, Debug)]
struct Registered {
    id: SchemaId,
    is_deleted: bool,
}

impl Subject {
    fn find(&self, version: VersionWanted, include: Include) -> Option<(Version, Registered)> {
        let counts = |registered: &Registered| include == Include::Deleted || !registered.is_deleted;
        let mut versions = self.versions.iter().map(|(version, registered)| (*version, *registered));
        match version {
            VersionWanted::Latest => versions.rfind(|(_, registered)| counts(registered)),
            VersionWanted::Number(wanted) => {
                versions.find(|(version, registered)| *version == wanted && counts(registered))
            }
        }
    }

    fn has_live(&self) -> bool {
        self.versions.values().any(|registered| !registered.is_deleted)
    }
}

impl State {
    /// How many events it has, which is the number of the next one.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn apply(&mut self, event: Event) {
        self.events += 1;
        match event {
            Event::Registered { subject, version, id, schema } => {
                let digest = schema.digest();
                self.ids.insert(digest, id);
                self.schemas.entry(id).or_insert_with(|| Known { schema, guid: digest.guid() });
                let subject = self.subjects.entry(subject).or_default();
                subject.version_max = subject.version_max.max(version.0);
                subject.versions.insert(version, Registered { id, is_deleted: false });
            }
            Event::VersionDeleted { subject, version, how } => {
                if let Some(subject) = self.subjects.get_mut(&subject) {
                    match (how, subject.versions.get_mut(&version)) {
                        (Deletion::Soft, Some(registered)) => registered.is_deleted = true,
                        _ => drop(subject.versions.remove(&version)),
                    }
                }
                self.subjects.retain(|_, subject| subject.is_worth_keeping());
            }
            Event::SubjectDeleted { subject, how: Deletion::Permanent } => drop(self.subjects.remove(&subject)),
            Event::SubjectDeleted { subject, how: Deletion::Soft } => {
                if let Some(subject) = self.subjects.get_mut(&subject) {
                    subject.versions.values_mut().for_each(|registered| registered.is_deleted = true);
                    (subject.compatibility, subject.mode) = (None, None);
                }
            }
            Event::CompatibilitySet { subject: None, level } => self.compatibility = level.unwrap_or_default(),
            Event::CompatibilitySet { subject: Some(subject), level } => {
                self.subjects.entry(subject).or_default().compatibility = level;
                self.subjects.retain(|_, subject| subject.is_worth_keeping());
            }
            Event::ModeSet { subject: None, mode } => self.mode = mode.unwrap_or_default(),
            Event::ModeSet { subject: Some(subject), mode } => {
                self.subjects.entry(subject).or_default().mode = mode;
                self.subjects.retain(|_, subject| subject.is_worth_keeping());
            }
        }
    }

    pub(super) fn schema(&self, key: SchemaKey) -> Result<&Schema> {
        let id = match key {
            SchemaKey::Id(id) => id,
            SchemaKey::Guid(guid) => self.id_of(guid)?,
        };
        self.known(id).map(|known| &known.schema)
    }

    /// What is registered somewhere; a soft deletion leaves it readable.
    fn known(&self, id: SchemaId) -> Result<&Known> {
        let is_registered = self.registered().any(|(_, _, registered)| registered.id == id);
        self.schemas
            .get(&id)
            .filter(|_| is_registered)
            .ok_or_else(|| RegistryError::refused(Reason::SchemaNotFound, format!("Schema {id} not found")))
    }

    pub(super) fn id_of(&self, guid: Uuid) -> Result<SchemaId> {
        let found = self.schemas.iter().find(|(_, known)| known.guid == guid).map(|(id, _)| *id);
        let found = found.filter(|id| self.known(*id).is_ok());
        found.ok_or_else(|| RegistryError::refused(Reason::SchemaNotFound, format!("Schema {guid} not found")))
    }

    pub(super) fn guid_of(&self, id: SchemaId) -> Result<Uuid> {
        self.known(id).map(|known| known.guid)
    }

    pub(super) fn id_max(&self) -> SchemaId {
        self.schemas.keys().next_back().copied().unwrap_or(SchemaId(0))
    }

    fn registered(&self) -> impl Iterator<Item = (&String, Version, Registered)> {
        self.subjects.iter().flat_map(|(name, subject)| {
            subject.versions.iter().map(move |(version, registered)| (name, *version, *registered))
        })
    }

    pub(super) fn places(&self, id: SchemaId, include: Include) -> Result<Vec<SubjectVersion>> {
        self.known(id)?;
        let counts = |registered: Registered| include == Include::Deleted || !registered.is_deleted;
        let places = self.registered().filter(|(_, _, registered)| registered.id == id && counts(*registered));
        Ok(places.map(|(subject, version, _)| SubjectVersion { subject: subject.clone(), version }).collect())
    }

    pub(super) fn subjects(&self, prefix: &str, include: Include) -> Vec<String> {
        let counts = |subject: &Subject| match include {
            Include::Live => subject.has_live(),
            Include::Deleted => !subject.versions.is_empty(),
        };
        let named = self.subjects.iter().filter(|(name, _)| name.starts_with(prefix));
        named.filter(|(_, subject)| counts(subject)).map(|(name, _)| name.clone()).collect()
    }

    /// A subject that has versions which count.
    fn subject(&self, name: &str, include: Include) -> Result<&Subject> {
        let counts = |subject: &&Subject| subject.find(VersionWanted::Latest, include).is_some();
        self.subjects.get(name).filter(counts).ok_or_else(|| subject_not_found(name))
    }

    pub(super) fn versions(&self, subject: &str, include: Include) -> Result<Vec<Version>> {
        let versions = self.subject(subject, include)?.versions.iter();
        let counting = versions.filter(|(_, registered)| include == Include::Deleted || !registered.is_deleted);
        Ok(counting.map(|(version, _)| *version).collect())
    }

    pub(super) fn version(&self, subject: &str, version: VersionWanted, include: Include) -> Result<RegisteredSchema> {
        let found = self.subject(subject, include)?.find(version, include);
        let (version, registered) = found.ok_or_else(|| version_not_found(version))?;
        self.document(subject, version, registered)
    }

    fn document(&self, subject: &str, version: Version, registered: Registered) -> Result<RegisteredSchema> {
        let Known { schema, guid } = self.known(registered.id)?;
        Ok(RegisteredSchema {
            subject: subject.to_owned(),
            version,
            id: registered.id,
            guid: Some(*guid),
            schema: schema.clone(),
        })
    }

    pub(super) fn lookup(
        &self,
        subject: &str,
        schema: &Schema,
        form: Form,
        include: Include,
    ) -> Result<RegisteredSchema> {
        self.subject(subject, include)?;
        let schema = self.prepare(schema, form)?;
        match self.find_same(subject, &schema, form, include) {
            Some((version, registered)) => self.document(subject, version, registered),
            None => Err(RegistryError::refused(Reason::SchemaNotFound, "Schema not found")),
        }
    }

    /// The newest version with this schema; one that was registered as given may be the same in its normal form.
    fn find_same(&self, subject: &str, schema: &Schema, form: Form, include: Include) -> Option<(Version, Registered)> {
        let is_same = |id: SchemaId| {
            self.schemas.get(&id).is_some_and(|known| {
                known.schema == *schema
                    || form == Form::Normalized && self.prepare(&known.schema, form).is_ok_and(|known| known == *schema)
            })
        };
        let versions = self.subjects.get(subject)?.versions.iter().rev();
        let counting = versions.filter(|(_, registered)| include == Include::Deleted || !registered.is_deleted);
        counting.map(|(version, registered)| (*version, *registered)).find(|(_, registered)| is_same(registered.id))
    }
}

impl Subject {
    /// What has neither versions nor settings, and never had a version, is as if it had never been (I2).
    fn is_worth_keeping(&self) -> bool {
        self.version_max > 0 || self.compatibility.is_some() || self.mode.is_some()
    }
}

fn subject_not_found(name: &str) -> RegistryError {
    RegistryError::refused(Reason::SubjectNotFound, format!("Subject '{name}' not found."))
}

fn version_not_found(version: VersionWanted) -> RegistryError {
    RegistryError::refused(Reason::VersionNotFound, format!("Version {version} not found."))
}
