//! A registry elsewhere: the client of Confluent's HTTP API.
//!
//! ```text
//!  options    where the registry is, and who asks: read, checked, never printed
//!  transport  one request: several addresses, retries, caps
//! ```
//!
//! Owns [`RegistryClient`]: the trait's calls as requests, and their answers read. It serves Confluent's registry, and
//! those that speak its API: Apicurio, Karapace, Redpanda.
//! - I1: a registry that leaves out what older versions did not know (a GUID, the version in the answer to
//!   `register`, `subjectPrefix`) is asked again, or its answer is narrowed here.

mod options;
#[cfg(test)]
mod tests;
mod transport;

use async_trait::async_trait;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tableflow_model::{Error, Millis};
use uuid::Uuid;

use super::refusal::Result;
use super::registry::{Compatibility, Deletion, Form, Include, SchemaRegistry};
use super::schema::{RegisteredSchema, Schema, SchemaId, SchemaKey, SubjectVersion, Version, VersionWanted};
pub use options::{ClientCertificate, ClientOptions, Credentials};
use transport::{Request, Transport};

/// A registry over HTTP. It keeps nothing but connections; `SchemaCache` remembers.
#[derive(Debug)]
pub struct RegistryClient {
    transport: Transport,
}

#[derive(Deserialize)]
struct RegisterAnswer {
    id: SchemaId,
    version: Option<Version>,
    guid: Option<Uuid>,
}

#[derive(Deserialize)]
struct CompatibilityAnswer {
    is_compatible: bool,
    #[serde(default)]
    messages: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigAnswer {
    compatibility_level: Compatibility,
}

#[derive(Serialize)]
struct ConfigRequest {
    compatibility: Compatibility,
}

impl RegistryClient {
    /// Reads the files that the options name; asks nobody yet.
    pub fn new(options: ClientOptions) -> Result<Self, Error> {
        Ok(RegistryClient { transport: Transport::new(options)? })
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T> {
        self.transport.ask(&Request::new(Method::GET, path).query(query)).await
    }

    async fn post<T: for<'de> Deserialize<'de>>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        schema: &Schema,
    ) -> Result<T> {
        self.transport.ask(&Request::new(Method::POST, path).query(query).body(schema)?).await
    }

    async fn delete<T: for<'de> Deserialize<'de>>(&self, path: &[&str], deletion: Deletion) -> Result<T> {
        let permanent = [("permanent", "true")];
        let query: &[_] = if deletion == Deletion::Permanent { &permanent } else { &[] };
        self.transport.ask(&Request::new(Method::DELETE, path).query(query)).await
    }
}

/// A query of those that are set.
fn query(deleted: Include, form: Form) -> Vec<(&'static str, &'static str)> {
    let deleted = (deleted == Include::Deleted).then_some(("deleted", "true"));
    let normalize = (form == Form::Normalized).then_some(("normalize", "true"));
    deleted.into_iter().chain(normalize).collect()
}

#[async_trait]
impl SchemaRegistry for RegistryClient {
    async fn schema(&self, key: SchemaKey, subject: Option<&str>) -> Result<Schema> {
        match key {
            SchemaKey::Id(id) => {
                let subject = subject.map(|subject| ("subject", subject));
                self.get(&["schemas", "ids", &id.to_string()], subject.as_slice()).await
            }
            SchemaKey::Guid(guid) => self.get(&["schemas", "guids", &guid.to_string()], &[]).await,
        }
    }

    async fn places(&self, id: SchemaId) -> Result<Vec<SubjectVersion>> {
        let mut places: Vec<SubjectVersion> = self.get(&["schemas", "ids", &id.to_string(), "versions"], &[]).await?;
        places.sort();
        Ok(places)
    }

    async fn subjects(&self, prefix: &str, include: Include) -> Result<Vec<String>> {
        let mut query = query(include, Form::Given);
        if !prefix.is_empty() {
            query.push(("subjectPrefix", prefix));
        }
        let mut subjects: Vec<String> = self.get(&["subjects"], &query).await?;
        subjects.retain(|subject| subject.starts_with(prefix));
        subjects.sort();
        Ok(subjects)
    }

    async fn versions(&self, subject: &str, include: Include) -> Result<Vec<Version>> {
        self.get(&["subjects", subject, "versions"], &query(include, Form::Given)).await
    }

    async fn version(&self, subject: &str, version: VersionWanted, include: Include) -> Result<RegisteredSchema> {
        let path = ["subjects", subject, "versions", &version.to_string()];
        self.get(&path, &query(include, Form::Given)).await
    }

    async fn lookup(&self, subject: &str, schema: &Schema, form: Form, include: Include) -> Result<RegisteredSchema> {
        self.post(&["subjects", subject], &query(include, form), schema).await
    }

    async fn register(&self, subject: &str, schema: &Schema, form: Form) -> Result<RegisteredSchema> {
        let path = ["subjects", subject, "versions"];
        let answer: RegisterAnswer = self.post(&path, &query(Include::Live, form), schema).await?;
        match answer.version {
            Some(version) => {
                let wanted = VersionWanted::Number(version);
                let registered = self.version(subject, wanted, Include::Live).await?;
                Ok(RegisteredSchema { guid: registered.guid.or(answer.guid), ..registered })
            }
            None => Ok(RegisteredSchema { id: answer.id, ..self.lookup(subject, schema, form, Include::Live).await? }),
        }
    }

    async fn incompatibilities(
        &self,
        subject: &str,
        version: Option<VersionWanted>,
        schema: &Schema,
    ) -> Result<Vec<String>> {
        let version = version.map(|version| version.to_string());
        let mut path = vec!["compatibility", "subjects", subject, "versions"];
        path.extend(version.as_deref());
        let answer: CompatibilityAnswer = self.post(&path, &[("verbose", "true")], schema).await?;
        let mut messages = answer.messages.unwrap_or_default();
        if answer.is_compatible {
            messages.clear();
        } else if messages.is_empty() {
            messages.push("the registry gave no reason".to_owned());
        }
        Ok(messages)
    }

    async fn delete_subject(&self, subject: &str, deletion: Deletion) -> Result<Vec<Version>> {
        self.delete(&["subjects", subject], deletion).await
    }

    async fn delete_version(&self, subject: &str, version: VersionWanted, deletion: Deletion) -> Result<Version> {
        self.delete(&["subjects", subject, "versions", &version.to_string()], deletion).await
    }

    async fn compatibility(&self, subject: Option<&str>) -> Result<Compatibility> {
        let answer: ConfigAnswer = match subject {
            Some(subject) => self.get(&["config", subject], &[("defaultToGlobal", "true")]).await?,
            None => self.get(&["config"], &[]).await?,
        };
        Ok(answer.compatibility_level)
    }

    async fn set_compatibility(&self, subject: Option<&str>, level: Compatibility) -> Result<()> {
        let path: Vec<&str> = std::iter::once("config").chain(subject).collect();
        let request = Request::new(Method::PUT, &path).body(&ConfigRequest { compatibility: level })?;
        let _: serde_json::Value = self.transport.ask(&request).await?;
        Ok(())
    }

    fn answered_at(&self) -> Option<Millis> {
        self.transport.answered_at()
    }
}
