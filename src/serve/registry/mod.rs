//! The embedded schema registry over HTTP: Confluent's API below `/registry`.
//!
//! ```text
//!  wire      requests read, answers written
//!  settings  /config and /mode
//! ```
//!
//! Owns the routes that clients of a registry use. What a registry decides is the embedded registry's.
//! - I1: every answer, a refusal too, is JSON with Confluent's numbers: clients decide by them.
//! - I2: a body is at most `wire::BODY_BYTES_MAX` long and said to be JSON: a form of a web page, which a browser sends
//!   anywhere without asking, is refused.
//!
//! Below `/registry` nobody is asked who they are, as nowhere on this port yet: it is bound to loopback.

mod settings;
mod wire;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde::Serialize;
use serde_json::{Value, json};
use tableflow_connectors::registry::{
    EmbeddedRegistry, Include, Reason, RegisteredSchema, Schema, SchemaId, SchemaKey, SchemaRegistry, SchemaType,
    SubjectVersion, Version, VersionWanted,
};
use uuid::Uuid;

use wire::{Answer, BODY_BYTES_MAX, Body, Document, MEDIA_TYPE, Refused, Words};

pub fn routes(registry: EmbeddedRegistry) -> Router {
    let schemas = Router::new()
        .route("/schemas/types", get(|| async { Document(SchemaType::ALL) }))
        .route("/schemas/ids/{id}", get(schema_by_id))
        .route("/schemas/ids/{id}/schema", get(text_by_id))
        .route("/schemas/ids/{id}/subjects", get(subjects_of_id))
        .route("/schemas/ids/{id}/versions", get(versions_of_id))
        .route("/schemas/guids/{guid}", get(schema_by_guid))
        .route("/schemas/guids/{guid}/ids", get(ids_of_guid));
    let subjects = Router::new()
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(lookup).delete(delete_subject))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version).delete(delete_version))
        .route("/subjects/{subject}/versions/{version}/schema", get(text_of_version))
        .route("/subjects/{subject}/versions/{version}/referencedby", get(referenced_by))
        .route("/compatibility/subjects/{subject}/versions", post(compatible_with_all))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(compatible_with));
    let api = Router::new()
        .route("/", any(root))
        .merge(schemas)
        .merge(subjects)
        .merge(settings::routes())
        .route("/contexts", get(|| async { Document(["."]) }))
        .fallback(|| async { Refused::of(Reason::Other(404), "HTTP 404 Not Found") })
        .method_not_allowed_fallback(|| async { Refused::of(Reason::Other(405), "HTTP 405 Method Not Allowed") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(registry);
    // A nested root has no slash at its end, and clients write one.
    Router::new().nest("/registry", api).route("/registry/", any(root))
}

async fn root() -> Document<Value> {
    Document(json!({}))
}

fn id_of(text: &str) -> Result<SchemaId, Refused> {
    let number = text.parse().map(SchemaId);
    number.map_err(|_| Refused::of(Reason::SchemaNotFound, format!("Schema {text:?} not found")))
}

fn guid_of(text: &str) -> Result<Uuid, Refused> {
    text.parse().map_err(|_| Refused::of(Reason::SchemaNotFound, format!("Schema {text:?} not found")))
}

fn version_of(text: &str) -> Result<VersionWanted, Refused> {
    text.parse().map_err(|_| {
        let message = "The specified version is not a valid version id. Allowed values are between [1, 2^31-1] and \
                       the string \"latest\"";
        Refused::of(Reason::InvalidVersion, message)
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SchemaDocument {
    #[serde(flatten)]
    schema: Schema,
    guid: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_id: Option<SchemaId>,
}

async fn document(registry: &EmbeddedRegistry, key: SchemaKey, words: &Words) -> Answer<SchemaDocument> {
    let schema = words.shaped(registry.schema(key, None).await?)?;
    let guid = match key {
        SchemaKey::Guid(guid) => guid,
        SchemaKey::Id(id) => registry.guid(id).await?,
    };
    let max_id = if words.is_set("fetchMaxId") { Some(registry.id_max().await?) } else { None };
    Ok(Document(SchemaDocument { schema, guid, max_id }))
}

async fn schema_by_id(
    State(registry): State<EmbeddedRegistry>,
    Path(id): Path<String>,
    words: Words,
) -> Answer<SchemaDocument> {
    document(&registry, SchemaKey::Id(id_of(&id)?), &words).await
}

async fn schema_by_guid(
    State(registry): State<EmbeddedRegistry>,
    Path(guid): Path<String>,
    words: Words,
) -> Answer<SchemaDocument> {
    document(&registry, SchemaKey::Guid(guid_of(&guid)?), &words).await
}

async fn ids_of_guid(State(registry): State<EmbeddedRegistry>, Path(guid): Path<String>) -> Answer<Vec<SchemaId>> {
    Ok(Document(registry.ids(guid_of(&guid)?).await?))
}

/// The schema's text, and nothing around it.
fn bare(text: String) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response()
}

async fn text_by_id(
    State(registry): State<EmbeddedRegistry>,
    Path(id): Path<String>,
    words: Words,
) -> Result<Response, Refused> {
    Ok(bare(words.text(&registry.schema(SchemaKey::Id(id_of(&id)?), None).await?)?))
}

async fn subjects_of_id(
    State(registry): State<EmbeddedRegistry>,
    Path(id): Path<String>,
    words: Words,
) -> Answer<Vec<String>> {
    let places = registry.places_with(id_of(&id)?, words.include()).await?;
    let mut subjects: Vec<String> = places.into_iter().map(|place| place.subject).collect();
    subjects.dedup();
    Ok(Document(words.page(subjects)))
}

async fn versions_of_id(
    State(registry): State<EmbeddedRegistry>,
    Path(id): Path<String>,
    words: Words,
) -> Answer<Vec<SubjectVersion>> {
    let places = registry.places_with(id_of(&id)?, words.include()).await?;
    Ok(Document(words.page(places)))
}

async fn subjects(State(registry): State<EmbeddedRegistry>, words: Words) -> Answer<Vec<String>> {
    // All contexts, of which there is one.
    let prefix = words.get("subjectPrefix").map_or("", |prefix| prefix.strip_prefix(":*:").unwrap_or(prefix));
    let mut subjects = registry.subjects(prefix, words.include()).await?;
    if words.wants_no_live() {
        let live = registry.subjects(prefix, Include::Live).await?;
        subjects.retain(|subject| !live.contains(subject));
    }
    Ok(Document(words.page(subjects)))
}

async fn versions(
    State(registry): State<EmbeddedRegistry>,
    Path(subject): Path<String>,
    words: Words,
) -> Answer<Vec<Version>> {
    let mut versions = registry.versions(&subject, words.include()).await?;
    if words.wants_no_live() {
        let live = match registry.versions(&subject, Include::Live).await {
            Err(error) if error.is_not_found() => Vec::new(),
            live => live?,
        };
        versions.retain(|version| !live.contains(version));
    }
    Ok(Document(words.page(versions)))
}

async fn version(
    State(registry): State<EmbeddedRegistry>,
    Path((subject, version)): Path<(String, String)>,
    words: Words,
) -> Answer<RegisteredSchema> {
    let mut registered = registry.version(&subject, version_of(&version)?, words.include()).await?;
    registered.schema = words.shaped(registered.schema)?;
    Ok(Document(registered))
}

async fn text_of_version(
    State(registry): State<EmbeddedRegistry>,
    Path((subject, version)): Path<(String, String)>,
    words: Words,
) -> Result<Response, Refused> {
    let registered = registry.version(&subject, version_of(&version)?, words.include()).await?;
    Ok(bare(words.text(&registered.schema)?))
}

async fn referenced_by(
    State(registry): State<EmbeddedRegistry>,
    Path((subject, version)): Path<(String, String)>,
    words: Words,
) -> Answer<Vec<SchemaId>> {
    Ok(Document(words.page(registry.referenced_by(&subject, version_of(&version)?).await?)))
}

async fn lookup(
    State(registry): State<EmbeddedRegistry>,
    Path(subject): Path<String>,
    words: Words,
    Body(schema): Body<Schema>,
) -> Answer<RegisteredSchema> {
    Ok(Document(registry.lookup(&subject, &schema, words.form(), words.include()).await?))
}

async fn register(
    State(registry): State<EmbeddedRegistry>,
    Path(subject): Path<String>,
    words: Words,
    Body(schema): Body<Schema>,
) -> Answer<RegisteredSchema> {
    Ok(Document(registry.register(&subject, &schema, words.form()).await?))
}

async fn delete_subject(
    State(registry): State<EmbeddedRegistry>,
    Path(subject): Path<String>,
    words: Words,
) -> Answer<Vec<Version>> {
    Ok(Document(registry.delete_subject(&subject, words.deletion()).await?))
}

async fn delete_version(
    State(registry): State<EmbeddedRegistry>,
    Path((subject, version)): Path<(String, String)>,
    words: Words,
) -> Answer<Version> {
    Ok(Document(registry.delete_version(&subject, version_of(&version)?, words.deletion()).await?))
}

fn verdict(messages: Vec<String>, words: &Words) -> Document<Value> {
    let is_compatible = messages.is_empty();
    match words.is_set("verbose") {
        true => Document(json!({"is_compatible": is_compatible, "messages": messages})),
        false => Document(json!({"is_compatible": is_compatible})),
    }
}

async fn compatible_with(
    State(registry): State<EmbeddedRegistry>,
    Path((subject, version)): Path<(String, String)>,
    words: Words,
    Body(schema): Body<Schema>,
) -> Answer {
    let messages = registry.incompatibilities(&subject, Some(version_of(&version)?), &schema).await?;
    Ok(verdict(messages, &words))
}

async fn compatible_with_all(
    State(registry): State<EmbeddedRegistry>,
    Path(subject): Path<String>,
    words: Words,
    Body(schema): Body<Schema>,
) -> Answer {
    Ok(verdict(registry.incompatibilities(&subject, None, &schema).await?, &words))
}

#[cfg(test)]
mod tests;
