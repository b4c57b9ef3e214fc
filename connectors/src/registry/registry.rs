//! The trait every registry implements.
//!
//! Owns [`SchemaRegistry`], in the words of Confluent's API: the client asks a server over HTTP, the embedded registry
//! answers from the data directory, and `conformance` holds both to the same page.
//! - I1: a schema, once it has an id, is never another one; the same schema registered again keeps its id.
//! - I2: a version of a subject is never another schema, and its number is given to no other while the subject exists.
//! - I3: nothing is refused silently: a change that the compatibility level forbids is `Reason::Incompatible`.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tableflow_model::{Error, Millis};

use super::refusal::Result;
use super::schema::{RegisteredSchema, Schema, SchemaId, SchemaKey, SubjectVersion, Version, VersionWanted};

/// What a new version must be able to do with the versions before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Compatibility {
    None,
    /// Readers of the new version read what the latest one wrote.
    #[default]
    Backward,
    /// The same for all earlier versions.
    BackwardTransitive,
    /// Readers of the latest version read what the new one writes.
    Forward,
    ForwardTransitive,
    /// Both.
    Full,
    FullTransitive,
}

impl Compatibility {
    pub const ALL: [Compatibility; 7] = [
        Compatibility::None,
        Compatibility::Backward,
        Compatibility::BackwardTransitive,
        Compatibility::Forward,
        Compatibility::ForwardTransitive,
        Compatibility::Full,
        Compatibility::FullTransitive,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Compatibility::None => "NONE",
            Compatibility::Backward => "BACKWARD",
            Compatibility::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Compatibility::Forward => "FORWARD",
            Compatibility::ForwardTransitive => "FORWARD_TRANSITIVE",
            Compatibility::Full => "FULL",
            Compatibility::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// Must the new schema read what the old one wrote?
    pub fn looks_backward(self) -> bool {
        use Compatibility::{Backward, BackwardTransitive, Full, FullTransitive};
        matches!(self, Backward | BackwardTransitive | Full | FullTransitive)
    }

    /// Must the old schema read what the new one writes?
    pub fn looks_forward(self) -> bool {
        use Compatibility::{Forward, ForwardTransitive, Full, FullTransitive};
        matches!(self, Forward | ForwardTransitive | Full | FullTransitive)
    }

    /// Do all earlier versions count, or the latest alone?
    pub fn is_transitive(self) -> bool {
        use Compatibility::{BackwardTransitive, ForwardTransitive, FullTransitive};
        matches!(self, BackwardTransitive | ForwardTransitive | FullTransitive)
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Compatibility {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|level| level.word() == text).ok_or_else(|| {
            let words = Self::ALL.map(Compatibility::word).join(", ");
            Error::usage(format!("{text:?} is not a compatibility level")).with_hint(format!("use one of {words}"))
        })
    }
}

/// Which entries count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    #[default]
    Live,
    /// Soft-deleted ones too.
    Deleted,
}

/// How a schema is compared and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As it is, but for white space.
    #[default]
    Given,
    /// In one order of keys and with full names, so that spelling makes no other schema.
    Normalized,
}

/// How something is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deletion {
    /// No longer listed; its id stays readable, because records have it.
    Soft,
    /// Gone, after it was soft-deleted.
    Permanent,
}

#[async_trait]
pub trait SchemaRegistry: fmt::Debug + Send + Sync {
    /// What records name. `subject` helps registries whose ids count within contexts.
    async fn schema(&self, key: SchemaKey, subject: Option<&str>) -> Result<Schema>;

    /// Every place where an id is registered.
    async fn places(&self, id: SchemaId) -> Result<Vec<SubjectVersion>>;

    /// The subjects whose names begin so, in order.
    async fn subjects(&self, prefix: &str, include: Include) -> Result<Vec<String>>;

    async fn versions(&self, subject: &str, include: Include) -> Result<Vec<Version>>;

    async fn version(&self, subject: &str, version: VersionWanted, include: Include) -> Result<RegisteredSchema>;

    /// Where this very schema is registered under a subject.
    async fn lookup(&self, subject: &str, schema: &Schema, form: Form, include: Include) -> Result<RegisteredSchema>;

    /// Makes it the subject's newest version, unless it is one already.
    async fn register(&self, subject: &str, schema: &Schema, form: Form) -> Result<RegisteredSchema>;

    /// Why the schema could not become the version after `version`; nothing, if it could. `None` asks about all
    /// versions that the subject's level looks at.
    async fn incompatibilities(
        &self,
        subject: &str,
        version: Option<VersionWanted>,
        schema: &Schema,
    ) -> Result<Vec<String>>;

    /// The versions that went.
    async fn delete_subject(&self, subject: &str, deletion: Deletion) -> Result<Vec<Version>>;

    async fn delete_version(&self, subject: &str, version: VersionWanted, deletion: Deletion) -> Result<Version>;

    /// The level in force: a subject's, or the registry's own.
    async fn compatibility(&self, subject: Option<&str>) -> Result<Compatibility>;

    async fn set_compatibility(&self, subject: Option<&str>, level: Compatibility) -> Result<()>;

    /// The time on its own clock when it answered last, where it says.
    fn answered_at(&self) -> Option<Millis> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_written_as_the_api_has_them() {
        for level in Compatibility::ALL {
            assert_eq!(serde_json::to_value(level).unwrap(), level.word());
            assert_eq!(level.word().parse::<Compatibility>().unwrap(), level);
            assert_eq!(level.is_transitive(), level.word().ends_with("TRANSITIVE"));
            let full = level.word().starts_with("FULL");
            assert_eq!(level.looks_backward(), full || level.word().starts_with("BACKWARD"));
            assert_eq!(level.looks_forward(), full || level.word().starts_with("FORWARD"));
        }
        assert_eq!(Compatibility::default(), Compatibility::Backward);
        assert!("backward".parse::<Compatibility>().is_err());
    }
}
