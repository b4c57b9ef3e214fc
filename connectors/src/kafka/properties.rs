//! What people call a client's settings.
//!
//! Owns [`Properties`]: Java's names, or librdkafka's own, become one set of librdkafka's.
//! - I1: a name that is neither is refused, with the nearest that is; one that a Java client alone needs is passed
//!   over.
//! - I2: what exactly once rests on cannot be set to something else.
//! - I3: nothing is sent in the clear to another machine unless `security.protocol` says so.
//! - I4: no value is ever printed but those of names in [`SHOWN`]: a password may be in any other.
//! - I5: a setting is called as it was written, where it is to be mended.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use tableflow_model::{Error, Result};

use super::jaas::jaas;
use super::stores::{self, Kind};

/// Java's name, and librdkafka's.
const TRANSLATED: [(&str, &str); 23] = [
    ("sasl.mechanism", "sasl.mechanisms"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
    ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("ssl.cipher.suites", "ssl.cipher.suites"),
    ("request.timeout.ms", "socket.timeout.ms"),
    ("socket.connection.setup.timeout.ms", "socket.connection.setup.timeout.ms"),
    ("connections.max.idle.ms", "connections.max.idle.ms"),
    ("reconnect.backoff.ms", "reconnect.backoff.ms"),
    ("reconnect.backoff.max.ms", "reconnect.backoff.max.ms"),
    ("retry.backoff.ms", "retry.backoff.ms"),
    ("metadata.max.age.ms", "topic.metadata.refresh.interval.ms"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("client.rack", "client.rack"),
    ("client.dns.lookup", "client.dns.lookup"),
    ("fetch.min.bytes", "fetch.min.bytes"),
    ("fetch.max.bytes", "fetch.max.bytes"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("compression.type", "compression.type"),
];

/// Names that mean the same in both, or librdkafka's alone.
const TAKEN: [&str; 29] = [
    "bootstrap.servers",
    "client.id",
    "security.protocol",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.extensions",
    "https.ca.location",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "socket.timeout.ms",
    "socket.keepalive.enable",
    "broker.address.family",
    "linger.ms",
    "batch.size",
    "message.max.bytes",
    "fetch.wait.max.ms",
    "delivery.timeout.ms",
];

/// Understood here, and made into others.
const JAAS: &str = "sasl.jaas.config";
const STORES: [&str; 6] = [
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.truststore.password",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.keystore.password",
];

/// Where lag is told; no setting of our clients.
const GROUP: &str = "group.id";

/// Ours to set, and the one value that may be said anyway.
const OURS: [(&str, &str); 6] = [
    ("isolation.level", "read_committed"),
    ("enable.auto.commit", "false"),
    ("auto.offset.reset", "none"),
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("transactional.id", ""),
];

/// For Java's own clients: they change nothing here.
const OF_JAVA: [&str; 13] = [
    "key.serializer",
    "value.serializer",
    "key.deserializer",
    "value.deserializer",
    "sasl.login.callback.handler.class",
    "sasl.client.callback.handler.class",
    "sasl.oauthbearer.jwt.retriever.class",
    "interceptor.classes",
    "metric.reporters",
    "partitioner.class",
    "max.poll.records",
    "max.poll.interval.ms",
    "session.timeout.ms",
];

/// Below it two names have little in common.
const SIMILARITY_MIN: f64 = 0.85;

/// Names whose values are no secret, and say where to look.
const SHOWN: [&str; 8] = [
    "bootstrap.servers",
    "security.protocol",
    "sasl.mechanisms",
    "sasl.username",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
];

/// The logins that librdkafka has, as it is built here.
const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

/// A client's settings, under librdkafka's names.
#[derive(Clone, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, Setting>);

#[derive(Clone, PartialEq, Eq)]
struct Setting {
    value: String,
    /// As the person called it (I5).
    written_as: String,
}

/// I4.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Properties {
    /// Settings as people wrote them.
    pub fn new(written: &BTreeMap<String, String>) -> Result<Self> {
        let mut found = Properties(BTreeMap::new());
        for (name, value) in written {
            found.take(name, value.trim(), written)?;
        }
        stores::check(written)?;
        if found.get("bootstrap.servers").is_none() {
            return Err(Error::usage("the settings of Kafka name no cluster")
                .with_hint("set \"bootstrap.servers\" = \"host:9092\" in [kafka]"));
        }
        found.check_security()?;
        found.check_login()?;
        Ok(found)
    }

    /// The lines of a `client.properties` file, by Java's rules as far as such files use them.
    pub fn read_file(path: &Path) -> Result<BTreeMap<String, String>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::usage(format!("the file of Kafka's settings, {}, cannot be read", path.display()))
                .with_source(error)
                .with_hint("`properties_file` in [kafka] names it")
        })?;
        Ok(parse_file(&text))
    }

    pub fn bootstrap_servers(&self) -> &str {
        self.get("bootstrap.servers").unwrap_or_default()
    }

    /// The same, to begin with other servers.
    #[must_use]
    pub fn with_servers(mut self, servers: &str) -> Self {
        if let Some(setting) = self.0.get_mut("bootstrap.servers") {
            servers.clone_into(&mut setting.value);
        }
        self
    }

    /// Are its servers on this machine?
    pub fn is_local(&self) -> bool {
        self.bootstrap_servers().split(',').all(is_loopback)
    }

    pub fn protocol(&self) -> &str {
        self.get("security.protocol").unwrap_or("PLAINTEXT")
    }

    /// Does the login show tokens, not a name and a password?
    pub fn has_tokens(&self) -> bool {
        self.get("sasl.mechanisms") == Some("OAUTHBEARER")
    }

    /// A setting that is no secret, by librdkafka's name (I4).
    pub fn get(&self, name: &str) -> Option<&str> {
        let setting = self.0.get(name).filter(|_| SHOWN.contains(&name))?;
        Some(setting.value.as_str())
    }

    /// What the person called a setting of librdkafka's (I5).
    pub fn written_as(&self, name: &'static str) -> &str {
        self.0.get(name).map_or(name, |setting| setting.written_as.as_str())
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
        self.0.get(GROUP).map(|setting| setting.value.as_str()).filter(|group| !group.is_empty())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let settings = self.0.iter().filter(|(name, _)| *name != GROUP);
        settings.map(|(name, setting)| (name.as_str(), setting.value.as_str()))
    }

    fn take(&mut self, name: &str, value: &str, written: &BTreeMap<String, String>) -> Result<()> {
        let mut set = |ours: &str, value: &str| {
            self.0.insert(ours.to_owned(), Setting { value: value.to_owned(), written_as: name.to_owned() });
        };
        if let Some((_, expected)) = OURS.iter().find(|(known, _)| *known == name) {
            return check_ours(name, value, expected);
        }
        match name {
            GROUP => set(name, value),
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
            // Java says "no check" by the empty text.
            "ssl.endpoint.identification.algorithm" if value.is_empty() => set(name, "none"),
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
        let logs_in = self.protocol().to_ascii_uppercase().starts_with("SASL");
        if !logs_in || mechanism.is_some_and(|mechanism| MECHANISMS.contains(&mechanism)) {
            return Ok(());
        }
        let message = match mechanism {
            Some(mechanism) => format!("the login {mechanism} of [kafka] is not one that is served"),
            None => "[kafka] does not say how to log in".to_owned(),
        };
        let name = if mechanism.is_some() { self.written_as("sasl.mechanisms") } else { "sasl.mechanism" };
        Err(Error::usage(message).with_hint(format!("set {name} to one of {}", MECHANISMS.join(", "))))
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
fn check_ours(name: &str, value: &str, expected: &str) -> Result<()> {
    if value == expected || (name == "auto.offset.reset" && value == "error") || (name == "acks" && value == "-1") {
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

fn unknown(name: &str) -> Error {
    let known = TAKEN.iter().chain(TRANSLATED.iter().map(|(java, _)| java)).chain(&STORES).chain([&JAAS, &GROUP]);
    let ranked = known.map(|known| (strsim::jaro_winkler(name, known), *known)).max_by(|a, b| a.0.total_cmp(&b.0));
    let error = Error::usage(format!("[kafka] sets {name}, which is not a setting of a Kafka client"));
    match ranked {
        Some((similarity, near)) if similarity >= SIMILARITY_MIN => error.with_hint(format!("did you mean {near}?")),
        _ => error.with_hint("Java's names of client settings are understood, and librdkafka's"),
    }
}

fn is_loopback(server: &str) -> bool {
    let host = server.trim().rsplit_once(':').map_or(server.trim(), |(host, _)| host);
    matches!(host, "localhost" | "[::1]") || host.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback())
}

/// `name=value` or `name: value` a line; `#` and `!` begin comments, a `\` at the end joins the next line.
fn parse_file(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut joined = String::new();
    for line in text.lines() {
        let line = line.trim_start();
        if joined.is_empty() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(begun) => joined.push_str(begun),
            None => {
                joined.push_str(line);
                let whole = std::mem::take(&mut joined);
                let (name, value) = whole.split_once(['=', ':']).unwrap_or((&whole, ""));
                found.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
