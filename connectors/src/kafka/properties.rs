//! What people call a client's settings.
//!
//! Owns [`Properties`]: Java's names, or librdkafka's own, become one set of librdkafka's.
//! - I1: a name that is neither is refused, with the nearest that is; one that a Java client alone needs is passed over.
//! - I2: what exactly once rests on cannot be set to something else: in the section it is refused, in a file, which other
//!   clients have too, passed over and said.
//! - I3: nothing is sent in the clear to another machine unless `security.protocol` says so, and no login unless
//!   `allow_login_without_tls` does.
//! - I4: no value is ever printed but those of names in [`SHOWN`]: a password may be in any other.
//! - I5: a setting is called as it was written, where it is to be mended.
//! - I6: the group of a file is some consumer's, and is told nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use tableflow_model::{Error, Result};

use self::names::{
    GROUP, JAAS, LOGIN_WITHOUT_TLS, OF_JAVA, RECEIVE_BUFFER, SEND_BUFFER, SHOWN, STORES, TAKEN, TRANSLATED,
    is_of_a_registry, is_our_value, is_ours, unknown,
};
use super::jaas::jaas;
use super::stores::{self, Kind};

mod file;
mod names;

/// What librdkafka says for no check of a server's name; Java says it by the empty text.
const NO_CHECK: &str = "none";

/// The logins that librdkafka has, as it is built here.
const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

/// A client's settings, under librdkafka's names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    settings: BTreeMap<String, Setting>,
    group: Option<String>,
    login_without_tls: bool,
    /// Names in a file whose values are not taken (I2, I6).
    passed_over: Vec<String>,
}

#[derive(Clone, PartialEq, Eq)]
struct Setting {
    value: String,
    /// As the person called it (I5).
    written_as: String,
}

/// I4.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.settings.keys()).finish()
    }
}

impl Properties {
    /// Settings as people wrote them in the section.
    pub fn new(section: &BTreeMap<String, String>) -> Result<Self> {
        Self::over_file(&BTreeMap::new(), section)
    }

    /// Those of a client's file, and over them those of the section.
    pub fn over_file(file: &BTreeMap<String, String>, section: &BTreeMap<String, String>) -> Result<Self> {
        let mut found = Properties { passed_over: names::passed_over(file, section), ..Properties::default() };
        let is_taken = |name: &String| !found.passed_over.contains(name) && !is_of_a_registry(name);
        let taken = file.iter().filter(|(name, _)| is_taken(name));
        let mut written: BTreeMap<_, _> =
            taken.chain(section).map(|(name, value)| (name.clone(), value.clone())).collect();
        if section.contains_key(LOGIN_WITHOUT_TLS) {
            found.login_without_tls = is_on(&written.remove(LOGIN_WITHOUT_TLS).unwrap_or_default())?;
        }
        for (name, value) in &written {
            found.take(name, value.trim(), &written)?;
        }
        stores::check(&written)?;
        if found.get("bootstrap.servers").is_none() {
            return Err(Error::usage("the settings of Kafka name no cluster")
                .with_hint("set \"bootstrap.servers\" = \"host:9092\" in [kafka]"));
        }
        found.check_security()?;
        found.check_login()?;
        Ok(found)
    }

