//! `[registry]`: which schema registry is asked, and how.
//!
//! Owns [`RegistryConfig`]. Its settings have the names that Java's and librdkafka's clients know, dots and all.
//! - I1: without a url it is the embedded one; settings of another one that is not named are a mistake.
//! - I2: files and variables are read when a registry is opened, so that verbs which need none need no secret.

use std::path::PathBuf;

use figment::value::{Dict, Value};
use serde::Deserialize;
use tableflow_connectors::registry::PrefixLength;
use tableflow_connectors::registry::client::{ClientCertificate, ClientOptions, Credentials};
use tableflow_model::{Error, Result};

use super::secret::{SecretText, place};

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Dict")]
pub struct RegistryConfig {
    url: Option<SecretText>,
    user_info: Option<SecretText>,
    token: Option<SecretText>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    id_prefix: PrefixLength,
}

impl TryFrom<Dict> for RegistryConfig {
    type Error = Error;

    fn try_from(dict: Dict) -> Result<Self> {
        let secret = |name: &str| match find(&dict, name) {
            Some(value) => SecretText::read(name, value),
            None => Ok(None),
        };
        let text = |name: &str| match find(&dict, name) {
            Some(Value::String(_, text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(Error::usage(format!("{name} of the registry is not a text"))),
            None => Ok(None),
        };
        let path = |name: &str| text(name).map(|path| path.map(PathBuf::from));
        let url = match (secret("url")?, secret("schema.registry.url")?) {
            (Some(one), Some(other)) if one != other => {
                return Err(Error::usage("the registry's url is set twice")
                    .with_hint("keep one of url and schema.registry.url"));
            }
            (one, other) => one.or(other),
        };
        let user_info = secret("basic.auth.user.info")?;
        match text("basic.auth.credentials.source")?.as_deref() {
            None | Some("URL") => {}
            Some("USER_INFO") if user_info.is_some() => {}
            Some("USER_INFO") => return Err(Error::usage("USER_INFO needs basic.auth.user.info")),
            Some(other) => {
                return Err(Error::usage(format!("basic.auth.credentials.source {other:?} is not served"))
                    .with_hint("use USER_INFO with basic.auth.user.info, or URL with name and password in the url"));
            }
        }
        Ok(RegistryConfig {
            url,
            user_info,
            token: secret("bearer.auth.token")?,
            ca: path("ssl.ca.location")?,
            certificate: path("ssl.certificate.location")?,
            key: path("ssl.key.location")?,
            id_prefix: id_prefix(find(&dict, "id_bytes"))?,
        })
    }
}

/// A variable of the environment is text.
fn id_prefix(value: Option<&Value>) -> Result<PrefixLength> {
    let text = match value {
        None => return Ok(PrefixLength::default()),
        Some(Value::String(_, text)) => text.clone(),
        Some(value) => value.to_i128().map_or_else(|| "no number".to_owned(), |number| number.to_string()),
    };
    match text.as_str() {
        "" | "4" => Ok(PrefixLength::Four),
        "8" => Ok(PrefixLength::Eight),
        _ => Err(Error::usage("id_bytes of the registry is neither 4 nor 8").with_hint(
            "serializers write ids of 4 bytes; those of Apicurio before version 3, and its Legacy8ByteIdHandler, of 8",
        )),
    }
}

/// The value of a setting with dots: each of them is a level.
fn find<'a>(dict: &'a Dict, name: &str) -> Option<&'a Value> {
    match name.split_once('.') {
        Some((first, rest)) => find(dict.get(first)?.as_dict()?, rest),
        None => dict.get(name),
    }
}

/// Keys with dots as levels, as TOML has them without quotes: so that a layer is laid over another one however they
/// are written.
pub(super) fn spread(dict: &Dict) -> Dict {
    let mut levels = Dict::new();
    for (key, value) in dict {
        let value = match value {
            Value::Dict(tag, inner) => place(inner).unwrap_or_else(|| Value::Dict(*tag, spread(inner))),
            value => value.clone(),
        };
        put(&mut levels, key, value);
    }
    levels
}

