//! What may become a subject's next version.
//!
//! - I1: the level in force is asked about every change, and the answer is of the state that the change is made on.

use crate::registry::refusal::{Reason, RegistryError, Result};
use crate::registry::registry::{Compatibility, Form, Include};
use crate::registry::resolve::DEPTH_MAX;
use crate::registry::schema::{RegisteredSchema, Schema, SchemaId, SchemaReference, Version, VersionWanted};

use super::super::canon::{self, Referenced};
use super::super::log::Event;
use super::{Decision, Registered, State, version_not_found};

/// Kafka's own limit of a topic's name, and room for what a strategy adds.
const SUBJECT_LENGTH_MAX: usize = 1_000;

impl State {
    pub(in super::super) fn register(
        &self,
        subject: &str,
        schema: &Schema,
        form: Form,
    ) -> Result<Decision<RegisteredSchema>> {
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

    pub(in super::super) fn incompatibilities(
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

    /// The schema in the form that it is kept in, if it is one.
    pub(super) fn prepare(&self, schema: &Schema, form: Form) -> Result<Schema> {
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
