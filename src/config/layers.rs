//! The layers of the configuration, read one by one and laid over each other.
//!
//! Owns the order of the layers and the check of their keys; `config` owns what the keys mean. The environment
//! comes in as an argument: figment's own provider reads the process's, which a test cannot change safely.

use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use tableflow_model::{Error, Result};

use super::Config;
use super::kafka::flattened;
use super::registry::spread;

pub const DEFAULTS: &str = include_str!("tableflow.default.toml");
const SYSTEM_FILE: &str = "/etc/tableflow/tableflow.toml";
const FILE_NAME: &str = "tableflow.toml";
const ENVIRONMENT_PREFIX: &str = "TABLEFLOW__";

/// The one section whose keys are not ours (I3 of `config`).
const KAFKA: &str = "kafka";
const REGISTRY: &str = "registry";
const KAFKA_KEYS: &str = "kafka.";

/// Where settings come from, lowest first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Read where they exist.
    pub files: Vec<PathBuf>,
    /// The file of `--config`: must exist.
    pub explicit_file: Option<PathBuf>,
    pub environment: Vec<(String, String)>,
}

impl Layers {
    /// The layers of a process with this environment, started in the current folder.
    pub fn standard(explicit_file: Option<PathBuf>, environment: Vec<(String, String)>) -> Layers {
        let lookup =
            |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| PathBuf::from(value));
        let user = lookup("XDG_CONFIG_HOME").or_else(|| lookup("HOME").map(|home| home.join(".config")));
        let mut files = vec![PathBuf::from(SYSTEM_FILE)];
        files.extend(user.map(|folder| folder.join("tableflow").join(FILE_NAME)));
        files.push(PathBuf::from(FILE_NAME));
        Layers { files, explicit_file, environment }
    }

    pub(super) fn merge(&self) -> Result<Config> {
        let defaults = Toml::string(DEFAULTS).data().map_err(|error| refuse(&error))?;
        let known = defaults.get(&Profile::Default).cloned().unwrap_or_default();
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        for path in self.existing_files()? {
            let layer = Dotted(Toml::file_exact(path));
            check_keys(&known, &layer, &format!("file {}", path.display()))?;
            figment = figment.merge(layer);
        }
        for (name, value) in &self.environment {
            let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let layer = Dotted(Variable { name, key: key.to_lowercase().replace("__", "."), value });
            check_keys(&known, &layer, &format!("environment variable {name}"))?;
            figment = figment.merge(layer);
        }
        figment.extract().map_err(|error| refuse(&error))
    }

    fn existing_files(&self) -> Result<Vec<&Path>> {
        if let Some(path) = self.explicit_file.as_deref().filter(|path| !path.is_file()) {
            return Err(Error::usage(format!("there is no configuration file {}", path.display()))
                .with_hint("name one that is there with --config, or leave the flag out"));
        }
        let optional = self.files.iter().filter(|path| path.is_file());
        Ok(optional.chain(&self.explicit_file).map(PathBuf::as_path).collect())
    }
}

/// One variable of the environment: `TABLEFLOW__SERVICE__LISTEN` is `service.listen`.
struct Variable<'a> {
    name: &'a str,
    key: String,
    value: &'a str,
}

impl Provider for Variable<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("environment variable {}", self.name))
    }

    fn data(&self) -> std::result::Result<Map<Profile, Dict>, figment::Error> {
        match nest(&self.key, Value::from(self.value)) {
            Value::Dict(_, dict) => Ok(Profile::Default.collect(dict)),
            _ => Err(figment::Error::from(format!("{} names no setting", self.name))),
        }
    }
}

/// A layer whose names with dots are written in one way, so that it is laid over another one however theirs are: in one
/// piece for Kafka, whose names begin with each other; as levels for the registry.
struct Dotted<P>(P);

impl<P: Provider> Provider for Dotted<P> {
    fn metadata(&self) -> Metadata {
        self.0.metadata()
    }

