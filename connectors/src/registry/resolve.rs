//! A schema with everything it refers to.
//!
//! Owns [`ResolvedSchema`] and [`resolve`], which follows references through a registry.
//! - I1: references are followed [`DEPTH_MAX`] deep and [`REFERENCES_MAX`] in all; a schema that refers to itself, over
//!   however many others, is refused. A hostile registry costs a bounded number of requests.
//! - I2: every schema stands after those it needs, each once, however many refer to it.
//! - I3: the fingerprint is of all that a decoder sees: type, text, and name and text of every reference.

use super::refusal::Result;
use super::registry::{Include, SchemaRegistry};
use super::schema::{Fingerprint, Parts, Schema, SchemaReference, SchemaType, VersionWanted};
use serde::{Deserialize, Serialize};
use tableflow_model::Error;

/// Deeper than people nest files that include each other.
pub const DEPTH_MAX: usize = 32;

/// More than the largest set of Protobuf files that is known of, far fewer than would hurt.
pub const REFERENCES_MAX: usize = 1_000;

/// A schema that can be parsed without asking anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedSchema {
    pub schema_type: SchemaType,
    pub text: String,
    /// What it needs, directly or not: dependencies first (I2).
    pub references: Vec<NamedSchema>,
}

/// A schema under the name that others refer to it by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedSchema {
    pub name: String,
    pub text: String,
}

impl ResolvedSchema {
    /// I3.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut parts = Parts::default();
        parts.add(self.schema_type.word());
        parts.add(&self.text);
        for reference in &self.references {
            parts.add(&reference.name);
            parts.add(&reference.text);
        }
        parts.finish()
    }
}

/// Fetches all that a schema refers to.
pub async fn resolve(registry: &dyn SchemaRegistry, schema: Schema) -> Result<ResolvedSchema> {
    let mut walk = Walk { registry, path: Vec::new(), seen: Vec::new(), resolved: Vec::new() };
    walk.follow(&schema).await?;
    Ok(ResolvedSchema { schema_type: schema.schema_type, text: schema.text, references: walk.resolved })
}

struct Walk<'a> {
    registry: &'a dyn SchemaRegistry,
    /// From the schema down to the reference under way.
    path: Vec<SchemaReference>,
    seen: Vec<SchemaReference>,
    resolved: Vec<NamedSchema>,
}

impl Walk<'_> {
    async fn follow(&mut self, schema: &Schema) -> Result<()> {
        for reference in &schema.references {
            let is_same =
                |other: &SchemaReference| (&other.subject, other.version) == (&reference.subject, reference.version);
            if self.path.iter().any(is_same) {
                return Err(self.refuse(reference, "it refers to itself").into());
            }
            if self.seen.contains(reference) {
                continue;
            }
            if self.path.len() == DEPTH_MAX {
                return Err(self
                    .refuse(reference, &format!("references are nested more than {DEPTH_MAX} deep"))
                    .into());
            }
            if self.seen.len() == REFERENCES_MAX {
                return Err(self.refuse(reference, &format!("it needs more than {REFERENCES_MAX} others")).into());
            }
            self.seen.push(reference.clone());
            self.path.push(reference.clone());
            let wanted = VersionWanted::Number(reference.version);
            // A schema that is used is still there for its users when it was soft-deleted.
            let found = self.registry.version(&reference.subject, wanted, Include::Deleted).await?.schema;
            Box::pin(self.follow(&found)).await?;
            self.path.pop();
            self.resolved.push(NamedSchema { name: reference.name.clone(), text: found.text });
        }
        Ok(())
    }

    fn refuse(&self, reference: &SchemaReference, detail: &str) -> Error {
        Error::data("a schema's references cannot be followed")
            .with_detail(detail)
            .with_context("reference", &reference.name)
            .with_context("subject", &reference.subject)
            .with_context("version", reference.version)
    }
}
