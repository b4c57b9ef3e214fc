//! The registry as of its last event, and what it decides.
//!
//! Owns [`State`]. Pure: events in, answers and further events out; `log` puts and reads them.
//! - I1: an id is given to one content only, and a content keeps its id, even over a permanent deletion.
//! - I2: a version's number grows with each that a subject gets; only a subject that is permanently gone begins again.
//! - I3: what is referred to cannot be deleted, so that every schema that is readable can be resolved.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::refusal::{Reason, RegistryError, Result};
use super::super::registry::{Compatibility, Deletion, Form, Include};
use super::super::resolve::DEPTH_MAX;
use super::super::schema::{
    Fingerprint, RegisteredSchema, Schema, SchemaId, SchemaKey, SchemaReference, SubjectVersion, Version, VersionWanted,
};
use super::canon::{self, Referenced};
use super::log::Event;

/// Kafka's own limit of a topic's name, and room for what a strategy adds.
const SUBJECT_LENGTH_MAX: usize = 1_000;

/// What may be done with a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    #[default]
    #[serde(rename = "READWRITE")]
    ReadWrite,
    #[serde(rename = "READONLY")]
    ReadOnly,
}

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

    /// The schema in the form that it is kept in, if it is one.
    fn prepare(&self, schema: &Schema, form: Form) -> Result<Schema> {
        canon::prepare(schema, &self.referenced(schema)?, form)
    }

    /// What a schema refers to, dependencies first.
    fn referenced(&self, schema: &Schema) -> Result<Vec<Referenced<'_>>> {
        let mut found = Vec::new();
        self.collect(schema, 0, &mut found)?;
        Ok(found)
    }

    fn collect<'a>(&'a self, schema: &Schema, depth: usize, found: &mut Vec<Referenced<'a>>) -> Result<()> {
        if depth > DEPTH_MAX {
            let message = format!("references are nested more than {DEPTH_MAX} deep");
            return Err(RegistryError::refused(Reason::InvalidSchema, message));
        }
        for reference in &schema.references {
            let referenced = self.reference(reference)?;
            if referenced.schema_type != schema.schema_type {
                let message = format!("{} refers to a schema of another type", reference.name);
                return Err(RegistryError::refused(Reason::InvalidSchema, message));
            }
            if found.iter().any(|known| std::ptr::eq(known.schema, referenced)) {
                continue;
            }
            self.collect(referenced, depth + 1, found)?;
            found.push(Referenced { name: reference.name.clone(), schema: referenced });
        }
        Ok(())
    }

    fn reference(&self, reference: &SchemaReference) -> Result<&Schema> {
        let SchemaReference { name, subject, version } = reference;
        let wanted = VersionWanted::Number(*version);
        let found = self.subjects.get(subject).and_then(|subject| subject.find(wanted, Include::Deleted));
        let known = found.and_then(|(_, registered)| self.schemas.get(&registered.id));
        known.map(|known| &known.schema).ok_or_else(|| {
            let message = format!("{name} refers to version {version} of subject {subject}, which is not there");
            RegistryError::refused(Reason::InvalidSchema, message)
        })
    }

    pub(super) fn register(&self, subject: &str, schema: &Schema, form: Form) -> Result<Decision<RegisteredSchema>> {
        check_name(subject)?;
        self.check_writable(subject)?;
        let schema = self.prepare(schema, form)?;
        if let Some((version, registered)) = self.find_same(subject, &schema, form, Include::Live) {
            return Ok(Decision { event: None, answer: self.document(subject, version, registered)? });
        }
        let against = self.counting_versions(subject, self.compatibility(Some(subject)));
        let found = self.compare(subject, &schema, &against)?;
        if !found.is_empty() {
            let message =
                format!("Schema being registered is incompatible with an earlier schema for subject \"{subject}\"");
            let found = found.join("; ");
            return Err(RegistryError::refused(Reason::Incompatible, format!("{message}, details: [{found}]")));
        }
        let digest = schema.digest();
        let id = self.ids.get(&digest).copied().unwrap_or(SchemaId(self.id_max().0 + 1));
        let version = Version(self.subjects.get(subject).map_or(0, |subject| subject.version_max) + 1);
        let answer = RegisteredSchema {
            subject: subject.to_owned(),
            version,
            id,
            guid: Some(digest.guid()),
            schema: schema.clone(),
        };
        Ok(Decision::of(Event::Registered { subject: subject.to_owned(), version, id, schema }, answer))
    }

    /// The versions that a level looks at.
    fn counting_versions(&self, subject: &str, level: Compatibility) -> Vec<(Version, Registered)> {
        let Some(subject) = self.subjects.get(subject).filter(|_| level != Compatibility::None) else {
            return Vec::new();
        };
        let live = subject.versions.iter().rev().filter(|(_, registered)| !registered.is_deleted);
        let count = if level.is_transitive() { usize::MAX } else { 1 };
        live.take(count).map(|(version, registered)| (*version, *registered)).collect()
    }

    /// What the subject's level has against a schema after these versions.
    fn compare(&self, subject: &str, schema: &Schema, against: &[(Version, Registered)]) -> Result<Vec<String>> {
        let level = self.compatibility(Some(subject));
        if level == Compatibility::None {
            return Ok(Vec::new());
        }
        let referenced = self.referenced(schema)?;
        let mut found = Vec::new();
        for (version, registered) in against {
            let Some(before) = self.schemas.get(&registered.id) else { continue };
            let before_referenced = self.referenced(&before.schema)?;
            let messages = canon::compare((schema, &referenced), (&before.schema, &before_referenced), level)?;
            found.extend(messages.into_iter().map(|message| format!("version {version}: {message}")));
        }
        Ok(found)
    }

    pub(super) fn incompatibilities(
        &self,
        subject: &str,
        version: Option<VersionWanted>,
        schema: &Schema,
    ) -> Result<Vec<String>> {
        let schema = self.prepare(schema, Form::Given)?;
        let against = match version {
            Some(version) => {
                let found = self.subject(subject, Include::Live)?.find(version, Include::Live);
                vec![found.ok_or_else(|| version_not_found(version))?]
            }
            None => self.counting_versions(subject, self.compatibility(Some(subject))),
        };
        self.compare(subject, &schema, &against)
    }

    pub(super) fn delete_subject(&self, name: &str, how: Deletion) -> Result<Decision<Vec<Version>>> {
        self.check_writable(name)?;
        let subject = self.subject(name, Include::Deleted)?;
        match how {
            Deletion::Soft if !subject.has_live() => {
                let message = format!("Subject '{name}' was soft deleted. Set permanent=true to delete permanently");
                return Err(RegistryError::refused(Reason::SubjectSoftDeleted, message));
            }
            Deletion::Permanent if subject.has_live() => {
                let message = format!("Subject '{name}' was not deleted first before being permanently deleted");
                return Err(RegistryError::refused(Reason::SubjectNotSoftDeleted, message));
            }
            _ => {}
        }
        let gone = |registered: &Registered| how == Deletion::Permanent || !registered.is_deleted;
        let versions: Vec<Version> =
            subject.versions.iter().filter(|(_, registered)| gone(registered)).map(|(version, _)| *version).collect();
        for version in &versions {
            self.check_unreferenced(name, *version, how)?;
        }
        Ok(Decision::of(Event::SubjectDeleted { subject: name.to_owned(), how }, versions))
    }

    pub(super) fn delete_version(&self, name: &str, wanted: VersionWanted, how: Deletion) -> Result<Decision<Version>> {
        self.check_writable(name)?;
        let include =
            if wanted == VersionWanted::Latest && how == Deletion::Soft { Include::Live } else { Include::Deleted };
        let found = self.subject(name, Include::Deleted)?.find(wanted, include);
        let (version, registered) = found.ok_or_else(|| version_not_found(wanted))?;
        match how {
            Deletion::Soft if registered.is_deleted => {
                let message = format!(
                    "Subject '{name}' Version {version} was soft deleted. Set permanent=true to delete permanently"
                );
                return Err(RegistryError::refused(Reason::VersionSoftDeleted, message));
            }
            Deletion::Permanent if !registered.is_deleted => {
                let message = format!(
                    "Subject '{name}' Version {version} was not deleted first before being permanently deleted"
                );
                return Err(RegistryError::refused(Reason::VersionNotSoftDeleted, message));
            }
            _ => {}
        }
        self.check_unreferenced(name, version, how)?;
        Ok(Decision::of(Event::VersionDeleted { subject: name.to_owned(), version, how }, version))
    }

    /// I3.
    fn check_unreferenced(&self, subject: &str, version: Version, how: Deletion) -> Result<()> {
        let include = if how == Deletion::Permanent { Include::Deleted } else { Include::Live };
        let users = self.users(subject, version, include);
        // A subject whose versions refer to each other goes as a whole.
        if users.iter().all(|(user, _)| *user == subject) {
            return Ok(());
        }
        let ids: Vec<String> = users.iter().map(|(_, id)| id.to_string()).collect();
        let message = format!(
            "One or more references exist to the schema {{subject={subject},version={version}}}: {}",
            ids.join(", ")
        );
        Err(RegistryError::refused(Reason::ReferenceExists, message))
    }

    fn users(&self, subject: &str, version: Version, include: Include) -> Vec<(&str, SchemaId)> {
        let refers = |id: SchemaId| {
            self.schemas.get(&id).is_some_and(|known| {
                known
                    .schema
                    .references
                    .iter()
                    .any(|reference| reference.subject == subject && reference.version == version)
            })
        };
        let counting = self.registered().filter(|(_, _, it)| include == Include::Deleted || !it.is_deleted);
        counting.filter(|(_, _, it)| refers(it.id)).map(|(name, _, it)| (name.as_str(), it.id)).collect()
    }

    pub(super) fn referenced_by(&self, subject: &str, version: VersionWanted) -> Result<Vec<SchemaId>> {
        let (version, _) = self
            .subject(subject, Include::Deleted)?
            .find(version, Include::Deleted)
            .ok_or_else(|| version_not_found(version))?;
        let mut ids: Vec<_> = self.users(subject, version, Include::Live).into_iter().map(|(_, id)| id).collect();
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    /// The level in force.
    pub(super) fn compatibility(&self, subject: Option<&str>) -> Compatibility {
        let own = subject.and_then(|subject| self.subjects.get(subject)?.compatibility);
        own.unwrap_or(self.compatibility)
    }

    pub(super) fn own_compatibility(&self, subject: &str) -> Result<Compatibility> {
        self.subjects.get(subject).and_then(|subject| subject.compatibility).ok_or_else(|| {
            let message = format!("Subject '{subject}' does not have subject-level compatibility configured");
            RegistryError::refused(Reason::CompatibilityNotConfigured, message)
        })
    }

    pub(super) fn set_compatibility(&self, subject: Option<&str>, level: Compatibility) -> Decision<()> {
        Decision::of(Event::CompatibilitySet { subject: subject.map(str::to_owned), level: Some(level) }, ())
    }

    pub(super) fn reset_compatibility(&self, subject: Option<&str>) -> Result<Decision<Compatibility>> {
        let before = match subject {
            Some(subject) => self.own_compatibility(subject)?,
            None => self.compatibility,
        };
        Ok(Decision::of(Event::CompatibilitySet { subject: subject.map(str::to_owned), level: None }, before))
    }

    pub(super) fn mode(&self, subject: Option<&str>) -> Mode {
        subject.and_then(|subject| self.subjects.get(subject)?.mode).unwrap_or(self.mode)
    }

    pub(super) fn own_mode(&self, subject: &str) -> Result<Mode> {
        self.subjects.get(subject).and_then(|subject| subject.mode).ok_or_else(|| {
            let message = format!("Subject '{subject}' does not have subject-level mode configured");
            RegistryError::refused(Reason::ModeNotConfigured, message)
        })
    }

    pub(super) fn set_mode(&self, subject: Option<&str>, mode: Mode) -> Decision<()> {
        Decision::of(Event::ModeSet { subject: subject.map(str::to_owned), mode: Some(mode) }, ())
    }

    pub(super) fn reset_mode(&self, subject: &str) -> Result<Decision<Mode>> {
        let before = self.own_mode(subject)?;
        Ok(Decision::of(Event::ModeSet { subject: Some(subject.to_owned()), mode: None }, before))
    }

    fn check_writable(&self, subject: &str) -> Result<()> {
        match self.mode(Some(subject)) {
            Mode::ReadWrite => Ok(()),
            Mode::ReadOnly => {
                let message = format!("Subject {subject} is in read-only mode");
                Err(RegistryError::refused(Reason::OperationNotPermitted, message))
            }
        }
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

fn check_name(subject: &str) -> Result<()> {
    let is_odd = matches!(subject, "" | "." | "..")
        || subject.len() > SUBJECT_LENGTH_MAX
        || subject.chars().any(char::is_control);
    if is_odd {
        let message = format!("The specified subject '{}' is not a valid name", subject.escape_debug());
        return Err(RegistryError::refused(Reason::Other(42208), message));
    }
    Ok(())
}