    fn data(&self) -> std::result::Result<Map<Profile, Dict>, figment::Error> {
        let mut data = self.0.data()?;
        for layer in data.values_mut() {
            for (name, rewritten) in [(KAFKA, flattened as fn(&Dict) -> Dict), (REGISTRY, spread)] {
                if let Some(Value::Dict(_, section)) = layer.get_mut(name) {
                    *section = rewritten(section);
                }
            }
        }
        Ok(data)
    }
}

fn check_keys(known: &Dict, layer: &impl Provider, name: &str) -> Result<()> {
    let unreadable = |error: figment::Error| {
        Error::usage(format!("{name} cannot be read")).with_detail(without_lines_of_the_file(&error.kind.to_string()))
    };
    let data = layer.data().map_err(unreadable)?;
    let Some(dict) = data.get(&Profile::Default) else { return Ok(()) };
    let all = paths(known, "");
    for path in paths(dict, "") {
        if all.contains(&path) || path.starts_with(KAFKA_KEYS) {
            continue;
        }
        let error = Error::usage(format!("{name} sets {path}, which is not a setting"));
        return Err(match nearest_section(&path, &all).or_else(|| nearest(&path, &all).cloned()) {
            Some(close) => error.with_hint(format!("did you mean {close}?")),
            None => error.with_hint(format!("the settings are: {}", all.join(", "))),
        });
    }
    Ok(())
}

/// A parser shows the line that it stumbled over, and that may have a secret in it.
fn without_lines_of_the_file(error: &str) -> String {
    let is_shown = |line: &&str| line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|');
    error.trim_end().lines().filter(|line| !is_shown(line)).collect::<Vec<_>>().join("; ")
}

/// The dotted path of every leaf.
fn paths(dict: &Dict, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in dict {
        let path = format!("{prefix}{key}");
        match value.as_dict() {
            Some(inner) if !inner.is_empty() => found.extend(paths(inner, &format!("{path}."))),
            _ => found.push(path),
        }
    }
    found
}

/// Below it two names have little in common; found by trying misspellings of the names in use.
const SIMILARITY_MIN: f64 = 0.75;
/// A short word has to be nearer: "kafak", "kafk" and "kakfa" are, "data" is not.
const SECTION_SIMILARITY_MIN: f64 = 0.85;

/// For a section that there is not, the one that may be meant where its keys are not ours to know.
fn nearest_section(path: &str, all: &[String]) -> Option<String> {
    let (section, key) = path.split_once('.')?;
    let is_known = section == KAFKA || all.iter().any(|known| known.starts_with(&format!("{section}.")));
    let is_meant = !is_known && strsim::jaro_winkler(section, KAFKA) >= SECTION_SIMILARITY_MIN;
    is_meant.then(|| format!("{KAFKA}.{key}"))
}

/// The most similar name: whole paths are compared, and last parts, for a key in the wrong section.
fn nearest<'a>(path: &str, all: &'a [String]) -> Option<&'a String> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let similarity =
        |other: &str| strsim::jaro_winkler(path, other).max(strsim::jaro_winkler(&last(path), &last(other)));
    let ranked = all.iter().map(|other| (similarity(other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
    ranked.filter(|(similarity, _)| *similarity >= SIMILARITY_MIN).map(|(_, other)| other)
}

fn refuse(error: &figment::Error) -> Error {
    let mut refusal = Error::usage(format!("the configuration is wrong: {}", error.kind))
        .with_hint("`tableflow man` has all settings with their defaults, under SETTINGS");
    if !error.path.is_empty() {
        refusal = refusal.with_context("setting", error.path.join("."));
    }
    if let Some(metadata) = &error.metadata {
        let file = metadata.source.as_ref().and_then(figment::Source::file_path);
        let place = file.map_or_else(|| metadata.name.to_string(), |path| path.display().to_string());
        refusal = refusal.with_context("from", place);
    }
    refusal
}