    /// The settings of a `client.properties` file.
    pub fn read_file(path: &Path) -> Result<BTreeMap<String, String>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::usage(format!("the file of Kafka's settings, {}, cannot be read", path.display()))
                .with_source(error)
                .with_hint("`properties_file` in [kafka] names it")
        })?;
        Ok(file::parse(&text))
    }

    /// Names in the file whose values are not taken.
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    pub fn bootstrap_servers(&self) -> &str {
        self.get("bootstrap.servers").unwrap_or_default()
    }

    /// The same, to begin with other servers.
    #[must_use]
    pub fn with_servers(mut self, servers: &str) -> Self {
        if let Some(setting) = self.settings.get_mut("bootstrap.servers") {
            servers.clone_into(&mut setting.value);
        }
        // Of the same file: it is said of the first.
        self.passed_over.clear();
        self
    }

    /// Are its servers on this machine?
    pub fn is_local(&self) -> bool {
        self.bootstrap_servers().split(',').all(is_loopback)
    }

    pub fn protocol(&self) -> &str {
        self.get("security.protocol").unwrap_or("PLAINTEXT")
    }

    pub fn has_tls(&self) -> bool {
        self.protocol().to_ascii_uppercase().ends_with("SSL")
    }

    pub fn logs_in(&self) -> bool {
        self.protocol().to_ascii_uppercase().starts_with("SASL")
    }

    /// Must the certificate of a server name its host?
    pub fn checks_host_names(&self) -> bool {
        let algorithm = self.get("ssl.endpoint.identification.algorithm");
        algorithm.is_none_or(|algorithm| !algorithm.eq_ignore_ascii_case(NO_CHECK))
    }

    /// Does the login show tokens, not a name and a password?
    pub fn has_tokens(&self) -> bool {
        self.get("sasl.mechanisms") == Some("OAUTHBEARER")
    }

    /// A setting that is no secret, by librdkafka's name (I4).
    pub fn get(&self, name: &str) -> Option<&str> {
        let setting = self.settings.get(name).filter(|_| SHOWN.contains(&name))?;
        Some(setting.value.as_str())
    }

    /// What the person called a setting of librdkafka's (I5).
    pub fn written_as(&self, name: &'static str) -> &str {
        self.settings.get(name).map_or(name, |setting| setting.written_as.as_str())
    }

    /// Where the client's own certificate is: names as they were written, and paths.
    pub fn certificate_settings(&self) -> Vec<(&str, &str)> {
        let names = ["ssl.certificate.location", "ssl.keystore.location"];
        names.iter().filter_map(|name| Some((self.written_as(name), self.get(name)?))).collect()
    }

    /// The files that clients read when they are made.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let names = ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location"];
        names.into_iter().filter_map(|name| self.get(name)).map(Path::new)
    }

    /// The group that is told how far tables have come. No client is a member of it.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref().filter(|group| !group.is_empty())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(name, setting)| (name.as_str(), setting.value.as_str()))
    }

    fn take(&mut self, name: &str, value: &str, written: &BTreeMap<String, String>) -> Result<()> {
        let mut set = |ours: &str, value: &str| {
            self.settings.insert(ours.to_owned(), Setting { value: value.to_owned(), written_as: name.to_owned() });
        };
        match name {
            GROUP => self.group = Some(value.to_owned()),
            _ if is_ours(name) => check_ours(name, value)?,
            _ if is_of_a_registry(name) => return Err(of_the_registry(name)),
            JAAS => {
                for (ours, value) in jaas(value)? {
                    set(ours, &value);
                }
            }
            "ssl.truststore.location" => set("ssl.ca.location", value),
            "ssl.keystore.location" if stores::kind_of(written, "keystore") == Some(Kind::Pem) => {
                set("ssl.certificate.location", value);
                set("ssl.key.location", value);
            }
            "ssl.keystore.location" => set(name, value),
            "ssl.keystore.password" if stores::kind_of(written, "keystore") == Some(Kind::Pkcs12) => set(name, value),
            "ssl.endpoint.identification.algorithm" if value.is_empty() => set(name, NO_CHECK),
            RECEIVE_BUFFER | SEND_BUFFER if value == "-1" => {}
            "client.dns.lookup" if value == "default" => set(name, "use_all_dns_ips"),
            "sasl.oauthbearer.token.endpoint.url" => {
                check_token_endpoint(value)?;
                set(name, value);
                set("sasl.oauthbearer.method", "oidc");
            }
            _ if STORES.contains(&name) || OF_JAVA.contains(&name) => {}
            _ => match TRANSLATED.iter().find(|(java, _)| *java == name) {
                Some((_, ours)) => set(ours, value),
                None if TAKEN.contains(&name) => set(name, value),
                None => return Err(unknown(name)),
            },
        }
        Ok(())
    }

    /// I3.
    fn check_security(&self) -> Result<()> {
        let servers = self.bootstrap_servers();
        if self.get("security.protocol").is_some() || self.is_local() {
            return Ok(());
        }
        Err(Error::usage("[kafka] does not say how to speak to a cluster on another machine")
            .with_detail(format!("bootstrap.servers is {servers}"))
            .with_hint(
                "set \"security.protocol\" to SASL_SSL or SSL, or to PLAINTEXT if nobody else is on that network",
            ))
    }

    /// Java's default is Kerberos, which is not there.
    fn check_login(&self) -> Result<()> {
        let mechanism = self.get("sasl.mechanisms");
        if !self.logs_in() {
            return Ok(());
        }
        if mechanism.is_some_and(|mechanism| MECHANISMS.contains(&mechanism)) {
            return self.check_login_is_hidden();
        }
        let message = match mechanism {
            Some(mechanism) => format!("the login {mechanism} of [kafka] is not one that is served"),
            None => "[kafka] does not say how to log in".to_owned(),
        };
        let name = if mechanism.is_some() { self.written_as("sasl.mechanisms") } else { "sasl.mechanism" };
        Err(Error::usage(message).with_hint(format!("set {name} to one of {}", MECHANISMS.join(", "))))
    }

    /// I3: whoever is on the way reads a password or a token, and may take a proof of SCRAM to guess at.
    fn check_login_is_hidden(&self) -> Result<()> {
        if self.has_tls() || self.is_local() || self.login_without_tls {
            return Ok(());
        }
        let protocol = self.written_as("security.protocol");
        Err(Error::usage("the login of [kafka] would go to another machine without TLS")
            .with_detail(format!(
                "{protocol} is {}, bootstrap.servers is {}",
                self.protocol(),
                self.bootstrap_servers()
            ))
            .with_hint(format!(
                "set {protocol} to SASL_SSL; or say aloud that it may, where nobody else is on that network: \
                 {LOGIN_WITHOUT_TLS} = true in [kafka]"
            )))
    }
}

