//! Which step a table that mirrors its newest schema has to take before a record.
//!
//! Owns the asking: what the registry knows of versions, and what the decoder says of each. What that comes to is for
//! `following`, which is pure.
//! - I1: no version is learnt that drops something of what was learnt: the step comes first.
//! - I2: whether a version that no record has can be held by the table does not matter: if not, it drops nothing.

use tableflow_connectors::registry::{Form, Include, ResolvedSchema, SchemaKey, Version};
use tableflow_model::Result;

use super::super::following::Following;
use super::{Learning, Learnt, UNREGISTERED, VERSIONS_LEARNT_MAX, found, outage_or_refusal, placed, wanted};
use crate::home::Home;
use crate::pipeline::mirror::Step;

impl Learning {
    /// Which version a schema is or, if nobody registered it yet, would be; nothing where that does not matter.
    pub async fn version_of_unregistered(&mut self, schema: &ResolvedSchema) -> Result<Option<Version>> {
        let (Some(following), Some(schemas)) = (&mut self.following, &self.schemas) else { return Ok(None) };
        let Some(subject) = schemas.subjects.first() else { return Ok(None) };
        look_for_versions(following, &schemas.home, subject).await?;
        let mut version = Version(following.newest().max(following.followed()).0 + 1);
        for (known, id) in following.live() {
            match schemas.home.schema_cache.get(SchemaKey::Id(id), Some(subject)).await {
                Ok(registered) if *registered == *schema => version = known,
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(Some(version))
    }

    /// The step that the table has to take before it.
    pub async fn step_before_unregistered(
        &mut self,
        version: Version,
        schema: &ResolvedSchema,
    ) -> Result<Option<Step>> {
        let (Some(following), Some(schemas)) = (&mut self.following, &self.schemas) else { return Ok(None) };
        let Some(subject) = schemas.subjects.first() else { return Ok(None) };
        look_for_versions(following, &schemas.home, subject).await?;
        following.is_version(UNREGISTERED, Some(version));
        self.follow((version, UNREGISTERED), schema).await
    }

    /// Which version of the table's subject a schema is, where that matters.
    pub(super) async fn version_of(&mut self, key: SchemaKey) -> Result<Option<Version>> {
        let (Some(following), Some(schemas)) = (&mut self.following, &self.schemas) else { return Ok(None) };
        if let Some(known) = following.version_of(key) {
            return Ok(known);
        }
        let Some(subject) = schemas.subjects.first() else { return Ok(None) };
        look_for_versions(following, &schemas.home, subject).await?;
        if let Some(known) = following.version_of(key) {
            return Ok(known);
        }
        let deleted = deleted_version(&schemas.home, subject, key).await?;
        following.is_version(key, deleted);
        Ok(deleted)
    }

    /// The step that the table has to take before records of a version that it does not follow yet: up to the first
    /// version that drops something, or to this one.
    pub(super) async fn follow(
        &mut self,
        (version, key): (Version, SchemaKey),
        schema: &ResolvedSchema,
    ) -> Result<Option<Step>> {
        let Some(following) = &self.following else { return Ok(None) };
        if following.rests() || version <= following.followed() {
            return Ok(None);
        }
        for (next, id) in following.ahead(version) {
            if next < version
                && let Learnt::Follows(step) = self.pass_through((next, SchemaKey::Id(id))).await?
            {
                return Ok(Some(Step { is_between: true, ..*step }));
            }
        }
        // What is wrong with this one is said where it is learnt; until it can be it is not followed.
        let Ok(step) = self.step_to((version, key), schema) else { return Ok(None) };
        Ok(step.or_else(|| self.following.as_ref().map(|following| following.plain_step_to(version))))
    }

    /// Learns a version as if all before it were followed, unless it drops something.
    async fn pass_through(&mut self, (version, key): (Version, SchemaKey)) -> Result<Learnt> {
        let Some(schemas) = &self.schemas else { return Ok(Learnt::Known) };
        let schema = match schemas.home.schema_cache.get(key, schemas.subjects.of_ids()).await {
            Ok(schema) => schema,
            Err(error) if error.is_not_found() => return Ok(Learnt::Known),
            Err(error) => return outage_or_refusal(error.into()),
        };
        if schema.schema_type != schemas.schema_type {
            return Ok(Learnt::Known);
        }
        match self.step_to((version, key), &schema) {
            Ok(None) => {}
            Ok(Some(step)) => return Ok(Learnt::Follows(Box::new(step))),
            // I2.
            Err(error) => return outage_or_refusal(error),
        }
        match self.add(key, &schema) {
            Ok(learned) => self.tell(key, learned),
            Err(error) => return outage_or_refusal(error),
        }
        Ok(Learnt::Known)
    }

    /// What this version drops, if it does.
    fn step_to(&self, (version, key): (Version, SchemaKey), schema: &ResolvedSchema) -> Result<Option<Step>> {
        let Some(following) = &self.following else { return Ok(None) };
        let fills = self.decoder.columns_of(key, schema, &following.passing(key))?;
        Ok(following.step_to(version, self.decoder.schema().fields(), &fills))
    }

    /// Follows the subject to its newest version, for a table that has no rows yet; answers the next step, if there is
    /// one.
    pub async fn follow_to_newest(&mut self) -> Result<Option<Step>> {
        let (Some(following), Some(schemas)) = (&mut self.following, &self.schemas) else { return Ok(None) };
        let Some(subject) = schemas.subjects.first().map(str::to_owned) else { return Ok(None) };
        look_for_versions(following, &schemas.home, &subject).await?;
        for (version, id) in following.ahead(following.newest()) {
            self.refusal = match self.pass_through((version, SchemaKey::Id(id))).await? {
                Learnt::Follows(step) => return Ok(Some(*step)),
                Learnt::Refused(error) => Some(placed(error, &subject, version)),
                Learnt::Known | Learnt::BadRecord(_) => None,
            };
        }
        Ok(None)
    }
}

/// Notes the versions that the subject has by now.
async fn look_for_versions(following: &mut Following, home: &Home, subject: &str) -> Result<()> {
    let versions = match home.schemas.versions(subject, Include::Live).await {
        Ok(versions) => versions,
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    following.has_no_others(&versions);
    let unknown = versions.into_iter().filter(|version| !following.is_known(*version)).collect::<Vec<_>>();
    let newest = unknown.len().saturating_sub(VERSIONS_LEARNT_MAX);
    for version in unknown.into_iter().skip(newest) {
        if let Some(registered) = found(home.schemas.version(subject, wanted(version), Include::Live).await)? {
            following.has(&registered);
        }
    }
    Ok(())
}

/// Which version a schema was that the subject does not list any more.
async fn deleted_version(home: &Home, subject: &str, key: SchemaKey) -> Result<Option<Version>> {
    let schema = match home.schemas.schema(key, Some(subject)).await {
        Ok(schema) => schema,
        Err(error) => return if error.is_not_found() { Ok(None) } else { Err(error.into()) },
    };
    let registered = found(home.schemas.lookup(subject, &schema, Form::Given, Include::Deleted).await)?;
    Ok(registered.map(|registered| registered.version))
}
