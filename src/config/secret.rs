//! A setting that may be a secret.
//!
//! Owns [`SecretText`]: the text itself, or where it is: `{ env = "NAME" }`, `{ file = "PATH" }`.
//! - I1: what is printed of it, an error too, is at most where it is.

use std::path::PathBuf;

use figment::value::{Dict, Value};
use tableflow_model::{Error, Result, Secret};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretText {
    Here(Secret),
    Environment(String),
    File(PathBuf),
}

impl SecretText {
    /// `None` for an empty text, which is what an absent setting has.
    pub(super) fn read(setting: &str, value: &Value) -> Result<Option<Self>> {
        let wrong = || {
            Error::usage(format!("{setting} is not a text"))
                .with_hint("write the text, or where it is: { env = \"NAME\" } or { file = \"PATH\" }")
        };
        if let Some(text) = value.as_str() {
            return Ok((!text.is_empty()).then(|| SecretText::Here(Secret::new(text.to_owned()))));
        }
        let Value::Array(_, place) = value else { return Err(wrong()) };
        match place.iter().map(Value::as_str).collect::<Option<Vec<_>>>().as_deref() {
            Some(["env", name]) => Ok(Some(SecretText::Environment((*name).to_owned()))),
            Some(["file", path]) => Ok(Some(SecretText::File(path.into()))),
            _ => Err(wrong()),
        }
    }

    /// The text, from where it is.
    pub fn resolve(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Secret> {
        match self {
            SecretText::Here(secret) => Ok(secret.clone()),
            SecretText::Environment(name) => variable(name)
                .map(Secret::new)
                .ok_or_else(|| Error::usage(format!("a setting is in the environment's {name}, which is not set"))),
            SecretText::File(path) => {
                let text = std::fs::read_to_string(path).map(Secret::new).map_err(|error| {
                    Error::usage(format!("a setting is in the file {}, which cannot be read", path.display()))
                        .with_source(error)
                })?;
                // Editors and `echo` end a file with a line feed, which is no part of a secret.
                Ok(Secret::new(text.expose().trim_end_matches(['\r', '\n']).to_owned()))
            }
        }
    }
}

/// `{ env = "NAME" }` as one value: of two layers that name a place each, the last one counts, and both at once are
/// none.
pub(super) fn place(dict: &Dict) -> Option<Value> {
    match dict.iter().collect::<Vec<_>>().as_slice() {
        [(kind, Value::String(_, name))] if matches!(kind.as_str(), "env" | "file") => {
            Some(Value::from(vec![(*kind).clone(), name.clone()]))
        }
        _ => None,
    }
}
