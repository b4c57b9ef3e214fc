//! Requests read, answers written.
//!
//! Owns [`Document`] and [`Refused`], the two forms of an answer (I1), [`Words`], which stand after the question mark,
//! and [`Body`] (I2).

use std::collections::HashMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Value, json};
use tableflow_connectors::registry::{Deletion, Form, Include, Reason, RegistryError, Schema, SchemaType};

/// As much as the client reads of an answer.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

pub(super) const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

pub(super) type Answer<T = Value> = Result<Document<T>, Refused>;

/// I1.
pub(super) struct Document<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Document<T> {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, MEDIA_TYPE)], Json(self.0)).into_response()
    }
}

/// An error as the API has it.
pub(super) struct Refused(RegistryError);

impl Refused {
    pub(super) fn of(reason: Reason, message: impl Into<String>) -> Self {
        Refused(RegistryError::refused(reason, message))
    }
}

impl<E: Into<RegistryError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Refused(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (reason, message) = match self.0 {
            RegistryError::Refused(refusal) => (refusal.reason, refusal.message),
            RegistryError::Failed(error) => {
                tracing::error!(error = %error.report(), "the schema registry cannot answer");
                (Reason::Other(50001), error.to_string())
            }
        };
        let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Document(json!({"error_code": reason.code(), "message": message}))).into_response()
    }
}

/// What stands after the question mark.
pub(super) struct Words(HashMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Words {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(words)) => Ok(Words(words)),
            Err(error) => Err(Refused::of(Reason::Other(400), error.to_string())),
        }
    }
}

impl Words {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Python writes True, Java true.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|word| word.eq_ignore_ascii_case("true"))
    }

    pub(super) fn include(&self) -> Include {
        if self.is_set("deleted") || self.wants_no_live() { Include::Deleted } else { Include::Live }
    }

    pub(super) fn wants_no_live(&self) -> bool {
        self.is_set("deletedOnly")
    }

    pub(super) fn form(&self) -> Form {
        if self.is_set("normalize") { Form::Normalized } else { Form::Given }
    }

    pub(super) fn deletion(&self) -> Deletion {
        if self.is_set("permanent") { Deletion::Permanent } else { Deletion::Soft }
    }

    /// The part of a list that is asked for: without a limit, or with a negative one, all of it.
    pub(super) fn page<T>(&self, list: Vec<T>) -> Vec<T> {
        let number = |name: &str| self.get(name).and_then(|word| word.parse::<usize>().ok());
        let limit = number("limit").unwrap_or(usize::MAX);
        list.into_iter().skip(number("offset").unwrap_or(0)).take(limit).collect()
    }

    /// The text in the form that is asked for. Python's Protobuf client registers descriptors, and asks for them.
    pub(super) fn text(&self, schema: &Schema) -> Result<String, Refused> {
        let is_descriptor = || STANDARD.decode(&schema.text).is_ok();
        let refusal = match (schema.schema_type, self.get("format").unwrap_or_default()) {
            (SchemaType::Protobuf, "serialized") if !is_descriptor() => {
                "it was registered as text, and the embedded registry compiles none to format=serialized"
            }
            (SchemaType::Avro | SchemaType::Json, "resolved") if !schema.references.is_empty() => {
                "the embedded registry gives references apart, and has no format=resolved"
            }
            _ => return Ok(schema.text.clone()),
        };
        Err(Refused::of(Reason::OperationNotPermitted, refusal))
    }

    pub(super) fn shaped(&self, schema: Schema) -> Result<Schema, Refused> {
        Ok(Schema { text: self.text(&schema)?, ..schema })
    }
}

/// A body (I2).
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        if !says_it_is_json(request.headers()) {
            return Err(Refused::of(Reason::Other(415), format!("the body must be of the type {MEDIA_TYPE}")));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| {
            let message = format!("the body cannot be read, or has more than {BODY_BYTES_MAX} bytes");
            Refused::of(Reason::Other(error.status().as_u16().into()), message)
        })?;
        serde_json::from_slice(&bytes).map(Body).map_err(|error| match error.classify() {
            Category::Data => Refused::of(Reason::Other(422), error.to_string()),
            _ => Refused::of(Reason::Other(400), format!("the body is not JSON: {error}")),
        })
    }
}

fn says_it_is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_of_a_registry = media_type.starts_with("application/vnd.schemaregistry") && media_type.ends_with("+json");
    is_of_a_registry || matches!(media_type.as_str(), "application/json" | "application/octet-stream")
}