/// A token is a password: it comes over TLS, or from this machine.
fn check_token_endpoint(url: &str) -> Result<()> {
    let host = url.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    if url.starts_with("https://") || host.is_some_and(is_loopback) {
        return Ok(());
    }
    Err(Error::usage("sasl.oauthbearer.token.endpoint.url of [kafka] is not an https address")
        .with_hint("tokens are asked for over https; http alone is for this machine"))
}

/// I2.
fn check_ours(name: &str, value: &str) -> Result<()> {
    if is_our_value(name, value) {
        return Ok(());
    }
    let hint = match name {
        "auto.offset.reset" => "where a new table starts is said by `enable --from earliest|latest`",
        _ => "leave it out",
    };
    Err(Error::usage(format!("{name} of [kafka] cannot be set"))
        .with_detail("exactly once rests on it")
        .with_hint(hint))
}

/// Whoever set it here would believe that it is asked.
fn of_the_registry(name: &str) -> Error {
    Error::usage(format!("[kafka] sets {name}, which is the schema registry's"))
        .with_hint("set it in [registry]; in a properties file it may stay, and is passed over")
}

fn is_on(value: &str) -> Result<bool> {
    value.trim().parse().map_err(|_| {
        Error::usage(format!("{LOGIN_WITHOUT_TLS} of [kafka] is neither true nor false"))
            .with_hint("leave it out where logins go over TLS")
    })
}

fn is_loopback(server: &str) -> bool {
    let host = server.trim().rsplit_once(':').map_or(server.trim(), |(host, _)| host);
    matches!(host, "localhost" | "[::1]") || host.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback())
}

#[cfg(test)]
mod tests;
