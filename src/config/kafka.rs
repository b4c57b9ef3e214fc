//! The section `[kafka]`: a client's settings under Kafka's own names.
//!
//! Owns [`KafkaConfig`], and the ways to keep a secret out of a file: `{ env = "NAME" }` and `{ file = "PATH" }`.
//! - I1: a name with dots may be written quoted, as a table, or with `__` in the environment: it is the same name.
//! - I2: no value is ever printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use figment::value::{Dict, Value};
use serde::Deserialize;
use tableflow_connectors::kafka::Properties;
use tableflow_model::{Error, Result};

/// Names the file of further settings.
const PROPERTIES_FILE: &str = "properties_file";

/// What was written, name by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct KafkaConfig(BTreeMap<String, Setting>);

/// A value, or where it is.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Setting {
    Text(String),
    Number(i64),
    Switch(bool),
    Variable { env: String },
    File { file: PathBuf },
}

/// I2.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl Setting {
    fn value(&self, name: &str, environment: &[(String, String)]) -> Result<String> {
        match self {
            Setting::Text(text) => Ok(text.clone()),
            Setting::Number(number) => Ok(number.to_string()),
            Setting::Switch(on) => Ok(on.to_string()),
            Setting::Variable { env } => {
                let found = environment.iter().find(|(variable, _)| variable == env);
                found.map(|(_, value)| value.clone()).ok_or_else(|| {
                    Error::usage(format!("{name} of [kafka] is in the environment variable {env}, which is not set"))
                        .with_hint(format!("set {env}"))
                })
            }
            Setting::File { file } => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    Error::usage(format!("{name} of [kafka] is in the file {}, which cannot be read", file.display()))
                        .with_source(error)
                })?;
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        }
    }
}

impl KafkaConfig {
    /// The client's settings: those of the properties file, and over them those of the section.
    pub fn properties(&self, environment: &[(String, String)]) -> Result<Properties> {
        let mut written = BTreeMap::new();
        if let Some(path) = self.0.get(PROPERTIES_FILE) {
            written = Properties::read_file(&PathBuf::from(path.value(PROPERTIES_FILE, environment)?))?;
        }
        for (name, setting) in self.0.iter().filter(|(name, _)| *name != PROPERTIES_FILE) {
            written.insert(name.clone(), setting.value(name, environment)?);
        }
        Properties::new(&written)
    }
}

/// I1: the section with every name in one piece.
pub(super) fn flattened(section: Dict) -> Dict {
    let mut flat = Dict::new();
    flatten("", section, &mut flat);
    flat
}

fn flatten(prefix: &str, section: Dict, flat: &mut Dict) {
    for (key, value) in section {
        let name = format!("{prefix}{key}");
        match value {
            Value::Dict(_, inner) if !is_reference(&inner) => flatten(&format!("{name}."), inner, flat),
            value => {
                flat.insert(name, value);
            }
        }
    }
}

fn is_reference(dict: &Dict) -> bool {
    dict.len() == 1 && (dict.contains_key("env") || dict.contains_key("file"))
}