fn put(levels: &mut Dict, key: &str, value: Value) {
    let (first, value) = match key.split_once('.') {
        Some((first, rest)) => {
            let mut inner = Dict::new();
            put(&mut inner, rest, value);
            (first, Value::from(inner))
        }
        None => (key, value),
    };
    match (levels.get_mut(first), value) {
        (Some(Value::Dict(_, there)), Value::Dict(_, more)) => {
            more.into_iter().for_each(|(key, value)| put(there, &key, value))
        }
        (_, value) => drop(levels.insert(first.to_owned(), value)),
    }
}

impl RegistryConfig {
    /// How long the ids are that serializers write before a record's bytes.
    pub fn id_prefix(&self) -> PrefixLength {
        self.id_prefix
    }

    /// `None` for the embedded registry.
    pub fn client_options(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Option<ClientOptions>> {
        let Some(url) = &self.url else {
            let is_empty = *self == RegistryConfig::default();
            return if is_empty { Ok(None) } else { Err(no_url()) };
        };
        let text = |name: &str, setting: &SecretText| {
            setting.resolve(&variable).map_err(|error| error.with_context("setting", format!("registry.{name}")))
        };
        let (user_info, token) = (self.user_info.as_ref(), self.token.as_ref());
        let credentials = match (user_info, token) {
            (None, None) => Credentials::None,
            (Some(user_info), None) => Credentials::Basic(text("basic.auth.user.info", user_info)?),
            (None, Some(token)) => Credentials::Bearer(text("bearer.auth.token", token)?),
            (Some(_), Some(_)) => {
                return Err(Error::usage("the registry has two kinds of credentials")
                    .with_hint("keep one of basic.auth.user.info and bearer.auth.token"));
            }
        };
        let mut options = ClientOptions::new(text("url", url)?.expose(), credentials)?;
        options.ca.clone_from(&self.ca);
        options.certificate = match (self.certificate.clone(), self.key.clone()) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            _ => {
                return Err(Error::usage("a certificate needs its key")
                    .with_hint("set both ssl.certificate.location and ssl.key.location of [registry]"));
            }
        };
        Ok(Some(options))
    }
}

