//! `/config` and `/mode`: which changes are let in.
//!
//! - I1: a setting that is not kept is refused, not dropped: somebody relies on it.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};
use tableflow_connectors::registry::embedded::Mode;
use tableflow_connectors::registry::{Compatibility, EmbeddedRegistry, Reason, SchemaRegistry};

use super::wire::{Answer, Body, Document, Refused, Words};

pub(super) fn routes() -> Router<EmbeddedRegistry> {
    Router::new()
        .route("/config", get(config).put(set_config).delete(reset_config))
        .route("/config/{subject}", get(config_of).put(set_config_of).delete(reset_config_of))
        .route("/mode", get(mode).put(set_mode))
        .route("/mode/{subject}", get(mode_of).put(set_mode_of).delete(reset_mode_of))
}

/// I1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigRequest {
    compatibility: String,
}

fn level_of(ConfigRequest { compatibility }: ConfigRequest) -> Result<Compatibility, Refused> {
    compatibility.parse().map_err(|_| {
        let words = Compatibility::ALL.map(Compatibility::word).join(", ");
        let message = format!("Invalid compatibility level. Valid values are {words}");
        Refused::of(Reason::InvalidCompatibility, message)
    })
}

async fn config(State(registry): State<EmbeddedRegistry>) -> Answer {
    Ok(Document(json!({"compatibilityLevel": registry.compatibility(None).await?})))
}

async fn config_of(State(registry): State<EmbeddedRegistry>, Path(subject): Path<String>, words: Words) -> Answer {
    let level = match words.is_set("defaultToGlobal") {
        true => registry.compatibility(Some(&subject)).await?,
        false => registry.own_compatibility(&subject).await?,
    };
    Ok(Document(json!({"compatibilityLevel": level})))
}

async fn set_config(State(registry): State<EmbeddedRegistry>, Body(request): Body<ConfigRequest>) -> Answer {
    let level = level_of(request)?;
    registry.set_compatibility(None, level).await?;
    Ok(Document(json!({"compatibility": level})))
}

async fn set_config_of(
    State(registry): State<EmbeddedRegistry>,
    Path(subject): Path<String>,
    Body(request): Body<ConfigRequest>,
) -> Answer {
    let level = level_of(request)?;
    registry.set_compatibility(Some(&subject), level).await?;
    Ok(Document(json!({"compatibility": level})))
}

async fn reset_config(State(registry): State<EmbeddedRegistry>) -> Answer {
    Ok(Document(json!({"compatibilityLevel": registry.reset_compatibility(None).await?})))
}

async fn reset_config_of(State(registry): State<EmbeddedRegistry>, Path(subject): Path<String>) -> Answer {
    Ok(Document(json!({"compatibilityLevel": registry.reset_compatibility(Some(&subject)).await?})))
}

#[derive(Deserialize)]
struct ModeRequest {
    mode: Value,
}

fn mode_in(ModeRequest { mode }: ModeRequest) -> Result<Mode, Refused> {
    serde_json::from_value(mode).map_err(|_| {
        let message = "Invalid mode. Valid values are READWRITE, READONLY; ids are not imported here";
        Refused::of(Reason::InvalidMode, message)
    })
}

async fn mode(State(registry): State<EmbeddedRegistry>) -> Answer {
    Ok(Document(json!({"mode": registry.mode(None).await?})))
}

async fn mode_of(State(registry): State<EmbeddedRegistry>, Path(subject): Path<String>, words: Words) -> Answer {
    let mode = match words.is_set("defaultToGlobal") {
        true => registry.mode(Some(&subject)).await?,
        false => registry.own_mode(&subject).await?,
    };
    Ok(Document(json!({"mode": mode})))
}

async fn set_mode(State(registry): State<EmbeddedRegistry>, Body(request): Body<ModeRequest>) -> Answer {
    let mode = mode_in(request)?;
    registry.set_mode(None, mode).await?;
    Ok(Document(json!({"mode": mode})))
}

async fn set_mode_of(
    State(registry): State<EmbeddedRegistry>,
    Path(subject): Path<String>,
    Body(request): Body<ModeRequest>,
) -> Answer {
    let mode = mode_in(request)?;
    registry.set_mode(Some(&subject), mode).await?;
    Ok(Document(json!({"mode": mode})))
}

async fn reset_mode_of(State(registry): State<EmbeddedRegistry>, Path(subject): Path<String>) -> Answer {
    Ok(Document(json!({"mode": registry.reset_mode(&subject).await?})))
}
