//! The section `[kafka]`: a client's settings under Kafka's own names.
//!
//! Owns [`KafkaConfig`].
//! - I1: a name with dots may be written quoted, as a table, or with `__` in the environment: it is the same name.
//! - I2: no value is ever printed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use figment::value::{Dict, Value};
use serde::Deserialize;
use tableflow_connectors::kafka::Properties;
use tableflow_model::{Error, Result, Secret};

use super::secret::{SecretText, place};

/// Names the file of further settings.
const PROPERTIES_FILE: &str = "properties_file";

/// What was written, name by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Dict")]
pub struct KafkaConfig(BTreeMap<String, SecretText>);

impl TryFrom<Dict> for KafkaConfig {
    type Error = Error;

    fn try_from(dict: Dict) -> Result<Self> {
        let mut settings = BTreeMap::new();
        for (name, value) in dict {
            // Numbers and switches are texts to a client.
            let text = match &value {
                Value::Num(_, number) => number.to_i128().map(|number| number.to_string()),
                Value::Bool(_, on) => Some(on.to_string()),
                _ => None,
            };
            let setting = match text {
                Some(text) => Some(SecretText::Here(Secret::new(text))),
                None => SecretText::read(&name, &value)?,
            };
            settings.insert(name, setting.unwrap_or_else(|| SecretText::Here(Secret::new(String::new()))));
        }
        Ok(KafkaConfig(settings))
    }
}

impl KafkaConfig {
    /// The client's settings: those of the properties file, and over them those of the section.
    pub fn properties(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Properties> {
        let text = |name: &str, setting: &SecretText| {
            let text =
                setting.resolve(&variable).map_err(|error| error.with_context("setting", format!("kafka.{name}")));
            text.map(|secret| secret.expose().to_owned())
        };
        let file = match self.0.get(PROPERTIES_FILE) {
            Some(path) => Properties::read_file(&PathBuf::from(text(PROPERTIES_FILE, path)?))?,
            None => BTreeMap::new(),
        };
        let mut section = BTreeMap::new();
        for (name, setting) in self.0.iter().filter(|(name, _)| *name != PROPERTIES_FILE) {
            section.insert(name.clone(), text(name, setting)?);
        }
        Properties::over_file(&file, &section)
    }
}

/// I1: the section with every name in one piece.
pub(super) fn flattened(section: &Dict) -> Dict {
    let mut flat = Dict::new();
    flatten("", section, &mut flat);
    flat
}

fn flatten(prefix: &str, section: &Dict, flat: &mut Dict) {
    for (key, value) in section {
        let name = format!("{prefix}{key}");
        match value {
            Value::Dict(_, inner) => match place(inner) {
                Some(place) => drop(flat.insert(name, place)),
                None => flatten(&format!("{name}."), inner, flat),
            },
            value => drop(flat.insert(name, value.clone())),
        }
    }
}