fn no_url() -> Error {
    Error::usage("[registry] says how to ask a schema registry, and not where it is")
        .with_hint("set its url, or leave the section out: then the embedded registry is used")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Layers};

    fn config(texts: &[&str], environment: &[(&str, &str)]) -> Result<RegistryConfig> {
        let folder = tempfile::tempdir().unwrap();
        let write = |(number, text): (usize, &&str)| {
            let path = folder.path().join(format!("{number}.toml"));
            std::fs::write(&path, format!("[registry]\n{text}\n")).unwrap();
            path
        };
        let files = texts.iter().enumerate().map(write).collect();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(&Layers { files, environment, ..Layers::default() }).map(|config| config.registry)
    }

    fn options(texts: &[&str], environment: &[(&str, &str)]) -> Result<Option<ClientOptions>> {
        let variable = |name: &str| (name == "TOKEN").then(|| "canary".to_owned());
        config(texts, environment)?.client_options(variable)
    }

    /// Files, the environment, what they mean.
    type Case<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>, ClientOptions);

    #[test]
    fn settings_have_the_names_that_clients_know() {
        let basic = |user_info: &str| {
            ClientOptions::new("http://r:8081", Credentials::Basic(tableflow_model::Secret::new(user_info.to_owned())))
                .unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "a:file\n").unwrap();
        let in_file = format!("url = 'http://r:8081'\nbasic.auth.user.info = {{ file = '{}' }}", file.display());
        let url = "\"schema.registry.url\" = 'http://r:8081'";
        let cases: Vec<Case> = vec![
            (vec![url, "'basic.auth.user.info' = 'a:b'"], vec![], basic("a:b")),
            (
                vec![url, "basic.auth.user.info = 'a:b'\nbasic.auth.credentials.source = 'USER_INFO'"],
                vec![],
                basic("a:b"),
            ),
            (vec!["url = 'http://a:b@r:8081'\n'basic.auth.credentials.source' = 'URL'"], vec![], basic("a:b")),
            (vec![url, "'basic.auth.user.info' = { env = 'TOKEN' }"], vec![], basic("canary")),
            (vec![&in_file], vec![], basic("a:file")),
            (vec![&in_file, "'basic.auth.user.info' = { env = 'TOKEN' }"], vec![], basic("canary")),
            // The last layer wins, however each of them is written.
            (vec![url, "'basic.auth.user.info' = 'x:y'", "basic.auth.user.info = 'a:b'"], vec![], basic("a:b")),
            (vec![url, "basic.auth.user.info = 'x:y'", "'basic.auth.user.info' = 'a:b'"], vec![], basic("a:b")),
            (
                vec![url, "'basic.auth.user.info' = { env = 'X' }"],
                vec![("TABLEFLOW__REGISTRY__BASIC__AUTH__USER__INFO", "a:b")],
                basic("a:b"),
            ),
        ];
        for (texts, environment, expected) in cases {
            let seen = options(&texts, &environment).unwrap_or_else(|error| panic!("{texts:?}: {}", error.report()));
            assert_eq!(seen, Some(expected), "{texts:?}");
        }
        let tls = "url = 'https://r'\nssl.ca.location = 'ca'\n'ssl.certificate.location' = 'c'\nssl.key.location = 'k'\nbearer.auth.token = {env = 'TOKEN'}";
        let seen = options(&[tls], &[]).unwrap().unwrap();
        assert_eq!(seen.ca, Some("ca".into()));
        assert_eq!(seen.certificate, Some(ClientCertificate { certificate: "c".into(), key: "k".into() }));
        assert_eq!(options(&[], &[]).unwrap(), None, "the embedded one");
    }

    #[test]
    fn ids_have_four_bytes_or_eight() {
        for (text, environment, expected) in [
            ("url = ''", vec![], PrefixLength::Four),
            ("id_bytes = 4", vec![], PrefixLength::Four),
            ("id_bytes = 8", vec![], PrefixLength::Eight),
            ("id_bytes = 4", vec![("TABLEFLOW__REGISTRY__ID_BYTES", "8")], PrefixLength::Eight),
        ] {
            assert_eq!(config(&[text], &environment).unwrap().id_prefix(), expected, "{text} {environment:?}");
        }
        for text in ["id_bytes = 5", "id_bytes = 'eight'", "id_bytes = true", "id_bytes = -8"] {
            let report = config(&[text], &[]).unwrap_err().report();
            assert!(report.contains("id_bytes of the registry is neither 4 nor 8"), "{text}: {report}");
        }
        assert!(options(&["id_bytes = 8"], &[]).unwrap_err().report().contains("not where it is"));
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        let cases = [
            ("basic.auth.user.info = 'canary'", "not where it is"),
            ("url = 'http://r'\nbasic.auth.user.info = 'canary'\nbearer.auth.token = 'canary'", "two kinds"),
            ("url = 'http://canary'\nschema.registry.url = 'http://canary2'", "set twice"),
            ("url = 'http://r'\nbasic.auth.credentials.source = 'SASL_INHERIT'", "\"SASL_INHERIT\" is not served"),
            ("url = 'http://r'\nbasic.auth.credentials.source = 'USER_INFO'", "needs basic.auth.user.info"),
            ("url = 'http://r'\nssl.key.location = 'k'", "needs its key"),
            ("url = 'canary'", "the schema registry's url is wrong"),
            ("url = 7", "url is not a text"),
            ("url = 'http://r'\nbearer.auth.token = 4711", "bearer.auth.token is not a text"),
            ("url = 'http://r'\nbearer.auth.token = { env = 'NONE' }", "the environment's NONE, which is not set"),
            ("url = 'http://r'\nbearer.auth.token = { env = 'NONE' }", "setting=registry.bearer.auth.token"),
            ("url = 'http://r'\nbearer.auth.token = { file = '/nowhere' }", "the file /nowhere"),
            ("url = { env = 'NONE' }", "setting=registry.url"),
            (
                "url = 'http://r'\nbearer.auth.token = { vault = 'canary' }",
                "bearer.auth.token.vault, which is not a setting",
            ),
            ("basic.auth.user.inf = 'canary'", "did you mean registry.basic.auth.user.info?"),
            ("basic.auth.user.info = 'canary", "TOML parse error at line 2"),
        ];
        for (text, words) in cases {
            let report = options(&[text], &[]).unwrap_err().report();
            assert!(
                report.contains(words) && !report.contains("canary") && !report.contains("4711"),
                "{text}: {report}"
            );
        }
        let debug = format!("{:?}", config(&["url = 'http://a:canary@r'\nbearer.auth.token = 'canary'"], &[]).unwrap());
        assert!(!debug.contains("canary"), "{debug}");
    }
}
