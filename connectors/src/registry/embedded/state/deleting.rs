//! What may go.
//!
//! Holds I3 of the state: what is referred to stays.

use crate::registry::refusal::{Reason, RegistryError, Result};
use crate::registry::registry::{Deletion, Include};
use crate::registry::schema::{SchemaId, Version, VersionWanted};

use super::super::log::Event;
use super::{Decision, Registered, State, version_not_found};

impl State {
    pub(in super::super) fn delete_subject(&self, name: &str, how: Deletion) -> Result<Decision<Vec<Version>>> {
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
            self.check_unreferenced(name, *version, &versions, how)?;
        }
        Ok(Decision::of(Event::SubjectDeleted { subject: name.to_owned(), how }, versions))
    }

    pub(in super::super) fn delete_version(
        &self,
        name: &str,
        wanted: VersionWanted,
        how: Deletion,
    ) -> Result<Decision<Version>> {
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
        self.check_unreferenced(name, version, &[version], how)?;
        Ok(Decision::of(Event::VersionDeleted { subject: name.to_owned(), version, how }, version))
    }

    /// I3. `together` are all versions of the subject that go at once: what they refer to among themselves does not
    /// hold.
    fn check_unreferenced(&self, subject: &str, version: Version, together: &[Version], how: Deletion) -> Result<()> {
        let include = if how == Deletion::Permanent { Include::Deleted } else { Include::Live };
        let goes_too = |user: &(&str, Version, SchemaId)| user.0 == subject && together.contains(&user.1);
        let mut users = self.users(subject, version, include).into_iter().filter(|user| !goes_too(user)).peekable();
        if users.peek().is_none() {
            return Ok(());
        }
        let ids: Vec<String> = users.map(|(_, _, id)| id.to_string()).collect();
        let message = format!(
            "One or more references exist to the schema {{subject={subject},version={version}}}: {}",
            ids.join(", ")
        );
        Err(RegistryError::refused(Reason::ReferenceExists, message))
    }

    fn users(&self, subject: &str, version: Version, include: Include) -> Vec<(&str, Version, SchemaId)> {
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
        counting.filter(|(_, _, it)| refers(it.id)).map(|(name, version, it)| (name.as_str(), version, it.id)).collect()
    }

    pub(in super::super) fn referenced_by(&self, subject: &str, version: VersionWanted) -> Result<Vec<SchemaId>> {
        let (version, _) = self
            .subject(subject, Include::Deleted)?
            .find(version, Include::Deleted)
            .ok_or_else(|| version_not_found(version))?;
        let mut ids: Vec<_> = self.users(subject, version, Include::Live).into_iter().map(|(_, _, id)| id).collect();
        ids.sort();
        ids.dedup();
        Ok(ids)
    }
}
